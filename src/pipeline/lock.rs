//! Taking all locks, or none: while one is held by somebody else, nothing is kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::quit::Refused;
use crate::event::{Event, Sink};
use crate::ground::{HostName, Problem};
use crate::mesos::units::parse_duration;
use crate::remote::Ask as _;
use crate::remote::fleet::{Fleet, OpenedFleet, Opening, Secrets, change};
use crate::remote::holder::{Controller, Holder};
use crate::remote::shell::Changer;
use crate::report::exit;
use crate::script::Probe;
use crate::ui::line;

/// An action whose controller is gone ends by itself and is waited for, unless said otherwise; another
/// run that is at work is not.
const ORPHAN_LIMIT: Duration = Duration::from_secs(60);
/// How long nothing is held between two tries. Runs that wait for each other must not try in step, so a
/// part of it differs from try to try.
const PAUSE: Duration = Duration::from_millis(700);

/// Within this a shell of ours says its process id.
const PID_LIMIT: Duration = Duration::from_secs(20);

/// How long other runs are waited for.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    /// How long; `None` for not at all, and a minute for an action whose own run is gone.
    pub limit: Option<Duration>,
    /// What to do when that was not enough.
    pub advice: &'static str,
}

/// Opens all hosts with the key that changes, waiting for other runs as long as was asked.
///
/// # Errors
/// [`Refused`] when a lock is not to be had; who holds it was said.
pub async fn all(
    opening: &Opening,
    probes: &BTreeMap<HostName, Probe>,
    sink: &Arc<dyn Sink>,
    secrets: Secrets,
    wait: Wait,
) -> anyhow::Result<OpenedFleet<Changer>> {
    let began = Instant::now();
    let mut said = BTreeMap::new();
    loop {
        let attempt = Arc::new(Attempt { to: Arc::clone(sink), held: Mutex::default() });
        let events: Arc<dyn Sink> = Arc::clone(&attempt) as Arc<dyn Sink>;
        let opened = change(opening, probes, &events, secrets.clone()).await;
        if opened.locked.is_empty() {
            attempt.release();
            return Ok(opened);
        }
        let locked = opened.locked;
        let own = locked.iter().find(|(_, holder)| holder.run == opening.run);
        if let Some((host, holder)) = own {
            let other = whose(&opened.fleet, probes.keys(), &holder.pid).await;
            opened.fleet.close().await;
            anyhow::bail!(
                "{host} and {other} are the same machine, which has one lock; nothing was changed; remove one of them from the inventory"
            );
        }
        opened.fleet.close().await;
        let orphans = locked.values().all(|holder| holder.controller == Controller::Gone);
        let limit = wait.limit.unwrap_or(if orphans { ORPHAN_LIMIT } else { Duration::ZERO });
        if began.elapsed() >= limit {
            return Err(complain(&locked, wait.advice).into());
        }
        if said != locked {
            for (host, holder) in &locked {
                let text = format!("{host}: waiting for its lock, held by {holder}");
                line(std::io::stderr().lock(), &text);
            }
            said = locked;
        }
        let uneven = Duration::from_millis(u64::from(began.elapsed().subsec_micros() % 600));
        tokio::time::sleep(PAUSE + uneven).await;
    }
}

/// The host whose shell of ours has this process id.
async fn whose(
    fleet: &Fleet<Changer>,
    hosts: impl Iterator<Item = &HostName>,
    pid: &str,
) -> String {
    let mut found = Vec::new();
    for host in hosts.filter(|host| fleet.has(host)) {
        let answer = fleet.ask(host, &Probe::new("pid", "echo $$"), PID_LIMIT).await;
        if answer.is_ok_and(|sections| sections.get("pid").is_some_and(|it| it.trim() == pid)) {
            found.push(host.to_string());
        }
    }
    if found.is_empty() { "another host".to_owned() } else { found.join(" or ") }
}

fn complain(locked: &BTreeMap<HostName, Holder>, advice: &str) -> Refused {
    let mut err = std::io::stderr().lock();
    let mut found = Vec::new();
    for (host, holder) in locked {
        let message = format!("{host} is locked by {holder}");
        line(&mut err, &format!("error: {message}"));
        let problem = Problem::error(None, "locked", message).help(advice);
        found.push((Some(host.clone()), problem));
    }
    let orphan = locked.iter().find(|(_, holder)| holder.controller != Controller::There);
    line(
        &mut err,
        &match orphan {
            Some((host, _)) => format!(
                "nothing was changed; {advice}, or look at what hangs there and end it or leave it with `provision unlock -l {host}`"
            ),
            None => format!("nothing was changed; {advice}"),
        },
    );
    Refused { exit: exit::LOCKED, found }
}

/// Reads `10mins`; the units are those of the inventory's durations, and `s`, `m`, `h` beside them.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) =
        text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let unit = match unit {
        "" | "s" => "secs",
        "m" | "min" => "mins",
        "h" => "hrs",
        other => other,
    };
    parse_duration(&format!("{number}{unit}"))
}

/// Passes on what happens, but for hosts that do not answer: the next try may find them.
#[derive(Debug)]
struct Attempt {
    to: Arc<dyn Sink>,
    held: Mutex<Vec<Event>>,
}

impl Attempt {
    fn release(&self) {
        let held = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
        held.into_iter().for_each(|event| self.to.emit(event));
    }
}

impl Sink for Attempt {
    fn emit(&self, event: Event) {
        if matches!(event, Event::HostUnreachable { .. }) {
            self.held.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        } else {
            self.to.emit(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in
            [("90", 90), ("90s", 90), ("10mins", 600), ("10m", 600), ("1h", 3600)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert!(duration("soon").is_err());
    }
}

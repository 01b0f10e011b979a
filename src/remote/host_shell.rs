//! A host's shell through a whole run: one that was lost is opened again, and what became of the action
//! that it ran is found out.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::answer::{Ended, Lost, LostAction, Reply};
use super::opening::{Closed, FirstLock, Key, Opening, enter};
use super::shell::{ACTION_LIMIT, Changer, PROBE_LIMIT, Shell};
use crate::inventory::Ssh;

/// A host's shell, and which boot of the host it is on.
#[derive(Debug)]
pub(super) struct HostShell<K> {
    ssh: Ssh,
    /// None after it was lost for good.
    shell: Option<Shell<K>>,
    /// Boot id and start of the first process.
    boot: (String, String),
    /// How many actions were begun in this run, whichever shell they were given to.
    actions: u32,
    pub(super) uptime: Uptime,
}

/// Whether a host runs since it was opened first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Uptime {
    /// It does, as far as we saw.
    Unbroken,
    /// It was lost and came back from another boot: nothing is as the plan saw it.
    Rebooted,
}

/// How long a host that was lost is tried to be reached again: a wire that was plugged back in, not a
/// machine that boots.
const RECONNECT_LIMIT: Duration = Duration::from_secs(20);
/// How often that is tried, and how often our own action that runs on is looked after.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// How long a host may take to go down and come back. Daemons get 90 s each to end (systemd's
/// DefaultTimeoutStopSec), and a server's firmware takes minutes.
const REBOOT_LIMIT: Duration = Duration::from_secs(900);
/// How often a host that boots is looked after.
const REBOOT_PAUSE: Duration = Duration::from_secs(2);

impl<K: Key> HostShell<K> {
    pub(super) fn new(ssh: Ssh, shell: Shell<K>, boot: (String, String)) -> HostShell<K> {
        HostShell { ssh, shell: Some(shell), boot, actions: 0, uptime: Uptime::Unbroken }
    }

    pub(super) async fn close(self) {
        if let Some(shell) = self.shell {
            shell.close().await;
        }
    }

    /// The shell, a new one in place of one that was lost.
    pub(super) async fn usable(&mut self, opening: &Opening) -> Result<&mut Shell<K>, String> {
        if !self.shell.as_ref().is_some_and(Shell::is_usable) {
            self.reconnect(opening).await?;
        }
        self.shell.as_mut().ok_or_else(|| "there is no connection to it".to_owned())
    }

    /// Asks; a connection lost on the way is opened once more, silently, for asking changes nothing.
    pub(super) async fn ask(
        &mut self,
        opening: &Opening,
        script: &str,
        limit: Duration,
    ) -> Result<Reply, String> {
        match self.usable(opening).await?.ask(script, limit).await {
            Err(Lost::Gone { .. }) => {
                let shell = self.reconnect(opening).await?;
                shell.ask(script, limit).await.map_err(|lost| lost.to_string())
            }
            other => other.map_err(|lost| lost.to_string()),
        }
    }

    /// Puts a new shell in the place of a lost one; an action of ours that runs on there is waited
    /// for, since it holds the lock.
    async fn reconnect(&mut self, opening: &Opening) -> Result<&mut Shell<K>, String> {
        // The lost shell sees the end of its input, and ends after what it runs.
        self.shell = None;
        let began = Instant::now();
        loop {
            let at_once = async |_| FirstLock::Ours;
            match enter::<K>(&self.ssh, opening, ":", self.actions, at_once, || ()).await {
                Ok((shell, entered)) => {
                    if self.boot != (entered.boot_id, entered.init) {
                        self.uptime = Uptime::Rebooted;
                    }
                    return Ok(self.shell.insert(shell));
                }
                Err(Closed::Locked(by)) if by.run == opening.run => {
                    if began.elapsed() > ACTION_LIMIT {
                        return Err(format!("its own action runs on: {by}"));
                    }
                }
                Err(Closed::Locked(by)) => return Err(format!("it was taken over by {by}")),
                Err(Closed::Unreachable(why)) if began.elapsed() > RECONNECT_LIMIT => {
                    return Err(why);
                }
                Err(Closed::Unreachable(_) | Closed::FirstLockTaken) => {}
            }
            sleep(RECONNECT_PAUSE).await;
        }
    }
}

impl HostShell<Changer> {
    /// Runs an action once, whatever becomes of the connection: one whose answer was lost is begun
    /// again only if it never began.
    pub(super) async fn run(
        &mut self,
        opening: &Opening,
        name: &str,
        script: &str,
    ) -> Result<Ended, String> {
        self.usable(opening)
            .await
            .map_err(|why| format!("connection lost before {name}; {why}"))?;
        if self.uptime == Uptime::Rebooted {
            return Err(rebooted("before", name));
        }
        let Some(shell) = self.shell.as_mut() else { return Err("it was lost".to_owned()) };
        self.actions += 1;
        let number = self.actions;
        match shell.run(name, script, ACTION_LIMIT).await {
            Ok(ended) => return Ok(ended),
            Err(Lost::Gone { .. }) => {}
            Err(lost) => return Err(lost.to_string()),
        }
        self.reconnect(opening)
            .await
            .map_err(|why| format!("connection lost during {name}, which may still run; {why}"))?;
        let uptime = self.uptime;
        let shell = self.usable(opening).await?;
        let lost = |lost: Lost| format!("connection lost twice during {name}; {lost}");
        match (shell.lost_action(number, PROBE_LIMIT).await.map_err(lost)?, uptime) {
            // Its status was written on the host, whoever listened.
            (LostAction::Ended(ended), Uptime::Unbroken) => Ok(ended),
            // A cut between two actions, it turns out.
            (LostAction::NotBegun, Uptime::Unbroken) => {
                shell.count_on(number - 1);
                shell.run(name, script, ACTION_LIMIT).await.map_err(lost)
            }
            (LostAction::CutShort { log }, Uptime::Unbroken) => Err(format!(
                "{name} was cut short by something on the host (log there: {})",
                log.display()
            )),
            (LostAction::NotBegun, Uptime::Rebooted) => Err(rebooted("before", name)),
            (LostAction::Ended(_) | LostAction::CutShort { .. }, Uptime::Rebooted) => {
                Err(rebooted("during", name))
            }
        }
    }
}

impl HostShell<Changer> {
    /// Runs an action that makes the host boot, and comes back to the host when it has. What follows
    /// was planned for after the reboot, so the host counts as running unbroken.
    pub(super) async fn reboot(
        &mut self,
        opening: &Opening,
        name: &str,
        script: &str,
    ) -> Result<Ended, String> {
        let ended = self.run(opening, name, script).await?;
        if ended.status != 0 {
            return Ok(ended);
        }
        // Its end frees the lock, which goes with this boot anyway.
        if let Some(shell) = self.shell.take() {
            shell.close().await;
        }
        let began = Instant::now();
        let mut why = "it is still up, from the same boot".to_owned();
        while began.elapsed() < REBOOT_LIMIT {
            sleep(REBOOT_PAUSE).await;
            let at_once = async |_| FirstLock::Ours;
            match enter::<Changer>(&self.ssh, opening, ":", self.actions, at_once, || ()).await {
                Ok((shell, entered)) => {
                    let boot = (entered.boot_id, entered.init);
                    if boot != self.boot {
                        self.boot = boot;
                        self.shell = Some(shell);
                        return Ok(ended);
                    }
                    shell.close().await;
                    "it is still up, from the same boot".clone_into(&mut why);
                }
                Err(Closed::Locked(by)) if by.run != opening.run => {
                    return Err(format!("it was taken over by {by} while it rebooted"));
                }
                Err(Closed::Unreachable(sentence)) => why = sentence,
                Err(Closed::Locked(_) | Closed::FirstLockTaken) => {}
            }
        }
        let limit = REBOOT_LIMIT.as_secs() / 60;
        Err(format!("it was to reboot and has not come back within {limit} min: {why}"))
    }
}

/// After a reboot nothing is as the plan saw it.
pub(super) fn rebooted(when: &str, name: &str) -> String {
    format!("it rebooted (its boot id changed) {when} {name}")
}

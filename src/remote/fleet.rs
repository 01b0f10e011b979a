//! All hosts of a run at once: connecting, taking keys, and the two keys themselves.

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::holder::Holder;
use super::shell::{
    self, Changer, Claim, Ended, Entered, Looker, Lost, NotEntered, Past, Places, Reply, Upload,
};
use super::ssh::{Options, connect};
use super::{Ask, Change};
use crate::event::{Event, Sink};
use crate::inventory::{HostName, SecretRef, Ssh};
use crate::script::{Fix, Probe, Push, Sections};

/// Shells on hosts, each used by one request at a time.
#[derive(Debug)]
pub struct Fleet<K> {
    hosts: BTreeMap<HostName, Mutex<Seat<K>>>,
    opening: Opening,
    nonce: String,
    secrets: Secrets,
    pushes: Semaphore,
}

/// Values of secrets by where they are found. Printed nowhere.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<SecretRef, String>);

/// How hosts are opened.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Hosts and how to reach them.
    pub hosts: BTreeMap<HostName, Ssh>,
    /// What holds for all connections.
    pub options: Options,
    /// sudo's password.
    pub password: Option<Password>,
    /// Id of the run.
    pub run: String,
    /// Who runs us, for the lock.
    pub by: String,
    /// From where, for the lock.
    pub from: String,
    /// Where our state lives on hosts.
    pub places: Places,
}

/// sudo's password. Printed nowhere.
#[derive(Clone)]
pub struct Password(pub String);

/// What became of opening all hosts with one key.
#[derive(Debug)]
pub struct Opened<K> {
    /// The shells.
    pub fleet: Fleet<K>,
    /// The first answer of each host, or why there is none.
    pub answers: BTreeMap<HostName, Result<Sections, String>>,
    /// Actions of earlier runs that never ended: host → what it was.
    pub interrupted: BTreeMap<HostName, String>,
    /// Hosts whose lock another run holds: host → who.
    pub locked: BTreeMap<HostName, Holder>,
}

/// Whether a key keeps others out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shares {
    /// Any number may hold it.
    Yes,
    /// Only one may.
    No,
}

/// One of the two keys.
pub trait Key: Sized + Send + 'static {
    /// Whether others may hold it too.
    const SHARES: Shares;

    /// Takes it, with a first question.
    fn take(
        shell: shell::Opened,
        opening: &Opening,
        script: &str,
    ) -> impl Future<Output = Result<(Self, Entered), NotEntered>> + Send;

    /// Asks.
    fn ask(
        &mut self,
        script: &str,
        limit: Duration,
    ) -> impl Future<Output = Result<Reply, Lost>> + Send;

    /// Whether its shell owes no answer.
    fn is_usable(&self) -> bool;

    /// How many actions it was given.
    fn actions(&self) -> u32 {
        0
    }

    /// Counts on from the actions of a lost shell.
    fn count_on(&mut self, _actions: u32) {}

    /// Ends its shell.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// A host's shell, and which boot of the host it is on.
#[derive(Debug)]
struct Seat<K> {
    /// None after it was lost for good.
    key: Option<K>,
    /// Boot id and start of the first process.
    boot: (String, String),
    /// How many actions the shells before this one were given.
    actions: u32,
    /// What the host was like when it was last lost and found.
    found: Found,
}

/// Whether the first host's lock is taken. Of two runs that begin together one loses there, before it
/// holds any other: taking all at once, each would keep the other from the rest, again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Unknown,
    Ours,
    Theirs,
}

/// So long the other hosts wait for the first: one that is slow or dead must not delay them.
const TURN_LIMIT: Duration = Duration::from_secs(1);
/// Local files are sent to so many hosts at once.
const PUSHES: usize = 4;
/// A probe that takes longer has hung.
const PROBE_LIMIT: Duration = Duration::from_secs(60);
/// An action may download and build.
const ACTION_LIMIT: Duration = Duration::from_secs(3600);
/// How long a host that was lost is tried to be reached again: a wire that was plugged back in, not a
/// machine that boots.
const RECONNECT_LIMIT: Duration = Duration::from_secs(20);
/// How often that is tried, and how often our own action that runs on is looked after.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Opens all hosts with the key that looks.
pub async fn look(
    opening: &Opening,
    probes: &BTreeMap<HostName, Probe>,
    sink: &Arc<dyn Sink>,
) -> Opened<Looker> {
    open(opening, probes, sink, Secrets::default()).await
}

/// Opens all hosts with the key that changes: takes every host's lock.
pub async fn change(
    opening: &Opening,
    probes: &BTreeMap<HostName, Probe>,
    sink: &Arc<dyn Sink>,
    secrets: Secrets,
) -> Opened<Changer> {
    open(opening, probes, sink, secrets).await
}

async fn open<K: Key>(
    opening: &Opening,
    probes: &BTreeMap<HostName, Probe>,
    sink: &Arc<dyn Sink>,
    secrets: Secrets,
) -> Opened<K> {
    let nonce = super::wire::nonce().unwrap_or_else(|_| opening.run.clone());
    let shared = Arc::new(opening.clone());
    let mut tasks = JoinSet::new();
    let (turn, _) = watch::channel(Turn::Unknown);
    let turn = Arc::new(turn);
    for (number, (host, ssh)) in spread(&opening.hosts).into_iter().enumerate() {
        let turn = Arc::clone(&turn);
        let waits = number > 0 && K::SHARES == Shares::No;
        let probe = probes.get(host).cloned().unwrap_or_default();
        let script = probe.script(&nonce);
        let (host, ssh, opening) = (host.clone(), ssh.clone(), Arc::clone(&shared));
        let sink = Arc::clone(sink);
        tasks.spawn(async move {
            let mut decided = turn.subscribe();
            let connected = async |seconds| {
                sink.emit(Event::HostConnected { host: host.clone(), seconds });
                let decided = decided.wait_for(|turn| *turn != Turn::Unknown);
                match waits.then_some(decided) {
                    None => Turn::Ours,
                    Some(decided) => match timeout(TURN_LIMIT, decided).await {
                        Ok(Ok(turn)) => *turn,
                        _ => Turn::Ours,
                    },
                }
            };
            let entered = enter::<K>(&ssh, &opening, &script, connected).await;
            if number == 0 {
                let locked = matches!(entered, Err(Closed::Locked(_)));
                turn.send_replace(if locked { Turn::Theirs } else { Turn::Ours });
            }
            (host, entered)
        });
    }
    let mut opened = Opened {
        fleet: Fleet {
            hosts: BTreeMap::new(),
            opening: opening.clone(),
            nonce: nonce.clone(),
            secrets,
            pushes: Semaphore::new(PUSHES),
        },
        answers: BTreeMap::new(),
        interrupted: BTreeMap::new(),
        locked: BTreeMap::new(),
    };
    while let Some(joined) = tasks.join_next().await {
        let Ok((host, entered)) = joined else { continue };
        match entered {
            Ok((key, entered)) => {
                let text = String::from_utf8_lossy(&entered.reply.stdout);
                let sections = Probe::sections(&nonce, &text)
                    .ok_or_else(|| "its answer was cut short".to_owned());
                if let Some(last) = entered.last.filter(|last| last.status.is_none()) {
                    let log = last.log.display();
                    let what = format!("{} of run {} (log there: {log})", last.name, last.run);
                    opened.interrupted.insert(host.clone(), what);
                }
                opened.answers.insert(host.clone(), sections);
                let (boot, found) = ((entered.boot_id, entered.init), Found::AsBefore);
                let seat = Seat { key: Some(key), boot, actions: 0, found };
                opened.fleet.hosts.insert(host, Mutex::new(seat));
            }
            Err(Closed::Locked(by)) => {
                opened.locked.insert(host, by);
            }
            Err(Closed::NotOurTurn) => {}
            Err(Closed::Unreachable(why)) => {
                sink.emit(Event::HostUnreachable { host: host.clone(), reason: why.clone() });
                opened.answers.insert(host, Err(why));
            }
        }
    }
    opened
}

/// The first host, whose lock decides whose turn it is, and then the others as chance would have it, but
/// each time the same: a rack without power is a row of neighbours, and is not to come all at once.
fn spread<T>(hosts: &BTreeMap<HostName, T>) -> Vec<(&HostName, &T)> {
    let mut all: Vec<_> = hosts.iter().collect();
    if let Some((_, others)) = all.split_first_mut() {
        others.sort_by_cached_key(|(host, _)| {
            let mut hasher = DefaultHasher::new();
            host.hash(&mut hasher);
            hasher.finish()
        });
    }
    all
}

enum Closed {
    Unreachable(String),
    Locked(Holder),
    NotOurTurn,
}

async fn enter<K: Key>(
    ssh: &Ssh,
    opening: &Opening,
    script: &str,
    connected: impl AsyncFnOnce(f64) -> Turn,
) -> Result<(K, Entered), Closed> {
    let started = Instant::now();
    let unreachable = |why: super::sentence::Unreachable| Closed::Unreachable(why.sentence);
    let link = connect(ssh, &opening.options).await.map_err(unreachable)?;
    let password = opening.password.as_ref().map(|password| password.0.as_str());
    let shell = link.shell(password).await.map_err(unreachable)?;
    if connected(started.elapsed().as_secs_f64()).await == Turn::Theirs {
        return Err(Closed::NotOurTurn);
    }
    match K::take(shell, opening, script).await {
        // Most of what is asked only root can see, and "not seen" must never pass for "absent".
        Ok((_, facts)) if facts.uid != 0 => Err(Closed::Unreachable(
            "the login user is not root; set `ssh: { become: true }`, or log in as root".to_owned(),
        )),
        Ok(entered) => Ok(entered),
        Err(NotEntered::Locked(by)) => Err(Closed::Locked(Holder::parse(&by))),
        Err(NotEntered::Refused(why)) => Err(Closed::Unreachable(why)),
        Err(NotEntered::Lost(lost)) => Err(Closed::Unreachable(lost.to_string())),
    }
}

/// What a host is like after it was lost and found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    AsBefore,
    Rebooted,
}

impl<K: Key> Fleet<K> {
    /// Ends all shells, and with them the locks that they hold.
    pub async fn close(self) {
        let mut tasks = JoinSet::new();
        for key in self.hosts.into_values().filter_map(|seat| seat.into_inner().key) {
            tasks.spawn(key.close());
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Whether a host was reached.
    pub fn has(&self, host: &HostName) -> bool {
        self.hosts.contains_key(host)
    }

    fn sections(&self, stdout: &[u8]) -> Result<Sections, String> {
        Probe::sections(&self.nonce, &String::from_utf8_lossy(stdout))
            .ok_or_else(|| "its answer was cut short".to_owned())
    }

    async fn seat(&self, host: &HostName) -> Result<MutexGuard<'_, Seat<K>>, String> {
        let seat = self.hosts.get(host);
        Ok(seat.ok_or_else(|| format!("there is no connection to {host}"))?.lock().await)
    }

    /// Puts a new shell in the place of a lost one; an action of ours that runs on there is waited
    /// for, since it holds the lock.
    async fn reconnect(&self, host: &HostName, seat: &mut Seat<K>) -> Result<(), String> {
        let ssh = self.opening.hosts.get(host).ok_or("it is not in the inventory")?;
        // The lost shell sees the end of its input, and ends after what it runs.
        if let Some(lost) = seat.key.take() {
            seat.actions = lost.actions();
        }
        let began = Instant::now();
        loop {
            match enter::<K>(ssh, &self.opening, ":", async |_| Turn::Ours).await {
                Ok((mut key, entered)) => {
                    key.count_on(seat.actions);
                    seat.key = Some(key);
                    if seat.boot != (entered.boot_id, entered.init) {
                        seat.found = Found::Rebooted;
                    }
                    return Ok(());
                }
                Err(Closed::Locked(by)) if by.run == self.opening.run => {
                    if began.elapsed() > ACTION_LIMIT {
                        return Err(format!("its own action runs on: {by}"));
                    }
                }
                Err(Closed::Locked(by)) => return Err(format!("it was taken over by {by}")),
                Err(Closed::Unreachable(why)) if began.elapsed() > RECONNECT_LIMIT => {
                    return Err(why);
                }
                Err(Closed::Unreachable(_) | Closed::NotOurTurn) => {}
            }
            sleep(RECONNECT_PAUSE).await;
        }
    }

    /// The host's shell, a new one in place of one that was lost.
    async fn usable<'s>(
        &self,
        host: &HostName,
        seat: &'s mut Seat<K>,
    ) -> Result<&'s mut K, String> {
        if !seat.key.as_ref().is_some_and(Key::is_usable) {
            self.reconnect(host, seat).await?;
        }
        seat.key.as_mut().ok_or_else(|| format!("there is no connection to {host}"))
    }

    /// Asks; a connection lost on the way is opened once more, silently, for asking changes nothing.
    async fn answer(
        &self,
        host: &HostName,
        script: &str,
        limit: Duration,
    ) -> Result<Reply, String> {
        let mut seat = self.seat(host).await?;
        match self.usable(host, &mut seat).await?.ask(script, limit).await {
            Err(Lost::Gone { .. }) => {
                self.reconnect(host, &mut seat).await?;
                let key = self.usable(host, &mut seat).await?;
                key.ask(script, limit).await.map_err(|lost| lost.to_string())
            }
            other => other.map_err(|lost| lost.to_string()),
        }
    }
}

impl<K: Key> Ask for Fleet<K> {
    async fn ask(
        &self,
        host: &HostName,
        probe: &Probe,
        limit: Duration,
    ) -> Result<Sections, String> {
        let reply = self.answer(host, &probe.script(&self.nonce), limit).await?;
        self.sections(&reply.stdout)
    }
}

impl Change for Fleet<Changer> {
    async fn run(&self, host: &HostName, name: &str, fix: &Fix) -> Result<Ended, String> {
        let mut seat = self.seat(host).await?;
        let script = format!(
            "PROVISION_BACKUP={}/backup/{}\n{}",
            self.opening.places.state.display(),
            self.opening.run,
            fix.script(|secret| self.secrets.reveal(secret))
        );
        let before = |why: String| format!("connection lost before {name}; {why}");
        let key = self.usable(host, &mut seat).await.map_err(before)?;
        let number = key.actions() + 1;
        if seat.found == Found::Rebooted {
            return Err(rebooted("before", name));
        }
        let Some(key) = seat.key.as_mut() else { return Err("it was lost".to_owned()) };
        match key.run(name, &script, ACTION_LIMIT).await {
            Ok(ended) => return Ok(ended),
            Err(Lost::Gone { .. }) => {}
            Err(lost) => return Err(lost.to_string()),
        }
        self.reconnect(host, &mut seat)
            .await
            .map_err(|why| format!("connection lost during {name}, which may still run; {why}"))?;
        let found = seat.found;
        let Some(key) = seat.key.as_mut() else { return Err("it was lost".to_owned()) };
        let lost = |lost: Lost| format!("connection lost twice during {name}; {lost}");
        match (key.past(number, PROBE_LIMIT).await.map_err(lost)?, found) {
            // Its status was written on the host, whoever listened.
            (Past::Ended(ended), Found::AsBefore) => Ok(ended),
            // A cut between two actions, it turns out.
            (Past::NotBegun, Found::AsBefore) => {
                key.count_on(number - 1);
                key.run(name, &script, ACTION_LIMIT).await.map_err(lost)
            }
            (Past::CutShort { log }, Found::AsBefore) => Err(format!(
                "{name} was cut short by something on the host (log there: {})",
                log.display()
            )),
            (Past::NotBegun, Found::Rebooted) => Err(rebooted("before", name)),
            (Past::Ended(_) | Past::CutShort { .. }, Found::Rebooted) => {
                Err(rebooted("during", name))
            }
        }
    }

    async fn push(&self, host: &HostName, push: &Push) -> Result<Ended, String> {
        let mut seat = self.seat(host).await?;
        let name = format!("sending {}", push.name);
        let sent = match self.send(&mut seat, host, push).await {
            // A file arrives whole or not at all.
            Err(Lost::Gone { .. }) => self.send(&mut seat, host, push).await,
            other => other,
        };
        if seat.found == Found::Rebooted {
            return Err(rebooted("before", &name));
        }
        sent.map_err(|lost| lost.to_string())
    }
}

/// After a reboot nothing is as the plan saw it.
fn rebooted(when: &str, name: &str) -> String {
    format!("it rebooted (its boot id changed) {when} {name}")
}

impl Fleet<Changer> {
    /// What a script prints that only looks, and needs secrets to compare.
    ///
    /// # Errors
    /// One sentence when the host gave no answer.
    pub async fn compare(&self, host: &HostName, fix: &Fix) -> Result<String, String> {
        let script = format!("( {}\n)", fix.script(|secret| self.secrets.reveal(secret)));
        let reply = self.answer(host, &script, PROBE_LIMIT).await?;
        Ok(String::from_utf8_lossy(&reply.stdout).into_owned())
    }

    async fn send(
        &self,
        seat: &mut Seat<Changer>,
        host: &HostName,
        push: &Push,
    ) -> Result<Ended, Lost> {
        let unusable = |why: String| Lost::Unusable { why };
        let key = self.usable(host, seat).await.map_err(unusable)?;
        let log = PathBuf::new();
        // Its name holds its digest, and it is only ever renamed into place whole.
        let there = Probe::new(
            "there",
            format!(
                "[ ! -f {} ] || echo yes",
                crate::script::quote(&format!("{}/{}", push.directory, push.name))
            ),
        );
        let reply = key.ask(&there.script(&self.nonce), PROBE_LIMIT).await?;
        let sections = self.sections(&reply.stdout).map_err(unusable)?;
        if sections.get("there").is_some_and(|text| text.contains("yes")) {
            return Ok(Ended { status: 0, output_tail: String::new(), log });
        }
        let permit = self.pushes.acquire().await;
        let _permit = permit.map_err(|error| unusable(error.to_string()))?;
        let local = |error: std::io::Error| Lost::Unusable {
            why: format!("{} cannot be read: {error}", push.from.display()),
        };
        let file = tokio::fs::File::open(&push.from).await.map_err(local)?;
        let bytes = file.metadata().await.map_err(local)?.len();
        let upload = Upload {
            directory: Path::new(&push.directory),
            name: &push.name,
            bytes,
            digest: &push.digest,
            mode: 0o644,
        };
        let reply = key.push(file, &upload, ACTION_LIMIT).await?;
        Ok(Ended {
            status: reply.status,
            output_tail: super::sentence::printable(&reply.stdout),
            log,
        })
    }
}

impl Key for Looker {
    const SHARES: Shares = Shares::Yes;

    async fn take(
        shell: shell::Opened,
        opening: &Opening,
        script: &str,
    ) -> Result<(Looker, Entered), NotEntered> {
        shell.look(&opening.places, script, PROBE_LIMIT).await
    }

    async fn ask(&mut self, script: &str, limit: Duration) -> Result<Reply, Lost> {
        Looker::ask(self, script, limit).await
    }

    fn is_usable(&self) -> bool {
        Looker::is_usable(self)
    }

    async fn close(self) {
        Looker::close(self).await;
    }
}

impl Key for Changer {
    const SHARES: Shares = Shares::No;

    async fn take(
        shell: shell::Opened,
        opening: &Opening,
        script: &str,
    ) -> Result<(Changer, Entered), NotEntered> {
        let claim = Claim { run: &opening.run, by: &opening.by, from: &opening.from };
        shell.change(&opening.places, claim, script, PROBE_LIMIT).await
    }

    async fn ask(&mut self, script: &str, limit: Duration) -> Result<Reply, Lost> {
        Changer::ask(self, script, limit).await
    }

    fn is_usable(&self) -> bool {
        Changer::is_usable(self)
    }

    fn actions(&self) -> u32 {
        Changer::actions(self)
    }

    fn count_on(&mut self, actions: u32) {
        Changer::count_on(self, actions);
    }

    async fn close(self) {
        Changer::close(self).await;
    }
}

impl Secrets {
    /// Values that were looked up.
    pub fn new(values: BTreeMap<SecretRef, String>) -> Secrets {
        Secrets(values)
    }

    /// A secret's value; empty when it was not looked up, which the engine prevents.
    fn reveal(&self, secret: &SecretRef) -> String {
        self.0.get(secret).cloned().unwrap_or_default()
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({} hidden)", self.0.len())
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_do_not_come_all_at_once() {
        let names: Vec<String> = (0..100).map(|n| format!("a{n:03}")).collect();
        let hosts: BTreeMap<HostName, ()> =
            names.iter().map(|name| (HostName::new(name), ())).collect();
        let order: Vec<String> =
            spread(&hosts).into_iter().map(|(host, _)| host.to_string()).collect();
        // The first host decides whose turn it is.
        assert_eq!(order[0], "a000");
        let rack = order[..16].iter().filter(|name| name.as_str() < "a020").count();
        assert!(rack < 8, "{order:?}");
        let mut sorted = order.clone();
        sorted.sort();
        assert_eq!(sorted, names);
    }
}

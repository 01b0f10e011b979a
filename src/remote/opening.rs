//! Opening all hosts of a run at once, with one of the two keys.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answer::{Entered, NotEntered};
use super::fleet::Fleet;
use super::holder::Holder;
use super::host_shell::HostShell;
use super::login::{Claim, LoginShell, Places};
use super::secrets::{Password, Secrets};
use super::sentence::Unreachable;
use super::shell::{Changer, Looker, PROBE_LIMIT, Shell};
use super::ssh::{Options, connect};
use crate::event::{Event, Sink};
use crate::ground::HostName;
use crate::inventory::Ssh;
use crate::script::{Probe, Sections};

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

/// What became of opening all hosts with one key.
#[derive(Debug)]
pub struct OpenedFleet<K> {
    /// The shells.
    pub fleet: Fleet<K>,
    /// The first answer of each host, or why there is none.
    pub answers: BTreeMap<HostName, Result<Sections, String>>,
    /// Actions of earlier runs that never ended: host → what it was.
    pub interrupted: BTreeMap<HostName, String>,
    /// Hosts whose lock another run holds: host → who.
    pub locked: BTreeMap<HostName, Holder>,
}

/// One of the two keys, and how it is taken.
pub trait Key: Sized + Send + 'static {
    /// Whether others may hold it too.
    const SHARES: Shares;

    /// Takes it, with a first question, after so many actions of this run; `taken` is called before that is answered.
    fn take(
        shell: LoginShell,
        opening: &Opening,
        script: &str,
        actions: u32,
        taken: impl FnOnce() + Send,
    ) -> impl Future<Output = Result<(Shell<Self>, Entered), NotEntered>> + Send;
}

/// Whether a key keeps others out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shares {
    /// Any number may hold it.
    Yes,
    /// Only one may.
    No,
}

impl Key for Looker {
    const SHARES: Shares = Shares::Yes;

    async fn take(
        shell: LoginShell,
        opening: &Opening,
        script: &str,
        _: u32,
        _: impl FnOnce() + Send,
    ) -> Result<(Shell<Looker>, Entered), NotEntered> {
        shell.look(&opening.places, script, PROBE_LIMIT).await
    }
}

impl Key for Changer {
    const SHARES: Shares = Shares::No;

    async fn take(
        shell: LoginShell,
        opening: &Opening,
        script: &str,
        actions: u32,
        taken: impl FnOnce() + Send,
    ) -> Result<(Shell<Changer>, Entered), NotEntered> {
        let claim = Claim { run: &opening.run, by: &opening.by, from: &opening.from };
        let (mut shell, entered) =
            shell.change(&opening.places, claim, script, PROBE_LIMIT, taken).await?;
        shell.count_on(actions);
        Ok((shell, entered))
    }
}

/// Whether the first host's lock is taken. Of two runs that begin together one loses there, before it
/// holds any other: taking all at once, each would keep the other from the rest, again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstLock {
    Unknown,
    Ours,
    Theirs,
}

/// So long the other hosts wait for the first: one that is slow or dead must not delay them.
const FIRST_LOCK_LIMIT: Duration = Duration::from_secs(1);

/// Opens all hosts with the key that looks.
pub async fn look(
    opening: &Opening,
    probes: &BTreeMap<HostName, Probe>,
    sink: &Arc<dyn Sink>,
) -> OpenedFleet<Looker> {
    open(opening, probes, sink, Secrets::default()).await
}

/// Opens all hosts with the key that changes: takes every host's lock.
pub async fn change(
    opening: &Opening,
    probes: &BTreeMap<HostName, Probe>,
    sink: &Arc<dyn Sink>,
    secrets: Secrets,
) -> OpenedFleet<Changer> {
    open(opening, probes, sink, secrets).await
}

async fn open<K: Key>(
    opening: &Opening,
    probes: &BTreeMap<HostName, Probe>,
    sink: &Arc<dyn Sink>,
    secrets: Secrets,
) -> OpenedFleet<K> {
    let shared = Arc::new(opening.clone());
    let (began, mut tasks) = (Instant::now(), JoinSet::new());
    let (first_lock, _) = watch::channel(FirstLock::Unknown);
    let first_lock = Arc::new(first_lock);
    let asked = |host: &HostName| probes.get(host).map_or(0, Probe::sections);
    for (number, (host, ssh)) in spread(&opening.hosts, asked).into_iter().enumerate() {
        let first_lock = Arc::clone(&first_lock);
        let waits = number > 0 && K::SHARES == Shares::No;
        let probe = probes.get(host).cloned().unwrap_or_default();
        let nonce = opening.options.nonces.fresh();
        let (host, ssh, opening) = (host.clone(), ssh.clone(), Arc::clone(&shared));
        let sink = Arc::clone(sink);
        tasks.spawn(async move {
            let mut decided = first_lock.subscribe();
            let connected = async |seconds| {
                sink.emit(Event::HostConnected { host: host.clone(), seconds });
                let decided = decided.wait_for(|lock| *lock != FirstLock::Unknown);
                match waits.then_some(decided) {
                    None => FirstLock::Ours,
                    Some(decided) => match timeout(FIRST_LOCK_LIMIT, decided).await {
                        Ok(Ok(lock)) => *lock,
                        _ => FirstLock::Ours,
                    },
                }
            };
            // The others need not wait until the first has looked for its answer too.
            let taken = || {
                if number == 0 {
                    first_lock.send_replace(FirstLock::Ours);
                }
            };
            let script = probe.script(&nonce);
            let entered = enter::<K>(&ssh, &opening, &script, 0, connected, taken).await;
            if number == 0 {
                let locked = matches!(entered, Err(Closed::Locked(_)));
                first_lock.send_replace(if locked { FirstLock::Theirs } else { FirstLock::Ours });
            }
            let answered = entered.map(|(shell, entered)| {
                let text = String::from_utf8_lossy(&entered.reply.stdout);
                let sections = probe.read(&nonce, &text).map_err(str::to_owned);
                (shell, entered, sections, began.elapsed().as_secs_f64())
            });
            (host, ssh, answered)
        });
    }
    let mut opened = OpenedFleet {
        fleet: Fleet::new(opening.clone(), secrets),
        answers: BTreeMap::new(),
        interrupted: BTreeMap::new(),
        locked: BTreeMap::new(),
    };
    while let Some(joined) = tasks.join_next().await {
        let Ok((host, ssh, entered)) = joined else { continue };
        match entered {
            Ok((shell, entered, sections, seconds)) => {
                if let Some(last) = entered.last.filter(|last| last.status.is_none()) {
                    let log = last.log.display();
                    let what = format!("{} of run {} (log there: {log})", last.name, last.run);
                    opened.interrupted.insert(host.clone(), what);
                }
                opened.answers.insert(host.clone(), sections);
                let boot = (entered.boot_id, entered.init);
                opened.fleet.add(host, HostShell::new(ssh, shell, boot), seconds);
            }
            Err(Closed::Locked(by)) => {
                opened.locked.insert(host, by);
            }
            Err(Closed::FirstLockTaken) => {}
            Err(Closed::Unreachable(why)) => {
                sink.emit(Event::HostUnreachable { host: host.clone(), reason: why.clone() });
                opened.answers.insert(host, Err(why));
            }
        }
    }
    opened
}

/// The first host, whose lock decides for all, then those that are `asked` most, for they answer last, and the others
/// as chance would have it, but each time the same: a rack without power is a row of neighbours, and is not to come all
/// at once.
fn spread<T>(
    hosts: &BTreeMap<HostName, T>,
    asked: impl Fn(&HostName) -> usize,
) -> Vec<(&HostName, &T)> {
    let mut all: Vec<_> = hosts.iter().collect();
    if let Some((_, others)) = all.split_first_mut() {
        others.sort_by_cached_key(|(host, _)| {
            let mut hasher = DefaultHasher::new();
            host.hash(&mut hasher);
            (Reverse(asked(host)), hasher.finish())
        });
    }
    all
}

/// Why a host was not opened.
pub(super) enum Closed {
    /// One sentence.
    Unreachable(String),
    /// Another run holds its lock.
    Locked(Holder),
    /// Another run holds the first host's lock, so this one's was not tried.
    FirstLockTaken,
}

/// Opens one host: connects, comes to a shell, says so, and takes the key unless another run is first; says so of the
/// key too, before the script has answered.
pub(super) async fn enter<K: Key>(
    ssh: &Ssh,
    opening: &Opening,
    script: &str,
    actions: u32,
    connected: impl AsyncFnOnce(f64) -> FirstLock,
    taken: impl FnOnce() + Send,
) -> Result<(Shell<K>, Entered), Closed> {
    let started = Instant::now();
    let unreachable = |why: Unreachable| Closed::Unreachable(why.sentence);
    let link = connect(ssh, &opening.options).await.map_err(unreachable)?;
    let password = opening.password.as_ref().map(|password| password.0.as_str());
    let shell = link.shell(password).await.map_err(unreachable)?;
    if connected(started.elapsed().as_secs_f64()).await == FirstLock::Theirs {
        return Err(Closed::FirstLockTaken);
    }
    match K::take(shell, opening, script, actions, taken).await {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_do_not_come_all_at_once() {
        let names: Vec<String> = (0..100).map(|n| format!("a{n:03}")).collect();
        let hosts: BTreeMap<HostName, ()> =
            names.iter().map(|name| (HostName::new(name), ())).collect();
        let order: Vec<String> =
            spread(&hosts, |_| 3).into_iter().map(|(host, _)| host.to_string()).collect();
        // The first host decides for all.
        assert_eq!(order[0], "a000");
        let rack = order[..16].iter().filter(|name| name.as_str() < "a020").count();
        assert!(rack < 8, "{order:?}");
        let most = |host: &HostName| if host.as_str() == "a077" { 5 } else { 3 };
        assert_eq!(spread(&hosts, most)[1].0.as_str(), "a077", "it is asked most");
        let mut sorted = order.clone();
        sorted.sort();
        assert_eq!(sorted, names);
    }
}

//! All hosts of a run at once: connecting, taking keys, and the two keys themselves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;

use super::shell::{Changer, Claim, Ended, Looker, NotEntered, Places, Upload};
use super::ssh::{Options, connect};
use super::{Ask, Change};
use crate::event::{Event, Sink};
use crate::inventory::{HostName, SecretRef, Ssh};
use crate::script::{Fix, Probe, Push, Sections};

/// Shells on hosts, each used by one request at a time.
#[derive(Debug)]
pub struct Fleet<Key> {
    hosts: BTreeMap<HostName, Mutex<Key>>,
    nonce: String,
    run: String,
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
    pub password: Option<String>,
    /// Id of the run.
    pub run: String,
    /// Who runs us, for the lock.
    pub by: String,
    /// From where, for the lock.
    pub from: String,
}

/// What became of opening all hosts with one key.
#[derive(Debug)]
pub struct Opened<Key> {
    /// The shells.
    pub fleet: Fleet<Key>,
    /// The first answer of each host, or why there is none.
    pub answers: BTreeMap<HostName, Result<Sections, String>>,
    /// Actions of earlier runs that never ended: host → what it was.
    pub interrupted: BTreeMap<HostName, String>,
    /// Hosts whose lock another run holds: host → who.
    pub locked: BTreeMap<HostName, String>,
}

/// Local files are sent to so many hosts at once.
const PUSHES: usize = 4;
/// A probe that takes longer has hung.
const PROBE_LIMIT: Duration = Duration::from_secs(60);
/// An action may download and build.
const ACTION_LIMIT: Duration = Duration::from_secs(3600);

/// Opens all hosts with the key that looks.
pub async fn look(
    opening: &Opening,
    probes: &BTreeMap<HostName, Probe>,
    sink: &Arc<dyn Sink>,
) -> Opened<Looker> {
    let places = Places::default();
    open(opening, probes, sink, Secrets::default(), move |shell, _claim, script| {
        let places = places.clone();
        Box::pin(async move {
            shell.look(&places, &script, PROBE_LIMIT).await.map(|(key, entered)| (key, entered))
        })
    })
    .await
}

/// Opens all hosts with the key that changes: takes every host's lock.
pub async fn change(
    opening: &Opening,
    probes: &BTreeMap<HostName, Probe>,
    sink: &Arc<dyn Sink>,
    secrets: Secrets,
) -> Opened<Changer> {
    let places = Places::default();
    open(opening, probes, sink, secrets, move |shell, claim, script| {
        let places = places.clone();
        Box::pin(async move {
            let claim = Claim { run: &claim.run, by: &claim.by, from: &claim.from };
            shell.change(&places, claim, &script, PROBE_LIMIT).await
        })
    })
    .await
}

type Entering<Key> = std::pin::Pin<
    Box<
        dyn std::future::Future<Output = Result<(Key, super::shell::Entered), NotEntered>> + Send,
    >,
>;

async fn open<Key: Send + 'static>(
    opening: &Opening,
    probes: &BTreeMap<HostName, Probe>,
    sink: &Arc<dyn Sink>,
    secrets: Secrets,
    enter: impl Fn(super::shell::Opened, Opening, String) -> Entering<Key> + Clone + Send + 'static,
) -> Opened<Key> {
    let nonce = super::wire::nonce().unwrap_or_else(|_| opening.run.clone());
    let mut tasks = JoinSet::new();
    for (host, ssh) in &opening.hosts {
        let probe = probes.get(host).cloned().unwrap_or_default();
        let script = probe.script(&nonce);
        let (host, ssh, opening) = (host.clone(), ssh.clone(), opening.clone());
        let (sink, enter) = (Arc::clone(sink), enter.clone());
        tasks.spawn(async move {
            let started = Instant::now();
            let link = match connect(&ssh, &opening.options).await {
                Ok(link) => link,
                Err(unreachable) => return (host, Err(Closed::Unreachable(unreachable.sentence))),
            };
            let shell = match link.shell(opening.password.as_deref()).await {
                Ok(shell) => shell,
                Err(unreachable) => return (host, Err(Closed::Unreachable(unreachable.sentence))),
            };
            let seconds = started.elapsed().as_secs_f64();
            sink.emit(Event::HostConnected { host: host.clone(), seconds });
            let entered = enter(shell, opening, script).await;
            let entered = match entered {
                // Most of what is asked only root can see, and "not seen" must never pass for "absent".
                Ok((_, facts)) if facts.uid != 0 => Err(Closed::Unreachable(
                    "the login user is not root; set `ssh: { become: true }`, or log in as root"
                        .to_owned(),
                )),
                Ok(entered) => Ok(entered),
                Err(NotEntered::Locked(by)) => Err(Closed::Locked(by)),
                Err(NotEntered::Refused(why)) => Err(Closed::Unreachable(why)),
                Err(NotEntered::Lost(lost)) => Err(Closed::Unreachable(lost.to_string())),
            };
            (host, entered)
        });
    }
    let mut opened = Opened {
        fleet: Fleet {
            hosts: BTreeMap::new(),
            nonce: nonce.clone(),
            run: opening.run.clone(),
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
                    let what = format!("{} of run {}", last.name, last.run);
                    opened.interrupted.insert(host.clone(), what);
                }
                opened.answers.insert(host.clone(), sections);
                opened.fleet.hosts.insert(host, Mutex::new(key));
            }
            Err(Closed::Locked(by)) => {
                opened.locked.insert(host, by);
            }
            Err(Closed::Unreachable(why)) => {
                sink.emit(Event::HostUnreachable { host: host.clone(), reason: why.clone() });
                opened.answers.insert(host, Err(why));
            }
        }
    }
    opened
}

enum Closed {
    Unreachable(String),
    Locked(String),
}

impl Fleet<Looker> {
    /// Ends all shells.
    pub async fn close(self) {
        let mut tasks = JoinSet::new();
        for (_, key) in self.hosts {
            tasks.spawn(key.into_inner().close());
        }
        while tasks.join_next().await.is_some() {}
    }
}

impl Fleet<Changer> {
    /// Ends all shells, and with them the locks.
    pub async fn close(self) {
        let mut tasks = JoinSet::new();
        for (_, key) in self.hosts {
            tasks.spawn(key.into_inner().close());
        }
        while tasks.join_next().await.is_some() {}
    }
}

impl<Key> Fleet<Key> {
    fn sections(&self, stdout: &[u8]) -> Result<Sections, String> {
        Probe::sections(&self.nonce, &String::from_utf8_lossy(stdout))
            .ok_or_else(|| "its answer was cut short".to_owned())
    }

    fn shell(&self, host: &HostName) -> Result<&Mutex<Key>, String> {
        self.hosts.get(host).ok_or_else(|| format!("there is no connection to {host}"))
    }
}

impl Ask for Fleet<Looker> {
    async fn ask(
        &self,
        host: &HostName,
        probe: &Probe,
        limit: Duration,
    ) -> Result<Sections, String> {
        let mut shell = self.shell(host)?.lock().await;
        let reply = shell.ask(&probe.script(&self.nonce), limit).await.map_err(|l| l.to_string())?;
        self.sections(&reply.stdout)
    }
}

impl Ask for Fleet<Changer> {
    async fn ask(
        &self,
        host: &HostName,
        probe: &Probe,
        limit: Duration,
    ) -> Result<Sections, String> {
        let mut shell = self.shell(host)?.lock().await;
        let reply = shell.ask(&probe.script(&self.nonce), limit).await.map_err(|l| l.to_string())?;
        self.sections(&reply.stdout)
    }
}

impl Change for Fleet<Changer> {
    async fn run(&self, host: &HostName, name: &str, fix: &Fix) -> Result<Ended, String> {
        let mut shell = self.shell(host)?.lock().await;
        let script = format!(
            "PROVISION_BACKUP=/var/lib/provision/backup/{}\n{}",
            self.run,
            fix.script(|secret| self.secrets.reveal(secret))
        );
        shell.run(name, &script, ACTION_LIMIT).await.map_err(|lost| lost.to_string())
    }

    async fn push(&self, host: &HostName, push: &Push) -> Result<Ended, String> {
        let mut shell = self.shell(host)?.lock().await;
        let log = PathBuf::new();
        // Its name holds its digest, and it is only ever renamed into place whole.
        let there = Probe::new(
            "there",
            format!(
                "[ ! -f {} ] || echo yes",
                crate::script::quote(&format!("{}/{}", push.directory, push.name))
            ),
        );
        let reply = shell
            .ask(&there.script(&self.nonce), PROBE_LIMIT)
            .await
            .map_err(|lost| lost.to_string())?;
        if self.sections(&reply.stdout)?.get("there").is_some_and(|text| text.contains("yes")) {
            return Ok(Ended { status: 0, output_tail: String::new(), log });
        }
        let _permit = self.pushes.acquire().await.map_err(|error| error.to_string())?;
        let local = |error: std::io::Error| format!("{} cannot be read: {error}", push.from.display());
        let file = tokio::fs::File::open(&push.from).await.map_err(local)?;
        let bytes = file.metadata().await.map_err(local)?.len();
        let upload = Upload {
            directory: Path::new(&push.directory),
            name: &push.name,
            bytes,
            digest: &push.digest,
            mode: 0o644,
        };
        let reply =
            shell.push(file, &upload, ACTION_LIMIT).await.map_err(|lost| lost.to_string())?;
        Ok(Ended {
            status: reply.status,
            output_tail: super::sentence::printable(&reply.stdout),
            log,
        })
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

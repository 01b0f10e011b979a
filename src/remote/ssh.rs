//! Reaching a host with the system's `ssh`: the user's ssh_config, jump hosts, agents and hardware
//! keys all work, because it is their ssh that reads them.
//!
//! We start the master connection ourselves rather than through the crate's builder, which takes no
//! option of its own, learns unknown host keys silently and leaves masters that live for ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openssh::Session;
use tokio::time::{sleep, timeout};

use super::handshakes::Handshakes;
use super::identity::check;
use super::login::{Become, LoginShell, login};
use super::master::{Master, control_directory};
use super::nonces::Nonces;
use super::sentence::{Cause, Unreachable, printable};
use super::wire::Streams;
use crate::inventory::Ssh;

/// A host that we can open shells on.
#[derive(Debug, Clone)]
pub struct Link {
    ssh: Ssh,
    options: Options,
    master: Master,
}

/// What holds for all hosts of a run. Clones share the limit on handshakes.
#[derive(Debug, Clone)]
pub struct Options {
    /// What to do about a host key that nobody knows.
    pub unknown_keys: UnknownKeys,
    /// Where control sockets live: ours alone, and short.
    pub directory: PathBuf,
    /// How many handshakes may run at once.
    pub handshakes: Arc<Handshakes>,
    /// Marks for the answers of hosts.
    pub nonces: Arc<Nonces>,
}

/// What to do about a host key that nobody knows. A changed one is always refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownKeys {
    /// Refuse, and show it.
    Refuse,
    /// Take it and remember it.
    Accept,
}

/// How often a session is asked for of a host that has no more of them, and what lies between.
const SESSION_TRIES: u32 = 10;
const SESSION_PAUSE: Duration = Duration::from_millis(300);
/// How often a shell is asked for over a connection that breaks before it answers.
const DROPPED_TRIES: u32 = 4;
/// What a request to a master on this machine may take.
const LOCAL_LIMIT: Duration = Duration::from_secs(15);

/// Connects, or finds the connection that an earlier run left.
pub async fn connect(ssh: &Ssh, options: &Options) -> Result<Link, Unreachable> {
    check(ssh)?;
    let master = Master::new(ssh, options)?;
    master.ensure(ssh, options).await?;
    Ok(Link { ssh: ssh.clone(), options: options.clone(), master })
}

impl Link {
    /// Opens a shell, as root when the inventory says so. The password is sudo's, and is written
    /// only when sudo asks for it.
    pub async fn shell(&self, password: Option<&str>) -> Result<LoginShell, Unreachable> {
        let (mut tries, mut dropped) = (0, 0);
        loop {
            tries += 1;
            match self.open(password).await {
                // The master may have died since: nothing has begun, so to connect again is safe. One that is
                // about to find its connection broken still says that it lives: it gets time to.
                Err(Unreachable { cause: Cause::Dropped, .. }) if dropped + 1 < DROPPED_TRIES => {
                    if dropped > 0 {
                        sleep(SESSION_PAUSE * dropped).await;
                    }
                    dropped += 1;
                    self.master.ensure(&self.ssh, &self.options).await?;
                }
                // The shell of a run that has just ended may still hold the only session.
                Err(Unreachable { cause: Cause::Sessions, .. }) if tries < SESSION_TRIES => {
                    sleep(SESSION_PAUSE).await;
                }
                result => return result,
            }
        }
    }

    /// The control socket, for commands that hand the user to `ssh`.
    pub fn control_socket(&self) -> &Path {
        self.master.socket()
    }

    async fn open(&self, password: Option<&str>) -> Result<LoginShell, Unreachable> {
        let become_root = if self.ssh.become_root { Become::Root } else { Become::Nobody };
        let login = login(become_root)?;
        let session = Arc::new(self.master.session());
        let mut command = Session::to_raw_command(session, login.command());
        command.stdin(openssh::Stdio::piped());
        command.stdout(openssh::Stdio::piped());
        command.stderr(openssh::Stdio::piped());
        let spawned = timeout(LOCAL_LIMIT + self.ssh.connect_timeout, command.spawn()).await;
        let mut child = match spawned {
            Ok(Ok(child)) => child,
            Ok(Err(error)) => return Err(self.master.refused(&error)),
            Err(_) => return Err(Unreachable::of(Cause::Dropped)),
        };
        let ends = (child.stdin().take(), child.stdout().take(), child.stderr().take());
        let (Some(stdin), Some(stdout), Some(stderr)) = ends else {
            return Err(Unreachable::new(Cause::Local, "ssh gave no streams".to_owned()));
        };
        let streams = Streams {
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            keep: Box::new(child),
        };
        LoginShell::wait(streams, &login, password).await
    }
}

impl Options {
    /// The defaults, with the directory made if need be.
    pub fn new(unknown_keys: UnknownKeys) -> Result<Options, Unreachable> {
        let handshakes = Arc::new(Handshakes::default());
        let nonces = Arc::new(Nonces::draw()?);
        Ok(Options { unknown_keys, directory: control_directory()?, handshakes, nonces })
    }
}

/// What is asked of a master through its socket.
impl Master {
    pub(super) async fn lives(&self) -> bool {
        let check = async { self.session().check().await.is_ok() };
        self.socket().exists() && timeout(LOCAL_LIMIT, check).await.unwrap_or(false)
    }

    fn session(&self) -> Session {
        let boxed = |path: &Path| path.to_path_buf().into_boxed_path();
        Session::resume_mux(boxed(self.socket()), Some(boxed(self.log_file())))
    }

    fn refused(&self, error: &openssh::Error) -> Unreachable {
        let text = chain(error);
        if text.contains("Session open refused by peer") {
            return Unreachable::new(
                Cause::Sessions,
                "the host opens no further session on this connection (MaxSessions); end other uses of it and run again".to_owned(),
            );
        }
        match error {
            openssh::Error::Disconnected | openssh::Error::RemoteProcessTerminated => {
                Unreachable::of(Cause::Dropped)
            }
            // The master was there a moment ago: whatever it says now, it is going.
            openssh::Error::SshMux(_) | openssh::Error::Master(_) | openssh::Error::Connect(_) => {
                Unreachable::new(Cause::Dropped, format!("the connection broke: {text}"))
            }
            _ => Unreachable::new(Cause::Other, format!("no session on the host: {text}")),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    printable(text.as_bytes())
}

//! Master connections: an `ssh` of ours for each host, which shakes hands once and lends its connection to
//! all that comes after.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::arguments::{arguments, hop_log, hops};
use super::handshakes::Sshd;
use super::host_keys::{known_key, offered_key};
use super::nonces::nonce;
use super::sentence::{Cause, Context, Unreachable, printable, ssh as classify};
use super::ssh::Options;
use crate::ground::digest::sha256;
use crate::inventory::Ssh;
use crate::local::{directories, files};

/// Longest path of a control socket: `sun_path` holds 108 bytes, ssh appends 17 while it binds.
const SOCKET_BYTES: usize = 90;
/// How often a handshake is tried at least that sshd sheds; it is tried for as long as ConnectTimeout lasts.
const TRIES: u32 = 3;
/// What a handshake may take after ConnectTimeout has done its part (it does not bound a jump).
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(20);
/// How often a handshake is looked after.
const LOOK: Duration = Duration::from_millis(25);

/// One master connection, living or not.
#[derive(Debug, Clone)]
pub(super) struct Master {
    program: PathBuf,
    socket: PathBuf,
    log: PathBuf,
}

impl Master {
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(super) fn log_file(&self) -> &Path {
        &self.log
    }

    pub(super) fn new(ssh: &Ssh, options: &Options) -> Result<Master, Unreachable> {
        let program = which::which("ssh").map_err(|_| Unreachable::of(Cause::NoSsh))?;
        // A master speaks for the settings it was made with and for no others.
        let mut settings = Vec::new();
        for argument in arguments(ssh, options, Path::new("-"), Path::new("-")) {
            settings.extend(argument.as_bytes());
            settings.push(0);
        }
        settings.extend(program.as_os_str().as_bytes());
        let socket = options.directory.join(&sha256(settings)[..16]);
        if socket.as_os_str().len() > SOCKET_BYTES {
            return Err(Unreachable::new(
                Cause::Local,
                format!("the control socket `{}` has too long a path", socket.display()),
            ));
        }
        Ok(Master { program, log: socket.with_extension("log"), socket })
    }

    /// Leaves a living master behind.
    pub(super) async fn ensure(&self, ssh: &Ssh, options: &Options) -> Result<(), Unreachable> {
        if self.lives().await {
            return Ok(());
        }
        let begun = Instant::now();
        let mut tries = 0;
        loop {
            tries += 1;
            match self.start(ssh, options).await {
                // As patient as with a host that says nothing: others take its places for a while.
                Err(Unreachable { cause: Cause::Startups, .. })
                    if tries < TRIES || begun.elapsed() < ssh.connect_timeout =>
                {
                    options.handshakes.was_shed();
                    sleep(jitter(tries)?).await;
                }
                Err(Unreachable { cause: Cause::Dropped, .. }) if tries < TRIES => {}
                result => return result,
            }
        }
    }

    async fn start(&self, ssh: &Ssh, options: &Options) -> Result<(), Unreachable> {
        let slots = &options.handshakes;
        let hops = hops(ssh);
        let sshd = hops.first().map_or(Sshd::Unknown, |hop| Sshd::Hop(hop.host.clone()));
        let mut slot = Some(slots.slot(sshd).await);
        // Two starts at once would leave one of them running without a socket, unseen.
        let _lock = self.lock().await?;
        if self.lives().await {
            return Ok(());
        }
        // Nobody listens on it: ssh would refuse to replace it.
        let hop_logs: Vec<PathBuf> = (0..hops.len()).map(|at| hop_log(&self.log, at)).collect();
        let _ = files::remove(&self.socket);
        for log in hop_logs.iter().chain([&self.log, &self.stderr()]) {
            let _ = files::remove(log);
        }
        let arguments = arguments(ssh, options, &self.socket, &self.log);
        let limit = ssh.connect_timeout + HANDSHAKE_LIMIT;
        let started = Instant::now();
        let mut run = std::pin::pin!(self.run(&arguments, limit));
        let mut known = !hops.is_empty();
        let mut room = None;
        let mut banner = Banner::Awaited;
        let ended = loop {
            let ended = timeout(LOOK, &mut run).await;
            let log = read(&self.log);
            if banner == Banner::Awaited && shows_banner(&log) {
                banner = Banner::Shown;
                slots.answered(started.elapsed());
            }
            if let Some(place) = connects_to(&log).filter(|_| !known) {
                known = true;
                slot = slots.direct(place).or(slot);
            }
            if let Ok(ended) = ended {
                break ended;
            }
            if banner == Banner::Awaited && slot.is_some() && slots.is_silent(started.elapsed()) {
                room = slots.waiting.try_acquire().ok();
                slot = slot.filter(|_| room.is_none());
            }
        };
        drop((slot, room));
        let seconds = ssh.connect_timeout.as_secs();
        match ended? {
            Some(status) if status.success() && self.lives().await => return Ok(()),
            // The one before takes the socket's name away as it ends, which may be ours by then.
            Some(status) if status.success() => return Err(Unreachable::of(Cause::Dropped)),
            Some(_) => {}
            None => {
                let said = "Connection timed out";
                return Err(classify(said, &context(ssh, None, None, limit.as_secs())));
            }
        }
        // A key is told of by the ssh that was offered it, in a log of its own: never by what a jump says.
        for (hop, log) in
            hops.iter().map(|hop| Some(hop.host.as_str())).zip(&hop_logs).chain([(None, &self.log)])
        {
            let log = read(log);
            let said = quiet(&log);
            let mut about = context(ssh, None, None, seconds);
            about.at = hop;
            if let Cause::UnknownKey | Cause::ChangedKey = classify(&said, &about).cause {
                let (offered, known) = (offered_key(&log), known_key(&said).await);
                about.offered_key = offered.as_deref();
                about.known_key = known.as_deref();
                return Err(classify(&said, &about));
            }
        }
        let stderr = self.stderr();
        let logs = hop_logs.iter().chain([&stderr, &self.log]);
        let said: String = logs.map(|log| quiet(&read(log)) + "\n").collect();
        Err(classify(&said, &context(ssh, None, None, seconds)))
    }

    /// Runs ssh until it ends or goes to the background. `None`: not within the limit.
    async fn run(
        &self,
        arguments: &[OsString],
        limit: Duration,
    ) -> Result<Option<std::process::ExitStatus>, Unreachable> {
        // A file and no pipe: a jump's ssh keeps stderr open for as long as it lives. Not the log: a jump
        // of ssh_config and its host's banner speak on it too.
        let stderr = files::append(&self.stderr()).map_err(|error| local(&self.log, &error))?;
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            // Ctrl-C is ours to handle.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| local(&self.program, &error))?;
        match timeout(limit, child.wait()).await {
            Ok(status) => status.map(Some).map_err(|error| local(&self.program, &error)),
            Err(_) => {
                let _ = child.kill().await;
                Ok(None)
            }
        }
    }

    async fn lock(&self) -> Result<File, Unreachable> {
        let path = self.socket.with_extension("lock");
        let lock = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || files::lock(&path))
        };
        match lock.await {
            Ok(Ok(file)) => Ok(file),
            Ok(Err(error)) => Err(local(&path, &error)),
            Err(error) => Err(local(&path, &io::Error::other(error))),
        }
    }

    fn stderr(&self) -> PathBuf {
        self.socket.with_extension("err")
    }
}

/// What an ssh has said so far, `-v`'s words among it.
fn read(log: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(log) {
        let _ = file.take(256 << 10).read_to_end(&mut bytes);
    }
    // ssh ends its lines as a terminal wants them.
    bytes.retain(|byte| *byte != b'\r');
    printable(&bytes)
}

/// Whether a host has shown that it speaks SSH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Banner {
    Awaited,
    Shown,
}

/// Whether the log tells of the host's banner. A jump's ssh has a log of its own.
fn shows_banner(log: &str) -> bool {
    log.lines().any(|line| line.starts_with("debug1: Remote protocol version "))
}

/// Where ssh connects to itself, `[ADDRESS] port PORT`; nothing where a command of ssh_config does so for it.
fn connects_to(log: &str) -> Option<&str> {
    let line = log.lines().find(|line| line.starts_with("debug1: Connecting to "))?;
    Some(line.split_once(" [").map_or(line, |(_, place)| place).trim_end_matches('.'))
}

/// The log without what only `-v` adds: what a person would see.
fn quiet(log: &str) -> String {
    const NOISE: [&str; 5] =
        ["debug", "OpenSSH_", "Authenticated to ", "Transferred: ", "Bytes per second: "];
    let quiet = |line: &&str| !NOISE.iter().any(|noise| line.starts_with(noise));
    log.lines().filter(quiet).collect::<Vec<_>>().join("\n")
}

fn context<'a>(
    ssh: &'a Ssh,
    offered_key: Option<&'a str>,
    known_key: Option<&'a str>,
    seconds: u64,
) -> Context<'a> {
    Context {
        host: &ssh.host,
        port: ssh.port,
        user: ssh.user.as_deref(),
        jump: ssh.proxy_jump.as_deref(),
        at: None,
        seconds,
        offered_key,
        known_key,
    }
}

/// Where control sockets are, with room for a slash, 16 digits and ".lock".
pub(super) fn control_directory() -> Result<PathBuf, Unreachable> {
    directories::runtime(SOCKET_BYTES - 22).map_err(|why| Unreachable::new(Cause::Local, why))
}

fn local(path: &Path, error: &io::Error) -> Unreachable {
    Unreachable::new(Cause::Local, format!("`{}`: {error}", path.display()))
}

/// Grows with the tries up to some two seconds, and differs between hosts that were refused together.
fn jitter(tries: u32) -> Result<Duration, Unreachable> {
    let random = u64::from_str_radix(&nonce()?[..4], 16).unwrap_or(0);
    Ok(Duration::from_millis(200 * u64::from(tries.min(6)) + random % 800))
}

//! Reaching a host with the system's `ssh`: the user's ssh_config, jump hosts, agents and hardware
//! keys all work, because it is their ssh that reads them.
//!
//! We start the master connection ourselves rather than through the crate's builder, which takes no
//! option of its own, learns unknown host keys silently and leaves masters that live for ever.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openssh::Session;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::handshakes::Handshakes;
use super::sentence::{Cause, Context, Unreachable, printable, ssh as classify};
use super::shell::{Become, Opened, Streams, opening};
use super::wire::nonce;
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
}

/// What to do about a host key that nobody knows. A changed one is always refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownKeys {
    /// Refuse, and show it.
    Refuse,
    /// Take it and remember it.
    Accept,
}

/// Longest path of a control socket: `sun_path` holds 108 bytes, ssh appends 17 while it binds.
const SOCKET_BYTES: usize = 90;
/// A master outlives its last use by so much, so that the next run need not shake hands.
const PERSIST: &str = "600";
/// How often a handshake is tried that sshd sheds.
const TRIES: u32 = 3;
/// How often a session is asked for of a host that has no more of them, and what lies between.
const SESSION_TRIES: u32 = 10;
const SESSION_PAUSE: Duration = Duration::from_millis(300);
/// What a handshake may take after ConnectTimeout has done its part (it does not bound a jump).
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(20);
/// How often a handshake is looked after.
const LOOK: Duration = Duration::from_millis(25);
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
    pub async fn shell(&self, password: Option<&str>) -> Result<Opened, Unreachable> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.open(password).await {
                // The master may have died since: nothing has begun, so one reconnect is safe.
                Err(Unreachable { cause: Cause::Dropped, .. }) if tries == 1 => {
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
        &self.master.socket
    }

    /// Ends the connection instead of leaving it to the next run.
    pub async fn disconnect(self) {
        let stop = self.master.session().close();
        // A master that does not answer ends by itself.
        let _ = timeout(LOCAL_LIMIT, stop).await;
    }

    async fn open(&self, password: Option<&str>) -> Result<Opened, Unreachable> {
        let become_root = if self.ssh.become_root { Become::Root } else { Become::Nobody };
        let opening = opening(become_root)?;
        let session = Arc::new(self.master.session());
        let mut command = Session::to_raw_command(session, opening.command());
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
        Opened::wait(streams, &opening, password).await
    }
}

impl Options {
    /// The defaults, with the directory made if need be.
    pub fn new(unknown_keys: UnknownKeys) -> Result<Options, Unreachable> {
        let handshakes = Arc::new(Handshakes::default());
        Ok(Options { unknown_keys, directory: directory()?, handshakes })
    }
}

/// One master connection, living or not.
#[derive(Debug, Clone)]
struct Master {
    program: PathBuf,
    socket: PathBuf,
    log: PathBuf,
}

impl Master {
    fn new(ssh: &Ssh, options: &Options) -> Result<Master, Unreachable> {
        let program = which::which("ssh").map_err(|_| Unreachable::of(Cause::NoSsh))?;
        // A master speaks for the settings it was made with and for no others.
        let mut digest = Sha256::new();
        for argument in arguments(ssh, options, Path::new("-"), Path::new("-")) {
            digest.update(argument.as_bytes());
            digest.update([0]);
        }
        digest.update(program.as_os_str().as_bytes());
        let name: String = digest.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
        let socket = options.directory.join(&name);
        if socket.as_os_str().len() > SOCKET_BYTES {
            return Err(Unreachable::new(
                Cause::Local,
                format!("the control socket `{}` has too long a path", socket.display()),
            ));
        }
        Ok(Master { program, log: socket.with_extension("log"), socket })
    }

    /// Leaves a living master behind.
    async fn ensure(&self, ssh: &Ssh, options: &Options) -> Result<(), Unreachable> {
        if self.lives().await {
            return Ok(());
        }
        let mut tries = 0;
        loop {
            tries += 1;
            match self.start(ssh, options).await {
                Err(Unreachable { cause: Cause::Startups, .. }) if tries < TRIES => {
                    sleep(jitter(tries)?).await;
                }
                result => return result,
            }
        }
    }

    async fn start(&self, ssh: &Ssh, options: &Options) -> Result<(), Unreachable> {
        let slots = &options.handshakes;
        let Ok(permit) = slots.active.acquire().await else {
            return Err(Unreachable::new(Cause::Local, "handshakes have ended".to_owned()));
        };
        // Two starts at once would leave one of them running without a socket, unseen.
        let _lock = self.lock().await?;
        if self.lives().await {
            return Ok(());
        }
        // Nobody listens on it: ssh would refuse to replace it.
        let _ = std::fs::remove_file(&self.socket);
        let _ = std::fs::remove_file(&self.log);
        let arguments = arguments(ssh, options, &self.socket, &self.log);
        let limit = ssh.connect_timeout + HANDSHAKE_LIMIT;
        let started = Instant::now();
        let mut run = std::pin::pin!(self.run(&arguments, limit));
        let mut slot = Some(permit);
        let mut room = None;
        let mut banner = Banner::Awaited;
        let ended = loop {
            let ended = timeout(LOOK, &mut run).await;
            if banner == Banner::Awaited && shows_banner(&self.log()) {
                banner = Banner::Shown;
                slots.answered(started.elapsed());
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
            Some(_) => {}
            None => {
                let said = "Connection timed out";
                return Err(classify(said, &context(ssh, None, None, limit.as_secs())));
            }
        }
        let log = self.log();
        let said = quiet(&log);
        let found = classify(&said, &context(ssh, None, None, seconds));
        match found.cause {
            Cause::UnknownKey | Cause::ChangedKey => {
                let (offered, known) = (offered_key(&log), known_key(&said).await);
                Err(classify(&said, &context(ssh, offered.as_deref(), known.as_deref(), seconds)))
            }
            _ => Err(found),
        }
    }

    /// Runs ssh until it ends or goes to the background. `None`: not within the limit.
    async fn run(
        &self,
        arguments: &[OsString],
        limit: Duration,
    ) -> Result<Option<std::process::ExitStatus>, Unreachable> {
        // A file and no pipe: a jump's ssh keeps stderr open for as long as it lives.
        let stderr = append(&self.log).map_err(|error| local(&self.log, &error))?;
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

    async fn lives(&self) -> bool {
        let check = async { self.session().check().await.is_ok() };
        self.socket.exists() && timeout(LOCAL_LIMIT, check).await.unwrap_or(false)
    }

    fn session(&self) -> Session {
        let boxed = |path: &Path| path.to_path_buf().into_boxed_path();
        Session::resume_mux(boxed(&self.socket), Some(boxed(&self.log)))
    }

    async fn lock(&self) -> Result<File, Unreachable> {
        let path = self.socket.with_extension("lock");
        let lock = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || {
                let file = append(&path)?;
                file.lock()?;
                Ok::<File, io::Error>(file)
            })
        };
        match lock.await {
            Ok(Ok(file)) => Ok(file),
            Ok(Err(error)) => Err(local(&path, &error)),
            Err(error) => Err(local(&path, &io::Error::other(error))),
        }
    }

    /// What ssh has said so far, `-v`'s words among it.
    fn log(&self) -> String {
        let mut bytes = Vec::new();
        if let Ok(file) = File::open(&self.log) {
            let _ = file.take(256 << 10).read_to_end(&mut bytes);
        }
        // ssh ends its lines as a terminal wants them.
        bytes.retain(|byte| *byte != b'\r');
        printable(&bytes)
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

/// Whether a host has shown that it speaks SSH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Banner {
    Awaited,
    Shown,
}

/// Whether the log tells of the host's banner, and of one for each jump before it.
fn shows_banner(log: &str) -> bool {
    let jumps = log
        .lines()
        .filter(|line| line.contains("Executing proxy command: ") && line.contains(" -W "))
        .count();
    log.matches("debug1: Remote protocol version ").count() > jumps
}

/// The log without what only `-v` adds: what a person would see.
fn quiet(log: &str) -> String {
    const NOISE: [&str; 5] =
        ["debug", "OpenSSH_", "Authenticated to ", "Transferred: ", "Bytes per second: "];
    let quiet = |line: &&str| !NOISE.iter().any(|noise| line.starts_with(noise));
    log.lines().filter(quiet).collect::<Vec<_>>().join("\n")
}

/// What a master is started with. Ours come first: ssh takes the first value that it meets.
fn arguments(ssh: &Ssh, options: &Options, socket: &Path, log: &Path) -> Vec<OsString> {
    // `-v` tells how far a handshake is and what key a host has; and without it a jump's reasons are
    // lost (OpenSSH sshconnect.c: a proxy's stderr is closed for masters that persist).
    let mut list: Vec<OsString> =
        ["-M", "-f", "-N", "-v", "-T", "-x", "-S"].map(OsString::from).to_vec();
    list.push(escaped(socket));
    let mut pair = |flag: &str, value: OsString| list.extend([OsString::from(flag), value]);
    pair("-E", log.as_os_str().to_owned());
    let keys = match options.unknown_keys {
        UnknownKeys::Refuse => "yes",
        UnknownKeys::Accept => "accept-new",
    };
    let seconds = ssh.connect_timeout.as_secs().max(1);
    for option in [
        "BatchMode=yes",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        "RemoteCommand=none",
        "Tunnel=no",
        // A quieter level in ssh_config would leave us nothing to read.
        "LogLevel=DEBUG1",
        "VisualHostKey=no",
        &format!("ControlPersist={PERSIST}"),
        &format!("ConnectTimeout={seconds}"),
        &format!("StrictHostKeyChecking={keys}"),
    ] {
        pair("-o", option.into());
    }
    if let Some(user) = &ssh.user {
        pair("-l", user.into());
    }
    if let Some(port) = ssh.port {
        pair("-p", port.to_string().into());
    }
    if let Some(file) = &ssh.config_file {
        pair("-F", file.into());
    }
    if let Some(file) = &ssh.identity_file {
        pair("-o", "IdentitiesOnly=yes".into());
        pair("-i", escaped(file));
    }
    if let Some(jump) = &ssh.proxy_jump {
        pair("-J", jump.into());
    }
    if let Some(file) = &ssh.known_hosts {
        let mut option = OsString::from("UserKnownHostsFile=\"");
        option.push(escaped(file));
        option.push("\"");
        pair("-o", option);
    }
    list.extend(["--".into(), OsString::from(&ssh.host)]);
    list
}

/// ssh expands `%` in paths.
fn escaped(path: &Path) -> OsString {
    match path.to_str() {
        Some(text) => text.replace('%', "%%").into(),
        None => path.as_os_str().to_owned(),
    }
}

/// What can be told before ssh is asked. Old clients hand `%h` to a shell, so words are checked
/// here too, and ssh says the same of four different faults of a key file.
fn check(ssh: &Ssh) -> Result<(), Unreachable> {
    let fields = [Some(&ssh.host), ssh.user.as_ref(), ssh.proxy_jump.as_ref()];
    for word in fields.into_iter().flatten() {
        let odd = |c: char| c.is_whitespace() || c.is_control() || "$`'\"\\;&|<>(){}!".contains(c);
        if word.is_empty() || word.starts_with('-') || word.contains(odd) {
            let sentence =
                format!("`{}` cannot be given to ssh; correct it", printable(word.as_bytes()));
            return Err(Unreachable::new(Cause::Config, sentence));
        }
    }
    ssh.identity_file.as_deref().map_or(Ok(()), check_identity)
}

fn check_identity(path: &Path) -> Result<(), Unreachable> {
    let bad = |what: String| Err(Unreachable::new(Cause::Identity, what));
    let shown = path.display();
    if path.starts_with("~") {
        return Ok(());
    }
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| {
        let about = file.metadata()?;
        file.take(64 << 10).read_to_end(&mut text)?;
        Ok(about)
    });
    let about = match read {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return bad(format!(
                "the private key `{shown}` does not exist; correct `identity_file`"
            ));
        }
        Err(error) => return bad(format!("the private key `{shown}` cannot be read: {error}")),
    };
    if text.starts_with(b"ssh-") || text.starts_with(b"ecdsa-") || text.starts_with(b"sk-") {
        // The public half: ssh then takes the private one from the agent.
        return Ok(());
    }
    if about.mode() & 0o077 != 0 {
        return bad(format!(
            "others may read the private key `{shown}`, so ssh does not use it; run: chmod 600 {shown}"
        ));
    }
    if encrypted(&String::from_utf8_lossy(&text)) && std::env::var_os("SSH_AUTH_SOCK").is_none() {
        return bad(format!(
            "the private key `{shown}` is encrypted and no ssh agent runs; start one and run: ssh-add {shown}"
        ));
    }
    Ok(())
}

/// Source: OpenSSH PROTOCOL.key: after the magic comes the cipher's name; and PEM's headers.
fn encrypted(key: &str) -> bool {
    /// `openssh-key-v1\0`, a length of 4 and `none`, in base64.
    const PLAIN: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";
    if key.contains("BEGIN OPENSSH PRIVATE KEY") {
        !key.lines().nth(1).unwrap_or_default().starts_with(PLAIN)
    } else {
        key.contains("ENCRYPTED")
    }
}

/// The fingerprint that the changed key's line in known_hosts has: `ED25519 SHA256:…`.
async fn known_key(said: &str) -> Option<String> {
    let offending =
        said.lines().find_map(|line| line.split_once("Offending ")?.1.split_once(" in "));
    let (file, line) = offending?.1.trim().rsplit_once(':')?;
    let number: usize = line.parse().ok()?;
    let text = std::fs::read_to_string(file).ok()?;
    let key = text.lines().nth(number.checked_sub(1)?)?.to_owned();
    let keygen = which::which("ssh-keygen").ok()?;
    let mut child = Command::new(keygen)
        .args(["-l", "-f", "-"])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    tokio::io::AsyncWriteExt::write_all(&mut stdin, format!("{key}\n").as_bytes()).await.ok()?;
    drop(stdin);
    let output = timeout(LOCAL_LIMIT, child.wait_with_output()).await.ok()?.ok()?;
    let output = printable(&output.stdout);
    // `256 SHA256:… comment (ED25519)`
    let print = output.split_whitespace().find(|word| word.starts_with("SHA256:"))?;
    let kind = output.trim().rsplit_once('(').map_or("", |(_, kind)| kind.trim_end_matches(')'));
    Some(format!("{kind} {print}"))
}

/// The key in the words of `ssh -v`: `ED25519 SHA256:…`. The last one is the host's own, not a jump's.
fn offered_key(said: &str) -> Option<String> {
    let line = said.lines().rev().find_map(|l| l.split_once("Server host key: "))?.1;
    let (kind, print) = line.trim().split_once(' ')?;
    Some(format!("{} {print}", kind.trim_start_matches("ssh-").to_uppercase()))
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
        seconds,
        offered_key,
        known_key,
    }
}

/// `$XDG_RUNTIME_DIR/provision`, or a directory in /tmp when that is absent or its path too long.
fn directory() -> Result<PathBuf, Unreachable> {
    // Room for a slash, 16 digits and ".lock".
    let short = |path: &PathBuf| path.as_os_str().len() + 22 <= SOCKET_BYTES;
    // Whoever owns our process' entry is whom we act as; no call for it is in std.
    let me = std::fs::metadata("/proc/self").map_err(|e| local(Path::new("/proc/self"), &e))?.uid();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let runtime = runtime.filter(|path| path.is_absolute() && path.is_dir());
    let path = runtime.map(|path| path.join("provision")).filter(short);
    let path = path.unwrap_or_else(|| PathBuf::from(format!("/tmp/provision-{me}")));
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(local(&path, &error));
        }
        _ => {}
    }
    let about = std::fs::symlink_metadata(&path).map_err(|error| local(&path, &error))?;
    if !about.is_dir() || about.uid() != me || about.mode() & 0o077 != 0 {
        return Err(Unreachable::new(
            Cause::Local,
            format!(
                "`{}` must be a directory of yours with mode 0700; move it away",
                path.display()
            ),
        ));
    }
    Ok(path)
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn local(path: &Path, error: &io::Error) -> Unreachable {
    Unreachable::new(Cause::Local, format!("`{}`: {error}", path.display()))
}

/// Grows with the tries, and differs between hosts that were refused together.
fn jitter(tries: u32) -> Result<Duration, Unreachable> {
    let random = u64::from_str_radix(&nonce()?[..4], 16).unwrap_or(0);
    Ok(Duration::from_millis(200 * u64::from(tries) + random % 800))
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

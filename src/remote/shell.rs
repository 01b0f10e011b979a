//! One shell per host and run: requests go in on its stdin, framed answers come out.
//!
//! Two keys to a host: a [`Looker`] can only ask, a [`Changer`] can also act. The host's end of the
//! protocol is `shell.sh`, and for a changer `change.sh`; a looker's host never hears of the latter.
//!
//! A request is one brace group that holds the script as one quoted word: whatever part of it
//! arrives, nothing runs unless all of it did, and a syntax error stays inside the script's own
//! subshell (a function around the script would end at the script's first stray `}`).

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::sentence::{Cause, Unreachable, printable, sudo};
use crate::inventory::Digest;

/// A shell that answers, without a key yet.
#[derive(Debug)]
pub struct Opened(Wire);

/// The key that looks.
#[derive(Debug)]
pub struct Looker(Wire);

/// The key that changes; it holds the host's lock as long as it, or an action of it, lives.
#[derive(Debug)]
pub struct Changer {
    wire: Wire,
    runs: PathBuf,
    actions: u32,
}

/// Where our state lives on a host.
#[derive(Debug, Clone)]
pub struct Places {
    /// Stamps, run directories, records; survives a reboot.
    pub state: PathBuf,
    /// The lock; gone with a reboot, as is whoever held it.
    pub runtime: PathBuf,
}

/// In whose name the lock is taken. Shown to whoever finds it held.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Id of the run: letters, digits, `.`, `_`, `-`.
    pub run: &'a str,
    /// Who runs us.
    pub by: &'a str,
    /// The machine we run on.
    pub from: &'a str,
}

/// What a shell tells at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// Changes when the host reboots.
    pub boot_id: String,
    /// Effective user; 0 is root.
    pub uid: u32,
    /// The last action of the newest run that did anything here, if it can be read.
    pub last: Option<LastAction>,
    /// Answer to the script that came along.
    pub reply: Reply,
}

/// How the last action on a host ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastAction {
    /// Run it belonged to.
    pub run: String,
    /// Its name.
    pub name: String,
    /// Its log, on the host.
    pub log: PathBuf,
    /// `None`: it never ended, or for a looker, it may still run.
    pub status: Option<i32>,
}

/// Why a key was not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotEntered {
    /// Another run holds the lock: its `run= step= pid= by= from= since=` line, as the host has it.
    Locked(String),
    /// The host cannot be changed: one sentence.
    Refused(String),
    /// The connection is gone.
    Lost(Lost),
}

/// Answer to a question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// All of the script's stdout, or its first [`REPLY_BYTES`].
    pub stdout: Vec<u8>,
    /// Whether there was more.
    pub extent: Extent,
    /// Its exit status.
    pub status: i32,
    /// The end of its stderr, fit to be shown.
    pub complaint: String,
}

/// Whether all of an output was kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    #[default]
    Whole,
    /// Its beginning; the rest was dropped.
    Cut,
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit status; 74 when it could not even be recorded as started.
    pub status: i32,
    /// The last 64 KiB of its output, fit to be shown.
    pub output_tail: String,
    /// All of its output, on the host.
    pub log: PathBuf,
}

/// The shell is of no use any more. What it was running may run on, under the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// The connection ended.
    Gone {
        /// What we were doing.
        during: String,
        /// The last that was heard on stderr.
        said: String,
    },
    /// No answer in time.
    Timeout {
        /// What we were doing.
        during: String,
        /// How long we waited.
        after: Duration,
    },
    /// It was given up earlier: a request was abandoned half-way, or the request cannot be sent.
    Unusable {
        /// Why.
        why: String,
    },
}

/// A file to be put on a host.
#[derive(Debug, Clone)]
pub struct Upload<'a> {
    /// Directory; exists.
    pub directory: &'a Path,
    /// Name in it.
    pub name: &'a str,
    /// Its exact size.
    pub bytes: u64,
    /// What it must be when it has arrived.
    pub digest: &'a Digest,
    /// Permission bits.
    pub mode: u32,
}

/// Most of a reply that is kept.
pub const REPLY_BYTES: usize = 16 << 20;

/// How long opening may take beyond what sudo's own delays cost.
const OPEN_LIMIT: Duration = Duration::from_secs(30);
/// Most of stderr that is kept.
const COMPLAINT_BYTES: usize = 16 << 10;
/// How long stderr may lag behind an answer before we go on without it.
const STDERR_LAG: Duration = Duration::from_secs(2);

impl Opened {
    /// Waits for READY on a shell started with [`opening`] and answers sudo's prompt on the way.
    /// `keep` is dropped with the shell.
    pub async fn wait(
        streams: Streams,
        opening: &Opening,
        password: Option<&str>,
    ) -> Result<Opened, Unreachable> {
        let mut wire = Wire::new(streams)?;
        match timeout(OPEN_LIMIT, wire.ready(opening, password)).await {
            Ok(Ok(())) => Ok(Opened(wire)),
            Ok(Err(unreachable)) => Err(unreachable),
            Err(_) => Err(Unreachable::new(
                Cause::NoShell,
                format!(
                    "no usable shell: nothing was heard within {} s of logging in; give the login user a POSIX shell without a forced command",
                    OPEN_LIMIT.as_secs()
                ),
            )),
        }
    }

    /// Takes the key that looks, and asks a first question in the same round trip. Writes nothing.
    pub async fn look(
        mut self,
        places: &Places,
        script: &str,
        limit: Duration,
    ) -> Result<(Looker, Entered), NotEntered> {
        let facts = format!("p_facts {}", word(&places.state)?);
        let entered = self.0.enter(&[PRELUDE], &facts, script, limit).await?;
        Ok((Looker(self.0), entered))
    }

    /// Takes the lock and the key that changes, and asks a first question in the same round trip.
    pub async fn change(
        mut self,
        places: &Places,
        claim: Claim<'_>,
        script: &str,
        limit: Duration,
    ) -> Result<(Changer, Entered), NotEntered> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if claim.run.is_empty()
            || claim.run.starts_with(['.', '-'])
            || !claim.run.chars().all(plain)
        {
            return Err(NotEntered::Refused(format!("`{}` is not a run id", claim.run)));
        }
        // The facts come after the lock: with it in hand, an action without a status has ended.
        let facts = format!(
            "p_lock {state} {} {} {} {} || p_stop=1; p_facts {state}",
            word(&places.runtime)?,
            quote(claim.run)?,
            quote(&one_word(claim.by))?,
            quote(&one_word(claim.from))?,
            state = word(&places.state)?,
        );
        let entered = self.0.enter(&[PRELUDE, CHANGE], &facts, script, limit).await?;
        let runs = places.state.join("runs").join(claim.run);
        Ok((Changer { wire: self.0, runs, actions: 0 }, entered))
    }
}

impl Looker {
    /// Runs a script that only looks.
    pub async fn ask(&mut self, script: &str, limit: Duration) -> Result<Reply, Lost> {
        self.0.ask(script, limit).await
    }

    /// Ends the shell.
    pub async fn close(self) {
        self.0.close().await;
    }
}

impl Changer {
    /// Runs a script that only looks.
    pub async fn ask(&mut self, script: &str, limit: Duration) -> Result<Reply, Lost> {
        self.wire.ask(script, limit).await
    }

    /// Runs an action. It is sent whole or not at all and, once begun, ends whether or not we are
    /// still there: its log and its status are files of the host.
    pub async fn run(&mut self, name: &str, script: &str, limit: Duration) -> Result<Ended, Lost> {
        self.actions += 1;
        let number = format!("{:04}", self.actions);
        let name = one_word(name);
        let request = format!("{number} {} {}", quote(&name)?, quote(script)?);
        let reply = self.wire.request("p_run", &request, &name, limit).await?;
        Ok(Ended {
            status: reply.status,
            output_tail: printable(&reply.stdout),
            log: self.runs.join(format!("a{number}.log")),
        })
    }

    /// Puts a file on the host: whole and as digested, or not at all. A status other than 0 comes
    /// with a sentence on stdout.
    pub async fn push(
        &mut self,
        content: impl AsyncRead + Unpin,
        upload: &Upload<'_>,
        limit: Duration,
    ) -> Result<Reply, Lost> {
        let during = format!("sending {}", upload.name);
        let arguments = format!(
            "{} {} {} {} {} {:04o}",
            word(upload.directory)?,
            quote(upload.name)?,
            upload.bytes,
            upload.digest.tool(),
            quote(upload.digest.hex())?,
            upload.mode
        );
        self.wire.begin(&during)?;
        match timeout(limit, self.wire.push(&arguments, content, upload.bytes, &during)).await {
            Ok(result) => self.wire.settle(result),
            Err(_) => Err(Lost::Timeout { during, after: limit }),
        }
    }

    /// Puts a secret into a file that only root can read. It is in no argument list and no log.
    pub async fn put_secret(
        &mut self,
        directory: &Path,
        name: &str,
        secret: &[u8],
        limit: Duration,
    ) -> Result<Reply, Lost> {
        let mut hex = String::with_capacity(64);
        for byte in Sha256::digest(secret) {
            hex.push_str(&format!("{byte:02x}"));
        }
        let digest = Digest::Sha256(hex);
        let bytes = secret.len() as u64;
        self.push(secret, &Upload { directory, name, bytes, digest: &digest, mode: 0o600 }, limit)
            .await
    }

    /// Ends the shell, and with it the lock.
    pub async fn close(self) {
        self.wire.close().await;
    }
}

/// The command that a host is given, and the words it will say.
#[derive(Debug, Clone)]
pub struct Opening {
    command: String,
    ready: String,
    prompt: String,
}

/// Whether to become root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Become {
    /// Through sudo, unless the login user is root.
    Root,
    /// Stay who we are.
    Nobody,
}

/// Words for opening a shell; each is used once.
pub fn opening(become_root: Become) -> Result<Opening, Unreachable> {
    let nonce = nonce()?;
    let ready = format!("READY-{nonce}");
    let prompt = format!("[provision-{nonce}] ");
    // No quote, `!` or backslash inside the quotes: the login shell may be fish or tcsh. `-k`: a
    // ticket of somebody else's sudo must not decide whether we are asked.
    let sudo = match become_root {
        Become::Nobody => String::new(),
        Become::Root => format!(
            "if [ \"$(id -u)\" -ne 0 ]; then LC_ALL=C; export LC_ALL; exec sudo -k -S -p \"{prompt}\" -- /bin/sh -c \"echo; echo {ready}; exec /bin/sh -s\"; fi; "
        ),
    };
    let command = format!("exec /bin/sh -c '{sudo}echo; echo {ready}; exec /bin/sh -s'");
    Ok(Opening { command, ready, prompt })
}

impl Opening {
    /// What the login shell is to run.
    pub fn command(&self) -> &str {
        &self.command
    }
}

/// The ends of a child or a session, and what must live as long as they do.
pub struct Streams {
    /// Its stdin.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its stdout.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Its stderr.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// The process or session itself.
    pub keep: Box<dyn Send + Sync>,
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Streams")
    }
}

const PRELUDE: &str = include_str!("shell.sh");
const CHANGE: &str = include_str!("change.sh");

/// Requests and answers, each under a mark that nothing on the host can know beforehand.
struct Wire {
    stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    stdout: Box<dyn AsyncRead + Send + Unpin>,
    pending: Vec<u8>,
    heard: Arc<Heard>,
    listener: JoinHandle<()>,
    nonce: String,
    requests: u32,
    /// What was begun and has not been answered: such a shell cannot be asked anything else.
    busy: Option<String>,
    _keep: Box<dyn Send + Sync>,
}

/// The end of stderr.
#[derive(Default)]
struct Heard {
    text: Mutex<Vec<u8>>,
    news: Notify,
}

impl Wire {
    fn new(streams: Streams) -> Result<Wire, Unreachable> {
        let heard = Arc::new(Heard::default());
        let listener = tokio::spawn(listen(streams.stderr, heard.clone()));
        Ok(Wire {
            stdin: Some(streams.stdin),
            stdout: streams.stdout,
            pending: Vec::new(),
            heard,
            listener,
            nonce: nonce()?,
            requests: 0,
            busy: None,
            _keep: streams.keep,
        })
    }

    /// Reads on to READY. The password is written only after our own prompt, and once.
    async fn ready(
        &mut self,
        opening: &Opening,
        password: Option<&str>,
    ) -> Result<(), Unreachable> {
        let ready = format!("{}\n", opening.ready).into_bytes();
        let heard = self.heard.clone();
        let mut noise = Vec::new();
        let mut answered = false;
        let patterns: [&[u8]; 1] = [&ready];
        loop {
            let news = heard.news.notified();
            let said = heard.text();
            match (said.matches(&opening.prompt).count(), answered, password) {
                (0, ..) | (1, true, _) => {}
                (_, false, Some(password)) => {
                    let line = format!("{password}\n");
                    // When that fails the end of stdout tells why.
                    let _ = self.send(line.as_bytes()).await;
                    answered = true;
                    continue;
                }
                (_, true, _) => return Err(Unreachable::of(Cause::WrongPassword)),
                (_, false, None) => return Err(Unreachable::of(Cause::NeedsPassword)),
            }
            tokio::select! {
                found = self.until(&patterns, Some(&mut noise), COMPLAINT_BYTES) => {
                    return match found {
                        Ok(_) => Ok(()),
                        Err(_) => {
                            // Let stderr come to its end: it says why.
                            let _ = timeout(STDERR_LAG, &mut self.listener).await;
                            Err(sudo(&heard.text(), &printable(&noise)))
                        }
                    };
                }
                () = news => {}
            }
        }
    }

    async fn enter(
        &mut self,
        preludes: &[&str],
        facts: &str,
        script: &str,
        limit: Duration,
    ) -> Result<Entered, NotEntered> {
        const DURING: &str = "looking";
        let script = quote(script)?;
        self.begin(DURING)?;
        let (first, second) = (self.mark(), self.mark());
        // No subshell around the facts: the lock's descriptor is to stay with the shell.
        let request = format!(
            "{}{{\np_stop=\np_begin {first}; {{ {facts}; }} </dev/null\np_end {first} 0\n[ -z \"$p_stop\" ] || exit 75\np_ask {second} {script}\n}}\n",
            preludes.concat()
        );
        let exchange = async {
            self.send(request.as_bytes()).await.map_err(|_| self.gone(DURING))?;
            let facts = self.answer(&first, DURING).await?;
            let facts = Facts::parse(&facts.stdout);
            facts.refusal()?;
            let reply = self.answer(&second, DURING).await?;
            Ok::<Entered, NotEntered>(facts.entered(reply))
        };
        match timeout(limit, exchange).await {
            Ok(Ok(entered)) => {
                self.busy = None;
                Ok(entered)
            }
            Ok(Err(not)) => Err(not),
            Err(_) => {
                Err(NotEntered::Lost(Lost::Timeout { during: DURING.to_owned(), after: limit }))
            }
        }
    }

    async fn ask(&mut self, script: &str, limit: Duration) -> Result<Reply, Lost> {
        self.request("p_ask", &quote(script)?, "looking", limit).await
    }

    async fn request(
        &mut self,
        function: &str,
        arguments: &str,
        during: &str,
        limit: Duration,
    ) -> Result<Reply, Lost> {
        self.begin(during)?;
        let mark = self.mark();
        let frame = frame(function, &mark, arguments);
        let exchange = async {
            self.send(frame.as_bytes()).await.map_err(|_| self.gone(during))?;
            self.answer(&mark, during).await
        };
        match timeout(limit, exchange).await {
            Ok(result) => self.settle(result),
            Err(_) => Err(Lost::Timeout { during: during.to_owned(), after: limit }),
        }
    }

    async fn push(
        &mut self,
        arguments: &str,
        mut content: impl AsyncRead + Unpin,
        bytes: u64,
        during: &str,
    ) -> Result<Reply, Lost> {
        let mark = self.mark();
        let frame = frame("p_push", &mark, arguments);
        self.send(frame.as_bytes()).await.map_err(|_| self.gone(during))?;
        self.skip_to_begin(&mark, during).await?;
        let ready = format!("\n{mark} ready\n").into_bytes();
        let end = format!("\n{mark} end ").into_bytes();
        let mut said = Vec::new();
        // Not before the host is ready: a shell reads ahead what it can get.
        match self.until(&[&ready, &end], Some(&mut said), COMPLAINT_BYTES).await {
            Err(_) => return Err(self.gone(during)),
            Ok((1, extent)) => {
                let status = self.status(during).await?;
                return Ok(self.reply(&mark, said, extent, status).await);
            }
            Ok(_) => {}
        }
        let mut left = bytes;
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let why = match content.read(&mut buffer[..most]).await {
                Ok(0) => format!("{during}: the local file ended {left} bytes early"),
                Err(error) => format!("{during}: the local file cannot be read: {error}"),
                Ok(n) => {
                    self.send(&buffer[..n]).await.map_err(|_| self.gone(during))?;
                    left -= n as u64;
                    continue;
                }
            };
            // The host waits for bytes that will never come; the end of its input tells it so.
            self.stdin = None;
            return Err(Lost::Unusable { why });
        }
        self.rest(&mark, said, during).await
    }

    /// Everything that answers the request of this mark.
    async fn answer(&mut self, mark: &str, during: &str) -> Result<Reply, Lost> {
        self.skip_to_begin(mark, during).await?;
        self.rest(mark, Vec::new(), during).await
    }

    async fn rest(&mut self, mark: &str, mut out: Vec<u8>, during: &str) -> Result<Reply, Lost> {
        let end = format!("\n{mark} end ").into_bytes();
        let (_, extent) = self
            .until(&[&end], Some(&mut out), REPLY_BYTES)
            .await
            .map_err(|_| self.gone(during))?;
        let status = self.status(during).await?;
        Ok(self.reply(mark, out, extent, status).await)
    }

    /// stderr is a stream of its own and may lag behind; it ends with the same mark.
    async fn reply(&self, mark: &str, stdout: Vec<u8>, extent: Extent, status: i32) -> Reply {
        let end = format!("\n{mark}\n");
        let complaint = timeout(STDERR_LAG, self.heard.through(&end)).await;
        let complaint = complaint.unwrap_or_else(|_| self.heard.take());
        Reply { stdout, extent, status, complaint }
    }

    async fn skip_to_begin(&mut self, mark: &str, during: &str) -> Result<(), Lost> {
        let begin = format!("\n{mark} begin\n").into_bytes();
        self.until(&[&begin], None, 0).await.map(drop).map_err(|_| self.gone(during))
    }

    async fn status(&mut self, during: &str) -> Result<i32, Lost> {
        let mut digits = Vec::new();
        self.until(&[b"\n"], Some(&mut digits), 16).await.map_err(|_| self.gone(during))?;
        String::from_utf8_lossy(&digits).parse().map_err(|_| Lost::Unusable {
            why: format!("{during}: the answer of the host ended in a garbled status"),
        })
    }

    /// Reads past the first of `patterns` to come; what comes before goes to `sink`, up to `most`
    /// bytes. Gives the pattern's index. Cancelling loses nothing that was read.
    async fn until(
        &mut self,
        patterns: &[&[u8]],
        mut sink: Option<&mut Vec<u8>>,
        most: usize,
    ) -> io::Result<(usize, Extent)> {
        let longest = patterns.iter().map(|p| p.len()).max().unwrap_or(0);
        let mut extent = Extent::Whole;
        let mut chunk = vec![0; 64 << 10];
        loop {
            let found = first_of(&self.pending, patterns);
            let upto = match found {
                Some((at, _)) => at,
                None => self.pending.len().saturating_sub(longest.saturating_sub(1)),
            };
            if let Some(sink) = sink.as_deref_mut() {
                let take = upto.min(most.saturating_sub(sink.len()));
                sink.extend_from_slice(&self.pending[..take]);
                if take < upto {
                    extent = Extent::Cut;
                }
            }
            if let Some((at, which)) = found {
                self.pending.drain(..at + patterns[which].len());
                return Ok((which, extent));
            }
            self.pending.drain(..upto);
            match self.stdout.read(&mut chunk).await? {
                0 => {
                    if let Some(sink) = sink {
                        sink.append(&mut self.pending);
                    }
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                n => self.pending.extend_from_slice(&chunk[..n]),
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(stdin) = self.stdin.as_mut() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        stdin.write_all(bytes).await?;
        stdin.flush().await
    }

    /// Refuses a shell that owes an answer: its next bytes could belong to something else.
    fn begin(&mut self, during: &str) -> Result<(), Lost> {
        if let Some(busy) = &self.busy {
            let why = format!("{during}: the shell on the host was given up while {busy}");
            return Err(Lost::Unusable { why });
        }
        self.busy = Some(during.to_owned());
        // What background processes said between requests belongs to none.
        self.heard.take();
        Ok(())
    }

    fn settle(&mut self, result: Result<Reply, Lost>) -> Result<Reply, Lost> {
        if result.is_ok() {
            self.busy = None;
        }
        result
    }

    fn mark(&mut self) -> String {
        self.requests += 1;
        format!("{}-{}", self.nonce, self.requests)
    }

    fn gone(&self, during: &str) -> Lost {
        Lost::Gone { during: during.to_owned(), said: self.heard.take().trim().to_owned() }
    }

    async fn close(mut self) {
        self.stdin = None;
        let end = async { while self.until(&[b"\n"], None, 0).await.is_ok() {} };
        let _ = timeout(STDERR_LAG, end).await;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("requests", &self.requests).field("busy", &self.busy).finish()
    }
}

impl Heard {
    /// All that was heard, fit to be shown.
    fn text(&self) -> String {
        printable(&self.lock())
    }

    fn take(&self) -> String {
        printable(&std::mem::take(&mut *self.lock()))
    }

    /// Waits for `end`; takes it and what came before, and gives the latter.
    async fn through(&self, end: &str) -> String {
        loop {
            let news = self.news.notified();
            {
                let mut text = self.lock();
                if let Some((at, _)) = first_of(&text, &[end.as_bytes()]) {
                    let before = printable(&text[..at]);
                    text.drain(..at + end.len());
                    return before;
                }
            }
            news.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn listen(mut stderr: Box<dyn AsyncRead + Send + Unpin>, heard: Arc<Heard>) {
    let mut chunk = vec![0; 8 << 10];
    while let Ok(n @ 1..) = stderr.read(&mut chunk).await {
        let mut text = heard.lock();
        text.extend_from_slice(&chunk[..n]);
        let excess = text.len().saturating_sub(COMPLAINT_BYTES);
        text.drain(..excess);
        drop(text);
        // A permit is stored, so news between looking and waiting is not missed.
        heard.news.notify_one();
    }
    heard.news.notify_one();
}

/// What a host tells of itself: `key=value` lines.
struct Facts(BTreeMap<String, String>);

impl Facts {
    fn parse(stdout: &[u8]) -> Facts {
        let text = printable(stdout);
        let pair = |line: &str| line.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        Facts(text.lines().filter_map(pair).collect())
    }

    fn refusal(&self) -> Result<(), NotEntered> {
        match (self.0.get("locked"), self.0.get("error")) {
            (Some(holder), _) => Err(NotEntered::Locked(holder.clone())),
            (_, Some(error)) => Err(NotEntered::Refused(error.clone())),
            (None, None) => Ok(()),
        }
    }

    fn entered(mut self, reply: Reply) -> Entered {
        let mut take = |key: &str| self.0.remove(key).unwrap_or_default();
        let (run, name, log) = (take("last_run"), take("last_action"), take("last_log"));
        let status = take("last_status").parse().ok();
        let last = LastAction { run, name, log: PathBuf::from(log), status };
        Entered {
            boot_id: take("boot"),
            uid: take("uid").parse().unwrap_or(u32::MAX),
            last: Some(last).filter(|last| !last.run.is_empty()),
            reply,
        }
    }
}

fn frame(function: &str, mark: &str, arguments: &str) -> String {
    format!("{{\n{function} {mark} {arguments}\n}}\n")
}

/// Where the first of `patterns` begins, and which it is.
fn first_of(text: &[u8], patterns: &[&[u8]]) -> Option<(usize, usize)> {
    let starts = |at: usize| patterns.iter().position(|p| text[at..].starts_with(p));
    (0..text.len()).find_map(|at| {
        let worth = patterns.iter().any(|p| p.first() == text.get(at));
        if worth { starts(at).map(|which| (at, which)) } else { None }
    })
}

/// One word for a POSIX shell, whatever it holds.
fn quote(text: &str) -> Result<String, Lost> {
    if text.contains('\0') {
        return Err(Lost::Unusable { why: "a script cannot hold a NUL byte".to_owned() });
    }
    Ok(format!("'{}'", text.replace('\'', "'\\''")))
}

fn word(path: &Path) -> Result<String, Lost> {
    match path.to_str() {
        Some(text) if path.is_absolute() => quote(text),
        _ => Err(Lost::Unusable { why: format!("`{}` is not an absolute path", path.display()) }),
    }
}

/// Text as one field of a line of fields.
fn one_word(text: &str) -> String {
    let plain = |c: char| if c.is_control() || c.is_whitespace() { '_' } else { c };
    text.chars().map(plain).collect()
}

/// 128 bits that nobody can guess, in hex.
pub(super) fn nonce() -> Result<String, Unreachable> {
    use std::io::Read as _;
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes)).map_err(
        |error| Unreachable::new(Cause::Local, format!("/dev/urandom cannot be read: {error}")),
    )?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl From<Lost> for NotEntered {
    fn from(lost: Lost) -> NotEntered {
        NotEntered::Lost(lost)
    }
}

impl Default for Places {
    fn default() -> Places {
        Places { state: "/var/lib/provision".into(), runtime: "/run/provision".into() }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Gone { during, said } if said.is_empty() => {
                write!(f, "connection lost during {during}; it may still run")
            }
            Lost::Gone { during, said } => {
                let last = said.lines().next_back().unwrap_or_default();
                write!(f, "connection lost during {during}; it may still run ({last})")
            }
            Lost::Timeout { during, after } => {
                write!(
                    f,
                    "no answer within {} s during {during}; it may still run",
                    after.as_secs()
                )
            }
            Lost::Unusable { why } => f.write_str(why),
        }
    }
}

impl std::error::Error for Lost {}

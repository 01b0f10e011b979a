//! One shell per host and run: requests go in on its stdin, framed answers come out.
//!
//! Two keys to a host: a [`Looker`] can only ask, a [`Changer`] can also act. The host's end of the
//! protocol is `shell.sh`, and for a changer `change.sh`; a looker's host never hears of the latter.
//!
//! A request is one brace group that holds the script as one quoted word: whatever part of it
//! arrives, nothing runs unless all of it did, and a syntax error stays inside the script's own
//! subshell (a function around the script would end at the script's first stray `}`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use tokio::io::AsyncRead;
use tokio::time::timeout;

use super::sentence::{Cause, Unreachable, printable};
pub use super::wire::Streams;
use super::wire::{CHANGE, PRELUDE, Wire, nonce, one_word, quote, word};
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
    /// When its first process started; also changes when a container restarts.
    pub init: String,
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

/// What became of an action whose connection was lost, seen with the lock in hand: nothing of it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Past {
    /// It never began: not all of it had arrived.
    NotBegun,
    /// It ended by itself.
    Ended(Ended),
    /// It began and was cut short, by a reboot or by somebody who killed it.
    CutShort {
        /// What it printed until then, on the host.
        log: PathBuf,
    },
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
            "p_lock {state} {} {} {} {} {} || p_stop=1; p_facts {state}",
            word(&places.runtime)?,
            quote(claim.run)?,
            quote(&one_word(claim.by))?,
            quote(&one_word(claim.from))?,
            // Our clock, not the host's: that would be one more fork there.
            crate::ui::rfc3339(SystemTime::now()),
            state = word(&places.state)?,
        );
        let entered = self.0.enter(&[PRELUDE, CHANGE], &facts, script, limit).await?;
        let runs = places.state.join("runs").join(claim.run);
        Ok((Changer { wire: self.0, runs, actions: 0 }, entered))
    }
}

impl Opened {
    /// For a key that is made elsewhere in this room.
    pub(super) fn into_wire(self) -> Wire {
        self.0
    }
}

impl Looker {
    /// Runs a script that only looks.
    pub async fn ask(&mut self, script: &str, limit: Duration) -> Result<Reply, Lost> {
        self.0.ask(script, limit).await
    }

    /// Whether it owes no answer.
    pub fn is_usable(&self) -> bool {
        self.0.is_usable()
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

    /// How many actions it was given.
    pub fn actions(&self) -> u32 {
        self.actions
    }

    /// Takes over from a lost shell of the same run: counts on from its actions.
    pub fn count_on(&mut self, actions: u32) {
        self.actions = actions;
    }

    /// Whether it owes no answer.
    pub fn is_usable(&self) -> bool {
        self.wire.is_usable()
    }

    /// What became of an action of this run that another shell was given.
    pub async fn past(&mut self, number: u32, limit: Duration) -> Result<Past, Lost> {
        let stem = self.runs.join(format!("a{number:04}"));
        let log = self.runs.join(format!("a{number:04}.log"));
        let script = format!(
            "a={}\nif [ -f \"$a.rc\" ]; then read -r r <\"$a.rc\"; echo \"ended $r\"; tail -c 65536 \"$a.log\"\n\
             elif [ -f \"$a.start\" ]; then echo cut; else echo absent; fi",
            word(&stem)?
        );
        let reply = self.ask(&script, limit).await?;
        let text = printable(&reply.stdout);
        let (head, output) = text.split_once('\n').unwrap_or((text.as_str(), ""));
        Ok(match (head, head.strip_prefix("ended ").map(str::parse)) {
            (_, Some(Ok(status))) => {
                Past::Ended(Ended { status, output_tail: output.to_owned(), log })
            }
            ("absent", _) => Past::NotBegun,
            _ => Past::CutShort { log },
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
    pub(super) ready: String,
    pub(super) prompt: String,
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
    let command = match become_root {
        Become::Nobody => format!("echo; echo {ready}; exec /bin/sh -s"),
        Become::Root => format!("exec /bin/sh -c '{sudo}echo; echo {ready}; exec /bin/sh -s'"),
    };
    Ok(Opening { command, ready, prompt })
}

impl Opening {
    /// What the login shell is to run.
    pub fn command(&self) -> &str {
        &self.command
    }
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

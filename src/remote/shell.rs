//! One shell per host and run: requests go in on its stdin, framed answers come out.
//!
//! Two keys to a host: a [`Looker`] can only ask, a [`Changer`] can also act. The host's end of the
//! protocol is `shell.sh`, and for a changer `change.sh`; a looker's host never hears of the latter.
//!
//! A request is one brace group that holds the script as one quoted word: whatever part of it
//! arrives, nothing runs unless all of it did, and a syntax error stays inside the script's own
//! subshell (a function around the script would end at the script's first stray `}`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::time::timeout;

pub use super::answer::{Ended, Lost, LostAction, Reply};
pub use super::login::Places;
use super::sentence::printable;
use super::wire::{Wire, one_word, quote, word};
use crate::ground::digest::Digest;

/// A shell on a host, opened with one of the two keys.
#[derive(Debug)]
pub struct Shell<K> {
    pub(super) wire: Wire,
    pub(super) key: K,
}

/// The key that looks.
#[derive(Debug)]
pub struct Looker;

/// The key that changes: its shell holds the host's lock as long as it, or an action of it, lives.
#[derive(Debug)]
pub struct Changer {
    /// The run's directory on the host.
    runs: PathBuf,
    /// How many actions were begun in this run.
    actions: u32,
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

/// A probe that takes longer has hung.
pub(super) const PROBE_LIMIT: Duration = Duration::from_secs(60);
/// An action may download and build.
pub(super) const ACTION_LIMIT: Duration = Duration::from_secs(3600);

impl<K> Shell<K> {
    /// Runs a script that only looks.
    ///
    /// # Errors
    /// The shell is of no use any more.
    pub async fn ask(&mut self, script: &str, limit: Duration) -> Result<Reply, Lost> {
        self.wire.ask(script, limit).await
    }

    /// Whether it owes no answer.
    pub fn is_usable(&self) -> bool {
        self.wire.is_usable()
    }

    /// Ends the shell, and with it the lock that it may hold.
    pub async fn close(self) {
        self.wire.close().await;
    }
}

impl Changer {
    pub(super) fn new(runs: PathBuf) -> Changer {
        Changer { runs, actions: 0 }
    }
}

impl Shell<Changer> {
    /// Runs an action. It is sent whole or not at all and, once begun, ends whether or not we are
    /// still there: its log and its status are files of the host.
    pub async fn run(&mut self, name: &str, script: &str, limit: Duration) -> Result<Ended, Lost> {
        self.key.actions += 1;
        let number = format!("{:04}", self.key.actions);
        let name = one_word(name);
        let request = format!("{number} {} {}", quote(&name)?, quote(script)?);
        let reply = self.wire.request("p_run", &request, &name, limit).await?;
        Ok(Ended {
            status: reply.status,
            output_tail: printable(&reply.stdout),
            log: self.key.runs.join(format!("a{number}.log")),
        })
    }

    /// Takes over from a lost shell of the same run: counts on from its actions.
    pub fn count_on(&mut self, actions: u32) {
        self.key.actions = actions;
    }

    /// What became of an action of this run that another shell was given.
    pub async fn lost_action(&mut self, number: u32, limit: Duration) -> Result<LostAction, Lost> {
        let stem = self.key.runs.join(format!("a{number:04}"));
        let log = self.key.runs.join(format!("a{number:04}.log"));
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
                LostAction::Ended(Ended { status, output_tail: output.to_owned(), log })
            }
            ("absent", _) => LostAction::NotBegun,
            _ => LostAction::CutShort { log },
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
}

//! Logging in on a host: becoming root, coming to a shell, and taking one of the keys to it.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::timeout;

use super::answer::{Entered, NotEntered};
use super::nonces::nonce;
use super::sentence::{Cause, Unreachable};
use super::shell::{Changer, Looker, Shell};
use super::wire::{CHANGE, HOLDER, PRELUDE, Streams, Wire, one_word, quote, word};
use crate::local::clock;

/// A shell that answers, without a key yet.
#[derive(Debug)]
pub struct LoginShell(Wire);

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

/// The command that a host is given, and the words it will say.
#[derive(Debug, Clone)]
pub struct Login {
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

/// Words for logging in; each is used once.
pub fn login(become_root: Become) -> Result<Login, Unreachable> {
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
    Ok(Login { command, ready, prompt })
}

impl Login {
    /// What the login shell is to run.
    pub fn command(&self) -> &str {
        &self.command
    }
}

/// How long logging in may take beyond what sudo's own delays cost.
const OPEN_LIMIT: Duration = Duration::from_secs(30);

impl LoginShell {
    /// Waits for READY on a shell started with [`login`] and answers sudo's prompt on the way.
    /// `keep` is dropped with the shell.
    pub async fn wait(
        streams: Streams,
        login: &Login,
        password: Option<&str>,
    ) -> Result<LoginShell, Unreachable> {
        let mut wire = Wire::new(streams)?;
        match timeout(OPEN_LIMIT, wire.ready(login, password)).await {
            Ok(Ok(())) => Ok(LoginShell(wire)),
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
    ) -> Result<(Shell<Looker>, Entered), NotEntered> {
        let facts = format!("p_facts {}", word(&places.state)?);
        let entered = self.0.enter(&[PRELUDE], &facts, script, limit, || ()).await?;
        Ok((Shell { wire: self.0, key: Looker }, entered))
    }

    /// Takes the lock and the key that changes, and asks a first question in the same round trip. `locked` is called as
    /// soon as the lock is ours, while the host looks for its answer.
    pub async fn change(
        mut self,
        places: &Places,
        claim: Claim<'_>,
        script: &str,
        limit: Duration,
        locked: impl FnOnce(),
    ) -> Result<(Shell<Changer>, Entered), NotEntered> {
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
            clock::rfc3339(clock::now()),
            state = word(&places.state)?,
        );
        let entered =
            self.0.enter(&[PRELUDE, HOLDER, CHANGE], &facts, script, limit, locked).await?;
        let key = Changer::new(places.state.join("runs").join(claim.run));
        Ok((Shell { wire: self.0, key }, entered))
    }

    /// For a key that is made elsewhere in this room.
    pub(super) fn into_wire(self) -> Wire {
        self.0
    }
}

impl Default for Places {
    fn default() -> Places {
        Places { state: "/var/lib/provision".into(), runtime: "/run/provision".into() }
    }
}

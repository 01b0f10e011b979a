//! A third key, for `provision unlock` alone: it sees who works under a host's lock, and ends them or
//! frees what a run left running from it.
//!
//! It takes no lock and can do nothing else. Once the last process that inherited the lock has ended,
//! the kernel frees it.

use std::time::Duration;

use super::answer::NotEntered;
use super::fleet::Opening;
use super::holder::Holder;
use super::login::{LoginShell, Places};
use super::sentence::printable;
use super::ssh::connect;
use super::wire::{HOLDER, PRELUDE, Wire, quote, word};
use crate::ground::HostName;

/// The key.
#[derive(Debug)]
pub struct Unlocker {
    wire: Wire,
    places: Places,
}

/// What works under a host's lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Who took it.
    pub holder: Holder,
    /// Process ids with their command lines.
    pub processes: Vec<String>,
    /// Where the newest action's output is, on the host.
    pub log: Option<String>,
    /// The last lines of it.
    pub said: Vec<String>,
}

const UNLOCK: &str = include_str!("unlock.sh");
const LIMIT: Duration = Duration::from_secs(60);

/// Opens a host with this key.
///
/// # Errors
/// One sentence: why it cannot be reached.
pub async fn open(opening: &Opening, host: &HostName) -> Result<Unlocker, String> {
    let ssh = opening.hosts.get(host).ok_or("it is not to be reached: it is retired and gone")?;
    let link = connect(ssh, &opening.options).await.map_err(|why| why.sentence)?;
    let password = opening.password.as_ref().map(|password| password.0.as_str());
    let shell = link.shell(password).await.map_err(|why| why.sentence)?;
    Unlocker::take(shell, &opening.places).await
}

impl Unlocker {
    /// Takes the key.
    ///
    /// # Errors
    /// One sentence: why it was not given.
    pub async fn take(shell: LoginShell, places: &Places) -> Result<Unlocker, String> {
        let mut wire = shell.into_wire();
        match wire.enter(&[PRELUDE, HOLDER, UNLOCK], ":", ":", LIMIT, || ()).await {
            Ok(_) => Ok(Unlocker { wire, places: places.clone() }),
            Err(NotEntered::Lost(lost)) => Err(lost.to_string()),
            Err(NotEntered::Refused(why) | NotEntered::Locked(why)) => Err(why),
        }
    }

    /// Who works under the lock; `None` when nobody does.
    ///
    /// # Errors
    /// One sentence when the host was lost.
    pub async fn held(&mut self) -> Result<Option<Held>, String> {
        let lock = self.lock()?;
        let state = word(&self.places.state).map_err(|lost| lost.to_string())?;
        let text = self.ask(&format!("p_who {lock} {state}")).await?.1;
        let all = |key: &str| {
            text.lines()
                .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .map(str::to_owned)
                .collect::<Vec<String>>()
        };
        let first = |key: &str| all(key).into_iter().next();
        if first("held").is_none_or(|held| held != "yes") {
            return Ok(None);
        }
        Ok(Some(Held {
            holder: Holder::parse(&first("line").unwrap_or_default()),
            processes: all("process"),
            log: first("log"),
            said: all("said"),
        }))
    }

    /// Ends what works under the lock for a run.
    ///
    /// # Errors
    /// One sentence when something is left, or another run holds the lock by now.
    pub async fn end(&mut self, run: &str) -> Result<(), String> {
        let lock = self.lock()?;
        let run = quote(run).map_err(|lost| lost.to_string())?;
        match self.ask(&format!("p_finish {lock} {run}")).await? {
            (0, _) => Ok(()),
            (_, said) => Err(said.trim().to_owned()),
        }
    }

    /// Frees the lock of what a run left running after it had ended, which lives on.
    ///
    /// # Errors
    /// One sentence when the run's work goes on, or another run holds the lock by now.
    pub async fn leave(&mut self, run: &str) -> Result<(), String> {
        let lock = self.lock()?;
        let state = word(&self.places.state).map_err(|lost| lost.to_string())?;
        let run = quote(run).map_err(|lost| lost.to_string())?;
        match self.ask(&format!("p_leave {lock} {state} {run}")).await? {
            (0, _) => Ok(()),
            (_, said) => Err(said.trim().to_owned()),
        }
    }

    fn lock(&self) -> Result<String, String> {
        word(&self.places.runtime.join("lock")).map_err(|lost| lost.to_string())
    }

    async fn ask(&mut self, script: &str) -> Result<(i32, String), String> {
        let reply = self.wire.ask(script, LIMIT).await.map_err(|lost| lost.to_string())?;
        Ok((reply.status, printable(&reply.stdout)))
    }
}

//! All hosts of a run, each with its shell: the two keys as the rest of the program holds them.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, Semaphore};
use tokio::task::JoinSet;

use super::answer::Ended;
use super::host_shell::HostShell;
pub use super::opening::{Key, OpenedFleet, Opening, change, look};
pub use super::secrets::{Password, Secrets};
use super::shell::{Changer, PROBE_LIMIT};
use super::{Ask, Change};
use crate::ground::HostName;
use crate::script::{Comparison, Fix, Probe, Push, Sections};

/// Shells on hosts, each used by one request at a time.
#[derive(Debug)]
pub struct Fleet<K> {
    hosts: BTreeMap<HostName, Mutex<HostShell<K>>>,
    /// After how many seconds each had answered.
    answered: BTreeMap<HostName, f64>,
    opening: Opening,
    secrets: std::sync::Mutex<Secrets>,
    /// Who may send a local file.
    uploads: Semaphore,
}

/// Local files are sent to so many hosts at once.
const UPLOADS: usize = 4;

impl<K: Key> Fleet<K> {
    pub(super) fn new(opening: Opening, secrets: Secrets) -> Fleet<K> {
        let uploads = Semaphore::new(UPLOADS);
        let (hosts, answered) = (BTreeMap::new(), BTreeMap::new());
        Fleet { hosts, answered, opening, secrets: secrets.into(), uploads }
    }

    pub(super) fn add(&mut self, host: HostName, shell: HostShell<K>, answered: f64) {
        self.answered.insert(host.clone(), answered);
        self.hosts.insert(host, Mutex::new(shell));
    }

    /// Ends all shells, and with them the locks that they hold.
    pub async fn close(self) {
        let mut tasks = JoinSet::new();
        for shell in self.hosts.into_values() {
            tasks.spawn(shell.into_inner().close());
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Gives secrets that were looked up after the hosts were opened.
    pub fn hold(&self, secrets: Secrets) {
        *self.secrets.lock().unwrap_or_else(PoisonError::into_inner) = secrets;
    }

    fn secrets(&self) -> Secrets {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a host was reached.
    pub fn has(&self, host: &HostName) -> bool {
        self.hosts.contains_key(host)
    }

    async fn shell(&self, host: &HostName) -> Result<MutexGuard<'_, HostShell<K>>, String> {
        let shell = self.hosts.get(host);
        Ok(shell.ok_or_else(|| format!("there is no connection to {host}"))?.lock().await)
    }
}

impl<K: Key> Ask for Fleet<K> {
    fn answered_after(&self, host: &HostName) -> Option<f64> {
        self.answered.get(host).copied()
    }

    async fn ask(
        &self,
        host: &HostName,
        probe: &Probe,
        limit: Duration,
    ) -> Result<Sections, String> {
        let nonce = self.opening.options.nonces.fresh();
        let script = probe.script(&nonce);
        let reply = self.shell(host).await?.ask(&self.opening, &script, limit).await?;
        Ok(probe.read(&nonce, &String::from_utf8_lossy(&reply.stdout))?)
    }
}

impl Change for Fleet<Changer> {
    async fn run(&self, host: &HostName, name: &str, fix: &Fix) -> Result<Ended, String> {
        let script = self.script(fix)?;
        self.shell(host).await?.run(&self.opening, name, &script).await
    }

    async fn reboot(&self, host: &HostName, name: &str, fix: &Fix) -> Result<Ended, String> {
        let script = self.script(fix)?;
        self.shell(host).await?.reboot(&self.opening, name, &script).await
    }

    async fn push(&self, host: &HostName, push: &Push) -> Result<Ended, String> {
        self.shell(host).await?.push(&self.opening, push, &self.uploads).await
    }
}

impl Fleet<Changer> {
    fn script(&self, fix: &Fix) -> Result<String, String> {
        Ok(format!(
            "PROVISION_BACKUP={}/backup/{}\n{}",
            self.opening.places.state.display(),
            self.opening.run,
            self.secrets().fill(|reveal| fix.script(reveal))?
        ))
    }

    /// What a script prints that only looks, and needs secrets to compare.
    ///
    /// # Errors
    /// One sentence when the host gave no answer.
    pub async fn compare(&self, host: &HostName, with: &Comparison) -> Result<String, String> {
        let script = self.secrets().fill(|reveal| with.script(reveal))?;
        let reply = self.shell(host).await?.ask(&self.opening, &script, PROBE_LIMIT).await?;
        Ok(String::from_utf8_lossy(&reply.stdout).into_owned())
    }
}

//! Sending files of this machine to hosts.

use std::path::{Path, PathBuf};

use tokio::sync::Semaphore;

use super::answer::{Ended, Lost};
use super::host_shell::{HostShell, Uptime, rebooted};
use super::opening::Opening;
use super::sentence::printable;
use super::shell::{ACTION_LIMIT, Changer, PROBE_LIMIT, Upload};
use crate::script::{Push, quote};

impl HostShell<Changer> {
    /// Sends a file, unless it is there, when one of the slots is free.
    pub(super) async fn push(
        &mut self,
        opening: &Opening,
        push: &Push,
        slots: &Semaphore,
    ) -> Result<Ended, String> {
        let sent = match self.send(opening, push, slots).await {
            // A file arrives whole or not at all.
            Err(Lost::Gone { .. }) => self.send(opening, push, slots).await,
            other => other,
        };
        if self.uptime == Uptime::Rebooted {
            return Err(rebooted("before", &format!("sending {}", push.name)));
        }
        sent.map_err(|lost| lost.to_string())
    }

    async fn send(
        &mut self,
        opening: &Opening,
        push: &Push,
        slots: &Semaphore,
    ) -> Result<Ended, Lost> {
        let unusable = |why: String| Lost::Unusable { why };
        let shell = self.usable(opening).await.map_err(unusable)?;
        let ended = |status, output_tail| Ended { status, output_tail, log: PathBuf::new() };
        // Its name holds its digest, and it is only ever renamed into place whole.
        let there = format!("[ -f {} ]", quote(&format!("{}/{}", push.directory, push.name)));
        if shell.ask(&there, PROBE_LIMIT).await?.status == 0 {
            return Ok(ended(0, String::new()));
        }
        let slot = slots.acquire().await;
        let _slot = slot.map_err(|error| unusable(error.to_string()))?;
        let local = |error: std::io::Error| Lost::Unusable {
            why: format!("{} cannot be read: {error}", push.from.display()),
        };
        let file = tokio::fs::File::open(&push.from).await.map_err(local)?;
        let bytes = file.metadata().await.map_err(local)?.len();
        let upload = Upload {
            directory: Path::new(&push.directory),
            name: &push.name,
            bytes,
            digest: &push.digest,
            mode: 0o644,
        };
        let reply = shell.push(file, &upload, ACTION_LIMIT).await?;
        Ok(ended(reply.status, printable(&reply.stdout)))
    }
}

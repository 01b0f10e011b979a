//! The keys of a twin: the one that opens its hosts, and those that its hosts show.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, bail};
use tokio::process::Command;

use super::container::Ready;
use crate::local::files::{self, Readers};

/// The key that opens a twin; its public half.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) public: String,
}

/// File of the private key in a twin's directory.
pub(super) const IDENTITY: &str = "id_ed25519";
/// File of the host keys in a twin's directory.
pub(super) const KNOWN_HOSTS: &str = "known_hosts";

/// The twin's key, made where it is missing.
pub(super) async fn key(dir: &Path) -> anyhow::Result<Key> {
    let private = dir.join(IDENTITY);
    if !private.exists() {
        let program = which::which("ssh-keygen").map_err(|_| {
            anyhow::anyhow!("there is no `ssh-keygen` command: apt-get install openssh-client")
        })?;
        let output = Command::new(program)
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "provision-lab", "-f"])
            .arg(&private)
            .stdin(Stdio::null())
            .output()
            .await
            .context("cannot run ssh-keygen")?;
        if !output.status.success() {
            bail!("ssh-keygen: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
    }
    let public = private.with_extension("pub");
    let public = std::fs::read_to_string(&public)
        .with_context(|| format!("cannot read {}", public.display()))?;
    Ok(Key { public: public.trim().to_owned() })
}

/// Replaces the file of host keys, whole.
pub(super) fn write_known_hosts(dir: &Path, hosts: &[Ready]) -> anyhow::Result<()> {
    let mut lines: Vec<String> =
        hosts.iter().map(|h| format!("{},{} {}\n", h.host, h.address, h.host_key)).collect();
    lines.sort();
    files::replace(&dir.join(KNOWN_HOSTS), lines.concat(), Readers::Us)
        .context("cannot write the twin's known_hosts")
}

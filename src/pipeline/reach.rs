//! How hosts are opened: who logs in, which keys are believed, sudo's password.

use std::collections::BTreeMap;

use anyhow::Context;

use super::arguments::Reach;
use crate::ground::HostName;
use crate::inventory::{Inventory, Retired, Ssh};
use crate::remote::fleet::{Opening, Password};
use crate::remote::open_files;
use crate::remote::shell::Places;
use crate::remote::ssh::{Options, UnknownKeys};

/// How all hosts are opened; hosts that are gone are not.
///
/// # Errors
/// When sudo's password cannot be had, this machine's own directories cannot be made, or so many hosts cannot be open at
/// once.
pub fn opening(inventory: &Inventory, reach: &Reach, run: &str) -> anyhow::Result<Opening> {
    let gone = |host: &HostName| inventory.retired.get(host) == Some(&Retired::Gone);
    let hosts = inventory
        .hosts
        .iter()
        .filter(|(name, _)| !gone(name))
        .map(|(name, host)| (name.clone(), host.ssh.clone()))
        .collect();
    opening_of(hosts, reach, run)
}

/// The same of hosts that are in no inventory yet.
///
/// # Errors
/// As [`opening`].
pub fn opening_of(
    hosts: BTreeMap<HostName, Ssh>,
    reach: &Reach,
    run: &str,
) -> anyhow::Result<Opening> {
    let keys = if reach.accept_new_host_keys { UnknownKeys::Accept } else { UnknownKeys::Refuse };
    open_files::suffice_for(hosts.len()).map_err(anyhow::Error::msg)?;
    let options = Options::new(keys).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(Opening {
        hosts,
        options,
        password: password(reach)?.map(Password),
        places: Places::default(),
        run: run.to_owned(),
        by: std::env::var("SUDO_USER")
            .or_else(|_| std::env::var("USER"))
            .or_else(|_| std::env::var("LOGNAME"))
            .unwrap_or_else(|_| "somebody".to_owned()),
        from: std::fs::read_to_string("/etc/hostname")
            .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned()),
    })
}

fn password(reach: &Reach) -> anyhow::Result<Option<String>> {
    if let Some(path) = &reach.become_password_file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        return Ok(text.lines().next().map(str::to_owned));
    }
    if reach.ask_become_pass {
        let password = rpassword::prompt_password("sudo password: ")
            .context("sudo's password cannot be asked for without a terminal")?;
        return Ok(Some(password));
    }
    Ok(None)
}

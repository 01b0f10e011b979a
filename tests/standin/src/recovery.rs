//! An agent's identity on disk, and whether it may be kept.
//! Source: src/slave/slave.cpp and compatibility.cpp at 1.11.0; texts as recorded.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::flags::Flags;
use crate::info::AgentInfo;
use crate::log;
use crate::values::{Attribute, Resource, Value};

/// The recovered id, if there is one and the agent is still what it was; ends the agent otherwise.
pub(crate) fn recover(flags: &Flags, new: &AgentInfo) -> Option<String> {
    let meta = meta(flags);
    log::info("state.cpp:68", &format!("Recovering state from '{}'", meta.display()));
    let Some(old) = read(&meta) else {
        let text = format!("Failed to find the latest agent from '{}'", meta.display());
        log::info("state.cpp:112", &text);
        return None;
    };
    let id = old.id.clone()?;
    let new = AgentInfo { id: old.id.clone(), ..new.clone() };
    let verdict = match flags.text("reconfiguration_policy") {
        Some("additive") => additive(&old, &new).map_err(|reason| {
            format!("Configuration change not permitted under 'additive' policy: {reason}")
        }),
        _ if old.same(&new) => Ok(()),
        _ => Err(incompatible(&old, &new)),
    };
    match verdict {
        Ok(()) => Some(id),
        // After a reboot no executor can be alive: the agent starts anew (1.4.0 and later).
        Err(_) if rebooted(&meta) => {
            log::info("slave.cpp:7790", "Agent host rebooted; starting as a new agent");
            None
        }
        Err(reason) => fail(flags, &reason),
    }
}

/// Ends the agent the way every failed recovery does: the advice is always the same.
pub(crate) fn fail(flags: &Flags, reason: &str) -> ! {
    let latest = meta(flags).join("slaves/latest");
    log::exit_with(
        "slave.cpp:8366",
        &format!(
            "Failed to perform recovery: {reason}\n\
             If recovery failed due to a change in configuration and you want to\n\
             keep the current agent id, you might want to change the\n\
             `--reconfiguration_policy` flag to a more permissive value.\n\
             \n\
             To restart this agent with a new agent id instead, do as follows:\n\
             rm -f {}\n\
             This ensures that the agent does not recover old live executors.\n\
             \n\
             If you use the Docker containerizer and think that the Docker\n\
             daemon state is broken, you can try to clear it. But be careful:\n\
             these commands will erase all containers and images from this host,\n\
             not just those started by Mesos!\n\
             docker kill $(docker ps -q)\n\
             docker rm $(docker ps -a -q)\n\
             docker rmi $(docker images -q)\n\
             \n\
             Finally, restart the agent.",
            latest.display()
        ),
    )
}

/// Writes the identity that the master gave or confirmed.
pub(crate) fn save(flags: &Flags, info: &AgentInfo) -> std::io::Result<()> {
    let meta = meta(flags);
    let id = info.id.as_deref().unwrap_or_default();
    let directory = meta.join("slaves").join(id);
    std::fs::create_dir_all(&directory)?;
    std::fs::create_dir_all(work_dir(flags).join("slaves").join(id))?;
    replace(&directory.join("slave.info"), info.to_json().to_string().as_bytes())?;
    replace(&meta.join("boot_id"), boot_id().as_bytes())?;
    let latest = meta.join("slaves/latest");
    let fresh = meta.join("slaves/.latest");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(&directory, &fresh)?;
    std::fs::rename(fresh, latest)
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, bytes)?;
    std::fs::rename(fresh, path)
}

fn work_dir(flags: &Flags) -> PathBuf {
    PathBuf::from(flags.text("work_dir").unwrap_or_default())
}

fn meta(flags: &Flags) -> PathBuf {
    work_dir(flags).join("meta")
}

fn read(meta: &Path) -> Option<AgentInfo> {
    let text = std::fs::read_to_string(meta.join("slaves/latest/slave.info")).ok()?;
    AgentInfo::of_json(&serde_json::from_str(&text).ok()?)
}

fn rebooted(meta: &Path) -> bool {
    let before = std::fs::read_to_string(meta.join("boot_id")).unwrap_or_default();
    !before.is_empty() && before != boot_id()
}

fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

fn incompatible(old: &AgentInfo, new: &AgentInfo) -> String {
    let rule = "-".repeat(60);
    let (old, new) = (old.debug_string(), new.debug_string());
    format!(
        "Incompatible agent info detected.\n\n{rule}\nOld agent info:\n{old}\n\n{rule}\n\
         New agent info:\n{new}\n\n{rule}"
    )
}

/// What may change under `additive`: more of anything, less of nothing.
fn additive(old: &AgentInfo, new: &AgentInfo) -> Result<(), String> {
    if old.hostname != new.hostname {
        return Err(format!("Agent hostname changed from {} to {}", old.hostname, new.hostname));
    }
    if old.port != new.port {
        return Err(format!("Agent port changed from {} to {}", old.port, new.port));
    }
    for attribute in &old.attributes {
        let now = new.attributes.iter().find(|other| other.name == attribute.name);
        attribute_widened(attribute, now.map(|now| &now.value))?;
    }
    for resource in &old.resources {
        let same = |other: &&Resource| other.name == resource.name && other.role == resource.role;
        let now = new.resources.iter().find(same).map(|other| &other.value);
        if !now.is_some_and(|now| contains(now, &resource.value)) {
            return Err(format!(
                "New resources do not contain the old ones: {} was {}",
                resource.name,
                resource.value.print()
            ));
        }
    }
    Ok(())
}

fn attribute_widened(old: &Attribute, now: Option<&Value>) -> Result<(), String> {
    let name = &old.name;
    let Some(now) = now else {
        return Err(format!("Couldn't find attribute '{name}' in the new configuration"));
    };
    let changed = |kind: &str| {
        let (from, to) = (old.value.print(), now.print());
        Err(format!("Value of {kind} attribute '{name}' changed from {from} to {to}"))
    };
    match (&old.value, now) {
        (before, now) if before == now => Ok(()),
        (Value::Text(_), Value::Text(_)) => changed("text"),
        (Value::Scalar(_), Value::Scalar(_)) => changed("scalar"),
        (Value::Ranges(_), Value::Ranges(_)) if contains(now, &old.value) => Ok(()),
        (Value::Ranges(_), Value::Ranges(_)) => changed("ranges"),
        _ => Err(format!("Type of attribute '{name}' changed")),
    }
}

fn contains(now: &Value, old: &Value) -> bool {
    match (now, old) {
        (Value::Scalar(now), Value::Scalar(old)) => now >= old,
        (Value::Ranges(now), Value::Ranges(old)) => {
            old.iter().all(|old| now.iter().any(|now| now.0 <= old.0 && old.1 <= now.1))
        }
        (Value::Set(now), Value::Set(old)) => old.iter().all(|item| now.contains(item)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values;

    fn info(attributes: &str, resources: &str) -> AgentInfo {
        AgentInfo {
            id: Some("m-S0".to_owned()),
            hostname: "a".to_owned(),
            port: 5051,
            resources: values::resources(resources, "*").expect("good resources"),
            attributes: values::attributes(attributes).expect("good attributes"),
        }
    }

    #[test]
    fn additive_allows_more_and_refuses_less() {
        let old = info("rack:r2", "cpus:2;ports:[1-5]");
        assert_eq!(additive(&old, &info("rack:r2;zone:z1", "cpus:3;ports:[1-9];mem:5")), Ok(()));
        assert_eq!(
            additive(&old, &info("rack:r9", "cpus:2;ports:[1-5]")),
            Err("Value of text attribute 'rack' changed from r2 to r9".to_owned())
        );
        assert!(additive(&old, &info("rack:r2", "cpus:1;ports:[1-5]")).is_err());
        assert!(additive(&old, &info("rack:r2", "cpus:2;ports:[1-4]")).is_err());
        assert!(additive(&old, &info("zone:z", "cpus:2;ports:[1-5]")).is_err());
    }
}

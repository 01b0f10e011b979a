//! The value of one flag: the grammar of its type, and what single flags ask beyond it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Finding;
use super::flags::{Component, Flag, ValueKind, find};
use super::roles;
use super::units::{Bytes, Rate, parse_bool, parse_duration, parse_percent};
use super::values::{Attributes, Resources};
use super::versions::Version;

/// Checks a value against its flag.
pub(super) fn check(flag: &Flag, value: &str, version: &Version) -> Result<(), Finding> {
    let name = &flag.name;
    // From 0.22.0 any value may stand in a file; what is in it nobody sees here.
    if value.starts_with("file://") && version.at_least(&[0, 22]) {
        return match value.strip_prefix("file:///") {
            Some(path) if !path.is_empty() => Ok(()),
            _ => Err(Finding::error(format!("{name}: `{value}` names no absolute path"))
                .help("write file:///path/to/file")),
        };
    }
    typed(flag, value, version).map_err(|why| Finding::error(format!("{name}: {why}")))?;
    single(flag, value, version)
}

fn typed(flag: &Flag, value: &str, version: &Version) -> Result<(), String> {
    if value.contains('\0') {
        return Err("the value holds a NUL, which never reaches the daemon".to_owned());
    }
    if value.starts_with(char::is_whitespace) {
        return Err("the value begins with a blank, which the daemon keeps".to_owned());
    }
    match flag.kind_of_value {
        ValueKind::Bool => parse_bool(value).map(drop),
        ValueKind::Bytes => value.parse::<Bytes>().map(drop),
        ValueKind::Double => match value.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(()),
            _ => Err(format!("`{value}` is not a number")),
        },
        ValueKind::Duration => parse_duration(value).map(drop),
        // Every such flag is a count, a limit or a port: stout would take -1 for a huge number.
        ValueKind::Int => match value.parse::<u32>() {
            Ok(number) if flag.name == "port" && !(1..=65535).contains(&number) => {
                Err(format!("`{value}` is not a port"))
            }
            Ok(_) => Ok(()),
            Err(_) => Err(format!("`{value}` is not a whole number from 0 on")),
        },
        ValueKind::IntList => match value.split(',').all(|number| number.parse::<u32>().is_ok()) {
            true => Ok(()),
            false => Err(format!("`{value}` is not a list of whole numbers, comma separated")),
        },
        ValueKind::Json if value.starts_with('/') => Ok(()),
        ValueKind::Json => match serde_json::from_str::<serde_json::Value>(value) {
            Ok(json) if json.is_object() || json.is_array() => Ok(()),
            Ok(_) => Err("the value is neither a JSON object nor a path to one".to_owned()),
            Err(why) => Err(format!("the value is neither JSON nor an absolute path: {why}")),
        },
        ValueKind::Path if value.is_empty() => {
            Err("the value is empty, and a path is wanted".into())
        }
        ValueKind::Path if version.at_least(&[0, 22]) || value.starts_with('/') => Ok(()),
        // Before 0.22 these were text, read as a path with or without file://.
        ValueKind::Path => match value.starts_with("file:///") || flag.name == "whitelist" {
            true => Ok(()),
            false => Err(format!("`{value}` is not an absolute path")),
        },
        ValueKind::Percent => parse_percent(value).map(drop),
        ValueKind::Rate => value.parse::<Rate>().map(drop),
        ValueKind::Set => comma_list(value).map(drop),
        ValueKind::Text => Ok(()),
    }
}

fn single(flag: &Flag, value: &str, version: &Version) -> Result<(), Finding> {
    let name = flag.name.as_str();
    let say = |why: String| Finding::error(format!("{name}: {why}"));
    match name {
        "containerizers" => containerizers(value, version).map_err(say),
        "isolation" => no_twice(comma_list(value).map_err(say)?).map_err(say),
        "image_providers" | "authenticators" | "authorizers" => {
            comma_list(value).map(drop).map_err(say)
        }
        "reconfiguration_policy" => one_of(value, &["equal", "additive"]).map_err(say),
        "recover" => one_of(value, &["reconnect", "cleanup"]).map_err(say),
        "launcher" => one_of(value, &["linux", "posix"]).map_err(say),
        "logging_level" => one_of(value, &["INFO", "WARNING", "ERROR"]).map_err(say),
        "registry" => one_of(value, &["replicated_log", "in_memory"]).map_err(say),
        "framework_sorter" | "role_sorter" | "user_sorter" => sorter(value, version).map_err(say),
        // Source: Mesos `src/master/constants.hpp`, MIN_AGENT_REREGISTER_TIMEOUT.
        "agent_reregister_timeout" | "slave_reregister_timeout" => match parse_duration(value) {
            Ok(timeout) if timeout < Duration::from_secs(600) => {
                Err(say("the master stops on less than 10mins".to_owned()))
            }
            _ => Ok(()),
        },
        "registry_strict" if version.at_least(&[1, 0]) && parse_bool(value) == Ok(true) => {
            Err(say(format!("Mesos {version} refuses true")))
        }
        "quorum" if value.parse() == Ok(0_u32) => Err(say("a quorum of 0 is none".to_owned())),
        "attributes" => Attributes::parse(value, version).map(drop).map_err(say),
        "resources" => Resources::parse(value, version).map(drop).map_err(say),
        "default_role" => roles::check_name(value, version).map_err(say),
        "weights" => roles::check_weights(value, version).map_err(say),
        "roles" => {
            value.split(',').try_for_each(|role| roles::check_name(role, version)).map_err(say)
        }
        "work_dir" if value.is_empty() => Err(say("the value is empty".to_owned())),
        "work_dir" | "log_dir" if !value.starts_with('/') && !value.is_empty() => {
            Err(Finding::warning(format!(
                "{name}: `{value}` is not absolute and depends on where the daemon is started"
            )))
        }
        _ => Ok(()),
    }
}

/// Cut at commas without trimming in every release.
fn comma_list(value: &str) -> Result<Vec<&str>, String> {
    let items: Vec<&str> = value.split(',').collect();
    match items.iter().find(|item| item.is_empty() || item.trim() != **item) {
        None => Ok(items),
        Some(item) => Err(format!(
            "`{item}` is an item of the list `{value}`; write items with a comma and no blanks between"
        )),
    }
}

fn no_twice(items: Vec<&str>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match items.into_iter().find(|item| !seen.insert(*item)) {
        Some(item) => Err(format!("{item} is in the list twice")),
        None => Ok(()),
    }
}

fn containerizers(value: &str, version: &Version) -> Result<(), String> {
    let items = comma_list(value)?;
    for item in &items {
        match *item {
            "docker" | "mesos" => {}
            "external" if !version.at_least(&[1, 1]) => {}
            "external" => {
                return Err("Mesos 1.0 was the last with the external containerizer".into());
            }
            other => {
                return Err(format!("`{other}` is no containerizer; there are docker and mesos"));
            }
        }
    }
    if version.at_least(&[1, 0, 1]) { no_twice(items) } else { Ok(()) }
}

fn sorter(value: &str, version: &Version) -> Result<(), String> {
    match value {
        "drf" => Ok(()),
        // It came with `role_sorter`, which was ported back to some releases and not to others.
        "random"
            if find(Component::Master, "role_sorter").is_some_and(|r| r.exists_in(version)) =>
        {
            Ok(())
        }
        "random" => Err(format!("Mesos {version} has no sorter but drf")),
        other => Err(format!("`{other}` is no sorter; there are drf and random")),
    }
}

fn one_of(value: &str, words: &[&str]) -> Result<(), String> {
    match words.contains(&value) {
        true => Ok(()),
        false => Err(format!("`{value}` is not one of {}", words.join(", "))),
    }
}

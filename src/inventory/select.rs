//! `-l host,glob*,@pool,!x`: which hosts an operation may change.

use std::collections::BTreeSet;

use wildmatch::WildMatch;

use super::decode::nearest;
use super::{Inventory, Part, ranges};
use crate::ground::HostName;

/// The hosts that a selection names: commas (or colons) between its parts, `!` before what is taken out,
/// `&` before what all must be in.
///
/// A part is a host, a range, a glob with `*` and `?`, `all`, or `@` with a pool or one of `masters`,
/// `zookeeper`, `agents`, `clients`, `dispatchers`, `history`, `shuffle`. Where nothing is named first, all hosts are meant.
///
/// # Errors
/// One sentence: a part that matches nothing is a mistake, and so is a selection of nobody.
pub fn select(inventory: &Inventory, text: &str) -> Result<BTreeSet<HostName>, String> {
    let parts = parts(text);
    if parts.is_empty() {
        return Err("the selection is empty".to_owned());
    }
    let named = |part: &&&str| !part.starts_with(['!', '&']);
    let mut chosen: BTreeSet<HostName> = match parts.iter().any(|part| named(&part)) {
        true => BTreeSet::new(),
        false => inventory.hosts.keys().cloned().collect(),
    };
    for part in parts.iter().filter(named) {
        chosen.extend(matching(inventory, part)?);
    }
    for part in parts.iter().filter_map(|part| part.strip_prefix('&')) {
        let within = matching(inventory, part)?;
        chosen.retain(|host| within.contains(host));
    }
    for part in parts.iter().filter_map(|part| part.strip_prefix('!')) {
        for host in matching(inventory, part)? {
            chosen.remove(&host);
        }
    }
    if chosen.is_empty() {
        return Err(format!("`{text}` selects no host"));
    }
    Ok(chosen)
}

/// What stands between commas, or between colons outside of brackets.
fn parts(text: &str) -> Vec<&str> {
    let mut within = false;
    let split = text.split(move |c: char| {
        within = c == '[' || (within && c != ']');
        c == ',' || (c == ':' && !within)
    });
    split.map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn matching(inventory: &Inventory, part: &str) -> Result<BTreeSet<HostName>, String> {
    let found: BTreeSet<HostName> = if let Some(group) = part.strip_prefix('@') {
        members(inventory, group)
    } else if part.contains('[') {
        let names = ranges::expand(part)?;
        let known = |name: &String| {
            let name = HostName::new(name);
            inventory.hosts.contains_key(&name).then_some(name)
        };
        names.iter().filter_map(known).collect()
    } else {
        let glob = WildMatch::new(part);
        let hosts = inventory.hosts.keys();
        let found: BTreeSet<HostName> =
            hosts.clone().filter(|host| glob.matches(host.as_str())).cloned().collect();
        if part == "all" && found.is_empty() { hosts.cloned().collect() } else { found }
    };
    if found.is_empty() {
        return Err(match instead(inventory, part) {
            Some(help) => format!("`{part}` matches no host of the inventory; {help}"),
            None => format!("`{part}` matches no host of the inventory"),
        });
    }
    Ok(found)
}

/// What was meant by a part that matches nothing.
fn instead(inventory: &Inventory, part: &str) -> Option<String> {
    if !members(inventory, part).is_empty() {
        return Some(format!("write `@{part}` for that group"));
    }
    if part.starts_with('~') {
        return Some("write a glob with `*` and `?`".to_owned());
    }
    let Some(group) = part.strip_prefix('@') else {
        let hosts = inventory.hosts.keys().map(HostName::as_str);
        return nearest(part, hosts).map(|near| format!("did you mean `{near}`?"));
    };
    if group.contains(['.', '/']) {
        return Some(format!("hosts of a file are given as -l \"$(paste -sd, {group})\""));
    }
    let mut groups: Vec<String> =
        Part::ALL.into_iter().map(|part| format!("@{}", part.group())).collect();
    groups.extend(inventory.mesos.pools.keys().map(|pool| format!("@{pool}")));
    Some(format!("groups are {}", groups.join(", ")))
}

fn members(inventory: &Inventory, group: &str) -> BTreeSet<HostName> {
    if let Some(pool) = inventory.mesos.pools.get(group) {
        return pool.agents.keys().cloned().collect();
    }
    let part = Part::ALL.into_iter().find(|part| part.group() == group);
    part.map(|part| inventory.hosts_of(part).cloned().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_tried_at_every_length() {
        let matches = |pattern: &str, text: &str| WildMatch::new(pattern).matches(text);
        assert!(matches("*1", "a1b1"));
        assert!(matches("*", ""));
        assert!(matches("a*b*c", "axxbxbxc"));
        assert!(matches("?1*", "m1"));
        assert!(!matches("a*b", "axxc"));
        assert!(!matches("?", ""));
        assert!(!matches("a", "ab"));
    }
}

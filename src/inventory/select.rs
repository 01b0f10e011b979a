//! `-l host,glob*,@pool,!x`: which hosts an operation may change.

use std::collections::BTreeSet;

use super::{HostName, Inventory, ZooKeeper, ranges};

/// The hosts that a selection names, commas between its parts, `!` before what is taken out.
///
/// A part is a host, a range, a glob with `*` and `?`, or `@` with a pool or one of `masters`,
/// `zookeeper`, `agents`, `clients`, `dispatchers`. Only exclusions select from all hosts.
///
/// # Errors
/// One sentence: a part that matches nothing is a mistake, and so is a selection of nobody.
pub fn select(inventory: &Inventory, text: &str) -> Result<BTreeSet<HostName>, String> {
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|p| !p.is_empty()).collect();
    let (out, wanted): (Vec<&str>, Vec<&str>) = parts.iter().partition(|p| p.starts_with('!'));
    if parts.is_empty() {
        return Err("the selection is empty".to_owned());
    }
    let mut chosen: BTreeSet<HostName> = match wanted.is_empty() {
        true => inventory.hosts.keys().cloned().collect(),
        false => BTreeSet::new(),
    };
    for part in wanted {
        chosen.extend(matching(inventory, part)?);
    }
    for part in out {
        for host in matching(inventory, &part[1..])? {
            chosen.remove(&host);
        }
    }
    if chosen.is_empty() {
        return Err(format!("`{text}` selects no host"));
    }
    Ok(chosen)
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
        let pattern: Vec<char> = part.chars().collect();
        inventory.hosts.keys().filter(|h| glob(&pattern, h.as_str())).cloned().collect()
    };
    if found.is_empty() {
        return Err(format!("`{part}` matches no host of the inventory"));
    }
    Ok(found)
}

fn members(inventory: &Inventory, group: &str) -> BTreeSet<HostName> {
    if let Some(pool) = inventory.mesos.pools.get(group) {
        return pool.agents.keys().cloned().collect();
    }
    let spark = inventory.spark.as_ref();
    match group {
        "masters" => inventory.mesos.masters.clone(),
        "agents" => inventory.agents().map(|(_, host, _)| host.clone()).collect(),
        "zookeeper" => match &inventory.zookeeper {
            ZooKeeper::Managed { servers, .. } => servers.keys().cloned().collect(),
            ZooKeeper::External { .. } => BTreeSet::new(),
        },
        "clients" => spark.map(|s| s.clients.clone()).unwrap_or_default(),
        "dispatchers" => {
            let dispatcher = spark.and_then(|s| s.dispatcher.as_ref());
            dispatcher.map(|d| d.hosts.clone()).unwrap_or_default()
        }
        _ => BTreeSet::new(),
    }
}

/// `*` and `?`; linear in practice: only the last star is tried again.
fn glob(pattern: &[char], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_tried_at_every_length() {
        let matches =
            |pattern: &str, text: &str| glob(&pattern.chars().collect::<Vec<char>>(), text);
        assert!(matches("*1", "a1b1"));
        assert!(matches("*", ""));
        assert!(matches("a*b*c", "axxbxbxc"));
        assert!(matches("?1*", "m1"));
        assert!(!matches("a*b", "axxc"));
        assert!(!matches("?", ""));
        assert!(!matches("a", "ab"));
    }
}

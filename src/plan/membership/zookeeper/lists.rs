//! The lists that servers run with: which there are, and from which of them a change goes on.

use std::collections::BTreeMap;

use super::super::{Refusal, named};
use crate::ground::HostName;
use crate::health::{Running, Server};
use crate::inventory::Inventory;

/// A list of servers.
pub(super) type List = BTreeMap<HostName, u8>;

/// The list of each server that is of the ensemble, by names of hosts: of those that run, or of all where nobody
/// does. While some serve, one that none of those counts is outside, whatever its own list says: it stands alone,
/// was about to join, or has left. It becomes a member or none like any other that has no list.
pub(super) fn read(
    running: &Running,
    inventory: &Inventory,
) -> Result<BTreeMap<HostName, List>, Refusal> {
    let up = |server: &Server| server.answers || server.runs;
    let any = running.servers.values().any(|server| up(server) && !server.list.is_empty());
    let serving = || running.servers.iter().filter(|(_, server)| server.serves);
    let counted = |host: &HostName| {
        let at = inventory.hosts.get(host).map(|it| it.address.to_string());
        let mut others = serving().filter(|(other, _)| *other != host);
        others.any(|(_, other)| other.list.values().any(|address| Some(address) == at.as_ref()))
    };
    let ensemble = serving().any(|(host, _)| counted(host));
    let alone = serving().next().is_some();
    let counts = |(host, server): &(&HostName, &Server)| {
        let inside = match (ensemble, alone) {
            (true, _) => counted(host),
            (false, true) => server.serves,
            (false, false) => true,
        };
        (up(server) || !any) && !server.list.is_empty() && inside
    };
    let by_address: BTreeMap<String, &HostName> =
        inventory.hosts.iter().map(|(name, host)| (host.address.to_string(), name)).collect();
    let mut lists = BTreeMap::new();
    for (name, server) in running.servers.iter().filter(counts) {
        let mut list = List::new();
        for (id, address) in &server.list {
            let host = by_address.get(address).copied().ok_or_else(|| {
                Refusal::new(format!(
                    "server {id} at {address} is in the ensemble's list and is no host of this inventory; put its host back and name it under `retired` (`{{NAME: gone}}` if it will never answer)"
                ))
            })?;
            list.insert(host.clone(), *id);
        }
        lists.insert(name.clone(), list);
    }
    Ok(lists)
}

/// Every list in use, the shortest first.
pub(super) fn distinct(own: &BTreeMap<HostName, List>) -> Vec<List> {
    let mut lists: Vec<List> = Vec::new();
    for list in own.values().filter(|list| !list.is_empty()) {
        if !lists.contains(list) {
            lists.push(list.clone());
        }
    }
    lists.sort_by_key(List::len);
    lists
}

/// A number stands for a server's votes and data: it never changes its host, nor a host its number.
pub(super) fn renumbered(list: &List, wanted: &List) -> Result<(), Refusal> {
    for (host, id) in list {
        if let Some(new) = wanted.get(host).filter(|new| *new != id) {
            // One that stands alone says no number.
            if *id == 0 {
                continue;
            }
            return Err(Refusal::new(format!(
                "{host} is server {id} of the ensemble and would become {new}, and would stay out of it; write {host}: {id} again, or let it leave first and join under a new number later"
            )));
        }
        if let Some((other, _)) = wanted.iter().find(|(other, new)| *new == id && *other != host) {
            return Err(Refusal::new(format!(
                "server {id} of the ensemble is {host}, and {other} would take its number; give {other} a number that no server has had"
            )));
        }
    }
    Ok(())
}

/// The list from which the ensemble's change goes on: of two that differ by one server the one that the change
/// in progress ends with, or, where the inventory wants that one no more, the one without it.
pub(super) fn current(lists: &[List], wanted: &List) -> Result<List, Refusal> {
    match lists {
        [] => Ok(wanted.clone()),
        [list] => Ok(list.clone()),
        [short, long] => {
            let within = short.iter().all(|(host, id)| long.get(host) == Some(id) || *id == 0);
            let more: Vec<&HostName> =
                long.keys().filter(|host| !short.contains_key(*host)).collect();
            match more[..] {
                // Out of standing alone it goes with a majority of the new list at once.
                [one] if within && short.len() > 1 => {
                    Ok(if wanted.contains_key(one) { long.clone() } else { short.clone() })
                }
                // From one server it goes to any number at once.
                _ if within && short.len() == 1 => Ok(short.clone()),
                _ => Err(apart(lists)),
            }
        }
        _ => Err(apart(lists)),
    }
}

fn apart(lists: &[List]) -> Refusal {
    let lists: Vec<String> = lists.iter().map(|list| named(list.keys())).collect();
    Refusal::new(format!(
        "the servers' lists differ by more than one server ({}), so their majorities may be apart; make them one by hand, one server at a time",
        lists.join(" | ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[u8]) -> List {
        names.iter().map(|n| (HostName::new(&format!("m{n}")), *n)).collect()
    }

    #[test]
    fn lists_that_differ_by_one_are_finished_towards_what_is_wanted() {
        let lists = [list(&[1, 2, 3]), list(&[1, 2, 3, 4])];
        assert_eq!(current(&lists, &list(&[1, 2, 3, 4])), Ok(lists[1].clone()));
        assert_eq!(current(&lists, &list(&[1, 2, 3])), Ok(lists[0].clone()));
        let apart = [list(&[1, 2, 3]), list(&[1, 4, 5])];
        assert!(current(&apart, &list(&[1, 2, 3])).unwrap_err().why.contains("more than one"));
    }

    #[test]
    fn a_number_never_changes_its_host_nor_a_host_its_number() {
        let old = list(&[1, 2, 3]);
        let other = List::from([(HostName::new("m3"), 4)]);
        assert!(renumbered(&old, &other).unwrap_err().why.contains("m3 is server 3"));
        let taken = List::from([(HostName::new("m4"), 3)]);
        assert!(renumbered(&old, &taken).unwrap_err().why.contains("would take its number"));
        assert_eq!(renumbered(&old, &list(&[1, 2, 4])), Ok(()));
    }
}

//! Who goes together, who waits, who must not be touched.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Because, Blocked, Wave};
use crate::ground::HostName;
use crate::health::{Health, Member};
use crate::tasks::{Rollout, Task};

/// Cuts a task's work into waves. `idle` are the hosts on which nothing runs that could be disturbed.
pub(super) fn waves(
    task: Task,
    work: BTreeMap<HostName, Vec<Action>>,
    rollout: &Rollout,
    health: Option<&Health>,
    idle: &BTreeSet<HostName>,
) -> (Vec<Wave>, Vec<Blocked>) {
    match (rollout, health) {
        (Rollout::Quorum, Some(health)) => quorum(task, work, health),
        (Rollout::Batches(pools, sizes), _) => (batches(work, pools, sizes, idle), Vec::new()),
        (Rollout::Last(last), _) => {
            let (late, early): (BTreeMap<_, _>, BTreeMap<_, _>) =
                work.into_iter().partition(|(host, _)| last.contains(host));
            let waves = [early, late].into_iter().filter(|hosts| !hosts.is_empty());
            (waves.map(|hosts| Wave { hosts }).collect(), Vec::new())
        }
        (Rollout::Together | Rollout::Quorum, _) => (vec![Wave { hosts: work }], Vec::new()),
    }
}

/// These together, then the others in turn.
pub(super) fn in_turn(
    mut work: BTreeMap<HostName, Vec<Action>>,
    first: &BTreeSet<HostName>,
    rest: &[HostName],
) -> Vec<Wave> {
    let together: BTreeMap<_, _> = work.extract_if(.., |host, _| first.contains(host)).collect();
    let rest = rest.iter().filter_map(|host| work.remove_entry(host));
    let rest: Vec<Wave> = rest.map(|one| Wave { hosts: BTreeMap::from([one]) }).collect();
    let together = (!together.is_empty()).then_some(Wave { hosts: together });
    together.into_iter().chain(rest).collect()
}

/// One at a time: who does not serve yet, then the others, the leader last.
pub(super) fn one_by_one(
    work: BTreeMap<HostName, Vec<Action>>,
    serving: &BTreeSet<HostName>,
    leader: Option<&HostName>,
) -> Vec<Wave> {
    let mut work: Vec<(HostName, Vec<Action>)> = work.into_iter().collect();
    work.sort_by_key(|(host, _)| (serving.contains(host), Some(host) == leader));
    work.into_iter().map(|one| Wave { hosts: BTreeMap::from([one]) }).collect()
}

/// A healthy quorum loses one member at a time and its leader last; the sick are mended first; a lost
/// quorum is started together, for none of its members can serve alone.
fn quorum(
    task: Task,
    mut work: BTreeMap<HostName, Vec<Action>>,
    health: &Health,
) -> (Vec<Wave>, Vec<Blocked>) {
    if health.is_lost() {
        return (vec![Wave { hosts: work }], Vec::new());
    }
    // Whoever leads goes last even where it is not content with its followers.
    let serves = |host: &HostName| {
        health.members.get(host) == Some(&Member::Serving) || health.leader.as_ref() == Some(host)
    };
    let sick: BTreeMap<HostName, Vec<Action>> =
        work.extract_if(.., |host, _| !serves(host)).collect();
    // Sick, or silent, and not ours to mend now: the healthy must stay as they are.
    let hopeless = health
        .members
        .iter()
        .find(|(host, member)| **member != Member::Serving && !sick.contains_key(*host));
    let blocked = match hopeless {
        None => Vec::new(),
        Some((peer, _)) => {
            let why = health.complaint(peer).unwrap_or_default();
            std::mem::take(&mut work)
                .into_keys()
                .map(|host| Blocked {
                    host,
                    task,
                    because: Because::PeerSick { peer: peer.clone(), why: why.clone() },
                })
                .collect()
        }
    };
    let mut waves = Vec::new();
    if !sick.is_empty() {
        waves.push(Wave { hosts: sick });
    }
    let leader = health.leader.as_ref().and_then(|leader| work.remove_entry(leader));
    let one_by_one = work.into_iter().chain(leader);
    waves.extend(
        one_by_one.map(|(host, actions)| Wave { hosts: BTreeMap::from([(host, actions)]) }),
    );
    (waves, blocked)
}

/// Hosts that run nothing yet go first and together; the others in batches of their pool, the pools
/// side by side.
fn batches(
    mut work: BTreeMap<HostName, Vec<Action>>,
    pools: &BTreeMap<HostName, String>,
    sizes: &BTreeMap<String, usize>,
    idle: &BTreeSet<HostName>,
) -> Vec<Wave> {
    let mut waves = Vec::new();
    let first: BTreeMap<_, _> = work.extract_if(.., |host, _| idle.contains(host)).collect();
    if !first.is_empty() {
        waves.push(Wave { hosts: first });
    }
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    let mut later: Vec<Wave> = Vec::new();
    for (host, actions) in work {
        let pool = pools.get(&host).map_or("", String::as_str);
        let size = sizes.get(pool).copied().unwrap_or(1).max(1);
        let position = taken.entry(pool).or_default();
        let wave = *position / size;
        *position += 1;
        if later.len() <= wave {
            later.push(Wave::default());
        }
        if let Some(wave) = later.get_mut(wave) {
            wave.hosts.insert(host, actions);
        }
    }
    waves.extend(later);
    waves
}

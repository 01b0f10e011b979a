//! Who must let in servers that show no principal, while membership changes under `zookeeper.quorum_auth`. Of two
//! servers the one with the larger number connects to the other for elections; it shows a principal only to one that
//! it lists. So one that some with larger numbers do not list (it joins, or leaves) hears nothing from them while it
//! insists, and follows no leader that is among them. It alone lets them in, until all list it or it has stopped;
//! to the others it shows its principal as ever.
//!
//! Source: apache/zookeeper release-3.8.0, `QuorumCnxManager.startConnection` and `handleConnection`; seen in the lab.

use std::collections::{BTreeMap, BTreeSet};

use super::lists::List;
use super::{Does, Members, Step, Steps};
use crate::ground::HostName;

/// The steps in which nobody insists who would hear too little, from the lists that servers run with and from those
/// that let everybody in already.
pub(super) fn let_in(
    steps: Steps,
    own: &BTreeMap<HostName, List>,
    open: BTreeSet<HostName>,
) -> Steps {
    let ids = own.values().flatten().map(|(host, id)| (host.clone(), *id)).collect();
    let mut walk = Walk { at: own.clone(), ids, open };
    let (first, last) = (walk.all(steps.first), walk.all(steps.last));
    Steps { first, last, mends: steps.mends }
}

/// Where servers stand between two steps.
struct Walk {
    at: BTreeMap<HostName, List>,
    ids: BTreeMap<HostName, u8>,
    open: BTreeSet<HostName>,
}

impl Walk {
    fn all(&mut self, steps: Vec<Step>) -> Vec<Step> {
        steps.into_iter().flat_map(|step| self.step(step)).collect()
    }

    fn step(&mut self, mut step: Step) -> Vec<Step> {
        let Members::Servers(list) = step.wants.clone() else { return vec![step] };
        self.ids.extend(list.iter().map(|(host, id)| (host.clone(), *id)));
        let (Does::Roll(hosts) | Does::Together(hosts)) = &step.does else {
            if let Does::Stop(host) = &step.does {
                self.at.remove(host);
                self.open.remove(host);
            }
            step.open.clone_from(&self.open);
            return vec![step];
        };
        let mut before = self.at.clone();
        if matches!(step.does, Does::Together(_)) {
            before.retain(|host, _| !hosts.contains(host));
        }
        let mut after = self.at.clone();
        after.extend(hosts.iter().map(|host| (host.clone(), list.clone())));
        let unlisted = |host: &&HostName| {
            let mut lists = before.iter().chain(&after);
            lists.any(|(other, list)| self.passes_over(other, list, host))
        };
        let unlisted: BTreeSet<HostName> = after.keys().filter(unlisted).cloned().collect();
        let mut steps = Vec::new();
        for host in &unlisted {
            let known = self.at.get(host).cloned();
            if self.open.insert(host.clone())
                && let Some(list) = known
            {
                let title =
                    format!("{host} lets servers of the ensemble in that will list it no more");
                steps.push(self.turn(title, host, list, &step));
            }
        }
        self.at = after;
        step.open.clone_from(&self.open);
        steps.push(step.clone());
        let listed = |host: &HostName| {
            !self.at.iter().any(|(other, list)| self.passes_over(other, list, host))
        };
        let settled: Vec<(HostName, List)> = self
            .open
            .iter()
            .filter(|host| listed(host))
            .filter_map(|host| Some((host.clone(), self.at.get(host)?.clone())))
            .collect();
        for (host, list) in settled {
            self.open.remove(&host);
            let title =
                format!("{host}, which all of the ensemble list now, asks all for the secret");
            steps.push(self.turn(title, &host, list, &step));
        }
        steps
    }

    /// Whether a server connects to another to which it shows nothing. One that stands alone connects to nobody.
    fn passes_over(&self, one: &HostName, list: &List, other: &HostName) -> bool {
        one != other
            && list.len() > 1
            && !list.contains_key(other)
            && self.ids.get(one) > self.ids.get(other)
    }

    fn turn(&self, title: String, host: &HostName, list: List, beside: &Step) -> Step {
        Step {
            title,
            wants: Members::Servers(list),
            judged: beside.judged.clone(),
            open: self.open.clone(),
            does: Does::Roll([host.clone()].into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[u8]) -> List {
        names.iter().map(|n| (HostName::new(&format!("m{n}")), *n)).collect()
    }

    fn roll(title: &str, names: &[u8]) -> Step {
        let all = Members::Servers(list(names));
        let does = Does::Roll(list(names).into_keys().collect());
        Step {
            title: title.to_owned(),
            wants: all.clone(),
            judged: all,
            open: BTreeSet::new(),
            does,
        }
    }

    /// Titles, each with those that let everybody in by then.
    fn said(old: &[u8], steps: Steps) -> Vec<String> {
        let own = list(old).into_keys().map(|host| (host, list(old))).collect();
        let steps = let_in(steps, &own, BTreeSet::new());
        let open =
            |step: &Step| -> Vec<String> { step.open.iter().map(ToString::to_string).collect() };
        steps.all().map(|step| format!("{}: {}", step.title, open(step).join(","))).collect()
    }

    #[test]
    fn who_joins_below_others_lets_them_in_until_they_list_it() {
        let joins = |names: &[u8]| Steps { first: vec![roll("joins", names)], ..Steps::default() };
        assert_eq!(said(&[1, 2, 3], joins(&[1, 2, 3, 4])), ["joins: "]);
        assert_eq!(
            said(&[1, 2, 4], joins(&[1, 2, 3, 4])),
            ["joins: m3", "m3, which all of the ensemble list now, asks all for the secret: "]
        );
    }

    #[test]
    fn who_leaves_below_others_lets_them_in_until_it_stops() {
        let stop = |host: &str, names: &[u8]| Step {
            does: Does::Stop(HostName::new(host)),
            ..roll("stops", names)
        };
        let leaves = |host: &str, names: &[u8]| Steps {
            last: vec![roll("leaves", names), stop(host, names)],
            ..Steps::default()
        };
        assert_eq!(said(&[1, 2, 3], leaves("m3", &[1, 2])), ["leaves: ", "stops: "]);
        assert_eq!(
            said(&[1, 2, 3, 4], leaves("m2", &[1, 3, 4])),
            [
                "m2 lets servers of the ensemble in that will list it no more: m2",
                "leaves: m2",
                "stops: "
            ]
        );
    }
}

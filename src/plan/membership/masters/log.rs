//! The replicas that run, and the steps from them to those that are wanted.

use std::collections::BTreeSet;

use super::super::{Does, Members, Refusal, Step, joins, named};
use super::CURE;
use crate::ground::HostName;

/// The replicas that run, each with the quorum of its process.
pub(super) struct Log<'a> {
    pub(super) replicas: Vec<(&'a HostName, Option<usize>)>,
    /// Hosts whose master does not run and that hold a log of earlier.
    pub(super) old: BTreeSet<HostName>,
}

impl Log<'_> {
    pub(super) fn lowest(&self) -> Option<usize> {
        self.replicas.iter().filter_map(|(_, quorum)| *quorum).min()
    }

    pub(super) fn highest(&self) -> Option<usize> {
        self.replicas.iter().filter_map(|(_, quorum)| *quorum).max()
    }

    /// Nobody runs who is not wanted, and those that run have the quorum that is wanted: any of the others may
    /// start. Where nobody says his quorum there is nothing to go by but the inventory.
    pub(super) fn as_wanted(&self, wanted: &BTreeSet<HostName>, target: usize) -> bool {
        self.replicas.iter().all(|(host, quorum)| {
            wanted.contains(*host) && quorum.is_none_or(|quorum| quorum == target)
        })
    }

    /// Too few run for the quorum that they have: a change towards fewer was cut short, or others do not run. Whether
    /// those who run hold what others have acknowledged is not known, and to end the change is safe.
    /// So many others that hold the log are to `come` beside them.
    pub(super) fn cut_short(
        &self,
        wanted: &BTreeSet<HostName>,
        target: usize,
        come: usize,
    ) -> Option<Refusal> {
        let running: BTreeSet<&HostName> = self.replicas.iter().map(|(host, _)| *host).collect();
        let quorum = self.highest().filter(|quorum| running.len() + come < *quorum)?;
        let ends = running.len() == 1 && running.iter().copied().eq(wanted) && target == 1;
        (!ends).then(|| {
            Refusal::new(format!(
                "{} of the masters {} alone, too few for their quorum of {quorum}; {CURE} (an apply of the earlier inventory: `provision history`)",
                named(running.iter().copied()),
                if running.len() == 1 { "runs" } else { "run" },
            ))
        })
    }

    /// The steps, one rule at a time: add one where the quorum bears it; raise the quorum where it does not,
    /// as far as those that run can bear; else take one away, the leader last; lower the quorum in the end, or where too few
    /// would be left for it.
    pub(super) fn to(
        &self,
        wanted: &BTreeSet<HostName>,
        target: usize,
        leader: Option<&HostName>,
    ) -> Result<Vec<Step>, Refusal> {
        let mut replicas: BTreeSet<HostName> =
            self.replicas.iter().map(|(host, _)| (*host).clone()).collect();
        let mut quorum = self.lowest().unwrap_or(target);
        let highest = self.highest().unwrap_or(quorum);
        if replicas.len() >= 2 * quorum && replicas.len() / 2 + 1 > target {
            return Err(Refusal::new(format!(
                "{} masters run with quorum {quorum}, which is too low for so many: their log may be torn; stop those that are too many by hand",
                replicas.len()
            )));
        }
        let mut steps = Vec::new();
        if highest != quorum {
            // A roll that was cut short is finished, forth where it leads to what is wanted.
            let forth = highest <= target.min(replicas.len()) || replicas.len() >= 2 * quorum;
            quorum = if forth { highest } else { quorum };
            steps.push(set(&replicas, quorum, if forth { "raised" } else { "lowered" }));
        }
        loop {
            let joins = wanted.difference(&replicas).next().cloned();
            let leaves = replicas.difference(wanted);
            let leaves = leaves.min_by_key(|host| Some(*host) == leader).cloned();
            let bearable = target.min(replicas.len());
            let full = replicas.len() + 1 >= 2 * quorum;
            if quorum < bearable && (full || joins.is_none()) {
                quorum = bearable;
                steps.push(set(&replicas, quorum, "raised"));
            } else if let Some(host) = joins.filter(|_| !full) {
                // With a log of earlier it would vote at once, without what was written since; with none it
                // catches up, where enough of the others vote.
                if self.old.contains(&host) && replicas.len() >= quorum {
                    steps.push(without_old_log(&host, &replicas, quorum));
                }
                replicas.insert(host.clone());
                steps.push(join(host, &replicas, quorum));
            } else if let Some(host) = leaves {
                let enough = target.max(replicas.len() / 2 + 1);
                if replicas.len() <= quorum && enough < quorum {
                    steps.push(renewed(&replicas, quorum, leader));
                    quorum = enough;
                    steps.push(set(&replicas, quorum, "lowered"));
                    continue;
                }
                let before = replicas.clone();
                replicas.remove(&host);
                // Whoever is left alone must have what the two have acknowledged.
                if replicas.len() < quorum {
                    steps.push(handed_over(&host, &before, quorum, leader));
                }
                steps.push(leave(host, &before, &replicas, quorum));
            } else if quorum > target {
                if replicas.len() >= quorum {
                    steps.push(renewed(&replicas, quorum, leader));
                }
                quorum = target;
                steps.push(set(&replicas, quorum, "lowered"));
            } else {
                return Ok(steps);
            }
        }
    }
}

fn set(replicas: &BTreeSet<HostName>, quorum: usize, way: &str) -> Step {
    let members = Members::Masters(replicas.clone(), quorum);
    Step {
        open: BTreeSet::new(),
        title: format!("quorum {way} to {quorum} on {}", named(replicas)),
        wants: members.clone(),
        judged: members,
        does: Does::Roll(replicas.clone()),
    }
}

/// An acknowledged entry is held by a quorum, and a smaller one may have none of those: a replica that was away
/// has a hole there, and fills it only when it leads. Whoever begins to lead writes the whole registry, to all. Who
/// leads by then is found out when its turn comes.
fn renewed(replicas: &BTreeSet<HostName>, quorum: usize, leader: Option<&HostName>) -> Step {
    let who = leader.filter(|leader| replicas.contains(*leader));
    let who = who.map_or("whoever leads", HostName::as_str);
    let title = format!("{who} gives the lead of the masters away, so that all hold the registry");
    give_lead(title, replicas, replicas.clone(), quorum)
}

/// Of two one is to be left: if the other leads, it alone may know what was written last.
fn handed_over(
    host: &HostName,
    both: &BTreeSet<HostName>,
    quorum: usize,
    leader: Option<&HostName>,
) -> Step {
    let why = if leader == Some(host) { "so that all hold the registry" } else { "if it leads" };
    let title = format!("{host} gives the lead of the masters away, {why}");
    give_lead(title, both, [host.clone()].into(), quorum)
}

fn give_lead(
    title: String,
    replicas: &BTreeSet<HostName>,
    hosts: BTreeSet<HostName>,
    quorum: usize,
) -> Step {
    let members = Members::Masters(replicas.clone(), quorum);
    let (wants, judged) = (members.clone(), members);
    Step { open: BTreeSet::new(), title, wants, judged, does: Does::GiveLead(hosts) }
}

fn without_old_log(host: &HostName, others: &BTreeSet<HostName>, quorum: usize) -> Step {
    let members = Members::Masters(others.clone(), quorum);
    Step {
        open: BTreeSet::new(),
        title: format!("{host}'s log of earlier is set aside"),
        wants: members.clone(),
        judged: members,
        does: Does::SetAsideOld(host.clone()),
    }
}

fn join(host: HostName, with: &BTreeSet<HostName>, quorum: usize) -> Step {
    let members = Members::Masters(with.clone(), quorum);
    Step {
        open: BTreeSet::new(),
        title: format!("{} the masters", joins([&host])),
        wants: members.clone(),
        judged: members,
        does: Does::Roll([host].into()),
    }
}

fn leave(
    host: HostName,
    before: &BTreeSet<HostName>,
    after: &BTreeSet<HostName>,
    quorum: usize,
) -> Step {
    Step {
        open: BTreeSet::new(),
        title: format!("{host} leaves the masters"),
        wants: Members::Masters(after.clone(), quorum),
        judged: Members::Masters(before.clone(), quorum),
        does: match after.len() >= quorum {
            true => Does::Stop(host),
            // Of two the other has every acknowledged entry, and serves once its quorum is lowered.
            false => Does::StopUngated(host),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hosts(names: &str) -> BTreeSet<HostName> {
        names.split_whitespace().map(HostName::new).collect()
    }

    /// What the steps from these, all with one quorum, say to people.
    fn titles(running: &str, quorum: usize, wanted: &str, leader: &str) -> Vec<String> {
        let (running, wanted) = (hosts(running), hosts(wanted));
        let log = Log {
            replicas: running.iter().map(|host| (host, Some(quorum))).collect(),
            old: BTreeSet::new(),
        };
        let target = wanted.len() / 2 + 1;
        let steps = log.to(&wanted, target, Some(&HostName::new(leader))).unwrap();
        steps.into_iter().map(|step| step.title).collect()
    }

    #[test]
    fn the_quorum_is_raised_before_the_first_joins() {
        assert_eq!(
            titles("m1 m2 m3", 2, "m1 m2 m3 m4 m5", "m2"),
            ["quorum raised to 3 on m1, m2, m3", "m4 joins the masters", "m5 joins the masters"]
        );
    }

    #[test]
    fn those_who_leave_are_gone_before_the_quorum_is_lowered_and_the_leader_goes_last() {
        assert_eq!(
            titles("m1 m2 m3 m4 m5", 3, "m1 m2 m3", "m4"),
            [
                "m5 leaves the masters",
                "m4 leaves the masters",
                // Another may lead by then than when this was planned.
                "whoever leads gives the lead of the masters away, so that all hold the registry",
                "quorum lowered to 2 on m1, m2, m3"
            ]
        );
        let away = |host| {
            format!("{host} gives the lead of the masters away, so that all hold the registry")
        };
        assert_eq!(
            titles("m1 m2 m3", 2, "m1", "m2"),
            [
                "m3 leaves the masters",
                &away("m2"),
                "m2 leaves the masters",
                "quorum lowered to 1 on m1"
            ]
        );
        // Nobody else has led since: two of those who stay may lack what the leavers and m1 have.
        assert_eq!(
            titles("m1 m2 m3 m4 m5", 3, "m1 m2 m3", "m1"),
            [
                "m4 leaves the masters",
                "m5 leaves the masters",
                &away("m1"),
                "quorum lowered to 2 on m1, m2, m3"
            ]
        );
    }

    #[test]
    fn the_old_one_leaves_before_the_new_one_joins() {
        assert_eq!(
            titles("m1 m2 m3", 2, "m1 m2 m4", "m3"),
            ["m3 leaves the masters", "m4 joins the masters"]
        );
    }

    #[test]
    fn who_comes_back_catches_up_with_an_empty_log() {
        let (running, wanted) = (hosts("m1 m2 m3"), hosts("m1 m2 m4"));
        let replicas = running.iter().map(|host| (host, Some(2))).collect();
        let log = Log { replicas, old: hosts("m4") };
        let steps = log.to(&wanted, 2, None).unwrap();
        let titles: Vec<&str> = steps.iter().map(|step| step.title.as_str()).collect();
        let aside = "m4's log of earlier is set aside";
        assert_eq!(titles, ["m3 leaves the masters", aside, "m4 joins the masters"]);
        // Of two one is away: nobody could catch up from the other alone.
        let (one, both) = (hosts("m1"), hosts("m1 m2"));
        let log = Log { replicas: one.iter().map(|it| (it, Some(2))).collect(), old: hosts("m2") };
        assert_eq!(log.to(&both, 2, None).unwrap().len(), 1);
    }

    #[test]
    fn a_quorum_that_nobody_could_reach_is_never_asked_for() {
        assert_eq!(
            titles("m1 m2 m3", 2, "m1 m2 m3 m4 m5 m6 m7", "m1"),
            [
                "quorum raised to 3 on m1, m2, m3",
                "m4 joins the masters",
                "m5 joins the masters",
                "quorum raised to 4 on m1, m2, m3, m4, m5",
                "m6 joins the masters",
                "m7 joins the masters"
            ]
        );
    }

    #[test]
    fn five_under_a_quorum_of_two_are_not_made_more() {
        let (running, wanted) = (hosts("m1 m2 m3 m4 m5"), hosts("m1 m2 m3"));
        let log = Log {
            replicas: running.iter().map(|host| (host, Some(2))).collect(),
            old: BTreeSet::new(),
        };
        assert!(log.to(&wanted, 2, None).unwrap_err().why.contains("too low"));
    }

    #[test]
    fn too_few_for_their_quorum_go_on_only_to_the_end_of_their_change() {
        let (one, many) = (hosts("m1"), hosts("m1 m2 m3"));
        let log = |quorum| Log {
            replicas: one.iter().map(|host| (host, Some(quorum))).collect(),
            old: BTreeSet::new(),
        };
        let refusal = log(2).cut_short(&many, 2, 0).unwrap();
        assert_eq!(
            refusal.why,
            format!(
                "m1 of the masters runs alone, too few for their quorum of 2; {CURE} (an apply of the earlier inventory: `provision history`)"
            )
        );
        assert_eq!(log(2).cut_short(&one, 1, 0), None);
        assert_eq!(log(1).cut_short(&many, 2, 0), None);
    }

    proptest! {
        /// At every moment of every change: the lowest quorum bears all replicas, and is reached by them but
        /// where two become one. Cut short between two steps, or within a roll, the rest leads to the same end.
        #[test]
        fn the_quorum_bears_all_replicas_from_the_first_step_to_the_last(
            old in prop::collection::btree_set(1_u8..10, 2..8),
            new in prop::collection::btree_set(1_u8..10, 1..8),
            leader in 1_u8..10,
            cut in any::<prop::sample::Index>(),
            within in any::<prop::sample::Index>(),
        ) {
            let named = |all: &BTreeSet<u8>| -> BTreeSet<HostName> {
                all.iter().map(|n| HostName::new(&format!("m{n}"))).collect()
            };
            let (old, wanted) = (named(&old), named(&new));
            let (target, leader) = (wanted.len() / 2 + 1, HostName::new(&format!("m{leader}")));
            let mut state: Vec<(HostName, usize)> =
                old.iter().map(|host| (host.clone(), old.len() / 2 + 1)).collect();
            let plan = |state: &[(HostName, usize)]| {
                let replicas = state.iter().map(|(host, quorum)| (host, Some(*quorum))).collect();
                Log { replicas, old: BTreeSet::new() }.to(&wanted, target, Some(&leader))
            };
            let steps = plan(&state).unwrap();
            let stop = cut.index(steps.len() + 1);
            for (index, step) in steps.iter().enumerate() {
                if index == stop {
                    // Within a roll: some have the new quorum already.
                    if let (Does::Roll(hosts), Members::Masters(_, quorum)) = (&step.does, &step.wants)
                        && hosts.len() > 1
                    {
                        let done = within.index(hosts.len());
                        for (_, own) in state.iter_mut().take(done) {
                            *own = *quorum;
                        }
                    }
                    break;
                }
                act(&mut state, step);
                hold(&state, matches!(step.does, Does::StopUngated(_)));
            }
            for step in plan(&state).unwrap() {
                act(&mut state, &step);
                hold(&state, matches!(step.does, Does::StopUngated(_)));
            }
            let expected: Vec<(HostName, usize)> =
                wanted.iter().map(|host| (host.clone(), target)).collect();
            state.sort();
            prop_assert_eq!(&state, &expected);
            prop_assert!(plan(&state).unwrap().is_empty());
        }
    }

    fn act(state: &mut Vec<(HostName, usize)>, step: &Step) {
        let Members::Masters(_, quorum) = &step.wants else { panic!("{step:?}") };
        match &step.does {
            Does::Roll(hosts) => {
                state.retain(|(host, _)| !hosts.contains(host));
                state.extend(hosts.iter().map(|host| (host.clone(), *quorum)));
            }
            Does::Stop(host) | Does::StopUngated(host) => state.retain(|(other, _)| other != host),
            Does::GiveLead(_) | Does::SetAsideOld(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn hold(state: &[(HostName, usize)], ungated: bool) {
        let lowest = state.iter().map(|(_, quorum)| *quorum).min().unwrap();
        let highest = state.iter().map(|(_, quorum)| *quorum).max().unwrap();
        assert!(state.len() < 2 * lowest, "too many: {state:?}");
        assert!(ungated && state.len() == 1 || state.len() >= highest, "too few: {state:?}");
    }
}

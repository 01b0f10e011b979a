//! The ensemble, with static lists: two lists that are in use at once must have intersecting majorities. Lists
//! that differ by one server always do; of 3 → 5 at once {4, 5, A} and {B, C} would not. Whoever is empty never
//! is in a majority without one who holds the data.

use std::collections::{BTreeMap, BTreeSet};

use super::{Does, Members, Refusal, State, Step, Steps, all_serve, joins, named};
use crate::ground::HostName;
use crate::health::{Data, Health, Member, Running};
use crate::inventory::Inventory;
use crate::tasks::Task;

mod lists;
mod unlisted;

use lists::{List, current, distinct, renumbered};

/// See [`super::steps`].
pub(super) fn steps(
    running: &Running,
    inventory: &Inventory,
    gone: &BTreeSet<HostName>,
    state: State<'_>,
) -> Result<Steps, Refusal> {
    let Some(wanted) = inventory.ensemble() else { return Ok(Steps::default()) };
    let own = lists::read(running, inventory)?;
    let lists = distinct(&own);
    for list in &lists {
        renumbered(list, wanted)?;
    }
    let serves = |host: &HostName| running.servers.get(host).is_some_and(|server| server.serves);
    let led = state.health.leader.as_ref().and_then(|leader| own.get(leader));
    // Whoever does not serve and has another list than the one who leads is out until it has the same.
    let strays = |list: &&List| {
        list.keys().any(|host| !serves(host) && own.get(host).is_some_and(|it| it != *list))
    };
    let base = match led.filter(strays) {
        Some(list) => list.clone(),
        None => current(&lists, wanted)?,
    };
    let mut steps = from(&base, running, wanted, gone);
    // Where all of them are to have the list of the inventory they get it as any other file.
    if steps.all().next().is_none() {
        return Ok(steps);
    }
    if let Some((host, _)) = running.servers.iter().find(|(_, server)| server.is_old) {
        return Err(Refusal::new(format!(
            "{host}'s ZooKeeper is of before 3.5 and tells nobody which servers it counts, so no step of a change is known to be safe; go to 3.5 or later first (Debian 12 has 3.8), or change zoo.cfg by hand, one server at a time"
        )));
    }
    let there = |host: &HostName| !gone.contains(host) && !running.silent.contains(host);
    // One whose process runs without serving may have been started with an older list than its file has by now
    // (what it runs with it does not say), and then follows no leader that the older list lacks.
    let outdated = |host: &HostName| {
        led.is_some() && running.servers.get(host).is_some_and(|server| server.answers)
    };
    let out: BTreeSet<HostName> = base
        .keys()
        .filter(|host| there(host) && !serves(host))
        .filter(|host| own.get(*host) != Some(&base) || outdated(host))
        .cloned()
        .collect();
    if own.keys().any(serves) {
        let members = base.keys().filter(|host| !gone.contains(*host) && !out.contains(*host));
        // One that stands alone serves, though not in the ensemble that is wanted.
        let known = |host: &&HostName| state.health.members.contains_key(*host) || !serves(host);
        let members: Vec<&HostName> =
            members.filter(|host| !(base.len() == 1 && serves(host))).filter(known).collect();
        if !members.is_empty() && (out.is_empty() || led.is_some()) {
            all_serve(members, "the ensemble's membership", state.health)?;
        }
    } else if !running.servers.values().any(|server| server.data == Data::Perhaps) {
        return Ok(Steps::default());
    }
    if let Some(host) = wanted.keys().find(|host| running.silent.contains(*host)) {
        return Err(Refusal::new(format!(
            "{host} is to be a member and could not be asked; bring it back, or take it out of `zookeeper.servers`"
        )));
    }
    let serving = own.keys().any(serves);
    let again = brought_back(&base, &out, running, gone, state.health, serving)?;
    // Two lists become one before there is a third.
    let halfway = serving && out.is_empty() && lists.len() > 1 && base.len() > 1;
    let again = match halfway {
        true => vec![one_list(&base, gone)],
        false => again,
    };
    steps.first.splice(0..0, again);
    steps.mends = out.into_iter().filter(|host| own.get(host) == Some(&base)).collect();
    if inventory.sasl().is_on() {
        let open =
            running.servers.iter().filter(|(_, it)| it.sasl.as_ref().is_some_and(|it| it.open));
        let open = open.map(|(host, _)| host.clone()).collect();
        steps = unlisted::let_in(steps, &own, open);
    }
    steps.within_scope(Task::Zookeeper, state.scope)
}

/// Before membership changes all members have one list: whoever does not run with it, or not at all, is
/// brought back with it.
///
/// # Errors
/// Why the ensemble of old does not serve and cannot be started.
fn brought_back(
    base: &List,
    out: &BTreeSet<HostName>,
    running: &Running,
    gone: &BTreeSet<HostName>,
    health: &Health,
    serves: bool,
) -> Result<Vec<Step>, Refusal> {
    let mut judged = base.clone();
    judged.retain(|host, _| !gone.contains(host));
    let step = |title: String, does: Does| Step {
        open: BTreeSet::new(),
        title,
        wants: Members::Servers(base.clone()),
        judged: Members::Servers(judged.clone()),
        does,
    };
    let title = format!("{} brought back into the ensemble", are(out));
    if serves {
        let all = judged.keys().cloned().collect();
        return Ok((!out.is_empty()).then(|| step(title, Does::Roll(all))).into_iter().collect());
    }
    let silent = judged.keys().find(|host| running.silent.contains(*host));
    if out.is_empty() || silent.is_some() {
        let first = silent.map_or_else(
            || {
                "start it first (an apply of the earlier inventory does: `provision history`)"
                    .to_owned()
            },
            |host| format!("bring {host} back first"),
        );
        return Err(Refusal::new(format!(
            "the ensemble of {} does not serve, and its membership changes only while it does; {first}",
            named(base.keys())
        )));
    }
    let (first, rest) = start(out, running, base, health)?;
    let rest = rest
        .into_iter()
        .map(|host| step(format!("{host}'s server starts"), Does::Roll([host].into())));
    Ok([step(title, Does::Together(first))].into_iter().chain(rest).collect())
}

/// All members get the list that a change in progress ends with.
fn one_list(base: &List, gone: &BTreeSet<HostName>) -> Step {
    let mut live = base.clone();
    live.retain(|host, _| !gone.contains(host));
    Step {
        open: BTreeSet::new(),
        title: format!("the ensemble's lists become one: {}", named(base.keys())),
        wants: Members::Servers(base.clone()),
        judged: Members::Servers(live.clone()),
        does: Does::Roll(live.into_keys().collect()),
    }
}

/// `m4 is`, `m4, m5 are`.
fn are(hosts: &BTreeSet<HostName>) -> String {
    format!("{} {}", named(hosts), if hosts.len() == 1 { "is" } else { "are" })
}

/// The steps from a list that all of it serves with. A member of it that is gone has nothing done to it.
fn from(current: &List, running: &Running, wanted: &List, gone: &BTreeSet<HostName>) -> Steps {
    let mut steps = Steps::default();
    let mut list = current.clone();
    let live = |list: &List| -> List {
        let live = list.iter().filter(|(host, _)| !gone.contains(*host));
        live.map(|(host, id)| (host.clone(), *id)).collect()
    };
    let all = |list: &List| -> BTreeSet<HostName> { live(list).into_keys().collect() };
    // Who was left running when its joining, or its leaving, was cut short: nobody counts it.
    let listed = |host: &HostName| current.contains_key(host) || wanted.contains_key(host);
    let left = running.servers.iter().filter(|(host, it)| (it.answers || it.runs) && !listed(host));
    steps.first.extend(left.map(|(host, _)| stop(host, &live(&list), &live(&list))));
    // Who is gone is missed by every majority, and nobody joins whose own list has no majority that serves: it
    // leaves first.
    for host in current.keys().filter(|host| gone.contains(*host) && !wanted.contains_key(*host)) {
        if list.len() == 1 {
            break;
        }
        list.remove(host);
        steps.first.push(Step {
            open: BTreeSet::new(),
            title: format!("{host} leaves the ensemble"),
            wants: Members::Servers(list.clone()),
            judged: Members::Servers(live(&list)),
            does: Does::Roll(all(&list)),
        });
    }
    let new: List = wanted
        .iter()
        .filter(|(host, _)| !current.contains_key(*host))
        .map(|(host, id)| (host.clone(), *id))
        .collect();
    let alone = list.clone();
    if let (Some((first, _)), 1, false) = (alone.first_key_value(), alone.len(), new.is_empty()) {
        // It restarts out of standing alone, and serves again with a majority of the new list: just so
        // many begin with it that nobody else is one.
        let id = wanted.get(first).or_else(|| running.servers.get(first)?.id.as_ref());
        list.insert(first.clone(), id.or(current.get(first)).copied().unwrap_or(1));
        list.extend(new.iter().map(|(host, id)| (host.clone(), *id)));
        let beside: Vec<&HostName> = new.keys().take(list.len() / 2).collect();
        let begin: BTreeSet<HostName> = beside.iter().copied().chain([first]).cloned().collect();
        let mut judged: List = list.clone();
        judged.retain(|host, _| begin.contains(host));
        steps.first.push(Step {
            open: BTreeSet::new(),
            title: format!(
                "{} {first}'s ensemble, which does not serve for some seconds",
                joins(beside.iter().copied())
            ),
            wants: Members::Servers(list.clone()),
            judged: Members::Servers(judged.clone()),
            does: Does::Together(begin),
        });
        for (host, id) in new.iter().skip(beside.len()) {
            judged.insert(host.clone(), *id);
            steps.first.push(Step {
                open: BTreeSet::new(),
                title: format!("{} the ensemble", joins([host])),
                wants: Members::Servers(list.clone()),
                judged: Members::Servers(judged.clone()),
                does: Does::Roll([host.clone()].into()),
            });
        }
    } else {
        for (host, id) in &new {
            list.insert(host.clone(), *id);
            steps.first.push(Step {
                open: BTreeSet::new(),
                title: format!("{} the ensemble", joins([host])),
                wants: Members::Servers(list.clone()),
                judged: Members::Servers(live(&list)),
                does: Does::Roll(all(&list)),
            });
        }
    }
    let leaves: Vec<HostName> =
        list.keys().filter(|host| !wanted.contains_key(*host)).cloned().collect();
    for host in leaves {
        let old = live(&list);
        list.remove(&host);
        let left = live(&list);
        // Of two the other has every acknowledged write, and serves alone.
        let last = list.len() == 1;
        // One of two joins no leader: the other's vote is no majority of theirs. They find each other once
        // the third is stopped.
        let pair = list.len() == 2;
        if !last {
            steps.last.push(Step {
                open: BTreeSet::new(),
                title: format!("{host} gives the lead of the ensemble away, if it leads"),
                wants: Members::Servers(old.clone()),
                judged: Members::Servers(old.clone()),
                does: Does::GiveLead(host.clone()),
            });
        }
        let judged = if last || pair { &left } else { &old };
        let stop = stop(&host, &left, judged);
        let roll = Step {
            open: BTreeSet::new(),
            title: format!("{host} leaves the ensemble"),
            wants: Members::Servers(list.clone()),
            judged: Members::Servers(judged.clone()),
            does: Does::Roll(all(&list)),
        };
        steps.last.extend(if pair { [stop, roll] } else { [roll, stop] });
    }
    steps
}

fn stop(host: &HostName, left: &List, judged: &List) -> Step {
    Step {
        open: BTreeSet::new(),
        title: format!("{host}'s server stops"),
        wants: Members::Servers(left.clone()),
        judged: Members::Servers(judged.clone()),
        does: Does::Stop(host.clone()),
    }
}

/// Who of an ensemble of which nobody serves is started at once, and who after them: those that hold data, or
/// may, and so few of the empty ones that they are no majority without a holder.
///
/// # Errors
/// Why nobody may be started: all who answer are empty, and somebody is silent or left out who may not be.
pub fn start(
    work: &BTreeSet<HostName>,
    running: &Running,
    wanted: &BTreeMap<HostName, u8>,
    health: &Health,
) -> Result<(BTreeSet<HostName>, Vec<HostName>), Refusal> {
    let holds =
        |host: &HostName| running.servers.get(host).is_some_and(|it| it.data == Data::Perhaps);
    let majority = wanted.len() / 2 + 1;
    let absent = |host: &&HostName| {
        !work.contains(*host) && health.members.get(*host) != Some(&Member::Serving)
    };
    let (known, empty): (Vec<&HostName>, Vec<&HostName>) = work.iter().partition(|it| holds(it));
    let beside = wanted.keys().filter(|host| !work.contains(*host) && holds(host)).count();
    if known.is_empty() && beside == 0 {
        if let Some(silent) = wanted.keys().find(absent) {
            return Err(Refusal::new(format!(
                "all servers that could be started are empty, and {silent}, which may hold the data, is not among them; bring it back and let it come along, or take it out of `zookeeper.servers`"
            )));
        }
        return Ok((work.clone(), Vec::new()));
    }
    if empty.len() < majority {
        return Ok((work.clone(), Vec::new()));
    }
    let now = majority.saturating_sub(known.len() + beside);
    let first = known.into_iter().chain(empty.iter().copied().take(now)).cloned().collect();
    Ok((first, empty.into_iter().skip(now).cloned().collect()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::super::{Does, Members, Step, Steps};
    use super::*;
    use crate::health::Server;
    use crate::lints::load::{Lab, load_text};
    use crate::plan::Scope;

    fn list(names: &[u8]) -> List {
        names.iter().map(|n| (HostName::new(&format!("m{n}")), *n)).collect()
    }

    /// All of these run.
    fn run(names: &[u8]) -> Running {
        let server = || Server { answers: true, ..Server::default() };
        let servers = list(names).into_keys().map(|host| (host, server()));
        Running { servers: servers.collect(), ..Running::default() }
    }

    fn titles(current: &[u8], wanted: &[u8], gone: &[u8]) -> Vec<String> {
        let gone = list(gone).into_keys().collect();
        let steps = from(&list(current), &run(current), &list(wanted), &gone);
        steps.all().map(|step| step.title.clone()).collect()
    }

    #[test]
    fn one_joins_after_the_other() {
        let expected = ["m4 joins the ensemble", "m5 joins the ensemble"];
        assert_eq!(titles(&[1, 2, 3], &[1, 2, 3, 4, 5], &[]), expected);
    }

    #[test]
    fn a_member_is_replaced_by_a_join_and_a_leave() {
        assert_eq!(
            titles(&[1, 2, 3], &[1, 2, 4], &[]),
            [
                "m4 joins the ensemble",
                "m3 gives the lead of the ensemble away, if it leads",
                "m3 leaves the ensemble",
                "m3's server stops"
            ]
        );
    }

    #[test]
    fn who_is_gone_leaves_on_paper() {
        assert_eq!(
            titles(&[1, 2, 3], &[1, 2, 4], &[3]),
            ["m3 leaves the ensemble", "m4 joins the ensemble"]
        );
    }

    #[test]
    fn whose_lists_are_not_known_keep_their_membership() {
        let text = "version: 1\ncluster: c\nhosts:\n  m[1:4]: { address: \"10.0.0.[1:4]\" }\n\
            zookeeper: { servers: { m1: 1, m2: 2, m4: 4 } }\n\
            mesos: { version: 1.11.0, package: { preinstalled: true }, masters: { hosts: [m1] } }\nretired: [m3]\n";
        let inventory = load_text("i", text.as_bytes(), Path::new("/"), &[], Lab::No);
        let inventory = inventory.expect("good").inventory;
        let health = Health {
            members: list(&[1, 2, 3]).into_keys().map(|host| (host, Member::Serving)).collect(),
            leader: Some(HostName::new("m1")),
        };
        let (scope, gone) = (Scope::default(), BTreeSet::new());
        let state = State { health: &health, scope: &scope, agents: None };
        let of = |is_old: bool| {
            let addresses = (1..4).map(|id| (id, format!("10.0.0.{id}"))).collect();
            let server = Server {
                answers: true,
                serves: true,
                list: addresses,
                is_old,
                ..Server::default()
            };
            let servers = list(&[1, 2, 3]).into_keys().map(|host| (host, server.clone()));
            let running = Running { servers: servers.collect(), ..Running::default() };
            steps(&running, &inventory, &gone, state)
        };
        assert!(of(false).unwrap().all().next().is_some());
        assert!(of(true).unwrap_err().why.contains("m1's ZooKeeper is of before 3.5"));
    }

    #[test]
    fn the_holder_of_the_data_is_in_the_first_majority() {
        let steps = from(&list(&[1]), &run(&[1]), &list(&[1, 2, 3]), &BTreeSet::new());
        let does: Vec<&Does> = steps.all().map(|step| &step.does).collect();
        let hosts = |names: &[u8]| list(names).into_keys().collect();
        assert_eq!(does, [&Does::Together(hosts(&[1, 2])), &Does::Roll(hosts(&[3]))]);
        assert_eq!(
            titles(&[1], &[1, 2, 3], &[]),
            [
                "m2 joins m1's ensemble, which does not serve for some seconds",
                "m3 joins the ensemble"
            ]
        );
    }

    #[test]
    fn empty_servers_are_no_majority_without_a_holder() {
        let holder = Server { data: Data::Perhaps, ..Server::default() };
        let running =
            Running { servers: [(HostName::new("m1"), holder)].into(), ..Running::default() };
        let hosts = |names: &[u8]| -> BTreeSet<HostName> { list(names).into_keys().collect() };
        let of = |work: &[u8], running: &Running| {
            start(&hosts(work), running, &list(&[1, 2, 3]), &Health::default())
        };
        let expected = (hosts(&[1, 2]), vec![HostName::new("m3")]);
        assert_eq!(of(&[1, 2, 3], &running), Ok(expected));
        // All empty: a first installation.
        assert_eq!(of(&[1, 2, 3], &Running::default()), Ok((hosts(&[1, 2, 3]), Vec::new())));
        // All empty but for one that is not there.
        assert!(of(&[2, 3], &Running::default()).unwrap_err().why.contains("m1"));
    }

    /// A server as it runs: its list, and whether it holds the data.
    type Servers = BTreeMap<HostName, (List, bool)>;

    /// Majorities of any two lists that are in use intersect, and no majority of any list is empty.
    fn hold(servers: &Servers) {
        let lists: BTreeSet<&List> = servers.values().map(|(list, _)| list).collect();
        for one in &lists {
            for other in &lists {
                let union: BTreeSet<&HostName> = one.keys().chain(other.keys()).collect();
                let needed = one.len() / 2 + other.len() / 2 + 2;
                assert!(needed > union.len(), "{one:?} and {other:?} may be apart");
            }
            let empty = |host: &&HostName| servers.get(*host).is_some_and(|(_, data)| !data);
            let empty = one.keys().filter(empty).count();
            assert!(empty <= one.len() / 2, "the empty ones are a majority of {one:?}");
        }
    }

    /// What a larger number does not list it shows nothing to.
    fn hear(servers: &Servers, open: &BTreeSet<HostName>, step: &Step) {
        let Members::Servers(wanted) = &step.wants else { panic!("{step:?}") };
        let id = |host: &HostName| host.as_str()[1..].parse::<u8>().unwrap();
        for (one, (list, _)) in servers.iter().filter(|(_, (list, _))| list.len() > 1) {
            for other in servers.keys().filter(|it| !list.contains_key(*it) && id(it) < id(one)) {
                let lists = servers.iter().filter(|(host, _)| *host != other);
                let counted = lists.map(|(_, (list, _))| list).chain([wanted]);
                let counted = counted.into_iter().any(|list| list.contains_key(other));
                assert!(!counted || open.contains(other), "{other} does not hear {one}: {step:?}");
            }
        }
    }

    fn act(servers: &mut Servers, open: &mut BTreeSet<HostName>, step: &Step, cut: usize) {
        let Members::Servers(list) = &step.wants else { panic!("{step:?}") };
        let insists =
            |open: &mut BTreeSet<HostName>, host: &HostName| match step.open.contains(host) {
                true => drop(open.insert(host.clone())),
                false => drop(open.remove(host)),
            };
        match &step.does {
            Does::Roll(hosts) => {
                // Joiners first, as the plan's waves have it.
                let mut order: Vec<&HostName> = hosts.iter().collect();
                order.sort_by_key(|host| servers.contains_key(*host));
                for host in order.into_iter().take(cut) {
                    insists(open, host);
                    let data = servers.get(host).is_some_and(|(_, data)| *data);
                    servers.insert(host.clone(), (list.clone(), data));
                    hold(servers);
                    hear(servers, open, step);
                    // Its gate: it follows, in sync.
                    servers.insert(host.clone(), (list.clone(), true));
                }
            }
            Does::Together(hosts) => {
                for host in hosts {
                    insists(open, host);
                    let data = servers.get(host).is_some_and(|(_, data)| *data);
                    servers.insert(host.clone(), (list.clone(), data));
                }
                hold(servers);
                hear(servers, open, step);
                for host in hosts {
                    servers.insert(host.clone(), (list.clone(), true));
                }
            }
            Does::GiveLead(_) => {}
            Does::Stop(host) | Does::StopUngated(host) => {
                let listed = servers
                    .iter()
                    .filter(|(other, (list, _))| *other != host && list.contains_key(host));
                // But of three the two others become a pair without it.
                let counted = listed.filter(|(_, (list, _))| list.len() != 3).count();
                assert_eq!(counted, 0, "{host} stops and is still counted");
                servers.remove(host);
                open.remove(host);
            }
            other => panic!("{other:?}"),
        }
        hold(servers);
    }

    fn plan(servers: &Servers, open: &BTreeSet<HostName>, wanted: &List) -> Steps {
        // Whoever is counted by no other is outside.
        let counted = |host: &HostName| {
            servers.iter().any(|(other, (list, _))| other != host && list.contains_key(host))
        };
        let inside = servers.keys().any(counted);
        let own: BTreeMap<HostName, List> = servers
            .iter()
            .filter(|(host, _)| !inside || counted(host))
            .map(|(host, (list, _))| (host.clone(), list.clone()))
            .collect();
        let lists = distinct(&own);
        let base = match current(&lists, wanted) {
            Ok(list) => list,
            Err(refusal) => panic!("{}: {lists:?}", refusal.why),
        };
        let server = Server { answers: true, ..Server::default() };
        let all = servers.keys().map(|host| (host.clone(), server.clone())).collect();
        let running = Running { servers: all, ..Running::default() };
        let mut steps = from(&base, &running, wanted, &BTreeSet::new());
        if lists.len() > 1 && base.len() > 1 {
            steps.first.insert(0, one_list(&base, &BTreeSet::new()));
        }
        unlisted::let_in(steps, &own, open.clone())
    }

    proptest! {
        /// Whatever membership becomes whatever other: two lists in use never allow two majorities that are
        /// apart, the empty are never a majority, none that is counted insists where larger numbers pass it over, and
        /// cut anywhere, the rest leads to the same end.
        #[test]
        fn every_change_keeps_one_majority_and_the_data(
            old in prop::collection::btree_set(1_u8..9, 1..6),
            new in prop::collection::btree_set(1_u8..9, 1..6),
            cut in any::<prop::sample::Index>(),
            within in any::<prop::sample::Index>(),
        ) {
            let old = list(&old.into_iter().collect::<Vec<_>>());
            let wanted = list(&new.into_iter().collect::<Vec<_>>());
            let mut servers: Servers =
                old.keys().map(|host| (host.clone(), (old.clone(), true))).collect();
            let mut open = BTreeSet::new();
            let steps = plan(&servers, &open, &wanted);
            let all: Vec<&Step> = steps.all().collect();
            let stop = cut.index(all.len() + 1);
            for (index, step) in all.iter().enumerate() {
                if index == stop {
                    let (many, rolls) = match &step.does {
                        Does::Roll(hosts) => (hosts.len(), true),
                        _ => (0, false),
                    };
                    if rolls {
                        act(&mut servers, &mut open, step, within.index(many + 1));
                    }
                    break;
                }
                act(&mut servers, &mut open, step, usize::MAX);
            }
            // Where nothing was cut short all insist again.
            prop_assert!(stop < all.len() || open.is_empty(), "{open:?}");
            for step in plan(&servers, &open, &wanted).all() {
                act(&mut servers, &mut open, step, usize::MAX);
            }
            // One that is a member and does not run is started as ever.
            for host in wanted.keys() {
                let new = || (wanted.clone(), true);
                servers.entry(host.clone()).or_insert_with(new);
            }
            let end: Servers =
                wanted.keys().map(|host| (host.clone(), (wanted.clone(), true))).collect();
            prop_assert_eq!(&servers, &end);
            prop_assert_eq!(plan(&servers, &open, &wanted).all().count(), 0);
        }
    }
}

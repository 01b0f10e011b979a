//! The ensemble, with static lists: two lists that are in use at once must have intersecting majorities. Lists
//! that differ by one server always do; of 3 → 5 at once {4, 5, A} and {B, C} would not. Whoever is empty never
//! is in a majority without one who holds the data.

use std::collections::{BTreeMap, BTreeSet};

use super::{Does, Members, Refusal, State, Step, Steps, all_serve, joins, named};
use crate::ground::HostName;
use crate::health::{Data, Health, Member, Running, Server};
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
    let begins = running.servers.values().all(|it| !it.serves && it.data == Data::Nothing);
    if let (Some(host), true) = (held_by(running, inventory, &lists), begins) {
        let cure = match inventory.mesos.masters.contains(host) {
            true => "take it out of `mesos.masters.hosts` and ",
            false => "",
        };
        return Err(Refusal::new(format!(
            "all servers that could be asked are empty, and {host}, which may hold the data, could not be; bring it back, or {cure}write `retired: {{{host}: gone}}` if it never will"
        )));
    }
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
    let changes = lists.len() > 1 || steps.all().next().is_some();
    // Somebody else counts on it, and it may lead.
    let unheard = |host: &&HostName| running.silent.contains(*host) && !gone.contains(*host);
    let counted = lists.iter().flat_map(BTreeMap::keys).find(unheard);
    if let (Some(host), true, true) = (counted, changes, own.keys().any(serves)) {
        return Err(Refusal::new(format!(
            "{host} is counted by servers of the ensemble and could not be asked; bring it back, or take it out and write `retired: {{{host}: gone}}` if it never will"
        )));
    }
    let empty =
        |host: &HostName| running.servers.get(host).is_none_or(|it| it.data == Data::Nothing);
    let elsewhere = running.servers.keys().find(|host| !base.contains_key(*host) && !empty(host));
    if let (Some(host), true, true) = (
        elsewhere.filter(|host| !gone.contains(*host)),
        base.keys().all(empty),
        running.servers.values().all(|server| !server.serves),
    ) {
        return Err(Refusal::new(format!(
            "no server serves, {} would begin empty, and {host} holds the data; start it first (an apply of the earlier inventory does: `provision history`)",
            named(base.keys())
        )));
    }
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
        true => {
            let mut counted = led.cloned().unwrap_or_default();
            counted.retain(|host, _| !gone.contains(host) && serves(host));
            vec![one_list(&base, counted, gone)]
        }
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

/// Who could not be asked, is to be no member, and may have been one: a first installation knows of none such. Masters
/// alone are no sign of one: they are all made together, before any agent.
fn held_by<'a>(
    running: &'a Running,
    inventory: &Inventory,
    lists: &[List],
) -> Option<&'a HostName> {
    let wanted = inventory.ensemble().into_iter().flat_map(BTreeMap::keys).collect::<BTreeSet<_>>();
    let masters = &inventory.mesos.masters;
    let mut silent = running.silent.iter().filter(|host| !wanted.contains(host));
    silent.find(|host| {
        let listed = lists.iter().any(|list| list.contains_key(*host));
        let begun = running.has_begun || !running.masters.is_empty();
        listed || begun || !masters.contains(*host)
    })
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
    let (first, rest) = start(out, running, &judged, base, health)?;
    let rest = rest
        .into_iter()
        .map(|host| step(format!("{host}'s server starts"), Does::Roll([host].into())));
    Ok([step(title, Does::Together(first))].into_iter().chain(rest).collect())
}

/// All members get the list that a change in progress ends with. Whoever serves, and is counted by who leads with
/// another list, may be needed for that one's majority until it has gone over.
fn one_list(base: &List, counted: List, gone: &BTreeSet<HostName>) -> Step {
    let mut live = base.clone();
    live.retain(|host, _| !gone.contains(host));
    let mut judged = counted;
    judged.extend(live.clone());
    Step {
        open: BTreeSet::new(),
        title: format!("the ensemble's lists become one: {}", named(base.keys())),
        wants: Members::Servers(base.clone()),
        judged: Members::Servers(judged),
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
        // What they hold of earlier would count as much as what it holds now, if all of them stopped.
        let holds = |host: &&HostName| {
            running.servers.get(*host).is_some_and(|server| server.data == Data::Perhaps)
        };
        steps.first.extend(new.keys().filter(holds).map(|host| Step {
            open: BTreeSet::new(),
            title: format!("{host}'s data of earlier is set aside"),
            wants: Members::Servers(alone.clone()),
            judged: Members::Servers(alone.clone()),
            does: Does::SetAsideOld(host.clone()),
        }));
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
    // Who was left running when its joining, or its leaving, was cut short: nobody counts it. It goes on only with
    // the list that all are to have next: with another it would have majorities of its own once some count it.
    let moves = |step: &&Step| !matches!(step.does, Does::SetAsideOld(_));
    let next = steps.first.iter().find(moves).map(|step| step.wants.clone());
    let as_next = |host: &HostName, it: &Server| {
        let Some(Members::Servers(next)) = &next else { return false };
        next.contains_key(host) && it.list.keys().eq(next.values().collect::<BTreeSet<&u8>>())
    };
    let left = running.servers.iter().filter(|(host, it)| {
        (it.answers || it.runs) && !current.contains_key(*host) && !as_next(host, it)
    });
    let stops: Vec<Step> =
        left.map(|(host, _)| stop(host, &live(current), &live(current))).collect();
    steps.first.splice(0..0, stops);
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
                does: Does::GiveLead([host.clone()].into()),
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
/// may, and so few of the empty ones that they are no majority without a holder, whoever comes back beside them.
/// Of `members` nobody is gone; `list` is what the servers run with.
///
/// # Errors
/// Why nobody may be started: who answers is empty, or all but a few are, and somebody is silent or left out who
/// may not be.
pub fn start(
    work: &BTreeSet<HostName>,
    running: &Running,
    members: &List,
    list: &List,
    health: &Health,
) -> Result<(BTreeSet<HostName>, Vec<HostName>), Refusal> {
    let holds =
        |host: &HostName| running.servers.get(host).is_some_and(|it| it.data == Data::Perhaps);
    let majority = list.len() / 2 + 1;
    let absent = |host: &&HostName| {
        !work.contains(*host) && health.members.get(*host) != Some(&Member::Serving)
    };
    let (known, empty): (Vec<&HostName>, Vec<&HostName>) = work.iter().partition(|it| holds(it));
    let beside = members.keys().filter(|host| !work.contains(*host) && holds(host)).count();
    if known.is_empty() && beside == 0 {
        if let Some(silent) = members.keys().find(absent) {
            return Err(Refusal::new(format!(
                "all servers that could be started are empty, and {silent}, which may hold the data, is not among them; bring it back and let it come along, or take it out of `zookeeper.servers`"
            )));
        }
        return Ok((work.clone(), Vec::new()));
    }
    // They are empty, or may be, and run or may at any time.
    let others: Vec<&HostName> =
        members.keys().filter(|host| absent(host) && !holds(host)).collect();
    if empty.len() + others.len() < majority {
        return Ok((work.clone(), Vec::new()));
    }
    let runs = |host: &HostName| running.servers.get(host).is_some_and(|it| it.answers || it.runs);
    let (up, unknown): (Vec<&HostName>, Vec<&HostName>) =
        others.iter().copied().partition(|host| runs(host));
    let now = majority.saturating_sub(known.len() + beside + up.len());
    if now + others.len() >= majority {
        // Where all of them run by now there are too many of them already.
        let unknown = if unknown.is_empty() { others } else { unknown };
        let they = if unknown.len() == 1 { "it" } else { "them" };
        return Err(Refusal::new(format!(
            "so few servers hold data that {} empty ones would have to serve with them, and together with {}, which could not be asked or may not be touched, these could elect a leader without any data; bring {they} back and let {they} come along, or take {they} out of `zookeeper.servers`",
            now + up.len(),
            named(unknown),
        )));
    }
    let first: BTreeSet<HostName> =
        known.into_iter().chain(empty.iter().copied().take(now)).cloned().collect();
    // Nothing that is done now would make them serve, and nobody would wait for it.
    if first.is_empty() {
        let others: Vec<&HostName> = members.keys().filter(|host| !work.contains(*host)).collect();
        let one = others.first().map_or("HOST", |host| host.as_str());
        return Err(Refusal::new(format!(
            "{} would be enough to serve and do not; {} would begin empty beside them and could outvote whoever holds the data; mend them first: `provision logs {one}` says more",
            named(others),
            named(empty),
        )));
    }
    Ok((first, empty.into_iter().skip(now).cloned().collect()))
}

#[cfg(test)]
mod tests;

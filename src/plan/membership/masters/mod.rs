//! The masters' replicated log: q of its replicas must agree, so there must never be more than 2q − 1 of them, or
//! two majorities could be apart. Source: "Increasing/Decreasing the quorum size" in docs/operational-guide.md of
//! Mesos 1.11.

use std::collections::BTreeSet;

use super::{Does, Members, Refusal, State, Step, Steps, all_serve, named};
use crate::ground::HostName;
use crate::health::{Data, Kept, Member, Running};
use crate::inventory::Inventory;
use crate::tasks::Task;

mod log;

use log::Log;

/// See [`super::steps`].
pub(super) fn steps(
    running: &Running,
    inventory: &Inventory,
    state: State<'_>,
) -> Result<Steps, Refusal> {
    let wanted = &inventory.mesos.masters;
    let target = inventory.quorum();
    let old =
        running.kept.iter().filter(|(host, kept)| kept.log && !running.masters.contains_key(*host));
    let old = old.map(|(host, _)| host.clone()).collect();
    let now =
        Log { replicas: running.masters.iter().map(|(host, it)| (host, it.quorum)).collect(), old };
    let replicas: BTreeSet<HostName> = running.masters.keys().cloned().collect();
    // One that is new to the log, or has left it; those that have only stopped may start again.
    let known = |host: &HostName| running.kept.get(host).is_some_and(|kept| !kept.left);
    let new =
        wanted.difference(&replicas).find(|host| !known(host) && !running.silent.contains(*host));
    let silent = running.silent.iter().find(|host| !wanted.contains(*host));
    if let (Some(host), Some(new), false) = (silent, new, replicas.is_empty()) {
        return Err(Refusal::new(format!(
            "{new} starts no master while {host}, which may run one, could not be asked: it would be one replica too many; bring it back, or write `retired: {{{host}: gone}}` if it never will"
        )));
    }
    // A first installation has no log yet, nor an ensemble that holds anything.
    let heard = |host: &HostName| !running.silent.contains(host);
    let ensemble = inventory.ensemble();
    let former = |host: &HostName| {
        !wanted.contains(host) && !ensemble.is_some_and(|all| all.contains_key(host))
    };
    let fresh = running.servers.values().all(|it| it.data == Data::Nothing)
        && ensemble.is_none_or(|all| all.keys().all(heard))
        && !running.silent.iter().any(former);
    let enough = wanted.iter().filter(|host| heard(host)).count() >= target;
    let first = replicas.is_empty() && fresh && enough;
    let silent = running.silent.iter().find(|_| !first);
    if let (Some(host), Some(new)) = (silent, new) {
        return Err(Refusal::new(format!(
            "{new} starts no master while {host} could not be asked: it may run one whose quorum bears no more of them; bring it back, or take it out of `mesos.masters.hosts`"
        )));
    }
    if replicas.is_empty() {
        let why = alone(running, wanted, target).or_else(|| stopped(running, wanted, target));
        return why.map_or(Ok(Steps::default()), Err);
    }
    // Who has left holds an old log, with which it would vote at once: it comes back by steps, where those who run can
    // bring it up to date.
    let left = |host: &&HostName| running.kept.get(*host).is_some_and(|it| it.log && it.left);
    let back = wanted.difference(&replicas).any(|host| left(&host));
    let back = back && now.lowest().is_some_and(|quorum| replicas.len() >= quorum);
    let changes = back || !now.as_wanted(wanted, target);
    let seen = running.masters.values().filter_map(|it| it.ensemble).max().unwrap_or(0);
    if (changes || new.is_some()) && seen > replicas.len() + running.silent.len() {
        let cure = match state.strangers.len() {
            0 => "put the others' hosts back and name them under `retired` (one that has just died is forgotten in a few seconds)".to_owned(),
            n => format!(
                "{} {} one that the inventory does not name, which this apply stops: apply again after it",
                named(state.strangers),
                if n == 1 { "runs" } else { "run" }
            ),
        };
        let are = if replicas.len() == 1 { "is" } else { "are" };
        return Err(Refusal::new(format!(
            "the masters' log has {seen} replicas, of which {} {are} known; {cure}",
            named(&replicas)
        )));
    }
    if !changes {
        // Whoever is to come and holds nothing catches up with as many as must agree.
        let come = wanted.iter().filter(|host| !replicas.contains(*host));
        let come = come.filter(|host| !heard(host) || stays(running, host)).count();
        // A first installation that was cut short begins a log once all have come.
        let begun = running.masters.values().any(|it| it.votes == Some(true))
            || running.kept.values().any(|kept| kept.log && kept.left);
        return match now.cut_short(wanted, target, come).filter(|_| begun) {
            Some(refusal) => Err(refusal),
            None => Ok(Steps::default()),
        };
    }
    if let Some(host) = running.silent.iter().find(|host| wanted.contains(*host)) {
        return Err(Refusal::new(format!(
            "{host} could not be asked, and may run a master with the old quorum; bring it back, or take it out of `mesos.masters.hosts`"
        )));
    }
    // It may run on with the quorum of its file, and count among the others once it is back.
    let unheard: Vec<&HostName> =
        running.silent.iter().filter(|host| !wanted.contains(*host)).collect();
    let lowers = now.highest().is_some_and(|quorum| quorum > target);
    if let (Some(host), true) =
        (unheard.first(), lowers && wanted.len() + unheard.len() >= 2 * target)
    {
        return Err(Refusal::new(format!(
            "{host} could not be asked, and may run a master that a quorum of {target} does not bear beside the others; bring it back, or write `retired: {{{host}: gone}}` if it never will"
        )));
    }
    if replicas.len() == 1
        && now.lowest() == Some(1)
        && (target > 1 || !wanted.is_superset(&replicas))
    {
        let steps = anew(running, inventory, &replicas, state)?;
        return steps.within_scope(Task::Masters, state.scope);
    }
    let steps = now.to(wanted, target, state.health.leader.as_ref())?;
    if let Some(refusal) = now.cut_short(wanted, target, 0) {
        return Err(refusal);
    }
    // Whoever leaves may be sick; whoever stays must serve.
    let stay = replicas.iter().filter(|host| wanted.contains(*host));
    // The last of two that is left does not serve before its quorum is lowered.
    if replicas != *wanted || replicas.len() > 1 || now.lowest() != Some(2) {
        all_serve(stay, "the masters' membership", state.health)?;
    }
    let leaves = replicas.iter().filter(|host| !wanted.contains(*host));
    if let Some(host) =
        leaves.into_iter().find(|host| state.health.members.get(*host) == Some(&Member::Silent))
    {
        all_serve([host], "the masters' membership", state.health)?;
    }
    Steps { first: steps, ..Steps::default() }.within_scope(Task::Masters, state.scope)
}

/// Why a log that one replica keeps alone, and that does not run, keeps others from starting.
fn alone(running: &Running, wanted: &BTreeSet<HostName>, target: usize) -> Option<Refusal> {
    let alone = |(_, kept): &(&HostName, &Kept)| kept.log && kept.quorum == Some(1);
    let (host, _) = running.kept.iter().find(alone)?;
    let others = target > 1 || wanted.iter().any(|other| other != host);
    (others && wanted.contains(host)).then(|| {
        Refusal::new(format!(
            "{host} keeps the masters' log alone, with quorum 1, and does not run; start it first (an apply of the earlier inventory does: `provision history`), so that what it remembers can be saved"
        ))
    })
}

/// Whether a host holds a replica of the log as its member, though its master does not run.
fn stays(running: &Running, host: &HostName) -> bool {
    running.kept.get(host).is_some_and(|kept| kept.log && !kept.left)
}

/// Why those that are wanted may not start while nobody runs: others hold what was acknowledged, or some of them hold
/// what it was before they left.
fn stopped(running: &Running, wanted: &BTreeSet<HostName>, target: usize) -> Option<Refusal> {
    let members: BTreeSet<&HostName> =
        running.kept.keys().filter(|host| stays(running, host)).collect();
    if members.is_empty() {
        return None;
    }
    let of = |host: &HostName| running.kept.get(host);
    let same = members.iter().all(|host| {
        wanted.contains(*host) && of(host).is_some_and(|kept| kept.quorum == Some(target))
    });
    let stale = wanted.iter().any(|host| of(host).is_some_and(|kept| kept.log && kept.left));
    // One that was left alone holds all, and its quorum is lowered.
    let ends = target == 1 && members.iter().copied().eq(wanted);
    (!ends && (!same || stale)).then(|| {
        Refusal::new(format!(
            "no master runs, and their membership changes only while they do; {CURE}: {} held their log (an apply of the earlier inventory: `provision history`)",
            named(members)
        ))
    })
}

/// What is done about a change that was cut short where too few were left.
pub const CURE: &str = "end the change before this one first";

/// The consent to it, by its name under `allow`, which wants a reason.
pub const CONSENT: &str = "master-growth";

/// One that keeps the log alone, with quorum 1: no replica can be added to such a log. What it remembers is saved,
/// it is set aside, and all that are wanted begin a new one together.
fn anew(
    running: &Running,
    inventory: &Inventory,
    replicas: &BTreeSet<HostName>,
    state: State<'_>,
) -> Result<Steps, Refusal> {
    let (wanted, quorum) = (&inventory.mesos.masters, inventory.quorum());
    let Some(host) = replicas.first().filter(|host| wanted.contains(*host)) else {
        return Err(Refusal::new(format!(
            "{} keeps the masters' log alone, with quorum 1, and no replica can be added to such a log; let it be one of the masters that there are to be, and take it out in a later apply",
            named(replicas)
        )));
    };
    if !inventory.allow.contains_key(CONSENT) {
        return Err(Refusal::new(format!(
            "{host} keeps the masters' log alone, with quorum 1, and no replica can be added to such a log: a new one would begin, with weights, quotas and maintenance restored, and agents marked gone forgotten; in a quiet hour consent with `allow: {{ {CONSENT}: REASON }}`"
        )));
    }
    all_serve([host], "the masters' log", state.health)?;
    let old = running
        .kept
        .iter()
        .find(|(other, kept)| kept.log && *other != host && wanted.contains(*other));
    if let Some((other, _)) = old {
        return Err(Refusal::new(format!(
            "{other} holds a replica of some earlier log, and with it no new one would begin; move work_dir/replicated_log away there"
        )));
    }
    let drained = state.agents.into_iter().flatten().find(|(_, agent)| agent.deactivated);
    if let Some((_, agent)) = drained {
        return Err(Refusal::new(format!(
            "the agent {} is drained, which the masters would forget with their log; give it back first (`provision undrain`)",
            agent.info.hostname
        )));
    }
    let before = Members::Masters(replicas.clone(), 1);
    let after = Members::Masters(wanted.clone(), quorum);
    let step = |title: String, members: &Members, does| Step {
        open: BTreeSet::new(),
        title,
        wants: members.clone(),
        judged: members.clone(),
        does,
    };
    let first = vec![
        step(
            format!("what {host} remembers for the masters is saved"),
            &before,
            Does::Save(host.clone()),
        ),
        step(
            format!("{host}'s log is set aside; no master serves until {} do", named(wanted)),
            &before,
            Does::SetAside(host.clone()),
        ),
        step(format!("{} begin a new log", named(wanted)), &after, Does::Together(wanted.clone())),
        step("what was saved is restored".to_owned(), &after, Does::Restore(host.clone())),
    ];
    Ok(Steps { first, ..Steps::default() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::health::Health;
    use crate::health::running::Replica;
    use crate::lints::load::{Lab, load_text};
    use crate::plan::Scope;

    /// With its log of then it would vote at once, without what was written since.
    #[test]
    fn who_had_left_comes_back_without_its_log_even_where_nothing_else_changes() {
        let text = "version: 1\ncluster: c\nhosts:\n  m[1:3]: { address: \"10.0.0.[1:3]\" }\n\
            zookeeper: { servers: { m2: 2 } }\n\
            mesos: { version: 1.11.0, package: { preinstalled: true }, masters: { hosts: [m1, m2, m3] } }\n";
        let inventory = load_text("i", text.as_bytes(), Path::new("/"), &[], Lab::No);
        let inventory = inventory.expect("good").inventory;
        let [m1, m2, m3] = ["m1", "m2", "m3"].map(HostName::new);
        let health = Health {
            members: [&m2, &m3].map(|host| (host.clone(), Member::Serving)).into(),
            leader: Some(m2.clone()),
        };
        let scope = Scope::default();
        let strangers = BTreeSet::new();
        let state = State { health: &health, scope: &scope, agents: None, strangers: &strangers };
        let replica = Replica { quorum: Some(2), votes: Some(true), ..Replica::default() };
        let titles = |left: bool| -> Vec<String> {
            let kept = Kept { quorum: Some(2), log: true, left };
            let running = Running {
                masters: [&m2, &m3].map(|host| (host.clone(), replica.clone())).into(),
                kept: [(m1.clone(), kept)].into(),
                ..Running::default()
            };
            let steps = steps(&running, &inventory, state).unwrap();
            steps.all().map(|step| step.title.clone()).collect()
        };
        assert_eq!(titles(true), ["m1's log of earlier is set aside", "m1 joins the masters"]);
        // One that has only stopped is still a member.
        assert!(titles(false).is_empty());
    }
}

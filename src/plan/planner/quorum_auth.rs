//! How the servers of an ensemble go over to another `zookeeper.quorum_auth` while they serve. A server that shows a
//! principal gets nowhere with one that does not know it, and one that insists lets nobody in who shows none. So, in
//! one apply and one server at a time: first all of them accept what will be shown as well as what is, and go on
//! showing that; then they show what will be; then they accept nothing else. On, off and to another principal are
//! the same way. Which of these rolls there are to be is read from the processes, so a run that was cut short is gone
//! on with.
//!
//! Source: apache/zookeeper release-3.8.0, zookeeperAdmin.md ("quorum.auth.*"), and for a cluster that serves the
//! three rolls of "Server-Server mutual authentication" in ZooKeeper's wiki.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Done, Planner, Roll};
use crate::ground::HostName;
use crate::health::{Health, Member};
use crate::inventory::{Inventory, QuorumAuth, Sasl, ZooKeeper};
use crate::plan::membership::{self, Does, Members, Refusal, Step};
use crate::plan::{Because, Seen};
use crate::resource::removed::THERE;
use crate::resource::{Look, ResourceId};
use crate::tasks::Task;

/// One roll on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Turn {
    /// What people call it.
    title: &'static str,
    /// What every server does after it.
    sasl: Sasl,
}

const LEARN: &str = "ZooKeeper: servers learn whom to accept, and show what they have shown so far";
const OPEN: &str = "ZooKeeper: servers let in who shows no principal too, and go on showing theirs";
const SHOW: &str =
    "ZooKeeper: servers show each other their principal, and let in who shows none too";
const CHANGE: &str =
    "ZooKeeper: servers show each other the principal of now, and accept the one before it too";
const CEASE: &str = "ZooKeeper: servers show each other no principal any more";

/// What people call the last one.
pub(super) fn end(inventory: &Inventory) -> &'static str {
    match inventory.sasl().principals.len() {
        0 => "ZooKeeper: servers go on without SASL between them",
        1 => "ZooKeeper: servers let in nobody who does not show their principal",
        _ => CHANGE,
    }
}

/// The rolls before the one that makes servers as `wanted`, from what those do that serve.
///
/// # Errors
/// Why there is no way on which all of them understand each other, and what to do.
fn rolls(now: &BTreeSet<Sasl>, wanted: &Sasl) -> Result<Vec<Turn>, String> {
    let shown: BTreeSet<Option<&str>> = now.iter().map(|it| it.shows.as_deref()).collect();
    let will = wanted.shows.as_deref();
    let by_all = |shown: &Option<&str>| now.iter().all(|it| it.accepts(*shown));
    let meanwhile = if by_all(&will) { Some(will) } else { shown.iter().copied().find(by_all) };
    let Some(meanwhile) = meanwhile else {
        return Err(APART.to_owned());
    };
    if shown.iter().all(|it| *it == will) && meanwhile == will {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    let needed: BTreeSet<Option<&str>> = shown.iter().copied().chain([will]).collect();
    let names: BTreeSet<&str> = needed.iter().copied().flatten().collect();
    let holds = |sasl: &&Sasl| names.iter().all(|name| sasl.knows(name));
    // The file of one of them is on every host, or can be made.
    let file = match now
        .iter()
        .next()
        .filter(|one| now.iter().all(|it| it.principals == one.principals))
    {
        _ if holds(&wanted) => wanted,
        Some(kept) if holds(&kept) => kept,
        _ => {
            let unknown: Vec<&str> =
                names.iter().copied().filter(|name| !wanted.knows(name)).collect();
            return Err(format!(
                "servers show the principal {}, whose secret is written nowhere any more, and would refuse each other; write it under `zookeeper.quorum_auth.former` until all have gone over",
                unknown.join(" and ")
            ));
        }
    };
    let wide = |shows: Option<&str>| Sasl {
        principals: file.principals.clone(),
        shows: shows.map(str::to_owned),
        open: needed.contains(&None),
    };
    if meanwhile != will {
        let title = if will.is_none() { OPEN } else { LEARN };
        all.push(Turn { title, sasl: wide(meanwhile) });
    }
    // Who accepts all that is shown by then may go all the way at once.
    let left = if meanwhile == will { shown } else { [meanwhile].into() };
    if !left.iter().all(|it| wanted.accepts(*it)) {
        let title = match will {
            None => CEASE,
            Some(_) if needed.contains(&None) => SHOW,
            Some(_) => CHANGE,
        };
        all.push(Turn { title, sasl: wide(will) });
    }
    Ok(all)
}

/// The inventory in which servers do this about SASL.
fn within(inventory: &Inventory, sasl: Sasl) -> Arc<Inventory> {
    let mut inventory = inventory.clone();
    if let ZooKeeper::Managed { auth, .. } = &mut inventory.zookeeper {
        let written = auth.take().filter(|auth| auth.sasl.principals == sasl.principals);
        let secrets = written.and_then(|auth| auth.secrets);
        *auth = Some(QuorumAuth { sasl, secrets, open: BTreeSet::new() });
    }
    Arc::new(inventory)
}

impl Planner<'_> {
    /// Plans how the servers go over, all but the last roll.
    pub(super) fn go_over(&mut self, roll: &Roll) -> Done {
        let (Some(wanted), false) = (self.inventory.ensemble(), roll.is_empty()) else {
            return Done::Nothing;
        };
        let judged = &self.observed.judged;
        let Some(health) = judged.health.get(&Task::Zookeeper) else { return Done::Nothing };
        // One that stands alone speaks to nobody.
        let of_ensemble =
            judged.running.servers.iter().filter(|(_, it)| it.serves && it.list.len() > 1);
        let all: Option<BTreeSet<Sasl>> =
            of_ensemble.clone().map(|(_, it)| it.sasl.clone()).collect();
        let last = self.inventory.sasl();
        let Some(now) = all else {
            // What somebody else has set may go on, if it is what is wanted.
            return match last.is_on() {
                false => Done::Nothing,
                true => self.stay(roll, FOREIGN.to_owned()),
            };
        };
        let own_lines = self.sets_it_by_hand();
        if own_lines && now.iter().any(Sasl::is_on) {
            return self.stay(roll, BY_HAND.to_owned());
        }
        let rolls = match rolls(&now, &last) {
            Ok(rolls) if rolls.is_empty() || own_lines => return Done::Nothing,
            Ok(rolls) => rolls,
            Err(why) => return self.stay(roll, why),
        };
        if let Err(why) = self.may_go_over(health) {
            return self.stay(roll, why);
        }
        let members = Members::Servers(wanted.clone());
        let mut serving: BTreeSet<HostName> = health.serving().into_iter().cloned().collect();
        let mut sick: Vec<HostName> =
            wanted.keys().filter(|host| !serving.contains(*host)).cloned().collect();
        let ensemble: BTreeSet<HostName> = wanted.keys().cloned().collect();
        let (leader, inventory) = (health.leader.as_ref(), Arc::clone(self.inventory));
        for Turn { title, sasl } in rolls {
            // What is written nowhere any more cannot be given to one that lacks it.
            if sasl.principals != last.principals
                && let Some(host) = sick.iter().find(|host| !self.has(host, &sasl))
            {
                let why = format!(
                    "{host} does not serve and lacks {}, whose secret is written nowhere any more; mend it first, with `zookeeper.quorum_auth` as it was",
                    sasl.file()
                );
                return self.stay(roll, why);
            }
            self.meanwhile = within(&inventory, sasl);
            let step = Step {
                open: BTreeSet::new(),
                title: title.to_owned(),
                wants: members.clone(),
                judged: members.clone(),
                does: Does::Roll(ensemble.clone()),
            };
            let stage = self.step(Task::Zookeeper, &step, &serving, leader);
            self.meanwhile = Arc::clone(&inventory);
            let stage = match stage {
                Ok(stage) => stage,
                Err(blocked) => {
                    self.plan.blocked.push(blocked);
                    return Done::Refused;
                }
            };
            let touched = |host: &HostName| {
                stage.iter().flat_map(|it| &it.waves).any(|wave| wave.hosts.contains_key(host))
            };
            if let Some(host) = sick.iter().find(|host| !touched(host)) {
                let why = Refusal::sick(Task::Zookeeper, host, health).why;
                return self.stay(roll, why);
            }
            sick.clear();
            self.rolls.extend(stage);
            serving.extend(ensemble.iter().cloned());
        }
        Done::Steps
    }

    /// Whether a file of secrets that is wanted no more is on a host.
    fn has(&self, host: &HostName, sasl: &Sasl) -> bool {
        let Some(Seen::Answered(answer)) = self.observed.hosts.get(host) else { return false };
        let file = sasl.file();
        let is_of = |id: &ResourceId| {
            id.kind == "leftovers"
                && id.name.strip_suffix('*').is_some_and(|it| file.starts_with(it))
        };
        answer.looks.iter().filter(|(id, _)| is_of(id)).any(|(_, look)| match look {
            Look::Facts(facts) => {
                let names = facts.get(THERE).map_or("", String::as_str);
                names.lines().any(|name| file.ends_with(&format!("/{name}")))
            }
            _ => false,
        })
    }

    /// Whether zoo.cfg is given lines of the user's own about it.
    fn sets_it_by_hand(&self) -> bool {
        let ZooKeeper::Managed { config, .. } = &self.inventory.zookeeper else { return false };
        let on = config.get("quorum.auth.enableSasl");
        on.is_some_and(|on| on.trim().eq_ignore_ascii_case("true"))
    }

    /// Whether all servers can go, and nothing else of them changes meanwhile.
    fn may_go_over(&self, health: &Health) -> Result<(), String> {
        let running = &self.observed.judged.running;
        let state = membership::State {
            health,
            scope: self.scope,
            agents: self.observed.judged.agents.as_ref(),
            strangers: &self.strangers,
        };
        let steps = membership::steps(Task::Zookeeper, running, self.inventory, state);
        let steps = steps.map_err(|refusal| refusal.why)?;
        if let Some(step) = steps.all().next() {
            return Err(format!(
                "{:?} is one change of the ensemble and another `zookeeper.quorum_auth` is a second; apply one of them, then the other",
                step.title
            ));
        }
        let servers: Vec<&HostName> =
            self.inventory.ensemble().into_iter().flat_map(|it| it.keys()).collect();
        for host in &servers {
            if !matches!(self.observed.hosts.get(*host), Some(Seen::Answered(_))) {
                return Err(format!(
                    "{host} could not be asked, and servers go over to another `zookeeper.quorum_auth` only together; bring it back, or take it out of `zookeeper.servers` first"
                ));
            }
        }
        let out: Vec<&str> = servers
            .iter()
            .filter(|host| !self.scope.allows(host, Task::Zookeeper))
            .map(|host| host.as_str())
            .collect();
        if !out.is_empty() {
            return Err(format!(
                "servers go over to another `zookeeper.quorum_auth` only together; put {} under --limit too",
                out.join(", ")
            ));
        }
        if health.is_leaderless() && health.members.values().any(|it| *it == Member::Serving) {
            return Err("nobody leads the ensemble; wait for one, or mend it first".to_owned());
        }
        Ok(())
    }

    /// Leaves the ensemble as it is.
    fn stay(&mut self, roll: &Roll, why: String) -> Done {
        let because = Because::Admission { why };
        self.block(roll.keys().cloned(), Task::Zookeeper, &because);
        Done::Refused
    }
}

const APART: &str = "servers that serve do not accept each other as they run now; make them as they were by an apply of the earlier inventory (`provision history`)";
const FOREIGN: &str = "servers run with SASL between them that is not of `zookeeper.quorum_auth`; take that off first, by lines of `zookeeper.config` and one apply for each: quorum.auth.serverRequireSasl, then learnerRequireSasl, then enableSasl";
const BY_HAND: &str = "servers run with `zookeeper.quorum_auth`, and lines of `zookeeper.config` would take its place; apply once without either, then with those lines";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::{Index, subsequence};

    use super::*;

    fn sasl(principals: &[&str], shows: Option<&str>, open: bool) -> Sasl {
        let principals = principals.iter().map(|name| (*name).to_owned()).collect();
        Sasl { principals, shows: shows.map(str::to_owned), open }
    }

    fn on(principals: &[&str]) -> Sasl {
        sasl(principals, principals.first().copied(), false)
    }

    fn said(now: &[Sasl], wanted: &Sasl) -> Vec<String> {
        let rolls = rolls(&now.iter().cloned().collect(), wanted);
        match rolls {
            Ok(rolls) => rolls.iter().map(|roll| roll.sasl.to_string()).collect(),
            Err(why) => vec![why],
        }
    }

    #[test]
    fn on_and_off_are_three_rolls() {
        let off = Sasl::default();
        let (learned, shown) =
            ("accepts z and who shows none; shows none", "accepts z and who shows none; shows z");
        assert_eq!(said(std::slice::from_ref(&off), &on(&["z"])), [learned, shown]);
        assert_eq!(said(&[on(&["z"])], &off), [shown, learned]);
        // Cut short anywhere, the rest follows; and the way back is open.
        let (first, second) = (sasl(&["z"], None, true), sasl(&["z"], Some("z"), true));
        assert_eq!(said(&[off.clone(), first.clone()], &on(&["z"])), [learned, shown]);
        assert_eq!(said(&[second.clone(), first.clone()], &on(&["z"])), [shown]);
        assert_eq!(said(&[second.clone(), on(&["z"])], &on(&["z"])), [""; 0]);
        assert_eq!(said(&[second, first.clone()], &off), [learned]);
        assert_eq!(said(&[off.clone(), first], &off), [""; 0]);
        assert_eq!(said(std::slice::from_ref(&off), &off), [""; 0]);
    }

    #[test]
    fn a_principal_goes_over_with_the_former_one_beside_it() {
        let both = on(&["new", "old"]);
        assert_eq!(said(&[on(&["old"])], &both), ["accepts new and old; shows old"]);
        assert_eq!(said(std::slice::from_ref(&both), &on(&["new"])), [""; 0]);
        assert!(
            said(&[on(&["old"])], &on(&["new"]))[0].contains("the principal old, whose secret")
        );
        // Taken out too early: what is on the hosts is gone on with.
        let half = sasl(&["new", "old"], Some("old"), false);
        assert_eq!(said(&[half, both], &on(&["new"])), ["accepts new and old; shows new"]);
    }

    fn any_wanted() -> impl Strategy<Value = Sasl> {
        let names = || subsequence(vec!["a", "b", "c"], 0..=2).prop_shuffle();
        names().prop_map(|names| if names.is_empty() { Sasl::default() } else { on(&names) })
    }

    /// Every server lets in every other.
    fn understand(servers: &[Sasl]) {
        for one in servers {
            for other in servers {
                assert!(other.accepts(one.shows.as_deref()), "{one} comes to one that {other}");
            }
        }
    }

    proptest! {
        /// Wherever a run is cut short, whatever is wanted next: all understand each other at every moment, and
        /// what was wanted last is so in the end, or is refused with all left as it was.
        #[test]
        fn all_understand_each_other_at_every_moment(
            start in any_wanted(),
            wishes in prop::collection::vec((any_wanted(), any::<Index>()), 1..6),
        ) {
            let mut servers = vec![start; 3];
            for (wanted, cut) in wishes {
                let Ok(rolls) = rolls(&servers.iter().cloned().collect(), &wanted) else { continue };
                let all: Vec<Sasl> =
                    rolls.into_iter().map(|roll| roll.sasl).chain([wanted.clone()]).collect();
                let turns = cut.index(all.len() * servers.len() + 1);
                for turn in 0..turns {
                    let at = turn % servers.len();
                    servers[at] = all[turn / servers.len()].clone();
                    // ZooKeeper starts with nothing else.
                    prop_assert!(servers[at].open || servers[at].shows.is_some());
                    understand(&servers);
                }
                if turns == all.len() * servers.len() {
                    prop_assert!(servers.iter().all(|it| *it == wanted));
                }
            }
        }
    }
}

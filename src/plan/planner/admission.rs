//! Whom masters admit, changed in the order that loses nobody. Masters refuse whoever shows a principal that they
//! do not know, and whoever shows none where they ask for one; a refused agent or framework ends. So, in one
//! apply: first masters know the new principals as well as the old, and ask nobody whom they did not ask before;
//! then agents and clients go over; then masters ask for what is written, and forget the rest.
//!
//! Where masters stand is read from their processes, so a run that was cut short is gone on with. Principals of
//! before whose secrets are written nowhere any more live on in the file that masters have; a file that would
//! need both those and new ones cannot be made, and `mesos.credentials.former` is the way.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Planner, members};
use crate::ground::HostName;
use crate::health::{Health, Member, Running};
use crate::inventory::{Inventory, Opening};
use crate::plan::work::{idle, work};
use crate::plan::{Action, Because, Seen, Stage, waves};
use crate::resource::directory::Directory;
use crate::resource::{Look, read};
use crate::tasks::{Task, Wishes, World, desire_of};

/// Tasks whose processes masters admit.
pub(super) const USERS: [Task; 3] = [Task::Agents, Task::Spark, Task::Dispatcher];

/// What masters do between what they do now and what is written; `None` where that is the same as the end.
fn opening(inventory: &Inventory, running: &Running) -> Option<Opening> {
    let credentials = &inventory.mesos.credentials;
    let now = running.masters.values().filter_map(|it| it.admits.as_ref());
    let now: Vec<_> = now.collect();
    if now.is_empty() {
        return None;
    }
    let written: BTreeSet<String> =
        credentials.accepted().map(|credential| credential.principal.clone()).collect();
    let hold = now.iter().all(|it| it.known.as_ref().is_some_and(|it| it.is_superset(&written)));
    let opening = Opening {
        agents: credentials.agent.is_some() && now.iter().all(|it| it.agents),
        frameworks: credentials.framework.is_some() && now.iter().all(|it| it.frameworks),
        keeps: hold && now.iter().any(|it| it.known.as_ref() != Some(&written)),
    };
    let end = opening.agents == credentials.agent.is_some()
        && opening.frameworks == credentials.framework.is_some()
        && !opening.keeps;
    (!end).then_some(opening)
}

/// What people call the first step.
pub(super) fn title(opening: &Opening) -> &'static str {
    match opening.keeps {
        false => "masters learn the credentials, and ask for none of the new ones yet",
        true => "masters ask for no more than what is written, and forget no credential yet",
    }
}

impl Planner<'_> {
    /// What is wanted of masters first, where they go over in two steps.
    pub(super) fn open(&mut self) -> Option<Wishes> {
        let opening = opening(self.inventory, &self.observed.judged.running)?;
        // Everybody has gone over.
        if self.behind().is_empty() {
            return None;
        }
        let mut inventory = Inventory::clone(self.inventory);
        inventory.mesos.credentials.opening = Some(opening);
        let world = World { inventory: &inventory, templates: self.templates };
        let wishes = desire_of(&world, &[Task::Masters]).ok()?.tasks.remove(&Task::Masters)?;
        self.meanwhile = Arc::new(inventory);
        self.look_into(&wishes, |_| true);
        self.opened = Some(wishes.clone());
        Some(wishes)
    }

    /// Masters that would not admit who has gone over.
    fn closed(&self) -> Vec<&HostName> {
        let wishes = self.opened.iter().flatten();
        let open = wishes.filter(|(host, wishes)| self.is_behind(Task::Masters, host, wishes));
        open.map(|(host, _)| host).collect()
    }

    /// Leaves undone what would be refused by masters that are not ready for it.
    pub(super) fn waits_for_masters(&mut self, task: Task, wishes: &Wishes) -> bool {
        let closed = self.closed();
        if closed.is_empty() {
            return false;
        }
        let why = format!(
            "{} would refuse who goes over to the credentials that are written: masters come first, or along (--tasks, --limit)",
            named(closed)
        );
        let mine = |(host, wishes): &(&HostName, &Vec<_>)| {
            self.scope.allows(host, task) && self.is_behind(task, host, wishes)
        };
        let hosts: Vec<HostName> =
            wishes.iter().filter(mine).map(|(host, _)| host.clone()).collect();
        self.block(hosts, task, &Because::Admission { why });
        true
    }

    /// Plans the last step: masters ask for what is written, and forget the rest.
    pub(super) fn close(&mut self) {
        if !self.closed().is_empty() {
            return;
        }
        let Some(opened) = self.opened.take() else { return };
        let Some(wishes) = self.desired.tasks.get(&Task::Masters) else { return };
        // What the first step has tolerated is still there.
        let tolerated = |name: &str| {
            let all = opened.values().flatten().filter_map(|wish| wish.resource.get::<Directory>());
            all.filter_map(|it| it.only.as_ref()).any(|only| only.contains(name))
        };
        self.look_into(wishes, tolerated);
        self.meanwhile = Arc::clone(self.inventory);
        let mut roll = self.work(Task::Masters, wishes);
        for (host, actions) in &mut roll {
            actions.retain(|action: &Action| !self.leaves(host, action));
        }
        roll.retain(|_, actions| !actions.is_empty());
        if roll.is_empty() {
            return;
        }
        let behind = self.behind();
        let left: Vec<&HostName> = behind.iter().filter(|host| self.is_left(host)).collect();
        if !left.is_empty() {
            let why = format!(
                "they go on as they are until {} {} gone over too, which cannot be now (unreachable, blocked, or not under --limit or --tasks)",
                named(left.iter().copied()),
                if left.len() == 1 { "has" } else { "have" }
            );
            self.block(roll.into_keys(), Task::Masters, &Because::Admission { why });
            return;
        }
        let serve = wishes.keys().map(|host| (host.clone(), Member::Serving));
        let leader = self.observed.judged.leader.clone().filter(|it| wishes.contains_key(it));
        let health = Health { members: serve.collect(), leader };
        let rollout = (Task::Masters.card().rollout)(self.inventory);
        let idle = idle(self.desired, Task::Masters, &roll, self.observed);
        let (waves, blocked) = waves::waves(Task::Masters, roll, &rollout, Some(&health), &idle);
        self.plan.blocked.extend(blocked);
        let credentials = &self.inventory.mesos.credentials;
        let title = match credentials.agent.is_some() || credentials.framework.is_some() {
            true => "masters ask for the credentials that are written, and know no others",
            false => "masters forget the credentials that nobody uses any more",
        };
        let (task, title) = (Some(Task::Masters), title.to_owned());
        let mut stage = Stage::new(self.inventory, task, title, waves, members(wishes));
        stage.after = behind;
        self.rolls.push(stage);
    }

    /// Hosts of agents and clients that are not all as wanted, or cannot be asked.
    fn behind(&self) -> BTreeSet<HostName> {
        let tasks = USERS.iter().filter_map(|task| Some((*task, self.desired.tasks.get(task)?)));
        let all = tasks.flat_map(|(task, wishes)| wishes.iter().map(move |it| (task, it)));
        all.filter(|(task, (host, wishes))| self.is_behind(*task, host, wishes))
            .map(|(_, (host, _))| host.clone())
            .collect()
    }

    fn is_behind(&self, task: Task, host: &HostName, wishes: &[crate::tasks::Wish]) -> bool {
        let Some(Seen::Answered(answer)) = self.observed.hosts.get(host) else { return true };
        let work = work(task, host, wishes, answer, &self.predicted);
        !(work.prepare.is_empty() && work.roll.is_empty() && work.blind.is_empty())
    }

    /// Whether something of a host that is behind is not in the plan.
    fn is_left(&self, host: &HostName) -> bool {
        let asked = matches!(self.observed.hosts.get(host), Some(Seen::Answered(_)));
        let blocked =
            |task: &Task| self.plan.blocked.iter().any(|it| it.host == *host && it.task == *task);
        let mut tasks = USERS.iter().filter(|task| self.wanted(**task, host));
        !asked || tasks.any(|task| !self.scope.allows(host, *task) || blocked(task))
    }

    /// What is in directories that are owned whole depends on what is wanted in them; of what is not, these
    /// names are there.
    fn look_into(&mut self, wishes: &Wishes, there: impl Fn(&str) -> bool) {
        for (host, wishes) in wishes {
            let Some(Seen::Answered(answer)) = self.observed.hosts.get(host) else { continue };
            for wish in wishes.iter().filter(|it| it.resource.get::<Directory>().is_some()) {
                let Look::Facts(mut facts) = read(&wish.resource, &answer.sections) else {
                    continue;
                };
                if let Some(strays) = facts.get_mut("strays") {
                    let names: Vec<&str> = strays.lines().filter(|name| there(name)).collect();
                    *strays = names.join("\n");
                }
                self.predicted.insert((host.clone(), wish.resource.id()), facts);
            }
        }
    }
}

fn named<'a>(hosts: impl IntoIterator<Item = &'a HostName>) -> String {
    hosts.into_iter().map(HostName::as_str).collect::<Vec<_>>().join(", ")
}

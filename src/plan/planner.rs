//! How a plan is made: task by task, then put together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::membership;
use super::work::{idle, runs, work};
use super::{Action, Because, Blocked, Members, Observed, Plan, Scope, Seen, Stage, Wave, waves};
use crate::ground::HostName;
use crate::health::{Health, Member};
use crate::inventory::Inventory;
use crate::resource::{Facts, ResourceId};
use crate::tasks::{Desired, Task, Wish, Wishes};
use crate::template::Templates;

mod admission;
mod changes;
mod one_build;
mod quorum_auth;
mod strangers;

/// Makes the plan.
pub fn plan(
    inventory: &Arc<Inventory>,
    templates: &Templates,
    desired: &Desired,
    observed: &Observed,
    scope: &Scope,
) -> Plan {
    let plan = Plan { unreachable: observed.unreachable(), ..Plan::default() };
    let mut planner = Planner {
        inventory,
        templates,
        desired,
        observed,
        scope,
        plan,
        prepare: Wave::default(),
        rolls: Vec::new(),
        late: Vec::new(),
        predicted: BTreeMap::new(),
        meanwhile: Arc::clone(inventory),
        opened: None,
        strangers: BTreeSet::new(),
        refused: None,
    };
    for (task, wishes) in &desired.tasks {
        planner.task(*task, wishes);
    }
    planner.whole()
}

/// A plan that is being made.
struct Planner<'a> {
    inventory: &'a Arc<Inventory>,
    templates: &'a Templates,
    desired: &'a Desired,
    observed: &'a Observed,
    scope: &'a Scope,
    plan: Plan,
    prepare: Wave,
    rolls: Vec<Stage>,
    /// Members that leave, once all that uses them follows the new ones.
    late: Vec<Stage>,
    /// What the steps so far will have made of resources.
    predicted: BTreeMap<(HostName, ResourceId), Facts>,
    /// The inventory by which masters admit agents and clients while those go over.
    meanwhile: Arc<Inventory>,
    /// What is wanted of masters meanwhile.
    opened: Option<Wishes>,
    /// Hosts whose masters stop first, for nobody knows them.
    strangers: BTreeSet<HostName>,
    /// Why masters of which none leads are left as they are.
    refused: Option<String>,
}

/// Work of one task by host.
type Roll = BTreeMap<HostName, Vec<Action>>;

impl Planner<'_> {
    /// Plans one task.
    fn task(&mut self, task: Task, wishes: &Wishes) {
        let observed = self.observed;
        let judged = &observed.judged;
        if task == Task::Masters {
            self.stop_strangers();
        }
        let opening = if task == Task::Masters { self.open() } else { None };
        let wishes = opening.as_ref().unwrap_or(wishes);
        let built = if task == Task::Image { self.one_build(wishes) } else { None };
        let wishes = built.as_ref().map_or(wishes, |(wishes, _)| wishes);
        // Who builds on masters that are not ready for him waits.
        if admission::USERS.contains(&task) && self.waits_for_masters(task, wishes) {
            return;
        }
        let inventory = &Arc::clone(&self.meanwhile);
        let mut roll = self.work(task, wishes);
        // Members that run and are wanted no more go by steps, whatever task would stop them.
        for (host, actions) in &mut roll {
            actions.retain(|action| !self.leaves(host, action));
        }
        roll.retain(|_, actions| !actions.is_empty());
        let mut health = judged.health.get(&task);
        // One sick component makes those that build on it look sick, and what is about to be done may
        // be just what they wait for: only the first is named, and only when nothing is to be done.
        let quiet = self.prepare.hosts.is_empty() && self.rolls.is_empty() && roll.is_empty();
        if let (Some(health), true, true) = (health, quiet, self.plan.blocked.is_empty()) {
            self.plan.blocked.extend(not_serving(task, health, self.scope, observed));
        }
        // A gate that nobody could open would fail whoever waits for it.
        if let Some(judge) = judged.silent.get(&task) {
            let because = Because::LeaderSilent { leader: judge.clone() };
            self.block(std::mem::take(&mut roll).into_keys(), task, &because);
        }
        if let (Some(why), true) = (&self.refused, strangers::LED.contains(&task)) {
            let why = format!("no master leads, and they are left as they are: {why}");
            self.block(roll.into_keys(), task, &Because::Earlier { what: why });
            return;
        }
        let foreseen;
        let over = if task == Task::Zookeeper { self.go_over(&roll) } else { Done::Nothing };
        let goes_over = matches!(over, Done::Steps);
        let done = match over {
            Done::Nothing => self.membership(task, &roll),
            done => done,
        };
        match done {
            Done::Nothing => {}
            Done::Refused => return,
            // Whatever else is to be done on members is so too by now, or will be with the last step.
            Done::Steps => {
                let rest = self.work(task, wishes);
                roll.retain(|host, actions| {
                    *actions = rest.get(host).cloned().unwrap_or_default();
                    actions.retain(|action| !self.leaves(host, action));
                    !actions.is_empty()
                });
                if !self.late.is_empty() && task == Task::Zookeeper {
                    return;
                }
                // All of them serve by then, and one of them leads.
                let all = wishes.keys().map(|host| (host.clone(), Member::Serving));
                let leader = health.and_then(|health| health.leader.as_ref());
                let leader = leader.filter(|leader| wishes.contains_key(*leader));
                let leader = leader.or_else(|| wishes.keys().next()).cloned();
                foreseen = Health { members: all.collect(), leader };
                health = Some(&foreseen);
            }
        }
        if task == Task::Retired {
            self.close();
            self.rolls.append(&mut self.late);
        }
        if roll.is_empty() {
            return;
        }
        let rollout = (task.card().rollout)(inventory);
        let idle = idle(self.desired, task, &roll, observed);
        let start = match (task, health, inventory.ensemble()) {
            // Nobody serves of those that answer: the others may, or hold the data and serve no more.
            (Task::Zookeeper, Some(health), Some(wanted))
                if health.is_lost() || health.serving().is_empty() =>
            {
                let hosts = roll.keys().cloned().collect();
                Some(membership::zookeeper::start(&hosts, &judged.running, wanted, wanted, health))
            }
            _ => None,
        };
        let (waves, blocked) = match start {
            None => waves::waves(task, roll, &rollout, health, &idle),
            Some(Ok((first, rest))) => (waves::in_turn(roll, &first, &rest), Vec::new()),
            Some(Err(refusal)) => {
                let because = Because::Membership { why: refusal.why };
                self.block(roll.into_keys(), task, &because);
                return;
            }
        };
        self.plan.blocked.extend(blocked);
        for (host, actions) in waves.iter().flat_map(|wave| &wave.hosts) {
            if opening.is_some() {
                self.foresee(host, actions);
            }
        }
        if !waves.is_empty() {
            let title = match &inventory.mesos.credentials.opening {
                Some(opening) if task == Task::Masters => admission::title(opening).to_owned(),
                _ if goes_over => quorum_auth::end(inventory).to_owned(),
                _ => task.card().title.to_owned(),
            };
            let members = members(wishes);
            // Agents are listed by whoever leads, be it a master that is to leave.
            let inventory = match task {
                Task::Zookeeper | Task::Masters => Arc::clone(inventory),
                _ => judged.running.beside(inventory),
            };
            let mut stage = Stage::new(&inventory, Some(task), title, waves, members);
            stage.after.extend(built.map(|(_, from)| from));
            self.rolls.push(stage);
        }
    }

    /// What is to be done for a task; what can be prepared goes there.
    fn work(&mut self, task: Task, wishes: &Wishes) -> Roll {
        let mut roll = Roll::new();
        for (host, wishes) in wishes {
            let Some(Seen::Answered(answer)) = self.observed.hosts.get(host) else { continue };
            if !self.scope.allows(host, task) {
                continue;
            }
            let mut work = work(task, host, wishes, answer, &self.predicted);
            for action in work.prepare.iter_mut().chain(&mut work.roll) {
                let settle = task.card().settle;
                settle(self.inventory, host, &self.observed.judged, &mut action.resource);
            }
            for because in work.blind {
                let blocked = Blocked { host: host.clone(), task, because };
                if !self.plan.blocked.contains(&blocked) {
                    self.plan.blocked.push(blocked);
                }
            }
            if !work.prepare.is_empty() {
                self.foresee(host, &work.prepare);
                self.prepare.hosts.entry(host.clone()).or_default().extend(work.prepare);
            }
            if !work.roll.is_empty() {
                roll.insert(host.clone(), work.roll);
            }
        }
        roll
    }

    /// Takes actions for done, for whoever plans what comes after them.
    fn foresee(&mut self, host: &HostName, actions: &[Action]) {
        for action in actions.iter().filter(|action| action.later.is_none()) {
            self.predicted.insert((host.clone(), action.id()), action.resource.want());
        }
    }

    /// Takes for running what is looked at only when its turn comes: it is stopped in a later step, whether it runs
    /// now or not.
    fn foresee_runs(&mut self, host: &HostName, actions: &[Action]) {
        for action in actions.iter().filter(|action| action.resource.runs().is_some()) {
            self.predicted.insert((host.clone(), action.id()), action.resource.want());
        }
    }

    /// Whether an action stops a member of a quorum that runs.
    fn leaves(&self, host: &HostName, action: &Action) -> bool {
        let running = &self.observed.judged.running;
        let runs = match action.id() {
            ResourceId { kind: "service", name } if name == "zookeeper" => {
                self.inventory.ensemble().is_some()
                    && running.servers.get(host).is_some_and(|it| it.answers || it.runs)
            }
            ResourceId { kind: "service", name } if name == "mesos-master" => {
                running.masters.contains_key(host)
            }
            _ => false,
        };
        runs && action.resource.runs().is_none()
    }

    fn block(&mut self, hosts: impl IntoIterator<Item = HostName>, task: Task, because: &Because) {
        let all = hosts.into_iter().map(|host| Blocked { host, task, because: because.clone() });
        self.plan.blocked.extend(all);
    }

    /// The plan in the order in which it is done.
    fn whole(mut self) -> Plan {
        if !self.prepare.hosts.is_empty() {
            let (title, members) = ("prepare".to_owned(), BTreeMap::new());
            let (waves, inventory) = (vec![self.prepare], Arc::clone(self.inventory));
            self.plan.stages.push(Stage::new(&inventory, None, title, waves, members));
        }
        self.plan.stages.extend(self.rolls);
        self.plan.stages.extend(self.late);
        let serving = |health: &Health| health.serving().into_iter().cloned().collect();
        let health = self.observed.judged.health.iter();
        self.plan.served = health.map(|(task, health)| (*task, serving(health))).collect();
        self.plan.blocked.sort();
        self.plan.blocked.dedup();
        self.plan
    }
}

/// How a change of membership was planned.
enum Done {
    /// There is none.
    Nothing,
    /// It is left as it is, and all of its task with it.
    Refused,
    /// By steps.
    Steps,
}

/// Who is a member of a task, and the unit that runs there.
pub(super) fn members(wishes: &Wishes) -> Members {
    let unit =
        |wishes: &Vec<Wish>| wishes.iter().find_map(|wish| wish.resource.runs().map(str::to_owned));
    wishes.iter().map(|(host, wishes)| (host.clone(), unit(wishes))).collect()
}

/// Members that answer, do not serve, and have nothing that we could make right.
fn not_serving(task: Task, health: &Health, scope: &Scope, observed: &Observed) -> Vec<Blocked> {
    health
        .members
        .iter()
        .filter_map(|(host, member)| match member {
            Member::Sick(why) => Some((host, why)),
            Member::Serving | Member::Silent => None,
        })
        .filter(|(host, _)| scope.allows(host, task))
        .filter(|(host, _)| matches!(observed.hosts.get(*host), Some(Seen::Answered(_))))
        // Where the service may rightly not run (nothing it needs is there), nothing is sick.
        .filter(|(host, _)| match observed.hosts.get(*host) {
            Some(Seen::Answered(answer)) => {
                let unit = task.card().check.and_then(|check| check.may_rest());
                unit.is_none_or(|unit| runs(unit, answer))
            }
            _ => true,
        })
        .map(|(host, why)| Blocked {
            host: host.clone(),
            task,
            because: Because::NotServing { why: why.clone() },
        })
        .collect()
}

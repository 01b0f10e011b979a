//! How a plan is made: task by task, then put together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::membership::{self, Does};
use super::work::{idle, runs, work};
use super::{Action, Because, Blocked, Members, Observed, Plan, Scope, Seen, Stage, Wave, waves};
use crate::ground::HostName;
use crate::health::{Health, Member};
use crate::inventory::Inventory;
use crate::resource::lead::{Asks, Lead};
use crate::resource::registry::{Stale, Turn};
use crate::resource::service::{Service, State};
use crate::resource::{Facts, ResourceId, diff};
use crate::tasks::weights::registry;
use crate::tasks::{Desired, Task, When, Wish, Wishes, World, desire_of};
use crate::template::Templates;

mod admission;
mod quorum_auth;

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
}

/// Work of one task by host.
type Roll = BTreeMap<HostName, Vec<Action>>;

impl Planner<'_> {
    /// Plans one task.
    fn task(&mut self, task: Task, wishes: &Wishes) {
        let observed = self.observed;
        let judged = &observed.judged;
        let opening = if task == Task::Masters { self.open() } else { None };
        let wishes = opening.as_ref().unwrap_or(wishes);
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
            (Task::Zookeeper, Some(health), Some(wanted)) if health.is_lost() => {
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
            self.rolls.push(Stage::new(&inventory, Some(task), title, waves, members));
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

    /// Plans how the membership of a task changes.
    fn membership(&mut self, task: Task, roll: &Roll) -> Done {
        let judged = &self.observed.judged;
        let Some(health) = judged.health.get(&task) else { return Done::Nothing };
        if self.scope.tasks.as_ref().is_some_and(|tasks| !tasks.contains(&task)) {
            return Done::Nothing;
        }
        let state = membership::State { health, scope: self.scope, agents: judged.agents.as_ref() };
        let steps = match membership::steps(task, &judged.running, self.inventory, state) {
            Ok(steps) => steps,
            Err(refusal) => return self.refuse(task, roll, refusal),
        };
        if steps.all().next().is_none() {
            return Done::Nothing;
        }
        // Nobody of it may be changed now: there is nothing to say.
        let touched = |step: &membership::Step| {
            step.does.hosts().into_iter().any(|host| self.scope.allows(host, task))
        };
        if !steps.all().any(touched) {
            return Done::Refused;
        }
        let touches = |stage: Option<&Stage>, host: &HostName| {
            stage.is_some_and(|stage| stage.waves.iter().any(|wave| wave.hosts.contains_key(host)))
        };
        let mut mends = steps.mends.clone();
        let mut serving: BTreeSet<HostName> = health.serving().into_iter().cloned().collect();
        for (step, late) in
            steps.first.iter().map(|it| (it, false)).chain(steps.last.iter().map(|it| (it, true)))
        {
            let stage = self.step(task, step, &serving, health.leader.as_ref());
            if let Ok(stage) = &stage
                && let Some(host) = mends.iter().find(|host| !touches(stage.as_ref(), host))
            {
                let refusal = membership::Refusal::sick(task, host, health);
                return self.refuse(task, roll, refusal);
            }
            mends.clear();
            match stage {
                Ok(Some(stage)) if late => self.late.push(stage),
                Ok(Some(stage)) => self.rolls.push(stage),
                Ok(None) => {}
                Err(blocked) => {
                    self.plan.blocked.push(blocked);
                    return Done::Refused;
                }
            }
            serving.extend(step.does.hosts().into_iter().cloned());
        }
        Done::Steps
    }

    /// Leaves membership as it is, and everybody of it.
    fn refuse(&mut self, task: Task, roll: &Roll, refusal: membership::Refusal) -> Done {
        let mut hosts: BTreeSet<HostName> = roll.keys().cloned().collect();
        let allowed = |host: &&HostName| self.scope.allows(host, task);
        hosts.extend(self.strays(task).into_iter().filter(allowed).cloned());
        self.block(hosts, task, &Because::Membership { why: refusal.why });
        Done::Refused
    }

    /// Members that run and that the inventory does not name.
    fn strays(&self, task: Task) -> Vec<&HostName> {
        let running = &self.observed.judged.running;
        match task {
            Task::Zookeeper => {
                let all = running.servers.iter().filter(|(_, server)| server.answers);
                let given = self.inventory.ensemble();
                all.map(|(host, _)| host)
                    .filter(|host| given.is_some_and(|all| !all.contains_key(*host)))
                    .collect()
            }
            _ => running
                .masters
                .keys()
                .filter(|host| !self.inventory.mesos.masters.contains(*host))
                .collect(),
        }
    }

    /// Whether the inventory wants anything of a host for a task.
    fn wanted(&self, task: Task, host: &HostName) -> bool {
        self.desired.tasks.get(&task).is_some_and(|wishes| wishes.contains_key(host))
    }

    /// One step as a stage; `None` where all of it is so already.
    fn step(
        &mut self,
        task: Task,
        step: &membership::Step,
        serving: &BTreeSet<HostName>,
        leader: Option<&HostName>,
    ) -> Result<Option<Stage>, Blocked> {
        let hosts = step.does.hosts();
        let host = hosts.first().copied().cloned();
        let blocked = |host: &HostName, why: String| Blocked {
            host: host.clone(),
            task,
            because: Because::Membership { why },
        };
        for host in &hosts {
            if !matches!(self.observed.hosts.get(*host), Some(Seen::Answered(_))) {
                let why = format!("{:?} waits for it, and it could not be asked", step.title);
                return Err(blocked(host, why));
            }
        }
        let inventory = step.judged.within(&self.meanwhile);
        let mut members: BTreeMap<HostName, Option<String>> =
            inventory_members(self.inventory, &step.judged, task);
        let waves = match &step.does {
            Does::Roll(_) | Does::Together(_) => {
                let wants = step.within(&self.meanwhile);
                let world = World { inventory: &wants, templates: self.templates };
                let desired = desire_of(&world, &[task]);
                let mut desired = match (desired, host) {
                    (Ok(desired), _) => desired,
                    (Err(why), Some(host)) => return Err(blocked(&host, why)),
                    (Err(_), None) => return Ok(None),
                };
                let mut wishes = desired.tasks.remove(&task).unwrap_or_default();
                wishes.retain(|host, _| hosts.contains(host));
                // What the inventory wants nothing of any more was not asked about: its turn decides.
                let later = wishes.extract_if(.., |host, _| !self.wanted(task, host));
                let later: Roll = later
                    .map(|(host, wishes)| {
                        let serves = serving.contains(&host);
                        (host, at_its_turn(task, &wishes, serves))
                    })
                    .collect();
                for (host, actions) in &later {
                    self.foresee_runs(host, actions);
                }
                let before = self.plan.blocked.len();
                let mut roll = self.work(task, &wishes);
                roll.extend(later);
                if let Some(blind) = self.plan.blocked.get(before..).and_then(|new| new.first()) {
                    return Err(blocked(&blind.host.clone(), blind.because.to_string()));
                }
                for (host, actions) in &roll {
                    self.foresee(host, actions);
                }
                match &step.does {
                    Does::Together(_) => {
                        waves::in_turn(roll, &hosts.into_iter().cloned().collect(), &[])
                    }
                    _ => waves::one_by_one(roll, serving, leader),
                }
            }
            Does::GiveLead(hosts) => {
                let roll = hosts.iter().map(|host| {
                    let machine = self.inventory.hosts.get(host);
                    let asks = match task {
                        Task::Masters => Asks::Master(
                            machine.map(|it| self.inventory.master_url(it)).unwrap_or_default(),
                        ),
                        _ => Asks::Server(
                            machine.map(|it| it.address.to_string()).unwrap_or_default(),
                            self.inventory.client_port(),
                        ),
                    };
                    let lead = Lead { unit: unit_of(self.inventory, task), asks };
                    let action = Action::later(task, Arc::new(lead.into()), "its turn comes");
                    (host.clone(), vec![action])
                });
                waves::one_by_one(roll.collect(), serving, leader)
            }
            Does::Save(host)
            | Does::SetAside(host)
            | Does::SetAsideOld(host)
            | Does::Restore(host) => {
                if matches!(step.does, Does::SetAside(_) | Does::SetAsideOld(_)) {
                    members = BTreeMap::new();
                }
                let turn = match step.does {
                    Does::Save(_) => Turn::Saved,
                    Does::SetAside(_) => {
                        Turn::Aside(self.inventory.mesos.masters_work_dir().to_owned())
                    }
                    Does::SetAsideOld(_) => Turn::Stale(Stale {
                        unit: unit_of(self.inventory, task),
                        paths: held(self.inventory, task),
                    }),
                    _ => Turn::Restored,
                };
                let later = (turn == Turn::Restored).then_some("its turn comes");
                let resource = Arc::new(registry(&step.judged.within(self.inventory), turn).into());
                let mut action = Action { later, ..Action::new(task, resource, Vec::new()) };
                if later.is_none() {
                    action.gaps = diff(&action.resource.want(), &Facts::new());
                }
                vec![Wave { hosts: [(host.clone(), vec![action])].into() }]
            }
            Does::Stop(host) | Does::StopUngated(host) => {
                members = match step.does {
                    Does::Stop(_) => inventory_members(self.inventory, &step.wants, task),
                    _ => BTreeMap::new(),
                };
                let unit = unit_of(self.inventory, task);
                let stopped = |wish: &&Wish| {
                    let id = wish.resource.id();
                    id.kind == "service" && id.name == unit && wish.resource.runs().is_none()
                };
                let wish = self.desired.of(host).map(|(_, wish)| wish).find(stopped).cloned();
                // One that is wanted again later is stopped like any other.
                let wish = wish.unwrap_or_else(|| Wish::roll(Service::of(unit, State::Stopped)));
                let wish = Wish { when: When::Roll, ..wish };
                let wishes = Wishes::from([(host.clone(), vec![wish])]);
                let roll = self.work(task, &wishes);
                for (host, actions) in &roll {
                    self.foresee(host, actions);
                }
                waves::one_by_one(roll, serving, leader)
            }
        };
        let title = step.title.clone();
        let stage = Stage::new(&inventory, Some(task), title, waves, members);
        Ok((!stage.waves.is_empty()).then_some(stage))
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

/// A member that is to leave takes part in the steps before: the file that says who is a member, or how many
/// must agree, and its process; of one that does not serve, all that it may lack, for its joining may have been
/// cut short. They are looked at when its turn comes.
fn at_its_turn(task: Task, wishes: &[Wish], serves: bool) -> Vec<Action> {
    // Who is let in without a principal is told to the process too.
    let told = wishes.iter().any(|wish| wish.resource.id().name.ends_with(".jaas"));
    let concerns = |wish: &&Wish| {
        let id = wish.resource.id();
        match id.kind {
            "service" => wish.resource.runs().is_some(),
            "file" if serves => {
                id.name.ends_with("/zoo.cfg")
                    || id.name.ends_with("/quorum")
                    || told && id.name.ends_with("/zookeeper.service")
            }
            _ => !serves,
        }
    };
    let action = |wish: &Wish| Action::later(task, Arc::clone(&wish.resource), "its turn comes");
    wishes.iter().filter(concerns).map(action).collect()
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

/// The directories in which a member of a quorum holds what was acknowledged.
fn held(inventory: &Inventory, task: Task) -> Vec<String> {
    match task {
        Task::Zookeeper => {
            let directories = inventory.ensemble_directories();
            directories.into_iter().map(|path| format!("{path}/version-2")).collect()
        }
        _ => vec![format!("{}/replicated_log", inventory.mesos.masters_work_dir())],
    }
}

/// The unit that a quorum's members run.
fn unit_of(inventory: &Inventory, task: Task) -> &'static str {
    task.unit(inventory).unwrap_or_default()
}

fn inventory_members(
    inventory: &Inventory,
    members: &membership::Members,
    task: Task,
) -> BTreeMap<HostName, Option<String>> {
    let unit = || Some(unit_of(inventory, task).to_owned());
    members.hosts().into_iter().map(|host| (host.clone(), unit())).collect()
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

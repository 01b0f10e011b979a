//! Changes of membership as stages of the plan: each step of [`membership`] becomes one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Done, Planner, Roll};
use crate::ground::HostName;
use crate::inventory::Inventory;
use crate::plan::membership::{self, Does};
use crate::plan::{Action, Because, Blocked, Seen, Stage, Wave, waves};
use crate::resource::lead::{Asks, Lead};
use crate::resource::registry::{Stale, Turn};
use crate::resource::service::{Service, State};
use crate::resource::{Facts, diff};
use crate::tasks::weights::registry;
use crate::tasks::{Task, When, Wish, Wishes, World, desire_of};

impl Planner<'_> {
    /// Plans how the membership of a task changes.
    pub(super) fn membership(&mut self, task: Task, roll: &Roll) -> Done {
        let judged = &self.observed.judged;
        let Some(health) = judged.health.get(&task) else { return Done::Nothing };
        if self.scope.tasks.as_ref().is_some_and(|tasks| !tasks.contains(&task)) {
            return Done::Nothing;
        }
        let state = membership::State {
            health,
            scope: self.scope,
            agents: judged.agents.as_ref(),
            strangers: &self.strangers,
        };
        let steps = match membership::steps(task, &judged.running, self.inventory, state) {
            Ok(steps) => steps,
            Err(refusal) => {
                let leaderless = health.is_leaderless() && judged.running.silent.is_empty();
                if task == Task::Masters && leaderless {
                    self.refused = Some(refusal.why.clone());
                }
                return self.refuse(task, roll, refusal);
            }
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
    pub(super) fn refuse(&mut self, task: Task, roll: &Roll, refusal: membership::Refusal) -> Done {
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
    pub(super) fn wanted(&self, task: Task, host: &HostName) -> bool {
        self.desired.tasks.get(&task).is_some_and(|wishes| wishes.contains_key(host))
    }

    /// One step as a stage; `None` where all of it is so already.
    pub(super) fn step(
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

//! Services: restarted, started, stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Consent, Ground, Verb, asked, one_by_one};
use crate::ground::HostName;
use crate::health::Health;
use crate::plan::work::{idle, runs};
use crate::plan::{Action, Answer, Because, Blocked, Ends, Plan, Stage, Wave, text, waves};
use crate::resource::service::{self, Service};
use crate::resource::{self, Look, Resource, diff};
use crate::tasks::Task;

impl Ground<'_> {
    /// Restarts what runs and starts what does not, or the latter alone.
    pub(super) fn run(&self, verb: &Verb) -> Result<Plan, String> {
        let mut plan = Plan::default();
        let judged = &self.observed.judged;
        for task in self.tasks(verb)? {
            let mut roll: BTreeMap<HostName, Vec<Action>> = BTreeMap::new();
            for (host, answer, wish, service) in self.services(task) {
                let runs = runs(&service.unit, answer);
                if runs && *verb == Verb::Start {
                    continue;
                }
                let mut gaps = match answer.looks.get(&wish.resource.id()) {
                    Some(Look::Facts(facts)) => diff(&wish.resource.want(), facts),
                    other => {
                        let why = match other {
                            Some(Look::Failed(why)) => why.clone(),
                            _ => "it was not asked about".to_owned(),
                        };
                        let because = Because::CouldNotLook { resource: wish.resource.id(), why };
                        plan.blocked.push(Blocked { host: host.clone(), task, because });
                        continue;
                    }
                };
                // Rightly at rest: what it needs is not there.
                if !runs && gaps.is_empty() {
                    continue;
                }
                let places = self.pending(task, host, answer, service);
                if places > 0 {
                    let because = Because::Pending { places };
                    plan.blocked.push(Blocked { host: host.clone(), task, because });
                    continue;
                }
                if runs {
                    gaps.retain(|gap| gap.fact == "enabled");
                    gaps.push(asked("restart", "running", "restarted"));
                }
                let mut resource = Arc::clone(&wish.resource);
                (task.card().settle)(self.inventory, host, judged, &mut resource);
                roll.entry(host.clone()).or_default().push(Action::new(task, resource, gaps));
            }
            if let Some(leader) = judged.silent.get(&task) {
                plan.blocked.extend(std::mem::take(&mut roll).into_keys().map(|host| {
                    let because = Because::LeaderSilent { leader: leader.clone() };
                    Blocked { host, task, because }
                }));
            }
            if roll.is_empty() {
                continue;
            }
            let rollout = (task.card().rollout)(self.inventory);
            let idle = idle(self.desired, task, &roll, self.observed);
            let (waves, blocked) =
                waves::waves(task, roll, &rollout, judged.health.get(&task), &idle);
            plan.blocked.extend(blocked);
            if !waves.is_empty() {
                plan.stages.push(self.stage(task, waves));
            }
        }
        Ok(plan)
    }

    /// How many changes are to be made yet to what a service depends on: a process that started now would
    /// run with what is there and be taken for right.
    fn pending(&self, task: Task, host: &HostName, answer: &Answer, service: &Service) -> usize {
        let concerns = |of: Task, resource: &Resource| {
            of == task && resource.get::<Service>().is_none()
                || resource.touches().is_some_and(|path| service.inputs.iter().any(|it| it == path))
        };
        let left = self.desired.of(host).filter(|(of, wish)| concerns(*of, &wish.resource));
        left.filter(|(_, wish)| match answer.looks.get(&wish.resource.id()) {
            // A drain that was left is ended by the next apply, whatever runs.
            Some(Look::Facts(facts)) => {
                wish.resource.id().kind != "drain" && !diff(&wish.resource.want(), facts).is_empty()
            }
            _ => false,
        })
        .count()
    }

    /// Ends services: what others build on last. Of a quorum one member after the other, its leader last,
    /// as long as a majority is left; all at once where it is meant to end.
    pub(super) fn stop(&self, quorum: Consent) -> Result<Plan, String> {
        let meant = self.tasks(&Verb::Stop { quorum })?;
        self.stop_of(&meant, quorum)
    }

    pub(super) fn stop_of(&self, meant: &[Task], quorum: Consent) -> Result<Plan, String> {
        let mut plan = Plan::default();
        for task in meant.iter().rev().copied() {
            let mut roll: BTreeMap<HostName, Vec<Action>> = BTreeMap::new();
            for (host, answer, _, running) in self.services(task) {
                let mut service = Service::of(&running.unit, service::State::Stopped);
                service.stamp.clone_from(&running.stamp);
                let resource = Resource::from(service);
                let Look::Facts(facts) = resource::read(&resource, &answer.sections) else {
                    continue;
                };
                let gaps = diff(&resource.want(), &facts);
                if !gaps.is_empty() {
                    let action = Action::new(task, Arc::new(resource), gaps);
                    roll.entry(host.clone()).or_default().push(action);
                }
            }
            if roll.is_empty() {
                continue;
            }
            let health = self.observed.judged.health.get(&task);
            let elects = task.card().check.is_some_and(|check| check.elects());
            let (waves, ends) = match health.filter(|_| elects) {
                None => (vec![Wave { hosts: roll }], Ends::Members),
                Some(health) => match left(health, roll.keys()) {
                    Left::Majority => (
                        one_by_one(roll, |host| health.leader.as_ref() == Some(host)),
                        Ends::Members,
                    ),
                    Left::Short { serving, needed } => {
                        if quorum == Consent::Withheld && !health.is_lost() {
                            return Err(format!(
                                "this ends the quorum of {}: {serving} of its {} would serve, and {needed} must; \
                                 name fewer hosts, or say --lose-quorum if that is meant",
                                task.card().title,
                                text::counted(health.members.len(), "member"),
                            ));
                        }
                        (vec![Wave { hosts: roll }], Ends::Quorum)
                    }
                },
            };
            let mut stage = Stage { ends, ..self.stage(task, waves) };
            if ends == Ends::Quorum {
                stage.title.push_str(": their quorum ends");
            }
            plan.stages.push(stage);
        }
        Ok(plan)
    }
}

/// What is left of a quorum.
enum Left {
    Majority,
    Short { serving: usize, needed: usize },
}

fn left<'a>(health: &Health, without: impl Iterator<Item = &'a HostName>) -> Left {
    let without: BTreeSet<&HostName> = without.collect();
    let serving = health.serving().difference(&without).count();
    let needed = health.members.len() / 2 + 1;
    if serving >= needed { Left::Majority } else { Left::Short { serving, needed } }
}

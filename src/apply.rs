//! Doing what a plan says: stages in order, waves in order, hosts of a wave at once, actions of a host in
//! order; gates between waves. Emits events and decides nothing but who goes next in a quorum.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::event::{Event, Outcome, Sink, SmokeOutcome};
use crate::health::{self, Check, Health, Replies};
use crate::inventory::{HostName, Inventory};
use crate::plan::hits::Hit;
use crate::plan::{Action, Because, Plan, Stage, Wave};
use crate::remote::{Change, Ended};
use crate::resource::package::KEPT;
use crate::resource::proof::{NO_ROOM, NOT_RUN};
use crate::resource::service::{self, State};
use crate::resource::{self, Look, Resource};
use crate::script::Step;
use crate::tasks::{Desired, Rollout, Task};

mod drain;
mod gate;
mod quorum;
mod smoke;

use drain::{drain, give_back};
use quorum::Roll;

/// One run of a plan.
#[derive(Debug)]
pub struct Run<Hosts> {
    /// What the user asked for.
    pub inventory: Arc<Inventory>,
    /// What should be true.
    pub desired: Arc<Desired>,
    /// The key that changes, to all hosts.
    pub hosts: Arc<Hosts>,
    /// Where events go.
    pub sink: Arc<dyn Sink>,
    /// Whether somebody asked to stop.
    pub stop: Arc<Stop>,
    /// How many hosts work at once.
    pub forks: Arc<Semaphore>,
    /// How many failed or unreachable hosts of a task are borne; `None` for each task's own budget.
    pub max_failed: Option<usize>,
    state: Mutex<Progress>,
}

/// Whether somebody asked to stop: running actions are finished, nothing new is begun.
#[derive(Debug, Default)]
pub struct Stop {
    asked: AtomicU8,
    /// Actions that run now, as `host: resource`.
    running: std::sync::Mutex<BTreeSet<String>>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Hosts that are out of the run, with what happened.
    failed: BTreeMap<HostName, String>,
    /// Services started in the current wave, to be stamped once healthy.
    started: BTreeMap<HostName, Vec<(Task, resource::ResourceId)>>,
    /// Services that cannot run here: no gate waits for them.
    not_run: BTreeSet<(HostName, Task)>,
    /// What happens to agents that are restarted, or to the engine under them.
    hits: BTreeMap<HostName, Hit>,
    /// Set once a stage went past its budget.
    halted: Option<String>,
}

/// How often a gate asks.
const POLL: Duration = Duration::from_millis(700);
/// A gate's question that takes longer has hung.
const ASK_LIMIT: Duration = Duration::from_secs(20);

impl Stop {
    /// Asks to stop.
    pub fn ask(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
    }

    /// Actions that run now, as `host: resource`: what is still to end.
    pub fn running(&self) -> Vec<String> {
        self.actions().iter().cloned().collect()
    }

    fn actions(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody asked.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst) > 0
    }
}

impl<Hosts: Change> Run<Hosts> {
    /// A run that has not begun.
    pub fn new(
        inventory: Arc<Inventory>,
        desired: Arc<Desired>,
        hosts: Arc<Hosts>,
        sink: Arc<dyn Sink>,
        stop: Arc<Stop>,
        forks: usize,
        max_failed: Option<usize>,
    ) -> Arc<Run<Hosts>> {
        Arc::new(Run {
            inventory,
            desired,
            hosts,
            sink,
            stop,
            forks: Arc::new(Semaphore::new(forks.max(1))),
            max_failed,
            state: Mutex::new(Progress::default()),
        })
    }

    /// Does all of it.
    pub async fn apply(self: &Arc<Self>, plan: &Plan) {
        self.state.lock().await.hits = plan.hits.clone();
        for blocked in &plan.blocked {
            self.sink.emit(Event::Blocked {
                host: blocked.host.clone(),
                task: blocked.task,
                reason: blocked.because.to_string(),
            });
        }
        for stage in &plan.stages {
            if let Some(why) = self.obstacle(stage, plan).await {
                self.block(stage.waves.iter(), &why).await;
                continue;
            }
            self.stage(stage).await;
        }
    }

    /// Why a stage may not start.
    async fn obstacle(&self, stage: &Stage, plan: &Plan) -> Option<String> {
        if self.stop.asked() {
            return Some("the run was interrupted".to_owned());
        }
        let state = self.state.lock().await;
        if let Some(why) = &state.halted {
            return Some(why.clone());
        }
        let task = stage.task?;
        let rollout = (task.card().rollout)(&self.inventory);
        let members = self.desired.tasks.get(&task)?;
        let out = members.keys().filter(|host| state.failed.contains_key(*host)).count();
        // A silent member of a quorum is a sick peer, which the waves know about; a silent agent
        // counts against the batch.
        let silent = match rollout {
            Rollout::Batches(..) => {
                members.keys().filter(|host| plan.unreachable.contains_key(*host)).count()
            }
            _ => 0,
        };
        let budget = self.max_failed.unwrap_or_else(|| rollout.budget(members.len()));
        // Hosts that never answered do not keep the others from their first installation.
        (out > 0 && out + silent > budget).then(|| {
            format!(
                "{out} of its {} hosts failed before, and {budget} may (--max-failed)",
                members.len()
            )
        })
    }

    async fn stage(self: &Arc<Self>, stage: &Stage) {
        let mut waves: Vec<Wave> = stage.waves.clone();
        let total = waves.len();
        let hosts: BTreeSet<&HostName> = waves.iter().flat_map(|wave| wave.hosts.keys()).collect();
        let actions = waves.iter().flat_map(|w| w.hosts.values()).map(Vec::len).sum();
        self.sink.emit(Event::StageStarted {
            stage: stage.title.clone(),
            hosts: hosts.len(),
            actions,
        });
        if stage.task == Some(Task::Smoke) {
            smoke::cluster(self).await;
        }
        let mut roll = Roll::default();
        let mut number = 0;
        waves.reverse();
        while let Some(mut wave) = waves.pop() {
            number += 1;
            if self.stop.asked() {
                waves.push(wave);
                self.block(waves.iter(), "the run was interrupted").await;
                return;
            }
            if let Some(task) =
                stage.task.filter(|task| task.card().check.is_some_and(Check::elects))
            {
                // Whoever leads now goes last, whoever led when the plan was made.
                match self.next_of_quorum(task, wave, &mut waves, &mut roll).await {
                    Ok(next) => wave = next,
                    Err((wave, why)) => {
                        waves.push(wave);
                        self.block(waves.iter(), &why).await;
                        self.halt(format!("{}: {why}", stage.title)).await;
                        return;
                    }
                }
            }
            self.sink.emit(Event::WaveStarted {
                stage: stage.title.clone(),
                wave: number,
                waves: total,
                hosts: wave.hosts.keys().cloned().collect(),
            });
            let before = self.state.lock().await.failed.len();
            roll.touched.extend(wave.hosts.keys().cloned());
            self.wave(&wave).await;
            let worked = {
                let state = self.state.lock().await;
                wave.hosts.keys().any(|host| !state.failed.contains_key(host))
            };
            if let Some(task) = stage.task.filter(|_| worked) {
                self.gate(task, &wave, &roll.touched).await;
            }
            let failed = self.state.lock().await.failed.len() - before;
            if failed > 0 && self.over_budget(stage).await {
                let why = format!("{} failed on {failed} of its hosts", stage.title);
                self.block(waves.iter().rev(), &why).await;
                if stage.task.is_some() {
                    self.halt(why).await;
                }
                return;
            }
        }
    }

    async fn over_budget(&self, stage: &Stage) -> bool {
        let Some(task) = stage.task else { return false };
        let members = self.desired.tasks.get(&task).map_or(0, BTreeMap::len);
        let rollout = (task.card().rollout)(&self.inventory);
        let budget = self.max_failed.unwrap_or_else(|| rollout.budget(members));
        let state = self.state.lock().await;
        let hosts = self.desired.tasks.get(&task).into_iter().flat_map(BTreeMap::keys);
        hosts.filter(|host| state.failed.contains_key(*host)).count() > budget
    }

    async fn halt(&self, why: String) {
        self.state.lock().await.halted.get_or_insert(why);
    }

    async fn block<'a>(&self, waves: impl Iterator<Item = &'a Wave>, why: &str) {
        let mut said = BTreeSet::new();
        for (host, actions) in waves.flat_map(|wave| &wave.hosts) {
            for action in actions {
                if said.insert((host, action.task)) {
                    self.sink.emit(Event::Blocked {
                        host: host.clone(),
                        task: action.task,
                        reason: Because::Earlier { what: why.to_owned() }.to_string(),
                    });
                }
            }
        }
    }

    async fn wave(self: &Arc<Self>, wave: &Wave) {
        let mut tasks = JoinSet::new();
        for (host, actions) in &wave.hosts {
            let (run, host, actions) = (Arc::clone(self), host.clone(), actions.clone());
            tasks.spawn(async move { run.host(&host, &actions).await });
        }
        while tasks.join_next().await.is_some() {}
    }

    /// All actions of one host, in order; the first failure ends them.
    async fn host(self: &Arc<Self>, host: &HostName, actions: &[Action]) {
        let Ok(_permit) = Arc::clone(&self.forks).acquire_owned().await else { return };
        for action in actions {
            let out = self.state.lock().await.failed.contains_key(host);
            let outcome = if out || self.stop.asked() {
                self.ended(host, action, Outcome::Skipped, 0.0);
                continue;
            } else {
                self.sink.emit(Event::ActionStarted {
                    host: host.clone(),
                    task: action.task,
                    resource: action.resource.to_string(),
                    why: action.why(),
                });
                let started = Instant::now();
                let name = format!("{host}: {}", action.resource);
                self.stop.actions().insert(name.clone());
                let (outcome, output) = self.action(host, action).await;
                self.stop.actions().remove(&name);
                let seconds = started.elapsed().as_secs_f64();
                self.ended(host, action, outcome.clone(), seconds);
                if action.task == Task::Smoke {
                    self.smoke_result(host, action, &outcome, &output, seconds);
                }
                if !output.is_empty() {
                    self.sink.emit(Event::ActionOutput {
                        host: host.clone(),
                        task: action.task,
                        resource: action.resource.to_string(),
                        text: output,
                    });
                }
                outcome
            };
            let what = match &outcome {
                Outcome::Failed { reason, .. } => reason.clone(),
                Outcome::Lost(reason) => reason.clone(),
                _ => continue,
            };
            // A proof that fails says nothing against the next one.
            if action.task != Task::Smoke || matches!(outcome, Outcome::Lost(_)) {
                self.state.lock().await.failed.insert(host.clone(), what);
            }
        }
    }

    fn ended(&self, host: &HostName, action: &Action, outcome: Outcome, seconds: f64) {
        self.sink.emit(Event::ActionEnded {
            host: host.clone(),
            task: action.task,
            resource: action.resource.to_string(),
            outcome,
            seconds,
        });
    }

    fn smoke_result(
        &self,
        host: &HostName,
        action: &Action,
        outcome: &Outcome,
        output: &str,
        seconds: f64,
    ) {
        let last = output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("");
        let (result, detail) = match outcome {
            Outcome::Changed | Outcome::Unchanged => (SmokeOutcome::Passed, last.to_owned()),
            Outcome::NotRun(why) => (SmokeOutcome::NotRun, why.clone()),
            Outcome::Failed { status, reason } if *status == NO_ROOM => {
                (SmokeOutcome::NoRoom, reason.clone())
            }
            Outcome::Failed { reason, .. } => (SmokeOutcome::Failed, reason.clone()),
            Outcome::Lost(why) => (SmokeOutcome::Failed, why.clone()),
            Outcome::Skipped => return,
        };
        let proof = self.desired.find(host, action.task, &action.resource);
        let about = match proof.map(|wish| &wish.resource) {
            Some(Resource::Proof(proof)) => proof.agent.clone(),
            _ => None,
        };
        self.sink.emit(Event::SmokeResult {
            check: action.resource.name.clone(),
            host: Some(about.unwrap_or_else(|| host.clone())),
            result,
            detail,
            seconds,
        });
    }

    /// One action: its outcome and the last lines it printed when they are worth showing.
    async fn action(&self, host: &HostName, action: &Action) -> (Outcome, String) {
        let Some(wish) = self.desired.find(host, action.task, &action.resource) else {
            let reason = "the plan names a resource that is not wanted".to_owned();
            return (Outcome::Failed { status: 0, reason }, String::new());
        };
        let resource = &wish.resource;
        let gaps = match action.later {
            None => action.gaps.clone(),
            Some(_) => match self.look(host, resource).await {
                Err(outcome) => return (outcome, String::new()),
                Ok(gaps) if gaps.is_empty() => return (Outcome::Unchanged, String::new()),
                Ok(gaps) => gaps,
            },
        };
        if let Resource::Proof(proof) = resource
            && let Some(why) = smoke::no_room(self, proof).await
        {
            return (Outcome::Failed { status: NO_ROOM, reason: why }, String::new());
        }
        let drains = resource.as_service().is_some_and(|it| it.interrupts(&gaps)) && {
            let state = self.state.lock().await;
            state.hits.get(host).is_some_and(|hit| hit.drains(action.task))
        };
        if drains && let Err(reason) = drain(self, host).await {
            return (Outcome::Failed { status: 0, reason }, String::new());
        }
        let name = format!("{}/{}", action.task, action.resource);
        let mut output = String::new();
        for step in resource.fix(&gaps) {
            let ended = match &step {
                Step::Run(fix) => self.hosts.run(host, &name, fix).await,
                Step::Push(push) => self.hosts.push(host, push).await,
            };
            match ended {
                Err(why) => {
                    let why = format!("{why}; the next apply goes on from what it finds");
                    return (Outcome::Lost(why), output);
                }
                Ok(Ended { status: 0, output_tail, .. }) => {
                    if let (Resource::Proof(proof), true) = (resource, output.is_empty())
                        && let Some(reason) = smoke::unseen(self, proof, &output_tail).await
                    {
                        let shown = tail(&output_tail, 20);
                        return (Outcome::Failed { status: 0, reason }, shown);
                    }
                    if !output_tail.trim().is_empty() {
                        output = output_tail;
                    }
                }
                Ok(Ended { status: NOT_RUN, output_tail, .. }) => {
                    self.state.lock().await.not_run.insert((host.clone(), action.task));
                    let why = last_line(&output_tail).unwrap_or("cannot be run here").to_owned();
                    return (Outcome::NotRun(why), String::new());
                }
                Ok(ended) => {
                    let mut reason = last_line(&ended.output_tail)
                        .unwrap_or("it failed without a word")
                        .to_owned();
                    if let Resource::Proof(proof) = resource
                        && let Some(rung) =
                            smoke::ladder(self, host, proof, &ended.output_tail).await
                    {
                        reason = rung;
                    }
                    let mut shown = tail(&ended.output_tail, 20);
                    if !ended.log.as_os_str().is_empty() {
                        shown.push_str(&format!("log on {host}: {}\n", ended.log.display()));
                    }
                    return (Outcome::Failed { status: ended.status, reason }, shown);
                }
            }
        }
        if drains && let Err(reason) = give_back(self, host).await {
            return (Outcome::Failed { status: 0, reason }, output);
        }
        if let Resource::Service(it) = resource
            && it.state == State::Running
        {
            if action.task.card().check.is_some() {
                let mut state = self.state.lock().await;
                let started = state.started.entry(host.clone()).or_default();
                started.push((action.task, action.resource.clone()));
            } else if let Err(outcome) = self.stamp(host, it).await {
                return (outcome, output);
            }
        }
        // What a proof or a build printed is a result; what others printed is noise, but for what they
        // left as it was.
        let shown = match resource {
            Resource::Proof(_) | Resource::Image(_) => tail(&output, 1),
            Resource::Packages(_) => {
                output.lines().filter(|l| l.starts_with(KEPT)).map(|l| format!("{l}\n")).collect()
            }
            _ => String::new(),
        };
        (Outcome::Changed, shown)
    }

    /// Looks again at one resource.
    async fn look(
        &self,
        host: &HostName,
        resource: &Resource,
    ) -> Result<Vec<resource::Gap>, Outcome> {
        let probe = resource::probe(&[resource]);
        let sections = self.hosts.ask(host, &probe, ASK_LIMIT).await.map_err(Outcome::Lost)?;
        match resource::read(resource, &sections) {
            Look::Facts(facts) => Ok(resource::diff(&resource.want(), &facts)),
            Look::Later(when) => {
                Err(Outcome::Failed { status: 0, reason: format!("still waiting until {when}") })
            }
            Look::Failed(reason) => Err(Outcome::Failed { status: 0, reason }),
        }
    }

    async fn stamp(&self, host: &HostName, service: &service::Service) -> Result<(), Outcome> {
        let name = format!("stamp {}", service.unit);
        match self.hosts.run(host, &name, &service.stamp()).await {
            Ok(Ended { status: 0, .. }) => Ok(()),
            Ok(ended) => Err(Outcome::Failed {
                status: ended.status,
                reason: last_line(&ended.output_tail).unwrap_or("the stamp failed").to_owned(),
            }),
            Err(why) => Err(Outcome::Lost(why)),
        }
    }

    /// How a task's members serve now.
    pub(crate) async fn health(&self, check: Check) -> Health {
        check.judge(&self.inventory, &self.replies(check).await)
    }

    /// What a task's witnesses answer now.
    pub(crate) async fn replies(&self, check: Check) -> BTreeMap<HostName, Replies> {
        let mut replies = BTreeMap::new();
        let witnesses = check.witnesses(&self.inventory);
        let asked = witnesses.iter().map(|host| async move {
            let questions = check.questions(&self.inventory, host);
            let sections =
                self.hosts.ask(host, &health::probe(&questions), ASK_LIMIT).await.ok()?;
            Some((host.clone(), health::replies(&questions, &sections)))
        });
        for answer in all(asked).await.into_iter().flatten() {
            replies.insert(answer.0, answer.1);
        }
        replies
    }
}

/// Drives futures together; their results in order.
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|cx| {
        let mut ready = true;
        for (future, result) in &mut pending {
            if result.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(value) => *result = Some(value),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    pending.into_iter().filter_map(|(_, result)| result).collect()
}

fn last_line(text: &str) -> Option<&str> {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty())
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    let mut tail = all[all.len().saturating_sub(lines)..].join("\n");
    if !tail.is_empty() {
        tail.push('\n');
    }
    tail
}

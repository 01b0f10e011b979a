//! Doing what a plan says: stages in order, waves in order, hosts of a wave at once, actions of a host in
//! order; gates between waves. Emits events and decides nothing but who goes next in a quorum.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;

use crate::event::{Event, Sink};
use crate::ground::HostName;
use crate::inventory::{Inventory, Seed};
use crate::plan::disruption::Disruption;
use crate::plan::{Because, Plan, Stage, Wave};
use crate::remote::Change;
use crate::resource::ResourceId;
use crate::script::Fix;
use crate::tasks::{Rollout, Task};

mod action;
mod ask;
mod between;
mod drain;
mod gate;
mod host;
mod proof;
mod quorum;
pub mod seed;
mod stop;

pub use between::{Between, Nobody, Word};
use quorum::{Roll, Rolls};
pub use stop::Stop;

/// What does a plan.
#[derive(Debug)]
pub struct Engine<Hosts> {
    /// What the user asked for.
    pub inventory: Arc<Inventory>,
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
    seeds: seed::Servers,
}

#[derive(Debug, Default)]
struct Progress {
    /// Hosts that are out of the run, with what happened.
    failed: BTreeMap<HostName, String>,
    /// Stamps of what was started in the current wave, to be sent once healthy.
    started: BTreeMap<HostName, Vec<(ResourceId, Fix)>>,
    /// Services that cannot run here: no gate waits for them.
    not_run: BTreeSet<(HostName, Task)>,
    /// What happens to agents that are hit, as the plan says.
    disruptions: BTreeMap<HostName, Disruption>,
    /// Hosts whose agents get no offers until their turn is over.
    held: BTreeSet<HostName>,
    /// Members of each task that served when the plan was made.
    served: BTreeMap<Task, BTreeSet<HostName>>,
    /// Quorums of which a stage was left out, with the reason: what comes after it builds on it.
    left: BTreeMap<Task, String>,
    /// Set once a stage went past its budget.
    halted: Option<String>,
}

/// How often a gate asks.
const POLL: Duration = Duration::from_millis(700);
/// A gate's question that takes longer has hung.
const ASK_LIMIT: Duration = Duration::from_secs(20);

impl<Hosts: Change> Engine<Hosts> {
    /// One that has not begun.
    pub fn new(
        inventory: Arc<Inventory>,
        hosts: Arc<Hosts>,
        sink: Arc<dyn Sink>,
        stop: Arc<Stop>,
        forks: usize,
        max_failed: Option<usize>,
    ) -> Arc<Engine<Hosts>> {
        Arc::new(Engine {
            inventory,
            hosts,
            sink,
            stop,
            forks: Arc::new(Semaphore::new(forks.max(1))),
            max_failed,
            state: Mutex::new(Progress::default()),
            seeds: seed::Servers::default(),
        })
    }

    /// Does all of it; between stages somebody may refuse to go on.
    pub async fn apply(self: &Arc<Self>, plan: &Plan, between: &dyn Between) {
        {
            let mut state = self.state.lock().await;
            state.disruptions = plan.disruptions.clone();
            state.served = plan.served.clone();
        }
        if self.inventory.seed == Seed::Host {
            self.seeds.expect(plan);
        }
        for blocked in &plan.blocked {
            self.sink.emit(Event::Blocked {
                host: blocked.host.clone(),
                task: blocked.task,
                reason: blocked.because.to_string(),
            });
        }
        for (stage, later) in plan.stages.iter().zip(drain::later(&plan.stages)) {
            if let Some(why) = self.obstacle(stage, plan).await {
                self.block(stage.waves.iter(), &why).await;
                let quorum =
                    |task: &Task| (task.card().rollout)(&self.inventory) == Rollout::Quorum;
                if let Some(task) = stage.task.filter(quorum) {
                    self.state.lock().await.left.entry(task).or_insert(why);
                }
                continue;
            }
            if let Err(why) = between.before(&stage.title).await {
                self.block(stage.waves.iter(), &why).await;
                self.halt(why).await;
                continue;
            }
            self.stage(stage, &later).await;
            if let Err(why) = between.after(&stage.title).await {
                self.halt(why).await;
            }
        }
        self.release_all().await;
        self.seeds_end().await;
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
        if let Some(host) = stage.after.iter().find(|host| state.failed.contains_key(*host)) {
            return Some(format!("{host} comes first, and failed before"));
        }
        let task = stage.task?;
        if let Some(why) = state.left.get(&task) {
            return Some(why.clone());
        }
        let rollout = (task.card().rollout)(&self.inventory);
        let members = &stage.members;
        let out = out(stage, members, &rollout, &state.failed);
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

    /// One stage; `later` are hosts whose agents are hit by stages after it.
    async fn stage(self: &Arc<Self>, stage: &Stage, later: &BTreeSet<HostName>) {
        let mut waves: VecDeque<Wave> = stage.waves.iter().cloned().collect();
        let hosts: BTreeSet<&HostName> = waves.iter().flat_map(|wave| wave.hosts.keys()).collect();
        let actions = waves.iter().flat_map(|w| w.hosts.values()).map(Vec::len).sum();
        self.sink.emit(Event::StageStarted {
            stage: stage.title.clone(),
            hosts: hosts.len(),
            actions,
        });
        if stage.task == Some(Task::Smoke) {
            proof::cluster(self).await;
        }
        let mut rolls = self.rolls(stage).await;
        let mut number = 0;
        while !waves.is_empty() {
            if self.stop.asked() {
                self.block(waves.iter(), "the run was interrupted").await;
                return;
            }
            // Health as it is now decides, not as it was when the plan was made.
            if let Err(why) = self.quorums_turn(stage, &mut waves, &mut rolls).await {
                self.block(waves.iter(), &why).await;
                self.halt(format!("{}: {why}", stage.title)).await;
                return;
            }
            let Some(wave) = waves.pop_front() else { return };
            number += 1;
            self.sink.emit(Event::WaveStarted {
                stage: stage.title.clone(),
                wave: number,
                waves: number + waves.len(),
                hosts: wave.hosts.keys().cloned().collect(),
            });
            let before = self.state.lock().await.failed.len();
            for roll in rolls.values_mut() {
                roll.touched.extend(wave.hosts.keys().cloned());
            }
            self.hold_others(&wave, &waves, later).await;
            self.wave(&wave).await;
            self.release_well(&wave).await;
            let worked = {
                let state = self.state.lock().await;
                wave.hosts.keys().any(|host| !state.failed.contains_key(host))
            };
            for (task, roll) in rolls.iter().filter(|_| worked) {
                self.gate(*task, stage, &wave, &roll.awaited(stage)).await;
            }
            let failed = self.state.lock().await.failed.len() - before;
            if failed > 0 && self.over_budget(stage).await {
                let why = format!("{} failed on {failed} of its hosts", stage.title);
                self.block(waves.iter(), &why).await;
                if stage.task.is_some() {
                    self.halt(why).await;
                }
                return;
            }
        }
    }

    /// What is known of the tasks of a stage before its first wave.
    async fn rolls(&self, stage: &Stage) -> Rolls {
        let state = self.state.lock().await;
        let roll = |task| {
            let planned = state.served.get(&task).cloned().unwrap_or_default();
            (task, Roll { planned, ..Roll::default() })
        };
        stage.tasks().into_iter().map(roll).collect()
    }

    async fn over_budget(&self, stage: &Stage) -> bool {
        let state = self.state.lock().await;
        stage.tasks().into_iter().any(|task| {
            let members = stage.members_of(task);
            let rollout = (task.card().rollout)(&self.inventory);
            let budget = self.max_failed.unwrap_or_else(|| rollout.budget(members.len()));
            out(stage, members, &rollout, &state.failed) > budget
        })
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
            let (engine, host, actions) = (Arc::clone(self), host.clone(), actions.clone());
            tasks.spawn(async move { engine.host(&host, &actions).await });
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// How many of a stage's hosts have failed. Who leaves a quorum is no member any more, and whether it has left decides
/// what may follow.
fn out(
    stage: &Stage,
    members: &BTreeMap<HostName, Option<String>>,
    rollout: &Rollout,
    failed: &BTreeMap<HostName, String>,
) -> usize {
    let hosts = stage.waves.iter().flat_map(|wave| wave.hosts.keys());
    let leaves = hosts.filter(|host| *rollout == Rollout::Quorum && !members.contains_key(*host));
    let touched: BTreeSet<&HostName> = members.keys().chain(leaves).collect();
    touched.into_iter().filter(|host| failed.contains_key(*host)).count()
}

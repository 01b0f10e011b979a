//! Emptying an agent before it, or the engine under it, ends in a way that its tasks do not survive.
//!
//! Who is emptied is decided at each agent's turn, from what runs there then: the leading master takes it
//! out of its offers and ends its tasks, each with a grace period. What is moved by that goes to no agent
//! whose turn is still to come, for those get no offers meanwhile. Afterwards each is given back, unless it
//! came back as another agent or left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Engine;
use super::quorum::RECOVERY;
use crate::event::Event;
use crate::ground::{HostName, Problem};
use crate::mesos::master::Listed;
use crate::plan::disruption::{self, Hit, Job, disruptions, jobs};
use crate::plan::{Stage, Wave};
use crate::remote::Change;
use crate::resource::drain::{By, GRACE_SECS, SLACK_SECS};
use crate::resource::{Kind as _, Resource};
use crate::script::{AGAIN, Fix, Step};
use crate::tasks::{Task, agents};

/// How often the master is asked whether it is done.
const POLL: Duration = Duration::from_secs(1);
/// How often a drain says that it lasts.
const SAY: Duration = Duration::from_secs(10);

/// What the leading master says: its agents by address, and its frameworks.
type Work = (BTreeMap<String, Listed>, Option<Json>);

/// Hosts whose agents the rest of a plan hits, from a stage on: by stage.
pub(super) fn later(stages: &[Stage]) -> Vec<BTreeSet<HostName>> {
    let hit: Vec<BTreeSet<HostName>> = stages.iter().map(|stage| hit_by(&stage.waves)).collect();
    (0..stages.len())
        .map(|at| {
            let rest = hit.iter().skip(at + 1).flatten();
            // Who has its turn now has room for what is moved, whatever comes later.
            rest.filter(|host| !hit.get(at).is_some_and(|now| now.contains(*host)))
                .cloned()
                .collect()
        })
        .collect()
}

fn hit_by<'a>(waves: impl IntoIterator<Item = &'a Wave>) -> BTreeSet<HostName> {
    let actions = waves.into_iter().flat_map(|wave| &wave.hosts);
    let actions = actions.flat_map(|(host, all)| all.iter().map(move |action| (host, action)));
    let mut hits = disruption::hits(actions);
    // By an operator's word one is drained at once with the others, and not given back.
    hits.retain(|_, hits| !hits.contains(&Hit::Drains));
    hits.into_keys().collect()
}

impl<Hosts: Change> Engine<Hosts> {
    /// Before a wave that empties agents: the agents of the wave and those whose turn is still to come get
    /// no offers, so that nothing is moved to them.
    pub(super) async fn hold_others(
        self: &Arc<Self>,
        wave: &Wave,
        rest: impl IntoIterator<Item = &Wave>,
        later: &BTreeSet<HostName>,
    ) {
        let now = hit_by([wave]);
        if now.is_empty() {
            return;
        }
        if !agents::drains(&self.inventory) {
            return;
        }
        let mut others = hit_by(rest);
        others.extend(later.iter().cloned());
        if now.len() + others.len() < 2 {
            return;
        }
        let Some(work) = self.work().await else { return };
        let actions = wave.hosts.iter().flat_map(|(h, all)| all.iter().map(move |a| (h, a)));
        let hits = disruption::hits(actions);
        let hit = disruptions(&self.inventory, &hits, &work.0, work.1.as_ref());
        let moves = |host: &HostName, hits: &BTreeSet<Hit>| {
            let it = hit.get(host);
            it.is_some_and(|it| hits.iter().any(|hit| it.drains(*hit)))
        };
        if !hits.iter().any(|(host, hits)| moves(host, hits)) {
            return;
        }
        others.extend(now);
        let mut held = JoinSet::new();
        for host in others {
            let agent = self.listed(&host, &work).filter(|agent| agent.active);
            let (Some(agent), Some(drain)) = (agent, agents::drain(&self.inventory, &host)) else {
                continue;
            };
            let steps = drain.hold(&agent.info.id);
            let engine = Arc::clone(self);
            held.spawn(async move {
                // Where that cannot be done, what is moved there may be moved again: the plan says so.
                let done = engine.about(&host, "deactivate", steps, Some(&drain.refused())).await;
                done.ok().map(|()| host)
            });
        }
        let held = held.join_all().await;
        self.state.lock().await.held.extend(held.into_iter().flatten());
    }

    /// Gives back whoever of these is still held and was not emptied, and says who cannot be.
    pub(super) async fn release(&self, hosts: impl IntoIterator<Item = &HostName>) {
        for host in hosts {
            if !self.state.lock().await.held.contains(host) {
                continue;
            }
            if let Err(why) = self.give_back(host).await {
                let message = format!("its agent was held back, and {why}; the next apply ends it");
                let problem = Problem::warning(None, "held-back", message);
                self.sink.emit(Event::Problem { problem, host: Some(host.clone()) });
            }
        }
    }

    /// The same of those in a wave that has ended on whom nothing failed: no gate opens before.
    pub(super) async fn release_well(&self, wave: &Wave) {
        let failed: BTreeSet<HostName> = self.state.lock().await.failed.keys().cloned().collect();
        self.release(wave.hosts.keys().filter(|host| !failed.contains(*host))).await;
    }

    /// The same at the end of a run, whatever its end.
    pub(super) async fn release_all(&self) {
        let held = self.state.lock().await.held.clone();
        self.release(&held).await;
    }

    /// Drains an agent that is about to be hit and waits until it is empty, where what runs there now
    /// would not survive; its id when that was done.
    ///
    /// # Errors
    /// One sentence. The agent may then be left drained; the next apply goes on with it.
    pub(super) async fn empty(
        &self,
        host: &HostName,
        task: Task,
        hit: Hit,
    ) -> Result<Option<String>, String> {
        let Some(drain) = agents::drain(&self.inventory, host) else { return Ok(None) };
        let began = Instant::now();
        let work = loop {
            if let Some(work) = self.work().await {
                break work;
            }
            // Nobody leads, and nobody did when the plan was made: then there is nobody to ask.
            if !self.state.lock().await.disruptions.contains_key(host) {
                return Ok(None);
            }
            if began.elapsed() > RECOVERY || self.stop.asked() {
                return Err(
                    "it cannot be drained: the leading master did not list its agents".to_owned()
                );
            }
            tokio::time::sleep(POLL).await;
        };
        let hits = BTreeMap::from([(host.clone(), BTreeSet::from([hit]))]);
        let now = disruptions(&self.inventory, &hits, &work.0, work.1.as_ref());
        // Whoever is not there runs nothing.
        let (Some(now), Some(agent)) = (now.get(host), self.listed(host, &work)) else {
            return Ok(None);
        };
        if !now.drains(hit) {
            return Ok(None);
        }
        let by = if agent.deactivated { By::Operator } else { By::Us };
        let id = agent.info.id.clone();
        let note = (by == By::Us).then(|| drain.refused());
        let begun = self.about(host, "drain", drain.begin(&id, by), note.as_ref()).await;
        begun.map_err(|why| format!("it cannot be drained: {why}"))?;
        {
            // Until it is given back it belongs to its own action alone.
            let mut state = self.state.lock().await;
            state.held.remove(host);
        }
        self.until_empty(host, task, &id).await?;
        Ok(Some(id))
    }

    async fn until_empty(&self, host: &HostName, task: Task, id: &str) -> Result<(), String> {
        let began = Instant::now();
        let limit = Duration::from_secs(GRACE_SECS + SLACK_SECS);
        let mut said = None;
        loop {
            let work = self.work().await;
            if work.as_ref().is_some_and(|work| drained(work, id)) {
                return Ok(());
            }
            let frameworks = work.as_ref().and_then(|work| work.1.as_ref());
            let left = frameworks.map(|all| jobs(all, id)).unwrap_or_default();
            if began.elapsed() > limit {
                return Err(undrained(&left, limit));
            }
            if self.stop.asked() {
                // It is given back once its tasks have ended: before that Mesos does it half.
                let back = self.give_back(host).await.err().unwrap_or_default();
                let comma = if back.is_empty() { "" } else { "; " };
                return Err(format!(
                    "the run was interrupted while it was being drained{comma}{back}"
                ));
            }
            let turn = (left.clone(), began.elapsed().as_secs() / SAY.as_secs());
            if said.as_ref() != Some(&turn) {
                said = Some(turn);
                let waiting_for = progress(host, &left, began.elapsed());
                let hosts = vec![host.clone()];
                self.sink.emit(Event::GateWaiting { task, hosts, waiting_for });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Gives an agent back that was emptied or held, if it still is the same one.
    ///
    /// # Errors
    /// One sentence. The agent is then left drained; the next apply goes on with it.
    pub(super) async fn give_back(&self, host: &HostName) -> Result<(), String> {
        let Some(drain) = agents::drain(&self.inventory, host) else { return Ok(()) };
        self.state.lock().await.held.remove(host);
        let left = |why| format!("it does not get offers again: {why}");
        // What its note says that we drained, if it still does.
        let looked = self.look(host, &Resource::from(drain.clone())).await;
        let gaps = looked.map_err(|_| left("its note could not be looked at".to_owned()))?;
        if gaps.is_empty() {
            return Ok(());
        }
        self.about(host, "reactivate", drain.fix(&gaps), None).await.map_err(left)
    }

    /// What comes after a hit: the agent is given back, or is said never to come back.
    ///
    /// # Errors
    /// One sentence. The agent is then left drained; the next apply goes on with it.
    pub(super) async fn after_hit(
        &self,
        host: &HostName,
        hit: Hit,
        emptied: Option<String>,
    ) -> Result<(), String> {
        let held = self.state.lock().await.held.contains(host);
        match (hit, emptied) {
            (Hit::Leaves, Some(id)) => {
                self.gone(host, &id).await;
                Ok(())
            }
            (_, emptied) if held || emptied.is_some() => self.give_back(host).await,
            _ => Ok(()),
        }
    }

    /// It is drained and stopped: that the master counts it among its agents for a while does no harm.
    async fn gone(&self, host: &HostName, id: &str) {
        let Some(drain) = agents::drain(&self.inventory, host) else { return };
        self.state.lock().await.held.remove(host);
        if let Err(why) = self.about(host, "mark-gone", drain.gone(id), None).await {
            let message = format!("its agent was drained and stopped, and not marked gone: {why}");
            let problem = Problem::warning(None, "not-gone", message);
            self.sink.emit(Event::Problem { problem, host: Some(host.clone()) });
        }
    }

    fn unit(&self) -> &'static str {
        self.inventory.mesos.agent_unit.name()
    }

    /// Takes the steps of a call about a host's agent. Where the master refuses it, `refused` takes back what was
    /// noted before.
    async fn about(
        &self,
        host: &HostName,
        verb: &str,
        steps: Vec<Step>,
        refused: Option<&Fix>,
    ) -> Result<(), String> {
        let note = format!("note {}", self.unit());
        for step in steps {
            let ended = match &step {
                Step::Lead(fix) => {
                    let name = format!("{verb} {} of {host}", self.unit());
                    self.lead(&name, fix).await?.1
                }
                Step::Run(fix) => self.hosts.run(host, &note, fix).await?,
                // No call about an agent takes one.
                Step::Reboot(_) | Step::Push(_) | Step::Fetch(_) => continue,
            };
            if ended.status != 0 {
                if let Some(fix) = refused.filter(|_| ended.status != AGAIN) {
                    self.hosts.run(host, &note, fix).await?;
                }
                let said = ended.output_tail.lines().rev().map(str::trim);
                return Err(said
                    .into_iter()
                    .find(|line| !line.is_empty())
                    .unwrap_or("no answer")
                    .to_owned());
            }
        }
        Ok(())
    }

    fn listed<'a>(&self, host: &HostName, work: &'a Work) -> Option<&'a Listed> {
        work.0.get(&self.inventory.hosts.get(host)?.address.to_string())
    }
}

/// Whether the leading master says that an agent is drained.
fn drained(work: &Work, id: &str) -> bool {
    let mut agents = work.0.values();
    agents.any(|agent| agent.info.id == id && agent.drain.as_deref() == Some("DRAINED"))
}

/// Why a drain is given up. A framework that was refused after a change of leader is known by its tasks alone; nobody
/// acknowledges their end, and so the agent is never drained (seen in the lab, with a job that had no credential).
fn undrained(left: &[Job], limit: Duration) -> String {
    let waited = format!("it is not drained after {} s", limit.as_secs());
    let Some(job) = left.first() else { return waited };
    let what = left.iter().map(Job::to_string).collect::<Vec<_>>().join(", ");
    format!(
        "{waited}: {what} left; while its framework is gone nobody acknowledges that tasks have ended: let the leading \
         master forget it, by POST /teardown with frameworkId={}",
        job.id
    )
}

/// How far a drain is.
fn progress(host: &HostName, left: &[Job], took: Duration) -> String {
    let what = match left {
        [] => "its last status updates".to_owned(),
        jobs => jobs.iter().map(Job::to_string).collect::<Vec<_>>().join(", "),
    };
    format!("{host} is being drained: {what} ({} s of at most {GRACE_SECS})", took.as_secs())
}

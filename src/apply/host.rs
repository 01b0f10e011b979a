//! One host: its actions in order, and what is said of each.

use std::sync::Arc;

use tokio::time::Instant;

use super::Engine;
use crate::event::{Event, Outcome, SmokeOutcome};
use crate::ground::HostName;
use crate::plan::Action;
use crate::remote::Change;
use crate::resource::proof::{self, NO_ROOM, SUBMITTED};
use crate::tasks::Task;

impl<Hosts: Change> Engine<Hosts> {
    /// All actions of one host, in order; the first failure ends them.
    pub(super) async fn host(self: &Arc<Self>, host: &HostName, actions: &[Action]) {
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
                    resource: action.id().to_string(),
                    why: action.why(),
                });
                let started = Instant::now();
                let name = format!("{host}: {}", action.id());
                self.stop.actions().insert(name.clone());
                let (outcome, output) = self.action(host, action).await;
                self.stop.actions().remove(&name);
                let seconds = started.elapsed().as_secs_f64();
                self.ended(host, action, told(&outcome), seconds);
                // A proof that is removed proves nothing.
                if let Some(proof) = action.resource.get::<proof::Proof>() {
                    self.smoke_result(host, &action.id().name, proof, &outcome, &output, seconds);
                }
                if !output.is_empty() {
                    self.sink.emit(Event::ActionOutput {
                        host: host.clone(),
                        task: action.task,
                        resource: action.id().to_string(),
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
            resource: action.id().to_string(),
            outcome,
            seconds,
        });
    }

    fn smoke_result(
        &self,
        host: &HostName,
        check: &str,
        proof: &proof::Proof,
        outcome: &Outcome,
        output: &str,
        seconds: f64,
    ) {
        let last = output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("");
        let submit =
            output.lines().find_map(|line| line.strip_prefix(SUBMITTED)).map(str::to_owned);
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
        let about = proof.pinned.as_ref().map_or(host, |pinned| &pinned.agent);
        let stand_in = proof.engine == proof::Engine::StandIn;
        self.sink.emit(Event::SmokeResult {
            check: check.to_owned(),
            host: Some(about.clone()),
            result,
            detail,
            seconds,
            engine: stand_in.then(|| "stand-in".to_owned()),
            submit,
        });
    }
}

/// An outcome as an event has it: who found no room did not fail, it was not run.
fn told(outcome: &Outcome) -> Outcome {
    match outcome {
        Outcome::Failed { status, reason } if *status == NO_ROOM => Outcome::NotRun(reason.clone()),
        outcome => outcome.clone(),
    }
}

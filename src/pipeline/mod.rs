//! One run, from an inventory to its record: the order of everything stands in [`change`].
//!
//! What only looks (`plan`, `status`, `history`) goes the first half of the way, through [`load`], [`look`]
//! and [`planning`]: modules that never name the key that changes.

use std::sync::Arc;

use crate::apply::{Engine, Nobody, Stop};
use crate::event::{Event, Sink as _};
use crate::ground::{HostName, Problem};
use crate::health::{Dispatcher, Health, Masters, Member};
use crate::inventory::Inventory;
use crate::local::clock::{self, run_id};
use crate::observe;
use crate::plan::saved::Saved;
use crate::plan::{Plan, Scope};
use crate::remote::fleet::{Fleet, Opening, Secrets};
use crate::remote::shell::Changer;
use crate::report::{Report, exit};
use crate::tasks::{Desired, Task};
use crate::ui::summary::Serving;
use crate::ui::{Recorder, summary};

pub mod arguments;
pub mod complete;
pub mod confirm;
pub mod elections;
mod hooks;
mod interrupt;
pub mod load;
pub mod lock;
pub mod look;
pub mod planning;
pub mod preview;
mod prove;
pub mod quit;
pub mod reach;
mod record;
pub mod recorder;
pub mod saved;
mod secrets;
pub mod verb;

use arguments::{Limits, Reach, RunOutput, Source};
use hooks::Hooked;
use load::Session;
use look::Answers;
use planning::Aim;

/// A run that changes hosts, as it was asked for.
pub struct Request<'a> {
    /// The command's name.
    pub command: &'a str,
    /// Which inventory.
    pub source: &'a Source,
    /// How hosts are reached.
    pub reach: &'a Reach,
    /// What may be changed.
    pub limits: &'a Limits,
    /// How it is shown.
    pub output: &'a RunOutput,
    /// What is planned.
    pub aim: Aim<'a>,
    /// The plan that alone may be done, if one was saved.
    pub saved: Option<&'a Saved>,
    /// Whether what was proven before counts.
    pub proofs: Proofs,
    /// How long other runs are waited for.
    pub wait: lock::Wait,
    /// How many hosts work at once.
    pub forks: usize,
    /// How many failed or unreachable hosts of a task are borne; `None` for each task's own budget.
    pub max_failed: Option<usize>,
    /// What is left behind of it.
    pub record: Keeping,
    /// What comes after success.
    pub after: After,
    /// Shows the plan, and gets the user's word for it.
    pub agree: &'a dyn Fn(&Plan) -> anyhow::Result<()>,
}

/// Whether what was proven before counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proofs {
    /// What is stamped is not proven again.
    Count,
    /// Everything is proven anew.
    DoNotCount,
}

/// What is left behind of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// A record on every master, and its events on this machine.
    Record,
    /// Nothing.
    Nothing,
}

/// What comes after success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Nothing.
    Nothing,
    /// Another plan, which must be empty.
    Proof,
}

/// What became of a run.
#[derive(Debug)]
pub struct Done {
    /// What the user asked for.
    pub inventory: Arc<Inventory>,
    /// What was planned.
    pub plan: Plan,
    /// The sum of its events.
    pub report: Report,
    /// Who leads the masters in the end.
    pub leader: Option<HostName>,
    /// Whether a dispatcher answers in the end.
    pub dispatcher: bool,
    /// How long it took.
    pub seconds: f64,
    /// The exit code.
    pub code: u8,
}

impl Done {
    /// Its last line; where there was nothing to do, that was said already.
    pub fn closing(&self, command: &str) -> Option<String> {
        let Plan { blocked, unreachable, .. } = &self.plan;
        let nothing = self.plan.is_empty() && blocked.is_empty() && unreachable.is_empty();
        (!nothing).then(|| summary::closing(command, &self.report, self.code, self.seconds))
    }

    /// What serves in the end.
    pub fn serving(&self) -> Serving<'_> {
        Serving { leader: self.leader.as_ref(), dispatcher: self.dispatcher }
    }
}

/// The order of a run that changes hosts.
///
/// # Errors
/// [`Quit`](quit::Quit), where whatever forbids its first action was said.
pub async fn change(request: &Request<'_>) -> anyhow::Result<Done> {
    let began = clock::now();
    let id = run_id();
    let recorder = recorder::recorder(&id, request.output);
    let done = begun(request, began, id, &recorder).await;
    done.map_err(|error| recorder::refused(&recorder, &error))
}

async fn begun(
    request: &Request<'_>,
    began: clock::Timestamp,
    id: String,
    recorder: &Arc<Recorder>,
) -> anyhow::Result<Done> {
    let recorder = Arc::clone(recorder);
    let session =
        load::session(request.source, Some(request.reach), load::Artefacts::Needed).await?;
    let scope = request.limits.scope(&session.inventory)?;
    let secrets = match (request.aim, request.saved) {
        (Aim::Inventory { .. }, None) => secrets::look_up(&session.desired)?,
        // A secret may be a command's word: for a plan from elsewhere none is run before it was compared.
        (Aim::Inventory { .. }, Some(_)) => Secrets::default(),
        // It writes none.
        (Aim::Verb(_), _) => Secrets::default(),
    };
    if request.record == Keeping::Record {
        recorder.add(Box::new(record::EventLog::new(&id)));
    }
    let hooks = match request.record {
        Keeping::Record => {
            Hooked::new(&recorder, &id, request.command, &session.inventory.cluster)?
        }
        Keeping::Nothing => None,
    };
    recorder::started(&recorder, request.command, &session.inventory);
    let opening = reach::opening(&session.inventory, request.reach, &id)?;
    let mut run = Run { request, session, scope, id, began, opening, recorder, hooks };
    let probes = observe::probes(&run.session.inventory, &run.session.desired);
    let sink = recorder::sink(&run.recorder);
    let opened = lock::all(&run.opening, &probes, &sink, secrets, request.wait).await?;
    run.say_interrupted(opened.interrupted);
    let fleet = Arc::new(opened.fleet);
    let done = run.under_lock(&fleet, opened.answers).await;
    if let Some(fleet) = Arc::into_inner(fleet) {
        fleet.close().await;
    }
    done
}

/// A run that has begun.
struct Run<'a> {
    request: &'a Request<'a>,
    session: Session,
    scope: Scope,
    id: String,
    began: clock::Timestamp,
    opening: Opening,
    recorder: Arc<Recorder>,
    hooks: Option<Hooked>,
}

impl Run<'_> {
    /// What is done while all locks are held.
    async fn under_lock(
        &mut self,
        fleet: &Arc<Fleet<Changer>>,
        answers: Answers,
    ) -> anyhow::Result<Done> {
        let request = self.request;
        let recorder = Arc::clone(&self.recorder);

        let observed = observe::observed(&self.session.inventory, &self.session.desired, answers);
        let mut observed = elections::ended(
            &self.session,
            fleet,
            observed,
            request.aim.scope(&self.scope),
            &*recorder,
        )
        .await;
        if request.proofs == Proofs::DoNotCount {
            planning::forget_proofs(&mut observed);
        }
        let changed = match (request.aim, request.saved) {
            (Aim::Inventory { .. }, None) => {
                secrets::changed(&self.session.desired, &observed, fleet).await
            }
            (Aim::Inventory { .. }, Some(_)) | (Aim::Verb(_), _) => Vec::new(),
        };
        let (aim, scope) = (request.aim, &self.scope);
        let mut planned =
            planning::make(&self.session, fleet, observed, changed, aim, scope, &recorder).await?;

        if let Some(saved) = request.saved {
            let (source, limits) = (request.source, request.limits);
            let now =
                saved::save(&self.session, &planned, &self.scope, source, limits, aim, &self.id);
            saved::unmoved(saved, &now)?;
            // A verb writes none.
            let desired = match aim {
                Aim::Inventory { .. } => &self.session.desired,
                Aim::Verb(_) => &Desired::default(),
            };
            fleet.hold(secrets::look_up(desired)?);
            let changed = secrets::changed(desired, &planned.observed, fleet).await;
            for (host, problem) in &changed {
                recorder.emit(Event::Problem { problem: problem.clone(), host: host.clone() });
            }
            planned.found.extend(changed);
        }
        confirm::refuse_errors(&planned.found)?;
        (request.agree)(&planned.plan)?;

        let plan = planned.plan;
        let hooks = self.hooks.as_ref().filter(|_| !plan.is_empty());
        if let Some(hooks) = hooks {
            hooks.before().await?;
        }
        let record = (request.record == Keeping::Record && !plan.is_empty())
            .then(|| record::begun(self, &plan));
        record::leave(record.as_ref(), &self.session.inventory, fleet).await;

        let stop = Arc::new(Stop::default());
        interrupt::watch(&stop, &recorder);
        let engine = Engine::new(
            Arc::clone(&self.session.inventory),
            Arc::clone(fleet),
            recorder::sink(&recorder),
            stop,
            request.forks,
            request.max_failed,
        );
        match hooks {
            Some(hooks) => engine.apply(&plan, hooks).await,
            None => engine.apply(&plan, &Nobody).await,
        }
        let serves = |health: &Health| health.members.values().any(|it| *it == Member::Serving);
        let (leader, dispatcher) = if plan.is_empty() {
            let judged = &planned.observed.judged;
            (judged.leader.clone(), judged.health.get(&Task::Dispatcher).is_some_and(serves))
        } else {
            let inventory = &self.session.inventory;
            let masters = engine.health(&Masters, inventory).await;
            (masters.leader, serves(&engine.health(&Dispatcher, inventory).await))
        };
        drop(engine);

        let report = recorder.report();
        let mut code = report.exit();
        if hooks.is_some_and(Hooked::refused) && matches!(code, exit::OK | exit::UNREACHABLE) {
            code = exit::FAILED;
        }
        if request.after == After::Proof {
            code = prove::after(code, &mut self.session, fleet, &self.scope).await?;
        }
        recorder.end(code);
        let record = record.map(|record| record.ended(&report, code));
        record::leave(record.as_ref(), &self.session.inventory, fleet).await;
        if let Some(hooks) = hooks {
            hooks.after().await;
            if hooks.refused() && code == exit::OK {
                code = exit::FAILED;
            }
        }

        let inventory = Arc::clone(&self.session.inventory);
        let seconds = recorder.seconds();
        Ok(Done { inventory, plan, report, leader, dispatcher, seconds, code })
    }

    /// Actions of earlier runs that were cut short.
    fn say_interrupted(&self, interrupted: impl IntoIterator<Item = (HostName, String)>) {
        for (host, what) in interrupted {
            let message = format!("interrupted earlier: {what}; going on from what is there");
            let problem = Problem::warning(None, "interrupted", message)
                .help("nothing is to be done: what is half done is seen, and done again");
            self.recorder.emit(Event::Problem { problem, host: Some(host) });
        }
    }
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("command", &self.command).finish_non_exhaustive()
    }
}

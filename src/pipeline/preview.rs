//! The first half of a run, for those who want to see its plan: nothing here can change a host.

use std::path::Path;
use std::sync::Arc;

use super::arguments::{Format, Limits, Reach, RunOutput, Source};
use super::planning::{Aim, Findings};
use super::recorder::{self, recorder};
use super::{confirm, elections, load, look, planning, quit, reach, saved};
use crate::event::{Event, Sink as _};
use crate::inventory::Inventory;
use crate::local::clock::run_id;
use crate::observe;
use crate::plan::Plan;
use crate::plan::shown::{Look, Shown};
use crate::report::exit;
use crate::ui::out::{self, Out};
use crate::ui::{self, Recorder, line};

/// A plan, as it was asked for.
#[derive(Debug)]
pub struct Request<'a> {
    /// Which inventory.
    pub source: &'a Source,
    /// How hosts are reached.
    pub reach: &'a Reach,
    /// What is planned.
    pub aim: Aim<'a>,
    /// What may be changed.
    pub limits: &'a Limits,
    /// How it is shown.
    pub output: &'a RunOutput,
    /// How its plan is shown.
    pub look: Look,
    /// Where it is saved, if it is.
    pub out: Option<&'a Path>,
    /// What pending changes mean.
    pub pending: Pending,
}

/// What pending changes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    /// Nothing.
    IsFine,
    /// An exit code of their own.
    HasItsExitCode,
}

/// Plans and shows the plan: the exit code.
///
/// # Errors
/// [`Quit`](super::quit::Quit), where whatever keeps it from being made was said.
pub async fn show(request: &Request<'_>) -> anyhow::Result<u8> {
    let run = run_id();
    // Who reads says its result as one object; the events of it are progress, and nothing else stands beside it.
    let output = match request.output.json {
        true => RunOutput { json: false, format: Some(Format::Text), ..request.output.clone() },
        false => request.output.clone(),
    };
    let recorder = recorder(&run, output);
    let shown = made(request, &run, &recorder).await;
    shown.map_err(|error| {
        let found = quit::reasons(&error);
        let quit = recorder::refused(&recorder, &error);
        if request.output.json {
            out::data(&object(&run, None, &found, quit::exit_code(&quit)));
        }
        quit
    })
}

async fn made(request: &Request<'_>, run: &str, recorder: &Arc<Recorder>) -> anyhow::Result<u8> {
    if request.out.is_some() && request.source.inventory == Path::new("-") {
        anyhow::bail!("a saved plan names its inventory; write the inventory to a file");
    }
    let session =
        load::session(request.source, Some(request.reach), load::Artefacts::Needed).await?;
    let scope = request.limits.scope(&session.inventory)?;
    recorder::started(recorder, "plan", &session.inventory);
    let opening = reach::opening(&session.inventory, request.reach, run)?;
    let opened = look::at_hosts(&session, &opening, &recorder::sink(recorder)).await;
    let fleet = Arc::new(opened.fleet);
    let observed = observe::observed(&session.inventory, &session.desired, opened.answers);
    let observed =
        elections::ended(&session, &fleet, observed, request.aim.scope(&scope), &**recorder).await;
    let aim = request.aim;
    let planned =
        planning::make(&session, &fleet, observed, Vec::new(), aim, &scope, recorder).await?;
    if let Some(fleet) = Arc::into_inner(fleet) {
        fleet.close().await;
    }
    for (host, what) in &opened.interrupted {
        let text = format!("{host}: interrupted earlier, or running now: {what}");
        line(std::io::stderr().lock(), &text);
    }
    if let Some(path) = request.out {
        let (source, limits) = (request.source, request.limits);
        let saved = saved::save(&session, &planned, &scope, source, limits, aim, run);
        saved::write(path, &saved)?;
    }
    let plan = &planned.plan;
    let refused = confirm::refuses(&planned.found);
    let code = if refused {
        exit::USAGE
    } else if !plan.is_empty() && request.pending == Pending::HasItsExitCode {
        exit::PENDING
    } else if !plan.unreachable.is_empty() || !plan.blocked.is_empty() {
        exit::UNREACHABLE
    } else {
        exit::OK
    };
    for (host, action) in plan.actions().filter(|(_, action)| action.later.is_none()) {
        recorder.emit(Event::Pending {
            host: host.clone(),
            task: action.task,
            resource: action.id().to_string(),
            why: action.why(),
        });
    }
    emit_end(recorder, plan, code);
    if request.output.json {
        let of = Some((&*session.inventory, plan));
        out::data(&object(run, of, &planned.found, code));
    } else {
        ui::plan::show(&Shown::of(plan), request.look);
        if let Some(path) = request.out {
            let words = saved::words(path, request.source);
            let text = format!("Saved. To do exactly this: {words}");
            line(Out, &text);
        }
        if refused {
            let text = "preflight found what must be mended first: an apply would be refused";
            line(std::io::stderr().lock(), text);
        }
    }
    Ok(code)
}

/// The plan as one object; without one, why there is none.
fn object(run: &str, of: Option<(&Inventory, &Plan)>, found: &Findings, exit: u8) -> String {
    let found: Vec<_> = found
        .iter()
        .map(|(host, problem)| serde_json::json!({"host": host, "problem": problem}))
        .collect();
    let all = serde_json::json!({
        "v": crate::event::VERSION,
        "run": run,
        "cluster": of.map(|(inventory, _)| &inventory.cluster),
        "inventory": of.map(|(inventory, _)| &inventory.digest),
        "plan": of.map(|(_, plan)| plan),
        "preflight": found,
        "exit": exit,
    });
    all.to_string()
}

fn emit_end(recorder: &Recorder, plan: &Plan, code: u8) {
    recorder.emit(Event::RunEnded {
        changed: 0,
        failed: 0,
        skipped: 0,
        unreachable: plan.unreachable.len(),
        blocked: plan.blocked.len(),
        exit: code,
        seconds: recorder.seconds(),
    });
}

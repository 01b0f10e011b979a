//! `provision preflight`: what speaks against making hosts as the inventory says, asked of all of them,
//! whether anything is to be done there or not. It holds the key that looks, and no other.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use crate::event::{Event, Sink as _};
use crate::ground::Severity;
use crate::local::clock::run_id;
use crate::observe;
use crate::pipeline::arguments::{Limits, Output, Target};
use crate::pipeline::recorder::{recorder, sink, started};
use crate::pipeline::{load, look, reach};
use crate::plan::text::counted;
use crate::plan::{plan, preflight};
use crate::report::exit;
use crate::ui::line;
use crate::ui::out::{self, Out};

/// Arguments of `preflight`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "Example:
  provision preflight                  before a maintenance window: would an apply be refused?
Exits with 1 when anything found would keep an apply from its first change, with 4 when hosts do not answer.";

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let session =
        load::session(&args.target.source, Some(&args.target.reach), load::Artefacts::Needed)
            .await?;
    let inventory = &session.inventory;
    let scope = args.limits.scope(inventory)?;
    let run = run_id();
    let quiet = Output { json: false, ..args.output.clone() };
    let recorder = recorder(&run, &quiet);
    started(&recorder, "preflight", inventory);
    let opening = reach::opening(inventory, &args.target.reach, &run)?;
    let opened = look::at_hosts(&session, &opening, &sink(&recorder)).await;
    let fleet = Arc::new(opened.fleet);
    let observed = observe::observed(inventory, &session.desired, opened.answers);
    let plan = plan(inventory, &session.templates, &session.desired, &observed, &scope);
    let meant = observed
        .answered()
        .filter(|(host, _)| scope.hosts.as_ref().is_none_or(|all| all.contains(*host)));
    let probes =
        meant.map(|(host, _)| (host.clone(), preflight::probe(inventory, &plan, host))).collect();
    let mut unreachable = observed.unreachable();
    let mut answers = BTreeMap::new();
    for (host, answer) in look::ask_all(&fleet, probes).await {
        match answer {
            Ok(sections) => drop(answers.insert(host, sections)),
            Err(why) => drop(unreachable.insert(host, why)),
        }
    }
    if let Some(fleet) = Arc::into_inner(fleet) {
        fleet.close().await;
    }
    unreachable.retain(|host, _| scope.hosts.as_ref().is_none_or(|all| all.contains(host)));
    let mut found = preflight::check(inventory, &plan, &observed, &answers);
    let foreign = preflight::strangers(inventory, &observed);
    found.extend(foreign.into_iter().map(|problem| (None, problem)));
    let count = |of: Severity| found.iter().filter(|(_, problem)| problem.severity == of).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let code = match (errors, unreachable.is_empty()) {
        (1.., _) => exit::USAGE,
        (0, false) => exit::UNREACHABLE,
        (0, true) => exit::OK,
    };
    if args.output.json {
        let list: Vec<_> =
            found.iter().map(|(host, problem)| json!({"host": host, "problem": problem})).collect();
        let all = json!({
            "v": crate::event::VERSION,
            "cluster": inventory.cluster,
            "preflight": list,
            "unreachable": unreachable,
            "exit": code,
        });
        out::data(&all.to_string());
        return Ok(code);
    }
    for (host, problem) in found {
        recorder.emit(Event::Problem { problem, host });
    }
    let text = format!(
        "Preflight: {} asked, {}, {}{}.",
        counted(answers.len(), "host"),
        counted(errors, "error"),
        counted(warnings, "warning"),
        match unreachable.len() {
            0 => String::new(),
            n => format!(", {} unreachable", counted(n, "host")),
        }
    );
    line(Out, &text);
    Ok(code)
}

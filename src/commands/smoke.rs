//! `provision smoke`: proves the cluster anew. It is an apply of the task `smoke` alone for which
//! nothing counts as proven yet; what it proves is stamped as ever.

use std::sync::Arc;

use crate::apply::{Run, Stop};
use crate::cli::{Limits, Reach, RunOutput, Source};
use crate::commands::apply::watch_signals;
use crate::commands::plan::announce;
use crate::commands::session::{again, recorder, run_id, sink, start};
use crate::event::{Event, Sink as _, SmokeOutcome};
use crate::health::Check;
use crate::observe;
use crate::plan::{Observed, Seen, plan};
use crate::remote::fleet::change;
use crate::report::{Report, exit};
use crate::resource::{Facts, Look};
use crate::tasks::Task;
use crate::ui::{line, summary};

/// Arguments of `smoke`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    reach: Reach,
    /// Prove only what runs from these hosts: names, globs, `@pool`, `!` to exclude, comma separated
    #[arg(short = 'l', long, value_name = "HOSTS")]
    limit: Option<String>,
    /// How many hosts work at once
    #[arg(short = 'f', long, default_value_t = 50, env = "PROVISION_FORKS")]
    forks: usize,
    #[command(flatten)]
    output: RunOutput,
}

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let mut session = match start(&args.source, Some(&args.reach)).await? {
        Ok(session) => session,
        Err(quit) => return Ok(quit.0),
    };
    let limits = Limits { limit: args.limit.clone(), tasks: vec![Task::Smoke.name().to_owned()] };
    let scope = match session.scope(&limits) {
        Ok(scope) => scope,
        Err(why) => {
            line(std::io::stderr().lock(), &format!("error: {why}"));
            return Ok(exit::USAGE);
        }
    };
    let secrets = session.secrets()?;
    let run = run_id();
    let recorder = recorder(&run, &args.output);
    recorder.emit(Event::RunStarted {
        command: "smoke".to_owned(),
        cluster: session.inventory.cluster.clone(),
        inventory: session.inventory.digest.clone(),
        hosts: session.inventory.hosts.len(),
    });
    let opening = session.opening(&args.reach, &run)?;
    let probes = observe::probes(&session.inventory, &session.desired);
    let opened = change(&opening, &probes, &sink(&recorder), secrets).await;
    if let Some((host, by)) = opened.locked.iter().next() {
        line(std::io::stderr().lock(), &format!("error: {host} is locked by another run: {by}"));
        opened.fleet.close().await;
        return Ok(recorder.end(exit::LOCKED));
    }
    let fleet = Arc::new(opened.fleet);
    let mut observed = session.observed(opened.answers)?;
    forget(&mut observed);
    let plan = plan(&session.inventory, &session.desired, &observed, &scope);
    announce(&recorder, &session.inventory, &observed, &plan);
    if plan.is_empty() && plan.unreachable.is_empty() && plan.blocked.is_empty() {
        line(std::io::stderr().lock(), "there is nothing to prove: the inventory has no spark");
    }
    let stop = Arc::new(Stop::default());
    watch_signals(&stop, &recorder);
    let inventory = Arc::new(session.inventory);
    let engine = Run::new(
        Arc::clone(&inventory),
        Arc::new(session.desired),
        Arc::clone(&fleet),
        sink(&recorder),
        stop,
        args.forks,
        None,
    );
    engine.apply(&plan).await;
    let leader = Check::Masters.judge(&inventory, &observed.replies()).leader;
    drop(engine);
    if let Some(fleet) = Arc::into_inner(fleet) {
        fleet.close().await;
    }
    let report = recorder.report();
    let code = report.exit();
    recorder.end(code);
    if !args.output.json {
        // Smoke has no `-t`: it is one task.
        let limits = Limits { tasks: Vec::new(), ..limits };
        let command = again("smoke", &args.source, &limits);
        let words = summary::text(&inventory, &report, &command, leader.as_ref());
        line(std::io::stdout().lock(), words.trim_end());
        line(std::io::stdout().lock(), &counts(&report));
    }
    Ok(code)
}

/// Nothing is proven: every proof that could be looked at has no stamp.
fn forget(observed: &mut Observed) {
    for seen in observed.hosts.values_mut() {
        let Seen::Answered(answer) = seen else { continue };
        for (id, look) in &mut answer.looks {
            if id.kind == "proof" {
                *look = Look::Facts(Facts::default());
            }
        }
    }
}

fn counts(report: &Report) -> String {
    let count =
        |of: SmokeOutcome| report.smoke.iter().filter(|(_, _, result, _)| *result == of).count();
    format!(
        "Smoke: {} passed, {} failed, {} without room, {} not run.",
        count(SmokeOutcome::Passed),
        count(SmokeOutcome::Failed),
        count(SmokeOutcome::NoRoom),
        count(SmokeOutcome::NotRun)
    )
}

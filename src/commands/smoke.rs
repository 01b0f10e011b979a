//! `provision smoke`: proves the cluster anew. It is an apply of the task `smoke` alone for which
//! nothing counts as proven yet; what it proves is stamped as ever.

use crate::event::SmokeOutcome;
use crate::pipeline::arguments::{Limits, RunOutput, Target, next};
use crate::pipeline::planning::Aim;
use crate::pipeline::{self, After, Keeping, Proofs, Request, lock};
use crate::plan::Plan;
use crate::plan::verbs::Consent;
use crate::report::Report;
use crate::tasks::Task;
use crate::ui::out::Out;
use crate::ui::{line, summary};

/// Arguments of `smoke`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Prove only what runs from these hosts: names, globs, `@pool`, `!` to exclude, comma separated
    #[arg(short = 'l', long, value_name = "HOSTS", add = crate::pipeline::complete::hosts())]
    limit: Option<String>,
    /// How many hosts work at once
    #[arg(short = 'f', long, default_value_t = 50, env = "PROVISION_FORKS")]
    forks: usize,
    #[command(flatten)]
    output: RunOutput,
}

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let limits = Limits { limit: args.limit.clone(), tasks: vec![Task::Smoke.name().to_owned()] };
    let done = pipeline::change(&Request {
        command: "smoke",
        source: &args.target.source,
        reach: &args.target.reach,
        limits: &limits,
        output: &args.output,
        aim: Aim::Inventory { downgrade: Consent::Withheld },
        saved: None,
        proofs: Proofs::DoNotCount,
        wait: lock::Wait { limit: None, advice: "prove again once that has ended" },
        forks: args.forks,
        max_failed: None,
        record: Keeping::Nothing,
        after: After::Nothing,
        agree: &|plan| {
            say_nothing_to_prove(plan);
            Ok(())
        },
    })
    .await?;
    if !args.output.json {
        // Smoke has no `-t`: it is one task.
        let limits = Limits { tasks: Vec::new(), ..limits };
        let next = next("smoke", &args.target.source, &limits);
        let words = summary::text(&done.inventory, &done.report, &next, done.serving());
        line(Out, words.trim_end());
        line(Out, &counts(&done.report));
    }
    Ok(done.code)
}

fn say_nothing_to_prove(plan: &Plan) {
    if plan.is_empty() && plan.unreachable.is_empty() && plan.blocked.is_empty() {
        line(std::io::stderr().lock(), "there is nothing to prove: the inventory has no spark");
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

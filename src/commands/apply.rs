//! `provision apply`: makes the hosts as the inventory says, and proves it.

use std::path::PathBuf;
use std::time::Duration;

use crate::pipeline::arguments::{Difference, Limits, RunOutput, Source, Target, next};
use crate::pipeline::planning::Aim;
use crate::pipeline::preview::{self, Pending};
use crate::pipeline::{self, After, Keeping, Proofs, Request, confirm, lock, saved};
use crate::plan::text;
use crate::plan::verbs::{Consent, Verb};
use crate::ui::out::Out;
use crate::ui::{line, summary};

/// Arguments of `apply`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// The inventory that a saved plan is for: its own word for that is not taken
    #[arg(short = 'i', long = "in", value_name = "INVENTORY")]
    #[arg(env = "PROVISION_INVENTORY", default_value = "inventory.yaml")]
    of_plan: PathBuf,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    output: RunOutput,
    #[command(flatten)]
    difference: Difference,
    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,
    /// Only show what would change: the same as `plan`
    #[arg(short = 'C', long)]
    check: bool,
    /// How many hosts work at once
    #[arg(short = 'f', long, default_value_t = 50, env = "PROVISION_FORKS")]
    forks: usize,
    /// How many failed or unreachable hosts of a task are borne; default 0 in a quorum, 10 % of agents
    #[arg(long, value_name = "N")]
    max_failed: Option<usize>,
    /// How long to wait for hosts that another run has locked, such as 10mins; default: not at all, and
    /// 1min for an action that runs on though its own run is gone
    #[arg(long, value_name = "DURATION", value_parser = lock::duration)]
    lock_timeout: Option<Duration>,
    /// Plan again after success, and fail if anything is left
    #[arg(long)]
    prove: bool,
    /// Go back to an older version of a package where the inventory says so
    #[arg(long)]
    allow_downgrade: bool,
}

/// Runs it. The inventory may also be a plan that `plan --out` wrote: then exactly that is done, or
/// nothing.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let saved = saved::read(&args.target.source.inventory)?;
    let (source, limits) = match &saved {
        None => (args.target.source.clone(), args.limits.clone()),
        Some(saved) => {
            anyhow::ensure!(
                args.limits.limit.is_none() && args.limits.tasks.is_empty(),
                "a saved plan holds its own -l and -t; make another plan instead"
            );
            let own = Source { inventory: args.of_plan.clone(), ..args.target.source.clone() };
            anyhow::ensure!(
                own.inventory.exists(),
                "{} is not there, and which inventory is meant is not taken from a plan; name it: -i PATH",
                own.inventory.display()
            );
            let (source, limits) = saved::again(saved, &own, confirm::confirm)?;
            saved::same_inventory(saved, &source)?;
            (source, limits)
        }
    };
    let downgrade = if args.allow_downgrade { Consent::Given } else { Consent::Withheld };
    let verb = saved.as_ref().and_then(|saved| saved.asked.verb.as_ref());
    let aim = verb.map_or(Aim::Inventory { downgrade }, Aim::Verb);
    let command = verb.map_or("apply", Verb::command);
    if args.check {
        return preview::show(&preview::Request {
            source: &source,
            reach: &args.target.reach,
            aim,
            limits: &limits,
            output: &args.output,
            look: args.difference.look(&args.output),
            out: None,
            pending: Pending::IsFine,
        })
        .await;
    }
    let done = pipeline::change(&Request {
        command,
        source: &source,
        reach: &args.target.reach,
        limits: &limits,
        output: &args.output,
        aim,
        saved: saved.as_ref(),
        proofs: Proofs::Count,
        wait: lock::Wait { limit: args.lock_timeout, advice: "wait with --lock-timeout 10mins" },
        forks: args.forks,
        max_failed: args.max_failed,
        record: Keeping::Record,
        after: if args.prove { After::Proof } else { After::Nothing },
        agree: &|plan| {
            let look = (!args.output.json).then(|| args.difference.look(&args.output));
            // Whoever saved a plan has seen it, and it is exactly that.
            let seen = saved.is_some() && !args.difference.contents && !args.output.verbose;
            let show = if seen { confirm::Show::Summary } else { confirm::Show::Whole };
            confirm::agree(plan, args.yes, look.map(|look| (show, look)), &text::summary(plan))
        },
    })
    .await?;
    if !args.output.json {
        let next = next(command, &source, &limits);
        let words = match verb {
            None => summary::text(&done.inventory, &done.report, &next, done.serving()),
            Some(_) => summary::outcome(&done.inventory, &done.report, &next),
        };
        line(Out, words.trim_end());
        if let Some(closing) = done.closing(command) {
            line(Out, &closing);
        }
    }
    Ok(done.code)
}

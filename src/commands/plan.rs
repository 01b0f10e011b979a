//! `provision plan`: what would change and why. It holds the key that looks, and no other.

use std::path::PathBuf;

use crate::pipeline::arguments::{Difference, Limits, RunOutput, Target};
use crate::pipeline::planning::Aim;
use crate::pipeline::preview::{self, Pending, Request};
use crate::plan::verbs::Consent;

/// Arguments of `plan`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    output: RunOutput,
    #[command(flatten)]
    difference: Difference,
    /// Exit with 2 when changes are pending
    #[arg(long)]
    detailed_exitcode: bool,
    /// Save the plan, for `apply FILE` to do exactly that or refuse
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    preview::show(&Request {
        source: &args.target.source,
        reach: &args.target.reach,
        aim: Aim::Inventory { downgrade: Consent::Withheld },
        limits: &args.limits,
        output: &args.output,
        look: args.difference.look(&args.output),
        out: args.out.as_deref(),
        pending: if args.detailed_exitcode { Pending::HasItsExitCode } else { Pending::IsFine },
    })
    .await
}

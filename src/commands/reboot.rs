//! `provision reboot -l HOSTS`: boots hosts one after the other, each emptied before and serving again
//! after.

use crate::pipeline::arguments::Limits;
use crate::pipeline::verb::{Asked, Saving};
use crate::plan::verbs::Verb;

/// Arguments of `reboot`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Which hosts: names, globs, `@pool`, `!` to exclude, comma separated
    #[arg(short = 'l', long, value_name = "HOSTS", add = crate::pipeline::complete::hosts())]
    limit: String,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    saving: Saving,
}

const EXAMPLES: &str = "Examples:
  provision reboot -l a1               drained, booted, waited for, given back
  provision reboot -l '*'              all: agents in the batches of their pools, then quorums one by one
A host is back when its boot id has changed and all that served on it serves again.";

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    args.asked.run("reboot", Verb::Reboot, &Limits::to(&args.limit), &args.saving).await
}

//! `provision restart`: restarts services through the waves and gates of an apply.

use crate::pipeline::arguments::Limits;
use crate::pipeline::verb::{Asked, Saving};
use crate::plan::verbs::Verb;

/// Arguments of `restart`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    saving: Saving,
}

const EXAMPLES: &str = "Examples:
  provision restart -t masters         one master after the other, the leader last
  provision restart -t agents -l a1    one agent; its tasks are moved first where they would not survive
Restarts what runs and starts what does not. Docker is restarted only where -t names it. Where the
inventory holds changes that a service would start with, apply is what makes them.";

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    args.asked.run("restart", Verb::Restart, &args.limits, &args.saving).await
}

//! `provision start`: starts services that do not run, through the waves and gates of an apply.

use crate::pipeline::arguments::Limits;
use crate::pipeline::verb::{Asked, Saving};
use crate::plan::verbs::Verb;

/// Arguments of `start`.
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
  provision start                      all that `provision stop` stopped
  provision start -t agents -l a1      one agent
Starts at boot again what it starts.";

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    args.asked.run("start", Verb::Start, &args.limits, &args.saving).await
}

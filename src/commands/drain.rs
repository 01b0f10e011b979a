//! `provision drain HOST`: moves all work from an agent and keeps new work away.

use crate::pipeline::arguments::Limits;
use crate::pipeline::verb::{Asked, Saving};
use crate::plan::verbs::Verb;

/// Arguments of `drain`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The agent's host; more than one as `-l` takes them: globs, `@pool`, comma separated
    #[arg(add = crate::pipeline::complete::host())]
    host: String,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    saving: Saving,
}

const EXAMPLES: &str = "Example:
  provision drain a1                   before work on its hardware
Its tasks get 60 s to end. It stays drained over restarts and applies until `provision undrain a1`.
Mesos 1.9 and later can do this.";

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    args.asked
        .run(&format!("drain {}", args.host), Verb::Drain, &Limits::to(&args.host), &args.saving)
        .await
}

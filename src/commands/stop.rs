//! `provision stop`: stops services, those first that build on others; data stays.

use crate::pipeline::arguments::Limits;
use crate::pipeline::verb::{Asked, Saving};
use crate::plan::verbs::{Consent, Verb};

/// Arguments of `stop`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    saving: Saving,
    /// Stop a whole quorum, or so much of one that the rest cannot serve
    #[arg(long)]
    lose_quorum: bool,
}

const EXAMPLES: &str = "Examples:
  provision stop -t agents -l a1       one agent; what runs there is moved first (Mesos 1.9 and later)
  provision stop -t masters -l m2      one master of three
  provision stop --lose-quorum         the whole cluster
What is stopped stays so over a reboot; `provision start` and apply start it again. Data stays.
Docker is stopped only where -t names it.";

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let quorum = if args.lose_quorum { Consent::Given } else { Consent::Withheld };
    let words = if args.lose_quorum { "stop --lose-quorum" } else { "stop" };
    args.asked.run(words, Verb::Stop { quorum }, &args.limits, &args.saving).await
}

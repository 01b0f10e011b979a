//! `provision undrain HOST`: lets an agent get work again.

use crate::pipeline::arguments::Limits;
use crate::pipeline::verb::{Asked, Saving};
use crate::plan::verbs::Verb;

/// Arguments of `undrain`.
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
  provision undrain a1                 whoever drained or deactivated it";

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    args.asked
        .run(
            &format!("undrain {}", args.host),
            Verb::Undrain,
            &Limits::to(&args.host),
            &args.saving,
        )
        .await
}

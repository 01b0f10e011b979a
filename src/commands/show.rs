//! `provision show`: a saved plan, as `plan` showed it; touches no host.

use std::path::PathBuf;

use crate::pipeline::arguments::{Difference, Output, RunOutput};
use crate::pipeline::saved;
use crate::plan::shown::Shown;
use crate::report::exit;
use crate::ui::out::{self, Out};
use crate::ui::{self, line};

/// Arguments of `show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A plan that `plan --out` wrote
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    #[command(flatten)]
    difference: Difference,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let path = args.plan.display();
    let Some(saved) = saved::read(&args.plan)? else {
        anyhow::bail!(
            "{path} is not there, or no saved plan; `provision plan --out {path}` writes one"
        );
    };
    if args.output.json {
        out::data(&serde_json::to_string(&saved)?);
        return Ok(exit::OK);
    }
    let shown = Shown::of_saved(&saved);
    ui::plan::show(&shown, args.difference.look(&RunOutput::from(&args.output)));
    let (made, asked) = (&saved.made, &saved.asked);
    let of = format!(
        "Made {} by provision {} for the cluster {}, of {}.",
        made.at,
        made.version,
        asked.cluster,
        asked.inventory.display()
    );
    line(Out, &of);
    Ok(exit::OK)
}

//! `provision simulate`: which executors fit where, and how DRF would share the cluster.

use std::path::PathBuf;

use anyhow::Context;
use terminal_size::terminal_size_of;

use crate::local::files::{self, Readers};
use crate::pipeline::arguments::Source;
use crate::pipeline::load;
use crate::report::exit;
use crate::simulate::application::applications;
use crate::simulate::outlook::{Order, Plan, outlook};
use crate::ui::line;
use crate::ui::out::{self, Out};

mod html;
mod text;

/// Arguments of `simulate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// One JSON object on standard output (docs/simulate.md)
    #[arg(long)]
    json: bool,
    /// Also write a page with the pictures, which needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Shuffle the agents, the same way for the same number, as the master does in every cycle
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let inventory = load::inventory(&args.source, load::Artefacts::MayBeMissing)?.inventory;
    // What the defaults alone make is of interest only where no workload is written.
    let applications = applications(&inventory);
    let plans: Vec<Plan<'_>> = applications
        .iter()
        .filter(|application| application.name.is_some() || inventory.workloads.is_empty())
        .map(|application| Plan {
            name: application.title(),
            workload: &application.workload,
            settings: &application.settings,
        })
        .collect();
    anyhow::ensure!(!plans.is_empty(), "there is nothing to place; write `spark` and `workloads`");
    let order = args.seed.map_or(Order::Inventory, Order::Seed);
    let outlook = outlook(&inventory, &plans, order);
    if let Some(path) = &args.html {
        let page = html::page(&outlook).map_err(anyhow::Error::msg)?;
        files::replace(path, page, Readers::Others)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if args.json {
        out::data(&serde_json::to_string_pretty(&outlook)?);
    } else {
        line(Out, text::tables(&outlook, width()).trim_end());
    }
    Ok(exit::OK)
}

/// How wide lines may be: `COLUMNS`, else as wide as the terminal; a file takes any width.
fn width() -> Option<usize> {
    let set = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    set.or_else(|| terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0)))
}

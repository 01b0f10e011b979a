//! `provision check`: every problem, no host.

use crate::cli::{Output, Source};
use crate::commands::session::start;
use crate::report::exit;
use crate::ui::line;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let mut source = args.source.clone();
    // Which hosts the twin has makes no difference to what is written in the inventory.
    source.lab = false;
    let session = match start(&source, None).await? {
        Ok(session) => session,
        Err(quit) => return Ok(quit.0),
    };
    if !args.output.json {
        let hosts = session.inventory.hosts.len();
        line(std::io::stdout().lock(), &format!("ok: {} ({hosts} hosts)", session.inventory.cluster));
    }
    Ok(exit::OK)
}

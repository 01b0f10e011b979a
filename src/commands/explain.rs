//! `provision explain`: what a setting of the inventory takes and is for.

use std::io::Write;

use anyhow::anyhow;

use crate::inventory::explain;
use crate::report::exit;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Path of the setting, such as mesos.agents.resources; the whole file when not given
    #[arg(value_name = "PATH", default_value = "", hide_default_value = true)]
    path: String,
    /// Print every setting as a page of Markdown
    #[arg(long, conflicts_with = "path")]
    markdown: bool,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let text = match args.markdown {
        true => explain::reference(),
        false => explain::explain(&args.path).map_err(|message| anyhow!(message))?,
    };
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(exit::OK)
}

//! `provision schema`: what may stand in an inventory, for editors.

use std::io::Write;

use crate::report::exit;
use crate::schema::schema;

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(_: &Args) -> anyhow::Result<u8> {
    let text = serde_json::to_string_pretty(&schema())?;
    let _ = writeln!(std::io::stdout().lock(), "{text}");
    Ok(exit::OK)
}

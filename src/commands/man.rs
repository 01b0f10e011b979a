//! `provision man [DIR]`: the manual.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::report::exit;

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write a page for every command there, instead of printing the first
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    match &args.directory {
        Some(directory) => {
            std::fs::create_dir_all(directory)
                .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
                .with_context(|| format!("{} cannot be written", directory.display()))?;
        }
        None => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut text)?;
            std::io::stdout().write_all(&text)?;
        }
    }
    Ok(exit::OK)
}

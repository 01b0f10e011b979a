//! `provision man [DIR]`: the manual.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::local::files;
use crate::report::exit;
use crate::ui::out;

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write a page for every command there, instead of printing the first
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Runs it, for the whole command line.
pub fn run(args: &Args, program: clap::Command) -> anyhow::Result<u8> {
    match &args.directory {
        Some(directory) => {
            files::directory(directory)
                .and_then(|()| clap_mangen::generate_to(program, directory))
                .with_context(|| format!("{} cannot be written", directory.display()))?;
        }
        None => {
            let mut text = Vec::new();
            clap_mangen::Man::new(program).render(&mut text)?;
            out::bytes(text);
        }
    }
    Ok(exit::OK)
}

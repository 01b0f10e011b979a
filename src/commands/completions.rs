//! `provision completions SHELL`: what the shell's completion loads.

use std::io::Write as _;

use clap_complete::Shell;

use crate::report::exit;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Runs it, for the whole command line.
pub fn run(args: &Args, program: clap::Command) -> anyhow::Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut { program }, "provision", &mut text);
    std::io::stdout().write_all(&text)?;
    Ok(exit::OK)
}

//! `provision completions SHELL`: what the shell's completion loads. It asks the program itself for what may follow, so
//! that hosts, pools and runs are offered too.

use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::report::exit;
use crate::ui::out;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    const NAME: &str = "provision";
    let shell = args.shell.to_string();
    let shells = Shells::builtins();
    let Some(shell) = shells.completer(&shell) else { anyhow::bail!("{shell} cannot ask") };
    let mut text = Vec::new();
    shell.write_registration("COMPLETE", NAME, NAME, NAME, &mut text)?;
    out::bytes(text);
    Ok(exit::OK)
}

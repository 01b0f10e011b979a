//! The command line.

use std::process::ExitCode;

use clap::Parser;
use provision::cli::{Cli, Command};
use provision::report::exit;
use provision::{commands, ui};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let usage = error.use_stderr();
            let _ = error.print();
            // clap's 2 means "changes pending" here.
            return ExitCode::from(if usage { exit::USAGE } else { exit::OK });
        }
    };
    let result = match &cli.command {
        Command::Check(args) => commands::check::run(args).await,
        Command::Plan(args) => commands::plan::run(args).await,
        Command::Apply(args) => commands::apply::run(args).await,
        Command::Status(args) => commands::status::run(args).await,
        Command::History(args) => commands::history::run(args).await,
        Command::Unlock(args) => commands::unlock::run(args).await,
        Command::Lab(args) => commands::lab::run(args).await,
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            ui::line(std::io::stderr().lock(), &format!("error: {error:#}"));
            ExitCode::from(exit::USAGE)
        }
    }
}

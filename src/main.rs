//! The command line.

use std::process::ExitCode;

use clap::Parser;
use provision::cli::{Cli, Color, Command};
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
    set_colours(cli.color);
    let result = match &cli.command {
        Command::Init(args) => commands::init::run(args),
        Command::Check(args) => commands::check::run(args).await,
        Command::Render(args) => commands::render::run(args).await,
        Command::Simulate(args) => commands::simulate::run(args).await,
        Command::Plan(args) => commands::plan::run(args).await,
        Command::Apply(args) => commands::apply::run(args).await,
        Command::Status(args) => commands::status::run(args).await,
        Command::History(args) => commands::history::run(args).await,
        Command::Unlock(args) => commands::unlock::run(args).await,
        Command::Smoke(args) => commands::smoke::run(args).await,
        Command::Logs(args) => commands::logs::run(args).await,
        Command::Ssh(args) => commands::ssh::run(args).await,
        Command::Inventory(args) => commands::inventory::run(args).await,
        Command::Lab(args) => commands::lab::run(args).await,
        Command::Schema(args) => commands::schema::run(args),
        Command::Completions(args) => commands::completions::run(args),
        Command::Man(args) => commands::man::run(args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            ui::line(std::io::stderr().lock(), &format!("error: {error:#}"));
            ExitCode::from(exit::USAGE)
        }
    }
}

/// What anstream decides by itself, but for FORCE_COLOR, which it does not know.
fn set_colours(wanted: Color) {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let choice = match wanted {
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
        Color::Auto
            if set("NO_COLOR").is_none() && set("FORCE_COLOR").is_some_and(|it| it != "0") =>
        {
            anstream::ColorChoice::Always
        }
        Color::Auto => return,
    };
    choice.write_global();
}

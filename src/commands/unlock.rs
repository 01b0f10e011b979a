//! `provision unlock`: shows what works under hosts' locks and, confirmed, ends what hangs there.

use crate::cli::{Limits, Reach, Source};
use crate::commands::session::{confirm, run_id, start};
use crate::inventory::HostName;
use crate::remote::fleet::Opening;
use crate::remote::holder::Controller;
use crate::remote::unlock::{Held, open};
use crate::report::exit;
use crate::ui::line;

/// Arguments of `unlock`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    reach: Reach,
    /// Which hosts: names, globs, `@pool`, comma separated
    #[arg(short = 'l', long, value_name = "HOSTS")]
    limit: String,
    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,
    /// End a run's work even if that run still listens
    #[arg(long)]
    force: bool,
}

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let session = match start(&args.source, Some(&args.reach)).await? {
        Ok(session) => session,
        Err(quit) => return Ok(quit.0),
    };
    let limits = Limits { limit: Some(args.limit.clone()), tasks: Vec::new() };
    let hosts = match session.scope(&limits) {
        Ok(scope) => scope.hosts.unwrap_or_default(),
        Err(why) => {
            line(std::io::stderr().lock(), &format!("error: {why}"));
            return Ok(exit::USAGE);
        }
    };
    let opening = session.opening(&args.reach, &run_id())?;
    let mut worst = exit::OK;
    for host in &hosts {
        let code = one(args, &opening, host).await;
        // 3 beats 4 beats 1.
        let rank = |code| {
            [exit::OK, exit::USAGE, exit::UNREACHABLE, exit::FAILED].iter().position(|c| *c == code)
        };
        if rank(code) > rank(worst) {
            worst = code;
        }
    }
    Ok(worst)
}

async fn one(args: &Args, opening: &Opening, host: &HostName) -> u8 {
    let complain = |code: u8, why: &str| {
        line(std::io::stderr().lock(), &format!("error: {host}: {why}"));
        code
    };
    let mut key = match open(opening, host).await {
        Ok(key) => key,
        Err(why) => return complain(exit::UNREACHABLE, &why),
    };
    let held = match key.held().await {
        Ok(Some(held)) => held,
        Ok(None) => {
            line(std::io::stdout().lock(), &format!("{host}: nobody holds its lock"));
            return exit::OK;
        }
        Err(why) => return complain(exit::UNREACHABLE, &why),
    };
    show(host, &held);
    if held.holder.controller == Controller::There && !args.force {
        return complain(
            exit::USAGE,
            "that run still listens; stop it where it runs, or say --force if it cannot be stopped there",
        );
    }
    if !args.yes {
        match confirm(&format!("{host}: end these processes?")) {
            Ok(true) => {}
            Ok(false) => return complain(exit::USAGE, "nothing was ended"),
            Err(why) => return complain(exit::USAGE, &format!("{why}; nothing was ended")),
        }
    }
    match key.end(&held.holder.run).await {
        Ok(()) => {
            let text = format!(
                "{host}: ended; its lock is free, and the next apply goes on from what is there"
            );
            line(std::io::stdout().lock(), &text);
            exit::OK
        }
        Err(why) => complain(exit::FAILED, &why),
    }
}

fn show(host: &HostName, held: &Held) {
    let mut out = std::io::stdout().lock();
    line(&mut out, &format!("{host}: its lock is held by {}", held.holder));
    for process in &held.processes {
        line(&mut out, &format!("  {process}"));
    }
    if let Some(log) = &held.log {
        line(&mut out, &format!("  log on {host}: {log}"));
    }
    for said in &held.said {
        line(&mut out, &format!("  | {said}"));
    }
}

//! `provision unlock`: shows what works under hosts' locks and, confirmed, ends what hangs there,
//! or frees the lock of what a run left.

use crate::ground::HostName;
use crate::local::clock::run_id;
use crate::pipeline::arguments::{Limits, Target};
use crate::pipeline::confirm::confirm;
use crate::pipeline::load;
use crate::pipeline::reach;
use crate::remote::fleet::Opening;
use crate::remote::holder::Controller;
use crate::remote::unlock::{Held, open};
use crate::report::exit;
use crate::ui::line;
use crate::ui::out::Out;

/// Arguments of `unlock`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Which hosts: names, globs, `@pool`, comma separated
    #[arg(short = 'l', long, value_name = "HOSTS", add = crate::pipeline::complete::hosts())]
    limit: String,
    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,
    /// End a run's work even if that run still listens
    #[arg(long)]
    force: bool,
    /// Free the lock of what a run left running after it had ended, such as a daemon, and let that live
    #[arg(long, conflicts_with = "force")]
    leave: bool,
}

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let session =
        load::session(&args.target.source, Some(&args.target.reach), load::Artefacts::MayBeMissing)
            .await?;
    let limits = Limits { limit: Some(args.limit.clone()), tasks: Vec::new() };
    let hosts = limits.scope(&session.inventory)?.hosts.unwrap_or_default();
    let opening = reach::opening(&session.inventory, &args.target.reach, &run_id())?;
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
            line(Out, &format!("{host}: nobody holds its lock"));
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
    let over = held.holder.controller == Controller::Over;
    if args.leave && !over {
        return complain(
            exit::USAGE,
            "that run's work goes on, so nothing of it can be left alone",
        );
    }
    if over && !args.leave {
        let text = "  these were left running by it: end them, or say --leave, which frees the lock and lets them live";
        line(Out, text);
    }
    let (question, not_done) = if args.leave {
        ("free the lock and let these processes live?", "nothing was freed")
    } else {
        ("end these processes?", "nothing was ended")
    };
    if !args.yes {
        match confirm(&format!("{host}: {question}")) {
            Ok(true) => {}
            Ok(false) => return complain(exit::USAGE, not_done),
            Err(why) => return complain(exit::USAGE, &format!("{why}; {not_done}")),
        }
    }
    let run = &held.holder.run;
    let (done, freed) = if args.leave {
        ("left alone", key.leave(run).await)
    } else {
        ("ended", key.end(run).await)
    };
    match freed {
        Ok(()) => {
            let text = format!(
                "{host}: {done}; its lock is free, and the next apply goes on from what is there"
            );
            line(Out, &text);
            exit::OK
        }
        Err(why) => complain(exit::FAILED, &why),
    }
}

fn show(host: &HostName, held: &Held) {
    let mut out = Out;
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

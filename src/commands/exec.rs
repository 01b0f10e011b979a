//! `provision exec -l HOSTS -- COMMAND`: one command on many hosts. Nobody can tell one that only looks from
//! one that changes, so it takes the locks of its hosts, and is an action there like any other: with a log
//! and a status on the host, and it ends whether or not we are still there.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::ground::HostName;
use crate::inventory::select::select;
use crate::local::clock::run_id;
use crate::pipeline::arguments::{Output, Target};
use crate::pipeline::recorder::{recorder, sink, started};
use crate::pipeline::verb::Doing;
use crate::pipeline::{confirm, load, lock, reach};
use crate::plan::text::counted;
use crate::remote::fleet::Secrets;
use crate::remote::{Change as _, Ended};
use crate::report::exit;
use crate::script::{Fix, Probe, quote_all};
use crate::ui::line;
use crate::ui::out::{self, Out};

/// Arguments of `exec`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Which hosts: names, globs, `@pool`, `!` to exclude, comma separated
    #[arg(short = 'l', long, value_name = "HOSTS", add = crate::pipeline::complete::hosts())]
    limit: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    doing: Doing,
    /// The command and its arguments, each passed on as it is; a shell's own words need `sh -c '…'`
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

const EXAMPLES: &str = "Examples:
  provision exec -y -l '@agents' -- docker system df
  provision exec -l 'm*' -- sh -c 'df -h / | tail -n 1'
It runs as root, with no input. Hosts that answer the same are shown together, each with its exit code.
Exits with 0 when it was 0 everywhere, with 3 when it was not, with 4 when only hosts did not answer.";

/// How a host ended: its exit status and output, or why there is none.
type Answer = Result<Ended, String>;

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let session =
        load::session(&args.target.source, Some(&args.target.reach), load::Artefacts::MayBeMissing)
            .await?;
    let inventory = &session.inventory;
    let hosts = select(inventory, &args.limit).map_err(anyhow::Error::msg)?;
    let words = quote_all(args.command.iter().map(String::as_str));
    if !args.doing.yes {
        let names: Vec<&str> = hosts.iter().map(HostName::as_str).collect();
        confirm::agreed(&format!("Run on {}: {words}", names.join(", ")))?;
    }
    let run = run_id();
    let quiet = Output { json: false, ..args.output.clone() };
    let recorder = recorder(&run, &quiet);
    started(&recorder, "exec", inventory);
    let mut opening = reach::opening(inventory, &args.target.reach, &run)?;
    opening.hosts.retain(|host, _| hosts.contains(host));
    let probes = opening.hosts.keys().map(|host| (host.clone(), Probe::default())).collect();
    let wait =
        lock::Wait { limit: args.doing.lock_timeout, advice: "wait with --lock-timeout 10mins" };
    let opened = lock::all(&opening, &probes, &sink(&recorder), Secrets::default(), wait).await?;
    let fleet = Arc::new(opened.fleet);
    // In place of the shell, which has functions of its own.
    let fix = Fix::new(format!("exec {words}"));
    let forks = Arc::new(Semaphore::new(args.doing.forks.max(1)));
    let mut running = JoinSet::new();
    let mut answers: BTreeMap<HostName, Answer> = BTreeMap::new();
    for host in hosts {
        match opened.answers.get(&host) {
            Some(Ok(_)) => {}
            Some(Err(why)) => {
                answers.insert(host, Err(why.clone()));
                continue;
            }
            None => {
                answers.insert(host, Err("it is gone, as the inventory says".to_owned()));
                continue;
            }
        }
        let (fleet, fix, forks) = (Arc::clone(&fleet), fix.clone(), Arc::clone(&forks));
        running.spawn(async move {
            let _permit = forks.acquire_owned().await;
            let ended = fleet.run(&host, "exec", &fix).await;
            (host, ended)
        });
    }
    answers.extend(running.join_all().await);
    if let Some(fleet) = Arc::into_inner(fleet) {
        fleet.close().await;
    }
    let code = code(&answers);
    let text = if args.output.json { as_json(args, &answers, code) } else { grouped(&answers) };
    match args.output.json {
        true => out::data(text.trim_end()),
        false => line(Out, text.trim_end()),
    }
    Ok(code)
}

fn code(answers: &BTreeMap<HostName, Answer>) -> u8 {
    let failed = |answer: &Answer| answer.as_ref().is_ok_and(|ended| ended.status != 0);
    if answers.values().any(failed) {
        exit::FAILED
    } else if answers.values().any(Result::is_err) {
        exit::UNREACHABLE
    } else {
        exit::OK
    }
}

/// Hosts that ended alike together, in the order of the first of them.
fn grouped(answers: &BTreeMap<HostName, Answer>) -> String {
    let mut groups: Vec<(String, &str, Vec<&str>)> = Vec::new();
    for (host, answer) in answers {
        let (how, output) = match answer {
            Ok(ended) => (format!("exit {}", ended.status), ended.output_tail.as_str()),
            Err(why) => (format!("unreachable: {why}"), ""),
        };
        match groups.iter_mut().find(|(h, o, _)| (h.as_str(), *o) == (how.as_str(), output)) {
            Some((.., hosts)) => hosts.push(host.as_str()),
            None => groups.push((how, output, vec![host.as_str()])),
        }
    }
    let mut text = String::new();
    for (how, output, hosts) in &groups {
        let count =
            if hosts.len() > 1 { counted(hosts.len(), "host") + ", " } else { String::new() };
        text.push_str(&format!("{} ({count}{how})\n", hosts.join(", ")));
        text.extend(output.lines().map(|line| format!("  {line}\n")));
    }
    text
}

fn as_json(args: &Args, answers: &BTreeMap<HostName, Answer>, code: u8) -> String {
    let hosts: BTreeMap<&str, serde_json::Value> = answers
        .iter()
        .map(|(host, answer)| {
            let answer = match answer {
                Ok(ended) => json!({"exit": ended.status, "output": ended.output_tail}),
                Err(why) => json!({"unreachable": why}),
            };
            (host.as_str(), answer)
        })
        .collect();
    let v = crate::event::VERSION;
    json!({"v": v, "command": args.command, "hosts": hosts, "exit": code}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(status: i32, output: &str) -> Answer {
        Ok(Ended { status, output_tail: output.to_owned(), log: std::path::PathBuf::new() })
    }

    #[test]
    fn hosts_that_ended_alike_are_shown_together() {
        let answers: BTreeMap<HostName, Answer> = [
            ("m1", ended(0, "up\n")),
            ("m2", ended(1, "down\nindeed\n")),
            ("m3", ended(0, "up\n")),
            ("m4", Err("it does not answer".to_owned())),
        ]
        .into_iter()
        .map(|(host, answer)| (HostName::new(host), answer))
        .collect();
        assert_eq!(
            grouped(&answers),
            "m1, m3 (2 hosts, exit 0)\n  up\nm2 (exit 1)\n  down\n  indeed\nm4 (unreachable: it does not answer)\n"
        );
        assert_eq!(code(&answers), exit::FAILED);
        let without = |name: &str| {
            let mut rest = answers.clone();
            rest.remove(&HostName::new(name));
            rest
        };
        assert_eq!(code(&without("m2")), exit::UNREACHABLE);
        let mut well = without("m2");
        well.remove(&HostName::new("m4"));
        assert_eq!(code(&well), exit::OK);
    }
}

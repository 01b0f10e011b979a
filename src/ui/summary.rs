//! The last words of an apply: one line per host, what failed and what to do next, where things are.

use std::fmt::Write as _;

use super::plain::took;
use crate::event::SmokeOutcome;
use crate::ground::{Endpoint, HostName};
use crate::inventory::Inventory;
use crate::plan::shown::{Hosts, grouped};
use crate::plan::text::counted;
use crate::report::{Report, exit};
use crate::tasks::image::HOME;

/// The closing summary of a run that was to make a cluster: how it went, and where it is.
pub fn text(
    inventory: &Inventory,
    report: &Report,
    command: &str,
    leader: Option<&HostName>,
) -> String {
    let mut text = outcome(inventory, report, command);
    if matches!(report.exit(), exit::OK | exit::SMOKE) {
        text.push_str(&places(inventory, report, leader));
    }
    text
}

/// How a run went.
pub fn outcome(inventory: &Inventory, report: &Report, command: &str) -> String {
    let mut text = String::new();
    let failed = report.failed_hosts();
    let mut words = Vec::new();
    for host in inventory.hosts.keys() {
        let changed = report.changed.get(host).copied().unwrap_or(0);
        let word = if report.unreachable.contains_key(host) {
            "unreachable"
        } else if failed.contains(host) {
            "failed"
        } else if report.blocked.iter().any(|(blocked, _, _)| blocked == host) {
            "blocked"
        } else if changed > 0 {
            "changed"
        } else {
            continue;
        };
        words.push((host.clone(), format!("{word} ({changed} changed)")));
    }
    for (hosts, word) in grouped(&words, Hosts::Folded) {
        let _ = writeln!(text, "{hosts}: {word}");
    }
    for failure in &report.failures {
        let _ = writeln!(
            text,
            "\nerror: {} failed on {} at {}\n  cause: {}",
            failure.action, failure.host, failure.task, failure.cause
        );
        for line in failure.output.lines() {
            let _ = writeln!(text, "  | {line}");
        }
        let _ = writeln!(text, "  next: mend it, then run `{command}` again; it goes on from here");
    }
    let unreachable: Vec<_> =
        report.unreachable.iter().map(|(host, why)| (host.clone(), why.clone())).collect();
    for (hosts, why) in grouped(&unreachable, Hosts::Folded) {
        let they = if report.unreachable.len() == 1 { "it answers" } else { "they answer" };
        let _ = writeln!(
            text,
            "\nunreachable: {hosts}: {why}\n  next: run `{command}` again once {they}"
        );
    }
    if let Some(signal) = &report.interrupted {
        let _ = writeln!(
            text,
            "\ninterrupted by {signal}: what ran was finished, nothing was begun after it\n  \
             next: run `{command}` again; it goes on from here"
        );
    } else {
        let blocked = report.blocked.iter();
        let blocked: Vec<_> =
            blocked.map(|(host, task, why)| (host.clone(), format!("{task}: {why}"))).collect();
        for (hosts, why) in grouped(&blocked, Hosts::Folded) {
            let _ = writeln!(text, "blocked: {hosts}: {why}");
        }
    }
    for (result, words) in [
        (SmokeOutcome::NotRun, "not run (never counted as passed)"),
        (SmokeOutcome::NoRoom, "no room at the moment (not proven)"),
    ] {
        let checks: Vec<&str> = report
            .smoke
            .iter()
            .filter(|(_, _, of, _)| *of == result)
            .map(|(check, _, _, _)| check.as_str())
            .collect();
        if !checks.is_empty() {
            let _ = writeln!(text, "{words}: {}", checks.join(", "));
        }
    }
    text
}

/// The last line of a run: `command` is its name. What went otherwise than asked is counted in it.
pub fn closing(command: &str, report: &Report, code: u8, seconds: f64) -> String {
    let mut name = command.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let mut others = String::new();
    for (count, word) in [
        (report.failures.len(), "failed"),
        (report.unreachable.len(), "unreachable"),
        (report.blocked.len(), "blocked"),
    ] {
        if count > 0 {
            let _ = write!(others, ", {count} {word}");
        }
    }
    format!(
        "{name} {}: {} changed on {}{others} in {}.",
        if code == exit::OK { "complete" } else { "ended" },
        report.changes(),
        counted(report.changed.len(), "host"),
        took(seconds)
    )
}

/// Where the cluster is, and how to submit to it.
fn places(inventory: &Inventory, report: &Report, leader: Option<&HostName>) -> String {
    let mut text = String::new();
    let at = |host: &HostName| inventory.hosts.get(host).map(|host| host.address);
    if let Some(host) = leader.and_then(|host| inventory.hosts.get(host)) {
        let _ = writeln!(text, "Mesos:      {} (leading)", inventory.master_at(host).http());
    }
    let _ = writeln!(text, "Master URL: mesos://{}", inventory.zookeeper_url());
    let Some(spark) = &inventory.spark else { return text };
    if let Some(dispatcher) = &spark.dispatcher {
        for address in dispatcher.hosts.iter().filter_map(at) {
            let at = Endpoint::new(address, dispatcher.port);
            let _ = writeln!(text, "Dispatcher: mesos://{at}");
        }
    }
    if let Some(history) = &spark.history {
        for address in history.hosts.iter().filter_map(at) {
            let at = Endpoint::new(address, history.port);
            let _ = writeln!(text, "History:    {}", at.http());
        }
    }
    if let Some(client) = spark.clients.first() {
        // As it was proven by this run; else what the next proof would try where Spark has no jar of
        // examples.
        let line = |check: &str, mode: String| {
            let plain = || {
                format!(
                    "{HOME}/bin/spark-submit{mode} local://{HOME}/examples/src/main/python/pi.py {}",
                    inventory.smoke.slices
                )
            };
            report.submitted.get(check).cloned().unwrap_or_else(plain)
        };
        let user = &spark.user;
        let submit = line("pi-through-mesos", String::new());
        let _ = writeln!(text, "Submit:     on {client} as {user}: {submit}");
        let first = spark.dispatcher.as_ref().and_then(|d| Some((d, at(d.hosts.first()?)?)));
        if let Some((dispatcher, address)) = first {
            let master = Endpoint::new(address, dispatcher.port);
            let mode = format!(" --deploy-mode cluster --master mesos://{master}");
            let submit = line("pi-in-cluster-mode", mode);
            let _ = writeln!(text, "            or from there, in cluster mode: {submit}");
        }
    }
    text
}

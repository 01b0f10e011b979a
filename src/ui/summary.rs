//! The last words of an apply: one line per host, what failed and what to do next, where things are.

use std::fmt::Write as _;

use crate::event::SmokeOutcome;
use crate::health::MASTER_PORT;
use crate::inventory::{HostName, Inventory};
use crate::report::{Report, exit};

/// The closing summary.
pub fn text(
    inventory: &Inventory,
    report: &Report,
    command: &str,
    leader: Option<&HostName>,
) -> String {
    let mut text = String::new();
    let failed = report.failed_hosts();
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
        let _ = writeln!(text, "{host}: {word} ({changed} changed)");
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
    for (host, why) in &report.unreachable {
        let _ = writeln!(
            text,
            "\nunreachable: {host}: {why}\n  next: run `{command}` again once it answers"
        );
    }
    if let Some(signal) = &report.interrupted {
        let _ = writeln!(
            text,
            "\ninterrupted by {signal}: what ran was finished, nothing was begun after it\n  \
             next: run `{command}` again; it goes on from here"
        );
    } else {
        for (host, task, why) in &report.blocked {
            let _ = writeln!(text, "blocked: {host}: {task}: {why}");
        }
    }
    let not_run: Vec<&str> = report
        .smoke
        .iter()
        .filter(|(_, _, result, _)| *result == SmokeOutcome::NotRun)
        .map(|(check, _, _, _)| check.as_str())
        .collect();
    if !not_run.is_empty() {
        let _ = writeln!(text, "not run (never counted as passed): {}", not_run.join(", "));
    }
    if matches!(report.exit(), exit::OK | exit::SMOKE) {
        text.push_str(&places(inventory, leader));
    }
    text
}

/// Where the cluster is, and how to submit to it.
fn places(inventory: &Inventory, leader: Option<&HostName>) -> String {
    let mut text = String::new();
    let at = |host: &HostName| inventory.hosts.get(host).map(|host| host.address);
    if let Some(address) = leader.and_then(at) {
        let _ = writeln!(text, "Mesos:      http://{address}:{MASTER_PORT} (leading)");
    }
    let _ = writeln!(text, "Master URL: mesos://{}", inventory.zookeeper_url());
    let Some(spark) = &inventory.spark else { return text };
    if let Some(dispatcher) = &spark.dispatcher {
        for address in dispatcher.hosts.iter().filter_map(at) {
            let _ = writeln!(text, "Dispatcher: mesos://{address}:{}", dispatcher.port);
        }
    }
    if let Some(client) = spark.clients.first() {
        let _ = writeln!(
            text,
            "Submit:     on {client}: /opt/spark/bin/spark-submit /opt/spark/examples/src/main/python/pi.py 10"
        );
    }
    text
}

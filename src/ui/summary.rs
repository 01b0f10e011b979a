//! The last words of an apply: one line per host, what failed and what to do next, where things are.

use std::fmt::Write as _;

use super::plain::took;
use crate::event::SmokeOutcome;
use crate::ground::{Endpoint, HostName};
use crate::inventory::Inventory;
use crate::plan::shown::{Hosts, grouped};
use crate::plan::text::counted;
use crate::report::{Failure, Report, exit};
use crate::tasks::image::HOME;

/// What may be typed next, as this run was asked for.
#[derive(Debug, Clone)]
pub struct Next {
    /// The same once more.
    pub again: String,
    /// The inventory and what is said with it: `inventory.yaml --lab`.
    pub source: String,
}

impl Next {
    /// What shows why something failed, where more is known than was said.
    fn cause(&self, inventory: &Inventory, failure: &Failure) -> Option<String> {
        let unit = match failure.action.strip_prefix("service ") {
            Some(unit) => Some(unit),
            None if failure.action == "gate" => failure.task.unit(inventory),
            None => None,
        };
        let Next { source, .. } = self;
        if let Some(unit) = unit {
            return Some(format!("provision logs {} {source} --unit {unit}", failure.host));
        }
        // In the image alone nothing of Mesos takes part.
        let job = failure.action.strip_prefix("proof ").filter(|proof| *proof != "pi-in-image");
        job.map(|_| format!("provision diagnose -i {source}"))
    }
}

/// What of a cluster serves in the end.
#[derive(Debug, Clone, Copy)]
pub struct Serving<'a> {
    /// Who leads the masters.
    pub leader: Option<&'a HostName>,
    /// Whether a dispatcher answers.
    pub dispatcher: bool,
}

/// The closing summary of a run that was to make a cluster: how it went, and where it is.
pub fn text(inventory: &Inventory, report: &Report, next: &Next, serving: Serving<'_>) -> String {
    let mut text = outcome(inventory, report, next);
    if matches!(report.exit(), exit::OK | exit::SMOKE) {
        text.push_str(&places(inventory, report, serving));
    }
    text
}

/// What the engine says of the whole of an action's output: `log on HOST: PATH`.
const LOG: &str = "log on ";

/// How a run went. What actions printed was shown when they ended.
pub fn outcome(inventory: &Inventory, report: &Report, next: &Next) -> String {
    let mut text = String::new();
    let command = &next.again;
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
        for line in failure.output.lines().filter(|line| line.starts_with(LOG)) {
            let _ = writeln!(text, "  {line}");
        }
        let cause = next.cause(inventory, failure);
        let cause = cause.map(|words| format!("`{words}` shows why; ")).unwrap_or_default();
        let _ = writeln!(
            text,
            "  next: {cause}mend it, then run `{command}` again; it goes on from here"
        );
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
fn places(inventory: &Inventory, report: &Report, serving: Serving<'_>) -> String {
    let mut text = String::new();
    let at = |host: &HostName| inventory.hosts.get(host).map(|host| host.address);
    if let Some(host) = serving.leader.and_then(|host| inventory.hosts.get(host)) {
        let _ = writeln!(text, "Mesos:      {} (leading)", inventory.master_page(host));
    }
    let _ = writeln!(text, "Master URL: mesos://{}", inventory.zookeeper_url());
    let Some(spark) = &inventory.spark else { return text };
    let dispatcher = spark.dispatcher.as_ref().filter(|_| serving.dispatcher);
    if let Some(dispatcher) = dispatcher {
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
        let first = dispatcher.and_then(|d| Some((d, at(d.hosts.first()?)?)));
        if let Some((dispatcher, address)) = first {
            let master = Endpoint::new(address, dispatcher.port);
            let mode = format!(" --deploy-mode cluster --master mesos://{master}");
            let submit = line("pi-in-cluster-mode", mode);
            let _ = writeln!(text, "            or from there, in cluster mode: {submit}");
        }
    }
    text
}

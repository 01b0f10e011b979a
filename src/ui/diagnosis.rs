//! Frameworks, free room and ladders, drawn: for `diagnose` and `status`.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::visible::sentence;
use crate::diagnose::{Cluster, Rung, Verdict};
use crate::mesos::frameworks::{Framework, Standing};
use crate::mesos::values::Value;

/// A framework and its ladder; no framework where the leading master knows none that is called so.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// What the user called it, or its id.
    pub called: &'a str,
    /// The framework.
    pub framework: Option<&'a Framework>,
    /// Its rungs, the broken one last.
    pub rungs: &'a [Rung],
}

/// A ladder: a line a rung, and under the broken one what to do and its last lines.
pub fn ladder(judged: &Judged<'_>) -> String {
    let mut text = match judged.framework {
        Some(of) => format!("{} ({})\n", sentence(&of.name), sentence(&of.id)),
        None => format!("{}\n", sentence(judged.called)),
    };
    for rung in judged.rungs {
        let word = match rung.verdict {
            Verdict::Holds => "holds",
            Verdict::Broken => "BROKEN",
            Verdict::Unknown => "unknown",
        };
        let _ = writeln!(text, "  {word:<8} {:<15} {}", rung.name, sentence(&rung.words));
        for line in &rung.lines {
            let _ = writeln!(text, "  | {}", sentence(line));
        }
        if let Some(next) = &rung.next {
            let _ = writeln!(text, "  next: {}", sentence(next));
        }
    }
    text
}

/// Every framework that is not over: a line each.
pub fn frameworks(cluster: &Cluster) -> String {
    let head = ["framework", "name", "role", "weight", "share", "tasks", "offers", "waits"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut there: Vec<&Framework> = cluster.there().collect();
    there.sort_by(|a, b| a.registered.total_cmp(&b.registered).then_with(|| a.id.cmp(&b.id)));
    for of in there {
        let role = of.roles.first().map_or("*", String::as_str);
        let offers = cluster.metrics.as_ref().and_then(|metrics| of.offers(metrics));
        rows.push(vec![
            sentence(&of.id),
            sentence(&of.name),
            sentence(role),
            cluster.weight(role).to_string(),
            format!("{} %", (share(cluster, of) * 100.0).round()),
            of.living().count().to_string(),
            offers.map_or("?".to_owned(), |it| format!("{} ({} declined)", it.sent, it.declined)),
            standing(cluster, of),
        ]);
    }
    match rows.len() {
        1 => "frameworks\n  none\n".to_owned(),
        _ => format!("frameworks\n{}", columns(&rows)),
    }
}

/// Free cpus and memory of every agent, by role.
pub fn room(cluster: &Cluster) -> String {
    let mut rows = vec![["agent", "role", "free cpus", "free MiB", ""].map(str::to_owned).to_vec()];
    for agent in &cluster.agents {
        let withheld = agent.withheld().unwrap_or("");
        let mut room: Vec<_> = agent.room().into_iter().collect();
        if room.is_empty() {
            room.push(("?".to_owned(), (0, 0)));
        }
        for (role, (cpus, mem)) in room {
            rows.push(vec![
                sentence(&agent.name),
                sentence(&role),
                Value::Scalar(cpus).to_string(),
                Value::Scalar(mem).to_string(),
                withheld.to_owned(),
            ]);
        }
    }
    format!("free room\n{}", columns(&rows))
}

/// The same as JSON: frameworks that are not over, and agents.
pub fn json(cluster: &Cluster) -> Json {
    let agents: Vec<Json> = cluster
        .agents
        .iter()
        .map(|agent| {
            let free: serde_json::Map<String, Json> = agent
                .room()
                .into_iter()
                .map(|(role, (cpus, mem))| {
                    (role, json!({ "cpus": units(cpus), "mem": units(mem) }))
                })
                .collect();
            json!({ "name": agent.name, "withheld": agent.withheld(), "free": free })
        })
        .collect();
    let frameworks: Vec<Json> = cluster.there().map(|of| framework(cluster, of)).collect();
    json!({ "leader": cluster.leader, "frameworks": frameworks, "agents": agents })
}

/// One ladder as JSON.
pub fn ladder_json(cluster: &Cluster, judged: &Judged<'_>) -> Json {
    json!({
        "called": judged.called,
        "framework": judged.framework.map(|of| framework(cluster, of)),
        "rungs": judged.rungs,
    })
}

fn framework(cluster: &Cluster, of: &Framework) -> Json {
    let role = of.roles.first().map_or("*", String::as_str);
    let offers = cluster.metrics.as_ref().and_then(|metrics| of.offers(metrics));
    let tasks: Vec<Json> = of
        .living()
        .map(|task| json!({ "id": task.id, "state": task.state, "agent": cluster.agent_name(&task.agent), "cpus": task.cpus, "mem": task.mem }))
        .collect();
    json!({
        "id": of.id,
        "name": of.name,
        "roles": of.roles,
        "weight": cluster.weight(role),
        "share": share(cluster, of),
        "user": of.user,
        "principal": of.principal,
        "host": of.hostname,
        "tasks": tasks,
        "failed": of.tasks.iter().filter(|task| task.has_failed()).count(),
        "offers": offers.map(|it| json!({ "sent": it.sent, "accepted": it.accepted, "declined": it.declined, "rescinded": it.rescinded })),
        "waits_secs": waits(cluster, of),
    })
}

/// Its part of the cluster, of cpus or of memory, whichever is greater: what DRF goes by.
fn share(cluster: &Cluster, of: &Framework) -> f64 {
    let total = |name: &str| -> f64 {
        let listed = cluster.agents.iter().filter_map(|agent| agent.listed.as_ref());
        let amounts = listed.filter_map(|listed| match listed.info.resources.totals().get(name) {
            Some(Value::Scalar(amount)) => Some(units(*amount)),
            _ => None,
        });
        amounts.sum()
    };
    let part = |used: f64, total: f64| if total > 0.0 { used / total } else { 0.0 };
    let (cpus, mem) = of.holds();
    part(cpus, total("cpus")).max(part(mem, total("mem")))
}

/// How long it has had no task while it could have some, in seconds: since it registered or its last task
/// was last heard of.
fn waits(cluster: &Cluster, of: &Framework) -> Option<u64> {
    if of.standing != Standing::Active || of.living().next().is_some() {
        return None;
    }
    let since = of.tasks.iter().filter_map(|task| task.told).fold(of.registered, f64::max);
    // Clocks may differ by a little; `as` saturates.
    Some((cluster.now? - since).max(0.0) as u64)
}

fn standing(cluster: &Cluster, of: &Framework) -> String {
    match (of.standing, waits(cluster, of)) {
        (Standing::Disconnected, _) => "connection lost".to_owned(),
        (Standing::Inactive, _) => "deactivated".to_owned(),
        (_, Some(seconds)) if seconds >= 7200 => format!("{} h", seconds / 3600),
        (_, Some(seconds)) if seconds >= 120 => format!("{} min", seconds / 60),
        (_, Some(seconds)) => format!("{seconds} s"),
        (_, None) => "-".to_owned(),
    }
}

fn units(thousandths: i64) -> f64 {
    thousandths as f64 / 1000.0
}

/// Rows with their columns aligned, two blanks before and between.
fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).filter_map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "  {cell:<width$}");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

//! The picture as tables and bars.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::mesos::values::Value;
use crate::simulate::drf::Amounts;
use crate::simulate::outlook::{Bind, Outlook, Placed};

/// Everything.
pub(super) fn tables(outlook: &Outlook) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}: {} agents with {}\n",
        outlook.cluster,
        outlook.agents,
        amounts(&outlook.totals)
    );
    let _ = writeln!(out, "Executors, each application alone on empty agents:");
    let head =
        ["application", "role", "one executor", "executors", "cores", "agents", "held back by"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(outlook.executors.iter().map(row));
    out.push_str(&table(&rows));
    for placed in &outlook.executors {
        detail(&mut out, placed);
    }
    let _ = writeln!(out, "\nShares by DRF, when every application wants all it can get:");
    let head =
        ["role", "weight", "Mesos: whole agents", "", "over weight", "textbook: executors", ""];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for role in &outlook.sharing.roles {
        let textbook: f64 = role.frameworks.iter().map(|f| f.textbook_share).sum();
        rows.push(vec![
            role.role.clone(),
            role.weight.to_string(),
            bar(role.share),
            percent(role.share),
            format!("{:.3}", role.weighted),
            bar(textbook),
            percent(textbook),
        ]);
        for framework in &role.frameworks {
            let offers = framework.offers;
            let executors = framework.textbook_executors;
            rows.push(vec![
                format!("  {}", framework.name),
                String::new(),
                bar(framework.share),
                format!("{} ({offers} offers)", percent(framework.share)),
                String::new(),
                bar(framework.textbook_share),
                format!("{} ({executors} executors)", percent(framework.textbook_share)),
            ]);
        }
    }
    out.push_str(&table(&rows));
    let idle = amounts(&outlook.sharing.idle);
    if !idle.is_empty() {
        let _ = writeln!(out, "  offered to nobody: {idle}");
    }
    out
}

fn row(placed: &Placed) -> Vec<String> {
    let cores = match placed.executor_cores {
        Some(1) => "1 core".to_owned(),
        Some(cores) => format!("{cores} cores"),
        None => "all cores".to_owned(),
    };
    let most = placed.cores_max.map(|most| format!(" of {most}")).unwrap_or_default();
    vec![
        placed.name.clone(),
        placed.role.clone(),
        format!("{cores}, {} MiB", placed.executor_mib),
        placed.executors.to_string(),
        format!("{}{most}", placed.cores),
        placed.by_agent.len().to_string(),
        match &placed.error {
            Some(_) => "the driver stops".to_owned(),
            None => held_back(&placed.binds),
        },
    ]
}

/// The limit of the application where that is reached, else what agents run out of.
fn held_back(binds: &BTreeMap<Bind, usize>) -> String {
    let mut list: Vec<(&Bind, &usize)> = binds.iter().collect();
    list.sort_by_key(|(bind, count)| (**bind != Bind::CoresMax, std::cmp::Reverse(**count)));
    let words: Vec<String> =
        list.iter().map(|(bind, count)| format!("{} ({count})", bind.name())).collect();
    words.join(", ")
}

fn detail(out: &mut String, placed: &Placed) {
    let _ = writeln!(out, "\n  {}", placed.name);
    if let Some(error) = &placed.error {
        let _ = writeln!(out, "    {error}");
        return;
    }
    // Agents with the same executors are one line.
    let mut alike: BTreeMap<&[u32], Vec<&str>> = BTreeMap::new();
    for (agent, cores) in &placed.by_agent {
        alike.entry(cores).or_default().push(agent);
    }
    let widest = placed.by_agent.values().map(|c| c.iter().sum::<u32>()).max().unwrap_or(1).max(1);
    for (cores, agents) in alike.iter().rev() {
        let sum: u32 = cores.iter().sum();
        let share = f64::from(sum) / f64::from(widest);
        let first = agents.first().copied().unwrap_or("");
        let who = match agents.len() {
            1 => first.to_owned(),
            n => format!("{first} and {} more", n - 1),
        };
        let executors = if cores.len() == 1 { "executor" } else { "executors" };
        let count = cores.len();
        let _ = writeln!(out, "    {} {count} {executors}, {sum} cores on {who}", bar(share));
    }
    const SHOWN: usize = 5;
    for (why, count) in placed.left_out.iter().take(SHOWN) {
        let agents =
            if *count == 1 { "1 agent gets".to_owned() } else { format!("{count} agents get") };
        let _ = writeln!(out, "    {agents} none: {why}");
    }
    if placed.left_out.len() > SHOWN {
        let _ = writeln!(out, "    and {} more reasons", placed.left_out.len() - SHOWN);
    }
}

/// Twenty characters wide.
fn bar(share: f64) -> String {
    const WIDTH: usize = 20;
    let full = (share.clamp(0.0, 1.0) * WIDTH as f64).round() as usize;
    format!("{}{}", "█".repeat(full), "·".repeat(WIDTH - full))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// `8 cpus, 16384 MiB mem`.
pub(super) fn amounts(amounts: &Amounts) -> String {
    let words = amounts.iter().filter(|(_, amount)| **amount != 0).map(|(name, amount)| {
        let unit = if matches!(name.as_str(), "mem" | "disk") { " MiB" } else { "" };
        format!("{}{unit} {name}", Value::Scalar(*amount))
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Columns as wide as their widest cell.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, " {cell:<width$} ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

//! The picture as tables and bars.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::mesos::values::Value;
use crate::simulate::drf::Amounts;
use crate::simulate::outlook::{Bind, Outlook, Placed};

/// Everything, in lines of at most `width` characters as far as names allow.
pub(super) fn tables(outlook: &Outlook, width: Option<usize>) -> String {
    let width = width.unwrap_or(usize::MAX);
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
    out.push_str(&table(&rows).filter(|table| fits(table, width)).unwrap_or_else(|| list(&rows)));
    let bars = if width < 60 { 8 } else { BAR };
    for placed in &outlook.executors {
        detail(&mut out, placed, bars);
    }
    let _ = writeln!(out, "\nShares by DRF, when every application wants all it can get:");
    let tables = [BAR, 10].map(|bars| table(&bars_of(outlook, bars)));
    let numbers = numbers_of(outlook);
    let shares = tables.into_iter().chain([table(&numbers)]).flatten();
    let mut shares = shares.filter(|table| fits(table, width));
    out.push_str(&shares.next().unwrap_or_else(|| list(&numbers)));
    let idle = amounts(&outlook.sharing.idle);
    if !idle.is_empty() {
        let _ = writeln!(out, "  offered to nobody: {idle}");
    }
    let _ = writeln!(out, "  quota is no part of an inventory, and not counted");
    out
}

/// Shares with a bar before each; `(offers)` and `(executors)` stand in the head where there is no room.
fn bars_of(outlook: &Outlook, width: usize) -> Vec<Vec<String>> {
    let head = match width {
        BAR => {
            ["role", "weight", "Mesos: whole agents", "", "over weight", "textbook: executors", ""]
        }
        _ => ["role", "weight", "Mesos", "(offers)", "over weight", "textbook", "(executors)"],
    };
    let count = |share: f64, count: String, what: &str| match width {
        BAR => format!("{} ({count} {what})", percent(share)),
        _ => format!("{} ({count})", percent(share)),
    };
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for role in &outlook.sharing.roles {
        let textbook: f64 = role.frameworks.iter().map(|f| f.textbook_share).sum();
        rows.push(vec![
            role.role.clone(),
            role.weight.to_string(),
            bar(role.share, width),
            percent(role.share),
            format!("{:.3}", role.weighted),
            bar(textbook, width),
            percent(textbook),
        ]);
        for framework in &role.frameworks {
            rows.push(vec![
                format!("  {}", framework.name),
                String::new(),
                bar(framework.share, width),
                count(framework.share, framework.offers.to_string(), "offers"),
                String::new(),
                bar(framework.textbook_share, width),
                count(
                    framework.textbook_share,
                    framework.textbook_executors.to_string(),
                    "executors",
                ),
            ]);
        }
    }
    rows
}

/// The same without bars.
fn numbers_of(outlook: &Outlook) -> Vec<Vec<String>> {
    let mut rows = bars_of(outlook, 0);
    for row in &mut rows {
        row.remove(5);
        row.remove(2);
    }
    if let Some(head) = rows.first_mut() {
        for (cell, name) in [(2, "Mesos (offers)"), (4, "textbook (executors)")] {
            name.clone_into(&mut head[cell]);
        }
    }
    rows
}

fn fits(table: &str, width: usize) -> bool {
    table.lines().all(|line| line.chars().count() <= width)
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

fn detail(out: &mut String, placed: &Placed, bars: usize) {
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
        let _ = writeln!(out, "    {} {count} {executors}, {sum} cores on {who}", bar(share, bars));
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

/// How wide a bar is where there is room.
const BAR: usize = 20;

fn bar(share: f64, width: usize) -> String {
    let full = (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    format!("{}{}", "█".repeat(full), "·".repeat(width - full))
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

/// Columns as wide as their widest cell; `None` without rows.
fn table(rows: &[Vec<String>]) -> Option<String> {
    let columns = rows.iter().map(Vec::len).max()?;
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
    Some(out)
}

/// Each row on lines of its own, for a table that is wider than the terminal.
fn list(rows: &[Vec<String>]) -> String {
    let Some((head, rows)) = rows.split_first() else { return String::new() };
    let mut out = String::new();
    for row in rows {
        let mut cells = head.iter().zip(row);
        if let Some((_, name)) = cells.next() {
            let _ = writeln!(out, "  {name}");
        }
        for (name, cell) in cells.filter(|(_, cell)| !cell.is_empty()) {
            let _ = writeln!(out, "      {name}: {cell}");
        }
    }
    out
}

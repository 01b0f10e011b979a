//! The picture as one page that needs nothing else: no script, no font, no image from elsewhere.
//!
//! Here is how much of what everything takes, in percent; `templates/page/simulate.html.tera` draws it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::text::amounts;
use crate::ground::HostName;
use crate::mesos::values::Value as Amount;
use crate::plan::shown::shown_hosts;
use crate::plan::text::counted;
use crate::simulate::drf::Amounts;
use crate::simulate::outlook::{Outlook, Placed, Room};
use crate::template::page as fill;

/// The page.
///
/// # Errors
/// The embedded template is broken, which a test excludes.
pub(super) fn page(outlook: &Outlook) -> Result<String, String> {
    let context = json!({
        "title": format!("{}: executors and shares", outlook.cluster),
        "agents": outlook.agents,
        "totals": in_gib(&outlook.totals),
        "shares": shares(outlook),
        "idle": in_gib(&outlook.sharing.idle),
        "executors": outlook.executors.iter().map(executors).collect::<Vec<_>>(),
    });
    fill("simulate.html", include_str!("../../../templates/page/simulate.html.tera"), &context)
}

/// What a role or application gets: Mesos' whole agents above, the textbook's below.
#[derive(Serialize)]
struct Line {
    label: String,
    /// Whether it is an application, in the role above.
    inner: bool,
    bars: [Bar; 2],
}

#[derive(Serialize)]
struct Bar {
    class: &'static str,
    length: String,
    percent: String,
}

/// Two bars for each role and application.
fn shares(outlook: &Outlook) -> Vec<Line> {
    let bar = |class, share: f64| Bar {
        class,
        length: percent(share.clamp(0.0, 1.0)),
        percent: format!("{:.1}", share * 100.0),
    };
    let line = |label, inner, mesos, textbook| Line {
        label,
        inner,
        bars: [bar("b-mesos", mesos), bar("b-book", textbook)],
    };
    let mut all = Vec::new();
    for role in &outlook.sharing.roles {
        let textbook: f64 = role.frameworks.iter().map(|f| f.textbook_share).sum();
        let label = format!("{} (weight {})", role.role, role.weight);
        all.push(line(label, false, role.share, textbook));
        for framework in &role.frameworks {
            let name = framework.name.clone();
            all.push(line(name, true, framework.share, framework.textbook_share));
        }
    }
    all
}

/// Agents with the same room and the same executors.
#[derive(Serialize)]
struct Row {
    agents: String,
    /// Cores, then memory.
    tracks: [Track; 2],
    words: String,
}

#[derive(Serialize)]
struct Track {
    cells: Vec<Cell>,
}

/// An executor's part of its agent, or what is free.
#[derive(Serialize)]
struct Cell {
    class: &'static str,
    left: String,
    length: String,
    title: String,
}

/// A row for each group of agents; only as many as a page can show.
fn executors(placed: &Placed) -> Value {
    const SHOWN: usize = 60;
    let none: &[u32] = &[];
    let mut groups: BTreeMap<(std::cmp::Reverse<&[u32]>, Room), Vec<HostName>> = BTreeMap::new();
    for (agent, room) in &placed.rooms {
        let cores = placed.by_agent.get(agent).map_or(none, Vec::as_slice);
        groups.entry((std::cmp::Reverse(cores), *room)).or_default().push(HostName::new(agent));
    }
    let most = |of: fn(&Room) -> i64| placed.rooms.values().map(of).max().unwrap_or(0).max(1);
    let widest = [most(|room| room.cpus), most(|room| room.mem)];
    let hidden = groups.len().saturating_sub(SHOWN);
    let rows: Vec<Row> = groups
        .into_iter()
        .take(SHOWN)
        .map(|((cores, room), agents)| row(placed, cores.0, room, agents, widest))
        .collect();
    let most = placed.cores_max.map(|most| format!(" of at most {most}")).unwrap_or_default();
    let left_out = placed.left_out.iter().map(|(why, count)| match count {
        1 => format!("1 agent gets none: {why}"),
        count => format!("{count} agents get none: {why}"),
    });
    json!({
        "name": placed.name,
        "role": placed.role,
        "error": placed.error,
        "words": format!(
            "{} of {}, {} cores{most}, on {} of {}",
            counted(placed.executors, "executor"),
            gib(i64::try_from(placed.executor_mib).unwrap_or(i64::MAX)),
            placed.cores,
            placed.by_agent.len(),
            counted(placed.rooms.len(), "agent"),
        ),
        "hidden": hidden,
        "rows": rows,
        "left_out": left_out.take(5).collect::<Vec<_>>(),
    })
}

fn row(
    placed: &Placed,
    cores: &[u32],
    room: Room,
    mut agents: Vec<HostName>,
    [most_cpus, most_mem]: [i64; 2],
) -> Row {
    agents.sort();
    let each = i64::try_from(placed.executor_mib).unwrap_or(i64::MAX);
    let memory: Vec<i64> = cores.iter().map(|_| each.saturating_mul(1000)).collect();
    let cpus: Vec<i64> = cores.iter().map(|cores| i64::from(*cores) * 1000).collect();
    let used = |all: &[i64]| all.iter().fold(0_i64, |sum, one| sum.saturating_add(*one));
    let free = [room.cpus - used(&cpus), room.mem - used(&memory)].map(|free| free.max(0));
    let [core_track, mem_track] = [
        track(&cpus, free[0], most_cpus, |it| format!("{} cores", Amount::Scalar(it))),
        track(&memory, free[1], most_mem, |it| gib(it / 1000)),
    ];
    let amount = |thousandths| Amount::Scalar(thousandths).to_string();
    let words = format!(
        "{}: {} of {} cores, {} of {}; free {} cores, {}",
        counted(cores.len(), "executor"),
        amount(used(&cpus)),
        amount(room.cpus),
        gib(used(&memory) / 1000),
        gib(room.mem / 1000),
        amount(free[0]),
        gib(free[1] / 1000),
    );
    let names: Vec<&HostName> = agents.iter().collect();
    Row { agents: shown_hosts(&names), tracks: [core_track, mem_track], words }
}

fn track(taken: &[i64], free: i64, most: i64, name: impl Fn(i64) -> String) -> Track {
    let mut at = 0.0;
    let mut cell = |class, amount: i64, title| {
        let length = amount as f64 / most as f64;
        let cell = Cell { class, left: percent(at), length: percent(length), title };
        at += length;
        cell
    };
    let mut cells: Vec<Cell> =
        taken.iter().map(|amount| cell("b-mesos", *amount, name(*amount))).collect();
    if free > 0 {
        cells.push(cell("b-free", free, format!("{} free", name(free))));
    }
    Track { cells }
}

fn percent(share: f64) -> String {
    format!("{:.2}", share * 100.0)
}

/// `28 GiB`, `39.6 GiB`; below one, MiB.
fn gib(mib: i64) -> String {
    match mib {
        ..1024 => format!("{mib} MiB"),
        _ if mib % 1024 == 0 => format!("{} GiB", mib / 1024),
        _ => format!("{:.1} GiB", mib as f64 / 1024.0),
    }
}

/// Amounts whose memory and disk are told in GiB.
fn in_gib(all: &Amounts) -> String {
    let (sizes, rest): (Amounts, Amounts) =
        all.clone().into_iter().partition(|(name, _)| matches!(name.as_str(), "mem" | "disk"));
    let sizes = sizes.iter().filter(|(_, amount)| **amount != 0);
    let sizes = sizes.map(|(name, amount)| format!("{} {name}", gib(amount / 1000)));
    let rest = Some(amounts(&rest)).filter(|text| !text.is_empty());
    rest.into_iter().chain(sizes).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_in_the_unit_that_people_buy_it_in() {
        assert_eq!(
            [gib(0), gib(512), gib(28 * 1024), gib(40_550)],
            ["0 MiB", "512 MiB", "28 GiB", "39.6 GiB"]
        );
        let all = Amounts::from([("cpus".to_owned(), 2500), ("mem".to_owned(), 2_048_000)]);
        assert_eq!(in_gib(&all), "2.5 cpus, 2 GiB mem");
    }
}

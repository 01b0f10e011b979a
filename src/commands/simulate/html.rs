//! The picture as one page that needs nothing else: no script, no font, no image from elsewhere.
//!
//! Here is where everything stands, in pixels; `templates/simulate/page.html.tera` draws it.

use serde::Serialize;
use serde_json::{Value, json};

use super::text::amounts;
use crate::simulate::outlook::{Outlook, Placed};
use crate::template::page as fill;

/// The page.
///
/// # Errors
/// The embedded template is broken, which a test excludes.
pub(super) fn page(outlook: &Outlook) -> Result<String, String> {
    let context = json!({
        "title": format!("{}: executors and shares", outlook.cluster),
        "agents": outlook.agents,
        "totals": amounts(&outlook.totals),
        "shares": shares(outlook),
        "idle": amounts(&outlook.sharing.idle),
        "executors": outlook.executors.iter().map(executors).collect::<Vec<_>>(),
    });
    fill("page.html", include_str!("../../../templates/simulate/page.html.tera"), &context)
}

/// What a role or application gets.
#[derive(Serialize)]
struct Line {
    label: String,
    baseline: usize,
    /// Mesos' whole agents above, the textbook's below.
    bars: [Bar; 2],
}

#[derive(Serialize)]
struct Bar {
    class: &'static str,
    top: usize,
    baseline: usize,
    length: String,
    end: String,
    percent: String,
}

/// Two bars for each role and application.
fn shares(outlook: &Outlook) -> Value {
    const LINE: usize = 34;
    const WIDTH: usize = 480;
    let mut all = Vec::new();
    for role in &outlook.sharing.roles {
        let textbook: f64 = role.frameworks.iter().map(|f| f.textbook_share).sum();
        all.push((format!("{} (weight {})", role.role, role.weight), role.share, textbook));
        for framework in &role.frameworks {
            let label = format!("\u{2003}{}", framework.name);
            all.push((label, framework.share, framework.textbook_share));
        }
    }
    let longest = all.iter().map(|(label, ..)| label.chars().count()).max().unwrap_or(0);
    // About what a character of 13 px is wide.
    let left = 16 + longest * 8;
    let bar = |class, top: usize, share: f64| {
        let length = share.clamp(0.0, 1.0) * WIDTH as f64;
        Bar {
            class,
            top,
            baseline: top + 10,
            length: format!("{length:.1}"),
            end: format!("{:.1}", left as f64 + length + 6.0),
            percent: format!("{:.1}", share * 100.0),
        }
    };
    let lines: Vec<Line> = all
        .into_iter()
        .enumerate()
        .map(|(index, (label, mesos, textbook))| {
            let y = index * LINE;
            let bars = [bar("mesos", y + 4, mesos), bar("book", y + 17, textbook)];
            Line { label, baseline: y + 19, bars }
        })
        .collect();
    json!({
        "width": left + WIDTH + 100,
        "height": lines.len() * LINE + 4,
        "left": left,
        "lines": lines,
    })
}

/// What an agent runs of an application.
#[derive(Serialize)]
struct Row<'a> {
    agent: &'a str,
    top: usize,
    baseline: usize,
    cells: Vec<Cell>,
    end: usize,
    sum: u32,
}

/// An executor, as wide as it has cores.
#[derive(Serialize)]
struct Cell {
    x: usize,
    length: usize,
    cores: u32,
}

/// A row of executors for each agent; only as many agents as a page can show.
fn executors(placed: &Placed) -> Value {
    const SHOWN: usize = 100;
    const LINE: usize = 18;
    const CORE: usize = 13;
    const MOST_CORES: u32 = 64;
    const LEFT: usize = 170;
    let row = |(index, (agent, executors)): (usize, (_, &Vec<u32>))| {
        let (mut x, mut drawn, mut cells) = (LEFT, 0, Vec::new());
        for &cores in executors {
            let seen = cores.min(MOST_CORES.saturating_sub(drawn));
            drawn += seen;
            let length = seen as usize * CORE;
            if seen > 0 {
                cells.push(Cell { x, length, cores });
            }
            x += length + 2;
        }
        let top = index * LINE;
        Row { agent, top, baseline: top + 11, cells, end: x + 4, sum: executors.iter().sum() }
    };
    let agents = placed.by_agent.iter().map(|(agent, executors)| (agent.as_str(), executors));
    let rows: Vec<Row<'_>> = agents.take(SHOWN).enumerate().map(row).collect();
    let widest = placed.by_agent.values().map(|cores| cores.iter().sum()).max().unwrap_or(0);
    let left_out = placed.left_out.iter().take(5);
    json!({
        "name": placed.name,
        "role": placed.role,
        "error": placed.error,
        "executors": placed.executors,
        "mib": placed.executor_mib,
        "cores": placed.cores,
        "most": placed.cores_max.map(|most| format!(" of at most {most}")).unwrap_or_default(),
        "agents": placed.by_agent.len(),
        "width": LEFT + widest.min(MOST_CORES) as usize * CORE + 60,
        "height": rows.len() * LINE + 2,
        "hidden": placed.by_agent.len().saturating_sub(SHOWN),
        "rows": rows,
        "left_out": left_out.map(|(why, count)| json!({ "why": why, "count": count })).collect::<Vec<_>>(),
    })
}

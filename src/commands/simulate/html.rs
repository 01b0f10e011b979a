//! The picture as one page that needs nothing else: no script, no font, no image from elsewhere.

use std::fmt::Write as _;

use super::text::amounts;
use crate::simulate::outlook::{Outlook, Placed};

/// The page.
pub(super) fn page(outlook: &Outlook) -> String {
    let title = format!("{}: executors and shares", outlook.cluster);
    let mut out = String::from("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n");
    let _ = writeln!(out, "<title>{}</title>\n<style>{STYLE}</style>", escape(&title));
    let _ = writeln!(out, "<h1>{}</h1>", escape(&title));
    let _ = writeln!(
        out,
        "<p>{} agents with {}</p>",
        outlook.agents,
        escape(&amounts(&outlook.totals))
    );
    shares(&mut out, outlook);
    let _ = writeln!(out, "<h2>Executors, each application alone on empty agents</h2>");
    for placed in &outlook.executors {
        executors(&mut out, placed);
    }
    out.push_str("</html>\n");
    out
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#222}svg{display:block;max-width:100%}svg text{font:13px system-ui,sans-serif;fill:#222}\
.mesos{fill:#2b6cb0}.book{fill:#dd8a1f}.cell{fill:#2b6cb0;stroke:#fff}.free{fill:#e4e7eb;stroke:#fff}\
@media(prefers-color-scheme:dark){body{background:#161a1f;color:#ddd}svg text{fill:#ddd}.free{fill:#333a44}}";

/// Two bars for each role and application: Mesos' whole agents above, the textbook's below.
fn shares(out: &mut String, outlook: &Outlook) {
    const LINE: usize = 34;
    const WIDTH: usize = 480;
    let _ = writeln!(out, "<h2>Shares by DRF, when every application wants all it can get</h2>");
    let _ = writeln!(
        out,
        "<p>Blue: Mesos, whole agents. Orange: the textbook, executor by executor. Quota is no part of an \
         inventory, and not counted.</p>"
    );
    let mut lines = Vec::new();
    for role in &outlook.sharing.roles {
        let textbook: f64 = role.frameworks.iter().map(|f| f.textbook_share).sum();
        let label = format!("{} (weight {})", role.role, role.weight);
        lines.push((label, role.share, textbook));
        for framework in &role.frameworks {
            let label = format!("\u{2003}{}", framework.name);
            lines.push((label, framework.share, framework.textbook_share));
        }
    }
    let height = lines.len() * LINE + 4;
    let longest = lines.iter().map(|(label, ..)| label.chars().count()).max().unwrap_or(0);
    // About what a character of 13 px is wide.
    let left = 16 + longest * 8;
    let _ = writeln!(
        out,
        "<svg role=\"img\" aria-label=\"dominant shares\" width=\"{0}\" height=\"{height}\" viewBox=\"0 0 {0} {height}\">",
        left + WIDTH + 100
    );
    for (index, (label, mesos, book)) in lines.iter().enumerate() {
        let y = index * LINE;
        let _ = writeln!(out, "<text x=\"0\" y=\"{}\">{}</text>", y + 19, escape(label));
        for (class, share, top) in [("mesos", mesos, 4), ("book", book, 17)] {
            let length = share.clamp(0.0, 1.0) * WIDTH as f64;
            let y = y + top;
            let _ = writeln!(
                out,
                "<rect class=\"{class}\" x=\"{left}\" y=\"{y}\" width=\"{length:.1}\" height=\"11\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{:.1} %</text>",
                left as f64 + length + 6.0,
                y + 10,
                share * 100.0
            );
        }
    }
    out.push_str("</svg>\n");
    let idle = amounts(&outlook.sharing.idle);
    if !idle.is_empty() {
        let _ = writeln!(out, "<p>Offered to nobody: {}</p>", escape(&idle));
    }
}

/// A row of cells for each agent, one cell a core; only as many agents as a page can show.
fn executors(out: &mut String, placed: &Placed) {
    const SHOWN: usize = 100;
    const CELL: usize = 12;
    const MOST_CORES: u32 = 64;
    let _ = writeln!(out, "<h3>{} (role {})</h3>", escape(&placed.name), escape(&placed.role));
    if let Some(error) = &placed.error {
        let _ = writeln!(out, "<p>The driver stops: {}</p>", escape(error));
        return;
    }
    let most = placed.cores_max.map(|most| format!(" of at most {most}")).unwrap_or_default();
    let _ = writeln!(
        out,
        "<p>{} executors of {} MiB, {} cores{most}, on {} agents</p>",
        placed.executors,
        placed.executor_mib,
        placed.cores,
        placed.by_agent.len()
    );
    let rows = placed.by_agent.len().min(SHOWN);
    let height = rows * (CELL + 6) + 2;
    let widest = placed.by_agent.values().map(|c| c.iter().sum::<u32>()).max().unwrap_or(0);
    let width = 170 + widest.min(MOST_CORES) as usize * (CELL + 1) + 60;
    if rows > 0 {
        let _ = writeln!(
            out,
            "<svg role=\"img\" aria-label=\"executors by agent\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">"
        );
        for (index, (agent, executors)) in placed.by_agent.iter().take(SHOWN).enumerate() {
            let y = index * (CELL + 6);
            let _ = writeln!(out, "<text x=\"0\" y=\"{}\">{}</text>", y + 11, escape(agent));
            let mut x = 170;
            let mut drawn = 0;
            for cores in executors {
                let cells = (*cores).min(MOST_CORES.saturating_sub(drawn));
                drawn += cells;
                let length = cells as usize * (CELL + 1);
                if cells > 0 {
                    let _ = writeln!(
                        out,
                        "<rect class=\"cell\" x=\"{x}\" y=\"{y}\" width=\"{length}\" height=\"{CELL}\"><title>{cores} cores</title></rect>"
                    );
                }
                x += length + 2;
            }
            let sum: u32 = executors.iter().sum();
            let _ = writeln!(out, "<text x=\"{}\" y=\"{}\">{sum}</text>", x + 4, y + 11);
        }
        out.push_str("</svg>\n");
    }
    if placed.by_agent.len() > SHOWN {
        let _ = writeln!(out, "<p>… and {} agents more</p>", placed.by_agent.len() - SHOWN);
    }
    for (why, count) in placed.left_out.iter().take(5) {
        let _ = writeln!(out, "<p>{count} without: {}</p>", escape(why));
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("<a b=\"c\">&"), "&lt;a b=&quot;c&quot;&gt;&amp;");
    }
}

//! `status` for people.

use std::fmt::Write as _;

use super::data::{OnAgent, Status};
use crate::health::Member;
use crate::plan::shown::Tone;
use crate::tasks;
use crate::ui::colour::Colour;
use crate::ui::visible::sentence;

/// How a cluster is, in words.
pub(crate) fn text(status: &Status, colour: Colour) -> String {
    let mut text = format!("{} {}\n", colour.paint(Tone::Title, "cluster"), status.cluster);
    // Columns are as wide as their longest word, colours aside.
    let word = |tone: Tone, word: &str| {
        format!(
            "{}{:w$}",
            colour.paint(tone, word),
            "",
            w = 10usize.saturating_sub(word.chars().count())
        )
    };
    for task in tasks::ALL {
        let Some(health) = status.health.get(task.name()) else { continue };
        let _ = writeln!(text, "\n{}", colour.paint(Tone::Title, task.card().title));
        for (host, member) in &health.members {
            let word = match member {
                _ if status.not_run.contains_key(task.name()) => {
                    word(Tone::Faint, "not_run: no libmesos")
                }
                Member::Serving if health.leader.as_ref() == Some(host) => {
                    word(Tone::Add, "leading")
                }
                Member::Serving => word(Tone::Add, "serving"),
                Member::Sick(why) => word(Tone::Remove, &format!("SICK: {}", sentence(why))),
                Member::Silent => word(Tone::Blocked, "unreachable"),
            };
            let version = status.versions.get(task.name()).and_then(|it| it.get(host));
            let version = version.map_or("", String::as_str);
            let line = format!("  {host:<10} {word} {}", sentence(version));
            text.push_str(line.trim_end());
            let agents = status.agents.as_ref().filter(|_| task == tasks::Task::Agents);
            if let Some(agent) = agents.and_then(|agents| agents.get(host)) {
                let _ = write!(
                    text,
                    "  {}\n{:14}{}\n{:14}id {}",
                    sentence(&agent.attributes),
                    "",
                    sentence(&agent.resources),
                    "",
                    sentence(&agent.id)
                );
            }
            text.push('\n');
        }
    }
    if let Some(roles) = &status.roles {
        let _ = writeln!(text, "\n{}", colour.paint(Tone::Title, "roles"));
        for (role, weight) in roles {
            let _ = writeln!(text, "  {} weight {weight}", sentence(role));
        }
    }
    if let Some(image) = &status.image {
        let _ = writeln!(text, "\n{} {}", colour.paint(Tone::Title, "image"), image.name);
        for (host, on) in &image.agents {
            let word = match on {
                OnAgent::There(id) => sentence(id),
                OnAgent::Missing => colour
                    .paint(Tone::Remove, "MISSING: no executor can start here; apply builds it"),
                OnAgent::Unknown(why) => format!("unknown: {}", sentence(why)),
                OnAgent::Unreachable => colour.paint(Tone::Blocked, "unreachable"),
            };
            let _ = writeln!(text, "  {host:<10} {word}");
        }
    }
    if !status.addresses.is_empty() {
        let _ = writeln!(text, "\n{}", colour.paint(Tone::Title, "pages"));
        for (what, address) in &status.addresses {
            let _ = writeln!(text, "  {what:<10} {address}");
        }
    }
    text
}

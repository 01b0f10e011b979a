//! What a file holds before and after, where anybody may read it: for a plan that says what differs.
//!
//! What only some may read is never asked for, so that no secret of a host comes into a plan.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use similar::{ChangeTag, TextDiff};

use super::{Action, Plan};
use crate::ground::HostName;
use crate::ground::digest::sha256;
use crate::inventory::show::without_passwords;
use crate::resource::file::{Content, File};
use crate::script::{FOREIGN_BYTES, Probe, Sections, foreign, foreign_texts, quote};

/// What a file holds, and what it will.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What it holds; `None` where there is no such file.
    pub before: Option<String>,
    /// What it will hold.
    pub after: String,
}

/// Section of the answer: one text for each file that is asked for.
const SECTION: &str = "contents";

/// Asks for what the files of a host hold that are there and will hold something else.
pub fn probe(plan: &Plan, host: &HostName) -> Probe {
    let files = asked(plan, host);
    if files.is_empty() {
        return Probe::default();
    }
    let read = |path: &&str| foreign(&format!("cat -- {} 2>/dev/null", quote(path)));
    Probe::new(SECTION, files.iter().map(read).collect::<String>())
}

/// Puts what hosts answered into the plan.
pub fn learn(plan: &mut Plan, answers: &BTreeMap<HostName, Sections>) {
    for (host, answer) in answers {
        let Some(said) = answer.get(SECTION) else { continue };
        let paths: Vec<String> = asked(plan, host).into_iter().map(str::to_owned).collect();
        let mut holds: BTreeMap<String, String> =
            paths.into_iter().zip(foreign_texts(said)).collect();
        holds.retain(|_, text| text.len() < FOREIGN_BYTES);
        let waves = plan.stages.iter_mut().flat_map(|stage| &mut stage.waves);
        let actions = waves.filter_map(|wave| wave.hosts.get_mut(host)).flatten();
        for action in actions {
            let Some((path, after)) = public(action) else { continue };
            let (path, after) = (path.to_owned(), after.to_owned());
            // What steps make of a file one after the other; and it may have been changed in between.
            let now = holds.insert(path, after);
            action.before = now.filter(|text| differs(action) == Some(sha256(text).as_str()));
        }
    }
}

/// What an action makes of a file that anybody may read; `None` for other actions, and where it is there
/// and what it holds is not known.
pub fn change(action: &Action) -> Option<Change> {
    let (_, after) = public(action)?;
    let absent = !action.gaps.is_empty() && action.gaps.iter().all(|gap| gap.seen.is_none());
    let before = action.before.as_deref().map(without_passwords);
    (absent || before.is_some()).then(|| Change { before, after: without_passwords(after) })
}

/// What kind of difference it is, in one line.
pub fn kind(change: &Change) -> Option<String> {
    let before = change.before.as_deref()?;
    let short = |text: &str| text.lines().count() <= 1 && text.chars().count() <= 80;
    if short(before) && short(&change.after) {
        return Some(format!("content: {} → {}", word(before), word(&change.after)));
    }
    let diff = TextDiff::from_lines(before, &change.after);
    let count = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    let (added, removed) = (count(ChangeTag::Insert), count(ChangeTag::Delete));
    Some(match (added, removed) {
        (added, 0) => format!("content: {} added", super::text::counted(added, "line")),
        (0, removed) => format!("content: {} removed", super::text::counted(removed, "line")),
        (1, 1) => "content: 1 line changed".to_owned(),
        (added, removed) => {
            format!("content: {} added, {removed} removed", super::text::counted(added, "line"))
        }
    })
}

/// The lines that go, those that come, and a few around them, each with its sign.
pub fn lines(change: &Change) -> Vec<String> {
    let before = change.before.as_deref().unwrap_or_default();
    let diff = TextDiff::from_lines(before, &change.after);
    let mut shown = Vec::new();
    for (index, group) in diff.grouped_ops(3).iter().enumerate() {
        if index > 0 {
            shown.push("  …".to_owned());
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Insert => '+',
                ChangeTag::Delete => '-',
            };
            shown.push(format!("{sign} {}", change.value().trim_end_matches(['\n', '\r'])));
        }
    }
    shown
}

/// Paths of the files of a host that are there and will hold something else.
fn asked<'a>(plan: &'a Plan, host: &HostName) -> Vec<&'a str> {
    let waves = plan.stages.iter().flat_map(|stage| &stage.waves);
    let actions = waves.filter_map(|wave| wave.hosts.get(host)).flatten();
    let mut paths = Vec::new();
    for action in actions.filter(|action| differs(action).is_some()) {
        match public(action) {
            Some((path, _)) if !paths.contains(&path) => paths.push(path),
            _ => {}
        }
    }
    paths
}

/// Path and new content of a file that anybody may read, now and then.
fn public(action: &Action) -> Option<(&str, &str)> {
    let file = action.resource.get::<File>()?;
    let Content::Text(text) = &file.content else { return None };
    let open = |mode: &str| mode.ends_with(['4', '5', '6', '7']);
    let now = action.gaps.iter().filter(|gap| gap.fact == "mode" || gap.fact == "type");
    let now = now.filter_map(|gap| Some((gap.fact, gap.seen.as_deref()?)));
    let hidden = |(fact, seen): (&str, &str)| fact == "type" || !open(seen);
    (open(file.mode) && !now.clone().any(hidden)).then_some((file.path.as_str(), text.as_str()))
}

/// Digest of what a file holds that is there and will hold something else.
fn differs(action: &Action) -> Option<&str> {
    action.gaps.iter().find(|gap| gap.fact == "sha256")?.seen.as_deref()
}

fn word(text: &str) -> &str {
    let text = text.trim_end();
    if text.is_empty() { "nothing" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(before: &str, after: &str) -> Change {
        Change { before: Some(before.to_owned()), after: after.to_owned() }
    }

    #[test]
    fn a_short_text_is_shown_and_a_long_one_counted() {
        let kind = |before: &str, after: &str| kind(&change(before, after)).unwrap();
        assert_eq!(kind("30secs\n", "1mins\n"), "content: 30secs → 1mins");
        assert_eq!(kind("", "1mins"), "content: nothing → 1mins");
        assert_eq!(kind("a\nb\n", "a\nb\nc\nd\n"), "content: 2 lines added");
        assert_eq!(kind("a\nb\n", "a\nc\n"), "content: 1 line changed");
        assert_eq!(kind("a\nb\nc\n", "a\n"), "content: 2 lines removed");
    }

    #[test]
    fn a_difference_shows_its_lines_and_few_others() {
        let before: String = (0..20).map(|n| format!("{n}\n")).collect();
        let after = before.replace("\n10\n", "\nten\n");
        let shown = lines(&change(&before, &after));
        assert_eq!(shown.join("|"), "  7|  8|  9|- 10|+ ten|  11|  12|  13");
    }
}

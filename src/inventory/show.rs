//! Problems as people read them: the one offending line with a caret, secrets masked.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::ground::{Problem, Severity};

/// Whether colours may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// ASCII only.
    Plain,
    /// With colours.
    Coloured,
}

/// The problem over several lines; `text` is the source that was loaded.
///
/// Only the line of the problem is shown, for its neighbours may hold secrets, and what follows a
/// secret-looking key on it is masked. `reason` is why it is a problem at all, when a lint found it.
pub fn show(problem: &Problem, reason: Option<&str>, text: &str, style: Style) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(problem.message.as_str()).id(problem.name);
    let mut report = Vec::new();
    let line = problem.place.as_ref().filter(|p| !p.file.starts_with("-e "));
    let masked = line.and_then(|place| Some((place, masked_line(text, place.line as usize)?)));
    let first = match (&problem.place, &masked) {
        (Some(_), Some((place, line))) => {
            let offset = |characters: u32| {
                line.char_indices().nth(characters as usize).map_or(line.len(), |(i, _)| i)
            };
            let start = offset(place.column.saturating_sub(1));
            let end = offset(place.column.saturating_sub(1).saturating_add(place.length));
            let annotation = AnnotationKind::Primary.span(start..end.max(start));
            let snippet = Snippet::source(line.as_str())
                .path(&*place.file)
                .line_start(place.line as usize)
                .annotation(annotation);
            title.element(snippet)
        }
        (Some(place), None) => title.element(annotate_snippets::Origin::path(&*place.file)),
        (None, _) => Group::with_title(title),
    };
    let first = match reason {
        Some(reason) => first.element(Level::NOTE.message(reason)),
        None => first,
    };
    report.push(match &problem.help {
        Some(help) => first.element(Level::HELP.message(help.as_str())),
        None => first,
    });
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    renderer.render(&report)
}

/// Whether the value of a key is likely to be secret.
pub fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["password", "passwd", "passphrase", "secret", "token", "credential"]
        .iter()
        .any(|word| key.contains(word))
        || key == "key"
        || ["_key", "-key", ".key", "apikey", "_pass", "-pass"].iter().any(|end| key.ends_with(end))
}

/// A text with the passwords of its URLs (`scheme://user:password@host`) replaced by `***`: for whatever
/// outlives the run.
pub fn without_passwords(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or("").to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_whitespace() || "/?#\"'".contains(c));
        let (authority, rest) = part.split_at(end.unwrap_or(part.len()));
        let known = authority.rsplit_once('@').and_then(|(user, host)| {
            let (user, _) = user.split_once(':')?;
            Some(format!("{user}:***@{host}"))
        });
        shown.push_str("://");
        shown.push_str(known.as_deref().unwrap_or(authority));
        shown.push_str(rest);
    }
    shown
}

/// A line of the text with what may be secret replaced by `***`.
fn masked_line(text: &str, number: usize) -> Option<String> {
    let lines: Vec<&str> = text.lines().take(number).collect();
    let line = lines.get(number.checked_sub(1)?)?.trim_start_matches('\u{feff}');
    if below_secret(&lines) {
        return Some("***".to_owned());
    }
    let mut shown = String::new();
    let mut rest = line;
    while let Some(colon) = rest.find(':') {
        let (before, after) = rest.split_at(colon);
        let word = before.rsplit(|c: char| c.is_whitespace() || "{,?".contains(c)).next();
        shown.push_str(before);
        shown.push(':');
        rest = &after[1..];
        if is_secret_key(word.unwrap_or("").trim_matches(['"', '\''])) && !rest.trim().is_empty() {
            shown.push_str(" ***");
            return Some(printable(&shown));
        }
        // A password within a URL.
        if let Some(authority) = rest.strip_prefix("//") {
            let end = authority.find(|c: char| c.is_whitespace() || "/,}\"'".contains(c));
            let (authority, tail) = authority.split_at(end.unwrap_or(authority.len()));
            let host = authority.rsplit_once('@').map(|(_, host)| host);
            shown.push_str("//");
            shown.push_str(&host.map_or_else(|| authority.to_owned(), |h| format!("***@{h}")));
            rest = tail;
        }
    }
    shown.push_str(rest);
    Some(printable(&shown))
}

/// Control characters would move the terminal's cursor.
fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Whether the last line belongs to a block that a secret-looking key opened.
fn below_secret(lines: &[&str]) -> bool {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let Some((last, before)) = lines.split_last() else { return false };
    let mut limit = indent(last);
    for line in before.iter().rev().filter(|l| !l.trim().is_empty()) {
        if limit == 0 {
            break;
        }
        if indent(line) < limit {
            limit = indent(line);
            let key = line.trim_start().trim_start_matches("- ").split(':').next().unwrap_or("");
            if is_secret_key(key.trim_matches(['"', '\''])) {
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::Place;

    fn at(line: u32, column: u32, length: u32) -> Problem {
        let place = Place { file: "f.yaml".into(), line, column, length };
        Problem::error(Some(place), "unknown-host", "`a9` is not in `hosts`")
            .help("did you mean `a1`?")
    }

    #[test]
    fn the_one_line_is_shown_with_a_caret() {
        let text = "password: hunter2\nhosts: [a9]\ntoken: hunter2\n";
        let shown = show(&at(2, 9, 2), None, text, Style::Plain);
        assert_eq!(
            shown,
            "error[unknown-host]: `a9` is not in `hosts`\n \
             --> f.yaml:2:9\n  |\n2 | hosts: [a9]\n  |         ^^\n  |\n  = help: did you mean `a1`?"
        );
    }

    #[test]
    fn secrets_are_masked_on_the_line_itself() {
        for text in [
            "sudo_password: hunter2",
            "{user: x, \"token\": hunter2, b: c}",
            "http: http://u:hunter2@proxy:3128/",
            "secret: {file: x, y: hunter2}",
        ] {
            let shown = show(&at(1, 3, 4), None, text, Style::Plain);
            assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
        }
        let block = show(&at(3, 3, 2), None, "a:\n  secret: |\n    hunter2\n", Style::Plain);
        assert!(!block.contains("hunter2"), "{block}");
    }

    #[test]
    fn passwords_in_urls_are_masked_and_nothing_else_is() {
        let text =
            "{ http: \"http://u:hunter2@p:3128/\", a: ftp://x:hun%40ter2@h, b: http://u@h/a:b@c }";
        assert_eq!(
            without_passwords(text),
            "{ http: \"http://u:***@p:3128/\", a: ftp://x:***@h, b: http://u@h/a:b@c }"
        );
        assert_eq!(without_passwords("zk://10.0.0.1:2181/mesos\n"), "zk://10.0.0.1:2181/mesos\n");
    }

    #[test]
    fn places_outside_the_text_do_not_panic() {
        for (line, column, length) in [(9, 1, 1), (1, 99, 99), (0, 0, 0), (1, u32::MAX, u32::MAX)] {
            show(&at(line, column, length), None, "ä: b", Style::Plain);
        }
    }
}

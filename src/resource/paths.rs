//! What is asked of paths for all kinds of a host at once: one `stat`, one reading of small texts, one
//! `sha256sum`.

use super::{Facts, Resource};
use crate::script::{Probe, Sections, quote_all};

/// Stamps have two lines; what is longer is none of ours.
const TEXT_LINES: usize = 20;

/// One `stat` for every path, one `sha256sum` for every file that is compared by its digest; small texts are read by the shell itself, laid out as `head -v` does.
pub(super) fn probe(resources: &[&Resource]) -> Probe {
    let mut paths: Vec<&str> = resources.iter().flat_map(|r| r.paths()).collect();
    paths.sort_unstable();
    paths.dedup();
    let mut texts: Vec<&str> = resources.iter().flat_map(|r| r.texts()).collect();
    texts.sort_unstable();
    texts.dedup();
    let mut probe = Probe::default();
    if !paths.is_empty() {
        // %N is quoted by stat itself and names a link's target; it is last because of that.
        let words = quote_all(paths);
        probe.section(
            "stat",
            // What it may not look at, it says on stderr, which is not the same as "not there". Kept
            // until the end: stdout is buffered, and one line would land inside another.
            format!(
                "{{ e=$(stat -c '%F|%U:%G|%a|%s|%Z|%n|%N' -- {words} 2>&1 >&3); }} 3>&1; printf '%s\\n' \"$e\""
            ),
        );
    }
    if !texts.is_empty() {
        probe.section(
            "texts",
            format!(
                "s=; for f in {}; do if [ -f \"$f\" ] && [ -r \"$f\" ]; then printf '%s==> %s <==\\n' \"$s\" \"$f\"; n=0\n\
                 while [ $n -lt {TEXT_LINES} ] && {{ IFS= read -r l || [ -n \"$l\" ]; }}; do printf '%s\\n' \"$l\"; n=$((n + 1)); done < \"$f\"\n\
                 s='\n'; fi; done",
                quote_all(texts)
            ),
        );
    }
    let mut sums: Vec<&str> = resources.iter().flat_map(|r| r.sums()).collect();
    sums.sort_unstable();
    sums.dedup();
    if !sums.is_empty() {
        // Regular files alone: of a pipe planted there it would wait for ever. No fork but the command's own.
        probe.section(
            "sha256",
            format!(
                "set --; for f in {}; do [ ! -f \"$f\" ] || set -- \"$@\" \"$f\"; done\n\
                 [ $# = 0 ] || sha256sum -- \"$@\" 2>/dev/null",
                quote_all(sums)
            ),
        );
    }
    probe
}

/// What is said of things that may not be looked at.
pub(super) const NOT_ALLOWED: &str = "the login user may not look at it; set `become: true`";

/// Whether the login user may not look at a path.
pub(super) fn is_hidden(path: &str, sections: &Sections) -> bool {
    let hidden = |line: &str| {
        line.starts_with("stat: ")
            && line.ends_with(": Permission denied")
            && line.contains(&format!("'{path}'"))
    };
    sections.get("stat").is_some_and(|text| text.lines().any(hidden))
}

/// One line of `stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat<'a> {
    /// `regular file`, `directory`, `symbolic link`, …
    pub kind: &'a str,
    /// `user:group`.
    pub owner: &'a str,
    /// Permission bits in octal.
    pub mode: &'a str,
    /// Size in bytes.
    pub size: &'a str,
    /// Time of the last change of the inode, seconds since the epoch.
    pub changed: u64,
    /// Where a link points, as `stat` quotes it.
    pub target: Option<&'a str>,
}

impl Stat<'_> {
    /// What it says of type, owner and mode; [`wanted`] is its counterpart.
    pub(super) fn facts(&self) -> Facts {
        Facts::from([
            ("type", self.kind.to_owned()),
            ("owner", self.owner.to_owned()),
            ("mode", self.mode.to_owned()),
        ])
    }
}

/// What is wanted of a path's type, owner and mode.
pub(super) fn wanted(kind: &str, owner: &str, group: &str, mode: &str) -> Facts {
    let owner = &format!("{owner}:{group}");
    Stat { kind, owner, mode, size: "", changed: 0, target: None }.facts()
}

/// What `stat` printed of a path; `None` when it is not there.
pub(super) fn stat<'a>(path: &str, sections: &'a Sections) -> Option<Stat<'a>> {
    let text = sections.get("stat")?;
    text.lines().find_map(|line| {
        let mut parts = line.splitn(6, '|');
        let kind = parts.next()?;
        let owner = parts.next()?;
        let mode = parts.next()?;
        let size = parts.next()?;
        let changed = parts.next()?.parse().ok()?;
        let rest = parts.next()?.strip_prefix(path)?.strip_prefix('|')?;
        let target = rest.split_once(" -> ").map(|(_, target)| target);
        Some(Stat { kind, owner, mode, size, changed, target })
    })
}

/// The text of a small file; `None` when it is not there.
pub(super) fn text<'a>(path: &str, sections: &'a Sections) -> Option<&'a str> {
    let all = sections.get("texts")?;
    let header = format!("==> {path} <==\n");
    let start = if all.starts_with(&header) {
        header.len()
    } else {
        all.find(&format!("\n{header}")).map(|at| at + header.len() + 1)?
    };
    let rest = &all[start..];
    Some(rest.find("\n==> ").map_or(rest, |end| &rest[..end]))
}

/// The SHA-256 of a regular file, in hex; `None` when it is not there, or may not be read.
pub(super) fn sum<'a>(path: &str, sections: &'a Sections) -> Option<&'a str> {
    // Names with a backslash or newline are escaped by sha256sum; ours have neither.
    let mut lines = sections.get("sha256")?.lines().filter_map(|line| line.split_once("  "));
    lines.find_map(|(digest, name)| (name == path).then_some(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_and_text_are_found_by_path() {
        let sections = Sections::from([
            ("stat".to_owned(), "regular file|root:root|644|3|170|/a b|'/a b'\nsymbolic link|root:root|777|9|171|/l|'/l' -> '/t'\n".to_owned()),
            ("texts".to_owned(), "==> /s/one <==\ndigest=1\n\n==> /s/two <==\nx\n".to_owned()),
        ]);
        assert_eq!(stat("/a b", &sections).unwrap().mode, "644");
        assert_eq!(stat("/a", &sections), None);
        assert_eq!(stat("/l", &sections).unwrap().target, Some("'/t'"));
        assert_eq!(text("/s/one", &sections), Some("digest=1\n"));
        assert_eq!(text("/s/two", &sections), Some("x\n"));
        assert_eq!(text("/s/three", &sections), None);
    }
}

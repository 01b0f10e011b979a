//! A regular file, and the one `stat`, `sha256sum` and reading of texts that serve every kind of a host.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Facts, Look, Resource, sha256};
use crate::inventory::SecretRef;
use crate::script::{Fix, Probe, Sections, Step, quote, quote_all, slot};

/// A regular file with its whole content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Absolute path.
    pub path: String,
    /// What is in it.
    pub content: Content,
    /// Owner.
    pub owner: String,
    /// Group.
    pub group: String,
    /// Permission bits, octal without leading zero, such as `644`.
    pub mode: &'static str,
    /// What must be done after it was written, such as reloading systemd.
    pub after: Option<&'static str>,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// This text.
    Text(String),
    /// Text in which `slot(n)` stands for the n-th secret. Compared by presence, owner and mode only,
    /// and by a stamp that names the principal: no digest of a secret is kept anywhere.
    Secret {
        /// The text with slots.
        template: String,
        /// The secrets, in the order of their slots.
        secrets: Vec<SecretRef>,
        /// What identifies the content without revealing it (such as the principal).
        label: String,
    },
}

impl File {
    /// A root-owned file that everybody may read.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> File {
        File {
            path: path.into(),
            content: Content::Text(text.into()),
            owner: "root".to_owned(),
            group: "root".to_owned(),
            mode: "644",
            after: None,
        }
    }

    /// What a process that reads this file depends on, for a service's digest.
    pub fn input(&self) -> String {
        match &self.content {
            Content::Text(text) => format!("{}={}", self.path, sha256(text)),
            Content::Secret { label, .. } => format!("{}={label}", self.path),
        }
    }

    /// What is wanted.
    pub fn want(&self) -> Facts {
        let mut want = Facts::from([
            ("type", "regular file".to_owned()),
            ("owner", format!("{}:{}", self.owner, self.group)),
            ("mode", self.mode.to_owned()),
        ]);
        if let Content::Text(text) = &self.content {
            want.insert("sha256", sha256(text));
        }
        want
    }

    /// Writes it whole, the old version kept in the run's backup (never a secret's).
    pub fn fix(&self) -> Vec<Step> {
        let path = quote(&self.path);
        let mut script = String::new();
        let _ = writeln!(script, "mkdir -p \"$(dirname {path})\"");
        let _ = writeln!(script, "refuse_link {path}");
        let owner = format!("{} {} {}", quote(&self.owner), quote(&self.group), self.mode);
        let fix = match &self.content {
            Content::Text(text) => {
                let _ = writeln!(script, "backup {path}");
                let _ = writeln!(script, "put {path} {owner} {} {}", sha256(text), quote(text));
                self.finish(&mut script);
                Fix::new(script)
            }
            Content::Secret { template, secrets, .. } => {
                // The digest of a secret must not be computed here, where it could be logged.
                let _ = writeln!(script, "umask 077");
                let words = words(template, secrets.len());
                let _ = writeln!(script, "t=$(mktemp \"$(dirname {path})/.provision.XXXXXX\")");
                let _ = writeln!(script, "trap 'rm -f \"$t\"' EXIT");
                let _ = writeln!(script, "printf '%s' {words} > \"$t\"");
                let _ = writeln!(script, "chown {}:{} \"$t\"", self.owner, self.group);
                let _ = writeln!(script, "chmod {} \"$t\"; sync \"$t\"", self.mode);
                let _ = writeln!(script, "mv -fT \"$t\" {path}; trap - EXIT");
                self.finish(&mut script);
                Fix::with_secrets(script, secrets.clone())
            }
        };
        vec![Step::Run(fix)]
    }

    /// Prints its path unless it holds the secrets as they were looked up now; `None` for other files.
    pub fn holds(&self) -> Option<Fix> {
        let Content::Secret { template, secrets, .. } = &self.content else { return None };
        let words = words(template, secrets.len());
        let path = quote(&self.path);
        let script = format!("printf '%s' {words} | cmp -s - {path} || say {path}");
        Some(Fix::with_secrets(script, secrets.clone()))
    }

    fn finish(&self, script: &mut String) {
        if let Some(after) = self.after {
            let _ = writeln!(script, "{after}");
        }
    }
}

/// A template with slots as one word for a shell, whatever is in it: a slot leaves the quotes and enters
/// them again.
fn words(template: &str, slots: usize) -> String {
    let mut words = format!("'{}'", template.replace('\'', "'\\''"));
    for index in 0..slots {
        words = words.replace(&slot(index), &format!("'{}'", slot(index)));
    }
    words
}

/// One `stat` for every path, one `sha256sum` for every file; small texts are read by the shell itself,
/// laid out as `head -v` does.
pub fn probe(resources: &[&Resource]) -> Probe {
    let mut paths: Vec<&str> = resources.iter().flat_map(|r| r.paths()).collect();
    paths.sort_unstable();
    paths.dedup();
    let hashed: Vec<&str> = resources
        .iter()
        .filter_map(|r| match r {
            Resource::File(it) if matches!(it.content, Content::Text(_)) => Some(it.path.as_str()),
            _ => None,
        })
        .collect();
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
    if !hashed.is_empty() {
        probe.section("sha256", of_files("sha256sum", &quote_all(hashed)));
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
    probe
}

/// Stamps have two lines; what is longer is none of ours.
const TEXT_LINES: usize = 20;

/// One command for those of the paths that are regular files: of a pipe planted there it would wait
/// for ever. No fork but the command's own.
fn of_files(command: &str, paths: &str) -> String {
    format!(
        "set --; for f in {paths}; do [ ! -f \"$f\" ] || set -- \"$@\" \"$f\"; done\n\
         [ $# = 0 ] || {command} -- \"$@\" 2>/dev/null"
    )
}

/// What is said of things that may not be looked at.
pub const NOT_ALLOWED: &str = "the login user may not look at it; set `become: true`";

/// Whether the login user may not look at a path.
pub fn is_hidden(path: &str, sections: &Sections) -> bool {
    let hidden = |line: &str| {
        line.starts_with("stat: ")
            && line.ends_with(": Permission denied")
            && line.contains(&format!("'{path}'"))
    };
    sections.get("stat").is_some_and(|text| text.lines().any(hidden))
}

/// Facts of one file.
pub fn read(file: &File, sections: &Sections) -> Look {
    let Some(stat) = stat(&file.path, sections) else { return Look::Facts(Facts::new()) };
    let mut facts = Facts::from([
        ("type", stat.kind.to_owned()),
        ("owner", stat.owner.to_owned()),
        ("mode", stat.mode.to_owned()),
    ]);
    // stat says "regular empty file" of an empty one.
    if stat.kind == "regular empty file" {
        facts.insert("type", "regular file".to_owned());
    }
    if let Some(digest) = digests(sections).get(file.path.as_str()) {
        facts.insert("sha256", (*digest).to_owned());
    } else if matches!(file.content, Content::Text(_)) && facts["type"] == "regular file" {
        return Look::Failed(NOT_ALLOWED.to_owned());
    }
    Look::Facts(facts)
}

/// One line of `stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat<'a> {
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

/// What `stat` printed of a path; `None` when it is not there.
pub fn stat<'a>(path: &str, sections: &'a Sections) -> Option<Stat<'a>> {
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

fn digests(sections: &Sections) -> BTreeMap<&str, &str> {
    // Names with a backslash or newline are escaped by sha256sum; ours have neither.
    sections
        .get("sha256")
        .map(|text| {
            text.lines()
                .filter_map(|line| line.split_once("  "))
                .map(|(digest, path)| (path, digest))
                .collect()
        })
        .unwrap_or_default()
}

/// The text of a small file; `None` when it is not there.
pub fn text<'a>(path: &str, sections: &'a Sections) -> Option<&'a str> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_digest_and_text_are_found_by_path() {
        let sections = Sections::from([
            ("stat".to_owned(), "regular file|root:root|644|3|170|/a b|'/a b'\nsymbolic link|root:root|777|9|171|/l|'/l' -> '/t'\n".to_owned()),
            ("sha256".to_owned(), "00ff  /a b\n".to_owned()),
            ("texts".to_owned(), "==> /s/one <==\ndigest=1\n\n==> /s/two <==\nx\n".to_owned()),
        ]);
        assert_eq!(stat("/a b", &sections).unwrap().mode, "644");
        assert_eq!(stat("/a", &sections), None);
        assert_eq!(stat("/l", &sections).unwrap().target, Some("'/t'"));
        assert_eq!(text("/s/one", &sections), Some("digest=1\n"));
        assert_eq!(text("/s/two", &sections), Some("x\n"));
        assert_eq!(text("/s/three", &sections), None);
        let file = File::new("/a b", "x");
        let Look::Facts(facts) = read(&file, &sections) else { panic!() };
        assert_eq!(facts["sha256"], "00ff");
    }
}

//! A directory; one that we own whole tolerates no stranger in it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::file::stat;
use super::{Facts, Gap, Look};
use crate::script::{Fix, Probe, Sections, Step, quote, quote_all};

/// A directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Absolute path.
    pub path: String,
    /// Owner.
    pub owner: String,
    /// Group.
    pub group: String,
    /// Permission bits, octal.
    pub mode: &'static str,
    /// The only names that may be in it; `None` when others may put things there.
    pub only: Option<BTreeSet<String>>,
}

impl Directory {
    /// A root-owned directory that everybody may read.
    pub fn new(path: impl Into<String>) -> Directory {
        Directory {
            path: path.into(),
            owner: "root".to_owned(),
            group: "root".to_owned(),
            mode: "755",
            only: None,
        }
    }

    /// What is wanted.
    pub fn want(&self) -> Facts {
        let mut want = Facts::from([
            ("type", "directory".to_owned()),
            ("owner", format!("{}:{}", self.owner, self.group)),
            ("mode", self.mode.to_owned()),
        ]);
        if self.only.is_some() {
            want.insert("strays", String::new());
        }
        want
    }

    /// Makes it, sets owner and mode, moves strangers into the run's backup.
    pub fn fix(&self, gaps: &[Gap]) -> Vec<Step> {
        let path = quote(&self.path);
        let mut script = String::new();
        let _ = writeln!(script, "if [ -L {path} ]; then die {path} is a symbolic link; fi");
        let _ = writeln!(
            script,
            "install -d -o {} -g {} -m {} {path}",
            quote(&self.owner),
            quote(&self.group),
            self.mode
        );
        let strays = gaps.iter().filter(|gap| gap.fact == "strays").filter_map(|g| g.seen.as_ref());
        for stray in strays.flat_map(|names| names.split('\n')) {
            let whole = quote(&format!("{}/{stray}", self.path));
            // Copied before it is removed: a full disk must not lose what the user put there.
            let _ = writeln!(script, "backup {whole}; rm -rf -- {whole}");
        }
        vec![Step::Run(Fix::new(script))]
    }
}

/// What is in every directory that is owned whole, dot-files too; no fork.
pub fn probe(all: &[&Directory]) -> Probe {
    let owned: Vec<&str> =
        all.iter().filter(|it| it.only.is_some()).map(|it| it.path.as_str()).collect();
    if owned.is_empty() {
        return Probe::default();
    }
    Probe::new(
        "strays",
        format!(
            "for d in {}; do for f in \"$d\"/* \"$d\"/.[!.]* \"$d\"/..?*; do\n\
             if [ -e \"$f\" ] || [ -L \"$f\" ]; then printf '%s|%s\\n' \"$d\" \"${{f##*/}}\"; fi\ndone; done",
            quote_all(owned)
        ),
    )
}

/// Facts of one directory.
pub fn read(directory: &Directory, sections: &Sections) -> Look {
    let Some(stat) = stat(&directory.path, sections) else { return Look::Facts(Facts::new()) };
    let mut facts = Facts::from([
        ("type", stat.kind.to_owned()),
        ("owner", stat.owner.to_owned()),
        ("mode", stat.mode.to_owned()),
    ]);
    if let Some(only) = &directory.only {
        let listing = sections.get("strays").map_or("", String::as_str);
        let strays: BTreeSet<&str> = listing
            .lines()
            .filter_map(|line| line.split_once('|'))
            .filter(|(parent, name)| *parent == directory.path && !only.contains(*name))
            .map(|(_, name)| name)
            .collect();
        facts.insert("strays", strays.into_iter().collect::<Vec<_>>().join("\n"));
    }
    Look::Facts(facts)
}

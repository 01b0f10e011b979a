//! A directory; one that we own whole tolerates no stranger in it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::paths::{stat, wanted};
use super::{Facts, Gap, Kind, Look, ResourceId};
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
}

impl Kind for Directory {
    fn id(&self) -> ResourceId {
        ResourceId { kind: "directory", name: self.path.clone() }
    }

    fn want(&self) -> Facts {
        let mut want = wanted("directory", &self.owner, &self.group, self.mode);
        if self.only.is_some() {
            want.insert("strays", String::new());
        }
        want
    }

    /// What is in every directory that is owned whole, dot-files too; no fork. A name that a line cannot
    /// hold is shown with `?` for what is odd in it.
    fn probe(all: &[&Self]) -> Probe {
        let owned: Vec<&str> =
            all.iter().filter(|it| it.only.is_some()).map(|it| it.path.as_str()).collect();
        if owned.is_empty() {
            return Probe::default();
        }
        Probe::new(
            "strays",
            format!(
                "k=; for d in {}; do for f in \"$d\"/* \"$d\"/.[!.]* \"$d\"/..?*; do\n\
             [ -e \"$f\" ] || [ -L \"$f\" ] || continue\nn=${{f##*/}}; o=\n\
             while :; do case $n in *[[:cntrl:]]*) o=\"$o${{n%%[[:cntrl:]]*}}{ODD}\"; n=${{n#*[[:cntrl:]]}}; k='{ODD}' ;; *) break ;; esac; done\n\
             printf '%s%s|%s\\n' \"$k\" \"$d\" \"$o$n\"; k=\ndone; done",
                quote_all(owned)
            ),
        )
    }

    fn read(&self, sections: &Sections) -> Look {
        let Some(stat) = stat(&self.path, sections) else { return Look::Facts(Facts::new()) };
        let mut facts = stat.facts();
        if let Some(only) = &self.only {
            let listing = sections.get("strays").map_or("", String::as_str);
            let listed = |mark: &str| -> BTreeSet<&str> {
                let own = format!("{mark}{}|", self.path);
                listing.lines().filter_map(|line| line.strip_prefix(&own)).collect()
            };
            let strays: BTreeSet<&str> =
                listed("").into_iter().filter(|name| !only.contains(*name)).collect();
            let odd = strays.iter().copied().filter(|name| !is_name(name));
            if let Some(name) = listed(ODD).into_iter().chain(odd).next() {
                return Look::Failed(format!(
                    "`{}` in {} has no name that can be acted on, so it is left alone; see `ls -b {1}` and remove it by hand",
                    name.escape_debug(),
                    self.path,
                ));
            }
            facts.insert("strays", strays.into_iter().collect::<Vec<_>>().join("\n"));
        }
        Look::Facts(facts)
    }

    /// Makes it, sets owner and mode, moves strangers into the run's backup.
    fn fix(&self, gaps: &[Gap]) -> Vec<Step> {
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
        for stray in strays.flat_map(|names| names.split('\n')).filter(|name| is_name(name)) {
            let whole = quote(&format!("{}/{stray}", self.path));
            // Copied before it is removed: a full disk must not lose what the user put there.
            let _ = writeln!(script, "backup {whole}; rm -rf -- {whole}");
        }
        vec![Step::Run(Fix::new(script))]
    }

    /// What others have put into it stays, and it with that.
    fn undo(&self) -> Option<String> {
        Some(format!("rmdir --ignore-fail-on-non-empty {}", quote(&self.path)))
    }

    fn paths(&self) -> Vec<&str> {
        vec![&self.path]
    }

    fn touches(&self) -> Option<&str> {
        Some(&self.path)
    }
}

/// Stands for a control character in a name, and before a line about one.
const ODD: &str = "?";

/// Whether a host's word for a file in a directory can be one, and is said as it is: what is acted on must
/// lie in the directory.
fn is_name(name: &str) -> bool {
    let odd = |c: char| c == '/' || c == char::REPLACEMENT_CHARACTER || c.is_control();
    !matches!(name, "" | "." | "..") && !name.contains(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_reported_and_never_acted_on() {
        let only = Some(BTreeSet::from(["zk".to_owned()]));
        let directory = Directory { only, ..Directory::new("/etc/mesos-master") };
        let look = |listing: &str| {
            let stat = "directory|root:root|755|3|170|/etc/mesos-master|'/etc/mesos-master'\n";
            directory.read(&Sections::from([
                ("stat".to_owned(), stat.to_owned()),
                ("strays".to_owned(), listing.to_owned()),
            ]))
        };
        let Look::Facts(facts) = look("/etc/mesos-master|zk\n/etc/mesos-master|größe 1\n/else|x\n")
        else {
            panic!()
        };
        assert_eq!(facts["strays"], "größe 1");
        for name in ["../../srv", "/srv", "..", ".", "", "a\u{85}b", "a\tb"] {
            let listing = format!("/etc/mesos-master|ok\n/etc/mesos-master|{name}\n");
            let Look::Failed(why) = look(&listing) else { panic!("{name:?}") };
            assert!(!why.contains(char::is_control), "{why}");
            let seen = Some(format!("ok\n{name}"));
            let gap = Gap { fact: "strays", seen, want: String::new() };
            let [Step::Run(fix)] = &directory.fix(&[gap])[..] else { panic!() };
            let removed: Vec<&str> = fix.text().lines().filter(|l| l.contains("rm -rf")).collect();
            assert_eq!(removed, ["backup /etc/mesos-master/ok; rm -rf -- /etc/mesos-master/ok"]);
        }
        let Look::Failed(why) = look("?/etc/mesos-master|a?b\n") else { panic!() };
        assert!(why.contains("`a?b`") && why.contains("ls -b /etc/mesos-master"), "{why}");
    }
}

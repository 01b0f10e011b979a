//! Secrets that nobody uses any more, in a directory of ours. They are deleted and not backed up: a secret that
//! was given up is to be nowhere.

use std::collections::BTreeSet;

use super::removed::THERE;
use super::{Facts, Gap, Kind, Look, ResourceId};
use crate::script::{Fix, Probe, Sections, Step, quote, quote_all};

/// Files of one directory whose names begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftovers {
    /// Absolute path of the directory.
    pub directory: String,
    /// How the names of those begin that this is about; those of others stay.
    pub prefix: &'static str,
    /// Names that are in use.
    pub used: BTreeSet<String>,
}

impl Leftovers {
    fn all(&self) -> String {
        format!("{}/{}", self.directory, self.prefix)
    }
}

impl Kind for Leftovers {
    fn id(&self) -> ResourceId {
        ResourceId { kind: "leftovers", name: format!("{}*", self.all()) }
    }

    fn want(&self) -> Facts {
        Facts::from([(THERE, String::new())])
    }

    /// The names of regular files, no fork. One that a line cannot hold is none of ours.
    fn probe(all: &[&Self]) -> Probe {
        if all.is_empty() {
            return Probe::default();
        }
        let globs: Vec<String> = all.iter().map(|it| format!("{}*", quote(&it.all()))).collect();
        Probe::new(
            "leftovers",
            format!(
                "for f in {}; do [ -f \"$f\" ] || continue\n\
                 case $f in *[[:cntrl:]]*) ;; *) printf '%s\\n' \"$f\" ;; esac\ndone",
                globs.join(" ")
            ),
        )
    }

    fn read(&self, sections: &Sections) -> Look {
        let listing = sections.get("leftovers").map_or("", String::as_str);
        let names = listing.lines().filter_map(|line| {
            let name = line.strip_prefix(&self.directory)?.strip_prefix('/')?;
            (name.starts_with(self.prefix) && !name.contains('/')).then_some(name)
        });
        let old: Vec<&str> = names.filter(|name| !self.used.contains(*name)).collect();
        Look::Facts(Facts::from([(THERE, old.join("\n"))]))
    }

    fn fix(&self, gaps: &[Gap]) -> Vec<Step> {
        let names = gaps.iter().filter_map(|gap| gap.seen.as_deref()).flat_map(str::lines);
        let paths: Vec<String> = names
            .filter(|name| !name.contains('/') && !name.is_empty())
            .map(|name| format!("{}/{name}", self.directory))
            .collect();
        let fix = Fix::new(format!("rm -f -- {}", quote_all(paths.iter().map(String::as_str))));
        vec![Step::Run(fix)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_or_called_otherwise_stays() {
        let used = BTreeSet::from(["master-a.json".to_owned()]);
        let it = Leftovers { directory: "/etc/s".to_owned(), prefix: "master-", used };
        let listing =
            "/etc/s/master-a.json\n/etc/s/master-a,b.json\n/etc/s/agent-a.json\n/etc/s/master-/x\n";
        let sections = Sections::from([("leftovers".to_owned(), listing.to_owned())]);
        let Look::Facts(facts) = it.read(&sections) else { panic!() };
        assert_eq!(facts[THERE], "master-a,b.json");
        let gaps = crate::resource::diff(&it.want(), &facts);
        let [Step::Run(fix)] = &it.fix(&gaps)[..] else { panic!() };
        assert_eq!(fix.text(), "rm -f -- /etc/s/master-a,b.json");
    }
}

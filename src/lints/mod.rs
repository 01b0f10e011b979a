//! Lints: what is well written and will still not work, or not as meant. Each knows the rule of Mesos,
//! Spark, Docker or ZooKeeper that it speaks for, and can be allowed by its name with a reason.
//!
//! Not here, for an inventory cannot show it: what only a running host knows (its cgroup version when no
//! attribute names its system, its memory, who listens on a port) is the preflight's.

use std::collections::BTreeSet;

use crate::ground::{Place, Problem, Severity};
use crate::inventory::Inventory;
use crate::simulate::application::{Application, applications};

mod agents;
mod between;
mod cluster;
mod constraints;
pub mod explain;
pub mod load;
mod reading;
mod secrets;
mod spark;
mod versions;

pub(crate) use between::WIPE_LOG;
pub use between::changes;
pub(crate) use reading::MAKE_ROOM;

/// Every lint, by name.
pub fn all() -> impl Iterator<Item = &'static Lint> {
    let rooms = [
        agents::LINTS,
        cluster::LINTS,
        reading::LINTS,
        secrets::LINTS,
        spark::LINTS,
        versions::LINTS,
        between::LINTS,
    ];
    rooms.into_iter().flatten()
}

/// What every lint finds in an inventory, but for those that it allows.
///
/// `errors` are the mistakes met so far: a lint that looks at a part which one of them left incomplete
/// keeps silent, for what is missing there is not a second mistake.
pub fn check(inventory: &Inventory, errors: &[Problem]) -> Vec<Problem> {
    let broken = Broken::of(inventory, errors);
    let look = Look { inventory, applications: applications(inventory) };
    let mut found = Vec::new();
    for lint in all() {
        let Found::Looking { needs, find } = lint.found else { continue };
        if inventory.allow.contains_key(lint.name) || broken.touches(needs) {
            continue;
        }
        found.extend(find(&look).into_iter().map(|hit| hit.problem(lint, inventory)));
    }
    found
}

/// Why a lint of this name says what it says.
pub fn reason(name: &str) -> Option<&'static str> {
    all().find(|lint| lint.name == name).map(|lint| lint.reason)
}

/// Whether `allow` may name it.
pub fn is_known(name: &str) -> bool {
    reason(name).is_some()
}

/// One rule.
#[derive(Debug, Clone, Copy)]
pub struct Lint {
    /// Stable name in kebab-case: what `allow` and annotations call it.
    pub name: &'static str,
    /// What it finds, as the heading of its documentation.
    pub title: &'static str,
    /// Why that does not work.
    pub reason: &'static str,
    /// Where it is found in [`explain::INVENTORY`]: overrides of it, a line each.
    examples: &'static [&'static str],
    found: Found,
}

/// When a lint is found.
#[derive(Debug, Clone, Copy)]
enum Found {
    /// While the inventory is read: what it is about is known only there, and what reads it says so.
    Reading,
    /// By looking at an inventory that has been read.
    Looking {
        /// Top-level keys that must be whole.
        needs: &'static [&'static str],
        find: fn(&Look<'_>) -> Vec<Hit>,
    },
    /// By comparing it with an earlier one; see [`changes`].
    Comparing {
        /// What the earlier one of the examples says.
        before: &'static str,
    },
    /// By asking what no inventory shows: the hosts before the first change (see `plan::preflight`), or the
    /// mode of a file. Here stands what is said there.
    Asking { severity: Severity, says: &'static str, cure: &'static str },
}

/// What lints look at.
struct Look<'a> {
    inventory: &'a Inventory,
    /// What would be submitted: the defaults alone, and each workload.
    applications: Vec<Application>,
}

/// One finding, at a path of the inventory.
struct Hit {
    severity: Severity,
    path: String,
    message: String,
    help: String,
}

impl Hit {
    fn error(path: impl Into<String>, message: impl Into<String>, help: impl Into<String>) -> Hit {
        let (path, message, help) = (path.into(), message.into(), help.into());
        Hit { severity: Severity::Error, path, message, help }
    }

    fn warning(
        path: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Hit {
        Hit { severity: Severity::Warning, ..Hit::error(path, message, help) }
    }

    fn problem(self, lint: &Lint, inventory: &Inventory) -> Problem {
        let place = inventory.places.of(&self.path).cloned();
        let problem = match self.severity {
            Severity::Error => Problem::error(place, lint.name, self.message),
            Severity::Warning => Problem::warning(place, lint.name, self.message),
        };
        problem.help(self.help)
    }
}

/// The top-level keys in which an error left a hole.
enum Broken<'a> {
    Everything,
    Keys(BTreeSet<&'a str>),
}

impl<'a> Broken<'a> {
    fn of(inventory: &'a Inventory, errors: &'a [Problem]) -> Broken<'a> {
        // Where each top-level key begins; the key of a line is the last that begins above it.
        let tops: Vec<(&str, &Place)> = inventory
            .places
            .0
            .iter()
            .filter(|(path, _)| !path.contains('.'))
            .map(|(path, place)| (path.as_str(), place))
            .collect();
        let mut keys = BTreeSet::new();
        for error in errors.iter().filter(|p| p.severity == Severity::Error) {
            if WHOLE.contains(&error.name) {
                continue;
            }
            let Some(place) = &error.place else { return Broken::Everything };
            if let Some(path) = place.file.strip_prefix("-e ") {
                keys.insert(path.split(['.', '=']).next().unwrap_or(path));
                continue;
            }
            let here = (place.line, place.column);
            let above = tops.iter().filter(|(_, at)| (at.line, at.column) <= here);
            match above.max_by_key(|(_, at)| (at.line, at.column)) {
                Some((key, _)) => {
                    keys.insert(key);
                }
                None => return Broken::Everything,
            }
        }
        Broken::Keys(keys)
    }

    fn touches(&self, needs: &[&str]) -> bool {
        match self {
            Broken::Everything => true,
            // Templates and hosts reach everywhere.
            Broken::Keys(keys) => {
                keys.iter().any(|key| needs.contains(key) || matches!(*key, "vars" | "hosts"))
            }
        }
    }
}

/// Errors that leave the value in its place.
const WHOLE: [&str; 16] = [
    "bad-flag",
    "bad-flag-value",
    "unknown-flag",
    "duplicate-flag",
    "owned-flag",
    "owned-attribute",
    "owned-option",
    "owned-variable",
    "missing-file",
    "digest-mismatch",
    "missing-digest",
    "duplicate-address",
    "loopback-address",
    "retired-in-use",
    "stand-in",
    "unreadable-property",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_in_kebab_case() {
        let mut names: Vec<&str> = all().map(|lint| lint.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        let kebab = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        assert!(names.iter().all(|name| kebab(name)), "{names:?}");
    }

    #[test]
    fn sentences_follow_the_house() {
        for lint in all() {
            assert!(!lint.reason.ends_with('.') && !lint.title.ends_with('.'), "{}", lint.name);
            if let Found::Looking { needs, .. } = lint.found {
                assert!(!needs.is_empty(), "{}", lint.name);
            }
        }
    }
}

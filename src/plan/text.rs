//! A plan in words.

use super::shown::{Look, Shown, Tone};
use super::{Action, Plan, content};
use crate::mesos::versions::Version;
use crate::resource::removed::THERE;
use crate::resource::service::{AS_WANTED, RESTARTING, Service};
use crate::resource::{Gap, Resource};

/// The whole plan, every host for itself.
pub fn plan(plan: &Plan) -> String {
    let lines = Shown::of(plan).lines(Look::WHOLE);
    lines.iter().map(|line| format!("{}{}{}\n", line.indent, line.head, line.rest)).collect()
}

/// The last line.
pub fn summary(plan: &Plan) -> String {
    Shown::of(plan).summary()
}

/// `1 host`, `2 hosts`.
pub fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// What an action does to its resource. The symbols are Terraform's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Nothing of it is there.
    Add,
    /// Something is, and differs.
    Change,
    /// It is not to be there any more.
    Remove,
    /// It can only be looked at later.
    Look,
}

impl Sign {
    /// Its symbol.
    pub fn symbol(self) -> char {
        match self {
            Sign::Add => '+',
            Sign::Change => '~',
            Sign::Remove => '-',
            Sign::Look => '?',
        }
    }

    /// Its word in a plan as JSON.
    pub fn word(self) -> &'static str {
        match self {
            Sign::Add => "add",
            Sign::Change => "change",
            Sign::Remove => "remove",
            Sign::Look => "look",
        }
    }

    /// The one that has this word.
    pub fn parse(word: &str) -> Option<Sign> {
        let all = [Sign::Add, Sign::Change, Sign::Remove, Sign::Look];
        all.into_iter().find(|sign| sign.word() == word)
    }

    /// How it is coloured.
    pub fn tone(self) -> Tone {
        match self {
            Sign::Add => Tone::Add,
            Sign::Change => Tone::Change,
            Sign::Remove => Tone::Remove,
            Sign::Look => Tone::Faint,
        }
    }
}

/// What an action does to its resource.
pub fn symbol(action: &Action) -> Sign {
    let there = |gap: &Gap| match (action.id().kind, gap.fact) {
        // A list of what is missing, among which may be a version to be replaced.
        ("packages", "losses") => true,
        ("packages", _) => gap.seen.as_deref().is_some_and(|seen| seen.contains(INSTEAD)),
        _ => gap.seen.is_some(),
    };
    if action.gaps.iter().any(|gap| gap.fact == THERE) {
        return Sign::Remove;
    }
    match (action.later, action.gaps.iter().any(there)) {
        (Some(_), _) => Sign::Look,
        (None, true) => Sign::Change,
        (None, false) => Sign::Add,
    }
}

/// The gaps of one action in one line.
pub(super) fn gaps(action: &Action) -> String {
    let (kind, gaps) = (action.id().kind, &action.gaps);
    // What is not there at all needs one word, not a list of its wanted facts.
    if gaps.iter().all(|gap| gap.seen.is_none()) {
        match kind {
            "file" | "directory" | "link" | "unpacked" | "user" | "image" => {
                return "missing".to_owned();
            }
            "proof" => return "not proven yet".to_owned(),
            _ => {}
        }
    }
    let mut parts: Vec<String> = gaps.iter().map(|gap| one(action, gap)).collect();
    parts.retain(|part| !part.is_empty());
    parts.dedup();
    parts.extend(restart(action));
    if parts.is_empty() && kind == "service" {
        return "not yet found healthy since its start".to_owned();
    }
    parts.join(", ")
}

fn one(action: &Action, gap: &Gap) -> String {
    let seen = gap.seen.as_deref().unwrap_or("nothing");
    match (action.id().kind, gap.fact) {
        ("data", THERE) => "to be deleted for good".to_owned(),
        ("leftovers", THERE) => {
            let names: Vec<&str> = seen.split('\n').collect();
            format!("used by nobody any more: {}, to be deleted", names.join(", "))
        }
        (_, THERE) => "to be removed".to_owned(),
        ("packages", "losses") => format!("takes away {seen}"),
        ("packages", "missing") => packages(seen),
        ("file", "sha256") => content::change(action)
            .and_then(|change| content::kind(&change))
            .unwrap_or_else(|| "content differs".to_owned()),
        ("link", "target") => match version_change(seen, &gap.want) {
            Some(way) => format!("target: {seen} → {} ({way})", gap.want),
            None => format!("target: {seen} → {}", gap.want),
        },
        ("registry", _) => match gap.want.as_str() {
            "" => "weights, quotas and maintenance that were saved, to be restored".to_owned(),
            "set aside" => "to be kept under another name; its master stops".to_owned(),
            _ => "weights, quotas and maintenance, to be saved".to_owned(),
        },
        ("directory", "strays") => {
            let names: Vec<&str> = seen.split('\n').collect();
            format!("stray {}, to be moved into the backup", names.join(", "))
        }
        ("image", "inputs") => "built from other inputs".to_owned(),
        ("image", "build") => "another build than that of the others".to_owned(),
        ("image", "archive") => "loaded from another archive".to_owned(),
        ("unpacked", "archive") => "unpacked from another archive".to_owned(),
        ("proof", _) => "something it proved has changed".to_owned(),
        ("drain", _) => "left by a run that was cut short, to be ended".to_owned(),
        ("service", "restart") => "to be restarted, as asked".to_owned(),
        ("reboot", _) => "to boot, as asked".to_owned(),
        ("service", "enabled") if gap.seen.is_none() => String::new(),
        ("service", "active" | "enabled") => {
            format!("{} → {}", if gap.seen.is_some() { seen } else { "missing" }, gap.want)
        }
        ("service", "load") if gap.seen.is_none() => "to be masked".to_owned(),
        ("service", "process") if gap.seen.as_deref() == Some(AS_WANTED) => {
            "runs as wanted, to be taken over without a restart".to_owned()
        }
        // Said by `restart`.
        ("service", "inputs" | "process") => String::new(),
        (_, fact) => format!("{fact}: {seen} → {}", gap.want),
    }
}

/// Why a process that runs is started anew. One that does not run has no age, and "inactive → active" says
/// all.
fn restart(action: &Action) -> Option<String> {
    let seen = |fact| {
        let gap = action.gaps.iter().find(|gap: &&Gap| gap.fact == fact)?;
        gap.seen.as_deref().filter(|seen| ![AS_WANTED, RESTARTING].contains(seen))
    };
    if action.id().kind != "service" || seen("active").is_some() {
        return None;
    }
    match (seen("inputs"), seen("process")) {
        (None, None) => None,
        _ if !action.causes.is_empty() => {
            const SHOWN: usize = 4;
            let mut causes = action.causes.iter().take(SHOWN).cloned().collect::<Vec<_>>();
            if let more @ 1.. = action.causes.len().saturating_sub(SHOWN) {
                causes.push(format!("{more} more"));
            }
            Some(format!("restart: {} changed", causes.join(", ")))
        }
        (Some(_), _) => Some("restart: what it was started with has changed".to_owned()),
        (None, Some(process)) => Some(format!("restart: its process is {process}")),
    }
}

/// What changes of what a service was started with, of all that changes before it: flags by their names,
/// other files by theirs, packages.
pub(super) fn causes(service: &Resource, changing: &[(&Resource, Vec<Gap>)]) -> Vec<String> {
    let Some(Service { inputs, .. }) = service.get() else { return Vec::new() };
    let mut causes = Vec::new();
    for (resource, gaps) in changing {
        let id = resource.id();
        let reads = resource.touches().is_some_and(|path| inputs.iter().any(|it| it == path));
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        match id.kind {
            "packages" => {
                let missing = gaps.iter().filter_map(|gap| gap.seen.as_deref());
                let missing: Vec<&str> = missing.flat_map(|list| list.split(", ")).collect();
                let names = missing.iter().filter_map(|one| one.split(' ').next());
                causes.extend(names.filter(|name| is_input(inputs, name)).map(str::to_owned));
            }
            "directory" if reads => {
                let strays = gaps.iter().filter(|gap| gap.fact == "strays");
                let strays = strays.filter_map(|gap| gap.seen.as_deref());
                causes.extend(strays.flat_map(str::lines).map(str::to_owned));
            }
            _ if reads => causes.push(last(&id.name)),
            _ => {}
        }
    }
    causes
}

/// Whether a service reads what dpkg writes when it unpacks a package.
fn is_input(inputs: &[String], package: &str) -> bool {
    inputs.iter().any(|path| path.ends_with(&format!("/dpkg/info/{package}.list")))
}

/// How a list of missing packages names one whose version is another.
const INSTEAD: &str = " (there is ";

/// `curl, mesos 1.11.0 (there is 1.9.0)` in words.
fn packages(missing: &str) -> String {
    let (mut plain, mut parts) = (Vec::new(), Vec::new());
    for one in missing.split(", ") {
        let other = one.split_once(INSTEAD).and_then(|(wanted, there)| {
            let (name, wanted) = wanted.split_once(' ')?;
            Some((name, wanted, there.strip_suffix(')')?))
        });
        match other {
            None => plain.push(one),
            Some((name, wanted, there)) => {
                // An epoch is Debian's, no part of the version.
                let upstream = there.split_once(':').map_or(there, |(_, rest)| rest);
                let way = way(upstream, wanted).unwrap_or("replace");
                parts.push(format!("{way} {name} {there} → {wanted}"));
            }
        }
    }
    if !plain.is_empty() {
        parts.insert(0, format!("install {}", plain.join(", ")));
    }
    parts.join(", ")
}

/// Which way it goes from one version to another; `None` where that cannot be said.
fn way(from: &str, to: &str) -> Option<&'static str> {
    let (from, to) = (Version::parse(from).ok()?, Version::parse(to).ok()?);
    match (from.at_least(to.numbers()), to.at_least(from.numbers())) {
        (true, false) => Some("DOWNGRADE"),
        (false, true) => Some("upgrade"),
        _ => None,
    }
}

/// The same of two paths that name versions, as `/opt/spark-3.5.1-0a1b2c3d`.
fn version_change(from: &str, to: &str) -> Option<&'static str> {
    fn version(path: &str) -> Option<&str> {
        path.split('-').find(|part| Version::parse(part).is_ok())
    }
    way(version(from)?, version(to)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_goes_back_is_called_so() {
        let shown = packages("curl, mesos 1.11.0 (there is 1:1.9.0-2), x 1.0 (there is 1.2)");
        assert_eq!(shown, "install curl, upgrade mesos 1:1.9.0-2 → 1.11.0, DOWNGRADE x 1.2 → 1.0");
        assert_eq!(version_change("/opt/spark-3.5.1-aa", "/opt/spark-3.4.2-bb"), Some("DOWNGRADE"));
        assert_eq!(version_change("/opt/spark-3.5.1-aa", "/opt/spark-3.5.1-bb"), None);
    }
}

//! The catalogue of every master and agent flag by release, and the check of one flag's value.
//!
//! `flags.tsv` was generated from the C++ sources of the 61 releases 0.20.1 to 1.11.0 and of HEAD
//! (1.12-dev); the documentation pages omit real flags and are not what this is checked against.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use strsim::osa_distance;

use super::versions::Version;
use super::{Finding, grammar};

/// [`LAST_RELEASE`] as a version.
pub fn last_release() -> Version {
    let [major, minor, patch] = LAST_RELEASE;
    match Version::parse(&format!("{major}.{minor}.{patch}")) {
        Ok(version) => version,
        Err(_) => unreachable!("three numbers are a version"),
    }
}

/// What [`check_flag`] finds.
pub type FlagProblem = Finding;

/// The last release; what is newer is checked as HEAD.
pub const LAST_RELEASE: [u32; 3] = [1, 11, 0];

/// Whether the daemon of a component would start with this flag file.
///
/// A warning is returned as an `Err` too: see its severity.
///
/// # Errors
/// The first thing wrong with the name, then with the value.
pub fn check_flag(
    component: Component,
    name: &str,
    value: &str,
    version: &Version,
) -> Result<(), FlagProblem> {
    let row = existing(component, name, version)?;
    grammar::check(row, value, version)?;
    match &row.deprecated {
        Some(since) if since.is_reached(version) => Err(deprecated(row, since)),
        _ => Ok(()),
    }
}

/// One flag by its exact name, whatever the release.
pub fn find(component: Component, name: &str) -> Option<&'static Flag> {
    let rows = &CATALOGUE[&component];
    rows.binary_search_by(|row| row.name.as_str().cmp(name)).ok().map(|index| &rows[index])
}

/// All flags of a component in all releases, by name; those common to both daemons included.
pub fn all(component: Component) -> &'static [Flag] {
    &CATALOGUE[&component]
}

/// The one of `candidates` that was probably meant by `word`.
pub fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    near(word, candidates, (word.chars().count() / 3).clamp(1, 3))
}

/// The one of `candidates` that is at most so many edits away from `word`, in any case.
pub fn near<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    edits: usize,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (osa_distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= edits)
        .min()
        .map(|(_, candidate)| candidate)
}

/// A daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// mesos-master; its flag files are in /etc/mesos-master.
    Master,
    /// mesos-agent; its flag files are in /etc/mesos-slave.
    Agent,
}

/// One row of the catalogue.
#[derive(Debug, Clone)]
pub struct Flag {
    /// Which daemon takes it.
    pub component: Component,
    /// Its name, and the file's.
    pub name: String,
    /// Whether it is the name of today.
    pub kind: Kind,
    /// Grammar of its value.
    pub kind_of_value: ValueKind,
    /// What it is when not given; `None` for nothing.
    pub default: Option<String>,
    /// First release that has it; 0.20.1 stands for that and all before.
    pub first: Release,
    /// Last release that has it; `None` when HEAD does.
    pub last: Option<Release>,
    /// Releases between first and last that lack it, for it was ported back.
    pub absent: Vec<Release>,
    /// Since when it is deprecated.
    pub deprecated: Option<Release>,
    /// Its name before or after.
    pub other_name: Option<String>,
    /// What to know about it.
    pub note: Option<String>,
}

/// Whether a name is the one of today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The name of today.
    Primary,
    /// An old name that is still taken.
    Alias,
}

/// Grammar of a flag's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// `true`, `1`, `false`, `0`.
    Bool,
    /// A size with its unit.
    Bytes,
    /// A floating-point number.
    Double,
    /// A number with its unit of time.
    Duration,
    /// A whole number.
    Int,
    /// Whole numbers, comma separated.
    IntList,
    /// JSON, or a path to it.
    Json,
    /// A path.
    Path,
    /// `0%` to `100%`.
    Percent,
    /// `1/10mins`.
    Rate,
    /// Words, comma separated.
    Set,
    /// Anything.
    Text,
}

/// A release in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// A released version.
    Numbered(Version),
    /// After 1.11.0, never released.
    Head,
}

static CATALOGUE: LazyLock<BTreeMap<Component, Vec<Flag>>> = LazyLock::new(|| {
    let mut catalogue: BTreeMap<Component, Vec<Flag>> = BTreeMap::new();
    for line in include_str!("flags.tsv").lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let components: &[Component] = match columns.first() {
            Some(&"master") => &[Component::Master],
            Some(&"agent") => &[Component::Agent],
            _ => &[Component::Master, Component::Agent],
        };
        for component in components {
            if let Some(flag) = row(*component, &columns) {
                catalogue.entry(*component).or_default().push(flag);
            }
        }
    }
    for rows in catalogue.values_mut() {
        rows.sort_by(|a, b| a.name.cmp(&b.name));
    }
    catalogue
});

/// A test holds that every line of the file makes a row.
fn row(component: Component, columns: &[&str]) -> Option<Flag> {
    let &[_, name, kind, value, _, default, first, last, absent, deprecated, other, _, _, _, note] =
        columns
    else {
        return None;
    };
    let given = |text: &str| (text != "-").then(|| text.to_owned());
    Some(Flag {
        component,
        name: name.to_owned(),
        kind: if kind == "alias" { Kind::Alias } else { Kind::Primary },
        kind_of_value: match value {
            "bool" => ValueKind::Bool,
            "bytes" => ValueKind::Bytes,
            "double" => ValueKind::Double,
            "duration" => ValueKind::Duration,
            "int" => ValueKind::Int,
            "int-list" => ValueKind::IntList,
            "json" => ValueKind::Json,
            "path" => ValueKind::Path,
            "percent" => ValueKind::Percent,
            "rate(N/duration)" => ValueKind::Rate,
            "set" => ValueKind::Set,
            "string" | "string-or-file-url" => ValueKind::Text,
            _ => return None,
        },
        default: given(default),
        first: Release::parse(first)?,
        last: if last == "-" { None } else { Some(Release::parse(last)?) },
        absent: match given(absent) {
            Some(list) => list.split(',').map(Release::parse).collect::<Option<_>>()?,
            None => Vec::new(),
        },
        deprecated: match given(deprecated) {
            Some(since) => Some(Release::parse(&since)?),
            None => None,
        },
        other_name: given(other),
        note: given(note),
    })
}

impl Flag {
    /// Whether this release has it.
    pub fn exists_in(&self, version: &Version) -> bool {
        // The catalogue begins with 0.20.1, which stands for everything before as well.
        let begun = self.first.is_reached(version)
            || matches!(&self.first, Release::Numbered(first) if first.as_str() == "0.20.1");
        let ended = match &self.last {
            Some(Release::Numbered(last)) => !last.at_least(version.numbers()),
            _ => false,
        };
        let absent = self.absent.iter().any(|release| match release {
            Release::Numbered(release) => {
                release.at_least(version.numbers()) && version.at_least(release.numbers())
            }
            Release::Head => false,
        });
        begun && !ended && !absent
    }
}

impl Release {
    fn parse(text: &str) -> Option<Release> {
        match text {
            "HEAD" => Some(Release::Head),
            text => Version::parse(text).ok().map(Release::Numbered),
        }
    }

    /// Whether `version` is this release or a later one.
    pub fn is_reached(&self, version: &Version) -> bool {
        match self {
            Release::Numbered(release) => version.at_least(release.numbers()),
            Release::Head => is_head(version),
        }
    }
}

/// Whether a version is newer than every release.
pub fn is_head(version: &Version) -> bool {
    let [major, minor, patch] = LAST_RELEASE;
    version.at_least(&[major, minor, patch + 1])
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Release::Numbered(version) => write!(f, "{version}"),
            Release::Head => f.write_str("1.12-dev"),
        }
    }
}

impl Component {
    fn other(self) -> Component {
        match self {
            Component::Master => Component::Agent,
            Component::Agent => Component::Master,
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Component::Master => "master",
            Component::Agent => "agent",
        })
    }
}

fn existing(
    component: Component,
    name: &str,
    version: &Version,
) -> Result<&'static Flag, FlagProblem> {
    match find(component, name) {
        Some(row) if row.exists_in(version) => Ok(row),
        Some(row) => Err(of_another_release(row, version)),
        None => Err(unknown(component, name, version)),
    }
}

fn of_another_release(row: &Flag, version: &Version) -> FlagProblem {
    let (name, component) = (&row.name, row.component);
    let message = match &row.last {
        _ if !row.first.is_reached(version) => {
            format!("{component} flag {name} came with Mesos {}, not {version}", row.first)
        }
        Some(last) if last.is_reached(version) => format!(
            "Mesos {version} has no {component} flag {name}; {last} was the last to have it"
        ),
        _ => format!(
            "Mesos {version} has no {component} flag {name}, though releases before and after do"
        ),
    };
    let problem = Finding::error(message);
    let other = row.other_name.as_deref().and_then(|other| find(component, other));
    match other {
        Some(other) if other.exists_in(version) => {
            problem.help(format!("in Mesos {version} it is called {}", other.name))
        }
        _ => {
            problem.help(format!("remove {name}; the {component} stops on a flag it does not know"))
        }
    }
}

fn unknown(component: Component, name: &str, version: &Version) -> FlagProblem {
    let problem = Finding::error(format!("there is no {component} flag {name}"));
    let bare = name.trim_start_matches('?');
    if let Some(flag) = bare.strip_prefix("no-").filter(|flag| find(component, flag).is_some()) {
        return problem.help(format!("write {flag}: false"));
    }
    if bare != name && find(component, bare).is_some() {
        return problem.help(format!("write {bare}: true"));
    }
    let mine = all(component).iter().filter(|row| row.exists_in(version));
    if let Some(meant) = did_you_mean(name, mine.map(|row| row.name.as_str())) {
        return problem.help(format!("did you mean {meant}?"));
    }
    let other = component.other();
    if find(other, name).is_some_and(|row| row.exists_in(version)) {
        return problem.help(format!("{name} is a flag of {other}s"));
    }
    problem.help(format!("remove it; the {component} stops on a flag it does not know"))
}

fn deprecated(row: &Flag, since: &Release) -> FlagProblem {
    let name = &row.name;
    match (&row.kind, &row.other_name) {
        (Kind::Alias, Some(new)) => {
            Finding::warning(format!("{name} is the old name of {new} since Mesos {since}"))
                .help(format!("write {new}"))
        }
        _ => {
            let warning = Finding::warning(format!("{name} is deprecated since Mesos {since}"));
            match &row.note {
                Some(note) => warning.help(note.clone()),
                None => warning,
            }
        }
    }
}

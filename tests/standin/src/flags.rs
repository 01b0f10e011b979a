//! Flags: which exist, how they are written, what is refused and with which words.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::units::{self, CONVERT};
use crate::version::Release;

/// The checked flags of one daemon, with defaults, as `/flags` prints them.
#[derive(Debug, Clone)]
pub(crate) struct Flags {
    component: Component,
    values: BTreeMap<String, String>,
    /// Those whose value was in a file that is not to be told: shown as the file's name.
    /// Source: `SecurePathOrValue` in src/common/parse.hpp, from 1.5.0.
    files: BTreeMap<String, String>,
}

/// Which daemon reads the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Component {
    Master,
    Agent,
}

impl Flags {
    /// Reads the arguments and the environment the way stout's `FlagsBase::load` does: names are
    /// checked in alphabetical order, the first mistake is the only one told.
    /// Source: stout/flags/flags.hpp at 1.11.0; texts as recorded.
    pub(crate) fn load(
        component: Component,
        version: &str,
        arguments: impl Iterator<Item = String>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Flags, String> {
        let catalogue = Catalogue::of(component, version);
        let mut given = from_arguments(arguments);
        for (name, value) in from_environment(environment, &catalogue) {
            if !given.iter().any(|(other, _)| *other == name) {
                given.push((name, Some(value)));
            }
        }
        // Stable: of one name given twice the first stays first.
        given.sort_by(|one, other| one.0.cmp(&other.0));
        let mut loaded: BTreeMap<String, String> = BTreeMap::new();
        let mut values = catalogue.defaults();
        let mut files = BTreeMap::new();
        for (name, value) in given {
            let (flag_name, negated) = match name.strip_prefix("no-") {
                Some(rest) => (rest, Negated::Yes),
                None => (name.as_str(), Negated::No),
            };
            let Some(flag) = catalogue.find(flag_name) else {
                let via =
                    if negated == Negated::Yes { format!(" via '{name}'") } else { String::new() };
                return Err(format!("Failed to load unknown flag '{flag_name}'{via}"));
            };
            let primary = catalogue.primary(flag);
            if let Some(before) = loaded.get(primary) {
                return Err(format!("Flag '{flag_name}' is already loaded via name '{before}'"));
            }
            let value = effective(flag, flag_name, &name, negated, value)?;
            if flag.secret && value.starts_with("file://") {
                files.insert(primary.to_owned(), value.clone());
            }
            let value = fetch(flag.kind, &value).map_err(|error| {
                format!(
                    "Failed to load flag '{flag_name}': Failed to load value '{value}': {error}"
                )
            })?;
            loaded.insert(primary.to_owned(), name.clone());
            values.insert(primary.to_owned(), value);
        }
        let flags = Flags { component, values, files };
        let missing = catalogue.required().find(|name| !flags.values.contains_key(*name));
        match missing {
            Some(name) if !flags.is_set("help") && !flags.is_set("version") => {
                Err(format!("Flag '{name}' is required, but it was not provided"))
            }
            _ => Ok(flags),
        }
    }

    /// The value, if it was given or has a default.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A boolean flag; absent is false.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    /// A duration flag; all that are asked for have defaults, so that absent is zero.
    pub(crate) fn duration(&self, name: &str) -> Duration {
        self.text(name).and_then(|text| units::duration(text).ok()).unwrap_or_default()
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(|text| text.parse().ok())
    }

    /// The object under `flags` in `/flags` and `/state`.
    pub(crate) fn to_json(&self) -> Value {
        let pairs = self.shown().map(|(name, value)| (name.to_owned(), Value::from(value)));
        Value::Object(pairs.collect::<Map<_, _>>())
    }

    /// The line "Flags at startup".
    pub(crate) fn at_startup(&self) -> String {
        let pairs = self.shown().map(|(name, value)| format!("--{name}=\"{value}\""));
        pairs.collect::<Vec<_>>().join(" ")
    }

    fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| {
            (name.as_str(), self.files.get(name).map_or(value.as_str(), String::as_str))
        })
    }

    /// What `--help` prints.
    pub(crate) fn usage(&self) -> String {
        let mut text = format!("Usage: {} [options]\n\n", self.component.program());
        for name in self.values.keys() {
            text.push_str(&format!("  --{name}=VALUE\n"));
        }
        text
    }
}

impl Component {
    /// The name that the daemon gives itself in texts and log files.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Component::Master => "mesos-master",
            Component::Agent => "mesos-agent",
        }
    }

    /// The line that follows every mistake in the flags.
    pub(crate) fn help_hint(self) -> String {
        format!("See `{} --help` for a list of supported flags.", self.program())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Negated {
    Yes,
    No,
}

/// A bare word, and everything after `--`, is ignored; so is a second word after a flag.
fn from_arguments(arguments: impl Iterator<Item = String>) -> Vec<(String, Option<String>)> {
    arguments
        .map(|argument| argument.trim_matches([' ', '\t', '\n', '\r']).to_owned())
        .take_while(|argument| argument != "--")
        .filter_map(|argument| {
            let flag = argument.strip_prefix("--")?;
            Some(match flag.split_once('=') {
                Some((name, value)) => (name.to_lowercase(), Some(value.to_owned())),
                None => (flag.to_lowercase(), None),
            })
        })
        .collect()
}

/// `MESOS_QUORUM=2`; variables that are no flag are somebody else's.
fn from_environment(
    environment: impl Iterator<Item = (String, String)>,
    catalogue: &Catalogue,
) -> Vec<(String, String)> {
    environment
        .filter_map(|(name, value)| {
            let name = name.strip_prefix("MESOS_")?.to_lowercase();
            let flag = name.strip_prefix("no-").unwrap_or(&name);
            catalogue.find(flag).is_some().then_some((name, value))
        })
        .collect()
}

fn effective(
    flag: &Row,
    flag_name: &str,
    name: &str,
    negated: Negated,
    value: Option<String>,
) -> Result<String, String> {
    match (flag.kind, negated, value) {
        (Kind::Bool, Negated::Yes, None) => Ok("false".to_owned()),
        (Kind::Bool, Negated::Yes, Some(value)) if value.is_empty() => Ok("false".to_owned()),
        (Kind::Bool, Negated::Yes, Some(value)) => Err(format!(
            "Failed to load boolean flag '{flag_name}' via '{name}' with value '{value}'"
        )),
        (Kind::Bool, Negated::No, None) => Ok("true".to_owned()),
        (Kind::Bool, Negated::No, Some(value)) if value.is_empty() => Ok("true".to_owned()),
        (_, Negated::Yes, _) => {
            Err(format!("Failed to load non-boolean flag '{flag_name}' via '{name}'"))
        }
        (_, Negated::No, None) => {
            Err(format!("Failed to load non-boolean flag '{flag_name}': Missing value"))
        }
        (_, Negated::No, Some(value)) => Ok(value),
    }
}

/// Replaces `file://` by the file's bytes, untrimmed, and checks the type.
/// Source: stout/flags/fetch.hpp.
fn fetch(kind: Kind, value: &str) -> Result<String, String> {
    let read = |path: &str| {
        std::fs::read_to_string(path).map_err(|error| {
            let reason = error.to_string();
            let reason = reason.split(" (os error").next().unwrap_or_default();
            format!("Error reading file '{path}': {reason}")
        })
    };
    match (kind, value.strip_prefix("file://")) {
        (Kind::Path, Some(path)) => Ok(path.to_owned()),
        (Kind::Path, None) => Ok(value.to_owned()),
        (Kind::Json, None) if value.starts_with('/') => kind.check(&read(value)?),
        (_, Some(path)) => kind.check(&read(path)?),
        (_, None) => kind.check(value),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Int,
    Double,
    Duration,
    Bytes,
    Json,
    Path,
    Text,
}

impl Kind {
    fn of(name: &str) -> Kind {
        match name {
            "bool" => Kind::Bool,
            "int" => Kind::Int,
            "double" => Kind::Double,
            "duration" => Kind::Duration,
            "bytes" => Kind::Bytes,
            "json" => Kind::Json,
            "path" => Kind::Path,
            _ => Kind::Text,
        }
    }

    /// The value as `/flags` prints it, or stout's complaint.
    fn check(self, value: &str) -> Result<String, String> {
        let convert = || CONVERT.to_owned();
        match self {
            Kind::Bool => match value {
                "true" | "1" => Ok("true".to_owned()),
                "false" | "0" => Ok("false".to_owned()),
                _ => Err("Expecting a boolean (e.g., true or false)".to_owned()),
            },
            Kind::Int => value.parse::<i64>().map(|n| n.to_string()).map_err(|_| convert()),
            Kind::Double => value.parse::<f64>().map(|n| n.to_string()).map_err(|_| convert()),
            Kind::Duration => units::duration(value).map(units::print_duration),
            Kind::Bytes => units::bytes(value).map(units::print_bytes),
            Kind::Json => match serde_json::from_str::<Value>(value) {
                Ok(json) => Ok(json.to_string()),
                Err(_) => Err(syntax_error(value)),
            },
            Kind::Path | Kind::Text => Ok(value.to_owned()),
        }
    }
}

/// What Mesos' JSON parser says about text that is none.
pub(crate) fn syntax_error(text: &str) -> String {
    format!("syntax error at line 1 near: {text}")
}

/// The rows of flags.tsv (a copy of provision's own catalogue) that this version of this daemon has.
struct Catalogue {
    rows: Vec<Row>,
}

struct Row {
    name: String,
    alias_of: Option<String>,
    kind: Kind,
    /// Whether what a file holds is not told.
    secret: bool,
    required: bool,
    default: Option<String>,
}

impl Catalogue {
    fn of(component: Component, version: &str) -> Catalogue {
        let version = Release::parse(version).unwrap_or(Release::newest());
        let wanted = match component {
            Component::Master => "master",
            Component::Agent => "agent",
        };
        let rows = include_str!("../flags.tsv")
            .lines()
            .skip(1)
            .map(|line| line.split('\t').collect::<Vec<_>>())
            .filter(|row| row[0] == "common" || row[0] == wanted)
            .filter(|row| exists(row, version))
            .map(|row| Row::of(&row))
            .collect();
        Catalogue { rows }
    }

    fn find(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// The name under which a value is kept and printed.
    fn primary<'a>(&'a self, row: &'a Row) -> &'a str {
        let newer = row.alias_of.as_deref().filter(|name| self.find(name).is_some());
        newer.unwrap_or(&row.name)
    }

    fn defaults(&self) -> BTreeMap<String, String> {
        let with_default = self.rows.iter().filter(|row| row.alias_of.is_none());
        with_default.filter_map(|row| Some((row.name.clone(), row.default.clone()?))).collect()
    }

    fn required(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().filter(|row| row.required).map(|row| row.name.as_str())
    }
}

/// Flags behind a build option that no package switched on do not exist: the recorded daemons
/// list none of them.
fn exists(row: &[&str], version: Release) -> bool {
    let (first, last, absent, condition) = (row[6], row[7], row[8], row[11]);
    let begun = Release::parse(first).is_some_and(|first| first <= version);
    let over = Release::parse(last).is_some_and(|last| last < version);
    let skipped = absent.split(',').any(|absent| Release::parse(absent) == Some(version));
    let built = matches!(condition, "-" | "linux" | "not-windows" | "USE_SSL_SOCKET");
    begun && !over && !skipped && built
}

impl Row {
    fn of(row: &[&str]) -> Row {
        let kind = Kind::of(row[3]);
        Row {
            name: row[1].to_owned(),
            alias_of: (row[2] == "alias").then(|| row[10].to_owned()),
            kind,
            secret: row[3] == "string-or-file-url",
            required: row[4].starts_with("yes"),
            default: default(kind, row[1], row[5]),
        }
    }
}

/// The catalogue's notation of a default, as the package of old (prefix /usr) prints it.
fn default(kind: Kind, name: &str, written: &str) -> Option<String> {
    let value = match (name, written) {
        (_, "-") => return None,
        (_, "\"\"") => "",
        ("webui_dir", _) => "/usr/share/mesos/webui",
        ("launcher_dir", _) => "/usr/libexec/mesos",
        ("launcher", _) => "linux",
        ("runtime_dir", _) => "/var/run/mesos",
        (_, written) => written.strip_prefix("$TMPDIR-or-").unwrap_or(written),
    };
    kind.check(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(component: Component, words: &[&str]) -> Result<Flags, String> {
        let words = words.iter().map(|&word| word.to_owned());
        Flags::load(component, "1.11.0", words, std::iter::empty())
    }

    fn refused(component: Component, words: &[&str]) -> String {
        load(component, words).expect_err("these flags must be refused")
    }

    #[test]
    fn only_the_three_forms_are_flags() {
        let flags =
            load(Component::Master, &["quorum", "--quorum=2", "3", "--no-hostname_lookup", ""])
                .expect("these flags are good");
        assert_eq!(flags.text("quorum"), Some("2"));
        assert_eq!(flags.text("hostname_lookup"), Some("false"));
        let after = load(Component::Master, &["--", "--nonsense"]).expect("`--` ends the flags");
        assert_eq!(after.text("quorum"), None);
    }

    #[test]
    fn mistakes_have_the_real_texts() {
        use Component::{Agent, Master};
        for (component, words, text) in [
            (Master, &["--quorum.bak=2"][..], "Failed to load unknown flag 'quorum.bak'"),
            (Agent, &["--no-such"], "Failed to load unknown flag 'such' via 'no-such'"),
            (
                Master,
                &["--port=5050", "--port=5051"],
                "Flag 'port' is already loaded via name 'port'",
            ),
            (
                Master,
                &["--authenticate_slaves", "--authenticate_agents"],
                "Flag 'authenticate_slaves' is already loaded via name 'authenticate_agents'",
            ),
            (
                Master,
                &["--quorum=two"],
                "Failed to load flag 'quorum': Failed to load value 'two': Failed to convert into required type",
            ),
            (Master, &["--quorum"], "Failed to load non-boolean flag 'quorum': Missing value"),
            (Master, &["--no-quorum"], "Failed to load non-boolean flag 'quorum' via 'no-quorum'"),
            (
                Master,
                &["--log_auto_initialize=yes"],
                "Failed to load flag 'log_auto_initialize': Failed to load value 'yes': Expecting a boolean (e.g., true or false)",
            ),
            (Agent, &["--master=x:1"], "Flag 'work_dir' is required, but it was not provided"),
            (Agent, &["--eth0_name=e"], "Failed to load unknown flag 'eth0_name'"),
        ] {
            assert_eq!(refused(component, words), text);
        }
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let environment = [("MESOS_QUORUM", "3"), ("MESOS_CLUSTER", "c"), ("MESOS_HOME", "/x")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let words = ["--quorum=2".to_owned()].into_iter();
        let flags = Flags::load(Component::Master, "1.11.0", words, environment.into_iter())
            .expect("an unknown variable is not a flag");
        assert_eq!(flags.text("quorum"), Some("2"));
        assert_eq!(flags.text("cluster"), Some("c"));
    }

    #[test]
    fn a_file_s_contents_are_not_trimmed_and_a_path_stays_one() {
        let path = std::env::temp_dir().join(format!("standin-flags-{}", std::process::id()));
        std::fs::write(&path, "2\n").expect("a file for the test");
        let url = format!("file://{}", path.display());
        let text = refused(Component::Master, &[&format!("--quorum={url}")]);
        assert!(text.ends_with(&format!("value '{url}': {CONVERT}")), "{text}");
        let flags = load(Component::Master, &[&format!("--cluster={url}")]).expect("any text");
        assert_eq!(flags.text("cluster"), Some("2\n"));
        std::fs::remove_file(&path).expect("the file was there");
        let flags = load(Component::Master, &[&format!("--credentials={url}")]).expect("a path");
        assert_eq!(flags.text("credentials"), path.to_str());
        let absent = refused(Component::Master, &[&format!("--cluster={url}")]);
        let file = path.display();
        assert!(
            absent.ends_with(&format!("Error reading file '{file}': No such file or directory"))
        );
    }

    #[test]
    fn flags_follow_the_version() {
        let at = |version: &str| {
            let words = ["--allocator_recovery_timeout=5mins".to_owned()].into_iter();
            Flags::load(Component::Master, version, words, std::iter::empty()).is_ok()
        };
        assert!(at("1.11.0"));
        assert!(!at("1.10.0"));
    }

    /// Keys of a recorded `/flags` that 1.11.0 does not have yet.
    #[test]
    fn the_printed_flags_are_those_of_a_real_daemon() {
        let agent = load(
            Component::Agent,
            &[
                "--master=zk://h:1/m",
                "--work_dir=/var/lib/mesos",
                "--ip=1.2.3.4",
                "--hostname=a1",
                "--attributes=rack:r1",
                "--resources=cpus:1",
                "--log_dir=/var/log/mesos",
            ],
        )
        .expect("these flags are good");
        compare(&agent, include_str!("../tests/recorded/agent-flags.json"));
        let master = load(
            Component::Master,
            &[
                "--zk=zk://h:1/m",
                "--work_dir=/var/lib/mesos",
                "--ip=1.2.3.4",
                "--hostname=m1",
                "--quorum=2",
                "--cluster=rec",
                "--log_dir=/var/log/mesos",
            ],
        )
        .expect("these flags are good");
        compare(&master, include_str!("../tests/recorded/master-flags.json"));
    }

    fn compare(ours: &Flags, recorded: &str) {
        const GIVEN: [&str; 14] = [
            "master",
            "zk",
            "ip",
            "hostname",
            "attributes",
            "resources",
            "work_dir",
            "log_dir",
            "containerizers",
            "launcher",
            "docker_kill_orphans",
            "executor_registration_timeout",
            "systemd_enable_support",
            "quorum",
        ];
        let recorded: Value = serde_json::from_str(recorded).expect("the recording is JSON");
        let theirs = recorded["flags"].as_object().expect("the recording has flags");
        for (name, value) in theirs {
            let our = ours.values.get(name);
            assert!(our.is_some(), "{name} is missing");
            if !GIVEN.contains(&name.as_str()) {
                assert_eq!(our.map(String::as_str), value.as_str(), "{name}");
            }
        }
        // What was recorded was built without TLS.
        let tls = |name: &String| name == "authenticate_http_executors";
        let more = ours.values.keys().filter(|name| !theirs.contains_key(*name));
        let more: Vec<_> = more.filter(|name| !tls(name)).collect();
        assert!(more.is_empty(), "we print {more:?}, the real one does not");
    }
}

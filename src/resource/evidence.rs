//! How it is told whether a process that nobody of ours ever started runs as wanted.

use std::collections::BTreeMap;

use super::package::Packages;
use super::paths::stat;
use super::{Kind as _, Look};
use crate::mesos::flags::Component;
use crate::mesos::process::{self, Flags};
use crate::mesos::versions::Version;
use crate::script::{Sections, foreign, foreign_file, foreign_texts, quote};

/// What tells that a process runs as wanted, though it never had a stamp of ours. Then it is taken over as it
/// runs: the stamp is written once it was found healthy, and nothing is restarted.
#[derive(Debug, Clone, PartialEq)]
pub enum Evidence {
    /// The flags of its command line and its environment are the wanted ones.
    Flags {
        /// Which daemon it is.
        daemon: Component,
        /// Every flag that is wanted.
        flags: Flags,
        /// Variables of its environment that are wanted; of LIBPROCESS_SSL_* no others.
        environment: BTreeMap<String, String>,
        /// The release that it is to be.
        version: Version,
        /// What it is installed from; must be as wanted too.
        package: Box<Packages>,
    },
    /// A file of JSON that is older than it says the same as wanted; an absent one says `{}`.
    Json {
        /// The file.
        path: String,
        /// What it is to say.
        value: serde_json::Value,
    },
}

/// What the names of variables begin with by which a daemon speaks TLS.
const TLS: &str = "LIBPROCESS_SSL_";

/// What grep takes lines of an environment by: what may be a flag, what is about TLS, and what else is wanted.
fn variables(wanted: &BTreeMap<String, String>) -> String {
    let others: Vec<&str> =
        wanted.keys().map(String::as_str).filter(|name| !name.starts_with(TLS)).collect();
    match others.is_empty() {
        true => "^(MESOS|LIBPROCESS_SSL)_".to_owned(),
        false => format!("^((MESOS|LIBPROCESS_SSL)_|({})=)", others.join("|")),
    }
}

impl Evidence {
    /// Asks for what is compared, in two [foreign] texts; nothing where there is a stamp.
    pub(super) fn probe(&self, unit: &str, stamp: &str) -> String {
        let unit = quote(&format!("{unit}.service"));
        let asked = match self {
            Evidence::Flags { environment, .. } => format!(
                "p=$(systemctl show -p MainPID --value {unit} 2>/dev/null)\n\
                 case $p in ''|0) p=none ;; esac\n{}{}",
                foreign("head -c 65536 \"/proc/$p/cmdline\" 2>/dev/null"),
                foreign(&format!(
                    "grep -azE {} \"/proc/$p/environ\" 2>/dev/null",
                    quote(&variables(environment))
                ))
            ),
            Evidence::Json { path, .. } => {
                let path = quote(path);
                format!("if [ -f {path} ]; then\n{}fi\n", foreign_file(&path))
            }
        };
        // Nothing is forked where there is a stamp, which is on nearly every host and in every run.
        format!("if [ ! -e {} ]; then\n{asked}fi\n", quote(stamp))
    }

    pub(super) fn holds(&self, said: &str, started: Option<u64>, sections: &Sections) -> bool {
        let mut texts = foreign_texts(said);
        let (first, second) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
        match self {
            Evidence::Flags { daemon, flags, environment, version, package } => {
                let words: Vec<&str> = first.split_terminator('\0').collect();
                let lines: Vec<&str> = second.split_terminator('\0').collect();
                let given = process::given(*daemon, &words, &lines);
                let has: BTreeMap<&str, &str> =
                    lines.iter().filter_map(|line| line.split_once('=')).collect();
                let strange =
                    |name: &&str| name.starts_with(TLS) && !environment.contains_key(*name);
                // As it is in memory, not as it is on the disk by now.
                !words.is_empty()
                    && environment
                        .iter()
                        .all(|(name, value)| has.get(name.as_str()) == Some(&value.as_str()))
                    && !has.keys().any(strange)
                    && process::differences(*daemon, flags, &given, version).is_empty()
                    && package.read(sections) == Look::Facts(package.want())
            }
            Evidence::Json { path, value } => {
                let there = stat(path, sections);
                let same = match &there {
                    None => value == &serde_json::json!({}),
                    Some(_) => serde_json::from_str::<serde_json::Value>(&first)
                        .is_ok_and(|said| said == *value),
                };
                // Whole seconds on both sides.
                same && there.is_none_or(|file| started.is_some_and(|at| file.changed < at))
            }
        }
    }
}

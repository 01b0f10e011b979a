//! How it is told whether a process that nobody of ours ever started runs as wanted.

use std::collections::BTreeMap;

use super::package::Packages;
use super::paths::stat;
use super::{Kind as _, Look};
use crate::mesos::flags::Component;
use crate::mesos::process::{self, Flags};
use crate::mesos::versions::Version;
use crate::script::{Sections, foreign, foreign_texts, quote};

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
        /// All of LIBPROCESS_SSL_* that is wanted.
        tls: BTreeMap<String, String>,
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

impl Evidence {
    /// Asks for what is compared, in two [foreign] texts; nothing where there is a stamp.
    pub(super) fn probe(&self, unit: &str, stamp: &str) -> String {
        let unit = quote(&format!("{unit}.service"));
        let asked = match self {
            Evidence::Flags { .. } => format!(
                "p=$(systemctl show -p MainPID --value {unit} 2>/dev/null)\n\
                 case $p in ''|0) p=none ;; esac\n{}{}",
                foreign("head -c 65536 \"/proc/$p/cmdline\" 2>/dev/null"),
                foreign("grep -azE '^(MESOS|LIBPROCESS_SSL)_' \"/proc/$p/environ\" 2>/dev/null")
            ),
            Evidence::Json { path, .. } => {
                let path = quote(path);
                foreign(&format!("{{ [ ! -f {path} ] || cat {path} 2>/dev/null; }}"))
            }
        };
        // Nothing is forked where there is a stamp, which is on nearly every host and in every run.
        format!("if [ ! -e {} ]; then\n{asked}fi\n", quote(stamp))
    }

    pub(super) fn holds(&self, said: &str, started: Option<u64>, sections: &Sections) -> bool {
        let mut texts = foreign_texts(said);
        let (first, second) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
        match self {
            Evidence::Flags { daemon, flags, tls, version, package } => {
                let words: Vec<&str> = first.split_terminator('\0').collect();
                let environment: Vec<&str> = second.split_terminator('\0').collect();
                let given = process::given(*daemon, &words, &environment);
                let mut speaks = environment.iter().filter_map(|line| line.split_once('='));
                let speaks: BTreeMap<&str, &str> =
                    speaks.by_ref().filter(|(name, _)| name.starts_with("LIBPROCESS_")).collect();
                let wanted = tls.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                // As it is in memory, not as it is on the disk by now.
                !words.is_empty()
                    && speaks == wanted.collect()
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

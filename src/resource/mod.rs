//! Resources: one thing that should be true on one host.
//!
//! A kind says how to look (for all its resources of a host at once), what it wants to see, and how to
//! make it so: [`Kind`]. Comparing is [`diff`], the same for every kind. The match on kinds exists once, here.
//!
//! To add a kind: one file that implements [`Kind`], its `mod` line and its variant here.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Deref;

use serde::Serialize;

use crate::ground::SecretRef;
use crate::script::{Fix, Probe, Sections, Step};

pub mod directory;
pub mod drain;
pub mod evidence;
pub mod fetched;
pub mod file;
pub mod image;
pub mod lead;
pub mod leftovers;
pub mod link;
pub mod offers;
pub mod package;
mod paths;
pub mod proof;
pub mod reboot;
pub mod registry;
pub mod removed;
pub mod service;
pub mod unpacked;
pub mod user;
pub mod weights;
pub mod znodes;

/// What a kind of resource knows: how to look, what to want, how to make it so, and what follows from it
/// for whoever plans and applies. What has a default here concerns few kinds.
pub trait Kind: Any + fmt::Debug {
    /// What names it on its host.
    fn id(&self) -> ResourceId;

    /// What is wanted of it.
    fn want(&self) -> Facts;

    /// What is asked for all resources of this kind on a host, at once, beside [`paths`](Kind::paths) and
    /// [`texts`](Kind::texts).
    fn probe(_: &[&Self]) -> Probe
    where
        Self: Sized,
    {
        Probe::default()
    }

    /// What the answer to [`probe`] says of it, where it may be looked at; [`read`] asks first.
    fn read(&self, sections: &Sections) -> Look;

    /// How to close these gaps.
    fn fix(&self, gaps: &[Gap]) -> Vec<Step>;

    /// Every path that its `stat` is wanted of (one `stat` serves all kinds of a host).
    fn paths(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Every small file that its text is wanted of (one loop of the shell serves all kinds of a host).
    fn texts(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Every regular file that its SHA-256 is wanted of (one `sha256sum` serves all kinds of a host).
    fn sums(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Lines that take it away again; `None` for what stays when a cluster is taken down, because others may
    /// use it.
    fn undo(&self) -> Option<String> {
        None
    }

    /// The path that changes under whoever reads it, when a gap is closed.
    fn touches(&self) -> Option<&str> {
        None
    }

    /// Decides what only the planner knows, who has seen which paths the gaps before it
    /// [touch](Kind::touches).
    fn settle(&self, _facts: &mut Facts, _touched: &BTreeSet<&str>) {}

    /// The unit that it keeps running, without `.service`.
    fn runs(&self) -> Option<&str> {
        None
    }

    /// Whether closing these gaps disturbs a running process.
    fn disturbs(&self, _gaps: &[Gap]) -> bool {
        false
    }

    /// Whether closing these gaps ends a process that runs now.
    fn interrupts(&self, _gaps: &[Gap]) -> bool {
        false
    }

    /// What is sent once its process was found healthy.
    fn stamp(&self) -> Option<Fix> {
        None
    }

    /// What of its fix's output is a result; what others print is noise.
    fn result(&self, _output: &str) -> String {
        String::new()
    }

    /// The secrets that it needs.
    fn secrets(&self) -> Vec<SecretRef> {
        Vec::new()
    }
}

/// The last line of an output, for a [result](Kind::result).
fn last_line(output: &str) -> String {
    let last = output.lines().next_back().filter(|line| !line.is_empty());
    last.map_or_else(String::new, |line| format!("{line}\n"))
}

/// Declares the kinds: the enum, and the one match on it.
macro_rules! kinds {
    ($($(#[$doc:meta])* $Kind:ident($module:ident),)*) => {
        /// One thing that should be true on one host.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Resource {
            $($(#[$doc])* $Kind($module::$Kind),)*
        }

        impl Deref for Resource {
            type Target = dyn Kind;

            fn deref(&self) -> &(dyn Kind + 'static) {
                match self {
                    $(Resource::$Kind(it) => it,)*
                }
            }
        }

        $(impl From<$module::$Kind> for Resource {
            fn from(it: $module::$Kind) -> Resource {
                Resource::$Kind(it)
            }
        })*

        /// The probe for all resources of one host, batched by kind.
        pub fn probe(resources: &[&Resource]) -> Probe {
            let mut probe = paths::probe(resources);
            $(probe.extend($module::$Kind::probe(&of(resources)));)*
            probe
        }
    };
}

// In the order in which a host is asked.
kinds! {
    /// Debian packages.
    Packages(package),
    /// A regular file.
    File(file),
    /// A directory, perhaps owned whole.
    Directory(directory),
    /// A symbolic link.
    Link(link),
    /// A login account.
    User(user),
    /// An archive unpacked into a directory of its own.
    Unpacked(unpacked),
    /// A systemd unit.
    Service(service),
    /// The lead of an ensemble.
    Lead(lead),
    /// A Docker image.
    Image(image),
    /// A drain of ours that was left.
    Drain(drain),
    /// Who may write below the masters' path.
    Znodes(znodes),
    /// Whether an agent gets offers, as an operator wants it.
    Offers(offers),
    /// A host that is to boot.
    Reboot(reboot),
    /// Secrets that nobody uses any more.
    Leftovers(leftovers),
    /// Something that is to be there no more.
    Removed(removed),
    /// Weights of Mesos roles in the leader's registry.
    Weights(weights),
    /// The masters' registry over a log that begins anew.
    Registry(registry),
    /// Something proven once and stamped.
    Proof(proof),
}

impl Resource {
    /// It, if it is of this kind.
    pub fn get<T: Kind>(&self) -> Option<&T> {
        let it: &dyn Any = &**self;
        it.downcast_ref()
    }
}

/// What names a resource on its host: kind and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    /// The kind's word, such as `file`.
    pub kind: &'static str,
    /// Its name within the kind, such as a path.
    pub name: String,
}

/// What a probe printed about one resource, or what is wanted of it.
pub type Facts = BTreeMap<&'static str, String>;

/// What was learnt about one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// These facts.
    Facts(Facts),
    /// Cannot be known before something else is right; looked at again then.
    Later(&'static str),
    /// The probe gave no usable answer. Never read as absent.
    Failed(String),
}

/// One fact not as wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Which fact.
    pub fact: &'static str,
    /// What is there; `None` for nothing.
    pub seen: Option<String>,
    /// What is wanted.
    pub want: String,
}

/// All facts not as wanted, in the order of their names. The only comparison there is.
pub fn diff(want: &Facts, seen: &Facts) -> Vec<Gap> {
    want.iter()
        .filter(|(fact, value)| seen.get(*fact) != Some(value))
        .map(|(fact, value)| Gap { fact, seen: seen.get(fact).cloned(), want: value.clone() })
        .collect()
}

/// What the answer to [`probe`] says of one resource.
pub fn read(resource: &Resource, sections: &Sections) -> Look {
    if resource.paths().iter().any(|path| paths::is_hidden(path, sections)) {
        return Look::Failed(paths::NOT_ALLOWED.to_owned());
    }
    resource.read(sections)
}

/// Those of one kind.
fn of<'a, T: Kind>(resources: &[&'a Resource]) -> Vec<&'a T> {
    resources.iter().filter_map(|resource| resource.get()).collect()
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

impl Serialize for ResourceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_that_is_as_wanted_has_no_gap() {
        let want = Facts::from([("mode", "644".to_owned()), ("owner", "root".to_owned())]);
        let mut seen = want.clone();
        seen.insert("extra", "ignored".to_owned());
        assert_eq!(diff(&want, &seen), []);
        seen.insert("mode", "600".to_owned());
        assert_eq!(diff(&want, &seen).len(), 1);
    }
}

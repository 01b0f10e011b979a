//! Resources: one thing that should be true on one host.
//!
//! A kind says how to look (for all its resources of a host at once), what it wants to see, and how to
//! make it so. Comparing is [`diff`], the same for every kind. The match on kinds exists once, here.
//!
//! To add a kind: one file with `probe`, `read`, `want`, `fix`; one variant in [`Resource`].

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::script::{Probe, Sections, Step};

pub mod directory;
pub mod drain;
pub mod fetched;
pub mod file;
pub mod image;
pub mod link;
pub mod package;
pub mod proof;
pub mod service;
pub mod unpacked;
pub mod user;
pub mod weights;

/// One thing that should be true on one host.
#[derive(Debug, Clone, PartialEq)]
pub enum Resource {
    /// Debian packages.
    Packages(package::Packages),
    /// A regular file.
    File(file::File),
    /// A directory, perhaps owned whole.
    Directory(directory::Directory),
    /// A symbolic link.
    Link(link::Link),
    /// A login account.
    User(user::User),
    /// An archive unpacked into a directory of its own.
    Unpacked(unpacked::Unpacked),
    /// A Docker image.
    Image(image::Image),
    /// A systemd unit.
    Service(service::Service),
    /// A drain of ours that was left.
    Drain(drain::Drain),
    /// Weights of Mesos roles in the leader's registry.
    Weights(weights::Weights),
    /// Something proven once and stamped.
    Proof(proof::Proof),
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

/// The probe for all resources of one host, batched by kind.
pub fn probe(resources: &[&Resource]) -> Probe {
    let mut probe = Probe::default();
    probe.extend(package::probe(&of(resources, Resource::as_packages)));
    probe.extend(file::probe(resources));
    probe.extend(directory::probe(&of(resources, Resource::as_directory)));
    probe.extend(user::probe(&of(resources, Resource::as_user)));
    probe.extend(service::probe(&of(resources, Resource::as_service)));
    probe.extend(image::probe(&of(resources, Resource::as_image)));
    probe.extend(weights::probe(&of(resources, Resource::as_weights)));
    probe
}

/// What the answer to [`probe`] says of one resource.
pub fn read(resource: &Resource, sections: &Sections) -> Look {
    if resource.paths().iter().any(|path| file::is_hidden(path, sections)) {
        return Look::Failed(file::NOT_ALLOWED.to_owned());
    }
    match resource {
        Resource::Packages(it) => package::read(it, sections),
        Resource::File(it) => file::read(it, sections),
        Resource::Directory(it) => directory::read(it, sections),
        Resource::Link(it) => link::read(it, sections),
        Resource::User(it) => user::read(it, sections),
        Resource::Unpacked(it) => unpacked::read(it, sections),
        Resource::Image(it) => image::read(it, sections),
        Resource::Service(it) => service::read(it, sections),
        Resource::Drain(_) => drain::read(sections),
        Resource::Weights(it) => weights::read(it, sections),
        Resource::Proof(it) => proof::read(it, sections),
    }
}

impl Resource {
    /// What names it on its host.
    pub fn id(&self) -> ResourceId {
        let (kind, name) = match self {
            Resource::Packages(it) => ("packages", it.name.clone()),
            Resource::File(it) => ("file", it.path.clone()),
            Resource::Directory(it) => ("directory", it.path.clone()),
            Resource::Link(it) => ("link", it.path.clone()),
            Resource::User(it) => ("user", it.name.clone()),
            Resource::Unpacked(it) => ("unpacked", it.directory.clone()),
            Resource::Image(it) => ("image", it.name.clone()),
            Resource::Service(it) => ("service", it.unit.clone()),
            Resource::Drain(_) => ("drain", "mesos-slave".to_owned()),
            Resource::Weights(_) => ("weights", "roles".to_owned()),
            Resource::Proof(it) => ("proof", it.name.clone()),
        };
        ResourceId { kind, name }
    }

    /// What is wanted of it.
    pub fn want(&self) -> Facts {
        match self {
            Resource::Packages(it) => it.want(),
            Resource::File(it) => it.want(),
            Resource::Directory(it) => it.want(),
            Resource::Link(it) => it.want(),
            Resource::User(it) => it.want(),
            Resource::Unpacked(it) => it.want(),
            Resource::Image(it) => it.want(),
            Resource::Service(it) => it.want(),
            Resource::Drain(it) => it.want(),
            Resource::Weights(it) => it.want(),
            Resource::Proof(it) => it.want(),
        }
    }

    /// How to close these gaps.
    pub fn fix(&self, gaps: &[Gap]) -> Vec<Step> {
        match self {
            Resource::Packages(it) => it.fix(),
            Resource::File(it) => it.fix(),
            Resource::Directory(it) => it.fix(gaps),
            Resource::Link(it) => it.fix(),
            Resource::User(it) => it.fix(),
            Resource::Unpacked(it) => it.fix(),
            Resource::Image(it) => it.fix(),
            Resource::Service(it) => it.fix(gaps),
            Resource::Drain(it) => it.fix(),
            Resource::Weights(it) => it.fix(),
            Resource::Proof(it) => it.fix(),
        }
    }

    /// Packages, if it is.
    pub fn as_packages(&self) -> Option<&package::Packages> {
        if let Resource::Packages(it) = self { Some(it) } else { None }
    }

    /// A directory, if it is one.
    pub fn as_directory(&self) -> Option<&directory::Directory> {
        if let Resource::Directory(it) = self { Some(it) } else { None }
    }

    /// A user, if it is one.
    pub fn as_user(&self) -> Option<&user::User> {
        if let Resource::User(it) = self { Some(it) } else { None }
    }

    /// A service, if it is one.
    pub fn as_service(&self) -> Option<&service::Service> {
        if let Resource::Service(it) = self { Some(it) } else { None }
    }

    /// An image, if it is one.
    pub fn as_image(&self) -> Option<&image::Image> {
        if let Resource::Image(it) = self { Some(it) } else { None }
    }

    /// Weights, if it is.
    pub fn as_weights(&self) -> Option<&weights::Weights> {
        if let Resource::Weights(it) = self { Some(it) } else { None }
    }

    /// Every path that its `stat` is wanted of (one `stat` serves all kinds of a host).
    fn paths(&self) -> Vec<&str> {
        match self {
            Resource::File(it) => vec![&it.path],
            Resource::Directory(it) => vec![&it.path],
            Resource::Link(it) => vec![&it.path],
            Resource::Unpacked(it) => vec![&it.marker],
            Resource::Service(it) => {
                it.inputs.iter().chain(&it.needs).map(String::as_str).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Every small file that its text is wanted of (one `head` serves all kinds of a host).
    fn texts(&self) -> Vec<&str> {
        match self {
            Resource::Unpacked(it) => vec![&it.marker],
            Resource::Service(it) => vec![&it.stamp],
            Resource::Proof(it) => vec![&it.stamp],
            Resource::Drain(_) => vec![drain::NOTE],
            _ => Vec::new(),
        }
    }
}

fn of<'a, T>(resources: &[&'a Resource], pick: fn(&'a Resource) -> Option<&'a T>) -> Vec<&'a T> {
    resources.iter().filter_map(|r| pick(r)).collect()
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

/// SHA-256 of some bytes in lower-case hex.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    let digits = Sha256::digest(bytes.as_ref()).into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

/// SHA-256 over parts, each preceded by its length so that no two lists of parts collide.
pub fn digest_of<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut all = String::new();
    for part in parts {
        use std::fmt::Write as _;
        let _ = write!(all, "{}:{part};", part.len());
    }
    sha256(all)
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

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(digest_of(["ab", "c"]), digest_of(["a", "bc"]));
    }
}

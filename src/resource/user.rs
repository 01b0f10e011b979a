//! A login account.

use super::{Facts, Gap, Kind, Look, ResourceId};
use crate::script::{Fix, Probe, Sections, Step, quote, quote_all};

/// A system account with a home directory, so that Mesos can run tasks as it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
}

impl Kind for User {
    fn id(&self) -> ResourceId {
        ResourceId { kind: "user", name: self.name.clone() }
    }

    fn want(&self) -> Facts {
        Facts::from([("account", "present".to_owned())])
    }

    /// One `getent` for every account of a host.
    fn probe(all: &[&Self]) -> Probe {
        if all.is_empty() {
            return Probe::default();
        }
        let names = quote_all(all.iter().map(|user| user.name.as_str()));
        Probe::new("users", format!("getent passwd {names} 2>/dev/null"))
    }

    fn read(&self, sections: &Sections) -> Look {
        let listed = sections.get("users").is_some_and(|text| {
            text.lines().any(|line| line.split(':').next() == Some(self.name.as_str()))
        });
        Look::Facts(if listed {
            Facts::from([("account", "present".to_owned())])
        } else {
            Facts::new()
        })
    }

    /// Makes the account; an existing one is left as it is.
    fn fix(&self, _: &[Gap]) -> Vec<Step> {
        let name = quote(&self.name);
        vec![Step::Run(Fix::new(format!(
            "getent passwd {name} >/dev/null || useradd --system --user-group --create-home --shell /bin/sh {name}"
        )))]
    }
}

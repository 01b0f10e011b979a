//! A login account.

use super::{Facts, Look};
use crate::script::{Fix, Probe, Sections, Step, quote, quote_all};

/// A system account with a home directory, so that Mesos can run tasks as it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
}

impl User {
    /// What is wanted.
    pub fn want(&self) -> Facts {
        Facts::from([("account", "present".to_owned())])
    }

    /// Makes the account; an existing one is left as it is.
    pub fn fix(&self) -> Vec<Step> {
        let name = quote(&self.name);
        vec![Step::Run(Fix::new(format!(
            "getent passwd {name} >/dev/null || useradd --system --user-group --create-home --shell /bin/sh {name}"
        )))]
    }
}

/// One `getent` for every account of a host.
pub fn probe(all: &[&User]) -> Probe {
    if all.is_empty() {
        return Probe::default();
    }
    let names = quote_all(all.iter().map(|user| user.name.as_str()));
    Probe::new("users", format!("getent passwd {names} 2>/dev/null"))
}

/// Facts of one account.
pub fn read(user: &User, sections: &Sections) -> Look {
    let listed = sections.get("users").is_some_and(|text| {
        text.lines().any(|line| line.split(':').next() == Some(user.name.as_str()))
    });
    Look::Facts(if listed {
        Facts::from([("account", "present".to_owned())])
    } else {
        Facts::new()
    })
}

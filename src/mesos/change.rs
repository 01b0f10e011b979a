//! What a changed agent may keep: its id and its tasks, or neither.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::live::{AgentInfo, Detail};
use super::values::{Attributes, Resources, UNRESERVED, Value};
use super::versions::Version;

/// What a restart with the wanted settings means for an agent.
///
/// Source: Mesos `operator==(SlaveInfo)` in `src/common/type_utils.cpp`, and from 1.5.0
/// `src/slave/compatibility.cpp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing that Mesos compares has changed: a plain restart recovers.
    RestartInPlace,
    /// It only grew: it recovers when `reconfiguration_policy` is `additive` at that restart, and
    /// the masters are 1.5.0 or later too.
    Additive,
    /// It must start anew: drain, stop, remove `meta/slaves/latest`, start. Its tasks are lost.
    NewAgentId {
        /// One clause: what has changed.
        reason: String,
    },
}

/// What an agent will announce.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted<'a> {
    /// The host name it will announce.
    pub hostname: &'a str,
    /// Its port; 5051 unless a flag says otherwise.
    pub port: u16,
    /// Its fault domain (the flag `domain`, as JSON).
    pub domain: Option<Json>,
    /// Attributes.
    pub attributes: &'a Attributes,
    /// Resources; those not named are detected by Mesos.
    pub resources: &'a Resources,
}

/// Classifies the change from what an agent announces to what it should, for the version of Mesos
/// that will do the recovery.
///
/// Of resources that nobody names Mesos detects the amount; they are taken for unchanged. Where the
/// answer shows totals only (before 0.23), a changed reservation within equal totals goes unseen.
pub fn classify(live: &AgentInfo, wanted: &Wanted<'_>, version: &Version) -> Change {
    if let Some(reason) = identity(live, wanted, version) {
        return Change::NewAgentId { reason };
    }
    let steps = attributes(&live.attributes, wanted.attributes)
        .into_iter()
        .chain(resources(live, wanted.resources));
    let mut grown: Option<String> = None;
    for step in steps {
        match step {
            Step::Grown(what) => grown = grown.or(Some(what)),
            Step::Changed(reason) => return Change::NewAgentId { reason },
        }
    }
    match grown {
        None => Change::RestartInPlace,
        Some(_) if version.at_least(&[1, 5]) => Change::Additive,
        Some(what) => Change::NewAgentId {
            reason: format!("{what}, which Mesos {version} takes for another agent"),
        },
    }
}

enum Step {
    Grown(String),
    Changed(String),
}

fn identity(live: &AgentInfo, wanted: &Wanted<'_>, version: &Version) -> Option<String> {
    if live.hostname != wanted.hostname {
        return Some(format!(
            "the host name changes from {} to {}",
            live.hostname, wanted.hostname
        ));
    }
    if version.at_least(&[1, 0])
        && let Some(port) = live.port.filter(|port| *port != wanted.port)
    {
        return Some(format!("the port changes from {port} to {}", wanted.port));
    }
    if version.at_least(&[1, 4]) && live.domain != wanted.domain {
        // A domain where there was none counts as growth, but only from 1.5.0 on.
        let first = live.domain.is_none() && version.at_least(&[1, 5]);
        return (!first).then(|| "the fault domain changes".to_owned());
    }
    None
}

fn attributes(live: &Attributes, wanted: &Attributes) -> Vec<Step> {
    let gone = live.0.iter().filter(|(name, _)| !wanted.0.contains_key(*name));
    let gone = gone.map(|(name, _)| Step::Changed(format!("attribute {name} goes")));
    let others = wanted.0.iter().filter_map(|(name, new)| match live.0.get(name) {
        None => Some(Step::Grown(format!("attribute {name} is new"))),
        Some(old) if old == new => None,
        Some(old @ Value::Ranges(_)) if new.holds(old) => {
            Some(Step::Grown(format!("attribute {name} widens to {new}")))
        }
        Some(old) => Some(Step::Changed(format!("attribute {name} changes from {old} to {new}"))),
    });
    gone.chain(others).collect()
}

fn resources(live: &AgentInfo, wanted: &Resources) -> Vec<Step> {
    let named = wanted.names();
    let mut steps: Vec<Step> = unpinned(live, &named)
        .map(|name| {
            Step::Changed(format!("{name} is no longer given and would be detected by Mesos"))
        })
        .collect();
    let (old, new) = match live.detail {
        Detail::ByRole => (live.resources.clone(), wanted.clone()),
        Detail::TotalsOnly => (live.resources.clone(), totals(wanted)),
    };
    for (key @ (name, role), was) in &old.0 {
        if !named.contains(name.as_str()) && detected(name) {
            continue;
        }
        let what = if role == UNRESERVED { name.clone() } else { format!("{name}({role})") };
        match new.0.get(key) {
            Some(now) if now == was => {}
            Some(now) if now.holds(was) => {
                steps.push(Step::Grown(format!("{what} grows from {was} to {now}")));
            }
            Some(now) => steps.push(Step::Changed(format!("{what} changes from {was} to {now}"))),
            None => steps.push(Step::Changed(format!("{what} goes (it was {was})"))),
        }
    }
    let fresh = new.0.iter().filter(|(key, now)| !now.is_empty() && !old.0.contains_key(*key));
    steps.extend(
        fresh.map(|((name, role), now)| {
            Step::Grown(format!("{name} for role {role} is new ({now})"))
        }),
    );
    steps
}

/// What flags gave until now and the wanted settings leave to detection.
fn unpinned<'a>(
    live: &'a AgentInfo,
    named: &'a BTreeSet<&str>,
) -> impl Iterator<Item = &'a String> {
    let pinned = live.pinned.iter().flatten();
    pinned.filter(|name| detected(name) && !named.contains(name.as_str()))
}

/// Mesos detects these when no flag names them.
/// Source: Mesos `src/slave/containerizer/containerizer.cpp`.
fn detected(name: &str) -> bool {
    matches!(name, "cpus" | "mem" | "disk" | "ports" | "gpus")
}

/// Such answers hold only these four, in no role. Source: Mesos 0.20.1 `src/common/http.cpp`.
fn totals(resources: &Resources) -> Resources {
    let totals = resources.totals().into_iter();
    let shown = totals.filter(|(name, _)| matches!(*name, "cpus" | "mem" | "disk" | "ports"));
    Resources(
        shown.map(|(name, value)| ((name.to_owned(), UNRESERVED.to_owned()), value)).collect(),
    )
}

//! Plans of day 2: what is to be done though nothing is other than the inventory says. A verb makes a plan
//! like any other, of what was seen; whoever confirms, applies and records it knows no verbs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::planner::members;
use super::{Action, Answer, Observed, Plan, Scope, Seen, Stage, Wave};
use crate::ground::HostName;
use crate::inventory::Inventory;
use crate::resource::Gap;
use crate::resource::offers::State as OffersState;
use crate::resource::service::{self, Service};
use crate::tasks::{Desired, Task, Wish};

mod destroy;
mod hosts;
mod services;

/// What is to be done on day 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Services end and start again.
    Restart,
    /// Services that do not run start.
    Start,
    /// Services end, and do not start at boot.
    Stop {
        /// Whether a quorum may end.
        quorum: Consent,
    },
    /// Agents are emptied and get no offers.
    Drain,
    /// Agents get offers again.
    Undrain,
    /// Hosts boot.
    Reboot,
    /// Services end, and what was made for them is taken away.
    Destroy {
        /// The cluster's name, where its data is to go too.
        data_of: Option<String>,
    },
}

impl Verb {
    /// Its command.
    pub fn command(&self) -> &'static str {
        match self {
            Verb::Restart => "restart",
            Verb::Start => "start",
            Verb::Stop { .. } => "stop",
            Verb::Drain => "drain",
            Verb::Undrain => "undrain",
            Verb::Reboot => "reboot",
            Verb::Destroy { .. } => "destroy",
        }
    }
}

/// Whether something may be done that is dangerous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// It is not.
    Withheld,
    /// The user has said so.
    Given,
}

/// What everything here is planned from.
#[derive(Clone, Copy)]
struct Ground<'a> {
    inventory: &'a Arc<Inventory>,
    desired: &'a Desired,
    observed: &'a Observed,
    scope: &'a Scope,
}

/// Makes the plan.
///
/// # Errors
/// One sentence with its cure, when it must not be done or cannot be.
pub fn plan(
    verb: &Verb,
    inventory: &Arc<Inventory>,
    desired: &Desired,
    observed: &Observed,
    scope: &Scope,
) -> Result<Plan, String> {
    let ground = Ground { inventory, desired, observed, scope };
    let mut plan = match verb {
        Verb::Restart | Verb::Start => ground.run(verb)?,
        Verb::Stop { quorum } => ground.stop(*quorum)?,
        Verb::Drain => ground.offers(OffersState::Drained)?,
        Verb::Undrain => ground.offers(OffersState::Made)?,
        Verb::Reboot => ground.reboot(),
        Verb::Destroy { data_of } => ground.destroy(data_of.as_deref())?,
    };
    plan.unreachable = observed.unreachable();
    plan.unreachable.retain(|host, _| scope.hosts.as_ref().is_none_or(|all| all.contains(host)));
    plan.blocked.sort();
    Ok(plan)
}

impl<'a> Ground<'a> {
    /// The tasks whose services are meant, in order. An engine is others' too, so it must be named; that it
    /// runs is right in any case.
    fn tasks(&self, verb: &Verb) -> Result<Vec<Task>, String> {
        let serves = |task: &Task| {
            self.desired.tasks.get(task).is_some_and(|wishes| {
                wishes.values().flatten().any(|wish| wish.resource.runs().is_some())
            })
        };
        let all: Vec<Task> = crate::tasks::ALL.into_iter().filter(serves).collect();
        match &self.scope.tasks {
            None => Ok(all
                .into_iter()
                .filter(|task| task.card().check.is_some() || *verb == Verb::Start)
                .collect()),
            Some(named) => match named.iter().find(|task| !all.contains(task)) {
                None => Ok(all.into_iter().filter(|task| named.contains(task)).collect()),
                Some(other) => {
                    let names: Vec<&str> = all.iter().map(|task| task.name()).collect();
                    let names = names.join(", ");
                    Err(format!("`{other}` runs no service here; these tasks do: {names}"))
                }
            },
        }
    }

    /// The services of a task that are meant, on hosts that answered.
    fn services(
        &self,
        task: Task,
    ) -> impl Iterator<Item = (&'a HostName, &'a Answer, &'a Wish, &'a Service)> {
        let Ground { desired, observed, scope, .. } = *self;
        let wishes = desired.tasks.get(&task).into_iter().flatten();
        wishes
            .filter(move |(host, _)| scope.allows(host, task))
            .flat_map(|(host, wishes)| wishes.iter().map(move |wish| (host, wish)))
            .filter_map(move |(host, wish)| {
                let Some(Seen::Answered(answer)) = observed.hosts.get(host) else { return None };
                let service = wish.resource.get::<Service>()?;
                Some((host, answer, wish, service))
            })
            .filter(|(.., service)| service.state == service::State::Running)
    }

    fn stage(&self, task: Task, waves: Vec<Wave>) -> Stage {
        let all = self.desired.tasks.get(&task).map(members).unwrap_or_default();
        Stage::new(self.inventory, Some(task), task.card().title.to_owned(), waves, all)
    }
}

/// A gap that is there because somebody asks for it.
fn asked(fact: &'static str, seen: &str, want: &str) -> Gap {
    Gap { fact, seen: Some(seen.to_owned()), want: want.to_owned() }
}

/// One host after the other, in the order of a key.
fn one_by_one<K: Ord>(
    roll: BTreeMap<HostName, Vec<Action>>,
    key: impl Fn(&HostName) -> K,
) -> Vec<Wave> {
    let mut roll: Vec<(HostName, Vec<Action>)> = roll.into_iter().collect();
    roll.sort_by_key(|(host, _)| key(host));
    roll.into_iter().map(|one| Wave { hosts: BTreeMap::from([one]) }).collect()
}

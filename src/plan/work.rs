//! What is to be done for one task on one host, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Action, Answer, Because, Observed, Seen, text};
use crate::ground::HostName;
use crate::resource::{Facts, Gap, Look, Resource, ResourceId, diff};
use crate::tasks::{Desired, Task, When, Wish};

/// What is to be done for one task on one host.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) prepare: Vec<Action>,
    pub(super) roll: Vec<Action>,
    pub(super) blind: Vec<Because>,
}

pub(super) fn work(
    task: Task,
    host: &HostName,
    wishes: &[Wish],
    answer: &Answer,
    predicted: &BTreeMap<(HostName, ResourceId), Facts>,
) -> Work {
    let mut work = Work::default();
    let mut touched: BTreeSet<&str> = BTreeSet::new();
    let mut changing: Vec<(&Resource, Vec<Gap>)> = Vec::new();
    for wish in wishes {
        let id = wish.resource.id();
        let key = (host.clone(), id.clone());
        let look = predicted.get(&key).cloned().map(Look::Facts);
        let (gaps, later) = match look.as_ref().or_else(|| answer.looks.get(&id)) {
            Some(Look::Facts(facts)) => {
                let mut facts = facts.clone();
                wish.resource.settle(&mut facts, &touched);
                (diff(&wish.resource.want(), &facts), None)
            }
            Some(Look::Later(when)) => (Vec::new(), Some(*when)),
            Some(Look::Failed(why)) => {
                work.blind.push(Because::CouldNotLook { resource: id, why: why.clone() });
                continue;
            }
            None => {
                let why = "it was not asked about".to_owned();
                work.blind.push(Because::CouldNotLook { resource: id, why });
                continue;
            }
        };
        if gaps.is_empty() && later.is_none() {
            continue;
        }
        touched.extend(wish.resource.touches());
        let early = match wish.when {
            When::Prepare => true,
            When::Roll => false,
            When::PrepareUnless(units) => !units.iter().any(|unit| runs(unit, answer)),
        };
        let resource = Arc::clone(&wish.resource);
        changing.push((&wish.resource, gaps.clone()));
        let causes = text::causes(&wish.resource, &changing);
        let action = Action { later, causes, ..Action::new(task, resource, gaps) };
        if early { work.prepare.push(action) } else { work.roll.push(action) }
    }
    work
}

/// Whether a unit runs, or tries to.
pub(super) fn runs(unit: &str, answer: &Answer) -> bool {
    answer
        .sections
        .get("units")
        .and_then(|text| crate::resource::service::unit(unit, text))
        .is_some_and(|unit| matches!(unit.active, "active" | "activating" | "reloading"))
}

/// Hosts of a task whose own service does not run: nothing on them can be disturbed.
pub(super) fn idle(
    desired: &Desired,
    task: Task,
    roll: &BTreeMap<HostName, Vec<Action>>,
    observed: &Observed,
) -> BTreeSet<HostName> {
    roll.keys()
        .filter(|host| {
            let Some(Seen::Answered(answer)) = observed.hosts.get(*host) else { return false };
            let wishes = desired.tasks.get(&task).and_then(|wishes| wishes.get(*host));
            let mut units = wishes.into_iter().flatten().filter_map(|wish| wish.resource.runs());
            units.all(|unit| !runs(unit, answer))
        })
        .cloned()
        .collect()
}

//! What is asked of each host, and what its answer says: one probe, one round trip.

use std::collections::BTreeMap;

use crate::health::{self, Question, Replies};
use crate::inventory::{HostName, Inventory};
use crate::plan::{Answer, Observed, Seen};
use crate::resource::{self, Resource};
use crate::script::{Probe, Sections};
use crate::tasks::{self, Desired};

/// What each host is asked: about its resources, its components and itself.
pub fn probes(inventory: &Inventory, desired: &Desired) -> BTreeMap<HostName, Probe> {
    inventory
        .hosts
        .keys()
        .map(|host| {
            let resources: Vec<&Resource> =
                desired.of(host).map(|(_, wish)| &wish.resource).collect();
            let mut probe = resource::probe(&resources);
            probe.extend(health::probe(&questions(inventory, host)));
            (host.clone(), probe)
        })
        .collect()
}

/// Everything a host is asked about components.
pub fn questions(inventory: &Inventory, host: &HostName) -> Vec<Question> {
    let mut questions: Vec<Question> = tasks::ALL
        .iter()
        .filter_map(|task| task.card().check)
        .filter(|check| check.witnesses(inventory).contains(host))
        .flat_map(|check| check.questions(inventory, host))
        .collect();
    questions.sort();
    questions.dedup();
    questions
}

/// What components answered, of every host that could be asked.
pub fn replies(
    inventory: &Inventory,
    answers: &BTreeMap<HostName, Result<Sections, String>>,
) -> BTreeMap<HostName, Replies> {
    answers
        .iter()
        .filter_map(|(host, answer)| {
            let sections = answer.as_ref().ok()?;
            Some((host.clone(), health::replies(&questions(inventory, host), sections)))
        })
        .collect()
}

/// What all answers say.
pub fn observed(
    inventory: &Inventory,
    desired: &Desired,
    answers: BTreeMap<HostName, Result<Sections, String>>,
) -> Observed {
    let hosts = answers
        .into_iter()
        .map(|(host, answer)| {
            let seen = match answer {
                Err(why) => Seen::Unreachable(why),
                Ok(sections) => Seen::Answered(Answer {
                    looks: desired
                        .of(&host)
                        .map(|(_, wish)| {
                            (wish.resource.id(), resource::read(&wish.resource, &sections))
                        })
                        .collect(),
                    replies: health::replies(&questions(inventory, &host), &sections),
                    sections,
                }),
            };
            (host, seen)
        })
        .collect();
    Observed { hosts }
}

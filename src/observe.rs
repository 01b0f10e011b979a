//! What is asked of each host, and what its answer says: one probe, one round trip.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ground::HostName;
use crate::health::{self, Question, Replies, Running, running};
use crate::inventory::Inventory;
use crate::plan::{Answer, Observed, Seen};
use crate::resource::service::is_stamped;
use crate::resource::{self, Resource};
use crate::script::{Probe, Sections};
use crate::tasks::{self, Desired, Judged};

/// What each host is asked: about its resources, its components and itself.
pub fn probes(inventory: &Inventory, desired: &Desired) -> BTreeMap<HostName, Probe> {
    inventory
        .hosts
        .keys()
        .map(|host| {
            let resources: Vec<&Resource> =
                desired.of(host).map(|(_, wish)| &*wish.resource).collect();
            let mut probe = resource::probe(&resources);
            probe.extend(health::probe(&questions(inventory, host)));
            if let Some(machine) = inventory.hosts.get(host) {
                probe.extend(running::probe(inventory, machine));
            }
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
        .filter_map(|check| check.question(inventory, inventory.hosts.get(host)?))
        .collect();
    if inventory.mesos.masters.contains(host) {
        questions.extend(inventory.hosts.get(host).map(|it| running::flags(inventory, it)));
    }
    questions.sort();
    questions.dedup();
    questions
}

/// What components answered, of every host that could be asked.
fn replies(
    inventory: &Inventory,
    answers: &BTreeMap<HostName, Result<Sections, String>>,
) -> BTreeMap<HostName, Replies> {
    answers
        .iter()
        .filter_map(|(host, answer)| {
            let sections = answer.as_ref().ok()?;
            let mut replies = health::replies(&questions(inventory, host), sections);
            replies.extend(running::left(inventory, inventory.hosts.get(host)?, sections));
            Some((host.clone(), replies))
        })
        .collect()
}

/// What all answers say.
pub fn observed(
    inventory: &Arc<Inventory>,
    desired: &Desired,
    answers: BTreeMap<HostName, Result<Sections, String>>,
) -> Observed {
    let replies = replies(inventory, &answers);
    let sections = answers.iter().filter_map(|(host, it)| Some((host, it.as_ref().ok()?)));
    let mut running = Running::read(inventory, &sections.collect(), &replies);
    let agent = inventory.mesos.agent_unit.name();
    running.has_begun = answers.values().flatten().any(|said| is_stamped(agent, said));
    let judged = Judged::new(inventory, &replies, running);
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
                    sections,
                }),
            };
            (host, seen)
        })
        .collect();
    Observed { hosts, judged }
}

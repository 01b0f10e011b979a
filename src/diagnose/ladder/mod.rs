//! The ladder: what must hold one after the other before a job's executors work for its driver.

mod launched;
mod offered;
mod registered;
mod rung;

use launched::{address, executors, image};
use offered::{agents, constraints, role, room};
use registered::{authentication, leader, registration};
pub use rung::{Rung, Verdict};

use super::{Cluster, Job};
use crate::mesos::frameworks::Framework;

/// The rungs of a job from the lowest, up to the first that is broken.
pub fn ladder(cluster: &Cluster, job: &Job<'_>) -> Vec<Rung> {
    let mut rungs = Vec::new();
    for judge in [
        leader,
        authentication,
        registration,
        role,
        constraints,
        agents,
        room,
        image,
        address,
        executors,
    ] {
        if let Some(rung) = judge(cluster, job) {
            // What is not known of the masters is known of nothing above them.
            let ends = rung.verdict == Verdict::Broken || cluster.frameworks.is_none();
            rungs.push(rung);
            if ends {
                break;
            }
        }
    }
    rungs
}

/// The rung that is broken.
pub fn broken(rungs: &[Rung]) -> Option<&Rung> {
    rungs.last().filter(|rung| rung.verdict == Verdict::Broken)
}

/// What became of its offers, as the end of a sentence.
fn offers(cluster: &Cluster, framework: &Framework) -> String {
    match cluster.metrics.as_ref().and_then(|metrics| framework.offers(metrics)) {
        Some(offers) => {
            format!(", it was made {} offers and declined {}", offers.sent, offers.declined)
        }
        None => String::new(),
    }
}

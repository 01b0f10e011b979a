//! Hosts that the user took out: their services are stopped, their data stays.

use super::{Card, Wish, Wishes, World, together};
use crate::inventory::Retired;
use crate::resource::Resource;
use crate::resource::service::{Service, State};

pub(super) const CARD: Card =
    Card { title: "retired hosts", desire, check: None, rollout: together, gate_secs: 0 };

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let stop = ["spark-dispatcher", "mesos-slave", "mesos-master", "zookeeper"];
    Ok(world
        .inventory
        .retired
        .iter()
        .filter(|(_, how)| **how == Retired::Stop)
        .map(|(host, _)| {
            let services = stop.map(|unit| Service::of(unit, State::Stopped));
            (host.clone(), services.map(|s| Wish::roll(Resource::Service(s))).to_vec())
        })
        .collect())
}

//! Weights of roles, in the registry of Mesos 1.0 and later.

use super::{Card, Wish, Wishes, World, together};
use crate::health::MASTER_PORT;
use crate::resource::Resource;
use crate::resource::weights::Weights;

pub(super) const CARD: Card =
    Card { title: "weights of roles", desire, check: None, rollout: together, gate_secs: 0 };

/// One host asks and sends for all: the first master, whoever leads.
fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let mesos = &world.inventory.mesos;
    let mut wishes = Wishes::new();
    if mesos.roles.is_empty() || !mesos.version.at_least(&[1, 0]) {
        return Ok(wishes);
    }
    let urls = mesos
        .masters
        .iter()
        .filter_map(|host| world.inventory.hosts.get(host))
        .map(|host| match host.address {
            std::net::IpAddr::V4(v4) => format!("http://{v4}:{MASTER_PORT}"),
            std::net::IpAddr::V6(v6) => format!("http://[{v6}]:{MASTER_PORT}"),
        })
        .collect();
    let roles = mesos.roles.iter().map(|(name, role)| (name.clone(), role.weight)).collect();
    if let Some(host) = mesos.masters.first() {
        let weights = Resource::Weights(Weights { masters: urls, roles });
        wishes.insert(host.clone(), vec![Wish::roll(weights)]);
    }
    Ok(wishes)
}

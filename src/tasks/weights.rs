//! Weights of roles, in the registry of Mesos 1.0 and later.

use super::mesos::master_urls;
use super::{Card, Rollout, Wish, Wishes, World};
use crate::inventory::Inventory;
use crate::resource::registry::{Registry, Turn};
use crate::resource::weights::Weights;

pub(super) const CARD: Card = Card { title: "weights of roles", desire, rollout, ..Card::PLAIN };

/// What was saved comes back before what the inventory says of it.
fn rollout(inventory: &Inventory) -> Rollout {
    Rollout::Last(inventory.mesos.masters.first().cloned().into_iter().collect())
}

/// One host asks and sends for all: the first master, whoever leads.
fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let mesos = &world.inventory.mesos;
    let mut wishes = Wishes::new();
    // A run that began a new log and was cut short left there what the old one remembered.
    for host in &mesos.masters {
        let restored = registry(world.inventory, Turn::Restored);
        wishes.insert(host.clone(), vec![Wish::roll(restored)]);
    }
    // Without a word about roles they are somebody else's; an empty map says that none has a weight.
    let ours = world.inventory.places.0.contains_key("mesos.roles");
    if !ours || !mesos.version.at_least(&[1, 0]) {
        return Ok(wishes);
    }
    let urls = master_urls(world.inventory);
    let roles = mesos.roles.iter().map(|(name, role)| (name.clone(), role.weight)).collect();
    if let Some(host) = mesos.masters.first() {
        let weights = Weights { masters: urls, roles };
        wishes.entry(host.clone()).or_default().push(Wish::roll(weights));
    }
    Ok(wishes)
}

/// What becomes of the masters' registry.
pub(crate) fn registry(inventory: &Inventory, turn: Turn) -> Registry {
    Registry { masters: master_urls(inventory), turn }
}

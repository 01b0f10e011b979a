//! What nobody asks for any more: on a host that the user took out, everything; on any other, a part that the
//! inventory no longer gives it and that we have once started. Services are stopped, their data stays.

use std::collections::BTreeSet;

use super::{ALL, Card, Wish, Wishes, World};
use crate::inventory::Retired;
use crate::resource::service::{Service, State};

pub(super) const CARD: Card = Card { title: "retired", desire, ..Card::PLAIN };

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    // Whoever uses another goes before it: the reverse of the order in which they come.
    let parts = ALL.into_iter().rev().filter_map(|task| {
        let given: BTreeSet<_> = inventory.hosts_of(task.card().part?).collect();
        Some((task.unit(inventory)?, given))
    });
    let parts: Vec<_> = parts.collect();
    let wishes = inventory.hosts.keys().filter_map(|host| {
        let state = match inventory.retired.get(host) {
            Some(Retired::Gone) => return None,
            Some(Retired::Stop) => State::Stopped,
            None => State::Left,
        };
        let left = parts.iter().filter(|(_, given)| !given.contains(host));
        let services = left.map(|(unit, _)| Wish::roll(Service::of(unit, state)));
        Some((host.clone(), services.collect()))
    });
    Ok(wishes.collect())
}

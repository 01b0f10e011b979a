//! What nobody asks for any more: on a host that the user took out, everything; on any other, a part that the
//! inventory no longer gives it and that we have once started. Services are stopped, their data stays.

use std::collections::BTreeSet;

use super::{Card, Wish, Wishes, World};
use crate::inventory::{Inventory, Part, Retired};
use crate::resource::service::{Service, State};

pub(super) const CARD: Card = Card { title: "retired", desire, ..Card::PLAIN };

/// The unit of each part that has one.
fn units(inventory: &Inventory) -> [(Part, &'static str); 5] {
    [
        (Part::History, "spark-history"),
        (Part::Dispatcher, "spark-dispatcher"),
        (Part::Agent, inventory.mesos.agent_unit.name()),
        (Part::Master, "mesos-master"),
        (Part::ZooKeeper, "zookeeper"),
    ]
}

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let units = units(inventory);
    let given = units.map(|(part, _)| inventory.hosts_of(part).collect::<BTreeSet<_>>());
    let wishes = inventory.hosts.keys().filter_map(|host| {
        let state = match inventory.retired.get(host) {
            Some(Retired::Gone) => return None,
            Some(Retired::Stop) => State::Stopped,
            None => State::Left,
        };
        let units = units.iter().zip(&given).filter(|(_, given)| !given.contains(host));
        let services = units.map(|((_, unit), _)| Wish::roll(Service::of(unit, state)));
        Some((host.clone(), services.collect()))
    });
    Ok(wishes.collect())
}

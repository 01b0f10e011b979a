//! Who may write below the masters' path in ZooKeeper: after the masters, for one that still runs without a
//! credential must not be shut out.

use super::{Card, Wish, Wishes, World};
use crate::ground::Endpoint;
use crate::inventory::ZooKeeper;
use crate::resource::znodes::Znodes;

pub(super) const CARD: Card = Card { title: "ACLs of znodes", desire, ..Card::PLAIN };

/// One host asks and sets for all: the first master, who has the secret.
fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let access = &inventory.mesos.access;
    let mut wishes = Wishes::new();
    let (Some(host), true) = (inventory.mesos.masters.first(), access.writer.is_some()) else {
        return Ok(wishes);
    };
    let servers = match &inventory.zookeeper {
        ZooKeeper::Managed { servers, .. } => servers
            .keys()
            .filter_map(|name| {
                let address = inventory.hosts.get(name)?.address;
                Some(Endpoint::new(address, inventory.client_port()))
            })
            .collect(),
        ZooKeeper::External { servers } => {
            servers.iter().map(|(host, port)| Endpoint::new(host, *port)).collect()
        }
    };
    let writers = access.accepted().map(|it| (it.principal.clone(), it.secret.clone())).collect();
    let znodes = Znodes { servers, path: inventory.mesos.znode.clone(), writers };
    wishes.insert(host.clone(), vec![Wish::roll(znodes)]);
    Ok(wishes)
}

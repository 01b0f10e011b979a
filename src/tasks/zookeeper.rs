//! The ensemble: Debian's `zookeeper` package (never `zookeeperd`, which starts a standalone server with
//! its data in /tmp at once) under a unit of ours.

use super::{Card, Rollout, Wish, Wishes, World};
use crate::ground::digest::digest_of;
use crate::ground::endpoint::bracketed;
use crate::health;
use crate::inventory::{Inventory, JAVA_OPTIONS, Part, ZooKeeper, java_options};
use crate::resource::directory::Directory;
use crate::resource::file::File;
use crate::resource::link::Link;
use crate::resource::package::Packages;
use crate::resource::service::Service;
use crate::template::contexts::{Line, Server, ZooCfg, ZooKeeperLog, ZooKeeperUnit};

pub(super) const CARD: Card = Card {
    title: "ZooKeeper",
    desire,
    part: Some(Part::ZooKeeper),
    unit: |_| Some("zookeeper"),
    check: Some(&health::ZooKeeper),
    rollout: |_: &Inventory| Rollout::Quorum,
    gate_secs: 120,
    ..Card::PLAIN
};

/// Settings under the user's. By default purging is off, the AdminServer listens on 8080 on every
/// address, and only `srvr` of the four-letter words is on (docs/facts.md).
const DEFAULTS: [(&str, &str); 10] = [
    ("tickTime", "2000"),
    ("initLimit", "10"),
    ("syncLimit", "5"),
    ("dataDir", "/var/lib/zookeeper"),
    ("clientPort", "2181"),
    ("maxClientCnxns", "0"),
    ("autopurge.snapRetainCount", "3"),
    ("autopurge.purgeInterval", "24"),
    ("4lw.commands.whitelist", FOUR_LETTERS),
    ("admin.enableServer", "false"),
];

/// What we ask, and `ruok`, which others ask.
const FOUR_LETTERS: &str = "srvr,mntr,ruok,conf";
/// What we ask.
const OURS: &str = "srvr,mntr,conf";

/// Where Debian's package expects the number; its own dataDir links to it.
const MYID: &str = "/etc/zookeeper/conf/myid";

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let ZooKeeper::Managed { servers, config } = &inventory.zookeeper else {
        return Ok(Wishes::new());
    };
    let value = |key: &str, default: &str| {
        config.get(key).map_or_else(|| default.to_owned(), String::clone)
    };
    let mut settings: Vec<Line> = DEFAULTS
        .iter()
        .map(|(key, default)| Line { key: (*key).to_owned(), value: value(key, default) })
        .collect();
    settings.extend(
        config
            .iter()
            .filter(|(key, _)| !DEFAULTS.iter().any(|(known, _)| known == key))
            .filter(|(key, _)| *key != JAVA_OPTIONS)
            .map(|(key, value)| Line { key: key.clone(), value: value.clone() }),
    );
    let members: Vec<_> = servers
        .iter()
        .filter_map(|(name, id)| {
            let address = inventory.hosts.get(name)?.address;
            Some(Server { id: *id, address: bracketed(&address.to_string()).into_owned() })
        })
        .collect();
    let lone = members.len() == 1;
    // One server line makes ZooKeeper a quorum of one, which it refuses; without any it stands alone.
    let servers_lines = if lone { Vec::new() } else { members };
    // With credentials nobody is served who need not be: on one address, and with what we ask.
    let shut = inventory.mesos.access.writer.is_some();
    if shut && !config.contains_key("4lw.commands.whitelist") {
        for line in settings.iter_mut().filter(|line| line.value == FOUR_LETTERS) {
            OURS.clone_into(&mut line.value);
        }
    }
    let bind = shut && !config.contains_key("clientPortAddress");
    let log4j = world.templates.render(&ZooKeeperLog {})?;
    let java_options = java_options(&value(JAVA_OPTIONS, "-Xmx512m"))?;
    let unit = world.templates.render(&ZooKeeperUnit { java_options })?;
    let data = value("dataDir", "/var/lib/zookeeper");

    let mut wishes = Wishes::new();
    for (host, id) in servers {
        let mut settings = settings.clone();
        if let Some(machine) = inventory.hosts.get(host).filter(|_| bind) {
            let value = machine.address.to_string();
            settings.push(Line { key: "clientPortAddress".to_owned(), value });
        }
        let context = ZooCfg { settings, servers: servers_lines.clone() };
        let text = world.templates.render(&context)?;
        let zoo_cfg = File::new("/etc/zookeeper/conf/zoo.cfg", text);
        let log4j = File::new("/etc/zookeeper/conf/log4j.properties", log4j.clone());
        let mut unit = File::new("/etc/systemd/system/zookeeper.service", unit.clone());
        unit.after = Some("systemctl daemon-reload");
        let packaged = data == "/var/lib/zookeeper";
        let myid = if packaged { MYID.to_owned() } else { format!("{data}/myid") };
        let myid = File::new(myid, format!("{id}\n"));
        let owned = |path: &String| {
            let mut directory = Directory::new(path.clone());
            "zookeeper".clone_into(&mut directory.owner);
            "zookeeper".clone_into(&mut directory.group);
            directory.mode = "750";
            directory
        };

        let inputs =
            vec![zoo_cfg.path.clone(), log4j.path.clone(), unit.path.clone(), myid.path.clone()];
        let digest = digest_of([
            zoo_cfg.input().as_str(),
            log4j.input().as_str(),
            unit.input().as_str(),
            myid.input().as_str(),
        ]);
        let mut list = vec![
            Wish::unless(
                &["zookeeper"],
                // It depends on a Java of its own; nothing of it starts by itself.
                Packages::named("zookeeper", ["zookeeper"]),
            ),
            Wish::roll(owned(&data)),
        ];
        // The server runs as `zookeeper`, who may make none below a directory of root's.
        list.extend(
            config.get("dataLogDir").filter(|log| **log != data).map(owned).map(Wish::roll),
        );
        if packaged {
            let link = Link { path: format!("{data}/myid"), target: MYID.to_owned() };
            list.push(Wish::roll(link));
        }
        list.extend([
            Wish::roll(myid),
            Wish::roll(zoo_cfg),
            Wish::roll(log4j),
            Wish::roll(unit),
            Wish::roll(Service::running("zookeeper", digest, inputs)),
        ]);
        wishes.insert(host.clone(), list);
    }
    Ok(wishes)
}

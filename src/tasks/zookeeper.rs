//! The ensemble: Debian's `zookeeper` package (never `zookeeperd`, which starts a standalone server with
//! its data in /tmp at once) under a unit of ours.

use serde_json::json;

use super::{Card, Rollout, Wish, Wishes, World};
use crate::health::Check;
use crate::inventory::{Inventory, ZooKeeper};
use crate::resource::directory::Directory;
use crate::resource::file::File;
use crate::resource::link::Link;
use crate::resource::package::Packages;
use crate::resource::service::Service;
use crate::resource::{Resource, digest_of};

pub(super) const CARD: Card = Card {
    title: "ZooKeeper",
    desire,
    check: Some(Check::ZooKeeper),
    rollout: |_: &Inventory| Rollout::Quorum,
    gate_secs: 120,
};

/// Settings under the user's. Sources: facts on ZooKeeper §1, §2, §5 (purging is off by default, the
/// AdminServer listens on 8080 on every address, only `srvr` of the four-letter words is on).
const DEFAULTS: [(&str, &str); 10] = [
    ("tickTime", "2000"),
    ("initLimit", "10"),
    ("syncLimit", "5"),
    ("dataDir", "/var/lib/zookeeper"),
    ("clientPort", "2181"),
    ("maxClientCnxns", "0"),
    ("autopurge.snapRetainCount", "3"),
    ("autopurge.purgeInterval", "24"),
    ("4lw.commands.whitelist", "srvr,mntr,ruok,conf"),
    ("admin.enableServer", "false"),
];

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
    let mut settings: Vec<_> = DEFAULTS
        .iter()
        .map(|(key, default)| json!({"key": key, "value": value(key, default)}))
        .collect();
    settings.extend(
        config
            .iter()
            .filter(|(key, _)| !DEFAULTS.iter().any(|(known, _)| known == key))
            .filter(|(key, _)| *key != JAVA_OPTIONS)
            .map(|(key, value)| json!({"key": key, "value": value})),
    );
    let members: Vec<_> = servers
        .iter()
        .filter_map(|(name, id)| {
            let address = inventory.hosts.get(name)?.address;
            Some(json!({"id": id, "address": address.to_string()}))
        })
        .collect();
    let lone = members.len() == 1;
    // One server line makes ZooKeeper a quorum of one, which it refuses; without any it stands alone.
    let context = json!({"settings": settings, "servers": if lone { Vec::new() } else { members }});
    let zoo_cfg = world.templates.render("zookeeper/zoo.cfg", &context)?;
    let log4j = world.templates.render("zookeeper/log4j.properties", &json!({}))?;
    let java_options = value(JAVA_OPTIONS, "-Xmx512m");
    let unit = world
        .templates
        .render("zookeeper/zookeeper.service", &json!({"java_options": java_options}))?;
    let data = value("dataDir", "/var/lib/zookeeper");

    let mut wishes = Wishes::new();
    for (host, id) in servers {
        let zoo_cfg = File::new("/etc/zookeeper/conf/zoo.cfg", zoo_cfg.clone());
        let log4j = File::new("/etc/zookeeper/conf/log4j.properties", log4j.clone());
        let mut unit = File::new("/etc/systemd/system/zookeeper.service", unit.clone());
        unit.after = Some("systemctl daemon-reload");
        let packaged = data == "/var/lib/zookeeper";
        let myid = if packaged { MYID.to_owned() } else { format!("{data}/myid") };
        let myid = File::new(myid, format!("{id}\n"));
        let mut directory = Directory::new(data.clone());
        "zookeeper".clone_into(&mut directory.owner);
        "zookeeper".clone_into(&mut directory.group);
        directory.mode = "750";

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
                Resource::Packages(Packages::named("zookeeper", ["zookeeper"])),
            ),
            Wish::roll(Resource::Directory(directory)),
        ];
        if packaged {
            let link = Link { path: format!("{data}/myid"), target: MYID.to_owned() };
            list.push(Wish::roll(Resource::Link(link)));
        }
        list.extend([
            Wish::roll(Resource::File(myid)),
            Wish::roll(Resource::File(zoo_cfg)),
            Wish::roll(Resource::File(log4j)),
            Wish::roll(Resource::File(unit)),
            Wish::roll(Resource::Service(Service::running("zookeeper", digest, inputs))),
        ]);
        wishes.insert(host.clone(), list);
    }
    Ok(wishes)
}

/// A key of `zookeeper.config` that is ours: options of the JVM, not a line of zoo.cfg.
const JAVA_OPTIONS: &str = "java_options";

//! The ensemble: Debian's `zookeeper` package (never `zookeeperd`, which starts a standalone server with
//! its data in /tmp at once) under a unit of ours.

use std::collections::BTreeSet;

use super::{Card, Rollout, Wish, Wishes, World};
use crate::ground::digest::digest_of;
use crate::ground::endpoint::bracketed;
use crate::health;
use crate::inventory::{
    Inventory, JAAS_DIRECTORY, JAAS_PREFIX, JAVA_OPTIONS, LEARNER_SECTIONS, Part, QuorumAuth,
    SERVER_SECTION, ZooKeeper, java_options,
};
use crate::resource::directory::Directory;
use crate::resource::file::{Content, File};
use crate::resource::leftovers::Leftovers;
use crate::resource::link::Link;
use crate::resource::package::Packages;
use crate::resource::service::Service;
use crate::script::jaas_slot;
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
    let ZooKeeper::Managed { servers, config, auth } = &inventory.zookeeper else {
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
    let data = value("dataDir", "/var/lib/zookeeper");

    let mut wishes = Wishes::new();
    for (host, id) in servers {
        let sasl = auth.as_ref().map(|auth| auth.of(host)).unwrap_or_default();
        let mut settings = settings.clone();
        let more = sasl.settings(servers.len()).into_iter();
        let more = more.filter(|(key, _)| !config.contains_key(*key));
        settings.extend(more.map(|(key, value)| Line { key: key.to_owned(), value }));
        if let Some(machine) = inventory.hosts.get(host).filter(|_| bind) {
            let value = machine.address.to_string();
            settings.push(Line { key: "clientPortAddress".to_owned(), value });
        }
        let context = ZooCfg { settings, servers: servers_lines.clone() };
        let text = world.templates.render(&context)?;
        let zoo_cfg = File::new("/etc/zookeeper/conf/zoo.cfg", text);
        let log4j = File::new("/etc/zookeeper/conf/log4j.properties", log4j.clone());
        let java_options = [java_options.clone(), sasl.options()].concat();
        let unit = world.templates.render(&ZooKeeperUnit { java_options })?;
        let mut unit = File::new("/etc/systemd/system/zookeeper.service", unit);
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

        let secrets = auth.as_ref().map(jaas);
        let files = [&zoo_cfg, &log4j, &unit, &myid].into_iter().chain(&secrets);
        let inputs = files.clone().map(|file| file.path.clone()).collect();
        let digests: Vec<String> = files.map(File::input).collect();
        let digest = digest_of(digests.iter().map(String::as_str));
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
        list.push(Wish::roll(myid));
        // Before the files that name it. One whose secrets are written nowhere any more is there, and stays.
        let kept = auth.as_ref().is_some_and(|auth| auth.secrets.is_none());
        let used: BTreeSet<String> = secrets.iter().filter_map(File::name).collect();
        list.extend(secrets.filter(|_| !kept).map(Wish::roll));
        list.extend([
            Wish::roll(zoo_cfg),
            Wish::roll(log4j),
            Wish::roll(unit),
            Wish::roll(Service::running("zookeeper", digest, inputs)),
        ]);
        if !kept {
            let directory = JAAS_DIRECTORY.to_owned();
            list.push(Wish::roll(Leftovers { directory, prefix: JAAS_PREFIX, used }));
        }
        wishes.insert(host.clone(), list);
    }
    Ok(wishes)
}

/// How the labels of those files begin.
pub(crate) const QUORUM_AUTH: &str = "quorum_auth ";

/// The file with the secrets that servers show each other, in the grammar of JAAS: whom a server accepts, and as
/// whom it may come itself.
///
/// Source: apache/zookeeper release-3.8.0, `DigestLoginModule` (`username`, `password`) and
/// `SaslQuorumServerCallbackHandler` (`user_NAME`).
fn jaas(auth: &QuorumAuth) -> File {
    const MODULE: &str = "    org.apache.zookeeper.server.auth.DigestLoginModule required\n";
    let known = || (0..).zip(&auth.sasl.principals);
    let section = |name: &str, options: String| format!("{name} {{\n{MODULE}{options};\n}};\n");
    let users = known().map(|(n, name)| format!("    user_{name}=\"{}\"\n", jaas_slot(n)));
    let mut text = "// Managed by provision: local changes will be overwritten.\n".to_owned();
    text.push_str(&section(SERVER_SECTION, users.collect::<String>().trim_end().to_owned()));
    for ((n, name), learner) in known().zip(LEARNER_SECTIONS) {
        let options = format!("    username=\"{name}\"\n    password=\"{}\"", jaas_slot(n));
        text.push_str(&section(learner, options));
    }
    let label = format!("{QUORUM_AUTH}{}", auth.sasl.principals.join(","));
    let content = Content::Secret {
        template: text,
        secrets: auth.secrets.clone().unwrap_or_default(),
        label,
    };
    let owner = || "zookeeper".to_owned();
    let (owner, group) = (owner(), owner());
    File { content, owner, group, mode: "600", ..File::new(auth.sasl.file(), "") }
}

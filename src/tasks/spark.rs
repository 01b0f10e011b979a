//! Spark on clients: unpacked into a versioned directory, a link to it switched atomically.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::image::HOME;
use super::{Card, Wish, Wishes, World, mesos, together};
use crate::inventory::{HostName, Inventory, Spark};
use crate::resource::Resource;
use crate::resource::directory::Directory;
use crate::resource::file::{Content, File};
use crate::resource::link::Link;
use crate::resource::package::Packages;
use crate::resource::unpacked::Unpacked;
use crate::resource::user::User;
use crate::script::slot;

pub(super) const CARD: Card =
    Card { title: "Spark", desire, check: None, rollout: together, gate_secs: 0 };

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let Some(spark) = &inventory.spark else { return Ok(Wishes::new()) };
    let mut wishes = Wishes::new();
    // Mesos runs tasks as the user who submitted them, so that account must be on agents too.
    for (_, host, _) in inventory.agents() {
        let user = Resource::User(User { name: spark.user.clone() });
        wishes.insert(host.clone(), vec![Wish::prepare(user)]);
    }
    for host in hosts(inventory, spark) {
        let list = wishes.entry(host.clone()).or_default();
        list.extend(client(world, spark, &host)?);
    }
    Ok(wishes)
}

/// Hosts that Spark is installed on: clients, and those of the dispatcher.
pub(super) fn hosts(inventory: &Inventory, spark: &Spark) -> BTreeSet<HostName> {
    let dispatcher = spark.dispatcher.iter().flat_map(|d| d.hosts.iter());
    spark
        .clients
        .iter()
        .chain(dispatcher)
        .filter(|host| inventory.hosts.contains_key(*host))
        .cloned()
        .collect()
}

/// The directory of this version's Spark.
pub(super) fn directory(spark: &Spark) -> String {
    format!("/opt/spark-{}-{}", spark.version, &spark.archive.digest.hex()[..8])
}

fn client(world: &World<'_>, spark: &Spark, host: &HostName) -> Result<Vec<Wish>, String> {
    let inventory = world.inventory;
    let directory = directory(spark);
    let mut wishes = vec![
        Wish::prepare(Resource::User(User { name: spark.user.clone() })),
        Wish::prepare(Resource::Packages(Packages::named(
            "spark",
            [spark.java.as_str(), "python3"],
        ))),
    ];
    wishes.extend(mesos::package(inventory, host));
    wishes.push(Wish::prepare(Resource::Unpacked(Unpacked::new(
        directory.clone(),
        spark.archive.clone(),
        inventory.proxy.clone(),
        "bin/spark-submit",
    ))));
    if let Some(secret) = secret(inventory, spark) {
        let mut secrets = Directory::new("/etc/spark-secrets");
        "spark".clone_into(&mut secrets.group);
        secrets.group.clone_from(&spark.user);
        secrets.mode = "750";
        wishes.push(Wish::roll(Resource::Directory(secrets)));
        wishes.push(Wish::roll(Resource::File(secret)));
    }
    wishes.push(Wish::roll(Resource::Directory(Directory::new(format!("{directory}/conf")))));
    wishes.extend(files(world, spark, host)?.into_iter().map(|f| Wish::roll(Resource::File(f))));
    // Last: whoever follows the link finds all of it configured.
    let link = Link { path: HOME.to_owned(), target: directory };
    wishes.push(Wish::roll(Resource::Link(link)));
    Ok(wishes)
}

/// spark-defaults.conf and spark-env.sh of one host.
pub(super) fn files(
    world: &World<'_>,
    spark: &Spark,
    host: &HostName,
) -> Result<Vec<File>, String> {
    let inventory = world.inventory;
    let Some(machine) = inventory.hosts.get(host) else { return Ok(Vec::new()) };
    let directory = directory(spark);
    let lines: Vec<_> = settings(inventory, spark)
        .into_iter()
        .map(|(key, value)| json!({"key": key, "value": value}))
        .collect();
    let defaults =
        world.templates.render("spark/spark-defaults.conf", &json!({"settings": lines}))?;
    let environment: Vec<_> =
        spark.env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let env = world.templates.render(
        "spark/spark-env.sh",
        &json!({"address": machine.address.to_string(), "environment": environment}),
    )?;
    Ok(vec![
        File::new(format!("{directory}/conf/spark-defaults.conf"), defaults),
        File::new(format!("{directory}/conf/spark-env.sh"), env),
    ])
}

/// Lines of spark-defaults.conf: ours, with the user's in their place.
pub(super) fn settings(inventory: &Inventory, spark: &Spark) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::from([
        ("spark.master", format!("mesos://{}", inventory.zookeeper_url())),
        ("spark.mesos.executor.docker.image", spark.image.name().to_owned()),
        ("spark.mesos.executor.home", HOME.to_owned()),
    ]);
    if spark.dispatcher.is_some() {
        // Needed by whoever submits in cluster mode, not by the dispatcher itself.
        settings.insert("spark.master.rest.enabled", "true".to_owned());
        // Applications inside the image are named `local:///opt/spark/…`.
        if spark.version.at_least(&[2, 4]) {
            settings.insert("spark.mesos.appJar.local.resolution.mode", "container".to_owned());
        }
    }
    if let Some(framework) = &inventory.mesos.credentials.framework {
        settings.insert("spark.mesos.principal", framework.principal.clone());
        settings.insert("spark.mesos.secret.file", secret_path(&framework.principal));
    }
    let mut settings: BTreeMap<String, String> =
        settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    settings.extend(spark.defaults.clone());
    settings
}

fn secret_path(principal: &str) -> String {
    format!("/etc/spark-secrets/{principal}")
}

fn secret(inventory: &Inventory, spark: &Spark) -> Option<File> {
    let framework = inventory.mesos.credentials.framework.as_ref()?;
    Some(File {
        path: secret_path(&framework.principal),
        content: Content::Secret {
            template: slot(0),
            secrets: vec![framework.secret.clone()],
            label: framework.principal.clone(),
        },
        owner: spark.user.clone(),
        group: spark.user.clone(),
        mode: "600",
        after: None,
    })
}

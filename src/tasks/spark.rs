//! Spark on clients: unpacked into a versioned directory, a link to it switched atomically.

use std::collections::{BTreeMap, BTreeSet};

use super::image::HOME;
use super::tls::{self, Installed};
use super::{Card, Wish, Wishes, World, mesos};
use crate::ground::HostName;
use crate::inventory::{History, Inventory, Spark};
use crate::mesos::compatibility;
use crate::resource::directory::Directory;
use crate::resource::file::{Content, File};
use crate::resource::leftovers::Leftovers;
use crate::resource::link::Link;
use crate::resource::package::Packages;
use crate::resource::unpacked::Unpacked;
use crate::resource::user::User;
use crate::script::slot;
use crate::template::contexts::{Line, SparkDefaults, SparkEnv, Variable};

pub(super) const CARD: Card = Card { title: "Spark", desire, ..Card::PLAIN };

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let Some(spark) = &inventory.spark else { return Ok(Wishes::new()) };
    let mut wishes = Wishes::new();
    // Mesos runs tasks as the user who submitted them, so that account must be on agents too.
    for (_, host, _) in inventory.agents() {
        let user = User { name: spark.user.clone() };
        let list = wishes.entry(host.clone()).or_default();
        list.push(Wish::prepare(user));
        list.extend(event_logs(spark));
        // A driver that the dispatcher starts authenticates from its agent.
        if spark.dispatcher.is_some() {
            list.extend(secrets(inventory, spark, host));
        }
        list.push(Wish::roll(old_secrets(inventory, spark, host)));
    }
    for host in hosts(inventory, spark) {
        let list = wishes.entry(host.clone()).or_default();
        list.extend(client(world, spark, &host)?);
    }
    Ok(wishes)
}

/// Hosts that Spark is installed on: clients, and those of the dispatcher and of the history server.
pub(super) fn hosts(inventory: &Inventory, spark: &Spark) -> BTreeSet<HostName> {
    let dispatcher = spark.dispatcher.iter().flat_map(|d| d.hosts.iter());
    let history = spark.history.iter().flat_map(|h| h.hosts.iter());
    spark
        .clients
        .iter()
        .chain(dispatcher)
        .chain(history)
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
        Wish::prepare(User { name: spark.user.clone() }),
        Wish::prepare(Packages::named("spark", [spark.java.as_str(), "python3"])),
    ];
    wishes.extend(mesos::package(inventory, host));
    wishes.push(Wish::prepare(Unpacked::new(
        directory.clone(),
        spark.archive.clone(),
        inventory.proxy.clone(),
        "bin/spark-submit",
    )));
    wishes.extend(secrets(inventory, spark, host));
    wishes.extend(event_logs(spark));
    wishes.push(Wish::roll(Directory::new(format!("{directory}/conf"))));
    wishes.extend(files(world, spark, host)?.into_iter().map(Wish::roll));
    if spark.clients.contains(host) {
        let files = mesos::managed(&spark.client_files);
        wishes.extend(files.into_iter().map(|(file, _)| Wish::roll(file)));
    }
    // Last: whoever follows the link finds all of it configured.
    let link = Link { path: HOME.to_owned(), target: directory };
    wishes.push(Wish::roll(link));
    wishes.push(Wish::roll(old_secrets(inventory, spark, host)));
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
    let lines: Vec<_> =
        settings(inventory, spark).into_iter().map(|(key, value)| Line { key, value }).collect();
    let defaults = world.templates.render(&SparkDefaults { settings: lines })?;
    let environment = spark.env.iter();
    let environment =
        environment.map(|(name, value)| Variable { name: name.clone(), value: value.clone() });
    let env = world.templates.render(&SparkEnv {
        address: machine.address.to_string(),
        java: openjdk(&spark.java),
        tls: shows(inventory, spark, host).map(|it| it.variables()).unwrap_or_default(),
        environment: environment.collect(),
    })?;
    Ok(vec![
        File::new(format!("{directory}/conf/spark-defaults.conf"), defaults),
        File::new(format!("{directory}/conf/spark-env.sh"), env),
    ])
}

/// The number in the name of a Java of Debian's; others are where their packagers put them.
pub(super) fn openjdk(package: &str) -> Option<u32> {
    package.strip_prefix("openjdk-").and_then(compatibility::java_of_package)
}

/// What executors' containers see of their agent, and those of drivers that the dispatcher starts.
const VOLUMES: &str = "spark.mesos.executor.docker.volumes";

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
    if let Some(history) = &spark.history {
        settings.insert("spark.eventLog.enabled", "true".to_owned());
        settings.insert("spark.eventLog.dir", history.url());
        settings.insert("spark.history.fs.logDirectory", history.url());
        settings.insert("spark.history.ui.port", history.port.to_string());
    }
    if let Some(shuffle) = &spark.shuffle {
        settings.insert("spark.shuffle.service.enabled", "true".to_owned());
        settings.insert("spark.shuffle.service.port", shuffle.port.to_string());
        // Drivers keep theirs where they are: nobody serves what is theirs.
        settings.insert("spark.executorEnv.SPARK_LOCAL_DIRS", shuffle.directory.clone());
    }
    let mut settings: BTreeMap<String, String> =
        settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    settings.extend(spark.defaults.clone());
    let mut mounts: Vec<String> = Vec::new();
    if spark.dispatcher.is_some() {
        // A driver shows the certificate of the agent that it starts on.
        let told = tls::through_links(inventory, SECRETS).unwrap_or_default();
        for (name, value) in told {
            settings.entry(format!("spark.mesos.driverEnv.{name}")).or_insert(value);
        }
        // Executors and drivers of the dispatcher get the same volumes: a driver reads the secret and the key, and
        // writes its event log.
        let secrets =
            inventory.mesos.credentials.framework.is_some() || inventory.mesos.tls.is_some();
        let secrets = secrets.then(|| format!("{SECRETS}:{SECRETS}:ro"));
        let logs = spark.history.as_ref().and_then(History::local);
        mounts.extend(secrets);
        mounts.extend(logs.map(|path| format!("{path}:{path}:rw")));
    }
    mounts.extend(spark.shuffle.iter().map(|it| format!("{0}:{0}:rw", it.directory)));
    if !mounts.is_empty() {
        let volumes = settings.remove(VOLUMES).filter(|it| !it.is_empty());
        let all: Vec<String> = volumes.into_iter().chain(mounts).collect();
        settings.insert(VOLUMES.to_owned(), all.join(","));
    }
    settings
}

/// The directory of event logs, which Spark does not make: whoever submits writes there, nobody takes away what is
/// another's.
fn event_logs(spark: &Spark) -> Option<Wish> {
    let path = spark.history.as_ref()?.local()?;
    let mut directory = Directory::new(path);
    directory.owner.clone_from(&spark.user);
    directory.group.clone_from(&spark.user);
    directory.mode = "1777";
    Some(Wish::prepare(directory))
}

/// Where the secrets are: on clients, on agents, and inside containers that a driver may be in.
const SECRETS: &str = "/etc/spark-secrets";

fn secret_path(principal: &str) -> String {
    format!("{SECRETS}/{principal}")
}

/// The principal's secret in a file of its own, and the directory around it.
fn secrets(inventory: &Inventory, spark: &Spark, host: &HostName) -> Vec<Wish> {
    let shows = shows(inventory, spark, host);
    let mut wishes: Vec<Wish> = secret(inventory, spark).map(Wish::roll).into_iter().collect();
    if let Some(shows) = shows {
        let links = shows.links(SECRETS);
        wishes.extend(shows.files.into_iter().map(Wish::roll));
        wishes.extend(links.into_iter().map(Wish::roll));
    }
    if !wishes.is_empty() {
        let mut directory = Directory::new(SECRETS);
        directory.group.clone_from(&spark.user);
        directory.mode = "750";
        wishes.insert(0, Wish::roll(directory));
    }
    wishes
}

/// How a driver on this host shows who it is: as the host's daemons do, from files of the one who submits.
fn shows(inventory: &Inventory, spark: &Spark, host: &HostName) -> Option<Installed> {
    tls::installed(inventory, host, SECRETS, &spark.user)
}

/// Secrets of principals, and certificates, that were given up.
fn old_secrets(inventory: &Inventory, spark: &Spark, host: &HostName) -> Leftovers {
    let framework = inventory.mesos.credentials.framework.iter();
    let mut used: BTreeSet<String> = framework.map(|it| it.principal.clone()).collect();
    if spark.dispatcher.is_some() || hosts(inventory, spark).contains(host) {
        let shows = shows(inventory, spark, host);
        used.extend(
            shows
                .into_iter()
                .flat_map(|it| it.names().into_iter().chain(tls::LINKS.map(str::to_owned))),
        );
    }
    Leftovers { directory: SECRETS.to_owned(), prefix: "", used }
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
        trial: None,
        after: None,
    })
}

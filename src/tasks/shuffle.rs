//! Spark's external shuffle service on agents, in the foreground under a unit of ours.
//!
//! Executors come and go in containers, and what they wrote for others is served by the service of their host. So both
//! see one directory under one path, and clients are told of it last: the task comes before theirs, and what nobody
//! asks for any more ends after it.
//!
//! A service that is started anew knows no executor that is there already, and on Mesos it keeps no book about them:
//! what they have written and will write is lost to their jobs. So the less it is started with, the better: it has a
//! configuration of its own, and no line of `spark.defaults` that it does not read.
//! Source: apache/spark 3.5.1, `MesosExternalBlockHandler`, which gives its resolver no database, and
//! `BlockManager.registerWithExternalShuffleServer`, which executors call once.

use super::spark::{self, openjdk};
use super::{Card, Wish, Wishes, World, agents};
use crate::ground::HostName;
use crate::ground::digest::digest_of;
use crate::health;
use crate::inventory::{Inventory, Part, ShuffleService, Spark};
use crate::resource::directory::Directory;
use crate::resource::file::File;
use crate::resource::package::Packages;
use crate::resource::service::{Ready, Service};
use crate::resource::unpacked::Unpacked;
use crate::resource::user::User;
use crate::template::contexts::{Line, SparkDefaults, SparkEnv, SparkShuffle, Variable};

pub(super) const CARD: Card = Card {
    title: "Spark shuffle service",
    desire,
    part: Some(Part::Shuffle),
    unit: |_| Some(UNIT),
    check: Some(&health::Shuffle),
    // Its restart disturbs what runs on its agent.
    rollout: agents::rollout,
    gate_secs: 120,
    ..Card::PLAIN
};

/// The unit, without `.service`.
pub(crate) const UNIT: &str = "spark-shuffle";

/// What the service is configured by, apart from whoever submits on the same host.
const CONFIGURATION: &str = "/etc/spark-shuffle";

/// A JVM on a slow machine.
const READY_SECS: u32 = 60;

/// What it reads of `spark.defaults`, by the beginnings of names.
/// Source: apache/spark 3.5.1, docs/configuration.md and running-on-mesos.md; `TransportConf` of the module `shuffle`.
const READS: [&str; 5] = [
    "spark.shuffle.service.",
    "spark.shuffle.io.",
    "spark.shuffle.server.",
    "spark.shuffle.cleaner.",
    "spark.shuffle.maxChunksBeingTransferred",
];

/// What it reads of `spark.env`.
/// Source: apache/spark 3.5.1, `SparkClassCommandBuilder`, `MesosExternalShuffleService`.
const ENVIRONMENT: [&str; 4] =
    ["JAVA_HOME", "SPARK_DAEMON_JAVA_OPTS", "SPARK_DAEMON_CLASSPATH", "SPARK_SHUFFLE_OPTS"];

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let mut wishes = Wishes::new();
    let Some(spark) = &inventory.spark else { return Ok(wishes) };
    let Some(shuffle) = &spark.shuffle else { return Ok(wishes) };
    for (_, host, _) in inventory.agents() {
        wishes.insert(host.clone(), of_agent(world, spark, shuffle, host)?);
    }
    Ok(wishes)
}

fn of_agent(
    world: &World<'_>,
    spark: &Spark,
    shuffle: &ShuffleService,
    host: &HostName,
) -> Result<Vec<Wish>, String> {
    let inventory = world.inventory;
    let home = spark::directory(spark);
    let mut unit = File::new(
        format!("/etc/systemd/system/{UNIT}.service"),
        world.templates.render(&SparkShuffle {
            home: home.clone(),
            user: spark.user.clone(),
            configuration: CONFIGURATION,
            directory: shuffle.directory.clone(),
        })?,
    );
    unit.after = Some("systemctl daemon-reload");
    let mut files = configuration(world, spark, shuffle, host)?;
    files.push(unit);
    let mut parts: Vec<String> = files.iter().map(File::input).collect();
    parts.push(home.clone());
    let paths = files.iter().map(|file| file.path.clone()).collect();
    let digest = digest_of(parts.iter().map(String::as_str));
    let mut service = Service::running(UNIT, digest, paths);
    // Executors find it before their agent is given back.
    let question = inventory.hosts.get(host).and_then(|it| health::shuffle(inventory, it));
    service.ready = question.map(|(address, port)| Ready {
        command: health::answers_shuffle(&address, port),
        secs: READY_SECS,
    });

    let archive = spark.archive.clone();
    let unpacked = Unpacked::new(home, archive, inventory.proxy.clone(), "bin/spark-submit");
    let mut wishes = vec![
        Wish::prepare(User { name: spark.user.clone() }),
        Wish::prepare(Packages::named("shuffle", [spark.java.as_str()])),
        Wish::prepare(unpacked),
        Wish::prepare(directory(spark, shuffle)),
        Wish::roll(Directory::new(CONFIGURATION)),
    ];
    wishes.extend(files.into_iter().map(Wish::roll));
    wishes.push(Wish::roll(service));
    Ok(wishes)
}

/// Where executors keep their files. Whoever they run as in their containers puts a directory there, named by chance
/// alone, and nobody but its owner lists or removes another's: what jobs shuffle is not everybody's to read.
fn directory(spark: &Spark, shuffle: &ShuffleService) -> Directory {
    let mut directory = Directory::new(shuffle.directory.clone());
    directory.owner.clone_from(&spark.user);
    directory.group.clone_from(&spark.user);
    directory.mode = "1733";
    directory
}

/// spark-defaults.conf and spark-env.sh of the service.
fn configuration(
    world: &World<'_>,
    spark: &Spark,
    shuffle: &ShuffleService,
    host: &HostName,
) -> Result<Vec<File>, String> {
    let Some(machine) = world.inventory.hosts.get(host) else { return Ok(Vec::new()) };
    let settings = lines(world.inventory, spark, shuffle);
    let defaults = world.templates.render(&SparkDefaults { settings })?;
    let said = ENVIRONMENT.iter().filter_map(|name| Some((*name, spark.env.get(*name)?.clone())));
    let memory = ("SPARK_DAEMON_MEMORY", format!("{}m", shuffle.memory));
    let environment = said.chain([memory]);
    let environment =
        environment.map(|(name, value)| Variable { name: name.to_owned(), value }).collect();
    let env = world.templates.render(&SparkEnv {
        address: machine.address.to_string(),
        java: openjdk(&spark.java),
        tls: Vec::new(),
        environment,
    })?;
    Ok(vec![
        File::new(format!("{CONFIGURATION}/spark-defaults.conf"), defaults),
        File::new(format!("{CONFIGURATION}/spark-env.sh"), env),
    ])
}

/// The lines of spark-defaults.conf that the service reads.
fn lines(inventory: &Inventory, spark: &Spark, shuffle: &ShuffleService) -> Vec<Line> {
    let mut read = spark::settings(inventory, spark);
    read.retain(|key, _| READS.iter().any(|reads| key.starts_with(reads)));
    // Where jobs look elsewhere, which is a lint, it still listens where it is asked.
    read.insert("spark.shuffle.service.port".to_owned(), shuffle.port.to_string());
    read.into_iter().map(|(key, value)| Line { key, value }).collect()
}

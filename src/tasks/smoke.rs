//! The proof that it works: Spark's own Pi inside the image on every agent, through Mesos wide and
//! pinned to each agent, and once as a driver of the dispatcher.

use serde_json::json;

use super::image::HOME;
use super::{Card, Rollout, Wish, Wishes, World, image, spark};
use crate::inventory::{HostName, Inventory, Spark};
use crate::resource::proof::{NOT_RUN, Proof};
use crate::resource::{Resource, digest_of};

pub(super) const CARD: Card =
    Card { title: "smoke test", desire, check: None, rollout, gate_secs: 0 };

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let mut wishes = Wishes::new();
    let Some(spark) = &inventory.spark else { return Ok(wishes) };
    let image = image::image(world, spark)?;
    let timeout_secs = inventory.smoke.timeout.as_secs();
    let in_image = world.templates.render(
        "smoke/pi-in-image.sh",
        &json!({
            "home": HOME,
            "image": image.name,
            "timeout_secs": timeout_secs,
            "slices": inventory.smoke.slices,
        }),
    )?;
    let input = image.input();
    for (_, host, _) in inventory.agents() {
        let digest = digest_of([input.as_str(), in_image.as_str()]);
        let proof = Proof::new("pi-in-image", digest, in_image.clone());
        wishes.entry(host.clone()).or_default().push(Wish::roll(Resource::Proof(proof)));
    }
    // One client proves for all: two would compete for the same room.
    if let Some(client) = spark.clients.first() {
        let list = wishes.entry(client.clone()).or_default();
        list.extend(through_mesos(world, spark, client, &input)?);
        list.extend(in_cluster_mode(world, spark, &input)?);
    }
    Ok(wishes)
}

/// What runs through Mesos needs the room that the agents' own proofs take.
fn rollout(inventory: &Inventory) -> Rollout {
    let clients = inventory.spark.iter().flat_map(|spark| spark.clients.iter().cloned());
    Rollout::Last(clients.collect())
}

fn through_mesos(
    world: &World<'_>,
    spark: &Spark,
    client: &HostName,
    image: &str,
) -> Result<Vec<Wish>, String> {
    let inventory = world.inventory;
    let Some(machine) = inventory.hosts.get(client) else { return Ok(Vec::new()) };
    let (base, common) = (base(inventory, spark, image), smoke_settings(spark));
    let mut wishes = Vec::new();
    let mut add = |name: String, agent: Option<&HostName>, subject: String| {
        let mut settings = common.clone();
        if let Some(agent) = agent {
            settings.push(format!("spark.mesos.constraints=provision_host:{agent}"));
        }
        let script = world.templates.render(
            "smoke/pi-through-mesos.sh",
            &json!({
                "home": HOME,
                "user": spark.user,
                "name": format!("provision-{name}"),
                "address": machine.address.to_string(),
                "settings": settings,
                "slices": inventory.smoke.slices,
                "timeout_secs": inventory.smoke.timeout.as_secs(),
                "not_run": NOT_RUN,
            }),
        )?;
        let digest = digest_of([base.as_str(), subject.as_str(), script.as_str()]);
        let mut proof = Proof::new(&name, digest, script);
        proof.agent = agent.cloned();
        wishes.push(Wish::roll(Resource::Proof(proof)));
        Ok::<(), String>(())
    };
    let everybody: Vec<String> = inventory
        .agents()
        .map(|(_, host, agent)| format!("{host} {} {}", agent.attributes, agent.resources))
        .collect();
    add("pi-through-mesos".to_owned(), None, everybody.join("\n"))?;
    if inventory.smoke.each_agent {
        for ((_, host, _), subject) in inventory.agents().zip(&everybody) {
            add(format!("pi-on-{host}"), Some(host), subject.clone())?;
        }
    }
    Ok(wishes)
}

fn in_cluster_mode(world: &World<'_>, spark: &Spark, image: &str) -> Result<Option<Wish>, String> {
    let inventory = world.inventory;
    let Some(dispatcher) = &spark.dispatcher else { return Ok(None) };
    let address = dispatcher.hosts.first().and_then(|host| inventory.hosts.get(host));
    let Some(address) = address.map(|host| host.address) else { return Ok(None) };
    let mut properties = spark::settings(inventory, spark);
    for line in smoke_settings(spark) {
        if let Some((key, value)) = line.split_once('=') {
            properties.insert(key.to_owned(), value.to_owned());
        }
    }
    properties.extend(
        [
            ("spark.app.name", "provision-pi-in-cluster-mode".to_owned()),
            ("spark.submit.deployMode", "cluster".to_owned()),
            ("spark.master", format!("mesos://{address}:{}", dispatcher.port)),
            ("spark.driver.memory", "512m".to_owned()),
            ("spark.driver.supervise", "false".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    // The path of an application in the image; PyPI's Spark has no examples jar, every one has this.
    let request = json!({
        "action": "CreateSubmissionRequest",
        "clientSparkVersion": spark.version.as_str(),
        "appResource": format!("local://{HOME}/examples/src/main/python/pi.py"),
        "mainClass": "",
        "appArgs": [inventory.smoke.slices.to_string()],
        "environmentVariables": {},
        "sparkProperties": properties,
    });
    let script = world.templates.render(
        "smoke/pi-in-cluster-mode.sh",
        &json!({
            "rest": format!("http://{address}:{}", dispatcher.port),
            "request": request.to_string(),
            "timeout_secs": inventory.smoke.timeout.as_secs(),
            "not_run": NOT_RUN,
        }),
    )?;
    let digest = digest_of([&*base(inventory, spark, image), script.as_str()]);
    Ok(Some(Wish::roll(Resource::Proof(Proof::new("pi-in-cluster-mode", digest, script)))))
}

/// What any run through Mesos depends on.
fn base(inventory: &Inventory, spark: &Spark, image: &str) -> String {
    let settings: Vec<String> = spark::settings(inventory, spark)
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    digest_of([
        inventory.mesos.version.as_str(),
        spark.version.as_str(),
        spark.archive.digest.hex(),
        image,
        &settings.join("\n"),
    ])
}

/// A Pi must end even where the user's defaults ask for more than there is: small executors, few cores.
fn smoke_settings(spark: &Spark) -> Vec<String> {
    let mut settings = vec!["spark.executor.memory=512m".to_owned()];
    settings.push("spark.executor.cores=1".to_owned());
    let wanted = spark.defaults.get("spark.cores.max").and_then(|n| n.parse::<u32>().ok());
    settings.push(format!("spark.cores.max={}", wanted.unwrap_or(2).min(4)));
    settings
}

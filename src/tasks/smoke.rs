//! The proof that it works: Spark's own Pi inside the image on every agent, through Mesos wide and
//! pinned to each agent, and once as a driver of the dispatcher.

use super::image::HOME;
use super::{Card, Rollout, Wish, Wishes, World, image, spark};
use crate::ground::digest::digest_of;
use crate::ground::{Endpoint, HostName};
use crate::inventory::{Agent, HOST_ATTRIBUTE, Inventory, Spark};
use crate::resource::proof::{Engine, NOT_RUN, Pinned, Proof};
use crate::simulate::application::applications;
use crate::simulate::executors::executor_mib;
use crate::template::contexts::{PiInClusterMode, PiInImage, PiThroughMesos};

pub(super) const CARD: Card = Card { title: "smoke test", desire, rollout, ..Card::PLAIN };

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let mut wishes = Wishes::new();
    let Some(spark) = &inventory.spark else { return Ok(wishes) };
    // Nothing would ever offer these jobs anything.
    if inventory.agents().next().is_none() {
        return Ok(wishes);
    }
    let image = image::image(world, spark)?;
    let in_image = |timeout_secs: u64| {
        world.templates.render(&PiInImage {
            home: HOME,
            image: image.name.clone(),
            timeout_secs,
            slices: inventory.smoke.slices,
        })
    };
    let (input, script) = (image.input(), in_image(inventory.smoke.timeout.as_secs())?);
    let digest = digest_of([input.as_str(), in_image(UNTIMED)?.as_str()]);
    for (_, host, _) in inventory.agents() {
        let proof = Proof::new("pi-in-image", digest.clone(), script.clone());
        wishes.entry(host.clone()).or_default().push(Wish::roll(proof));
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

/// What stands for the limit where a proof's digest is made: waiting longer proves nothing else.
const UNTIMED: u64 = 0;

/// What plays Mesos here: the stand-in says so in its version.
fn engine(inventory: &Inventory) -> Engine {
    if inventory.mesos.version.as_str().contains("standin") {
        Engine::StandIn
    } else {
        Engine::Mesos
    }
}

/// As a user of the client submits it: nothing is added but where it must run.
fn through_mesos(
    world: &World<'_>,
    spark: &Spark,
    client: &HostName,
    image: &str,
) -> Result<Vec<Wish>, String> {
    let inventory = world.inventory;
    if !inventory.hosts.contains_key(client) {
        return Ok(Vec::new());
    }
    let base = base(inventory, spark, image);
    let everybody: Vec<String> = inventory
        .agents()
        .map(|(_, host, agent)| format!("{host} {} {}", agent.attributes, agent.resources))
        .collect();
    let mut wishes = Vec::new();
    let mut add = |name: String, pinned: Option<Pinned>, subject: &str| {
        let on =
            |pinned: &Pinned| format!("spark.mesos.constraints=provision_host:{}", pinned.agent);
        let script = |timeout_secs: u64| {
            world.templates.render(&PiThroughMesos {
                home: HOME.to_owned(),
                user: spark.user.clone(),
                constraints: pinned.as_ref().map(on),
                agents: if pinned.is_some() { 1 } else { everybody.len() },
                slices: inventory.smoke.slices,
                timeout_secs,
                not_run: NOT_RUN,
            })
        };
        let digest = digest_of([base.as_str(), subject, script(UNTIMED)?.as_str()]);
        let mut proof = Proof::new(&name, digest, script(inventory.smoke.timeout.as_secs())?);
        proof.pinned = pinned;
        proof.engine = engine(inventory);
        wishes.push(Wish::roll(proof));
        Ok::<(), String>(())
    };
    add("pi-through-mesos".to_owned(), None, &everybody.join("\n"))?;
    if inventory.smoke.each_agent {
        let known = |agent: &Agent| agent.attributes.0.contains_key(HOST_ATTRIBUTE);
        for ((_, host, agent), subject) in inventory.agents().zip(&everybody) {
            if !known(agent) {
                continue;
            }
            add(format!("pi-on-{host}"), pinned(inventory, host), subject)?;
        }
    }
    Ok(wishes)
}

/// An executor of a plain submit on one agent. Without `spark.executor.cores` it takes what cores there are:
/// one is enough.
fn pinned(inventory: &Inventory, agent: &HostName) -> Option<Pinned> {
    let plain =
        applications(inventory).into_iter().find(|application| application.name.is_none())?;
    Some(Pinned {
        agent: agent.clone(),
        cpus: f64::from(plain.workload.cores.unwrap_or(1)),
        memory_mib: executor_mib(&plain.workload, &plain.settings) as f64,
    })
}

fn in_cluster_mode(world: &World<'_>, spark: &Spark, image: &str) -> Result<Option<Wish>, String> {
    let inventory = world.inventory;
    let Some(dispatcher) = &spark.dispatcher else { return Ok(None) };
    let address = dispatcher.hosts.first().and_then(|host| inventory.hosts.get(host));
    let Some(rest) = address.map(|host| Endpoint::new(host.address, dispatcher.port)) else {
        return Ok(None);
    };
    let script = |timeout_secs: u64| {
        world.templates.render(&PiInClusterMode {
            home: HOME,
            user: spark.user.clone(),
            rest: rest.http(),
            master: format!("mesos://{rest}"),
            slices: inventory.smoke.slices,
            timeout_secs,
            not_run: NOT_RUN,
        })
    };
    let digest = digest_of([&*base(inventory, spark, image), script(UNTIMED)?.as_str()]);
    let mut proof =
        Proof::new("pi-in-cluster-mode", digest, script(inventory.smoke.timeout.as_secs())?);
    proof.engine = engine(inventory);
    Ok(Some(Wish::roll(proof)))
}

/// What any run through Mesos depends on.
fn base(inventory: &Inventory, spark: &Spark, image: &str) -> String {
    let settings: Vec<String> = spark::settings(inventory, spark)
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let settings = settings.join("\n");
    let tls = inventory.mesos.tls.as_ref().map(|tls| format!("{:?}", tls.policy));
    let mut parts = vec![
        inventory.mesos.version.as_str(),
        spark.version.as_str(),
        spark.archive.digest.hex(),
        image,
        &settings,
    ];
    // Nothing where there is none: what was proven before there could be any stays proven.
    parts.extend(tls.as_deref());
    digest_of(parts)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::lints::load::{Lab, load_text};
    use crate::template::Templates;

    /// Waiting longer proves nothing else; asking for more does.
    #[test]
    fn a_changed_time_limit_undoes_no_proof() {
        let text = "version: 1\ncluster: c\nhosts: { m1: { address: 10.0.0.1 } }\n\
            zookeeper: { servers: { m1: 1 } }\n\
            mesos: { version: 1.11.0, package: { preinstalled: true }, masters: { hosts: [m1] }, \
            agents: { p: { hosts: [m1], resources: { cpus: 2, mem: 4GB } } } }\n\
            spark: { version: 3.5.1, archive: { url: 'https://x/s.tgz', sha256: \
            0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a }, clients: { hosts: [m1] }, \
            dispatcher: { hosts: [m1] } }\n";
        let templates = Templates::new(&Default::default()).unwrap();
        let proofs = |set: &str| -> Vec<(String, String, String)> {
            let sets = [set.to_owned()];
            let loaded = load_text("i", text.as_bytes(), Path::new("/"), &sets, Lab::No).unwrap();
            let world = World { inventory: &loaded.inventory, templates: &templates };
            let wishes = desire(&world).unwrap();
            let proofs = wishes.values().flatten().filter_map(|it| it.resource.get::<Proof>());
            proofs.map(|it| (it.name.clone(), it.digest.clone(), it.script.clone())).collect()
        };
        let (brief, long) = (proofs("smoke.timeout=15secs"), proofs("smoke.timeout=9mins"));
        let more = proofs("smoke.slices=77");
        assert!(brief.len() >= 4, "{}", brief.len());
        for ((a, b), c) in brief.iter().zip(&long).zip(&more) {
            assert_eq!((&a.0, &a.1), (&b.0, &b.1));
            assert_ne!(a.2, b.2, "{} does not heed its limit", a.0);
            assert_ne!(a.1, c.1, "{} does not heed its slices", a.0);
        }
    }
}

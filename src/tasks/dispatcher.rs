//! The MesosClusterDispatcher, in the foreground under a unit of ours.

use super::image::HOME;
use super::{Card, Wish, Wishes, World, mesos, spark};
use crate::ground::digest::digest_of;
use crate::health;
use crate::inventory::Part;
use crate::resource::file::File;
use crate::resource::service::Service;
use crate::template::contexts::Dispatcher;

pub(super) const CARD: Card = Card {
    title: "Spark dispatcher",
    desire,
    part: Some(Part::Dispatcher),
    unit: |_| Some("spark-dispatcher"),
    check: Some(&health::Dispatcher),
    gate_secs: 120,
    ..Card::PLAIN
};

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let mut wishes = Wishes::new();
    let Some(spark) = &inventory.spark else { return Ok(wishes) };
    let Some(dispatcher) = &spark.dispatcher else { return Ok(wishes) };
    for host in &dispatcher.hosts {
        let Some(machine) = inventory.hosts.get(host) else { continue };
        let mut unit = File::new(
            "/etc/systemd/system/spark-dispatcher.service",
            world.templates.render(&Dispatcher {
                home: HOME,
                user: spark.user.clone(),
                address: machine.address.to_string(),
                port: dispatcher.port,
                master: format!("mesos://{}", inventory.zookeeper_url()),
                zookeeper: inventory.zookeeper_connect(),
            })?,
        );
        unit.after = Some("systemctl daemon-reload");
        let mut files = spark::files(world, spark, host)?;
        files.push(unit.clone());
        let mut parts: Vec<String> = files.iter().map(File::input).collect();
        parts.push(spark::directory(spark));
        parts.push(format!("mesos={}", inventory.mesos.version));
        let paths = files.iter().map(|file| file.path.clone()).collect();
        let mut service = Service::running(
            "spark-dispatcher",
            digest_of(parts.iter().map(String::as_str)),
            paths,
        );
        // Nothing registers with Mesos without its library.
        service.needs = mesos::LIBRARIES.map(str::to_owned).to_vec();
        wishes.insert(host.clone(), vec![Wish::roll(unit), Wish::roll(service)]);
    }
    Ok(wishes)
}

//! Spark's history server, in the foreground under a unit of ours.

use super::image::HOME;
use super::{Card, Wish, Wishes, World, spark};
use crate::ground::digest::digest_of;
use crate::health;
use crate::inventory::Part;
use crate::resource::file::File;
use crate::resource::service::Service;
use crate::template::contexts::SparkHistory;

pub(super) const CARD: Card = Card {
    title: "Spark history",
    desire,
    part: Some(Part::History),
    unit: |_| Some("spark-history"),
    check: Some(&health::History),
    gate_secs: 120,
    ..Card::PLAIN
};

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let mut wishes = Wishes::new();
    let Some(spark) = &inventory.spark else { return Ok(wishes) };
    let Some(history) = &spark.history else { return Ok(wishes) };
    for host in &history.hosts {
        let mut unit = File::new(
            "/etc/systemd/system/spark-history.service",
            world.templates.render(&SparkHistory { home: HOME, user: spark.user.clone() })?,
        );
        unit.after = Some("systemctl daemon-reload");
        let mut files = spark::files(world, spark, host)?;
        files.push(unit.clone());
        let mut parts: Vec<String> = files.iter().map(File::input).collect();
        parts.push(spark::directory(spark));
        let paths = files.iter().map(|file| file.path.clone()).collect();
        let digest = digest_of(parts.iter().map(String::as_str));
        let service = Service::running("spark-history", digest, paths);
        wishes.insert(host.clone(), vec![Wish::roll(unit), Wish::roll(service)]);
    }
    Ok(wishes)
}

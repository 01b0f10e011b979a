//! The image of Spark's executors, on every agent before anything rolls.

use std::sync::Arc;

use super::{Card, Wish, Wishes, World};
use crate::inventory::{ImageBuild, Inventory, MesosPackage, Spark, SparkImage};
use crate::resource::image::{Build, Image, Origin};
use crate::template::contexts::{Dockerfile, SparkSubmit};

pub(super) const CARD: Card = Card { title: "Spark image", desire, ..Card::PLAIN };

/// Where Spark is, in the image and on clients.
pub(crate) const HOME: &str = "/opt/spark";

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let Some(spark) = &inventory.spark else { return Ok(Wishes::new()) };
    let image = image(world, spark)?;
    Ok(inventory
        .agents()
        .map(|(_, host, _)| (host.clone(), vec![Wish::prepare(image.clone())]))
        .collect())
}

/// The image as every agent must have it.
pub(super) fn image(world: &World<'_>, spark: &Spark) -> Result<Image, String> {
    let inventory = world.inventory;
    let origin = match &spark.image {
        SparkImage::Registry { .. } => Origin::Pull,
        SparkImage::Archive { archive, .. } => Origin::Load {
            archive: archive.clone(),
            stamp: format!(
                "{}/{}.image",
                crate::resource::service::STAMPS,
                &archive.digest.hex()[..16]
            ),
        },
        SparkImage::Build { base, packages, build: by, .. } => {
            Origin::Build(Arc::new(build(world, inventory, spark, base, packages, *by)?))
        }
    };
    Ok(Image { name: spark.image.name().to_owned(), origin, proxy: inventory.proxy.clone() })
}

fn build(
    world: &World<'_>,
    inventory: &Inventory,
    spark: &Spark,
    base: &str,
    packages: &[String],
    by: ImageBuild,
) -> Result<Build, String> {
    // libmesos in the image serves drivers in cluster mode; it can only come from a file.
    let mesos_deb = match &inventory.mesos.package {
        MesosPackage::Deb { file, .. } => Some(file.clone()),
        MesosPackage::Apt { .. } | MesosPackage::Preinstalled | MesosPackage::Built(_) => None,
    };
    let mut all = vec![spark.java.clone()];
    all.extend(packages.iter().filter(|p| **p != spark.java).cloned());
    let dockerfile = world.templates.render(&Dockerfile {
        base: base.to_owned(),
        packages: all,
        home: HOME,
        directory: super::spark::directory(spark),
        user: spark.user.clone(),
        mesos_deb: mesos_deb.is_some(),
    })?;
    // See docs/facts.md, "The dispatcher's driver cores"; it does no harm where a version does not need it.
    let wrapper = world.templates.render(&SparkSubmit { user: spark.user.clone() })?;
    Ok(Build {
        by,
        dockerfile,
        files: vec![("spark-submit".to_owned(), wrapper)],
        trees: vec![("spark".to_owned(), spark.archive.clone(), "bin/spark-submit")],
        blobs: mesos_deb.map(|deb| ("mesos.deb".to_owned(), deb)).into_iter().collect(),
    })
}

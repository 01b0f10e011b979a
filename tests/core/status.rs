//! What `status` says, in words and as JSON, and its exit code.

use provision::commands::status::data::{Status, schema};
use provision::commands::status::text::text;
use provision::ground::HostName;
use provision::plan::Scope;
use provision::ui::colour::Colour;

use super::support::schema::fits;
use super::support::world::{Reach, World, inventory};

fn converged() -> World {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inventories/demo.yaml");
    let sets = [
        "mesos.package.deb=mesos_1.11.0_amd64.deb",
        "spark.archive.path=spark-3.5.1-bin-hadoop3.tgz",
        "docker.images.0.archive=debian-bookworm-slim.tar",
    ];
    let mut world = World::fresh(inventory(&std::fs::read_to_string(path).unwrap(), &sets));
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    world
}

fn status(world: &World) -> Status {
    let status = Status::of(&world.inventory, &world.look().observed, None);
    let (schema, value) = (schema(), serde_json::to_value(&status).unwrap());
    fits(&schema, &schema, &value).unwrap();
    status
}

#[test]
fn a_cluster_that_serves() {
    let status = status(&converged());
    assert_eq!(status.exit, 0);
    insta::assert_snapshot!(text(&status, Colour::No));
    assert!(text(&status, Colour::Yes).contains("\u{1b}[32mleading\u{1b}[0m"));
    insta::assert_snapshot!(serde_json::to_string_pretty(&status).unwrap());
}

#[test]
fn an_image_that_is_missing_is_sick_and_a_host_that_is_away_is_not() {
    let mut world = converged();
    let away = world.machines.get_mut(&HostName::new("a2")).unwrap();
    away.reach = Reach::Dead;
    let silent = status(&world);
    assert_eq!(silent.exit, 4, "{}", text(&silent, Colour::No));
    world.machines.get_mut(&HostName::new("a1")).unwrap().images.clear();
    let sick = status(&world);
    assert_eq!(sick.exit, 3);
    assert!(
        text(&sick, Colour::No).contains("  a1         MISSING"),
        "{}",
        text(&sick, Colour::No)
    );
}

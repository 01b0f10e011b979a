//! Every file as it is written, of three inventories: of each the first host of a kind.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test")]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use provision::inventory::{HostName, Inventory};
use provision::resource::Resource;
use provision::resource::file::Content;
use provision::resource::image::Origin;
use provision::tasks::{ALL, World, desire};

#[expect(dead_code, reason = "only inventories are needed here")]
#[path = "support/world.rs"]
mod world;

fn read(name: &str) -> String {
    let path = format!("{}/inventories/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// Masters, agents of one pool, clients: hosts that the same tasks want things of are of one kind.
fn rendered(inventory: &Inventory) -> String {
    let world = World { inventory, templates: world::templates(), live: None };
    let desired = desire(&world).unwrap();
    let mut kinds = BTreeSet::new();
    let mut text = String::new();
    for host in inventory.hosts.keys() {
        let tasks: Vec<_> =
            ALL.iter().filter(|task| desired.tasks[*task].contains_key(host)).collect();
        if kinds.insert(tasks) {
            files(&mut text, &desired, host);
        }
    }
    text
}

fn files(text: &mut String, desired: &provision::tasks::Desired, host: &HostName) {
    for (task, wish) in desired.of(host) {
        match &wish.resource {
            Resource::File(file) => {
                let _ = writeln!(
                    text,
                    "===== {host}: {task}: {} {}:{} {}",
                    file.path, file.owner, file.group, file.mode
                );
                match &file.content {
                    Content::Text(content) => text.push_str(content),
                    Content::Secret { template, label, .. } => {
                        let _ = writeln!(text, "{template} ({label})");
                    }
                }
                assert!(text.ends_with('\n'), "{}: its last line has no end", file.path);
            }
            Resource::Directory(directory) => {
                let only: Vec<&str> = directory.only.iter().flatten().map(String::as_str).collect();
                let _ = writeln!(
                    text,
                    "===== {host}: {task}: {}/ {}:{} {} {}",
                    directory.path,
                    directory.owner,
                    directory.group,
                    directory.mode,
                    only.join(" ")
                );
            }
            Resource::Image(image) => {
                if let Origin::Build(build) = &image.origin {
                    let _ = writeln!(text, "===== {host}: {task}: Dockerfile of {}", image.name);
                    text.push_str(&build.dockerfile);
                    for (name, content) in &build.files {
                        let _ = writeln!(text, "===== {host}: {task}: {name} of {}", image.name);
                        text.push_str(content);
                    }
                }
            }
            Resource::Proof(proof) => {
                let _ = writeln!(text, "===== {host}: {task}: {}", proof.name);
                text.push_str(&proof.script);
            }
            other => {
                let _ = writeln!(text, "===== {host}: {task}: {}", other.id());
            }
        }
    }
}

#[test]
fn demo() {
    let sets = [
        "mesos.package.deb=mesos_1.11.0_amd64.deb",
        "spark.archive.path=spark-3.5.1-bin-hadoop3.tgz",
        "docker.images.0.archive=debian-bookworm-slim.tar",
    ];
    insta::assert_snapshot!(rendered(&world::inventory(&read("demo"), &sets)));
}

#[test]
fn single_host() {
    insta::assert_snapshot!(rendered(&world::inventory(&read("single-host"), &[])));
}

#[test]
fn production() {
    insta::assert_snapshot!(rendered(&world::inventory(&read("production"), &[])));
}

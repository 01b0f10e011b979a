//! Every file as it is written, of three inventories: of each the first host of a kind.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use provision::ground::HostName;
use provision::inventory::Inventory;
use provision::resource::Resource;
use provision::resource::file::Content;
use provision::resource::image::Origin;
use provision::tasks::{ALL, World, desire};

use super::support::world;

fn read(name: &str) -> String {
    let path = format!("{}/inventories/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// An IPv6 address before a port is in brackets, in whatever is written or run.
#[test]
fn an_ipv6_address_before_a_port_is_in_brackets() {
    let mut inventory = world::inventory(&read("single-host"), &[]);
    let hosts: Vec<HostName> = inventory.hosts.keys().cloned().collect();
    for (n, host) in hosts.iter().enumerate() {
        inventory.override_address(host, format!("fd00::{n:x}a").parse().unwrap());
    }
    let world = World { inventory: &inventory, templates: world::templates() };
    let desired = desire(&world).unwrap();
    let mut bracketed = 0;
    for host in &hosts {
        for (task, wish) in desired.of(host) {
            let text = format!("{:?}", wish.resource);
            for (at, address) in text.match_indices("fd00::") {
                let rest =
                    text[at + address.len()..].trim_start_matches(|c: char| c.is_ascii_hexdigit());
                let open = text[..at].ends_with('[');
                assert!(!rest.starts_with(':'), "{host}: {task}: {}", &text[at..][..20]);
                assert_eq!(rest.starts_with("]:"), open, "{host}: {task}");
                bracketed += usize::from(open);
            }
        }
    }
    assert!(bracketed > 0);
}

/// Masters, agents of one pool, clients: hosts that the same tasks want things of are of one kind.
fn rendered(inventory: &Inventory) -> String {
    let world = World { inventory, templates: world::templates() };
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
        match &*wish.resource {
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

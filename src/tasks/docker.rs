//! The Docker engine of the agents.

use super::{Card, Rollout, Wish, Wishes, World, agents};
use crate::ground::digest::digest_of;
use crate::inventory::Inventory;
use crate::resource::evidence::Evidence;
use crate::resource::fetched;
use crate::resource::file::File;
use crate::resource::image::{Image, Origin};
use crate::resource::package::Packages;
use crate::resource::service::{Ready, Service};
use crate::template::contexts::{ProxyEnvironment, ProxyUnit, Variable};

pub(super) const CARD: Card =
    Card { title: "Docker", desire, unit: |_| Some("docker"), rollout, ..Card::PLAIN };

const DAEMON: &str = "/etc/docker/daemon.json";

/// Since Docker 23 the engine itself says whether it would start with a file.
///
/// Source: dockerd(8), `--validate`.
const VALIDATE: &str = "if command -v dockerd >/dev/null && dockerd --help 2>/dev/null | grep -q -e --validate; then\n\
    why=$(dockerd --validate --config-file=\"$new\" 2>&1) || die \"the engine refuses it: $(printf %s \"$why\" | tail -n 1)\"\nfi";

/// From this Debian on docker.io holds the engine alone, and only recommends the client.
///
/// Source: the packages of Debian 12 and 13 (docker.io 26.1.5+dfsg1-9 `Recommends: docker-cli`).
const CLIENT_SINCE: u32 = 13;

/// What the engine is told of proxies: readable by root alone, unlike what a unit says itself.
const PROXY: &str = "/etc/docker/proxy.env";

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let docker = &inventory.docker;
    let mut wishes = Wishes::new();
    let engine = match &docker.package {
        Some(package) => engine(world, package)?,
        None => Vec::new(),
    };
    for (_, host, _) in inventory.agents() {
        let mut list = engine.clone();
        for archive in &docker.images {
            let hex = archive.digest.hex();
            let origin = Origin::Load {
                archive: archive.clone(),
                stamp: format!("{}/{}.image", crate::resource::service::STAMPS, &hex[..16]),
            };
            let name = fetched::path(archive).rsplit('/').next().unwrap_or("archive").to_owned();
            let image = Image { name, origin, proxy: inventory.proxy.clone() };
            list.push(Wish::prepare(image));
        }
        wishes.insert(host.clone(), list);
    }
    Ok(wishes)
}

/// The engine itself: its package, its files, its service.
fn engine(world: &World<'_>, package: &str) -> Result<Vec<Wish>, String> {
    let (inventory, docker) = (world.inventory, &world.inventory.docker);
    let daemon = serde_json::to_string_pretty(&docker.daemon).unwrap_or_else(|_| "{}".to_owned());
    let mut daemon = File::new(DAEMON, format!("{daemon}\n"));
    daemon.trial = Some(VALIDATE);
    let (variables, secrets) = inventory.proxy.variables();
    let environment: Vec<_> = variables
        .into_iter()
        .map(|(name, value)| Variable { name: name.to_uppercase(), value })
        .collect();
    let mut inputs = vec![daemon];
    let unproxied = environment.is_empty();
    if !unproxied {
        let text = world.templates.render(&ProxyEnvironment { environment })?;
        inputs.push(File::private(PROXY, text, secrets, "proxy/docker"));
        let text = world.templates.render(&ProxyUnit { file: PROXY })?;
        let mut unit = File::new("/etc/systemd/system/docker.service.d/provision-proxy.conf", text);
        unit.after = Some("systemctl daemon-reload");
        inputs.push(unit);
    }
    let digest: Vec<String> = inputs.iter().map(File::input).collect();
    let paths = inputs.iter().map(|file| file.path.clone()).collect();
    let mut service =
        Service::running("docker", digest_of(digest.iter().map(String::as_str)), paths);
    service.ready = Some(Ready { command: "docker version >/dev/null".to_owned(), secs: 30 });
    // What a process was told of proxies stands in no file that it read itself.
    if unproxied {
        let value = serde_json::Value::Object(docker.daemon.clone());
        service.evidence = Some(Box::new(Evidence::Json { path: DAEMON.to_owned(), value }));
    }
    // The engine starts as soon as its package is installed, with the files that are there then.
    let mut list: Vec<Wish> =
        inputs.into_iter().map(|file| Wish::unless(&["docker"], file)).collect();
    // apt does not install what docker.io only recommends, and needs at run time.
    let mut packages = Packages::named("docker", [package, "iptables"]);
    if package == "docker.io" {
        packages.since.push((CLIENT_SINCE, "docker-cli".to_owned()));
    }
    list.push(Wish::unless(&["docker"], packages));
    list.push(Wish::unless(&["docker"], service));
    Ok(list)
}

/// A changed engine disturbs every container of its agent, so it rolls as agents do.
fn rollout(inventory: &Inventory) -> Rollout {
    agents::rollout(inventory)
}

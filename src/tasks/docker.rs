//! The Docker engine of the agents.

use serde_json::json;

use super::{Card, Rollout, Wish, Wishes, World, agents};
use crate::inventory::Inventory;
use crate::resource::file::File;
use crate::resource::image::{Image, Origin};
use crate::resource::package::Packages;
use crate::resource::service::Service;
use crate::resource::{Resource, digest_of, fetched};

pub(super) const CARD: Card = Card { title: "Docker", desire, check: None, rollout, gate_secs: 0 };

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let docker = &inventory.docker;
    let mut wishes = Wishes::new();
    let daemon = serde_json::to_string_pretty(&docker.daemon).unwrap_or_else(|_| "{}".to_owned());
    let daemon = File::new("/etc/docker/daemon.json", format!("{daemon}\n"));
    let proxy = &inventory.proxy;
    let environment: Vec<_> =
        [("HTTP_PROXY", &proxy.http), ("HTTPS_PROXY", &proxy.https), ("NO_PROXY", &proxy.no_proxy)]
            .into_iter()
            .filter_map(|(name, value)| Some(json!({"name": name, "value": value.as_ref()?})))
            .collect();
    for (_, host, _) in inventory.agents() {
        let mut inputs = vec![daemon.clone()];
        if !environment.is_empty() {
            let context = json!({"environment": environment});
            let text = world.templates.render("docker/proxy.conf", &context)?;
            let mut file =
                File::new("/etc/systemd/system/docker.service.d/provision-proxy.conf", text);
            file.mode = "600";
            file.after = Some("systemctl daemon-reload");
            inputs.push(file);
        }
        let digest: Vec<String> = inputs.iter().map(File::input).collect();
        let paths = inputs.iter().map(|file| file.path.clone()).collect();
        let mut service =
            Service::running("docker", digest_of(digest.iter().map(String::as_str)), paths);
        service.ready = Some("docker version >/dev/null");
        // The engine starts as soon as its package is installed, with the files that are there then.
        let mut list: Vec<Wish> = inputs
            .into_iter()
            .map(|file| Wish::unless(&["docker"], Resource::File(file)))
            .collect();
        list.push(Wish::unless(
            &["docker"],
            Resource::Packages(Packages::named(
                "docker",
                // apt does not install what docker.io only recommends, and needs at run time.
                [docker.package.as_str(), "iptables"],
            )),
        ));
        list.push(Wish::unless(&["docker"], Resource::Service(service)));
        for archive in &docker.images {
            let hex = archive.digest.hex();
            let origin = Origin::Load {
                archive: archive.clone(),
                stamp: format!("{}/{}.image", crate::resource::service::STAMPS, &hex[..16]),
            };
            let name = fetched::path(archive).rsplit('/').next().unwrap_or("archive").to_owned();
            let image = Image { name, origin, proxy: inventory.proxy.clone() };
            list.push(Wish::prepare(Resource::Image(image)));
        }
        wishes.insert(host.clone(), list);
    }
    Ok(wishes)
}

/// A changed engine disturbs every container of its agent, so it rolls as agents do.
fn rollout(inventory: &Inventory) -> Rollout {
    agents::rollout(inventory)
}

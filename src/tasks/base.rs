//! What every host needs, and the kernel argument that Mesos needs on modern Debian.

use super::{Card, Wish, Wishes, World, together};
use crate::resource::Resource;
use crate::resource::file::File;
use crate::resource::package::Packages;

pub(super) const CARD: Card =
    Card { title: "base", desire, check: None, rollout: together, gate_secs: 0 };

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let mut wishes = Wishes::new();
    for host in inventory.hosts.keys().filter(|host| !inventory.retired.contains_key(*host)) {
        let mut list = Vec::new();
        let proxy = &inventory.proxy;
        if proxy.http.is_some() || proxy.https.is_some() {
            let mut text =
                String::from("// Managed by provision: local changes will be overwritten.\n");
            for (scheme, url) in [("http", &proxy.http), ("https", &proxy.https)] {
                if let Some(url) = url {
                    text.push_str(&format!("Acquire::{scheme}::Proxy \"{url}\";\n"));
                }
            }
            let mut file = File::new("/etc/apt/apt.conf.d/90provision-proxy", text);
            // A proxy URL may hold a password.
            file.mode = "600";
            list.push(Wish::prepare(Resource::File(file)));
        }
        // curl asks components for their health and fetches what the inventory names by URL.
        list.push(Wish::prepare(Resource::Packages(Packages::named(
            "base",
            ["ca-certificates", "curl"],
        ))));
        if inventory.base.cgroup_v1 && inventory.agent(host).is_some() {
            let mut grub = File::new(
                "/etc/default/grub.d/90-provision.cfg",
                "# Managed by provision: local changes will be overwritten.\n\
                 # No released Mesos can use the docker containerizer under pure cgroup v2.\n\
                 GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX systemd.unified_cgroup_hierarchy=0\"\n",
            );
            grub.after = Some("if command -v update-grub >/dev/null; then update-grub; fi");
            list.push(Wish::prepare(Resource::File(grub)));
        }
        wishes.insert(host.clone(), list);
    }
    Ok(wishes)
}

//! What every host needs, and the kernel argument that Mesos needs on modern Debian.

use std::collections::BTreeSet;

use super::{Card, Wish, Wishes, World};
use crate::inventory::{Inventory, MesosPackage};
use crate::resource::fetched;
use crate::resource::file::File;
use crate::resource::package::Packages;

pub(super) const CARD: Card = Card { title: "base", desire, ..Card::PLAIN };

fn desire(world: &World<'_>) -> Result<Wishes, String> {
    let inventory = world.inventory;
    let mut wishes = Wishes::new();
    for host in inventory.hosts.keys().filter(|host| !inventory.retired.contains_key(*host)) {
        let mut list = Vec::new();
        list.extend(proxy(inventory).map(Wish::prepare));
        // curl asks components for their health and fetches what the inventory names by URL.
        list.push(Wish::prepare(Packages::named("base", ["ca-certificates", "curl"])));
        if inventory.base.cgroup_v1 && inventory.agent(host).is_some() {
            let mut grub = File::new(
                "/etc/default/grub.d/90-provision.cfg",
                "# Managed by provision: local changes will be overwritten.\n\
                 # No released Mesos can use the docker containerizer under pure cgroup v2; systemd 256 and\n\
                 # 257 want the second word too, 258 knows no cgroup v1 any more.\n\
                 GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1\"\n",
            );
            grub.after = Some("if command -v update-grub >/dev/null; then update-grub; fi");
            list.push(Wish::prepare(grub));
        }
        wishes.insert(host.clone(), list);
    }
    Ok(wishes)
}

/// What apt is told of proxies, and which hosts it reaches without.
fn proxy(inventory: &Inventory) -> Option<File> {
    let (variables, secrets) = inventory.proxy.variables();
    let urls: Vec<_> = variables
        .iter()
        .filter_map(|(name, url)| Some((name.strip_suffix("_proxy")?, url)))
        .filter(|(scheme, _)| *scheme != "no")
        .collect();
    if urls.is_empty() {
        return None;
    }
    let mut text = String::from("// Managed by provision: local changes will be overwritten.\n");
    // apt knows no domains and no networks here: of those, whether our own repository is in them.
    let own = match &inventory.mesos.package {
        MesosPackage::Apt { uri, .. } => Some(fetched::host(uri)),
        MesosPackage::Deb { .. } | MesosPackage::Preinstalled | MesosPackage::Built(_) => None,
    };
    let own = own.filter(|host| inventory.proxy.is_direct(host));
    let direct: BTreeSet<&str> = inventory.proxy.direct_hosts().chain(own).collect();
    for (scheme, url) in urls {
        text.push_str(&format!("Acquire::{scheme}::Proxy \"{url}\";\n"));
        for host in &direct {
            text.push_str(&format!("Acquire::{scheme}::Proxy::{host} \"DIRECT\";\n"));
        }
    }
    Some(File::private("/etc/apt/apt.conf.d/90provision-proxy", text, secrets, "proxy/apt"))
}

//! What masters, agents and clients share: the package, and only the right service of it on each host.

use std::collections::{BTreeMap, BTreeSet};

use super::Wish;
use crate::health::MASTER_PORT;
use crate::inventory::{HostName, Inventory, MesosPackage};
use crate::resource::directory::Directory;
use crate::resource::file::{Content, File};
use crate::resource::package::Packages;
use crate::resource::service::{Service, State};
use crate::resource::{Resource, fetched};
use crate::script::{Fix, Step, quote};

/// Libraries of which one must be there for anything to run through Mesos.
pub const LIBRARIES: [&str; 2] = ["/usr/lib/libmesos.so", "/usr/local/lib/libmesos.so"];

/// What the package brings.
static DAEMONS: [&str; 2] = ["mesos-master", "mesos-slave"];

/// Where credentials are kept: root only, outside the directories whose every file is a flag.
const SECRETS: &str = "/etc/mesos-secrets";

/// The package on one host, its daemons that do not belong there masked before it comes (the package
/// enables both everywhere), the others kept quiet until they are configured.
pub(super) fn package(inventory: &Inventory, host: &HostName) -> Vec<Wish> {
    let master = inventory.mesos.masters.contains(host);
    let agent = inventory.agent(host).is_some();
    let daemons = DAEMONS.iter().zip([master, agent]);
    let mut wishes: Vec<Wish> = daemons
        .clone()
        .filter(|(_, wanted)| !wanted)
        // One that runs nevertheless is stopped in its turn, not while others are prepared.
        .map(|(unit, _)| {
            let masked = Resource::Service(Service::of(unit, State::Masked));
            Wish::unless(std::slice::from_ref(unit), masked)
        })
        .collect();
    let version = inventory.mesos.version.as_str();
    let mut packages = Packages::named("mesos", ["mesos"]);
    packages.packages = vec![("mesos".to_owned(), Some(version.to_owned()))];
    packages.quiet =
        daemons.filter(|(_, wanted)| *wanted).map(|(unit, _)| (*unit).to_owned()).collect();
    match &inventory.mesos.package {
        MesosPackage::Deb(fetch) => {
            packages.before = fetched::steps(fetch, &inventory.proxy);
            packages.install = vec![fetched::path(fetch)];
        }
        MesosPackage::Apt { uri, suite, components, key } => {
            let signed = key.as_ref().map(|_| "/etc/apt/keyrings/mesos.asc");
            let mut text = format!(
                "# Managed by provision: local changes will be overwritten.\nTypes: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {}\n",
                components.join(" ")
            );
            if let (Some(signed), Some(key)) = (signed, key) {
                text.push_str(&format!("Signed-By: {signed}\n"));
                packages.before = fetched::steps(key, &inventory.proxy);
                packages.before.push(Step::Run(Fix::new(format!(
                    "install -d -m 755 /etc/apt/keyrings; install -m 644 {} {signed}",
                    quote(&fetched::path(key))
                ))));
            }
            wishes.push(Wish::prepare(Resource::File(File::new(
                "/etc/apt/sources.list.d/mesos.sources",
                text,
            ))));
            // The newest build of the version asked for, whatever its Debian revision.
            packages.install = vec![format!("mesos={}*", version)];
        }
        MesosPackage::Preinstalled => {
            packages.before = vec![Step::Run(Fix::new(format!(
                "die {}",
                quote(&format!(
                    "mesos {version} is not installed, and the inventory says `preinstalled: true`; install it or name a package"
                ))
            )))];
        }
    }
    let packages = Resource::Packages(packages);
    wishes.push(Wish::unless(&DAEMONS, packages));
    wishes
}

/// A directory in which every file is a flag, owned whole: each flag's file holds the value and
/// nothing else. Returns the files too, for the service's digest.
pub(super) fn flag_directory(
    path: &str,
    flags: &BTreeMap<String, String>,
) -> (Directory, Vec<File>) {
    let files: Vec<File> = flags
        .iter()
        .map(|(name, value)| File::new(format!("{path}/{name}"), format!("{value}\n")))
        .collect();
    let mut directory = Directory::new(path);
    directory.only = Some(flags.keys().cloned().collect::<BTreeSet<_>>());
    (directory, files)
}

/// A file of credentials, readable by root only; its path names the principal, so that a rotation
/// writes another file and the flag that names it changes with it.
pub(super) fn credential_file(
    name: &str,
    template: String,
    secrets: Vec<crate::inventory::SecretRef>,
    label: String,
) -> File {
    File {
        path: format!("{SECRETS}/{name}"),
        content: Content::Secret { template, secrets, label },
        owner: "root".to_owned(),
        group: "root".to_owned(),
        mode: "600",
        after: None,
    }
}

/// Name of an agent's file of credentials.
pub(super) fn agent_credential(principal: &str) -> String {
    format!("agent-{principal}.json")
}

/// Content of the flag file that lets an agent authenticate as a principal.
pub fn agent_credential_flag(principal: &str) -> String {
    format!("file://{SECRETS}/{}\n", agent_credential(principal))
}

/// The directory of credentials.
pub(super) fn secrets_directory() -> Directory {
    let mut directory = Directory::new(SECRETS);
    directory.mode = "700";
    directory
}

/// `http://address:port` of every master.
pub(super) fn master_urls(inventory: &Inventory) -> Vec<String> {
    let hosts = inventory.mesos.masters.iter().filter_map(|host| inventory.hosts.get(host));
    hosts
        .map(|host| format!("http://{}", std::net::SocketAddr::new(host.address, MASTER_PORT)))
        .collect()
}

/// `/etc/mesos/zk`, which both daemons' defaults read.
pub(super) fn zk_file(inventory: &Inventory) -> File {
    File::new("/etc/mesos/zk", format!("{}\n", inventory.zookeeper_url()))
}

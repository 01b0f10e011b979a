//! What masters, agents and clients share: the package, and only the right service of it on each host.

use std::collections::{BTreeMap, BTreeSet};

use super::tls::{self, Installed};
use super::{Wish, World};
use crate::ground::HostName;
use crate::inventory::{AgentUnit, Inventory, ManagedFile, ManagedText, MesosPackage, SECRETS};
use crate::mesos::flags::Component;
use crate::mesos::process::Flags;
use crate::resource::directory::Directory;
use crate::resource::evidence::Evidence;
use crate::resource::fetched;
use crate::resource::file::{Content, File};
use crate::resource::leftovers::Leftovers;
use crate::resource::package::{Contents, Packages};
use crate::resource::service::{Service, State};
use crate::script::{Fix, Step, quote, slot};
use crate::template::contexts::{Mesos, Variable};

/// Libraries of which one must be there for anything to run through Mesos.
pub const LIBRARIES: [&str; 2] = ["/usr/lib/libmesos.so", "/usr/local/lib/libmesos.so"];

/// Where both daemons log.
pub(super) const LOG_DIR: &str = "/var/log/mesos";

/// What the package brings.
fn daemons(inventory: &Inventory) -> &'static [&'static str; 2] {
    match inventory.mesos.agent_unit {
        AgentUnit::Slave => &["mesos-master", "mesos-slave"],
        AgentUnit::Agent => &["mesos-master", "mesos-agent"],
    }
}

/// Reads the lists of this one repository, elsewhere: with a line that apt cannot read it would read nothing at
/// all any more, of no repository. Whether they are signed rightly is asked when it is in its place, with its key.
///
/// Source: sources.list(5), "deb822-style format"; apt.conf(5), "Directories".
const UPDATE: &str = "mkdir -p \"$d/lists/partial\"\n\
    sed '/^Signed-By:/d' \"$new\" > \"$d/try.sources\"; echo 'Trusted: yes' >> \"$d/try.sources\"\n\
    why=$(LC_ALL=C apt-get update -q -o Dir::Etc::SourceList=\"$d/try.sources\" -o Dir::Etc::SourceParts=/dev/null \\\n\
    -o Dir::State::Lists=\"$d/lists\" -o APT::Sandbox::User=root -o APT::Update::Error-Mode=any 2>&1) ||\n\
    die \"apt cannot read this repository: $(printf '%s\\n' \"$why\" | grep '^[EW]:' | head -n 1)\"";

/// The package on one host, its daemons that do not belong there masked before it comes (the package
/// enables both everywhere), the others kept quiet until they are configured.
pub(super) fn package(inventory: &Inventory, host: &HostName) -> Vec<Wish> {
    let master = inventory.mesos.masters.contains(host);
    let agent = inventory.agent(host).is_some();
    let both = daemons(inventory);
    let daemons = both.iter().zip([master, agent]);
    let mut wishes: Vec<Wish> = daemons
        .clone()
        .filter(|(_, wanted)| !wanted)
        // One that runs nevertheless is stopped in its turn, not while others are prepared.
        .map(|(unit, _)| {
            let masked = Service::of(unit, State::Masked);
            Wish::unless(std::slice::from_ref(unit), masked)
        })
        .collect();
    let version = inventory.mesos.version.as_str();
    let name = inventory.mesos.package_name.as_str();
    let mut packages = wanted(inventory);
    packages.quiet =
        daemons.filter(|(_, wanted)| *wanted).map(|(unit, _)| (*unit).to_owned()).collect();
    match &inventory.mesos.package {
        MesosPackage::Deb { file, .. } => {
            packages.before = fetched::steps(file, &inventory.proxy);
            packages.install = vec![fetched::path(file)];
        }
        MesosPackage::Apt { uri, suite, components, key } => {
            let signed = key.as_ref().map(|_| "/etc/apt/keyrings/mesos.asc");
            let mut text = format!(
                "# Managed by provision: local changes will be overwritten.\nTypes: deb\nURIs: {uri}\nSuites: {suite}\n"
            );
            if !components.is_empty() {
                text.push_str(&format!("Components: {}\n", components.join(" ")));
            }
            if let (Some(signed), Some(key)) = (signed, key) {
                text.push_str(&format!("Signed-By: {signed}\n"));
                packages.before = fetched::steps(key, &inventory.proxy);
                packages.before.push(Step::Run(Fix::new(format!(
                    "install -d -m 755 /etc/apt/keyrings; install -m 644 {} {signed}",
                    quote(&fetched::path(key))
                ))));
            }
            let mut sources = File::new("/etc/apt/sources.list.d/mesos.sources", text);
            sources.trial = Some(UPDATE);
            wishes.push(Wish::prepare(sources));
            // The newest build of the version asked for, whatever its Debian revision.
            packages.install = vec![format!("{name}={version}*")];
        }
        // A build brings no unit that would have to be kept quiet, and dpkg knows nothing of it.
        MesosPackage::Built(_) => return Vec::new(),
        MesosPackage::Preinstalled => {
            packages.before = vec![Step::Run(Fix::new(format!(
                "die {}",
                quote(&format!(
                    "{name} {version} is not installed, and the inventory says `preinstalled: true`; install it or name a package"
                ))
            )))];
        }
    }
    wishes.push(Wish::unless(both, packages));
    wishes
}

/// What tells that a daemon that somebody else started runs as wanted: all its flags and variables are these.
pub(super) fn evidence(
    inventory: &Inventory,
    daemon: Component,
    mut flags: Flags,
    env: &BTreeMap<String, String>,
    shows: Option<&Installed>,
) -> Evidence {
    flags.entry("log_dir".to_owned()).or_insert_with(|| LOG_DIR.to_owned());
    let version = inventory.mesos.version.clone();
    let mut environment = shows.map(|it| it.environment().clone()).unwrap_or_default();
    environment.extend(env.clone());
    Evidence::Flags { daemon, flags, environment, version, package: Box::new(wanted(inventory)) }
}

/// Variables as templates take them.
pub(super) fn variables(env: &BTreeMap<String, String>) -> Vec<Variable> {
    let variable =
        |(name, value): (&String, &String)| Variable { name: name.clone(), value: value.clone() };
    env.iter().map(variable).collect()
}

/// /etc/default/mesos, which the init wrapper of both daemons reads and hands on to them.
pub(super) fn defaults(world: &World<'_>, shows: Option<&Installed>) -> Result<File, String> {
    let tls = shows.map(Installed::variables).unwrap_or_default();
    let trial = (!tls.is_empty()).then_some(tls::TRIAL);
    let text = world.templates.render(&Mesos { tls })?;
    Ok(File { trial, ..File::new("/etc/default/mesos", text) })
}

/// The package, without how it comes.
fn wanted(inventory: &Inventory) -> Packages {
    if let MesosPackage::Built(_) = inventory.mesos.package {
        return Packages::named("mesos", []);
    }
    let name = inventory.mesos.package_name.as_str();
    let mut packages = Packages::named("mesos", [name]);
    packages.packages = vec![(name.to_owned(), Some(inventory.mesos.version.as_str().to_owned()))];
    if let MesosPackage::Deb { contents, .. } = &inventory.mesos.package {
        packages.contents = contents.clone().map(|sums| Contents::new(name, sums.list));
    }
    packages
}

/// Files of the user's own, each with whether its daemon is started anew when it changes.
pub(super) fn managed(files: &[ManagedFile]) -> Vec<(File, bool)> {
    let file = |it: &ManagedFile| {
        let content = match &it.text {
            ManagedText::Plain(text) => Content::Text(text.clone()),
            ManagedText::Secret(secret) => Content::Secret {
                template: slot(0),
                secrets: vec![secret.clone()],
                label: it.path.clone(),
            },
        };
        let (owner, group) = (it.owner.clone(), it.group.clone());
        (File { content, owner, group, mode: it.mode, ..File::new(&*it.path, "") }, it.restart)
    };
    files.iter().map(file).collect()
}

/// Which Mesos a process depends on, for a service's digest.
pub(super) fn build(inventory: &Inventory) -> String {
    let version = &inventory.mesos.version;
    match &inventory.mesos.package {
        MesosPackage::Deb { contents: Some(sums), .. } => format!("mesos={version} {}", sums.files),
        _ => format!("mesos={version}"),
    }
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
    secrets: Vec<crate::ground::SecretRef>,
    label: &str,
) -> File {
    File::private(&format!("{SECRETS}/{name}"), template, secrets, label)
}

/// Name of an agent's file of credentials.
pub(super) fn agent_credential(principal: &str) -> String {
    format!("agent-{principal}.json")
}

/// Content of the flag file that lets an agent authenticate as a principal.
pub fn agent_credential_flag(principal: &str) -> String {
    format!("file://{SECRETS}/{}\n", agent_credential(principal))
}

/// Files of credentials whose names begin so, but the one that is used: a principal that was given up leaves none.
pub(super) fn old_secrets(prefix: &'static str, used: Option<&File>) -> Leftovers {
    let name = |file: &File| file.path.rsplit('/').next().unwrap_or_default().to_owned();
    Leftovers { directory: SECRETS.to_owned(), prefix, used: used.map(name).into_iter().collect() }
}

/// The directory of credentials.
pub(super) fn secrets_directory() -> Directory {
    let mut directory = Directory::new(SECRETS);
    directory.mode = "700";
    directory
}

/// `http://address:port` of every master, or as it is asked with TLS.
pub(super) fn master_urls(inventory: &Inventory) -> Vec<String> {
    let hosts = inventory.mesos.masters.iter().filter_map(|host| inventory.hosts.get(host));
    hosts.map(|host| inventory.master_url(host)).collect()
}

/// `/etc/mesos/zk`, which both daemons' defaults read: where ZooKeeper is, or on a master's host the file that
/// says it with the secret. Agents and frameworks only read what everybody may read.
pub(super) fn zk_file(inventory: &Inventory, host: &HostName) -> File {
    let secret = zk_secret(inventory).filter(|_| inventory.mesos.masters.contains(host));
    let at = secret.map_or_else(|| inventory.zookeeper_url(), |it| format!("file://{}", it.path));
    File::new("/etc/mesos/zk", format!("{at}\n"))
}

/// The URL with which masters write their znodes. A flag that names a file is printed as that name.
pub(super) fn zk_secret(inventory: &Inventory) -> Option<File> {
    let writer = inventory.mesos.access.writing()?;
    let principal = &writer.principal;
    Some(credential_file(
        &format!("zk-{principal}"),
        format!(
            "zk://{principal}:{}@{}{}",
            slot(0),
            inventory.zookeeper_connect(),
            inventory.mesos.znode
        ),
        vec![writer.secret.clone()],
        principal,
    ))
}

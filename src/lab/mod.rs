//! The twin: the hosts of an inventory as containers on this machine's Docker engine.
//!
//! A twin's host is a Debian with systemd, sshd and sudo and nothing else, so that the rest of the
//! program meets it as it meets any fresh machine: over SSH, with a key and strict host keys. What
//! exists is read from the engine's labels; a twin has no state file that could disagree with it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

mod apt;
mod certificates;
mod container;
mod docker;
mod image;
mod keys;
mod network;
mod overlay;
mod state;

pub use overlay::overlay;

use crate::ground::{Debian, HostName};
use crate::inventory::{Inventory, Retired, SparkImage};
use crate::local::files;
use container::{Container, Ready};
use docker::{Cgroups, Docker};

/// Makes the twin of `spec`, or what is missing of it: containers that exist are started, not
/// renewed. Told to `say`: one line per step.
pub async fn up(spec: &TwinSpec, say: &mut Say<'_>) -> anyhow::Result<Twin> {
    check_names(spec)?;
    let docker = Docker::connect().await?;
    warn(&docker, spec, say);
    let existing = container::list(&docker, &spec.cluster).await?;
    let debian = release(spec, &existing)?;
    let own = own_image(spec, &existing);
    let images = image::prepare(&docker, debian, own, spec.spark_base, say).await?;
    let dir = state::cluster_dir(&spec.cluster)?;
    // Two commands on one twin must not give two hosts one address.
    let _lock = state::lock(dir.join("lock")).await?;
    let key = keys::key(&dir).await?;

    // Another command may have made some since.
    let existing = container::list(&docker, &spec.cluster).await?;
    release(spec, &existing)?;
    let network = network::ensure(&docker, &spec.cluster).await?;
    let addresses = allot(spec, &existing, network)?;
    for old in existing.values().filter(|c| c.image != images.host) {
        say(&format!("{} has an older host image: `provision lab reset` renews it", old.host));
    }
    for old in existing.keys().filter(|name| spec.hosts.iter().all(|host| host.name != **name)) {
        say(&format!("{old} is no longer in the inventory and stays until `provision lab down`"));
    }
    let name_servers = network::name_servers();

    let mut starting = JoinSet::new();
    let slots = Arc::new(Semaphore::new(container::STARTS_AT_ONCE));
    for host in &spec.hosts {
        let want = Container {
            host: host.name.clone(),
            address: addresses[&host.name],
            engine: host.engine,
            cluster: spec.cluster.clone(),
            image: images.host.clone(),
            debian,
            base_archive: images.base_archive.clone(),
            spark_base: spec.spark_base,
            state: container::State::Missing,
        };
        let have = existing.get(&host.name).cloned();
        let (docker, key, name_servers) =
            (docker.clone(), key.public.clone(), name_servers.clone());
        let slots = Arc::clone(&slots);
        starting.spawn(async move {
            let _slot = slots.acquire_owned().await?;
            container::start(&docker, &want, have.as_ref(), &name_servers).await?;
            container::wait_ready(&docker, &want, &key).await
        });
    }
    let mut known = Vec::new();
    while let Some(joined) = starting.join_next().await {
        let ready: Ready = joined.context("a start was cut off")??;
        say(&format!("{} is up at {}", ready.host, ready.address));
        known.push(ready);
    }
    keys::write_known_hosts(&dir, &known)?;
    // Of a twin that was there the base stays that of its first hosts.
    let first = existing.into_values().next();
    let base = first.map_or((images.base_archive, spec.spark_base), Container::base);
    Ok(twin(spec.cluster.clone(), addresses, &dir, base))
}

/// The twin of a cluster; `None` when there is none. A host of it may be stopped: that is then a host
/// that does not answer, as on any network.
pub async fn find(cluster: &str) -> anyhow::Result<Option<Twin>> {
    let docker = Docker::connect().await?;
    let found = container::list(&docker, cluster).await?;
    let dir = state::cluster_path(cluster)?;
    let whole = dir.join(keys::IDENTITY).exists() && dir.join(keys::KNOWN_HOSTS).exists();
    let Some(base) = found.values().next().cloned().map(Container::base) else {
        return Ok(None);
    };
    let addresses = found.into_iter().map(|(host, c)| (host, c.address)).collect();
    Ok(whole.then(|| twin(cluster.to_owned(), addresses, &dir, base)))
}

/// Removes the containers with their volumes, the network and the keys of a twin; images stay.
pub async fn down(cluster: &str, say: &mut Say<'_>) -> anyhow::Result<()> {
    let docker = Docker::connect().await?;
    let found = container::list(&docker, cluster).await?;
    container::remove(&docker, &found).await?;
    network::remove(&docker, cluster).await?;
    let dir = state::cluster_path(cluster)?;
    if dir.exists() {
        files::remove_directory(&dir)
            .with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    say(&format!("removed {} hosts of {cluster}", found.len()));
    Ok(())
}

/// Fresh hosts: [`down`], then [`up`], on the images that are there; of the release and the image that they had,
/// unless others are asked for.
pub async fn reset(spec: &TwinSpec, say: &mut Say<'_>) -> anyhow::Result<Twin> {
    check_names(spec)?;
    let existing = container::list(&Docker::connect().await?, &spec.cluster).await?;
    let image = own_image(spec, &existing).map(str::to_owned);
    let had = existing.into_values().next().map(|container| container.debian);
    down(&spec.cluster, say).await?;
    up(&TwinSpec { debian: spec.debian.or(had), image, ..spec.clone() }, say).await
}

/// The image of bare hosts, made where it is missing: what an image of one's own is built on.
pub async fn image(spec: &TwinSpec, say: &mut Say<'_>) -> anyhow::Result<String> {
    let docker = Docker::connect().await?;
    let debian = spec.debian.unwrap_or_default();
    Ok(image::prepare(&docker, debian, None, spec.spark_base, say).await?.host)
}

/// What there is of a twin, host by host.
pub async fn status(cluster: &str) -> anyhow::Result<Vec<HostStatus>> {
    let docker = Docker::connect().await?;
    let found = container::list(&docker, cluster).await?;
    Ok(found
        .into_values()
        .map(|c| HostStatus {
            state: c.state.to_string(),
            name: c.host,
            address: c.address,
            engine: c.engine,
            debian: c.debian,
        })
        .collect())
}

/// Who is told what happens, line by line.
pub type Say<'a> = dyn FnMut(&str) + Send + 'a;

/// Login user of every host; may become root without a password. The same key opens root.
pub const USER: &str = "ops";

/// A twin as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwinSpec {
    /// Names the twin: there is one per cluster and engine.
    pub cluster: String,
    /// Its hosts.
    pub hosts: Vec<TwinHost>,
    /// What they run; `None` is what those that there are run, or else Debian 12.
    pub debian: Option<Debian>,
    /// An image that was built on that of bare hosts, to make them from; `None` is what those that there are have, or
    /// else bare.
    pub image: Option<String>,
    /// Whose slim image is there to build Spark's image on.
    pub spark_base: Debian,
}

/// One host of a twin as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwinHost {
    /// Its name in the inventory, and its hostname.
    pub name: HostName,
    /// What it must be able to run.
    pub engine: Engine,
}

/// Whether a host can run a Docker engine of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// No; the container has few rights.
    None,
    /// Yes; the container is as good as root on this machine.
    Nested,
}

/// A twin that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    /// The cluster that it stands for.
    pub cluster: String,
    /// Where each host answers, on port 22.
    pub addresses: BTreeMap<HostName, Ipv4Addr>,
    /// Private key of [`USER`] and root.
    pub identity: PathBuf,
    /// Host keys, read inside the containers and not from the network.
    pub known_hosts: PathBuf,
    /// `docker save` of a slim image of Debian's under its public name: what a Spark image is built on where no
    /// registry answers.
    pub base_archive: PathBuf,
    /// Which one that is.
    pub spark_base: Debian,
}

/// One row of [`status`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostStatus {
    /// The host.
    pub name: HostName,
    /// Its address while it exists.
    pub address: Ipv4Addr,
    /// What it was made to run.
    pub engine: Engine,
    /// What it runs.
    pub debian: Debian,
    /// The engine's word: `running`, `exited`, `paused` …
    pub state: String,
}

impl TwinSpec {
    /// The twin of an inventory: all its hosts but those that are gone; agents can run Docker.
    pub fn of(inventory: &Inventory) -> TwinSpec {
        let hosts = inventory
            .hosts
            .values()
            .filter(|host| inventory.retired.get(&host.name) != Some(&Retired::Gone))
            .map(|host| TwinHost {
                name: host.name.clone(),
                engine: if host.pool.is_some() { Engine::Nested } else { Engine::None },
            })
            .collect();
        let spark_base = match inventory.spark.as_ref().map(|spark| &spark.image) {
            Some(SparkImage::Build { base, .. }) => Debian::of_image(base),
            _ => None,
        };
        TwinSpec {
            cluster: inventory.cluster.clone(),
            hosts,
            debian: None,
            image: None,
            spark_base: spark_base.unwrap_or_default(),
        }
    }
}

/// The image of one's own that hosts are made from, if any.
fn own_image<'a>(
    spec: &'a TwinSpec,
    existing: &'a BTreeMap<HostName, Container>,
) -> Option<&'a str> {
    let there = existing.values().next().map(|container| container.image.as_str());
    spec.image.as_deref().or(there.filter(|image| !image::is_bare(image)))
}

/// The release of all hosts, those that there are and those to be made.
fn release(spec: &TwinSpec, existing: &BTreeMap<HostName, Container>) -> anyhow::Result<Debian> {
    let Some(there) = existing.values().next().map(|container| container.debian) else {
        return Ok(spec.debian.unwrap_or_default());
    };
    match spec.debian {
        Some(asked) if asked != there => bail!(
            "the twin of `{}` runs {there}, and {asked} is asked for: `provision lab reset --debian {}` makes it anew",
            spec.cluster,
            asked.number()
        ),
        _ => Ok(there),
    }
}

fn twin(
    cluster: String,
    addresses: BTreeMap<HostName, Ipv4Addr>,
    dir: &std::path::Path,
    (base_archive, spark_base): (PathBuf, Debian),
) -> Twin {
    Twin {
        cluster,
        addresses,
        identity: dir.join(keys::IDENTITY),
        known_hosts: dir.join(keys::KNOWN_HOSTS),
        base_archive,
        spark_base,
    }
}

/// Names become parts of paths, labels and container names.
fn check_names(spec: &TwinSpec) -> anyhow::Result<()> {
    let fits = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
            && name.len() <= 63
    };
    let names = spec.hosts.iter().map(|host| host.name.as_str());
    for name in names.chain([spec.cluster.as_str()]) {
        if !fits(name) {
            bail!(
                "{name:?} cannot name a container: use at most 63 letters, digits, dots, dashes and underscores"
            );
        }
    }
    Ok(())
}

/// What whoever starts containers like these has to know, before they start.
fn warn(docker: &Docker, spec: &TwinSpec, say: &mut Say<'_>) {
    let nested = spec.hosts.iter().filter(|host| host.engine == Engine::Nested).count();
    if nested > 0 {
        say(&format!(
            "{nested} hosts run their own Docker engine: whoever is root in one is as good as root on this machine"
        ));
    }
    if docker.cgroups == Cgroups::V2 {
        say(
            "this machine has pure cgroup v2: no released Mesos can use its docker containerizer in this twin; everything else works",
        );
    }
    network::ensure_inotify(spec.hosts.len(), say);
}

/// An address for each host: the one it has, else the lowest that is free.
fn allot(
    spec: &TwinSpec,
    existing: &BTreeMap<HostName, Container>,
    network: network::Prefix,
) -> anyhow::Result<BTreeMap<HostName, Ipv4Addr>> {
    let mut free = network.hosts().filter(|a| !existing.values().any(|c| c.address == *a));
    let mut addresses = BTreeMap::new();
    for host in &spec.hosts {
        let address = match existing.get(&host.name) {
            Some(container) => container.address,
            None => free.next().with_context(|| {
                format!("a twin has room for {} hosts", network.hosts().count())
            })?,
        };
        addresses.insert(host.name.clone(), address);
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(names: &[&str]) -> TwinSpec {
        let host = |name: &&str| TwinHost { name: HostName::new(name), engine: Engine::None };
        TwinSpec {
            cluster: "c".into(),
            hosts: names.iter().map(host).collect(),
            debian: None,
            image: None,
            spark_base: Debian::default(),
        }
    }

    fn existing(name: &str, address: &str) -> BTreeMap<HostName, Container> {
        let container = Container {
            host: HostName::new(name),
            address: address.parse().unwrap(),
            engine: Engine::None,
            cluster: "c".into(),
            image: "provision-lab/host:1".into(),
            debian: Debian::Trixie,
            base_archive: "b".into(),
            spark_base: Debian::default(),
            state: container::State::Running,
        };
        BTreeMap::from([(container.host.clone(), container)])
    }

    #[test]
    fn a_host_keeps_its_address_and_a_new_one_takes_none_that_is_used() {
        let network = network::Prefix(10, 213, 4);
        let have = existing("m2", "10.213.4.10");
        let got = allot(&spec(&["m1", "m2", "m3"]), &have, network).unwrap();
        let text: Vec<String> = got.iter().map(|(h, a)| format!("{h}={a}")).collect();
        assert_eq!(text, ["m1=10.213.4.11", "m2=10.213.4.10", "m3=10.213.4.12"]);
    }

    #[test]
    fn a_host_that_left_the_spec_still_holds_its_address() {
        let have = existing("old", "10.213.4.10");
        let got = allot(&spec(&["m1"]), &have, network::Prefix(10, 213, 4)).unwrap();
        assert_eq!(got.values().next().unwrap().to_string(), "10.213.4.11");
        assert_eq!(got.len(), 1);
    }

    #[test]
    fn more_hosts_than_a_network_has_is_an_error() {
        let names: Vec<String> = (0..300).map(|n| format!("h{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let error = allot(&spec(&names), &BTreeMap::new(), network::Prefix(10, 213, 4));
        assert!(error.unwrap_err().to_string().contains("room for 245 hosts"));
    }

    #[test]
    fn a_twin_of_another_release_is_told_apart() {
        let asked = |debian| TwinSpec { debian, ..spec(&["m1"]) };
        let have = existing("m1", "10.213.4.10");
        assert_eq!(release(&asked(None), &BTreeMap::new()).unwrap(), Debian::Bookworm);
        assert_eq!(release(&asked(None), &have).unwrap(), Debian::Trixie);
        assert_eq!(release(&asked(Some(Debian::Trixie)), &have).unwrap(), Debian::Trixie);
        let refused = release(&asked(Some(Debian::Bullseye)), &have).unwrap_err().to_string();
        assert_eq!(
            refused,
            "the twin of `c` runs Debian 13, and Debian 11 is asked for: `provision lab reset --debian 11` makes it anew"
        );
    }

    #[test]
    fn an_image_of_ones_own_stays_until_another_is_asked_for() {
        let asked = |image: Option<&str>| TwinSpec { image: image.map(Into::into), ..spec(&[]) };
        let mut have = existing("m1", "10.213.4.10");
        assert_eq!(own_image(&asked(None), &have), None);
        assert_eq!(own_image(&asked(Some("ours:1")), &have), Some("ours:1"));
        have.values_mut().for_each(|it| it.image = "ours:1".into());
        assert_eq!(own_image(&asked(None), &have), Some("ours:1"));
        assert_eq!(own_image(&asked(Some("ours:2")), &have), Some("ours:2"));
    }

    #[test]
    fn names_that_would_leave_the_state_directory_are_refused() {
        for bad in ["../x", "", "-v", "a b", ".."] {
            let spec = TwinSpec { cluster: bad.into(), ..spec(&[]) };
            assert!(check_names(&spec).is_err(), "{bad:?}");
        }
        assert!(check_names(&spec(&["m1", "rack-1.m_2"])).is_ok());
    }
}

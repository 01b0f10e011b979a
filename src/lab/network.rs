//! A twin's private network, the name servers that it can reach, and what the kernel must allow.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Context;

use super::Say;
use super::docker::Docker;
use crate::local::files;

/// The first three bytes of a /24.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix(pub(super) u8, pub(super) u8, pub(super) u8);

/// The network of a cluster's twin, made where it is missing.
pub(super) async fn ensure(docker: &Docker, cluster: &str) -> anyhow::Result<Prefix> {
    let name = name(cluster);
    let subnet = "{{(index .IPAM.Config 0).Subnet}}";
    if let Ok(found) = docker.run(&["network", "inspect", "--format", subnet, &name]).await {
        return Prefix::parse(&found)
            .with_context(|| format!("network {name} is {found}: remove it, it is not a twin's"));
    }
    // The engine knows which ranges its networks and the machine's routes use: ask by trying,
    // from a place of the cluster's own so that two starts at once seldom meet.
    let mut hash = DefaultHasher::new();
    cluster.hash(&mut hash);
    let first = (hash.finish() % 256) as u8;
    let mut refused = None;
    for step in 0..64_u8 {
        let prefix = Prefix(10, 213, first.wrapping_add(step));
        let (subnet, label) = (prefix.subnet(), format!("provision.cluster={cluster}"));
        let args = ["network", "create", "--subnet", &subnet, "--label", &label, &name];
        match docker.run(&args).await {
            Ok(_) => return Ok(prefix),
            Err(error) if error.to_string().contains("overlaps") => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(refused
        .context("no range was tried")?
        .context("10.213.0.0/16 has no free /24 for the twin"))
}

/// Removes the network, if there is one.
pub(super) async fn remove(docker: &Docker, cluster: &str) -> anyhow::Result<()> {
    let name = name(cluster);
    if docker.run(&["network", "inspect", &name]).await.is_ok() {
        docker.run(&["network", "rm", &name]).await?;
    }
    Ok(())
}

/// Name of a twin's network.
pub(super) fn name(cluster: &str) -> String {
    format!("provision-lab-{cluster}")
}

/// The machine's name servers that a container can reach; none when all are on its loopback.
pub(super) fn name_servers() -> String {
    // The second is what systemd-resolved forwards to, where the first only names itself.
    ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .map(|text| reachable_servers(&text))
        .find(|servers| !servers.is_empty())
        .unwrap_or_default()
}

fn reachable_servers(resolv_conf: &str) -> String {
    let servers: Vec<&str> = resolv_conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .map(str::trim)
        .filter(|server| server.parse::<Ipv4Addr>().is_ok_and(|a| !a.is_loopback()))
        .collect();
    servers.join(" ")
}

/// Each systemd holds several inotify instances of the one root that all containers share; at the
/// kernel's default of 128 about the twentieth dies at boot with status 255 and no message.
pub(super) fn ensure_inotify(hosts: usize, say: &mut Say<'_>) {
    const LIMIT: &str = "/proc/sys/fs/inotify/max_user_instances";
    let wanted = 128 + 16 * hosts;
    let Some(limit) =
        std::fs::read_to_string(LIMIT).ok().and_then(|text| text.trim().parse::<usize>().ok())
    else {
        return;
    };
    if limit >= wanted {
        return;
    }
    match files::write_into(Path::new(LIMIT), format!("{wanted}\n")) {
        Ok(()) => say(&format!("raised fs.inotify.max_user_instances from {limit} to {wanted}")),
        Err(_) => say(&format!(
            "fs.inotify.max_user_instances is {limit}, hosts may die at boot: sudo sysctl -w fs.inotify.max_user_instances={wanted}"
        )),
    }
}

impl Prefix {
    /// The addresses for hosts: the engine keeps the first ones for itself.
    pub(super) fn hosts(self) -> impl Iterator<Item = Ipv4Addr> {
        (10..=254).map(move |last| Ipv4Addr::new(self.0, self.1, self.2, last))
    }

    fn subnet(self) -> String {
        format!("{}.{}.{}.0/24", self.0, self.1, self.2)
    }

    fn parse(subnet: &str) -> Option<Prefix> {
        let address: Ipv4Addr = subnet.strip_suffix("/24")?.parse().ok()?;
        let [a, b, c, _] = address.octets();
        Some(Prefix(a, b, c))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_name_servers_that_a_container_reaches_are_passed_on() {
        let text = "# x\nsearch a b\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver ::1\nnameserver\t10.0.0.3\n";
        assert_eq!(reachable_servers(text), "10.0.0.2 10.0.0.3");
        assert_eq!(reachable_servers("nameserver 127.0.0.53\n"), "");
    }

    #[test]
    fn a_prefix_is_read_as_it_is_written() {
        let prefix = Prefix(10, 213, 7);
        assert_eq!(Prefix::parse(&prefix.subnet()), Some(prefix));
        assert_eq!(Prefix::parse("10.213.0.0/16"), None);
    }
}

//! The TCP ports that our services listen on, host by host.

use std::collections::BTreeMap;

use super::{Host, Inventory, Part, Seeds, ZooKeeper};
use crate::ground::HostName;

/// A port that one of our services, or sshd, listens on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// The port.
    pub port: u16,
    /// Who listens, as a sentence names it.
    pub service: &'static str,
    /// Path in the inventory that moves it; `None` of one that nothing moves.
    pub path: Option<&'static str>,
    /// The part that does not run without it; `None` of sshd's, and of pages that take the next free one.
    pub part: Option<Part>,
}

/// ZooKeeper's port of followers, and its port of elections.
pub(super) const QUORUM_PORTS: [u16; 2] = [2888, 3888];
/// The dispatcher's web page. Source: apache/spark 3.5.1, `spark.mesos.dispatcher.webui`.
pub const DISPATCHER_PAGE: u16 = 8081;
/// Where a host serves files to others, while a run hands them over.
pub const SEED_PORT: u16 = 7022;

impl Inventory {
    /// Who listens on a host.
    pub fn listeners(&self, host: &HostName) -> Vec<Listener> {
        let fixed = |port, service| Listener { port, service, path: None, part: None };
        let moved = |part, port, service, path| {
            let (part, path) = (Some(part), Some(path));
            Listener { port, service, path, part }
        };
        let mut all = Vec::new();
        // Behind another name or address the port may be forwarded.
        let straight = |it: &&Host| it.ssh.host == it.address.to_string();
        if let Some(host) = self.hosts.get(host).filter(straight) {
            all.push(fixed(host.ssh.port.unwrap_or(22), "sshd"));
        }
        let serves = match self.seeds() {
            None => false,
            Some(Seeds::Agents) => self.agent(host).is_some(),
            Some(Seeds::Hosts) => true,
        };
        if serves {
            all.push(fixed(SEED_PORT, "files for other hosts"));
        }
        if self.ensemble().is_some_and(|servers| servers.contains_key(host)) {
            let part = Part::ZooKeeper;
            let quorum = QUORUM_PORTS.map(|port| fixed(port, "ZooKeeper's quorum"));
            all.extend(quorum.map(|it| Listener { part: Some(part), ..it }));
            let clients = "zookeeper.config.clientPort";
            all.push(moved(part, self.client_port(), "ZooKeeper's clients", clients));
            all.extend(self.extra_ports());
        }
        if self.mesos.masters.contains(host) {
            let port = self.mesos.master_port;
            all.push(moved(Part::Master, port, "the Mesos master", "mesos.masters.port"));
        }
        if let Some(agent) = self.agent(host) {
            all.push(moved(Part::Agent, agent.port, "the Mesos agent", "mesos.agents"));
        }
        let dispatcher = self.spark.as_ref().and_then(|spark| spark.dispatcher.as_ref());
        if let Some(dispatcher) = dispatcher.filter(|dispatcher| dispatcher.hosts.contains(host)) {
            let (part, port) = (Part::Dispatcher, dispatcher.port);
            all.push(moved(part, port, "the dispatcher", "spark.dispatcher.port"));
            all.push(fixed(DISPATCHER_PAGE, "the dispatcher's web page"));
        }
        let history = self.spark.as_ref().and_then(|spark| spark.history.as_ref());
        if let Some(history) = history.filter(|history| history.hosts.contains(host)) {
            let (part, port) = (Part::History, history.port);
            all.push(moved(part, port, "the history server", "spark.history.port"));
        }
        let shuffle = self.spark.as_ref().and_then(|spark| spark.shuffle.as_ref());
        if let Some(shuffle) = shuffle.filter(|_| self.agent(host).is_some()) {
            let (part, port) = (Part::Shuffle, shuffle.port);
            all.push(moved(part, port, "the shuffle service", "spark.shuffle_service.port"));
        }
        all
    }

    /// What `zookeeper.config` opens beside its clients' port.
    fn extra_ports(&self) -> Vec<Listener> {
        let ZooKeeper::Managed { config, .. } = &self.zookeeper else { return Vec::new() };
        let number = |key: &str| config.get(key).and_then(|port| port.trim().parse().ok());
        let mut all = Vec::new();
        let on = config.get("admin.enableServer").is_some_and(|on| on.eq_ignore_ascii_case("true"));
        if on {
            let (port, path) =
                (number("admin.serverPort"), Some("zookeeper.config.admin.serverPort"));
            let (port, part) = (port.unwrap_or(8080), Some(Part::ZooKeeper));
            all.push(Listener { port, service: "ZooKeeper's AdminServer", path, part });
        }
        for (key, service, path) in [
            ("secureClientPort", "ZooKeeper's secure clients", "zookeeper.config.secureClientPort"),
            ("observerMasterPort", "ZooKeeper's observers", "zookeeper.config.observerMasterPort"),
            (
                "metricsProvider.httpPort",
                "ZooKeeper's metrics",
                "zookeeper.config.metricsProvider.httpPort",
            ),
        ] {
            let part = Some(Part::ZooKeeper);
            let listener = |port| Listener { port, service, path: Some(path), part };
            all.extend(number(key).map(listener));
        }
        all
    }

    /// Two services of one port → the hosts on which they would meet.
    pub(super) fn collisions(&self) -> BTreeMap<(Listener, Listener), Vec<&HostName>> {
        let mut found: BTreeMap<(Listener, Listener), Vec<&HostName>> = BTreeMap::new();
        for host in self.hosts.keys() {
            let mut all = self.listeners(host);
            all.sort();
            for (index, first) in all.iter().enumerate() {
                for second in all[index + 1..].iter().take_while(|it| it.port == first.port) {
                    // The one that can be moved first.
                    let (mut first, mut second) = (first.clone(), second.clone());
                    if first.path.is_none() {
                        std::mem::swap(&mut first, &mut second);
                    }
                    found.entry((first, second)).or_default().push(host);
                }
            }
        }
        found
    }
}

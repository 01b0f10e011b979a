//! Which host plays which part in the cluster.

use std::collections::BTreeMap;

use super::{Inventory, Sasl, ZooKeeper};
use crate::ground::{Endpoint, HostName};

/// What a host can be in a cluster; one host may play several parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// A server of an ensemble that is ours.
    ZooKeeper,
    /// A Mesos master.
    Master,
    /// A Mesos agent.
    Agent,
    /// A host that jobs are submitted from.
    Client,
    /// A host of the MesosClusterDispatcher.
    Dispatcher,
    /// A host of Spark's history server.
    History,
    /// An agent with Spark's external shuffle service.
    Shuffle,
}

impl Part {
    /// Every part.
    pub const ALL: [Part; 7] = [
        Part::ZooKeeper,
        Part::Master,
        Part::Agent,
        Part::Client,
        Part::Dispatcher,
        Part::History,
        Part::Shuffle,
    ];

    /// What its hosts are called together: `@masters` selects them.
    pub fn group(self) -> &'static str {
        match self {
            Part::ZooKeeper => "zookeeper",
            Part::Master => "masters",
            Part::Agent => "agents",
            Part::Client => "clients",
            Part::Dispatcher => "dispatchers",
            Part::History => "history",
            Part::Shuffle => "shuffle",
        }
    }
}

impl Inventory {
    /// Who plays a part, in natural order; agents pool by pool.
    pub fn hosts_of(&self, part: Part) -> Box<dyn Iterator<Item = &HostName> + '_> {
        let spark = self.spark.as_ref();
        match part {
            Part::ZooKeeper => Box::new(self.ensemble().into_iter().flat_map(BTreeMap::keys)),
            Part::Master => Box::new(self.mesos.masters.iter()),
            Part::Agent => Box::new(self.agents().map(|(_, host, _)| host)),
            Part::Client => Box::new(spark.into_iter().flat_map(|spark| &spark.clients)),
            Part::Dispatcher => {
                let dispatcher = spark.and_then(|spark| spark.dispatcher.as_ref());
                Box::new(dispatcher.into_iter().flat_map(|dispatcher| &dispatcher.hosts))
            }
            Part::History => {
                let history = spark.and_then(|spark| spark.history.as_ref());
                Box::new(history.into_iter().flat_map(|history| &history.hosts))
            }
            Part::Shuffle => {
                let shuffle = spark.and_then(|spark| spark.shuffle.as_ref());
                let on = move |_: &&HostName| shuffle.is_some();
                Box::new(self.agents().map(|(_, host, _)| host).filter(on))
            }
        }
    }

    /// Host → myid of an ensemble that is ours; `None` of somebody else's.
    pub fn ensemble(&self) -> Option<&BTreeMap<HostName, u8>> {
        match &self.zookeeper {
            ZooKeeper::Managed { servers, .. } => Some(servers),
            ZooKeeper::External { .. } => None,
        }
    }

    /// Where a server of an ensemble of ours keeps its data: snapshots, and then its log where that is elsewhere.
    pub fn ensemble_directories(&self) -> Vec<&str> {
        let config = |key: &str| match &self.zookeeper {
            ZooKeeper::Managed { config, .. } => config.get(key).map(String::as_str),
            ZooKeeper::External { .. } => None,
        };
        let data = Some(config("dataDir").unwrap_or("/var/lib/zookeeper"));
        let all = data.into_iter().chain(config("dataLogDir"));
        all.map(|path| path.trim_end_matches('/')).collect()
    }

    /// What a server of an ensemble of ours is to do about SASL with the others.
    pub fn sasl(&self) -> Sasl {
        match &self.zookeeper {
            ZooKeeper::Managed { auth: Some(auth), .. } => auth.sasl.clone(),
            _ => Sasl::default(),
        }
    }

    /// The port that ZooKeeper's clients connect to; of somebody else's ensemble its first server's.
    pub fn client_port(&self) -> u16 {
        match &self.zookeeper {
            ZooKeeper::Managed { config, .. } => {
                config.get("clientPort").and_then(|port| port.parse().ok()).unwrap_or(2181)
            }
            ZooKeeper::External { servers } => servers.first().map_or(2181, |(_, port)| *port),
        }
    }

    /// `host:port,…` of the ensemble, in natural order.
    pub fn zookeeper_connect(&self) -> String {
        let list: Vec<String> = match &self.zookeeper {
            ZooKeeper::Managed { servers, .. } => {
                let hosts = servers.keys().filter_map(|name| self.hosts.get(name));
                hosts.map(|h| Endpoint::new(h.address, self.client_port()).to_string()).collect()
            }
            ZooKeeper::External { servers } => {
                servers.iter().map(|(host, port)| Endpoint::new(host, *port).to_string()).collect()
            }
        };
        list.join(",")
    }
}

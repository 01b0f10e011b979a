//! Which master leads.

use std::time::Duration;

use serde_json::json;

use crate::group::{self, Leader};
use crate::log;
use crate::zk::{Address, Failure, Zk};

/// How the leading master is found.
#[derive(Debug)]
pub(crate) enum Detector {
    ZooKeeper(Address, Box<Zk>, Duration),
    Fixed(Leader),
}

impl Detector {
    pub(crate) fn of(master: &str, timeout: Duration) -> Detector {
        let master = master.trim();
        if master.starts_with("zk://") {
            let address = Address::parse(master).unwrap_or_else(|error| {
                log::exit_with(
                    "main.cpp:590",
                    &format!("Failed to create a master detector: {error}"),
                )
            });
            return Detector::ZooKeeper(
                address.clone(),
                Box::new(Zk::new(address, timeout)),
                timeout,
            );
        }
        let address = master.strip_prefix("master@").unwrap_or(master);
        let (hostname, port) = address.split_once(':').unwrap_or((address, "5050"));
        let info = json!({ "pid": format!("master@{hostname}:{port}"), "hostname": hostname });
        Detector::Fixed(Leader { node: address.to_owned(), info })
    }

    /// `Err` when nothing can be known now: what was known stays.
    pub(crate) fn look(&mut self, known: Option<&Leader>) -> Result<Option<Leader>, Failure> {
        match self {
            Detector::Fixed(leader) => Ok(Some(leader.clone())),
            Detector::ZooKeeper(address, zk, timeout) => match group::leader(zk, known) {
                Err(Failure::Expired) => {
                    log::info("group.cpp:511", "ZooKeeper session expired");
                    **zk = Zk::new(address.clone(), *timeout);
                    Ok(None)
                }
                other => other,
            },
        }
    }
}

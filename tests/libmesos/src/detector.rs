//! Which master leads.

use std::time::Duration;

use crate::group::{self, Leader};
use crate::zk::{Address, Failure, Zk};

/// Where to ask for the leading master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Masters {
    /// One address, `host:port`; a master that does not lead redirects to the one that does.
    Fixed(String),
    /// The masters' group in ZooKeeper, `zk://[user:password@]host:port,…/path`.
    ZooKeeper(String),
}

const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// How often ZooKeeper is asked.
pub(crate) const POLL: Duration = Duration::from_secs(1);

impl Masters {
    /// Reads what `MesosSchedulerDriver` was given as its master.
    pub fn parse(master: &str) -> Result<Masters, String> {
        let master = master.trim();
        if master.starts_with("zk://") {
            Address::parse(master)?;
            return Ok(Masters::ZooKeeper(master.to_owned()));
        }
        let port = master.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        match port {
            Some(Ok(_)) if !master.contains(['/', ',']) => Ok(Masters::Fixed(master.to_owned())),
            _ => Err("Expecting 'zk://host:port,…/path' or 'host:port'".to_owned()),
        }
    }
}

/// The group of masters in ZooKeeper.
#[derive(Debug)]
pub(crate) struct Group {
    address: Address,
    zk: Zk,
    known: Option<Leader>,
}

impl Group {
    pub(crate) fn new(url: &str) -> Result<Group, String> {
        let address = Address::parse(url)?;
        let zk = Zk::new(address.clone(), SESSION_TIMEOUT);
        Ok(Group { address, zk, known: None })
    }

    /// `host:port` of the master that leads now. While ZooKeeper does not answer, the last one
    /// counts: its subscription tells sooner whether it still lives.
    pub(crate) fn leader(&mut self) -> Option<String> {
        match group::leader(&mut self.zk, self.known.as_ref()) {
            Ok(leader) => self.known = leader,
            Err(Failure::Expired) => self.zk = Zk::new(self.address.clone(), SESSION_TIMEOUT),
            Err(Failure::Lost | Failure::Code(_)) => {}
        }
        let pid = self.known.as_ref()?.pid();
        pid.split_once('@').map(|(_, address)| address.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::Masters;

    #[test]
    fn masters_are_a_group_or_an_address() {
        for good in ["zk://a:1,b:2/mesos", "zk://u:p@a:1/x/y"] {
            assert_eq!(Masters::parse(good), Ok(Masters::ZooKeeper(good.to_owned())));
        }
        assert_eq!(Masters::parse(" m:5050 "), Ok(Masters::Fixed("m:5050".to_owned())));
        for bad in ["zk://a:1", "zk://u@a:1/m", "m", "local", "file:///m", "m:x", "a:1,b:2", ""] {
            assert!(Masters::parse(bad).is_err(), "{bad}");
        }
    }
}

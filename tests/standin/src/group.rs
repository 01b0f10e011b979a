//! The members of a group in ZooKeeper: who leads the masters.

use std::net::SocketAddr;

use serde_json::Value;

use crate::zk::{Failure, NO_NODE, Node, Zk};

/// The label of masters since 0.24.0; `info_`, the older one, held a protobuf.
const LABEL: &str = "json.info_";

/// The leading master's node name and its MasterInfo.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Leader {
    pub(crate) node: String,
    pub(crate) info: Value,
}

impl Leader {
    /// `master@IP:PORT`.
    pub(crate) fn pid(&self) -> &str {
        self.info["pid"].as_str().unwrap_or_default()
    }

    /// `HOSTNAME:PORT`, where redirects point to.
    pub(crate) fn advertised(&self) -> String {
        let hostname = self.info["hostname"].as_str().unwrap_or_default();
        format!("{hostname}:{}", self.info["port"])
    }

    /// `1` of `json.info_0000000001`.
    pub(crate) fn sequence(&self) -> u64 {
        self.node.strip_prefix(LABEL).and_then(|digits| digits.parse().ok()).unwrap_or_default()
    }
}

/// Reads who leads: the member with the lowest sequence number. `known` spares reading the node
/// again, whose data never changes.
pub(crate) fn leader(zk: &mut Zk, known: Option<&Leader>) -> Result<Option<Leader>, Failure> {
    let path = zk.path().to_owned();
    let names = match zk.children(&path) {
        Err(NO_NODE) => return Ok(None),
        other => other?,
    };
    let Some(node) = names.into_iter().filter(|name| name.starts_with(LABEL)).min() else {
        return Ok(None);
    };
    if let Some(known) = known.filter(|known| known.node == node) {
        return Ok(Some(known.clone()));
    }
    match zk.data(&format!("{path}/{node}")) {
        Ok((data, _)) => {
            let info = serde_json::from_slice(&data).unwrap_or_default();
            Ok(Some(Leader { node, info }))
        }
        // Gone between the two questions; the next poll sees its successor.
        Err(NO_NODE) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Joins the contest with this MasterInfo; the name of the node.
pub(crate) fn contend(zk: &mut Zk, info: &Value) -> Result<String, Failure> {
    let path = zk.path().to_owned();
    join(zk, &path, LABEL, info.to_string().as_bytes())
}

/// Announces this master's replica of the registry.
pub(crate) fn announce_replica(zk: &mut Zk, pid: &str) -> Result<String, Failure> {
    let path = format!("{}/log_replicas", zk.path());
    join(zk, &path, "", pid.as_bytes())
}

/// Where replicas are announced, the first first. Those of a dead session may linger beside the new one of the same
/// address: the latest counts.
pub(crate) fn replicas(zk: &mut Zk) -> Result<Vec<SocketAddr>, Failure> {
    let path = format!("{}/log_replicas", zk.path());
    let mut names = zk.children(&path)?;
    names.sort();
    let mut places: Vec<SocketAddr> = Vec::new();
    for name in names {
        let pid = match zk.data(&format!("{path}/{name}")) {
            Ok((data, _)) => String::from_utf8_lossy(&data).into_owned(),
            Err(NO_NODE) => continue,
            Err(failure) => return Err(failure),
        };
        let Some(place) = pid.split_once('@').and_then(|(_, place)| place.parse().ok()) else {
            continue;
        };
        places.retain(|other| *other != place);
        places.push(place);
    }
    Ok(places)
}

/// Makes this session's ephemeral node, unless it exists: the answer to an earlier attempt may have
/// been lost with the connection.
fn join(zk: &mut Zk, path: &str, label: &str, data: &[u8]) -> Result<String, Failure> {
    zk.ensure(path)?;
    for name in zk.children(path)? {
        let node = format!("{path}/{name}");
        if name.strip_prefix(label).is_none_or(|rest| rest.parse::<u64>().is_err()) {
            continue;
        }
        match zk.data(&node) {
            Ok((there, owner)) if owner == zk.session() && there == data => return Ok(name),
            Ok(_) | Err(NO_NODE) => {}
            Err(failure) => return Err(failure),
        }
    }
    let made = zk.create(&format!("{path}/{label}"), data, Node::EphemeralSequential)?;
    Ok(made.rsplit('/').next().unwrap_or_default().to_owned())
}

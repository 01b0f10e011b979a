//! Which log this master's replica is of. The registry itself lies in ZooKeeper, but it is there only as long as a
//! replica of its log is: where every log was taken away, masters begin anew, as the real ones do.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::net;

/// Marks a replica that may vote, in `<work_dir>/replicated_log`; it holds the log's id.
const VOTING: &str = "standin-voting";

/// Where masters ask each other what they are replicas of. Real ones do so over libprocess.
pub(crate) const PATH: &str = "/standin/log";

/// How long one that runs may take to answer.
const PATIENCE: Duration = Duration::from_millis(300);

/// The log that the replica in this directory is of; `None`: it is empty.
pub(crate) fn of(log_dir: &Path) -> Option<String> {
    std::fs::read_to_string(log_dir.join(VOTING)).ok()
}

/// From now on the replica may vote.
pub(crate) fn persist(log_dir: &Path, log: &str) -> std::io::Result<()> {
    std::fs::write(log_dir.join(VOTING), log)
}

/// What an empty replica becomes one of: what another one that runs is of; where all are empty, whoever was announced
/// first begins a log, and the others wait for it.
pub(crate) fn begin(own: SocketAddr, announced: &[SocketAddr]) -> Option<String> {
    let mut first = true;
    for &place in announced {
        if place == own {
            // Nobody before has said anything, and nobody after may begin one.
            if first {
                let others = announced.iter().filter(|&&other| other != own);
                let known = others.filter_map(|&other| asked(other)).find(|log| !log.is_empty());
                return Some(known.unwrap_or_else(net::uuid));
            }
            continue;
        }
        match asked(place) {
            Some(log) if !log.is_empty() => return Some(log),
            Some(_) => first = false,
            None => {}
        }
    }
    None
}

/// The log of a replica, empty if it is; `None` where nobody answers.
fn asked(place: SocketAddr) -> Option<String> {
    let mut stream = mesos_tls::connect(&place, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {PATH} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, log) = answer.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| log.to_owned())
}

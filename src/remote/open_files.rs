//! How many files this process may hold open: each host is a few of them for as long as a run lasts.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a host takes at most: its shell, and two connections to its ssh master while the shell is opened. Measured at 700
/// hosts: up to 4.6 while masters are made, up to 7 where they are there.
const EACH: u64 = 7;
/// What is open besides.
const BESIDES: u64 = 100;

/// Sees to it that so many hosts can be open at once. The soft limit of many systems, 1,024, is there for programs that
/// call `select`; whoever does not may raise it to the hard one. Source: systemd.exec(5), "Process Properties".
///
/// # Errors
/// One sentence: how many are needed, how many there may be, and what to do.
pub fn suffice_for(hosts: usize) -> Result<(), String> {
    let needed = EACH * hosts as u64 + BESIDES;
    let limit = getrlimit(Resource::Nofile);
    let within = |limit: Option<u64>| limit.is_none_or(|limit| needed <= limit);
    if within(limit.current) {
        return Ok(());
    }
    // No higher than may be of use: what is started here inherits it, and some close all that they might have open.
    let raised = limit.maximum.map_or(2 * needed, |maximum| maximum.min(2 * needed));
    let raised = Rlimit { current: Some(raised), maximum: limit.maximum };
    if within(limit.maximum) && setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(());
    }
    Err(format!(
        "{hosts} hosts take up to {needed} open files at once, and this process may have {}; raise the hard limit (`ulimit -Hn`, /etc/security/limits.conf, LimitNOFILE= of a unit), or write smaller inventories",
        limit.maximum.or(limit.current).unwrap_or(needed)
    ))
}

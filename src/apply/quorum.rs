//! Who of a quorum goes next, decided last: nobody while a peer is sick, and whoever leads goes last.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::{POLL, Run};
use crate::event::Event;
use crate::health::{Health, Member};
use crate::inventory::HostName;
use crate::plan::{Because, Wave};
use crate::remote::Change;
use crate::tasks::Task;

/// What a roll has done and seen so far.
#[derive(Debug, Default)]
pub(super) struct Roll {
    /// Hosts of the waves that have begun.
    pub(super) touched: BTreeSet<HostName>,
    /// Members that served before the first wave.
    served: BTreeSet<HostName>,
}

/// How long a quorum is waited for between two waves before the roll stops. It elects within 20 s
/// (ZooKeeper's initLimit of 10 ticks, Mesos' session time-out of 10 s), and a leading master that lost
/// ZooKeeper for a moment ends: systemd starts it again after 20 s (RestartSec of its unit).
const RECOVERY: Duration = Duration::from_secs(60);

impl<Hosts: Change> Run<Hosts> {
    /// Asks the quorum again and decides who goes next; an error when nobody may.
    pub(super) async fn next_of_quorum(
        &self,
        task: Task,
        wave: Wave,
        rest: &mut Vec<Wave>,
        roll: &mut Roll,
    ) -> Result<Wave, (Wave, String)> {
        let Some(check) = task.card().check else { return Ok(wave) };
        let began = Instant::now();
        let mut said = String::new();
        let health = loop {
            let health = self.health(check).await;
            if roll.touched.is_empty() {
                roll.served.extend(health.serving().into_iter().cloned());
            }
            let obstacle = lost_member(&health, &wave, &roll.served)
                .or_else(|| sick_peer(&health, &wave, &roll.touched));
            let Some((peer, why)) = obstacle else { break health };
            if began.elapsed() > RECOVERY || self.stop.asked() {
                return Err((wave, why));
            }
            if why != said {
                said.clone_from(&why);
                self.sink.emit(Event::GateWaiting { task, hosts: vec![peer], waiting_for: why });
            }
            tokio::time::sleep(POLL).await;
        };
        let leads = |wave: &Wave| {
            wave.hosts.len() == 1 && wave.hosts.keys().next() == health.leader.as_ref()
        };
        if leads(&wave) && !rest.is_empty() {
            // `rest` is in reverse order: its end is next, its beginning is last.
            if let Some(next) = rest.pop() {
                rest.insert(0, wave);
                return Ok(next);
            }
        }
        Ok(wave)
    }
}

/// A member of a wave that served when the roll began and no longer does, with a sentence: it is not one
/// to be mended. While its peers elect nobody serves, and restarting it would take away one of those who
/// are to be a quorum again.
fn lost_member(
    health: &Health,
    wave: &Wave,
    served: &BTreeSet<HostName>,
) -> Option<(HostName, String)> {
    let mut members = wave.hosts.keys().filter(|host| served.contains(*host));
    let (host, why) = members.find_map(|host| Some((host, health.complaint(host)?)))?;
    Some((host.clone(), format!("{host} served when this began and no longer does: {why}")))
}

/// A peer of a wave that is sick, or was touched and cannot be asked, with a sentence; none where the wave
/// itself is sick, for the sick are mended first.
fn sick_peer(
    health: &Health,
    wave: &Wave,
    touched: &BTreeSet<HostName>,
) -> Option<(HostName, String)> {
    let member = |host: &HostName| health.members.get(host);
    if wave.hosts.keys().all(|host| member(host) != Some(&Member::Serving)) {
        return None;
    }
    let (peer, _) = health.members.iter().find(|(host, member)| {
        let silent = **member == Member::Silent && touched.contains(*host);
        !wave.hosts.contains_key(*host) && (silent || matches!(member, Member::Sick(_)))
    })?;
    let why = health.complaint(peer).unwrap_or_default();
    Some((peer.clone(), Because::PeerSick { peer: peer.clone(), why }.to_string()))
}

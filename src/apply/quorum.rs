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

impl<Hosts: Change> Run<Hosts> {
    /// Asks the quorum again and decides who goes next; an error when nobody may.
    pub(super) async fn next_of_quorum(
        &self,
        task: Task,
        wave: Wave,
        rest: &mut Vec<Wave>,
        touched: &BTreeSet<HostName>,
    ) -> Result<Wave, (Wave, String)> {
        let Some(check) = task.card().check else { return Ok(wave) };
        let began = Instant::now();
        let mut said = String::new();
        let health = loop {
            let health = self.health(check).await;
            let Some((peer, why)) = sick_peer(&health, &wave, touched) else { break health };
            // A leading master that lost ZooKeeper for a moment ends, and is back soon.
            let limit = Duration::from_secs(task.card().gate_secs);
            if began.elapsed() > limit || self.stop.asked() {
                return Err((wave, Because::PeerSick { peer, why }.to_string()));
            }
            let waiting_for = format!("{peer}: {why}");
            if waiting_for != said {
                said.clone_from(&waiting_for);
                self.sink.emit(Event::GateWaiting { task, hosts: vec![peer], waiting_for });
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

/// A peer of a wave that is sick, or was touched and cannot be asked; none where the wave itself is sick,
/// for the sick are mended first.
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
    Some((peer.clone(), health.complaint(peer).unwrap_or_default()))
}

//! Who of a quorum goes next, decided at each turn from how its members serve then: the sick first and
//! never beside one that serves, the others one at a time, whoever leads last, and nobody that serves
//! while a peer does not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::{Engine, POLL};
use crate::event::Event;
use crate::ground::HostName;
use crate::health::{Health, Member};
use crate::plan::{Because, Ends, Stage, Wave};
use crate::remote::Change;
use crate::resource::lead::Lead;
use crate::tasks::Task;

/// What a roll has done and seen so far.
#[derive(Debug, Default)]
pub(super) struct Roll {
    /// Hosts of the waves that have begun.
    pub(super) touched: BTreeSet<HostName>,
    /// Members that served when the plan was made.
    pub(super) planned: BTreeSet<HostName>,
    /// Members that served before the first wave.
    pub(super) served: BTreeSet<HostName>,
}

/// The same of each task that a stage touches.
pub(super) type Rolls = BTreeMap<Task, Roll>;

impl Roll {
    /// Who must serve after a wave: those that were touched, or, where they are meant to be gone, of a
    /// quorum those that are left.
    pub(super) fn awaited(&self, stage: &Stage) -> BTreeSet<HostName> {
        let members = &stage.members;
        let leaves = self.touched.iter().any(|host| !members.contains_key(host));
        let actions = stage.waves.iter().flat_map(|wave| wave.hosts.values().flatten());
        let gives_lead = actions.into_iter().any(|action| action.resource.get::<Lead>().is_some());
        match stage.ends {
            // Where a member leaves, those who stay must serve without it; where one gives the lead away, another
            // leads who has written all that it knows to all.
            Ends::Nothing if leaves || gives_lead => {
                self.touched.iter().chain(members.keys()).cloned().collect()
            }
            Ends::Nothing | Ends::Hosts => self.touched.clone(),
            Ends::Members => self.served.difference(&self.touched).cloned().collect(),
            Ends::Quorum => BTreeSet::new(),
        }
    }
}

/// How long a quorum is waited for between two waves before the roll stops. It elects within 20 s
/// (ZooKeeper's initLimit of 10 ticks, Mesos' session time-out of 10 s), and a leading master that lost
/// ZooKeeper for a moment ends: systemd starts it again after 20 s (RestartSec of its unit).
pub(super) const RECOVERY: Duration = Duration::from_secs(60);

/// How long answers that contradict each other are put again: a leader that has lost its followers steps
/// down within ZooKeeper's syncLimit of 5 ticks of 2 s, and one just elected is joined by the others.
const SETTLING: Duration = Duration::from_secs(15);

impl<Hosts: Change> Engine<Hosts> {
    /// Asks the quorums of a stage again and puts the waves that are left in order; an error when nobody may
    /// go.
    pub(super) async fn quorums_turn(
        &self,
        stage: &Stage,
        left: &mut VecDeque<Wave>,
        rolls: &mut Rolls,
    ) -> Result<(), String> {
        if stage.ends == Ends::Quorum {
            return Ok(());
        }
        let began = Instant::now();
        let mut said = String::new();
        loop {
            let mut seen = Vec::new();
            for (task, roll) in rolls.iter_mut() {
                let Some(check) = task.card().check.filter(|check| check.elects()) else {
                    continue;
                };
                let health = self.health(check, &stage.inventory).await;
                if roll.touched.is_empty() {
                    roll.served.extend(health.serving().into_iter().cloned());
                }
                *left = in_order(std::mem::take(left), &health);
                seen.push((*task, health, &*roll));
            }
            // A host may be a member of several: it goes when all of them bear it.
            let obstacle = seen.iter().find_map(|(task, health, roll)| {
                let wave = left.front()?;
                let obstacle = match stage.ends {
                    Ends::Members => too_few(health, wave),
                    _ => unsettled_member(*task, health, wave)
                        .filter(|_| began.elapsed() <= SETTLING)
                        .or_else(|| lost_member(health, wave, roll))
                        .or_else(|| silent_member(health, wave))
                        .or_else(|| sick_peer(health, wave)),
                };
                obstacle.map(|(peer, why)| (*task, peer, why))
            });
            let Some((task, peer, why)) = obstacle else { return Ok(()) };
            if self.stop.asked() {
                return Err(why);
            }
            if began.elapsed() > RECOVERY {
                // A quorum that has a leader without it does not wait for it: it is one to be mended. A server
                // whose list lacks who leads now is out until it has the longer one.
                let mut others = seen.iter().filter(|(of, ..)| *of == task);
                let turn = left.front().is_some_and(|wave| wave.hosts.contains_key(&peer));
                let led = others.any(|(_, health, _)| led_without(health, &peer));
                return if turn && led { Ok(()) } else { Err(why) };
            }
            if why != said {
                said.clone_from(&why);
                self.sink.emit(Event::GateWaiting { task, hosts: vec![peer], waiting_for: why });
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Whether stopping a member may take something away: it serves, or leads though it is not content
/// with its followers.
fn serves(health: &Health, host: &HostName) -> bool {
    health.members.get(host) == Some(&Member::Serving) || health.leader.as_ref() == Some(host)
}

/// Waves as they may go now. They are split and change places, but never become one: a plan may keep
/// members apart for what they hold. A lost quorum is started as it was planned, for none of its members
/// can serve alone.
fn in_order(waves: VecDeque<Wave>, health: &Health) -> VecDeque<Wave> {
    if health.is_lost() {
        return waves;
    }
    let (mut sick, mut well, mut leader) = (VecDeque::new(), Vec::new(), Vec::new());
    for wave in waves {
        let (fit, hosts): (BTreeMap<_, _>, BTreeMap<_, _>) = wave
            .hosts
            .into_iter()
            .partition(|(host, _)| serves(health, host) || !health.members.contains_key(host));
        if !hosts.is_empty() {
            sick.push_back(Wave { hosts });
        }
        for (host, actions) in fit {
            let last = health.leader.as_ref() == Some(&host);
            let alone = Wave { hosts: BTreeMap::from([(host, actions)]) };
            if last { leader.push(alone) } else { well.push(alone) }
        }
    }
    sick.extend(well);
    sick.extend(leader);
    sick
}

/// A member of a wave that served when the roll began and no longer does, with a sentence: it is not one
/// to be mended. While its peers elect nobody serves, and restarting it would take away one of those who
/// are to be a quorum again.
fn lost_member(health: &Health, wave: &Wave, roll: &Roll) -> Option<(HostName, String)> {
    // Of one member nothing is taken away that is not gone already.
    if health.members.len() < 2 {
        return None;
    }
    // Who was planned to go beside others was not taken for one that serves.
    let planned = |host: &HostName| wave.hosts.len() == 1 && roll.planned.contains(host);
    let mut members = wave.hosts.keys().filter(|host| roll.served.contains(*host) || planned(host));
    let (host, why) = members.find_map(|host| Some((host, health.complaint(host)?)))?;
    Some((host.clone(), format!("{host} served when this began and no longer does: {why}")))
}

/// A member of a wave that is up and does not serve yet, with a sentence, while one leads and too few
/// serve for that: it may be the one that makes the majority, half a second from being in sync.
fn unsettled_member(task: Task, health: &Health, wave: &Wave) -> Option<(HostName, String)> {
    let check = task.card().check.filter(|check| check.leads_with_majority());
    let (_, leader) = (check?, health.leader.as_ref()?);
    if health.serving().len() > health.members.len() / 2 {
        return None;
    }
    let sick = |host: &&HostName| matches!(health.members.get(*host), Some(Member::Sick(_)));
    let host = wave.hosts.keys().find(sick)?;
    let why = health.complaint(host)?;
    Some((
        host.clone(),
        format!("{leader} leads, so a majority must be in sync, yet {host}: {why}"),
    ))
}

/// Whether a majority serves under a leader, and this member is not of it.
fn led_without(health: &Health, host: &HostName) -> bool {
    let leads = health.leader.as_ref().is_some_and(|leader| leader != host);
    let sick = matches!(health.members.get(host), Some(Member::Sick(_)));
    leads && sick && health.serving().len() > health.members.len() / 2
}

/// A member of a wave that is to be gone, with a sentence, where too few would be left without it.
fn too_few(health: &Health, wave: &Wave) -> Option<(HostName, String)> {
    let left = health.serving().iter().filter(|host| !wave.hosts.contains_key(**host)).count();
    let needed = health.members.len() / 2 + 1;
    let host = wave.hosts.keys().next().filter(|_| left < needed)?;
    Some((host.clone(), format!("without {host} {left} would serve, and {needed} must")))
}

/// A member of a wave whose host could not be asked, with a sentence: those who were to start with it
/// may hold nothing of what it holds.
fn silent_member(health: &Health, wave: &Wave) -> Option<(HostName, String)> {
    let silent = |host: &&HostName| health.members.get(*host) == Some(&Member::Silent);
    let host = wave.hosts.keys().find(silent)?;
    Some((host.clone(), format!("{host}: {}", health.complaint(host)?)))
}

/// Somebody sick or silent while a member that serves is to go, with a sentence; none where the wave
/// itself is sick, for the sick are mended first.
fn sick_peer(health: &Health, wave: &Wave) -> Option<(HostName, String)> {
    if health.is_lost() || !wave.hosts.keys().any(|host| serves(health, host)) {
        return None;
    }
    let (peer, _) = health.members.iter().find(|(_, member)| **member != Member::Serving)?;
    let why = health.complaint(peer).unwrap_or_default();
    Some((peer.clone(), Because::PeerSick { peer: peer.clone(), why }.to_string()))
}

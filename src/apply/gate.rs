//! Gates: waiting until those that a wave touched serve, and saying why they do not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::action::stamp;
use super::{ASK_LIMIT, Engine, POLL};
use crate::event::{Event, Outcome};
use crate::ground::HostName;
use crate::health::Member;
use crate::plan::{Members, Stage, Wave};
use crate::remote::Change;
use crate::resource::service;
use crate::script::{Probe, quote};
use crate::tasks::Task;

impl<Hosts: Change> Engine<Hosts> {
    /// Waits until the members serve that are awaited, under a leader where they elect one; then stamps.
    pub(super) async fn gate(
        &self,
        task: Task,
        stage: &Stage,
        wave: &Wave,
        awaited: &BTreeSet<HostName>,
    ) {
        let Some(check) = task.card().check else { return };
        let (failed, not_run, mut started) = {
            let mut state = self.state.lock().await;
            let failed: BTreeSet<HostName> = state.failed.keys().cloned().collect();
            (failed, state.not_run.clone(), std::mem::take(&mut state.started))
        };
        let members = stage.members_of(task);
        let required: Vec<HostName> = awaited
            .iter()
            .filter(|host| members.contains_key(*host))
            .filter(|host| !failed.contains(*host))
            .filter(|host| !not_run.contains(&((*host).clone(), task)))
            .cloned()
            .collect();
        if required.is_empty() {
            return;
        }
        let began = Instant::now();
        let limit = Duration::from_secs(task.card().gate_secs);
        let mut said = String::new();
        let mut restarts: BTreeMap<HostName, (u32, u32)> = BTreeMap::new();
        let units: BTreeMap<HostName, String> = units(members, &required);
        let (open, health) = loop {
            let health = self.health(check, &stage.inventory).await;
            let missing: Vec<String> = required
                .iter()
                .filter_map(|host| Some(format!("{host}: {}", health.complaint(host)?)))
                .collect();
            let leaderless = check.elects() && health.is_leaderless();
            if missing.is_empty() && !leaderless {
                break (true, health);
            }
            let waiting =
                if missing.is_empty() { "a leader".to_owned() } else { missing.join("; ") };
            if waiting != said {
                said.clone_from(&waiting);
                self.sink.emit(Event::GateWaiting {
                    task,
                    hosts: required.clone(),
                    waiting_for: waiting,
                });
            }
            let hopeless = self.crash_loops(&units, &mut restarts).await;
            if began.elapsed() > limit
                || hopeless
                || self.stop.asked() && began.elapsed() > POLL * 4
            {
                break (false, health);
            }
            tokio::time::sleep(POLL).await;
        };
        let members: Vec<(HostName, Member)> = required
            .iter()
            .filter_map(|host| Some((host.clone(), health.members.get(host)?.clone())))
            .collect();
        self.sink.emit(Event::GateEnded {
            task,
            hosts: required.clone(),
            members: members.clone(),
            open,
            seconds: began.elapsed().as_secs_f64(),
        });
        let mut stamped = JoinSet::new();
        for (host, member) in members {
            if member == Member::Serving {
                let stamps = started.remove(&host).unwrap_or_default();
                let hosts = Arc::clone(&self.hosts);
                stamped.spawn(async move {
                    for (id, fix) in &stamps {
                        if let Err(Outcome::Failed { reason, .. } | Outcome::Lost(reason)) =
                            stamp(&*hosts, &host, id, fix).await
                        {
                            return Some((host, reason));
                        }
                    }
                    None
                });
            } else if !open {
                if let Some(unit) = units.get(&host) {
                    self.journal(&host, task, unit).await;
                }
                let why = health.complaint(&host).unwrap_or_default();
                self.state.lock().await.failed.insert(host, why);
            }
        }
        let unstamped = stamped.join_all().await;
        self.state.lock().await.failed.extend(unstamped.into_iter().flatten());
        if !open && wave.hosts.keys().all(|host| health.complaint(host).is_none()) {
            // Everybody answers and nobody leads: the stage failed though no single host did.
            self.halt(format!("{} has no leader", task.card().title)).await;
        }
    }

    /// Whether any unit was restarted twice by systemd since the gate began: waiting will not help.
    async fn crash_loops(
        &self,
        units: &BTreeMap<HostName, String>,
        seen: &mut BTreeMap<HostName, (u32, u32)>,
    ) -> bool {
        let mut asked = JoinSet::new();
        for (host, unit) in units {
            let (hosts, host, unit) = (Arc::clone(&self.hosts), host.clone(), unit.clone());
            asked.spawn(async move {
                let probe = Probe::new("units", service::show(&unit));
                let sections = hosts.ask(&host, &probe, ASK_LIMIT).await.ok()?;
                let unit = service::unit(&unit, sections.get("units")?)?;
                let down = matches!(unit.sub, "auto-restart" | "failed");
                Some((host, unit.restarts, down))
            });
        }
        let mut hopeless = false;
        for (host, restarts, down) in asked.join_all().await.into_iter().flatten() {
            let (first, strikes) = *seen.entry(host.clone()).or_insert((restarts, 0));
            seen.insert(host, (first, if down { strikes + 1 } else { 0 }));
            hopeless |= restarts >= first + 2 || strikes > 8;
        }
        hopeless
    }

    async fn journal(&self, host: &HostName, task: Task, unit: &str) {
        let script = format!("journalctl -u {} -n 20 -o cat --no-pager 2>/dev/null", quote(unit));
        let probe = Probe::new("journal", script);
        if let Ok(sections) = self.hosts.ask(host, &probe, ASK_LIMIT).await {
            let text = sections.get("journal").cloned().unwrap_or_default();
            self.sink.emit(Event::ActionOutput {
                host: host.clone(),
                task,
                resource: "gate".to_owned(),
                text: crate::remote::sentence::printable(text.as_bytes()),
            });
        }
    }
}

/// The unit that each of these hosts runs.
fn units(members: &Members, hosts: &[HostName]) -> BTreeMap<HostName, String> {
    let unit = |host: &HostName| Some((host.clone(), members.get(host)?.clone()?));
    hosts.iter().filter_map(unit).collect()
}

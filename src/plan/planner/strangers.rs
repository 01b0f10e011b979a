//! Masters that somebody else started where the inventory wants none, and we never did. Each may lead, or count as a
//! replica of the log, so they stop before anything of the masters changes.

use std::sync::Arc;

use super::Planner;
use crate::plan::work::runs;
use crate::plan::{Seen, Stage, Wave};
use crate::resource::service::Service;
use crate::tasks::{Task, Wish, Wishes};

/// Tasks whose hosts are found healthy, or right, by the master that leads.
pub(super) const LED: [Task; 3] = [Task::Weights, Task::Agents, Task::Dispatcher];

/// What masters run as.
const UNIT: &str = "mesos-master";

impl Planner<'_> {
    /// Plans that they stop, together. Those that we know are members, and leave by steps.
    pub(super) fn stop_strangers(&mut self) {
        let mut wave = Wave::default();
        for (task, wishes) in &self.desired.tasks {
            for (host, wishes) in wishes {
                let Some(Seen::Answered(answer)) = self.observed.hosts.get(host) else { continue };
                let known = self.observed.judged.running.masters.contains_key(host);
                if known || wave.hosts.contains_key(host) || !runs(UNIT, answer) {
                    continue;
                }
                let stops = |wish: &&Wish| {
                    let service = wish.resource.get::<Service>();
                    service.is_some_and(|it| it.unit == UNIT) && wish.resource.runs().is_none()
                };
                let Some(wish) = wishes.iter().find(stops) else { continue };
                let wishes = Wishes::from([(host.clone(), vec![wish.clone()])]);
                for (host, actions) in self.work(*task, &wishes) {
                    self.foresee(&host, &actions);
                    wave.hosts.insert(host, actions);
                }
            }
        }
        if wave.hosts.is_empty() {
            return;
        }
        self.strangers = wave.hosts.keys().cloned().collect();
        let title = match self.strangers.len() {
            1 => "a master that the inventory does not name stops",
            _ => "masters that the inventory does not name stop",
        };
        // None of them is a member, so nobody's health is waited for.
        let (title, waves) = (title.to_owned(), vec![wave]);
        let inventory = Arc::clone(self.inventory);
        let members = super::Members::new();
        self.rolls.push(Stage::new(&inventory, Some(Task::Masters), title, waves, members));
    }
}

//! Asking components while a plan is done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{ASK_LIMIT, Engine, POLL};
use crate::ground::HostName;
use crate::health::{
    self, Agents, Answers, Check, Health, Masters, Question, Replies, leaders_agents,
};
use crate::inventory::{Host, Inventory};
use crate::mesos::asking;
use crate::mesos::master::Listed;
use crate::remote::{Change, Ended};
use crate::resource::drain::{GRACE_SECS, SLACK_SECS};
use crate::script::{AGAIN, Fix};

/// A call to the leading master lasts no longer than a drain may.
const LEAD_LIMIT: Duration = Duration::from_secs(GRACE_SECS + SLACK_SECS);

impl<Hosts: Change> Engine<Hosts> {
    /// How a task's members, as this inventory names them, serve now.
    pub(crate) async fn health(&self, check: &dyn Check, inventory: &Inventory) -> Health {
        let replies = self.replies(check, inventory).await;
        check.judge(inventory, &Answers::new(inventory, &replies))
    }

    /// What a task's witnesses answer now.
    pub(crate) async fn replies(
        &self,
        check: &dyn Check,
        inventory: &Inventory,
    ) -> BTreeMap<HostName, Replies> {
        let questions = |host: &HostName| {
            let question = inventory.hosts.get(host).and_then(|it| check.question(inventory, it));
            question.into_iter().collect()
        };
        self.put(check.witnesses(inventory).into_iter().map(|host| (questions(&host), host))).await
    }

    /// The leading master's agents by address, and its frameworks where it names them; `None` when no
    /// leader answers.
    pub(super) async fn work(&self) -> Option<(BTreeMap<String, Listed>, Option<Json>)> {
        let inventory = &self.inventory;
        let frameworks = |host: &Host| Question::Master(inventory.master_url(host) + "/frameworks");
        let asked = Agents.witnesses(inventory).into_iter().filter_map(|host| {
            let machine = inventory.hosts.get(&host)?;
            let agents = Agents.question(inventory, machine);
            Some((agents.into_iter().chain([frameworks(machine)]).collect(), host))
        });
        let replies = self.put(asked).await;
        let listed = leaders_agents(inventory, &replies)?;
        let leads = replies.iter().find_map(|(host, replies)| {
            let reply = replies.get(&frameworks(inventory.hosts.get(host)?))?;
            (reply.status == 200).then(|| serde_json::from_str(&reply.body).ok()).flatten()
        });
        Some((listed, leads))
    }

    /// Runs a script on the host of the master that leads, again for as long as it says so. A leader that is
    /// lost meanwhile is looked for again: every such script may be run twice.
    ///
    /// # Errors
    /// One sentence: why it could not be run.
    pub(super) async fn lead(&self, name: &str, fix: &Fix) -> Result<(HostName, Ended), String> {
        let began = Instant::now();
        let mut last = Err("no leading master answered".to_owned());
        loop {
            if let Some(leader) = self.health(&Masters, &self.inventory).await.leader
                && let Some(host) = self.inventory.hosts.get(&leader)
            {
                let url = self.inventory.master_url(host);
                let fix = fix.after(&asking::knowing(&url));
                last = match self.hosts.run(&leader, name, &fix).await {
                    Ok(ended) if ended.status != AGAIN => return Ok((leader, ended)),
                    Ok(ended) => Ok((leader, ended)),
                    Err(why) => Err(why),
                };
            }
            if began.elapsed() > LEAD_LIMIT {
                return last;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Puts questions to hosts, all at once; whoever cannot be asked is missing.
    async fn put(
        &self,
        asked: impl Iterator<Item = (Vec<Question>, HostName)>,
    ) -> BTreeMap<HostName, Replies> {
        let mut answers = JoinSet::new();
        for (questions, host) in asked {
            let hosts = Arc::clone(&self.hosts);
            answers.spawn(async move {
                let probe = health::probe(&questions);
                let sections = hosts.ask(&host, &probe, ASK_LIMIT).await.ok()?;
                Some((host, health::replies(&questions, &sections)))
            });
        }
        answers.join_all().await.into_iter().flatten().collect()
    }
}

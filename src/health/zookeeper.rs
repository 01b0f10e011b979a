//! Members of the ensemble: `srvr` says the mode, and `mntr` of a leader who follows in sync.

use super::{Answers, Check, Health, Member, Question};
use crate::ground::HostName;
use crate::inventory::{Host, Inventory, Part};

/// The members of our ensemble.
#[derive(Debug)]
pub struct ZooKeeper;

impl Check for ZooKeeper {
    fn name(&self) -> &'static str {
        "zookeeper"
    }

    fn elects(&self) -> bool {
        true
    }

    /// It says that it leads once a majority has its state, and steps down when it has not heard from a
    /// majority within syncLimit (Leader.java of ZooKeeper 3.8: `waitForNewLeaderAck`, `lead`).
    fn leads_with_majority(&self) -> bool {
        true
    }

    fn members(&self, inventory: &Inventory) -> Vec<HostName> {
        inventory.hosts_of(Part::ZooKeeper).cloned().collect()
    }

    fn question(&self, inventory: &Inventory, host: &Host) -> Option<Question> {
        Some(Question::FourLetter(host.address.to_string(), inventory.client_port()))
    }

    fn judge(&self, inventory: &Inventory, answers: &Answers<'_>) -> Health {
        let alone = self.members(inventory).len() == 1;
        let mut leader = None;
        let mut health = answers.each(self, inventory, |host, reply| {
            let mode = reply.body.lines().find_map(|line| line.strip_prefix("Mode: "));
            match mode {
                Some("standalone") if !alone => {
                    Member::Sick("it runs standalone, outside the ensemble".to_owned())
                }
                Some("standalone" | "leader") => {
                    leader = Some(host.clone());
                    Member::Serving
                }
                Some("follower") => Member::Serving,
                Some(other) => Member::Sick(format!("it is {other}")),
                None if reply.status == 0 => {
                    Member::Sick("nothing answers on its client port".to_owned())
                }
                None => Member::Sick(first_line(&reply.body)),
            }
        });
        health.leader = leader;
        // A follower that the leader does not count is not back yet.
        if let Some(leader) = health.leader.clone() {
            let synced = answers
                .reply(self, inventory, &leader)
                .and_then(|reply| metric_line(&reply.body, "zk_synced_followers"));
            let followers = health.serving().len().saturating_sub(1) as u64;
            if let Some(synced) = synced.filter(|synced| *synced < followers) {
                let why = format!("it has {synced} of {followers} followers in sync");
                health.members.insert(leader, Member::Sick(why));
            }
        }
        health
    }
}

fn metric_line(body: &str, name: &str) -> Option<u64> {
    body.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().split('.').next()?.trim().parse().ok())
}

fn first_line(body: &str) -> String {
    body.lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("it says nothing")
        .to_owned()
}

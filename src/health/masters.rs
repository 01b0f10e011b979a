//! Mesos masters: who leads, and whether it is ready, by the metrics.

use super::{Answers, Check, Health, Member, Question};
use crate::ground::HostName;
use crate::inventory::{Host, Inventory, Part};
use crate::mesos::master::Metrics;

/// The masters.
#[derive(Debug)]
pub struct Masters;

impl Check for Masters {
    fn name(&self) -> &'static str {
        "masters"
    }

    fn elects(&self) -> bool {
        true
    }

    fn members(&self, inventory: &Inventory) -> Vec<HostName> {
        inventory.hosts_of(Part::Master).cloned().collect()
    }

    fn question(&self, inventory: &Inventory, host: &Host) -> Option<Question> {
        Some(Question::Master(inventory.master_url(host) + "/metrics/snapshot"))
    }

    fn judge(&self, inventory: &Inventory, answers: &Answers<'_>) -> Health {
        let mut leaders = Vec::new();
        let mut health = answers.each(self, inventory, |host, reply| {
            if reply.status == 0 {
                return Member::Sick(format!(
                    "nothing answers on port {}",
                    inventory.mesos.master_port
                ));
            }
            if matches!(reply.status, 401 | 403) {
                return Member::Sick(format!("it refuses our credential (HTTP {})", reply.status));
            }
            let Some(metrics) = Metrics::read(&reply.body) else {
                let why = format!("its metrics answer HTTP {} and no JSON", reply.status);
                return Member::Sick(why);
            };
            let value = |name: &str| metrics.get(name);
            let elected = value("master/elected") == Some(1.0);
            if elected {
                leaders.push(host.clone());
            }
            not_ready(&value, elected, inventory).map_or(Member::Serving, Member::Sick)
        });
        match leaders.as_slice() {
            [leader] => health.leader = Some(leader.clone()),
            // A master whose host cannot be asked may be the leader.
            [] if !health.is_leaderless() => {}
            [] => {
                for member in health.members.values_mut().filter(|m| **m == Member::Serving) {
                    *member = Member::Sick("no master leads".to_owned());
                }
            }
            several => {
                let names: Vec<&str> = several.iter().map(HostName::as_str).collect();
                for host in several {
                    let why =
                        format!("{} each hold themselves for the leader", names.join(" and "));
                    health.members.insert(host.clone(), Member::Sick(why));
                }
            }
        }
        health
    }
}

/// Why a master that answers is not ready. Elected, HTTP 200, and even `registrar/log/recovered` = 1
/// prove nothing by themselves: a lone master of a quorum of 2 whose replica had voted before shows all
/// three. What it lacks is the size of a registry that it has fetched. Source: the recordings
/// `masters/27-lone-master` and `masters/05-agents-idle`.
fn not_ready(
    value: &impl Fn(&str) -> Option<f64>,
    elected: bool,
    inventory: &Inventory,
) -> Option<String> {
    // Absent before Mesos 1.0.
    if value("registrar/log/recovered").is_some_and(|recovered| recovered != 1.0) {
        return Some("its replicated log is not recovered".to_owned());
    }
    // Absent before 1.4.
    let replicas = value("registrar/log/ensemble_size")?;
    if elected && replicas < inventory.quorum() as f64 {
        return Some(format!(
            "it leads with {replicas} of the {} log replicas that a quorum needs",
            inventory.quorum()
        ));
    }
    (elected && value("registrar/registry_size_bytes").is_none())
        .then(|| "it leads and has not fetched the registry yet".to_owned())
}

//! Spark's history server, by its REST API.

use super::{Answers, Check, Health, Member, Question};
use crate::ground::{Endpoint, HostName};
use crate::inventory::{Host, Inventory, Part};

/// The history server.
#[derive(Debug)]
pub struct History;

impl Check for History {
    fn name(&self) -> &'static str {
        "history"
    }

    fn members(&self, inventory: &Inventory) -> Vec<HostName> {
        inventory.hosts_of(Part::History).cloned().collect()
    }

    /// Source: Spark 3.5.1, docs/monitoring.md (REST API); `/version` since 2.1.
    fn question(&self, inventory: &Inventory, host: &Host) -> Option<Question> {
        let port = inventory.spark.as_ref()?.history.as_ref()?.port;
        let at = Endpoint::new(host.address, port);
        Some(Question::Http(at.http() + "/api/v1/version"))
    }

    fn judge(&self, inventory: &Inventory, answers: &Answers<'_>) -> Health {
        answers.each(self, inventory, |_, reply| {
            if reply.status == 200 && reply.body.contains("\"spark\"") {
                Member::Serving
            } else if reply.status == 0 {
                Member::Sick("nothing answers on its port".to_owned())
            } else {
                Member::Sick("another server answers on its port".to_owned())
            }
        })
    }
}

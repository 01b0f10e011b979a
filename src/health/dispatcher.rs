//! The MesosClusterDispatcher, by its REST server.

use super::{Answers, Check, Health, Member, Question};
use crate::ground::{Endpoint, HostName};
use crate::inventory::{Host, Inventory, Part};

/// The dispatcher.
#[derive(Debug)]
pub struct Dispatcher;

impl Check for Dispatcher {
    fn name(&self) -> &'static str {
        "dispatcher"
    }

    fn may_rest(&self) -> Option<&'static str> {
        Some("spark-dispatcher")
    }

    fn members(&self, inventory: &Inventory) -> Vec<HostName> {
        inventory.hosts_of(Part::Dispatcher).cloned().collect()
    }

    fn question(&self, inventory: &Inventory, host: &Host) -> Option<Question> {
        let port = inventory.spark.as_ref()?.dispatcher.as_ref()?.port;
        let at = Endpoint::new(host.address, port);
        Some(Question::Http(at.http() + "/v1/submissions/status/none"))
    }

    fn judge(&self, inventory: &Inventory, answers: &Answers<'_>) -> Health {
        answers.each(self, inventory, |_, reply| {
            // REST starts after the framework registered, so any answer of it will do.
            if reply.body.contains("serverSparkVersion") {
                Member::Serving
            } else if reply.status == 0 {
                Member::Sick("nothing answers on its REST port".to_owned())
            } else {
                Member::Sick("another server answers on its REST port".to_owned())
            }
        })
    }
}

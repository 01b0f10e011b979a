//! Looking: one probe for each host, one round trip, all hosts at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::load::Session;
use crate::event::Sink;
use crate::ground::HostName;
use crate::observe;
use crate::remote::Ask;
use crate::remote::fleet::{OpenedFleet, Opening, look};
use crate::remote::shell::Looker;
use crate::script::{Probe, Sections};

/// A probe that takes longer has hung.
const LIMIT: Duration = Duration::from_secs(60);

/// Answers by host, or why there is none.
pub type Answers = BTreeMap<HostName, Result<Sections, String>>;

/// Opens all hosts with the key that looks, and asks them everything.
pub async fn at_hosts(
    session: &Session,
    opening: &Opening,
    sink: &Arc<dyn Sink>,
) -> OpenedFleet<Looker> {
    look(opening, &observe::probes(&session.inventory, &session.desired), sink).await
}

/// Puts a probe to each host, all at once.
pub async fn ask_all<Hosts: Ask>(hosts: &Arc<Hosts>, probes: BTreeMap<HostName, Probe>) -> Answers {
    let mut tasks = JoinSet::new();
    for (host, probe) in probes {
        let hosts = Arc::clone(hosts);
        tasks.spawn(async move {
            let answer = hosts.ask(&host, &probe, LIMIT).await;
            (host, answer)
        });
    }
    let mut answers = Answers::new();
    while let Some(joined) = tasks.join_next().await {
        if let Ok((host, answer)) = joined {
            answers.insert(host, answer);
        }
    }
    answers
}

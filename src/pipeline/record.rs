//! What is left of a run: a record on every master that can be reached, and a copy here.

use std::sync::Arc;

use super::Run;
use crate::inventory::Inventory;
use crate::inventory::show::without_passwords;
use crate::local::clock;
use crate::plan::{Plan, text};
pub(super) use crate::records::EventLog;
use crate::records::{self, Record};
use crate::remote::Change as _;
use crate::remote::fleet::Fleet;
use crate::remote::shell::Changer;
use crate::report::Report;
use crate::ui::line;

/// The record of a run that is about to change something.
pub(super) fn begun(run: &Run<'_>, plan: &Plan) -> Record {
    let inventory = &run.session.inventory;
    Record {
        v: records::VERSION,
        run: run.id.clone(),
        command: run.request.command.to_owned(),
        by: run.opening.by.clone(),
        from: run.opening.from.clone(),
        began: clock::rfc3339(run.began),
        cluster: inventory.cluster.clone(),
        inventory: records::Asked {
            text: without_passwords(&run.session.text),
            digest: inventory.digest.clone(),
            sets: run.request.source.sets.iter().map(|set| without_passwords(set)).collect(),
        },
        plan: text::plan(plan),
        outcome: None,
    }
}

/// Leaves a record on every master that can be reached, and a copy here. What does not work is said and
/// decides nothing.
pub(super) async fn leave(
    record: Option<&Record>,
    inventory: &Inventory,
    fleet: &Arc<Fleet<Changer>>,
) {
    let Some(record) = record else { return };
    if let Err(error) = records::keep_here(record) {
        let text = format!("warning: no copy of this run's record is kept here: {error}");
        line(std::io::stderr().lock(), &text);
    }
    let mut tasks = tokio::task::JoinSet::new();
    let masters = inventory.mesos.masters.iter();
    for host in masters.filter(|host| fleet.has(host)) {
        let (fleet, host, fix) = (Arc::clone(fleet), host.clone(), record.write());
        tasks.spawn(async move {
            let why = match fleet.run(&host, "record", &fix).await {
                Ok(ended) if ended.status == 0 => return,
                Ok(ended) => ended.output_tail.trim().to_owned(),
                Err(why) => why,
            };
            let text = format!("warning: {host} keeps no record of this run: {why}");
            line(std::io::stderr().lock(), &text);
        });
    }
    while tasks.join_next().await.is_some() {}
}

impl Record {
    /// The same, now that it is over.
    pub(super) fn ended(mut self, report: &Report, code: u8) -> Record {
        self.outcome = Some(records::Outcome {
            ended: clock::rfc3339(clock::now()),
            changed: report.changes(),
            failed: report.failures.len(),
            unreachable: report.unreachable.len(),
            blocked: report.blocked.len(),
            exit: code,
        });
        self
    }
}

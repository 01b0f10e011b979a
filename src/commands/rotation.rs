//! Secrets that changed under an unchanged principal. No digest of a secret is kept anywhere, so the hosts
//! compare: only `apply`, which has looked the secrets up, can ask them.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::inventory::{HostName, Problem};
use crate::plan::{Observed, Seen};
use crate::remote::fleet::Fleet;
use crate::remote::shell::Changer;
use crate::resource::file::{Content, File};
use crate::resource::{Look, Resource, diff};
use crate::tasks::Desired;

/// Files that are as wanted by all that may be known of them, and hold another secret.
pub(super) async fn changed_secrets(
    desired: &Desired,
    observed: &Observed,
    fleet: &Arc<Fleet<Changer>>,
) -> Vec<(Option<HostName>, Problem)> {
    let mut asked = JoinSet::new();
    for (host, seen) in &observed.hosts {
        let Seen::Answered(answer) = seen else { continue };
        for (_, wish) in desired.of(host) {
            let Resource::File(file) = &wish.resource else { continue };
            let Some(fix) = file.holds() else { continue };
            let right = match answer.looks.get(&wish.resource.id()) {
                Some(Look::Facts(facts)) => diff(&wish.resource.want(), facts).is_empty(),
                _ => false,
            };
            if right {
                let (fleet, host, file) = (Arc::clone(fleet), host.clone(), file.clone());
                asked.spawn(async move {
                    let said = fleet.compare(&host, &fix).await.ok()?;
                    let differs = said.lines().any(|line| line == file.path);
                    differs.then(|| (Some(host), problem(&file)))
                });
            }
        }
    }
    let mut found: Vec<_> = asked.join_all().await.into_iter().flatten().collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn problem(file: &File) -> Problem {
    let principals = match &file.content {
        Content::Secret { label, .. } => label.as_str(),
        Content::Text(_) => "",
    };
    let message = format!(
        "{} holds another secret than the one of `{principals}` that was looked up, and Mesos reads it only when it starts",
        file.path
    );
    Problem::error(None, "secret-changed", message).help(
        "give the new secret a new principal and move the old one under `mesos.credentials.former`; apply, take it out there, apply again",
    )
}

//! Members that elect a leader, or have just begun: after a run that was cut short, say, or a boot. What they say then
//! is true for seconds, and nothing that changes a quorum is to be decided by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::load::Session;
use super::look::ask_all;
use crate::event::{Event, Sink};
use crate::ground::HostName;
use crate::health::{Member, Running};
use crate::inventory::Inventory;
use crate::observe;
use crate::plan::{Because, Blocked, Observed, Scope, Seen, plan};
use crate::remote::Ask;
use crate::tasks::{Judged, Task};

/// So long an election is waited for; one that takes longer may never end. Source: ZooKeeper's `initLimit` of ten ticks
/// of 2 s, and masters whose leader was lost: `zk_session_timeout` of 10 s and the recovery of their log.
const ELECTION: Duration = Duration::from_secs(30);
/// How often it is looked at.
const PAUSE: Duration = Duration::from_secs(1);

/// Whose members run, more than half of them, while nobody leads; with those who run.
pub fn electing(inventory: &Inventory, judged: &Judged) -> Option<(Task, Vec<HostName>)> {
    let running = &judged.running;
    let servers = running.servers.iter().filter(|(_, server)| server.runs || server.answers);
    let servers: Vec<_> = servers.collect();
    let serve = servers.iter().any(|(_, server)| server.serves);
    let counted = servers.iter().map(|(_, server)| server.list.len().max(1)).max().unwrap_or(0);
    // Who could not be asked may lead, but not with a majority.
    if !serve && servers.len() > counted / 2 {
        return Some((
            Task::Zookeeper,
            servers.into_iter().map(|(host, _)| host.clone()).collect(),
        ));
    }
    let health = judged.health.get(&Task::Masters)?;
    let masters = running.masters.keys().filter(|host| health.members.contains_key(*host));
    let masters: Vec<HostName> = masters.cloned().collect();
    let can = serve || inventory.ensemble().is_none();
    (can && health.is_leaderless() && masters.len() > health.members.len() / 2)
        .then_some((Task::Masters, masters))
}

/// Members that run and do not serve, of the first quorum that has such: they may have begun just now.
fn beginning(judged: &Judged) -> Option<(Task, Vec<HostName>)> {
    let Running { servers, masters, .. } = &judged.running;
    let servers = servers.iter().filter(|(_, server)| server.runs || server.answers);
    let servers: BTreeSet<&HostName> = servers.map(|(host, _)| host).collect();
    let runs = [(Task::Zookeeper, servers), (Task::Masters, masters.keys().collect())];
    runs.into_iter().find_map(|(task, runs)| {
        let members = judged.health.get(&task)?.members.iter();
        let sick =
            members.filter(|(host, it)| matches!(it, Member::Sick(_)) && runs.contains(host));
        let sick: Vec<HostName> = sick.map(|(host, _)| host.clone()).collect();
        (!sick.is_empty()).then_some((task, sick))
    })
}

/// What is waited for, with whom. Members that only begin keep nobody waiting unless a change of membership would be
/// refused for them: they may as well be sick.
fn awaited(
    session: &Session,
    observed: &Observed,
    scope: Option<&Scope>,
) -> Option<(Task, Vec<HostName>, String)> {
    let Session { inventory, templates, desired, .. } = session;
    if let Some((task, members)) = electing(inventory, &observed.judged) {
        return Some((task, members, format!("{} to elect a leader", task.card().title)));
    }
    let (task, members) = beginning(&observed.judged)?;
    let plan = plan(inventory, templates, desired, observed, scope?);
    let refused =
        |it: &Blocked| it.task == task && matches!(it.because, Because::Membership { .. });
    let names: Vec<&str> = members.iter().map(HostName::as_str).collect();
    let what = format!("{} of {} to serve", task.card().title, names.join(", "));
    plan.blocked.iter().any(refused).then_some((task, members, what))
}

/// Waits until nobody elects any more, nor only begins, and looks again; what was seen of hosts that did not answer
/// stays. The scope is that of a plan that makes hosts as the inventory says.
pub async fn ended<Hosts: Ask>(
    session: &Session,
    hosts: &Arc<Hosts>,
    observed: Observed,
    scope: Option<&Scope>,
    sink: &dyn Sink,
) -> Observed {
    let (inventory, desired) = (&session.inventory, &session.desired);
    let (mut observed, began, mut said) = (observed, Instant::now(), None);
    while let Some((task, members, waiting_for)) = awaited(session, &observed, scope)
        && began.elapsed() < ELECTION
    {
        if said.as_ref() != Some(&waiting_for) {
            said = Some(waiting_for.clone());
            sink.emit(Event::GateWaiting { task, hosts: members, waiting_for });
        }
        sleep(PAUSE).await;
        let mut lost = BTreeMap::new();
        let mut probes = observe::probes(inventory, desired);
        for (host, seen) in observed.hosts {
            if let Seen::Unreachable(why) = seen {
                probes.remove(&host);
                lost.insert(host, Err(why));
            }
        }
        let mut answers = ask_all(hosts, probes).await;
        answers.extend(lost);
        observed = observe::observed(inventory, desired, answers);
    }
    observed
}

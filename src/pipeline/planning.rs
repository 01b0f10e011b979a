//! Planning: what was seen becomes a plan, complete when it is returned. What speaks against changing a host
//! is asked of it first; what must wait and who is lost is out of the plan then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::load::Session;
use super::look::ask_all;
use crate::event::{Event, Sink};
use crate::ground::{HostName, Problem, Severity};
use crate::health::{self, Check as _, Question};
use crate::inventory::{Host, Inventory};
use crate::plan::disruption;
use crate::plan::verbs::{self, Consent, Verb};
use crate::plan::{Observed, Plan, Scope, Seen, content, plan, preflight};
use crate::remote::Ask;
use crate::resource::{Facts, Look};
use crate::tasks::Task;
use crate::ui::Recorder;

/// A plan, with what it was made from and what speaks against it.
#[derive(Debug)]
pub struct Planned {
    /// What was seen.
    pub observed: Observed,
    /// What will be done: nothing takes anything out of it later.
    pub plan: Plan,
    /// What speaks against it.
    pub found: Findings,
}

/// What was found, and on which host.
pub type Findings = Vec<(Option<HostName>, Problem)>;

/// What is planned.
#[derive(Debug, Clone, Copy)]
pub enum Aim<'a> {
    /// That hosts are as the inventory says.
    Inventory {
        /// Whether something may become older than it is.
        downgrade: Consent,
    },
    /// What is done to them as they are: preflight is about what an apply makes, and is not asked.
    Verb(&'a Verb),
}

impl Aim<'_> {
    /// The scope, where hosts are made what the inventory says.
    pub fn scope<'a>(&self, scope: &'a Scope) -> Option<&'a Scope> {
        matches!(self, Aim::Inventory { .. }).then_some(scope)
    }
}

/// Makes the plan, asks what must be so before the first change, and says all of it: `planned` comes last,
/// and what it counts is what will be done. `beside` is what was found before.
///
/// # Errors
/// One sentence, when what is aimed at must not be done.
pub async fn make<Hosts: Ask>(
    session: &Session,
    hosts: &Arc<Hosts>,
    observed: Observed,
    beside: Findings,
    aim: Aim<'_>,
    scope: &Scope,
    recorder: &Recorder,
) -> anyhow::Result<Planned> {
    let (inventory, desired) = (&session.inventory, &session.desired);
    let mut observed = observed;
    if matches!(aim, Aim::Inventory { .. }) {
        forgotten(inventory, hosts, &mut observed, recorder).await;
    }
    let mut plan = match aim {
        Aim::Inventory { .. } => plan(inventory, &session.templates, desired, &observed, scope),
        Aim::Verb(verb) => verbs::plan(verb, inventory, desired, &observed, scope)
            .map_err(|why| anyhow::anyhow!("{why}; nothing was changed"))?,
    };
    say_what_was_seen(recorder, inventory, hosts, &observed, &plan);
    let mut found = match aim {
        Aim::Inventory { downgrade } => {
            let mut found = preflight_hosts(inventory, hosts, &mut plan, &observed, recorder).await;
            for (_, problem) in &mut found {
                if downgrade == Consent::Given && problem.name == preflight::DOWNGRADE {
                    problem.severity = Severity::Warning;
                }
            }
            found
        }
        Aim::Verb(_) => Vec::new(),
    };
    let hits = disruption::of_plan(&plan);
    let work = match !hits.is_empty() || preflight::changes_credentials(&plan) {
        true => work(inventory, hosts, &observed).await,
        false => None,
    };
    plan.disruptions = match &observed.judged.agents {
        Some(listed) => disruption::disruptions(inventory, &hits, listed, work.as_ref()),
        None => BTreeMap::new(),
    };
    let refused = work.iter().flat_map(|work| preflight::refused(inventory, &plan, work));
    found.extend(refused.map(|problem| (None, problem)));
    found.extend(beside);
    for (host, problem) in &found {
        recorder.emit(Event::Problem { problem: problem.clone(), host: host.clone() });
    }
    recorder.emit(Event::Planned {
        actions: plan.changes(),
        hosts: plan.hosts().len(),
        blocked: plan.blocked.len(),
        unreachable: plan.unreachable.len(),
    });
    Ok(Planned { observed, plan, found })
}

/// So long masters are given to forget a replica that has just stopped. Source: `zk_session_timeout`, 10 s.
const FORGETTING: Duration = Duration::from_secs(15);

/// Waits until masters have forgotten who of ours has just stopped, of a run that was cut short, say: till then
/// nobody can tell it from a stranger.
async fn forgotten<Hosts: Ask>(
    inventory: &Inventory,
    hosts: &Arc<Hosts>,
    observed: &mut Observed,
    sink: &dyn Sink,
) {
    let running = &mut observed.judged.running;
    let (began, mut said) = (tokio::time::Instant::now(), false);
    while running.lingers() && began.elapsed() < FORGETTING {
        if !std::mem::replace(&mut said, true) {
            let waiting_for = "masters to forget one that has just stopped".to_owned();
            let hosts = running.masters.keys().cloned().collect();
            sink.emit(Event::GateWaiting { task: Task::Masters, hosts, waiting_for });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let all: Vec<HostName> = running.masters.keys().cloned().collect();
        for host in all {
            let machine = inventory.hosts.get(&host);
            let question = machine.and_then(|it| health::Masters.question(inventory, it));
            let Some(question) = question else { continue };
            let (probe, limit) =
                (health::probe(std::slice::from_ref(&question)), Duration::from_secs(10));
            let Ok(sections) = hosts.ask(&host, &probe, limit).await else { continue };
            let reply =
                health::replies(std::slice::from_ref(&question), &sections).remove(&question);
            running.hear(&host, reply.as_ref().map_or("", |reply| reply.body.as_str()));
        }
    }
}

/// Nothing is proven: every proof that could be looked at has no stamp.
pub fn forget_proofs(observed: &mut Observed) {
    for seen in observed.hosts.values_mut() {
        let Seen::Answered(answer) = seen else { continue };
        for (id, look) in &mut answer.looks {
            if id.kind == "proof" {
                *look = Look::Facts(Facts::default());
            }
        }
    }
}

/// Says how much of each host that answered is not as wanted, and who is there that nobody knows.
fn say_what_was_seen<Hosts: Ask>(
    recorder: &Recorder,
    inventory: &Inventory,
    hosts: &Arc<Hosts>,
    observed: &Observed,
    plan: &Plan,
) {
    let mut gaps: BTreeMap<&HostName, usize> = BTreeMap::new();
    for (host, _) in plan.actions() {
        *gaps.entry(host).or_default() += 1;
    }
    for (host, _) in observed.answered() {
        recorder.emit(Event::Observed {
            host: host.clone(),
            seconds: hosts.answered_after(host).unwrap_or_else(|| recorder.seconds()),
            gaps: gaps.get(host).copied().unwrap_or(0),
        });
    }
    for problem in preflight::strangers(inventory, observed) {
        recorder.emit(Event::Problem { problem, host: None });
    }
}

/// What runs, by the leading master's answer to `/frameworks`.
async fn work<Hosts: Ask>(
    inventory: &Inventory,
    hosts: &Arc<Hosts>,
    observed: &Observed,
) -> Option<serde_json::Value> {
    let leader = inventory.hosts.get(observed.judged.leader.as_ref()?)?;
    frameworks(inventory, hosts, leader).await
}

async fn frameworks<Hosts: Ask>(
    inventory: &Inventory,
    hosts: &Arc<Hosts>,
    leader: &Host,
) -> Option<serde_json::Value> {
    let question = Question::Master(inventory.master_url(leader) + "/frameworks");
    let questions = [question.clone()];
    let limit = Duration::from_secs(30);
    let sections = hosts.ask(&leader.name, &health::probe(&questions), limit).await.ok()?;
    let reply = health::replies(&questions, &sections).remove(&question)?;
    serde_json::from_str(&reply.body).ok()
}

/// Puts the preflight question to every host that is to be changed, all at once; leaves out whoever no
/// longer answers, and leaves undone what must wait.
async fn preflight_hosts<Hosts: Ask>(
    inventory: &Inventory,
    hosts: &Arc<Hosts>,
    plan: &mut Plan,
    observed: &Observed,
    sink: &dyn Sink,
) -> Findings {
    if plan.is_empty() {
        return Vec::new();
    }
    let probe = |host: &HostName| {
        let mut probe = preflight::probe(inventory, plan, host);
        probe.extend(content::probe(plan, host));
        (host.clone(), probe)
    };
    let probes = plan.hosts().into_iter().map(probe).collect();
    let mut answers = BTreeMap::new();
    for (host, answer) in ask_all(hosts, probes).await {
        match answer {
            Ok(sections) => {
                answers.insert(host, sections);
            }
            // Nothing is changed where it could not be asked whether that may be.
            Err(reason) => {
                plan.lose(&host, reason.clone());
                sink.emit(Event::HostUnreachable { host, reason });
            }
        }
    }
    content::learn(plan, &answers);
    let mut found = preflight::check(inventory, plan, observed, &answers);
    found.extend(preflight::name_losses(inventory, plan, &answers));
    for (host, problem) in &found {
        if let (Some(host), preflight::REBOOT) = (host, problem.name) {
            plan.hold(host, Task::Agents, &problem.message);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Kept;
    use crate::health::running::Replica;
    use crate::lints::load::{Lab, load_text};
    use crate::plan::{Action, Stage, Wave};
    use crate::resource::file::File;
    use crate::script::{Probe, Sections};

    /// All of its hosts answer but one.
    struct Half(HostName);

    impl Ask for Half {
        async fn ask(&self, host: &HostName, _: &Probe, _: Duration) -> Result<Sections, String> {
            if *host == self.0 { Err("the wire is cut".to_owned()) } else { Ok(Sections::new()) }
        }
    }

    #[derive(Debug, Default)]
    struct Heard(std::sync::Mutex<Vec<Event>>);

    impl Sink for Heard {
        fn emit(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    /// Masters that count a replica less each time they are asked.
    struct Forgetting(std::sync::Mutex<usize>);

    impl Ask for Forgetting {
        async fn ask(&self, _: &HostName, _: &Probe, _: Duration) -> Result<Sections, String> {
            let mut left = self.0.lock().unwrap();
            *left -= 1;
            let said = format!("{{\"registrar/log/ensemble_size\": {left}}}\n200\n");
            Ok(Sections::from([("masters.0".to_owned(), said)]))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_has_just_stopped_is_waited_for_to_be_forgotten() {
        let text = "version: 1\ncluster: c\nhosts:\n  m[1:2]: { address: \"10.0.0.[1:2]\" }\n\
                    zookeeper: { servers: { m1: 1 } }\nmesos:\n  version: 1.11.0\n  package: { preinstalled: true }\n\
                    \x20 masters: { hosts: [m1] }\n";
        let loaded = load_text("i", text.as_bytes(), std::path::Path::new("/"), &[], Lab::No);
        let inventory = Arc::new(loaded.unwrap().inventory);
        let replica = Replica { ensemble: Some(4), ..Replica::default() };
        let mut observed = Observed::default();
        observed.judged.running.masters = [(HostName::new("m1"), replica)].into();
        let heard = Heard::default();
        // Nobody of ours has stopped: it is a stranger.
        let hosts = Arc::new(Forgetting(std::sync::Mutex::new(4)));
        forgotten(&inventory, &hosts, &mut observed, &heard).await;
        assert_eq!(*hosts.0.lock().unwrap(), 4);
        observed.judged.running.kept = [(HostName::new("m2"), Kept::default())].into();
        forgotten(&inventory, &hosts, &mut observed, &heard).await;
        assert_eq!(*hosts.0.lock().unwrap(), 1, "it asked on, or gave up");
        assert_eq!(heard.0.into_inner().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_host_that_cannot_be_asked_is_not_changed() {
        let text = "version: 1\ncluster: c\nhosts:\n  m[1:2]: { address: \"10.0.0.[1:2]\" }\n\
                    zookeeper: { servers: { m1: 1 } }\nmesos:\n  version: 1.11.0\n  package: { preinstalled: true }\n\
                    \x20 masters: { hosts: [m1] }\n  agents: { p: { hosts: [m2] } }\n";
        let loaded = load_text("i", text.as_bytes(), std::path::Path::new("/"), &[], Lab::No);
        let (one, two) = (HostName::new("m1"), HostName::new("m2"));
        let file = || Arc::new(File::new("/f", String::new()).into());
        let action = |task| Action::new(task, file(), Vec::new());
        let inventory = Arc::new(loaded.unwrap().inventory);
        let stage = |task: Option<Task>, hosts: &[&HostName]| {
            let actions = vec![action(task.unwrap_or(Task::Base))];
            let hosts = hosts.iter().map(|host| ((*host).clone(), actions.clone())).collect();
            let (waves, members) = (vec![Wave { hosts }], BTreeMap::new());
            Stage::new(&inventory, task, String::new(), waves, members)
        };
        let stages = vec![stage(None, &[&one, &two]), stage(Some(Task::Agents), &[&two])];
        let mut plan = Plan { stages, ..Plan::default() };
        let (hosts, heard) = (Arc::new(Half(two.clone())), Heard::default());
        let observed = Observed::default();
        preflight_hosts(&inventory, &hosts, &mut plan, &observed, &heard).await;
        assert_eq!(plan.hosts().into_iter().collect::<Vec<_>>(), [&one]);
        assert_eq!(plan.stages.len(), 1, "a stage of nobody is left");
        assert_eq!(plan.unreachable[&two], "the wire is cut");
        let heard = heard.0.into_inner().unwrap();
        assert!(matches!(&heard[..], [Event::HostUnreachable { host, .. }] if *host == two));
    }
}

//! `provision plan`: what would change and why. It holds the key that looks, and no other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::cli::{Limits, Reach, RunOutput, Source};
use crate::commands::saved::{save, write};
use crate::commands::session::{Session, recorder, run_id, sink, start};
use crate::event::{Event, Sink};
use crate::health::{self, Check, MASTER_PORT, Question, leaders_agents};
use crate::inventory::{Host, HostName, Inventory, Problem};
use crate::observe;
use crate::plan::hits::{self, Hit};
use crate::plan::{Observed, Plan, Scope, plan, text};
use crate::preflight;
use crate::remote::Ask;
use crate::remote::fleet::look;
use crate::report::exit;
use crate::script::{Probe, Sections};
use crate::tasks::{Task, World};
use crate::ui::{Recorder, line};

/// Arguments of `plan`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(crate) source: Source,
    #[command(flatten)]
    pub(crate) reach: Reach,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) output: RunOutput,
    /// Exit with 2 when changes are pending
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Save the plan, for `apply FILE` to do exactly that or refuse
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// First answers by host, or why there is none.
pub(crate) type Answers = BTreeMap<HostName, Result<Sections, String>>;

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    if args.out.is_some() && args.source.inventory == Path::new("-") {
        anyhow::bail!("a saved plan names its inventory; write the inventory to a file");
    }
    let mut session = match start(&args.source, Some(&args.reach)).await? {
        Ok(session) => session,
        Err(quit) => return Ok(quit.0),
    };
    let scope = match session.scope(&args.limits) {
        Ok(scope) => scope,
        Err(why) => {
            line(std::io::stderr().lock(), &format!("error: {why}"));
            return Ok(exit::USAGE);
        }
    };
    let run = run_id();
    // Who reads says its result as one object; the events of it are progress.
    let recorder = recorder(&run, RunOutput { json: false, ..args.output.clone() });
    recorder.emit(Event::RunStarted {
        command: "plan".to_owned(),
        cluster: session.inventory.cluster.clone(),
        inventory: session.inventory.digest.clone(),
        hosts: session.inventory.hosts.len(),
    });
    let opening = session.opening(&args.reach, &run)?;
    let probes = observe::probes(&session.inventory, &session.desired);
    let opened = look(&opening, &probes, &sink(&recorder)).await;
    let fleet = Arc::new(opened.fleet);
    let made = make(&mut session, &fleet, opened.answers, &scope, &recorder).await?;
    let Made { observed, plan, found } = made;
    if let Some(fleet) = Arc::into_inner(fleet) {
        fleet.close().await;
    }
    for (host, problem) in &found {
        recorder.emit(Event::Problem { problem: problem.clone(), host: host.clone() });
    }
    for (host, what) in &opened.interrupted {
        let text = format!("{host}: interrupted earlier, or running now: {what}");
        line(std::io::stderr().lock(), &text);
    }
    if let Some(path) = &args.out {
        let saved = save(&session, &plan, &observed, &scope, &args.source, &args.limits, &run);
        write(path, &saved)?;
    }
    let code = if !plan.is_empty() && args.detailed_exitcode {
        exit::PENDING
    } else if !plan.unreachable.is_empty() || !plan.blocked.is_empty() {
        exit::UNREACHABLE
    } else {
        exit::OK
    };
    emit_end(&recorder, &plan, code);
    if args.output.json {
        let found: Vec<_> = found
            .iter()
            .map(|(host, problem)| serde_json::json!({"host": host, "problem": problem}))
            .collect();
        let all = serde_json::json!({
            "v": crate::event::VERSION,
            "run": run,
            "cluster": session.inventory.cluster,
            "inventory": session.inventory.digest,
            "plan": plan,
            "preflight": found,
            "exit": code,
        });
        line(std::io::stdout().lock(), &all.to_string());
    } else {
        line(std::io::stdout().lock(), text::plan(&plan).trim_end());
        if let Some(path) = &args.out {
            let text = format!("Saved. To do exactly this: provision apply {}", path.display());
            line(std::io::stdout().lock(), &text);
        }
    }
    Ok(code)
}

/// A plan, with what speaks against it.
pub(crate) struct Made {
    pub(crate) observed: Observed,
    pub(crate) plan: Plan,
    /// What preflight found, and on which host.
    pub(crate) found: Vec<(Option<HostName>, Problem)>,
}

/// Plans, and asks what must be so before the first change.
pub(crate) async fn make<Hosts: Ask>(
    session: &mut Session,
    hosts: &Arc<Hosts>,
    answers: Answers,
    scope: &Scope,
    recorder: &Recorder,
) -> anyhow::Result<Made> {
    let observed = session.observed(answers)?;
    let mut plan = plan(&session.inventory, &session.desired, &observed, scope);
    announce(recorder, &session.inventory, &observed, &plan);
    let found = preflight_all(&session.inventory, hosts, &mut plan, &observed, recorder).await;
    plan.hits = running_work(session, hosts, &plan, &observed).await;
    Ok(Made { observed, plan, found })
}

/// Says what was seen and planned, as events.
pub(crate) fn announce(
    recorder: &Recorder,
    inventory: &Inventory,
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
            seconds: recorder.seconds(),
            gaps: gaps.get(host).copied().unwrap_or(0),
        });
    }
    recorder.emit(Event::Planned {
        actions: plan.changes(),
        hosts: plan.hosts().len(),
        blocked: plan.blocked.len(),
        unreachable: plan.unreachable.len(),
    });
    for problem in preflight::strangers(inventory, observed) {
        recorder.emit(Event::Problem { problem, host: None });
    }
}

fn emit_end(recorder: &Recorder, plan: &Plan, code: u8) {
    recorder.emit(Event::RunEnded {
        changed: 0,
        failed: 0,
        skipped: 0,
        unreachable: plan.unreachable.len(),
        blocked: plan.blocked.len(),
        exit: code,
        seconds: recorder.seconds(),
    });
}

/// Whom a plan hits: asked of the leading master, and only when an agent in service is restarted.
pub(crate) async fn running_work<Hosts: Ask>(
    session: &Session,
    hosts: &Arc<Hosts>,
    plan: &Plan,
    observed: &Observed,
) -> BTreeMap<HostName, Hit> {
    let restarts = hits::restarts(plan, &session.desired);
    let inventory = &session.inventory;
    let listed = leaders_agents(inventory, &observed.replies());
    let (Some(listed), false) = (listed, restarts.is_empty()) else { return BTreeMap::new() };
    let leader = Check::Masters.judge(inventory, &observed.replies()).leader;
    let frameworks = match leader.as_ref().and_then(|leader| inventory.hosts.get(leader)) {
        Some(leader) => frameworks(hosts, leader).await,
        None => None,
    };
    let live = listed.iter().map(|(at, listed)| (at.clone(), listed.info.clone())).collect();
    let world = World { inventory, templates: &session.templates, live: Some(&live) };
    hits::hits(&world, &restarts, &listed, frameworks.as_ref())
}

async fn frameworks<Hosts: Ask>(hosts: &Arc<Hosts>, leader: &Host) -> Option<serde_json::Value> {
    let at = std::net::SocketAddr::new(leader.address, MASTER_PORT);
    let question = Question::Http(format!("http://{at}/frameworks"));
    let questions = [question.clone()];
    let limit = Duration::from_secs(30);
    let sections = hosts.ask(&leader.name, &health::probe(&questions), limit).await.ok()?;
    let reply = health::replies(&questions, &sections).remove(&question)?;
    serde_json::from_str(&reply.body).ok()
}

/// Puts a probe to each host, all at once.
pub(crate) async fn ask_all<Hosts: Ask>(
    hosts: &Arc<Hosts>,
    probes: BTreeMap<HostName, Probe>,
) -> Answers {
    let mut tasks = JoinSet::new();
    for (host, probe) in probes {
        let hosts = Arc::clone(hosts);
        tasks.spawn(async move {
            let answer = hosts.ask(&host, &probe, Duration::from_secs(60)).await;
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

/// Puts the preflight question to every host that is to be changed, all at once; leaves out whoever no
/// longer answers, and leaves undone what must wait.
async fn preflight_all<Hosts: Ask>(
    inventory: &Inventory,
    hosts: &Arc<Hosts>,
    plan: &mut Plan,
    observed: &Observed,
    sink: &dyn Sink,
) -> Vec<(Option<HostName>, Problem)> {
    if plan.is_empty() {
        return Vec::new();
    }
    let probe = |host: &HostName| (host.clone(), preflight::probe(inventory, host));
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
    let found = preflight::check(inventory, plan, observed, &answers);
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
    use crate::inventory::load::{Lab, load_text};
    use crate::plan::{Action, Stage, Wave};
    use crate::resource::ResourceId;

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

    #[tokio::test]
    async fn a_host_that_cannot_be_asked_is_not_changed() {
        let text = "version: 1\ncluster: c\nhosts:\n  m[1:2]: { address: \"10.0.0.[1:2]\" }\n\
                    zookeeper: { servers: { m1: 1 } }\nmesos:\n  version: 1.11.0\n  package: { preinstalled: true }\n\
                    \x20 masters: { hosts: [m1] }\n  agents: { p: { hosts: [m2] } }\n";
        let loaded = load_text("i", text.as_bytes(), std::path::Path::new("/"), &[], Lab::No);
        let (one, two) = (HostName::new("m1"), HostName::new("m2"));
        let action = |task| Action {
            task,
            resource: ResourceId { kind: "file", name: "/f".to_owned() },
            gaps: Vec::new(),
            later: None,
        };
        let stage = |task: Option<Task>, hosts: &[&HostName]| {
            let actions = vec![action(task.unwrap_or(Task::Base))];
            let hosts = hosts.iter().map(|host| ((*host).clone(), actions.clone())).collect();
            Stage { task, title: String::new(), waves: vec![Wave { hosts }] }
        };
        let stages = vec![stage(None, &[&one, &two]), stage(Some(Task::Agents), &[&two])];
        let mut plan = Plan { stages, ..Plan::default() };
        let (hosts, heard) = (Arc::new(Half(two.clone())), Heard::default());
        let inventory = loaded.unwrap().inventory;
        let observed = Observed::default();
        preflight_all(&inventory, &hosts, &mut plan, &observed, &heard).await;
        assert_eq!(plan.hosts().into_iter().collect::<Vec<_>>(), [&one]);
        assert_eq!(plan.stages.len(), 1, "a stage of nobody is left");
        assert_eq!(plan.unreachable[&two], "the wire is cut");
        let heard = heard.0.into_inner().unwrap();
        assert!(matches!(&heard[..], [Event::HostUnreachable { host, .. }] if *host == two));
    }
}

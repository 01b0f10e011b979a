//! Asking for what the ladder judges: the masters for the cluster, the driver for what it wants, agents for
//! what became of it there. Through the key that looks; every answer is bounded where it is made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::task::JoinSet;

use super::job::{UNNAMED, told_error};
use super::{Agent, Cluster, Connects, Job, Report, Said, Wanted};
use crate::ground::{Endpoint, HostName};
use crate::health::{self, Answers, Check as _, Masters, Question, Replies, Reply};
use crate::inventory::{Inventory, Part};
use crate::mesos::frameworks::{Framework, Standing, Task, frameworks};
use crate::mesos::master::{self, Metrics};
use crate::remote::Ask;
use crate::script::{Probe, Sections, quote, quote_all};

/// A question that takes longer has hung.
const LIMIT: Duration = Duration::from_secs(30);
/// So many agents are asked about one job: those that failed last.
const AGENTS: usize = 8;

/// The cluster as its leading master shows it now.
pub async fn cluster<Hosts: Ask>(hosts: &Arc<Hosts>, inventory: &Inventory) -> Cluster {
    let questions: BTreeMap<HostName, Vec<Question>> = inventory
        .hosts_of(Part::Master)
        .filter_map(|host| Some((host.clone(), questions(inventory, host)?)))
        .collect();
    let probes = questions.iter().map(|(host, asked)| {
        let mut probe = health::probe(asked);
        probe.section("clock", "date +%s");
        (host.clone(), probe)
    });
    let answers = ask_all(hosts, probes.collect()).await;
    let replies: BTreeMap<HostName, Replies> = answers
        .iter()
        .filter_map(|(host, sections)| {
            Some((host.clone(), health::replies(questions.get(host)?, sections)))
        })
        .collect();
    let health = Masters.judge(inventory, &Answers::new(inventory, &replies));
    let complaints =
        health.members.keys().filter_map(|host| Some((host.clone(), health.complaint(host)?)));
    let may_be_led = !health.is_leaderless();
    let mut cluster =
        Cluster { may_be_led, complaints: complaints.collect(), ..Cluster::default() };
    let Some(leader) = health.leader else { return cluster };
    let said = |path: &str| -> Option<&str> {
        let question = master_question(inventory, &leader, path)?;
        let reply = replies.get(&leader)?.get(&question)?;
        (reply.status == 200).then_some(reply.body.as_str())
    };
    let clock =
        answers.get(&leader).and_then(|sections| sections.get("clock")?.trim().parse().ok());
    cluster.now = clock;
    cluster.frameworks = said(FRAMEWORKS).and_then(frameworks);
    cluster.metrics = said(METRICS).and_then(Metrics::read);
    cluster.roles = said(ROLES).and_then(master::roles).unwrap_or_default();
    let listed = said(agents_path(inventory)).and_then(master::agents).unwrap_or_default();
    let in_maintenance = said(MAINTENANCE).map(master::in_maintenance).unwrap_or_default();
    cluster.agents = agents(inventory, listed, &in_maintenance);
    cluster.leader = Some(leader);
    cluster
}

const METRICS: &str = "/metrics/snapshot";
const FRAMEWORKS: &str = "/frameworks";
const ROLES: &str = "/roles";
const MAINTENANCE: &str = "/maintenance/status";

/// Before 0.22 there was no /slaves; the whole state holds the same list.
fn agents_path(inventory: &Inventory) -> &'static str {
    if inventory.mesos.version.at_least(&[0, 22]) { "/slaves" } else { "/state.json" }
}

fn questions(inventory: &Inventory, host: &HostName) -> Option<Vec<Question>> {
    let paths = [METRICS, agents_path(inventory), FRAMEWORKS, ROLES, MAINTENANCE];
    paths.iter().map(|path| master_question(inventory, host, path)).collect()
}

fn master_question(inventory: &Inventory, host: &HostName, path: &str) -> Option<Question> {
    Some(Question::Master(inventory.master_url(inventory.hosts.get(host)?) + path))
}

/// The inventory's agents as they are listed, then strangers.
fn agents(
    inventory: &Inventory,
    listed: Vec<master::Listed>,
    in_maintenance: &BTreeSet<String>,
) -> Vec<Agent> {
    let mut by_address: BTreeMap<String, master::Listed> =
        listed.into_iter().map(|agent| (agent.address.clone(), agent)).collect();
    let mut agents: Vec<Agent> = inventory
        .hosts_of(Part::Agent)
        .filter_map(|host| {
            let address = inventory.hosts.get(host)?.address.to_string();
            Some(Agent {
                name: host.to_string(),
                host: Some(host.clone()),
                listed: by_address.remove(&address),
                in_maintenance: in_maintenance.contains(&address),
            })
        })
        .collect();
    agents.extend(by_address.into_values().map(|listed| Agent {
        name: listed.info.hostname.clone(),
        host: None,
        in_maintenance: in_maintenance.contains(&listed.address),
        listed: Some(listed),
    }));
    agents
}

/// The frameworks that a user may mean: by id, by the end of an id (a driver's, or its number), or by name.
/// Of a name those that are not over, else the last that was.
pub fn meant<'a>(cluster: &'a Cluster, called: &str) -> Vec<&'a Framework> {
    let all = || cluster.frameworks.iter().flatten();
    let end = format!("-{called}");
    let mut by_id: Vec<&Framework> =
        all().filter(|of| of.id == called || of.id.ends_with(&end)).collect();
    by_id.sort_by_key(|of| of.id != called);
    if let Some(first) = by_id.first() {
        return if first.id == called { vec![first] } else { by_id };
    }
    let named: Vec<&Framework> = all().filter(|of| of.name == called).collect();
    let there: Vec<&Framework> =
        named.iter().copied().filter(|of| of.standing != Standing::Ended).collect();
    if !there.is_empty() {
        return there;
    }
    named.into_iter().max_by(|a, b| a.registered.total_cmp(&b.registered)).into_iter().collect()
}

/// All that can be found out about a job. Without `wanted` its driver is asked for it.
pub async fn job<'a, Hosts: Ask>(
    hosts: &Arc<Hosts>,
    inventory: &Inventory,
    cluster: &'a Cluster,
    called: &'a str,
    framework: Option<&'a Framework>,
    wanted: Option<Wanted>,
) -> Job<'a> {
    let mut job = Job { called, framework, wanted, ..Job::default() };
    if cluster.leader.is_none() {
        return job;
    }
    job.driver = driver(cluster, called);
    if let Some((dispatcher, task)) = job.driver {
        let of_driver = reports(hosts, inventory, cluster, dispatcher, &[task], None).await;
        job.driver_report = of_driver.into_values().next();
    }
    let Some(framework) = framework else {
        if job.driver.is_none() {
            job.submission = submission(hosts, inventory, called).await;
            job.refusal = refusal(hosts, cluster, called).await;
        }
        return job;
    };
    if job.wanted.is_none() {
        job.wanted = match properties(hosts, inventory, cluster, framework).await {
            Some(all) => Wanted::of_properties(inventory, &all),
            None => Wanted::by_default(inventory, Said::Defaults),
        };
    }
    let driver = job.wanted.as_ref().and_then(|wanted| wanted.driver.as_ref());
    let driver = driver.filter(|_| framework.standing != Standing::Ended);
    let tasks: Vec<&Task> = framework.tasks.iter().collect();
    job.reports = reports(hosts, inventory, cluster, framework, &tasks, driver).await;
    job
}

/// A driver as a task of its dispatcher.
fn driver<'a>(cluster: &'a Cluster, called: &str) -> Option<(&'a Framework, &'a Task)> {
    let tasks = |of: &'a Framework| of.tasks.iter().map(move |task| (of, task));
    cluster.frameworks.iter().flatten().flat_map(tasks).find(|(_, task)| task.id == called)
}

/// What the driver says of its own properties. Its web page is asked on its host if that is one of ours, else
/// from a client or from the leading master.
///
/// Source: Spark's docs/monitoring.md, "REST API", the same from 2.1 to 3.5.
async fn properties<Hosts: Ask>(
    hosts: &Arc<Hosts>,
    inventory: &Inventory,
    cluster: &Cluster,
    framework: &Framework,
) -> Option<BTreeMap<String, String>> {
    if framework.standing == Standing::Ended {
        return None;
    }
    let url = framework.webui_url.as_deref()?.strip_prefix("http://")?;
    let at = Endpoint::parse(url.split('/').next()?)?;
    for host in near(inventory, cluster, &at.host) {
        let list = at.http() + "/api/v1/applications";
        let Some(reply) = get(hosts, host, &list).await else { continue };
        let known: Json = serde_json::from_str(&reply.body).ok()?;
        let id = known.as_array()?.first()?.get("id")?.as_str().filter(|id| is_plain(id))?;
        let environment = get(hosts, host, &format!("{list}/{id}/environment")).await?;
        let environment: Json = serde_json::from_str(&environment.body).ok()?;
        let pair = |pair: &Json| {
            let text = |index: usize| Some(pair.get(index)?.as_str()?.to_owned());
            Some((text(0)?, text(1)?))
        };
        return Some(
            environment.get("sparkProperties")?.as_array()?.iter().filter_map(pair).collect(),
        );
    }
    None
}

/// Who is asked for what listens on a host: itself if it is one of ours, else a client, then the leader.
fn near<'a>(inventory: &'a Inventory, cluster: &'a Cluster, at: &str) -> Vec<&'a HostName> {
    let mut all = inventory.hosts.iter();
    match all.find(|(name, host)| name.as_str() == at || host.address.to_string() == at) {
        Some((own, _)) => vec![own],
        None => inventory.hosts_of(Part::Client).take(1).chain(&cluster.leader).collect(),
    }
}

/// What the dispatcher says of a driver's state.
async fn submission<Hosts: Ask>(
    hosts: &Arc<Hosts>,
    inventory: &Inventory,
    called: &str,
) -> Option<String> {
    if !called.starts_with("driver-") || !is_plain(called) {
        return None;
    }
    let host = inventory.hosts_of(Part::Dispatcher).next()?;
    let port = inventory.spark.as_ref()?.dispatcher.as_ref()?.port;
    let at = Endpoint::new(inventory.hosts.get(host)?.address, port);
    let url = format!("{}/v1/submissions/status/{called}", at.http());
    let said: Json = serde_json::from_str(&get(hosts, host, &url).await?.body).ok()?;
    Some(said.get("driverState")?.as_str()?.to_owned())
}

/// The leading master's last refusal in the last minutes of what is called so, or of somebody whom its log does
/// not name.
async fn refusal<Hosts: Ask>(
    hosts: &Arc<Hosts>,
    cluster: &Cluster,
    called: &str,
) -> Option<String> {
    let leader = cluster.leader.as_ref()?;
    let probe = Probe::new(
        "refusal",
        "journalctl -u mesos-master --since=-10min -n 4000 -o cat --no-pager 2>/dev/null | \
         grep -E 'Failed to authenticate scheduler|Refusing (subscription|(re-)?registration)( request)? of framework' | \
         tail -n 50 | cut -c1-500",
    );
    let sections = hosts.ask(leader, &probe, LIMIT).await.ok()?;
    let lines = || sections.get("refusal").into_iter().flat_map(|said| said.lines().rev());
    // A refused subscription is told with the framework's name; credentials are shown before any name is.
    let named = lines().find(|line| line.contains(&format!("of framework '{called}'")));
    let said = named.or_else(|| lines().find(|line| line.contains(UNNAMED)))?.trim();
    // Without the glog prefix: `I1122 18:20:39.677845  5832 master.cpp:2990] …`.
    Some(said.split_once("] ").map_or(said, |(_, words)| words).to_owned())
}

/// What agents say of these tasks of a framework, and whether they reach its driver.
async fn reports<Hosts: Ask>(
    hosts: &Arc<Hosts>,
    inventory: &Inventory,
    cluster: &Cluster,
    framework: &Framework,
    tasks: &[&Task],
    driver: Option<&Endpoint>,
) -> BTreeMap<String, Report> {
    let mut by_told: Vec<&Task> = tasks.to_vec();
    // The last that failed comes first, then those that live.
    by_told.sort_by(|a, b| {
        let key = |task: &Task| (task.has_failed(), task.told.unwrap_or(0.0));
        let ((x, s), (y, t)) = (key(a), key(b));
        y.cmp(&x).then_with(|| t.total_cmp(&s))
    });
    let mut asked: BTreeMap<HostName, &Task> = BTreeMap::new();
    for task in by_told {
        let Some(host) = cluster.agent(&task.agent).and_then(|agent| agent.host.clone()) else {
            continue;
        };
        if asked.len() < AGENTS && (task.has_failed() || !task.is_over()) {
            asked.entry(host).or_insert(task);
        }
    }
    let probes = asked.iter().map(|(host, task)| {
        let flags = inventory.agent(host).map(|agent| &agent.flags);
        let work =
            flags.and_then(|flags| flags.get("work_dir")).map_or("/var/lib/mesos", String::as_str);
        (host.clone(), about(framework, task, work, driver))
    });
    let answers = ask_all(hosts, probes.collect()).await;
    let reports = asked
        .iter()
        .filter_map(|(host, task)| Some((task.agent.clone(), read(answers.get(host)?, task))));
    reports.collect()
}

/// What an agent is asked about a task.
pub(crate) fn about(
    framework: &Framework,
    task: &Task,
    work: &str,
    driver: Option<&Endpoint>,
) -> Probe {
    let mut probe = Probe::default();
    if task.has_failed() && is_plain(&framework.id) && is_plain(&task.id) && is_plain(&task.agent) {
        let sandbox = format!(
            "{work}/slaves/{}/frameworks/{}/executors/{}/runs/latest",
            task.agent, framework.id, task.id
        );
        for name in ["stderr", "stdout"] {
            probe.section(
                name,
                format!(
                    "f={}; [ ! -f \"$f\" ] || tail -c 16384 \"$f\" | tail -n 60 | cut -c1-400",
                    quote(&format!("{sandbox}/{name}"))
                ),
            );
        }
        probe.section(
            "journal",
            format!(
                "journalctl -u mesos-slave -u mesos-agent -n 4000 -o cat --no-pager 2>/dev/null | grep -F {} | \
                 grep -E 'failed to start|Failed to run|did not register' | tail -n 1 | cut -c1-500",
                quote(&framework.id)
            ),
        );
        if let Some(image) = &task.image {
            // Asking a stopped engine would start it through its socket, and a probe changes nothing.
            probe.section(
                "image",
                format!(
                    "p=; [ ! -f /run/docker.pid ] || read -r p < /run/docker.pid || :\n\
                     if [ -z \"$p\" ] || [ ! -d \"/proc/$p\" ] || ! command -v docker >/dev/null 2>&1; then :\n\
                     elif timeout 10 docker image inspect -f here -- {image} 2>/dev/null; then :\n\
                     elif timeout 10 docker image ls -q >/dev/null 2>&1; then echo missing; fi",
                    image = quote(image)
                ),
            );
        }
    }
    if let Some(driver) = driver {
        let words = quote_all([driver.host.as_str(), &driver.port.to_string()]);
        probe.section(
            "driver",
            format!(
                "said=$(timeout 3 bash -c 'exec 3<>\"/dev/tcp/$0/$1\"' {words} 2>&1); rc=$?\n\
                 printf '%s %s\\n' \"$rc\" \"$(printf '%s' \"$said\" | head -n 1 | cut -c1-300)\""
            ),
        );
    }
    probe
}

/// What an agent answered.
pub(crate) fn read(sections: &Sections, task: &Task) -> Report {
    let text = |name: &str| sections.get(name).map_or("", |text| text.trim());
    let image = match text("image") {
        "here" => Some(true),
        "missing" => Some(false),
        _ => None,
    };
    let journal = Some(text("journal")).filter(|said| !said.is_empty()).map(|said| {
        let start = said.find("failed to start: ").map(|at| at + "failed to start: ".len());
        start.map_or(said, |at| &said[at..]).to_owned()
    });
    let lines = |name: &str| text(name).lines().map(str::to_owned).collect::<Vec<_>>();
    let (stderr, stdout) = (lines("stderr"), lines("stdout"));
    let on_stdout = told_error(&stderr).is_none() && told_error(&stdout).is_some();
    let connects =
        text("driver").split_once(' ').map_or((text("driver"), ""), |(rc, said)| (rc, said));
    Report {
        image: task.image.clone().zip(image),
        journal,
        lines: if on_stdout { stdout } else { stderr },
        driver: match connects {
            ("", _) => None,
            ("0", _) => Some(Connects::Yes),
            ("124", _) => Some(Connects::No("no answer within 3 s".to_owned())),
            // `bash: connect: Connection refused`, `bash: c1: Name or service not known`
            (_, said) => {
                let why = said.rsplit(": ").next().filter(|why| !why.is_empty());
                Some(Connects::No(why.unwrap_or("it cannot be connected to").to_owned()))
            }
        },
    }
}

/// Whether an id of somebody else's may stand in a path.
fn is_plain(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !id.is_empty() && !id.starts_with('.') && id.chars().all(plain)
}

/// One URL as a host sees it; `None` unless it is answered with 200.
async fn get<Hosts: Ask>(hosts: &Arc<Hosts>, host: &HostName, url: &str) -> Option<Reply> {
    let question = [Question::Http(url.to_owned())];
    let sections = hosts.ask(host, &health::probe(&question), LIMIT).await.ok()?;
    let reply = health::replies(&question, &sections).into_values().next()?;
    (reply.status == 200).then_some(reply)
}

/// Puts a probe to each host, all at once; who gives no answer is missing.
async fn ask_all<Hosts: Ask>(
    hosts: &Arc<Hosts>,
    probes: Vec<(HostName, Probe)>,
) -> BTreeMap<HostName, Sections> {
    let mut asked = JoinSet::new();
    for (host, probe) in probes {
        let hosts = Arc::clone(hosts);
        asked.spawn(async move { Some((hosts.ask(&host, &probe, LIMIT).await.ok()?, host)) });
    }
    let answers = asked.join_all().await.into_iter().flatten();
    answers.map(|(sections, host)| (host, sections)).collect()
}

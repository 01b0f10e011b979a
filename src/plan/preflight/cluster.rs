//! What only all hosts together can say: credentials, clocks, who is one machine with whom.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::error;
use crate::ground::digest::sha256;
use crate::ground::{HostName, Problem, Severity};
use crate::health::{self, Question};
use crate::inventory::{Inventory, ZooKeeper};
use crate::plan::{Action, Answer, Observed, Plan};
use crate::resource::{Look, ResourceId, service};
use crate::script::Sections;
use crate::tasks::{Task, mesos};

/// Clocks may differ by so much from the median: ZooKeeper sessions, TLS and apt's Release files all
/// assume about the same time.
const SKEW_SECS: i64 = 30;

/// Agents that the masters, once restarted, would no longer admit. An agent that is refused ends, and is
/// restarted and refused again until its turn comes.
pub(super) fn credentials(
    inventory: &Inventory,
    plan: &Plan,
    observed: &Observed,
) -> Vec<(Option<HostName>, Problem)> {
    let Some(last) = last_of_masters(plan, |action| action.id().kind == "service") else {
        return Vec::new();
    };
    // Who goes over before is asked for nothing else by then.
    let before: BTreeSet<&HostName> = plan
        .stages
        .iter()
        .take(last)
        .filter(|stage| stage.task == Some(Task::Agents))
        .flat_map(|stage| stage.waves.iter().flat_map(|wave| wave.hosts.keys()))
        .collect();
    if inventory.mesos.credentials.agent.is_none() {
        return switched_off(inventory, plan, observed, &before);
    }
    let accepted: BTreeSet<String> = inventory
        .mesos
        .credentials
        .accepted()
        .map(|credential| sha256(mesos::agent_credential_flag(&credential.principal)))
        .collect();
    let flag = ResourceId {
        kind: "file",
        name: format!("{}/credential", inventory.mesos.agent_unit.directory()),
    };
    let runs = |answer: &Answer| {
        let units = answer.sections.get("units").map_or("", String::as_str);
        let unit = Task::Agents.unit(inventory).and_then(|name| service::unit(name, units));
        unit.is_some_and(|unit| unit.active == "active")
    };
    observed
        .answered()
        .filter(|(host, answer)| inventory.agent(host).is_some() && runs(answer))
        .filter(|(host, _)| !before.contains(host))
        .filter_map(|(host, answer)| {
            let Some(Look::Facts(facts)) = answer.looks.get(&flag) else { return None };
            let problem = match facts.get("sha256") {
                Some(sha256) if accepted.contains(sha256) => return None,
                Some(_) => error(
                    "principal-dropped",
                    "its agent authenticates as a principal that the masters would no longer accept",
                )
                .help("keep the old principal under `mesos.credentials.former`; apply, take it out there, apply again"),
                None => Problem {
                    severity: Severity::Warning,
                    ..error(
                        "not-admitted-meanwhile",
                        "its agent runs without a credential, and will not be admitted from when the masters ask for one until its own turn",
                    )
                    .help("nothing is to be done: its turn comes in the same apply")
                },
            };
            Some((Some(host.clone()), problem))
        })
        .collect()
}

/// Agents that authenticate, at masters that would know no principal of theirs: masters without it refuse
/// whoever tries, required or not, and who is refused ends.
fn switched_off(
    inventory: &Inventory,
    plan: &Plan,
    observed: &Observed,
    before: &BTreeSet<&HostName>,
) -> Vec<(Option<HostName>, Problem)> {
    // Masters that still accept a former principal ask nobody for one: agents go over in their turn.
    if !inventory.mesos.credentials.former.is_empty() || !plan.actions().any(|(_, it)| switches(it))
    {
        return Vec::new();
    }
    let directory =
        ResourceId { kind: "directory", name: inventory.mesos.agent_unit.directory().to_owned() };
    let authenticates = |answer: &Answer| match answer.looks.get(&directory) {
        Some(Look::Facts(facts)) => {
            facts.get("strays").is_some_and(|names| names.lines().any(|name| name == "credential"))
        }
        _ => false,
    };
    let agents = observed
        .answered()
        .filter(|(host, answer)| inventory.agent(host).is_some() && authenticates(answer))
        .filter(|(host, _)| !before.contains(host));
    agents
        .map(|(host, _)| {
            let problem = error(
                "principal-dropped",
                "its agent authenticates, and the masters would no longer know its principal",
            )
            .help("put the principal under `mesos.credentials.former`; apply, take it out there, apply again");
            (Some(host.clone()), problem)
        })
        .collect()
}

/// Whether an action changes whom masters admit.
fn switches(action: &Action) -> bool {
    let flag = |name: &str| name == "credentials" || name.starts_with("authenticate");
    let id = action.id();
    match id.kind {
        "file" => id.name.strip_prefix("/etc/mesos-master/").is_some_and(flag),
        "directory" if id.name == "/etc/mesos-master" => {
            let strays = action.gaps.iter().filter(|gap| gap.fact == "strays");
            strays.filter_map(|gap| gap.seen.as_deref()).any(|names| names.lines().any(flag))
        }
        _ => false,
    }
}

/// The stage in which something is done on masters that admit whom they are to admit in the end.
fn last_of_masters(plan: &Plan, does: impl Fn(&Action) -> bool) -> Option<usize> {
    plan.stages.iter().position(|stage| {
        let mut actions = stage.waves.iter().flat_map(|wave| wave.hosts.values()).flatten();
        stage.task == Some(Task::Masters)
            && stage.inventory.mesos.credentials.opening.is_none()
            && actions.any(&does)
    })
}

/// Whether a plan changes whom masters admit: then the leading master is asked who runs.
pub fn changes_credentials(plan: &Plan) -> bool {
    last_of_masters(plan, switches).is_some()
}

/// Running frameworks that the masters will refuse once they have changed, by the leading master's answer
/// to `/frameworks`; a framework that is refused ends, and its tasks with it.
///
/// Source: `principal` of a framework in Mesos' `src/master/readonly_handler.cpp`, 1.11.0.
pub fn refused(inventory: &Inventory, plan: &Plan, frameworks: &Json) -> Vec<Problem> {
    if !changes_credentials(plan) {
        return Vec::new();
    }
    let credentials = &inventory.mesos.credentials;
    let known: BTreeSet<&str> = credentials.accepted().map(|it| it.principal.as_str()).collect();
    let list = frameworks.get("frameworks").and_then(Json::as_array).into_iter().flatten();
    list.filter(|framework| framework.get("active").and_then(Json::as_bool) != Some(false))
        .filter_map(|framework| {
            let text = |key: &str| framework.get(key).and_then(Json::as_str);
            let why = match text("principal").filter(|principal| !principal.is_empty()) {
                Some(principal) if known.contains(principal) => return None,
                Some(principal) => format!("runs as `{principal}`, whom the masters will not know"),
                None if credentials.framework.is_some() => {
                    "runs without a principal, and the masters will ask for one".to_owned()
                }
                None => return None,
            };
            let (name, id) = (text("name").unwrap_or("?"), text("id").unwrap_or("?"));
            Some(Problem {
                severity: Severity::Warning,
                ..error(
                    "refused-framework",
                    format!("{name} ({id}) {why}: it ends, and its tasks with it"),
                )
                .help("let it end first, or start it again once the change is done")
            })
        })
        .collect()
}

/// What the members of an ensemble that is not ours are asked.
pub(super) fn external(inventory: &Inventory) -> Vec<Question> {
    match &inventory.zookeeper {
        ZooKeeper::Managed { .. } => Vec::new(),
        ZooKeeper::External { servers } => {
            servers.iter().map(|(host, port)| Question::FourLetter(host.clone(), *port)).collect()
        }
    }
}

/// An ensemble that is not ours is only checked: a majority must serve, as its masters-to-be see it.
pub(super) fn ensemble(
    inventory: &Inventory,
    answers: &BTreeMap<HostName, Sections>,
) -> Option<Problem> {
    let questions = external(inventory);
    let (_, seen) = answers.iter().find(|(host, _)| inventory.mesos.masters.contains(*host))?;
    if questions.is_empty() {
        return None;
    }
    let replies = health::replies(&questions, seen);
    let serving = questions
        .iter()
        .filter(|question| {
            replies.get(*question).is_some_and(|reply| {
                reply.body.lines().any(|line| {
                    matches!(line, "Mode: leader" | "Mode: follower" | "Mode: standalone")
                })
            })
        })
        .count();
    (serving <= questions.len() / 2).then(|| {
        error(
            "ensemble-not-serving",
            format!(
                "{serving} of the {} members of {} serve, as seen from the masters",
                questions.len(),
                inventory.zookeeper_connect()
            ),
        )
        .help("start the ensemble, or let us through to its client ports; `srvr` must be in its 4lw.commands.whitelist")
    })
}

pub(super) fn same_machine(answers: &BTreeMap<HostName, Sections>) -> Vec<Problem> {
    let mut by_id: BTreeMap<&str, BTreeSet<&HostName>> = BTreeMap::new();
    for (host, answer) in answers {
        let id = answer.get("machine-id").map_or("", |text| text.trim());
        if !id.is_empty() {
            by_id.entry(id).or_default().insert(host);
        }
    }
    by_id
        .values()
        .filter(|hosts| hosts.len() > 1)
        .map(|hosts| {
            let names: Vec<&str> = hosts.iter().map(|host| host.as_str()).collect();
            error("same-machine", format!("{} are the same machine (machine-id)", names.join(" and ")))
                .help("remove one of them, or give cloned machines new ids: rm /etc/machine-id; systemd-machine-id-setup")
        })
        .collect()
}

/// One image runs on one kind of processor.
pub(super) fn one_image(
    inventory: &Inventory,
    answers: &BTreeMap<HostName, Sections>,
) -> Option<Problem> {
    inventory.spark.as_ref().filter(|spark| spark.image.is_built_once())?;
    let mut first: Option<(&HostName, &str)> = None;
    for (_, host, _) in inventory.agents() {
        let Some(kind) = answers.get(host).and_then(|it| it.get("architecture")) else { continue };
        let (one, of_one) = *first.get_or_insert((host, kind.trim()));
        if of_one != kind.trim() {
            let message = format!(
                "{one} is {of_one} and {host} is {}, and an image that is built once runs on one of them",
                kind.trim()
            );
            return Some(
                error("image-architecture", message).help("write spark.image.build: each"),
            );
        }
    }
    None
}

/// Agents, servers and replicas that are on no host of this inventory: of a host whose line was deleted, say.
/// Removal is never inferred, so they are left alone; but they are known of.
pub fn strangers(inventory: &Inventory, observed: &Observed) -> Vec<Problem> {
    let known: BTreeSet<String> =
        inventory.hosts.values().map(|host| host.address.to_string()).collect();
    let mut found = foreign_agents(&known, observed);
    let running = &observed.judged.running;
    let listed = running.servers.values().filter(|server| server.answers);
    let servers: BTreeSet<(&u8, &String)> = listed.flat_map(|server| &server.list).collect();
    found.extend(servers.into_iter().filter(|(_, at)| !known.contains(*at)).map(|(id, at)| {
        stranger(
            format!("server {id} at {at} is in the ensemble's list and is no host of this inventory"),
            "the ensemble's membership stays as it is until it is named: put its host back and write it under `retired`, `{NAME: gone}` if it will never answer",
        )
    }));
    let seen = running.masters.values().filter_map(|replica| replica.ensemble).max();
    let there = running.masters.len();
    if let Some(seen) = seen.filter(|seen| *seen > there && running.silent.is_empty()) {
        found.push(stranger(
            format!("the masters' log has {seen} replicas, and {there} of them are on hosts of this inventory"),
            "the masters' membership stays as it is until the others are named: put their hosts back and write them under `retired`",
        ));
    }
    found
}

fn stranger(message: String, help: &str) -> Problem {
    Problem { severity: Severity::Warning, ..error("stranger", message) }.help(help)
}

fn foreign_agents(known: &BTreeSet<String>, observed: &Observed) -> Vec<Problem> {
    let listed = observed.judged.agents.iter().flatten();
    listed
        .filter(|(at, agent)| agent.active && !known.contains(*at))
        .map(|(at, agent)| {
            stranger(
                format!(
                    "the agent {} at {at} is registered at the leading master and is no host of this inventory",
                    agent.info.hostname
                ),
                "it is left alone; to stop it, put its host back and name it under `retired`",
            )
        })
        .collect()
}

pub(super) fn clocks(answers: &BTreeMap<HostName, Sections>) -> Vec<(Option<HostName>, Problem)> {
    let clock = |answer: &Sections| answer.get("clock")?.trim().parse::<i64>().ok();
    let times: BTreeMap<&HostName, i64> =
        answers.iter().filter_map(|(host, answer)| Some((host, clock(answer)?))).collect();
    let mut sorted: Vec<i64> = times.values().copied().collect();
    sorted.sort_unstable();
    let Some(median) = sorted.get(sorted.len() / 2).copied() else { return Vec::new() };
    times
        .into_iter()
        .filter(|(_, time)| (time - median).abs() > SKEW_SECS)
        .map(|(host, time)| {
            let (by, way) = ((time - median).abs(), if time > median { "ahead" } else { "behind" });
            let problem =
                error("clock-skew", format!("its clock is {by} s {way} of the others' median"))
                    .help("set up time synchronisation (systemd-timesyncd or chrony)");
            (Some(host.clone()), problem)
        })
        .collect()
}

//! What must be so on a host before the first change: asked only of hosts that are to be changed, all of
//! it before any of them is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::health::{self, AGENT_PORT, MASTER_PORT, Question, client_port};
use crate::inventory::{HostName, Inventory, Problem, Severity, ZooKeeper};
use crate::lints;
use crate::mesos::compatibility;
use crate::plan::{Action, Answer, Observed, Plan, Seen};
use crate::resource::{Look, ResourceId, package, service, sha256};
use crate::script::{Probe, Sections, quote};
use crate::tasks::{Task, mesos};

/// The question to one host. Masters are also asked about an ensemble that is not ours.
pub fn probe(inventory: &Inventory, host: &HostName) -> Probe {
    let mut probe = Probe::default();
    if inventory.mesos.masters.contains(host) {
        probe.extend(health::probe(&external(inventory)));
        let work = inventory.mesos.master_flags.get("work_dir").map_or(WORK_DIR, String::as_str);
        let log = quote(&format!("{work}/replicated_log"));
        probe
            .section("quorum", format!("[ -d {log} ] && cat /etc/mesos-master/quorum 2>/dev/null"));
    }
    probe.section("os", "cat /etc/os-release 2>/dev/null");
    probe.section("machine-id", "cat /etc/machine-id 2>/dev/null");
    probe.section("architecture", "uname -m");
    probe.section("systemd", "[ -d /run/systemd/system ] && echo yes");
    probe.section("clock", "date +%s");
    probe.section("memory", "cat /proc/meminfo");
    probe.section("disk", "df -Pk /var /opt 2>/dev/null");
    probe.section(
        "inodes",
        "for d in /etc /opt /var /var/lib/provision; do df -Pi $d 2>/dev/null | tail -n +2; done",
    );
    probe.section("mounts", "cat /proc/mounts");
    probe.section("addresses", "ip -o addr show 2>/dev/null || hostname -I");
    probe.section("listening", "ss -Hltnp 2>/dev/null");
    probe.section("apt", format!("{}apt_holder", package::HOLDER));
    // Not `docker --version`: the client of 20.10 talks to the socket even for that, which starts the
    // engine (seen in the lab).
    probe
        .section("docker", "! command -v dockerd >/dev/null 2>&1 || dockerd --version 2>/dev/null");
    probe
}

/// Name of the finding that holds an agent back until its host was rebooted.
pub const REBOOT: &str = "reboot-needed";

/// Clocks may differ by so much from the median: ZooKeeper sessions, TLS and apt's Release files all
/// assume about the same time.
const SKEW_SECS: i64 = 30;
/// Free space that a host's first installation takes on /var, in KiB: packages and their lists.
const BASE_KIB: u64 = 700 * 1024;
/// What the Spark image, its build and its base take beside that.
const IMAGE_KIB: u64 = 3 * 1024 * 1024;
/// What Spark unpacked takes on /opt.
const SPARK_KIB: u64 = 700 * 1024;

/// Where masters keep their log unless a flag says otherwise.
const WORK_DIR: &str = "/var/lib/mesos";

/// Free inodes that a run needs at the very least: its records, backups and temporaries.
const INODES: u64 = 100;

/// Everything that speaks against changing these hosts.
pub fn check(
    inventory: &Inventory,
    plan: &Plan,
    observed: &Observed,
    answers: &BTreeMap<HostName, Sections>,
) -> Vec<(Option<HostName>, Problem)> {
    let mut found = Vec::new();
    for (host, answer) in answers {
        let mut say = |problem: Problem| found.push((Some(host.clone()), problem));
        let text = |name: &str| answer.get(name).map_or("", |text| text.trim());
        os(text("os")).into_iter().for_each(&mut say);
        if !matches!(text("architecture"), "x86_64" | "aarch64") {
            say(error(
                "architecture",
                format!("{} is not supported; x86_64 and aarch64 are", text("architecture")),
            ));
        }
        if text("systemd") != "yes" {
            say(error("no-systemd", "systemd does not run this host; services cannot be managed"));
        }
        address(inventory, host, text("addresses")).into_iter().for_each(&mut say);
        let preparing = plan.stages.iter().any(|stage| {
            stage.task.is_none() && stage.waves.iter().any(|wave| wave.hosts.contains_key(host))
        });
        if preparing {
            disk(inventory, host, text("disk")).into_iter().for_each(&mut say);
        }
        inodes(text("inodes")).into_iter().for_each(&mut say);
        memory(inventory, host, text("memory")).into_iter().for_each(&mut say);
        ports(inventory, plan, observed, host, text("listening")).into_iter().for_each(&mut say);
        agent(inventory, host, text("mounts"), text("docker")).into_iter().for_each(&mut say);
        growth(inventory, text("quorum")).into_iter().for_each(&mut say);
        apt(plan, host, text("apt")).into_iter().for_each(&mut say);
    }
    found.extend(credentials(inventory, plan, observed));
    found.extend(ensemble(inventory, answers).into_iter().map(|problem| (None, problem)));
    found.extend(same_machine(answers).into_iter().map(|problem| (None, problem)));
    found.extend(clocks(answers));
    found
}

fn error(name: &'static str, message: impl Into<String>) -> Problem {
    Problem::error(None, name, message)
}

fn os(text: &str) -> Option<Problem> {
    let field = |key: &str| {
        text.lines()
            .find_map(|l| l.strip_prefix(key)?.strip_prefix('='))
            .map(|v| v.trim_matches('"'))
    };
    let version: f64 = field("VERSION_ID").and_then(|v| v.parse().ok()).unwrap_or(0.0);
    match field("ID") {
        Some("debian") if version >= 11.0 => None,
        Some("ubuntu") if version >= 22.04 => None,
        Some(id) => Some(error(
            "unsupported-os",
            format!(
                "{id} {version} is not supported; Debian 11 and later and Ubuntu 22.04 and later are"
            ),
        )),
        None => Some(error("unsupported-os", "/etc/os-release does not say what this is")),
    }
}

fn address(inventory: &Inventory, host: &HostName, text: &str) -> Option<Problem> {
    let wanted = inventory.hosts.get(host)?.address;
    let own = text
        .split_whitespace()
        .filter_map(|word| word.split('/').next()?.parse::<IpAddr>().ok())
        .any(|address| address == wanted);
    (!own && !text.is_empty()).then(|| {
        error("foreign-address", format!("{wanted} is not an address of this host, so nothing could listen on it"))
            .help("write the address that the host itself has; a name or address to connect to goes under ssh.host")
    })
}

fn disk(inventory: &Inventory, host: &HostName, text: &str) -> Vec<Problem> {
    let agent = inventory.agent(host).is_some();
    let spark = inventory.spark.as_ref();
    let client = spark.is_some_and(|s| s.clients.contains(host));
    let needs = [
        ("/var", BASE_KIB + if agent && spark.is_some() { IMAGE_KIB } else { 0 }),
        ("/opt", if client { SPARK_KIB } else { 0 }),
    ];
    let rows: Vec<Vec<&str>> =
        text.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    needs
        .iter()
        .zip(rows)
        .filter_map(|((path, need), row)| {
            let free: u64 = row.get(3)?.parse().ok()?;
            (free < *need).then(|| {
                error(
                    "disk-full",
                    format!("{path} needs {} MiB free, {} MiB are", need / 1024, free / 1024),
                )
            })
        })
        .collect()
}

/// A file system without inodes says "No space left on device" too: better told before.
fn inodes(text: &str) -> Vec<Problem> {
    let mut rows: Vec<Vec<&str>> =
        text.lines().map(|line| line.split_whitespace().collect()).collect();
    rows.sort();
    rows.dedup();
    rows.iter()
        .filter_map(|row| {
            let all: u64 = row.get(1)?.parse().ok()?;
            let free: u64 = row.get(3)?.parse().ok()?;
            let place = row.get(5)?;
            // Some file systems have no fixed number of them and say 0.
            (all > 0 && free < INODES).then(|| {
                error(
                    "disk-full",
                    format!("{place} has {free} of {all} inodes free and needs {INODES}"),
                )
                .help("remove files there, many small ones first")
            })
        })
        .collect()
}

fn memory(inventory: &Inventory, host: &HostName, text: &str) -> Option<Problem> {
    let total: i64 = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok())?;
    let totals = inventory.agent(host)?.resources.totals();
    let crate::mesos::values::Value::Scalar(thousandths) = totals.get("mem")? else { return None };
    let asked = thousandths / 1000;
    (asked > total / 1024).then(|| Problem {
        severity: Severity::Warning,
        ..error(
            "memory-promised",
            format!(
                "its agent would offer {asked} MiB of memory and the host has {}",
                total / 1024
            ),
        )
    })
}

fn ports(
    inventory: &Inventory,
    plan: &Plan,
    observed: &Observed,
    host: &HostName,
    text: &str,
) -> Vec<Problem> {
    let dispatcher = inventory.spark.as_ref().and_then(|s| s.dispatcher.as_ref()).map(|d| d.port);
    let wanted: [(Task, &str, &[u16]); 4] = [
        (Task::Zookeeper, "zookeeper", &[client_port(inventory), 2888, 3888]),
        (Task::Masters, "mesos-master", &[MASTER_PORT]),
        (Task::Agents, "mesos-slave", &[AGENT_PORT]),
        (Task::Dispatcher, "spark-dispatcher", &[dispatcher.unwrap_or(0)]),
    ];
    let units = match observed.hosts.get(host) {
        Some(Seen::Answered(answer)) => answer.sections.get("units").map_or("", String::as_str),
        _ => "",
    };
    let mut problems = Vec::new();
    for (task, unit, ports) in wanted {
        let ours = service::unit(unit, units)
            .is_some_and(|unit| unit.active != "inactive" && unit.active != "failed");
        if ours || !plan.actions().any(|(h, action)| h == host && action.task == task) {
            continue;
        }
        for port in ports {
            let taken = text.lines().find(|line| {
                line.split_whitespace().nth(3).is_some_and(|a| a.ends_with(&format!(":{port}")))
            });
            if let Some(line) = taken {
                let who = line
                    .split_once("users:((")
                    .and_then(|(_, rest)| rest.split_once(')'))
                    .map_or("a process", |(who, _)| who);
                problems.push(
                    error(
                        "port-taken",
                        format!("port {port}, which {unit} needs, is taken by {who}"),
                    )
                    .help("stop it, or move it to another port"),
                );
            }
        }
    }
    problems
}

fn agent(inventory: &Inventory, host: &HostName, mounts: &str, docker: &str) -> Vec<Problem> {
    let Some(agent) = inventory.agent(host) else { return Vec::new() };
    let mut problems = Vec::new();
    let containerizers = agent.flags.get("containerizers").map_or("", String::as_str);
    if containerizers.split(',').any(|c| c == "docker") {
        let v1 = mounts.lines().any(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            words.get(2) == Some(&"cgroup")
                && words.get(3).is_some_and(|o| o.split(',').any(|o| o == "cpu"))
        });
        if !v1 {
            problems.push(if inventory.base.cgroup_v1 {
                Problem {
                    severity: Severity::Warning,
                    ..error(
                        REBOOT,
                        "its agent waits for a reboot: the kernel argument for cgroup v1 takes effect with it",
                    )
                    .help(format!("apply writes the argument; then run {}, and apply again", reboot(inventory, host)))
                }
            } else {
                error(
                    "cgroup-v2",
                    "no cgroup v1 `cpu` hierarchy is mounted, and no released Mesos can use the docker containerizer without one",
                )
                .help("set `base: { cgroup_v1: true }`, apply, and reboot the host")
            });
        }
    }
    if !docker.is_empty() {
        problems.extend(
            compatibility::docker_on_mesos(&inventory.mesos.version, docker).into_iter().map(
                |finding| Problem {
                    place: None,
                    severity: finding.severity,
                    name: "docker-version",
                    message: finding.message,
                    help: finding.help,
                },
            ),
        );
    }
    problems
}

/// A master that has written its log with another quorum than it would have.
fn growth(inventory: &Inventory, quorum: &str) -> Option<Problem> {
    let (before, after) = (quorum.parse::<usize>().ok()?, inventory.quorum());
    let problem = if before == 1 && after > 1 {
        let message =
            format!("its replicated log was written with quorum 1, and {after} would be asked");
        error("master-growth", message).help(lints::WIPE_LOG)
    } else if before.abs_diff(after) > 1 {
        let message = format!("the quorum of masters goes from {before} to {after} in one step");
        Problem { severity: Severity::Warning, ..error("quorum-jump", message) }
            .help("go by two masters at a time")
    } else {
        return None;
    };
    (!inventory.allow.contains_key(problem.name)).then_some(problem)
}

/// Said before, for the wait itself is a silent one.
fn apt(plan: &Plan, host: &HostName, holder: &str) -> Option<Problem> {
    let installs =
        plan.actions().any(|(h, action)| h == host && action.resource.kind == "packages");
    (installs && !holder.is_empty()).then(|| Problem {
        severity: Severity::Warning,
        ..error(
            "apt-busy",
            format!("apt is in use by {holder}; its packages wait up to 5 minutes for that to end"),
        )
    })
}

/// What reboots a host: never done by us, for only its owner knows what else runs there.
fn reboot(inventory: &Inventory, host: &HostName) -> String {
    let root = inventory.hosts.get(host).is_some_and(|it| it.ssh.become_root);
    format!("`provision ssh {host} -- {}systemctl reboot`", if root { "sudo " } else { "" })
}

/// Agents that the masters, once restarted, would no longer admit. An agent that is refused ends, and is
/// restarted and refused again until its turn comes.
fn credentials(
    inventory: &Inventory,
    plan: &Plan,
    observed: &Observed,
) -> Vec<(Option<HostName>, Problem)> {
    let restart =
        |action: &Action| action.task == Task::Masters && action.resource.kind == "service";
    if inventory.mesos.credentials.agent.is_none()
        || !plan.actions().any(|(_, action)| restart(action))
    {
        return Vec::new();
    }
    let accepted: BTreeSet<String> = inventory
        .mesos
        .credentials
        .accepted()
        .map(|credential| sha256(mesos::agent_credential_flag(&credential.principal)))
        .collect();
    let flag = ResourceId { kind: "file", name: "/etc/mesos-slave/credential".to_owned() };
    let unit = |answer: &Answer| {
        let units = answer.sections.get("units").map_or("", String::as_str);
        service::unit("mesos-slave", units).is_some_and(|unit| unit.active == "active")
    };
    observed
        .answered()
        .filter(|(host, answer)| inventory.agent(host).is_some() && unit(answer))
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
                },
            };
            Some((Some(host.clone()), problem))
        })
        .collect()
}

/// What the members of an ensemble that is not ours are asked.
fn external(inventory: &Inventory) -> Vec<Question> {
    match &inventory.zookeeper {
        ZooKeeper::Managed { .. } => Vec::new(),
        ZooKeeper::External { servers } => {
            servers.iter().map(|(host, port)| Question::FourLetter(host.clone(), *port)).collect()
        }
    }
}

/// An ensemble that is not ours is only checked: a majority must serve, as its masters-to-be see it.
fn ensemble(inventory: &Inventory, answers: &BTreeMap<HostName, Sections>) -> Option<Problem> {
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

fn same_machine(answers: &BTreeMap<HostName, Sections>) -> Vec<Problem> {
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

/// Agents of the leading master that are no hosts of this inventory: a host whose line was deleted, say.
/// Removal is never inferred, so they are left alone; but they are known of.
pub fn strangers(inventory: &Inventory, observed: &Observed) -> Vec<Problem> {
    let listed = health::leaders_agents(inventory, &observed.replies()).unwrap_or_default();
    let known: BTreeSet<String> =
        inventory.hosts.values().map(|host| host.address.to_string()).collect();
    listed
        .iter()
        .filter(|(at, agent)| agent.active && !known.contains(*at))
        .map(|(at, agent)| Problem {
            severity: Severity::Warning,
            ..error(
                "stranger",
                format!(
                    "the agent {} at {at} is registered at the leading master and is no host of this inventory",
                    agent.info.hostname
                ),
            )
            .help("it is left alone; to stop it, put its host back and name it under `retired`")
        })
        .collect()
}

fn clocks(answers: &BTreeMap<HostName, Sections>) -> Vec<(Option<HostName>, Problem)> {
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::inventory::load::{Lab, load_text};

    fn inventory(masters: &str, more: &str) -> Inventory {
        let text = format!(
            "version: 1\ncluster: c\nhosts:\n  m[1:7]: {{ address: \"10.0.0.[1:7]\" }}\n\
             zookeeper: {{ servers: {{ m1: 1 }} }}\nmesos:\n  version: 1.11.0\n  package: {{ preinstalled: true }}\n\
             \x20 masters: {{ hosts: [\"{masters}\"], flags: {{ work_dir: /srv/mesos }} }}\n\
             \x20 agents: {{ p: {{ hosts: [m7] }} }}\n{more}"
        );
        load_text("i", text.as_bytes(), Path::new("/"), &[], Lab::No).expect("good").inventory
    }

    #[test]
    fn a_log_of_another_quorum_is_not_grown_over() {
        let found = |quorum: &str, masters: &str, more: &str| {
            let problem = growth(&inventory(masters, more), quorum);
            problem.map(|problem| (problem.name, problem.severity))
        };
        let grown = Some(("master-growth", Severity::Error));
        assert_eq!(found("1", "m[1:3]", ""), grown);
        assert_eq!(found("1", "m[1:7]", ""), grown);
        assert_eq!(found("2", "m[1:7]", ""), Some(("quorum-jump", Severity::Warning)));
        // Nothing there, nothing written, or one step of two masters.
        for (quorum, masters) in [("", "m[1:3]"), ("1", "m1"), ("2", "m[1:3]"), ("2", "m[1:5]")] {
            assert_eq!(found(quorum, masters, ""), None, "{quorum} {masters}");
        }
        assert_eq!(found("1", "m[1:3]", "allow: { master-growth: wiped by hand }"), None);
        assert_eq!(found("2", "m[1:7]", "allow: { quorum-jump: all stopped }"), None);
        let script = probe(&inventory("m[1:3]", ""), &HostName::new("m1")).script("N");
        assert!(script.contains("[ -d /srv/mesos/replicated_log ]"), "{script}");
    }
}

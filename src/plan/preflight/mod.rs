//! What must be so on a host before the first change: asked only of hosts that are to be changed, all of
//! it before any of them is.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::ground::{HostName, Problem, Severity};
use crate::health;
use crate::inventory::{Inventory, Listener, Spark};
use crate::lints;
use crate::mesos::versions::Version;
use crate::mesos::{Finding, compatibility};
use crate::plan::{Observed, Plan, Seen};
use crate::resource::package::{self, Packages};
use crate::resource::service;
use crate::script::{Probe, Sections, quote, quote_all};
use crate::tasks;
use system::System;

mod absent;
mod cluster;
mod packages;
mod python;
mod system;
mod tls;
mod units;

pub use cluster::{changes_credentials, refused, strangers};
pub use packages::name_losses;
pub use system::REBOOT;

/// The question to one host. Masters are also asked about an ensemble that is not ours.
pub fn probe(inventory: &Inventory, plan: &Plan, host: &HostName) -> Probe {
    let mut probe = Probe::default();
    if inventory.mesos.masters.contains(host) {
        probe.extend(health::probe(&cluster::external(inventory)));
        let work = inventory.mesos.master_flags.get("work_dir").map_or(WORK_DIR, String::as_str);
        let log = quote(&format!("{work}/replicated_log"));
        probe
            .section("quorum", format!("[ -d {log} ] && cat /etc/mesos-master/quorum 2>/dev/null"));
    }
    probe.section("os", "cat /etc/os-release 2>/dev/null");
    probe.section("machine-id", "cat /etc/machine-id 2>/dev/null");
    probe.section("architecture", "uname -m");
    probe.section(
        "systemd",
        "[ -d /run/systemd/system ] && echo yes && systemctl --version 2>/dev/null | head -n 1",
    );
    probe.section("clock", "date +%s");
    probe.section("memory", "cat /proc/meminfo");
    // A directory that is not there yet will be where its nearest parent is.
    let paths = room(inventory, host).into_iter().map(|(path, _)| path).collect::<Vec<_>>();
    probe.section(
        "disk",
        format!(
            "for d in {}; do p=$d; while [ ! -e \"$p\" ]; do p=${{p%/*}}; p=${{p:-/}}; done; df -Pk \"$p\" 2>/dev/null | tail -n 1; done",
            quote_all(paths.iter().map(String::as_str))
        ),
    );
    probe.section(
        "inodes",
        "for d in /etc /opt /var /var/lib/provision; do df -Pi $d 2>/dev/null | tail -n +2; done",
    );
    probe.section("mounts", "cat /proc/mounts");
    probe.section("kernel", "grep MEMCG_V1 \"/boot/config-$(uname -r)\" 2>/dev/null");
    probe.section("addresses", "ip -o addr show 2>/dev/null || hostname -I");
    probe.section("listening", "ss -Hltnp 2>/dev/null");
    probe.section("apt", format!("{}apt_holder", package::HOLDER));
    probe.section(
        "engines",
        format!(
            "dpkg-query -W -f '${{Package}}:${{db:Status-Status}}\\n' {} 2>/dev/null | sed -n 's/:installed$//p'",
            quote_all(packages::ENGINES)
        ),
    );
    probe.extend(packages::probe(plan, host));
    probe.extend(tls::probe(inventory, plan, host));
    probe.extend(units::probe(inventory, plan, host));
    // Not `docker --version`: the client of 20.10 talks to the socket even for that, which starts the
    // engine (seen in the lab).
    probe
        .section("docker", "! command -v dockerd >/dev/null 2>&1 || dockerd --version 2>/dev/null");
    probe
}

/// Name of the finding that a file system is too small.
const DISK_FULL: &str = "disk-full";

/// Name of the finding that forbids going back to an older version, unless the user wants that.
pub const DOWNGRADE: &str = "downgrade";

/// Free space that a host's first installation takes on /var, in KiB: packages and their lists.
const BASE_KIB: u64 = 700 * 1024;
/// What the Spark image, its build and its base take in Docker's data-root.
const IMAGE_KIB: u64 = 3 * 1024 * 1024;
/// What the image takes as an archive on its way from one agent to the others.
const ARCHIVE_KIB: u64 = 1024 * 1024;
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
        let system = System::read(text("os"));
        system.problem().into_iter().for_each(&mut say);
        if !matches!(text("architecture"), "x86_64" | "aarch64") {
            say(error(
                "architecture",
                format!("{} is not supported; x86_64 and aarch64 are", text("architecture")),
            )
            .help("take another machine, or this host out of the inventory"));
        }
        if text("systemd").lines().next() != Some("yes") {
            say(error("no-systemd", "systemd does not run this host; services cannot be managed")
                .help("boot it with systemd, or take this host out of the inventory"));
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
        let boots = system::Boots {
            mounts: text("mounts"),
            systemd: text("systemd"),
            kernel: text("kernel"),
        };
        system::cgroups(inventory, host, &boots).into_iter().for_each(&mut say);
        engine(inventory, host, text("docker")).into_iter().for_each(&mut say);
        growth(inventory, text("quorum")).into_iter().for_each(&mut say);
        downgrades(plan, observed, host).into_iter().for_each(&mut say);
        apt(plan, host, text("apt")).into_iter().for_each(&mut say);
        let losses = text(packages::SECTION);
        absent::check(inventory, plan, host, losses, system.debian())
            .into_iter()
            .for_each(&mut say);
        python::differs(inventory, host, system.debian()).into_iter().for_each(&mut say);
        tls::expiry(inventory, host, text("clock")).into_iter().for_each(&mut say);
        units::version(inventory, host, text("built")).into_iter().for_each(&mut say);
        units::check(inventory, plan, host, text("own-units")).into_iter().for_each(&mut say);
        packages::other_engine(inventory, plan, host, text("engines"))
            .into_iter()
            .for_each(&mut say);
    }
    found.extend(cluster::credentials(inventory, plan, observed));
    found.extend(tls::step(inventory, answers));
    found.extend(cluster::ensemble(inventory, answers).into_iter().map(|problem| (None, problem)));
    found.extend(cluster::same_machine(answers).into_iter().map(|problem| (None, problem)));
    found.extend(cluster::one_image(inventory, answers).into_iter().map(|problem| (None, problem)));
    found.extend(cluster::clocks(answers));
    found
}

fn error(name: &'static str, message: impl Into<String>) -> Problem {
    Problem::error(None, name, message)
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

/// Path → KiB that a host's first installation writes there.
fn room(inventory: &Inventory, host: &HostName) -> Vec<(String, u64)> {
    let spark = inventory.spark.as_ref();
    let handed =
        spark.is_some_and(|it| it.image.is_built_once()) && inventory.agent(host).is_some();
    let mut needs = vec![("/var".to_owned(), BASE_KIB + if handed { ARCHIVE_KIB } else { 0 })];
    if spark.is_some() && inventory.agent(host).is_some() {
        let root = inventory.docker.daemon.get("data-root").and_then(|root| root.as_str());
        needs.push((root.unwrap_or("/var/lib/docker").to_owned(), IMAGE_KIB));
    }
    let served = |spark: &Spark| spark.shuffle.is_some() && inventory.agent(host).is_some();
    if spark.is_some_and(|spark| spark.clients.contains(host) || served(spark)) {
        needs.push(("/opt".to_owned(), SPARK_KIB));
    }
    needs
}

/// Each file system once, with all that goes there: the needs are estimates, so they can be allowed.
fn disk(inventory: &Inventory, host: &HostName, text: &str) -> Vec<Problem> {
    if inventory.allow.contains_key(DISK_FULL) {
        return Vec::new();
    }
    let mut systems: BTreeMap<&str, (u64, u64, Vec<String>)> = BTreeMap::new();
    for ((path, need), line) in room(inventory, host).into_iter().zip(text.lines()) {
        let row: Vec<&str> = line.split_whitespace().collect();
        let free = row.get(3).and_then(|free| free.parse().ok());
        let (Some(free), Some(mount)) = (free, row.get(5)) else { continue };
        let (all, _, paths) = systems.entry(mount).or_insert((0, free, Vec::new()));
        *all += need;
        paths.push(path);
    }
    let short = systems.into_values().filter(|(need, free, _)| free < need);
    let problem = |(need, free, paths): (u64, u64, Vec<String>)| {
        let (need, free, paths) = (need / 1024, free / 1024, paths.join(" and "));
        error(DISK_FULL, format!("{paths} needs {need} MiB free, {free} MiB are"))
            .help(lints::MAKE_ROOM)
    };
    short.map(problem).collect()
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
                    DISK_FULL,
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
    let (asked, total) = (thousandths / 1000, total / 1024);
    let shuffle = inventory.spark.as_ref().and_then(|spark| spark.shuffle.as_ref());
    let beside = shuffle.map_or(0, |shuffle| i64::try_from(shuffle.memory).unwrap_or(i64::MAX));
    (asked > total.saturating_sub(beside)).then(|| Problem {
        severity: Severity::Warning,
        ..error(
            "memory-promised",
            match shuffle {
                None => format!("its agent would offer {asked} MiB of memory and the host has {total}"),
                Some(_) => format!(
                    "its agent would offer {asked} MiB of memory, its shuffle service takes {beside}, and the host has {total}"
                ),
            },
        )
        .help(
            "lower `mem` of its pool: what Mesos promises and the host lacks ends in killed tasks",
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
    let listeners = inventory.listeners(host);
    let units = match observed.hosts.get(host) {
        Some(Seen::Answered(answer)) => answer.sections.get("units").map_or("", String::as_str),
        _ => "",
    };
    let mut problems = Vec::new();
    for task in tasks::ALL {
        let (Some(part), Some(unit)) = (task.card().part, task.unit(inventory)) else { continue };
        let ours = service::unit(unit, units)
            .is_some_and(|unit| unit.active != "inactive" && unit.active != "failed");
        if ours || !plan.actions().any(|(h, action)| h == host && action.task == task) {
            continue;
        }
        for Listener { port, .. } in listeners.iter().filter(|it| it.part == Some(part)) {
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

/// Whether the agent can read the version of the engine that is there.
fn engine(inventory: &Inventory, host: &HostName, docker: &str) -> Vec<Problem> {
    if docker.is_empty() || inventory.agent(host).is_none() {
        return Vec::new();
    }
    let found = compatibility::docker_on_mesos(&inventory.mesos.version, docker);
    let problem = |finding: Finding| Problem {
        place: None,
        severity: finding.severity,
        name: "docker-version",
        message: finding.message,
        help: finding.help,
    };
    found.into_iter().map(problem).collect()
}

/// A master that has written its log with another quorum than it would have.
fn growth(inventory: &Inventory, quorum: &str) -> Option<Problem> {
    let (before, after) = (quorum.parse::<usize>().ok()?, inventory.quorum());
    if before != 1 || after == 1 {
        return None;
    }
    let message =
        format!("its replicated log was written with quorum 1, and {after} would be asked");
    let problem = error("master-growth", message).help(lints::WIPE_LOG);
    (!inventory.allow.contains_key(problem.name)).then_some(problem)
}

/// Packages that would become older than they are: neither Mesos' registry nor ZooKeeper's snapshots
/// are promised to be read by what came before them.
fn downgrades(plan: &Plan, observed: &Observed, host: &HostName) -> Vec<Problem> {
    let Some(Seen::Answered(answer)) = observed.hosts.get(host) else { return Vec::new() };
    let there = answer.sections.get("packages").map_or("", String::as_str);
    let sets = plan.actions().filter(|(at, _)| *at == host);
    let sets = sets.filter_map(|(_, action)| action.resource.get::<Packages>());
    sets.flat_map(|set| &set.packages)
        .filter_map(|(name, wanted)| {
            let wanted = Version::parse(wanted.as_ref()?).ok()?;
            let there = package::installed(there, name)?;
            // An epoch is Debian's, no part of the version.
            let upstream = there.split_once(':').map_or(there, |(_, rest)| rest);
            let older = !wanted.at_least(Version::parse(upstream).ok()?.numbers());
            older.then(|| {
                let message = format!("{name} would go back from {there} to {wanted}");
                error(DOWNGRADE, message)
                    .help("set the version that is there, or say --allow-downgrade to `apply`")
            })
        })
        .collect()
}

/// Said before, for the wait itself is a silent one.
fn apt(plan: &Plan, host: &HostName, holder: &str) -> Option<Problem> {
    let installs = plan.actions().any(|(h, action)| h == host && action.id().kind == "packages");
    (installs && !holder.is_empty()).then(|| Problem {
        severity: Severity::Warning,
        ..error(
            "apt-busy",
            format!("apt is in use by {holder}; its packages wait up to 5 minutes for that to end"),
        )
        .help("nothing is to be done, or wait for its end and begin then")
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::lints::load::{Lab, load_text};

    fn inventory(masters: &str, more: &str) -> Inventory {
        with_agents(masters, "m7", more)
    }

    fn with_agents(masters: &str, agents: &str, more: &str) -> Inventory {
        let text = format!(
            "version: 1\ncluster: c\nhosts:\n  m[1:7]: {{ address: \"10.0.0.[1:7]\" }}\n\
             zookeeper: {{ servers: {{ m1: 1 }} }}\nmesos:\n  version: 1.11.0\n  package: {{ preinstalled: true }}\n\
             \x20 masters: {{ hosts: [\"{masters}\"], flags: {{ work_dir: /srv/mesos }} }}\n\
             \x20 agents: {{ p: {{ hosts: [\"{agents}\"] }} }}\n{more}"
        );
        load_text("i", text.as_bytes(), Path::new("/"), &[], Lab::No).expect("good").inventory
    }

    #[test]
    fn a_file_system_is_asked_for_all_that_goes_there() {
        const SPARK: &str = "spark: { version: 3.5.1, archive: { url: \"https://x/y\", sha256: 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a }, clients: { hosts: [m7] } }\n";
        let agent = HostName::new("m7");
        let row = |mib: u64, mount: &str| format!("/dev/x 9 9 {} 9% {mount}\n", mib * 1024);
        let said = |more: &str, rows: &[String]| -> Vec<String> {
            let found = disk(&inventory("m1", &format!("{SPARK}{more}")), &agent, &rows.concat());
            found.into_iter().map(|problem| problem.message).collect()
        };
        // One file system holds all three; or the images are elsewhere.
        let one = [row(4000, "/"), row(4000, "/"), row(4000, "/")];
        assert_eq!(
            said("", &one),
            ["/var and /var/lib/docker and /opt needs 4472 MiB free, 4000 MiB are"]
        );
        // The archive of the image goes through it.
        let once = inventory("m1", &SPARK.replace("spark: {", "spark: { image: { build: once },"));
        assert_eq!(
            disk(&once, &agent, &one.concat())[0].message,
            said("", &one)[0].replace("4472", "5496")
        );
        let data = "docker: { daemon: { data-root: /data/docker } }\n";
        let apart = [row(800, "/var"), row(9000, "/data"), row(800, "/")];
        assert_eq!(said(data, &apart), Vec::<String>::new());
        let small = [row(600, "/var"), row(3000, "/data"), row(800, "/")];
        assert_eq!(
            said(data, &small),
            [
                "/data/docker needs 3072 MiB free, 3000 MiB are",
                "/var needs 700 MiB free, 600 MiB are"
            ]
        );
        assert_eq!(said("allow: { disk-full: images are small }\n", &one), Vec::<String>::new());
        let asked = inventory("m1", &format!("{SPARK}{data}"));
        let script = probe(&asked, &Plan::default(), &agent).script("N");
        assert!(script.contains("for d in /var /data/docker /opt; do"), "{script}");
        assert_eq!(said("", &[]), Vec::<String>::new());
    }

    #[test]
    fn one_image_is_for_one_kind_of_processor() {
        const SPARK: &str = "spark: { image: { build: BUILD }, version: 3.5.1, archive: { url: \"https://x/y\", sha256: 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a } }\n";
        let said = |build: &str, kinds: &[(&str, &str)]| {
            let kind = |(host, kind): &(&str, &str)| {
                let sections = Sections::from([("architecture".to_owned(), format!("{kind}\n"))]);
                (HostName::new(host), sections)
            };
            let inventory = with_agents("m1", "m[6:7]", &SPARK.replace("BUILD", build));
            cluster::one_image(&inventory, &kinds.iter().map(kind).collect()).map(|it| it.message)
        };
        let mixed = [("m1", "x86_64"), ("m6", "x86_64"), ("m7", "aarch64")];
        let why =
            "m6 is x86_64 and m7 is aarch64, and an image that is built once runs on one of them";
        assert_eq!(said("once", &mixed).as_deref(), Some(why));
        assert_eq!(said("each", &mixed), None);
        // A master need not run it.
        assert_eq!(said("once", &[("m1", "aarch64"), ("m6", "x86_64"), ("m7", "x86_64")]), None);
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
        // Nothing there, nothing written, or one step of two masters.
        for (quorum, masters) in [("", "m[1:3]"), ("1", "m1"), ("2", "m[1:3]"), ("2", "m[1:5]")] {
            assert_eq!(found(quorum, masters, ""), None, "{quorum} {masters}");
        }
        assert_eq!(found("1", "m[1:3]", "allow: { master-growth: wiped by hand }"), None);
        assert_eq!(found("2", "m[1:7]", "allow: { quorum-jump: all stopped }"), None);
        let script =
            probe(&inventory("m[1:3]", ""), &Plan::default(), &HostName::new("m1")).script("N");
        assert!(script.contains("[ -d /srv/mesos/replicated_log ]"), "{script}");
    }
}

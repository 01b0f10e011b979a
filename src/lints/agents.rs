//! Lints on pools: resources, reservations, flags that fit together.

use std::collections::BTreeSet;

use super::{Found, Hit, Lint, Look};
use crate::inventory::{Agent, ZooKeeper};
use crate::mesos::units::parse_duration;
use crate::mesos::values::{UNRESERVED, Value};

const MESOS: &[&str] = &["mesos"];
const MESOS_SPARK: &[&str] = &["mesos", "spark"];

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "no-agents",
        title: "Spark without agents",
        reason: "masters offer what agents have; without any every job waits, and nothing is proven",
        examples: &["mesos.agents={}"],
        found: Found::Looking { needs: MESOS_SPARK, find: no_agents },
    },
    Lint {
        name: "unpinned-resources",
        title: "Resources that Mesos would detect",
        reason: "an agent whose detected memory or disk changes (a resized machine, a new kernel) refuses \
                 to recover and ends in a restart loop",
        examples: &["mesos.agents.p.resources={cpus: 4, mem: 8GB}"],
        found: Found::Looking { needs: MESOS, find: unpinned },
    },
    Lint {
        name: "nothing-unreserved",
        title: "Reservations that leave nothing for anybody else",
        reason: "frameworks of every other role, and those without one, are never offered a reserved \
                 resource; they wait for ever",
        examples: &["mesos.agents.p.reserved={etl: {cpus: 4, mem: 8GB}}"],
        found: Found::Looking { needs: MESOS, find: nothing_unreserved },
    },
    Lint {
        name: "no-docker-containerizer",
        title: "A Docker image on agents without the docker containerizer",
        reason: "tasks with an image fail at once on such an agent, and Spark gives an agent up after two \
                 failures",
        examples: &[
            "mesos.agents.p.flags.containerizers=mesos",
            "spark.defaults.spark.mesos.containerizer=mesos",
        ],
        found: Found::Looking { needs: MESOS_SPARK, find: no_docker_containerizer },
    },
    Lint {
        name: "isolation-only-measures",
        title: "Isolation that limits nothing",
        reason: "posix/cpu and posix/mem measure what a task uses and never hold it back",
        examples: &["mesos.agents.p.flags.isolation=posix/cpu,posix/mem"],
        found: Found::Looking { needs: MESOS_SPARK, find: only_measures },
    },
    Lint {
        name: "short-registration-timeout",
        title: "Less time than an image takes",
        reason: "the agent kills an executor whose image is not there within this time",
        examples: &["mesos.agents.p.flags.executor_registration_timeout=30secs"],
        found: Found::Looking { needs: MESOS_SPARK, find: short_registration },
    },
    Lint {
        name: "volatile-work-dir",
        title: "Work that does not survive a reboot",
        reason: "the registry of masters and the checkpoints of agents are in work_dir, ZooKeeper's \
                 transactions in dataLogDir, and /tmp is emptied",
        examples: &[
            "mesos.agents.p.flags.work_dir=/tmp/mesos",
            "zookeeper.config.dataLogDir=/tmp/zookeeper",
        ],
        found: Found::Looking { needs: &["mesos", "zookeeper"], find: volatile_work_dir },
    },
    Lint {
        name: "switch-user-off",
        title: "Every task runs as root",
        reason: "without switch_user tasks run as the agent itself does",
        examples: &["mesos.agents.p.flags.switch_user=false"],
        found: Found::Looking { needs: MESOS, find: switch_user_off },
    },
    Lint {
        name: "offered-port",
        title: "A port that is taken on the host that offers it",
        reason: "a task that is given the port of a service cannot listen on it, and fails",
        examples: &["mesos.agents.p.resources.ports=[5051-6000]"],
        found: Found::Looking { needs: &["mesos", "zookeeper", "spark"], find: offered_port },
    },
    Lint {
        name: "hidden-gpus",
        title: "Agents with gpus that make no offers",
        reason: "Mesos offers an agent with gpus only to frameworks that ask for gpus, all of it",
        examples: &["mesos.agents.p.resources.gpus=1"],
        found: Found::Looking { needs: MESOS_SPARK, find: hidden_gpus },
    },
    Lint {
        name: "hierarchical-role",
        title: "A role name that this release does not take",
        reason: "the agent or master stops on a role name that is not one",
        examples: &["mesos.version=1.2.0\nspark.version=2.4.0\nmesos.roles={eng/etl: {weight: 2}}"],
        found: Found::Looking { needs: &["mesos", "spark", "workloads"], find: role_names },
    },
];

/// One agent of each kind in each pool: what is wrong with it is wrong with its pool.
fn kinds<'a>(look: &'a Look<'_>) -> Vec<(&'a str, &'a Agent)> {
    let mut kinds = Vec::new();
    for (name, pool) in &look.inventory.mesos.pools {
        let mut seen: Vec<&Agent> = Vec::new();
        for agent in pool.agents.values() {
            // Most are alike; beyond a handful of kinds the first ones speak for all.
            let known =
                |other: &&Agent| other.resources == agent.resources && other.flags == agent.flags;
            if seen.len() < 16 && !seen.iter().any(known) {
                seen.push(agent);
            }
        }
        kinds.extend(seen.into_iter().map(|agent| (name.as_str(), agent)));
    }
    kinds
}

/// The same finding once for each pool.
fn once(hits: Vec<Hit>) -> Vec<Hit> {
    let mut seen = BTreeSet::new();
    hits.into_iter().filter(|hit| seen.insert((hit.path.clone(), hit.message.clone()))).collect()
}

fn no_agents(look: &Look<'_>) -> Vec<Hit> {
    let none = look.inventory.agents().next().is_none() && look.inventory.spark.is_some();
    let hit = || {
        let message = "no agent is in this inventory, so no job of Spark would run";
        Hit::warning(
            "mesos",
            message,
            "write pools under `mesos.agents`, or allow this where others bring them",
        )
    };
    none.then(hit).into_iter().collect()
}

fn unpinned(look: &Look<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (pool, agent) in kinds(look) {
        let names = agent.resources.names();
        let missing: Vec<&str> =
            ["cpus", "mem", "disk", "ports"].into_iter().filter(|n| !names.contains(n)).collect();
        if missing.is_empty() {
            continue;
        }
        let list = missing.join(", ");
        hits.push(Hit::warning(
            format!("mesos.agents.{pool}.resources"),
            format!("pool `{pool}` leaves {list} to be detected"),
            format!("write {list} under `resources`"),
        ));
    }
    once(hits)
}

fn nothing_unreserved(look: &Look<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (pool, agent) in kinds(look) {
        for name in ["cpus", "mem"] {
            let reserved =
                agent.resources.0.keys().any(|(known, role)| known == name && role != UNRESERVED);
            let left = agent.resources.scalar(name, UNRESERVED);
            if reserved && left == 0 {
                hits.push(Hit::warning(
                    format!("mesos.agents.{pool}.reserved"),
                    format!("all {name} of pool `{pool}` are reserved"),
                    "leave a part of the total unreserved, or allow this",
                ));
            }
        }
    }
    once(hits)
}

fn no_docker_containerizer(look: &Look<'_>) -> Vec<Hit> {
    let Some(spark) = &look.inventory.spark else { return Vec::new() };
    let wanted = match spark.defaults.get("spark.mesos.containerizer").map(String::as_str) {
        Some("mesos") => "mesos",
        _ => "docker",
    };
    let mut hits = Vec::new();
    for (pool, agent) in kinds(look) {
        let path = format!("mesos.agents.{pool}.flags");
        let list = agent.flags.get("containerizers").map_or("", String::as_str);
        if !list.split(',').any(|item| item.trim() == wanted) {
            hits.push(Hit::error(
                format!("{path}.containerizers"),
                format!("Spark's image needs the {wanted} containerizer, and pool `{pool}` has `{list}`"),
                "write containerizers: \"docker,mesos\", or delete the line, for that is the default",
            ));
        } else if wanted == "mesos" && !agent.flags.contains_key("image_providers") {
            hits.push(Hit::error(
                path,
                format!("the mesos containerizer of pool `{pool}` cannot use Docker images"),
                "write image_providers: docker and isolation: \"filesystem/linux,docker/runtime\"",
            ));
        }
    }
    once(hits)
}

fn only_measures(look: &Look<'_>) -> Vec<Hit> {
    let spark = look.inventory.spark.as_ref();
    let mesos_containers = spark.is_some_and(|spark| {
        spark.defaults.get("spark.mesos.containerizer").is_some_and(|c| c == "mesos")
    });
    let mut hits = Vec::new();
    for (pool, agent) in kinds(look) {
        let isolation = agent.flags.get("isolation");
        let measures = match isolation {
            Some(list) => list.split(',').any(|i| matches!(i, "posix/cpu" | "posix/mem" | "posix")),
            // Docker limits its containers itself.
            None => mesos_containers,
        };
        if measures {
            hits.push(Hit::warning(
                format!("mesos.agents.{pool}.flags.isolation"),
                format!("tasks of pool `{pool}` are measured and not limited"),
                "write isolation: \"cgroups/cpu,cgroups/mem\"",
            ));
        }
    }
    once(hits)
}

fn short_registration(look: &Look<'_>) -> Vec<Hit> {
    if look.inventory.spark.is_none() {
        return Vec::new();
    }
    let mut hits = Vec::new();
    for (pool, agent) in kinds(look) {
        let Some(text) = agent.flags.get("executor_registration_timeout") else { continue };
        if parse_duration(text).is_ok_and(|time| time.as_secs() < 60) {
            hits.push(Hit::warning(
                format!("mesos.agents.{pool}.flags.executor_registration_timeout"),
                format!("executors of pool `{pool}` get only {text} to come up"),
                "write 5mins, or delete the line, for that is the default",
            ));
        }
    }
    once(hits)
}

fn volatile_work_dir(look: &Look<'_>) -> Vec<Hit> {
    let volatile = |dir: &str| {
        ["/tmp", "/run", "/dev/shm", "/var/tmp", "/var/run"].iter().any(|top| {
            dir == *top || dir.strip_prefix(top).is_some_and(|rest| rest.starts_with('/'))
        })
    };
    let mut hits = Vec::new();
    let help = "delete the line; /var/lib/mesos is the default";
    if let Some(dir) = look.inventory.mesos.master_flags.get("work_dir").filter(|d| volatile(d)) {
        let message = format!("the masters' registry would be in {dir}");
        hits.push(Hit::warning("mesos.masters.flags.work_dir", message, help));
    }
    if let ZooKeeper::Managed { config, .. } = &look.inventory.zookeeper
        && let Some(dir) = config.get("dataLogDir").filter(|dir| volatile(dir))
    {
        let message = format!("ZooKeeper's transactions would be in {dir}");
        let help = "delete the line; they are beside the snapshots by default";
        hits.push(Hit::warning("zookeeper.config.dataLogDir", message, help));
    }
    for (pool, agent) in kinds(look) {
        if let Some(dir) = agent.flags.get("work_dir").filter(|d| volatile(d)) {
            let path = format!("mesos.agents.{pool}.flags.work_dir");
            hits.push(Hit::warning(path, format!("checkpoints would be in {dir}"), help));
        }
    }
    once(hits)
}

fn switch_user_off(look: &Look<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (pool, agent) in kinds(look) {
        if agent.flags.get("switch_user").is_some_and(|on| matches!(on.as_str(), "false" | "0")) {
            hits.push(Hit::warning(
                format!("mesos.agents.{pool}.flags.switch_user"),
                format!("tasks of pool `{pool}` run as root"),
                "delete the line; the account of `spark.user` is made on every agent",
            ));
        }
    }
    once(hits)
}

fn hidden_gpus(look: &Look<'_>) -> Vec<Hit> {
    let asks = look.applications.iter().any(|application| application.settings.gpus_max > 0);
    if look.inventory.spark.is_none() || asks {
        return Vec::new();
    }
    let mut hits = Vec::new();
    for (pool, agent) in kinds(look) {
        let gpus = agent.resources.totals().get("gpus").is_some_and(|n| !Value::is_empty(n));
        let unfiltered = look.inventory.mesos.master_flags.get("filter_gpu_resources");
        if gpus && unfiltered.is_none_or(|on| matches!(on.as_str(), "true" | "1")) {
            hits.push(Hit::warning(
                format!("mesos.agents.{pool}.resources.gpus"),
                format!("Spark gets no offer of pool `{pool}`, for it does not ask for gpus"),
                "set spark.mesos.gpus.max in `spark.defaults`, or the masters' filter_gpu_resources: false",
            ));
        }
    }
    once(hits)
}

fn offered_port(look: &Look<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (pool, host, agent) in look.inventory.agents() {
        let totals = agent.resources.totals();
        let Some(Value::Ranges(ranges)) = totals.get("ports") else { continue };
        for listener in look.inventory.listeners(host) {
            let port = u64::from(listener.port);
            if ranges.iter().any(|(first, last)| (*first..=*last).contains(&port)) {
                hits.push(Hit::warning(
                    format!("mesos.agents.{pool}.resources.ports"),
                    format!(
                        "pool `{pool}` offers port {port}, which is that of {}",
                        listener.service
                    ),
                    "offer other ports, such as [31000-32000]",
                ));
            }
        }
    }
    once(hits)
}

fn role_names(look: &Look<'_>) -> Vec<Hit> {
    let inventory = look.inventory;
    let mut asked: Vec<(String, &str)> = Vec::new();
    for role in inventory.mesos.roles.keys() {
        asked.push((format!("mesos.roles.{role}"), role));
    }
    for (pool, agent) in kinds(look) {
        for (_, role) in agent.resources.0.keys() {
            asked.push((format!("mesos.agents.{pool}.reserved.{role}"), role));
        }
    }
    for application in &look.applications {
        asked.push((application.path("role", "spark.mesos.role"), &application.workload.role));
    }
    let mut hits = Vec::new();
    for (path, role) in asked {
        if let Err(why) = crate::mesos::roles::check_name(role, &inventory.mesos.version) {
            hits.push(Hit::error(path, why, "give the role another name"));
        }
    }
    once(hits)
}

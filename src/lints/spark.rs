//! Lints on Spark: constraints, executors, properties.

use super::constraints::{bad_constraint, by_number, crashes, fits_nowhere, matches_nothing};
use super::{Application, Found, Hit, Lint, Look};
use crate::inventory::SparkImage;
use crate::mesos::values::Value;

const APPLICATIONS: &[&str] = &["mesos", "spark", "workloads"];
const SPARK: &[&str] = &["spark"];

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "bad-constraint",
        title: "A constraint that stops the driver",
        reason: "Spark reads name:value,value;name:… and stops on anything else",
        examples: &["spark.defaults.spark.mesos.constraints=rack"],
        found: Found::Looking { needs: APPLICATIONS, find: bad_constraint },
    },
    Lint {
        name: "constraint-crashes-spark",
        title: "A constraint on which the driver dies when it sees an offer",
        reason: "Spark has no case for an attribute of ranges, and parses every value that meets a number",
        examples: &[
            "mesos.agents.p.attributes.rack=1\nspark.defaults.spark.mesos.constraints=rack:r1",
        ],
        found: Found::Looking { needs: APPLICATIONS, find: crashes },
    },
    Lint {
        name: "constraint-matches-nothing",
        title: "A constraint that no agent meets",
        reason: "Spark declines every offer and waits for ever; all it says is that the job has not accepted \
                 any resources",
        examples: &[
            "mesos.agents.p.attributes.rack=r1\nspark.defaults.spark.mesos.constraints=rack:r9",
            "mesos.agents.p.attributes.rack=r1\nworkloads={nightly: {constraints: 'rack:r9', executors: {memory: 1GB}}}",
        ],
        found: Found::Looking { needs: APPLICATIONS, find: matches_nothing },
    },
    Lint {
        name: "constraint-by-number",
        title: "A constraint that means at least",
        reason: "a value that reads as a number is one for Mesos, and Spark accepts every agent whose number \
                 is at least the one asked for",
        examples: &[
            "mesos.agents.p.attributes.rack=1\nspark.defaults.spark.mesos.constraints=rack:1",
        ],
        found: Found::Looking { needs: APPLICATIONS, find: by_number },
    },
    Lint {
        name: "executor-fits-nowhere",
        title: "An executor that no agent can hold",
        reason: "an executor takes its memory and an overhead of at least 384 MiB of one agent; where no offer \
                 is large enough the job waits for ever",
        examples: &[
            "spark.defaults.spark.executor.memory=16g",
            "workloads={nightly: {executors: {memory: 16GB}}}",
        ],
        found: Found::Looking { needs: APPLICATIONS, find: fits_nowhere },
    },
    Lint {
        name: "cores-max-unset",
        title: "An application that takes every core",
        reason: "Spark accepts every offer until spark.cores.max is reached, and has no other end",
        examples: &["spark.defaults={}"],
        found: Found::Looking { needs: APPLICATIONS, find: cores_max_unset },
    },
    Lint {
        name: "block-manager-port",
        title: "A port that agents do not offer",
        reason: "an executor starts only where spark.blockManager.port is among the ports of the offer",
        examples: &["spark.defaults.spark.blockManager.port=7078"],
        found: Found::Looking { needs: APPLICATIONS, find: block_manager_port },
    },
    Lint {
        name: "fixed-master",
        title: "Jobs that do not survive a change of the leader",
        reason: "a master that does not lead sends no driver on to the one that does; through ZooKeeper the \
                 driver finds it",
        examples: &["spark.defaults.spark.master=mesos://10.0.0.1:5050"],
        found: Found::Looking { needs: &["spark", "mesos", "zookeeper"], find: fixed_master },
    },
    Lint {
        name: "unmanaged-image",
        title: "An image that nobody brings to the agents",
        reason: "where the image is missing two tasks fail within a second, and Spark gives the agent up; the \
                 reason is in the agent's journal only",
        examples: &["spark.defaults.spark.mesos.executor.docker.image=example/spark:1"],
        found: Found::Looking { needs: SPARK, find: unmanaged_image },
    },
    Lint {
        name: "spark-home",
        title: "A home that is not in the image",
        reason: "executors are started as HOME/bin/spark-class inside the image that we build with /opt/spark",
        examples: &["spark.defaults.spark.mesos.executor.home=/usr/local/spark"],
        found: Found::Looking { needs: SPARK, find: home },
    },
    Lint {
        name: "native-library",
        title: "A fixed path to libmesos",
        reason: "packages put libmesos.so into /usr/lib, builds into /usr/local/lib; spark-env.sh looks in both",
        examples: &["spark.env.MESOS_NATIVE_JAVA_LIBRARY=/usr/local/lib/libmesos.so"],
        found: Found::Looking { needs: SPARK, find: native_library },
    },
    Lint {
        name: "fine-grained",
        title: "The mode that Spark left behind",
        reason: "fine-grained mode is deprecated since Spark 2.0 and needs libmesos in every executor",
        examples: &["spark.defaults.spark.mesos.coarse=false"],
        found: Found::Looking { needs: SPARK, find: fine_grained },
    },
    Lint {
        name: "refused-property",
        title: "A property that Spark refuses on Mesos",
        reason: "Spark checks it at the start and stops",
        examples: &["spark.defaults.spark.io.encryption.enabled=true"],
        found: Found::Looking { needs: SPARK, find: refused },
    },
    Lint {
        name: "many-dispatchers",
        title: "More than one dispatcher",
        reason: "dispatchers elect no leader; each is a framework of its own with a queue of its own",
        examples: &["spark.dispatcher.hosts=[m1, m2]"],
        found: Found::Looking { needs: SPARK, find: many_dispatchers },
    },
    Lint {
        name: "dynamic-allocation",
        title: "Executors that come and go take their shuffle files along",
        reason: "Spark stops at the start where neither an external shuffle service nor shuffle tracking is on; where \
                 jobs look for a service that does not answer, Mesos gives them up at their first executor, and they hang",
        examples: &[
            "spark.defaults.spark.dynamicAllocation.enabled=true",
            "spark.defaults.spark.shuffle.service.enabled=true",
        ],
        found: Found::Looking { needs: SPARK, find: dynamic_allocation },
    },
    Lint {
        name: "shuffle-service",
        title: "Jobs and a shuffle service that do not find each other",
        reason: "executors find the service of their agent at its port, and it finds what they wrote under the path \
                 that they wrote to; it knows no secret of theirs",
        examples: &[
            "spark.shuffle_service={}\nspark.defaults.spark.shuffle.service.port=7447",
            "spark.shuffle_service={}\nspark.defaults.spark.shuffle.service.enabled=false",
            "spark.shuffle_service={}\nspark.defaults.spark.executorEnv.SPARK_LOCAL_DIRS=/data",
            "spark.shuffle_service={}\n\
             spark.defaults.spark.mesos.executor.docker.volumes=/data:/var/lib/spark-shuffle:rw",
            "spark.shuffle_service={}\nspark.defaults.spark.mesos.network.name=weave",
            "spark.shuffle_service={}\nspark.defaults.spark.authenticate=true",
        ],
        found: Found::Looking { needs: SPARK, find: shuffle_service },
    },
    Lint {
        name: "event-logs",
        title: "Event logs that nobody makes room for, or nobody sees",
        reason: "Spark stops at the start where spark.eventLog.dir is missing; drivers in cluster mode write on \
                 their agents, where a history server elsewhere does not look",
        examples: &[
            "spark.defaults.spark.eventLog.enabled=true",
            "spark.history.hosts=[m1]\nspark.dispatcher.hosts=[m1]",
        ],
        found: Found::Looking { needs: SPARK, find: event_logs },
    },
];

fn cores_max_unset(look: &Look<'_>) -> Vec<Hit> {
    // One that cannot be read was at least set.
    let written = property(look, "spark.cores.max").is_some();
    let unset = |application: &&Application| {
        application.workload.cores_max.is_none()
            && !(written && application.name.is_none())
            && application.settings.executor_limit.is_none()
    };
    look.applications
        .iter()
        .filter(unset)
        .map(|application| {
            let message = format!("`{}` takes every core that is offered", application.title());
            let key = if application.name.is_some() { "cores_max" } else { "spark.cores.max" };
            let help = format!("set {key}");
            // The workload's own line, or that of the defaults.
            let path = match &application.name {
                Some(name) => format!("workloads.{name}"),
                None => "spark.defaults".to_owned(),
            };
            Hit::warning(path, message, help)
        })
        .collect()
}

fn block_manager_port(look: &Look<'_>) -> Vec<Hit> {
    let ports = look.applications.iter().filter_map(|a| a.settings.block_manager_port);
    let Some(port) = ports.map(u64::from).next() else { return Vec::new() };
    let offered = look.inventory.agents().any(|(_, _, agent)| {
        let mut ranges =
            agent.resources.0.iter().filter(|((name, _), _)| name == "ports").peekable();
        ranges.peek().is_none()
            || ranges.any(|(_, value)| value.holds(&Value::Ranges(vec![(port, port)])))
    });
    if offered || look.inventory.agents().next().is_none() {
        return Vec::new();
    }
    let message = format!("no agent offers port {port}");
    let help = "take one of the pools' `ports`, or delete the line";
    vec![Hit::error("spark.defaults.spark.blockManager.port", message, help)]
}

pub(super) fn property<'a>(look: &'a Look<'_>, key: &str) -> Option<&'a str> {
    look.inventory.spark.as_ref()?.defaults.get(key).map(String::as_str)
}

fn fixed_master(look: &Look<'_>) -> Vec<Hit> {
    let ours = format!("mesos://{}", look.inventory.zookeeper_url());
    let Some(master) = property(look, "spark.master").filter(|master| *master != ours) else {
        return Vec::new();
    };
    let message = match master.starts_with("mesos://zk://") {
        true => "spark.master names another ensemble, or not all of this one".to_owned(),
        false => "spark.master names one master, and jobs end with its leadership".to_owned(),
    };
    vec![Hit::warning(
        "spark.defaults.spark.master",
        message,
        format!("delete the line; it is {ours}"),
    )]
}

fn unmanaged_image(look: &Look<'_>) -> Vec<Hit> {
    let Some(spark) = &look.inventory.spark else { return Vec::new() };
    let key = "spark.mesos.executor.docker.image";
    let other = property(look, key).filter(|image| *image != spark.image.name());
    let hit = |image: &str| {
        let message = format!("nobody brings the image `{image}` to the agents");
        let help = format!("delete the line; the image is `{}`", spark.image.name());
        Hit::warning(format!("spark.defaults.{key}"), message, help)
    };
    other.map(hit).into_iter().collect()
}

fn home(look: &Look<'_>) -> Vec<Hit> {
    let Some(spark) = &look.inventory.spark else { return Vec::new() };
    let key = "spark.mesos.executor.home";
    let ours = matches!(spark.image, SparkImage::Build { .. });
    let other =
        property(look, key).filter(|home| ours && home.trim_end_matches('/') != "/opt/spark");
    let hit = |home: &str| {
        let message = format!("there is no Spark at `{home}` in the image");
        Hit::error(format!("spark.defaults.{key}"), message, "delete the line; it is /opt/spark")
    };
    other.map(hit).into_iter().collect()
}

fn native_library(look: &Look<'_>) -> Vec<Hit> {
    let Some(spark) = &look.inventory.spark else { return Vec::new() };
    let mut hits = Vec::new();
    let help = "delete the line";
    if let Some(path) = spark.env.get("MESOS_NATIVE_JAVA_LIBRARY")
        && path != "/usr/lib/libmesos.so"
    {
        let message = format!("libmesos is looked for at `{path}` only");
        hits.push(Hit::warning("spark.env.MESOS_NATIVE_JAVA_LIBRARY", message, help));
    }
    let key = "spark.executorEnv.MESOS_NATIVE_JAVA_LIBRARY";
    let coarse = property(look, "spark.mesos.coarse") != Some("false");
    if property(look, key).is_some() && coarse {
        let message = "coarse-grained executors never load libmesos";
        hits.push(Hit::warning(format!("spark.defaults.{key}"), message, help));
    }
    hits
}

fn fine_grained(look: &Look<'_>) -> Vec<Hit> {
    let fine = property(look, "spark.mesos.coarse") == Some("false");
    let hit = || {
        let message = "fine-grained mode starts a task of Mesos for every task of Spark";
        Hit::warning("spark.defaults.spark.mesos.coarse", message, "delete the line")
    };
    fine.then(hit).into_iter().collect()
}

fn refused(look: &Look<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    let key = "spark.io.encryption.enabled";
    if property(look, key) == Some("true") {
        let message = "Spark does not encrypt its files on Mesos";
        hits.push(Hit::error(format!("spark.defaults.{key}"), message, "delete the line"));
    }
    let key = "spark.authenticate.secret";
    let dispatcher = look.inventory.spark.as_ref().is_some_and(|spark| spark.dispatcher.is_some());
    if dispatcher && property(look, key).is_some() {
        let message = "the dispatcher refuses to start with spark.authenticate.secret";
        hits.push(Hit::error(
            format!("spark.defaults.{key}"),
            message,
            "delete it, or the dispatcher",
        ));
    }
    hits
}

fn many_dispatchers(look: &Look<'_>) -> Vec<Hit> {
    let dispatcher = look.inventory.spark.as_ref().and_then(|spark| spark.dispatcher.as_ref());
    let count = dispatcher.map_or(0, |dispatcher| dispatcher.hosts.len());
    let hit = || {
        let message = format!("{count} dispatchers know nothing of each other");
        Hit::warning("spark.dispatcher.hosts", message, "name one host")
    };
    (count > 1).then(hit).into_iter().collect()
}

/// Source: Spark 3.5.1, `ExecutorAllocationManager.validateSettings`; shuffle tracking since 3.0.
fn dynamic_allocation(look: &Look<'_>) -> Vec<Hit> {
    let on = |key: &str| property(look, key) == Some("true");
    let mut hits = Vec::new();
    let tracked = on("spark.dynamicAllocation.shuffleTracking.enabled");
    let ours = look.inventory.spark.as_ref().is_some_and(|spark| spark.shuffle.is_some());
    let asked = on("spark.shuffle.service.enabled");
    let served = property(look, "spark.shuffle.service.enabled").map_or(ours, |_| asked);
    if on("spark.dynamicAllocation.enabled") && !tracked && !served {
        let message = "Spark starts no job: executors that end would take shuffle files along";
        hits.push(Hit::error(
            "spark.defaults.spark.dynamicAllocation.enabled",
            message,
            match ours {
                false => {
                    "write spark.shuffle_service: {}, or set spark.dynamicAllocation.shuffleTracking.enabled: true \
                     (Spark 3.0)"
                }
                true => "delete the line spark.shuffle.service.enabled: false",
            },
        ));
    }
    if asked && !ours {
        let message = "jobs hang at their first executor where no shuffle service answers, and this inventory asks for none";
        hits.push(Hit::warning(
            "spark.defaults.spark.shuffle.service.enabled",
            message,
            "write spark.shuffle_service: {} for the line, or allow it with how it is run",
        ));
    }
    hits
}

/// Source: apache/spark 3.5.1: `BlockManager` (the address of an executor's service is its own, with the service's
/// port), `Utils.getConfiguredLocalDirs`, `MesosSchedulerBackendUtil`, `SecurityManager`.
fn shuffle_service(look: &Look<'_>) -> Vec<Hit> {
    let spark = look.inventory.spark.as_ref();
    let Some(shuffle) = spark.and_then(|spark| spark.shuffle.as_ref()) else { return Vec::new() };
    let mut hits = Vec::new();
    let mut error = |key: &str, message: String, help: &str| {
        hits.push(Hit::error(format!("spark.defaults.{key}"), message, help));
    };
    let said = |key| property(look, key).map(str::trim).filter(|text| !text.is_empty());
    let (port, directory) = (shuffle.port.to_string(), shuffle.directory.as_str());
    let key = "spark.shuffle.service.port";
    if let Some(other) = said(key).filter(|said| *said != port) {
        let message =
            format!("jobs look for the shuffle service on port {other}, and it listens on {port}");
        error(key, message, "delete the line; its port is `spark.shuffle_service.port`");
    }
    let key = "spark.executorEnv.SPARK_LOCAL_DIRS";
    if let Some(other) = said(key).filter(|said| *said != directory) {
        let message = format!(
            "executors keep their files in {other}, and the shuffle service serves those in {directory}"
        );
        error(key, message, "delete the line; the directory is `spark.shuffle_service.directory`");
    }
    let key = "spark.mesos.executor.docker.volumes";
    let mounts =
        |text: &str| text.split(',').any(|one| one.split(':').any(|it| it.trim() == directory));
    if said(key).is_some_and(mounts) {
        let message = format!("{directory} is mounted twice, and no container starts with that");
        error(key, message, "delete it here; `spark.shuffle_service` mounts it");
    }
    let key = "spark.mesos.network.name";
    if let Some(network) = said(key) {
        let message = format!(
            "executors in the network {network} do not reach their agent's shuffle service"
        );
        error(key, message, "delete the line, or `spark.shuffle_service`");
    }
    let key = "spark.authenticate";
    if said(key) == Some("true") {
        let message =
            "the shuffle service is given no secret, so jobs that authenticate cannot use it"
                .to_owned();
        error(key, message, "delete the line, or `spark.shuffle_service`");
    }
    let key = "spark.shuffle.service.enabled";
    if said(key) == Some("false") {
        hits.push(Hit::warning(
            format!("spark.defaults.{key}"),
            "the shuffle service runs on every agent, and no job uses it",
            "delete the line, or allow it where jobs ask for it themselves",
        ));
    }
    hits
}

fn event_logs(look: &Look<'_>) -> Vec<Hit> {
    let Some(spark) = &look.inventory.spark else { return Vec::new() };
    match &spark.history {
        None if property(look, "spark.eventLog.enabled") == Some("true") => vec![Hit::warning(
            "spark.defaults.spark.eventLog.enabled",
            "Spark stops where the directory of event logs is missing, and nobody makes it",
            "name `spark.history.hosts`, which makes and shows them, or allow it with who does",
        )],
        Some(history) if history.local().is_some() && spark.dispatcher.is_some() => {
            vec![Hit::warning(
                "spark.history.directory",
                "drivers in cluster mode leave their event logs on their agents, where nobody looks",
                "name a directory that all hosts share, as hdfs:// or s3a://, or allow it",
            )]
        }
        _ => Vec::new(),
    }
}

//! Lints on the cluster's frame: ensembles, roles, where files come from, what is allowed.

use std::collections::{BTreeMap, BTreeSet};

use super::{Found, Hit, Lint, Look};
use crate::inventory::{Fetch, MesosPackage, Source, SparkImage, ZooKeeper};
use crate::mesos::flags::did_you_mean;

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "small-ensemble",
        title: "An ensemble that fails before the masters do",
        reason: "masters elect their leader in ZooKeeper, and a leading master ends itself when it loses it",
        examples: &["zookeeper.servers={m1: 1}"],
        found: Found::Looking { needs: &["zookeeper", "mesos"], find: small_ensemble },
    },
    Lint {
        name: "too-many-masters",
        title: "More masters than do any good",
        reason: "every change waits for a majority of the masters' disks; beyond seven they only slow it down",
        examples: &[r#"mesos.masters.hosts=["m[1:9]"]"#],
        found: Found::Looking { needs: &["mesos"], find: too_many_masters },
    },
    Lint {
        name: "ensemble-on-agents",
        title: "ZooKeeper beside tasks",
        reason: "a busy agent delays ZooKeeper's disk, sessions expire, and the leading master ends itself",
        examples: &["zookeeper.servers={a1: 1, m2: 2, m3: 3}"],
        found: Found::Looking { needs: &["zookeeper", "mesos"], find: ensemble_on_agents },
    },
    Lint {
        name: "unknown-role",
        title: "A role that nobody declared and nothing is reserved for",
        reason: "such a role is made on the fly with weight 1, which is mostly a typing mistake",
        examples: &["spark.defaults.spark.mesos.role=etl"],
        found: Found::Looking { needs: &["mesos", "spark", "workloads"], find: unknown_role },
    },
    Lint {
        name: "closed-roles",
        title: "A role that the masters would refuse",
        reason: "before Mesos 0.27 a framework is refused unless its role is in the masters' list, which is \
                 made of `mesos.roles`",
        examples: &[
            "mesos.version=0.26.0\nspark.version=1.6.0\nspark.defaults.spark.mesos.role=etl",
        ],
        found: Found::Looking { needs: &["mesos", "spark", "workloads"], find: closed_roles },
    },
    Lint {
        name: "retired-download-host",
        title: "A host that serves no files any more",
        reason: "mirrors of apache.org keep current releases only and www-us is switched off; Mesosphere's \
                 repositories are gone",
        examples: &[
            "spark.archive.url=https://www-us.apache.org/dist/spark/spark-3.5.1/spark-3.5.1-bin-hadoop3.tgz",
        ],
        found: Found::Looking { needs: &["mesos", "spark", "docker"], find: retired_hosts },
    },
    Lint {
        name: "plain-http-download",
        title: "A download without https",
        reason: "whoever is on the path sees and delays it; what they change the digest finds, after the fact",
        examples: &["spark.archive.url=http://files.example/spark-3.5.1-bin-hadoop3.tgz"],
        found: Found::Looking { needs: &["mesos", "spark", "docker"], find: plain_http },
    },
    Lint {
        name: "unknown-lint",
        title: "An allow of nothing",
        reason: "an `allow` of a lint that does not exist allows nothing",
        examples: &["allow.jobs-as-rot=they are few"],
        found: Found::Looking { needs: &["allow"], find: unknown_lint },
    },
];

fn small_ensemble(look: &Look<'_>) -> Vec<Hit> {
    let (path, servers) = match &look.inventory.zookeeper {
        ZooKeeper::Managed { servers, .. } => ("zookeeper.servers", servers.len()),
        ZooKeeper::External { servers } => ("zookeeper.external", servers.len()),
    };
    let masters = look.inventory.mesos.masters.len();
    // One name of an external ensemble may stand for many.
    if path == "zookeeper.external" || servers == 0 || servers >= masters.min(3) {
        return Vec::new();
    }
    let plural = if servers == 1 { "server" } else { "servers" };
    vec![Hit::warning(
        path,
        format!("{masters} masters depend on {servers} ZooKeeper {plural}"),
        "take three servers, or five",
    )]
}

fn too_many_masters(look: &Look<'_>) -> Vec<Hit> {
    let masters = look.inventory.mesos.masters.len();
    if masters <= 7 {
        return Vec::new();
    }
    let message = format!("{masters} masters are more than the seven that make sense");
    vec![Hit::warning("mesos.masters.hosts", message, "take 3 or 5; 1 without high availability")]
}

fn ensemble_on_agents(look: &Look<'_>) -> Vec<Hit> {
    let Some(servers) = look.inventory.ensemble() else { return Vec::new() };
    // On one or two machines there is no choice.
    if servers.len() < 3 || look.inventory.hosts.len() <= servers.len() {
        return Vec::new();
    }
    let shared: Vec<&str> = servers
        .keys()
        .filter(|host| look.inventory.agent(host).is_some())
        .map(|host| host.as_str())
        .collect();
    match shared[..] {
        [] => Vec::new(),
        [first, ..] => vec![Hit::warning(
            format!("zookeeper.servers.{first}"),
            format!("agents run on {} of {} ZooKeeper servers", shared.len(), servers.len()),
            "take these hosts out of the pool, or allow this",
        )],
    }
}

/// Role → where it is asked for, but for `*`.
fn asked(look: &Look<'_>) -> BTreeMap<String, String> {
    let mut asked = BTreeMap::new();
    for application in &look.applications {
        let path = application.path("role", "spark.mesos.role");
        if application.workload.role != "*" {
            asked.entry(application.workload.role.clone()).or_insert(path);
        }
    }
    for (name, workload) in &look.inventory.workloads {
        if workload.role != "*" {
            let path = format!("workloads.{name}.role");
            asked.entry(workload.role.clone()).or_insert(path);
        }
    }
    asked
}

fn reserved<'a>(look: &'a Look<'_>) -> BTreeSet<&'a str> {
    let agents = look.inventory.agents();
    agents
        .flat_map(|(_, _, agent)| agent.resources.0.keys().map(|(_, role)| role.as_str()))
        .collect()
}

fn unknown_role(look: &Look<'_>) -> Vec<Hit> {
    let declared = &look.inventory.mesos.roles;
    let reserved = reserved(look);
    let mut hits = Vec::new();
    for (role, path) in asked(look) {
        // Where roles are declared, `undeclared-role` speaks of workloads.
        let said = !declared.is_empty() && path.starts_with("workloads.");
        if said || declared.contains_key(&role) || reserved.contains(role.as_str()) {
            continue;
        }
        let near = did_you_mean(&role, declared.keys().map(String::as_str).chain(reserved.clone()));
        let help = near.filter(|near| *near != "*").map_or_else(
            || "declare it under `mesos.roles`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        let message = format!("role `{role}` is used, but neither declared nor reserved");
        hits.push(Hit::warning(path, message, help));
    }
    hits
}

fn closed_roles(look: &Look<'_>) -> Vec<Hit> {
    let mesos = &look.inventory.mesos;
    if mesos.version.at_least(&[0, 27]) {
        return Vec::new();
    }
    let mut roles = asked(look);
    for (name, pool) in &mesos.pools {
        for role in pool.agents.values().flat_map(|a| a.resources.0.keys().map(|(_, r)| r)) {
            if role != "*" && !roles.contains_key(role) {
                roles.insert(role.clone(), format!("mesos.agents.{name}.reserved.{role}"));
            }
        }
    }
    roles
        .into_iter()
        .filter(|(role, _)| !mesos.roles.contains_key(role))
        .map(|(role, path)| {
            let message = format!("masters of Mesos {} refuse role `{role}`", mesos.version);
            Hit::error(path, message, format!("add {role}: {{ weight: 1 }} to `mesos.roles`"))
        })
        .collect()
}

/// Every URL that a host downloads from, with its path in the inventory.
pub(super) fn downloads(look: &Look<'_>) -> Vec<(String, String)> {
    fn url(fetch: &Fetch) -> Option<String> {
        match &fetch.source {
            Source::Url(url) => Some(url.clone()),
            Source::Path(_) => None,
        }
    }
    let inventory = look.inventory;
    let mut all = Vec::new();
    let mut add = |path: String, found: Option<String>| all.extend(found.map(|url| (path, url)));
    match &inventory.mesos.package {
        MesosPackage::Deb { file, .. } => add("mesos.package.deb".to_owned(), url(file)),
        MesosPackage::Apt { uri, .. } => {
            add("mesos.package.apt.uri".to_owned(), Some(uri.clone()));
        }
        MesosPackage::Preinstalled | MesosPackage::Built(_) => {}
    }
    for (index, image) in inventory.docker.images.iter().enumerate() {
        add(format!("docker.images.{index}.archive"), url(image));
    }
    if let Some(spark) = &inventory.spark {
        add("spark.archive.url".to_owned(), url(&spark.archive));
        if let SparkImage::Archive { archive, .. } = &spark.image {
            add("spark.image.archive".to_owned(), url(archive));
        }
    }
    all
}

fn retired_hosts(look: &Look<'_>) -> Vec<Hit> {
    const APACHE: &str = "take https://archive.apache.org/dist/ with the same path";
    const MESOS: &str =
        "build or keep the package yourself and name its file in `mesos.package.deb`";
    const GONE: [(&str, &str); 7] = [
        ("www-us.apache.org", APACHE),
        ("www-eu.apache.org", APACHE),
        ("d3kbcqa49mib13.cloudfront.net", APACHE),
        ("repos.mesosphere.com", MESOS),
        ("repos.mesosphere.io", MESOS),
        ("downloads.mesosphere.com", MESOS),
        ("downloads.mesosphere.io", MESOS),
    ];
    let mut hits = Vec::new();
    for (path, url) in downloads(look) {
        let host = url.split("://").nth(1).and_then(|rest| rest.split(['/', ':']).next());
        let gone = GONE.iter().find(|(name, _)| Some(*name) == host);
        if let Some((name, help)) = gone {
            hits.push(Hit::error(path, format!("{name} serves no such file any more"), *help));
        }
    }
    hits
}

fn plain_http(look: &Look<'_>) -> Vec<Hit> {
    downloads(look)
        .into_iter()
        .filter(|(path, url)| url.starts_with("http://") && !path.ends_with("apt.uri"))
        .map(|(path, _)| {
            let message = "the file is downloaded over plain http";
            Hit::warning(path, message, "write https:// if the server has it")
        })
        .collect()
}

fn unknown_lint(look: &Look<'_>) -> Vec<Hit> {
    let unknown = look.inventory.allow.keys().filter(|name| !super::is_known(name));
    unknown
        .map(|name| {
            let near = did_you_mean(name, super::all().map(|lint| lint.name));
            let help = near.map_or_else(
                || "delete it; `provision check --lints` names them all".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            Hit::warning(format!("allow.{name}"), format!("there is no lint `{name}`"), help)
        })
        .collect()
}

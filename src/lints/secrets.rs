//! Lints on secrets and on who may do what.

use serde_json::Value as Json;

use super::cluster::downloads;
use super::{Found, Hit, Lint, Look};
use crate::inventory::ProxyUrl;
use crate::inventory::ports::{self, Ports};
use crate::inventory::show::is_secret_key;
use crate::mesos::versions::Version;

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "plain-text-secret",
        title: "A secret in the inventory",
        reason: "it would stand in this file, in every copy of it, and on the hosts",
        examples: &[
            "spark.defaults.spark.ssl.keyPassword=hunter2",
            "spark.defaults.spark.authenticate.secret=hunter2",
        ],
        found: Found::Looking { needs: &["mesos", "spark", "docker", "proxy"], find: plain_text },
    },
    Lint {
        name: "unread-credential",
        title: "A secret that Spark does not read",
        reason: "the secret reaches Spark in a file, named by spark.mesos.secret.file, which came with \
                 Spark 2.4.0; an older driver registers without it and is refused",
        examples: &[
            "spark.version=2.3.0\nmesos.credentials.framework={principal: spark, secret: {env: SPARK_SECRET}}",
        ],
        found: Found::Looking { needs: &["mesos", "spark"], find: unread_credential },
    },
    Lint {
        name: "jobs-as-root",
        title: "Jobs that are root on every agent",
        reason: "Mesos runs tasks as the user who submitted them",
        examples: &["spark.user=root"],
        found: Found::Looking { needs: &["spark"], find: as_root },
    },
    Lint {
        name: "open-ports",
        title: "Ports that ask for no credential",
        reason: "who registers as a framework runs commands on every agent, as any user; who registers as an \
                 agent is sent tasks with what they know; who reaches the masters' HTTP ends any of them",
        examples: &["allow={}"],
        found: Found::Looking {
            needs: &["zookeeper", "mesos", "docker", "spark", "retired"],
            find: open_ports,
        },
    },
];

/// Says where, never what.
fn plain_text(look: &Look<'_>) -> Vec<Hit> {
    let inventory = look.inventory;
    let mut hits = Vec::new();
    if let Some(spark) = &inventory.spark {
        for (key, value) in &spark.defaults {
            // A file, a variable, a secret of a store or a class is named, not its content; or it is a switch.
            let named = [
                ".file",
                ".filenames",
                ".envkeys",
                ".names",
                ".path",
                ".provider",
                "Provider",
                "keyStore",
                "trustStore",
            ];
            let switch = matches!(value.as_str(), "" | "true" | "false");
            if !is_secret_key(key) || switch || named.iter().any(|end| key.ends_with(end)) {
                continue;
            }
            let path = format!("spark.defaults.{key}");
            let message = format!("`{key}` holds a secret in plain text");
            hits.push(match key.as_str() {
                "spark.mesos.secret"
                | "spark.mesos.driver.secret.values"
                | "spark.mesos.executor.secret.values"
                | "spark.authenticate.secret" => {
                    Hit::error(path, message, "write `mesos.credentials.framework` instead")
                }
                _ => Hit::warning(
                    path,
                    message,
                    "name a file that holds it, or pass it when submitting",
                ),
            });
        }
        for (key, value) in &spark.env {
            if is_secret_key(key) && !value.is_empty() && !value.starts_with('/') {
                let message = format!("`{key}` holds a secret in plain text");
                let help = "set it in the environment of whoever submits";
                hits.push(Hit::warning(format!("spark.env.{key}"), message, help));
            }
        }
        let lines = spark.defaults.iter().map(|line| ("spark.defaults", line));
        let lines = lines.chain(spark.env.iter().map(|line| ("spark.env", line)));
        for (path, (key, _)) in lines.filter(|(_, (_, value))| url_with_password(value)) {
            let message = format!("the URL in `{key}` holds a password");
            let help = "name a file that holds it, or pass it when submitting";
            hits.push(Hit::warning(format!("{path}.{key}"), message, help));
        }
    }
    for (path, url) in downloads(look) {
        if url_with_password(&url) {
            let message = "the URL of this download holds a password";
            let help = "let the server admit these hosts without one, or name a local file";
            hits.push(Hit::warning(path, message, help));
        }
    }
    let proxies = [("http", &inventory.proxy.http), ("https", &inventory.proxy.https)];
    for (name, url) in proxies {
        let Some(ProxyUrl::Open(url)) = url else { continue };
        if url.split('/').nth(2).is_some_and(|host| host.contains('@')) {
            let message = "the URL of the proxy holds a password";
            let help = format!("write where it is found, such as {name}: {{ env: PROXY_URL }}");
            hits.push(Hit::warning(format!("proxy.{name}"), message, help));
        }
    }
    for (key, value) in &inventory.docker.daemon {
        if holds_secret(key, value) {
            let message = format!("`{key}` holds a secret in plain text");
            let help = "name a file that holds it";
            hits.push(Hit::warning(format!("docker.daemon.{key}"), message, help));
        }
    }
    let masters =
        inventory.mesos.master_flags.iter().map(|(k, v)| ("mesos.masters".to_owned(), k, v));
    let agents = inventory.mesos.pools.iter().filter_map(|(name, pool)| {
        let agent = pool.agents.values().next()?;
        Some(agent.flags.iter().map(move |(k, v)| (format!("mesos.agents.{name}"), k, v)))
    });
    for (path, flag, value) in masters.chain(agents.flatten()) {
        // Those that take a secret by itself take it as a path.
        if serde_json::from_str(value).is_ok_and(|json| holds_secret("", &json)) {
            let message = format!("the flag `{flag}` holds a secret in plain text");
            let help = format!("write {flag}: file:///… and keep that file 0600");
            hits.push(Hit::error(format!("{path}.flags.{flag}"), message, help));
        }
    }
    hits
}

/// Whether there is a password, or text below a key that names one, anywhere in it.
fn holds_secret(key: &str, value: &Json) -> bool {
    match value {
        // `auth` is what Docker's config.json calls a user and password.
        Json::String(text) if is_secret_key(key) || key == "auth" => !text.is_empty(),
        Json::String(text) => url_with_password(text),
        Json::Array(list) => list.iter().any(|value| holds_secret(key, value)),
        Json::Object(map) => map.iter().any(|(key, value)| holds_secret(key, value)),
        _ => false,
    }
}

/// `scheme://user:password@host`.
fn url_with_password(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '?', '#', ' ', ',']).next().unwrap_or("");
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    })
}

fn unread_credential(look: &Look<'_>) -> Vec<Hit> {
    let spark = look.inventory.spark.as_ref().map(|spark| &spark.version);
    let old = spark.filter(|spark| !spark.at_least(&[2, 4]));
    let wanted = look.inventory.mesos.credentials.framework.is_some();
    let hit = |spark: &Version| {
        let message = format!("Spark {spark} reads no secret from a file");
        Hit::error("mesos.credentials.framework", message, "take Spark 2.4.0 or later")
    };
    old.filter(|_| wanted).map(hit).into_iter().collect()
}

fn as_root(look: &Look<'_>) -> Vec<Hit> {
    let root = look.inventory.spark.as_ref().is_some_and(|spark| spark.user == "root");
    let hit = || {
        let message = "jobs are submitted as root, and run as root on every agent";
        Hit::warning("spark.user", message, "delete the line; an account `spark` is made")
    };
    root.then(hit).into_iter().collect()
}

/// Only while the masters ask nobody, or not everybody; what asks for nothing even then is in the table of
/// `check --ports`.
fn open_ports(look: &Look<'_>) -> Vec<Hit> {
    let mesos = &look.inventory.mesos;
    let (credentials, may) = (&mesos.credentials, |since: [u32; 2]| mesos.version.at_least(&since));
    // What a release cannot ask for it is not blamed for.
    let asks = [
        ("agents", credentials.agent.is_some()),
        ("frameworks", credentials.framework.is_some()),
        ("whoever comes over HTTP", credentials.operator.is_some() || !may([1, 0])),
        ("whoever writes the masters' znodes", mesos.access.writer.is_some() || !may([1, 5])),
    ];
    let unasked: Vec<&str> = asks.iter().filter(|(_, asked)| !asked).map(|(who, _)| *who).collect();
    let who = match unasked.as_slice() {
        [] => return Vec::new(),
        [who] => (*who).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    };
    let mut open: Vec<String> = Vec::new();
    for one in ports::open(look.inventory) {
        let door = format!("{} {}", one.component, one.ports);
        let known = matches!(one.ports, Ports::Known(..));
        if one.credential.is_none() && known && !open.contains(&door) {
            open.push(door);
        }
    }
    let message = format!("no credential is asked of {who}, nor of anybody at {}", open.join(", "));
    let help = "write `mesos.credentials`, `zookeeper.credentials` and `zookeeper.quorum_auth`; or close the ports (`provision check --ports=nftables`), then allow \
                this with that reason";
    vec![Hit::warning("mesos.credentials", message, help)]
}

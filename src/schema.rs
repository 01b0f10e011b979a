//! The shape of inventories as a JSON Schema (draft-07, the newest that YAML language servers read).
//!
//! It says what the text alone decides: keys, types, words. What hosts, versions and sums decide stays
//! with `check`. A test holds it and the parser against each other.

use serde_json::{Map, Value, json};

use crate::mesos::flags::{self, Component, Kind, ValueKind};
use crate::mesos::properties;

/// The schema.
pub fn schema() -> Value {
    let fields = [
        need("version", "Version of this format.", json!({ "enum": [1, "1"] })),
        need(
            "cluster",
            "Name of the cluster: letters, digits, `.`, `_` and `-`.",
            word("^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$"),
        ),
        may("vars", "Variables for templates, seen as `vars.NAME`.", free_map()),
        may("ssh", "How hosts are reached; what is not said, your ssh_config decides.", ssh(&[])),
        may("proxy", "Proxies for apt, downloads and Docker.", proxy()),
        need(
            "hosts",
            "Every machine. A range such as a[01:20] stands for many; its address needs one as long.",
            map(host()),
        ),
        may("base", "What is asked of every host.", base()),
        need("zookeeper", "The ensemble that masters elect their leader in.", zookeeper()),
        need("mesos", "Mesos itself.", mesos()),
        may("docker", "The Docker engine of the agents.", docker()),
        may("spark", "Spark; leave it out for a bare Mesos cluster.", spark()),
        may("workloads", "Applications on paper, for `provision simulate`.", map(workload())),
        may("smoke", "How the cluster is proven.", smoke()),
        may(
            "retired",
            "Hosts of `hosts` that are in no task any more: a list, or host: stop or gone.",
            json!({ "anyOf": [list(scalar()), map(json!({ "enum": ["stop", "gone"] }))] }),
        ),
        may("allow", "Lints that may stand, each with the reason: name: reason.", map(scalar())),
    ];
    let mut schema = object(fields);
    if let Value::Object(map) = &mut schema {
        map.insert("$schema".to_owned(), "http://json-schema.org/draft-07/schema#".into());
        map.insert("title".to_owned(), "Inventory of provision".into());
    }
    schema
}

/// A key of a map.
struct Field {
    name: &'static str,
    required: bool,
    schema: Value,
}

fn need(name: &'static str, description: &str, schema: Value) -> Field {
    Field { required: true, ..may(name, description, schema) }
}

fn may(name: &'static str, description: &str, mut schema: Value) -> Field {
    if let Value::Object(map) = &mut schema {
        map.insert("description".to_owned(), description.into());
    }
    Field { name, required: false, schema }
}

/// A map with these keys and no others.
fn object(fields: impl IntoIterator<Item = Field>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in fields {
        if field.required {
            required.push(Value::from(field.name));
        }
        properties.insert(field.name.to_owned(), field.schema);
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// No control characters; a line break is one.
const TEXT: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";
const KEY: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$";

/// Whatever stands on one line: numbers and booleans keep their text.
fn scalar() -> Value {
    json!({ "type": ["string", "number", "boolean"], "pattern": TEXT })
}

/// Text of a pattern that plain numbers and booleans meet as well.
fn word(pattern: &str) -> Value {
    json!({ "type": ["string", "number", "boolean"], "pattern": pattern, "minimum": 0 })
}

/// Text of a pattern that no number meets.
fn text(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

/// A whole number, perhaps in quotes.
fn whole(least: u64, most: Option<u64>, quoted: &str) -> Value {
    let mut number = json!({ "type": "integer", "minimum": least });
    if let (Some(most), Value::Object(map)) = (most, &mut number) {
        map.insert("maximum".to_owned(), most.into());
    }
    json!({ "anyOf": [number, text(quoted)] })
}

fn count() -> Value {
    whole(1, Some(u64::from(u32::MAX)), "^0*[1-9][0-9]{0,8}$")
}

fn port() -> Value {
    let digits =
        "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]";
    whole(1, Some(65_535), &format!("^0*({digits})$"))
}

fn boolean() -> Value {
    json!({ "enum": [true, false, "true", "false"] })
}

fn yes() -> Value {
    json!({ "enum": [true, "true"] })
}

/// A Mesos duration above nothing.
fn duration() -> Value {
    text("^(?=.*[1-9])([0-9]+\\.?[0-9]*|\\.[0-9]+)(ns|us|ms|secs|mins|hrs|days|weeks)$")
}

/// Mesos bytes; that they make a whole MiB, `check` says.
fn bytes() -> Value {
    text("^0*[1-9][0-9]*([bB]|[kKmMgGtT][bB])$")
}

fn list(items: impl Into<Value>) -> Value {
    let items: Value = items.into();
    json!({ "type": "array", "items": items })
}

/// A map whose keys are the user's.
fn map(values: impl Into<Value>) -> Value {
    let values: Value = values.into();
    json!({
        "type": "object",
        "propertyNames": { "pattern": KEY },
        "additionalProperties": values,
    })
}

fn free_map() -> Value {
    json!({ "type": "object", "propertyNames": { "pattern": KEY } })
}

/// Printable ASCII but quotes, blanks, braces and the like.
const URL: &str = "^https?://(?!/)[!#-&(-;=?-\\[\\]_a-z~]+$";

fn url() -> Value {
    text(URL)
}

/// A path, or a URL; what begins as a URL must be one.
fn source() -> Value {
    let pattern = format!("^(?!https?://)[^\\u0000-\\u001f\\u007f-\\u009f]*$|{URL}");
    json!({ "type": ["string", "number", "boolean"], "pattern": pattern })
}

/// At least two characters, which of the whole numbers those from 10 have.
fn debian_package() -> Value {
    json!({ "anyOf": [
        { "type": ["string", "boolean"], "pattern": "^[a-z0-9][a-z0-9+.-]+$" },
        { "type": "number", "minimum": 10 },
        { "type": "number", "minimum": 0, "not": { "type": "integer" } },
    ] })
}

fn reference() -> Value {
    word("^[A-Za-z0-9][A-Za-z0-9._/:@-]*$")
}

fn ssh(more: &[(&'static str, &str, Value)]) -> Value {
    let own = more.iter().map(|(name, description, schema)| may(name, description, schema.clone()));
    let fields = [
        may("user", "Login user.", word("^[A-Za-z0-9._@\\\\+][A-Za-z0-9._@\\\\+-]*$")),
        may("port", "TCP port.", port()),
        may("identity_file", "Private key file.", scalar()),
        may(
            "proxy_jump",
            "Hosts to jump through, user@host:port.",
            word("^(?!-)(?!.*,-)[A-Za-z0-9._@:,\\[\\]/-]+$"),
        ),
        may("known_hosts", "File of known host keys, instead of yours.", scalar()),
        may("config_file", "ssh_config file, instead of yours.", scalar()),
        may("connect_timeout", "Limit for connecting, such as 10secs.", duration()),
        may("become", "Whether to become root with sudo.", boolean()),
    ];
    object(own.chain(fields))
}

fn proxy() -> Value {
    object([
        may("http", "Proxy for http.", url()),
        may("https", "Proxy for https.", url()),
        may(
            "no_proxy",
            "Hosts reached directly, comma separated.",
            word("^(?!-)[A-Za-z0-9.,:*/_\\[\\]-]+$"),
        ),
    ])
}

fn host() -> Value {
    let label = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
    let own = [(
        "host",
        "What ssh connects to, where that is not the address.",
        word("^[A-Za-z0-9._:%][A-Za-z0-9._:%-]*$"),
    )];
    object([
        need("address", "What the other hosts reach it by: an IP address.", scalar()),
        may(
            "hostname",
            "What Mesos announces; the address unless said otherwise.",
            word(&format!("^(?=.{{1,253}}$){label}(\\.{label})*$")),
        ),
        may("ssh", "How this host is reached, over the cluster's settings.", ssh(&own)),
        may(
            "vars",
            "Variables of this host, seen as `host.vars.NAME` and `vars.NAME`.",
            free_map(),
        ),
    ])
}

fn base() -> Value {
    object([may(
        "cgroup_v1",
        "Write the kernel argument that boots with cgroup v1, which the docker containerizer needs.",
        boolean(),
    )])
}

fn zookeeper() -> Value {
    let myid = whole(1, Some(255), "^0*([1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])$");
    json!({ "oneOf": [
        object([
            need("servers", "host: myid (1 to 255), by hand so that it never changes.", map(myid)),
            may("config", "Lines of zoo.cfg over our defaults; templates.", map(scalar())),
        ]),
        object([need("external", "An ensemble that is not ours: host:port,host:port/path.", scalar())]),
    ] })
}

fn digests() -> [Field; 2] {
    [
        may("sha256", "SHA-256 of the file, in hex.", text("^[0-9A-Fa-f]{64}$")),
        may("sha512", "SHA-512 of the file, in hex.", text("^[0-9A-Fa-f]{128}$")),
    ]
}

/// A file with its digest; one digest, not both.
fn fetch(field: Field, more: impl IntoIterator<Item = Field>) -> Value {
    let mut schema = object([field].into_iter().chain(digests()).chain(more));
    if let Value::Object(map) = &mut schema {
        map.insert("not".to_owned(), json!({ "required": ["sha256", "sha512"] }));
    }
    schema
}

fn mesos() -> Value {
    object([
        need("version", "Version of the package, such as 1.11.0.", scalar()),
        need("package", "Where the package comes from.", package()),
        may(
            "roles",
            "Roles with their weights.",
            map(object([need(
                "weight",
                "Share relative to other roles; above 0; a template.",
                scalar(),
            )])),
        ),
        need(
            "masters",
            "The masters; their quorum is computed.",
            object([
                need("hosts", "Hosts that run a master: 1, 3, 5 or 7.", list(scalar())),
                may("flags", "Flags of the masters; templates.", daemon_flags(Component::Master)),
            ]),
        ),
        need("agents", "Pools: agents that share settings.", map(pool())),
        may(
            "credentials",
            "Authentication; leave it out for none.",
            object([
                may("agent", "What agents authenticate with.", credential()),
                may("framework", "What Spark authenticates with.", credential()),
                may(
                    "former",
                    "What masters accept beside these, during a rotation.",
                    list(credential()),
                ),
            ]),
        ),
    ])
}

fn package() -> Value {
    let name = || word("^[A-Za-z0-9._/][A-Za-z0-9._/-]*$");
    let uri = json!({ "anyOf": [url(), text("^file:/[^ '\\u0000-\\u001f\\u007f-\\u009f]*$")] });
    let apt = object([
        need("uri", "Base URI of the repository.", uri),
        need("suite", "Suite, such as bookworm.", name()),
        may("components", "Components; main unless said otherwise.", list(name())),
        may("key", "File with the key that the lists are signed with, ASCII-armoured.", scalar()),
    ]);
    json!({ "oneOf": [
        fetch(need("deb", "A .deb file: a path, or a URL with its digest.", source()), []),
        object([need("apt", "An apt repository.", apt)]),
        object([need("preinstalled", "true: you see to it.", yes())]),
    ] })
}

/// Any property; those of the last Spark with Mesos with what is known of them.
fn properties() -> Value {
    let read = properties::all().iter().filter(|property| {
        !property.name.ends_with('*')
            && property.until.is_none()
            && property.kind != properties::Kind::Unread
    });
    described(read.map(|property| {
        let (wanted, example) = property.kind.words();
        (&property.name, format!("{wanted}, such as {example}; since Spark {}", property.since))
    }))
}

/// Any flag, for templates and other releases; those of the last release with what is known of them.
fn daemon_flags(component: Component) -> Value {
    let version = flags::last_release();
    let known = flags::all(component)
        .iter()
        .filter(|flag| flag.kind == Kind::Primary && flag.exists_in(&version));
    described(known.map(|flag| {
        let kind = match flag.kind_of_value {
            ValueKind::Bool => "true or false",
            ValueKind::Bytes => "a size such as 16GB",
            ValueKind::Double => "a number",
            ValueKind::Duration => "a duration such as 5mins",
            ValueKind::Int => "a whole number",
            ValueKind::IntList => "whole numbers, comma separated",
            ValueKind::Json => "JSON, or a path to it",
            ValueKind::Path => "a path",
            ValueKind::Percent => "a percentage such as 10%",
            ValueKind::Rate => "a rate such as 1/10mins",
            ValueKind::Set => "words, comma separated",
            ValueKind::Text => "text",
        };
        let default =
            flag.default.as_deref().map_or_else(String::new, |d| format!(", default {d}"));
        let note = flag.note.as_deref().map_or_else(String::new, |note| format!("; {note}"));
        (&flag.name, format!("{kind}{default}{note}"))
    }))
}

/// Any keys, some of them with a description.
fn described<'a>(known: impl Iterator<Item = (&'a String, String)>) -> Value {
    let named = known.map(|(name, description)| {
        let mut schema = scalar();
        if let Value::Object(map) = &mut schema {
            map.insert("description".to_owned(), description.into());
        }
        (name.clone(), schema)
    });
    let mut schema = map(scalar());
    if let Value::Object(map) = &mut schema {
        map.insert("properties".to_owned(), Value::Object(named.collect()));
    }
    schema
}

fn pool() -> Value {
    let resources = || map(json!({ "anyOf": [scalar(), list(scalar())] }));
    let batch = json!({ "anyOf": [
        { "type": "integer", "minimum": 1 },
        text("^0*[1-9][0-9]{0,8}$"),
        text("^0*([1-9][0-9]?|100)%$"),
    ] });
    object([
        need("hosts", "Hosts, or ranges of them.", list(scalar())),
        may("vars", "Variables of the pool.", free_map()),
        may(
            "attributes",
            "What constraints match; templates. Text is matched, numbers compared.",
            map(scalar()),
        ),
        may(
            "resources",
            "The total of each agent: cpus, mem, disk, ports, …; templates.",
            resources(),
        ),
        may(
            "reserved",
            "Of which so much for a role alone: role: {cpus: …, mem: …}.",
            map(resources()),
        ),
        may("flags", "Flags of the agents; templates.", daemon_flags(Component::Agent)),
        may("batch", "How many may be restarted together: a count or 20%.", batch),
    ])
}

fn credential() -> Value {
    let variable = json!({ "type": ["string", "boolean"], "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" });
    let secret = json!({ "oneOf": [
        object([need("env", "An environment variable of yours.", variable)]),
        object([need("file", "A file of yours.", scalar())]),
        object([need("command", "A command of yours that prints it.", scalar())]),
        object([need("prompt", "true: asked at the terminal.", yes())]),
    ] });
    object([
        need("principal", "The name; not secret.", word("^[A-Za-z0-9._][A-Za-z0-9._-]*$")),
        need("secret", "Where the secret is; never the secret itself.", secret),
    ])
}

fn docker() -> Value {
    let archive = need("archive", "A path, or a URL with its digest.", source());
    object([
        may(
            "package",
            "Debian package of the engine; docker.io unless said otherwise.",
            debian_package(),
        ),
        may("daemon", "/etc/docker/daemon.json.", free_map()),
        may(
            "images",
            "Archives that every agent loads, as `docker save` writes them.",
            list(fetch(archive, [])),
        ),
    ])
}

fn spark() -> Value {
    let archive = json!({ "oneOf": [
        fetch(need("url", "Each host downloads it; needs its digest.", url()), []),
        fetch(need("path", "On this machine; pushed.", source()), []),
    ] });
    let clients = need("hosts", "Hosts.", list(scalar()));
    object([
        need("version", "Version of the archive; 3.5 is the last line with Mesos.", scalar()),
        need("archive", "The .tgz as Apache releases it.", archive),
        may("java", "Debian package of the Java runtime.", debian_package()),
        may(
            "user",
            "Who submits; made on clients and agents.",
            json!({ "type": ["string", "boolean"], "pattern": "^[a-z_][a-z0-9_-]{0,31}$" }),
        ),
        may("image", "The image that executors run in.", image()),
        may("defaults", "Lines of spark-defaults.conf; templates.", properties()),
        may("env", "Lines of spark-env.sh; templates.", map(scalar())),
        may("clients", "Where jobs are submitted from.", object([clients])),
        may(
            "dispatcher",
            "The MesosClusterDispatcher, for --deploy-mode cluster.",
            object([
                need("hosts", "The one host it runs on.", list(scalar())),
                may("port", "REST port; 7077 unless said otherwise.", port()),
            ]),
        ),
    ])
}

fn image() -> Value {
    let digest = text("^[A-Za-z0-9][A-Za-z0-9._/:-]*@sha256:[0-9A-Fa-f]{64}$");
    let tag = || reference();
    json!({ "anyOf": [
        object([
            may("tag", "Name given to the image.", tag()),
            may("base", "Image to build on.", reference()),
            may("packages", "Debian packages put into it beside Java.", list(debian_package())),
        ]),
        object([need("registry", "Pulled by every agent: name@sha256:….", digest)]),
        fetch(
            need("archive", "Loaded by every agent: a path, or a URL with its digest.", source()),
            [need("tag", "Name that the archive holds.", tag())],
        ),
    ] })
}

fn workload() -> Value {
    let executors = object([
        may("cores", "spark.executor.cores; all that an offer holds when not set.", count()),
        need("memory", "spark.executor.memory, such as 4GB.", bytes()),
        may("overhead", "spark.mesos.executor.memoryOverhead, such as 512MB.", bytes()),
    ]);
    object([
        need("executors", "One executor.", executors),
        may("role", "spark.mesos.role; * when not set.", scalar()),
        may("cores_max", "spark.cores.max; everything when not set.", count()),
        may("constraints", "spark.mesos.constraints, such as rack:r1,r2;ssd:.", scalar()),
    ])
}

fn smoke() -> Value {
    object([
        may("slices", "Slices of the Pi; 10 unless said otherwise.", count()),
        may("each_agent", "Whether a Pi is pinned to every agent.", boolean()),
        may("timeout", "Limit of one Pi; 3mins unless said otherwise.", duration()),
    ])
}

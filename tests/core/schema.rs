//! The schema and the parser agree on shape: what one takes, the other takes.

use std::path::Path;

use jsonschema::Validator;
use proptest::prelude::*;
use provision::commands::init::{Layout, inventory};
use provision::inventory::explain;
use provision::inventory::schema::schema;
use provision::lints::load::{Lab, load_text};
use serde_json::{Value, json};

/// What the parser says where the text alone is wrong.
const SHAPE: [&str; 6] =
    ["wrong-type", "unknown-key", "missing-key", "one-of", "empty-value", "unsafe-text"];

fn validator() -> Validator {
    jsonschema::draft7::new(&schema()).expect("a schema of draft-07")
}

/// The parser's mistakes of shape; JSON is YAML.
fn shape_problems(value: &Value) -> Vec<String> {
    let text = serde_json::to_string(value).expect("JSON");
    let problems = match load_text("i", text.as_bytes(), Path::new("/nowhere"), &[], Lab::Yes) {
        Ok(loaded) => loaded.warnings,
        Err(refused) => refused.problems,
    };
    let shape = problems.iter().filter(|problem| SHAPE.contains(&problem.name));
    shape.map(ToString::to_string).collect()
}

fn agree(validator: &Validator, value: &Value) -> Result<(), String> {
    let problems = shape_problems(value);
    let valid = validator.is_valid(value);
    if valid == problems.is_empty() {
        return Ok(());
    }
    let errors: Vec<String> =
        validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    Err(format!("schema: {errors:#?}\nparser: {problems:#?}\n{value:#}"))
}

/// Every key that the format has.
fn whole() -> Value {
    let hex = "0a".repeat(32);
    json!({
        "version": 1,
        "cluster": "c",
        "vars": { "a": [1, null, { "b": true }] },
        "ssh": { "user": "ops", "port": 22, "identity_file": "~/k", "proxy_jump": "a@b:22,c", "known_hosts": "k",
                 "config_file": "c", "connect_timeout": "10secs", "become": true },
        "proxy": { "http": "http://p:3128", "https": "http://p:3128", "no_proxy": "localhost,10.0.0.0/8" },
        "seed": "host",
        "hosts": {
            "m1": { "address": "10.0.0.1", "hostname": "m1.example", "ssh": { "host": "10.1.0.1", "port": "2222" },
                    "vars": { "x": 1 } },
            "a1": { "address": "10.0.0.2" },
            "z1": { "address": "10.0.0.3" },
        },
        "base": { "cgroup_v1": false },
        "zookeeper": { "servers": { "m1": 1 }, "config": { "tickTime": 2000 },
                       "credentials": { "principal": "zk", "secret": { "env": "ZK" } } },
        "mesos": {
            "version": "1.11.0",
            "package": { "preinstalled": true },
            "roles": { "etl": { "weight": 2.5 } },
            "masters": { "hosts": ["m1"], "flags": { "offer_timeout": "30secs" } },
            "agents": { "p": {
                "hosts": ["a1"], "vars": {}, "attributes": { "rack": "r1", "n": 5, "b": true },
                "resources": { "cpus": 4, "mem": "8GB", "disk": "9GB", "ports": ["31000-32000"] },
                "reserved": { "etl": { "cpus": 1 } }, "flags": { "switch_user": true }, "batch": "20%",
            } },
            "credentials": {
                "agent": { "principal": "agent", "secret": { "env": "SECRET" } },
                "operator": { "principal": "op", "secret": { "env": "OP" },
                              "former": { "principal": "op0", "secret": { "env": "OP0" } } },
                "viewer": { "principal": "viewer", "secret": { "env": "VIEWER" } },
                "framework": { "principal": "spark", "secret": { "prompt": true } },
                "former": [{ "principal": "old", "secret": { "command": "print it" } }],
            },
            "tls": { "certificate": "{{ host.name }}.pem", "key": { "file": "{{ host.name }}.key" }, "ca": "ca.pem",
                     "plain": true, "client_certificates": false },
        },
        "docker": { "package": "docker.io", "daemon": { "log-driver": "local" },
                    "images": [{ "archive": "https://x/y.tar", "sha256": hex }] },
        "spark": {
            "version": "3.5.1", "archive": { "url": "https://x/s.tgz", "sha256": hex },
            "java": "openjdk-17-jre-headless", "user": "spark",
            "image": { "tag": "t:1", "base": "debian:12", "packages": ["curl"], "build": "once" },
            "defaults": { "spark.cores.max": 4 }, "env": { "A": "b" },
            "clients": { "hosts": ["m1"] }, "dispatcher": { "hosts": ["m1"], "port": 7077 },
        },
        "workloads": { "w": { "role": "etl", "executors": { "cores": 1, "memory": "1GB", "overhead": "400MB" },
                              "cores_max": 4, "constraints": "rack:r1" } },
        "smoke": { "slices": 10, "each_agent": true, "timeout": "3mins" },
        "retired": ["z1"],
        "allow": { "cores-max-unset": "one job" },
    })
}

/// Other words for parts of it.
fn variants() -> Vec<(&'static str, Value)> {
    let hex = "AB".repeat(64);
    vec![
        ("/zookeeper", json!({ "external": "zk1:2181/mesos" })),
        ("/zookeeper", json!({ "external": "zk1:2181", "config": {} })),
        ("/zookeeper", json!({ "external": "zk1:2181", "servers": { "m1": 1 } })),
        ("/zookeeper", json!({ "config": {} })),
        ("/mesos/package", json!({ "deb": "x.deb", "sha512": hex })),
        ("/mesos/package", json!({ "deb": "x.deb", "sha512": hex, "sha256": "0".repeat(64) })),
        (
            "/mesos/package",
            json!({ "apt": { "uri": "file:/x", "suite": "bookworm", "components": ["main"], "key": "k" } }),
        ),
        ("/mesos/package", json!({ "apt": { "suite": "bookworm" } })),
        ("/mesos/package", json!({ "apt": { "uri": "ftp://x", "suite": "a b" } })),
        ("/mesos/package", json!({})),
        ("/mesos/package", json!({ "preinstalled": false })),
        ("/spark/archive", json!({ "path": "s.tgz" })),
        ("/spark/archive", json!({ "path": "s.tgz", "url": "https://x/y" })),
        ("/spark/archive", json!({ "url": "https://x/{y}" })),
        ("/spark/image", json!({ "registry": format!("r/x@sha256:{}", "0".repeat(64)) })),
        ("/spark/image", json!({ "registry": "r/x:latest" })),
        ("/spark/image", json!({ "registry": format!("r/x@sha256:{}", "A".repeat(64)) })),
        ("/spark/image", json!({ "tag": "Spark:3" })),
        ("/spark/image", json!({ "tag": "Host/spark:V3" })),
        ("/spark/image", json!({ "tag": "localhost:5000/a__b/c--d:V3", "base": "a:b:c" })),
        ("/spark/image", json!({ "tag": "a_-b" })),
        ("/spark/image", json!({ "tag": "host:/a" })),
        ("/ssh", json!({ "user": "CORP\\ops" })),
        ("/ssh", json!({ "user": "ops\\" })),
        ("/spark/image", json!({ "archive": "a.tar", "tag": "x" })),
        ("/spark/image", json!({ "archive": "a.tar" })),
        ("/spark/image", json!({ "archive": "a.tar", "tag": "x", "base": "y" })),
        ("/spark/image", json!({})),
        ("/retired", json!({ "z1": "gone" })),
        ("/retired", json!({ "z1": "lost" })),
        ("/mesos/credentials/agent/secret", json!({ "file": "x" })),
        ("/mesos/credentials/agent/secret", json!({ "command": "x", "env": "A" })),
        ("/mesos/credentials/agent/secret", json!("hunter2")),
    ]
}

fn set(root: &mut Value, pointer: &str, value: Value) {
    *root.pointer_mut(pointer).expect(pointer) = value;
}

#[test]
fn every_key_is_taken_by_both() {
    let value = whole();
    assert_eq!(shape_problems(&value), Vec::<String>::new());
    agree(&validator(), &value).unwrap();
    for key in schema()["properties"].as_object().unwrap().keys() {
        assert!(value.get(key).is_some(), "the test's inventory lacks {key}");
    }
}

#[test]
fn variants_are_judged_alike() {
    let validator = validator();
    let mut disagree = Vec::new();
    for (pointer, variant) in variants() {
        let mut value = whole();
        set(&mut value, pointer, variant.clone());
        if let Err(why) = agree(&validator, &value) {
            disagree
                .push(format!("{pointer} = {variant}\n{}", why.split("\n{").next().unwrap_or("")));
        }
    }
    assert!(disagree.is_empty(), "{}", disagree.join("\n\n"));
}

/// Each value of the inventory replaced by each of these.
#[test]
fn replaced_values_are_judged_alike() {
    let validator = validator();
    let mut pointers = Vec::new();
    collect(&whole(), String::new(), &mut pointers);
    let mut disagree = Vec::new();
    for pointer in &pointers {
        // Free values are nobody's business.
        if pointer.starts_with("/vars") {
            continue;
        }
        for replacement in words() {
            let mut value = whole();
            set(&mut value, pointer, replacement.clone());
            if let Err(why) = agree(&validator, &value) {
                disagree.push(format!(
                    "{pointer} = {replacement}\n{}",
                    why.split("\n{\n").next().unwrap_or("")
                ));
            }
        }
    }
    assert!(disagree.is_empty(), "{} cases\n{}", disagree.len(), disagree.join("\n\n"));
}

#[test]
fn every_field_is_described() {
    fn walk(schema: &Value, path: &str, bare: &mut Vec<String>) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            for (name, field) in properties {
                let path = format!("{path}.{name}");
                if field.get("description").and_then(Value::as_str).is_none_or(str::is_empty) {
                    bare.push(path.clone());
                }
                walk(field, &path, bare);
            }
        }
        for key in ["additionalProperties", "items"] {
            if let Some(inner) = schema.get(key) {
                walk(inner, path, bare);
            }
        }
        for key in ["anyOf", "oneOf"] {
            for inner in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
                walk(inner, path, bare);
            }
        }
    }
    let mut bare = Vec::new();
    walk(&schema(), "", &mut bare);
    assert_eq!(bare, Vec::<String>::new());
}

/// Where the whole inventory has the key, the parser judges too.
#[test]
fn every_default_and_every_example_is_taken() {
    let (validator, mut seen) = (validator(), 0);
    let mut judge = |pointer: &str, field: &Value| {
        let examples = field.get("examples").and_then(Value::as_array).into_iter().flatten();
        for value in examples.chain(field.get("default")) {
            seen += 1;
            assert!(jsonschema::draft7::is_valid(field, value), "{pointer} = {value}");
            let mut inventory = whole();
            if inventory.pointer(pointer).is_some() {
                set(&mut inventory, pointer, value.clone());
                agree(&validator, &inventory).unwrap();
            }
        }
    };
    fields(&schema(), "", &whole(), &mut judge);
    assert!(seen > 80, "{seen}");
}

/// Calls `each` with every field of a schema and where the value has it.
fn fields(schema: &Value, at: &str, value: &Value, each: &mut impl FnMut(&str, &Value)) {
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let at = format!("{at}/{name}");
        each(&at, field);
        fields(field, &at, value, each);
    }
    let inside = value.pointer(at).and_then(|value| match value {
        Value::Object(map) => map.keys().next().cloned(),
        _ => Some("0".to_owned()),
    });
    let inside = format!("{at}/{}", inside.unwrap_or_default());
    for key in ["additionalProperties", "items"] {
        if let Some(one) = schema.get(key) {
            fields(one, &inside, value, each);
        }
    }
    for key in ["anyOf", "oneOf"] {
        for one in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
            fields(one, at, value, each);
        }
    }
}

/// `provision explain --markdown > docs/inventory.md` writes it anew.
#[test]
fn the_reference_is_what_is_declared() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/inventory.md");
    assert_eq!(std::fs::read_to_string(page).unwrap(), explain::reference());
}

/// `provision explain templates > docs/templates.md` writes it anew.
#[test]
fn the_page_of_templates_is_what_they_are_given() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/templates.md");
    let page = std::fs::read_to_string(page).unwrap_or_default();
    assert_eq!(page, provision::commands::explain::templates());
}

/// Every key of the schema has its row in the page and its own explanation.
#[test]
fn whatever_the_schema_takes_is_explained() {
    let (page, mut seen) = (explain::reference(), 0);
    fields(&schema(), "", &whole(), &mut |pointer, field| {
        let name = pointer.rsplit('/').next().unwrap();
        let description = field["description"].as_str().unwrap();
        // Flags of Mesos, properties of Spark and lines of zoo.cfg are not ours to list.
        if ["/flags/", "/defaults/", "/zookeeper/config/"].iter().any(|of| pointer.contains(of)) {
            return;
        }
        seen += 1;
        let row =
            |line: &str| line.starts_with(&format!("| `{name}` |")) && line.contains(description);
        assert!(page.lines().any(row), "{pointer} has no row");
        let path = pointer.trim_start_matches('/').replace('/', ".");
        let text = explain::explain(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(text.contains(": "), "{path}: {text}");
    });
    assert!(seen > 80, "{seen}");
}

#[test]
fn our_own_inventories_are_valid() {
    let validator = validator();
    let layout = Layout { masters: 3, agents: 5, colocate: false, addresses: Vec::new() };
    let init = inventory("spark", &layout).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("inventories");
    let mut texts = vec![("init".to_owned(), init)];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.extension().is_some_and(|e| e == "yaml") {
            texts.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(texts.len() >= 4);
    for (name, text) in texts {
        let value: Value = serde_yaml::from_str(&text).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2 * ProptestConfig::default().cases, ..ProptestConfig::default() })]

    #[test]
    fn mutations_are_judged_alike(
        edits in prop::collection::vec((any::<prop::sample::Index>(), edit()), 1..4),
    ) {
        let mut value = whole();
        for (at, edit) in edits {
            let mut pointers = Vec::new();
            collect(&value, String::new(), &mut pointers);
            pointers.retain(|pointer| !pointer.starts_with("/vars"));
            let pointer = at.get(&pointers).clone();
            apply(&mut value, &pointer, edit);
        }
        if let Err(why) = agree(&validator(), &value) {
            prop_assert!(false, "{why}");
        }
    }
}

#[derive(Debug, Clone)]
enum Edit {
    Replace(Value),
    Remove,
    Add(String, Value),
}

fn edit() -> impl Strategy<Value = Edit> {
    let word = || prop::sample::select(words());
    let key = prop::sample::select(vec![
        "hosts", "extra", "sha256", "port", "flags", "tag", "external", "",
    ]);
    prop_oneof![
        word().prop_map(Edit::Replace),
        Just(Edit::Remove),
        (key, word()).prop_map(|(key, value)| Edit::Add(key.to_owned(), value)),
    ]
}

fn apply(root: &mut Value, pointer: &str, edit: Edit) {
    match edit {
        Edit::Replace(value) => set(root, pointer, value),
        Edit::Add(key, value) => {
            if let Some(Value::Object(map)) = root.pointer_mut(pointer) {
                map.insert(key, value);
            }
        }
        Edit::Remove => {
            let Some((parent, key)) = pointer.rsplit_once('/') else { return };
            match root.pointer_mut(parent) {
                Some(Value::Object(map)) => {
                    map.shift_remove(&key.replace("~1", "/").replace("~0", "~"));
                }
                Some(Value::Array(list)) => {
                    list.remove(key.parse().expect("an index"));
                }
                _ => {}
            }
        }
    }
}

/// Values with a text that both read: JSON writes 1.0 where YAML users write 1, so no such number.
fn words() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(3),
        json!(77_777),
        json!(2.5),
        json!("x"),
        json!(""),
        json!("a b"),
        json!("-x"),
        json!("a\nb"),
        json!("7"),
        json!("07"),
        json!("300"),
        json!("4GB"),
        json!("5mins"),
        json!("0secs"),
        json!("1..2secs"),
        json!("30%"),
        json!("0%"),
        json!("true"),
        json!("https://host/path"),
        json!("http:///path"),
        json!("10.0.0.9"),
        json!([]),
        json!(["x"]),
        json!([null]),
        json!([["x"]]),
        json!({}),
        json!({ "x": "y" }),
        json!({ "x": null }),
        json!({ "hosts": ["m1"] }),
        json!({ "weight": 1 }),
    ]
}

fn collect(value: &Value, at: String, pointers: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                collect(
                    inner,
                    format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")),
                    pointers,
                );
            }
        }
        Value::Array(list) => {
            for (index, inner) in list.iter().enumerate() {
                collect(inner, format!("{at}/{index}"), pointers);
            }
        }
        _ => {}
    }
    if !at.is_empty() {
        pointers.push(at);
    }
}

//! Every lint fires, can be allowed, keeps secrets to itself; the tutorial's values are all found out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use provision::ground::{Problem, Severity};
use provision::inventory::Inventory;
use provision::inventory::show::Style;
use provision::lints;
use provision::lints::explain;
use provision::lints::load::{Lab, load_text};
use provision::ui::junit::of_problems;
use provision::ui::problems::{Format, Texts, write};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn problems(name: &str, text: &str) -> Vec<Problem> {
    let folder = root().join("tests/inventories-bad");
    let sets: Vec<String> =
        text.lines().filter_map(|l| l.strip_prefix("# -e ")).map(str::to_owned).collect();
    match load_text(name, text.as_bytes(), &folder, &sets, Lab::No) {
        Ok(loaded) => loaded.warnings,
        Err(refused) => refused.problems,
    }
}

/// Every case that is text.
fn cases() -> Vec<(String, String)> {
    let mut cases: Vec<(String, String)> = fs::read_dir(root().join("tests/inventories-bad"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some((name, fs::read_to_string(&path).ok()?))
        })
        .collect();
    cases.sort();
    cases
}

#[test]
fn every_lint_has_a_case_and_can_be_allowed() {
    let mut silent: BTreeSet<&str> = lints::all().map(|lint| lint.name).collect();
    for (name, text) in cases() {
        let names: BTreeSet<&str> = problems(&name, &text).iter().map(|p| p.name).collect();
        for lint in names.iter().filter(|name| lints::all().any(|lint| lint.name == **name)) {
            // An allow beside an allow would be one key twice.
            if !silent.remove(lint) || text.contains("\nallow:") {
                continue;
            }
            let allowed = format!("{text}\nallow: {{ {lint}: \"a test\" }}\n");
            let still: Vec<&str> = problems(&name, &allowed).iter().map(|p| p.name).collect();
            assert!(!still.contains(lint), "{name}: {lint} cannot be allowed");
            assert!(!still.contains(&"unknown-lint"), "{name}: {lint} is not known");
        }
    }
    // These compare two inventories; see below.
    for between in ["master-growth", "quorum-jump", "renumbered-server", "weights-stay"] {
        assert!(silent.remove(between));
    }
    // These ask the hosts; see plan::preflight.
    for asked in ["disk-full", "own-unit"] {
        assert!(silent.remove(asked));
    }
    // This only a host's apt can tell; see tests/core/shells/packages.rs.
    assert!(silent.remove("removes-packages"));
    // This looks at the mode of a file, of which git keeps little; see tests/inventory.rs.
    assert!(silent.remove("readable-secret"));
    assert_eq!(silent, BTreeSet::new(), "lints without a case in tests/inventories-bad");
}

#[test]
fn no_format_shows_a_secret() {
    let mut seen = 0;
    for (name, text) in cases() {
        if !text.contains("hunter2") {
            continue;
        }
        seen += 1;
        let problems = problems(&name, &text);
        assert!(!problems.is_empty());
        let templates = Default::default();
        let texts = Texts { inventory: &text, templates: &templates };
        for format in [Format::Human, Format::Lines, Format::Json, Format::Github] {
            let shown = write(&problems, texts, format, Style::Plain);
            assert!(!shown.contains("hunter2"), "{name}, {format:?}: {shown}");
        }
        assert!(
            !of_problems(&problems, &name, Severity::Warning).unwrap().contains("hunter2"),
            "{name}"
        );
    }
    assert!(seen >= 2, "only {seen} cases hold a secret");
}

/// Each is found in its examples, with a cure; what `explain` says of severities is all that there is.
#[test]
fn every_lint_is_explained_by_examples_in_which_it_is_found() {
    let mut wrong = Vec::new();
    let mut severities: BTreeMap<&str, BTreeSet<Severity>> = BTreeMap::new();
    for lint in lints::all() {
        let said = explain::said(lint);
        if said.is_empty() || said.len() < explain::examples(lint).len() {
            wrong.push(format!("{}: not found in {:?}", lint.name, explain::examples(lint)));
        }
        for one in said {
            assert!(!one.cure.is_empty(), "{}", lint.name);
            severities.entry(lint.name).or_default().insert(one.severity);
        }
        let text = explain::explain(lint);
        assert!(text.contains(lint.reason) && text.contains("  cure "), "{text}");
    }
    for (name, text) in cases() {
        for problem in problems(&name, &text) {
            if let Some(known) = severities.get(problem.name)
                && !known.contains(&problem.severity)
            {
                wrong.push(format!("{name}: no example of {problem}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `provision explain lints --markdown > docs/lints.md` writes it anew.
#[test]
fn the_page_of_lints_is_what_they_say() {
    let page = fs::read_to_string(root().join("docs/lints.md")).unwrap_or_default();
    assert_eq!(page, explain::reference());
}

/// `BLESS=1` writes what is missing.
#[test]
fn the_tutorials_own_values_are_found_out() {
    let text = fs::read_to_string(root().join("inventories/tutorial.yaml")).unwrap();
    let problems = problems("inventories/tutorial.yaml", &text);
    let got: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    let expected = root().join("tests/tutorial.expected");
    if std::env::var_os("BLESS").is_some() && !expected.exists() {
        fs::write(&expected, &got).unwrap();
    }
    assert_eq!(got, fs::read_to_string(&expected).unwrap_or_default());
    // The rows of the tutorial's pitfalls that an inventory can express, each by what finds it.
    let found: BTreeSet<&str> = problems.iter().map(|p| p.name).collect();
    for (row, lint) in [
        (1, "old-base-image"),
        (2, "no-such-package"),
        (5, "retired-download-host"),
        (5, "plain-http-download"),
        (6, "native-library"),
        (9, "bad-flag-value"),
        (11, "docker-on-mesos"),
        (12, "owned-flag"),
        (13, "unpinned-resources"),
        (13, "nothing-unreserved"),
        (14, "constraint-crashes-spark"),
        (14, "constraint-by-number"),
        (18, "fixed-master"),
        (19, "cores-max-unset"),
        (19, "spark-home"),
        (22, "jobs-as-root"),
        (24, "spark-on-mesos"),
    ] {
        assert!(found.contains(lint), "row {row} is not found by {lint}: {found:?}");
    }
}

/// Each rule on both sides of its edge: what overrides, which lint, whether it speaks.
#[test]
fn lints_begin_where_their_rule_does() {
    const POOL: &str = "mesos.agents.p";
    let flag = |name: &str, value: &str| format!("{POOL}.flags.{name}={value}");
    let default = |name: &str, value: &str| format!("spark.defaults.{name}={value}");
    let set = |path: &str, value: &str| format!("{path}={value}");
    let servers = |list: &str| set("zookeeper", &format!("{{servers: {{{list}}}}}"));
    let masters = |list: &str| set("mesos.masters.hosts", &format!("[\"{list}\"]"));
    let os = |name: &str| set("mesos.agents.p.attributes.os", name);
    let both = |whose: &[&str]| {
        let each =
            whose.iter().map(|who| format!("{who}: {{principal: {who}, secret: {{env: S}}}}"));
        set("mesos.credentials", &format!("{{{}}}", each.collect::<Vec<_>>().join(", ")))
    };
    let cases: Vec<(Vec<String>, &str, bool)> = vec![
        (vec![flag("executor_registration_timeout", "59secs")], "short-registration-timeout", true),
        (
            vec![flag("executor_registration_timeout", "60secs")],
            "short-registration-timeout",
            false,
        ),
        (vec![flag("switch_user", "0")], "switch-user-off", true),
        (vec![flag("switch_user", "1")], "switch-user-off", false),
        // Half of the heap on top: 6 GiB become 9.
        (
            vec![
                default("spark.executor.memory", "6g"),
                default("spark.executor.memoryOverheadFactor", "0.5"),
            ],
            "executor-fits-nowhere",
            true,
        ),
        (vec![default("spark.executor.memory", "6g")], "executor-fits-nowhere", false),
        (
            vec![
                set("spark.version", "3.3.0"),
                default("spark.executor.memory", "6g"),
                default("spark.executor.memoryOverheadFactor", "0.5"),
            ],
            "executor-fits-nowhere",
            true,
        ),
        (vec![default("spark.blockManager.port", "30999")], "block-manager-port", true),
        (vec![default("spark.blockManager.port", "31000")], "block-manager-port", false),
        (vec![default("spark.blockManager.port", "0")], "block-manager-port", false),
        (vec![set("spark.defaults", "{spark.executor.cores: 1}")], "cores-max-unset", true),
        (
            vec![set(
                "spark.defaults",
                "{spark.dynamicAllocation.enabled: TRUE, spark.dynamicAllocation.maxExecutors: 3}",
            )],
            "cores-max-unset",
            false,
        ),
        (
            vec![set("spark.defaults", "{spark.dynamicAllocation.maxExecutors: 3}")],
            "cores-max-unset",
            true,
        ),
        (vec![servers("m1: 1, m2: 2")], "small-ensemble", true),
        (vec![servers("m1: 1, m2: 2"), masters("m[1:2]")], "small-ensemble", false),
        (vec![servers("m1: 1"), masters("m1")], "small-ensemble", false),
        (vec![masters("m[1:7]")], "too-many-masters", false),
        (vec![masters("m[1:8]")], "too-many-masters", true),
        (vec![servers("a1: 1"), masters("m1")], "ensemble-on-agents", false),
        (vec![servers("a1: 1, m2: 2, m3: 3")], "ensemble-on-agents", true),
        (vec![default("spark.mesos.role", "etl")], "unknown-role", true),
        (
            vec![
                default("spark.mesos.role", "etl"),
                set("mesos.agents.p.reserved", "{etl: {cpus: 1}}"),
            ],
            "unknown-role",
            false,
        ),
        (vec![default("spark.ssl.keyPassword", "x")], "plain-text-secret", true),
        (vec![set("spark.defaults", "{spark.ssl.keyPassword: ''}")], "plain-text-secret", false),
        (vec![flag("jwt_secret_key", "file:///etc/key")], "plain-text-secret", false),
        (
            vec![set(
                "mesos.agents.p.flags",
                r#"{docker_config: '{"auths": {"r": {"auth": "aHVudGVyMg=="}}}'}"#,
            )],
            "plain-text-secret",
            true,
        ),
        (
            vec![set(
                "mesos.agents.p.flags",
                r#"{executor_environment_variables: '{"TZ": "Asia/Seoul"}'}"#,
            )],
            "plain-text-secret",
            false,
        ),
        (vec![default("spark.mesos.executor.home", "/opt/spark/")], "spark-home", false),
        (vec![default("spark.mesos.executor.home", "/opt/spark2")], "spark-home", true),
        (
            vec![set("spark.image", "{base: \"debian:buster\", packages: [python]}")],
            "no-such-package",
            false,
        ),
        (
            vec![set("spark.image", "{base: \"debian:bullseye\", packages: [python]}")],
            "no-such-package",
            true,
        ),
        (vec![set("spark.image", "{base: \"debian:latest\"}")], "old-base-image", true),
        (vec![set("spark.image", "{base: debian}")], "old-base-image", true),
        (vec![set("spark.image", "{base: \"debian:12\"}")], "old-base-image", false),
        (vec![os("ubuntu-21.10")], "cgroup-version", true),
        (vec![os("ubuntu-21.04")], "cgroup-version", false),
        (vec![os("debian-11")], "cgroup-version", true),
        (vec![os("debian-10")], "cgroup-version", false),
        (vec![os("ubuntu-25.04"), set("base.cgroup_v1", "true")], "cgroup-version", true),
        (vec![os("ubuntu-24.10"), set("base.cgroup_v1", "true")], "cgroup-version", false),
        (vec![os("debian-12"), set("base.cgroup_v1", "false")], "cgroup-version", false),
        (vec![set("mesos.agents.p.resources.ports", "[5052-6000]")], "offered-port", false),
        (vec![set("mesos.agents.p.resources.ports", "[5051-6000]")], "offered-port", true),
        (
            vec![
                set("hosts.x1", "{address: 10.9.9.9, ssh: {host: gate, port: 31000}}"),
                set("mesos.agents.p.hosts", "[x1]"),
            ],
            "offered-port",
            false,
        ),
        (vec![set("zookeeper.config.maxSessionTimeout", "9999")], "bad-option", true),
        (vec![set("zookeeper.config.maxSessionTimeout", "10000")], "bad-option", false),
        (
            vec![
                set("zookeeper.config.maxSessionTimeout", "10000"),
                set("mesos.masters.flags.zk_session_timeout", "30secs"),
            ],
            "bad-option",
            true,
        ),
        (vec![set("zookeeper.config.clientPortAddress", "0.0.0.0")], "bad-option", false),
        (vec![set("zookeeper.config.clientPortAddress", "10.0.0.1")], "bad-option", true),
        (vec![set("zookeeper.config.clientPort", "5051")], "port-taken", false),
        (vec![set("zookeeper.config.clientPort", "5050")], "port-taken", true),
        (vec![set("spark.dispatcher", "{hosts: [m9], port: 5050}")], "port-taken", false),
        (vec![set("spark.dispatcher", "{hosts: [m1], port: 5050}")], "port-taken", true),
        (
            vec![
                set("mesos.version", "1.2.0"),
                set("mesos.agents.p.attributes.os", "ubuntu-20.04"),
                set("spark.version", "2.4.0"),
            ],
            "docker-on-mesos",
            false,
        ),
        (
            vec![set("mesos.version", "1.2.0"), set("spark.version", "2.4.0")],
            "docker-on-mesos",
            true,
        ),
        (vec![set("mesos.agents", "{}")], "no-agents", true),
        (vec![set("zookeeper.config.tickTime", "5000")], "bad-option", false),
        (vec![set("zookeeper.config.tickTime", "5001")], "bad-option", true),
        (vec![set("zookeeper.config.tickTime", "499")], "bad-option", true),
        (vec![set("mesos.agents.p.resources.gpus", "0")], "bad-resource", false),
        (vec![set("mesos.agents.p.resources.cpus", "0")], "bad-resource", true),
        (vec![set("mesos.roles", "{etl: {weight: 0}}")], "bad-weight", true),
        (vec![set("mesos.roles", "{etl: {weight: 0.001}}")], "bad-weight", false),
        (
            vec![
                set("hosts", "{m1: {address: 127.0.0.1}}"),
                set("mesos.agents", "{p: {hosts: [m1]}}"),
                servers("m1: 1"),
                masters("m1"),
            ],
            "loopback-address",
            false,
        ),
        (vec![set("hosts.x1", "{address: 127.0.0.1}")], "loopback-address", true),
        (vec![set("allow", "{}")], "open-ports", true),
        (vec![set("allow", "{}"), both(&["agent", "framework"])], "open-ports", true),
        (vec![set("allow", "{}"), both(&["agent", "framework", "operator"])], "open-ports", true),
        (
            vec![
                set("allow", "{}"),
                both(&["agent", "framework", "operator"]),
                set("zookeeper.credentials", "{principal: z, secret: {env: S}}"),
            ],
            "open-ports",
            false,
        ),
        (vec![set("allow", "{}"), both(&["agent"])], "open-ports", true),
        (vec![set("allow", "{}"), both(&["framework"])], "open-ports", true),
        // Mistakes are no lints, and nobody can allow them.
        (
            vec![set("spark.user", "Root"), set("allow", "{wrong-type: \"why not\"}")],
            "wrong-type",
            true,
        ),
        // A hole in what every part may depend on: no lint adds to it.
        (vec![set("spark.user", "root")], "jobs-as-root", true),
        (vec![set("spark.user", "root"), set("hosts.m1.adress", "x")], "jobs-as-root", false),
    ];
    let quiet = problems_of(&[]);
    assert!(quiet.is_empty(), "{quiet:?}");
    for (sets, lint, speaks) in cases {
        let found = problems_of(&sets);
        assert_eq!(found.iter().any(|p| p.name == lint), speaks, "{sets:?} {lint}: {found:?}");
    }
}

fn problems_of(sets: &[String]) -> Vec<Problem> {
    match load_text("sound", lints::explain::INVENTORY.as_bytes(), Path::new("/"), sets, Lab::No) {
        Ok(loaded) => loaded.warnings,
        Err(refused) => refused.problems,
    }
}

#[test]
fn dangerous_changes_are_named() {
    let inventory = |masters: &str, servers: &str, more: &str| {
        let text = format!(
            "version: 1\ncluster: c\nhosts:\n  m[1:7]: {{ address: \"10.0.0.[1:7]\" }}\n\
             zookeeper: {{ servers: {servers} }}\nmesos:\n  version: 1.11.0\n  package: {{ preinstalled: true }}\n\
             \x20 masters: {{ hosts: [{masters}] }}\n  agents: {{ p: {{ hosts: [m7] }} }}\n{more}"
        );
        load_text("i", text.as_bytes(), Path::new("/"), &[], Lab::No).unwrap().inventory
    };
    let names = |before: &Inventory, after: &Inventory| -> Vec<&str> {
        lints::changes(before, after).into_iter().map(|problem| problem.name).collect()
    };
    let one = inventory("m1", "{ m1: 1 }", "");
    let three = inventory("m1, m2, m3", "{ m1: 1 }", "");
    assert_eq!(names(&one, &three), ["master-growth"]);
    assert_eq!(names(&three, &one), Vec::<&str>::new());
    let seven = inventory("\"m[1:7]\"", "{ m1: 1 }", "");
    assert_eq!(names(&three, &seven), ["quorum-jump"]);
    assert_eq!(names(&three, &inventory("m1, m2, m3", "{ m1: 2 }", "")), ["renumbered-server"]);
    let roles = |roles: &str| {
        let text = format!(
            "version: 1\ncluster: c\nhosts: {{ m1: {{ address: 10.0.0.1 }} }}\nzookeeper: {{ servers: {{ m1: 1 }} }}\n\
             mesos: {{ version: 1.11.0, package: {{ preinstalled: true }}, masters: {{ hosts: [m1] }}{roles} }}\n"
        );
        load_text("i", text.as_bytes(), Path::new("/"), &[], Lab::No).unwrap().inventory
    };
    let weighed = roles(", roles: { etl: { weight: 2 } }");
    assert_eq!(names(&weighed, &roles("")), ["weights-stay"]);
    assert_eq!(names(&weighed, &roles(", roles: {}")), Vec::<&str>::new());
    let allowed = inventory("m1, m2, m3", "{ m1: 1 }", "allow: { master-growth: new }");
    assert_eq!(names(&one, &allowed), Vec::<&str>::new());
}

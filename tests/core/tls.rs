//! TLS of Mesos: what is written, what is asked, what is refused.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use provision::ground::HostName;
use provision::health::{Agents, Check, Masters, Question, running};
use provision::inventory::Inventory;
use provision::plan::{Scope, text};
use provision::resource::Resource;
use provision::resource::file::{Content, File};
use provision::resource::link::Link;
use provision::script::Step;
use provision::tasks::{World, desire};

use super::support::room::{in_each_shell, me, said};
use super::support::world::{self, World as Cluster};

fn fixture(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/tls")
        .join(name)
        .display()
        .to_string()
}

/// One machine at the address that the certificate of the fixtures names.
fn one(more: &[&str]) -> Inventory {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inventories/single-host.yaml");
    let text = std::fs::read_to_string(path).unwrap().replace("192.168.1.10", "10.0.0.1");
    world::inventory(&text, more)
}

fn with_tls(more: &[&str]) -> Inventory {
    let tls = [
        format!("mesos.tls.certificate={}", fixture("m1.pem")),
        "mesos.tls.key.env=TLS_KEY".to_owned(),
        format!("mesos.tls.ca={}", fixture("ca.pem")),
    ];
    let all: Vec<&str> = tls.iter().map(String::as_str).chain(more.iter().copied()).collect();
    one(&all)
}

/// What of the files and links is there for TLS.
fn written(inventory: &Inventory) -> String {
    let world = World { inventory, templates: world::templates() };
    let mut shown = BTreeSet::new();
    for (_, wish) in desire(&world).unwrap().of(&HostName::new("box1")) {
        match &*wish.resource {
            Resource::File(file) => {
                let (text, label) = match &file.content {
                    Content::Text(text) => (text.as_str(), ""),
                    Content::Secret { template, label, .. } => (template.as_str(), label.as_str()),
                };
                let told = |line: &&str| line.contains("SSL_") || file.path.contains("secrets/");
                let lines: Vec<&str> =
                    text.lines().filter(told).filter(|line| !is_base64(line)).collect();
                if !lines.is_empty() {
                    let File { path, owner, mode, .. } = file;
                    shown.insert(format!("{path} {owner} {mode} {label}\n{}\n", lines.join("\n")));
                }
            }
            Resource::Link(Link { path, target }) if path.contains("secrets") => {
                shown.insert(format!("{path} -> {target}\n"));
            }
            _ => {}
        }
    }
    shown.into_iter().collect()
}

/// Certificates are told by their first and last lines.
fn is_base64(line: &str) -> bool {
    let digit = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    line.len() > 30 && line.chars().all(digit)
}

#[test]
fn certificates_and_environment_are_written_where_they_are_read() {
    insta::assert_snapshot!(written(&with_tls(&[])));
}

#[test]
fn what_asks_for_certificates_of_clients_shows_its_own() {
    let operator = [
        "mesos.tls.client_certificates=true",
        "mesos.credentials.operator.principal=op",
        "mesos.credentials.operator.secret.env=OP",
        r#"mesos.agents.all.flags={executor_environment_variables: '{"A": "b"}'}"#,
    ];
    let shown = written(&with_tls(&operator));
    let curl = shown.split("/etc/mesos-secrets/operator-op-tls-").nth(1).unwrap();
    for line in ["cacert = ", "cert = ", "key = ", "user = \"op:"] {
        assert!(curl.lines().any(|it| it.starts_with(line)), "{line}: {shown}");
    }
    assert!(shown.contains("LIBPROCESS_SSL_REQUIRE_CLIENT_CERT=true"), "{shown}");
    assert!(shown.contains(r#"{"A":"b","LIBPROCESS_SSL_"#), "{shown}");
}

#[test]
fn without_tls_nothing_is_told_of_it() {
    assert_eq!(written(&one(&[])), "");
}

/// Everything that is asked of a master, or said to it.
fn urls(inventory: &Inventory) -> String {
    let host = &inventory.hosts[&HostName::new("box1")];
    let checks: [&dyn Check; 2] = [&Masters, &Agents];
    let questions = checks.iter().filter_map(|check| check.question(inventory, host));
    let questions: Vec<Question> = questions.chain([running::flags(inventory, host)]).collect();
    let probe = provision::health::probe(&questions);
    let mut all = probe.script("N");
    let world = World { inventory, templates: world::templates() };
    for (_, wish) in desire(&world).unwrap().of(&host.name) {
        all.push_str(&format!("{:?}", wish.resource));
    }
    all
}

#[test]
fn masters_are_asked_over_tls_alone_once_they_speak_nothing_else() {
    let strict = with_tls(&["mesos.roles={etl: {weight: 2}}"]);
    let all = urls(&strict);
    assert!(all.contains("https://10.0.0.1:5050/metrics/snapshot"), "{all}");
    assert!(!all.contains("http://10.0.0.1:5050") && !all.contains("spoken"), "{all}");
    assert!(!all.contains("curl -k") && !all.contains("insecure"), "{all}");
    let both = urls(&with_tls(&["mesos.roles={etl: {weight: 2}}", "mesos.tls.plain=true"]));
    assert!(both.contains("$(spoken 10.0.0.1:5050/metrics/snapshot)"), "{both}");
    let plain = urls(&one(&["mesos.roles={etl: {weight: 2}}"]));
    assert!(!plain.contains("https://10.0.0.1:5050") && !plain.contains("spoken"), "{plain}");
}

#[test]
fn a_change_of_tls_restarts_what_reads_it() {
    let mut cluster = Cluster::fresh(one(&[]));
    let (_, plan) = cluster.plan(&Scope::default());
    cluster.apply(&plan, |_, _, _| ());
    cluster.inventory = with_tls(&["mesos.tls.plain=true"]);
    let (_, plan) = cluster.plan(&Scope::default());
    insta::assert_snapshot!(text::plan(&plan));
    cluster.apply(&plan, |_, _, _| ());
    let (_, left) = cluster.plan(&Scope::default());
    assert_eq!(text::plan(&left), "No changes. The cluster matches the inventory.\n");
}

/// What /etc/default/mesos is written by, on a host whose Mesos says this of itself.
#[test]
fn a_mesos_that_cannot_is_refused_before_it_is_told() {
    const WITH: &str = "--[no-]authenticate_http_executors";
    const NO_LIBEVENT: &str = "Non-libevent SSL sockets do not support downgrade yet,";
    for (plain, help, library, why) in [
        ("false", WITH, "", None),
        ("true", WITH, "", None),
        ("false", WITH, NO_LIBEVENT, None),
        ("true", WITH, NO_LIBEVENT, Some("without libevent")),
        ("false", "--[no-]authenticate_http_readonly", "", Some("not built with TLS")),
    ] {
        let inventory = with_tls(&[&format!("mesos.tls.plain={plain}")]);
        let world = World { inventory: &inventory, templates: world::templates() };
        let (desired, host) = (desire(&world).unwrap(), HostName::new("box1"));
        let mut files = desired.of(&host).filter_map(|(_, wish)| wish.resource.get::<File>());
        let file = files.find(|it| it.path == "/etc/default/mesos").unwrap();
        in_each_shell(|room| {
            let agent = room.path("bin/mesos-agent");
            std::fs::write(&agent, format!("#!/bin/sh\necho '  {help}'\n")).unwrap();
            std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755)).unwrap();
            std::fs::write(room.path("libmesos.so"), library).unwrap();
            let (owner, group) = me();
            let (path, mode) = (room.text("mesos"), file.mode);
            let resource = Resource::from(File { path, owner, group, mode, ..file.clone() });
            let steps = resource.fix(&[]);
            let [Step::Run(fix)] = &steps[..] else { panic!("{steps:?}") };
            let script = fix.script(|_| String::new());
            let output =
                room.run(&script.replace("/usr/lib/libmesos.so", &room.text("libmesos.so")));
            let said = said(&output);
            assert_eq!(output.status.success(), why.is_none(), "{said}");
            assert_eq!(room.path("mesos").exists(), why.is_none(), "{said}");
            assert!(said.contains(why.unwrap_or_default()), "{said}");
        });
    }
}

//! What a real cluster's daemons answered, against the inventory and the flags that made it.

use std::collections::BTreeMap;
use std::path::Path;

use provision::commands::render;
use provision::ground::{HostName, Severity};
use provision::lints::load::{Lab, load_text};
use provision::mesos::change::{Change, Wanted, classify};
use provision::mesos::flags::{Component, check_flag};
use provision::mesos::live::{AgentInfo, Detail};
use provision::mesos::values::{Attributes, Resources, Value};
use provision::mesos::versions::Version;
use provision::template::Templates;

use super::support::recording::{self, json};

/// As tests/fixtures/real was recorded (its README), in our words.
const INVENTORY: &str = r#"version: 1
cluster: rec
hosts:
  m[1:3]: { address: "172.31.7.1[1:3]" }
  a1: { address: 172.31.7.21, hostname: a1, vars: { rack: r1 } }
  a2: { address: 172.31.7.22, hostname: a2, vars: { rack: r2 } }
zookeeper: { servers: { m1: 1, m2: 2, m3: 3 } }
mesos:
  version: 1.11.0
  package: { preinstalled: true }
  masters: { hosts: ["m[1:3]"] }
  agents:
    all:
      hosts: ["a[1:2]"]
      attributes: { rack: "{{ host.vars.rack }}" }
      resources: { cpus: 3, mem: 5GB, disk: 8GB, ports: "[31000-32000]" }
      reserved: { etl: { cpus: 1, mem: 1GB } }
      flags: { launcher: posix, systemd_enable_support: false, docker_kill_orphans: false }
"#;

fn inventory() -> provision::inventory::Inventory {
    let loaded = load_text("recorded.yaml", INVENTORY.as_bytes(), Path::new("/"), &[], Lab::No);
    loaded.unwrap_or_else(|refused| panic!("{:?}", refused.problems)).inventory
}

#[test]
fn what_agents_are_asked_for_is_what_the_leader_listed() {
    let inventory = inventory();
    let listed = agents_of(&json("masters/05-agents-idle/m1-slaves.http"));
    assert_eq!(inventory.agents().count(), listed.len());
    for (_, host, agent) in inventory.agents() {
        let info = listed.iter().find(|info| info.hostname == host.as_str()).expect("its host");
        assert_eq!(agent.resources, info.resources);
        // Ours on every agent, and the recorded ones were made by hand.
        let mut attributes = agent.attributes.clone();
        assert!(attributes.0.remove("provision_host").is_some());
        assert_eq!(attributes, info.attributes);
        assert_eq!(inventory.hosts[host].hostname, info.hostname);
    }
}

#[test]
fn flag_files_are_what_the_daemons_said_they_were_started_with() {
    let inventory = inventory();
    let version = inventory.mesos.version.clone();
    let templates = Templates::new(&Default::default()).expect("our templates");
    let files = render::files(inventory, &templates, None).expect("files");
    for (host, component, directory, recorded) in [
        ("m1", Component::Master, "/etc/mesos-master/", "masters/05-agents-idle/m1-flags.http"),
        ("a1", Component::Agent, "/etc/mesos-slave/", "agents/01-registered/a1-flags.http"),
    ] {
        let flags = json(recorded)["flags"].clone();
        let mut compared = Vec::new();
        for (path, file) in &files[&HostName::new(host)] {
            let Some(name) = path.strip_prefix(directory) else { continue };
            let (ours, theirs) = (file.text.trim_end(), flags[name].as_str());
            // Hosts announce addresses unless told otherwise, and every agent bears its host's name.
            if (host, name) == ("m1", "hostname") || name == "attributes" {
                continue;
            }
            let theirs = theirs.unwrap_or_else(|| panic!("{host}: {name} was not recorded"));
            let resources = |text| Resources::parse(text, &version).expect("resources");
            let same = match name {
                "resources" => resources(ours) == resources(theirs),
                _ => ours == theirs,
            };
            assert!(same, "{name}: {ours}, not {theirs}");
            compared.push(name);
        }
        assert!(compared.len() >= 4, "{compared:?}");
        let zk = &files[&HostName::new(host)]["/etc/mesos/zk"].text;
        let name = if component == Component::Master { "zk" } else { "master" };
        assert_eq!(flags[name].as_str(), Some(zk.trim_end()));
    }
}

fn version(text: &str) -> Version {
    Version::parse(text).expect(text)
}

fn v111() -> Version {
    version("1.11.0")
}

/// Every agent that a master lists.
fn agents_of(answer: &serde_json::Value) -> Vec<AgentInfo> {
    let agents = answer["slaves"].as_array().unwrap().iter();
    agents.map(|agent| AgentInfo::from_json(agent).unwrap()).collect()
}

/// The flag files of a recorded case, `cat -A` style; those that begin with `?` are left out.
fn case(name: &str) -> BTreeMap<String, String> {
    let text = recording::text(&format!("agents/cases/{name}/files.txt"));
    let pairs = text.lines().filter_map(|line| line.split_once(" = "));
    let pairs = pairs.filter(|(name, _)| !name.starts_with('?'));
    pairs.map(|(k, v)| (k.to_owned(), v.trim_end_matches('$').to_owned())).collect()
}

const RECORDED: &str = "cpus(etl):1;mem(etl):1024;cpus:2;mem:4096;disk:8192;ports:[31000-32000]";

#[test]
fn a_real_agent_equals_the_flags_that_made_it() {
    let wanted = Resources::parse(RECORDED, &v111()).unwrap();
    let of = |agent: &AgentInfo, name: &str, rack: &str| {
        assert_eq!(agent.resources, wanted);
        assert_eq!(agent.attributes, Attributes::parse(rack, &v111()).unwrap());
        assert_eq!((agent.hostname.as_str(), agent.port), (name, Some(5051)));
        assert_eq!(agent.detail, Detail::ByRole);
    };
    for (host, rack) in [("a1", "rack:r1"), ("a2", "rack:r2")] {
        let state = json(&format!("agents/01-registered/{host}-state.http"));
        let own = AgentInfo::from_json(&state).unwrap();
        of(&own, host, rack);
        let pinned: Vec<String> = own.pinned.unwrap().into_iter().collect();
        assert_eq!(pinned, ["cpus", "disk", "mem", "ports"]);
        for answer in ["m1-slaves", "m1-state"] {
            let answer = json(&format!("masters/05-agents-idle/{answer}.http"));
            let all = agents_of(&answer);
            assert_eq!(all.len(), 2);
            let agent = all.iter().find(|agent| agent.hostname == host).unwrap();
            of(agent, host, rack);
            assert_eq!((agent.id.as_str(), &agent.pinned), (own.id.as_str(), &None));
        }
    }
}

#[test]
fn answers_of_older_releases_read_the_same_as_far_as_they_tell() {
    let mut agent = json("agents/01-registered/a1-state.http");
    let wanted = Resources::parse(RECORDED, &v111()).unwrap();
    let object = agent.as_object_mut().unwrap();
    object.retain(|key, _| !key.ends_with("_full"));
    let summary = AgentInfo::from_json(&agent).unwrap();
    assert!(!summary.resources.0.values().any(Value::is_empty));
    assert_eq!((summary.resources, summary.detail), (wanted, Detail::ByRole));
    let object = agent.as_object_mut().unwrap();
    object.retain(|key, _| !key.ends_with("reserved_resources") && key != "port");
    let totals = AgentInfo::from_json(&agent).unwrap();
    let summed = "cpus:3;mem:5120;disk:8192;ports:[31000-32000]";
    assert_eq!(totals.resources, Resources::parse(summed, &v111()).unwrap());
    assert_eq!((totals.detail, totals.port), (Detail::TotalsOnly, Some(5051)));
}

#[test]
fn dynamic_reservations_count_as_before_they_were_made() {
    let text = r#"{"id":"S0","hostname":"a","attributes":{"u":2.5,"p":"[1-2, 4-5]"},
      "unreserved_resources_full":[{"name":"cpus","type":"SCALAR","scalar":{"value":1},"role":"*"},
        {"name":"gpus","type":"SCALAR","scalar":{"value":0},"role":"*"}],
      "reserved_resources_full":{"etl":[{"name":"cpus","type":"SCALAR","scalar":{"value":3},
        "role":"etl","reservations":[{"type":"STATIC","role":"etl"},{"type":"DYNAMIC","role":"etl/x"}]}],
        "q":[{"name":"cpus","type":"SCALAR","scalar":{"value":4},"role":"q",
        "reservations":[{"type":"DYNAMIC","role":"q"}]}]}}"#;
    let agent = AgentInfo::from_json(&serde_json::from_str(text).unwrap()).unwrap();
    assert_eq!(agent.resources, Resources::parse("cpus:5;cpus(etl):3", &v111()).unwrap());
    assert_eq!(agent.resources.to_string(), "cpus:5;cpus(etl):3");
    assert_eq!(agent.attributes.to_string(), "p:[1-2,4-5];u:2.5");
    assert!(AgentInfo::from_json(&serde_json::json!({})).is_err());
}

#[test]
fn real_flags_pass_the_catalogue() {
    let head = version("1.12.0");
    for (component, path) in [
        (Component::Agent, "agents/01-registered/a1-flags.http"),
        (Component::Master, "masters/05-agents-idle/m1-flags.http"),
    ] {
        let answer = json(path);
        let given = answer["flags"].as_object().unwrap();
        assert!(given.len() > 30);
        for (name, value) in given {
            let value = value.as_str().unwrap();
            // Printed as the empty string when it was not given.
            if value.is_empty() {
                continue;
            }
            if let Err(problem) = check_flag(component, name, value, &head) {
                assert_eq!(problem.severity, Severity::Warning, "{name}={value}: {problem}");
            }
        }
    }
}

#[test]
fn flag_files_that_stopped_a_real_agent_are_refused_and_no_others() {
    let refused = [
        ("bad-attribute", "attributes"),
        ("set-attribute", "attributes"),
        ("bad-resources", "resources"),
        ("bad-resources-text", "resources"),
        ("bad-duration", "executor_registration_timeout"),
        ("containerizers-space", "containerizers"),
        ("stray-file", "hostname.bak"),
        ("unknown-flag", "no_such_flag"),
    ];
    let fine = ["additive-ok", "additive-refused", "changed-attribute", "changed-resources"];
    let fine = fine.into_iter().chain(["docker-missing", "docker-stopped", "remedy"]);
    let all = refused.into_iter().map(|(c, f)| (c, Some(f))).chain(fine.map(|c| (c, None)));
    for (name, flag) in all {
        let flags = case(name);
        let stops = |(flag, value): &(&String, &String)| {
            check_flag(Component::Agent, flag, value, &version("1.12.0"))
                .is_err_and(|problem| problem.severity == Severity::Error)
        };
        let errors: Vec<&str> = flags.iter().filter(stops).map(|(flag, _)| flag.as_str()).collect();
        assert_eq!(errors, flag.into_iter().collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn real_changes_are_classified_as_the_agent_took_them() {
    let live = AgentInfo::from_json(&json("agents/01-registered/a2-state.http")).unwrap();
    let change = |name: &str, version: &Version| {
        let files = case(name);
        let attributes = Attributes::parse(&files["attributes"], version).unwrap();
        let resources = Resources::parse(&files["resources"], version).unwrap();
        let wanted = Wanted {
            hostname: &files["hostname"],
            port: 5051,
            domain: None,
            attributes: &attributes,
            resources: &resources,
        };
        classify(&live, &wanted, version)
    };
    let head = version("1.12.0");
    assert_eq!(change("docker-stopped", &head), Change::RestartInPlace);
    assert_eq!(change("additive-ok", &head), Change::Additive);
    assert_eq!(change("additive-ok", &version("1.5.0")), Change::Additive);
    assert!(matches!(change("additive-ok", &version("1.4.3")), Change::NewAgentId { .. }));
    let reason = |name: &str| match change(name, &head) {
        Change::NewAgentId { reason } => reason,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(reason("additive-refused"), "attribute rack changes from r2 to r9");
    assert_eq!(reason("changed-attribute"), "attribute rack changes from r2 to r9");
    assert_eq!(reason("changed-resources"), "mem changes from 4096 to 3072");
}

#[test]
fn the_classifier_knows_what_grows_and_what_each_release_compares() {
    let live = AgentInfo::from_json(&json("agents/01-registered/a1-state.http")).unwrap();
    let check = |resources: &str, attributes: &str, at: &str| {
        let at = version(at);
        let attributes = Attributes::parse(attributes, &at).unwrap();
        let resources = Resources::parse(resources, &at).unwrap();
        let (attributes, resources) = (&attributes, &resources);
        let wanted = Wanted { hostname: "a1", port: 5051, domain: None, attributes, resources };
        match classify(&live, &wanted, &at) {
            Change::RestartInPlace => "same",
            Change::Additive => "more",
            Change::NewAgentId { .. } => "new",
        }
    };
    let rest = "cpus(etl):1;mem(etl):1024;cpus:2;mem:4096;ports:[31000-32000]";
    assert_eq!(check(&format!("{rest};disk:8192;gpus:0"), "rack:r1", "1.11.0"), "same");
    assert_eq!(check(&format!("{rest};disk:9000"), "rack:r1", "1.11.0"), "more");
    assert_eq!(check(&format!("{rest};disk:9000"), "rack:r1", "1.4.0"), "new");
    assert_eq!(check(&format!("{rest};disk:8192;bananas:2"), "rack:r1", "1.11.0"), "more");
    // Its flags pinned the disk; now Mesos would detect it.
    assert_eq!(check(rest, "rack:r1", "1.11.0"), "new");
    assert_eq!(check(RECORDED, "", "1.11.0"), "new");
    // One core moves from the rest to a role.
    let moved = RECORDED.replace("cpus(etl):1", "cpus(etl):2").replace("cpus:2", "cpus:1");
    assert_eq!(check(&moved, "rack:r1", "1.11.0"), "new");

    let attributes = Attributes::parse("rack:r1", &v111()).unwrap();
    let resources = Resources::parse(RECORDED, &v111()).unwrap();
    let (attributes, resources) = (&attributes, &resources);
    let wanted = Wanted { hostname: "a1", port: 5052, domain: None, attributes, resources };
    let new = |w: &Wanted<'_>, at: &str| {
        matches!(classify(&live, w, &version(at)), Change::NewAgentId { .. })
    };
    assert!(new(&wanted, "1.0.0") && !new(&wanted, "0.28.3"));
    let domain = Some(serde_json::json!({"fault_domain": {"region": {"name": "x"}}}));
    let wanted = Wanted { port: 5051, domain, ..wanted };
    assert!(new(&wanted, "1.4.0") && !new(&wanted, "1.3.0") && !new(&wanted, "1.5.0"));
    assert!(new(&Wanted { hostname: "b", domain: None, ..wanted }, "0.20.1"));
}

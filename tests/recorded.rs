//! The inventory that would have made the recorded cluster, against what that cluster's daemons answered.

use std::path::Path;

use provision::commands::render;
use provision::inventory::HostName;
use provision::inventory::load::{Lab, load_text};
use provision::mesos::flags::{Component, same_value};
use provision::mesos::live::AgentInfo;
use provision::mesos::values::Resources;
use provision::template::Templates;

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

fn json(path: &str) -> serde_json::Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/real").join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{path:?}: {why}"));
    let (_, body) = text.split_once("\r\n\r\n").expect("a recorded answer has a head");
    serde_json::from_str(body).expect("a recorded body is JSON")
}

fn inventory() -> provision::inventory::Inventory {
    let loaded = load_text("recorded.yaml", INVENTORY.as_bytes(), Path::new("/"), &[], Lab::No);
    loaded.unwrap_or_else(|refused| panic!("{:?}", refused.problems)).inventory
}

#[test]
fn what_agents_are_asked_for_is_what_the_leader_listed() {
    let inventory = inventory();
    let listed = AgentInfo::all_from_json(&json("masters/05-agents-idle/m1-slaves.http"));
    let listed = listed.expect("recorded agents");
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
                _ => same_value(component, name, ours, theirs),
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

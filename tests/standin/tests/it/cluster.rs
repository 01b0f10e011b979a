//! Three masters and two agents on loopback addresses, led through what a cluster goes through,
//! against a real ZooKeeper.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::common::{Daemon, Scratch, ask, free_port, get, wait_for};
use crate::zookeeper::Zookeeper;

/// A daemon of the cluster, and how to start it again.
pub(crate) struct Member {
    pub(crate) place: String,
    name: &'static str,
    pub(crate) flags: Vec<String>,
    pub(crate) scratch: Scratch,
    pub(crate) daemon: Option<Daemon>,
}

impl Member {
    pub(crate) fn master(zookeeper: &Zookeeper, number: u8, more: &[&str]) -> Member {
        let ip = format!("127.0.77.{number}");
        let place = format!("{ip}:{}", free_port(&ip));
        let zk = format!("--zk=zk://{}/mesos", zookeeper.place);
        let mut flags = vec![zk, "--quorum=2".to_owned(), "--zk_session_timeout=2secs".to_owned()];
        flags.extend(more.iter().map(|&flag| flag.to_owned()));
        Member::new("mesos-master", &ip, place, flags)
    }

    pub(crate) fn agent(zookeeper: &Zookeeper, number: u8, more: &[&str]) -> Member {
        let ip = format!("127.0.77.{number}");
        let place = format!("{ip}:{}", free_port(&ip));
        let master = format!("--master=zk://{}/mesos", zookeeper.place);
        let mut flags = vec![
            master,
            "--no-systemd_enable_support".to_owned(),
            "--resources=cpus(etl):1;mem(etl):1024;cpus:2;mem:4096;disk:8192;ports:[31000-32000]"
                .to_owned(),
        ];
        flags.extend(more.iter().map(|&flag| flag.to_owned()));
        Member::new("mesos-slave", &ip, place, flags)
    }

    pub(crate) fn new(
        name: &'static str,
        ip: &str,
        place: String,
        mut flags: Vec<String>,
    ) -> Member {
        let scratch = Scratch::new();
        let port = place.rsplit(':').next().unwrap_or_default();
        flags.push(format!("--ip={ip}"));
        flags.push(format!("--hostname={ip}"));
        flags.push(format!("--port={port}"));
        flags.push(format!("--work_dir={}", scratch.path("work").display()));
        let mut member = Member { place, name, flags, scratch, daemon: None };
        member.start();
        member
    }

    pub(crate) fn start(&mut self) {
        let log = self.scratch.path("log");
        self.daemon = Some(Daemon::start(self.name, Path::new(&log), &self.flags));
    }

    pub(crate) fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("it was started")
    }

    pub(crate) fn replace_flag(&mut self, prefix: &str, flag: &str) {
        self.flags.retain(|flag| !flag.starts_with(prefix));
        self.flags.push(flag.to_owned());
    }

    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        get(&self.place, "/metrics/snapshot")?.json()[name].as_f64()
    }
}

/// The place of the master that leads and has recovered its registry.
pub(crate) fn leader(masters: &[Member]) -> usize {
    wait_for("a recovered leader", || {
        masters.iter().position(|master| {
            master.metric("master/elected") == Some(1.0)
                && master.metric("registrar/registry_size_bytes").is_some()
        })
    })
}

pub(crate) fn slaves(place: &str) -> Vec<Json> {
    let view = get(place, "/slaves").filter(|answer| answer.status == 200);
    view.and_then(|answer| answer.json()["slaves"].as_array().cloned()).unwrap_or_default()
}

pub(crate) fn slave(place: &str, agent: &Member) -> Option<Json> {
    let pid = format!("slave(1)@{}", agent.place);
    slaves(place).into_iter().find(|slave| slave["pid"] == pid.as_str())
}

pub(crate) fn active(place: &str, agent: &Member) -> Json {
    wait_for("an active agent", || slave(place, agent).filter(|slave| slave["active"] == true))
}

pub(crate) fn v1(place: &str, call: &Json) -> (u16, String) {
    let answer = ask("POST", place, "/api/v1", &call.to_string()).expect("the master answers");
    (answer.status, answer.body)
}

pub(crate) fn keys(object: &Json) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// The recorded keys but those of a build from git.
fn recorded_keys(object: &Json) -> Vec<&str> {
    keys(object).into_iter().filter(|key| !key.starts_with("git_")).collect()
}

#[test]
fn a_cluster_lives_through_its_faults() {
    let Some(mut zookeeper) = Zookeeper::start("127.0.77.1") else { return };
    let quick = ["--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=3", "--cluster=rec"];

    // A lone master of a quorum of two is elected and useless.
    let mut masters = vec![Member::master(&zookeeper, 11, &quick)];
    wait_for("the election", || (masters[0].metric("master/elected") == Some(1.0)).then_some(()));
    assert_eq!(masters[0].metric("registrar/log/recovered"), Some(0.0));
    assert_eq!(masters[0].metric("registrar/log/ensemble_size"), Some(1.0));
    assert_eq!(get(&masters[0].place, "/state").expect("an answer").status, 200);
    assert_eq!(get(&masters[0].place, "/weights").expect("an answer").body, "[]");
    masters.push(Member::master(&zookeeper, 12, &quick));
    masters.push(Member::master(&zookeeper, 13, &quick));
    let first = leader(&masters);
    assert_eq!(masters[first].metric("registrar/log/recovered"), Some(1.0));
    let place = masters[first].place.clone();
    assert_eq!(get(&place, "/").expect("an answer").status, 200);

    // The others send everybody there.
    for other in (0..3).filter(|&other| other != first) {
        let other = masters[other].place.clone();
        let seen = wait_for("a redirect", || {
            get(&other, "/slaves?x=1").filter(|answer| answer.status == 307)
        });
        assert_eq!(seen.location(), Some(format!("//{place}/master/slaves?x=1").as_str()));
        let root = get(&other, "/redirect").expect("an answer");
        assert_eq!(root.location(), Some(format!("//{place}").as_str()));
        assert_eq!(get(&other, "/health").expect("an answer").status, 200);
        assert_eq!(ask("PUT", &other, "/weights", "[]").expect("an answer").status, 307);
    }

    // Weights stick.
    let body = r#"[{"role":"etl","weight":2.5}]"#;
    let put = ask("PUT", &place, "/weights", body).expect("an answer");
    assert_eq!((put.status, put.body.as_str()), (200, ""));
    let refused = ask("PUT", &place, "/weights", "etl=2").expect("an answer");
    assert_eq!(refused.status, 400);
    assert_eq!(get(&place, "/weights").expect("an answer").body, body);
    let infos = json!([{ "role": "dev", "weight": 1 }]);
    let update = json!({ "type": "UPDATE_WEIGHTS", "update_weights": { "weight_infos": infos } });
    assert_eq!(v1(&place, &update), (200, String::new()));
    let recorded = r#"{"type":"GET_WEIGHTS","get_weights":{"weight_infos":[{"weight":1.0,"role":"dev"},{"weight":2.5,"role":"etl"}]}}"#;
    assert_eq!(v1(&place, &json!({ "type": "GET_WEIGHTS" })), (200, recorded.to_owned()));
    let recorded = r#"{"type":"GET_HEALTH","get_health":{"healthy":true}}"#;
    assert_eq!(v1(&place, &json!({ "type": "GET_HEALTH" })), (200, recorded.to_owned()));
    let body = r#"[{"role":"dev","weight":1.0},{"role":"etl","weight":2.5}]"#;

    // Agents come, and look like recorded ones.
    let mut one = Member::agent(&zookeeper, 21, &["--attributes=rack:r1"]);
    let mut two = Member::agent(&zookeeper, 22, &["--attributes=rack:r2"]);
    let there = active(&place, &one);
    active(&place, &two);
    assert_eq!(there["attributes"], json!({ "rack": "r1" }));
    shapes(&place, &one.place);
    let id = there["id"].as_str().expect("an id").to_owned();

    drains(&place, &id);
    maintains(&place, &mut one, &id);

    // The leader dies; the next one knows weights and agents.
    masters[first].daemon().kill();
    masters[first].daemon = None;
    let second = leader(&masters);
    assert_ne!(second, first);
    let place = masters[second].place.clone();
    assert_eq!(get(&place, "/weights").expect("an answer").body, body);
    assert_eq!(active(&place, &one)["id"], id.as_str());
    active(&place, &two);
    masters[first].start();

    refuses_to_change(&place, &mut one, &id);

    // A stopped agent is inactive at once, and unreachable later; its id waits for it.
    two.daemon().kill();
    wait_for("inactivity", || slave(&place, &two).filter(|slave| slave["active"] == false));
    wait_for("its removal", || slave(&place, &two).is_none().then_some(()));
    assert_eq!(masters[second].metric("master/slaves_unreachable"), Some(1.0));
    two.start();
    active(&place, &two);
    assert_eq!(masters[second].metric("master/slaves_unreachable"), Some(0.0));

    // Without ZooKeeper the leader leaves on purpose, the others know of no leader.
    zookeeper.stop();
    assert_eq!(masters[second].daemon().ended().code(), Some(1));
    let said = masters[second].daemon().log();
    assert!(
        said.contains("EXIT with status 1: Lost candidacy as a leader... committing suicide!"),
        "{said}"
    );
    for other in (0..3).filter(|&other| other != second) {
        let other = &mut masters[other];
        let answer =
            wait_for("no leader", || get(&other.place, "/state").filter(|a| a.status == 503));
        assert_eq!(answer.body, "No leader elected");
        assert!(other.daemon().is_running());
    }
    masters[second].start();
    zookeeper.restart();
    let third = leader(&masters);
    active(&masters[third].place, &one);
    assert_eq!(get(&masters[third].place, "/weights").expect("an answer").body, body);
}

fn shapes(place: &str, agent: &str) {
    for (path, recorded) in [
        ("/state", include_str!("../recorded/master-state.json")),
        ("/slaves", include_str!("../recorded/slaves.json")),
        ("/master/state-summary", include_str!("../recorded/state-summary.json")),
        ("/version", include_str!("../recorded/version.json")),
        ("/roles", include_str!("../recorded/roles.json")),
    ] {
        let recorded: Json = serde_json::from_str(recorded).expect("a recording");
        let ours = get(place, path).expect("an answer").json();
        // No --log_dir was given here.
        let wanted: Vec<_> =
            recorded_keys(&recorded).into_iter().filter(|key| *key != "log_dir").collect();
        assert_eq!(keys(&ours), wanted, "{path}");
        for list in ["slaves", "roles"] {
            if recorded[list].is_array() {
                assert_eq!(keys(&ours[list][0]), keys(&recorded[list][0]), "{path} {list}");
            }
        }
    }
    for (path, recorded) in [
        ("/slave(1)/state", include_str!("../recorded/agent-state.json")),
        ("/state", include_str!("../recorded/agent-state.json")),
    ] {
        let recorded: Json = serde_json::from_str(recorded).expect("a recording");
        let ours = get(agent, path).expect("an answer").json();
        let wanted: Vec<_> =
            recorded_keys(&recorded).into_iter().filter(|key| *key != "log_dir").collect();
        assert_eq!(keys(&ours), wanted, "{path}");
    }
    for (place, recorded) in [
        (place, include_str!("../recorded/master-metrics.json")),
        (agent, include_str!("../recorded/agent-metrics.json")),
    ] {
        let recorded: Json = serde_json::from_str(recorded).expect("a recording");
        let ours = get(place, "/metrics/snapshot").expect("an answer").json();
        for (name, value) in ours.as_object().expect("an object") {
            assert!(recorded[name].is_number() && value.is_f64(), "{name} is not recorded");
        }
    }
    assert_eq!(get(agent, "/metrics/snapshot").expect("an answer").json()["slave/registered"], 1.0);
    assert_eq!(get(agent, "/state.json").expect("an answer").status, 404);
}

fn drains(place: &str, id: &str) {
    let call = |kind: &str| {
        let mut call = json!({ "type": kind });
        call[kind.to_lowercase()] = json!({ "agent_id": { "value": id } });
        call
    };
    assert_eq!(v1(place, &call("REACTIVATE_AGENT")), (400, "Agent is not deactivated".to_owned()));
    let mut drain = call("DRAIN_AGENT");
    drain["drain_agent"]["max_grace_period"] = "10mins".into();
    assert_eq!(v1(place, &drain).0, 400);
    drain["drain_agent"]["max_grace_period"] = json!({ "seconds": 30 });
    assert_eq!(v1(place, &drain), (200, String::new()));
    let (_, body) = v1(place, &json!({ "type": "GET_AGENTS" }));
    let agents: Json = serde_json::from_str(&body).expect("JSON");
    let recorded: Json =
        serde_json::from_str(include_str!("../recorded/get-agents-drained.json")).expect("JSON");
    let all = agents["get_agents"]["agents"].as_array().expect("agents");
    let ours =
        all.iter().find(|agent| agent["agent_info"]["id"]["value"] == id).expect("it is there");
    let theirs = &recorded["get_agents"]["agents"][1];
    let wanted: Vec<_> =
        keys(theirs).into_iter().filter(|key| *key != "reregistered_time").collect();
    assert_eq!(keys(ours), wanted);
    assert_eq!(ours["drain_info"], theirs["drain_info"]);
    assert_eq!((&ours["active"], &ours["deactivated"]), (&json!(false), &json!(true)));
    assert_eq!(v1(place, &call("REACTIVATE_AGENT")), (200, String::new()));
    let mut unknown = call("DRAIN_AGENT");
    unknown["drain_agent"]["agent_id"]["value"] = "x".into();
    assert_eq!(v1(place, &unknown), (400, "Unknown agent".to_owned()));
}

fn maintains(place: &str, agent: &mut Member, id: &str) {
    let ip = agent.place.split(':').next().expect("an address").to_owned();
    let machine = json!({ "hostname": ip, "ip": ip });
    let post = |path: &str, body: &Json| {
        let answer = ask("POST", place, path, &body.to_string()).expect("an answer");
        (answer.status, answer.body)
    };
    let list = json!([machine]);
    assert_eq!(post("/machine/down", &list).0, 400, "it is not scheduled");
    let window =
        json!({ "machine_ids": list, "unavailability": { "start": { "nanoseconds": 1 } } });
    assert_eq!(post("/maintenance/schedule", &json!({ "windows": [window] })).0, 200);
    let status = get(place, "/maintenance/status").expect("an answer").json();
    assert_eq!(status, json!({ "draining_machines": [{ "id": machine }] }));
    let drain = json!({ "type": "DRAIN_AGENT", "drain_agent": { "agent_id": { "value": id } } });
    let text = format!("Agent {id} is part of a maintenance schedule under Machine {ip} ({ip})");
    assert_eq!(v1(place, &drain), (400, text));
    assert_eq!(post("/machine/down", &list), (200, String::new()));
    assert_eq!(agent.daemon().ended().code(), Some(0), "it is told to shut down");
    agent.start();
    assert_eq!(agent.daemon().ended().code(), Some(0), "and again");
    let cancelled = post("/maintenance/schedule", &json!({}));
    assert_eq!(cancelled.0, 400);
    assert!(cancelled.1.ends_with("is deactivated and cannot be removed from the schedule"));
    assert_eq!(post("/machine/up", &list), (200, String::new()));
    assert_eq!(get(place, "/maintenance/schedule").expect("an answer").body, "{}");
    agent.start();
    assert_eq!(active(place, agent)["id"], id, "the id is kept");
}

/// An agent that changed does not come back, unless the policy allows it; the remedy gives a new id.
fn refuses_to_change(place: &str, agent: &mut Member, id: &str) {
    agent.daemon().kill();
    agent.replace_flag("--attributes", "--attributes=rack:r9");
    agent.start();
    assert_eq!(agent.daemon().ended().code(), Some(1));
    let said = agent.daemon().log();
    let recorded = include_str!("../recorded/agent/changed-attribute.txt");
    assert!(said.contains(recorded.lines().next().expect("a line")), "{said}");
    agent.replace_flag("--reconfiguration_policy", "--reconfiguration_policy=additive");
    agent.start();
    assert_eq!(agent.daemon().ended().code(), Some(1));
    let said = agent.daemon().log();
    assert!(said.contains("Value of text attribute 'rack' changed from r1 to r9"), "{said}");
    agent.replace_flag("--attributes", "--attributes=rack:r1;zone:z1");
    agent.start();
    let there = active(place, agent);
    assert_eq!((&there["id"], &there["attributes"]["zone"]), (&json!(id), &json!("z1")));
    agent.daemon().kill();
    let latest = agent.scratch.path("work/meta/slaves/latest");
    std::fs::remove_file(latest).expect("the link is there");
    agent.start();
    let there = wait_for("a new id", || {
        slave(place, agent).filter(|slave| slave["active"] == true && slave["id"] != id)
    });
    assert_eq!(there["attributes"]["rack"], "r1");
}

#[test]
fn agents_prove_who_they_are() {
    let Some(zookeeper) = Zookeeper::start("127.0.77.2") else { return };
    let scratch = Scratch::new();
    let known = r#"{"credentials":[{"principal":"agent","secret":"right"}]}"#;
    let credentials = format!("--credentials=file://{}", scratch.write("credentials", known));
    let mut master = Member::master(&zookeeper, 31, &[]);
    master.daemon().kill();
    master.replace_flag("--quorum", "--quorum=1");
    master.flags.extend([credentials, "--authenticate_agents".to_owned()]);
    master.start();
    let masters = [master];
    leader(&masters);
    let place = &masters[0].place;
    let credential = |secret: &str| {
        let text = format!(r#"{{"principal":"agent","secret":"{secret}"}}"#);
        format!("--credential=file://{}", scratch.write(&format!("credential-{secret}"), &text))
    };
    let wrong = credential("wrong");
    let mut refused = Member::agent(&zookeeper, 41, &[&wrong]);
    assert_eq!(refused.daemon().ended().code(), Some(0));
    let said = refused.daemon().log();
    assert!(said.contains("Master refused authentication"), "{said}");
    assert!(!said.contains("secret") && !said.contains("\"wrong\""), "{said}");
    let right = credential("right");
    let admitted = Member::agent(&zookeeper, 42, &[&right]);
    active(place, &admitted);
    let mut ignored = Member::agent(&zookeeper, 43, &[]);
    wait_for("the refusal", || {
        let log = masters[0].daemon.as_ref()?.log();
        log.contains("because it is not authenticated").then_some(())
    });
    assert!(ignored.daemon().is_running());
    assert_eq!(slaves(place).len(), 1);
}

#[test]
fn a_lone_master_gives_up() {
    let Some(zookeeper) = Zookeeper::start("127.0.77.3") else { return };
    let mut master = Member::master(&zookeeper, 51, &["--registry_fetch_timeout=1secs"]);
    let status = master.daemon().ended();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(6));
    let said = master.daemon().log();
    let text = "Recovery failed: Failed to recover registrar: Failed to perform fetch within 1secs";
    assert!(said.contains(text), "{said}");
}

#[test]
fn stored_weights_win_over_the_flag() {
    let Some(zookeeper) = Zookeeper::start("127.0.77.4") else { return };
    let mut masters = [Member::master(&zookeeper, 61, &["--weights=etl=2"])];
    masters[0].daemon().kill();
    masters[0].replace_flag("--quorum", "--quorum=1");
    // Here with authentication towards ZooKeeper, and a path of two parts.
    let zk = format!("--zk=zk://user:pass@{}/of/mesos", zookeeper.place);
    masters[0].replace_flag("--zk=", &zk);
    masters[0].start();
    leader(&masters);
    let weights = |masters: &[Member]| get(&masters[0].place, "/weights").expect("an answer").body;
    assert_eq!(weights(&masters), r#"[{"role":"etl","weight":2.0}]"#);
    masters[0].daemon().kill();
    masters[0].replace_flag("--weights", "--weights=etl=5");
    masters[0].start();
    leader(&masters);
    assert_eq!(weights(&masters), r#"[{"role":"etl","weight":2.0}]"#);
    let said = masters[0].daemon().log();
    let text = "Ignoring --weights flag 'etl=5' and recovering the weights from registry";
    assert!(said.contains(text), "{said}");
}

/// As with a real log: a member that lost its replica catches up with the others, and where none of the old ones is
/// left nothing is remembered.
#[test]
fn the_registry_goes_with_its_log() {
    let Some(zookeeper) = Zookeeper::start("127.0.77.5") else { return };
    let mut masters = [71, 72].map(|number| Member::master(&zookeeper, number, &[]));
    let weights = r#"[{"role":"etl","weight":2.0}]"#;
    let place = masters[leader(&masters)].place.clone();
    assert_eq!(ask("PUT", &place, "/weights", weights).expect("an answer").status, 200);
    let remembered = |masters: &[Member]| {
        let leads = &masters[leader(masters)].place;
        get(leads, "/weights").expect("an answer").body
    };
    let lose = |master: &mut Member| {
        master.daemon().kill();
        std::fs::remove_dir_all(master.scratch.path("work/replicated_log")).expect("it was there");
    };
    for number in 0..2 {
        lose(&mut masters[number]);
        masters[number].start();
        assert_eq!(remembered(&masters), weights);
        let caught_up =
            || (masters[number].metric("registrar/log/recovered") == Some(1.0)).then_some(());
        wait_for("the replica", caught_up);
    }
    masters.iter_mut().for_each(lose);
    masters.iter_mut().for_each(Member::start);
    assert_eq!(remembered(&masters), "[]");
}

//! The verbs of day 2 on a twin of the demo cluster: what they show is what happens, quorums keep serving,
//! work is moved, and what is left is an empty plan.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::support::lab::{Lab, Ran, step};
use super::support::quorum::Client;
use super::support::twin::{Host, run};

#[test]
#[ignore = "one of the long ones: make lab-long"]
fn verbs_of_day_2() {
    let lab = Lab::with("lab-verbs", &[]);
    let apply = lab.run("apply", &["-y", "-t", TASKS]);
    assert_eq!(apply.code, 0, "{apply:?}");
    masters_restart_one_by_one_and_the_leader_last(&lab);
    an_agent_is_drained_until_it_is_given_back(&lab);
    agents_stop_and_start_again(&lab);
    a_quorum_is_not_stopped_by_the_way(&lab);
    hosts_boot_and_serve_again(&lab);
    a_command_runs_on_many_hosts(&lab);
    what_is_destroyed_keeps_its_data(&lab);
}

#[test]
fn verbs_are_saved_and_done_by_apply() {
    let host = Host::start();
    host.applied("zookeeper,masters");
    let plan = host.operator.path("restart.json");
    let plan = plan.to_str().unwrap();
    let process = || host.sh("systemctl show -p InvocationID --value mesos-master");
    let before = process();
    host.run("restart", &["-t", "masters", "--out", plan])
        .said(0, &["to be restarted, as asked", "Saved."]);
    assert_eq!(process(), before, "it was done at once");
    let inventory = host.operator.inventory();
    let inventory = inventory.to_str().unwrap();
    let words = ["apply", plan, "-y", "-i", inventory];
    let done = run(&mut host.operator.program(&words), "");
    done.said(0, &["Restart complete: 1 changed on 1 host"]);
    assert_ne!(process(), before);
    run(&mut host.operator.program(&["history", "-i", inventory]), "")
        .said(0, &["  apply  exit 0", "  restart  exit 0"]);
}

/// No Spark: nothing here is about it.
const TASKS: &str = "base,zookeeper,docker,masters,weights,agents";

fn nothing_is_left(lab: &Lab) {
    let plan = lab.run("plan", &["-t", TASKS, "--detailed-exitcode"]);
    assert_eq!(plan.code, 0, "{plan:?}");
}

/// It went well, and said all of this.
#[track_caller]
fn said(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, 0, "{ran:?}");
    for word in words {
        assert!(ran.out.contains(word), "`{word}` is not in {ran:?}");
    }
}

fn masters_restart_one_by_one_and_the_leader_last(lab: &Lab) {
    step("masters restart one by one, the leader last");
    let leader = lab.leader();
    let before = ["m1", "m2", "m3"].map(|host| invocation(lab, host, "mesos-master"));
    let client = Client::start(&["m1", "m2", "m3"].map(|host| lab.address(host)));
    let restart = lab.run("restart", &["-y", "-t", "masters"]);
    let seen = client.end();
    let last = format!(", {leader}\n");
    said(&restart, &[&last, "to be restarted, as asked", "Restart complete: 3 changed on 3 hosts"]);
    let after = ["m1", "m2", "m3"].map(|host| invocation(lab, host, "mesos-master"));
    assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{after:?}");
    // Never two; whether anybody looked while the one was down is chance, as short as that is.
    assert!(seen.masters.most_down <= 1 && seen.zookeeper.most_down == 0, "{seen:?}");
    assert_eq!(seen.masters.leaders.len(), 2, "{seen:?}");
    nothing_is_left(lab);
}

fn an_agent_is_drained_until_it_is_given_back(lab: &Lab) {
    step("an agent is drained, stays so over a restart, and is given back");
    let drain = lab.run("drain", &["-y"]);
    assert_eq!(drain.code, 1, "a host must be named: {drain:?}");
    let drain = lab.of_host("drain", "a1", &["-y"]);
    said(&drain, &["offers: made → none (drained)"]);
    assert_eq!(lab.listed("a1")["drain_info"]["state"], "DRAINED");
    lab.on("a1", "systemctl restart mesos-slave");
    let plan = lab.run("plan", &["-t", TASKS]);
    assert!(plan.out.contains("it is drained or deactivated"), "{plan:?}");
    let undrain = lab.of_host("undrain", "a1", &["-y"]);
    said(&undrain, &["offers: none (drained) → made"]);
    assert_eq!(lab.listed("a1")["deactivated"], false);
    nothing_is_left(lab);
}

fn agents_stop_and_start_again(lab: &Lab) {
    step("agents stop, stay so, and start again as who they were");
    let id = lab.listed("a1")["id"].clone();
    let stop = lab.run("stop", &["-y", "-t", "agents", "-l", "@workers"]);
    said(&stop, &["active → inactive, enabled → disabled", "Stop complete: 2 changed on 2 hosts"]);
    for agent in ["a1", "a2"] {
        let unit = "systemctl is-active mesos-slave; systemctl is-enabled mesos-slave; :";
        assert_eq!(lab.on(agent, unit), "inactive\ndisabled\n");
    }
    said(&lab.run("stop", &["-y", "-t", "agents"]), &["There is nothing to do."]);
    said(&lab.run("start", &["-y", "-t", "agents"]), &["Start complete: 2 changed on 2 hosts"]);
    assert_eq!(lab.listed("a1")["id"], id);
    nothing_is_left(lab);
}

fn a_quorum_is_not_stopped_by_the_way(lab: &Lab) {
    step("a quorum is not stopped by the way");
    let refused = lab.run("stop", &["-y", "-t", "zookeeper"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("this ends the quorum of ZooKeeper"), "{refused:?}");
    let follower = lab.follower();
    said(&lab.run("stop", &["-y", "-t", "zookeeper", "-l", follower]), &["Stop complete"]);
    said(&lab.run("start", &["-y", "-t", "zookeeper"]), &["Start complete: 1 changed on 1 host"]);
    nothing_is_left(lab);
}

fn hosts_boot_and_serve_again(lab: &Lab) {
    step("an agent and the leading master boot");
    let leader = lab.leader();
    let boots = |host: &str| lab.on(host, "cut -d' ' -f22 /proc/1/stat");
    let before = [boots("a1"), boots(&leader)];
    let power = Power::on(lab, &["a1", &leader]);
    let reboot = lab.run("reboot", &["-y", "-l", &format!("a1,{leader}")]);
    drop(power);
    said(
        &reboot,
        &["reboot of quorums", "to boot, as asked", "Reboot complete: 2 changed on 2 hosts"],
    );
    let after = [boots("a1"), boots(&leader)];
    assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{after:?}");
    assert_ne!(lab.leader(), leader);
    assert_eq!(lab.listed("a1")["active"], true);
    nothing_is_left(lab);
}

fn a_command_runs_on_many_hosts(lab: &Lab) {
    step("a command runs on many hosts, and each exit code is kept");
    let script = "echo \"$1\"; case $(hostname) in m1) exit 7 ;; esac";
    let words = ["-y", "-l", "@masters", "--", "sh", "-c", script, "sh", "it's $HOME"];
    let exec = lab.run("exec", &words);
    assert_eq!(exec.code, 3, "{exec:?}");
    assert_eq!(exec.out, "m1 (exit 7)\n  it's $HOME\nm2, m3 (2 hosts, exit 0)\n  it's $HOME\n");
    said(&lab.run("preflight", &[]), &["Preflight: 6 hosts asked, 0 errors"]);
}

fn what_is_destroyed_keeps_its_data(lab: &Lab) {
    step("a cluster that is destroyed keeps its data, and an apply finds it again");
    let data = "cat /var/lib/zookeeper/version-2/acceptedEpoch; ls /var/lib/mesos/replicated_log; \
                ls -d /var/lib/zookeeper/version-2/snapshot.* | head -1";
    let before = lab.on("m1", data);
    let refused = lab.run("destroy", &["-y", "--delete-data", "another"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    said(&lab.run("destroy", &["-y"]), &["ZooKeeper: their quorum ends", "Destroy complete"]);
    lab.on("m1", "[ ! -e /etc/zookeeper/conf/zoo.cfg ]");
    assert_eq!(lab.on("m1", data), before);
    let apply = lab.run("apply", &["-y", "-t", TASKS]);
    assert_eq!(apply.code, 0, "{apply:?}");
    assert_eq!(lab.listed("a1")["active"], true);
    nothing_is_left(lab);
}

fn invocation(lab: &Lab, host: &str, unit: &str) -> String {
    lab.on(host, &format!("systemctl show -p InvocationID --value {unit}"))
}

/// A container whose systemd has gone down stays down, as a machine does whose power is off: this is who
/// presses the button.
struct Power {
    off: Arc<AtomicBool>,
    watch: Option<thread::JoinHandle<()>>,
}

impl Power {
    fn on(lab: &Lab, hosts: &[&str]) -> Power {
        let off = Arc::new(AtomicBool::new(false));
        let (ended, names) = (Arc::clone(&off), hosts.iter().map(|host| lab.container(host)));
        let names: Vec<String> = names.collect();
        let watch = thread::spawn(move || {
            let docker = |words: &[&str]| Command::new("docker").args(words).output().unwrap();
            while !ended.load(Ordering::SeqCst) {
                for name in &names {
                    let state = docker(&["inspect", "-f", "{{.State.Status}}", name]);
                    if state.stdout.starts_with(b"exited") {
                        assert!(docker(&["start", name]).status.success());
                    }
                }
                thread::sleep(Duration::from_millis(300));
            }
        });
        Power { off, watch: Some(watch) }
    }
}

impl Drop for Power {
    fn drop(&mut self) {
        self.off.store(true, Ordering::SeqCst);
        let _ = self.watch.take().map(thread::JoinHandle::join);
    }
}

//! What the inventory says otherwise rolls one by one, the leader last, and can be cut short.

use serde_json::Value as Json;

use super::super::support::lab::{Lab, step};
use super::super::support::quorum::Client;

pub(super) fn a_changed_setting_rolls_agent_by_agent(lab: &Lab) {
    step("a changed setting rolls, one agent at a time, and attributes change with a new agent id");
    let set = ["-e", "mesos.agents.workers.attributes.zone=z1"];
    let plan = lab.run("plan", &set);
    assert!(plan.out.contains(", one by one: a1, a2"), "{}", plan.out);
    let apply = lab.run("apply", &[&set[..], &["-y"]].concat());
    assert_eq!(apply.code, 0, "{apply:?}");
    let status = lab.run("status", &set);
    assert!(status.out.contains("provision_host:a2;rack:r2;zone:z1"), "{}", status.out);
    // The way back is an ordinary apply of the earlier inventory.
    assert_eq!(lab.run("apply", &["-y"]).code, 0);
    assert_eq!(lab.run("plan", &["--detailed-exitcode"]).code, 0);
}

pub(super) fn an_interrupted_drain_is_gone_on_with(lab: &Lab) {
    step("an interrupted drain is gone on with, or taken back, by the next apply");
    let set = ["-e", "mesos.agents.workers.attributes.zone=z1"];
    hold(lab);
    let mut cut = lab.start("apply", &[&set[..], &["-y"]].concat());
    let draining = || lab.listed("a1")["drain_info"]["state"] == "DRAINING";
    until(lab, "a1 is drained", draining);
    cut.kill().unwrap();
    cut.wait().unwrap();
    assert!(draining());
    let plan = lab.run("plan", &["-v"]);
    let gap = "~ a1: drain mesos-slave: left by a run that was cut short, to be ended";
    assert!(plan.out.contains(gap), "{}", plan.out);
    for agent in ["a1", "a2"] {
        lab.on(agent, "rm /run/held");
    }
    let back = lab.run("apply", &["-y"]);
    assert_eq!(back.code, 0, "{back:?}");
    assert_eq!(lab.listed("a1")["deactivated"], false);
    assert_eq!(lab.run("plan", &["--detailed-exitcode"]).code, 0);
}

pub(super) fn a_secret_that_changed_is_refused(lab: &Lab) {
    step("a secret that changed under the same principal is refused by name");
    let file = "/etc/mesos-secrets/agent-agent.json";
    assert_eq!(lab.on("a1", &format!("stat -c '%a %U' {file}")), "600 root\n");
    lab.on("a1", &format!("sed -i s/twin-of/of-twin/ {file}"));
    let refused = lab.run("apply", &["-y"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains(&format!("a1: error[secret-changed]: {file}")), "{refused:?}");
    lab.on("a1", &format!("sed -i s/of-twin/twin-of/ {file}"));
}

/// Answers the agents' ids from before.
pub(super) fn changed_settings_roll_the_leader_last(lab: &mut Lab) -> [Json; 2] {
    step("changed settings roll one by one, the leader last, and nobody is left without a quorum");
    let leader = lab.leader();
    let agents = ["a1", "a2"].map(|agent| lab.listed(agent)["id"].clone());
    // At once: another principal for the agents, which must not be dropped before they have it.
    lab.keep(&["zookeeper.config.snapCount=50000", "mesos.credentials.agent.principal=agent-2"]);
    let refused = lab.run("apply", &["-y"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("a2: error[principal-dropped]"), "{refused:?}");
    let former = [
        "-e",
        "mesos.credentials.former.0.principal=agent",
        "-e",
        "mesos.credentials.former.0.secret.env=NOT_READ",
    ];
    let plan = lab.run("plan", &former);
    assert!(plan.out.contains(&format!(", {leader}\n")), "{}", plan.out);
    let started = |host| lab.on(host, "systemctl show -p InvocationID --value mesos-master");
    let before = ["m1", "m2", "m3"].map(started);
    let client = Client::start(&["m1", "m2", "m3"].map(|host| lab.address(host)));
    let apply = lab.run("apply", &[&former[..], &["-y"]].concat());
    let seen = client.end();
    assert_eq!(apply.code, 0, "{apply:?}");
    // Each member was down at its turn, and never two; the leader's restart is the one election.
    assert_eq!(seen.zookeeper.ever_down.len(), 3, "{seen:?}");
    assert_eq!(seen.zookeeper.most_down, 1, "{seen:?}");
    // The stand-in is away too shortly for each look to find it so.
    assert!(seen.masters.most_down <= 1, "{seen:?}");
    let after = ["m1", "m2", "m3"].map(started);
    assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{after:?}");
    for quorum in [&seen.zookeeper, &seen.masters] {
        assert_eq!(quorum.leaders.len(), 2, "{seen:?}");
        assert!(quorum.gaps <= 1, "{seen:?}");
    }
    assert!(!seen.written.acknowledged.is_empty());
    assert_eq!((&seen.written.lost[..], seen.written.expired), (&[][..], 0), "{seen:?}");
    assert_eq!(lab.run("plan", &[&former[..], &["--detailed-exitcode"]].concat()).code, 0);
    agents
}

pub(super) fn the_old_principal_is_dropped(lab: &Lab, agents: &[Json; 2]) {
    step("the old principal is dropped, and no agent was lost on the way");
    assert_eq!(lab.run("apply", &["-y"]).code, 0);
    assert_eq!(lab.run("plan", &["--detailed-exitcode"]).code, 0);
    assert_eq!(["a1", "a2"].map(|agent| lab.listed(agent)["id"].clone()), *agents);
    for agent in ["a1", "a2"] {
        assert_eq!(lab.on(agent, "systemctl show -p NRestarts --value mesos-slave"), "0\n");
        let refused = "journalctl -u mesos-slave --no-pager | grep -c 'refused auth' || true";
        assert_eq!(lab.on(agent, refused), "0\n");
    }
}

/// Runs a task on each agent that uses whatever grace period it gets, for as long as there is
/// `/run/held`. Two of that size do not fit on one agent.
fn hold(lab: &Lab) {
    let cpus = lab.listed("a1")["unreserved_resources"]["cpus"].as_f64().unwrap() * 0.6;
    // A task goes where it is offered: what it waits for must be on both by then.
    for agent in ["a1", "a2"] {
        lab.on(agent, "touch /run/held");
    }
    for agent in ["a1", "a2"] {
        let command = "trap \"\" TERM; while [ -e /run/held ]; do sleep 0.2; done";
        lab.on(
            agent,
            &format!(
                "systemd-run -q --collect -u held mesos-execute --master=$(cat /etc/mesos/zk) \
                 --principal=spark --secret=$(cat /etc/spark-secrets/spark) \
                 --name=held-{agent} --resources='cpus:{cpus};mem:32' --command='{command}'"
            ),
        );
    }
    for agent in ["a1", "a2"] {
        let used = || lab.listed(agent)["used_resources"]["cpus"].as_f64() > Some(0.0);
        until(lab, &format!("a task runs on {agent}"), used);
    }
}

/// Polls until something is true; the count only ends what hangs, and then everybody is heard.
fn until(lab: &Lab, what: &str, done: impl Fn() -> bool) {
    for _ in 0..200 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    for agent in ["a1", "a2"] {
        let said = "journalctl -u held -n 30 -o cat --no-pager; journalctl -u mesos-slave -n 30 -o cat --no-pager";
        println!("{agent}: {}", lab.on(agent, said));
    }
    let leader = lab.leader();
    println!("{leader}: {}", lab.on(&leader, "journalctl -u mesos-master -n 80 -o cat --no-pager"));
    println!("{}", lab.run("diagnose", &[]).out);
    panic!("it did not come true: {what}");
}

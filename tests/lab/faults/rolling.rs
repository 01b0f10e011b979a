//! Three machines that are an ensemble and its masters: what happens to a roll when a member is lost.

use super::twin::{Host, Running, until};

const TASKS: &str = "base,zookeeper,masters";

/// Makes the stamp of a member that was found healthy wait for `/gate`: there its gate is open, and
/// nobody has been asked yet who may go next.
const AT_THE_STAMP: &str = "case \"$*\" in *InvocationID\\ --value*)\n\
     touch /stamping; until [ -e /gate ]; do sleep 0.1; done ;;\nesac\nexec REAL \"$@\"";

/// A change of each quorum, and how one of its members is asked whether it serves.
const CHANGES: [(&str, [&str; 2], &str); 2] = [
    (
        "zookeeper",
        ["zookeeper: {", "zookeeper: { config: { tickTime: 2500 },"],
        r#"exec 3<>/dev/tcp/ADDRESS/2181; echo srvr >&3; grep -q "Mode: [lf]" <&3"#,
    ),
    (
        "mesos-master",
        ["flags: {}", "flags: { offer_timeout: 40secs }"],
        r#"curl -sf http://ADDRESS:5050/metrics/snapshot | grep -q "registrar/log/recovered\":1""#,
    ),
];

#[test]
#[ignore = "one of the long ones: make lab-long"]
fn fault_80_a_member_lost_while_rolling_keeps_the_next_one_from_its_turn() {
    let hosts = Host::start_cluster(3);
    let operator = &hosts[0].operator;
    hosts[0].applied(TASKS);
    hosts.iter().for_each(|host| host.wrap("systemctl", AT_THE_STAMP));
    let named = |n: char| &hosts[n.to_digit(10).unwrap() as usize - 1];
    for (unit, [from, to], serves) in CHANGES {
        operator.edit(from, to);
        let invocation = format!("systemctl show -p InvocationID {unit}");
        let before: Vec<String> = hosts.iter().map(|host| host.sh(&invocation)).collect();
        let mut running = operator.start("apply", &["-y", "-t", TASKS]);
        let order = planned(&mut running);
        let [first, next, last] = order.map(named);
        first.until("test -e /stamping");
        // The leader goes last, so this one leads: the others have to elect, and may no more be missing.
        last.sh(&format!("systemctl stop {unit}"));
        hosts.iter().for_each(|host| {
            host.sh("touch /gate");
        });
        let ran = running.wait();
        // Nobody has its turn until the lost one is mended, and that is not touched before the others have led
        // without it for a while.
        let lost = format!("h{} served when this began and no longer does", order[2]);
        ran.said(0, &[&lost]);
        let at = |wave: usize, n: char| ran.all().find(&format!("wave {wave} of 3: h{n}"));
        assert!(at(2, order[2]).is_some() && at(3, order[1]).is_some(), "{ran:?}");
        for host in [first, next, last] {
            host.until(&format!("bash -c '{}'", serves.replace("ADDRESS", &host.address)));
        }
        hosts[0].is_converged(TASKS);
        assert!(hosts.iter().zip(&before).all(|(host, old)| host.sh(&invocation) != *old));
        hosts.iter().for_each(|host| {
            host.sh("rm -f /gate /stamping");
        });
    }
    // A member whose host falls silent is as one that is sick, though nothing was done on it.
    operator.edit("tickTime: 2500", "tickTime: 2600");
    let invocation = "systemctl show -p InvocationID zookeeper";
    let before: Vec<String> = hosts.iter().map(|host| host.sh(invocation)).collect();
    let mut running = operator.start("apply", &["-y", "-t", TASKS]);
    let order = planned(&mut running);
    let [first, next, last] = order.map(named);
    first.until("test -e /stamping");
    last.docker(&["pause"]);
    first.sh("touch /gate");
    let ran = running.wait();
    last.docker(&["unpause"]);
    let silent = format!("h{}", order[2]);
    ran.said(4, &[&format!("blocked: h{}: ", order[1]), &silent, "its host could not be asked"]);
    let index = order[1].to_digit(10).unwrap() as usize - 1;
    assert_eq!(next.sh(invocation), before[index], "it was restarted beside a silent peer");
    hosts.iter().for_each(|host| {
        host.sh("touch /gate");
    });
    until("all serve again, and the rest is done", || {
        operator.run("apply", &["-y", "-t", TASKS]).code == 0
    });
    hosts[0].is_converged(TASKS);
    hosts.iter().for_each(|host| {
        host.sh("rm -f /gate /stamping");
    });
    // With two of three gone nobody serves, and none of those who did is taken for one to mend.
    operator.edit("tickTime: 2600", "tickTime: 3000");
    let mut running = operator.start("apply", &["-y", "-t", TASKS]);
    let order = planned(&mut running);
    let [first, next, last] = order.map(named);
    first.until("test -e /stamping");
    for host in [next, last] {
        host.sh("systemctl stop zookeeper");
    }
    first.sh("touch /gate");
    let lost = format!("h{} served when this began and no longer does", order[1]);
    running.wait().said(4, &[&lost, "blocked: "]);
    for host in [next, last] {
        host.sh("! systemctl is-active -q zookeeper; ! grep -q tickTime=3000 /etc/zookeeper/conf/zoo.cfg; touch /gate");
    }
    // A lost quorum is started together.
    operator.run("apply", &["-y", "-t", TASKS]).said(0, &["Apply complete"]);
    until("the masters have elected too", || {
        operator.run("plan", &["-t", TASKS]).out.starts_with("No changes. ")
    });
    hosts[0].is_converged(TASKS);
}

/// Who goes first, next and last by the plan: the digits of h1, h2 and h3.
fn planned(running: &mut Running) -> [char; 3] {
    let line = running.line(&["one by one: h"]);
    let (_, hosts) = line.trim_end().split_once(": ").expect("hosts");
    let numbers: Vec<char> = hosts.split(", ").filter_map(|host| host.chars().last()).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("not three: {line}"))
}

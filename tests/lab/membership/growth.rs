//! One master becomes three: its log cannot grow, so a new one begins, with consent, and remembers what the old one
//! did.

use serde_json::json;

use super::super::support::lab::step;
use super::Cluster;

#[test]
fn one_master_becomes_three_and_remembers() {
    let mut it = Cluster::made(3, &[1, 2, 3], &[1]);
    let agent = it.agent();
    step("what only the registry knows");
    let machine = json!({ "hostname": "away", "ip": "10.255.255.1" });
    let schedule = json!({ "windows": [{
        "machine_ids": [machine],
        "unavailability": { "start": { "nanoseconds": 4_000_000_000_000_000_000_u64 } },
    }] });
    let first = &it.hosts[0];
    first.sh(&format!(
        "curl -sf -X POST -d '{schedule}' http://{}:5050/maintenance/schedule",
        first.address
    ));
    assert_eq!(it.asked("/maintenance/schedule"), schedule);

    step("without consent nothing is touched");
    it.masters = [1, 2, 3].into();
    it.write_inventory();
    let apply = it.run("apply", &["-y"]);
    assert_ne!(apply.code, 0, "{apply:?}");
    assert!(format!("{apply:?}").contains("master-growth"), "{apply:?}");
    let flags = first.sh(&format!("curl -s http://{}:5050/flags", first.address));
    assert_eq!(super::flag(&flags, "quorum").as_deref(), Some("1"));

    step("with consent a new log begins, and the old one is kept");
    it.consent = "master-growth: a quiet hour, ";
    it.write_inventory();
    let apply = it.run("apply", &["-y"]);
    assert_eq!(apply.code, 0, "{apply:?}");
    it.is_as_wanted();
    assert_eq!(it.agent(), agent, "the agent is another one");
    assert_eq!(it.asked("/maintenance/schedule"), schedule, "{apply:?}");
    let kept = it.hosts[0].sh("ls -d /var/lib/mesos/replicated_log.of-*/standin-voting");
    assert_eq!(kept.lines().count(), 1, "{kept}");

    step("whoever leads next remembers it too");
    let leader = it.leading_master();
    it.hosts[leader - 1].sh("systemctl stop mesos-master");
    assert_eq!(it.asked("/maintenance/schedule"), schedule);
    it.hosts[leader - 1].sh("systemctl start mesos-master");
}

//! D and E: two runs at once, and what comes from elsewhere.

use std::fs;

use super::connection::{begun, gated, ran_times};
use super::twin::Host;

const TASKS: &str = "base,spark";

#[test]
fn fault_56_two_runs_at_once_are_never_both_inside() {
    let host = Host::start();
    gated(&host);
    let first = host.operator.start("apply", &["-y", "-t", TASKS]);
    begun(&host);
    let colleague = host.operator.colleague();
    for _ in 0..10 {
        let second = colleague.run("apply", &["-y", "-t", TASKS]);
        second.said(75, &["h1", "locked", "alice"]);
    }
    // Looking needs no lock.
    assert_eq!(colleague.run("plan", &["-t", TASKS]).code, 0);
    host.sh("touch /gate");
    first.wait().said(0, &["Apply complete"]);
    ran_times(&host, 1);
    let ran = colleague.run("apply", &["-t", TASKS]);
    ran.said(0, &["No changes"]);
    colleague.disconnect();
}

#[test]
fn fault_63_an_inventory_that_is_edited_during_an_apply() {
    let host = Host::start();
    gated(&host);
    let mut running = host.operator.start("apply", &["-y", "--json", "-t", TASKS]);
    running.line(&["run_started", "\"inventory\":\""]);
    begun(&host);
    host.operator.edit("spark.cores.max: 2", "spark.cores.max: 7");
    host.sh("touch /gate");
    running.wait().said(0, &[]);
    // What was read is what was done.
    assert!(host.sh("cat /opt/spark/conf/spark-defaults.conf").contains("cores.max 2"));
    host.converges(TASKS);
    assert!(host.sh("cat /opt/spark/conf/spark-defaults.conf").contains("cores.max 7"));
}

/// The archive comes from a web server on the host itself, which answers with these bytes.
fn from_web(host: &Host, make: &str, digest: Option<&str>) {
    host.sh(&format!("rm -rf /web; mkdir -p /web/in; cd /web/in; {make}"));
    let running = host.try_sh("ss -Hltn | grep -q ':8000 '", "").code == 0;
    if !running {
        host.sh("cd / && setsid python3 -m http.server -d /web 8000 >/dev/null 2>&1 &");
        host.until("ss -Hltn | grep -q ':8000 '");
    }
    let digest = digest.map_or_else(
        || host.sh("sha512sum </web/spark.tgz").split_whitespace().next().unwrap().to_owned(),
        str::to_owned,
    );
    let text = fs::read_to_string(host.operator.inventory()).unwrap();
    let line = text.lines().find(|line| line.contains("archive:")).unwrap().to_owned();
    let new =
        format!("  archive: {{ url: \"http://127.0.0.1:8000/spark.tgz\", sha512: {digest} }}");
    host.operator.edit(&line, &new);
}

#[track_caller]
fn nothing_unpacked(host: &Host) {
    assert_eq!(
        host.sh("ls -A /opt; find / -xdev -name 'evil*' -not -path '/web/*' -not -path '/proc/*'"),
        ""
    );
    let left = host.sh("find /opt /var/lib/provision -name '.provision.*'");
    assert_eq!(left, "", "temporaries are left");
}

const GOOD: &str = "mkdir -p s/bin; echo '#!/bin/sh' >s/bin/spark-submit; tar -czf ../spark.tgz s";

#[test]
fn fault_67_a_checksum_that_does_not_match() {
    let host = Host::start();
    from_web(&host, GOOD, Some(&"0".repeat(128)));
    let ran = host.run("apply", &["-y", "-t", TASKS]);
    ran.said(3, &["checksum mismatch for http://127.0.0.1:8000/spark.tgz", "expected 000", "got "]);
    nothing_unpacked(&host);
    assert_eq!(host.sh("ls -A /var/lib/provision/cache"), "", "a poisoned file was kept");
    from_web(&host, GOOD, None);
    host.converges(TASKS);
}

#[test]
fn fault_69_archives_that_lead_out_of_their_directory_are_refused() {
    let host = Host::start();
    for make in [
        "mkdir -p s/bin; touch s/bin/spark-submit evil; tar -czPf ../spark.tgz s --transform 's,^evil,../../evil,' evil",
        "mkdir -p s/bin; touch s/bin/spark-submit /web/evil; tar -czPf ../spark.tgz s /web/evil",
        "mkdir -p s/bin; touch s/bin/spark-submit; ln -s /etc s/evil; tar -czf ../spark.tgz s",
    ] {
        from_web(&host, make, None);
        host.run("apply", &["-y", "-t", TASKS]).said(3, &["out of its directory"]);
        nothing_unpacked(&host);
    }
    from_web(&host, GOOD, None);
    host.converges(TASKS);
}

#[test]
fn fault_70_a_page_instead_of_an_archive() {
    let host = Host::start();
    let page = "printf '<!DOCTYPE html>\\n<html>log in</html>' >../spark.tgz";
    from_web(&host, page, Some(&"1".repeat(128)));
    host.run("apply", &["-y", "-t", TASKS]).said(3, &["HTML page", "captive portal"]);
    from_web(&host, page, None);
    host.run("apply", &["-y", "-t", TASKS]).said(3, &["is an HTML page, not an archive"]);
    nothing_unpacked(&host);
}

#[test]
fn fault_78_a_port_that_somebody_else_has() {
    let host = Host::start();
    host.sh("setsid python3 -m http.server 2181 >/dev/null 2>&1 &");
    host.until("ss -Hltn | grep -q ':2181 '");
    let before = host.tree();
    let ran = host.run("apply", &["-y", "-t", "zookeeper"]);
    ran.said(
        1,
        &[
            "h1",
            "port 2181, which zookeeper needs, is taken by",
            "python3",
            "pid=",
            "nothing was changed",
        ],
    );
    assert_eq!(host.tree(), before);
}

//! The sweep: the wire is cut, or our process killed, at the start and the end of every configuration
//! and roll action, at a few bytes in between, and killed at the end of every gate. The next apply finishes the work, a third one has
//! nothing to do, and every managed file is that of an undisturbed run.
//!
//! `SWEEP=all` tries every point; without it eight of them are spread over the run.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::proxy::Proxy;
use super::twin::{Host, until};

/// All that configures or rolls. Agents do without Docker here, whose engine is a lab of its own.
const TASKS: &str = "base,zookeeper,masters,weights,agents,spark,dispatcher";

/// Points that are tried at once, each on a host of its own.
const WORKERS: usize = 2;

/// What the disturbed run has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Everything, on a host that has the packages.
    Install,
    /// A change of every component that runs.
    Change,
}

/// Where a run is disturbed.
#[derive(Debug, Clone)]
enum Point {
    /// The wire is cut when so many of its bytes went to the host.
    Cut(u64),
    /// Our process is killed when it says so for the n-th time.
    Kill(&'static str, usize),
}

#[test]
fn sweep_a_run_that_is_disturbed_anywhere_is_finished_by_the_next_one() {
    let works = [Work::Install, Work::Change].map(|work| (work, undisturbed(work)));
    let points: Vec<(Work, Point)> = works
        .iter()
        .flat_map(|(work, (_, points))| points.iter().map(|point| (*work, point.clone())))
        .collect();
    let all = std::env::var_os("SWEEP").is_some_and(|which| which == "all");
    let points = if all {
        points
    } else {
        let (cuts, kills): (Vec<_>, Vec<_>) =
            points.into_iter().partition(|(_, point)| matches!(point, Point::Cut(_)));
        [spread(&cuts, 5), spread(&kills, 3)].concat()
    };
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((work, point)) = points.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let undisturbed = works.iter().find(|(it, _)| it == work);
                    let result = disturbed(*work, point, &undisturbed.unwrap().1.0);
                    let said = format!("{work:?} {point:?}: {}", result.as_deref().unwrap_or("ok"));
                    println!("{said}");
                    if result.is_some() {
                        wrong.lock().unwrap().push(said);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} points: {wrong:#?}", wrong.len(), points.len());
    println!("{} points", points.len());
}

/// So many of them, evenly from the first to the last.
fn spread<T: Clone>(points: &[T], number: usize) -> Vec<T> {
    (0..number).map(|n| points[(2 * n + 1) * points.len() / (2 * number)].clone()).collect()
}

/// What an undisturbed run makes, and the points at which another one can be disturbed.
fn undisturbed(work: Work) -> (String, Vec<Point>) {
    let (host, proxy) = host(work);
    let before = proxy.sent();
    let mut running = host.operator.start("apply", &["-y", "--json", "-t", TASKS]);
    let (mut points, mut begin, mut number, mut gates) = (Vec::new(), 0, 0, 0);
    loop {
        let line = running.line(&["\"event\":"]);
        if line.contains("\"action_started\"") {
            begin = proxy.sent() - before;
            points.push(Point::Cut(begin + 1));
            points.push(Point::Kill("action_started", number));
        } else if line.contains("\"action_ended\"") {
            let end = proxy.sent() - before;
            points.extend(
                [begin + (end - begin) / 3, begin + (end - begin) * 2 / 3, end].map(Point::Cut),
            );
            points.push(Point::Kill("action_ended", number));
            number += 1;
        } else if line.contains("\"gate_ended\"") {
            points.push(Point::Kill("gate_ended", gates));
            gates += 1;
        } else if line.contains("\"run_ended\"") {
            break;
        }
    }
    let ran = running.wait();
    assert_eq!(ran.code, 0, "{ran:?}");
    host.is_converged(TASKS);
    (managed(&host), points)
}

/// What is wrong after a run that was disturbed, if anything.
fn disturbed(work: Work, point: &Point, undisturbed: &str) -> Option<String> {
    let (host, proxy) = host(work);
    if let Point::Cut(bytes) = point {
        proxy.cut_at(proxy.sent() + *bytes);
    }
    let mut running = host.operator.start("apply", &["-y", "--json", "-t", TASKS]);
    if let Point::Kill(event, number) = point {
        for _ in 0..=*number {
            running.line(&[&format!("\"{event}\"")]);
        }
        running.signal("KILL");
    }
    let first = running.wait();
    let expected: &[i32] = match point {
        Point::Cut(_) => &[0, 3, 4],
        Point::Kill(..) => &[137],
    };
    if !expected.contains(&first.code) {
        return Some(format!("the disturbed run: {first:?}"));
    }
    if matches!(point, Point::Cut(_)) && !proxy.was_cut() {
        return Some(format!("the wire was never cut: {} bytes went", proxy.sent()));
    }
    // What still works there holds the lock.
    until("the lock is free", || {
        host.try_sh("! test -e /run/provision/lock || flock -n /run/provision/lock true", "").code
            == 0
    });
    let second = host.run("apply", &["-y", "-t", TASKS]);
    if second.code != 0 {
        return Some(format!("the next apply: {second:?}"));
    }
    let third = host.run("apply", &["-t", TASKS]);
    if third.code != 0 || !third.out.starts_with("No changes") {
        return Some(format!("the third apply is not empty: {third:?}"));
    }
    let managed = managed(&host);
    let odd: Vec<&str> = managed.lines().filter(|line| !undisturbed.contains(line)).collect();
    (managed != undisturbed).then(|| format!("not as undisturbed: {odd:#?}"))
}

/// A host behind a wire, with files that are the same each time.
fn host(work: Work) -> (Host, Proxy) {
    let host = Host::start();
    let proxy = Proxy::to(&host.address);
    let known = fs::read_to_string(host.operator.path("known_hosts")).unwrap();
    let key = known.split_once(' ').unwrap().1;
    let line = format!("[127.0.0.1]:{} {key}", proxy.port);
    fs::write(host.operator.path("known_hosts"), line).unwrap();
    let ssh = format!("h1: {{ ssh: {{ host: 127.0.0.1, port: {} }}, ", proxy.port);
    host.operator.edit("h1: { ", &ssh);
    host.operator.edit("  masters:", "  roles: { etl: { weight: 2 } }\n  masters:");
    host.operator.with_agents();
    host.operator.edit("  clients:", "  dispatcher: { hosts: [h1] }\n  clients:");
    if work == Work::Change {
        host.applied(TASKS);
        for (from, to) in [
            ("zookeeper: {", "zookeeper: { config: { tickTime: 2500 },"),
            ("weight: 2", "weight: 3"),
            ("flags: {}", "flags: { offer_timeout: 40secs }"),
            // An agent that announces something else needs a new id.
            ("workers: {", "workers: { attributes: { rack: r2 },"),
            ("spark.cores.max: 2", "spark.cores.max: 3"),
        ] {
            host.operator.edit(from, to);
        }
    }
    (host, proxy)
}

/// Its managed files, and what its daemons were started with, without what is each host's own: its address, and the random archive's digest.
fn managed(host: &Host) -> String {
    let files = host.sh(
        "cd /; find opt etc/zookeeper/conf etc/mesos etc/mesos-master etc/mesos-slave etc/default etc/systemd/system \
         -xdev -type f ! -name jar ! -name .provision | sort | while read -r f; do \
         printf '%s %s %s\\n' \"$f\" \"$(stat -c '%U:%G %a' \"$f\")\" \"$(sed 's/ADDRESS/@/g' \"$f\" | sha256sum)\"; done"
            .replace("ADDRESS", &host.address)
            .as_str(),
    );
    // Whatever a stamp says: these are the settings that are in force.
    let daemons = host.sh(
        "for unit in mesos-master mesos-slave; do \
         tr '\\0' '\\n' <\"/proc/$(systemctl show -p MainPID --value $unit)/cmdline\" | sort; done; \
         bash -c 'exec 3<>/dev/tcp/ADDRESS/2181; echo conf >&3; grep -e ^tickTime -e ^initLimit -e ^syncLimit <&3'"
            .replace("ADDRESS", &host.address)
            .as_str(),
    );
    let files = format!("{files}{}", daemons.replace(&host.address, "@"));
    let home = host.sh("readlink /opt/spark");
    files.replace(home.trim().trim_start_matches('/'), "SPARK")
}

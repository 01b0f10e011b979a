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
use super::twin::{Host, Ran, until};

/// All that configures or rolls. Agents do without Docker here, whose engine is a lab of its own.
const TASKS: &str = "base,zookeeper,masters,weights,agents,spark,dispatcher";

/// Points that are tried at once when all are, each on a host of its own.
const WORKERS: usize = 2;

/// Where a run is disturbed.
#[derive(Debug, Clone)]
enum Point {
    /// The wire is cut when so many bytes went to the host.
    Cut(u64),
    /// Our process is killed when it says so for the n-th time.
    Kill(&'static str, usize),
}

#[test]
fn sweep_a_run_that_is_disturbed_anywhere_is_finished_by_the_next_one() {
    let (undisturbed, points) = undisturbed();
    let all = std::env::var_os("SWEEP").is_some_and(|which| which == "all");
    let (points, workers) = if all { (points, WORKERS) } else { (spread(&points, 8), 1) };
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::SeqCst)) {
                    match disturbed(point, &undisturbed) {
                        Ok(()) => println!("{point:?}: ok"),
                        Err(why) => {
                            println!("{point:?}: {why}");
                            wrong.lock().unwrap().push(format!("{point:?}: {why}"));
                        }
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
fn spread(points: &[Point], number: usize) -> Vec<Point> {
    (0..number).map(|n| points[(2 * n + 1) * points.len() / (2 * number)].clone()).collect()
}

/// What an undisturbed run makes, and the points at which another one can be disturbed.
fn undisturbed() -> (String, Vec<Point>) {
    let (host, proxy) = host();
    let mut running = host.operator.start("apply", &["-y", "--json", "-t", TASKS]);
    let (mut points, mut begin, mut number, mut gates) = (Vec::new(), 0, 0, 0);
    loop {
        let line = running.line(&["\"event\":"]);
        if line.contains("\"action_started\"") {
            begin = proxy.sent();
            points.push(Point::Cut(begin + 1));
            points.push(Point::Kill("action_started", number));
        } else if line.contains("\"action_ended\"") {
            let end = proxy.sent();
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

fn disturbed(point: &Point, undisturbed: &str) -> Result<(), String> {
    let (host, proxy) = host();
    if let Point::Cut(bytes) = point {
        proxy.cut_at(*bytes);
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
        return Err(format!("the disturbed run: {first:?}"));
    }
    if matches!(point, Point::Cut(_)) && !proxy.was_cut() {
        return Err(format!("the wire was never cut: {} bytes went", proxy.sent()));
    }
    // What still works there holds the lock.
    until("the lock is free", || {
        host.try_sh("! test -e /run/provision/lock || flock -n /run/provision/lock true", "").code
            == 0
    });
    good("the next apply", &host.run("apply", &["-y", "-t", TASKS]))?;
    let third = host.run("apply", &["-t", TASKS]);
    good("the third apply", &third)?;
    if !third.out.starts_with("No changes") {
        return Err(format!("the third apply has something to do: {third:?}"));
    }
    let managed = managed(&host);
    if managed != undisturbed {
        let odd: Vec<&str> = managed.lines().filter(|line| !undisturbed.contains(line)).collect();
        return Err(format!("files differ: {odd:#?}"));
    }
    Ok(())
}

fn good(what: &str, ran: &Ran) -> Result<(), String> {
    if ran.code == 0 { Ok(()) } else { Err(format!("{what}: {ran:?}")) }
}

/// A host behind a wire, with files that are the same each time.
fn host() -> (Host, Proxy) {
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
    (host, proxy)
}

/// Its managed files, without what is each host's own: its address, and the random archive's digest.
fn managed(host: &Host) -> String {
    let files = host.sh(
        "cd /; find opt etc/zookeeper/conf etc/mesos etc/mesos-master etc/mesos-slave etc/default etc/systemd/system \
         -xdev -type f ! -name jar ! -name .provision | sort | while read -r f; do \
         printf '%s %s %s\\n' \"$f\" \"$(stat -c '%U:%G %a' \"$f\")\" \"$(sed 's/ADDRESS/@/g' \"$f\" | sha256sum)\"; done"
            .replace("ADDRESS", &host.address)
            .as_str(),
    );
    let home = host.sh("readlink /opt/spark");
    files.replace(home.trim().trim_start_matches('/'), "SPARK")
}

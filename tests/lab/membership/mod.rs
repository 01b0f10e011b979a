//! Members come and go on real ZooKeeper servers, and on masters of the stand-in, while a client writes znodes
//! and keeps an eye on everybody. Whatever changes: no acknowledged write is lost, the client's session lives,
//! of those who stay never more than one is down, and nobody leads only while the planned elections last.
//!
//! Eight machines that only wait for their parts. An agent has to follow wherever its masters go.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Instant;

use super::support::lab::step;
use super::support::quorum::{Client, Seen};
use super::support::twin::{Host, Ran, until};

mod facts;
mod growth;
mod quorum_auth;

/// No Docker, no Spark.
const TASKS: &str = "base,zookeeper,masters,weights,agents,retired";

/// Machines, and who of them the inventory says is what. Numbers count from 1, as in names and myids.
struct Cluster {
    hosts: Vec<Host>,
    servers: BTreeSet<usize>,
    masters: BTreeSet<usize>,
    /// Znodes that some client was told are there.
    written: BTreeSet<u32>,
    /// What else the inventory allows.
    consent: &'static str,
    /// What else it says of the ensemble.
    auth: &'static str,
}

#[test]
fn membership_changes_lose_nothing() {
    let mut it = Cluster::made(8, &[1], &[1, 2, 3]);
    step("one server becomes three");
    it.becomes(&[1, 2, 3], &[1, 2, 3]);
    step("three become five");
    it.becomes(&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5]);
    step("three of five are replaced, the leaders among them");
    let (server, master) = (it.leading_server(), it.leading_master());
    let out = it.any_but(3, &it.servers, &[server, master]);
    let set = it.replaced(&it.servers, &out, &[6, 7, 8]);
    it.becomes(&set, &set);
    step("five become three, the leaders among those who leave");
    let (server, master) = (it.leading_server(), it.leading_master());
    let out = it.any_but(2, &it.servers, &[server, master]);
    let set = it.replaced(&it.servers, &out, &[]);
    it.becomes(&set, &set);
    step("a follower is replaced");
    let (server, master) = (it.leading_server(), it.leading_master());
    let follower = *it.servers.iter().find(|n| ![server, master].contains(n)).unwrap();
    let set = it.replaced(&it.servers, &[follower], &[it.idle()]);
    it.becomes(&set, &set);
    step("the leader is replaced");
    let leader = it.leading_server();
    let set = it.replaced(&it.servers, &[leader], &[it.idle()]);
    it.becomes(&set, &set);
    step("the masters move away from the servers");
    let others: Vec<usize> = (1..=8).filter(|n| !it.servers.contains(n)).take(3).collect();
    let servers: Vec<usize> = it.servers.iter().copied().collect();
    it.becomes(&servers, &others);
}

/// Where a run is killed: when it says so for the n-th time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Point(&'static str, usize);

/// Every action's beginning, which is the end of the one before, and what follows the last of a wave.
const EVENTS: [&str; 2] = ["action_started", "gate_ended"];

#[test]
#[ignore = "one of the long ones: make lab-long"]
fn sweep_growth_that_is_cut_is_finished_by_the_next_apply() {
    there_and_back_is_cut(&[1, 2, 3, 4, 5]);
}

#[test]
#[ignore = "one of the long ones: make lab-long"]
fn sweep_a_replacement_that_is_cut_is_finished_by_the_next_apply() {
    there_and_back_is_cut(&[1, 2, 4]);
}

/// Three members become others, and these the three again. `SWEEP=all` cuts that at every point, from the round
/// `FROM` on; without it at one that is in the middle.
fn there_and_back_is_cut(there: &[usize]) {
    let all = std::env::var_os("SWEEP").is_some_and(|which| which == "all");
    let from = std::env::var("FROM").map_or(0, |round| round.parse().expect("FROM is a number"));
    let mut it = Cluster::made(5, &[1, 2, 3], &[1, 2, 3]);
    let ways = [there, &[1, 2, 3]];
    let points = ways.map(|members| it.becomes_cut(members, None));
    println!("   {} points there, {} back", points[0].len(), points[1].len());
    let (mut tried, mut cuts) = (0, 0);
    let rounds = if all { from..points[0].len().max(points[1].len()) } else { 0..1 };
    for round in rounds {
        for (way, (members, points)) in ways.iter().zip(&points).enumerate() {
            // The few are in the middle of things, and not the same there and back.
            let at = if all { round } else { (way + 1) * points.len() / 3 };
            let cut = points[at % points.len()];
            step(&format!("round {round}: {members:?}, cut at {cut:?}"));
            // They come as new ones each time, so that each point is come to.
            it.wipe_idle();
            let came_to = it.becomes_cut(members, Some(cut));
            tried += 1;
            match came_to.last() == Some(&cut) {
                true => cuts += 1,
                // Hosts that were members before need less than new ones: the last points are not come to.
                false => println!("   it was whole after {} points", came_to.len()),
            }
        }
    }
    println!("   {cuts} cuts");
    assert!(cuts * 2 >= tried, "{cuts} of {tried} were cut");
}

impl Cluster {
    /// Made, and as it was made.
    fn made(size: usize, servers: &[usize], masters: &[usize]) -> Cluster {
        let hosts = Host::start_cluster(size);
        let of = |all: &[usize]| all.iter().copied().collect();
        let (servers, masters) = (of(servers), of(masters));
        let (written, consent, auth) = (BTreeSet::new(), "", "");
        let cluster = Cluster { hosts, servers, masters, written, consent, auth };
        cluster.write_inventory();
        let apply = cluster.run("apply", &["-y"]);
        assert_eq!(apply.code, 0, "{apply:?}");
        cluster.is_as_wanted();
        cluster
    }

    /// The inventory says so now; an apply makes it so under the client's eyes.
    fn becomes(&mut self, servers: &[usize], masters: &[usize]) {
        self.changes(servers, masters, |it| {
            let apply = it.run("apply", &["-y"]);
            assert_eq!(apply.code, 0, "{apply:?}");
            let elections = elections(&apply.out);
            (apply, elections)
        });
    }

    /// The same of both quorums, with the run killed at a point and another one after it. Without a point it is
    /// the points that are answered.
    fn becomes_cut(&mut self, members: &[usize], cut: Option<Point>) -> Vec<Point> {
        let mut points = Vec::new();
        self.changes(members, members, |it| {
            points = it.cut(cut);
            let apply = it.run("apply", &["-y"]);
            assert_eq!(apply.code, 0, "after {cut:?}: {apply:?}");
            // What the first run has done is not told here: neither quorum may be without a leader for long.
            (apply, [usize::MAX; 2])
        });
        points
    }

    /// A run that is killed at a point, if any; all the points that it came to.
    fn cut(&self, cut: Option<Point>) -> Vec<Point> {
        let mut running = self.hosts[0].operator.start("apply", &["-y", "--json", "-t", TASKS]);
        let (mut points, mut counts) = (Vec::new(), BTreeMap::new());
        loop {
            let line = running.line(&["\"event\":"]);
            let found = EVENTS.iter().find(|event| line.contains(&format!("\"{event}\"")));
            if let Some(event) = found {
                let number = counts.entry(*event).or_insert(0);
                let point = Point(event, *number);
                *number += 1;
                points.push(point);
                if cut == Some(point) {
                    running.signal("KILL");
                    break;
                }
            } else if line.contains("\"run_ended\"") {
                break;
            }
        }
        running.wait();
        for host in &self.hosts {
            // What still works there holds the lock.
            host.until("! test -e /run/provision/lock || flock -n /run/provision/lock true");
        }
        points
    }

    /// The inventory says so now, something makes it so, and the client has seen no harm.
    fn changes(
        &mut self,
        servers: &[usize],
        masters: &[usize],
        does: impl FnOnce(&Cluster) -> (Ran, [usize; 2]),
    ) {
        let agent = self.agent();
        let (old_servers, old_masters) = (self.servers.clone(), self.masters.clone());
        self.servers = servers.iter().copied().collect();
        self.masters = masters.iter().copied().collect();
        println!("   {old_servers:?} → {:?}, {old_masters:?} → {:?}", self.servers, self.masters);
        self.write_inventory();
        let client = Client::of(
            &self.addresses(&(&old_servers | &self.servers)),
            &self.addresses(&(&old_masters | &self.masters)),
        );
        let (apply, elections) = does(self);
        let seen = client.end();
        self.is_as_wanted();
        assert_eq!(self.agent(), agent, "the agent is another one");
        self.nothing_was_lost(&apply, &seen, [&old_servers, &old_masters], elections);
    }

    /// Machines without a part are given back, and come as new ones.
    fn wipe_idle(&self) {
        for (n, host) in (1..).zip(&self.hosts) {
            if !self.servers.contains(&n) && !self.masters.contains(&n) {
                host.sh(
                    "rm -rf /var/lib/zookeeper/version-2 /var/lib/mesos/replicated_log /etc/mesos-master \
                     /var/lib/provision/stamps/zookeeper.service /var/lib/provision/stamps/mesos-master.service",
                );
            }
        }
    }

    fn nothing_was_lost(
        &mut self,
        apply: &Ran,
        seen: &Seen,
        old: [&BTreeSet<usize>; 2],
        elections: [usize; 2],
    ) {
        let written = &seen.written;
        println!(
            "   {} written; servers: {} gaps, {:?} led; masters: {} gaps, {:?} led",
            written.acknowledged.len(),
            seen.zookeeper.gaps,
            seen.zookeeper.leaders,
            seen.masters.gaps,
            seen.masters.leaders
        );
        assert!(written.lost.is_empty() && written.expired == 0, "{seen:?}\n{apply:?}");
        let before: Vec<&u32> = self.written.difference(&written.acknowledged).collect();
        assert!(before.is_empty(), "lost between two clients: {before:?}");
        assert!(written.acknowledged.len() > self.written.len(), "nothing was written: {seen:?}");
        self.written.clone_from(&written.acknowledged);
        let now = [&self.servers, &self.masters];
        for ((old, now), quorum) in old.iter().zip(now).zip([&seen.zookeeper, &seen.masters]) {
            // Whoever watched counts from 0 through the old and the new ones together.
            let all: Vec<usize> = old.union(now).copied().collect();
            let stays = |at: &usize| old.contains(&all[*at]) && now.contains(&all[*at]);
            let stay: BTreeSet<usize> = (0..all.len()).filter(stays).collect();
            assert!(quorum.most_down_of(&stay) <= 1, "{seen:?}\n{apply:?}");
        }
        assert!(seen.zookeeper.gaps <= elections[0], "{elections:?} {seen:?}\n{apply:?}");
        assert!(seen.masters.gaps <= elections[1], "{elections:?} {seen:?}\n{apply:?}");
    }

    /// Nothing is left to do, and each machine runs what it is to run and nothing else.
    fn is_as_wanted(&self) {
        let plan = self.run("plan", &["--detailed-exitcode"]);
        assert_eq!(plan.code, 0, "{plan:?}");
        let quorum = self.masters.len() / 2 + 1;
        for (n, host) in (1..).zip(&self.hosts) {
            let mode = host.sh(
                "bash -c 'exec 3<>/dev/tcp/ADDRESS/2181 && printf srvr >&3 && grep -c ^Mode: <&3' 2>/dev/null || :"
                    .replace("ADDRESS", &host.address)
                    .as_str(),
            );
            assert_eq!(mode.trim() == "1", self.servers.contains(&n), "server on h{n}: {mode}");
            let flags = host.sh(&format!("curl -s http://{}:5050/flags || :", host.address));
            let runs = self.masters.contains(&n).then(|| quorum.to_string());
            assert_eq!(flag(&flags, "quorum"), runs, "master on h{n}: {flags}");
        }
        // What the masters remember together came along.
        let weights = self.asked("/weights");
        assert_eq!(weights, serde_json::json!([{"role": "etl", "weight": 2.0}]));
    }

    fn write_inventory(&self) {
        let mut lines = String::new();
        for (n, host) in (1..).zip(&self.hosts) {
            lines.push_str(&format!("  h{n}: {{ address: {} }}\n", host.address));
        }
        let servers: Vec<String> = self.servers.iter().map(|n| format!("h{n}: {n}")).collect();
        let masters: Vec<String> = self.masters.iter().map(|n| format!("h{n}")).collect();
        let text = format!(
            "version: 1
cluster: members
ssh: {{ user: ops, become: true, port: 22, identity_file: ./id, known_hosts: ./known_hosts, config_file: ./ssh_config }}
allow: {{ {}no-docker-containerizer: only the agent is meant, open-ports: a network of this machine }}
hosts:
{lines}zookeeper: {{ servers: {{ {} }}{} }}
mesos:
  version: 1.11.0
  package: {{ preinstalled: true }}
  roles: {{ etl: {{ weight: 2 }} }}
  masters: {{ hosts: [{}] }}
  agents:
    workers:
      hosts: [h{}]
      flags: {{ containerizers: mesos, launcher: posix, systemd_enable_support: false }}
      resources: {{ cpus: 1, mem: 512MB, disk: 1GB, ports: \"[31000-32000]\" }}
",
            self.consent,
            servers.join(", "),
            self.auth,
            masters.join(", "),
            self.hosts.len()
        );
        fs::write(self.hosts[0].operator.inventory(), text).unwrap();
    }

    fn run(&self, command: &str, more: &[&str]) -> Ran {
        let began = Instant::now();
        let ran = self.hosts[0].run(command, &[&["-t", TASKS], more].concat());
        println!("   {command} ({:.1} s)", began.elapsed().as_secs_f64());
        ran
    }

    fn addresses(&self, of: &BTreeSet<usize>) -> Vec<String> {
        of.iter().map(|n| self.hosts[n - 1].address.clone()).collect()
    }

    fn leading_server(&self) -> usize {
        self.leading(&self.servers, |host| {
            let at = &host.address;
            format!(
                "bash -c 'exec 3<>/dev/tcp/{at}/2181; printf srvr >&3; grep \"Mode: leader\" <&3'"
            )
        })
    }

    fn leading_master(&self) -> usize {
        self.leading(&self.masters, |host| {
            format!(
                "curl -s http://{}:5050/metrics/snapshot | grep '\"master/elected\":1'",
                host.address
            )
        })
    }

    fn leading(&self, of: &BTreeSet<usize>, asks: impl Fn(&Host) -> String) -> usize {
        let mut found = None;
        until("somebody leads", || {
            let leads = |n: &&usize| {
                let host = &self.hosts[**n - 1];
                host.try_sh(&asks(host), "").code == 0
            };
            found = of.iter().find(leads).copied();
            found.is_some()
        });
        found.unwrap()
    }

    /// What the leading master answers.
    fn asked(&self, path: &str) -> serde_json::Value {
        let leader = &self.hosts[self.leading_master() - 1];
        let text = leader.sh(&format!("curl -s http://{}:5050{path}", leader.address));
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}"))
    }

    /// The id of the agent.
    fn agent(&self) -> String {
        let agents = self.asked("/slaves");
        let one = &agents["slaves"][0];
        assert_eq!(one["active"], true, "{agents}");
        one["id"].as_str().unwrap().to_owned()
    }

    /// So many of a set, these first.
    fn any_but(&self, number: usize, of: &BTreeSet<usize>, first: &[usize]) -> Vec<usize> {
        let first: BTreeSet<usize> = first.iter().copied().collect();
        let rest = of.difference(&first);
        first.iter().chain(rest).copied().take(number).collect()
    }

    fn replaced(&self, set: &BTreeSet<usize>, out: &[usize], by: &[usize]) -> Vec<usize> {
        set.iter().filter(|n| !out.contains(n)).chain(by).copied().collect()
    }

    /// A machine that has no part in a quorum.
    fn idle(&self) -> usize {
        let used = &self.servers | &self.masters;
        (1..=self.hosts.len()).find(|n| !used.contains(n)).unwrap()
    }
}

/// How often nobody may lead, by the plan: of the ensemble whenever all of a list are rolled or a leader gives the
/// lead away; of the masters whenever all of them are, or one leaves, and where they are without an ensemble for so
/// long that they may lose their sessions.
fn elections(plan: &str) -> [usize; 2] {
    let stages = |words: &[&str]| {
        let is =
            |line: &&str| !line.starts_with(' ') && words.iter().any(|word| line.contains(word));
        plan.lines().filter(is).count()
    };
    [
        stages(&["join m", "joins h", "the ensemble", "gives the lead", "ZooKeeper"]),
        stages(&[
            "quorum ",
            "leaves the masters",
            "lead of the masters",
            "Mesos masters",
            "does not serve for some seconds",
        ]),
    ]
}

/// A flag of a master that runs.
fn flag(flags: &str, name: &str) -> Option<String> {
    let flags: serde_json::Value = serde_json::from_str(flags).ok()?;
    flags["flags"][name].as_str().map(str::to_owned)
}

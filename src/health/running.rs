//! Where membership stands: read from the cluster, never taken from the inventory. Which servers a server's
//! list names, which quorum a master runs with, who holds data: of every host that was given such a part, and of
//! every other one on which we have once started it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value as Json;

use super::{Agents, Check, Masters, Question, Replies, ZooKeeper, ask};
use crate::ground::HostName;
use crate::inventory::{
    Host, Inventory, LOGIN_CONFIG, Part, QUORUM_AUTH_KEYS, Retired, Sasl, ZooKeeper as Ensemble,
    principals,
};
use crate::mesos::master::Metrics;
use crate::script::{Probe, Sections, quote};

/// Servers and masters as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Running {
    /// Hosts that run a server, or hold a list or data of one.
    pub servers: BTreeMap<HostName, Server>,
    /// Hosts that run a master, whether it answers or not.
    pub masters: BTreeMap<HostName, Replica>,
    /// Hosts that hold a master's quorum, whether it runs or not.
    pub kept: BTreeMap<HostName, Kept>,
    /// Hosts that could not be asked and have either part by the inventory, or may have: those without any part
    /// and not said to be gone.
    pub silent: BTreeSet<HostName>,
    /// Whether an agent was started once: there were masters then, and an ensemble that knew them. Services tell it, not
    /// members.
    pub has_begun: bool,
}

/// One server of the ensemble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its own number; `None` where it has none yet.
    pub id: Option<u8>,
    /// Number → address of those that it counts as members, itself included; empty where it has no list.
    pub list: BTreeMap<u8, String>,
    /// Whether its directory holds a snapshot or a log. What may not be looked at may.
    pub data: Data,
    /// Whether its unit runs, or tries to: it may have started just now.
    pub runs: bool,
    /// Whether anything answers on its client port.
    pub answers: bool,
    /// Whether it says that it serves, in an ensemble or alone.
    pub serves: bool,
    /// Whether it is of before 3.5, and says nobody whom it counts: its list is what its file says now.
    pub is_old: bool,
    /// What its process does about SASL with the others; `None` where somebody else has set that.
    pub sasl: Option<Sasl>,
}

impl Default for Server {
    /// One that is not there.
    fn default() -> Server {
        let (id, list, data, sasl) = (None, BTreeMap::new(), Data::Nothing, Some(Sasl::default()));
        let (runs, answers, serves, is_old) = (false, false, false, false);
        Server { id, list, data, runs, answers, serves, is_old, sasl }
    }
}

/// What a host holds of a master that need not run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The quorum in its file.
    pub quorum: Option<usize>,
    /// Whether there is a replica of the log.
    pub log: bool,
    /// Whether its unit is not to start: as who has left is left behind, and nobody who has only stopped.
    pub left: bool,
}

/// Whether a directory holds data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Data {
    /// It holds none.
    #[default]
    Nothing,
    /// It does, or may not be looked at.
    Perhaps,
}

/// One replica of the masters' log: a master that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replica {
    /// The quorum that its process runs with; `None` where it does not say.
    pub quorum: Option<usize>,
    /// How many replicas it sees, itself included; from Mesos 1.4.
    pub ensemble: Option<usize>,
    /// Whether it votes, for it holds what the log did or has caught up; `None` where it does not say.
    pub votes: Option<bool>,
    /// Whom its process admits; `None` where it does not say.
    pub admits: Option<Admits>,
}

/// Whom a master admits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admits {
    /// Principals that it knows; `None` for those of a file that is not ours.
    pub known: Option<BTreeSet<String>>,
    /// Whether agents must show one.
    pub agents: bool,
    /// Whether frameworks must.
    pub frameworks: bool,
}

/// Where a part's unit leaves its mark once it was found healthy.
fn stamp(part: Part) -> &'static str {
    match part {
        Part::ZooKeeper => "/var/lib/provision/stamps/zookeeper.service",
        _ => "/var/lib/provision/stamps/mesos-master.service",
    }
}

/// Both parts, each with the section of what its files say.
const PARTS: [(Part, &str); 2] = [(Part::ZooKeeper, "ensemble"), (Part::Master, "log")];

/// Begins the sections of what hosts answer about a part that the inventory does not give them.
const LEFT: &str = "left-";

/// Whether the inventory gives a host a part.
fn has(inventory: &Inventory, part: Part, host: &HostName) -> bool {
    match part {
        Part::ZooKeeper => inventory.ensemble().is_some_and(|all| all.contains_key(host)),
        _ => inventory.mesos.masters.contains(host),
    }
}

/// What a host with a part is asked over the network.
fn questions(inventory: &Inventory, part: Part, host: &Host) -> Vec<Question> {
    match part {
        Part::ZooKeeper => ZooKeeper.question(inventory, host).into_iter().collect(),
        _ => {
            let checks: [&dyn Check; 2] = [&Masters, &Agents];
            let asked = checks.into_iter().filter_map(|check| check.question(inventory, host));
            asked.chain([flags(inventory, host)]).collect()
        }
    }
}

/// A master's flags: its file may be newer than its process.
pub fn flags(inventory: &Inventory, host: &Host) -> Question {
    let since = inventory.mesos.version.at_least(&[1, 0]);
    let path = if since { "/flags" } else { "/flags.json" };
    Question::Master(inventory.master_url(host) + path)
}

/// What a host is asked. Where it has neither part, nor ever had, that is two tests of the shell.
pub fn probe(inventory: &Inventory, host: &Host) -> Probe {
    let mut probe = Probe::default();
    let both = PARTS.iter().all(|(part, _)| has(inventory, *part, &host.name));
    for (part, files) in PARTS {
        if part == Part::ZooKeeper && inventory.ensemble().is_none() {
            continue;
        }
        let look = look(inventory, part);
        if has(inventory, part, &host.name) {
            let unit = match (both, part) {
                (false, _) => shown(part),
                (true, Part::ZooKeeper) => SHOW_BOTH.to_owned(),
                // Told with the other's.
                (true, _) => "u=$m".to_owned(),
            };
            probe.section(files, format!("{unit}\n{look}"));
            continue;
        }
        let only = |script: &str| format!("if [ -e {} ]; then\n{script}\nfi", stamp(part));
        probe.section(files, only(&format!("{}\n{look}", shown(part))));
        probe.extend(ask::probe_as(LEFT, &questions(inventory, part, host), only));
    }
    probe
}

/// The unit of a part.
fn unit(part: Part) -> &'static str {
    match part {
        Part::ZooKeeper => "zookeeper",
        _ => "mesos-master",
    }
}

/// Leaves in `$u` how the unit of a part stands.
fn shown(part: Part) -> String {
    format!(
        "u=$(systemctl show -p MainPID -p ActiveState -p UnitFileState {} 2>/dev/null)",
        unit(part)
    )
}

/// The same for both, of which `$m` keeps the master's: a fork, and systemd's answer, is waited for. An empty line
/// is between units. Source: systemctl(1), "show".
const SHOW_BOTH: &str = "m=$(systemctl show -p MainPID -p ActiveState -p UnitFileState zookeeper mesos-master 2>/dev/null)\n\
    n='\n'; u=${m%%\"$n$n\"*}; m=${m#\"$u\"}";

/// Says how the unit of which `$u` tells stands.
const RUNS: &str = "case $u in *ActiveState=acti* | *ActiveState=reloading*) echo runs ;; \
    *UnitFileState=disabled* | *UnitFileState=masked*) echo left ;; esac";

/// What the files of a part say, told by the shell itself, and its unit, of which `$u` tells. `snapshot.0` is what an
/// empty server writes at its first start: it holds nothing. Source: `FileTxnSnapLog.restore` of apache/zookeeper
/// release-3.8.0.
fn look(inventory: &Inventory, part: Part) -> String {
    match part {
        Part::ZooKeeper => {
            let directories = inventory.ensemble_directories();
            let data = directories.first().copied().unwrap_or_default();
            let log = directories.last().copied().unwrap_or_default();
            format!(
                "d={}; e={}; c=/etc/zookeeper/conf/zoo.cfg; echo here\n\
                 if [ -r $c ]; then while IFS= read -r l || [ -n \"$l\" ]; do case $l in server.*) printf '%s\\n' \"$l\" ;; \
                 {QUORUM_AUTH_KEYS}enableSasl=[Tt]rue) echo sasl ;; esac; done < $c\n\
                 p=${{u#*MainPID=}}; p=${{p%%[!0-9]*}}; case $p in ''|0) ;; *)\n\
                 echo process; tr '\\n\\0' ' \\n' 2>/dev/null < \"/proc/$p/cmdline\" | while IFS= read -r l; do \
                 case $l in {LOGIN_CONFIG}=*|-D{QUORUM_AUTH_KEYS}*) printf '%s\\n' \"$l\" ;; esac; done ;; esac; fi\n\
                 if [ -r \"$d/myid\" ]; then IFS= read -r l < \"$d/myid\" || :; printf 'serverId=%s\\n' \"$l\"; fi\n\
                 if [ -d \"$d\" ] && ! [ -x \"$d\" ]; then echo data; fi\n\
                 for f in \"$d\"/version-2/snapshot.* \"$e\"/version-2/log.*; do case $f in */snapshot.0) continue ;; esac; if [ -e \"$f\" ]; then echo data; break; fi; done\n{}",
                quote(data),
                quote(log),
                RUNS
            )
        }
        _ => {
            let log = format!("{}/replicated_log", inventory.mesos.masters_work_dir());
            format!(
                "f=/etc/mesos-master/quorum; if [ -r $f ]; then IFS= read -r l < $f || :; printf 'quorum=%s\\n' \"$l\"; \
                 if [ -e {} ]; then echo log; fi; fi\n{}",
                quote(&log),
                RUNS
            )
        }
    }
}

/// What a host was answered where the inventory does not give it a part.
pub fn left(inventory: &Inventory, host: &Host, sections: &Sections) -> Replies {
    let mut replies = Replies::new();
    for (part, _) in PARTS {
        replies.extend(ask::replies_as(LEFT, &questions(inventory, part, host), sections));
    }
    replies
}

impl Running {
    /// What the answers of all hosts say; those that did not answer are missing in them.
    pub fn read(
        inventory: &Inventory,
        sections: &BTreeMap<&HostName, &Sections>,
        replies: &BTreeMap<HostName, Replies>,
    ) -> Running {
        let mut running = Running::default();
        let others = [Part::Agent, Part::Client, Part::Dispatcher];
        let others: BTreeSet<&HostName> =
            others.into_iter().flat_map(|part| inventory.hosts_of(part)).collect();
        for (name, host) in &inventory.hosts {
            let Some(seen) = sections.get(name) else {
                let either = PARTS.iter().any(|(part, ..)| has(inventory, *part, name));
                let gone = inventory.retired.get(name) == Some(&Retired::Gone);
                if either || !gone && !others.contains(name) {
                    running.silent.insert(name.clone());
                }
                continue;
            };
            let answers = replies.get(name);
            let answer = |question: Question| answers.and_then(|all| all.get(&question));
            let text = seen.get("ensemble").map_or("", |text| text.as_str());
            if text.lines().any(|line| line == "here") {
                let reply = ZooKeeper.question(inventory, host).and_then(answer);
                let spoken = reply.map_or("", |reply| reply.body.as_str());
                let server = server(text, spoken, host.address);
                if server.answers
                    || server.runs
                    || server.data == Data::Perhaps
                    || !server.list.is_empty()
                {
                    running.servers.insert(name.clone(), server);
                }
            }
            let file = seen.get("log").map_or("", |text| text.as_str());
            if let Some(quorum) = file.strip_prefix("quorum=") {
                let log = file.lines().any(|line| line == "log");
                let quorum = quorum.lines().next().and_then(|it| it.trim().parse().ok());
                let left = file.lines().any(|line| line == "left");
                running.kept.insert(name.clone(), Kept { quorum, log, left });
            }
            let metrics = Masters.question(inventory, host).and_then(answer);
            let metrics = metrics.filter(|reply| reply.status != 0);
            // One that hangs, or has just started, is a replica like any other.
            if metrics.is_none() && !(running.kept.contains_key(name) && runs(file)) {
                continue;
            }
            let metrics = metrics.map_or("", |reply| reply.body.as_str());
            let flags = answer(flags(inventory, host)).map_or("", |reply| reply.body.as_str());
            running.masters.insert(name.clone(), replica(metrics, flags, file));
        }
        running
    }

    /// Whether the masters count a replica more than are known, and it may be one of ours that has just stopped: they
    /// forget it when its session with ZooKeeper ends.
    pub fn lingers(&self) -> bool {
        let seen = self.masters.values().filter_map(|it| it.ensemble).max().unwrap_or(0);
        let stopped = self.kept.keys().any(|host| !self.masters.contains_key(host));
        stopped && seen > self.masters.len() + self.silent.len()
    }

    /// Takes what a master says of its log now.
    pub fn hear(&mut self, host: &HostName, metrics: &str) {
        let now = replica(metrics, "", "").ensemble;
        if let Some(replica) = self.masters.get_mut(host).filter(|_| now.is_some()) {
            replica.ensemble = now;
        }
    }

    /// The inventory with those that run as members beside those that are wanted: whose health is judged.
    pub fn beside(&self, inventory: &Arc<Inventory>) -> Arc<Inventory> {
        let strange = |host: &&HostName| !inventory.mesos.masters.contains(*host);
        let masters: Vec<&HostName> = self.masters.keys().filter(strange).collect();
        // Whom no other server counts any more has left.
        let counted = |host: &HostName| {
            let address = inventory.hosts.get(host).map(|it| it.address.to_string());
            let mut others = self.servers.iter().filter(|(other, it)| *other != host && it.answers);
            others.any(|(_, it)| it.list.values().any(|at| Some(at) == address.as_ref()))
        };
        let listed = self.servers.iter().filter(|(_, server)| server.answers);
        let servers: Vec<(&HostName, u8)> = listed
            .filter(|(host, _)| !has(inventory, Part::ZooKeeper, host) && counted(host))
            .filter_map(|(host, server)| Some((host, server.id?)))
            .collect();
        let quorum = self.masters.values().filter_map(|it| it.quorum).min();
        let same = quorum.is_none_or(|quorum| quorum >= inventory.quorum());
        if masters.is_empty() && servers.is_empty() && same {
            return Arc::clone(inventory);
        }
        let mut beside = Inventory::clone(inventory);
        // Whoever leads with the quorum that it has is ready, whatever is wanted.
        beside.mesos.quorum = Some(quorum.unwrap_or(usize::MAX).min(inventory.quorum()));
        beside.mesos.masters.extend(masters.into_iter().cloned());
        if let Ensemble::Managed { servers: all, .. } = &mut beside.zookeeper {
            all.extend(servers.into_iter().map(|(host, id)| (host.clone(), id)));
        }
        Arc::new(beside)
    }
}

/// What a server's files say, and over them what it says itself: its process may be older than its files.
fn server(files: &str, spoken: &str, own: IpAddr) -> Server {
    let number = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("serverId="))?;
        line.trim().parse::<u8>().ok()
    };
    // `conf` of a standalone server says that it has the number 0.
    let id = number(files);
    let mode = |mode: &str| spoken.lines().any(|line| line == mode);
    let alone = BTreeMap::from([(id.unwrap_or(0), own.to_string())]);
    let list = match (members(spoken), members(files)) {
        _ if mode("Mode: standalone") => alone,
        (spoken, _) if !spoken.is_empty() => spoken,
        (_, files) => files,
    };
    let data = match files.lines().any(|line| line == "data") {
        true => Data::Perhaps,
        false => Data::Nothing,
    };
    let serves = spoken.lines().any(|line| line.starts_with("Mode: "));
    let version = spoken.lines().find_map(|line| line.strip_prefix("Zookeeper version: "));
    Server {
        id,
        list,
        data,
        runs: runs(files),
        answers: !spoken.trim().is_empty(),
        serves,
        is_old: version.is_some_and(|version| version.starts_with("3.4.")),
        sasl: sasl(files),
    }
}

/// What a server's process was started with. Without a file of JAAS there is no SASL; with one that is not ours it
/// may be there for clients alone, and zoo.cfg says which.
fn sasl(files: &str) -> Option<Sasl> {
    let options = files.lines().filter(|line| line.starts_with("-D"));
    let named = options.clone().any(|option| option.starts_with(LOGIN_CONFIG));
    let seen = files.lines().any(|line| line == "process");
    let on = files.lines().any(|line| line == "sasl");
    match Sasl::read(&options) {
        Some(sasl) if named || seen || !on => Some(sasl),
        None if !on => Some(Sasl::default()),
        _ => None,
    }
}

/// Whether the unit of a part runs, or tries to.
fn runs(files: &str) -> bool {
    files.lines().any(|line| line == "runs")
}

/// Number → address of the lines `server.1=10.0.0.1:2888:3888:participant`, as zoo.cfg and `conf` have them.
fn members(text: &str) -> BTreeMap<u8, String> {
    let member = |line: &str| {
        let (id, at) = line.trim().strip_prefix("server.")?.split_once('=')?;
        let address = match at.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?.0,
            None => at.split(':').next()?,
        };
        Some((id.parse().ok()?, address.to_owned()))
    };
    text.lines().filter_map(member).collect()
}

/// What a master that runs says of its log.
fn replica(metrics: &str, flags: &str, file: &str) -> Replica {
    let flags: Json = serde_json::from_str(flags).unwrap_or_default();
    let flags = flags.get("flags").and_then(Json::as_object);
    let text = |name: &str| flags?.get(name)?.as_str();
    let flag = text("quorum");
    let admits = flags.map(|_| Admits {
        known: text("credentials").map_or_else(|| Some(BTreeSet::new()), principals),
        agents: ["authenticate_agents", "authenticate_slaves"]
            .iter()
            .any(|name| text(name) == Some("true")),
        frameworks: ["authenticate_frameworks", "authenticate"]
            .iter()
            .any(|name| text(name) == Some("true")),
    });
    let file = file.lines().find_map(|line| line.strip_prefix("quorum="));
    let metrics = Metrics::read(metrics);
    let metric = |name: &str| metrics.as_ref()?.get(name);
    Replica {
        quorum: flag.or(file).and_then(|text| text.trim().parse().ok()),
        ensemble: metric("registrar/log/ensemble_size").map(|size| size as usize),
        votes: metric("registrar/log/recovered").map(|recovered| recovered == 1.0),
        admits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 31, 7, 11));

    fn ids(list: &BTreeMap<u8, String>) -> Vec<(u8, &str)> {
        list.iter().map(|(id, at)| (*id, at.as_str())).collect()
    }

    #[test]
    fn the_list_of_a_recorded_server_is_read() {
        let srvr = include_str!("../../tests/fixtures/real/zookeeper/04-settled/m1-srvr.raw");
        let conf = include_str!("../../tests/fixtures/real/zookeeper/04-settled/m1-conf.raw");
        let files = "here\nserver.1=172.31.7.11:2888:3888\nserver.9=[fd00::9]:2888:3888\nserverId=1\ndata\n";
        let spoken = format!("{srvr}{conf}");
        let all = [(1, "172.31.7.11"), (2, "172.31.7.12"), (3, "172.31.7.13")];
        let seen = server(files, &spoken, OWN);
        assert_eq!(ids(&seen.list), all);
        assert_eq!((seen.id, seen.data, seen.answers), (Some(1), Data::Perhaps, true));
        assert!(!seen.is_old);
        // Of one that is stopped, its file.
        let seen = server(files, "", OWN);
        assert_eq!(ids(&seen.list), [(1, "172.31.7.11"), (9, "fd00::9")]);
        assert!(!seen.answers);
    }

    /// As Debian 11's 3.4.13 answers: `conf` names no member.
    #[test]
    fn a_server_that_says_nobody_whom_it_counts_is_told_apart() {
        let spoken = "Zookeeper version: 3.4.13--1, built on Tue, 24 Jan 2023 10:38:28 +0000\nLatency min/avg/max: 0/0/0\n\
                      Mode: follower\nclientPort=2181\nserverId=2\nquorumPort=2888\npeerType=0\n";
        let files = "here\nserver.1=172.31.7.12:2888:3888\nserver.2=172.31.7.11:2888:3888\nserverId=2\ndata\n";
        let seen = server(files, spoken, OWN);
        assert!(seen.is_old && seen.serves);
        assert_eq!(ids(&seen.list), [(1, "172.31.7.12"), (2, "172.31.7.11")]);
    }

    #[test]
    fn a_server_that_stands_alone_is_a_list_of_one() {
        let srvr = include_str!("../../tests/fixtures/real/zookeeper/04-settled/m1-srvr.raw");
        let spoken = srvr.replace("Mode: follower", "Mode: standalone");
        let seen = server("here\nserverId=7\ndata\n", &spoken, OWN);
        assert_eq!(ids(&seen.list), [(7, "172.31.7.11")]);
        // Stopped, its file does not say so; an empty machine says nothing at all.
        assert!(server("here\nserverId=7\ndata\n", "", OWN).list.is_empty());
        assert_eq!(server("here\n", "", OWN), Server::default());
    }

    #[test]
    fn the_quorum_of_a_recorded_master_is_read_from_its_process() {
        let body = |text: &'static str| text.split_once("\r\n\r\n").unwrap().1;
        let metrics = body(include_str!(
            "../../tests/fixtures/real/masters/05-agents-idle/m1-metrics_snapshot.http"
        ));
        let flags =
            body(include_str!("../../tests/fixtures/real/masters/05-agents-idle/m1-flags.http"));
        let admits = Some(Admits { known: Some(BTreeSet::new()), ..Admits::default() });
        let expected = Replica { quorum: Some(2), ensemble: Some(3), votes: Some(true), admits };
        assert_eq!(replica(metrics, flags, "quorum=3\n"), expected);
        assert_eq!(replica(metrics, "", "quorum=3\n").quorum, Some(3));
        assert_eq!(replica("", "", ""), Replica::default());
    }
}

//! Both quorums of a modelled cluster, moved on by a clock: what its machines run becomes processes that start, elect,
//! serve and end.

use std::collections::BTreeMap;

use provision::ground::HostName;

use super::chance::{Chance, Set, bit};
use super::ensemble::{self, Ensemble};
use super::machine::{Machine, Reach};
use super::masters_log::{self, Log};

/// The quorums of the hosts `m1`, `m2`, …
#[derive(Debug, Clone)]
pub(crate) struct Quorums {
    pub(crate) ensemble: Ensemble,
    pub(crate) log: Log,
    /// Hosts that will never be again.
    pub(crate) gone: Set,
    /// Milliseconds.
    pub(crate) at: u64,
    pub(crate) chance: Chance,
}

/// How often something happens, in milliseconds.
const TICK: u64 = 500;

impl Quorums {
    pub(crate) fn new(mut chance: Chance) -> Quorums {
        let busy = *chance.pick(&[0, 2, 50]);
        let (ensemble, mut log) = (Ensemble::default(), Log::default());
        log.busy = busy;
        Quorums { ensemble, log, gone: 0, at: 0, chance }
    }

    /// What happens until then; `now` counts what is done to machines.
    pub(crate) fn advance(
        &mut self,
        machines: &mut BTreeMap<HostName, Machine>,
        now: &mut u64,
        until: u64,
    ) {
        let (mut servers, mut masters) = (servers(machines), masters(machines));
        self.ensemble.see(self.at, &servers, &mut self.chance);
        self.log.see(self.at, &masters, &mut self.chance);
        while self.at + TICK <= until {
            self.at += TICK;
            let at = self.at;
            let cut_off = |host: usize| {
                let machine = &machines[&name(host)];
                machine.runs("mesos-master") && machine.reach == Reach::Dead
            };
            let due: Vec<usize> = self
                .log
                .again
                // Of a host that is cut off systemd does so too, and it gives up again.
                .extract_if(.., |(host, due)| *due <= at && !cut_off(*host))
                .map(|(host, _)| host)
                .collect();
            for host in due {
                let machine = machines.get_mut(&name(host)).expect("a machine");
                if machine.runs("mesos-master") {
                    *now += 1;
                    machine.restart("mesos-master", *now);
                }
                (servers, masters) = (self::servers(machines), self::masters(machines));
                self.log.see(at, &masters, &mut self.chance);
            }
            self.ensemble.tick(at, &servers, &mut self.chance);
            self.log.tick(at, &masters, self.ensemble.serves(), &mut self.chance);
        }
        for (host, machine) in machines.iter_mut() {
            if let Some(number) = number(host) {
                machine.data = self.ensemble.holds(number);
            }
        }
    }

    /// What must never be, whoever is to blame.
    pub(crate) fn danger(&self, machines: &BTreeMap<HostName, Machine>) -> Option<String> {
        let (lists, quorums) = self.standing(machines);
        self.ensemble.danger(&lists).or_else(|| self.log.danger(&quorums))
    }

    /// Servers and masters that run, or will once their hosts are back: their lists, their quorums.
    pub(crate) fn standing(
        &self,
        machines: &BTreeMap<HostName, Machine>,
    ) -> (BTreeMap<usize, Set>, BTreeMap<usize, usize>) {
        let (mut lists, mut quorums) = (BTreeMap::new(), BTreeMap::new());
        for (host, machine) in machines {
            let Some(number) = number(host).filter(|number| self.gone & bit(*number) == 0) else {
                continue;
            };
            // What runs has read its file; what will run at the next boot reads it then.
            let read = |name: &str| match machine.units.get(name)? {
                unit if unit.active => Some(unit.read.clone()),
                unit => (machine.reach == Reach::Dead && unit.enabled).then(|| machine.reads(name)),
            };
            lists.extend(read("zookeeper").map(|read| (number, list(&read))));
            quorums.extend(read("mesos-master").map(|read| (number, quorum(&read))));
        }
        (lists, quorums)
    }

    /// What has gone wrong so far.
    pub(crate) fn broken(&mut self) -> Option<String> {
        let all = self.ensemble.broken.drain(..).chain(self.log.broken.drain(..));
        all.collect::<Vec<_>>().into_iter().next()
    }
}

/// The number of a host that may be a member.
pub(crate) fn number(host: &HostName) -> Option<usize> {
    host.as_str().strip_prefix('m')?.parse().ok()
}

pub(crate) fn name(number: usize) -> HostName {
    HostName::new(&format!("m{number}"))
}

/// Members of a server's configuration.
fn list(config: &str) -> Set {
    let ids = config.lines().filter_map(|line| line.strip_prefix("server.")?.split_once('='));
    ids.filter_map(|(id, _)| id.parse::<usize>().ok()).fold(0, |set, id| set | bit(id))
}

fn quorum(file: &str) -> usize {
    file.trim().parse().unwrap_or(1)
}

/// Processes of a unit on hosts that have power.
fn processes<'a>(
    machines: &'a BTreeMap<HostName, Machine>,
    unit: &str,
) -> impl Iterator<Item = (usize, u64, &'a str, bool)> {
    machines.iter().filter_map(move |(host, machine)| {
        let number = number(host)?;
        let unit = machine.units.get(unit).filter(|unit| unit.active && !unit.crashing)?;
        let stuck = unit.wedged || machine.reach == Reach::Dead;
        Some((number, unit.invocation, unit.read.as_str(), stuck))
    })
}

fn servers(machines: &BTreeMap<HostName, Machine>) -> BTreeMap<usize, ensemble::Started> {
    let all = processes(machines, "zookeeper").map(|(host, invocation, read, stuck)| {
        (host, ensemble::Started { invocation, list: list(read), stuck })
    });
    all.collect()
}

fn masters(machines: &BTreeMap<HostName, Machine>) -> BTreeMap<usize, masters_log::Started> {
    let all = processes(machines, "mesos-master").map(|(host, invocation, read, stuck)| {
        (host, masters_log::Started { invocation, quorum: quorum(read), stuck })
    });
    all.collect()
}

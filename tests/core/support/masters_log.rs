//! Mesos masters and their replicated log as a model: registration, promises, recovery. Source: `src/log/recover.cpp`
//! and `src/log/coordinator.cpp` of apache/mesos 1.11.0: an empty replica catches up once q replicas vote, or starts
//! with all 2q − 1 as empty as it is; one that has ever voted votes at once, with the holes that it has; whoever leads
//! learns by the promises of q replicas what was written, and writes the registry anew to all (`Registrar::recover` in
//! `src/master/registrar.cpp`; each entry is a whole snapshot).

use std::collections::{BTreeMap, BTreeSet};

use super::chance::{Chance, Set, bit, each, named, size};

/// All replicas that ever were.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    replicas: BTreeMap<usize, Replica>,
    /// Who holds the last acknowledged entry: each is the whole registry.
    acked: Set,
    /// How often the registry changes, of a hundred half seconds.
    pub(crate) busy: u64,
    /// Registrations whose sessions have not run out: replica, its number, until when.
    ghosts: Vec<(usize, u64, u64)>,
    sequence: u64,
    /// Since when the ensemble has not served.
    alone_since: Option<u64>,
    /// Masters that systemd starts anew, and when.
    pub(crate) again: Vec<(usize, u64)>,
    /// What has gone wrong.
    pub(crate) broken: Vec<String>,
}

/// One replica: its disk and its process.
#[derive(Debug, Clone, Default)]
struct Replica {
    votes: bool,
    process: Option<Process>,
}

#[derive(Debug, Clone)]
struct Process {
    started: Started,
    /// It answers from then on, in milliseconds.
    up_at: u64,
    /// Its number in the group.
    number: Option<u64>,
    /// When its recovery is done.
    recovers_at: Option<u64>,
    /// Since when it leads.
    leads_since: Option<u64>,
    /// Since when too few vote for it.
    short_since: Option<u64>,
    /// It has fetched the registry.
    fetched: bool,
}

/// A process as its machine has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Started {
    /// Which run of the unit it is.
    pub(crate) invocation: u64,
    /// How many must agree.
    pub(crate) quorum: usize,
    /// It hangs, or its host is cut off.
    pub(crate) stuck: bool,
}

/// How long ZooKeeper remembers whoever went without a word.
const SESSION: u64 = 10_000;
/// A leader without a quorum gives up after this time (`registry_fetch_timeout`).
const PATIENCE: u64 = 60_000;
/// systemd starts what has given up again after this time (RestartSec of its unit).
const AGAIN: u64 = 20_000;

impl Process {
    fn new(started: Started, up_at: u64) -> Process {
        Process {
            started,
            up_at,
            number: None,
            recovers_at: None,
            leads_since: None,
            short_since: None,
            fetched: false,
        }
    }
}

impl Log {
    /// Half a second of what happens; `served` is whether the ensemble serves.
    pub(crate) fn tick(
        &mut self,
        at: u64,
        seen: &BTreeMap<usize, Started>,
        served: bool,
        chance: &mut Chance,
    ) {
        self.see(at, seen, chance);
        self.register(at, served);
        self.recover(at, chance);
        self.lead(at, chance);
    }

    /// Processes that have started or ended since; `seen` are those of all hosts.
    pub(crate) fn see(&mut self, at: u64, seen: &BTreeMap<usize, Started>, chance: &mut Chance) {
        for host in seen.keys() {
            self.replicas.entry(*host).or_default();
        }
        for (host, replica) in &mut self.replicas {
            let same = replica
                .process
                .as_ref()
                .zip(seen.get(host))
                .is_some_and(|(process, now)| process.started.invocation == now.invocation);
            let number = replica.process.as_ref().and_then(|process| process.number);
            if let (Some(process), Some(now), true) = (&mut replica.process, seen.get(host), same) {
                process.started = *now;
                if now.stuck {
                    self.ghosts.extend(process.number.take().map(|it| (*host, it, at + SESSION)));
                    (process.leads_since, process.fetched) = (None, false);
                }
                continue;
            }
            self.ghosts.extend(number.map(|number| (*host, number, at + SESSION)));
            let start = |now: &Started| Process::new(*now, at + chance.between(1000, 9000));
            replica.process = seen.get(host).map(start);
        }
    }

    /// Who has given up starts anew in a while.
    fn give_up(&mut self, host: usize, at: u64) {
        let replica = self.replicas.get_mut(&host);
        let Some(process) = replica.and_then(|replica| replica.process.as_mut()) else { return };
        self.ghosts.extend(process.number.map(|number| (host, number, at + SESSION)));
        // Until systemd has started it anew, from the files of then.
        *process = Process::new(process.started, u64::MAX);
        self.again.push((host, at + AGAIN));
    }

    fn register(&mut self, at: u64, served: bool) {
        self.ghosts.retain(|(_, _, until)| *until > at);
        if served {
            self.alone_since = None;
            for process in self.replicas.values_mut().filter_map(|it| it.process.as_mut()) {
                if process.number.is_none() && at >= process.up_at && !process.started.stuck {
                    self.sequence += 1;
                    process.number = Some(self.sequence);
                }
            }
            return;
        }
        let since = *self.alone_since.get_or_insert(at);
        if at < since + SESSION {
            return;
        }
        let leads = self.leader();
        for process in self.replicas.values_mut().filter_map(|it| it.process.as_mut()) {
            process.number = None;
        }
        self.ghosts.clear();
        if let Some(leader) = leads {
            self.give_up(leader, at);
        }
    }

    fn up(&self, host: usize, at: u64) -> Option<&Process> {
        let process = self.replicas.get(&host)?.process.as_ref()?;
        (at >= process.up_at && !process.started.stuck).then_some(process)
    }

    /// Replicas that others can reach.
    fn reached(&self, at: u64) -> Set {
        let reached = |host: &&usize| self.up(**host, at).is_some_and(|it| it.number.is_some());
        self.replicas.keys().filter(reached).fold(0, |set, host| set | bit(*host))
    }

    fn voters(&self, at: u64) -> Set {
        let votes = |host: &usize| self.replicas[host].votes;
        each(self.reached(at)).filter(votes).fold(0, |set, host| set | bit(host))
    }

    fn recover(&mut self, at: u64, chance: &mut Chance) {
        let (reached, voters) = (self.reached(at), self.voters(at));
        for host in each(reached & !voters) {
            let Some(process) = self.replicas.get_mut(&host).and_then(|it| it.process.as_mut())
            else {
                continue;
            };
            let quorum = process.started.quorum;
            if size(voters) < quorum {
                // As empty as all others of them.
                if size(reached & !voters) >= 2 * quorum - 1 {
                    for host in each(reached & !voters) {
                        if let Some(replica) = self.replicas.get_mut(&host) {
                            replica.votes = true;
                        }
                    }
                    return;
                }
                process.recovers_at = None;
                continue;
            }
            let due = *process.recovers_at.get_or_insert(at + chance.between(500, 8000));
            if at < due {
                continue;
            }
            let asked = chance.some(voters, quorum);
            if self.acked & asked != 0 {
                self.acked |= bit(host);
            }
            if let Some(replica) = self.replicas.get_mut(&host) {
                replica.votes = true;
            }
        }
    }

    fn lead(&mut self, at: u64, chance: &mut Chance) {
        let Some(leader) = self.leader() else { return };
        let voters = self.voters(at);
        let votes = self.replicas[&leader].votes;
        let process = self.replicas.get_mut(&leader).and_then(|it| it.process.as_mut());
        let Some(process) = process else { return };
        let quorum = process.started.quorum;
        let since = *process.leads_since.get_or_insert(at);
        let enough = votes && size(voters) >= quorum;
        let short = match enough {
            true => None,
            false => Some(process.short_since.unwrap_or(at)),
        };
        process.short_since = short;
        if short.is_some_and(|short| at >= short + PATIENCE) {
            self.give_up(leader, at);
            return;
        }
        if !enough || at < since + 1000 {
            return;
        }
        if process.fetched {
            if chance.percent(self.busy) {
                self.acked = voters;
            }
            return;
        }
        process.fetched = true;
        let promised = chance.some(voters, quorum);
        if self.acked != 0 && self.acked & promised == 0 {
            self.broken.push(format!(
                "m{leader} leads the masters by promises of [{}], without an acknowledged entry; that is held by [{}]",
                named(promised),
                named(self.acked)
            ));
        }
        // It writes the whole registry with its own name in it, to all.
        self.acked = voters;
    }

    /// Who has the lowest number, unless that one's session has still to run out.
    pub(crate) fn leader(&self) -> Option<usize> {
        let number = |replica: &Replica| replica.process.as_ref()?.number;
        let all = self.replicas.iter().filter_map(|(host, it)| Some((number(it)?, *host)));
        let (first, host) = all.min()?;
        self.ghosts.iter().all(|(_, number, _)| *number > first).then_some(host)
    }

    /// Whether somebody leads who has fetched the registry.
    pub(crate) fn serves(&self) -> bool {
        let fetched = |host| self.replicas[&host].process.as_ref().is_some_and(|it| it.fetched);
        self.leader().is_some_and(fetched)
    }

    /// How many replicas are seen.
    pub(crate) fn seen(&self) -> usize {
        let registered = self
            .replicas
            .iter()
            .filter(|(_, it)| it.process.as_ref().is_some_and(|process| process.number.is_some()));
        let all = registered.map(|(host, _)| *host).chain(self.ghosts.iter().map(|it| it.0));
        all.collect::<BTreeSet<usize>>().len()
    }

    /// What a master says of itself; `None` where nothing answers.
    pub(crate) fn says(&self, host: usize, at: u64) -> Option<Says> {
        let process = self.up(host, at)?;
        let elected = self.leader() == Some(host);
        Some(Says {
            elected,
            recovered: self.replicas[&host].votes,
            fetched: elected && process.fetched,
            quorum: process.started.quorum,
        })
    }

    /// Those that vote now.
    pub(crate) fn votes(&self, at: u64) -> Set {
        self.voters(at)
    }

    /// A master that was started and does not answer yet.
    pub(crate) fn starting(&self, host: usize, at: u64) -> bool {
        let process = self.replicas.get(&host).and_then(|replica| replica.process.as_ref());
        process.is_some_and(|process| at < process.up_at && process.up_at < u64::MAX)
    }

    /// What must never be, of those that run or will when their hosts are back, each with its quorum: more replicas
    /// than the quorum bears; a quorum without an acknowledged entry.
    pub(crate) fn danger(&self, quorums: &BTreeMap<usize, usize>) -> Option<String> {
        let lowest = quorums.values().copied().min()?;
        let all = quorums.keys().fold(0, |set, host| set | bit(*host));
        if size(all) >= 2 * lowest {
            return Some(format!("[{}] run under a quorum of {lowest}", named(all)));
        }
        let votes = |host: &usize| self.replicas.get(host).is_some_and(|it| it.votes);
        let voters = each(all).filter(votes).fold(0, |set, host| set | bit(host));
        let bare = voters & !self.acked;
        if self.acked == 0 || size(bare) < lowest {
            return None;
        }
        Some(format!("[{}] are a quorum of {lowest} without an acknowledged entry", named(bare)))
    }

    /// A replica's log is gone.
    pub(crate) fn set_aside(&mut self, host: usize) {
        self.replicas.entry(host).or_default().votes = false;
        self.acked &= !bit(host);
    }

    /// The leader loses its session.
    pub(crate) fn disturb(&mut self, at: u64) {
        if let Some(leader) = self.leader() {
            self.give_up(leader, at);
        }
    }
}

/// What a master says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Says {
    pub(crate) elected: bool,
    pub(crate) recovered: bool,
    pub(crate) fetched: bool,
    pub(crate) quorum: usize,
}

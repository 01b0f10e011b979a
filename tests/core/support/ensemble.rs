//! ZooKeeper servers as a model: lists, votes, epochs, data. What the elections do with lists that differ is
//! `FastLeaderElection` and `Leader` of apache/zookeeper release-3.8.0: a server counts votes of its own list
//! only, for servers of its own list only; it joins a leader that a majority of its list follows; a leader
//! serves as long as a majority of its own list follows it in sync.

use std::collections::{BTreeMap, BTreeSet};

use super::chance::{Chance, Set, bit, each, has, majority, named, size};

/// All servers that ever were.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ensemble {
    servers: BTreeMap<usize, Server>,
    /// Acknowledged writes, as the sets of those that hold them.
    acked: BTreeSet<Set>,
    /// Servers that somebody started alone, of which no client knows.
    pub(crate) strays: Set,
    /// What has gone wrong.
    pub(crate) broken: Vec<String>,
}

/// One server: its disk and its process.
#[derive(Debug, Clone, Default)]
struct Server {
    /// The last epoch that it has agreed to.
    epoch: u32,
    /// Epoch and number of its last write; (0, 0) is an empty server.
    last: (u32, u32),
    process: Option<Process>,
}

#[derive(Debug, Clone)]
struct Process {
    started: Started,
    /// It answers from then on, in milliseconds.
    up_at: u64,
    state: State,
}

/// A process as its machine has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Started {
    /// Which run of the unit it is.
    pub(crate) invocation: u64,
    /// Those that it counts as members; none where it stands alone.
    pub(crate) list: Set,
    /// It hangs, or its host is cut off.
    pub(crate) stuck: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It takes part in elections from then on.
    Looking { from: u64 },
    /// It is in sync from then on.
    Following { leader: usize, from: u64, synced: bool },
    /// It serves.
    Leading,
}

impl Ensemble {
    /// Half a second of what happens.
    pub(crate) fn tick(&mut self, at: u64, seen: &BTreeMap<usize, Started>, chance: &mut Chance) {
        self.see(at, seen, chance);
        self.part(at, chance);
        self.join(at, chance);
        self.elect(at);
        self.sync(at);
        if chance.percent(60) {
            self.write();
        }
        let leaders: Vec<usize> = self.leaders().collect();
        if leaders.len() > 1 {
            let leaders = leaders.into_iter().fold(0, |set, leader| set | bit(leader));
            self.broken.push(format!("{} lead at once", named(leaders)));
        }
    }

    /// Processes that have started or ended since; `seen` are those of all hosts.
    pub(crate) fn see(&mut self, at: u64, seen: &BTreeMap<usize, Started>, chance: &mut Chance) {
        for host in seen.keys() {
            self.servers.entry(*host).or_default();
        }
        for (host, server) in &mut self.servers {
            let Some(now) = seen.get(host) else {
                server.process = None;
                continue;
            };
            if now.list != 0 {
                self.strays &= !bit(*host);
            }
            match &mut server.process {
                Some(process) if process.started.invocation == now.invocation => {
                    process.started = *now;
                }
                process => {
                    let up_at = at + chance.between(1000, 9000);
                    let state = State::Looking { from: up_at + chance.between(200, 2500) };
                    *process = Some(Process { started: *now, up_at, state });
                }
            }
        }
    }

    /// The process of a server that answers its peers.
    fn up(&self, host: usize, at: u64) -> Option<&Process> {
        let process = self.servers.get(&host)?.process.as_ref()?;
        (at >= process.up_at && !process.started.stuck).then_some(process)
    }

    fn list(&self, host: usize) -> Set {
        let process = self.servers.get(&host).and_then(|server| server.process.as_ref());
        process.map_or(0, |process| whole(process.started.list, host))
    }

    /// Everybody whose process answers.
    pub(crate) fn all_up(&self, at: u64) -> Set {
        let up = self.servers.keys().filter(|host| self.up(**host, at).is_some());
        up.fold(0, |set, host| set | bit(*host))
    }

    fn state(&self, host: usize) -> Option<State> {
        Some(self.servers.get(&host)?.process.as_ref()?.state)
    }

    fn set(&mut self, host: usize, state: State) {
        if let Some(process) =
            self.servers.get_mut(&host).and_then(|server| server.process.as_mut())
        {
            process.state = state;
        }
    }

    /// Those that serve as leaders.
    fn leaders(&self) -> impl Iterator<Item = usize> {
        let leads = |host: &usize| self.state(*host) == Some(State::Leading);
        self.servers.keys().copied().filter(leads).filter(|host| !has(self.strays, *host))
    }

    /// Those that follow a leader in sync.
    fn followers(&self, leader: usize) -> Set {
        let follows = |host: &&usize| matches!(self.state(**host), Some(State::Following { leader: of, synced: true, .. }) if of == leader);
        self.servers.keys().filter(follows).fold(0, |set, host| set | bit(*host))
    }

    /// Leaders that lost their majority, and who follows nobody any more.
    fn part(&mut self, at: u64, chance: &mut Chance) {
        let up = self.all_up(at);
        let mut look = |ensemble: &mut Ensemble, host: usize| {
            let from = at + chance.between(200, 2500);
            ensemble.set(host, State::Looking { from });
        };
        let hosts: Vec<usize> = self.servers.keys().copied().collect();
        for host in &hosts {
            if !has(up, *host) && !matches!(self.state(*host), None | Some(State::Looking { .. })) {
                look(self, *host);
            }
        }
        for host in &hosts {
            if self.state(*host) == Some(State::Leading) {
                let list = self.list(*host);
                let with = (self.followers(*host) | bit(*host)) & list;
                if size(with) < majority(list) {
                    look(self, *host);
                }
            }
        }
        for host in &hosts {
            if let Some(State::Following { leader, .. }) = self.state(*host)
                && self.state(leader) != Some(State::Leading)
            {
                look(self, *host);
            }
        }
    }

    fn looking(&self, at: u64) -> Set {
        let up = self.all_up(at);
        let looks =
            |host: &usize| matches!(self.state(*host), Some(State::Looking { from }) if at >= from);
        each(up).filter(looks).fold(0, |set, host| set | bit(host))
    }

    /// Who finds a leader that a majority of its own list follows.
    fn join(&mut self, at: u64, chance: &mut Chance) {
        for host in each(self.looking(at)) {
            let list = self.list(host);
            let leader = self.leaders().find(|leader| {
                let with = self.followers(*leader) | bit(*leader);
                has(list, *leader) && size(with & list) >= majority(list)
            });
            if let Some(leader) = leader {
                let from = at + chance.between(200, 6000);
                self.set(host, State::Following { leader, from, synced: false });
            }
        }
    }

    /// What a vote is compared by.
    fn vote(&self, host: usize) -> (u32, (u32, u32), usize) {
        let server = &self.servers[&host];
        (server.epoch, server.last, host)
    }

    fn elect(&mut self, at: u64) {
        // Whoever stands alone takes no part in elections.
        let alone = |ensemble: &Ensemble, host: usize| {
            let process = ensemble.servers[&host].process.as_ref();
            process.is_some_and(|process| process.started.list == 0)
        };
        let (mut looking, all) = (0, self.looking(at));
        for host in each(all) {
            match alone(self, host) {
                true => self.lead(host, self.servers[&host].epoch),
                false => looking |= bit(host),
            }
        }
        let voted: BTreeMap<usize, usize> = each(looking)
            .filter_map(|host| {
                let known = looking & self.list(host);
                Some((host, each(known).max_by_key(|other| self.vote(*other))?))
            })
            .collect();
        let votes = |of: Set, on: usize| {
            size(
                each(of)
                    .filter(|host| voted.get(host) == Some(&on))
                    .fold(0, |set, it| set | bit(it)),
            )
        };
        for leader in each(looking) {
            let list = self.list(leader);
            if votes(list, leader) < majority(list) || voted[&leader] != leader {
                continue;
            }
            let follows = |host: &usize| {
                let own = self.list(*host);
                voted[host] == leader && votes(own, leader) >= majority(own)
            };
            let with = each(looking).filter(follows).fold(bit(leader), |set, host| set | bit(host));
            if size(with & list) < majority(list) {
                continue;
            }
            let epoch = each(with).map(|host| self.servers[&host].epoch).max().unwrap_or(0) + 1;
            self.lead(leader, epoch);
            for host in each(with & !bit(leader)) {
                self.set(host, State::Following { leader, from: at, synced: false });
            }
            // It serves once a majority is in sync.
            self.sync(at);
        }
    }

    fn lead(&mut self, leader: usize, epoch: u32) {
        let lost = self.acked.iter().any(|holders| !has(*holders, leader));
        if lost && !has(self.strays, leader) {
            let held: Vec<String> =
                self.acked.iter().map(|set| format!("[{}]", named(*set))).collect();
            self.broken.push(format!(
                "m{leader} leads the ensemble without an acknowledged write; those are held by {}",
                held.join(" ")
            ));
            self.acked.retain(|holders| has(*holders, leader));
        }
        self.set(leader, State::Leading);
        if let Some(server) = self.servers.get_mut(&leader) {
            server.epoch = epoch;
        }
    }

    /// Followers become what their leader is, whatever they held before.
    fn sync(&mut self, at: u64) {
        let hosts: Vec<usize> = self.servers.keys().copied().collect();
        for host in hosts {
            let Some(State::Following { leader, from, synced: false }) = self.state(host) else {
                continue;
            };
            if at < from {
                continue;
            }
            let (epoch, last) = (self.servers[&leader].epoch, self.servers[&leader].last);
            if let Some(server) = self.servers.get_mut(&host) {
                (server.epoch, server.last) = (epoch, last);
            }
            let copy = |holders: Set| match has(holders, leader) {
                true => holders | bit(host),
                false => holders & !bit(host),
            };
            self.acked = self.acked.iter().map(|holders| copy(*holders)).collect();
            self.set(host, State::Following { leader, from, synced: true });
        }
    }

    /// A client writes.
    fn write(&mut self) {
        let leaders: Vec<usize> = self.leaders().collect();
        for leader in leaders {
            let holders = self.followers(leader) | bit(leader);
            let epoch = self.servers[&leader].epoch;
            let before = self.servers[&leader].last;
            let last = if before.0 == epoch { (epoch, before.1 + 1) } else { (epoch, 1) };
            for host in each(holders) {
                if let Some(server) = self.servers.get_mut(&host) {
                    server.last = last;
                }
            }
            let list = self.list(leader);
            if size(holders & list) >= majority(list) {
                self.acked.insert(holders);
            }
        }
    }

    /// Whether it serves.
    pub(crate) fn serves(&self) -> bool {
        self.leaders().next().is_some()
    }

    /// Who leads.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.leaders().next()
    }

    /// How many its leader counts as members.
    pub(crate) fn size(&self) -> usize {
        self.leader().map_or(0, |leader| size(self.list(leader)))
    }

    /// Whether a server has ever held anything.
    pub(crate) fn holds(&self, host: usize) -> bool {
        self.servers.get(&host).is_some_and(|server| server.last != (0, 0))
    }

    /// Whether others hold all that was acknowledged.
    pub(crate) fn outlives(&self, gone: Set) -> bool {
        self.acked.iter().all(|holders| holders & !gone != 0)
    }

    /// What a server held is moved away while it is down.
    pub(crate) fn set_aside(&mut self, host: usize) {
        let server = self.servers.entry(host).or_default();
        (server.epoch, server.last) = (0, (0, 0));
        self.acked = self.acked.iter().map(|holders| holders & !bit(host)).collect();
    }

    /// What a server says of itself.
    pub(crate) fn says(&self, host: usize, at: u64) -> Says {
        let Some(process) = self.up(host, at) else { return Says::Nothing };
        match process.state {
            State::Leading if process.started.list == 0 => Says::Standalone,
            State::Leading => Says::Leader(size(self.followers(host))),
            State::Following { synced: true, .. } => Says::Follower,
            _ => Says::NotServing,
        }
    }

    /// Whether a majority could serve with those that are up now.
    pub(crate) fn bears(&self, at: u64) -> bool {
        let up = self.all_up(at);
        each(up).any(|leader| {
            let list = self.list(leader);
            let with = each(list & up).filter(|host| has(self.list(*host), leader));
            with.count() >= majority(list)
        })
    }

    /// A server that was started and does not answer yet.
    pub(crate) fn starting(&self, host: usize, at: u64) -> bool {
        let process = self.servers.get(&host).and_then(|server| server.process.as_ref());
        process.is_some_and(|process| at < process.up_at)
    }

    /// What must never be, of those that run or will when their hosts are back, each with its list: two
    /// majorities that are apart; a majority without an acknowledged write.
    pub(crate) fn danger(&self, lists: &BTreeMap<usize, Set>) -> Option<String> {
        let lists: BTreeMap<usize, Set> =
            lists.iter().map(|(host, list)| (*host, whole(*list, *host))).collect();
        let voters = |leader: usize, list: Set| {
            let votes = |host: &usize| lists.get(host).is_some_and(|own| has(*own, leader));
            each(list).filter(votes).fold(0, |set, host| set | bit(host))
        };
        for (one, list) in lists.iter().filter(|(one, _)| !has(self.strays, **one)) {
            let for_one = voters(*one, *list);
            if size(for_one) < majority(*list) {
                continue;
            }
            let rest = lists.range(one + 1..).filter(|(other, _)| !has(self.strays, **other));
            for (other, others) in rest {
                let for_other = voters(*other, *others);
                let enough = size(for_other) >= majority(*others);
                let all = size(for_one | for_other);
                if enough && all >= majority(*list) + majority(*others) {
                    return Some(format!(
                        "two majorities could be apart: m{one}'s of [{}] among [{}], m{other}'s of [{}] among [{}]",
                        named(*list),
                        named(for_one),
                        named(*others),
                        named(for_other)
                    ));
                }
            }
            let without = self.acked.iter().map(|holders| for_one & !holders);
            let bare =
                without.filter(|bare| has(*bare, *one)).find(|bare| size(*bare) >= majority(*list));
            if let Some(bare) = bare {
                return Some(format!(
                    "[{}] are a majority of [{}] without an acknowledged write",
                    named(bare),
                    named(*list)
                ));
            }
        }
        None
    }

    /// Everybody elects again.
    pub(crate) fn disturb(&mut self, at: u64) {
        for leader in self.leaders().collect::<Vec<_>>() {
            if self.list(leader) != bit(leader) {
                self.set(leader, State::Looking { from: at + 1500 });
            }
        }
    }
}

/// What a server says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    Nothing,
    NotServing,
    Follower,
    /// With so many followers in sync.
    Leader(usize),
    Standalone,
}

/// One that stands alone is its own majority.
fn whole(list: Set, host: usize) -> Set {
    if list == 0 { bit(host) } else { list }
}

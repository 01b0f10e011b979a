//! Mesos': agent by agent, one allocation cycle.
//!
//! Source: Mesos `src/master/allocator/mesos/hierarchical.cpp` at 1.11.0.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::{Agent, sees};
use super::share::{Share, Standing, order};
use super::tree::Tree;
use super::{Amounts, sum, totals};
use crate::mesos::values::{UNRESERVED, Value};
use crate::mesos::versions::Version;

/// One allocation cycle of Mesos in which every offer is accepted whole: agent by agent, the role
/// that stands lowest (and in it the framework that stands lowest) gets all that is left for it.
///
/// The order of `agents` is an input; the real master shuffles them. Before 1.9.0 a guarantee is also
/// the limit, and agents are given whole, so that it may be overshot.
pub fn cycle(agents: &[Agent], roles: &[Role], rules: &Rules) -> Allocation {
    let mut cycle = Cycle::new(agents, roles, rules);
    for index in 0..agents.len() {
        cycle.guarantees(index);
    }
    for index in 0..agents.len() {
        cycle.fair_shares(index);
    }
    Allocation {
        grants: cycle.grants,
        shares: roles
            .iter()
            .map(|r| r.name.clone())
            .zip(cycle.roles.iter().map(|s| s.share))
            .collect(),
        idle: sum(cycle.free.iter().flat_map(|agent| agent.iter()).map(|((n, _), v)| (n, *v))),
    }
}

/// A role with the frameworks that are registered in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Role {
    /// Name; `*` is one as any other.
    pub name: String,
    /// Weight; 1 unless said otherwise.
    pub weight: f64,
    /// Its frameworks, which always weigh 1.
    pub frameworks: Vec<Framework>,
    /// Its quota, when it has one.
    pub quota: Quota,
}

/// A framework.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framework {
    /// Its id; breaks ties.
    pub name: String,
    /// What it does with offers.
    pub appetite: Appetite,
}

/// What a framework does with offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appetite {
    /// Takes them whole.
    All,
    /// Has declined and filters them.
    Nothing,
}

/// Quota of a role; a name that is missing is not guaranteed, or not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quota {
    /// What is held back for it.
    pub guarantee: Amounts,
    /// What it never gets more of.
    pub limit: Amounts,
}

/// What the allocator does by version and flags.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Mesos: before 0.21 an offer needs both cpus and mem, before 0.27 reserved resources do not count
    /// in shares, before 1.3 roles have no parents, before 1.7.3 frameworks are compared by what their
    /// role holds, before 1.9 a guarantee is also the limit.
    pub mesos: Version,
    /// `fair_sharing_excluded_resource_names`.
    pub excluded: Vec<String>,
}

/// What a cycle ends with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Allocation {
    /// Who got what, in order.
    pub grants: Vec<Grant>,
    /// Weighted dominant share by role.
    pub shares: BTreeMap<String, Share>,
    /// What nobody got.
    pub idle: Amounts,
}

/// What one framework got of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// The agent.
    pub agent: String,
    /// The role.
    pub role: String,
    /// The framework.
    pub framework: String,
    /// What it got.
    pub amounts: Amounts,
}

/// When an offer is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Guarantees,
    FairShares,
}

/// A cycle in the making.
struct Cycle<'a> {
    agents: &'a [Agent],
    input: &'a [Role],
    rules: &'a Rules,
    /// What shares are taken of.
    of: Amounts,
    roles: Vec<Standing>,
    tree: Tree,
    frameworks: Vec<Vec<Standing>>,
    /// By agent: (name, role) → what is still free.
    free: Vec<BTreeMap<(String, String), i64>>,
    /// Sum of the unreserved free amounts of all agents.
    available: Amounts,
    /// By role: what counts against its quota.
    consumed: Vec<Amounts>,
    grants: Vec<Grant>,
}

impl<'a> Cycle<'a> {
    fn new(agents: &'a [Agent], input: &'a [Role], rules: &'a Rules) -> Cycle<'a> {
        let mut of = totals(agents);
        of.retain(|name, _| !rules.excluded.contains(name));
        let free = agents.iter().map(|agent| {
            let scalars = agent.resources.0.iter().filter_map(|(key, value)| match value {
                Value::Scalar(amount) => Some((key.clone(), *amount)),
                _ => None,
            });
            scalars.collect::<BTreeMap<_, _>>()
        });
        let free: Vec<_> = free.collect();
        // Reservations count against the quota of their role, used or not.
        let consumed = input.iter().map(|role| {
            let own = free.iter().flatten().filter(|((_, owner), _)| *owner == role.name);
            let own = own.filter(|((_, owner), _)| owner != UNRESERVED);
            sum(own.map(|((name, _), amount)| (name, *amount)))
        });
        Cycle {
            agents,
            input,
            rules,
            of,
            roles: input.iter().map(|r| Standing::new(&r.name, r.weight)).collect(),
            tree: Tree::new(input, rules),
            frameworks: input
                .iter()
                .map(|r| r.frameworks.iter().map(|f| Standing::new(&f.name, 1.0)).collect())
                .collect(),
            consumed: consumed.collect(),
            available: sum(free
                .iter()
                .flatten()
                .filter(|((_, owner), _)| owner == UNRESERVED)
                .map(|((name, _), amount)| (name, *amount))),
            free,
            grants: Vec::new(),
        }
    }

    /// Stage 1: roles whose guarantee is not met.
    fn guarantees(&mut self, agent: usize) {
        for role in self.tree.order() {
            let guarantee = &self.input[role].quota.guarantee;
            if guarantee.keys().all(|name| self.unmet(role, name) == 0) {
                continue;
            }
            for framework in self.framework_order(role) {
                self.offer(agent, role, framework, Stage::Guarantees);
            }
        }
    }

    /// Stage 2: everybody.
    fn fair_shares(&mut self, agent: usize) {
        for role in self.tree.order() {
            for framework in self.framework_order(role) {
                self.offer(agent, role, framework, Stage::FairShares);
            }
        }
    }

    /// Offers an agent's whole remainder, of the unreserved part what its quota and that of others
    /// leave.
    fn offer(&mut self, agent: usize, role: usize, framework: usize, stage: Stage) {
        if self.input[role].frameworks[framework].appetite == Appetite::Nothing {
            return;
        }
        let seen =
            self.free[agent].iter().filter(|((_, owner), _)| sees(&self.input[role].name, owner));
        let whole = self.rules.mesos.at_least(&[1, 9]) || self.open_to_all(agent, role, stage);
        let mut bundle: BTreeMap<(String, String), i64> = BTreeMap::new();
        for ((name, owner), amount) in seen {
            let amount = match owner.as_str() {
                UNRESERVED if !whole => 0,
                UNRESERVED if self.rules.mesos.at_least(&[1, 9]) => {
                    self.allowed(role, name).min(*amount)
                }
                _ => *amount,
            };
            if amount > 0 {
                bundle.insert((name.clone(), owner.clone()), amount);
            }
        }
        let all = sum(bundle.iter().map(|((name, _), amount)| (name, *amount)));
        if !self.allocatable(&all) {
            return;
        }
        let counts = |owner: &str| owner == UNRESERVED || self.rules.mesos.at_least(&[0, 27]);
        let counted = sum(bundle
            .iter()
            .filter(|((_, owner), _)| counts(owner))
            .map(|((name, _), amount)| (name, *amount)));
        for (key, amount) in &bundle {
            if let Some(free) = self.free[agent].get_mut(key) {
                *free -= amount;
            }
            if key.1 == UNRESERVED {
                *self.consumed[role].entry(key.0.clone()).or_default() += amount;
                *self.available.entry(key.0.clone()).or_default() -= amount;
            }
        }
        self.roles[role].take(&counted, &self.of);
        self.tree.take(role, &counted, &self.of);
        self.frameworks[role][framework].take(&all, &self.of);
        if !self.rules.mesos.at_least(&[1, 7, 3]) {
            let held = sum(self.frameworks[role].iter().flat_map(|framework| {
                framework.allocated.iter().map(|(name, amount)| (name, *amount))
            }));
            self.frameworks[role].iter_mut().for_each(|framework| framework.measure(&held));
        }
        self.grants.push(Grant {
            agent: self.agents[agent].name.clone(),
            role: self.input[role].name.clone(),
            framework: self.input[role].frameworks[framework].name.clone(),
            amounts: all,
        });
    }

    /// Before 1.9: whether a role is given the unreserved part of an agent. Those with a guarantee are,
    /// until it is met; the others where all that is held back would still be there.
    ///
    /// Source: Mesos `hierarchical.cpp` from 0.27 to 1.8.
    fn open_to_all(&self, agent: usize, role: usize, stage: Stage) -> bool {
        match stage {
            Stage::Guarantees => true,
            Stage::FairShares if !self.input[role].quota.guarantee.is_empty() => false,
            Stage::FairShares => self.free[agent].iter().all(|((name, owner), amount)| {
                let available = self.available.get(name).copied().unwrap_or(0);
                owner != UNRESERVED || available - amount >= self.held_back(name)
            }),
        }
    }

    /// From 1.9: how much of the unreserved rest of a resource a role may take now: its own unmet guarantee,
    /// and beyond it what is not held back for guarantees; never above its limit.
    fn allowed(&self, role: usize, name: &str) -> i64 {
        let available = self.available.get(name).copied().unwrap_or(0);
        let allowed = self.unmet(role, name) + (available - self.held_back(name)).max(0);
        match self.input[role].quota.limit.get(name) {
            Some(limit) => allowed.min((limit - self.has(role, name)).max(0)),
            None => allowed,
        }
    }

    fn held_back(&self, name: &str) -> i64 {
        (0..self.input.len()).map(|role| self.unmet(role, name)).sum()
    }

    fn unmet(&self, role: usize, name: &str) -> i64 {
        let guarantee = self.input[role].quota.guarantee.get(name).copied().unwrap_or(0);
        (guarantee - self.has(role, name)).max(0)
    }

    fn has(&self, role: usize, name: &str) -> i64 {
        self.consumed[role].get(name).copied().unwrap_or(0)
    }

    /// Source: `MIN_CPUS` 0.01 and `MIN_MEM` 32 MB; both asked for only before 0.21.
    fn allocatable(&self, bundle: &Amounts) -> bool {
        let amount = |name: &str| bundle.get(name).copied().unwrap_or(0);
        let (cpus, mem) = (amount("cpus") >= 10, amount("mem") >= 32_000);
        match self.rules.mesos.at_least(&[0, 21]) {
            true => cpus || mem,
            false => cpus && amount("mem") > 32_000,
        }
    }

    fn framework_order(&self, role: usize) -> Vec<usize> {
        let standings = &self.frameworks[role];
        let mut indices: Vec<usize> = (0..standings.len()).collect();
        indices.sort_by(|a, b| order(&standings[*a], &standings[*b]));
        indices
    }
}

//! Dominant resource fairness: the textbook's task by task, and Mesos' agent by agent.
//!
//! Sources: Ghodsi et al., "Dominant Resource Fairness" (NSDI 2011); Mesos
//! `src/master/allocator/mesos/hierarchical.cpp` and `sorter/drf/sorter.cpp` at 1.11.0. Shares are
//! exact fractions, so no tie is decided by rounding.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::executors::{Settings, executor_mib};
use super::{Agent, sees};
use crate::inventory::Workload;
use crate::mesos::values::{UNRESERVED, Value};
use crate::mesos::versions::Version;

/// Scalars by name, in thousandths.
pub type Amounts = BTreeMap<String, i64>;

/// Progressive filling: again and again the client with the smallest share takes one task, until
/// nobody's next task fits.
pub fn fill(total: &Amounts, clients: &[Client]) -> Filling {
    let mut left = total.clone();
    let mut standings: Vec<Standing> = clients.iter().map(Standing::of).collect();
    let mut open: Vec<usize> = (0..clients.len())
        .filter(|index| clients[*index].demand.values().any(|amount| *amount > 0))
        .collect();
    let mut steps = Vec::new();
    while let Some(&next) = open.iter().min_by(|a, b| order(&standings[**a], &standings[**b])) {
        let client = &clients[next];
        let fits = |(name, wants): (&String, &i64)| left.get(name).copied().unwrap_or(0) >= *wants;
        let limited = client.most_tasks.is_some_and(|most| standings[next].count >= most);
        if limited || !client.demand.iter().filter(|(_, wants)| **wants > 0).all(fits) {
            open.retain(|index| *index != next);
            continue;
        }
        for (name, wants) in &client.demand {
            if let Some(amount) = left.get_mut(name) {
                *amount -= wants;
            }
        }
        standings[next].take(&client.demand, total);
        steps.push(Step { client: next, share: standings[next].share });
    }
    let tasks = clients
        .iter()
        .zip(&standings)
        .map(|(client, standing)| (client.name.clone(), standing.count))
        .collect();
    Filling { steps, tasks, left }
}

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

/// Sum of the scalars of all agents and roles: what shares are taken of.
pub fn totals(agents: &[Agent]) -> Amounts {
    sum(agents.iter().flat_map(|agent| agent.resources.0.iter()).filter_map(
        |((name, _), value)| match value {
            Value::Scalar(amount) => Some((name, *amount)),
            _ => None,
        },
    ))
}

/// Somebody who wants tasks of one size.
#[derive(Debug, Clone, PartialEq)]
pub struct Client {
    /// Breaks ties, in byte order.
    pub name: String,
    /// Entitlement relative to the others.
    pub weight: f64,
    /// One task.
    pub demand: Amounts,
    /// Most tasks it wants, when it does not want all it can get.
    pub most_tasks: Option<u64>,
}

/// What progressive filling ends with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Filling {
    /// Who took a task, in order.
    pub steps: Vec<Step>,
    /// Tasks by client.
    pub tasks: BTreeMap<String, u64>,
    /// What is left.
    pub left: Amounts,
}

/// One task taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Index of the client.
    pub client: usize,
    /// Its weighted dominant share from then on.
    pub share: Share,
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

/// A weighted dominant share, an exact fraction.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    numerator: u128,
    denominator: u128,
}

impl Client {
    /// A workload whose tasks are its executors (of one core where it does not say how many).
    pub fn of(name: &str, weight: f64, workload: &Workload, settings: &Settings) -> Client {
        let cores = workload.cores.unwrap_or(1).max(1);
        let mib = i64::try_from(executor_mib(workload, settings)).unwrap_or(i64::MAX);
        Client {
            name: name.to_owned(),
            weight,
            demand: Amounts::from([
                ("cpus".to_owned(), i64::from(cores) * 1000),
                ("mem".to_owned(), mib.saturating_mul(1000)),
            ]),
            most_tasks: workload.cores_max.map(|most| u64::from(most / cores)),
        }
    }
}

impl Share {
    /// `numerator / denominator`; a denominator of 0 makes it 0.
    pub fn new(numerator: u128, denominator: u128) -> Share {
        let divisor = gcd(numerator, denominator);
        if denominator == 0 || divisor == 0 {
            return Share { numerator: 0, denominator: 1 };
        }
        Share { numerator: numerator / divisor, denominator: denominator / divisor }
    }

    /// As a number, for people.
    pub fn as_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

/// As a number.
impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

/// In lowest terms: `2/9`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

impl Ord for Share {
    /// By the continued fractions of both, which no size of numbers can overflow.
    fn cmp(&self, other: &Share) -> Ordering {
        let (mut a, mut b) = (self.numerator, self.denominator);
        let (mut c, mut d) = (other.numerator, other.denominator);
        loop {
            let whole = (a / b).cmp(&(c / d));
            let (rest, other_rest) = (a % b, c % d);
            match (whole, rest, other_rest) {
                (Ordering::Equal, 0, 0) => return Ordering::Equal,
                (Ordering::Equal, 0, _) => return Ordering::Less,
                (Ordering::Equal, _, 0) => return Ordering::Greater,
                // rest/b against other_rest/d is other way round d/other_rest against b/rest.
                (Ordering::Equal, ..) => (a, b, c, d) = (d, other_rest, b, rest),
                (unequal, ..) => return unequal,
            }
        }
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Share) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Share {
    fn eq(&self, other: &Share) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Share {}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[derive(Debug, Clone)]
struct Standing {
    name: String,
    weight_thousandths: u64,
    allocated: Amounts,
    share: Share,
    count: u64,
}

impl Standing {
    fn new(name: &str, weight: f64) -> Standing {
        Standing {
            name: name.to_owned(),
            // A weight below a thousandth counts as one; `as` saturates.
            weight_thousandths: ((weight * 1000.0).round() as u64).max(1),
            allocated: Amounts::new(),
            share: Share::new(0, 1),
            count: 0,
        }
    }

    fn of(client: &Client) -> Standing {
        Standing::new(&client.name, client.weight)
    }

    /// Allocates; `of` holds what shares are taken of.
    fn take(&mut self, amounts: &Amounts, of: &Amounts) {
        self.count += 1;
        for (name, amount) in amounts {
            *self.allocated.entry(name.clone()).or_default() += amount;
        }
        self.measure(of);
    }

    /// Works out its share of `of`.
    fn measure(&mut self, of: &Amounts) {
        let weight = u128::from(self.weight_thousandths);
        let shares = self.allocated.iter().filter_map(|(name, amount)| {
            let total = u128::try_from(*of.get(name)?).ok().filter(|total| *total > 0)?;
            let amount = u128::try_from(*amount).ok()?;
            Some(Share::new(amount * 1000, total * weight))
        });
        self.share = shares.max().unwrap_or(Share::new(0, 1));
    }
}

/// Smaller share, then fewer allocations, then name.
fn order(a: &Standing, b: &Standing) -> Ordering {
    a.share.cmp(&b.share).then(a.count.cmp(&b.count)).then_with(|| a.name.cmp(&b.name))
}

fn sum<'a>(amounts: impl Iterator<Item = (&'a String, i64)>) -> Amounts {
    let mut sum = Amounts::new();
    for (name, amount) in amounts {
        *sum.entry(name.clone()).or_default() += amount;
    }
    sum
}

/// When an offer is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Guarantees,
    FairShares,
}

/// The roles and the parents in their names. Siblings are compared with all that is below them.
struct Tree {
    /// The first is the root.
    nodes: Vec<Node>,
    /// By role: its node.
    leaves: Vec<usize>,
}

struct Node {
    standing: Standing,
    parent: usize,
    children: Vec<usize>,
    role: Option<usize>,
}

impl Tree {
    /// A role that has frameworks and children stands among its children as `.`, of weight 1. Before
    /// 1.3 nobody has parents. Source: Mesos `sorter/drf/sorter.cpp`.
    fn new(input: &[Role], rules: &Rules) -> Tree {
        let root =
            Node { standing: Standing::new("", 1.0), parent: 0, children: Vec::new(), role: None };
        let mut tree = Tree { nodes: vec![root], leaves: Vec::new() };
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        let weights: BTreeMap<&str, f64> =
            input.iter().map(|role| (role.name.as_str(), role.weight)).collect();
        let nested = rules.mesos.at_least(&[1, 3]);
        for (index, role) in input.iter().enumerate() {
            let mut paths: Vec<String> = Vec::new();
            if nested {
                paths.extend(
                    role.name.match_indices('/').map(|(end, _)| role.name[..end].to_owned()),
                );
            }
            paths.push(role.name.clone());
            let below = format!("{}/", role.name);
            if nested && input.iter().any(|other| other.name.starts_with(&below)) {
                paths.push(format!("{below}."));
            }
            let mut here = 0;
            for path in paths {
                let weight = weights.get(path.as_str()).copied().unwrap_or(1.0);
                here = *known.entry(path).or_insert_with_key(|path| tree.add(path, weight, here));
            }
            tree.nodes[here].role = Some(index);
            tree.leaves.push(here);
        }
        tree
    }

    fn add(&mut self, path: &str, weight: f64, parent: usize) -> usize {
        let index = self.nodes.len();
        let standing = Standing::new(path, weight);
        self.nodes.push(Node { standing, parent, children: Vec::new(), role: None });
        self.nodes[parent].children.push(index);
        index
    }

    /// Allocates to a role and to all above it.
    fn take(&mut self, role: usize, amounts: &Amounts, of: &Amounts) {
        let mut here = self.leaves[role];
        while here != 0 {
            let node = &mut self.nodes[here];
            node.standing.take(amounts, of);
            here = node.parent;
        }
    }

    /// Roles in the order in which they are served: each node with all below it before its next sibling.
    fn order(&self) -> Vec<usize> {
        let mut found = Vec::with_capacity(self.leaves.len());
        self.walk(0, &mut found);
        found
    }

    fn walk(&self, node: usize, found: &mut Vec<usize>) {
        let Node { children, role, .. } = &self.nodes[node];
        found.extend(role);
        let mut children = children.clone();
        children.sort_by(|a, b| order(&self.nodes[*a].standing, &self.nodes[*b].standing));
        children.into_iter().for_each(|child| self.walk(child, found));
    }
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

//! The roles in the order in which a cycle serves them.
//!
//! Source: Mesos `src/master/allocator/mesos/sorter/drf/sorter.cpp` at 1.11.0.

use std::collections::BTreeMap;

use super::Amounts;
use super::cycle::{Role, Rules};
use super::share::{Standing, order};

/// The roles and the parents in their names. Siblings are compared with all that is below them.
pub(super) struct Tree {
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
    pub(super) fn new(input: &[Role], rules: &Rules) -> Tree {
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
    pub(super) fn take(&mut self, role: usize, amounts: &Amounts, of: &Amounts) {
        let mut here = self.leaves[role];
        while here != 0 {
            let node = &mut self.nodes[here];
            node.standing.take(amounts, of);
            here = node.parent;
        }
    }

    /// Roles in the order in which they are served: each node with all below it before its next sibling.
    pub(super) fn order(&self) -> Vec<usize> {
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

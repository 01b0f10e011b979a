//! The textbook's: task by task.
//!
//! Source: Ghodsi et al., "Dominant Resource Fairness" (NSDI 2011).

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::executors::{Settings, executor_mib};
use super::Amounts;
use super::share::{Share, Standing, order};
use crate::inventory::Workload;

/// Progressive filling: again and again the client with the smallest share takes one task, until
/// nobody's next task fits.
pub fn fill(total: &Amounts, clients: &[Client]) -> Filling {
    let mut left = total.clone();
    let mut standings: Vec<Standing> =
        clients.iter().map(|client| Standing::new(&client.name, client.weight)).collect();
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

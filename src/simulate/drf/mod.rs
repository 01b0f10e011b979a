//! Dominant resource fairness: the textbook's task by task, and Mesos' agent by agent.
//!
//! Shares are exact fractions, so no tie is decided by rounding.

pub mod cycle;
mod filling;
mod share;
mod tree;

use std::collections::BTreeMap;

pub use cycle::{Appetite, Framework, Quota, Role, Rules, cycle};
pub use filling::{Client, fill};
pub use share::Share;

use super::Agent;
use crate::mesos::values::Value;

/// Scalars by name, in thousandths.
pub type Amounts = BTreeMap<String, i64>;

/// Sum of the scalars of all agents and roles: what shares are taken of.
pub fn totals(agents: &[Agent]) -> Amounts {
    sum(agents.iter().flat_map(|agent| agent.resources.0.iter()).filter_map(
        |((name, _), value)| match value {
            Value::Scalar(amount) => Some((name, *amount)),
            _ => None,
        },
    ))
}

fn sum<'a>(amounts: impl Iterator<Item = (&'a String, i64)>) -> Amounts {
    let mut sum = Amounts::new();
    for (name, amount) in amounts {
        *sum.entry(name.clone()).or_default() += amount;
    }
    sum
}

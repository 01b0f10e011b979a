//! Resources and attributes: the grammars of Mesos' own `--resources` and `--attributes`.

use std::collections::BTreeMap;

/// Attributes of an agent: name → value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attributes(pub BTreeMap<String, Value>);

/// Resources of an agent: (name, role) → value; role `*` is the unreserved rest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resources(pub BTreeMap<(String, String), Value>);

/// A value as Mesos types it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number with three decimals, in thousandths (Mesos compares scalars so from 0.28).
    Scalar(i64),
    /// Ranges of unsigned numbers, both ends in, sorted and merged.
    Ranges(Vec<(u64, u64)>),
    /// A set; refused as an attribute (it crashes the agent).
    Set(Vec<String>),
    /// Text; refused as a resource.
    Text(String),
}

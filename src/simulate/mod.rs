//! What would happen, on paper: which executors fit where, and how Mesos would share the cluster.

use crate::mesos::values::{Attributes, Resources};

pub mod application;
pub mod drf;
pub mod executors;
pub mod outlook;

/// An agent on paper. Give it every resource: nothing is detected here.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// Its host.
    pub name: String,
    /// What it offers.
    pub resources: Resources,
    /// What constraints are matched against.
    pub attributes: Attributes,
}

/// Whether a framework of `role` is offered what is reserved for `owner`: the unreserved rest, its
/// own, and (from 1.4.0, where roles have ancestors) its ancestors'.
pub(crate) fn sees(role: &str, owner: &str) -> bool {
    owner == "*"
        || role == owner
        || role.strip_prefix(owner).is_some_and(|rest| rest.starts_with('/'))
}

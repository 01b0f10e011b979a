//! `provision`: from an inventory to a running, proven Apache Spark on Apache Mesos cluster.
//!
//! One straight line, and everything on it is data until the last step; `pipeline` is its table of contents.
//!
//! | to find | look in |
//! | --- | --- |
//! | the order of a run | [`pipeline`] |
//! | a key of the inventory: name, type, default, words | [`inventory`], the section's own file |
//! | a component: what it wants, its health, who goes together | [`tasks`], one card each; [`health`] |
//! | a kind of resource: how to look, what to want, how to make it so | [`resource`], one file each |
//! | how many go at once, and who goes last | [`plan`]`::waves`; `batch` of a pool |
//! | why a host was left alone | [`plan`]`::Because`, [`plan`]`::preflight` |
//! | how a plan looks | [`plan`]`::text` |
//! | every command that is sent | `tests/core/snapshots/*scripts*`, one file a kind |
//! | a file as it is written on hosts | `templates/` |
//! | a doubt about an inventory | [`lints`] |
//! | an exit code | [`report`]`::exit` |
//! | what is asked and changed on hosts, and by which key | [`remote`] |
//! | doing a plan: gates, drains, proofs | [`apply`] |
//! | why a job hangs | [`diagnose`] |
//! | an inventory of what somebody else set up | [`adopt`] |
//! | what people and machines see | [`ui`], [`event`] |
//!
//! Absent on purpose:
//! - A dry-run flag inside: a plan is data, and `apply -C` is `plan`.
//! - An agent, Python or a copy of ourselves on hosts: they get POSIX sh over their own sshd.
//! - A database of ours: what is so is read from the hosts each time; state there is stamps and records.
//! - Inferred removal: what goes is written down (`retired`), but for strays in directories that we own whole.
//! - Loops and conditions in inventories: ranges and pools do it, and what is written is what is meant.
//! - Retries but for refused handshakes, one reconnect before an action began, and gates.
//!
//! It is a program; nothing here is an interface for others. `tests/core/house.rs` says which room may name
//! which.

#![cfg_attr(
    test,
    expect(
        clippy::disallowed_methods,
        reason = "tests make files and wait on threads of their own"
    )
)]

mod adopt;
mod apply;
mod cli;
mod commands;
mod config;
mod diagnose;
mod event;
mod ground;
mod health;
mod inventory;
mod lab;
mod lints;
mod local;
mod mesos;
mod observe;
mod pipeline;
mod plan;
mod records;
mod remote;
mod report;
mod resource;
mod script;
mod simulate;
mod tasks;
mod template;
mod ui;

pub use cli::{completed, main};

/// What the benches and the tests in containers reach.
#[doc(hidden)]
pub mod internals {
    pub use crate::commands::render::files;
    pub use crate::ground::digest::sha256;
    pub use crate::ground::{Debian, HostName, SecretRef};
    pub use crate::inventory::Inventory;
    pub use crate::lab::{Engine, TwinHost, TwinSpec, down, image, up};
    pub use crate::lints::load::{Lab, load_text};
    pub use crate::observe::probes;
    pub use crate::plan::{Answer, Observed, Scope, Seen, plan};
    pub use crate::remote::fleet::{Password, Secrets};
    pub use crate::resource::{Facts, Look};
    pub use crate::simulate::application::applications;
    pub use crate::simulate::outlook::{Order, Plan, outlook};
    pub use crate::tasks::{Desired, World, desire};
    pub use crate::template::Templates;
}

// Tests of the library are modules of it: they compile once, and what they reach need not be public.
#[cfg(test)]
extern crate self as provision;
#[cfg(test)]
#[path = "../tests/core/mod.rs"]
mod tests;

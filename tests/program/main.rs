//! The program as people, pipelines and CIs meet it.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test whose world cannot be set up is to stop"
)]

mod action;
mod ansible;
#[path = "../core/support/chromium.rs"]
mod chromium;
mod cli;
mod config;
mod guides;
mod init;
mod offline;
#[expect(dead_code, reason = "the tests of the library use more of it")]
#[path = "../core/support/sshd.rs"]
mod sshd;

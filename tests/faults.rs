//! The faults to survive, one test per row of docs/reliability.md, named after its number: what must be
//! said, with which exit code, and that nothing is lost.
//!
//! Tests that need a machine start a container of their own (`make engine` makes an engine answer).
#![expect(clippy::unwrap_used, reason = "a test whose world cannot be set up is to stop")]
#![expect(clippy::expect_used, reason = "a test whose world cannot be set up is to stop")]

#[path = "support/twin.rs"]
mod twin;

#[path = "faults/bad_input.rs"]
mod bad_input;
#[path = "faults/connection.rs"]
mod connection;
#[path = "faults/files.rs"]
mod files;
#[path = "faults/packages.rs"]
mod packages;
#[path = "faults/privilege.rs"]
mod privilege;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "faults/rolling.rs"]
mod rolling;
#[path = "faults/runs.rs"]
mod runs;
#[path = "faults/secrets.rs"]
mod secrets;
#[path = "faults/sweep.rs"]
mod sweep;

//! The faults to survive, one test per row of docs/reliability.md, named after its number: what must be
//! said, with which exit code, and that nothing is lost.
//!
//! Tests that need a machine start a container of their own (`make engine` makes an engine answer).

mod bad_input;
mod connection;
mod files;
mod packages;
mod privilege;
mod rolling;
mod runs;
mod secrets;
mod sweep;

use super::support::{proxy, twin};

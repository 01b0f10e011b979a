//! How we reach a host: the system's `ssh`, one shell on it, and what to say when that fails.

pub mod sentence;
pub mod shell;
pub mod ssh;
mod wire;

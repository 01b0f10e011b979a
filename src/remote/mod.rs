//! How we reach hosts: the system's `ssh`, one shell on each, and what to say when that fails.
//!
//! There are two keys. What holds only [`Ask`] can look and nothing else; [`Change`] can act too.
//! `plan` never holds the second, so that it changes nothing is a matter of types.

use std::future::Future;
use std::time::Duration;

use crate::inventory::HostName;
use crate::script::{Fix, Probe, Push, Sections};

pub mod fleet;
pub mod handshakes;
pub mod holder;
pub mod sentence;
pub mod shell;
pub mod ssh;
pub mod unlock;
mod wire;

pub use shell::Ended;

/// The key that looks.
pub trait Ask: Send + Sync + 'static {
    /// Puts a probe to one host.
    ///
    /// # Errors
    /// One sentence when the host gave no whole answer.
    fn ask(
        &self,
        host: &HostName,
        probe: &Probe,
        limit: Duration,
    ) -> impl Future<Output = Result<Sections, String>> + Send;
}

/// The key that changes.
pub trait Change: Ask {
    /// Runs a fix as an action of its own, with a log and a status on the host.
    ///
    /// # Errors
    /// One sentence when the host was lost; the action may still run there.
    fn run(
        &self,
        host: &HostName,
        name: &str,
        fix: &Fix,
    ) -> impl Future<Output = Result<Ended, String>> + Send;

    /// Sends a file. A status other than 0 comes with a sentence.
    ///
    /// # Errors
    /// One sentence when the host was lost or the local file cannot be read.
    fn push(
        &self,
        host: &HostName,
        push: &Push,
    ) -> impl Future<Output = Result<Ended, String>> + Send;
}

//! How we reach hosts: the system's `ssh`, one shell on each, and what to say when that fails.
//!
//! There are two keys. What holds only [`Ask`] can look and nothing else; [`Change`] can act too.
//! `plan` never holds the second, so that it changes nothing is a matter of types.
//!
//! From the bottom up: `nonces`, `arguments`, `identity`, `host_keys` and `handshakes` are what `master` starts a
//! connection with; [`ssh`] opens sessions on it; `login` comes to a shell there and takes a key;
//! [`shell`] is what a key can do, over `wire`, which frames requests, and `stderr`; `opening` opens all
//! hosts at once; `host_shell` and `upload` mend a connection that is lost on the way; [`fleet`] is all of
//! it as [`Ask`] and [`Change`].

use std::future::Future;
use std::time::Duration;

use crate::ground::HostName;
use crate::script::{Fix, Probe, Push, Sections};

pub mod answer;
mod arguments;
pub mod fleet;
pub mod handshakes;
pub mod holder;
mod host_keys;
mod host_shell;
mod identity;
pub mod login;
mod master;
mod nonces;
pub mod open_files;
mod opening;
mod secrets;
pub mod sentence;
pub mod shell;
pub mod ssh;
mod stderr;
pub mod unlock;
mod upload;
pub mod wire;

pub use answer::Ended;

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

    /// After how many seconds it had answered its first probe, connecting included; `None` where nobody has measured it.
    fn answered_after(&self, _host: &HostName) -> Option<f64> {
        None
    }
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

    /// Runs a fix that makes the host boot, and waits until it is there again, from another boot.
    ///
    /// # Errors
    /// One sentence when it does not go down, or does not come back.
    fn reboot(
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

//! What every room speaks in: problems, names, secrets' whereabouts, digests, endpoints, Debian's releases. Pure,
//! and it imports nothing of ours.

pub mod debian;
pub mod digest;
pub mod endpoint;
pub mod names;
pub mod problem;
pub mod secret;

pub use debian::Debian;
pub use digest::Digest;
pub use endpoint::Endpoint;
pub use names::HostName;
pub use problem::{Place, Problem, Severity};
pub use secret::SecretRef;

//! What tests share: worlds that are models, shells and sshds that are real.

pub(crate) mod agents;
pub(crate) mod chance;
pub(crate) mod chromium;
pub(crate) mod ensemble;
pub(crate) mod events;
pub(crate) mod fake;
pub(crate) mod machine;
pub(crate) mod masters_log;
pub(crate) mod moving;
pub(crate) mod quorums;
mod reach;
pub(crate) mod recording;
pub(crate) mod room;
pub(crate) mod runs;
pub(crate) mod schema;
pub(crate) mod sources;
pub(crate) mod sshd;
pub(crate) mod world;

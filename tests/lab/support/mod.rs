//! What tests in containers share: a twin of a whole cluster, single hosts, a wire that can be cut.

pub(crate) mod lab;
mod prepared;
pub(crate) mod proxy;
pub(crate) mod quorum;
pub(crate) mod twin;
pub(crate) mod user;

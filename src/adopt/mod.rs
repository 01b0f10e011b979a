//! From hosts that somebody else set up to an inventory that says what is there.
//!
//! [`ask`] makes the question for a host and reads its answer; [`inventory`] makes text of all answers, and
//! lists what an inventory cannot say. Pure: whoever holds the key that looks puts the questions.

pub mod ask;
mod daemons;
mod ensemble;
pub mod inventory;
mod names;
mod workers;
mod yaml;

/// What an inventory does not say of a host, or a person must see to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Where it was found: `m1:/etc/default/mesos-slave:3`, or the host alone.
    pub place: String,
    /// What it is.
    pub what: String,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

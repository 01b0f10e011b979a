//! What Mesos accepts and how it prints it back: pure, no host, no file.

pub mod values;
pub mod versions;

//! Why a job hangs: the ladder from a leading master up to an executor that reaches its driver, and the first
//! rung that is broken.
//!
//! Spark says the same line ("Initial job has not accepted any resources") for an impossible constraint, too
//! large an executor and a missing image; the reason is at the master and in the agent's journal only
//! (docs/facts.md, "One sentence for three causes"). What is seen is gathered in [`ask`], through the key that
//! looks; all else here is pure.

pub mod ask;
mod cluster;
mod job;
mod ladder;

pub use cluster::{Agent, Cluster};
pub use job::{Connects, Job, Report, Said, Wanted, cause_of_death};
pub use ladder::{Rung, Verdict, broken, ladder};

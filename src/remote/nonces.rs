//! Words that nobody can guess: marks for what hosts answer.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering};

use super::sentence::{Cause, Unreachable};
use crate::ground::digest::digest_of;

/// One for each host and question of a run. What one host learns, for it is told its own, tells it nothing
/// of another's.
pub struct Nonces {
    secret: String,
    drawn: AtomicU64,
}

impl Nonces {
    /// Those of a new run.
    ///
    /// # Errors
    /// There is no chance on this machine, so nothing may be asked at all.
    pub(super) fn draw() -> Result<Nonces, Unreachable> {
        Ok(Nonces { secret: nonce()? + &nonce()?, drawn: AtomicU64::new(0) })
    }

    /// One that was not given before.
    pub(super) fn fresh(&self) -> String {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        digest_of([self.secret.as_str(), &number.to_string()])[..32].to_owned()
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonces")
    }
}

/// 128 bits that nobody can guess, in hex.
pub(super) fn nonce() -> Result<String, Unreachable> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes)).map_err(|error| {
        Unreachable::new(Cause::Local, format!("/dev/urandom cannot be read: {error}"))
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_nonce_is_given_twice() {
        let nonces = Nonces::draw().unwrap();
        let (one, other) = (nonces.fresh(), nonces.fresh());
        assert_ne!(one, other);
        assert_eq!(one.len(), 32);
        assert_ne!(Nonces::draw().unwrap().fresh(), one);
    }
}

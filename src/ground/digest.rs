//! Checksums, always in lower-case hex.

use std::fmt::Write as _;

use serde::Serialize;
use sha2::{Digest as _, Sha256, Sha512};

/// A checksum in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Digest {
    /// SHA-256, 64 hex digits.
    Sha256(String),
    /// SHA-512, 128 hex digits.
    Sha512(String),
}

/// Which checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Digest {
    /// What stands where a file is not here to be looked at: no file's.
    pub fn unknown() -> Digest {
        Digest::Sha256("0".repeat(64))
    }

    /// The hex digits.
    pub fn hex(&self) -> &str {
        match self {
            Digest::Sha256(hex) | Digest::Sha512(hex) => hex,
        }
    }

    /// Which checksum it is.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Digest::Sha256(_) => Algorithm::Sha256,
            Digest::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The coreutils program that computes it.
    pub fn tool(&self) -> &'static str {
        match self {
            Digest::Sha256(_) => "sha256sum",
            Digest::Sha512(_) => "sha512sum",
        }
    }
}

impl Algorithm {
    /// The digest of this kind that these hex digits are; `None` of what cannot be one.
    pub fn digest(self, digits: &str) -> Option<Digest> {
        let (length, make): (usize, fn(String) -> Digest) = match self {
            Algorithm::Sha256 => (64, Digest::Sha256),
            Algorithm::Sha512 => (128, Digest::Sha512),
        };
        let whole = digits.len() == length && digits.bytes().all(|b| b.is_ascii_hexdigit());
        whole.then(|| make(digits.to_ascii_lowercase()))
    }
}

/// A checksum in the making, for what comes in blocks.
#[derive(Debug, Clone)]
pub struct Hasher(State);

#[derive(Debug, Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// Of nothing yet.
    pub fn new(algorithm: Algorithm) -> Hasher {
        Hasher(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// Goes on with a block.
    pub fn update(&mut self, block: &[u8]) {
        match &mut self.0 {
            State::Sha256(hash) => hash.update(block),
            State::Sha512(hash) => hash.update(block),
        }
    }

    /// The digest of all blocks.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(hash) => Digest::Sha256(hex(&hash.finalize())),
            State::Sha512(hash) => Digest::Sha512(hex(&hash.finalize())),
        }
    }
}

/// Bytes in lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// SHA-256 of some bytes in lower-case hex.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes.as_ref()))
}

/// SHA-256 over parts, each preceded by its length so that no two lists of parts collide.
pub fn digest_of<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut all = String::new();
    for part in parts {
        let _ = write!(all, "{}:{part};", part.len());
    }
    sha256(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of FIPS 180-2's example "abc".
    #[test]
    fn digests_are_the_standards() {
        let sha256_of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256("abc"), sha256_of_abc);
        let in_blocks = |algorithm| {
            let mut hasher = Hasher::new(algorithm);
            ["a", "", "bc"].iter().for_each(|block| hasher.update(block.as_bytes()));
            hasher.finish()
        };
        assert_eq!(in_blocks(Algorithm::Sha256), Digest::Sha256(sha256_of_abc.to_owned()));
        let long = in_blocks(Algorithm::Sha512);
        assert!(long.hex().starts_with("ddaf35a193617abacc417349ae204131"));
        assert_eq!(long.algorithm().digest(long.hex()), Some(long));
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(digest_of(["ab", "c"]), digest_of(["a", "bc"]));
    }

    #[test]
    fn what_is_no_digest_is_none() {
        for bad in ["", "ab", &"g".repeat(64), &"a".repeat(128)] {
            assert_eq!(Algorithm::Sha256.digest(bad), None, "{bad}");
        }
    }
}

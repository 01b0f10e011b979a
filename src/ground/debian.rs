//! Debian's releases that hosts are tried with: what each is called, and what its archive holds.

use std::fmt;

/// A release of Debian that the lab makes hosts of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Debian {
    /// 11.
    Bullseye,
    /// 12, what hosts are unless it is said otherwise.
    #[default]
    Bookworm,
    /// 13.
    Trixie,
}

impl Debian {
    /// All of them, the oldest first.
    pub const ALL: [Debian; 3] = [Debian::Bullseye, Debian::Bookworm, Debian::Trixie];

    /// As `VERSION_ID` of /etc/os-release says it.
    pub fn number(self) -> u32 {
        match self {
            Debian::Bullseye => 11,
            Debian::Bookworm => 12,
            Debian::Trixie => 13,
        }
    }

    /// What its archive calls it.
    pub fn suite(self) -> &'static str {
        match self {
            Debian::Bullseye => "bullseye",
            Debian::Bookworm => "bookworm",
            Debian::Trixie => "trixie",
        }
    }

    /// The public name of its small image.
    pub fn image(self) -> &'static str {
        match self {
            Debian::Bullseye => "debian:bullseye-slim",
            Debian::Bookworm => "debian:bookworm-slim",
            Debian::Trixie => "debian:trixie-slim",
        }
    }

    /// The release of a number.
    pub fn numbered(number: u32) -> Option<Debian> {
        Debian::ALL.into_iter().find(|release| release.number() == number)
    }

    /// The release of a suite.
    pub fn of_suite(suite: &str) -> Option<Debian> {
        Debian::ALL.into_iter().find(|release| release.suite() == suite)
    }

    /// The release whose small image has this name.
    pub fn of_image(image: &str) -> Option<Debian> {
        Debian::ALL.into_iter().find(|release| release.image() == image)
    }

    /// Versions of OpenJDK that its archive holds.
    ///
    /// Source: the packages `openjdk-N-jre-headless` of each release's `main`, security updates included,
    /// November 2026.
    pub fn javas(self) -> &'static [u32] {
        match self {
            Debian::Bullseye => &[11, 17],
            Debian::Bookworm => &[17],
            Debian::Trixie => &[21, 25],
        }
    }

    /// The Python of its `python3`.
    pub fn python(self) -> &'static str {
        match self {
            Debian::Bullseye => "3.9",
            Debian::Bookworm => "3.11",
            Debian::Trixie => "3.13",
        }
    }
}

impl fmt::Display for Debian {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Debian {}", self.number())
    }
}

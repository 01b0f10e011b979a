//! Version numbers as the field writes them.

use std::cmp::Ordering;
use std::fmt;

/// A dotted version that keeps its text: `1.10` is not `1.1`.
///
/// Orders by the leading numbers; a suffix (`1.11.0+standin`, `3.5.1-rc1`) is kept but not compared,
/// save to keep the order total.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version {
    text: String,
    numbers: Vec<u32>,
}

impl Version {
    /// Reads `1.11.0`, `1.11.0+standin`, `3.5.1`.
    ///
    /// # Errors
    /// One sentence when it does not begin with a number.
    pub fn parse(text: &str) -> Result<Version, String> {
        let head: &str = text.split(['+', '-', '~']).next().unwrap_or("");
        let numbers: Option<Vec<u32>> = head.split('.').map(|part| part.parse().ok()).collect();
        match numbers {
            Some(numbers) if numbers.len() >= 2 => Ok(Version { text: text.to_owned(), numbers }),
            _ => Err(format!("`{text}` is not a version such as 1.11.0")),
        }
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The numbers, most significant first.
    pub fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// Whether it is at least `numbers` (`&[1, 9]` for 1.9.0 and later).
    pub fn at_least(&self, numbers: &[u32]) -> bool {
        compare(&self.numbers, numbers) != Ordering::Less
    }

    /// Whether it is `other` or came before; a suffix does not count.
    pub fn at_most(&self, other: &Version) -> bool {
        other.at_least(&self.numbers)
    }
}

fn compare(a: &[u32], b: &[u32]) -> Ordering {
    let length = a.len().max(b.len());
    let at = |v: &[u32], i: usize| v.get(i).copied().unwrap_or(0);
    (0..length).map(|i| at(a, i).cmp(&at(b, i))).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        compare(&self.numbers, &other.numbers).then_with(|| self.text.cmp(&other.text))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
/// Whether Debian version `there` (`1:2.3-4`) has `wanted` as its upstream version, or is it whole.
pub fn is_upstream(there: &str, wanted: &str) -> bool {
    let there = there.split_once(':').map_or(there, |(_, rest)| rest);
    there == wanted
        || there.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(['-', '+', '~']))
}

//! Names.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Name of a host in the inventory: an RFC 1123 label or dotted name. Orders naturally: a2 < a10.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostName(Arc<str>);

impl HostName {
    /// A name; whoever calls has checked it (see `check`).
    pub fn new(name: &str) -> HostName {
        HostName(Arc::from(name))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for HostName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for HostName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<HostName, D::Error> {
        String::deserialize(deserializer).map(|s| HostName::new(&s))
    }
}

impl Ord for HostName {
    fn cmp(&self, other: &HostName) -> std::cmp::Ordering {
        natural(&self.0, &other.0)
    }
}

impl PartialOrd for HostName {
    fn partial_cmp(&self, other: &HostName) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Compares with runs of digits taken as numbers; equal numbers fall back to the bytes, so that
/// the order is total and agrees with `Eq`.
fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    let (mut x, mut y) = (a.as_bytes(), b.as_bytes());
    loop {
        let same = x.iter().zip(y).take_while(|(p, q)| p == q).count();
        // A number is compared whole, from its first digit on.
        let number = x[..same].iter().rev().take_while(|b| b.is_ascii_digit()).count();
        (x, y) = (&x[same - number..], &y[same - number..]);
        let (m, n) = (digits(x), digits(y));
        if m == 0 || n == 0 {
            return x.cmp(y).then_with(|| a.cmp(b));
        }
        let (u, v) = (strip_zeros(&x[..m]), strip_zeros(&y[..n]));
        let order = u.len().cmp(&v.len()).then_with(|| u.cmp(v));
        if order.is_ne() {
            return order;
        }
        (x, y) = (&x[m..], &y[n..]);
    }
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|b| b.is_ascii_digit()).count()
}

fn strip_zeros(text: &[u8]) -> &[u8] {
    let zeros = text.iter().take_while(|b| **b == b'0').count();
    &text[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_order_naturally_and_totally() {
        let mut names: Vec<HostName> =
            ["a10", "a2", "a02", "a", "b1", "a2x"].map(HostName::new).to_vec();
        names.sort();
        let order: Vec<&str> = names.iter().map(HostName::as_str).collect();
        assert_eq!(order, ["a", "a02", "a2", "a2x", "a10", "b1"]);
    }
}

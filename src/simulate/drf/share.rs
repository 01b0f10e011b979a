//! Weighted dominant shares as exact fractions, and where each client stands by its own.

use std::cmp::Ordering;
use std::fmt;

use serde::{Serialize, Serializer};

use super::Amounts;

/// A weighted dominant share, an exact fraction.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    numerator: u128,
    denominator: u128,
}

impl Share {
    /// `numerator / denominator`; a denominator of 0 makes it 0.
    pub fn new(numerator: u128, denominator: u128) -> Share {
        let divisor = gcd(numerator, denominator);
        if denominator == 0 || divisor == 0 {
            return Share { numerator: 0, denominator: 1 };
        }
        Share { numerator: numerator / divisor, denominator: denominator / divisor }
    }

    /// As a number, for people.
    pub fn as_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

/// As a number.
impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

/// In lowest terms: `2/9`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

impl Ord for Share {
    /// By the continued fractions of both, which no size of numbers can overflow.
    fn cmp(&self, other: &Share) -> Ordering {
        let (mut a, mut b) = (self.numerator, self.denominator);
        let (mut c, mut d) = (other.numerator, other.denominator);
        loop {
            let whole = (a / b).cmp(&(c / d));
            let (rest, other_rest) = (a % b, c % d);
            match (whole, rest, other_rest) {
                (Ordering::Equal, 0, 0) => return Ordering::Equal,
                (Ordering::Equal, 0, _) => return Ordering::Less,
                (Ordering::Equal, _, 0) => return Ordering::Greater,
                // rest/b against other_rest/d is other way round d/other_rest against b/rest.
                (Ordering::Equal, ..) => (a, b, c, d) = (d, other_rest, b, rest),
                (unequal, ..) => return unequal,
            }
        }
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Share) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Share {
    fn eq(&self, other: &Share) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Share {}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[derive(Debug, Clone)]
pub(super) struct Standing {
    name: String,
    weight_thousandths: u64,
    pub(super) allocated: Amounts,
    pub(super) share: Share,
    pub(super) count: u64,
}

impl Standing {
    pub(super) fn new(name: &str, weight: f64) -> Standing {
        Standing {
            name: name.to_owned(),
            // A weight below a thousandth counts as one; `as` saturates.
            weight_thousandths: ((weight * 1000.0).round() as u64).max(1),
            allocated: Amounts::new(),
            share: Share::new(0, 1),
            count: 0,
        }
    }

    /// Allocates; `of` holds what shares are taken of.
    pub(super) fn take(&mut self, amounts: &Amounts, of: &Amounts) {
        self.count += 1;
        for (name, amount) in amounts {
            *self.allocated.entry(name.clone()).or_default() += amount;
        }
        self.measure(of);
    }

    /// Works out its share of `of`.
    pub(super) fn measure(&mut self, of: &Amounts) {
        let weight = u128::from(self.weight_thousandths);
        let shares = self.allocated.iter().filter_map(|(name, amount)| {
            let total = u128::try_from(*of.get(name)?).ok().filter(|total| *total > 0)?;
            let amount = u128::try_from(*amount).ok()?;
            Some(Share::new(amount * 1000, total * weight))
        });
        self.share = shares.max().unwrap_or(Share::new(0, 1));
    }
}

/// Smaller share, then fewer allocations, then name.
pub(super) fn order(a: &Standing, b: &Standing) -> Ordering {
    a.share.cmp(&b.share).then(a.count.cmp(&b.count)).then_with(|| a.name.cmp(&b.name))
}

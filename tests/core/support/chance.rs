//! What a seed decides, and sets of hosts as bits.

/// Numbers that follow from a seed: splitmix64.
///
/// Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
#[derive(Debug, Clone)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both among them.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// Whether something happens that happens so often in a hundred times.
    pub(crate) fn percent(&mut self, often: u64) -> bool {
        self.next() % 100 < often
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.between(0, from.len() as u64 - 1) as usize]
    }

    /// So many of a set, or all of it.
    pub(crate) fn some(&mut self, of: Set, many: usize) -> Set {
        let mut left: Vec<usize> = each(of).collect();
        let mut some = 0;
        for _ in 0..many.min(left.len()) {
            let at = self.between(0, left.len() as u64 - 1) as usize;
            some |= bit(left.swap_remove(at));
        }
        some
    }
}

/// Hosts by their number, a bit each.
pub(crate) type Set = u16;

pub(crate) fn bit(host: usize) -> Set {
    1 << host
}

pub(crate) fn has(set: Set, host: usize) -> bool {
    set & bit(host) != 0
}

pub(crate) fn size(set: Set) -> usize {
    set.count_ones() as usize
}

pub(crate) fn majority(set: Set) -> usize {
    size(set) / 2 + 1
}

pub(crate) fn each(set: Set) -> impl Iterator<Item = usize> {
    (0..16).filter(move |host| has(set, *host))
}

/// `m1 m3`.
pub(crate) fn named(set: Set) -> String {
    each(set).map(|host| format!("m{host}")).collect::<Vec<_>>().join(" ")
}

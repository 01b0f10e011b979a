//! `a[01:20]`: host ranges, and the addresses that go with them.

/// Most names that one range may stand for.
pub const MAX_HOSTS: usize = 50_000;

/// The names that a text stands for: itself, or one for each number of its one range.
///
/// Both ends are in; numbers are padded as the left bound is.
///
/// # Errors
/// One sentence.
pub fn expand(text: &str) -> Result<Vec<String>, String> {
    let Some((before, rest)) = text.split_once('[') else {
        return match text.contains(']') {
            true => Err(format!("`{text}` has a `]` without `[`")),
            false => Ok(vec![text.to_owned()]),
        };
    };
    let Some((inside, after)) = rest.split_once(']') else {
        return Err(format!("`{text}` has a `[` without `]`"));
    };
    if after.contains(['[', ']']) {
        return Err(format!("`{text}` holds more than one range"));
    }
    let bounds = inside.split_once(':').and_then(|(l, r)| Some((l, number(l)?, number(r)?)));
    let Some((left, first, last)) = bounds else {
        return Err(format!("`[{inside}]` is not a range such as [1:3] or [01:20]"));
    };
    if last < first {
        return Err(format!("`[{inside}]` runs backwards"));
    }
    if last - first >= MAX_HOSTS {
        return Err(format!("`[{inside}]` stands for more than {MAX_HOSTS} hosts"));
    }
    let width = left.len();
    Ok((first..=last).map(|n| format!("{before}{n:0width$}{after}")).collect())
}

/// Host keys with the addresses that belong to them: ranges of equal length go in step.
///
/// # Errors
/// One sentence.
pub fn zip(names: &[String], address: &str) -> Result<Vec<String>, String> {
    let addresses = expand(address)?;
    match (names.len(), addresses.len()) {
        (n, m) if n == m => Ok(addresses),
        (1, m) => Err(format!("one host cannot have {m} addresses")),
        (n, 1) if !address.contains('[') => Err(format!("{n} hosts would share one address")),
        (n, m) => Err(format!("{n} hosts but {m} addresses")),
    }
}

/// Names that differ in one number only, as ranges: what [`expand`] makes the same names of. Sorted, numbers by
/// their value; a name that has no neighbour stays as it is.
pub fn fold<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut parts: Vec<Numbered<'_>> = names.into_iter().map(Numbered::of).collect();
    parts.sort();
    parts.dedup();
    let mut ranges: Vec<(Numbered<'_>, Option<usize>)> = Vec::new();
    for one in parts {
        match ranges.last_mut() {
            Some((first, last)) if first.is_followed(*last, &one) => *last = one.number,
            _ => ranges.push((one.clone(), one.number)),
        }
    }
    let text = |(first, last): (Numbered<'_>, Option<usize>)| {
        let Numbered { before, after, digits, number } = first;
        match last.filter(|_| last != number) {
            Some(last) => format!("{before}[{digits}:{last:0w$}]{after}", w = digits.len()),
            None => format!("{before}{digits}{after}"),
        }
    };
    ranges.into_iter().map(text).collect()
}

/// A name around its last number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Numbered<'a> {
    before: &'a str,
    after: &'a str,
    number: Option<usize>,
    digits: &'a str,
}

impl Numbered<'_> {
    fn of(name: &str) -> Numbered<'_> {
        let end = name.rfind(|c: char| c.is_ascii_digit()).map_or(0, |last| last + 1);
        let stem = name[..end].trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = &name[stem.len()..end];
        match number(digits) {
            Some(number) => {
                Numbered { before: stem, after: &name[end..], number: Some(number), digits }
            }
            None => Numbered { before: name, after: "", number: None, digits: "" },
        }
    }

    /// Whether a range that begins here and goes to `last` goes on with `next`, padded as its left bound.
    fn is_followed(&self, last: Option<usize>, next: &Numbered<'_>) -> bool {
        let (Some(first), Some(last), Some(number)) = (self.number, last, next.number) else {
            return false;
        };
        let width = self.digits.len();
        (self.before, self.after) == (next.before, next.after)
            && number == last + 1
            && number - first < MAX_HOSTS
            && format!("{number:0width$}") == next.digits
    }
}

fn number(text: &str) -> Option<usize> {
    let plain = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_at_the_most() {
        assert_eq!(expand("a[1:50000]").map(|names| names.len()), Ok(MAX_HOSTS));
        assert!(expand("a[0:50000]").is_err());
    }

    #[test]
    fn both_ends_are_in_and_padding_follows_the_left_bound() {
        assert_eq!(expand("m[1:3]").unwrap(), ["m1", "m2", "m3"]);
        assert_eq!(expand("a[09:11].x").unwrap(), ["a09.x", "a10.x", "a11.x"]);
        assert_eq!(expand("a[9:10]").unwrap(), ["a9", "a10"]);
        assert_eq!(expand("plain").unwrap(), ["plain"]);
    }

    #[test]
    fn what_is_not_a_range_is_refused() {
        for bad in ["a[1:", "a1]", "a[1:2][3:4]", "a[1:2]b]", "a[:]", "a[3:1]", "a[1-3]", "a[x:y]"]
        {
            assert!(expand(bad).is_err(), "{bad}");
        }
        assert!(expand("a[1:999999999]").unwrap_err().contains("more than 50000"));
        assert!(expand("a[1:9999999999999999999999]").is_err());
    }

    #[test]
    fn addresses_go_in_step() {
        let names = expand("m[1:3]").unwrap();
        let addresses = zip(&names, "10.0.0.1[1:3]").unwrap();
        assert_eq!(addresses, ["10.0.0.11", "10.0.0.12", "10.0.0.13"]);
        assert_eq!(zip(&names, "10.0.0.1").unwrap_err(), "3 hosts would share one address");
        assert_eq!(zip(&names, "10.0.0.[1:2]").unwrap_err(), "3 hosts but 2 addresses");
        assert_eq!(
            zip(&names[..1], "10.0.0.[1:2]").unwrap_err(),
            "one host cannot have 2 addresses"
        );
    }

    #[test]
    fn names_fold_as_an_inventory_writes_them() {
        let folded = |names: &[&str]| fold(names.iter().copied()).join(", ");
        assert_eq!(folded(&["m1", "m2", "m3"]), "m[1:3]");
        assert_eq!(folded(&["a09", "a10", "a12"]), "a[09:10], a12");
        assert_eq!(folded(&["a10", "box", "a9", "m1"]), "a[9:10], box, m1");
        assert_eq!(folded(&["a.example", "b.example"]), "a.example, b.example");
        assert_eq!(
            folded(&["n2.lab", "n1.lab", "10.0.0.7", "10.0.0.8"]),
            "10.0.0.[7:8], n[1:2].lab"
        );
    }

    proptest::proptest! {
        #[test]
        fn what_was_folded_expands_to_the_same_names(
            names in proptest::collection::btree_set("(a|b0|x9y)?(0{0,2}[0-9]{1,2})?(c|7d)?", 1..20)
        ) {
            let expanded = |text: &String| expand(text).unwrap();
            let back: Vec<String> = fold(names.iter().map(String::as_str)).iter().flat_map(expanded).collect();
            let there: std::collections::BTreeSet<String> = back.iter().cloned().collect();
            proptest::prop_assert_eq!(back.len(), there.len());
            proptest::prop_assert_eq!(there, names);
        }
    }
}

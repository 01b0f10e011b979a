//! Names of hosts, and ranges that stand for several.

use crate::ground::HostName;

/// A name as `PREFIX NUMBER`, with the number's width where it is padded.
fn split(name: &str) -> Option<(&str, u64, usize)> {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (prefix, number) = name.split_at(name.len() - digits);
    let padded = number.len() > 1 && number.starts_with('0');
    let width = if padded { number.len() } else { 0 };
    (!prefix.is_empty() && !number.is_empty() && number.len() <= 9)
        .then(|| Some((prefix, number.parse().ok()?, width)))?
}

/// Whether one name follows another in a range.
fn follows(before: &str, after: &str) -> bool {
    match (split(before), split(after)) {
        (Some((a, m, width)), Some((b, n, other))) => {
            // `a9` and `a10` are of one range, `a09` and `a10` too.
            let same = width == other || (other == 0 && after.len() == before.len());
            a == b && n == m + 1 && same
        }
        _ => false,
    }
}

/// Runs of things that follow each other, of which each is at least one long.
pub(super) fn runs<T>(all: &[T], follow: impl Fn(&T, &T) -> bool) -> Vec<&[T]> {
    all.chunk_by(|a, b| follow(a, b)).collect()
}

/// Hosts as a list names them: ranges where there are at least three in a row.
pub(super) fn list(hosts: &[HostName]) -> String {
    let mut hosts: Vec<&HostName> = hosts.iter().collect();
    hosts.sort();
    let runs = runs(&hosts, |a, b| follows(a.as_str(), b.as_str()));
    let words = runs.into_iter().flat_map(|run| match run {
        [first, .., last] if run.len() > 2 => vec![quoted(&range(first.as_str(), last.as_str()))],
        some => some.iter().map(|host| host.to_string()).collect(),
    });
    format!("[{}]", words.collect::<Vec<_>>().join(", "))
}

/// `a[01:20]` of its first and last name.
pub(super) fn range(first: &str, last: &str) -> String {
    let digits = |name: &str| name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (prefix, from) = first.split_at(digits(first));
    let to = &last[digits(last)..];
    format!("{prefix}[{from}:{to}]")
}

/// One range of addresses, or `None` where they do not follow each other.
pub(super) fn addresses(all: &[String]) -> Option<String> {
    let (first, last) = (all.first()?, all.last()?);
    let last_number = |text: &str| text.rsplit_once('.')?.1.parse::<u8>().ok();
    let base = |text: &str| text.rsplit_once('.').map(|(base, _)| base.to_owned());
    let steps = all.windows(2).all(|pair| {
        let next = last_number(&pair[0]).and_then(|n| n.checked_add(1));
        base(&pair[0]) == base(&pair[1]) && next.is_some() && next == last_number(&pair[1])
    });
    steps.then(|| {
        Some(format!("{}.[{}:{}]", base(first)?, last_number(first)?, last_number(last)?))
    })?
}

/// Whether two hosts may stand in one range.
pub(super) fn in_step(a: &HostName, b: &HostName) -> bool {
    follows(a.as_str(), b.as_str())
}

pub(super) fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> Vec<HostName> {
        names.iter().map(|name| HostName::new(name)).collect()
    }

    #[test]
    fn names_in_a_row_become_a_range() {
        assert_eq!(list(&hosts(&["a10", "a8", "a9", "b1", "c"])), "[\"a[8:10]\", b1, c]");
        assert_eq!(list(&hosts(&["a08", "a09", "a10", "a11"])), "[\"a[08:11]\"]");
        assert_eq!(list(&hosts(&["a1", "a2"])), "[a1, a2]");
        assert_eq!(list(&hosts(&["a1", "a3", "a5"])), "[a1, a3, a5]");
        for text in ["a[8:10]", "a[08:11]"] {
            assert!(crate::inventory::ranges::expand(text).is_ok());
        }
    }

    #[test]
    fn addresses_in_a_row_become_a_range() {
        let all = |last: &[u8]| last.iter().map(|n| format!("10.0.0.{n}")).collect::<Vec<_>>();
        assert_eq!(addresses(&all(&[11, 12, 13])).as_deref(), Some("10.0.0.[11:13]"));
        assert_eq!(addresses(&all(&[11, 13])), None);
    }
}

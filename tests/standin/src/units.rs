//! Durations and sizes: Mesos' own grammars.

use std::time::Duration;

/// Reads `5mins`: digits and dots, then at once one of the plural units.
/// Source: stout/duration.hpp; texts as recorded from a real agent.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    if digits == text.len() {
        return Err(format!("Invalid duration '{text}'"));
    }
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| CONVERT.to_owned())?;
    match DURATIONS.iter().find(|(name, _)| *name == unit) {
        Some((_, nanos)) => Ok(Duration::from_nanos((number * *nanos as f64) as u64)),
        None => Err(format!(
            "Unknown duration unit '{unit}'; supported units are 'ns', 'us', 'ms', 'secs', \
             'mins', 'hrs', 'days', and 'weeks'"
        )),
    }
}

/// Writes a duration in the largest unit that gives a whole number: 300secs reads back as `5mins`.
pub(crate) fn print_duration(value: Duration) -> String {
    let nanos = value.as_nanos() as u64;
    let fits = |unit: &&(&str, u64)| nanos != 0 && nanos.is_multiple_of(unit.1);
    match DURATIONS.iter().rev().find(fits) {
        Some((name, unit)) => format!("{}{name}", nanos / unit),
        None => "0ns".to_owned(),
    }
}

/// Reads `2GB`: a whole number and a unit, in powers of 1024.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    if digits == text.len() {
        return Err(format!("Invalid bytes '{text}'"));
    }
    let (number, unit) = text.split_at(digits);
    if number.contains('.') {
        return Err(format!("Fractional bytes '{text}'"));
    }
    let number: u64 = number.parse().map_err(|_| CONVERT.to_owned())?;
    match BYTES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
        Some((_, factor)) => Ok(number * factor),
        None => Err(format!("Unknown bytes unit '{unit}'")),
    }
}

/// Writes a size in the largest unit that gives a whole number.
pub(crate) fn print_bytes(value: u64) -> String {
    let fits = |unit: &&(&str, u64)| value != 0 && value.is_multiple_of(unit.1);
    match BYTES.iter().rev().find(fits) {
        Some((name, factor)) => format!("{}{name}", value / factor),
        None => "0B".to_owned(),
    }
}

/// What stout says when text is no number.
pub(crate) const CONVERT: &str = "Failed to convert into required type";

const DURATIONS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("secs", 1_000_000_000),
    ("mins", 60_000_000_000),
    ("hrs", 3_600_000_000_000),
    ("days", 86_400_000_000_000),
    ("weeks", 604_800_000_000_000),
];

const BYTES: [(&str, u64); 5] =
    [("B", 1), ("KB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("TB", 1 << 40)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_plural_and_unspaced() {
        assert_eq!(duration("5mins"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("1.5secs"), Ok(Duration::from_millis(1500)));
        for wrong in ["5 mins", "5min", "5m", "1sec", "300", "", "mins"] {
            assert!(duration(wrong).is_err(), "{wrong} must be refused");
        }
    }

    #[test]
    fn durations_print_in_the_largest_whole_unit() {
        for (given, printed) in
            [("300secs", "5mins"), ("90secs", "90secs"), ("7days", "1weeks"), ("0secs", "0ns")]
        {
            assert_eq!(duration(given).map(print_duration), Ok(printed.to_owned()));
        }
    }

    #[test]
    fn bytes_need_a_unit_and_no_fraction() {
        assert_eq!(bytes("4096B").map(print_bytes), Ok("4KB".to_owned()));
        assert_eq!(bytes("2gb").map(print_bytes), Ok("2GB".to_owned()));
        for wrong in ["1024", "1.5GB", "2XB", ""] {
            assert!(bytes(wrong).is_err(), "{wrong} must be refused");
        }
    }
}

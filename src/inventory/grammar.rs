//! The small grammars of values that are the inventory's own. Mesos' grammars live in `crate::mesos`;
//! what is asked here beyond them is said here.

use std::time::Duration;

use crate::mesos::units::{Bytes, parse_duration};
use crate::mesos::values::{Attributes, Value};
use crate::mesos::versions::Version;

/// A Mesos duration.
pub(super) fn duration(text: &str) -> Option<Duration> {
    parse_duration(text).ok()
}

/// Mesos bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    text.parse::<Bytes>().ok().map(|bytes| bytes.0)
}

/// A resource's value; mem and disk need a unit and become MB. Stricter than Mesos, which takes a set
/// of ports or a bare number of MB and then offers what nobody meant.
pub(super) fn resource(name: &str, text: &str, version: &Version) -> Result<Value, String> {
    if matches!(name, "mem" | "disk") {
        let text: String = text.chars().filter(|c| *c != ' ').collect();
        let bytes: Bytes = text.parse().map_err(|_| "expected bytes with a unit")?;
        return match bytes.mib_thousandths() {
            0 => Err("expected more than zero".to_owned()),
            mib => Ok(Value::Scalar(mib)),
        };
    }
    match Value::parse(text, version)? {
        Value::Ranges(_) | Value::Set(_) if matches!(name, "cpus" | "gpus") => {
            Err("expected a number".to_owned())
        }
        Value::Scalar(_) | Value::Set(_) if name == "ports" => Err("expected ranges".to_owned()),
        // Mesos takes them, and tasks then fail to listen.
        Value::Ranges(ranges)
            if name == "ports"
                && ranges.iter().any(|(first, last)| *first == 0 || *last > 65_535) =>
        {
            Err("expected ports from 1 to 65535".to_owned())
        }
        Value::Scalar(n) if n < 0 || (n == 0 && name != "gpus") => {
            Err("expected more than zero".to_owned())
        }
        Value::Text(_) => Err("expected a number, ranges or a set".to_owned()),
        value => Ok(value),
    }
}

/// An attribute's value.
pub(super) fn attribute(name: &str, text: &str, version: &Version) -> Result<Value, String> {
    let mut one = Attributes::default();
    one.insert(name, text, version)?;
    one.0.remove(name).ok_or_else(|| "the value is empty".to_owned())
}

/// Whether Mesos takes it for a number (or refuses it as one, as it does `nan`).
pub(super) fn reads_as_number(text: &str, version: &Version) -> bool {
    !matches!(Value::parse(text, version), Ok(Value::Text(_)))
}

/// What is left of a total when a part of it is taken; `None` for nothing left.
pub(super) fn minus(total: &Value, part: &Value) -> Result<Option<Value>, String> {
    if std::mem::discriminant(total) != std::mem::discriminant(part) {
        return Err("the reserved part is of another type than the total".to_owned());
    }
    match total.minus(part) {
        Some(rest) => Ok((!rest.is_empty()).then_some(rest)),
        None => Err(format!("{part} is reserved of {total}")),
    }
}

/// An RFC 1123 name: labels of letters, digits and inner hyphens, dots between, 253 at most.
pub(super) fn host_name(text: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// A role name as every Mesos release takes it; `/` (hierarchies) needs 1.4.
pub(super) fn role_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text.split('/').all(|part| !matches!(part, "" | "." | ".." | "*"))
        && text.chars().all(|c| c.is_ascii_graphic() && !"();:,\\\"'`$={}[]".contains(c))
}

/// Letters, digits and `extra`, not beginning with a hyphen.
pub(super) fn word(text: &str, extra: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

/// What [`word`] takes: text that may stand in an ssh command line or a file of apt, for old clients of
/// ssh expand `%h` within shell commands.
pub(super) fn safe(text: &str, extra: &str) -> Option<String> {
    word(text, extra).then(|| text.to_owned())
}

/// A Debian package name.
pub(super) fn debian_package(text: &str) -> bool {
    text.len() >= 2
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// An http(s) URL without blanks or quotes.
pub(super) fn url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|r| !r.is_empty() && !r.starts_with('/'))
        && text.chars().all(|c| c.is_ascii_graphic() && !"\"'`<>\\{}|^".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version() -> Version {
        Version::parse("1.11.0").expect("a version")
    }

    #[test]
    fn memory_and_disk_are_stored_in_megabytes() {
        let resource = |name: &str, text: &str| resource(name, text, &version());
        assert_eq!(resource("mem", "16GB"), Ok(Value::Scalar(16_384_000)));
        assert_eq!(resource("disk", "512KB"), Ok(Value::Scalar(500)));
        assert!(resource("mem", "16384").is_err());
        assert_eq!(resource("cpus", "0.5"), Ok(Value::Scalar(500)));
        for bad in ["0", "-1", "{a}", "[1-2]", "four"] {
            assert!(resource("cpus", bad).is_err(), "{bad}");
        }
        assert!(resource("ports", "31000").is_err());
        assert!(resource("ports", "[1-65536]").is_err() && resource("ports", "[0-9]").is_err());
        assert_eq!(resource("ports", "[1-65535]"), Ok(Value::Ranges(vec![(1, 65_535)])));
        assert_eq!(resource("ports", "[3-4, 1-2, 9-9]"), Ok(Value::Ranges(vec![(1, 4), (9, 9)])));
    }

    #[test]
    fn attributes_are_typed_as_mesos_types_them() {
        let attribute = |text: &str| attribute("a", text, &version());
        assert_eq!(attribute("r1"), Ok(Value::Text("r1".to_owned())));
        assert_eq!(attribute("7.10"), Ok(Value::Scalar(7100)));
        assert_eq!(attribute("north west"), Ok(Value::Text("northwest".to_owned())));
        assert!(attribute("{a,b}").is_err());
        assert!(attribute("a;b").is_err());
        for number in ["1", "1e3", "inf", "nan", "0x1f", "-2", ".5"] {
            assert!(reads_as_number(number, &version()), "{number}");
        }
        assert!(!reads_as_number("a1", &version()));
    }

    #[test]
    fn the_rest_is_the_total_without_the_part() {
        let ranges = |r: &[(u64, u64)]| Value::Ranges(r.to_vec());
        assert_eq!(minus(&Value::Scalar(8000), &Value::Scalar(8000)), Ok(None));
        assert!(minus(&Value::Scalar(8), &Value::Scalar(9)).is_err());
        assert_eq!(
            minus(&ranges(&[(1, 9)]), &ranges(&[(3, 4)])),
            Ok(Some(ranges(&[(1, 2), (5, 9)])))
        );
        assert!(minus(&ranges(&[(1, 9)]), &ranges(&[(8, 10)])).is_err());
    }
}

//! The small grammars of values: durations and bytes as Mesos reads them, resources, attributes,
//! names. One place, so that what a field accepts is found at once.

use std::time::Duration;

use crate::mesos::values::Value;

/// A Mesos duration: `30secs`, `1.5hrs`; unit needed, plural, no space.
///
/// Source: 3rdparty/stout/include/stout/duration.hpp of Mesos 1.11.0.
pub(super) fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("ms", 1e-3),
        ("secs", 1.0),
        ("mins", 60.0),
        ("hrs", 3600.0),
        ("days", 86_400.0),
        ("weeks", 604_800.0),
    ];
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * seconds).ok()
}

/// Mesos bytes: `512MB`, `16GB`; whole number, unit needed, ×1024.
///
/// Source: 3rdparty/stout/include/stout/bytes.hpp of Mesos 1.11.0.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let shift = match unit.to_ascii_uppercase().as_str() {
        "B" => 0,
        "KB" => 10,
        "MB" => 20,
        "GB" => 30,
        "TB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A resource's value; mem and disk need a unit and become MB.
pub(super) fn resource(name: &str, text: &str) -> Result<Value, String> {
    let text: String = text.chars().filter(|c| *c != ' ').collect();
    if matches!(name, "mem" | "disk") {
        let bytes = bytes(&text).ok_or("expected bytes with a unit such as 16GB or 512MB")?;
        let thousandths = u128::from(bytes) * 1000 / (1 << 20);
        return i64::try_from(thousandths).map(Value::Scalar).map_err(|_| "too much".to_owned());
    }
    match value(&text)? {
        Value::Ranges(_) if matches!(name, "cpus" | "gpus") => {
            Err("expected a number such as 4 or 0.5".to_owned())
        }
        Value::Scalar(_) if name == "ports" => {
            Err("expected ranges such as [31000-32000]".to_owned())
        }
        Value::Scalar(n) if n <= 0 => Err("expected more than zero".to_owned()),
        Value::Text(_) => {
            Err("expected a number, ranges such as [1-9] or a set such as {a,b}".to_owned())
        }
        value => Ok(value),
    }
}

/// An attribute's value; a set is refused because it stops the agent.
pub(super) fn attribute(text: &str) -> Result<Value, String> {
    if text.contains(';') {
        return Err("an attribute cannot hold `;`".to_owned());
    }
    match value(&text.chars().filter(|c| *c != ' ').collect::<String>())? {
        Value::Set(_) => Err("an attribute cannot be a set, it stops the agent".to_owned()),
        value => Ok(value),
    }
}

/// What Mesos makes of a value from which blanks were removed: first character, then number, then
/// text.
///
/// Source: src/common/values.cpp of Mesos 1.11.0.
fn value(text: &str) -> Result<Value, String> {
    if text.is_empty() {
        return Err("the value is empty".to_owned());
    }
    if let Some(inner) = text.strip_prefix('[') {
        return ranges(inner.strip_suffix(']').unwrap_or(""))
            .ok_or_else(|| "expected ranges such as [31000-32000,33000-33100]".to_owned());
    }
    if let Some(inner) = text.strip_prefix('{') {
        let items = inner.strip_suffix('}').unwrap_or("");
        let mut items: Vec<String> = items.split(',').map(str::to_owned).collect();
        if items.iter().any(|i| i.is_empty() || i.contains(['{', '}', '[', ']'])) {
            return Err("expected a set such as {a,b}".to_owned());
        }
        items.sort();
        items.dedup();
        return Ok(Value::Set(items));
    }
    if text.contains(['[', ']', '{', '}']) {
        return Err("brackets may stand only around the whole value".to_owned());
    }
    if !reads_as_number(text) {
        return Ok(Value::Text(text.to_owned()));
    }
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is no plain number"))?;
    let thousandths = (number * 1000.0).round();
    if !number.is_finite() || number < 0.0 || thousandths.abs() > 9e15 {
        return Err("expected a number from 0 to 9000000000000".to_owned());
    }
    #[expect(clippy::cast_possible_truncation, reason = "within 9e15, checked above")]
    Ok(Value::Scalar(thousandths as i64))
}

fn ranges(inner: &str) -> Option<Value> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for part in inner.split(',') {
        let (first, last) = part.split_once('-')?;
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        if last < first {
            return None;
        }
        ranges.push((first, last));
    }
    ranges.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(end) if first <= end.1.saturating_add(1) => end.1 = end.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    Some(Value::Ranges(merged))
}

/// Whether C++ reads all of it as a double: then Mesos takes it for a scalar.
pub(super) fn reads_as_number(text: &str) -> bool {
    let unsigned = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    text.parse::<f64>().is_ok()
        || unsigned.strip_prefix("0x").is_some_and(|hex| {
            !hex.is_empty() && hex.chars().all(|c| c.is_ascii_hexdigit() || ".p+-".contains(c))
        })
        || unsigned.starts_with("nan(")
}

/// What is left of a total when a part of it is taken; `None` for nothing left.
pub(super) fn minus(total: &Value, part: &Value) -> Result<Option<Value>, String> {
    match (total, part) {
        (Value::Scalar(t), Value::Scalar(p)) if p > t => {
            Err(format!("{} is reserved of {}", thousandths(*p), thousandths(*t)))
        }
        (Value::Scalar(t), Value::Scalar(p)) => Ok((t > p).then_some(Value::Scalar(t - p))),
        (Value::Ranges(t), Value::Ranges(p)) => {
            let mut left = t.clone();
            for (first, last) in p {
                let inside = left.iter().position(|(a, b)| a <= first && last <= b);
                let Some(at) = inside else {
                    return Err(format!("{first}-{last} is not within the total"));
                };
                let (a, b) = left.remove(at);
                if *last < b {
                    left.insert(at, (last + 1, b));
                }
                if a < *first {
                    left.insert(at, (a, first - 1));
                }
            }
            Ok((!left.is_empty()).then_some(Value::Ranges(left)))
        }
        (Value::Set(t), Value::Set(p)) => {
            if let Some(item) = p.iter().find(|item| !t.contains(item)) {
                return Err(format!("`{item}` is not within the total"));
            }
            let left: Vec<String> = t.iter().filter(|i| !p.contains(i)).cloned().collect();
            Ok((!left.is_empty()).then_some(Value::Set(left)))
        }
        _ => Err("the reserved part is of another type than the total".to_owned()),
    }
}

fn thousandths(n: i64) -> String {
    let text = format!("{}.{:03}", n / 1000, n % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
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

    #[test]
    fn durations_and_bytes_are_mesos_own() {
        assert_eq!(duration("5mins"), Some(Duration::from_secs(300)));
        assert_eq!(duration("1.5hrs"), Some(Duration::from_secs(5400)));
        for bad in ["5 mins", "5min", "5m", "300", "1sec", "", "mins", "1..2secs"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        assert_eq!(bytes("16GB"), Some(16 << 30));
        assert_eq!(bytes("1kb"), Some(1024));
        for bad in ["16", "16G", "1.5GB", "GB", "99999999999TB", ""] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }

    #[test]
    fn memory_and_disk_are_stored_in_megabytes() {
        assert_eq!(resource("mem", "16GB"), Ok(Value::Scalar(16_384_000)));
        assert_eq!(resource("disk", "512KB"), Ok(Value::Scalar(500)));
        assert!(resource("mem", "16384").is_err());
        assert_eq!(resource("cpus", "0.5"), Ok(Value::Scalar(500)));
        assert!(resource("cpus", "0").is_err());
        assert!(resource("cpus", "-1").is_err());
        assert!(resource("ports", "31000").is_err());
        assert_eq!(resource("ports", "[3-4, 1-2, 9-9]"), Ok(Value::Ranges(vec![(1, 4), (9, 9)])));
    }

    #[test]
    fn attributes_are_typed_as_mesos_types_them() {
        assert_eq!(attribute("r1"), Ok(Value::Text("r1".to_owned())));
        assert_eq!(attribute("7.10"), Ok(Value::Scalar(7100)));
        assert_eq!(attribute("north west"), Ok(Value::Text("northwest".to_owned())));
        assert!(attribute("{a,b}").is_err());
        assert!(attribute("a;b").is_err());
        for number in ["1", "1e3", "inf", "nan", "0x1f", "-2", ".5"] {
            assert!(reads_as_number(number), "{number}");
        }
        assert!(!reads_as_number("a1"));
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

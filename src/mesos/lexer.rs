//! The one lexer behind resources and attributes, and how its values add up and compare.

use std::fmt;

use super::values::Value;
use super::versions::Version;

/// Beyond this many thousandths a double no longer holds each of them exactly.
const LARGEST_SCALAR: f64 = 9_007_199_254_740_992.0;

impl Value {
    /// Reads a value as Mesos types it: `[1-2]` ranges, `{a,b}` a set, a number a scalar, else text.
    /// Blanks are deleted first, so `north west` is `northwest`.
    ///
    /// Source: Mesos `src/common/values.cpp`, `values::parse`, and stout's `numify`.
    ///
    /// # Errors
    /// One sentence; also for hexadecimal numbers, which are numbers in some releases and text in
    /// others, and for numbers that three decimals cannot hold (`nan`, `inf`, too large).
    pub fn parse(text: &str, version: &Version) -> Result<Value, String> {
        let compact: String = text.chars().filter(|c| *c != ' ').collect();
        if compact.is_empty() {
            return Err("the value is empty".to_owned());
        }
        for (open, close) in [('{', '}'), ('[', ']'), ('(', ')')] {
            if !balanced(&compact, open, close) {
                return Err(format!("brackets `{open}{close}` do not match in `{compact}`"));
            }
        }
        match (compact.find('['), compact.find('{')) {
            (Some(0), _) => ranges(&compact),
            (Some(_), _) => Err(format!("`[` stands inside `{compact}`; ranges begin with it")),
            (None, Some(0)) => Ok(Value::set(tokens(&compact, &['{', '}', ',', '\n']))),
            (None, Some(_)) => Err(format!("`{{` stands inside `{compact}`; sets begin with it")),
            (None, None) => scalar_or_text(compact, version),
        }
    }

    /// A set: sorted, each item once.
    pub fn set<'a>(items: impl Iterator<Item = &'a str>) -> Value {
        let mut items: Vec<String> = items.map(str::to_owned).collect();
        items.sort();
        items.dedup();
        Value::Set(items)
    }

    /// Ranges: sorted, overlapping and adjacent ones merged (Mesos' `coalesce`).
    pub fn ranges(mut ranges: Vec<(u64, u64)>) -> Value {
        ranges.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
        for (begin, end) in ranges {
            match merged.last_mut() {
                Some(last) if begin <= last.1.saturating_add(1) => last.1 = last.1.max(end),
                _ => merged.push((begin, end)),
            }
        }
        Value::Ranges(merged)
    }

    /// A number, rounded to thousandths as Mesos rounds; `None` when they cannot hold it.
    pub fn scalar(number: f64) -> Option<Value> {
        let thousandths = (number * 1000.0).round();
        (thousandths.abs() <= LARGEST_SCALAR).then_some(Value::Scalar(thousandths as i64))
    }

    /// Whether it is nothing: Mesos does not keep such a resource.
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Scalar(thousandths) => *thousandths == 0,
            Value::Ranges(ranges) => ranges.is_empty(),
            Value::Set(items) => items.is_empty(),
            Value::Text(text) => text.is_empty(),
        }
    }

    /// Whether all of `part` is in it: at least as much of a scalar, a superset, the same text.
    /// Values of different types never hold each other.
    pub fn holds(&self, part: &Value) -> bool {
        match (self, part) {
            (Value::Scalar(all), Value::Scalar(part)) => all >= part,
            (Value::Ranges(all), Value::Ranges(part)) => {
                part.iter().all(|(b, e)| all.iter().any(|(x, y)| x <= b && e <= y))
            }
            (Value::Set(all), Value::Set(part)) => part.iter().all(|item| all.contains(item)),
            (Value::Text(all), Value::Text(part)) => all == part,
            _ => false,
        }
    }

    /// Both together; `None` for values of different types, text, or a sum too large.
    pub fn plus(&self, more: &Value) -> Option<Value> {
        match (self, more) {
            (Value::Scalar(a), Value::Scalar(b)) => a.checked_add(*b).map(Value::Scalar),
            (Value::Ranges(a), Value::Ranges(b)) => {
                Some(Value::ranges(a.iter().chain(b).copied().collect()))
            }
            (Value::Set(a), Value::Set(b)) => {
                Some(Value::set(a.iter().chain(b).map(String::as_str)))
            }
            _ => None,
        }
    }

    /// What is left when `part` is taken; `None` when it does not hold `part`.
    pub fn minus(&self, part: &Value) -> Option<Value> {
        if !self.holds(part) {
            return None;
        }
        match (self, part) {
            (Value::Scalar(all), Value::Scalar(part)) => all.checked_sub(*part).map(Value::Scalar),
            (Value::Ranges(all), Value::Ranges(part)) => Some(Value::Ranges(cut(all, part))),
            (Value::Set(all), Value::Set(part)) => {
                let rest = all.iter().filter(|item| !part.contains(item));
                Some(Value::Set(rest.cloned().collect()))
            }
            _ => None,
        }
    }
}

/// `ranges` without `parts`; each part lies within one range (see [`Value::holds`]).
fn cut(ranges: &[(u64, u64)], parts: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut rest = ranges.to_vec();
    for (begin, end) in parts {
        rest = rest
            .iter()
            .flat_map(|(x, y)| {
                if end < x || y < begin {
                    return [Some((*x, *y)), None];
                }
                [(x < begin).then(|| (*x, begin - 1)), (end < y).then(|| (end + 1, *y))]
            })
            .flatten()
            .collect();
    }
    rest
}

fn ranges(text: &str) -> Result<Value, String> {
    let ends: Vec<&str> = tokens(text, &['[', ']', '-', ',', '\n']).collect();
    if !ends.len().is_multiple_of(2) {
        return Err(format!("`{text}` is not a list of ranges such as [31000-32000]"));
    }
    let mut ranges = Vec::with_capacity(ends.len() / 2);
    for pair in ends.chunks_exact(2) {
        let number = |end: &str| {
            end.parse::<u64>().map_err(|_| format!("`{end}` in `{text}` is not a whole number"))
        };
        let (begin, end) = (number(pair[0])?, number(pair[1])?);
        if begin > end {
            return Err(format!("the range {begin}-{end} in `{text}` runs backwards"));
        }
        ranges.push((begin, end));
    }
    Ok(Value::ranges(ranges))
}

fn scalar_or_text(text: String, version: &Version) -> Result<Value, String> {
    let unsigned = text.strip_prefix('-').unwrap_or(&text);
    if unsigned.starts_with("0x") || unsigned.starts_with("0X") {
        return Err(format!(
            "`{text}` is a number in some releases of Mesos and text in others; write it in decimals"
        ));
    }
    let Ok(number) = text.parse::<f64>() else {
        return Ok(Value::Text(text));
    };
    match Value::scalar(number) {
        Some(_) if number < 0.0 && version.at_least(&[1, 8]) => {
            Err(format!("`{text}` is negative, which Mesos refuses from 1.8.0 on"))
        }
        Some(value) => Ok(value),
        None => Err(format!("`{text}` is not a number that Mesos can keep with three decimals")),
    }
}

pub(super) fn tokens<'a>(text: &'a str, delimiters: &'a [char]) -> impl Iterator<Item = &'a str> {
    text.split(delimiters).filter(|token| !token.is_empty())
}

fn balanced(text: &str, open: char, close: char) -> bool {
    let mut depth = 0_usize;
    for c in text.chars() {
        if c == open {
            depth += 1;
        } else if c == close {
            match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            }
        }
    }
    depth == 0
}

/// As a flag takes it, without blanks.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Scalar(thousandths) => {
                let sign = if *thousandths < 0 { "-" } else { "" };
                let (whole, rest) =
                    (thousandths.unsigned_abs() / 1000, thousandths.unsigned_abs() % 1000);
                if rest == 0 {
                    return write!(f, "{sign}{whole}");
                }
                let decimals = format!("{rest:03}");
                write!(f, "{sign}{whole}.{}", decimals.trim_end_matches('0'))
            }
            Value::Ranges(ranges) => {
                let ranges: Vec<String> = ranges.iter().map(|(b, e)| format!("{b}-{e}")).collect();
                write!(f, "[{}]", ranges.join(","))
            }
            Value::Set(items) => write!(f, "{{{}}}", items.join(",")),
            Value::Text(text) => f.write_str(text),
        }
    }
}

//! Durations, sizes, rates, percentages and booleans as stout reads and prints them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Largest first. Source: stout `duration.hpp`; the units are plural only and case-sensitive.
const UNITS: [(&str, u64); 8] = [
    ("weeks", 604_800_000_000_000),
    ("days", 86_400_000_000_000),
    ("hrs", 3_600_000_000_000),
    ("mins", 60_000_000_000),
    ("secs", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads `5mins`, `1.5hrs`: digits and dots, then at once one of ns us ms secs mins hrs days weeks.
///
/// # Errors
/// One sentence that names the units, and the likely meaning of a near miss such as `5min`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let Some((_, nanoseconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        let meant = likely_unit(unit).map_or(String::new(), |unit| {
            if number.is_empty() { String::new() } else { format!("; did you mean {number}{unit}") }
        });
        return Err(format!(
            "`{text}` is not a duration: a number and at once one of ns, us, ms, secs, mins, hrs, days, weeks{meant}"
        ));
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("`{text}` is not a duration: it does not begin with a number"))?;
    let total = number * (*nanoseconds as f64);
    if total >= i64::MAX as f64 {
        return Err(format!("`{text}` is longer than Mesos can count (about 292 years)"));
    }
    Ok(Duration::from_nanos(total as u64))
}

fn likely_unit(unit: &str) -> Option<&'static str> {
    match unit.trim().to_ascii_lowercase().as_str() {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => Some("secs"),
        "m" | "min" | "mins" | "minute" | "minutes" => Some("mins"),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some("hrs"),
        "d" | "day" | "days" => Some("days"),
        "w" | "week" | "weeks" => Some("weeks"),
        "ms" | "msec" | "msecs" => Some("ms"),
        _ => None,
    }
}

/// As Mesos prints it back in `/flags`: the largest unit that gives a whole number, so that
/// `300secs` reads `5mins` and `90secs` stays. Compare durations parsed, not printed.
pub fn print_duration(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    if nanoseconds == 0 {
        return "0ns".to_owned();
    }
    let bucket = UNITS.iter().position(|(_, unit)| nanoseconds >= u128::from(*unit)).unwrap_or(7);
    // Mesos looks at the unit of this size and the next smaller one, and prints a fraction of the
    // former otherwise; below a microsecond there is nothing smaller.
    for (name, unit) in UNITS.iter().skip(bucket).take(2) {
        if nanoseconds.is_multiple_of(u128::from(*unit)) {
            return format!("{}{name}", nanoseconds / u128::from(*unit));
        }
    }
    let (name, unit) = UNITS[bucket];
    format!("{}{name}", nanoseconds as f64 / unit as f64)
}

/// A size in bytes; units of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Bytes {
    /// Thousandths of a MiB, the unit in which Mesos counts mem and disk, rounded.
    pub fn mib_thousandths(self) -> i64 {
        ((u128::from(self.0) * 1000 + 524_288) / 1_048_576) as i64
    }
}

impl FromStr for Bytes {
    type Err = String;

    /// `16GB`, `512mb`: a whole number and at once B, KB, MB, GB or TB in any case.
    fn from_str(text: &str) -> Result<Bytes, String> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        if unit.starts_with('.') {
            return Err(format!(
                "`{text}` is not a size: Mesos takes no fractions, use a smaller unit"
            ));
        }
        let shift = match unit.to_ascii_uppercase().as_str() {
            "B" => 0,
            "KB" => 10,
            "MB" => 20,
            "GB" => 30,
            "TB" => 40,
            _ => {
                return Err(format!(
                    "`{text}` is not a size: a whole number and at once one of B, KB, MB, GB, TB"
                ));
            }
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(1 << shift))
            .map(Bytes)
            .ok_or_else(|| format!("`{text}` is not a size that Mesos can count"))
    }
}

/// As Mesos prints it: the largest unit that loses nothing.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = self.0;
        let mut units = ["B", "KB", "MB", "GB", "TB"].iter();
        let mut unit = units.next().unwrap_or(&"B");
        while number != 0 && number.is_multiple_of(1024) {
            let Some(larger) = units.next() else { break };
            (number, unit) = (number / 1024, larger);
        }
        write!(f, "{number}{unit}")
    }
}

/// So many in so long, such as `1/10mins`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u64,
    /// In how long.
    pub per: Duration,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let refuse = || format!("`{text}` is not a rate such as 1/10mins (no blanks)");
        let (count, per) = text.split_once('/').ok_or_else(refuse)?;
        let count = count.parse().map_err(|_| refuse())?;
        let per = parse_duration(per).map_err(|why| format!("{}: {why}", refuse()))?;
        Ok(Rate { count, per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, print_duration(self.per))
    }
}

/// Reads `0%` to `100%`; the sign must be there.
///
/// # Errors
/// One sentence.
pub fn parse_percent(text: &str) -> Result<f64, String> {
    text.strip_suffix('%')
        .filter(|number| number.starts_with(|c: char| c.is_ascii_digit()))
        .and_then(|number| number.parse::<f64>().ok())
        .filter(|number| (0.0..=100.0).contains(number))
        .ok_or_else(|| format!("`{text}` is not a percentage from 0% to 100%"))
}

/// Reads `true`, `1`, `false`, `0`: stout knows no other word.
///
/// # Errors
/// One sentence.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

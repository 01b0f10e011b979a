//! Times in the forms in which Mesos writes them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970 with microseconds, as in `start_time`.
pub(crate) fn seconds() -> f64 {
    (nanoseconds() / 1000) as f64 / 1e6
}

/// Nanoseconds since 1970, as in the v1 API's `TimeInfo`.
pub(crate) fn nanoseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// `1122 18:16:03.992019`, the head of a log line (UTC).
pub(crate) fn log_stamp() -> String {
    let now = nanoseconds();
    let (_, month, day) = civil(now / 1_000_000_000 / 86_400);
    let second = now / 1_000_000_000 % 86_400;
    let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
    let micros = now / 1000 % 1_000_000;
    format!("{month:02}{day:02} {hours:02}:{minutes:02}:{seconds:02}.{micros:06}")
}

/// The `Date` header.
pub(crate) fn http_date() -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let now = nanoseconds() / 1_000_000_000;
    let days = now / 86_400;
    let (year, month, day) = civil(days);
    let (hours, minutes, seconds) = (now % 86_400 / 3600, now / 60 % 60, now % 60);
    let weekday = WEEKDAYS[(days % 7) as usize];
    let month = MONTHS[(month - 1) as usize];
    format!("{weekday}, {day:02} {month} {year} {hours:02}:{minutes:02}:{seconds:02} GMT")
}

/// Year, month and day of a day counted from 1970-01-01.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_780), (2026, 11, 23));
    }
}

//! What time it is, in the words of records and events.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

pub use jiff::Timestamp;

/// This machine's clock.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A time as RFC 3339 in UTC, to the millisecond: `2026-11-22T18:17:24.000Z`.
pub fn rfc3339(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// A new run's id: its time to the microsecond, so that ids sort as runs began, and chance, for two that
/// begin together. It is letters, digits and dashes, and can name a file.
pub fn run_id() -> String {
    let at = now();
    let time = at.strftime("%Y%m%dT%H%M%SZ");
    let micros = at.subsec_nanosecond().unsigned_abs() >> 10 & 0xf_ffff;
    let chance = RandomState::new().build_hasher().finish() & 0xfff;
    format!("{time}-{micros:05x}{chance:03x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_rfc_3339() {
        let at = |secs| rfc3339(Timestamp::from_second(secs).unwrap());
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59.000Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_795_371_444), "2026-11-22T18:17:24.000Z");
        let late = Timestamp::new(1_795_371_444, 999_999_999).unwrap();
        assert_eq!(rfc3339(late), "2026-11-22T18:17:24.999Z", "a time is never told before it is");
    }

    #[test]
    fn ids_sort_as_runs_began_and_can_name_a_file() {
        let ids: Vec<String> = (0..3)
            .map(|_| {
                std::thread::sleep(std::time::Duration::from_micros(5));
                run_id()
            })
            .collect();
        assert!(ids.iter().all(|id| id.len() == 25), "{ids:?}");
        assert!(
            ids.iter().flat_map(|id| id.chars()).all(|c| c.is_ascii_alphanumeric() || c == '-')
        );
    }
}

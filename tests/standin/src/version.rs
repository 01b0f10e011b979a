//! Which Mesos this claims to be.

use std::fmt;

/// The version of Mesos that the package stands in for, without the package's own suffix: the file
/// `standin-version` beside the binary, so that one build serves packages of several versions.
pub(crate) fn mesos() -> String {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| std::fs::read_to_string(exe.with_file_name("standin-version")).ok());
    let full = beside.unwrap_or_else(|| "1.11.0".to_owned());
    full.trim().split('+').next().unwrap_or("1.11.0").to_owned()
}

/// A release number that can be ordered; `HEAD` comes after all releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Release(u32, u32, u32);

impl Release {
    /// The last release there will be.
    pub(crate) const fn newest() -> Release {
        Release(1, 11, 0)
    }

    pub(crate) fn parse(text: &str) -> Option<Release> {
        if text == "HEAD" {
            return Some(Release(u32::MAX, 0, 0));
        }
        let mut numbers = text.split('.').map(|part| part.parse::<u32>().ok());
        let mut next = || numbers.next().flatten();
        Some(Release(next()?, next()?, next()?))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::Release;

    #[test]
    fn releases_are_ordered_by_number_and_head_is_last() {
        let order = ["0.20.1", "1.9.0", "1.10.0", "1.11.0", "HEAD"].map(Release::parse);
        assert!(order.iter().all(Option::is_some));
        assert!(order.windows(2).all(|pair| pair[0] < pair[1]));
    }
}

//! What an inventory's text names, read lightly: nothing is checked, rendered or looked up.

use super::ranges::expand;
use super::yaml;

/// The hosts and pools that a text names; none where it is no YAML.
pub fn named(text: &[u8]) -> (Vec<String>, Vec<String>) {
    let Ok(root) = yaml::parse("", text) else { return Default::default() };
    let hosts = root.keys_of("hosts").iter().filter_map(|key| expand(key).ok()).flatten().collect();
    let pools = root.child("mesos").map(|mesos| mesos.keys_of("agents")).unwrap_or_default();
    (hosts, pools)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_told_name_by_name() {
        let text = b"hosts:\n  m1: {}\n  a[1:2]: {}\nmesos: { agents: { gpu: {}, cpu: {} } }\n";
        let names = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        assert_eq!(named(text), (names(&["m1", "a1", "a2"]), names(&["gpu", "cpu"])));
        assert_eq!(named(b"hosts: {"), (names(&[]), names(&[])));
    }
}

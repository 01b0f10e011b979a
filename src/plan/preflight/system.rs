//! Which system a host runs: what was tried with, and the control groups that it boots with.

use super::error;
use crate::ground::{Debian, HostName, Problem, Severity};
use crate::inventory::Inventory;

/// What /etc/os-release says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct System<'a> {
    id: &'a str,
    version: &'a str,
}

impl System<'_> {
    pub(super) fn read(os_release: &str) -> System<'_> {
        let field = |key: &str| {
            let mut values =
                os_release.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            values.next().map_or("", |value| value.trim_matches('"'))
        };
        System { id: field("ID"), version: field("VERSION_ID") }
    }

    fn number(&self) -> f64 {
        self.version.parse().unwrap_or(0.0)
    }

    /// The release of Debian, where it is one of those that were tried.
    pub(super) fn debian(&self) -> Option<Debian> {
        let release = Debian::numbered(self.number() as u32);
        release.filter(|_| self.id == "debian")
    }

    /// What speaks against it.
    pub(super) fn problem(&self) -> Option<Problem> {
        let System { id, version } = self;
        match *id {
            "debian" if self.debian().is_some() => None,
            "debian" if self.number() >= 14.0 => Some(untried(id, version)),
            "ubuntu" if self.number() >= 22.04 => Some(untried(id, version)),
            "" => Some(
                error("unsupported-os", "/etc/os-release does not say what this is")
                    .help(SUPPORTED),
            ),
            _ => Some(
                error("unsupported-os", format!("{id} {version} is not supported")).help(SUPPORTED),
            ),
        }
    }
}

const SUPPORTED: &str = "install Debian 11, 12 or 13, or take this host out of the inventory";

/// Nothing that is known stands in the way, and nobody has seen it work.
fn untried(id: &str, version: &str) -> Problem {
    let message = format!("{id} {version} is untried; Debian 11, 12 and 13 are what was tried");
    let problem = error("untried-os", message)
        .help("nothing is known to stand in the way; try it on a host that nobody needs first");
    Problem { severity: Severity::Warning, ..problem }
}

/// Name of the finding that holds an agent back until its host was rebooted.
pub const REBOOT: &str = "reboot-needed";

/// What tells of a host's control groups.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Boots<'a> {
    /// /proc/mounts.
    pub(super) mounts: &'a str,
    /// The first line of `systemctl --version`.
    pub(super) systemd: &'a str,
    /// The line of the kernel's configuration on the v1 controller of memory.
    pub(super) kernel: &'a str,
}

impl Boots<'_> {
    /// `systemd 257 (257.8-1~deb13u2)`.
    fn systemd(&self) -> u32 {
        let words = self.systemd.lines().find_map(|line| line.strip_prefix("systemd "));
        let number = words.and_then(|words| words.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// Whether the cgroup v1 hierarchy of a controller is mounted.
    fn mounts(&self, controller: &str) -> bool {
        self.mounts.lines().any(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            words.get(2) == Some(&"cgroup")
                && words.get(3).is_some_and(|o| o.split(',').any(|o| o == controller))
        })
    }
}

/// The first systemd that boots with no cgroup v1 whatever it is told.
///
/// Source: systemd's NEWS of 256 (`SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1`) and of 258 (support is removed).
const NO_CGROUP_V1: u32 = 258;

/// What the docker containerizer of an agent lacks.
pub(super) fn cgroups(inventory: &Inventory, host: &HostName, boots: &Boots<'_>) -> Vec<Problem> {
    let Some(agent) = inventory.agent(host) else { return Vec::new() };
    let flag = |name: &str| agent.flags.get(name).map_or("", String::as_str).split(',');
    if !flag("containerizers").any(|containerizer| containerizer == "docker") {
        return Vec::new();
    }
    let systemd = boots.systemd();
    if boots.mounts("cpu") {
        let lacking = !boots.mounts("memory");
        return lacking.then(|| no_memory(flag("isolation"))).into_iter().collect();
    }
    if systemd >= NO_CGROUP_V1 {
        let message = format!(
            "systemd {systemd} boots with no cgroup v1 any more, and no released Mesos can use the docker containerizer without one"
        );
        let help = "take an older release (Debian 13 has systemd 257), or `containerizers: mesos`";
        return vec![error("cgroup-v2", message).help(help)];
    }
    if !inventory.base.cgroup_v1 {
        let message = "no cgroup v1 `cpu` hierarchy is mounted, and no released Mesos can use the docker containerizer without one";
        let help = "set `base: { cgroup_v1: true }`, apply, and reboot the host";
        return vec![error("cgroup-v2", message).help(help)];
    }
    let message =
        "its agent waits for a reboot: the kernel argument for cgroup v1 takes effect with it";
    let help =
        format!("apply writes the argument; then run {}, and apply again", reboot(inventory, host));
    let wait = Problem { severity: Severity::Warning, ..error(REBOOT, message).help(help) };
    // Better known before the reboot than after.
    let lacking = boots.kernel.contains("CONFIG_MEMCG_V1 is not set");
    [wait].into_iter().chain(lacking.then(|| no_memory(flag("isolation")))).collect()
}

/// A kernel that has cgroup v1, but for the controller of memory.
///
/// Source: `CONFIG_MEMCG_V1` is not set in Debian 13's kernel (linux-config-6.12 6.12.118-1); without it the
/// controller has no v1 hierarchy from Linux 6.11 on.
fn no_memory<'a>(mut isolation: impl Iterator<Item = &'a str>) -> Problem {
    let name = "no-memory-limit";
    let kernel = "this host's kernel has no cgroup v1 `memory` (Debian 13's has none)";
    if isolation.any(|it| matches!(it.trim(), "cgroups/mem" | "cgroups/all")) {
        let message = format!("{kernel}, and `isolation` asks its agent for it");
        return error(name, message)
            .help("take cgroups/mem out of `isolation`, or take Debian 12 for agents");
    }
    let message =
        format!("{kernel}, so nothing holds executors to the memory that they were given");
    let problem = error(name, message)
        .help("offer less memory than the host has, or take Debian 12 for agents");
    Problem { severity: Severity::Warning, ..problem }
}

/// What reboots a host: never done by us, for only its owner knows what else runs there.
fn reboot(inventory: &Inventory, host: &HostName) -> String {
    let root = inventory.hosts.get(host).is_some_and(|it| it.ssh.become_root);
    format!("`provision ssh {host} -- {}systemctl reboot`", if root { "sudo " } else { "" })
}

#[cfg(test)]
mod tests {
    use super::super::packages::tests::inventory;
    use super::*;

    fn said(problems: Vec<Problem>) -> Vec<(&'static str, Severity)> {
        problems.into_iter().map(|problem| (problem.name, problem.severity)).collect()
    }

    #[test]
    fn what_was_tried_is_told_from_what_was_not() {
        let says = |text: &str| said(System::read(text).problem().into_iter().collect());
        let (untried, unsupported) =
            (("untried-os", Severity::Warning), ("unsupported-os", Severity::Error));
        for (id, version, expected) in [
            ("debian", "11", vec![]),
            ("debian", "12", vec![]),
            ("debian", "13", vec![]),
            ("debian", "14", vec![untried]),
            ("debian", "10", vec![unsupported]),
            ("ubuntu", "24.04", vec![untried]),
            ("ubuntu", "20.04", vec![unsupported]),
            ("rocky", "9.3", vec![unsupported]),
        ] {
            let text = format!("ID={id}\nVERSION_ID=\"{version}\"\n");
            assert_eq!(says(&text), expected, "{text}");
        }
        assert_eq!(says(""), [unsupported]);
        assert_eq!(says("ID=debian\nVERSION_CODENAME=forky\n"), [unsupported]);
        assert_eq!(System::read("ID=debian\nVERSION_ID=\"13\"\n").debian(), Some(Debian::Trixie));
        assert_eq!(System::read("ID=ubuntu\nVERSION_ID=\"13\"\n").debian(), None);
    }

    const V1: &str = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n";
    const MEMORY: &str = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n";

    #[test]
    fn cgroup_v1_by_the_version_of_systemd() {
        let says = |more: &str, systemd: &str, mounts: &str, kernel: &str| {
            let boots = Boots { mounts, systemd, kernel };
            said(cgroups(&inventory(more), &HostName::new("a1"), &boots))
        };
        let (v1, all) = ("base: { cgroup_v1: true }\n", format!("{V1}{MEMORY}"));
        let refused = vec![("cgroup-v2", Severity::Error)];
        let waits = vec![(REBOOT, Severity::Warning)];
        for (systemd, asked, unasked) in [
            ("systemd 247 (247.3-7+deb11u8)", &waits, &refused),
            ("systemd 252 (252.39-1~deb12u1)", &waits, &refused),
            ("systemd 257 (257.13-1~deb13u1)", &waits, &refused),
            ("systemd 258 (258.1-1)", &refused, &refused),
        ] {
            let text = format!("yes\n{systemd}");
            assert_eq!(&says(v1, &text, "", ""), asked, "{systemd}");
            assert_eq!(&says("", &text, "", ""), unasked, "{systemd}");
            assert_eq!(says("", &text, &all, ""), [], "{systemd}");
        }
        // The kernel of Debian 13, before its reboot and after.
        let trixie = "yes\nsystemd 257 (257.13-1~deb13u1)";
        let limits = ("no-memory-limit", Severity::Warning);
        let kernel = "# CONFIG_MEMCG_V1 is not set";
        assert_eq!(says(v1, trixie, "", kernel), [waits[0], limits]);
        assert_eq!(says(v1, trixie, V1, kernel), [limits]);
        assert_eq!(says(v1, trixie, &all, "CONFIG_MEMCG_V1=y"), []);
    }

    #[test]
    fn isolation_that_the_kernel_lacks_is_an_error() {
        let found = |isolation: &str| no_memory(isolation.split(',')).severity;
        assert_eq!(found("cgroups/cpu,cgroups/mem"), Severity::Error);
        assert_eq!(found("cgroups/cpu"), Severity::Warning);
    }
}

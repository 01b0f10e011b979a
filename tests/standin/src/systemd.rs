//! `--systemd_enable_support` (the default): executors are to live in a slice of their own, which
//! needs systemd's cgroup v1 hierarchy. In containers it is somewhere else, and the agent ends.
//! Source: src/linux/systemd.cpp at 1.11.0; text as recorded.

use std::path::Path;
use std::process::Command;

use crate::flags::Flags;
use crate::log;

const SLICE: &str = "mesos_executors.slice";

/// Starts the slice and looks for its cgroup, or ends the agent.
pub(crate) fn initialize(flags: &Flags) {
    let units = Path::new(flags.text("systemd_runtime_directory").unwrap_or("/run/systemd/system"));
    // Without systemd as init the real agent skips all this too.
    if !flags.is_set("systemd_enable_support") || !Path::new("/run/systemd/system").exists() {
        return;
    }
    let fail = |reason: &str| -> ! {
        log::exit_with("main.cpp:677", &format!("Failed to initialize systemd: {reason}"))
    };
    let unit = units.join(SLICE);
    if !unit.exists() {
        let text = "[Unit]\nDescription=Mesos Executors Slice\n";
        if let Err(error) = std::fs::write(&unit, text) {
            fail(&format!("Failed to write systemd slice `{}`: {error}", unit.display()));
        }
        log::info("systemd.cpp:309", &format!("Created systemd slice: `{}`", unit.display()));
        systemctl(&["daemon-reload"]);
    }
    if !systemctl(&["start", SLICE]) {
        fail(&format!("Failed to start systemd slice `{SLICE}`"));
    }
    log::info("systemd.cpp:330", &format!("Started systemd slice `{SLICE}`"));
    let hierarchy = flags.text("cgroups_hierarchy").unwrap_or("/sys/fs/cgroup");
    if !Path::new(hierarchy).join("systemd").join(SLICE).is_dir() {
        fail(&format!(
            "Failed to locate systemd cgroups hierarchy: '{SLICE}' is not a valid cgroup"
        ));
    }
}

fn systemctl(arguments: &[&str]) -> bool {
    Command::new("systemctl").args(arguments).status().is_ok_and(|status| status.success())
}

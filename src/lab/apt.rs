//! How this machine gets Debian's packages: a twin's hosts get theirs the same way, whatever their release.

use std::collections::BTreeSet;
use std::process::Stdio;

use tokio::process::Command;

use crate::ground::Debian;

/// Where Debian (and so mmdebstrap's result) keeps its keys.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What a host of one release tells its apt.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Apt {
    /// One-line sources; none to leave the base's own.
    pub(super) sources: String,
    /// apt.conf lines.
    pub(super) settings: String,
}

impl Apt {
    pub(super) async fn of_this_machine(release: Debian) -> Apt {
        let format = "$(ORIGIN)|$(CODENAME)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)";
        let targets = ["indextargets", "--format", format, "Created-By: Packages"];
        let targets = output_of("apt-get", &targets).await;
        let dump = output_of("apt-config", &["dump"]).await;
        Apt { sources: sources(&targets, release), settings: settings(&dump) }
    }
}

/// An archive: its address, its suite and its component.
type Archive = (String, String, String);

/// Debian's own archives among what apt fetches from, for a release; nothing where there are none, as on a machine
/// that is no Debian: then the base keeps the sources that it came with.
fn sources(targets: &str, release: Debian) -> String {
    let archives: BTreeSet<(&str, Archive)> = targets
        .lines()
        .filter_map(|line| match line.split('|').collect::<Vec<_>>().as_slice() {
            ["Debian", codename, uri, suite, component] if uri.starts_with("http") => {
                Some((*codename, (uri.to_string(), suite.to_string(), component.to_string())))
            }
            _ => None,
        })
        .collect();
    let suite = release.suite();
    let ours = archives.iter().filter(|(codename, _)| codename.starts_with(suite));
    let mut found: BTreeSet<Archive> = ours.map(|(_, archive)| archive.clone()).collect();
    // A part of them would do worse than none: updates without the release they update.
    let whole = |found: &BTreeSet<Archive>| {
        found.iter().any(|(_, name, component)| name == suite && component == "main")
    };
    if !whole(&found) {
        found = of_another_release(&archives, suite);
    }
    if !whole(&found) {
        return String::new();
    }
    let line = |(uri, suite, component): &Archive| {
        format!("deb [signed-by={KEYRING}] {uri} {suite} {component}\n")
    };
    found.iter().map(line).collect()
}

/// The same archives of the machine's own release, asked for another one: a mirror holds every release that Debian
/// supports. What not every release has (backports, components but `main`) is left out.
fn of_another_release(archives: &BTreeSet<(&str, Archive)>, suite: &str) -> BTreeSet<Archive> {
    let main = |(_, (_, _, component)): &&(&str, Archive)| component == "main";
    let whole =
        |(codename, (_, name, _)): &&(&str, Archive)| codename == name && !name.contains('-');
    let own = archives.iter().filter(main).find(whole);
    let Some((own, _)) = own else { return BTreeSet::new() };
    let part = |name: &str| match name.strip_prefix(own)? {
        part @ ("" | "-updates" | "-security") => Some(format!("{suite}{part}")),
        _ => None,
    };
    archives
        .iter()
        .filter(main)
        .filter_map(|(_, (uri, name, component))| {
            Some((uri.clone(), part(name)?, component.clone()))
        })
        .collect()
}

/// What a machine behind a proxy, or with a frozen mirror, must tell its apt.
fn settings(dump: &str) -> String {
    const CARRIED: [&str; 5] = [
        "Acquire::http::Proxy ",
        "Acquire::https::Proxy ",
        "Acquire::Check-Valid-Until ",
        "Acquire::Check-Date ",
        "Acquire::Retries ",
    ];
    let mut text = String::from("Acquire::Languages \"none\";\n");
    for line in dump.lines().filter(|line| CARRIED.iter().any(|key| line.starts_with(key))) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// What a command printed; nothing where it is missing or fails.
async fn output_of(program: &str, args: &[&str]) -> String {
    let Ok(program) = which::which(program) else { return String::new() };
    match Command::new(program).args(args).stdin(Stdio::null()).output().await {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGETS: &str = "Debian|bookworm|http://mirror.example/debian/|bookworm|main\n\
        Debian|bookworm|http://mirror.example/debian/|bookworm|main\n\
        Debian|bookworm|http://mirror.example/debian/|bookworm|contrib\n\
        Debian|bookworm-updates|http://mirror.example/debian/|bookworm-updates|main\n\
        Debian|bookworm-backports|http://mirror.example/debian/|bookworm-backports|main\n\
        Debian|bookworm-security|http://security.example/|bookworm-security|main\n\
        Debian|bookworm|file:/srv/debian|bookworm|contrib\n\
        Other|bookworm|http://other.example/|bookworm|main\n";

    fn lines(rest: &[&str]) -> String {
        rest.iter().map(|rest| format!("deb [signed-by={KEYRING}] {rest}\n")).collect()
    }

    #[test]
    fn sources_are_debians_own_and_once_each() {
        let expected = lines(&[
            "http://mirror.example/debian/ bookworm contrib",
            "http://mirror.example/debian/ bookworm main",
            "http://mirror.example/debian/ bookworm-backports main",
            "http://mirror.example/debian/ bookworm-updates main",
            "http://security.example/ bookworm-security main",
        ]);
        assert_eq!(sources(TARGETS, Debian::Bookworm), expected);
        // A machine may fetch from another release beside its own.
        let more = format!("{TARGETS}Debian|trixie|http://mirror.example/debian/|trixie|main\n");
        assert_eq!(sources(&more, Debian::Bookworm), expected);
        assert_eq!(
            sources(&more, Debian::Trixie),
            lines(&["http://mirror.example/debian/ trixie main"])
        );
    }

    #[test]
    fn another_release_comes_from_the_machines_own_mirror() {
        assert_eq!(
            sources(TARGETS, Debian::Bullseye),
            lines(&[
                "http://mirror.example/debian/ bullseye main",
                "http://mirror.example/debian/ bullseye-updates main",
                "http://security.example/ bullseye-security main",
            ])
        );
    }

    #[test]
    fn without_debians_own_sources_the_base_keeps_its_own() {
        let other = "Ubuntu|noble|http://mirror.example/ubuntu/|noble|main\n";
        let updates = "Debian|bookworm-updates|http://mirror.example/|bookworm-updates|main\n";
        for release in Debian::ALL {
            assert_eq!(sources(other, release), "");
            assert_eq!(sources(updates, release), "", "{release}");
        }
    }

    #[test]
    fn settings_carry_proxies_and_nothing_that_is_about_this_machine() {
        let dump = "APT::Architecture \"amd64\";\nAcquire::http::Proxy \"http://p:1\";\n\
                    Acquire::http::Proxy-Auto-Detect \"/bin/x\";\nDPkg::Post-Invoke:: \"rm\";\n";
        assert_eq!(
            settings(dump),
            "Acquire::Languages \"none\";\nAcquire::http::Proxy \"http://p:1\";\n"
        );
    }
}

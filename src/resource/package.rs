//! Debian packages.

use super::{Facts, Look};
use crate::script::{Fix, Probe, Sections, Step, quote, quote_all};

/// A set of Debian packages that are wanted for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packages {
    /// What the set is for.
    pub name: String,
    /// Package → version that must be installed: the upstream part must equal it.
    pub packages: Vec<(String, Option<String>)>,
    /// What `apt-get install` is given: package names, or the path of a .deb on the host.
    pub install: Vec<String>,
    /// What must be there before: a fetched .deb, a repository's key.
    pub before: Vec<Step>,
    /// Units that must not be started by the installation: masked until it is over.
    pub quiet: Vec<String>,
}

impl Packages {
    /// Packages of the host's own repositories, any version.
    pub fn named<'a>(name: &str, packages: impl IntoIterator<Item = &'a str>) -> Packages {
        let install: Vec<String> = packages.into_iter().map(str::to_owned).collect();
        Packages {
            name: name.to_owned(),
            packages: install.iter().map(|package| (package.clone(), None)).collect(),
            install,
            before: Vec::new(),
            quiet: Vec::new(),
        }
    }

    /// What is wanted.
    pub fn want(&self) -> Facts {
        Facts::from([("missing", "nothing".to_owned())])
    }

    /// Installs what is missing. Whoever else uses apt is waited for; package lists older than a day are
    /// refreshed first; an installation that was cut short is finished first. Questions about
    /// configuration files are answered with "keep", which is said: ours are written whole afterwards.
    pub fn fix(&self) -> Vec<Step> {
        let install = quote_all(self.install.iter().map(String::as_str));
        let mut script = format!("{HOLDER}{APT}");
        if !self.quiet.is_empty() {
            let units = quote_all(self.quiet.iter().map(String::as_str));
            script.push_str(&format!(
                "trap {} EXIT\nsystemctl mask --runtime -q {units}\n",
                quote(&format!("systemctl unmask --runtime -q {units}"))
            ));
        }
        script.push_str(&format!("apt_install {install}\n"));
        let mut steps = self.before.clone();
        steps.push(Step::Run(Fix::new(script)));
        steps
    }
}

/// `apt_holder` prints who holds a lock of apt's or dpkg's, and fails where nobody does. Theirs are
/// fcntl locks, which `flock` does not see; the kernel's list has inodes, which another file system may
/// have too.
pub const HOLDER: &str = r#"apt_holder() {
  for lock in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock; do
    inode=$(stat -c %i "$lock" 2>/dev/null) || continue
    pids=$(awk -v end=":$inode" '$2 != "->" && substr($6, length($6) - length(end) + 1) == end { print $5 }' /proc/locks)
    for pid in $pids; do
      [ -n "$(find "/proc/$pid/fd" -lname "$lock" 2>/dev/null)" ] || continue
      printf '%s (pid %s)\n' "$(cat "/proc/$pid/comm")" "$pid"
      return 0
    done
  done
  return 1
}
"#;

/// How a line begins that says which configuration file of the user's was kept.
pub const KEPT: &str = "kept ";

const APT: &str = r#"export DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none NEEDRESTART_MODE=l
apt() {
  apt-get -y -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
    -o Dpkg::Use-Pty=0 --no-install-recommends "$@"
}
apt_wait() {
  n=0
  while holder=$(apt_holder); do
    [ $n -gt 0 ] || say "waiting for apt, which is in use by $holder"
    n=$((n + 1)); [ $n -le 300 ] || die "apt has been in use by $holder for 5 minutes; wait for its end, or stop it"
    sleep 1
  done
}
apt_install() {
  apt_wait
  mark=$(mktemp)
  dpkg --configure -a
  fresh=$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mtime -1 2>/dev/null | head -n 1)
  newest=$(find /etc/apt/sources.list /etc/apt/sources.list.d -newer /var/lib/apt/lists/partial 2>/dev/null | head -n 1)
  if [ -z "$fresh" ] || [ -n "$newest" ]; then apt update; fi
  apt --allow-downgrades install "$@" || { apt update; apt --allow-downgrades -f install "$@"; }
  find /etc -name '*.dpkg-dist' -cnewer "$mark" | while read -r new; do say "kept ${new%.dpkg-dist} as it was; the package's is $new"; done
  rm -f "$mark"
}
"#;

/// One `dpkg-query` for every package of a host. `dpkg` itself is asked too: it names the architecture.
pub fn probe(all: &[&Packages]) -> Probe {
    let mut names: Vec<&str> =
        all.iter().flat_map(|set| set.packages.iter().map(|(name, _)| name.as_str())).collect();
    names.push("dpkg");
    names.sort_unstable();
    names.dedup();
    Probe::new(
        "packages",
        format!(
            "dpkg-query -W -f '${{Package}} ${{db:Status-Status}} ${{Version}} ${{Architecture}}\\n' {} 2>/dev/null",
            quote_all(names)
        ),
    )
}

/// Facts of one set.
pub fn read(set: &Packages, sections: &Sections) -> Look {
    let Some(text) = sections.get("packages") else {
        return Look::Failed("dpkg-query gave no answer".to_owned());
    };
    if !text.lines().any(|line| line.starts_with("dpkg ")) {
        return Look::Failed("dpkg-query does not know dpkg itself; is this Debian?".to_owned());
    }
    let missing: Vec<String> = set
        .packages
        .iter()
        .filter_map(|(name, wanted)| match (installed(text, name), wanted) {
            (None, None) => Some(name.clone()),
            (None, Some(version)) => Some(format!("{name} {version}")),
            (Some(there), Some(version)) if !is_version(there, version) => {
                Some(format!("{name} {version} (there is {there})"))
            }
            _ => None,
        })
        .collect();
    let missing = if missing.is_empty() { "nothing".to_owned() } else { missing.join(", ") };
    Look::Facts(Facts::from([("missing", missing)]))
}

/// The installed version of a package, from the answer of [`probe`].
pub fn installed<'a>(answer: &'a str, package: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(package) && words.next() == Some("installed"))
            .then(|| words.next())
            .flatten()
    })
}

/// Whether Debian version `there` (`1:2.3-4`) has `wanted` as its upstream version, or is it whole.
pub fn is_version(there: &str, wanted: &str) -> bool {
    let there = there.split_once(':').map_or(there, |(_, rest)| rest);
    there == wanted
        || there.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(['-', '+', '~']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(text: &str) -> String {
        let mut set = Packages::named("mesos", ["curl"]);
        set.packages.push(("mesos".into(), Some("1.11.0".into())));
        match read(&set, &Sections::from([("packages".to_owned(), text.to_owned())])) {
            Look::Facts(facts) => facts["missing"].clone(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn removed_but_configured_is_not_installed() {
        let dpkg = "dpkg installed 1.21.22 amd64\n";
        assert_eq!(look(&format!("{dpkg}curl config-files 7.88 amd64\n")), "curl, mesos 1.11.0");
        assert_eq!(
            look(&format!("{dpkg}curl installed 7.88 amd64\nmesos installed 1.11.0-2.0.1 amd64\n")),
            "nothing"
        );
        assert_eq!(
            look(&format!("{dpkg}curl installed 7 amd64\nmesos installed 1.11.01 amd64\n")),
            "mesos 1.11.0 (there is 1.11.01)"
        );
        assert!(look("").starts_with("Failed"));
    }
}

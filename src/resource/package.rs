//! Debian packages.

use super::paths::sum;
use super::{Facts, Gap, Kind, Look, ResourceId};
use crate::ground::SecretRef;
use crate::mesos::versions::is_upstream;
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
    /// Names that are packages of their own from a release of Debian on, and come with the others before.
    pub since: Vec<(u32, String)>,
    /// What must be there before: a fetched .deb, a repository's key.
    pub before: Vec<Step>,
    /// Units that must not be started by the installation, nor by a boot after it: masked until it is over, and
    /// disabled unless they were enabled before.
    pub quiet: Vec<String>,
    /// What dpkg keeps of the files of one of them: a package that was built again may have the same version.
    pub contents: Option<Contents>,
    /// Packages that may go or be lowered for these: what the plan named, and the user allowed.
    pub may_lose: Vec<String>,
}

/// What dpkg keeps of a package's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The package.
    pub package: String,
    /// Where dpkg keeps it.
    pub list: String,
    /// The SHA-256 that it must have, as [`Debian::sums`](crate::local::packages::Debian::sums) has it.
    pub digest: String,
}

impl Contents {
    /// Of this package, with this SHA-256 in hex.
    pub fn new(package: &str, digest: String) -> Contents {
        let list = format!("/var/lib/dpkg/info/{package}.md5sums");
        Contents { package: package.to_owned(), list, digest }
    }
}

impl Packages {
    /// Packages of the host's own repositories, any version.
    pub fn named<'a>(name: &str, packages: impl IntoIterator<Item = &'a str>) -> Packages {
        let install: Vec<String> = packages.into_iter().map(str::to_owned).collect();
        Packages {
            name: name.to_owned(),
            packages: install.iter().map(|package| (package.clone(), None)).collect(),
            install,
            since: Vec::new(),
            before: Vec::new(),
            quiet: Vec::new(),
            contents: None,
            may_lose: Vec::new(),
        }
    }

    /// What apt is given, as words of the shell on the host, and the lines before in which they are found out.
    pub fn words(&self) -> (String, String) {
        let install = quote_all(self.install.iter().map(String::as_str));
        if self.since.is_empty() {
            return (String::new(), install);
        }
        let mut lines = format!("set -- {install}\n");
        for (release, name) in &self.since {
            let name = quote(name);
            let line = format!("[ \"$({RELEASE})\" -lt {release} ] || set -- \"$@\" {name}\n");
            lines.push_str(&line);
        }
        (lines, "\"$@\"".to_owned())
    }

    /// Those that are wanted on a host of such a release of Debian, each with the version that must be there.
    pub fn of(&self, release: u32) -> impl Iterator<Item = (&String, Option<&String>)> {
        let all = self.packages.iter().map(|(name, version)| (name, version.as_ref()));
        let since = self.since.iter().filter(move |(from, _)| release >= *from);
        all.chain(since.map(|(_, name)| (name, None)))
    }
}

/// Prints the number of Debian's release, 0 on anything else and where it has none yet.
const RELEASE: &str = "i=; r=; if [ -r /etc/os-release ]; then while IFS='=' read -r k v; do v=${v#\\\"}; v=${v%\\\"}; \
    case $k in ID) i=$v ;; VERSION_ID) r=${v%%.*} ;; esac; done < /etc/os-release; fi; [ \"$i\" = debian ] || r=; echo \"${r:-0}\"";

impl Kind for Packages {
    fn id(&self) -> ResourceId {
        ResourceId { kind: "packages", name: self.name.clone() }
    }

    fn want(&self) -> Facts {
        Facts::from([("missing", "nothing".to_owned())])
    }

    /// One `dpkg-query` for every package of a host. `dpkg` itself is asked too: it names the architecture.
    fn probe(all: &[&Self]) -> Probe {
        let mut names: Vec<&str> =
            all.iter().flat_map(|set| set.of(u32::MAX).map(|(name, _)| name.as_str())).collect();
        names.push("dpkg");
        names.sort_unstable();
        names.dedup();
        let mut probe = Probe::new(
            "packages",
            format!(
                "dpkg-query -W -f '${{Package}} ${{db:Status-Status}} ${{Version}} ${{Architecture}}\\n' {} 2>/dev/null",
                quote_all(names)
            ),
        );
        if all.iter().any(|set| !set.since.is_empty()) {
            probe.section("debian", RELEASE);
        }
        probe
    }

    fn sums(&self) -> Vec<&str> {
        self.contents.iter().map(|it| it.list.as_str()).collect()
    }

    fn read(&self, sections: &Sections) -> Look {
        let Some(text) = sections.get("packages") else {
            return Look::Failed("dpkg-query gave no answer".to_owned());
        };
        if !text.lines().any(|line| line.starts_with("dpkg ")) {
            return Look::Failed(
                "dpkg-query does not know dpkg itself; is this Debian?".to_owned(),
            );
        }
        let release = sections.get("debian").and_then(|text| text.trim().parse().ok());
        let mut missing: Vec<String> = self
            .of(release.unwrap_or(0))
            .filter_map(|(name, wanted)| match (installed(text, name), wanted) {
                (None, None) => Some(name.clone()),
                (None, Some(version)) => Some(format!("{name} {version}")),
                (Some(there), Some(version)) if !is_upstream(there, version) => {
                    Some(format!("{name} {version} (there is {there})"))
                }
                _ => None,
            })
            .collect();
        if let Some(Contents { package: name, list, digest }) = &self.contents
            && let Some(there) = installed(text, name)
            && missing.is_empty()
            && sum(list, sections) != Some(digest)
        {
            missing.push(format!("{name} {ANOTHER} (there is another build of {there})"));
        }
        let missing = if missing.is_empty() { "nothing".to_owned() } else { missing.join(", ") };
        Look::Facts(Facts::from([("missing", missing)]))
    }

    /// Installs what is missing, and takes nothing away for it but what the plan named. Whoever else uses apt is waited for; package lists older than a day are
    /// refreshed first; an installation that was cut short is finished first. Questions about
    /// configuration files are answered with "keep", which is said: ours are written whole afterwards.
    fn fix(&self, gaps: &[Gap]) -> Vec<Step> {
        let mut script = format!("{HOLDER}{LOSSES}{APT}");
        if !self.quiet.is_empty() {
            let units = quote_all(self.quiet.iter().map(String::as_str));
            // Nor at the next boot: Debian's maintainer scripts enable what they bring. What was enabled stays so.
            script.push_str(&format!(
                "off=\nfor u in {units}; do systemctl is-enabled -q \"$u\" 2>/dev/null || off=\"$off $u\"; done\n\
                 trap {} EXIT\nsystemctl mask --runtime -q {units}\n",
                quote(&format!(
                    "systemctl unmask --runtime -q {units}; [ -z \"$off\" ] || systemctl disable -q $off 2>/dev/null || :"
                ))
            ));
        }
        // A version that the inventory states is the wish for a lower one too, and the gap named it.
        let stated = self.packages.iter().any(|(_, version)| version.is_some());
        let lower = if stated || !self.may_lose.is_empty() { "--allow-downgrades" } else { "" };
        // apt holds a version that is there for good.
        let rebuilt = |gap: &Gap| gap.seen.as_ref().is_some_and(|seen| seen.contains(ANOTHER));
        let again = if gaps.iter().any(rebuilt) { "--reinstall" } else { "" };
        let (lines, words) = self.words();
        script.push_str(&format!(
            "may_lose={} lower={lower}\nagain={again}\n{lines}apt_install {words}\n",
            quote(&self.may_lose.join(" "))
        ));
        let mut steps = self.before.clone();
        steps.push(Step::Run(Fix::new(script)));
        steps
    }

    fn secrets(&self) -> Vec<SecretRef> {
        let fixes = self.before.iter().filter_map(|step| match step {
            Step::Run(fix) | Step::Lead(fix) | Step::Reboot(fix) => Some(fix.secrets()),
            Step::Push(_) | Step::Fetch(_) => None,
        });
        fixes.flatten().cloned().collect()
    }

    /// What was left as the user had it.
    fn result(&self, output: &str) -> String {
        output.lines().filter(|l| l.starts_with(KEPT)).map(|l| format!("{l}\n")).collect()
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

/// `apt_losses PACKAGE…` prints what installing these would take away: `remove NAME VERSION`, `lower NAME
/// FROM TO`; and what apt knows no package of: `absent NAME`. Simulated; nothing is written, not even apt's caches.
///
/// Source: apt-get(8) `--simulate`: `Remv NAME [VERSION]`, `Inst NAME [OLD] (NEW …)`; apt's `apt-private/private-cacheset.cc`:
/// `E: Unable to locate package NAME`, `E: Package 'NAME' has no installation candidate`.
pub const LOSSES: &str = r#"apt_losses() {
  LC_ALL=C apt-get -s -q -y -o Debug::NoLocking=1 -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
    --no-install-recommends --allow-downgrades install "$@" 2>&1 | while read -r what name from to rest; do
    case $what:$from in
    E::to) printf 'absent %s\n' "${rest#package }" ;;
    E::\'*) from=${from#?}; printf 'absent %s\n' "${from%?}" ;;
    Remv:*) from=${from#\[}; printf 'remove %s %s\n' "$name" "${from%\]}" ;;
    Inst:\[*)
      from=${from#\[}; from=${from%\]}; to=${to#\(}
      if dpkg --compare-versions "$to" lt "$from"; then printf 'lower %s %s %s\n' "$name" "$from" "$to"; fi ;;
    esac
  done
}
"#;

/// What is missing of a package whose version is right.
const ANOTHER: &str = "as the file has it";

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
  keep=--no-remove
  if [ -n "$may_lose" ]; then
    # What would go now may be more than what was asked about.
    apt_losses "$@" > "$mark"
    while read -r how name rest; do
      case " $may_lose absent " in
      *" $name "* | *" $how "*) ;;
      *) die "apt would $how $name $rest too, which the plan did not name; plan again" ;;
      esac
    done < "$mark"
    keep=
  fi
  fresh=$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mtime -1 2>/dev/null | head -n 1)
  newest=$(find /etc/apt/sources.list /etc/apt/sources.list.d -newer /var/lib/apt/lists/partial 2>/dev/null | head -n 1)
  if [ -z "$fresh" ] || [ -n "$newest" ]; then apt update; fi
  # shellcheck disable=SC2086 # each is a word or none
  apt $keep $lower $again install "$@" || { apt update; apt $keep $lower $again -f install "$@"; }
  find /etc -name '*.dpkg-dist' -cnewer "$mark" | while read -r new; do say "kept ${new%.dpkg-dist} as it was; the package's is $new"; done
  rm -f "$mark"
}
"#;

/// The installed version of a package, from the answer to the probe.
pub fn installed<'a>(answer: &'a str, package: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(package) && words.next() == Some("installed"))
            .then(|| words.next())
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(text: &str) -> String {
        let mut set = Packages::named("mesos", ["curl"]);
        set.packages.push(("mesos".into(), Some("1.11.0".into())));
        match set.read(&Sections::from([("packages".to_owned(), text.to_owned())])) {
            Look::Facts(facts) => facts["missing"].clone(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn what_is_a_package_of_its_own_since_a_release_is_wanted_from_then_on() {
        let since = vec![(13, "docker-cli".to_owned())];
        let set = Packages { since, ..Packages::named("docker", ["docker.io"]) };
        let missing = |release: &str, more: &str| {
            let text = format!("dpkg installed 1 amd64\n{more}");
            let said = [("packages", text), ("debian", release.to_owned())];
            let sections = said.map(|(name, text)| (name.to_owned(), text));
            match set.read(&Sections::from(sections)) {
                Look::Facts(facts) => facts["missing"].clone(),
                other => format!("{other:?}"),
            }
        };
        let docker = "docker.io installed 26.1.5 amd64\n";
        for (release, there, expected) in [
            ("12\n", "", "docker.io"),
            ("13\n", "", "docker.io, docker-cli"),
            ("13\n", docker, "docker-cli"),
            ("12\n", docker, "nothing"),
            // Ubuntu, or a Debian that has no number yet.
            ("0\n", docker, "nothing"),
            ("", docker, "nothing"),
        ] {
            assert_eq!(missing(release, there), expected, "{release:?} {there:?}");
        }
        let asked = Packages::probe(&[&set]).script("N");
        assert!(asked.contains("docker-cli") && asked.contains("/etc/os-release"), "{asked}");
        assert!(
            !Packages::probe(&[&Packages::named("x", ["y"])]).script("N").contains("os-release")
        );
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

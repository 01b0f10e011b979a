//! What a host is asked, and what its answer says. No secret leaves the host: of files of credentials only
//! the principals are taken; passwords in URLs and what JSON calls a secret are blotted out where they stand, and of
//! Spark's files and of variables whatever is called one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::health::{self, Question};
use crate::mesos::flags::Component;
use crate::mesos::process::{self, Flags};
use crate::script::{FOREIGN_BYTES, Probe, Sections};

/// A host as it answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// As it was named.
    pub asked: String,
    /// What it calls itself.
    pub own_name: String,
    /// Its addresses, the one that was connected to first.
    pub addresses: Vec<IpAddr>,
    /// Text by path.
    pub files: BTreeMap<String, String>,
    /// Principals by file of credentials.
    pub principals: BTreeMap<String, Vec<String>>,
    /// Daemons that run.
    pub processes: Vec<Process>,
    /// Version by installed package.
    pub packages: BTreeMap<String, String>,
    /// Names of Docker's images.
    pub images: BTreeSet<String>,
    /// Spark's directories, with the first line of RELEASE.
    pub sparks: BTreeMap<String, String>,
}

/// A daemon that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// Its command line.
    pub words: Vec<String>,
    /// `MESOS_*` of its environment.
    pub environment: Vec<String>,
    /// The file that runs.
    pub program: String,
    /// Its unit, without `.service`; empty for none.
    pub unit: String,
    /// The file of its unit.
    pub unit_file: String,
    /// The package that its program belongs to.
    pub package: String,
}

impl Process {
    /// The last part of what it was started as, or a class of Java's.
    fn is(&self, name: &str) -> bool {
        let first = self.words.first().map_or("", String::as_str);
        let base = first.rsplit('/').next().unwrap_or(first);
        let class = |word: &String| word.rsplit('.').next() == Some(name);
        base == name || (base == "java" && self.words.iter().any(class))
    }

    /// The directory below which a daemon of Mesos was installed that no package brought: `/usr/local` of
    /// `/usr/local/sbin/mesos-master`.
    pub fn built(&self) -> Option<&str> {
        let first = self.words.first().filter(|_| self.package.is_empty())?;
        let (directory, _) = first.rsplit_once('/')?;
        directory.strip_suffix("/sbin").or_else(|| directory.strip_suffix("/bin"))
    }

    /// The flags of a daemon of Mesos.
    pub fn flags(&self, component: Component) -> Flags {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let environment: Vec<&str> = self.environment.iter().map(String::as_str).collect();
        process::given(component, &words, &environment)
    }
}

impl Machine {
    /// The process of one of these names.
    pub fn process(&self, names: &[&str]) -> Option<&Process> {
        self.processes.iter().find(|process| names.iter().any(|name| process.is(name)))
    }

    /// The master that runs.
    pub fn master(&self) -> Option<&Process> {
        self.process(&["mesos-master"])
    }

    /// The agent that runs.
    pub fn agent(&self) -> Option<&Process> {
        self.process(&["mesos-slave", "mesos-agent"])
    }

    /// The server of ZooKeeper that runs.
    pub fn server(&self) -> Option<&Process> {
        self.process(&["QuorumPeerMain"])
    }

    /// The configuration that its ZooKeeper was started with.
    pub fn zoo_cfg(&self) -> Option<(&str, &str)> {
        let path = self.server()?.words.last()?;
        Some((path, self.files.get(path)?))
    }
}

/// One question for everything.
pub fn probe() -> Probe {
    Probe::new("adopt", SCRIPT.replace("MOST", &FOREIGN_BYTES.to_string()))
}

/// What masters are asked, one by one.
pub fn questions(machine: &Machine) -> Vec<Question> {
    let Some(master) = machine.master() else { return Vec::new() };
    let flags = master.flags(Component::Master);
    let port = flags.get("port").map_or("5050", String::as_str);
    let address = flags.get("ip").cloned();
    let address = address.or_else(|| Some(machine.addresses.first()?.to_string()));
    let Some(address) = address else { return Vec::new() };
    let url = |path: &str| Question::Http(format!("http://{address}:{port}{path}"));
    ["/slaves", "/weights", "/quota", "/metrics/snapshot", "/version"].map(url).to_vec()
}

/// The probe of [`questions`].
pub fn ask_master(machine: &Machine) -> Probe {
    health::probe(&questions(machine))
}

/// Each record is a line that names it, its bytes in hexadecimal, and `=`. Whose file a process of another user runs
/// not even root can see without CAP_SYS_PTRACE, as in a container; that it runs, anybody can.
const SCRIPT: &str = r#"r() { k=$1; shift; printf '%s\n' "$k"; "$@" 2>/dev/null | hush | od -A n -v -t x1 -N MOST; echo '='; }
hush() {
  sed -E 's,(://[^:/"[:space:]]*:)[^/"[:space:]]*@,\1<secret>@,g
    s/("(auth|password|secret|token|identitytoken)"[[:space:]]*:[[:space:]]*")[^"]*/\1<secret>/g
    s/(-D[^=[:space:]]*(secret|password|token)=)[^\x00]*/\1<secret>/g'
}
f() {
  for i in "$@"; do
    case $i in *[[:cntrl:]]*) continue ;; esac
    if [ -f "$i" ] && [ -r "$i" ]; then r "file $i" cat "$i"; fi
  done
}
blot() { sed -E 's/^([[:space:]]*(export[[:space:]]+)?[^[:space:]=:]*([Ss][Ee][Cc][Rr][Ee][Tt]|[Pp][Aa][Ss][Ss]|[Tt][Oo][Kk][Ee][Nn]|[Cc][Rr][Ee][Dd][Ee][Nn]|[Kk][Ee][Yy])[^[:space:]=:]*)[[:space:]=:].*/\1 <secret>/' "$1"; }
principals() {
  if grep -aq '"principal"' "$1"; then grep -aoE '"principal"[[:space:]]*:[[:space:]]*"[^"]*"' "$1"
  else awk 'NF == 2 { print "\"principal\": \"" $1 "\"" }' "$1"; fi
}
r name uname -n
r connection printenv SSH_CONNECTION
r addresses hostname -I
r packages dpkg-query -W -f '${Package} ${db:Status-Status} ${Version}\n'
f /etc/mesos/* /etc/mesos-master/* /etc/mesos-master/*/* /etc/mesos-slave/* /etc/mesos-slave/*/* \
  /etc/mesos-agent/* /etc/mesos-agent/*/* /etc/docker/daemon.json
for i in /etc/default/mesos /etc/default/mesos-master /etc/default/mesos-slave /etc/default/mesos-agent; do
  if [ -f "$i" ]; then r "file $i" blot "$i"; fi
done
for c in $(sed -n 's,^file://,,p' /etc/mesos-master/credentials /etc/mesos-slave/credential /etc/mesos-agent/credential 2>/dev/null) \
  $(cat /etc/mesos-master/credentials /etc/mesos-slave/credential /etc/mesos-agent/credential 2>/dev/null | grep '^/'); do
  if [ -f "$c" ]; then r "principals $c" principals "$c"; fi
done
for c in $(grep -alE 'mesos-(master|slave|agent)|QuorumPeerMain|dockerd|MesosClusterDispatcher|ExternalShuffleService|HistoryServer' /proc/[0-9]*/cmdline 2>/dev/null); do
  p=${c#/proc/}; p=${p%/cmdline}
  [ -d "/proc/$p" ] || continue
  r "process $p" cat "$c"
  r "environment $p" grep -az ^MESOS_ "/proc/$p/environ"
  exe=$(readlink "/proc/$p/exe" 2>/dev/null) || exe=
  if [ -n "$exe" ]; then
    r "program $p" printf %s "$exe"
    r "owner $p" dpkg-query -S "$exe"
  fi
  u=$(sed -n 's,.*/\([^/]*\)\.service$,\1,p' "/proc/$p/cgroup" 2>/dev/null | head -n 1)
  r "unit $p" printf %s "$u"
  if [ -n "$u" ]; then r "unitfile $p" systemctl show -p FragmentPath --value "$u.service"; fi
  if grep -aq QuorumPeerMain "$c"; then
    z=$(tr '\0' '\n' < "$c" | tail -n 1)
    f "$z"
    d=$(sed -n 's/^[[:space:]]*dataDir[[:space:]]*=[[:space:]]*//p' "$z" 2>/dev/null | tail -n 1)
    if [ -f "$d/myid" ]; then r "myid" cat "$d/myid"; fi
  fi
done
if [ -e /run/docker.pid ] || [ -S /run/docker.sock ]; then
  if command -v docker >/dev/null 2>&1; then r images timeout 10 docker images --format '{{.Repository}}:{{.Tag}}'; fi
fi
seen=
for h in /opt/spark* /usr/local/spark* /usr/lib/spark* /srv/spark*; do
  [ -x "$h/bin/spark-submit" ] || continue
  h=$(readlink -f "$h")
  case " $seen " in *" $h "*) continue ;; esac
  seen="$seen $h"
  r "spark $h" head -n 1 "$h/RELEASE"
  for i in spark-defaults.conf spark-env.sh; do
    if [ -f "$h/conf/$i" ]; then r "file $h/conf/$i" blot "$h/conf/$i"; fi
  done
done
"#;

/// What an answer says.
pub fn read(asked: &str, sections: &Sections) -> Machine {
    let mut machine = Machine { asked: asked.to_owned(), ..Machine::default() };
    let mut processes: BTreeMap<&str, Process> = BTreeMap::new();
    let said = sections.get("adopt").map_or("", String::as_str);
    for record in said.split_inclusive("=\n").filter_map(|text| text.strip_suffix("=\n")) {
        let Some((head, hex)) = record.split_once('\n') else { continue };
        let bytes: Vec<u8> = hex
            .split_ascii_whitespace()
            .map_while(|byte| u8::from_str_radix(byte, 16).ok())
            .collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let zeros = || text.split_terminator('\0').map(str::to_owned).collect();
        let (kind, of) = head.split_once(' ').unwrap_or((head, ""));
        let line = text.lines().next().unwrap_or("").trim().to_owned();
        match kind {
            "name" => machine.own_name = line,
            "connection" => {
                let own = line.split_whitespace().nth(2).and_then(|it| it.parse::<IpAddr>().ok());
                machine.addresses.extend(own);
            }
            "addresses" => {
                let all = text.split_whitespace().filter_map(|it| it.parse::<IpAddr>().ok());
                machine.addresses.extend(all.filter(IpAddr::is_ipv4));
            }
            "packages" => {
                machine.packages = text
                    .lines()
                    .filter_map(|line| {
                        let mut words = line.split_whitespace();
                        let (name, status) = (words.next()?, words.next()?);
                        (status == "installed")
                            .then(|| Some((name.into(), words.next()?.into())))?
                    })
                    .collect();
            }
            "file" => drop(machine.files.insert(of.to_owned(), text)),
            "myid" => drop(machine.files.insert("myid".to_owned(), text)),
            "principals" => {
                let names = text.lines().filter_map(|line| line.rsplit('"').nth(1));
                machine.principals.insert(of.to_owned(), names.map(str::to_owned).collect());
            }
            "process" => processes.entry(of).or_default().words = zeros(),
            "environment" => processes.entry(of).or_default().environment = zeros(),
            "program" => processes.entry(of).or_default().program = line,
            "unit" => processes.entry(of).or_default().unit = line,
            "unitfile" => processes.entry(of).or_default().unit_file = line,
            "owner" => {
                let owner = line.split([':', ',']).next().unwrap_or("").to_owned();
                processes.entry(of).or_default().package = owner;
            }
            "images" => {
                let named = text.lines().filter(|line| !line.contains("<none>"));
                machine.images = named.map(str::to_owned).collect();
            }
            "spark" => drop(machine.sparks.insert(of.to_owned(), line)),
            _ => {}
        }
    }
    let daemons = [
        "mesos-master",
        "mesos-slave",
        "mesos-agent",
        "QuorumPeerMain",
        "dockerd",
        "MesosClusterDispatcher",
        "ExternalShuffleService",
        "HistoryServer",
    ];
    machine.processes = processes.into_values().collect();
    machine.processes.retain(|process| daemons.iter().any(|name| process.is(name)));
    machine
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// What is told of a text, by the script's own functions in a shell.
    fn told(text: &str) -> String {
        let (functions, _) = SCRIPT.split_once("\nf() {").unwrap();
        let script = functions.replace("MOST", &FOREIGN_BYTES.to_string());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        std::fs::write(&file, text).unwrap();
        let ask = format!("{script}\nr 'file /x' cat {}", file.display());
        let said = Command::new("sh").args(["-c", &ask]).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        read("h", &Sections::from([("adopt".to_owned(), said)])).files["/x"].clone()
    }

    #[test]
    fn no_secret_leaves_a_host() {
        for (text, wanted) in [
            ("zk://u:p@ss:w@h1:2181,h2:2181/mesos\n", "zk://u:<secret>@h1:2181,h2:2181/mesos\n"),
            ("http://u:p@proxy:3128", "http://u:<secret>@proxy:3128"),
            (r#"{"auths": {"r": {"auth": "dTpw"}}}"#, r#"{"auths": {"r": {"auth": "<secret>"}}}"#),
            (r#"{"password":"p","b":"c"}"#, r#"{"password":"<secret>","b":"c"}"#),
            ("java\0-Da.secret=x y\0-Db=c\0", "java\0-Da.secret=<secret>\0-Db=c\0"),
            ("--zk=zk://u:p@h:1/m\0--ip=1\0", "--zk=zk://u:<secret>@h:1/m\0--ip=1\0"),
        ] {
            assert_eq!(told(text), wanted);
        }
        for same in [
            "zk://h1:2181,h2:2181/mesos\n",
            r#"{"a": "http://h:80", "mail": "x@y"}"#,
            "--credentials=/etc/c\0--acls=file:///a\0",
            "rack:r1",
        ] {
            assert_eq!(told(same), same);
        }
    }
}

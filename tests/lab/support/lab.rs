//! A twin of inventories/demo.yaml, or of an inventory of a test's own, and the real command on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::prepared;

/// A twin; gone when dropped.
pub(crate) struct Lab {
    cluster: &'static str,
    root: PathBuf,
    inventory: PathBuf,
    sets: Mutex<Vec<String>>,
    addresses: Mutex<BTreeMap<String, String>>,
}

/// Java's options for who lives for seconds on a machine with few cores.
const BRIEF_JVM: &str = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC";

/// What a command said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Lab {
    /// Bare hosts of inventories/demo.yaml under another name.
    pub(crate) fn up(cluster: &'static str) -> Lab {
        Lab::demo(cluster, &[]).bare(&[])
    }

    /// Hosts of an inventory that has this too, before what every twin needs, with everything installed already:
    /// for tests that are not about installing.
    pub(crate) fn with(cluster: &'static str, more: &[&str]) -> Lab {
        let lab = Lab::demo(cluster, more);
        if std::env::var_os("TWIN").is_some() {
            return lab;
        }
        // Drivers and executors that live for seconds: what they would compile well is compiled for nothing.
        for who in ["driver", "executor"] {
            lab.keep(&[&format!("spark.defaults.spark.{who}.extraJavaOptions={BRIEF_JVM}")]);
        }
        let image = prepared::image(&lab);
        let lab = lab.bare(&["--image", &image]);
        prepared::fill(&lab);
        lab
    }

    pub(super) fn demo(cluster: &'static str, more: &[&str]) -> Lab {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf();
        let deb = stand_in(&root, "mesos-standin", "");
        let mut sets: Vec<String> = more.iter().map(|set| (*set).to_owned()).collect();
        sets.push(format!("cluster={cluster}"));
        sets.extend(mesos(&root, &deb));
        sets.extend([
            spark(),
            // The twin gives every secret a value of its own.
            "mesos.credentials.agent.principal=agent".to_owned(),
            "mesos.credentials.agent.secret.env=NOT_READ".to_owned(),
            "mesos.credentials.framework.principal=spark".to_owned(),
            "mesos.credentials.framework.secret.env=NOT_READ".to_owned(),
        ]);
        let inventory = root.join("inventories/demo.yaml");
        Lab { cluster, root, inventory, sets: Mutex::new(sets), addresses: Mutex::default() }
    }

    /// Bare hosts of an inventory of a test's own, and of this more, with a release of Debian.
    pub(crate) fn of_debian(cluster: &'static str, debian: &str, text: &str, more: &[&str]) -> Lab {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf();
        // Linked against the oldest C library it runs with all of them.
        let deb = stand_in(&root, "mesos-standin-bullseye", "STANDIN_SUITE=bullseye");
        let inventory = root.join(".cache").join(format!("{cluster}.yaml"));
        std::fs::write(&inventory, format!("version: 1\ncluster: {cluster}\n{text}")).unwrap();
        let mut sets: Vec<String> = mesos(&root, &deb).into();
        sets.extend(more.iter().map(|set| (*set).to_owned()));
        let (sets, addresses) = (Mutex::new(sets), Mutex::default());
        Lab { cluster, root, inventory, sets, addresses }.bare(&["--debian", debian])
    }

    pub(super) fn bare(self, more: &[&str]) -> Lab {
        if std::env::var_os("TWIN").is_none() {
            step("bare hosts");
            let up = self.command("lab", &["reset"], more);
            assert_eq!(up.code, 0, "{up:?}");
        }
        self
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// From now on this is in the inventory.
    pub(crate) fn keep(&self, sets: &[&str]) {
        self.sets.lock().unwrap().extend(sets.iter().map(|set| (*set).to_owned()));
    }

    /// From now on nothing that begins so is in the inventory.
    pub(crate) fn forget(&self, path: &str) {
        self.sets.lock().unwrap().retain(|set| !set.starts_with(path));
    }

    pub(crate) fn run(&self, command: &str, more: &[&str]) -> Ran {
        self.command(command, &[], &[&["--lab"], more].concat())
    }

    /// A command that is about one host.
    pub(crate) fn of_host(&self, command: &str, host: &str, more: &[&str]) -> Ran {
        self.command(command, &[host], &[&["--lab"], more].concat())
    }

    pub(crate) fn command(&self, command: &str, sub: &[&str], more: &[&str]) -> Ran {
        let began = Instant::now();
        let output = self.process(command, sub, more).output().unwrap();
        println!("   {command} {} ({:.1} s)", more.join(" "), began.elapsed().as_secs_f64());
        ran(&output)
    }

    /// A command that goes on while the test does.
    pub(crate) fn start(&self, command: &str, more: &[&str]) -> Child {
        let mut process = self.process(command, &[], &[&["--lab"], more].concat());
        println!("   {command} {} &", more.join(" "));
        process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn process(&self, command: &str, sub: &[&str], more: &[&str]) -> Command {
        let mut process = Command::new(env!("CARGO_BIN_EXE_provision"));
        process.arg(command).args(sub).current_dir(&self.root).env("LC_ALL", "C.UTF-8");
        // Whose own argument is something else takes the inventory by name.
        process.args((command == "diagnose").then_some("-i")).arg(&self.inventory);
        for set in self.sets.lock().unwrap().iter() {
            process.args(["-e", set]);
        }
        process.args(more);
        process
    }

    /// The hosts that there are.
    pub(super) fn hosts(&self) -> Vec<String> {
        let status = self.command("lab", &["status"], &[]);
        status.out.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
    }

    /// The address of a host, which it keeps.
    pub(crate) fn address(&self, host: &str) -> String {
        let mut known = self.addresses.lock().unwrap();
        let find = || {
            let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
            self.docker(&["inspect", "-f", format, &self.container(host)]).trim().to_owned()
        };
        known.entry(host.to_owned()).or_insert_with(find).clone()
    }

    pub(crate) fn container(&self, host: &str) -> String {
        format!("provision-lab-{}-{host}", self.cluster)
    }

    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        let output = Command::new("docker").args(arguments).output().unwrap();
        let ran = ran(&output);
        assert_eq!(ran.code, 0, "docker {arguments:?}: {ran:?}");
        ran.out
    }

    pub(crate) fn on(&self, host: &str, script: &str) -> String {
        self.docker(&["exec", &self.container(host), "sh", "-c", script])
    }

    /// The same of a script that may fail.
    pub(crate) fn try_on(&self, host: &str, script: &str) -> Ran {
        let container = self.container(host);
        ran(&Command::new("docker")
            .args(["exec", &container, "sh", "-c", script])
            .output()
            .unwrap())
    }

    /// The master that leads, by its own metrics.
    pub(crate) fn leader(&self) -> String {
        self.leads().expect("a master leads")
    }

    /// The same where there may be none.
    pub(crate) fn leads(&self) -> Option<String> {
        let leads = |host: &&&str| {
            let metrics = self.master_says(host, "/metrics/snapshot");
            metrics.is_some_and(|it| it.contains("\"master/elected\":1"))
        };
        let found = ["m1", "m2", "m3"].iter().find(leads)?;
        Some((*found).to_owned())
    }

    /// What a master answers: to anybody, or to whoever has what is on its host.
    fn master_says(&self, host: &str, path: &str) -> Option<String> {
        let guarded = ["mesos.tls", "mesos.credentials.operator"];
        if self.sets.lock().unwrap().iter().any(|set| guarded.iter().any(|it| set.starts_with(it)))
        {
            let script = format!(
                "k=/etc/mesos-secrets/operator.curl; [ -r $k ] || k=/dev/null; s=http; \
                 ! grep -qs SSL_ENABLED /etc/default/mesos || s=https; \
                 curl -K $k -s $s://$(cat /etc/mesos-master/ip):5050{path} || :"
            );
            return Some(self.on(host, &script));
        }
        // Not through the engine: that takes ten times as much of this machine, and most tests ask often.
        let url = format!("http://{}:5050{path}", self.address(host));
        let asked = Command::new("curl").args(["-sfm", "10", &url]).output().unwrap();
        asked.status.success().then(|| ran(&asked).out)
    }

    /// A member of the ensemble that does not lead it.
    pub(crate) fn follower(&self) -> &'static str {
        let mode = "exec 3<>/dev/tcp/127.0.0.1/2181; printf srvr >&3; cat <&3";
        let members = ["m1", "m2", "m3"];
        let follows = |host: &&&str| {
            self.docker(&["exec", &self.container(host), "bash", "-c", mode])
                .contains("Mode: follower")
        };
        members.iter().find(follows).expect("a member follows")
    }

    /// What the leading master answers; nothing while nobody leads.
    pub(crate) fn asked(&self, path: &str) -> serde_json::Value {
        let Some(leader) = self.leads() else { return serde_json::Value::Null };
        let said = self.master_says(&leader, path);
        said.and_then(|said| serde_json::from_str(&said).ok()).unwrap_or_default()
    }

    /// What the leading master lists of an agent.
    pub(crate) fn listed(&self, agent: &str) -> serde_json::Value {
        let list = self.asked("/slaves");
        let at = format!("@{}:", self.address(agent));
        let agents = list["slaves"].as_array().unwrap().iter();
        let mut mine = agents.filter(|one| one["pid"].as_str().unwrap().contains(&at));
        mine.next().cloned().unwrap_or_default()
    }

    /// The host of the agent with an id, by the attribute that every agent has.
    pub(crate) fn agent(&self, id: &str) -> String {
        let list = self.asked("/slaves");
        let kinds = ["slaves", "recovered_slaves"].map(|kind| list[kind].as_array().cloned());
        let mut all = kinds.into_iter().flatten().flatten();
        let one = all.find(|one| one["id"] == id).unwrap_or_else(|| panic!("no {id} in {list:#}"));
        one["attributes"]["provision_host"].as_str().unwrap().to_owned()
    }

    /// Every file of the directories that anything of ours could write to, with its time and size.
    pub(crate) fn trees(&self) -> Vec<String> {
        let list = "find /etc /opt /usr/local /var /root /home /run/provision -xdev \
             -not -path '/var/log/journal/*' -not -path '/var/log/*tmp*' -not -path '/var/log/lastlog' \
             -not -path '/var/log/mesos/*' -not -path '/var/lib/mesos/*' -not -path '/var/lib/zookeeper/*' \
             -not -path '/var/lib/docker/*' -not -path '/var/lib/containerd/*' -not -path '/var/lib/systemd/*' \
             -not -path '/var/lib/sudo/*' -not -path '/var/cache/*' -type f -printf '%p %s %C@\\n' 2>/dev/null | sort";
        ["m1", "a1", "c1"].map(|host| self.on(host, list)).to_vec()
    }

    /// Waits until a container that was started again answers, and all that runs on it serves.
    pub(crate) fn settle(&self) {
        for _ in 0..60 {
            if self.run("status", &[]).code == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        panic!("the cluster did not come back");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A failed test's twin is worth a look.
        if std::thread::panicking() || std::env::var_os("TWIN").is_some() {
            eprintln!("the twin `{}` is left as it is", self.cluster);
            return;
        }
        let _ = self.command("lab", &["down"], &[]);
    }
}

/// Builds the package that plays Mesos, but for a twin that has it.
fn stand_in(root: &Path, name: &str, environment: &str) -> PathBuf {
    step("assets: the stand-in for Mesos");
    let cache = root.join(".cache");
    std::fs::create_dir_all(&cache).unwrap();
    let deb = cache.join(name).with_extension("deb");
    if std::env::var_os("TWIN").is_none() {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        // Whole or not at all: another process may read it meanwhile.
        let part = cache.join(format!("{name}.{}", std::process::id()));
        let (deb, part) = (deb.display(), part.display());
        let build = format!("{environment} sh tests/standin/build-deb.sh {part}");
        sh(root, &format!("{build} && mv -f {part} {deb}"));
    }
    deb
}

/// What an inventory says of the package.
fn mesos(root: &Path, deb: &Path) -> [String; 2] {
    let version = sh(root, &format!("dpkg-deb -f {} Version", deb.display()));
    [format!("mesos.version={}", version.trim()), format!("mesos.package.deb={}", deb.display())]
}

/// What an inventory says of the archive of Spark.
pub(crate) fn spark() -> String {
    step("assets: a Spark archive");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let spark = sh(root, &format!("sh tests/assets/spark.sh {}", root.join(".cache").display()));
    format!("spark.archive.path={}", spark.lines().last().unwrap().trim())
}

fn sh(root: &Path, script: &str) -> String {
    let output = Command::new("sh").args(["-c", script]).current_dir(root).output().unwrap();
    let ran = ran(&output);
    assert_eq!(ran.code, 0, "{script}: {ran:?}");
    ran.out
}

fn ran(output: &Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub(crate) fn step(what: &str) {
    println!("== {what}");
}

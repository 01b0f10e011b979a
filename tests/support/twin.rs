//! One container of our own per test, as a machine that only waits for its roles: everything that has
//! to be downloaded is in its image, so that an apply is made of configuration and restarts.
//!
//! Needs a Docker engine: `tests/assets/engine.sh` makes one answer.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use provision::inventory::HostName;
use provision::lab::{self, Engine, TwinHost, TwinSpec};
use tempfile::TempDir;

/// A machine, and the operator who looks after it: a home with a key, known hosts and an inventory.
pub(crate) struct Host {
    container: String,
    pub(crate) address: String,
    pub(crate) operator: Operator,
}

/// Whoever runs `provision`; every one has an own home and own connections.
pub(crate) struct Operator {
    pub(crate) home: TempDir,
    pub(crate) environment: Vec<(String, String)>,
}

/// What a command said.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A command that still runs.
pub(crate) struct Running {
    child: Child,
    out: Option<thread::JoinHandle<String>>,
    err: Option<thread::JoinHandle<String>>,
    lines: std::sync::mpsc::Receiver<String>,
}

/// A component's or a test's whole patience. Nothing is asserted on time: this only ends what hangs.
const PATIENCE: Duration = Duration::from_secs(180);

/// What is in the image beside a bare host: what the tasks install, nothing of what they configure.
const RECIPE: &str = "RUN apt-get update -q \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \\
        curl e2fsprogs openjdk-17-jre-headless python3 zookeeper
COPY mesos.deb /root/mesos.deb
RUN dpkg -i /root/mesos.deb && systemctl disable -q mesos-master mesos-slave
";

impl Host {
    /// A machine that runs.
    pub(crate) fn start() -> Host {
        Host::start_with(&[])
    }

    /// With more words for `docker run`.
    pub(crate) fn start_with(more: &[&str]) -> Host {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (image, number) = (image(), COUNT.fetch_add(1, Ordering::SeqCst));
        let id = std::process::id();
        // An address of its own that outlives a restart, unlike one that the engine hands out.
        let address = format!("10.214.{}.{}", id % 250 + 1, number % 250 + 2);
        let container = format!("provision-fault-{id}-{number}");
        let mut words = vec!["run", "--detach", "--name", &container, "--hostname", "h1"];
        words.extend(["--network", NETWORK, "--ip", &address, "--label", "provision.test=faults"]);
        words.extend(["--tmpfs", "/run", "--tmpfs", "/run/lock", "--cgroupns", "host"]);
        words.extend(["--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"]);
        words.extend(more);
        words.push(image);
        docker(&words);
        let host = Host { container, address, operator: Operator::new() };
        host.boot();
        let key = host.operator.key();
        let public = fs::read_to_string(key.with_extension("pub")).unwrap();
        let machine = host.sh_with(LET_IN, &public);
        let known = format!("{} {machine}", host.address);
        fs::write(host.operator.path("known_hosts"), known).unwrap();
        fs::write(host.operator.path("ssh_config"), "").unwrap();
        host.operator.write_archive();
        fs::write(host.operator.inventory(), inventory(&host.address)).unwrap();
        host
    }

    /// So many machines of one inventory, `h1` and on: each a member of the ensemble, a master and an
    /// agent. The first one's operator looks after all of them.
    pub(crate) fn start_cluster(number: usize) -> Vec<Host> {
        let hosts: Vec<Host> = (0..number).map(|_| Host::start()).collect();
        let (first, others) = hosts.split_first().unwrap();
        let (mut names, mut servers) = ("h1".to_owned(), "h1: 1".to_owned());
        let mut lines = String::new();
        let mut known = fs::read_to_string(first.operator.path("known_hosts")).unwrap();
        let public = fs::read_to_string(first.operator.key().with_extension("pub")).unwrap();
        for (n, host) in (2..).zip(others) {
            names.push_str(&format!(", h{n}"));
            servers.push_str(&format!(", h{n}: {n}"));
            lines.push_str(&format!("\n  h{n}: {{ address: {} }}", host.address));
            known.push_str(&format!("{} {}", host.address, host.sh_with(LET_IN, &public)));
        }
        fs::write(first.operator.path("known_hosts"), known).unwrap();
        let own = format!("h1: {{ address: {} }}", first.address);
        first.operator.edit(&own, &format!("{own}{lines}"));
        first.operator.edit("h1: 1", &servers);
        for task in ["masters: {", "workers: {"] {
            let hosts = format!("{task} hosts: [");
            first.operator.edit(&format!("{hosts}h1]"), &format!("{hosts}{names}]"));
        }
        hosts
    }

    /// Waits until it has booted.
    pub(crate) fn boot(&self) {
        let words =
            "systemctl is-system-running; test -e /run/nologin || ss -Hltn | grep -q ':22 '";
        self.until(&format!("{words} && case $(systemctl is-system-running) in running|degraded) ;; *) false ;; esac"));
    }

    /// Runs a script as root; it must succeed.
    pub(crate) fn sh(&self, script: &str) -> String {
        self.sh_with(script, "")
    }

    /// Puts a program before the one of this name: `REAL` in it is the path of that one.
    pub(crate) fn wrap(&self, program: &str, script: &str) {
        let real = self.sh(&format!("command -v {program}"));
        let text = script.replace("REAL", real.trim());
        let path = format!("/usr/local/sbin/{program}");
        self.sh_with(&format!("cat >{path}; chmod 755 {path}"), &format!("#!/bin/sh\n{text}\n"));
    }

    /// With something on its standard input.
    pub(crate) fn sh_with(&self, script: &str, input: &str) -> String {
        let ran = self.try_sh(script, input);
        assert_eq!(ran.code, 0, "{script}: {ran:?}");
        ran.out
    }

    /// Runs a script as root, whatever becomes of it.
    pub(crate) fn try_sh(&self, script: &str, input: &str) -> Ran {
        run(Command::new("docker").args(["exec", "-i", &self.container, "sh", "-c", script]), input)
    }

    /// Polls until a script succeeds.
    pub(crate) fn until(&self, script: &str) {
        until(script, || self.try_sh(script, "").code == 0);
    }

    /// Does something to the container.
    pub(crate) fn docker(&self, words: &[&str]) {
        docker(&[words, &[self.container.as_str()]].concat());
    }

    /// Runs `provision COMMAND inventory.yaml …`.
    pub(crate) fn run(&self, command: &str, more: &[&str]) -> Ran {
        self.operator.run(command, more)
    }

    /// Makes the tasks' configuration true, for tests that begin with a managed host.
    pub(crate) fn applied(&self, tasks: &str) {
        let ran = self.run("apply", &["-y", "-t", tasks]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }

    /// Nothing is lost: the next apply succeeds, and the one after it has nothing to do.
    pub(crate) fn converges(&self, tasks: &str) {
        let ran = self.run("apply", &["-y", "-t", tasks]);
        assert_eq!(ran.code, 0, "the next apply does not mend it: {ran:?}");
        self.is_converged(tasks);
    }

    /// An apply has nothing to do, asks nobody, and no temporary file is left behind.
    pub(crate) fn is_converged(&self, tasks: &str) {
        let ran = self.run("apply", &["-t", tasks]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.out.starts_with("No changes"), "{ran:?}");
        let left = self.sh("find /etc /opt /var/lib/provision -xdev -name '.provision.??????'");
        assert_eq!(left, "", "temporaries are left");
    }

    /// Path, owner, mode and digest of every file that the tasks manage.
    pub(crate) fn managed(&self) -> String {
        self.sh(
            "find /opt /etc/zookeeper/conf /etc/mesos /etc/mesos-master /etc/mesos-slave /etc/default/mesos* \
             /etc/systemd/system -xdev ! -path '*.wants*' -printf '%p %U:%G %m %y %l\\n' 2>/dev/null | sort; \
             find /opt /etc/zookeeper/conf/ /etc/mesos /etc/mesos-master /etc/mesos-slave /etc/default/mesos* \
             /etc/systemd/system -xdev -type f ! -path '*.wants*' -exec sha256sum {} + 2>/dev/null | sort",
        )
    }

    /// Digests of everything that an installer could touch: a refusal changes nothing.
    pub(crate) fn tree(&self) -> String {
        self.sh(
            "find /etc /opt /usr /var/lib/provision /root /home -xdev -type f ! -path '/etc/ssh/*' \
                 -printf '%p %s %T@ %m %U:%G\\n' 2>/dev/null | sort | sha256sum",
        )
    }

    /// Daemon settings of sshd, over the image's.
    pub(crate) fn sshd(&self, settings: &str) {
        // It starts itself anew, and until then is as it was.
        let listened = "journalctl -q -o cat -u ssh | grep -c '^Server listening' || :";
        let before = self.sh(listened);
        self.sh_with(
            "cat >/etc/ssh/sshd_config.d/00-test.conf; sshd -t && systemctl reload ssh",
            settings,
        );
        until("sshd listens again", || self.sh(listened) != before);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.operator.disconnect();
        if std::thread::panicking() && std::env::var_os("FAULTS_KEEP").is_some() {
            let _ = writeln!(
                std::io::stderr(),
                "{} is left as it is, and so is {:?}",
                self.container,
                self.operator.home.path()
            );
            return;
        }
        let words = ["rm", "--force", "--volumes", &self.container];
        let _ =
            Command::new("docker").args(words).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

impl Operator {
    /// Somebody new.
    pub(crate) fn new() -> Operator {
        let home = TempDir::new().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
        let environment = [
            ("HOME", path("")),
            ("XDG_RUNTIME_DIR", path("")),
            ("XDG_STATE_HOME", path("state")),
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("USER", "alice".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).into();
        Operator { home, environment }
    }

    /// A second one with the same files, and connections of their own.
    pub(crate) fn colleague(&self) -> Operator {
        let other = Operator::new();
        for name in ["id", "known_hosts", "ssh_config", "spark.tgz", "inventory.yaml"] {
            fs::copy(self.path(name), other.path(name)).unwrap();
        }
        other
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn inventory(&self) -> PathBuf {
        self.path("inventory.yaml")
    }

    /// Replaces a part of the inventory, which must be there.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.inventory()).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        fs::write(self.inventory(), text.replace(from, to)).unwrap();
    }

    /// Agents that do without Docker, whose engine needs a lab of its own.
    pub(crate) fn with_agents(&self) {
        let flags = "containerizers: mesos, launcher: posix, systemd_enable_support: false";
        self.edit("workers: {", &format!("workers: {{ flags: {{ {flags} }},"));
        let reason = "no-docker-containerizer: \"only its configuration is meant\"";
        self.edit("hosts:\n", &format!("allow: {{ {reason} }}\nhosts:\n"));
    }

    /// The private key, made where it is missing.
    pub(crate) fn key(&self) -> PathBuf {
        let path = self.path("id");
        if !path.exists() {
            keygen(&path, "");
        }
        path
    }

    /// An archive as small as one can be that is still Spark to us.
    pub(crate) fn write_archive(&self) {
        let script = "mkdir -p spark-3.5.1/bin && printf '#!/bin/sh\\necho Spark\\n' >spark-3.5.1/bin/spark-submit \
             && chmod 755 spark-3.5.1/bin/spark-submit && head -c 200000 /dev/urandom >spark-3.5.1/jar \
             && tar -czf spark.tgz spark-3.5.1 && rm -r spark-3.5.1";
        let mut command = Command::new("sh");
        let ran = run(command.args(["-c", script]).current_dir(self.home.path()), "");
        assert_eq!(ran.code, 0, "{ran:?}");
    }

    /// A command line of ours on the inventory.
    pub(crate) fn command(&self, command: &str, more: &[&str]) -> Command {
        let inventory = self.inventory();
        self.program(&[&[command, inventory.to_str().unwrap()], more].concat())
    }

    /// A command line of ours on anything.
    pub(crate) fn program(&self, words: &[&str]) -> Command {
        let mut process = Command::new(env!("CARGO_BIN_EXE_provision"));
        process.args(words).current_dir(self.home.path());
        process.env_remove("SSH_AUTH_SOCK");
        for (name, value) in &self.environment {
            process.env(name, value);
        }
        process
    }

    /// Runs `provision COMMAND inventory.yaml …` to its end.
    pub(crate) fn run(&self, command: &str, more: &[&str]) -> Ran {
        self.start(command, more).wait()
    }

    /// Starts it.
    pub(crate) fn start(&self, command: &str, more: &[&str]) -> Running {
        Running::start(&mut self.command(command, more))
    }

    /// Ends all connections that were left for the next run.
    pub(crate) fn disconnect(&self) {
        for socket in self.sockets() {
            let mut ssh = Command::new("ssh");
            ssh.arg("-S").arg(&socket).args(["-O", "exit", "x"]);
            let _ = ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }

    /// Control sockets of connections that live.
    pub(crate) fn sockets(&self) -> Vec<PathBuf> {
        use std::os::unix::fs::FileTypeExt as _;
        let Ok(entries) = fs::read_dir(self.path("provision")) else { return Vec::new() };
        let sockets = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_socket()));
        sockets.map(|entry| entry.path()).collect()
    }
}

impl Running {
    /// Starts a command whose output is read as it comes.
    pub(crate) fn start(command: &mut Command) -> Running {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        let read = |stream: Box<dyn std::io::Read + Send>,
                    sender: std::sync::mpsc::Sender<String>| {
            thread::spawn(move || {
                let mut all = String::new();
                let mut reader = BufReader::new(stream);
                let mut line = Vec::new();
                while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                    let text = String::from_utf8_lossy(&line).into_owned();
                    all.push_str(&text);
                    let _ = sender.send(text);
                    line.clear();
                }
                all
            })
        };
        let out = Some(read(Box::new(stdout), sender.clone()));
        let err = Some(read(Box::new(stderr), sender));
        Running { child, out, err, lines }
    }

    /// Waits for a line that holds all of these, on either stream.
    pub(crate) fn line(&mut self, words: &[&str]) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if words.iter().all(|word| line.contains(word)) => return line,
                Ok(_) => {}
                Err(_) => panic!("never said {words:?}: {:?}", self.take()),
            }
        }
    }

    /// The most memory that it ever had, in KiB, known once it has ended.
    pub(crate) fn peak(&self) -> thread::JoinHandle<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        thread::spawn(move || {
            let mut peak = 0;
            // A process that ended has no memory left to tell of.
            while let Ok(text) = fs::read_to_string(&path) {
                let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let Some(line) = line else { break };
                peak = line.trim().trim_end_matches(" kB").parse().unwrap_or(peak);
                thread::sleep(Duration::from_millis(20));
            }
            peak
        })
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Its end.
    pub(crate) fn wait(mut self) -> Ran {
        self.take()
    }

    fn take(&mut self) -> Ran {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > until {
                let _ = self.child.kill();
            }
            thread::sleep(Duration::from_millis(20));
        };
        let text = |stream: Option<thread::JoinHandle<String>>| {
            stream.map_or_else(String::new, |thread| thread.join().unwrap_or_default())
        };
        let (out, err) = (text(self.out.take()), text(self.err.take()));
        Ran { code: code(status), out, err }
    }
}

impl Ran {
    /// It ended so, and said all of this.
    #[track_caller]
    pub(crate) fn said(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        let all = self.all();
        for word in words {
            assert!(all.contains(word), "`{word}` is not in\n{all}");
        }
    }

    /// Both streams.
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// Runs a command to its end, with something on its standard input.
pub(crate) fn run(command: &mut Command, input: &str) -> Ran {
    let mut child = command
        .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).unwrap();
    }
    let mut stdout = child.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stdout.read_to_end(&mut bytes);
        bytes
    });
    let mut err = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut err).unwrap();
    let out = reader.join().unwrap();
    let status = child.wait().unwrap();
    Ran {
        code: code(status),
        out: String::from_utf8_lossy(&out).into_owned(),
        err: String::from_utf8_lossy(&err).into_owned(),
    }
}

/// Polls until something is true.
#[track_caller]
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "it did not come true: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// A new key pair.
pub(crate) fn keygen(path: &Path, passphrase: &str) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f"]).arg(path);
    assert!(command.stdin(Stdio::null()).status().unwrap().success());
}

/// A status as a shell tells it.
fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// One host that is everything. Its tasks are chosen with `-t`: `base,spark` is files only,
/// `zookeeper,masters` has services.
pub(crate) fn inventory(address: &str) -> String {
    format!(
        "version: 1
cluster: faults
ssh: {{ user: ops, become: true, port: 22, identity_file: ./id, known_hosts: ./known_hosts, config_file: ./ssh_config }}
hosts:
  h1: {{ address: {address} }}
zookeeper: {{ servers: {{ h1: 1 }} }}
mesos:
  version: 1.11.0
  package: {{ preinstalled: true }}
  masters: {{ hosts: [h1], flags: {{}} }}
  agents:
    workers: {{ hosts: [h1], resources: {{ cpus: 2, mem: 2GB, disk: 1GB, ports: \"[31000-32000]\" }} }}
spark:
  version: 3.5.1
  archive: {{ path: ./spark.tgz }}
  java: openjdk-17-jre-headless
  image: {{ tag: spark-mesos, base: \"debian:bookworm-slim\" }}
  defaults: {{ spark.cores.max: 2 }}
  clients: {{ hosts: [h1] }}
"
    )
}

/// Reads a public key, lets it in, prints the host key without its comment.
const LET_IN: &str = r#"set -eu
IFS= read -r key
for user in root ops; do
    home=$(getent passwd "$user" | cut -d: -f6)
    umask 077
    printf '%s\n' "$key" >"$home/.ssh/authorized_keys"
    chown "$user:" "$home/.ssh/authorized_keys"
done
cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub"#;

const NETWORK: &str = "provision-faults";

/// The image of all hosts, made where it is missing. Tests of other processes wait for it.
fn image() -> &'static str {
    static IMAGE: OnceLock<String> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let cache = root.join(".cache");
        fs::create_dir_all(&cache).unwrap();
        let lock = File::create(cache.join("faults.lock")).unwrap();
        lock.lock().unwrap();
        if !is_there(&["network", "inspect", NETWORK]) {
            docker(&["network", "create", "--subnet", "10.214.0.0/16", NETWORK]);
        }
        let deb = cache.join("mesos-standin.deb");
        if !deb.exists() {
            let mut build = Command::new("sh");
            build.current_dir(root).arg("tests/standin/build-deb.sh").arg(&deb);
            let ran = run(&mut build, "");
            assert_eq!(ran.code, 0, "{ran:?}");
        }
        let mut hash = DefaultHasher::new();
        RECIPE.hash(&mut hash);
        let mut files: Vec<PathBuf> = fs::read_dir(root.join("Dockerfiles/lab-host"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files.push(deb.clone());
        for file in files {
            fs::read(file).unwrap().hash(&mut hash);
        }
        let tag = format!("provision-faults/host:{:016x}", hash.finish());
        if !is_there(&["image", "inspect", &tag]) {
            build_image(&tag, &deb);
        }
        tag
    })
}

fn build_image(tag: &str, deb: &Path) {
    // The library's own way to a bare host; of its twin only the image is wanted.
    let cluster = format!("faults-image-{}", std::process::id());
    let name = HostName::new("h1");
    let spec =
        TwinSpec { cluster: cluster.clone(), hosts: vec![TwinHost { name, engine: Engine::None }] };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let up = runtime.block_on(lab::up(&spec, &mut |_| ()));
    let container = format!("provision-lab-{cluster}-h1");
    let base = up.map(|_| docker(&["inspect", "--format", "{{.Config.Image}}", &container]));
    let _ = runtime.block_on(lab::down(&cluster, &mut |_| ()));
    let base = base.expect("a bare host (without an engine run tests/assets/engine.sh first)");
    let context = TempDir::new().unwrap();
    fs::copy(deb, context.path().join("mesos.deb")).unwrap();
    let dockerfile = format!("FROM {}\n{RECIPE}", base.trim());
    fs::write(context.path().join("Dockerfile"), dockerfile).unwrap();
    docker(&["build", "-q", "-t", tag, context.path().to_str().unwrap()]);
}

fn is_there(words: &[&str]) -> bool {
    run(Command::new("docker").args(words), "").code == 0
}

fn docker(words: &[&str]) -> String {
    let ran = run(Command::new("docker").args(words), "");
    assert_eq!(ran.code, 0, "docker {words:?}: {ran:?}");
    ran.out
}

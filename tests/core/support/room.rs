//! A room that stands for a whole machine: a directory, a shell, and tools that only pretend.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use provision::mesos::asking::knowing;
use provision::resource::{Gap, Look, Resource, diff, probe, read};
use provision::script::{AGAIN, Fix, Probe, Sections, Step};

pub(crate) const SHELLS: [&[&str]; 4] = [&["sh"], &["dash"], &["bash"], &["busybox", "sh"]];

/// A directory that stands for a whole machine, and tools that only pretend.
pub(crate) struct Room {
    pub(crate) root: tempfile::TempDir,
    pub(crate) shell: &'static [&'static str],
}

impl Room {
    pub(crate) fn new(shell: &'static [&'static str]) -> Room {
        let root = tempfile::tempdir().unwrap();
        let room = Room { root, shell };
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/core/support/tools.sh");
        let bin = room.path("bin");
        fs::create_dir(&bin).unwrap();
        let fake = bin.join("fake");
        fs::copy(tools, &fake).unwrap();
        fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
        for name in
            ["systemctl", "apt-get", "dpkg", "dpkg-query", "getent", "useradd", "docker", "curl"]
        {
            symlink(&fake, bin.join(name)).unwrap();
        }
        room
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    pub(crate) fn text(&self, relative: &str) -> String {
        self.path(relative).to_str().unwrap().to_owned()
    }

    pub(crate) fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    pub(crate) fn fail(&self, what: &str) {
        fs::write(self.path("fail"), what).unwrap();
    }

    /// Runs a script as a host would, its fixed places moved into the room.
    pub(crate) fn run(&self, script: &str) -> Output {
        let script = script
            .replace("/var/lib/provision", &self.text("var/lib/provision"))
            .replace("/run/docker.pid", &self.text("docker.pid"));
        let file = self.path("script");
        fs::write(&file, format!("cd /\numask 022\n{script}")).unwrap();
        Command::new(self.shell[0])
            .args(&self.shell[1..])
            .arg(file)
            .env_clear()
            .env("LC_ALL", "C")
            .env(
                "PATH",
                format!(
                    "{}:{}",
                    self.text("bin"),
                    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
                ),
            )
            .env("ROOM", self.root.path())
            .env("PROVISION_BACKUP", self.path("backup"))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    pub(crate) fn ask(&self, probe: &Probe) -> Sections {
        let output = self.run(&probe.script("NONCE"));
        let text = String::from_utf8(output.stdout).unwrap();
        probe.read("NONCE", &text).unwrap_or_else(|why| panic!("{why}: {text}"))
    }

    pub(crate) fn gaps(&self, resource: &Resource) -> Vec<Gap> {
        // Stamps stand in the room too.
        let sections: Sections = self
            .ask(&probe(&[resource]))
            .into_iter()
            .map(|(name, text)| {
                (name, text.replace(&self.text("var/lib/provision"), "/var/lib/provision"))
            })
            .collect();
        match read(resource, &sections) {
            Look::Facts(facts) => diff(&resource.want(), &facts),
            other => panic!("{}: {other:?}", resource.id()),
        }
    }

    /// Runs what is said to the leading master, again while it says so.
    pub(crate) fn lead(&self, fix: &Fix) -> Output {
        let script = fix.after(&knowing("http://leader:5050")).script(|_| SECRET.to_owned());
        let mut output = self.run(&script);
        for _ in 0..3 {
            if output.status.code() == Some(AGAIN) {
                output = self.run(&script);
            }
        }
        output
    }

    /// All steps of a fix; the first that fails ends it.
    pub(crate) fn fix(&self, resource: &Resource, gaps: &[Gap]) -> Output {
        let mut last = None;
        for step in resource.fix(gaps) {
            match step {
                Step::Run(fix) | Step::Reboot(fix) => {
                    let output = self.run(&fix.script(|_| SECRET.to_owned()));
                    let failed = !output.status.success();
                    last = Some(output);
                    if failed {
                        break;
                    }
                }
                Step::Lead(fix) => {
                    let output = self.lead(&fix);
                    let failed = !output.status.success();
                    last = Some(output);
                    if failed {
                        break;
                    }
                }
                // The other host is this room too: what it makes is there.
                Step::Fetch(handed) => {
                    let output = self.run(&handed.make.script(|_| SECRET.to_owned()));
                    let failed = !output.status.success();
                    last = Some(output);
                    if failed {
                        break;
                    }
                }
                Step::Push(push) => {
                    let to = push.directory.replace("/var/lib", &self.text("var/lib"));
                    fs::copy(&push.from, Path::new(&to).join(&push.name)).unwrap();
                }
            }
        }
        last.expect("a step")
    }

    /// Gap, fix, no gap, fix, no gap.
    #[track_caller]
    pub(crate) fn settles(&self, resource: &Resource) {
        let id = resource.id();
        let gaps = self.gaps(resource);
        assert!(!gaps.is_empty(), "{:?}: {id} was right before", self.shell);
        for round in 1..=2 {
            let output = self.fix(resource, &gaps);
            assert!(output.status.success(), "{:?}: {id}: {}", self.shell, said(&output));
            // Whoever starts a service stamps it once it was found healthy.
            if let Some(stamp) = resource.stamp() {
                assert!(self.run(&stamp.script(|_| String::new())).status.success());
            }
            assert_eq!(self.gaps(resource), [], "{:?}: {id} after fix {round}", self.shell);
        }
    }

    /// With this tool failing the fix must fail, and say so.
    #[track_caller]
    pub(crate) fn fails_with(&self, tool: &str, resource: &Resource) {
        self.fail(tool);
        let gaps = self.gaps(resource);
        let output = self.fix(resource, &gaps);
        assert!(!output.status.success(), "{:?}: {}: {tool} failed", self.shell, resource.id());
        fs::remove_file(self.path("fail")).unwrap();
    }
}

pub(crate) const SECRET: &str = "hunter2's $HOME `x`";

pub(crate) fn said(output: &Output) -> String {
    format!(
        "{:?}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Does something in a fresh room for each shell that is here.
pub(crate) fn in_each_shell(what: impl Fn(&Room)) {
    for shell in SHELLS {
        if Command::new(shell[0]).arg("--help").output().is_ok() {
            what(&Room::new(shell));
        }
    }
}

pub(crate) fn me() -> (String, String) {
    let ask = |flag: &str| {
        let output = Command::new("id").arg(flag).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    (ask("-un"), ask("-gn"))
}

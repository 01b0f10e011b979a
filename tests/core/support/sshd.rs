//! An sshd of our own on a loopback port, with its own keys; gone when dropped.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// The daemon and everything a client needs to reach it.
pub(crate) struct Sshd {
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
    child: Child,
}

impl Sshd {
    /// `None` where we are not root and it could not log anybody in.
    pub(crate) async fn start(extra: &str) -> Option<Sshd> {
        let program = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].map(PathBuf::from);
        if !is_root() {
            return None;
        }
        let program = program.into_iter().find(|path| path.exists());
        let program = program.expect("there is no sshd here; run: sh tests/assets/tools.sh");
        // sshd wants its empty directory, which its unit would make.
        fs::create_dir_all("/run/sshd").ok()?;
        let dir = TempDir::new().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        keygen(&dir.path().join("host"));
        keygen(&dir.path().join("user"));
        let public = fs::read_to_string(dir.path().join("user.pub")).unwrap();
        fs::write(dir.path().join("authorized"), public).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // Of two such lines the last one counts, unlike with the others.
        let many = if extra.contains("MaxStartups") { "" } else { "MaxStartups 100" };
        let config = format!(
            "{extra}\nListenAddress 127.0.0.1\nPort {port}\nHostKey {0}/host\nPidFile none\n\
             AuthorizedKeysFile {0}/authorized\nStrictModes no\nUsePAM yes\nPrintMotd no\n\
             PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             KexAlgorithms curve25519-sha256\n{many}\n",
            dir.path().display()
        );
        fs::write(dir.path().join("sshd_config"), config).unwrap();
        fs::write(dir.path().join("ssh_config"), "").unwrap();
        let log = fs::File::create(dir.path().join("sshd.log")).unwrap();
        let child = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(dir.path().join("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let sshd = Sshd { dir, port, child };
        sshd.know_key("host");
        until(async || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        Some(sshd)
    }

    /// Writes known_hosts with a key of ours as this daemon's.
    pub(crate) fn know_key(&self, name: &str) {
        let key = fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
        fs::write(self.path("known_hosts"), format!("[127.0.0.1]:{} {key}", self.port)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Kills the processes that serve connections: what a cut wire is to the host.
    pub(crate) fn cut(&self) {
        let parent = self.child.id().to_string();
        let mut doomed = children(&parent);
        let grandchildren: Vec<String> = doomed.iter().flat_map(|pid| children(pid)).collect();
        // Of those only sshd's own: what they serve is to be left alone.
        let ours = |pid: &String| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == "sshd")
        };
        doomed.extend(grandchildren);
        doomed.retain(ours);
        assert!(!doomed.is_empty(), "nobody is connected");
        // One may already have followed the other.
        let _ = Command::new("kill").arg("-9").args(&doomed).stderr(Stdio::null()).status();
    }

    /// How many connections were let in.
    pub(crate) fn logins(&self) -> usize {
        fs::read_to_string(self.path("sshd.log")).unwrap().matches("Accepted publickey").count()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // Masters end with their connections, and those with the daemon's children.
        for pid in children(&self.child.id().to_string()) {
            let _ = Command::new("kill").arg(pid).stderr(Stdio::null()).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls until something is so.
pub(crate) async fn until(mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not come true");
}

/// A new key pair.
pub(crate) fn keygen(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success());
}

fn children(pid: &str) -> Vec<String> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0)
}

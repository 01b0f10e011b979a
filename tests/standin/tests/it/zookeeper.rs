//! A real ZooKeeper server for a test.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::{Daemon, Scratch, free_port, note, wait_for};

/// A standalone server, gone with the test.
#[derive(Debug)]
pub(crate) struct Zookeeper {
    pub(crate) place: String,
    server: Daemon,
    scratch: Scratch,
    classpath: String,
}

impl Zookeeper {
    /// Starts it, or says why it cannot be started here.
    pub(crate) fn start(ip: &str) -> Option<Zookeeper> {
        let classpath = match classpath() {
            Ok(classpath) => classpath,
            Err(reason) => {
                note(&format!("SKIPPED: {reason}"));
                return None;
            }
        };
        let scratch = Scratch::new();
        let place = format!("{ip}:{}", free_port(ip));
        let port = place.rsplit(':').next().unwrap_or_default();
        let data = scratch.path("data").display().to_string();
        // A short tick allows short sessions: failovers in seconds.
        scratch.write(
            "zoo.cfg",
            &format!(
                "tickTime=500\ndataDir={data}\nclientPort={port}\nclientPortAddress={ip}\n\
                 admin.enableServer=false\n4lw.commands.whitelist=srvr\n"
            ),
        );
        let server = launch(&scratch, &classpath);
        let zookeeper = Zookeeper { place, server, scratch, classpath };
        zookeeper.wait();
        Some(zookeeper)
    }

    pub(crate) fn stop(&mut self) {
        self.server.kill();
    }

    pub(crate) fn restart(&mut self) {
        self.server = launch(&self.scratch, &self.classpath);
        self.wait();
    }

    fn wait(&self) {
        wait_for("ZooKeeper", || {
            let mut stream = std::net::TcpStream::connect(&self.place).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
            stream.write_all(b"srvr").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            answer.contains("Mode: standalone").then_some(())
        });
    }
}

fn launch(scratch: &Scratch, classpath: &str) -> Daemon {
    let log = scratch.path("zookeeper.log");
    let file = std::fs::File::create(&log).expect("a log file");
    let child = Command::new("java")
        .args(["-Xmx128m", "-cp", classpath, "org.apache.zookeeper.server.quorum.QuorumPeerMain"])
        .arg(scratch.path("zoo.cfg"))
        .stdout(Stdio::null())
        .stderr(file)
        .spawn();
    Daemon::of(child.expect("java was found before"), &log)
}

/// The jars of Debian's package libzookeeper-java, or of the directory in STANDIN_JARS.
fn classpath() -> Result<String, String> {
    const JARS: [&str; 5] =
        ["zookeeper", "zookeeper-jute", "slf4j-api", "metrics-core", "snappy-java"];
    let directory = std::env::var("STANDIN_JARS").unwrap_or_else(|_| "/usr/share/java".to_owned());
    let jars = JARS.map(|name| format!("{directory}/{name}.jar"));
    if let Some(absent) = jars.iter().find(|jar| !std::path::Path::new(jar).exists()) {
        return Err(format!(
            "{absent} is absent; install the package zookeeper or set STANDIN_JARS"
        ));
    }
    match Command::new("java").arg("-version").output() {
        Ok(output) if output.status.success() => Ok(jars.join(":")),
        _ => Err("java does not run".to_owned()),
    }
}

//! What the tests share: daemons under their real names, and questions to them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// A directory of one test, removed with it.
#[derive(Debug)]
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("standin-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a directory for the test");
        Scratch(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, making its directory.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        let parent = path.parent().expect("a file has a directory");
        std::fs::create_dir_all(parent).expect("a directory for the file");
        std::fs::write(&path, text).expect("a file for the test");
        path.display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is only untidy.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A daemon that ends with the test; what it says goes to a file.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    pub(crate) fn start(name: &str, log: &Path, arguments: &[String]) -> Daemon {
        let file = std::fs::File::options().create(true).append(true).open(log);
        let file = file.expect("a log file");
        let child = command(name)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the daemon starts");
        Daemon { child, log: log.to_owned() }
    }

    pub(crate) fn of(child: Child, log: &Path) -> Daemon {
        Daemon { child, log: log.to_owned() }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// kill -9, by the process' own handle.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let log = self.log.clone();
        wait_for(&format!("the end of {}", log.display()), || {
            self.child.try_wait().expect("the process can be asked")
        })
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the process can be asked").is_none()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            note(&format!("--- {}\n{}", self.log.display(), self.log()));
        }
    }
}

/// Tells a reader of the tests' output, be it captured or not.
pub(crate) fn note(text: &str) {
    // Nowhere is left to tell that standard error is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The binary under one of its names, with no flags from the environment of the tests.
pub(crate) fn command(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesos-standin"));
    command.arg0(format!("/usr/sbin/{name}"));
    for (variable, _) in std::env::vars().filter(|(name, _)| name.starts_with("MESOS_")) {
        command.env_remove(variable);
    }
    command
}

/// `libmesos.so` of tests/libmesos, built here where that has not been done.
pub(crate) fn libmesos() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let package = concat!(env!("CARGO_MANIFEST_DIR"), "/../libmesos");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--locked", "--quiet", "--manifest-path"])
            .arg(format!("{package}/Cargo.toml"))
            .arg(format!("--target-dir={package}/target"))
            .status();
        assert!(built.expect("cargo starts").success(), "libmesos is not built");
        PathBuf::from(format!("{package}/target/debug/libmesos.so"))
    })
}

/// The output of a program that must end by itself; one that does not is killed and fails the test.
pub(crate) fn output_of(command: &mut Command) -> Output {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = piped.expect("the program starts");
    let begun = Instant::now();
    while child.try_wait().expect("the process can be asked").is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill().expect("it is ours");
            let output = child.wait_with_output().expect("it was killed");
            panic!("it does not end: {}", String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("it has ended")
}

/// Far more than anything here needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Polls until there is an answer.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A port that is free on this address now. Not one that the kernel hands out by itself: polling
/// such a port where nobody listens yet can connect a socket to itself, for ever.
pub(crate) fn free_port(ip: &str) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id() * 31;
    let candidates = std::iter::repeat_with(|| begin + NEXT.fetch_add(1, Ordering::Relaxed));
    let mut ports = candidates.map(|number| 10_000 + (number % 20_000) as u16);
    ports.find(|port| TcpListener::bind((ip, *port)).is_ok()).expect("the ports never end")
}

/// An answer: status, headers as text, body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub(crate) fn location(&self) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix("Location: "))
    }
}

/// Asks; `None` when nobody listens.
pub(crate) fn ask(method: &str, place: &str, path: &str, body: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(place).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.replace('\r', ""), body: body.to_owned() })
}

pub(crate) fn get(place: &str, path: &str) -> Option<Answer> {
    ask("GET", place, path, "")
}

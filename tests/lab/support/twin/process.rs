//! Programs that run, and what they said.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

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
/// That of a command, which may roll several quorums.
const RUN: Duration = Duration::from_secs(600);

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
        let until = Instant::now() + RUN;
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
        let until = Instant::now() + RUN;
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
        // Looking takes processor time from whom it waits for.
        thread::sleep(Duration::from_millis(300));
    }
}

/// A status as a shell tells it.
fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

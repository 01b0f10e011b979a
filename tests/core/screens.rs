//! A run on a terminal, a real one: `script` gives the pty, vt100 says what stands on it.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use provision::event::{Event, Outcome, Sink as _};
use provision::tasks::Task;
use provision::ui::Recorder;
use provision::ui::colour::Colour;
use provision::ui::letters::Letters;
use provision::ui::spinner::Spinner;

use super::support::events::host;

#[test]
fn a_run_on_80_columns_of_ascii() {
    let mut terminal = Terminal::open(80, "ascii");
    insta::assert_snapshot!("80_at_work", terminal.until("waiting: "));
    terminal.go_on();
    insta::assert_snapshot!("80_at_the_end", terminal.until("Pi is roughly"));
}

#[test]
fn a_run_on_200_columns_of_unicode() {
    let mut terminal = Terminal::open(200, "unicode");
    insta::assert_snapshot!("200_at_work", terminal.until("waiting: "));
    terminal.go_on();
    insta::assert_snapshot!("200_at_the_end", terminal.until("Pi is roughly"));
}

/// What the tests above run on their terminal: it is no test of its own.
#[test]
#[ignore = "draws to a terminal, for other tests"]
fn draw_a_run() {
    let unicode = std::env::var("LETTERS").is_ok_and(|it| it == "unicode");
    let letters = if unicode { Letters::Unicode } else { Letters::Ascii };
    let spinner = Spinner::on_stderr(Colour::No, letters).expect("a terminal");
    let recorder = Recorder::new("R", vec![Box::new(spinner)]);
    let agents: Vec<_> = (1..=20).map(|n| host(&format!("a{n:02}"))).collect();
    let action = |on: usize, resource: &str, why: &str| Event::ActionStarted {
        host: agents[on].clone(),
        task: Task::Agents,
        resource: resource.into(),
        why: why.into(),
    };
    let ended = |on: usize, resource: &str, outcome| Event::ActionEnded {
        host: agents[on].clone(),
        task: Task::Agents,
        resource: resource.into(),
        outcome,
        seconds: 2.0,
    };
    let wide = "service mesos-slave: restart: resources changed, and a reason so long that no terminal of eighty columns holds it";
    recorder.emit(Event::RunStarted {
        command: "apply".into(),
        cluster: "analytics".into(),
        inventory: "abc".into(),
        hosts: 20,
        version: "0.1.0".into(),
        versions: Default::default(),
    });
    for host in &agents {
        recorder.emit(Event::HostConnected { host: host.clone(), seconds: 0.1 });
    }
    recorder.emit(Event::Planned { actions: 60, hosts: 20, blocked: 0, unreachable: 0 });
    let stage =
        |title: &str, actions| Event::StageStarted { stage: title.into(), hosts: 20, actions };
    recorder.emit(stage("Docker", 2));
    for on in 0..2 {
        recorder.emit(action(on, "package docker.io", "absent"));
        recorder.emit(ended(on, "package docker.io", Outcome::Changed));
    }
    recorder.emit(stage("Mesos agents", 58));
    for on in 0..15 {
        recorder.emit(action(on, "file /etc/mesos/zk", "absent"));
    }
    recorder.emit(ended(0, "file /etc/mesos/zk", Outcome::Changed));
    let failed = Outcome::Failed { status: 1, reason: "the disk is full".into() };
    recorder.emit(ended(1, "file /etc/mesos/zk", failed));
    recorder.emit(action(0, wide, "inactive"));
    let waiting_for =
        "a01 is registered with 2 cpus, not 4; a03 is not registered with the leading master yet"
            .to_owned();
    recorder.emit(Event::GateWaiting { task: Task::Agents, hosts: agents.clone(), waiting_for });
    // The other side says when it has seen enough.
    std::io::stdin().read_exact(&mut [0]).expect("a word");
    recorder.emit(ended(0, wide, Outcome::Changed));
    recorder.emit(Event::GateEnded {
        task: Task::Agents,
        hosts: agents[..3].to_vec(),
        members: Vec::new(),
        open: true,
        seconds: 12.0,
    });
    recorder.emit(Event::RunEnded {
        changed: 4,
        failed: 1,
        skipped: 0,
        unreachable: 0,
        blocked: 0,
        exit: 3,
        seconds: 20.0,
    });
    drop(recorder);
    eprintln!("Pi is roughly the end");
}

/// A terminal on which a run is drawn.
struct Terminal {
    screen: vt100::Parser,
    columns: u16,
    said: Receiver<Vec<u8>>,
    child: Child,
    keys: ChildStdin,
}

impl Terminal {
    fn open(columns: u16, letters: &str) -> Terminal {
        const ROWS: u16 = 30;
        let own = std::env::current_exe().expect("this test");
        let own = own.to_string_lossy();
        let command = format!(
            "stty cols {columns} rows {ROWS} -echo; exec '{own}' --exact tests::screens::draw_a_run --ignored --nocapture >/dev/null"
        );
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env("LETTERS", letters)
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script, of bsdutils");
        let keys = child.stdin.take().expect("keys");
        let mut out = child.stdout.take().expect("a screen");
        let (tell, said) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut bytes) {
                if tell.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let size = |n: u16| std::num::NonZero::new(n).expect("some");
        let screen = vt100::Parser::new(size(ROWS), size(columns), 0);
        Terminal { screen, columns, said, child, keys }
    }

    /// What stands on it once it shows a text and every row was drawn since; clocks and what turns are made alike.
    fn until(&mut self, text: &str) -> String {
        const QUIET: Duration = Duration::from_secs(2);
        let mut shown = false;
        while !shown {
            let bytes = self.said.recv_timeout(Duration::from_secs(120)).expect("it is drawn");
            self.screen.process(&bytes);
            shown = self.screen.screen().contents().contains(text);
        }
        // All rows are drawn again several times a second.
        let end = std::time::Instant::now() + QUIET;
        while let Some(left) = end.checked_duration_since(std::time::Instant::now()) {
            match self.said.recv_timeout(left) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(_) => break,
            }
        }
        let rows = self.screen.screen().rows(0, self.columns).map(|row| still(&row));
        rows.collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }

    fn go_on(&mut self) {
        self.keys.write_all(b"\n").expect("it listens");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line whose clock and spinner stand still.
fn still(line: &str) -> String {
    let turns = |c: char| "-\\|/⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏".contains(c);
    let begins = line.len() - line.trim_start().len();
    let (indent, rest) = line.split_at(begins);
    let rest = match rest.strip_prefix(turns).filter(|rest| rest.starts_with(' ')) {
        Some(rest) => format!("*{rest}"),
        None => return line.trim_end().to_owned(),
    };
    let clock = rest.trim_end().rsplit(' ').next().unwrap_or_default();
    let ticks = clock.strip_suffix(['s', 'm']).is_some_and(|n| n.parse::<u32>().is_ok());
    let rest =
        if ticks { rest.trim_end().trim_end_matches(clock).trim_end() } else { rest.trim_end() };
    format!("{indent}{rest}{}", if ticks { " TIME" } else { "" })
}

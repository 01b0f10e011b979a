//! A run on a terminal, a real one: the kernel gives the pty, vt100 says what stands on it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use console::Term;
use indicatif::ProgressDrawTarget;
use provision::event::{Event, Outcome, Sink as _};
use provision::ground::HostName;
use provision::tasks::Task;
use provision::ui::Recorder;
use provision::ui::colour::Colour;
use provision::ui::letters::Letters;
use provision::ui::spinner::Spinner;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::support::events::host;

#[test]
fn a_run_on_80_columns_of_ascii() {
    let mut terminal = Terminal::open(80);
    let run = Run::at_work(&terminal, Letters::Ascii);
    insta::assert_snapshot!("80_at_work", terminal.until("waiting: "));
    run.ends();
    insta::assert_snapshot!("80_at_the_end", terminal.until("Pi is roughly"));
}

#[test]
fn a_run_on_200_columns_of_unicode() {
    let mut terminal = Terminal::open(200);
    let run = Run::at_work(&terminal, Letters::Unicode);
    insta::assert_snapshot!("200_at_work", terminal.until("waiting: "));
    run.ends();
    insta::assert_snapshot!("200_at_the_end", terminal.until("Pi is roughly"));
}

/// A run of twenty agents, two of which have a gate to wait for.
struct Run {
    recorder: Recorder,
    agents: Vec<HostName>,
    paper: File,
}

/// A reason that no terminal of eighty columns holds.
const WIDE: &str = "service mesos-slave: restart: resources changed, and a reason so long that no terminal of eighty columns holds it";

fn ended(on: &HostName, resource: &str, outcome: Outcome) -> Event {
    Event::ActionEnded {
        host: on.clone(),
        task: Task::Agents,
        resource: resource.into(),
        outcome,
        seconds: 2.0,
    }
}

impl Run {
    fn at_work(terminal: &Terminal, letters: Letters) -> Run {
        let paper = || terminal.paper.try_clone().expect("a terminal");
        let target = ProgressDrawTarget::term(Term::read_write_pair(paper(), paper()), 10);
        assert!(!target.is_hidden(), "it is no terminal");
        let spinner = Spinner::new(target, Box::new(paper()), Colour::No, letters);
        let recorder = Recorder::new("R", vec![Box::new(spinner)]);
        let agents: Vec<_> = (1..=20).map(|n| host(&format!("a{n:02}"))).collect();
        let action = |on: usize, resource: &str, why: &str| Event::ActionStarted {
            host: agents[on].clone(),
            task: Task::Agents,
            resource: resource.into(),
            why: why.into(),
        };
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
        for (on, agent) in agents.iter().enumerate().take(2) {
            recorder.emit(action(on, "package docker.io", "absent"));
            recorder.emit(ended(agent, "package docker.io", Outcome::Changed));
        }
        recorder.emit(stage("Mesos agents", 58));
        for on in 0..15 {
            recorder.emit(action(on, "file /etc/mesos/zk", "absent"));
        }
        recorder.emit(ended(&agents[0], "file /etc/mesos/zk", Outcome::Changed));
        let failed = Outcome::Failed { status: 1, reason: "the disk is full".into() };
        recorder.emit(ended(&agents[1], "file /etc/mesos/zk", failed));
        recorder.emit(action(0, WIDE, "inactive"));
        let waiting_for =
            "a01 is registered with 2 cpus, not 4; a03 is not registered with the leading master yet"
                .to_owned();
        recorder.emit(Event::GateWaiting {
            task: Task::Agents,
            hosts: agents.clone(),
            waiting_for,
        });
        Run { recorder, agents, paper: paper() }
    }

    fn ends(mut self) {
        self.recorder.emit(ended(&self.agents[0], WIDE, Outcome::Changed));
        self.recorder.emit(Event::GateEnded {
            task: Task::Agents,
            hosts: self.agents[..3].to_vec(),
            members: Vec::new(),
            open: true,
            seconds: 12.0,
        });
        self.recorder.emit(Event::RunEnded {
            changed: 4,
            failed: 1,
            skipped: 0,
            unreachable: 0,
            blocked: 0,
            exit: 3,
            seconds: 20.0,
        });
        drop(self.recorder);
        writeln!(self.paper, "Pi is roughly the end").expect("a terminal");
    }
}

/// A terminal on which a run is drawn.
struct Terminal {
    screen: vt100::Parser,
    columns: u16,
    said: Receiver<Vec<u8>>,
    /// The side that programs have.
    paper: File,
}

impl Terminal {
    fn open(columns: u16) -> Terminal {
        const ROWS: u16 = 30;
        let glass = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pty");
        grantpt(&glass).and_then(|()| unlockpt(&glass)).expect("a pty of ours");
        let name = ptsname(&glass, Vec::new()).expect("its name");
        let paper = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty());
        let paper = File::from(paper.expect("its other side"));
        let size = Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&paper, size).expect("a size");
        let (tell, said) = channel();
        let mut glass = File::from(glass);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = glass.read(&mut bytes) {
                if tell.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let size = |n: u16| std::num::NonZero::new(n).expect("some");
        let screen = vt100::Parser::new(size(ROWS), size(columns), 0);
        Terminal { screen, columns, said, paper }
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
        let end = Instant::now() + QUIET;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            match self.said.recv_timeout(left) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(_) => break,
            }
        }
        let rows = self.screen.screen().rows(0, self.columns).map(|row| still(&row));
        rows.collect::<Vec<_>>().join("\n").trim_end().to_owned()
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

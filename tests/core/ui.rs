//! How events are drawn, written and summed up, and that nothing a host says steers who reads it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use indicatif::{ProgressDrawTarget, TermLike};
use proptest::prelude::*;
use provision::event::{Event, Outcome, Sink as _, SmokeOutcome, Stamped, schema};
use provision::inventory::Inventory;
use provision::lints::load::{Lab, load_text};
use provision::report::{Failure, Report};
use provision::tasks::Task;
use provision::ui::colour::Colour;
use provision::ui::github::annotations;
use provision::ui::json::Json;
use provision::ui::junit::{Cases, Junit};
use provision::ui::letters::Letters;
use provision::ui::log::{Log, LogFile};
use provision::ui::plain::{Verbosity, lines, paint};
use provision::ui::spinner::Spinner;
use provision::ui::summary::{Next, Serving};
use provision::ui::{Recorder, Render, line, styled, summary, visible};

use super::support::events::{all, host, stamped};
use super::support::schema::fits;

#[test]
fn plain_lines_of_every_event() {
    let mut text = String::new();
    for event in all("out of disk") {
        for line in lines(&event, Verbosity::Verbose) {
            text.push_str(&format!("{line}\n"));
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_proof_that_failed_says_why_once() {
    let why = "an executor died";
    let ended = |outcome| Event::ActionEnded {
        host: host("c1"),
        task: Task::Smoke,
        resource: "proof pi-on-a1".into(),
        outcome,
        seconds: 12.0,
    };
    let failed = ended(Outcome::Failed { status: 1, reason: why.into() });
    let mut result = smoke("pi-on-a1", SmokeOutcome::Failed);
    if let Event::SmokeResult { detail, .. } = &mut result {
        *detail = why.into();
    }
    let said: Vec<String> =
        [failed, result].iter().flat_map(|event| lines(event, Verbosity::Normal)).collect();
    assert_eq!(
        said,
        ["  FAILED c1: proof pi-on-a1 (12 s)", "  smoke pi-on-a1: FAILED: an executor died (20 s)"]
    );
    assert!(lines(&ended(Outcome::Changed), Verbosity::Normal).is_empty());
}

#[test]
fn annotations_of_every_event() {
    let text: Vec<String> = all("100% full").iter().flat_map(annotations).collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn junit_of_every_event() {
    insta::assert_snapshot!(junit(&all("a < b & \"c\"\u{1b}]")));
}

#[test]
fn a_summary_of_a_good_run() {
    let events = [
        changed("m1"),
        changed("m1"),
        changed("a1"),
        smoke("pi-through-mesos", SmokeOutcome::Passed),
    ];
    insta::assert_snapshot!(sum(&events));
}

#[test]
fn a_summary_of_a_failure_says_what_to_do() {
    let failed = Outcome::Failed { status: 100, reason: "E: no space left on device".into() };
    let events = [
        changed("a1"),
        ended("a2", failed),
        Event::ActionOutput {
            host: host("a2"),
            task: Task::Agents,
            resource: "package mesos".into(),
            text: "Reading package lists\nE: no space left on device\n".into(),
        },
    ];
    insta::assert_snapshot!(sum(&events));
}

#[test]
fn a_summary_of_an_unreachable_host() {
    let reason = "connection refused on 10.77.0.22 port 22; is sshd running there?".to_owned();
    let events = [changed("a1"), Event::HostUnreachable { host: host("a2"), reason }];
    insta::assert_snapshot!(sum(&events));
}

#[test]
fn a_summary_of_an_interrupted_run() {
    let why = "the run was interrupted".to_owned();
    let events = [
        changed("a1"),
        Event::Interrupted { signal: "SIGINT".into(), running: Vec::new() },
        Event::Blocked { host: host("a2"), task: Task::Agents, reason: why },
    ];
    insta::assert_snapshot!(sum(&events));
}

#[test]
fn the_schema_in_docs_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events.schema.json");
    let text = serde_json::to_string_pretty(&schema::events()).unwrap() + "\n";
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), text, "run this test with BLESS=1");
}

#[test]
fn docs_explain_every_event_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events.md");
    let text = fs::read_to_string(path).unwrap();
    let explained: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name))
        .collect();
    assert_eq!(explained, schema::names());
    assert!(explained.len() >= 17, "{explained:?}");
    let mut said: Vec<String> = all("x")
        .into_iter()
        .map(|event| {
            serde_json::to_value(stamped(event)).unwrap()["event"].as_str().unwrap().to_owned()
        })
        .collect();
    said.dedup();
    for name in explained {
        assert!(said.iter().any(|it| it == name), "{name} is in no canned run");
    }
}

#[test]
fn every_event_is_as_the_schema_says() {
    let schema = schema::events();
    for event in all("x") {
        let value = serde_json::to_value(stamped(event)).unwrap();
        fits(&schema, &schema, &value).unwrap_or_else(|why| panic!("{value}: {why}"));
    }
    // The check itself must bite.
    let mut wrong = serde_json::to_value(stamped(changed("a1"))).unwrap();
    wrong["seconds"] = "1".into();
    fits(&schema, &schema, &wrong).unwrap_err();
    let mut unknown = serde_json::to_value(stamped(changed("a1"))).unwrap();
    unknown["event"] = "sung".into();
    fits(&schema, &schema, &unknown).unwrap_err();
}

#[test]
fn a_log_file_holds_every_event_and_is_ours_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.log");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let log = LogFile::open(path.to_str().unwrap()).unwrap();
    let recorder = Recorder::new("R", vec![Box::new(Log::new(log))]);
    let events = all("x\u{1b}");
    for event in events.clone() {
        recorder.emit(event);
    }
    let text = fs::read_to_string(&path).unwrap();
    let names: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].to_string())
        .collect();
    assert_eq!(names.len(), events.len());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(LogFile::open("/nowhere/at/all").unwrap_err().contains("No such file"));
}

#[test]
fn junit_is_written_whole_when_a_run_ends_and_when_it_never_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (ended, dropped) = (dir.path().join("a.xml"), dir.path().join("b.xml"));
    let mut junit = Junit::new(&ended);
    for event in all("x") {
        if matches!(event, Event::Interrupted { .. }) {
            continue;
        }
        let last = matches!(event, Event::RunEnded { .. });
        junit.draw(&stamped(event));
        assert_eq!(ended.exists(), last);
    }
    assert!(fs::read_to_string(&ended).unwrap().ends_with("</testsuites>\n"));
    let mut junit = Junit::new(&dropped);
    junit.draw(&stamped(changed("a1")));
    assert!(!dropped.exists());
    drop(junit);
    assert!(fs::read_to_string(&dropped).unwrap().contains("name=\"package mesos\""));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "a temporary was left");
}

#[test]
fn a_terminal_shows_who_works_and_keeps_what_went_wrong() {
    let screen = Screen::default();
    let mut spinner = spinner(&screen);
    for event in all("out of disk") {
        if matches!(event, Event::Interrupted { .. } | Event::RunEnded { .. }) {
            break;
        }
        let waits = matches!(event, Event::GateWaiting { .. });
        spinner.draw(&stamped(event));
        // Not everything is drawn at once, but everything in the end.
        while waits && !screen.text().contains("waiting: ") {
            std::thread::yield_now();
        }
    }
    let text = screen.text();
    for part in [
        "connecting: 2 of 4 hosts",
        "==> Mesos agents: 5 actions on 2 hosts",
        "Mesos agents     ####>--------------- 1/5",
        "file /etc/mesos/zk: out of disk",
        "\n  FAILED a2: service mesos-slave: out of disk (status 7)",
        "      | last\n",
        "waiting: out of disk",
        "smoke pi-on-a1 a1: FAILED",
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
}

#[test]
fn a_thousand_hosts_at_work_take_a_dozen_lines() {
    let screen = Screen::default();
    let mut spinner = spinner(&screen);
    spinner.draw(&stamped(Event::StageStarted { stage: "S".into(), hosts: 1000, actions: 1000 }));
    for number in 0..1000 {
        spinner.draw(&stamped(started(&format!("h{number}"))));
    }
    screen.forget();
    // Another row is drawn with all that stand.
    spinner.draw(&stamped(ended("h0", Outcome::Changed)));
    drop(spinner);
    let text = screen.text();
    let shown: std::collections::BTreeSet<&str> = text
        .split_whitespace()
        .filter(|word| word.starts_with('h') && word[1..].parse::<u32>().is_ok())
        .collect();
    assert!(shown.len() <= 14, "{shown:?}");
    assert!(text.contains("more hosts at work"), "{text}");
}

#[test]
fn a_terminal_that_breaks_ends_nothing() {
    let mut spinner = Spinner::new(
        ProgressDrawTarget::term_like(Box::new(Broken)),
        Box::new(nobody()),
        Colour::Yes,
        Letters::Unicode,
    );
    for event in all("x") {
        if !matches!(event, Event::Interrupted { .. }) {
            spinner.draw(&stamped(event));
        }
    }
    drop(spinner);
    line(nobody(), "nobody");
    styled(nobody(), "listens");
}

/// A pipe that nobody reads.
fn nobody() -> io::PipeWriter {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    writer
}

proptest! {
    #[test]
    fn nothing_a_host_says_steers_who_reads(said in hostile()) {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let recorder = Recorder::new("R", vec![Box::new(Keep(Arc::clone(&kept)))]);
        for event in all(&said) {
            recorder.emit(event);
        }
        let kept = kept.lock().unwrap();
        let cases = junit(&kept.iter().map(|stamped| stamped.event.clone()).collect::<Vec<_>>());
        for c in cases.chars() {
            prop_assert!(xml(c), "{c:?} in XML");
        }
        let mut printed = String::new();
        for stamped in kept.iter() {
            for line in lines(&stamped.event, Verbosity::Verbose) {
                prop_assert!(!line.contains('\n'), "two lines: {line:?}");
                prop_assert!(!command(&line), "a command: {line:?}");
                printed.push_str(&format!("{line}\n"));
            }
            for one in annotations(&stamped.event) {
                prop_assert!(!one.contains('\n') && !one.contains('\r'), "{one:?}");
                prop_assert!(one.starts_with("::error ") || one.starts_with("::warning "), "{one:?}");
            }
            let json = serde_json::to_string(stamped).unwrap();
            // What `line` makes of it is what was meant.
            prop_assert_eq!(&visible::text(&json), &json);
            printed.push_str(&format!("{json}\n"));
        }
        let words = summary::text(
            &demo(),
            &recorder.report(),
            &next(),
            Serving { leader: None, dispatcher: true },
        );
        let mut out = Vec::new();
        line(&mut out, &words);
        let words = String::from_utf8(out).unwrap();
        for line in words.lines() {
            prop_assert!(!command(line), "a command: {line:?}");
        }
        printed.push_str(&words);
        prop_assert!(printed.chars().all(harmless), "{printed:?}");
    }

    #[test]
    fn rows_are_harmless_too(said in hostile()) {
        let screen = Screen::default();
        let recorder = Recorder::new("R", vec![Box::new(spinner(&screen))]);
        for event in all(&said) {
            if !matches!(event, Event::Interrupted { .. }) {
                recorder.emit(event);
            }
        }
        drop(recorder);
        let text = screen.text();
        prop_assert!(text.contains("FAILED a2"), "{text:?}");
        prop_assert!(text.chars().all(harmless), "{text:?}");
        prop_assert!(!text.lines().any(command), "{text:?}");
    }

    #[test]
    fn a_line_is_harmless_whatever_is_in_it(said in hostile()) {
        let mut out = Vec::new();
        line(&mut out, &said);
        let text = String::from_utf8(out).unwrap();
        prop_assert!(text.chars().all(harmless), "{text:?}");
        prop_assert!(!text.lines().any(command), "{text:?}");
    }
}

/// Texts made of what has bitten others, invalid UTF-8 included as it arrives: replaced.
pub(super) fn hostile() -> impl Strategy<Value = String> {
    let parts = prop_oneof![
        Just("::error::x".as_bytes().to_vec()),
        Just("\n::stop-commands::t".as_bytes().to_vec()),
        Just("##[set-env name=PATH]x".as_bytes().to_vec()),
        Just("\x1b]0;title\x07".as_bytes().to_vec()),
        Just("\x1b]52;c;aGk=\x1b\\".as_bytes().to_vec()),
        Just("\x1b[2J\x1b[31m".as_bytes().to_vec()),
        Just(vec![0xff, 0xfe, 0x9b, b'A', 0xc2, 0x9b]),
        Just("\u{202e}\u{2066}\u{2028}".as_bytes().to_vec()),
        Just("]]></failure><!--&".as_bytes().to_vec()),
        Just("\u{fffe}\u{ffff}\u{0}\r\n\t ".as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..8),
        any::<char>().prop_map(|c| c.to_string().into_bytes()),
    ];
    proptest::collection::vec(parts, 0..6)
        .prop_map(|parts| String::from_utf8_lossy(&parts.concat()).into_owned())
}

/// What a terminal and a reader take as it looks.
fn harmless(c: char) -> bool {
    let mark = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}'
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c == '\n' || c == '\t' || !(c.is_control() || mark)
}

/// Whether GitHub's runner would obey.
fn command(line: &str) -> bool {
    line.trim_start().starts_with("::") || line.contains("##[")
}

/// Source: XML 1.0, production 2 (Char).
fn xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn junit(events: &[Event]) -> String {
    let mut cases = Cases::default();
    for event in events {
        cases.add(&stamped(event.clone()));
    }
    cases.xml().unwrap()
}

fn ended(name: &str, outcome: Outcome) -> Event {
    Event::ActionEnded {
        host: host(name),
        task: Task::Agents,
        resource: "package mesos".into(),
        outcome,
        seconds: 2.0,
    }
}

fn changed(name: &str) -> Event {
    ended(name, Outcome::Changed)
}

fn started(name: &str) -> Event {
    Event::ActionStarted {
        host: host(name),
        task: Task::Agents,
        resource: "package mesos".into(),
        why: "absent".into(),
    }
}

fn smoke(check: &str, result: SmokeOutcome) -> Event {
    let detail = "Pi is roughly 3.14".to_owned();
    Event::SmokeResult {
        check: check.into(),
        host: None,
        result,
        detail,
        seconds: 20.0,
        engine: None,
        submit: None,
    }
}

fn sum(events: &[Event]) -> String {
    let mut report = Report::default();
    for event in events {
        report.add(event);
    }
    let leader = host("m2");
    let serving = Serving { leader: Some(&leader), dispatcher: true };
    let words = summary::text(&demo(), &report, &next(), serving);
    format!("{words}exit {}\n", report.exit())
}

fn next() -> Next {
    Next { again: "provision apply demo.yaml".into(), source: "demo.yaml".into() }
}

/// Where it is stopped nobody is sent to it.
#[test]
fn a_dispatcher_that_does_not_answer_is_not_named() {
    let words = |dispatcher| {
        let serving = Serving { leader: None, dispatcher };
        summary::text(&demo(), &Report::default(), &next(), serving)
    };
    let named = words(true);
    assert!(named.contains("Dispatcher: ") && named.contains("in cluster mode"), "{named}");
    let unnamed = words(false);
    assert!(!unnamed.contains("Dispatcher") && !unnamed.contains("cluster mode"), "{unnamed}");
    assert!(unnamed.contains("Submit: "), "{unnamed}");
}

/// The next command shows the cause, where there is one that does.
#[test]
fn what_failed_is_followed_by_the_command_that_shows_why() {
    let next = |action: &str, task| {
        let report = Report {
            failures: vec![Failure {
                host: host("m1"),
                task,
                action: action.into(),
                cause: "why".into(),
                output: "first\nlog on m1: /var/lib/provision/runs/r/a1.log\n".into(),
            }],
            ..Report::default()
        };
        summary::outcome(&demo(), &report, &next())
    };
    let again = "mend it, then run `provision apply demo.yaml` again; it goes on from here\n";
    for (action, task, shows) in [
        ("gate", Task::Zookeeper, "`provision logs m1 demo.yaml --unit zookeeper` shows why; "),
        ("service docker", Task::Docker, "`provision logs m1 demo.yaml --unit docker` shows why; "),
        ("proof pi-on-a1", Task::Smoke, "`provision diagnose -i demo.yaml` shows why; "),
        ("proof pi-in-image", Task::Smoke, ""),
        ("package mesos", Task::Agents, ""),
    ] {
        let words = next(action, task);
        assert!(words.ends_with(&format!("\n  next: {shows}{again}")), "{words}");
        // What it printed was shown when it ended; where all of it is, is said again.
        assert!(!words.contains("first") && words.contains("\n  log on m1: /var"), "{words}");
    }
}

/// Nobody has to know what 137 means.
#[test]
fn a_time_out_and_a_kill_are_called_so() {
    let line = |status| {
        lines(&ended("a1", Outcome::Failed { status, reason: "x".into() }), Verbosity::Normal)
            .join("")
    };
    assert!(line(124).contains(": x (timed out) ("), "{}", line(124));
    assert!(line(137).contains(": x (it was killed) ("), "{}", line(137));
    assert!(line(7).contains(": x (status 7) ("), "{}", line(7));
    assert!(line(0).contains(": x ("), "{}", line(0));
    assert!(!line(0).contains("status"), "{}", line(0));
}

#[test]
fn places_with_an_ipv6_address_can_be_opened() {
    let mut inventory = demo();
    let hosts: Vec<_> = inventory.hosts.keys().cloned().collect();
    for host in &hosts {
        inventory.override_address(host, "fd00::1".parse().unwrap());
    }
    let serving = Serving { leader: Some(&hosts[0]), dispatcher: true };
    let words = summary::text(&inventory, &Report::default(), &next(), serving);
    assert!(words.contains("Mesos:      http://[fd00::1]:5050 (leading)\n"), "{words}");
    assert!(words.contains("Dispatcher: mesos://[fd00::1]:7077\n"), "{words}");
}

/// The demo's inventory, with nothing that would have to lie beside it.
fn demo() -> Inventory {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("inventories");
    let bytes = fs::read(root.join("demo.yaml")).unwrap();
    let sets = [
        "mesos.package={preinstalled: true}",
        &format!("spark.archive={{url: 'https://example.org/spark.tgz', sha256: '{:064}'}}", 0),
    ]
    .map(str::to_owned);
    match load_text("demo.yaml", &bytes, &root, &sets, Lab::No) {
        Ok(loaded) => loaded.inventory,
        Err(refused) => panic!("{:?}", refused.problems),
    }
}

fn spinner(screen: &Screen) -> Spinner {
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 255);
    Spinner::new(target, Box::new(screen.clone()), Colour::No, Letters::Ascii)
}

/// Keeps what renderers are given.
#[derive(Debug)]
struct Keep(Arc<Mutex<Vec<Stamped>>>);

impl Render for Keep {
    fn draw(&mut self, event: &Stamped) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// A terminal that remembers all that was ever written to it.
#[derive(Debug, Default, Clone)]
struct Screen(Arc<Mutex<String>>);

impl Screen {
    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    fn forget(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl io::Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        120
    }

    fn height(&self) -> u16 {
        50
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().push_str(&format!("{text}\n"));
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.write_line("")
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal whose other end is gone.
#[derive(Debug)]
struct Broken;

fn broken() -> io::Result<()> {
    Err(io::ErrorKind::BrokenPipe.into())
}

impl TermLike for Broken {
    fn width(&self) -> u16 {
        80
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        broken()
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        broken()
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        broken()
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        broken()
    }

    fn write_line(&self, _: &str) -> io::Result<()> {
        broken()
    }

    fn write_str(&self, _: &str) -> io::Result<()> {
        broken()
    }

    fn clear_line(&self) -> io::Result<()> {
        broken()
    }

    fn flush(&self) -> io::Result<()> {
        broken()
    }
}

/// Its constructors are used by the command line; here it is only to be known that JSON has one.
#[test]
fn json_is_a_renderer() {
    let _: Box<dyn Render> = Box::new(Json);
    assert_eq!(paint(&changed("a1"), "x", Colour::No), "x");
    assert_eq!(paint(&changed("a1"), "x", Colour::Yes), "\x1b[33mx\x1b[0m");
    let changed_line = paint(&changed("a1"), "  changed a1: file /x (0.1 s)", Colour::Yes);
    assert_eq!(changed_line, "  \x1b[33mchanged\x1b[0m a1: file /x (0.1 s)");
}

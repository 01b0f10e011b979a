//! The page of a run, as a real browser shows it, and that nothing a host says is more than text in it.

use std::path::Path;

use proptest::prelude::*;
use provision::event::{Event, Outcome, Sink as _, SmokeOutcome, Stamped, VERSION};
use provision::ground::{HostName, Problem};
use provision::health::Member;
use provision::tasks::Task;
use provision::ui::Recorder;
use provision::ui::page::{Beside, Page, page};

use super::support::chromium::{Scheme, look};
use super::support::events::{all, host};
use super::ui::hostile;

#[test]
fn a_run_is_told_in_a_browser() {
    let page = of(&run(2, Ends::Badly));
    for (width, scheme) in [(1280, Scheme::Light), (400, Scheme::Dark)] {
        let seen = look(&page, "run", width, scheme);
        assert_eq!(seen.outside, [""; 0], "{width}: reaches out");
        assert_eq!(seen.pale, [""; 0], "{scheme:?}: cannot be read");
        let paper = if scheme == Scheme::Dark { "rgb(20, 24, 29)" } else { "rgb(255, 255, 255)" };
        assert_eq!(seen.paper, paper);
        if width == 1280 {
            insta::assert_snapshot!(seen.text);
        } else {
            assert!(seen.text.contains("E: no space left on device"), "{}", seen.text);
        }
    }
}

/// What is measured can be missed.
#[test]
fn what_reaches_out_and_what_is_pale_is_seen() {
    let bad = "<!doctype html><p style='width:500px;background:#aaa'>wide</p><p style='color:#ccc'>pale</p>";
    let seen = look(bad, "bad", 400, Scheme::Light);
    assert!(seen.outside.iter().any(|it| it.contains("wide")), "{seen:?}");
    assert!(seen.pale.len() == 1 && seen.pale[0].contains("pale"), "{seen:?}");
}

#[test]
fn two_hundred_agents_fit_a_page() {
    let events = run(200, Ends::Well);
    let page = of(&events);
    assert!(page.len() < 60_000, "{} bytes", page.len());
    for (width, scheme) in [(1280, Scheme::Dark), (400, Scheme::Light)] {
        let seen = look(&page, "run-of-200", width, scheme);
        assert_eq!(seen.outside, [""; 0], "{width}: reaches out");
        assert_eq!(seen.pale, [""; 0], "{scheme:?}: cannot be read");
        for part in ["a[001:200] (200 hosts)", "Exit 0: done", "Pi is roughly 3.14", "Spark\n3.5.1"]
        {
            assert!(seen.text.contains(part), "{part} is missing in {}", seen.text);
        }
        assert!(seen.text.lines().count() < 320, "{}", seen.text);
    }
}

#[test]
fn a_run_whose_events_are_elsewhere_is_told_by_its_record() {
    let beside = Beside {
        title: "apply of analytics".to_owned(),
        facts: vec![("by".to_owned(), "alice from <laptop>".to_owned())],
        doubts: vec!["no majority of the masters tells it".to_owned()],
        plan: "Plan: 1 to add".to_owned(),
    };
    let seen = look(&page([], &beside).unwrap(), "record", 400, Scheme::Light);
    for part in
        ["stay where it was run from", "alice from <laptop>", "no majority", "Plan: 1 to add"]
    {
        assert!(seen.text.contains(part), "{part} is missing in {}", seen.text);
    }
}

/// What is cut short ends in half a line, and is told as far as it goes.
#[test]
fn a_run_that_was_cut_short_says_so() {
    let lines = lines(&run(1, Ends::Well));
    let cut = lines[..20].iter().map(String::as_str).chain(["{\"v\":1,\"ts\":\"20"]);
    let page = page(cut, &Beside::default()).unwrap();
    assert!(page.contains("Cut short: it never said how it ended."), "{page}");
    // A run of before versions were told.
    let old = lines[0].replace(",\"version\":\"0.1.0\"", "").replace("\"versions\"", "\"other\"");
    assert!(!old.contains("version"), "{old}");
    let page = page_of(&[old]);
    assert!(page.contains("apply of analytics"), "{page}");
}

#[test]
fn a_page_is_written_when_a_run_ends_and_when_it_never_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let path = dir.path().join("a.html");
    let recorder = Recorder::new("R", vec![Box::new(Page::new(&path))]);
    recorder.emit(all("x").remove(0));
    assert!(!path.exists());
    drop(recorder);
    assert!(read(&path).contains("Cut short"));
    let recorder = Recorder::new("R", vec![Box::new(Page::new(&path))]);
    all("x").into_iter().for_each(|event| recorder.emit(event));
    assert!(read(&path).contains("Exit 130: interrupted"));
}

proptest! {
    #[test]
    fn nothing_a_host_says_is_markup(said in hostile()) {
        // Some text, so that what is shown only where there is one is shown in both.
        let page = |said: &str| page_of(&all(said).into_iter().map(|event| line(0.0, event)).collect::<Vec<_>>());
        let marks = |page: &str| ['<', '>', '"'].map(|mark| page.matches(mark).count());
        let page_of_hostile = page(&format!("x{said}"));
        prop_assert_eq!(marks(&page_of_hostile), marks(&page("x")), "{}", page_of_hostile);
    }
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Well,
    Badly,
}

/// A run over three masters and so many agents, as one might be.
fn run(agents: usize, ends: Ends) -> Vec<(f64, Event)> {
    let masters: Vec<HostName> = (1..=3).map(|n| host(&format!("m{n}"))).collect();
    let width = agents.to_string().len();
    let agents: Vec<HostName> = (1..=agents).map(|n| host(&format!("a{n:0width$}"))).collect();
    let mut all = vec![(
        0.0,
        Event::RunStarted {
            command: "apply".into(),
            cluster: "analytics".into(),
            inventory: "5f0c".repeat(16),
            hosts: masters.len() + agents.len(),
            version: "0.1.0".into(),
            versions: [("Mesos".into(), "1.11.0".into()), ("Spark".into(), "3.5.1".into())].into(),
        },
    )];
    let mut stage = |at: f64,
                     title: &str,
                     task: Task,
                     hosts: &[HostName],
                     files: &[(&str, &str)],
                     each: f64| {
        let count = hosts.len() * files.len();
        let began = Event::StageStarted { stage: title.into(), hosts: hosts.len(), actions: count };
        all.push((at, began));
        for (number, name) in hosts.iter().enumerate() {
            let mut now = at + number as f64 * 0.01;
            for (resource, why) in files {
                let (name, resource) = (name.clone(), (*resource).to_owned());
                let why =
                    why.replace("ADDRESS", &format!("10.0.{}.{}", number / 250, number % 250 + 1));
                all.push((
                    now,
                    Event::ActionStarted {
                        host: name.clone(),
                        task,
                        resource: resource.clone(),
                        why,
                    },
                ));
                now += each;
                let outcome = Outcome::Changed;
                all.push((
                    now,
                    Event::ActionEnded { host: name, task, resource, outcome, seconds: each },
                ));
            }
        }
        let end = at + each * files.len() as f64 + hosts.len() as f64 * 0.01;
        let hosts = hosts.to_vec();
        let members = hosts.iter().map(|host| (host.clone(), Member::Serving)).collect();
        let waiting_for = format!("{}: not registered yet", hosts[0]);
        all.push((end + 1.0, Event::GateWaiting { task, hosts: hosts.clone(), waiting_for }));
        all.push((end + 4.0, Event::GateEnded { task, hosts, members, open: true, seconds: 4.0 }));
        end + 4.0
    };
    let package = [
        ("package mesos", "absent"),
        ("file /etc/mesos/zk", "absent"),
        ("service mesos-master", "not running"),
    ];
    let at = stage(2.0, "Mesos masters", Task::Masters, &masters, &package, 6.0);
    let files = [
        ("package mesos", "1.10.0, want 1.11.0 (upgrade)"),
        ("file /etc/mesos-slave/ip", "absent, want ADDRESS"),
        ("service mesos-slave", "restart: resources changed"),
    ];
    let at = stage(at, "Mesos agents", Task::Agents, &agents, &files, 11.0);
    let smoke = |at: f64, check: &str, on: &HostName, result, detail: &str| {
        let passed = result == SmokeOutcome::Passed;
        (at, Event::SmokeResult {
            check: check.into(),
            host: Some(on.clone()),
            result,
            detail: detail.into(),
            seconds: 21.5,
            engine: passed.then(|| "stand-in".to_owned()),
            submit: passed.then(|| "/opt/spark/bin/spark-submit --class org.apache.spark.examples.SparkPi local:///opt/spark/examples/jars/spark-examples_2.12-3.5.1.jar 100".to_owned()),
        })
    };
    let mut exit = 0;
    if ends == Ends::Badly {
        exit = 3;
        let failed = Outcome::Failed { status: 100, reason: "E: no space left on device".into() };
        let (task, resource) = (Task::Image, "image spark-mesos".to_owned());
        let on = agents[0].clone();
        let why = "absent".to_owned();
        all.push((at, Event::StageStarted { stage: "Spark image".into(), hosts: 1, actions: 2 }));
        all.push((
            at,
            Event::ActionStarted { host: on.clone(), task, resource: resource.clone(), why },
        ));
        all.push((
            at + 31.0,
            Event::ActionEnded {
                host: on.clone(),
                task,
                resource: resource.clone(),
                outcome: failed,
                seconds: 31.0,
            },
        ));
        let text = "Step 4/9 : RUN apt-get install\nE: Failed to write /var/lib/<archives>/partial\nE: no space left on device\n".to_owned();
        all.push((at + 31.0, Event::ActionOutput { host: on.clone(), task, resource, text }));
        all.push((
            at + 31.0,
            Event::ActionEnded {
                host: on,
                task,
                resource: "container check".into(),
                outcome: Outcome::Skipped,
                seconds: 0.0,
            },
        ));
        let problem = Problem::warning(None, "little-memory", "2 GiB are little for a master")
            .help("give it 4");
        all.push((1.0, Event::Problem { problem, host: Some(masters[0].clone()) }));
        let reason = "connection refused on 10.77.0.9 port 22; is sshd running there?".to_owned();
        all.push((1.0, Event::HostUnreachable { host: host("a9"), reason }));
        let members = vec![
            (masters[1].clone(), Member::Sick("it answers 503: registry is not fetched".into())),
            (masters[2].clone(), Member::Silent),
        ];
        all.push((
            at + 90.0,
            Event::GateEnded {
                task: Task::Masters,
                hosts: masters[1..].to_vec(),
                members,
                open: false,
                seconds: 55.0,
            },
        ));
        all.push(smoke(
            at + 99.0,
            "pi-through-mesos",
            &agents[1],
            SmokeOutcome::Failed,
            "framework F: agent a2 has no offer: 1 of 4 cpus are free",
        ));
        all.push(smoke(
            at + 99.0,
            "pi-in-cluster-mode",
            &agents[1],
            SmokeOutcome::NotRun,
            "libmesos is not in the image",
        ));
    }
    all.extend(agents.iter().map(|agent| {
        smoke(
            at + 120.0,
            &format!("pi-on-{agent}"),
            agent,
            SmokeOutcome::Passed,
            "Pi is roughly 3.1414912",
        )
    }));
    let changed = all
        .iter()
        .filter(|(_, it)| matches!(it, Event::ActionEnded { outcome: Outcome::Changed, .. }))
        .count();
    all.push((
        at + 122.0,
        Event::RunEnded {
            changed,
            failed: 1,
            skipped: 1,
            unreachable: 1,
            blocked: 0,
            exit,
            seconds: at + 122.0,
        },
    ));
    all.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    all
}

fn line(at: f64, event: Event) -> String {
    let ts = jiff::Timestamp::from_millisecond(1_767_323_045_678 + (at * 1000.0) as i64).unwrap();
    let stamped =
        Stamped { v: VERSION, ts: format!("{ts:.3}"), run: "20260102T030405Z-ab".into(), event };
    serde_json::to_string(&stamped).unwrap()
}

fn lines(events: &[(f64, Event)]) -> Vec<String> {
    events.iter().map(|(at, event)| line(*at, event.clone())).collect()
}

fn page_of(lines: &[String]) -> String {
    page(lines.iter().map(String::as_str), &Beside::default()).unwrap()
}

fn of(events: &[(f64, Event)]) -> String {
    page_of(&lines(events))
}

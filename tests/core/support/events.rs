//! One of every event, as a run might say it, with a text of the caller's choice where a host speaks.

use provision::event::{Event, Outcome, SmokeOutcome, Stamped, VERSION};
use provision::ground::{HostName, Place, Problem};
use provision::health::Member;
use provision::tasks::Task;

/// A host's name.
pub(crate) fn host(name: &str) -> HostName {
    HostName::new(name)
}

/// As the recorder stamps it, always at the same time.
pub(crate) fn stamped(event: Event) -> Stamped {
    Stamped { v: VERSION, ts: "2026-01-02T03:04:05.678Z".into(), run: "R".into(), event }
}

/// A run in which everything happens that can. `said` is what hosts say.
pub(crate) fn all(said: &str) -> Vec<Event> {
    let (m1, a1, a2) = (host("m1"), host("a1"), host("a2"));
    let text = || said.to_owned();
    let place = Place { file: "inventory.yaml".into(), line: 14, column: 9, length: 3 };
    let ended = |host: &HostName, resource: &str, outcome| Event::ActionEnded {
        host: host.clone(),
        task: Task::Agents,
        resource: resource.into(),
        outcome,
        seconds: 1.25,
    };
    let smoke = |check: &str, host: Option<HostName>, result| Event::SmokeResult {
        check: check.into(),
        host,
        result,
        detail: text(),
        seconds: 75.0,
        engine: (result == SmokeOutcome::Passed).then(|| "stand-in".to_owned()),
        submit: (result == SmokeOutcome::Passed).then(text),
    };
    vec![
        Event::RunStarted {
            command: "apply".into(),
            cluster: "analytics".into(),
            inventory: "abc".into(),
            hosts: 4,
            version: "0.1.0".into(),
            versions: [("Mesos".to_owned(), "1.11.0".to_owned())].into(),
        },
        Event::HostConnected { host: m1.clone(), seconds: 0.25 },
        Event::HostUnreachable { host: host("a3"), reason: text() },
        Event::Observed { host: m1.clone(), seconds: 0.5, gaps: 2 },
        Event::Planned { actions: 5, hosts: 3, blocked: 1, unreachable: 1 },
        Event::Problem {
            problem: Problem::error(Some(place), "unknown-role", text()).help("declare it"),
            host: None,
        },
        Event::Problem {
            problem: Problem::warning(None, "little-memory", text()),
            host: Some(a1.clone()),
        },
        Event::Pending {
            host: a1.clone(),
            task: Task::Base,
            resource: "file /etc/hosts".into(),
            why: text(),
        },
        Event::Blocked { host: m1.clone(), task: Task::Masters, reason: text() },
        Event::StageStarted { stage: "Mesos agents".into(), hosts: 2, actions: 5 },
        Event::WaveStarted {
            stage: "Mesos agents".into(),
            wave: 1,
            waves: 2,
            hosts: vec![a1.clone(), a2.clone()],
        },
        Event::ActionStarted {
            host: a1.clone(),
            task: Task::Agents,
            resource: "file /etc/mesos/zk".into(),
            why: text(),
        },
        ended(&a1, "file /etc/mesos/zk", Outcome::Changed),
        ended(&a1, "package mesos", Outcome::Unchanged),
        ended(&a1, "image spark", Outcome::NotRun(text())),
        ended(&a2, "service mesos-slave", Outcome::Failed { status: 7, reason: text() }),
        Event::ActionOutput {
            host: a2.clone(),
            task: Task::Agents,
            resource: "service mesos-slave".into(),
            text: format!("first\n{said}\nlast"),
        },
        ended(&a2, "file /x", Outcome::Skipped),
        ended(&a1, "user spark", Outcome::Lost(text())),
        Event::GateWaiting { task: Task::Agents, hosts: vec![a1.clone()], waiting_for: text() },
        Event::GateEnded {
            task: Task::Agents,
            hosts: vec![a1.clone()],
            members: vec![(a1.clone(), Member::Serving)],
            open: true,
            seconds: 12.0,
        },
        Event::GateEnded {
            task: Task::Masters,
            hosts: vec![m1.clone(), a2.clone()],
            members: vec![(m1, Member::Sick(text())), (a2.clone(), Member::Silent)],
            open: false,
            seconds: 180.0,
        },
        smoke("pi-through-mesos", None, SmokeOutcome::Passed),
        smoke("pi-on-a1", Some(a1), SmokeOutcome::Failed),
        smoke("pi-on-a2", Some(a2.clone()), SmokeOutcome::NoRoom),
        smoke("pi-in-image", Some(a2.clone()), SmokeOutcome::NotRun),
        Event::Interrupted { signal: "SIGINT".into(), running: vec![text()] },
        Event::RunEnded {
            changed: 1,
            failed: 4,
            skipped: 1,
            unreachable: 2,
            blocked: 1,
            exit: 130,
            seconds: 100.0,
        },
    ]
}

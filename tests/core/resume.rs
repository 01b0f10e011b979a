//! Connections that are lost while something is done: against an sshd of our own.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use provision::event::{Event, Sink};
use provision::ground::HostName;
use provision::remote::fleet::{OpenedFleet, Opening, Secrets, change};
use provision::remote::holder::Controller;
use provision::remote::shell::{Changer, Places};
use provision::remote::ssh::UnknownKeys;
use provision::remote::{Ask as _, Change as _, unlock};
use provision::script::{Fix, Probe};

use super::support::sshd::{Sshd, until};

const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Nobody;

impl Sink for Nobody {
    fn emit(&self, _: Event) {}
}

fn host() -> HostName {
    HostName::new("h1")
}

fn opening(sshd: &Sshd, run: &str) -> Opening {
    Opening {
        hosts: BTreeMap::from([(host(), sshd.ssh("root"))]),
        options: sshd.options(UnknownKeys::Refuse),
        password: None,
        run: run.to_owned(),
        by: "alice".to_owned(),
        from: "laptop".to_owned(),
        places: Places { state: sshd.path("state"), runtime: sshd.path("run") },
    }
}

async fn open(sshd: &Sshd, run: &str) -> OpenedFleet<Changer> {
    let sink: Arc<dyn Sink> = Arc::new(Nobody);
    change(&opening(sshd, run), &BTreeMap::new(), &sink, Secrets::default()).await
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[tokio::test]
async fn an_action_that_lost_its_connection_is_awaited_and_its_status_read() {
    let Some(sshd) = Sshd::start("").await else { return };
    let opened = open(&sshd, "r1").await;
    let (count, gate) = (sshd.path("count"), sshd.path("gate"));
    let slow = Fix::new(format!(
        "echo once >> {}; while ! [ -e {} ]; do sleep 0.05; done; echo the end; exit 6",
        count.display(),
        gate.display()
    ));
    let here = host();
    let first = opened.fleet.run(&here, "first", &Fix::new("exit 0")).await.unwrap();
    assert_eq!(first.status, 0);
    let action = opened.fleet.run(&here, "slow", &slow);
    let fault = async {
        until(async || lines(&count) == 1).await;
        sshd.cut();
        // Whoever comes now is told that nobody speaks to that shell any more.
        until(async || {
            let other = open(&sshd, "r2").await;
            let orphan = |controller| controller == Controller::Gone;
            other.locked.get(&here).is_some_and(|holder| orphan(holder.controller))
        })
        .await;
        std::fs::write(&gate, "").unwrap();
    };
    let (ended, ()) = tokio::join!(action, fault);
    let ended = ended.unwrap();
    assert_eq!((ended.status, ended.output_tail.as_str()), (6, "the end\n"));
    assert_eq!(lines(&count), 1, "it ran once");
    // Later actions do not write over the earlier ones' logs.
    let next = opened.fleet.run(&here, "next", &Fix::new("echo on")).await.unwrap();
    assert!(next.log.ends_with("runs/r1/a0003.log"), "{}", next.log.display());
    opened.fleet.close().await;
}

#[tokio::test]
async fn a_connection_cut_between_actions_is_opened_again_silently() {
    let Some(sshd) = Sshd::start("").await else { return };
    let opened = open(&sshd, "r1").await;
    let count = sshd.path("count");
    let fix = Fix::new(format!("echo once >> {}", count.display()));
    for ran in 1..=3 {
        sshd.cut();
        assert_eq!(opened.fleet.run(&host(), "act", &fix).await.unwrap().status, 0);
        assert_eq!(lines(&count), ran);
        sshd.cut();
        let probe = Probe::new("here", "echo yes");
        let sections = opened.fleet.ask(&host(), &probe, LIMIT).await.unwrap();
        assert_eq!(sections["here"], "yes\n");
    }
    assert_eq!(sshd.logins(), 7);
    opened.fleet.close().await;
}

#[tokio::test]
async fn unlock_shows_who_hangs_and_ends_it_with_all_its_children() {
    let Some(sshd) = Sshd::start("").await else { return };
    let opened = open(&sshd, "r1").await;
    let (mark, here) = (sshd.path("mark"), host());
    // The child does not hold the lock itself, as with what apt starts.
    let fix =
        Fix::new(format!("echo looking; sleep 301 9>&- & echo $! > {}; sleep 302", mark.display()));
    let mut fleet = Some(opened.fleet);
    {
        let action = fleet.as_ref().unwrap().run(&here, "hangs", &fix);
        tokio::pin!(action);
        tokio::select! {
            ended = &mut action => panic!("{ended:?}"),
            () = until(async || lines(&mark) == 1) => {}
        }
    }
    let (sshd_opening, child) = (opening(&sshd, "r2"), std::fs::read_to_string(&mark).unwrap());
    let mut key = unlock::open(&sshd_opening, &here).await.unwrap();
    let held = key.held().await.unwrap().unwrap();
    assert_eq!((held.holder.run.as_str(), held.holder.controller), ("r1", Controller::There));
    assert_eq!(held.holder.action.as_deref(), Some("hangs"));
    assert_eq!(held.said, ["looking"]);
    for command in ["sleep 301", "sleep 302"] {
        assert!(held.processes.iter().any(|it| it.contains(command)), "{:?}", held.processes);
    }
    drop(fleet.take());
    until(async || key.held().await.unwrap().unwrap().holder.controller == Controller::Gone).await;
    // Not what was confirmed: left alone.
    assert!(key.end("r0").await.unwrap_err().contains("another run"));
    assert!(std::fs::exists(format!("/proc/{}", child.trim())).unwrap());
    key.end("r1").await.unwrap();
    assert!(!std::fs::exists(format!("/proc/{}", child.trim())).unwrap());
    assert_eq!(key.held().await.unwrap(), None);
    let again = open(&sshd, "r3").await;
    assert_eq!((again.locked.len(), again.interrupted.len()), (0, 1));
    again.fleet.close().await;
}

#[tokio::test]
async fn an_action_that_was_killed_with_its_connection_is_not_taken_for_done() {
    let Some(sshd) = Sshd::start("").await else { return };
    let opened = open(&sshd, "r1").await;
    let (mark, here) = (sshd.path("mark"), host());
    let fix = Fix::new(format!(
        "read -r me name state parent rest </proc/self/stat; echo $parent $me > {}; sleep 20 9>&-",
        mark.display()
    ));
    let action = opened.fleet.run(&here, "doomed", &fix);
    let fault = async {
        until(async || lines(&mark) == 1).await;
        sshd.cut();
        let pids = std::fs::read_to_string(&mark).unwrap();
        let mut kill = std::process::Command::new("kill");
        kill.arg("-9").args(pids.split_whitespace()).status().unwrap();
    };
    let (ended, ()) = tokio::join!(action, fault);
    let why = ended.unwrap_err();
    assert!(why.starts_with("doomed was cut short"), "{why}");
    opened.fleet.close().await;
    let again = open(&sshd, "r2").await;
    assert!(again.interrupted[&here].starts_with("doomed of run r1"), "{:?}", again.interrupted);
    again.fleet.close().await;
}

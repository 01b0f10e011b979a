//! The lock of a host: who holds it, what ends it, what outlives a connection.

use provision::remote::answer::{Lost, NotEntered};
use provision::remote::holder::{Controller, Holder};
use provision::remote::unlock::Unlocker;
use std::time::Duration;
use tempfile::TempDir;

use super::{LIMIT, SHELLS, change, claim, look, open, places, text, until};

#[tokio::test]
async fn whoever_holds_a_lock_is_read_whole_while_it_writes() {
    use std::sync::atomic::{AtomicBool, Ordering};
    const LINE: &str = "run=r1 step=- pid=1 by=alice from=laptop since=2026-01-01T00:00:00.000Z\n";
    for shell in SHELLS {
        let dir = TempDir::new().unwrap();
        let path = places(dir.path()).runtime.join("lock");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let done = std::sync::Arc::new(AtomicBool::new(false));
        let (ended, file) = (done.clone(), path.clone());
        let writer = std::thread::spawn(move || {
            let lock = std::fs::File::create(&file).unwrap();
            lock.lock().unwrap();
            // As a shell's `>` does it: cut off, then written.
            while !ended.load(Ordering::Relaxed) {
                std::fs::write(&file, "").unwrap();
                std::thread::sleep(Duration::from_micros(300));
                std::fs::write(&file, LINE).unwrap();
                std::thread::sleep(Duration::from_micros(300));
            }
        });
        until(async || std::fs::read_to_string(&path).is_ok_and(|text| text == LINE)).await;
        for _ in 0..20 {
            let held =
                open(shell).await.change(&places(dir.path()), claim("r2"), ":", LIMIT, || ()).await;
            let Err(NotEntered::Locked(holder)) = held else { panic!("{shell}: {held:?}") };
            assert!(holder.starts_with(LINE.trim_end()), "{shell}: {holder}");
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    }
}

/// Of the first host that is all the others wait for.
#[tokio::test]
async fn whoever_takes_a_lock_hears_so_before_its_question_is_answered() {
    for shell in SHELLS {
        let dir = TempDir::new().unwrap();
        let (heard, here) = (dir.path().join("heard"), places(dir.path()));
        let ask = format!("until [ -e {} ]; do sleep 0.05; done; echo answer", heard.display());
        let hear = || std::fs::write(&heard, "").unwrap();
        let taken = open(shell).await.change(&here, claim("r1"), &ask, LIMIT, hear).await;
        let (_first, entered) = taken.unwrap();
        assert_eq!(text(&entered.reply.stdout), "answer\n", "{shell}");
        std::fs::remove_file(&heard).unwrap();
        let held = open(shell).await.change(&here, claim("r2"), ":", LIMIT, hear).await;
        assert!(matches!(held, Err(NotEntered::Locked(_))), "{shell}: {held:?}");
        assert!(!heard.exists(), "{shell}: it heard of a lock that another holds");
    }
}

#[tokio::test]
async fn the_lock_outlives_a_lost_connection_and_no_longer_than_its_action() {
    for shell in SHELLS {
        let dir = TempDir::new().unwrap();
        let gate = dir.path().join("gate");
        let (mut changer, _) = change(shell, dir.path(), "r1").await;
        let script = format!(
            "echo begun; while ! [ -e {} ]; do sleep 0.05; done; echo ended; exit 3",
            gate.display()
        );
        let log = dir.path().join("state/runs/r1/a0001.log");
        {
            let action = changer.run("zk start", &script, LIMIT);
            tokio::pin!(action);
            tokio::select! {
                ended = &mut action => panic!("{ended:?}"),
                () = until(async || std::fs::read(&log).is_ok_and(|log| !log.is_empty())) => {}
            }
        }
        assert!(matches!(changer.ask(":", LIMIT).await, Err(Lost::Unusable { .. })));
        drop(changer);
        let held =
            open(shell).await.change(&places(dir.path()), claim("r2"), ":", LIMIT, || ()).await;
        let Err(NotEntered::Locked(holder)) = held else { panic!("{shell}: {held:?}") };
        assert!(holder.starts_with("run=r1 step=zk_start pid="), "{shell}: {holder}");
        assert!(holder.contains(" by=alice from=laptop since=2"), "{shell}: {holder}");
        let (_, entered) = look(shell, dir.path()).await;
        assert_eq!(entered.last.unwrap().status, None, "{shell}");
        std::fs::write(&gate, "").unwrap();
        let mut last = None;
        until(async || {
            match open(shell)
                .await
                .change(&places(dir.path()), claim("r2"), ":", LIMIT, || ())
                .await
            {
                Ok((_, entered)) => {
                    last = entered.last;
                    true
                }
                Err(NotEntered::Locked(_)) => false,
                Err(other) => panic!("{other:?}"),
            }
        })
        .await;
        let last = last.unwrap();
        assert_eq!((last.run.as_str(), last.name.as_str()), ("r1", "zk_start"), "{shell}");
        assert_eq!(last.status, Some(3), "{shell}");
        assert!(text(&std::fs::read(&last.log).unwrap()).ends_with("ended\n"), "{shell}");
    }
}

#[tokio::test]
async fn a_lock_that_is_removed_under_a_run_keeps_others_out_all_the_same() {
    for shell in SHELLS {
        let dir = TempDir::new().unwrap();
        let here = places(dir.path());
        let (mut first, _) = change(shell, dir.path(), "r1").await;
        for spoil in 0..3 {
            match spoil {
                0 => std::fs::remove_dir_all(&here.runtime).unwrap(),
                1 => std::fs::remove_file(here.runtime.join("lock")).unwrap(),
                _ => {}
            }
            for _ in 0..2 {
                let second = open(shell).await.change(&here, claim("r2"), ":", LIMIT, || ()).await;
                let Err(NotEntered::Locked(holder)) = second else { panic!("{shell}: {second:?}") };
                assert!(holder.starts_with("run=r1 step=- pid="), "{shell}: {holder}");
            }
            // The run itself goes on, and what it writes of itself is read where it is.
            assert_eq!(first.run("act", ":", LIMIT).await.unwrap().status, 0, "{shell}");
        }
        let mut key = Unlocker::take(open(shell).await, &here).await.unwrap();
        assert_eq!(key.held().await.unwrap().unwrap().holder.run, "r1", "{shell}");
        first.close().await;
        until(async || key.held().await.unwrap().is_none()).await;
        let (second, _) = change(shell, dir.path(), "r2").await;
        second.close().await;
    }
}

#[tokio::test]
async fn a_daemon_that_an_action_left_is_named_and_ended_or_left_alone() {
    for shell in SHELLS {
        for leave in [false, true] {
            let dir = TempDir::new().unwrap();
            let here = places(dir.path());
            let (mut first, _) = change(shell, dir.path(), "r1").await;
            let script = "sleep 311 >/dev/null 2>&1 & echo $!";
            let daemon = first.run("installs", script, LIMIT).await.unwrap().output_tail;
            let daemon = format!("/proc/{}", daemon.trim());
            first.close().await;
            let tries = async || {
                let second = open(shell).await.change(&here, claim("r2"), ":", LIMIT, || ()).await;
                match second {
                    Err(NotEntered::Locked(holder)) => Some(Holder::parse(&holder)),
                    Ok(_) => None,
                    other => panic!("{shell}: {other:?}"),
                }
            };
            until(async || {
                tries().await.is_some_and(|holder| holder.controller == Controller::Over)
            })
            .await;
            let mut key = Unlocker::take(open(shell).await, &here).await.unwrap();
            let held = key.held().await.unwrap().unwrap();
            assert_eq!(
                (held.holder.run.as_str(), held.holder.controller),
                ("r1", Controller::Over)
            );
            let [process] = &held.processes[..] else { panic!("{:?}", held.processes) };
            assert!(process.contains("sleep 311"), "{process}");
            assert!(key.leave("r0").await.is_err() && key.end("r0").await.is_err());
            if leave {
                key.leave("r1").await.unwrap();
            } else {
                key.end("r1").await.unwrap();
            }
            assert_eq!(std::fs::exists(&daemon).unwrap(), leave, "{shell}");
            assert_eq!(key.held().await.unwrap(), None, "{shell}");
            let (mut second, _) = change(shell, dir.path(), "r2").await;
            // One that works is not left alone, however often it is asked.
            let mut key = Unlocker::take(open(shell).await, &here).await.unwrap();
            assert_eq!(key.held().await.unwrap().unwrap().holder.run, "r2", "{shell}");
            assert!(key.leave("r2").await.unwrap_err().contains("goes on"), "{shell}");
            assert_eq!(second.run("act", ":", LIMIT).await.unwrap().status, 0, "{shell}");
            second.close().await;
            if leave {
                let pid = daemon.trim_start_matches("/proc/");
                std::process::Command::new("kill").arg(pid).status().unwrap();
            }
        }
    }
}

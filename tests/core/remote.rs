//! The shell protocol against real shells as local children.
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use provision::ground::Digest;
use provision::remote::answer::{Entered, Extent, Lost, NotEntered};
use provision::remote::holder::{Controller, Holder};
use provision::remote::login::{Become, Claim, LoginShell, Places, login};
use provision::remote::shell::{Changer, Looker, Shell, Upload};
use provision::remote::unlock::Unlocker;
use provision::remote::wire::Streams;
use sha2::Digest as _;
use tempfile::TempDir;
use tokio::io::AsyncWrite;
use tokio::process::{ChildStdin, Command};

const LIMIT: Duration = Duration::from_secs(60);
const SHELLS: [&str; 3] = ["/bin/dash", "/bin/bash", "busybox sh"];

async fn open(shell: &str) -> LoginShell {
    recorded("", shell, Record::default()).await
}

/// All that a shell was sent.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<u8>>>);

struct Recorder(Record, ChildStdin);

impl AsyncWrite for Recorder {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.1).poll_write(context, bytes);
        if let Poll::Ready(Ok(n)) = wrote {
            self.0.0.lock().unwrap().extend_from_slice(&bytes[..n]);
        }
        wrote
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.1).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.1).poll_shutdown(context)
    }
}

async fn recorded(first: &str, shell: &str, record: Record) -> LoginShell {
    let login = login(Become::Nobody).unwrap();
    let command = format!("{first}{}", login.command().replace("/bin/sh", shell));
    let mut child = Command::new("/bin/sh")
        .args(["-c", &command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let streams = Streams {
        stdin: Box::new(Recorder(record, child.stdin.take().unwrap())),
        stdout: Box::new(child.stdout.take().unwrap()),
        stderr: Box::new(child.stderr.take().unwrap()),
        keep: Box::new(child),
    };
    LoginShell::wait(streams, &login, None).await.unwrap()
}

fn places(dir: &Path) -> Places {
    Places { state: dir.join("state"), runtime: dir.join("run") }
}

fn claim(run: &str) -> Claim<'_> {
    Claim { run, by: "alice", from: "laptop" }
}

async fn look(shell: &str, dir: &Path) -> (Shell<Looker>, Entered) {
    open(shell).await.look(&places(dir), ":", LIMIT).await.unwrap()
}

async fn change(shell: &str, dir: &Path, run: &str) -> (Shell<Changer>, Entered) {
    open(shell).await.change(&places(dir), claim(run), ":", LIMIT).await.unwrap()
}

/// Polls, for as long as anything on a loaded machine may take.
async fn until(mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not come true");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn a_looker_gets_answers_and_writes_nothing() {
    for shell in SHELLS {
        let dir = TempDir::new().unwrap();
        let (mut looker, entered) = look(shell, dir.path()).await;
        assert_eq!(entered.boot_id.len(), 36, "{shell}");
        assert_eq!(entered.last, None);
        let reply = looker
            .ask("printf 'a b\\n\\n'; echo oops >&2; echo \"it's\"; exit 7", LIMIT)
            .await
            .unwrap();
        assert_eq!(text(&reply.stdout), "a b\n\nit's\n", "{shell}");
        assert_eq!((reply.status, reply.complaint.as_str()), (7, "oops\n"), "{shell}");
        assert_eq!(looker.ask("return 3", LIMIT).await.unwrap().status, 3, "{shell}");
        assert_eq!(looker.ask("", LIMIT).await.unwrap().stdout, b"", "{shell}");
        // -e holds, and ends nothing but its own script.
        let reply = looker.ask("set -eu; false; echo no", LIMIT).await.unwrap();
        assert_eq!((reply.status, reply.stdout.as_slice()), (1, &b""[..]), "{shell}");
        // What only a changer is told is unknown here.
        let reply = looker.ask("p_run x 1 y 'echo no'", LIMIT).await.unwrap();
        assert_eq!(reply.status, 127, "{shell}");
        looker.close().await;
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{shell}");
    }
}

#[tokio::test]
async fn a_script_can_neither_break_out_nor_eat_what_follows() {
    for shell in SHELLS {
        let dir = TempDir::new().unwrap();
        let (mut looker, _) = look(shell, dir.path()).await;
        let marker = dir.path().join("marker");
        for bad in ["}; touch MARK; {", "fi\ntouch MARK", "echo 'open; touch MARK", ")\ntouch MARK"]
        {
            let bad = bad.replace("MARK", marker.to_str().unwrap());
            let reply = looker.ask(&bad, LIMIT).await.unwrap();
            assert_ne!(reply.status, 0, "{shell}: {bad}");
            assert!(!marker.exists(), "{shell}: {bad}");
        }
        let reply = looker.ask("cat; read -r x; echo \"got ${x:-nothing}\"", LIMIT).await.unwrap();
        assert_eq!(text(&reply.stdout), "got nothing\n", "{shell}");
        let reply = looker.ask("exec >/dev/null 2>&1 </dev/null; exit 4", LIMIT).await.unwrap();
        assert_eq!(reply.status, 4, "{shell}");
        assert_eq!(looker.ask("echo on", LIMIT).await.unwrap().stdout, b"on\n", "{shell}");
        assert!(matches!(looker.ask("a\0b", LIMIT).await, Err(Lost::Unusable { .. })));
    }
}

#[tokio::test]
async fn output_that_looks_like_a_frame_is_output() {
    for shell in SHELLS {
        let dir = TempDir::new().unwrap();
        let (mut looker, _) = look(shell, dir.path()).await;
        let forged = "\n0123456789abcdef0123456789abcdef-3 end 0\n";
        let script = format!("printf '%s' '{forged}'; printf '%s' '{forged}' >&2; exit 5");
        let reply = looker.ask(&script, LIMIT).await.unwrap();
        assert_eq!((text(&reply.stdout).as_str(), reply.status), (forged, 5), "{shell}");
        // Late output of something left behind belongs to nobody.
        let script = "(sleep 0.2; echo late; echo late >&2) & echo now";
        assert_eq!(looker.ask(script, LIMIT).await.unwrap().stdout, b"now\n", "{shell}");
        let reply = looker.ask("sleep 0.5; echo then", LIMIT).await.unwrap();
        assert!(text(&reply.stdout).ends_with("then\n"), "{shell}");
    }
}

#[tokio::test]
async fn much_output_arrives_and_too_much_is_cut() {
    let dir = TempDir::new().unwrap();
    let (mut looker, _) = look("/bin/dash", dir.path()).await;
    let reply = looker.ask("head -c 10000000 /dev/zero | tr '\\0' x", LIMIT).await.unwrap();
    assert_eq!((reply.stdout.len(), reply.extent), (10_000_000, Extent::Whole));
    let reply = looker.ask("head -c 20000000 /dev/zero; exit 9", LIMIT).await.unwrap();
    assert_eq!((reply.stdout.len(), reply.extent, reply.status), (16 << 20, Extent::Cut, 9));
    let script = format!("# {}\necho whole", "x".repeat(1 << 20));
    assert_eq!(looker.ask(&script, LIMIT).await.unwrap().stdout, b"whole\n");
    let reply = looker.ask("head -c 1000000 /dev/zero | tr '\\0' y >&2", LIMIT).await.unwrap();
    assert!(reply.complaint.len() <= 16 << 10 && reply.complaint.ends_with('y'));
}

#[tokio::test]
async fn an_abandoned_question_spoils_the_shell() {
    let dir = TempDir::new().unwrap();
    let (mut looker, _) = look("/bin/dash", dir.path()).await;
    let lost = looker.ask("sleep 5", Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(lost, Lost::Timeout { .. }), "{lost:?}");
    assert!(matches!(looker.ask(":", LIMIT).await, Err(Lost::Unusable { .. })));
    let (mut looker, _) = look("/bin/dash", dir.path()).await;
    let lost = looker.ask("echo dying >&2; kill -9 $$", LIMIT).await.unwrap_err();
    assert!(matches!(lost, Lost::Gone { .. }), "{lost:?}");
}

#[tokio::test]
async fn actions_leave_log_and_status_on_the_host() {
    for shell in SHELLS {
        let dir = TempDir::new().unwrap();
        let (mut changer, _) = change(shell, dir.path(), "r1").await;
        assert!(!dir.path().join("state/runs").exists(), "a run without actions leaves no trace");
        let ended = changer
            .run("zk/start", "set -eu; cat; printf 'bell \\007\\n'; echo bad >&2; exit 6", LIMIT)
            .await
            .unwrap();
        assert_eq!((ended.status, ended.output_tail.as_str()), (6, "bell \\x07\nbad\n"), "{shell}");
        assert_eq!(text(&std::fs::read(&ended.log).unwrap()), "bell \x07\nbad\n");
        let script = "i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done";
        let ended = changer.run("much", script, LIMIT).await.unwrap();
        assert_eq!(ended.output_tail.len(), 64 << 10, "{shell}");
        assert!(ended.output_tail.ends_with("line 29999\n"), "{shell}");
        // What a terminal that goes away sends to all.
        let script = "kill -HUP $$; read -r me rest </proc/self/stat; kill -HUP $me; exit 8";
        assert_eq!(changer.run("hung up", script, LIMIT).await.unwrap().status, 8, "{shell}");
        changer.close().await;
        let (_, entered) = look(shell, dir.path()).await;
        let last = entered.last.unwrap();
        assert_eq!(
            (last.run.as_str(), last.name.as_str(), last.status),
            ("r1", "hung_up", Some(8))
        );
        use std::os::unix::fs::PermissionsExt as _;
        for made in ["state", "run"] {
            let mode = dir.path().join(made).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o700, "{shell} {made}");
        }
    }
}

#[tokio::test]
async fn a_part_of_an_action_does_nothing() {
    let dir = TempDir::new().unwrap();
    let (asked, acted) = (dir.path().join("asked"), dir.path().join("acted"));
    let record = Record::default();
    let opened = recorded("", "/bin/dash", record.clone()).await;
    let ask = format!("touch '{}'", asked.display());
    let (mut changer, _) =
        opened.change(&places(dir.path()), claim("r1"), &ask, LIMIT).await.unwrap();
    let first = text(&record.0.lock().unwrap()).rfind("{\np_stop=").unwrap();
    let second = record.0.lock().unwrap().len();
    let act = format!("# it's\ntouch '{}'\ntouch '{0}'", acted.display());
    changer.run("act", &act, LIMIT).await.unwrap();
    changer.close().await;
    let clean = || {
        let _ = std::fs::remove_file(&acted);
        let _ = std::fs::remove_file(&asked);
        let _ = std::fs::remove_dir_all(dir.path().join("run"));
        let _ = std::fs::remove_dir_all(dir.path().join("state"));
    };
    let sent = text(&record.0.lock().unwrap());
    for shell in SHELLS {
        // Every byte is tried as the last one to arrive; the very last is but a newline.
        let step = if shell == "/bin/dash" { 1 } else { 5 };
        clean();
        for cut in (first..second - 1).step_by(step) {
            feed(shell, &sent[..cut]).await;
            assert_eq!(names(dir.path()), [""; 0], "{shell} ran a part: {:?}", &sent[first..cut]);
        }
        for cut in (second..sent.len() - 1).step_by(step) {
            feed(shell, &sent[..cut]).await;
            let part = &sent[second..cut];
            assert!(asked.exists() && !acted.exists(), "{shell} ran a part: {part:?}");
            assert!(!dir.path().join("state/runs").exists(), "{shell} began a part: {part:?}");
        }
        feed(shell, &sent).await;
        assert!(acted.exists(), "{shell} runs the whole");
    }
}

async fn feed(shell: &str, input: &str) {
    use tokio::io::AsyncWriteExt as _;
    let mut words = shell.split(' ');
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .arg("-s")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    child.wait().await.unwrap();
}

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
            let held = open(shell).await.change(&places(dir.path()), claim("r2"), ":", LIMIT).await;
            let Err(NotEntered::Locked(holder)) = held else { panic!("{shell}: {held:?}") };
            assert!(holder.starts_with(LINE.trim_end()), "{shell}: {holder}");
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap();
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
        let held = open(shell).await.change(&places(dir.path()), claim("r2"), ":", LIMIT).await;
        let Err(NotEntered::Locked(holder)) = held else { panic!("{shell}: {held:?}") };
        assert!(holder.starts_with("run=r1 step=zk_start pid="), "{shell}: {holder}");
        assert!(holder.contains(" by=alice from=laptop since=2"), "{shell}: {holder}");
        let (_, entered) = look(shell, dir.path()).await;
        assert_eq!(entered.last.unwrap().status, None, "{shell}");
        std::fs::write(&gate, "").unwrap();
        let mut last = None;
        until(async || {
            match open(shell).await.change(&places(dir.path()), claim("r2"), ":", LIMIT).await {
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

/// A host's clock that is set back makes every earlier run look newer than this one.
#[tokio::test]
async fn a_clock_set_back_takes_nothing_from_the_run_that_works() {
    for shell in SHELLS {
        let dir = TempDir::new().unwrap();
        let later = std::time::SystemTime::now() + Duration::from_secs(86_400);
        for n in 0..60 {
            let old = dir.path().join(format!("state/runs/r1{n:02}"));
            std::fs::create_dir_all(&old).unwrap();
            std::fs::write(old.join("a0001.start"), "old\n").unwrap();
            std::fs::File::open(&old).unwrap().set_modified(later).unwrap();
        }
        // Whatever its name sorts as: the operator's clock can be wrong too.
        for run in ["r2", "r0"] {
            let (mut changer, _) = change(shell, dir.path(), run).await;
            for _ in 0..2 {
                let ended = changer.run("act", "echo done", LIMIT).await.unwrap();
                assert_eq!((ended.status, &*ended.output_tail), (0, "done\n"), "{shell}: {run}");
            }
            changer.close().await;
            let (_, entered) = look(shell, dir.path()).await;
            let last = entered.last.unwrap();
            assert_eq!((last.run.as_str(), last.status), (run, Some(0)), "{shell}");
            assert!(names(&dir.path().join("state/runs")).len() <= 31, "{shell}");
        }
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
                let second = open(shell).await.change(&here, claim("r2"), ":", LIMIT).await;
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
                let second = open(shell).await.change(&here, claim("r2"), ":", LIMIT).await;
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

#[tokio::test]
async fn a_killed_action_shows_as_never_ended() {
    let dir = TempDir::new().unwrap();
    let (mut changer, _) = change("/bin/dash", dir.path(), "r1").await;
    // The reader of that file is the action itself; its parent is who writes the status.
    let script = "read -r me name state parent rest </proc/self/stat; kill -9 $parent $me";
    let ended = changer.run("dies", script, LIMIT).await.unwrap();
    assert_eq!(ended.status, 137);
    drop(changer);
    let (_, entered) = look("/bin/dash", dir.path()).await;
    assert_eq!(entered.last.unwrap().status, None);
}

#[tokio::test]
async fn what_a_killed_action_leaves_is_taken_away_by_the_next_run() {
    for shell in SHELLS {
        let dir = TempDir::new().unwrap();
        let place = dir.path().join("a b");
        std::fs::create_dir(&place).unwrap();
        let (mut killed, _) = change(shell, dir.path(), "r1").await;
        let script = format!(
            "t=$(mktemp '{0}/.provision.XXXXXX'); d=$(mktemp -d '{0}/.provision.XXXXXX')\n\
             echo secret >\"$t\"; echo part >\"$d/part\"; echo mine >'{0}/mine'\n\
             read -r me name state parent rest </proc/self/stat; kill -9 $parent $me",
            place.display()
        );
        killed.run("files", &script, LIMIT).await.unwrap();
        drop(killed);
        assert_eq!(names(&place).len(), 3, "{shell}");
        let (mut next, _) = change(shell, dir.path(), "r2").await;
        let ended = next.run("files", "true", LIMIT).await.unwrap();
        assert_eq!(ended.status, 0, "{shell}: {}", ended.output_tail);
        assert_eq!(names(&place), ["mine"], "{shell}");
    }
}

#[tokio::test]
async fn fifty_mebibytes_pass_through_the_shells_own_input() {
    let bytes: Vec<u8> =
        (0..50_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let digest = Digest::Sha512(hex(&sha2::Sha512::digest(&bytes)));
    for shell in SHELLS {
        let dir = TempDir::new().unwrap();
        let (mut changer, _) = change(shell, dir.path(), "r1").await;
        let upload = Upload {
            directory: dir.path(),
            name: "big file",
            bytes: bytes.len() as u64,
            digest: &digest,
            mode: 0o644,
        };
        let reply = changer.push(bytes.as_slice(), &upload, LIMIT).await.unwrap();
        assert_eq!((reply.status, text(&reply.stdout).as_str()), (0, ""), "{shell}");
        assert!(std::fs::read(dir.path().join("big file")).unwrap() == bytes, "{shell}");
        assert_eq!(changer.ask("echo on", LIMIT).await.unwrap().stdout, b"on\n", "{shell}");
        assert_eq!(names(dir.path()), ["big file", "run", "state"], "{shell}");
    }
}

#[tokio::test]
async fn a_push_that_fails_leaves_the_old_file_and_runs_nothing_of_it() {
    for shell in SHELLS {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("f"), "old").unwrap();
        let marker = dir.path().join("marker");
        let evil = format!("touch {}\n", marker.display()).repeat(50_000);
        let right = Digest::Sha256(hex(&sha2::Sha256::digest(evil.as_bytes())));
        let wrong = Digest::Sha256("0".repeat(64));
        let bytes = evil.len() as u64;
        let upload =
            |digest, directory| Upload { directory, name: "f", bytes, digest, mode: 0o644 };
        let (mut changer, _) = change(shell, dir.path(), "r1").await;
        let reply =
            changer.push(evil.as_bytes(), &upload(&wrong, dir.path()), LIMIT).await.unwrap();
        assert_eq!(reply.status, 65, "{shell}");
        let nowhere = dir.path().join("nowhere");
        let reply = changer.push(evil.as_bytes(), &upload(&right, &nowhere), LIMIT).await.unwrap();
        assert_eq!(reply.status, 73, "{shell}");
        assert!(text(&reply.stdout).contains("mktemp"), "{shell}: {:?}", reply.stdout);
        assert_eq!(changer.ask("echo on", LIMIT).await.unwrap().stdout, b"on\n", "{shell}");
        let short = &evil.as_bytes()[..1000];
        let lost = changer.push(short, &upload(&right, dir.path()), LIMIT).await.unwrap_err();
        assert!(lost.to_string().contains("ended"), "{shell}: {lost}");
        drop(changer);
        until(async || names(dir.path()) == ["f", "run", "state"]).await;
        assert!(!marker.exists(), "{shell}");
        assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), b"old", "{shell}");
    }
}

#[tokio::test]
async fn a_full_disk_keeps_the_old_file_and_runs_nothing_of_the_new_one() {
    for shell in SHELLS {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("f"), "old").unwrap();
        let marker = dir.path().join("marker");
        let evil = format!("touch {}\n", marker.display()).repeat(50_000);
        // Writing past this limit fails as it does on a full disk.
        let full = "trap '' XFSZ; ulimit -f 128; ";
        let opened = recorded(full, shell, Record::default()).await;
        let (mut changer, _) =
            opened.change(&places(dir.path()), claim("r1"), ":", LIMIT).await.unwrap();
        let digest = Digest::Sha256(hex(&sha2::Sha256::digest(evil.as_bytes())));
        let upload = Upload {
            directory: dir.path(),
            name: "f",
            bytes: evil.len() as u64,
            digest: &digest,
            mode: 0o644,
        };
        let reply = changer.push(evil.as_bytes(), &upload, LIMIT).await.unwrap();
        assert_eq!(reply.status, 74, "{shell}");
        assert!(text(&reply.stdout).contains("File too large"), "{shell}: {:?}", reply.stdout);
        assert_eq!(changer.ask("echo on", LIMIT).await.unwrap().stdout, b"on\n", "{shell}");
        assert_eq!(names(dir.path()), ["f", "run", "state"], "{shell}");
        assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), b"old", "{shell}");
    }
}

#[tokio::test]
async fn what_cannot_be_changed_says_so() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("state"), "in the way").unwrap();
    let here = places(dir.path());
    let refused = open("/bin/dash").await.change(&here, claim("r1"), ":", LIMIT).await;
    let Err(NotEntered::Refused(why)) = refused else { panic!() };
    assert!(why.contains("File exists"), "{why}");
    for bad in ["", "../x", "a b", "-x"] {
        let refused = open("/bin/dash").await.change(&here, claim(bad), ":", LIMIT).await;
        assert!(matches!(refused, Err(NotEntered::Refused(_))), "{bad}");
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

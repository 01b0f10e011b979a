//! The shell protocol against real shells as local children.

mod locks;
mod uploads;

use provision::remote::answer::{Entered, Extent, Lost, NotEntered};
use provision::remote::login::{Become, Claim, LoginShell, Places, login};
use provision::remote::shell::{Changer, Looker, Shell};
use provision::remote::wire::Streams;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
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

/// Whoever held the lock may take a moment to end.
async fn change(shell: &str, dir: &Path, run: &str) -> (Shell<Changer>, Entered) {
    let mut entered = None;
    until(async || {
        entered = match open(shell).await.change(&places(dir), claim(run), ":", LIMIT, || ()).await
        {
            Err(NotEntered::Locked(_)) => None,
            ended => Some(ended.unwrap()),
        };
        entered.is_some()
    })
    .await;
    entered.expect("it came true")
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
        opened.change(&places(dir.path()), claim("r1"), &ask, LIMIT, || ()).await.unwrap();
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
async fn what_cannot_be_changed_says_so() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("state"), "in the way").unwrap();
    let here = places(dir.path());
    let refused = open("/bin/dash").await.change(&here, claim("r1"), ":", LIMIT, || ()).await;
    let Err(NotEntered::Refused(why)) = refused else { panic!() };
    assert!(why.contains("File exists"), "{why}");
    for bad in ["", "../x", "a b", "-x"] {
        let refused = open("/bin/dash").await.change(&here, claim(bad), ":", LIMIT, || ()).await;
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

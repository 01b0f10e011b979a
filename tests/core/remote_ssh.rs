//! Connections through the system's ssh to a real sshd on this machine.
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use provision::inventory::Ssh;
use provision::remote::answer::{Lost, NotEntered};
use provision::remote::login::{Claim, Places};
use provision::remote::sentence::{Cause, Unreachable};
use provision::remote::shell::{Looker, Shell};
use provision::remote::ssh::{Link, Options, UnknownKeys, connect};

use super::support::sshd::{Sshd, keygen, until};

const LIMIT: Duration = Duration::from_secs(60);

/// A daemon, or the end of the test where there can be none.
macro_rules! sshd {
    ($extra:expr) => {
        match Sshd::start($extra).await {
            Some(sshd) => sshd,
            None => return,
        }
    };
}

/// So many connections were let in, and no more; sshd may say so later than ssh.
async fn logged_in(sshd: &Sshd, times: usize) {
    until(async || sshd.logins() >= times).await;
    assert_eq!(sshd.logins(), times);
}

fn places(dir: &Path) -> Places {
    Places { state: dir.join("state"), runtime: dir.join("run") }
}

async fn look(link: &Link, dir: &Path) -> Shell<Looker> {
    link.shell(None).await.unwrap().look(&places(dir), ":", LIMIT).await.unwrap().0
}

async fn refusal(ssh: &Ssh, options: &Options) -> Unreachable {
    match connect(ssh, options).await {
        Err(unreachable) => unreachable,
        Ok(_) => panic!("it connected"),
    }
}

#[tokio::test]
async fn a_second_run_uses_the_connection_of_the_first() {
    let sshd = sshd!("MaxSessions 1");
    let (ssh, options) = (sshd.ssh("root"), sshd.options(UnknownKeys::Refuse));
    let link = connect(&ssh, &options).await.unwrap();
    let mut looker = look(&link, sshd.dir.path()).await;
    let reply =
        looker.ask("id -u; echo \"$PATH\" | tr : '\\n' | grep -c sbin", LIMIT).await.unwrap();
    assert_eq!(reply.stdout, b"0\n3\n");
    // One session is all there is.
    let refused = link.shell(None).await.unwrap_err();
    assert!(refused.sentence.contains("MaxSessions"), "{refused}");
    // One that ends meanwhile is waited for.
    let (opened, ()) = tokio::join!(link.shell(None), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        looker.close().await;
    });
    opened.unwrap();
    connect(&ssh, &options).await.unwrap();
    logged_in(&sshd, 1).await;
    // Other settings, other connection.
    let other = Ssh { connect_timeout: Duration::from_secs(9), ..ssh.clone() };
    connect(&other, &options).await.unwrap();
    logged_in(&sshd, 2).await;
    let mode = fs::metadata(link.control_socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
    let end = std::process::Command::new("ssh")
        .arg("-S")
        .arg(link.control_socket())
        .args(["-O", "exit", "the-master"])
        .output()
        .unwrap();
    assert!(end.status.success(), "{end:?}");
    connect(&ssh, &options).await.unwrap();
    logged_in(&sshd, 3).await;
}

#[tokio::test]
async fn many_connects_to_one_host_make_one_connection() {
    let sshd = sshd!("");
    let (ssh, options) = (sshd.ssh("root"), sshd.options(UnknownKeys::Refuse));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (ssh, options) = (ssh.clone(), options.clone());
        tasks.spawn(async move { connect(&ssh, &options).await.map(drop) });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap().unwrap();
    }
    logged_in(&sshd, 1).await;
}

#[tokio::test]
async fn a_dead_master_is_replaced() {
    let sshd = sshd!("");
    let (ssh, options) = (sshd.ssh("root"), sshd.options(UnknownKeys::Refuse));
    let link = connect(&ssh, &options).await.unwrap();
    sshd.cut();
    link.shell(None).await.unwrap();
    logged_in(&sshd, 2).await;
}

#[tokio::test]
async fn a_master_that_has_yet_to_find_itself_dead_is_replaced() {
    let sshd = sshd!("");
    let (ssh, options) = (sshd.ssh("root"), sshd.options(UnknownKeys::Refuse));
    let link = connect(&ssh, &options).await.unwrap();
    for sleeps in [0, 50, 400, 1100] {
        let check = std::process::Command::new("ssh")
            .arg("-S")
            .arg(link.control_socket())
            .args(["-O", "check", "the-master"])
            .output()
            .unwrap();
        let said = String::from_utf8(check.stderr).unwrap();
        let pid = said.split_once("pid=").unwrap().1.split(')').next().unwrap().to_owned();
        signal("STOP", &pid);
        sshd.cut();
        let (shell, ()) = tokio::join!(link.shell(None), async {
            tokio::time::sleep(Duration::from_millis(sleeps)).await;
            signal("CONT", &pid);
        });
        shell.unwrap();
    }
}

fn signal(name: &str, pid: &str) {
    let status = std::process::Command::new("kill").arg(format!("-{name}")).arg(pid).status();
    assert!(status.unwrap().success());
}

#[tokio::test]
async fn host_keys_are_checked() {
    let sshd = sshd!("");
    let ssh = sshd.ssh("root");
    let strict = sshd.options(UnknownKeys::Refuse);
    let print = fingerprint(&sshd.path("host.pub"));

    fs::write(sshd.path("known_hosts"), "").unwrap();
    let unknown = refusal(&ssh, &strict).await;
    assert_eq!(unknown.cause, Cause::UnknownKey, "{unknown}");
    assert!(unknown.sentence.contains(&format!("ED25519 {print}")), "{unknown}");
    assert!(unknown.sentence.contains("--accept-new-host-keys"), "{unknown}");
    assert_eq!(fs::read_to_string(sshd.path("known_hosts")).unwrap(), "");

    connect(&ssh, &sshd.options(UnknownKeys::Accept)).await.unwrap();
    assert!(fs::read_to_string(sshd.path("known_hosts")).unwrap().contains("ssh-ed25519"));

    keygen(&sshd.path("other"));
    sshd.know_key("other");
    // A connection made under one policy does not serve the other.
    for policy in [UnknownKeys::Refuse, UnknownKeys::Accept] {
        let mut options = sshd.options(policy);
        options.directory = sshd.path("control2");
        fs::create_dir_all(&options.directory).unwrap();
        let changed = refusal(&ssh, &options).await;
        assert_eq!(changed.cause, Cause::ChangedKey, "{changed}");
        assert!(changed.sentence.contains(&format!("it is ED25519 {print}")), "{changed}");
        let was = format!("instead of ED25519 {}", fingerprint(&sshd.path("other.pub")));
        assert!(changed.sentence.contains(&was), "{changed}");
        assert!(changed.sentence.contains("ssh-keygen -f "), "{changed}");
        assert!(!changed.sentence.contains('\n'), "{changed}");
    }
}

fn fingerprint(public: &Path) -> String {
    let output =
        std::process::Command::new("ssh-keygen").arg("-lf").arg(public).output().unwrap().stdout;
    String::from_utf8(output).unwrap().split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn every_way_not_to_connect_has_its_sentence() {
    let sshd = sshd!("");
    let ssh = sshd.ssh("root");
    let options = sshd.options(UnknownKeys::Refuse);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let write = |name: &str, text: &str, mode: u32| {
        let path = sshd.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Some(path)
    };
    let key = fs::read_to_string(sshd.path("user")).unwrap();
    keygen(&sshd.path("stranger"));
    write("bad_config", "Port 22\nNoSuchOption yes\n", 0o600);
    let s = || ssh.clone();
    let port = |port: u16| Ssh { port: Some(port), ..s() };
    let quick = Duration::from_secs(1);
    let cases = [
        (port(closed), Cause::Refused, "is sshd running"),
        (
            Ssh { connect_timeout: quick, ..port(silent.local_addr().unwrap().port()) },
            Cause::NoBanner,
            "banner within 1 s",
        ),
        (
            Ssh { host: "no-such-host.invalid".into(), ..s() },
            Cause::CannotResolve,
            "`no-such-host.invalid`",
        ),
        (Ssh { host: "-oProxyCommand=touch".into(), ..s() }, Cause::Config, "cannot be given"),
        (Ssh { user: Some("$(id)".into()), ..s() }, Cause::Config, "cannot be given"),
        (
            Ssh { identity_file: Some(sshd.path("stranger")), ..s() },
            Cause::Denied,
            "as root (it takes publickey)",
        ),
        (
            Ssh { identity_file: Some(sshd.path("absent")), ..s() },
            Cause::Identity,
            "does not exist",
        ),
        (Ssh { identity_file: write("wide", &key, 0o644), ..s() }, Cause::Identity, "chmod 600"),
        (
            Ssh { config_file: Some(sshd.path("bad_config")), ..s() },
            Cause::Config,
            "bad_config: line 2: Bad configuration option: nosuchoption",
        ),
        (
            Ssh { proxy_jump: Some(format!("root@127.0.0.1:{closed}")), ..s() },
            Cause::Jump,
            "Connection refused",
        ),
    ];
    for (ssh, cause, words) in cases {
        let found = refusal(&ssh, &options).await;
        assert_eq!(found.cause, cause, "{found}");
        assert!(found.sentence.contains(words), "{found}");
        assert!(!found.sentence.contains('\n') && !found.sentence.ends_with('.'), "{found}");
    }
    let wrong = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHI\n";
    if std::env::var_os("SSH_AUTH_SOCK").is_none() {
        let ssh = Ssh { identity_file: write("locked", wrong, 0o600), ..s() };
        let found = refusal(&ssh, &options).await;
        assert!(found.sentence.contains("ssh-add"), "{found}");
    }
}

#[tokio::test]
async fn shed_connections_are_tried_again_and_then_named() {
    // Unauthenticated connections of ours keep every further one out.
    let sshd = sshd!("MaxStartups 2:100:2");
    let (ssh, options) = (sshd.ssh("root"), sshd.options(UnknownKeys::Refuse));
    let mut held = Vec::new();
    until(async || {
        use std::io::Read as _;
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", sshd.port)).unwrap();
        // Who is greeted is in.
        if stream.read_exact(&mut [0; 4]).is_ok() {
            held.push(stream);
        }
        held.len() == 2
    })
    .await;
    let shed = refusal(&ssh, &options).await;
    assert_eq!(shed.cause, Cause::Startups, "{shed}");
    let connecting = connect(&ssh, &options);
    tokio::pin!(connecting);
    // Let go after the first refusal: the next try gets in.
    let refused = || {
        fs::read_dir(&options.directory).unwrap().any(|entry| {
            let path = entry.unwrap().path();
            path.extension().is_some_and(|e| e == "log")
                && fs::read_to_string(path).is_ok_and(|log| log.contains("kex_exchange"))
        })
    };
    for entry in fs::read_dir(&options.directory).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    tokio::select! {
        result = &mut connecting => panic!("{:?}", result.map(drop)),
        () = until(async || refused()) => {}
    }
    drop(held);
    connecting.await.unwrap();
}

#[tokio::test]
async fn hosts_that_never_answer_keep_nobody_waiting() {
    let sshd = sshd!("");
    let options = sshd.options(UnknownKeys::Refuse);
    // More than may shake hands at once, and all of them come first.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (options, user) = (options.clone(), Some(format!("user{number}")));
        let ssh = Ssh { port: Some(port), user, ..sshd.ssh("root") };
        waiting.spawn(async move { connect(&ssh, &options).await.map(drop) });
    }
    // They have asked for their turn when the healthy host does.
    tokio::task::yield_now().await;
    connect(&sshd.ssh("root"), &options).await.unwrap();
    assert!(waiting.try_join_next().is_none(), "it had to wait for one that never answered");
}

#[tokio::test]
async fn an_action_outlives_its_connection_and_tells_the_next_run() {
    let sshd = sshd!("");
    let (ssh, options) = (sshd.ssh("root"), sshd.options(UnknownKeys::Refuse));
    outlives(&sshd, &ssh, &options, None).await;
}

async fn outlives(sshd: &Sshd, ssh: &Ssh, options: &Options, password: Option<&str>) {
    let here = places(sshd.dir.path());
    let claim = |run| Claim { run, by: "alice", from: "laptop" };
    let link = connect(ssh, options).await.unwrap();
    let opened = link.shell(password).await.unwrap();
    let (mut changer, entered) =
        opened.change(&here, claim("r1"), ":", LIMIT, || ()).await.unwrap();
    assert_eq!(entered.uid, 0);
    let gate = sshd.path("gate");
    let script = format!(
        "echo begun; while ! [ -e {} ]; do sleep 0.05; done; echo on; echo err >&2; exit 3",
        gate.display()
    );
    let log = here.state.join("runs/r1/a0001.log");
    let lost = {
        let action = changer.run("zk/start", &script, LIMIT);
        tokio::pin!(action);
        tokio::select! {
            ended = &mut action => panic!("{ended:?}"),
            () = until(async || fs::read(&log).is_ok_and(|log| !log.is_empty())) => {}
        }
        sshd.cut();
        action.await.unwrap_err()
    };
    assert!(matches!(lost, Lost::Gone { .. }), "{lost:?}");
    assert!(lost.to_string().starts_with("connection lost during zk/start"), "{lost}");
    drop(changer);
    let link = connect(ssh, options).await.unwrap();
    let try_again = async || {
        link.shell(password).await.unwrap().change(&here, claim("r2"), ":", LIMIT, || ()).await
    };
    let held = try_again().await;
    let Err(NotEntered::Locked(holder)) = held else { panic!("{held:?}") };
    assert!(holder.starts_with("run=r1 step=zk/start pid="), "{holder}");
    fs::write(&gate, "").unwrap();
    let mut last = None;
    until(async || match try_again().await {
        Ok((_, entered)) => {
            last = entered.last;
            true
        }
        Err(NotEntered::Locked(_)) => false,
        Err(other) => panic!("{other:?}"),
    })
    .await;
    assert_eq!(last.unwrap().status, Some(3));
    assert_eq!(fs::read_to_string(log).unwrap(), "begun\non\nerr\n");
    fs::remove_file(gate).unwrap();
}

/// Users of this test alone, gone when dropped.
struct Users(Vec<String>, std::path::PathBuf);

impl Users {
    /// `None` where users or sudo cannot be had.
    fn new(list: &[(&str, &str)]) -> Option<Users> {
        let sudoers = Path::new("/etc/sudoers.d");
        if !Path::new("/usr/bin/sudo").exists() || !sudoers.is_dir() {
            return None;
        }
        let id = std::process::id();
        let mut users = Users(Vec::new(), sudoers.join(format!("provision-test-{id}")));
        for (name, shell) in list {
            let name = format!("pt{id}{name}");
            let made = run("useradd", &["-m", "-s", shell, &name], "");
            assert!(made, "useradd {name}");
            users.0.push(name.clone());
            assert!(run("chpasswd", &[], &format!("{name}:hunter2\n")));
        }
        Some(users)
    }

    fn allow(&self, rules: &str) {
        fs::write(&self.1, rules).unwrap();
        fs::set_permissions(&self.1, fs::Permissions::from_mode(0o440)).unwrap();
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.1);
        for name in &self.0 {
            run("userdel", &["-r", "-f", name], "");
        }
    }
}

fn run(program: &str, arguments: &[&str], input: &str) -> bool {
    use std::io::Write as _;
    let mut child = std::process::Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

#[tokio::test]
async fn sudo_and_login_shells() {
    let sshd = sshd!("");
    let shells = [
        ("free", "/bin/bash"),
        ("asks", "/bin/dash"),
        ("none", "/bin/bash"),
        ("fish", "/usr/bin/fish"),
        ("tcsh", "/usr/bin/tcsh"),
        ("shut", "/usr/sbin/nologin"),
        ("noisy", "/bin/bash"),
    ];
    let there: Vec<_> = shells.into_iter().filter(|(_, shell)| Path::new(shell).exists()).collect();
    let Some(users) = Users::new(&there) else { return };
    let user = |name: &str| format!("pt{}{name}", std::process::id());
    let rule = |name: &str, tag: &str| format!("{} ALL=(ALL) {tag}ALL\n", user(name));
    let free: String =
        ["free", "fish", "tcsh", "noisy"].map(|name| rule(name, "NOPASSWD: ")).concat();
    users.allow(&format!("{free}{}", rule("asks", "")));
    let options = sshd.options(UnknownKeys::Refuse);
    let open = async |name: &str, password: Option<&str>| {
        connect(&sshd.ssh(&user(name)), &options).await.unwrap().shell(password).await
    };
    let noise = format!("/home/{}/.bashrc", user("noisy"));
    fs::write(noise, "echo READY-or-not; echo '[provision-0] ' >&2; cd /nowhere\n").unwrap();

    // The password is there and never asked for: nobody must run it as a command.
    for (name, _) in
        there.iter().filter(|(name, _)| ["free", "fish", "tcsh", "noisy"].contains(name))
    {
        let opened = open(name, Some("hunter2")).await.unwrap();
        let (mut looker, entered) =
            opened.look(&places(sshd.dir.path()), ":", LIMIT).await.unwrap();
        assert_eq!(entered.uid, 0, "{name}");
        let reply = looker.ask("echo ok; echo bad >&2", LIMIT).await.unwrap();
        assert_eq!((reply.stdout.as_slice(), reply.complaint.as_str()), (&b"ok\n"[..], "bad\n"));
        looker.close().await;
    }
    let opened = open("asks", Some("hunter2")).await.unwrap();
    let (mut looker, entered) = opened.look(&places(sshd.dir.path()), ":", LIMIT).await.unwrap();
    assert_eq!(entered.uid, 0);
    let shown = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c hunter[2]";
    assert_eq!(looker.ask(shown, LIMIT).await.unwrap().stdout, b"0\n");
    looker.close().await;
    for (name, password, cause, words) in [
        ("asks", None, Cause::NeedsPassword, "-K"),
        ("asks", Some("wrong"), Cause::WrongPassword, "tried once"),
        ("none", Some("hunter2"), Cause::NotSudoer, "is not in the sudoers file"),
        ("shut", None, Cause::NoShell, "This account is currently not available"),
    ] {
        let found = open(name, password).await.unwrap_err();
        assert_eq!(found.cause, cause, "{found}");
        assert!(found.sentence.contains(words), "{found}");
    }
    // Whom sudo does not let through can still be looked at without it.
    let plain = Ssh { become_root: false, ..sshd.ssh(&user("none")) };
    let opened = connect(&plain, &options).await.unwrap().shell(None).await.unwrap();
    let (_, entered) = opened.look(&places(sshd.dir.path()), ":", LIMIT).await.unwrap();
    assert_ne!(entered.uid, 0);
    let opened = connect(&plain, &options).await.unwrap().shell(None).await.unwrap();
    let claim = Claim { run: "r1", by: "alice", from: "laptop" };
    let refused = opened.change(&places(sshd.dir.path()), claim, ":", LIMIT, || ()).await;
    assert!(matches!(refused, Err(NotEntered::Refused(_))), "{refused:?}");

    // An action under sudo outlives its connection, with sudo's terminal and without.
    for terminal in ["use_pty", "!use_pty"] {
        users.allow(&format!("Defaults {terminal}\n{free}{}", rule("asks", "")));
        let dir = sshd.path("state");
        let _ = fs::remove_dir_all(dir);
        outlives(&sshd, &sshd.ssh(&user("asks")), &options, Some("hunter2")).await;
    }
}

#[tokio::test]
async fn a_jump_host_is_held_to_the_promise_about_keys_and_speaks_for_itself_alone() {
    let (target, banner) = (sshd!(""), tempfile::NamedTempFile::new().unwrap());
    let forged = "debug1: Server host key: ssh-ed25519 SHA256:forged\n";
    fs::write(banner.path(), forged).unwrap();
    let jump = sshd!(&format!("Banner {}", banner.path().display()));
    fs::copy(target.path("user.pub"), jump.path("authorized")).unwrap();
    let ssh =
        Ssh { proxy_jump: Some(format!("root@127.0.0.1:{}", jump.port)), ..target.ssh("root") };
    let refuse = target.options(UnknownKeys::Refuse);
    // The jump's key is in no known_hosts of the inventory's.
    let unknown = refusal(&ssh, &refuse).await;
    assert_eq!(unknown.cause, Cause::UnknownKey, "{unknown}");
    let name = format!("the key of the jump host [127.0.0.1]:{}", jump.port);
    assert!(unknown.sentence.contains(&name), "{unknown}");
    assert!(unknown.sentence.contains(&fingerprint(&jump.path("host.pub"))), "{unknown}");
    // What the sentence advises helps.
    let accept = target.options(UnknownKeys::Accept);
    let link = connect(&ssh, &accept).await.unwrap();
    look(&link, target.dir.path()).await.close().await;
    let known = fs::read_to_string(target.path("known_hosts")).unwrap();
    assert!(known.contains(&format!("[127.0.0.1]:{} ", jump.port)), "{known}");
    // Behind a jump that is known, a host that is not: its own key is shown, whatever the jump says.
    let of_jump: Vec<&str> =
        known.lines().filter(|line| line.contains(&format!(":{} ", jump.port))).collect();
    fs::write(target.path("known_hosts"), of_jump.join("\n") + "\n").unwrap();
    let other = Ssh { connect_timeout: Duration::from_secs(9), ..ssh };
    let unknown = refusal(&other, &refuse).await;
    assert_eq!(unknown.cause, Cause::UnknownKey, "{unknown}");
    assert!(unknown.sentence.contains(&fingerprint(&target.path("host.pub"))), "{unknown}");
    assert!(
        !unknown.sentence.contains("jump") && !unknown.sentence.contains("forged"),
        "{unknown}"
    );
}

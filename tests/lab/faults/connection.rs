//! A: connections and hosts. A host that does not answer is named with the reason; what was begun there
//! ends there, is found by whoever comes next, and is not done twice.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use super::proxy::Proxy;
use super::twin::{Host, Operator, Ran, Running, keygen, until};

const TASKS: &str = "base,spark";

fn apply(host: &Host, more: &[&str]) -> Ran {
    host.run("apply", &[&["-y", "-t", TASKS], more].concat())
}

/// Not reached: exit code 4, the host and these words, nothing changed there.
#[track_caller]
fn unreachable(host: &Host, more: &[&str], words: &[&str]) {
    let before = host.tree();
    let ran = apply(host, more);
    ran.said(4, &[&["unreachable: h1: "], words].concat());
    assert_eq!(host.tree(), before, "something changed");
}

/// Makes the action that makes the user wait for `/gate`, and count how often it runs.
pub(crate) fn gated(host: &Host) {
    host.sh_with(
        "mv /usr/sbin/useradd /usr/sbin/useradd.real; cat >/usr/sbin/useradd; chmod 755 /usr/sbin/useradd",
        "#!/bin/sh\necho x >>/begun\nuntil [ -e /gate ]; do sleep 0.1; done\nexec /usr/sbin/useradd.real \"$@\"\n",
    );
}

/// The gated action has begun.
pub(crate) fn begun(host: &Host) {
    host.until("test -s /begun");
}

/// It ran so often.
#[track_caller]
pub(crate) fn ran_times(host: &Host, times: usize) {
    assert_eq!(host.sh("cat /begun").lines().count(), times, "how often the action ran");
}

/// An apply through a wire that can be cut, its gated action begun.
fn under_way(host: &Host) -> (Proxy, Running) {
    gated(host);
    let proxy = Proxy::to(&host.address);
    through(host, &proxy);
    let running = host.operator.start("apply", &["-y", "-v", "-t", TASKS]);
    begun(host);
    (proxy, running)
}

/// Points the inventory at a wire.
pub(crate) fn through(host: &Host, proxy: &Proxy) {
    let ssh = format!("h1: {{ ssh: {{ host: 127.0.0.1, port: {} }}, ", proxy.port);
    host.operator.edit("h1: { ", &ssh);
    let known = fs::read_to_string(host.operator.path("known_hosts")).unwrap();
    let key = known.split_once(' ').unwrap().1.to_owned();
    fs::write(host.operator.path("known_hosts"), format!("[127.0.0.1]:{} {key}", proxy.port))
        .unwrap();
}

#[test]
fn fault_01_a_host_that_is_down_is_named_and_the_others_go_on() {
    let (host, down) = (Host::start(), Host::start());
    host.operator.edit("hosts:\n", &format!("hosts:\n  h2: {{ address: {} }}\n", down.address));
    host.operator.edit("workers: { hosts: [h1]", "workers: { hosts: [h1, h2]");
    down.docker(&["stop", "-t", "1"]);
    let ran = apply(&host, &[]);
    ran.said(4, &["h2: unreachable: ", "h1: changed (6 changed)"]);
    assert!(ran.all().contains("is the host up") || ran.all().contains("no route to"), "{ran:?}");
    assert!(host.sh("readlink /opt/spark").starts_with("/opt/spark-3.5.1-"));
}

#[test]
fn fault_02_a_closed_port_is_said_at_once() {
    let host = Host::start();
    unreachable(
        &host,
        &["-e", "ssh.port=1"],
        &["connection refused on port 1", "is sshd running there?"],
    );
}

#[test]
fn fault_03_a_name_without_an_address() {
    let host = Host::start();
    unreachable(
        &host,
        &["-e", "hosts.h1.ssh.host=no-such.invalid"],
        &["cannot resolve `no-such.invalid`"],
    );
}

#[test]
fn fault_04_a_port_that_shows_no_banner() {
    let host = Host::start();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("ssh.port={}", silent.local_addr().unwrap().port());
    let sets =
        ["-e", &port, "-e", "hosts.h1.ssh.host=127.0.0.1", "-e", "ssh.connect_timeout=2secs"];
    unreachable(&host, &sets, &["no SSH banner within 2 s"]);
}

#[test]
fn fault_05_a_wire_cut_in_the_middle_of_an_action() {
    let host = Host::start();
    let (proxy, running) = under_way(&host);
    proxy.cut();
    host.sh("touch /gate");
    // It ran on; its status was read when the host was reached again.
    running.wait().said(0, &["changed h1: user spark", "Apply complete"]);
    ran_times(&host, 1);
    host.is_converged(TASKS);
}

#[test]
fn fault_06_a_wire_cut_between_two_actions() {
    let host = Host::start();
    let proxy = Proxy::to(&host.address);
    through(&host, &proxy);
    let mut running = host.operator.start("apply", &["-y", "--json", "-t", TASKS]);
    running.line(&["action_ended", "user spark"]);
    proxy.cut();
    running.wait().said(0, &["\"exit\":0"]);
    // Each action was begun once.
    let starts =
        host.sh("cat /var/lib/provision/runs/*/a*.start | grep -v ^stamp | sort | uniq -d");
    let pushed =
        starts.lines().filter(|line| line.contains("/") && !line.contains("unpacked")).count();
    assert_eq!(pushed, 0, "done twice: {starts}");
    host.is_converged(TASKS);
}

#[test]
fn fault_07_a_black_hole_in_the_middle_of_an_action() {
    let host = Host::start();
    let (proxy, running) = under_way(&host);
    proxy.freeze();
    // ssh notices by its own questions, which nobody answers.
    until("the connection is given up", || host.operator.sockets().is_empty());
    proxy.cut();
    proxy.thaw();
    host.sh("touch /gate");
    running.wait().said(0, &["changed h1: user spark"]);
    ran_times(&host, 1);
    host.is_converged(TASKS);
}

#[test]
fn fault_08_a_black_hole_that_is_shorter_than_ssh_minds() {
    let host = Host::start();
    let (proxy, running) = under_way(&host);
    proxy.freeze();
    host.sh("touch /gate; sleep 4");
    proxy.thaw();
    let ran = running.wait();
    ran.said(0, &["changed h1: user spark"]);
    assert!(!ran.all().contains("lost"), "{ran:?}");
    ran_times(&host, 1);
}

#[test]
fn fault_09_a_master_that_is_killed() {
    let host = Host::start();
    let (_proxy, running) = under_way(&host);
    let sockets = host.operator.sockets();
    let mut check = Command::new("ssh");
    check.arg("-S").arg(&sockets[0]).args(["-O", "check", "x"]);
    let said = super::twin::run(&mut check, "").err;
    let pid = said.split("pid=").nth(1).unwrap().split(')').next().unwrap().to_owned();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    host.sh("touch /gate");
    running.wait().said(0, &["changed h1: user spark"]);
    ran_times(&host, 1);
    host.is_converged(TASKS);
}

#[test]
fn fault_10_a_controller_that_is_killed() {
    let host = Host::start();
    let (_proxy, running) = under_way(&host);
    running.signal("KILL");
    assert_eq!(running.wait().code, 137);
    host.sh("touch /gate");
    // The next run waits for what still works there, says what it finds, and finishes it.
    until("the lock is free", || host.try_sh("flock -n /run/provision/lock true", "").code == 0);
    apply(&host, &[]).said(0, &["Apply complete"]);
    ran_times(&host, 1);
    host.is_converged(TASKS);
}

#[test]
fn fault_12_ctrl_c_finishes_what_runs() {
    let host = Host::start();
    let (_proxy, mut running) = under_way(&host);
    running.signal("INT");
    running.line(&["SIGINT", "press again"]);
    host.sh("touch /gate");
    running.wait().said(130, &["changed h1: user spark", "skipped h1"]);
    ran_times(&host, 1);
    host.converges(TASKS);
}

#[test]
fn fault_13_ctrl_c_twice_leaves_at_once_and_says_what_may_still_run() {
    let host = Host::start();
    let (_proxy, mut running) = under_way(&host);
    running.signal("INT");
    running.line(&["SIGINT"]);
    running.signal("INT");
    let ran = running.wait();
    ran.said(130, &["left at once", "h1", "user spark"]);
    // It holds the lock as long as it works there.
    host.sh("! flock -n /run/provision/lock true; touch /gate");
    until("the lock is free", || host.try_sh("flock -n /run/provision/lock true", "").code == 0);
    ran_times(&host, 1);
    host.converges(TASKS);
}

#[test]
fn fault_14_being_ended_and_a_closed_terminal_are_as_ctrl_c() {
    for (signal, code) in [("TERM", 143), ("HUP", 129)] {
        let host = Host::start();
        let (_proxy, mut running) = under_way(&host);
        running.signal(signal);
        running.line(&[&format!("SIG{signal}")]);
        host.sh("touch /gate");
        running.wait().said(code, &["changed h1: user spark"]);
        ran_times(&host, 1);
        host.converges(TASKS);
    }
}

#[test]
fn fault_15_a_host_that_reboots_is_told_from_one_that_was_lost() {
    let host = Host::start();
    let (proxy, running) = under_way(&host);
    // Nothing is heard of it until it is up again, so that there is no other way to find out. The
    // machine's boot id stays as it is in here; the first process is another.
    proxy.freeze();
    host.docker(&["restart", "-t", "1"]);
    host.boot();
    proxy.thaw();
    let ran = running.wait();
    ran.said(4, &["h1", "it rebooted (its boot id changed) during spark/user spark"]);
    assert!(!ran.all().contains("changed h1"), "something was done after it: {ran:?}");
    host.sh("touch /gate");
    host.converges(TASKS);
}

#[test]
fn fault_16_an_sshd_that_sheds_connections_is_tried_again() {
    let host = Host::start();
    // Somebody sits in the only place.
    host.sshd("MaxStartups 1:100:1\nLoginGraceTime 0\n");
    let seat = || {
        let seat = std::net::TcpStream::connect((host.address.as_str(), 22)).unwrap();
        let banner = std::io::Read::read(&mut &seat, &mut [0; 4]).unwrap();
        assert!(banner > 0, "it is not their place yet");
        seat
    };
    let taken = seat();
    let patience = ["-e", "ssh.connect_timeout=3secs"];
    unreachable(&host, &patience, &["MaxStartups"]);
    drop(taken);
    // And somebody who goes once we have been turned away.
    let taken = seat();
    let shed = "journalctl -q -o cat -u ssh --since -1min | grep -c 'MaxStartups throttling' || :";
    let before = host.sh(shed);
    let patience = ["-y", "-t", TASKS, "-e", "ssh.connect_timeout=120secs"];
    let running = host.operator.start("apply", &patience);
    until("we were turned away", || host.sh(shed) != before);
    // Longer than three tries last; how long it takes until we see that, nobody knows of a busy machine.
    std::thread::sleep(std::time::Duration::from_secs(4));
    drop(taken);
    running.wait().said(0, &["Apply complete"]);
    host.is_converged(TASKS);
}

#[test]
fn fault_17_one_session_per_connection_is_enough() {
    let host = Host::start();
    host.sshd("MaxSessions 1\n");
    host.applied(TASKS);
    host.is_converged(TASKS);
}

#[test]
fn fault_18_many_hosts_with_slow_handshakes_lose_no_connection() {
    let host = Host::start();
    host.sshd("MaxStartups 10:30:60\n");
    // Two hundred names of one machine, and so as many connections: only the look is meant.
    let config = format!("Host n*\n HostName {}\n", host.address);
    fs::write(host.operator.path("ssh_config"), config).unwrap();
    let mut hosts = String::from("hosts:\n");
    let mut workers = String::from("workers: { hosts: [h1");
    for n in 1..200 {
        hosts.push_str(&format!("  n{n}: {{ address: 10.99.0.{n}, ssh: {{ host: n{n} }} }}\n"));
        workers.push_str(&format!(", n{n}"));
    }
    host.operator.edit("hosts:\n", &hosts);
    host.operator.edit("workers: { hosts: [h1", &workers);
    let ran = host.run("plan", &["-t", "base"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!ran.all().contains("unreachable"), "{ran:?}");
    assert_eq!(host.operator.sockets().len(), 200);
}

#[test]
fn fault_19_a_changed_host_key_is_never_accepted() {
    let host = Host::start();
    let other = host.operator.path("other");
    keygen(&other, "");
    let public = fs::read_to_string(other.with_extension("pub")).unwrap();
    let known = format!("{} {public}", host.address);
    fs::write(host.operator.path("known_hosts"), &known).unwrap();
    for more in [&[][..], &["--accept-new-host-keys"][..]] {
        unreachable(
            &host,
            more,
            &["has changed: it is", "instead of", "SHA256:", "ssh-keygen -f", "-R"],
        );
    }
    assert_eq!(fs::read_to_string(host.operator.path("known_hosts")).unwrap(), known);
}

#[test]
fn fault_20_an_unknown_host_key_is_shown_and_accepted_on_demand() {
    let host = Host::start();
    fs::write(host.operator.path("known_hosts"), "").unwrap();
    unreachable(&host, &[], &["is not known", "SHA256:", "--accept-new-host-keys"]);
    assert_eq!(fs::read_to_string(host.operator.path("known_hosts")).unwrap(), "");
    apply(&host, &["--accept-new-host-keys"]).said(0, &[]);
    host.is_converged(TASKS);
}

#[test]
fn fault_21_two_names_for_one_machine_are_found_out() {
    let host = Host::start();
    host.operator.edit(
        "hosts:\n",
        &format!("hosts:\n  h2: {{ address: 10.99.0.2, ssh: {{ host: {} }} }}\n", host.address),
    );
    host.operator.edit("workers: { hosts: [h1]", "workers: { hosts: [h1, h2]");
    host.sh("ip address add 10.99.0.2/32 dev lo 2>/dev/null || :");
    let before = host.tree();
    // Looking needs no lock, and finds one machine's id twice.
    let words = ["h1 and h2 are the same machine (machine-id)", "remove one of them"];
    host.run("plan", &["-t", TASKS]).said(1, &words);
    // One machine has one lock, which only one of the two can have.
    let ran = apply(&host, &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let either = ["h1 and h2 are the same machine, which", "h2 and h1 are the same machine, which"];
    assert!(either.iter().any(|words| ran.err.contains(words)), "{ran:?}");
    assert!(ran.err.contains("nothing was changed"), "{ran:?}");
    assert_eq!(host.tree(), before);
}

#[test]
fn fault_23_each_fault_of_a_key_has_its_own_sentence() {
    let host = Host::start();
    let path = |name: &str| host.operator.path(name).to_str().unwrap().to_owned();
    let option = |name: &str| format!("ssh.identity_file={}", path(name));
    unreachable(&host, &["-e", &option("none")], &["does not exist; correct `identity_file`"]);
    fs::copy(path("id"), path("wide")).unwrap();
    fs::set_permissions(path("wide"), fs::Permissions::from_mode(0o644)).unwrap();
    unreachable(&host, &["-e", &option("wide")], &["others may read the private key", "chmod 600"]);
    keygen(&host.operator.path("locked"), "secret");
    unreachable(&host, &["-e", &option("locked")], &["is encrypted", "ssh-add"]);
    keygen(&host.operator.path("wrong"), "");
    unreachable(
        &host,
        &["-e", &option("wrong")],
        &["does not let us in as ops", "authorized_keys"],
    );
}

#[test]
fn fault_24_an_agent_with_too_many_keys() {
    let host = Host::start();
    host.sshd("MaxAuthTries 3\n");
    let socket = host.operator.path("agent");
    let mut agent = Command::new("ssh-agent")
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("the agent listens", || socket.exists());
    for n in 0..8 {
        let key = host.operator.path(&format!("key{n}"));
        keygen(&key, "");
        let added =
            Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket).status();
        assert!(added.unwrap().success());
    }
    host.operator.edit("identity_file: ./id, ", "");
    let mut command = host.operator.command("apply", &["-y", "-t", TASKS]);
    let ran = super::twin::run(command.env("SSH_AUTH_SOCK", &socket), "");
    agent.kill().unwrap();
    agent.wait().unwrap();
    ran.said(4, &["too many authentication failures", "set `identity_file`"]);
}

#[test]
fn fault_25_a_jump_host_that_is_down_or_forwards_nothing_is_named() {
    let host = Host::start();
    let config = format!(
        "Host gate\n HostName {0}\n User ops\n IdentityFile {1}/id\n UserKnownHostsFile {1}/known_hosts\n\
         Host dead\n HostName 127.0.0.1\n Port 1\n",
        host.address,
        host.operator.home.path().display()
    );
    fs::write(host.operator.path("ssh_config"), config).unwrap();
    unreachable(
        &host,
        &["-e", "ssh.proxy_jump=dead"],
        &["through the jump host dead", "onnection refused"],
    );
    host.sshd("AllowTcpForwarding no\n");
    unreachable(
        &host,
        &["-e", "ssh.proxy_jump=gate"],
        &["through the jump host gate", "prohibited", "may forward"],
    );
    host.sshd("AllowTcpForwarding yes\n");
    apply(&host, &["-e", "ssh.proxy_jump=gate"]).said(0, &[]);
}

#[test]
fn fault_26_a_long_path_for_control_sockets_is_no_matter() {
    let mut host = Host::start();
    let long = host.operator.path(&"d".repeat(120));
    fs::create_dir(&long).unwrap();
    host.operator.environment.retain(|(name, _)| name != "XDG_RUNTIME_DIR");
    host.operator
        .environment
        .push(("XDG_RUNTIME_DIR".to_owned(), long.to_str().unwrap().to_owned()));
    host.applied(TASKS);
    host.is_converged(TASKS);
}

#[test]
fn fault_27_without_ssh_its_package_is_named() {
    let operator = Operator::new();
    operator.key();
    operator.write_archive();
    fs::write(operator.path("known_hosts"), "").unwrap();
    fs::write(operator.path("ssh_config"), "").unwrap();
    fs::write(operator.inventory(), super::twin::inventory("192.0.2.1")).unwrap();
    let mut command = operator.command("plan", &[]);
    super::twin::run(command.env("PATH", "/nonexistent"), "")
        .said(4, &["`ssh` was not found", "openssh-client"]);
}

#[test]
fn fault_28_login_shells_that_are_none_are_named() {
    let host = Host::start();
    for shell in ["/bin/dash", "/usr/bin/bash"] {
        host.sh(&format!("usermod -s {shell} ops; rm -f /opt/spark"));
        apply(&host, &[]).said(0, &[]);
        host.operator.disconnect();
    }
    for (shell, said) in [("/usr/sbin/nologin", "not available"), ("/bin/false", "shell")] {
        host.sh(&format!("usermod -s {shell} ops"));
        unreachable(&host, &[], &[said]);
        host.operator.disconnect();
    }
    host.sh("usermod -s /bin/sh ops");
    host.sshd("ForceCommand echo for backups only\n");
    unreachable(&host, &[], &["no usable shell", "for backups only", "forced command"]);
    host.operator.disconnect();
}

#[test]
fn fault_29_noisy_and_slow_start_files_do_no_harm() {
    let host = Host::start();
    for lines in [
        "echo READY-or-not; echo '[provision-0] ' >&2; printf '\\033[31m'",
        "cd /nowhere; alias ls=rm; set -u",
        "sleep 2",
    ] {
        host.sh(&format!(
            "printf '%s\\n' \"{}\" >/home/ops/.bashrc; chown ops: /home/ops/.bashrc",
            lines.replace('\\', "\\\\")
        ));
        host.sh("rm -f /opt/spark");
        apply(&host, &[]).said(0, &[]);
        host.is_converged(TASKS);
    }
    host.sh("echo 'exit 3' >/home/ops/.bashrc");
    // The login shell reads it before our command, which it never comes to.
    let before = host.tree();
    host.operator.disconnect();
    apply(&host, &[]).said(4, &["unreachable: h1: "]);
    assert_eq!(host.tree(), before, "something changed");
    host.sh("rm /home/ops/.bashrc");
    host.is_converged(TASKS);
}

#[test]
fn fault_30_a_broken_ssh_config_is_named_with_its_line() {
    let host = Host::start();
    fs::write(host.operator.path("ssh_config"), "Host *\n  NoSuchOption yes\n").unwrap();
    unreachable(&host, &[], &["ssh_config", "line 2", "correct it"]);
}

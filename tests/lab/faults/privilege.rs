//! B: becoming root. A password is given to sudo when sudo asks for it, and to nobody else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::twin::{Host, Ran};

const TASKS: &str = "base,spark";
const PASSWORD: &str = "hunter2-canary";

/// A host whose login user has a password and these rules.
fn host(rules: &str) -> Host {
    let host = Host::start();
    host.sh_with("chpasswd", &format!("ops:{PASSWORD}\n"));
    allow(&host, rules);
    fs::write(host.operator.path("password"), format!("{PASSWORD}\n")).unwrap();
    fs::set_permissions(host.operator.path("password"), fs::Permissions::from_mode(0o600)).unwrap();
    host
}

fn allow(host: &Host, rules: &str) {
    host.sh_with("cat >/etc/sudoers.d/90-ops; chmod 440 /etc/sudoers.d/90-ops; visudo -cq", rules);
}

fn apply(host: &Host, more: &[&str]) -> Ran {
    host.run("apply", &[&["-y", "-t", TASKS], more].concat())
}

/// Refused with these words, and nothing changed.
#[track_caller]
fn refused(host: &Host, more: &[&str], words: &[&str]) {
    let before = host.tree();
    let ran = apply(host, more);
    ran.said(4, words);
    assert!(!ran.all().contains(PASSWORD), "{ran:?}");
    assert_eq!(host.tree(), before, "something changed");
}

#[test]
fn fault_31_sudo_wants_a_password_and_none_was_given() {
    let host = host("ops ALL=(ALL) ALL\n");
    refused(&host, &[], &["h1", "sudo needs a password; run again with -K"]);
    let ran = apply(&host, &["--become-password-file", "password"]);
    ran.said(0, &[]);
}

#[test]
fn fault_32_a_wrong_password_is_tried_once() {
    let host = host("ops ALL=(ALL) ALL\n");
    fs::write(host.operator.path("wrong"), "not-it\n").unwrap();
    refused(&host, &["--become-password-file", "wrong"], &["h1", "tried once"]);
    let log = host.sh("journalctl -q --no-pager -o cat SYSLOG_IDENTIFIER=sudo");
    let failures = log.matches("authentication failure").count();
    assert!(failures <= 1, "{failures} attempts: {log}");
    assert!(log.contains("1 incorrect password attempt"), "{log}");
}

#[test]
fn fault_33_a_password_that_sudo_does_not_ask_for_goes_nowhere() {
    let host = host("ops ALL=(ALL) NOPASSWD: ALL\n");
    // Whoever runs the password as a command runs this.
    host.sh(&format!(
        "printf '#!/bin/sh\\ntouch /pwned\\n' >/usr/local/bin/{PASSWORD}; chmod 755 /usr/local/bin/{PASSWORD}"
    ));
    let ran = apply(&host, &["-v", "--become-password-file", "password"]);
    ran.said(0, &[]);
    assert!(!ran.all().contains(PASSWORD), "{ran:?}");
    host.sh("! test -e /pwned");
    let kept =
        format!("! grep -rqs {PASSWORD} /var/lib/provision /run/provision /home/ops /root /tmp");
    host.sh(&kept);
    assert!(!host.sh("journalctl -q --no-pager").contains(PASSWORD));
    host.is_converged(TASKS);
}

#[test]
fn fault_34_not_in_sudoers() {
    let host = host("other ALL=(ALL) ALL\n");
    refused(
        &host,
        &["--become-password-file", "password"],
        &["h1", "ops is not in the sudoers file", "add a sudoers rule, or log in as root"],
    );
}

#[test]
fn fault_35_odd_sudo_settings_work_or_are_named() {
    let odd = [
        "Defaults secure_path=/nowhere\n",
        "Defaults !authenticate\n",
        "Defaults lecture=always\n",
        "Defaults env_reset, !env_keep\n",
        "Defaults use_pty\n",
        "Defaults badpass_message=\"Falsches Kennwort\"\n",
    ];
    let host = host("");
    for (round, settings) in odd.into_iter().enumerate() {
        allow(&host, &format!("{settings}ops ALL=(ALL) ALL\n"));
        host.sh("rm -rf /var/lib/sudo/lectured; rm -f /opt/spark; printf 'LANG=de_DE.UTF-8\\n' >/etc/default/locale");
        let ran = apply(&host, &["--become-password-file", "password"]);
        assert_eq!(ran.code, 0, "{round} {settings}: {ran:?}");
    }
    allow(&host, "Defaults requiretty\nops ALL=(ALL) NOPASSWD: ALL\n");
    refused(&host, &[], &["h1", "requiretty"]);
}

#[test]
fn fault_36_sudo_for_some_commands_only() {
    let host = host("ops ALL=(ALL) NOPASSWD: /usr/bin/apt-get\n");
    refused(
        &host,
        &["--become-password-file", "password"],
        &["h1", "is not allowed to execute '/bin/sh", "add a sudoers rule"],
    );
}

#[test]
fn fault_37_sudo_forgets_at_once_and_the_user_is_asked_once() {
    let host = host("Defaults timestamp_timeout=0\nops ALL=(ALL) ALL\n");
    apply(&host, &["--become-password-file", "password"]).said(0, &["Apply complete"]);
    let ran = host.run("apply", &["-t", TASKS, "--become-password-file", "password"]);
    ran.said(0, &["No changes"]);
}

#[test]
fn fault_38_root_needs_no_sudo() {
    let host = host("ops ALL=(ALL) NOPASSWD: ALL\n");
    host.sh("mv /usr/bin/sudo /usr/bin/not-sudo");
    refused(&host, &[], &["h1", "sudo is not installed; install it, or log in as root"]);
    apply(&host, &["-u", "root"]).said(0, &["Apply complete"]);
    host.run("apply", &["-t", TASKS, "-u", "root"]).said(0, &["No changes"]);
}

#[test]
fn fault_39_without_root_a_plan_says_what_it_cannot_know() {
    let host = host("other ALL=(ALL) ALL\n");
    allow(&host, "ops ALL=(ALL) NOPASSWD: ALL\n");
    host.operator.edit(
        "  package: { preinstalled: true }",
        "  package: { preinstalled: true }\n  credentials: { framework: { principal: spark, secret: { env: TOKEN } } }",
    );
    let mut apply = host.operator.command("apply", &["-y", "-t", TASKS]);
    super::twin::run(apply.env("TOKEN", "x1y2"), "").said(0, &[]);
    host.operator.edit("become: true", "become: false");
    let ran = host.run("plan", &["-t", TASKS]);
    // A directory that only root and spark may read hides what is in it, and so does much else: nothing of
    // the host is taken for missing, changed or right, and what to set is said.
    ran.said(4, &["h1: unreachable: the login user is not root; set `ssh: { become: true }`"]);
    for taken in ["missing", "h1: file", "h1: directory", "No changes. The cluster matches"] {
        assert!(!ran.all().contains(taken), "{taken}: {ran:?}");
    }
    let before = host.tree();
    let mut change = host.operator.command("apply", &["-y", "-t", TASKS]);
    super::twin::run(change.env("TOKEN", "x1y2"), "").said(4, &["changing this host needs root"]);
    assert_eq!(host.tree(), before);
}

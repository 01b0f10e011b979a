//! G: secrets and privacy. A canary is looked for wherever it could have gone; and nobody who stops
//! reading our output stops our work.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use super::twin::{Host, Ran, run};

const TASKS: &str = "base,spark";
const CANARY: &str = "cAnArY-9f8e7d6c";
/// What the canary looks like in base 64 (its first twelve bytes), in hex, and in a URL.
const SHAPES: [&str; 4] = [CANARY, "Y0FuQXJZLTlm", "63416e4172592d39", "cAnArY%2D9f8e7d6c"];

/// A host whose inventory has a secret, which is in the environment.
fn host() -> Host {
    let mut host = Host::start();
    host.operator.edit(
        "  package: { preinstalled: true }",
        "  package: { preinstalled: true }\n  credentials: { framework: { principal: spark, secret: { env: TOKEN } } }",
    );
    host.operator.environment.push(("TOKEN".to_owned(), CANARY.to_owned()));
    host
}

#[track_caller]
fn has_no_canary(what: &str, text: &str) {
    for shape in SHAPES {
        assert!(!text.contains(shape), "{shape} is in {what}");
    }
}

#[test]
fn fault_92_a_secret_is_in_no_argument_list_and_no_environment_there() {
    let host = host();
    // Not to find the search itself.
    let search = format!("[{}]{}", &CANARY[..1], &CANARY[1..]);
    // Sampled as fast as one shell can, from before the first action until after the last.
    host.sh(&format!(
        "nohup setsid sh -c 'until [ -e /stop ]; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null \
         | tr \"\\0\" \"\\n\" | grep -a {search} >>/hits; echo x >>/samples; done' >/dev/null 2>&1 &"
    ));
    host.applied(TASKS);
    host.is_converged(TASKS);
    host.sh("touch /stop");
    assert_eq!(host.sh("cat /hits"), "");
    assert!(host.sh("wc -l </samples").trim().parse::<u32>().unwrap() > 3);
    assert_eq!(host.sh("cat /etc/spark-secrets/spark"), CANARY);
}

#[test]
fn fault_93_a_secret_is_in_no_output_log_plan_record_or_file_but_its_own() {
    let host = host();
    for more in
        [&["-v"][..], &["--json"][..], &["-v", "-e", "spark.defaults.spark.cores.max=1"][..]]
    {
        let plan = host.run("plan", &[&["-t", TASKS], more].concat());
        has_no_canary("plan", &plan.all());
        let apply = host.run("apply", &[&["-y", "-t", TASKS], more].concat());
        assert_eq!(apply.code, 0, "{apply:?}");
        has_no_canary("apply", &apply.all());
    }
    // Nor when its file cannot be written.
    host.sh("rm -r /etc/spark-secrets; ln -s /nowhere /etc/spark-secrets");
    let failed = host.run("apply", &["-y", "-v", "-t", TASKS]);
    assert_eq!(failed.code, 3, "{failed:?}");
    has_no_canary("a failed apply", &failed.all());
    host.sh("rm /etc/spark-secrets");
    host.converges(TASKS);
    // The file, before it is compared away, may be replaced: its old version is not kept.
    host.sh("chmod 644 /etc/spark-secrets/spark");
    host.converges(TASKS);
    let shapes = SHAPES.map(|shape| format!("-e {shape}")).join(" ");
    let found = host.sh(&format!("grep -rlas {shapes} /var /run /etc /opt /root /home /tmp || :"));
    assert_eq!(found, "/etc/spark-secrets/spark\n");
    assert_eq!(host.sh("stat -c '%a %U' /etc/spark-secrets/spark"), "600 spark\n");
    has_no_canary("the journal", &host.sh("journalctl -q --no-pager"));
    let mut here = Command::new("grep");
    let here = run(here.args(["-rla", CANARY]).arg(host.operator.home.path()), "");
    assert_eq!(here.out, "", "on this machine");
}

#[test]
fn fault_94_a_secret_in_the_inventory_is_refused_and_not_repeated() {
    let host = host();
    host.operator.edit("{ env: TOKEN }", CANARY);
    let ran = host.run("check", &[]);
    ran.said(1, &["inventory.yaml:"]);
    has_no_canary("check", &ran.all());
}

#[test]
fn fault_95_what_we_leave_on_this_machine_is_nobody_elses() {
    let host = host();
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "umask 000; exec \"$@\"",
        "sh",
        env!("CARGO_BIN_EXE_provision"),
        "apply",
        "-y",
        "-t",
        TASKS,
    ]);
    shell.arg(host.operator.inventory()).env_remove("SSH_AUTH_SOCK");
    for (name, value) in &host.operator.environment {
        shell.env(name, value);
    }
    run(&mut shell, "").said(0, &[]);
    for entry in fs::read_dir(host.operator.path("provision")).unwrap().flatten() {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.path());
    }
    let own = fs::metadata(host.operator.path("provision")).unwrap().permissions().mode() & 0o777;
    assert_eq!(own, 0o700);
    // A directory of somebody else's making is not used.
    host.operator.disconnect();
    fs::set_permissions(host.operator.path("provision"), fs::Permissions::from_mode(0o777))
        .unwrap();
    let ran = host.run("plan", &["-t", TASKS]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.all().contains("must be a directory of yours with mode 0700"), "{ran:?}");
}

#[test]
fn fault_96_nobody_has_to_read_what_we_say() {
    let shell = |host: &Host, line: &str, environment: &[(&str, &str)]| -> Ran {
        let mut shell = Command::new("bash");
        shell.args(["-c", line]).env_remove("SSH_AUTH_SOCK").env_remove("TERM");
        shell.current_dir(host.operator.home.path()).stdin(Stdio::null());
        for (name, value) in &host.operator.environment {
            shell.env(name, value);
        }
        run(shell.envs(environment.iter().copied()), "")
    };
    let program = env!("CARGO_BIN_EXE_provision");
    let apply = format!("{program} apply -v -y -t {TASKS}");
    let host = host();
    for (line, environment) in [
        (format!("{apply} >&- 2>&-; exit $?"), &[][..]),
        (format!("{apply} >/dev/full 2>/dev/full; exit $?"), &[][..]),
        (format!("{apply} --json 2>&1 | head -c 1 >/dev/null; exit ${{PIPESTATUS[0]}}"), &[][..]),
        (format!("{apply} 2>&1 | true; exit ${{PIPESTATUS[0]}}"), &[][..]),
        (apply.clone(), &[("LANG", "C"), ("LC_ALL", "C"), ("COLUMNS", "20"), ("TERM", "dumb")][..]),
    ] {
        host.sh("rm -rf /opt/spark /opt/spark-3.5.1-*");
        let ran = shell(&host, &line, environment);
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
        host.is_converged(TASKS);
    }
}

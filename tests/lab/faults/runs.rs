//! D: two runs at once, runs that left something behind, and a world that moves between plan and apply.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::connection::{begun, gated, ran_times};
use super::twin::{Host, Ran, run, until};

const TASKS: &str = "base,spark";

#[test]
fn fault_56_two_runs_at_once_are_never_both_inside() {
    let host = Host::start();
    gated(&host);
    let first = host.operator.start("apply", &["-y", "-t", TASKS]);
    begun(&host);
    let colleague = host.operator.colleague();
    for _ in 0..10 {
        let second = colleague.run("apply", &["-y", "-t", TASKS]);
        second.said(75, &["h1", "locked", "alice"]);
    }
    // Looking needs no lock.
    assert_eq!(colleague.run("plan", &["-t", TASKS]).code, 0);
    host.sh("touch /gate");
    first.wait().said(0, &["Apply complete"]);
    ran_times(&host, 1);
    let ran = colleague.run("apply", &["-t", TASKS]);
    ran.said(0, &["No changes"]);
    colleague.disconnect();
}

#[test]
fn fault_56_two_applies_at_once_fifty_times_are_never_both_inside() {
    let host = Host::start();
    host.applied(TASKS);
    // The user never comes to be, so that every apply has this one thing to do; in there, whoever is
    // not alone finds the other's mark.
    host.sh("userdel spark");
    let inside = "mkdir /inside || echo x >>/overlaps\nsleep 0.1\nrmdir /inside\necho x >>/begun";
    host.wrap("useradd", inside);
    let colleague = host.operator.colleague();
    let (mut together, mut turned_away) = (0, 0);
    for round in 0..50 {
        // Every other time both are ready to wait for each other.
        let patience: &[&str] = if round % 2 == 0 { &[] } else { &["--lock-timeout", "1min"] };
        let words = [&["-y", "-t", TASKS], patience].concat();
        let first = host.operator.start("apply", &words);
        let second = colleague.start("apply", &words);
        for ran in [first.wait(), second.wait()] {
            match ran.code {
                0 => together += 1,
                75 if patience.is_empty() => {
                    ran.said(75, &["h1 is locked by run ", "by alice", "nothing was changed"]);
                    turned_away += 1;
                }
                _ => panic!("round {round}: {ran:?}"),
            }
        }
    }
    println!("of 100 applies {together} had their turn and {turned_away} were turned away");
    assert_eq!(host.sh("cat /overlaps 2>/dev/null || :"), "", "both were inside at once");
    assert_eq!(host.sh("cat /begun").lines().count(), together, "whoever ended well was inside");
    // Without a patient one nobody waits, and of two at least one goes in.
    assert!(turned_away > 0 && together >= 75, "{together} {turned_away}");
    colleague.disconnect();
}

#[test]
fn fault_57_two_runs_of_one_operator_take_turns_too() {
    let host = Host::start();
    gated(&host);
    let first = host.operator.start("apply", &["-y", "-t", TASKS]);
    begun(&host);
    // The same home, and so the same connection: the second's end is not the first's.
    for _ in 0..3 {
        let second = host.run("apply", &["-y", "-t", TASKS]);
        second.said(
            75,
            &[
                "h1 is locked by run ",
                "by alice",
                "it is at spark/user_spark (pid ",
                "--lock-timeout",
            ],
        );
    }
    let patient = host.operator.start("apply", &["-t", TASKS, "--lock-timeout", "5mins"]);
    host.sh("touch /gate");
    first.wait().said(0, &["Apply complete"]);
    patient.wait().said(0, &["waiting for its lock", "No changes"]);
    ran_times(&host, 1);
}

/// An apply of which nothing is left but its action, which waits for `/gate`.
fn orphaned(host: &Host) {
    gated(host);
    let running = host.operator.start("apply", &["-y", "-t", TASKS]);
    begun(host);
    running.signal("KILL");
    assert_eq!(running.wait().code, 137);
}

#[test]
fn fault_58_an_orphan_is_waited_for_and_named() {
    let host = Host::start();
    orphaned(&host);
    let ran = host.run("apply", &["-y", "-t", TASKS, "--lock-timeout", "1s"]);
    let named = ["h1", "by alice", "spark/user_spark", "pid "];
    ran.said(75, &[&named[..], &["controller is gone", "provision unlock -l h1"]].concat());
    // Without a word about patience it is waited for: it ends by itself.
    let mut patient = host.operator.start("apply", &["-y", "-t", TASKS]);
    let said = patient.line(&["waiting for its lock"]);
    assert!(named.iter().all(|word| said.contains(word)), "{said}");
    host.sh("touch /gate");
    patient.wait().said(0, &["Apply complete"]);
    ran_times(&host, 1);
    host.is_converged(TASKS);
}

#[test]
fn fault_59_a_hung_orphan_is_shown_and_once_confirmed_ended() {
    let host = Host::start();
    orphaned(&host);
    let unlock = || host.operator.command("unlock", &["-l", "h1"]);
    let shown = ["its lock is held by run ", "spark/user_spark", "useradd", "log on h1: /var/lib/"];
    let held = || host.try_sh("! flock -n /run/provision/lock true", "").code == 0;
    until("nobody speaks to it", || run(&mut unlock(), "").all().contains("controller is gone"));
    // Shown, and left alone: nobody to confirm, or somebody who does not.
    run(&mut unlock(), "").said(1, &[&shown[..], &["say --yes", "nothing was ended"]].concat());
    confirming(&unlock(), "no\n").said(1, &["nothing was ended"]);
    assert!(held(), "it was ended unasked");
    confirming(&unlock(), "yes\n")
        .said(0, &[&shown[..], &["h1: ended; its lock is free"]].concat());
    assert!(!held());
    assert_eq!(host.sh("pgrep -f [u]seradd || :"), "", "it still runs");
    host.sh("touch /gate");
    let ran = host.run("apply", &["-y", "-t", TASKS]);
    ran.said(0, &["interrupted earlier: ", "spark/user_spark", "Apply complete"]);
    host.is_converged(TASKS);
}

/// Runs a command on a terminal, where somebody types.
fn confirming(command: &Command, typed: &str) -> Ran {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<&str> = words.map(|word| word.to_str().unwrap()).collect();
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &words.join(" "), "/dev/null"]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    run(&mut terminal, typed)
}

#[test]
fn fault_63_an_inventory_that_is_edited_during_an_apply() {
    let host = Host::start();
    gated(&host);
    let mut running = host.operator.start("apply", &["-y", "--json", "-t", TASKS]);
    running.line(&["run_started", "\"inventory\":\""]);
    begun(&host);
    host.operator.edit("spark.cores.max: 2", "spark.cores.max: 7");
    host.sh("touch /gate");
    running.wait().said(0, &[]);
    // What was read is what was done.
    assert!(host.sh("cat /opt/spark/conf/spark-defaults.conf").contains("cores.max 2"));
    host.converges(TASKS);
    assert!(host.sh("cat /opt/spark/conf/spark-defaults.conf").contains("cores.max 7"));
}

const DEFAULTS: &str = "/opt/spark/conf/spark-defaults.conf";

#[test]
fn fault_64_a_saved_plan_is_done_exactly_or_refused_once_the_world_has_moved() {
    let host = Host::start();
    host.applied(TASKS);
    let plan = host.operator.path("plan.json");
    let save = || {
        let words = ["-t", TASKS, "-e", "spark.defaults.spark.cores.max=1", "--out"];
        let ran = host.run("plan", &[&words[..], &[plan.to_str().unwrap()]].concat());
        ran.said(0, &["spark-defaults.conf"]);
        assert_eq!(fs::metadata(&plan).unwrap().permissions().mode() & 0o777, 0o600);
    };
    // Neither the inventory nor an override that is no variable is taken from the file.
    let words = ["apply", "-y", plan.to_str().unwrap()];
    let inventory = host.operator.inventory();
    let own = ["-i", inventory.to_str().unwrap(), "-e", "spark.defaults.spark.cores.max=1"];
    let apply = || run(&mut host.operator.program(&[&words[..], &own[..]].concat()), "");
    save();
    run(&mut host.operator.program(&[&words[..], &own[..2]].concat()), "")
        .said(1, &["say them again: -e spark.defaults.spark.cores.max=1"]);
    // A host moved.
    host.sh(&format!("echo 'spark.mine yes' >>{DEFAULTS}"));
    let before = host.tree();
    let stale =
        ["spark-defaults.conf has changed since the plan was made", "the saved plan is stale"];
    apply().said(
        1,
        &[
            "error: h1: file /opt/spark-3.5.1-",
            stale[0],
            stale[1],
            "nothing was changed",
            "make a new plan",
        ],
    );
    assert_eq!(host.tree(), before);
    // The inventory moved.
    save();
    host.operator.edit("cluster: faults", "cluster: faulty");
    apply().said(1, &["the plan was made for another inventory than", "make a new plan"]);
    assert_eq!(host.tree(), before);
    host.operator.edit("cluster: faulty", "cluster: faults");
    // Nothing moved: what it says is done, and nothing else.
    save();
    let lines =
        |host: &Host| -> BTreeSet<String> { host.managed().lines().map(str::to_owned).collect() };
    let managed = lines(&host);
    let text = fs::read_to_string(&plan).unwrap();
    apply().said(0, &["Apply complete: 1 changed on 1 host"]);
    assert_eq!(host.sh(&format!("grep cores.max {DEFAULTS}")).trim(), "spark.cores.max 1");
    let now = lines(&host);
    let other: Vec<&String> = managed.symmetric_difference(&now).collect();
    assert!(
        !other.is_empty() && other.iter().all(|line| line.contains("spark-defaults.conf")),
        "{other:?}"
    );
    assert_eq!(fs::read_to_string(&plan).unwrap(), text, "the plan was written over");
    // A plan of more than it says is refused: somebody has edited it.
    host.operator.edit("spark.cores.max: 2", "spark.cores.max: 1");
    let edited = host.operator.path("edited.json");
    let words = ["-t", TASKS, "-e", "spark.defaults.spark.cores.max=3", "--out"];
    host.run("plan", &[&words[..], &[edited.to_str().unwrap()]].concat()).said(0, &[]);
    let text = fs::read_to_string(&edited).unwrap();
    assert!(text.contains("spark.cores.max 3"), "{text}");
    fs::write(&edited, text.replace("spark.cores.max 3", "spark.cores.max 4")).unwrap();
    let tree = host.tree();
    let words = ["apply", "-y", edited.to_str().unwrap()];
    let own = ["-i", inventory.to_str().unwrap(), "-e", "spark.defaults.spark.cores.max=3"];
    let ran = run(&mut host.operator.program(&[&words[..], &own[..]].concat()), "");
    ran.said(1, &["the saved plan is stale", "nothing was changed"]);
    assert_eq!(host.tree(), tree);
    host.operator.edit("spark.cores.max: 1", "spark.cores.max: 2");
    // What was done needs no doing again, and is no longer what the plan saw.
    let before = host.tree();
    apply().said(1, &["the saved plan is stale"]);
    assert_eq!(host.tree(), before);
}

#[test]
fn fault_65_a_host_that_leaves_the_inventory_is_left_alone_and_not_forgotten() {
    let hosts = Host::start_cluster(2);
    let (host, gone) = (&hosts[0], &hosts[1]);
    let agents = "base,zookeeper,masters,agents";
    host.operator.edit("servers: { h1: 1, h2: 2 }", "servers: { h1: 1 }");
    host.operator.edit("masters: { hosts: [h1, h2]", "masters: { hosts: [h1]");
    host.operator.with_agents();
    host.applied(agents);
    let whole = fs::read_to_string(host.operator.inventory()).unwrap();
    let line = format!("  h2: {{ address: {} }}\n", gone.address);
    host.operator.edit(&line, "");
    host.operator.edit("hosts: [h1, h2]", "hosts: [h1]");
    // Nothing of it is touched or taken for done; the leading master knows it, and so do we.
    let before = gone.tree();
    let stranger =
        format!("at {} is registered at the leading master and is no host of this", gone.address);
    host.run("plan", &["-t", agents]).said(0, &["No changes", &stranger, "retired"]);
    host.run("apply", &["-y", "-t", agents]).said(0, &["No changes", &stranger]);
    // Its image was not among the tasks, and is missing.
    host.run("status", &[]).said(3, &[&stranger, "MISSING"]);
    assert_eq!(gone.tree(), before);
    gone.sh("systemctl is-active -q mesos-slave");
    // Written down, it is stopped, and its data stays.
    fs::write(host.operator.inventory(), whole).unwrap();
    host.operator.edit("hosts: [h1, h2]", "hosts: [h1]");
    host.operator.edit("hosts:\n", "retired: [h2]\nhosts:\n");
    let retiring = "base,retired,zookeeper,masters,agents";
    host.run("apply", &["-y", "-t", retiring]).said(0, &["h2", "mesos-slave"]);
    gone.sh("! systemctl is-active -q mesos-slave && ! systemctl is-enabled -q mesos-slave && test -e /var/lib/mesos/meta");
    // It was drained and said to be gone, or the leading master would count it among its agents for minutes.
    let listed = |address: &str| {
        let list = host.sh(&format!("curl -sf http://{}:5050/slaves", host.address));
        list.contains(&format!("@{address}:"))
    };
    assert!(listed(&host.address) && !listed(&gone.address), "it is still listed");
    host.is_converged(retiring);
}

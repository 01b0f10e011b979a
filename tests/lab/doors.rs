//! A cluster whose doors are shut: who has no credential gets nowhere, who has another's does that one's work
//! only, and `provision` does all of its own. Real ZooKeeper and systemd; Mesos is the stand-in, which judges
//! credentials and ACLs as Mesos does.

use super::support::lab::{Lab, step};
use super::support::twin::until;

/// What the twin gives every secret.
const SECRET: &str = "twin-of-lab-doors";

#[test]
#[ignore = "one of the long ones: make lab-long"]
fn lab_doors_are_shut_and_the_work_goes_on() {
    let mut lab = Lab::with(
        "lab-doors",
        &[
            "smoke.each_agent=false",
            "mesos.credentials.operator.principal=op1",
            "mesos.credentials.operator.secret.env=NOT_READ",
            "mesos.credentials.viewer.principal=viewer",
            "mesos.credentials.viewer.secret.env=NOT_READ",
            "zookeeper.credentials.principal=zk1",
            "zookeeper.credentials.secret.env=NOT_READ",
        ],
    );
    step("apply makes it and proves it");
    let apply = lab.run("apply", &["-y"]);
    assert_eq!(apply.code, 0, "{apply:?}");
    converged(&lab);
    over_http(&lab, "op1");
    in_zookeeper(&lab, "zk1");
    agents_that_prove_nothing(&lab);
    work_goes_on(&lab);
    no_secret_where_it_is_not_needed(&lab, "op1");
    operators_rotate(&mut lab);
    writers_rotate(&mut lab);
    an_open_path_is_shut(&mut lab);
    a_hostile_master_changes_nothing_but_itself(&lab);
}

#[track_caller]
fn converged(lab: &Lab) {
    let again = lab.run("apply", &[]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.out.starts_with("No changes."), "{}", again.out);
    let status = lab.run("status", &[]);
    assert_eq!(status.code, 0, "{status:?}");
}

/// The status that a call from a client's host to the leading master gets.
fn call(lab: &Lab, who: Option<&str>, method: &str, path: &str, data: &str) -> String {
    let at = lab.address(&lab.leader());
    let user = who.map_or_else(String::new, |who| format!("-u {who}:{SECRET}"));
    let json =
        if data.starts_with(['{', '[']) { "-H 'Content-Type: application/json'" } else { "" };
    let script = format!(
        "curl -s -m 10 -o /dev/null -w '%{{http_code}}' {user} {json} -X {method} -d '{data}' http://{at}:5050{path}"
    );
    lab.on("c1", &script)
}

fn over_http(lab: &Lab, operator: &str) {
    step("over HTTP nobody is let in without a credential, and with another's only to look");
    let dispatcher = lab.asked("/frameworks")["frameworks"][0]["id"].as_str().unwrap().to_owned();
    let teardown = format!("frameworkId={dispatcher}");
    let weights = r#"[{"role":"etl","weight":9}]"#;
    let agent = lab.listed("a1")["id"].as_str().unwrap().to_owned();
    let drain =
        format!(r#"{{"type":"DRAIN_AGENT","drain_agent":{{"agent_id":{{"value":"{agent}"}}}}}}"#);
    let calls = [
        ("POST", "/teardown", teardown.as_str()),
        ("PUT", "/weights", weights),
        ("POST", "/api/v1", drain.as_str()),
        ("POST", "/maintenance/schedule", "{}"),
    ];
    for (method, path, data) in calls {
        assert_eq!(call(lab, None, method, path, data), "401", "anonymous: {path}");
        for who in ["viewer", "agent", "spark"] {
            assert_eq!(call(lab, Some(who), method, path, data), "403", "{who}: {path}");
        }
    }
    for path in ["/state", "/slaves", "/flags", "/metrics/snapshot"] {
        assert_eq!(call(lab, None, "GET", path, ""), "401", "anonymous: {path}");
        assert_eq!(call(lab, Some("viewer"), "GET", path, ""), "200", "viewer: {path}");
    }
    assert_eq!(call(lab, None, "GET", "/health", ""), "200");
    assert_eq!(call(lab, Some(operator), "POST", "/maintenance/schedule", "{}"), "200");
    // At agents the viewer looks, and an operator's secret is not known.
    let at = lab.address("a1");
    let ask = |user: &str| {
        let url = format!("http://{at}:5051/state");
        lab.on("c1", &format!("curl -s -m 10 -o /dev/null -w '%{{http_code}}' {user} {url}"))
    };
    assert_eq!(ask(""), "401");
    assert_eq!(ask(&format!("-u viewer:{SECRET}")), "200");
    assert_eq!(ask(&format!("-u {operator}:{SECRET}")), "401");
    // What was refused was not done.
    assert_eq!(lab.asked("/frameworks")["frameworks"][0]["id"], dispatcher.as_str());
    converged(lab);
}

/// What ZooKeeper's own client says to commands.
fn client(lab: &Lab, who: Option<&str>, commands: &str) -> String {
    let at = lab.address("m1");
    let auth = who.map_or_else(String::new, |who| format!("addauth digest {who}:{SECRET}\n"));
    let script = format!(
        "printf '{auth}{commands}\nquit\n' | /usr/share/zookeeper/bin/zkCli.sh -server {at}:2181 2>&1 || :"
    );
    lab.on("m1", &script)
}

/// The znodes of the masters and of their replicas, and who may do what to them.
fn acls(lab: &Lab) -> String {
    client(lab, None, "getAcl /mesos\ngetAcl /mesos/log_replicas\ngetAcl /mesos/standin_registry")
}

fn in_zookeeper(lab: &Lab, writer: &str) {
    step("nobody but the masters writes below their path in ZooKeeper");
    let attempts = [
        "create /mesos/json.info_0000000000 x",
        "create /mesos/log_replicas/x x",
        "set /mesos/standin_registry x",
        "setAcl /mesos world:anyone:cdrwa",
        "delete /mesos/standin_registry",
    ];
    for attempt in attempts {
        for who in [None, Some("op1"), Some("agent")] {
            let said = client(lab, who, attempt);
            assert!(
                said.contains("NoAuth") || said.contains("not valid") || said.contains("ermission"),
                "{who:?}: {attempt}: {said}"
            );
        }
    }
    let left = client(lab, None, "ls /mesos");
    assert!(!left.contains("json.info_0000000000,") && left.contains("standin_registry"), "{left}");
    // Whoever has the secret may.
    let said = client(lab, Some(writer), "create /mesos/ours x\ndelete /mesos/ours\nls /mesos");
    assert!(said.contains("Created /mesos/ours"), "{said}");
    // The members' own address, and the words that we ask.
    let listens = lab
        .on("m1", "ss -Hltn 'sport = :2181 or sport = :3888 or sport = :2888' | awk '{print $4}'");
    let at = lab.address("m1");
    assert!(listens.lines().all(|line| line.contains(&at)), "{listens}");
    let said = lab.docker(&[
        "exec",
        &lab.container("m1"),
        "bash",
        "-c",
        &format!("exec 3<>/dev/tcp/{at}/2181; printf ruok >&3; cat <&3"),
    ]);
    assert!(said.contains("not in the whitelist"), "{said}");
    for host in ["a1", "c1"] {
        assert_eq!(lab.on(host, "grep -rlas zk1: /etc /var/lib/provision /run/provision || :"), "");
    }
    let told = lab.asked("/flags")["flags"]["zk"].to_string();
    assert!(told.contains("file:///etc/mesos-secrets/zk-"), "{told}");
}

fn agents_that_prove_nothing(lab: &Lab) {
    step("an agent without a credential is not admitted, and one with a framework's is refused");
    let zk = lab.on("a2", "cat /etc/mesos/zk");
    let listed = || lab.asked("/slaves")["slaves"].as_array().unwrap().len();
    for more in ["", "--credential=/tmp/spark.json"] {
        let json = format!(r#"{{"principal":"spark","secret":"{SECRET}"}}"#);
        lab.on("c1", &format!("umask 077; printf %s '{json}' > /tmp/spark.json"));
        // It may end by itself, or try until it is ended.
        let said = lab.try_on(
            "c1",
            &format!(
                "timeout 8 /usr/sbin/mesos-slave --master={} --work_dir=/tmp/rogue --launcher=posix \
                 --no-systemd_enable_support --containerizers=mesos --port=5951 {more} 2>&1; rm -rf /tmp/rogue /tmp/spark.json",
                zk.trim()
            ),
        );
        assert!(!said.out.contains("Registered with master"), "{more}: {said:?}");
        assert_eq!(listed(), 2, "{more}: {said:?}");
    }
}

fn work_goes_on(lab: &Lab) {
    step("weights, drains, smoke and diagnose work");
    let weighed = lab.run("apply", &["-y", "-e", "mesos.roles.etl.weight=3"]);
    assert_eq!(weighed.code, 0, "{weighed:?}");
    let weight = |of: &str| {
        let weights = lab.asked("/weights");
        let mut all = weights.as_array().unwrap().iter();
        all.find(|it| it["role"] == of).map(|it| it["weight"].clone())
    };
    assert_eq!(weight("etl"), Some(3.0.into()));
    let back = lab.run("apply", &["-y"]);
    assert_eq!(back.code, 0, "{back:?}");
    for (verb, deactivated) in [("drain", true), ("undrain", false)] {
        let ran = lab.of_host(verb, "a1", &["-y"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(lab.listed("a1")["deactivated"], deactivated, "{verb}");
    }
    let smoke = lab.run("smoke", &[]);
    assert_eq!(smoke.code, 0, "{smoke:?}");
    let diagnose = lab.run("diagnose", &[]);
    assert_eq!(diagnose.code, 0, "{diagnose:?}");
}

fn no_secret_where_it_is_not_needed(lab: &Lab, operator: &str) {
    step("the operator's credential is on masters alone, root's alone");
    for host in ["m1", "a1", "a2", "c1"] {
        let found = lab.on(
            host,
            &format!("grep -rlas {operator}: /etc /var/lib/provision /run/provision || :"),
        );
        let own = format!("/etc/mesos-secrets/operator-{operator}.curl\n");
        assert_eq!(found, if host == "m1" { own.as_str() } else { "" }, "{host}");
    }
    let mode =
        lab.on("m1", &format!("stat -c '%a %U' /etc/mesos-secrets/operator-{operator}.curl"));
    assert_eq!(mode, "600 root\n");
}

fn operators_rotate(lab: &mut Lab) {
    step("the operator rotates, and every master accepts us at any time");
    lab.keep(&["mesos.credentials.operator.principal=op2"]);
    let former = [
        "-e",
        "mesos.credentials.operator.former.principal=op1",
        "-e",
        "mesos.credentials.operator.former.secret.env=NOT_READ",
    ];
    let both = lab.run("apply", &[&["-y"], &former[..]].concat());
    assert_eq!(both.code, 0, "{both:?}");
    assert!(!both.err.contains("refuses our credential"), "{}", both.err);
    assert_eq!(call(lab, Some("op1"), "POST", "/maintenance/schedule", "{}"), "200");
    assert_eq!(call(lab, Some("op2"), "POST", "/maintenance/schedule", "{}"), "200");
    let after = lab.run("apply", &["-y"]);
    assert_eq!(after.code, 0, "{after:?}");
    assert!(!after.err.contains("refuses our credential"), "{}", after.err);
    assert_eq!(call(lab, Some("op1"), "POST", "/maintenance/schedule", "{}"), "401");
    assert_eq!(call(lab, Some("op2"), "POST", "/maintenance/schedule", "{}"), "200");
    converged(lab);
}

fn writers_rotate(lab: &mut Lab) {
    step("the masters' credential at ZooKeeper rotates, and somebody leads at any time");
    lab.keep(&["zookeeper.credentials.principal=zk2"]);
    let former = [
        "-e",
        "zookeeper.credentials.former.principal=zk1",
        "-e",
        "zookeeper.credentials.former.secret.env=NOT_READ",
    ];
    let both = lab.run("apply", &[&["-y"], &former[..]].concat());
    assert_eq!(both.code, 0, "{both:?}");
    let let_in = acls(lab);
    assert_eq!((let_in.matches("zk1").count(), let_in.matches("zk2").count()), (3, 3), "{let_in}");
    // No master was restarted for it.
    assert!(!both.err.contains("service mesos-master"), "{}", both.err);
    let after = lab.run("apply", &["-y"]);
    assert_eq!(after.code, 0, "{after:?}");
    let let_in = acls(lab);
    assert_eq!((let_in.matches("zk1").count(), let_in.matches("zk2").count()), (0, 3), "{let_in}");
    converged(lab);
}

fn an_open_path_is_shut(lab: &mut Lab) {
    step("a path that somebody opened is seen, and shut again");
    client(lab, Some("zk2"), "setAcl /mesos/log_replicas world:anyone:cdrwa");
    let plan = lab.run("plan", &["--detailed-exitcode"]);
    assert_eq!(plan.code, 2, "{plan:?}");
    assert!(plan.out.contains("everybody"), "{}", plan.out);
    assert_eq!(lab.run("apply", &["-y"]).code, 0);
    assert!(!acls(lab).contains("cdrwa\n: cdrwa"), "{}", acls(lab));
    converged(lab);
}

/// Answers every path as a leader of its own cluster would, and with sections, names and ends of answers besides.
const HOSTILE: &str = r#"
use IO::Socket::INET;
my $s = IO::Socket::INET->new(LocalAddr => $ARGV[0], LocalPort => 5050, Listen => 64, ReuseAddr => 1) or die;
while (my $c = $s->accept) {
  my $path = (split / /, scalar(<$c>) // "")[1] // "";
  while (defined(my $l = <$c>)) { last if $l =~ /^\r?\n$/ }
  my $body = "\n\n+\n\n.\n@@provision strays\n/etc/mesos-master/../../etc/passwd\n@@provision .\n\e[2J";
  $body = '{"master/elected":1,"registrar/log/recovered":1,"registrar/log/ensemble_size":3,"registrar/registry_size_bytes":9}' if $path =~ /metrics/;
  $body = '{"slaves":[],"recovered_slaves":[]}' if $path =~ /slaves/;
  $body = '[{"role":"etl","weight":98765},{"role":"../../x","weight":7}]' if $path =~ /weights/;
  $body = "200\n" x 200000 if $path =~ /frameworks/;
  print $c "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
  close $c;
}
"#;

fn a_hostile_master_changes_nothing_but_itself(lab: &Lab) {
    step("a master's host in other hands is seen, and no other host is touched for what it says");
    let before = lab.trees();
    let at = lab.address("m2");
    lab.on("m2", "systemctl stop mesos-master");
    // Whom all the others name is believed about the cluster: it must not be m2 any more.
    until("another master leads", || lab.asked("/slaves")["slaves"].is_array());
    lab.on("m2", &format!("cat > /root/hostile.pl <<'E'\n{HOSTILE}\nE"));
    lab.on(
        "m2",
        &format!("setsid perl /root/hostile.pl {at} >/dev/null 2>&1 & echo $! > /root/pid"),
    );
    let plan = lab.run("plan", &[]);
    println!("{}\n{}", plan.out, plan.err);
    let actions = plan.out.lines().map(str::trim_start).filter(|l| l.starts_with(['~', '+', '-']));
    let others: Vec<&str> =
        actions.filter(|l| l.contains(": ") && !l[2..].trim_start().starts_with("m2")).collect();
    assert_eq!(others, [""; 0], "{}", plan.out);
    for told in ["98765", "../", "\u{1b}"] {
        assert!(!plan.out.contains(told) && !plan.err.contains(told), "{told:?} in {plan:?}");
    }
    // Whatever an apply then does or refuses, it is m2 that it is about.
    let apply = lab.run("apply", &["-y"]);
    println!("{}\n{}", apply.out, apply.err);
    lab.on("m2", "kill $(cat /root/pid) 2>/dev/null; pkill perl; rm -f /root/hostile.pl /root/pid; systemctl start mesos-master");
    for (before, after) in before.iter().zip(lab.trees()) {
        let before: Vec<&str> = before.lines().collect();
        let new: Vec<&str> = after
            .lines()
            .filter(|line| !before.contains(line) && !line.contains("/run/provision"))
            .filter(|line| !line.contains("/var/lib/provision/") && !line.contains("/var/log/"))
            .collect();
        assert_eq!(new, [""; 0]);
    }
    lab.settle();
    converged(lab);
}

//! A cluster that somebody set up by hand, the tutorial's way: packages, `echo` into files, `service start`.
//! Taken over, it runs on as it runs: what works on it is never disturbed.

use std::fs;

use super::support::lab::step;
use super::support::twin::{Host, Ran, run, until};

const TASKS: &str = "base,zookeeper,masters,agents";

#[test]
fn a_cluster_made_by_hand_is_taken_over_as_it_runs() {
    let hosts: Vec<Host> = (0..3).map(|_| Host::start()).collect();
    let [m, a, b] = &hosts[..] else { unreachable!() };
    let operator = &m.operator;
    let public = fs::read_to_string(operator.key().with_extension("pub")).unwrap();
    let mut known = fs::read_to_string(operator.path("known_hosts")).unwrap();
    for host in [a, b] {
        known.push_str(&format!("{} {}", host.address, host.let_in(&public)));
    }
    fs::write(operator.path("known_hosts"), known).unwrap();

    step("by hand");
    by_hand(m, a, b);
    let client = format!(
        "mesos-execute --master={}:5050 --name=job --command='sleep 100000' --resources='cpus:0.5;mem:64' >/root/job.log 2>&1 </dev/null &",
        m.address
    );
    m.sh(&client);
    let running = |host: &Host| host.try_sh("pgrep -fx 'sleep 100000'", "").out;
    until("the client's task runs", || !(running(a) + &running(b)).trim().is_empty());
    let before = (running(a), running(b), invocations(&hosts));

    step("adopt");
    let adopt = |hosts: &[&str]| -> Ran {
        let identity = operator.key();
        let words = [
            "adopt",
            "-u",
            "ops",
            "-b",
            "--known-hosts",
            "known_hosts",
            "--config-file",
            "ssh_config",
        ];
        let key = ["--private-key", identity.to_str().unwrap()];
        run(&mut operator.program(&[&words[..], &key, hosts].concat()), "")
    };
    let forgotten = adopt(&[&m.address, &a.address]);
    let missing = format!("{}: is the agent {} of the leading master's list", b.address, b.address);
    forgotten.said(0, &[&missing]);
    let adopted = adopt(&[&m.address, &a.address, &b.address]);
    let note = ":/etc/default/mesos-slave:2: `GLOG_v` is not taken over";
    adopted.said(0, &[note, "cluster: tutorial", "host_attribute: false", "rack: r1"]);
    assert!(!adopted.err.contains("is the agent"), "{adopted:?}");
    // The stand-in's version says what it is; to the operator it is a Mesos.
    let text = adopted.out.replace("1.11.0+standin", "1.11.0");
    fs::write(operator.inventory(), &text).unwrap();

    step("check and plan");
    let check = m.run("check", &[]);
    assert_eq!(check.code, 0, "{check:?}\n{text}");
    let plan = m.run("plan", &["-t", TASKS]);
    let over = "runs as wanted, to be taken over without a restart";
    plan.said(
        0,
        &[&format!("service mesos-master: {over}"), &format!("service mesos-slave: {over}")],
    );
    assert!(!plan.all().contains("Running work"), "{}", plan.all());
    assert_eq!(invocations(&hosts), before.2, "a plan changes nothing");

    step("apply");
    let apply = m.run("apply", &["-y", "-t", TASKS]);
    assert_eq!(apply.code, 0, "{apply:?}");
    assert_eq!(invocations(&hosts), before.2, "nothing that runs as wanted was restarted");
    assert_eq!((running(a), running(b)), (before.0, before.1), "the client's task runs on");
    assert!(!m.sh("cat /root/job.log").contains("TASK_LOST"));
    let again = m.run("apply", &["-t", TASKS]);
    assert!(again.out.starts_with("No changes"), "{again:?}");

    step("from now on it is ours");
    operator.edit("rack: r1", "rack: r2");
    m.run("plan", &["-t", TASKS]).said(0, &["service mesos-slave: restart: attributes changed"]);
}

/// InvocationID of each daemon of Mesos.
fn invocations(hosts: &[Host]) -> Vec<String> {
    let ids = "systemctl show -p InvocationID --value mesos-master mesos-slave";
    hosts.iter().map(|host| host.sh(ids)).collect()
}

fn by_hand(m: &Host, a: &Host, b: &Host) {
    let ip = &m.address;
    m.sh(&format!(
        "export DEBIAN_FRONTEND=noninteractive; apt-get update -q >/dev/null; apt-get install -y -q zookeeperd >/dev/null
        echo 1 > /etc/zookeeper/conf/myid
        service zookeeper restart
        echo zk://{ip}:2181/mesos > /etc/mesos/zk
        echo 1 > /etc/mesos-master/quorum
        echo {ip} | tee /etc/mesos-master/ip > /etc/mesos-master/hostname
        echo tutorial > /etc/mesos-master/cluster
        systemctl enable mesos-master
        service mesos-master start"
    ));
    for host in [a, b] {
        let ip = &host.address;
        host.sh(&format!(
            "echo zk://{}:2181/mesos > /etc/mesos/zk
            echo {ip} | tee /etc/mesos-slave/ip > /etc/mesos-slave/hostname
            echo rack:r1 > /etc/mesos-slave/attributes
            echo posix > /etc/mesos-slave/launcher
            touch '/etc/mesos-slave/?no-systemd_enable_support'
            printf 'MASTER=`cat /etc/mesos/zk`\\nGLOG_v=1\\n' > /etc/default/mesos-slave
            systemctl enable mesos-slave
            service mesos-slave start",
            m.address
        ));
    }
    let listed = format!(
        "curl -s http://{}:5050/slaves | grep -o '\"hostname\"' | wc -l | grep -qx 2",
        m.address
    );
    m.until(&listed);
}

//! Clusters that somebody set up by hand. Taken over, they run on as they run: what works on them is never disturbed.
//!
//! The tutorial's way: packages, `echo` into files, `service start`. A playbook's with a package of another name, whose
//! agent is `mesos-agent`. A build under /usr/local with units of its own, which no file below /etc steers.

use std::fs;

use super::support::lab::step;
use super::support::twin::{Host, Ran, run, until};

const TASKS: &str = "base,zookeeper,masters,agents";

#[test]
fn a_cluster_made_by_hand_is_taken_over_as_it_runs() {
    let made = Made::start(3);
    let [m, a, b] = &made.hosts[..] else { unreachable!() };

    step("by hand");
    zookeeper(m);
    m.sh(&by_files(m, "mesos-master", m));
    for host in [a, b] {
        host.sh(&by_files(host, "mesos-slave", m));
    }
    let before = made.works(["mesos-master", "mesos-slave"]);

    step("adopt");
    let forgotten = made.adopt(&[&m.address, &a.address]);
    let missing = format!("{}: is the agent {} of the leading master's list", b.address, b.address);
    forgotten.said(0, &[&missing]);
    let adopted = made.adopt(&[&m.address, &a.address, &b.address]);
    let env = "      env:\n        GLOG_v: 1\n";
    adopted.said(0, &[env, "cluster: tutorial", "host_attribute: false", "rack: r1"]);
    assert!(!adopted.err.contains("is the agent"), "{adopted:?}");
    adopted.said(0, &[":/etc/default/mesos-slave:3: `STORE_TOKEN <secret>` is not taken over"]);
    assert!(!format!("{adopted:?}").contains("hush"), "{adopted:?}");
    made.taken_over(&adopted, &before);

    step("from now on it is ours");
    m.operator.edit("rack: r1", "rack: r2");
    m.run("plan", &["-t", TASKS]).said(0, &["service mesos-slave: restart: attributes changed"]);
}

#[test]
fn a_package_of_another_name_whose_agent_is_called_one_is_taken_over() {
    let made = Made::start(2);
    let [m, a] = &made.hosts[..] else { unreachable!() };

    step("by hand");
    zookeeper(m);
    for host in &made.hosts {
        host.sh(RENAMED);
    }
    m.sh(&by_files(m, "mesos-master", m));
    a.sh(&by_files(a, "mesos-agent", m));
    let before = made.works(["mesos-master", "mesos-agent"]);

    step("adopt");
    let adopted = made.adopt(&[&m.address, &a.address]);
    adopted.said(0, &["name: aventer-mesos", "agent: mesos-agent", "rack: r1"]);
    made.taken_over(&adopted, &before);

    step("from now on it is ours");
    m.operator.edit("rack: r1", "rack: r2");
    let apply = m.run("apply", &["-y", "-t", TASKS]);
    apply.said(0, &["service mesos-agent"]);
    assert_eq!(a.sh("cat /etc/mesos-agent/attributes").trim(), "rack:r2");
    assert!(made.run_apply().out.starts_with("No changes"));
}

#[test]
fn a_build_below_usr_local_is_taken_over_and_its_own_units_are_named() {
    let made = Made::start(2);
    let [m, a] = &made.hosts[..] else { unreachable!() };

    step("by hand");
    zookeeper(m);
    for host in &made.hosts {
        host.sh(BUILT);
    }
    let master = format!("--quorum=1 --cluster=tutorial --hostname={0} --ip={0}", m.address);
    m.sh(&own_unit("mesos-master", &master, &m.address));
    let agent = format!(
        "--attributes=rack:r1 --launcher=posix --no-systemd_enable_support --hostname={0} --ip={0}",
        a.address
    );
    a.sh(&own_unit("mesos-slave", &agent, &m.address));
    let before = made.works(["mesos-master", "mesos-slave"]);

    step("adopt");
    let adopted = made.adopt(&[&m.address, &a.address]);
    let own = "/etc/systemd/system/mesos-slave.service: this unit is yours and stays";
    let program = "belongs to no package: a build below /usr/local, which you see to";
    adopted.said(0, &["built: \"/usr/local\"", own, program, "rack: r1"]);
    made.taken_over(&adopted, &before);

    step("what its own unit says is not ours to change, and that is said before anything is");
    m.operator.edit("rack: r1", "rack: r2");
    let plan = m.run("plan", &["-t", TASKS]);
    plan.said(1, &["mesos-slave.service", "does not read", "/etc/mesos-slave"]);
    let apply = m.run("apply", &["-y", "-t", TASKS]);
    assert_eq!(apply.code, 1, "{apply:?}");
    assert_eq!(made.work(["mesos-master", "mesos-slave"]), before, "nothing was changed");
}

/// Hosts that somebody set up, looked after from the first one's operator.
struct Made {
    hosts: Vec<Host>,
}

/// What runs on all of them: the client's task, and each daemon's InvocationID.
type Work = (String, Vec<String>);

impl Made {
    fn start(number: usize) -> Made {
        let hosts: Vec<Host> = (0..number).map(|_| Host::start()).collect();
        let (first, others) = hosts.split_first().unwrap();
        let operator = &first.operator;
        let public = fs::read_to_string(operator.key().with_extension("pub")).unwrap();
        let mut known = fs::read_to_string(operator.path("known_hosts")).unwrap();
        for host in others {
            known.push_str(&format!("{} {}", host.address, host.let_in(&public)));
        }
        fs::write(operator.path("known_hosts"), known).unwrap();
        Made { hosts }
    }

    /// Waits for the agents, and starts a client's job.
    fn works(&self, units: [&str; 2]) -> Work {
        let m = &self.hosts[0];
        let agents = self.hosts.len() - 1;
        m.until(&format!(
            "curl -s http://{}:5050/slaves | grep -o '\"hostname\"' | wc -l | grep -qx {agents}",
            m.address
        ));
        m.sh(&format!(
            "mesos-execute --master={}:5050 --name=job --command='sleep 100000' --resources='cpus:0.5;mem:64' >/root/job.log 2>&1 </dev/null &",
            m.address
        ));
        until("the client's task runs", || !self.work(units).0.trim().is_empty());
        self.work(units)
    }

    fn work(&self, units: [&str; 2]) -> Work {
        let running = |host: &Host| host.try_sh("pgrep -fx 'sleep 100000'", "").out;
        let ids = format!("systemctl show -p InvocationID --value {}", units.join(" "));
        let agents = self.hosts[1..].iter();
        (agents.map(running).collect(), self.hosts.iter().map(|host| host.sh(&ids)).collect())
    }

    fn adopt(&self, hosts: &[&str]) -> Ran {
        let operator = &self.hosts[0].operator;
        let identity = operator.key();
        let words = "adopt -u ops -b --known-hosts known_hosts --config-file ssh_config";
        let words: Vec<&str> = words.split(' ').collect();
        let key = ["--private-key", identity.to_str().unwrap()];
        run(&mut operator.program(&[&words[..], &key, hosts].concat()), "")
    }

    /// What was adopted is checked, planned and applied; nothing that runs is disturbed.
    fn taken_over(&self, adopted: &Ran, before: &Work) {
        let m = &self.hosts[0];
        let units = match adopted.out.contains("agent: mesos-agent") {
            true => ["mesos-master", "mesos-agent"],
            false => ["mesos-master", "mesos-slave"],
        };
        // The stand-in's version says what it is; to the operator it is a Mesos.
        let text = adopted.out.replace("1.11.0+standin", "1.11.0");
        assert!(text.contains("\nzookeeper:\n  servers:\n"), "{text}");
        fs::write(m.operator.inventory(), &text).unwrap();

        step("check and plan");
        let check = m.run("check", &[]);
        assert_eq!(check.code, 0, "{check:?}\n{text}");
        let plan = m.run("plan", &["-t", TASKS]);
        let over = "runs as wanted, to be taken over without a restart";
        let words = units.map(|unit| format!("service {unit}: {over}"));
        plan.said(0, &words.each_ref().map(String::as_str));
        assert!(!plan.all().contains("Running work"), "{}", plan.all());
        assert_eq!(self.work(units), *before, "a plan changes nothing");

        step("apply");
        let apply = m.run("apply", &["-y", "-t", TASKS]);
        assert_eq!(apply.code, 0, "{apply:?}");
        assert_eq!(self.work(units), *before, "nothing that runs as wanted was disturbed");
        assert!(!m.sh("cat /root/job.log").contains("TASK_LOST"));
        let again = self.run_apply();
        assert!(again.out.starts_with("No changes"), "{again:?}");
    }

    fn run_apply(&self) -> Ran {
        self.hosts[0].run("apply", &["-t", TASKS])
    }
}

fn zookeeper(m: &Host) {
    m.sh("export DEBIAN_FRONTEND=noninteractive; apt-get update -q >/dev/null; apt-get install -y -q zookeeperd >/dev/null
        echo 1 > /etc/zookeeper/conf/myid
        service zookeeper restart");
}

/// A daemon as the tutorial begins it.
fn by_files(host: &Host, daemon: &str, master: &Host) -> String {
    let ip = &host.address;
    let files = match daemon {
        "mesos-master" => "echo 1 > /etc/mesos-master/quorum
            echo tutorial > /etc/mesos-master/cluster"
            .to_owned(),
        _ => format!(
            "echo rack:r1 > /etc/{daemon}/attributes
            echo posix > /etc/{daemon}/launcher
            touch '/etc/{daemon}/?no-systemd_enable_support'
            printf 'MASTER=`cat /etc/mesos/zk`\\nGLOG_v=1\\nSTORE_TOKEN=hush\\n' > /etc/default/{daemon}"
        ),
    };
    let master = &master.address;
    format!(
        "echo zk://{master}:2181/mesos > /etc/mesos/zk
        echo {ip} | tee /etc/{daemon}/ip > /etc/{daemon}/hostname
        {files}
        systemctl enable -q {daemon}
        service {daemon} start"
    )
}

/// The package made anew as another vendor makes it: aventer-mesos, with mesos-agent where others say mesos-slave.
const RENAMED: &str = r#"set -e
dpkg --purge mesos >/dev/null 2>&1
rm -rf /r; dpkg-deb -R /root/mesos.deb /r; cd /r
rm -f usr/lib/libmesos*
sed -i 's/slave/agent/g' usr/bin/mesos-init-wrapper lib/systemd/system/mesos-slave.service DEBIAN/conffiles \
  DEBIAN/postinst DEBIAN/prerm DEBIAN/postrm
sed -i 's/^Package: .*/Package: aventer-mesos/; s/^Version: .*/Version: 1.11.0-0.7.1/' DEBIAN/control
mv lib/systemd/system/mesos-slave.service lib/systemd/system/mesos-agent.service
mv etc/mesos-slave etc/mesos-agent
mv etc/default/mesos-slave etc/default/mesos-agent
rm usr/sbin/mesos-slave DEBIAN/md5sums
find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | xargs md5sum >DEBIAN/md5sums
cd /; dpkg-deb --build /r /root/aventer-mesos.deb >/dev/null; dpkg -i /root/aventer-mesos.deb >/dev/null
rm -rf /r; systemctl daemon-reload"#;

/// What `make install` leaves: programs below /usr/local, and nothing that starts them.
const BUILT: &str = r#"set -e
cp -a /usr/lib/mesos /root/mesos-built
dpkg --purge mesos >/dev/null 2>&1
rm -rf /etc/mesos /etc/mesos-master /etc/mesos-slave /etc/default/mesos*
mkdir -p /usr/local/lib /usr/local/sbin /usr/local/bin
mv /root/mesos-built /usr/local/lib/mesos
for name in mesos-master mesos-agent mesos-slave; do ln -s ../lib/mesos/mesos-standin /usr/local/sbin/$name; done
ln -s ../lib/mesos/mesos-standin /usr/local/bin/mesos-execute
mkdir -p /var/lib/mesos /var/log/mesos
systemctl daemon-reload"#;

fn own_unit(name: &str, flags: &str, master: &str) -> String {
    let zk = if name == "mesos-master" { "zk" } else { "master" };
    format!(
        "cat >/etc/systemd/system/{name}.service <<'EOF'
[Unit]
After=network.target

[Service]
ExecStart=/usr/local/sbin/{name} --{zk}=zk://{master}:2181/mesos --work_dir=/var/lib/mesos --log_dir=/var/log/mesos {flags}
KillMode=process
Restart=always
RestartSec=20

[Install]
WantedBy=multi-user.target
EOF
systemctl daemon-reload; systemctl enable -q {name}; systemctl start {name}"
    )
}

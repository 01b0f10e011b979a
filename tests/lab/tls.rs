//! A cluster that goes over to TLS and back under what runs on it, and whom it then listens to. Real curl, OpenSSL,
//! ZooKeeper and systemd; Mesos is the stand-in, which speaks TLS as libprocess is told to.

use std::path::Path;
use std::process::Command;

use super::support::lab::{Lab, step};

#[test]
#[ignore = "one of the long ones: make lab-long"]
fn lab_tls_comes_and_goes_in_two_steps() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let lab = Lab::with(
        "lab-tls",
        &[
            "smoke.each_agent=false",
            "mesos.credentials.operator.principal=op1",
            "mesos.credentials.operator.secret.env=NOT_READ",
        ],
    );
    step("a cluster without TLS");
    let apply = lab.run("apply", &["-y"]);
    assert_eq!(apply.code, 0, "{apply:?}");

    step("one step over is refused before anything is done, with the cure");
    let (certificate, key) = (file("{{ host.name }}.pem"), file("{{ host.name }}.key"));
    lab.keep(&[
        &format!("mesos.tls.certificate={certificate}"),
        &format!("mesos.tls.key.file={key}"),
        &format!("mesos.tls.ca={}", file("ca.pem")),
    ]);
    refused(&lab);

    step("with both, all goes on, and what runs through Mesos does so over TLS");
    lab.keep(&["mesos.tls.plain=true"]);
    steps_over(&lab);
    for (host, port) in SPEAKERS {
        for scheme in ["http", "https"] {
            assert_eq!(
                health(&lab, host, port, &format!("{scheme} {CA}")),
                "200",
                "{scheme} {host}"
            );
        }
        assert_eq!(health(&lab, host, port, "https"), "000", "{host} is believed without its CA");
    }

    step("then TLS alone: who speaks without, or believes another CA, gets nowhere");
    lab.keep(&["mesos.tls.plain=false"]);
    steps_over(&lab);
    lab.on("c1", &format!("cat > /root/other.pem <<'E'\n{}E", read(&file("ca.pem"))));
    for (host, port) in SPEAKERS {
        assert_eq!(health(&lab, host, port, &format!("https {CA}")), "200", "{host}");
        for how in ["http", "https", "https --cacert /root/other.pem"] {
            assert_eq!(health(&lab, host, port, how), "000", "{host}: {how}");
        }
    }
    an_agent_without_tls(&lab);
    keys_are_their_owners_alone(&lab);
    work_goes_on(&lab);

    step("who comes must show a certificate, if that is asked for");
    lab.keep(&["mesos.tls.client_certificates=true"]);
    steps_over(&lab);
    let own = "--cert /etc/spark-secrets/tls.pem --key /etc/spark-secrets/tls.key";
    for (host, port) in SPEAKERS {
        assert_eq!(health(&lab, host, port, &format!("https {CA}")), "000", "{host}");
        assert_eq!(health(&lab, host, port, &format!("https {CA} {own}")), "200", "{host}");
    }

    step("the way back is two steps too, and leaves no key");
    lab.forget("mesos.tls");
    refused(&lab);
    lab.keep(&[
        &format!("mesos.tls.certificate={certificate}"),
        &format!("mesos.tls.key.file={key}"),
        &format!("mesos.tls.ca={}", file("ca.pem")),
        "mesos.tls.plain=true",
    ]);
    steps_over(&lab);
    lab.forget("mesos.tls");
    steps_over(&lab);
    for host in ["m1", "a1", "c1"] {
        assert_eq!(lab.on(host, KEYS), "", "{host}");
    }
}

/// A master and an agent, by the path that asks nobody for a credential.
const SPEAKERS: [(&str, u16); 2] = [("m1", 5050), ("a1", 5051)];

/// The twin's CA as a client has it.
const CA: &str = "--cacert /etc/spark-secrets/tls-ca.pem";

/// Files that hold a private key, but for what was downloaded.
const KEYS: &str = "grep -rlasE --exclude-dir=cache 'BEGIN (EC )?PRIVATE KEY' /etc/mesos-secrets /etc/spark-secrets /etc/default /etc/mesos-master \
    /etc/mesos-slave /var/lib/provision /run/provision /opt/spark/conf/ | sort || :";

/// A CA, and a certificate for each host of the demo by its address there. (Hosts of a twin have others: it signs
/// certificates of its own for them.)
fn certificates(folder: &Path) {
    let hosts = [("m1", 11), ("m2", 12), ("m3", 13), ("a1", 21), ("a2", 22), ("c1", 31)];
    let hosts = hosts.map(|(name, last)| format!("{name}:10.77.0.{last}")).join(" ");
    let script = format!(
        "set -e; k='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'; \
         openssl req -x509 $k -days 9 -subj /CN=ca -keyout ca.key -out ca.pem; \
         for h in {hosts}; do n=${{h%%:*}}; openssl req -new $k -subj /CN=$n -keyout $n.key -out $n.csr; \
         echo subjectAltName=IP:${{h#*:}} > $n.ext; \
         openssl x509 -req -in $n.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 9 -extfile $n.ext -out $n.pem; done"
    );
    let made = Command::new("sh").args(["-c", &script]).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// No host is changed, and it is said what is to be done first.
#[track_caller]
fn refused(lab: &Lab) {
    let before =
        lab.on("m1", "cat /etc/default/mesos; systemctl show -p InvocationID mesos-master");
    let apply = lab.run("apply", &["-y"]);
    assert_eq!(apply.code, 1, "{apply:?}");
    assert!(apply.err.contains("plain: true"), "{apply:?}");
    let after = lab.on("m1", "cat /etc/default/mesos; systemctl show -p InvocationID mesos-master");
    assert_eq!(before, after);
}

/// An apply that proves SparkPi in both modes, after which nothing is to be done and all serve.
#[track_caller]
fn steps_over(lab: &Lab) {
    let apply = lab.run("apply", &["-y"]);
    assert_eq!(apply.code, 0, "{apply:?}");
    for proof in ["pi-through-mesos", "pi-in-cluster-mode"] {
        assert!(apply.err.contains(proof) || apply.out.contains(proof), "{proof}: {apply:?}");
    }
    let again = lab.run("apply", &[]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.out.starts_with("No changes."), "{}", again.out);
    for command in ["status", "diagnose"] {
        let ran = lab.run(command, &[]);
        assert_eq!(ran.code, 0, "{command}: {ran:?}");
        assert!(!ran.out.contains("not_run"), "{command}: {ran:?}");
    }
}

/// The status that a client gets: the scheme, and how curl asks.
fn health(lab: &Lab, host: &str, port: u16, how: &str) -> String {
    let (scheme, options) = how.split_once(' ').unwrap_or((how, ""));
    let at = lab.address(host);
    let url = format!("{scheme}://{at}:{port}/health");
    lab.on("c1", &format!("curl -s -m 10 -o /dev/null -w '%{{http_code}}' {options} {url} || :"))
}

fn an_agent_without_tls(lab: &Lab) {
    let zk = lab.on("a2", "cat /etc/mesos/zk");
    let listed = || lab.asked("/slaves")["slaves"].as_array().unwrap().len();
    let before = listed();
    let said = lab.try_on(
        "c1",
        &format!(
            "timeout 8 /usr/sbin/mesos-slave --master={} --work_dir=/tmp/rogue --launcher=posix \
             --no-systemd_enable_support --containerizers=mesos --port=5951 2>&1; rm -rf /tmp/rogue",
            zk.trim()
        ),
    );
    assert!(said.out.contains("New master detected"), "{said:?}");
    assert!(!said.out.contains("Registered with master"), "{said:?}");
    assert_eq!(listed(), before);
}

fn keys_are_their_owners_alone(lab: &Lab) {
    for (host, owners) in [("m1", &["root"][..]), ("a1", &["root", "spark"]), ("c1", &["spark"])] {
        let keys = lab.on(host, KEYS);
        let about: Vec<String> =
            keys.lines().map(|path| lab.on(host, &format!("stat -Lc '%a %U' {path}"))).collect();
        assert!(about.iter().all(|it| it.starts_with("600 ")), "{host}: {keys} {about:?}");
        for owner in owners {
            assert!(about.iter().any(|it| it.trim().ends_with(owner)), "{host}: {keys} {about:?}");
        }
    }
    let plan = lab.run("plan", &["-D", "-e", "mesos.masters.flags.offer_timeout=9secs"]);
    assert!(!plan.out.contains("PRIVATE KEY"), "{}", plan.out);
}

fn work_goes_on(lab: &Lab) {
    step("weights and drains work over TLS");
    let weighed = lab.run("apply", &["-y", "-e", "mesos.roles.etl.weight=3"]);
    assert_eq!(weighed.code, 0, "{weighed:?}");
    let back = lab.run("apply", &["-y"]);
    assert_eq!(back.code, 0, "{back:?}");
    for (verb, deactivated) in [("drain", true), ("undrain", false)] {
        let ran = lab.of_host(verb, "a1", &["-y"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(lab.listed("a1")["deactivated"], deactivated, "{verb}");
    }
}

//! What hosts say becomes an inventory that says the same, and nothing is dropped silently.

use std::fmt::Write as _;

use provision::adopt::ask::{self, Machine};
use provision::adopt::inventory::{Adopted, Reached, Told, told, write};
use provision::health::{Question, Replies, Reply};
use provision::inventory::{Inventory, ZooKeeper};
use provision::lints::load::{Lab, load_text};
use provision::script::Sections;

/// An answer of a host, record by record.
#[derive(Default)]
struct Said(String);

impl Said {
    fn record(&mut self, head: &str, text: &str) -> &mut Said {
        let hex: String = text.bytes().map(|byte| format!(" {byte:02x}")).collect();
        let _ = write!(self.0, "{head}\n{hex}\n=\n");
        self
    }

    fn process(&mut self, id: u32, unit: &str, package: &str, words: &[&str]) -> &mut Said {
        self.record(&format!("process {id}"), &(words.join("\0") + "\0"));
        self.record(&format!("environment {id}"), "");
        self.record(&format!("program {id}"), words[0]);
        self.record(&format!("owner {id}"), &format!("{package}: {}\n", words[0]));
        self.record(&format!("unit {id}"), unit);
        self.record(&format!("unitfile {id}"), &format!("/lib/systemd/system/{unit}.service\n"))
    }

    fn machine(&self, asked: &str) -> Machine {
        ask::read(asked, &Sections::from([("adopt".to_owned(), self.0.clone())]))
    }
}

const ZK: &str = "zk://10.0.0.1:2181,10.0.0.2:2181,10.0.0.3:2181/mesos";
const DEFAULTS: &str = "PORT=5050\nZK=`cat /etc/mesos/zk`\nGLOG_v=1\nexport MORE='a b'\nSECOND=$MORE\nTOKEN <secret>\n";
const PACKAGES: &str = "mesos installed 1.11.0-2.0.1\ndocker.io installed 20.10\n";

fn master(number: u8) -> Machine {
    let ip = format!("10.0.0.{number}");
    let mut said = Said::default();
    said.record("name", &format!("m{number}.example\n")).record("addresses", &format!("{ip} \n"));
    said.record("packages", PACKAGES);
    said.record("file /etc/mesos/zk", &format!("{ZK}\n"));
    said.record("file /etc/mesos-master/quorum", "2\n");
    said.record("file /etc/mesos-master/acls", "/etc/acls.json\n");
    said.record("file /etc/default/mesos-master", DEFAULTS);
    let flags = [
        "/usr/sbin/mesos-master".to_owned(),
        format!("--zk={ZK}"),
        "--port=5050".to_owned(),
        "--log_dir=/var/log/mesos".to_owned(),
        "--quorum=2".to_owned(),
        format!("--ip={ip}"),
        format!("--hostname={ip}"),
        "--work_dir=/var/lib/mesos".to_owned(),
        "--cluster=old".to_owned(),
        "--offer_timeout=30secs".to_owned(),
    ];
    let words: Vec<&str> = flags.iter().map(String::as_str).collect();
    said.process(10, "mesos-master", "mesos", &words);
    let cfg = "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/data/zk\nclientPort=2181\n\
               server.1=10.0.0.1:2888:3888\nserver.2=10.0.0.2:2888:3888\nserver.3=10.0.0.3:2888:3888\n";
    said.record("file /etc/zookeeper/conf/zoo.cfg", cfg).record("myid", &format!("{number}\n"));
    let java = [
        "java",
        "-Xmx1g",
        "org.apache.zookeeper.server.quorum.QuorumPeerMain",
        "/etc/zookeeper/conf/zoo.cfg",
    ];
    said.process(11, "zookeeper", "zookeeper", &java);
    said.machine(&format!("m{number}.example"))
}

fn agent(number: u8, more: &[&str]) -> Machine {
    let ip = format!("10.0.1.{number}");
    let mut said = Said::default();
    said.record("name", &format!("a{number}\n")).record("addresses", &format!("{ip} 172.17.0.1\n"));
    said.record("packages", PACKAGES);
    said.record("file /etc/docker/daemon.json", "{\n  \"log-driver\": \"local\"\n}\n");
    let flags = [format!("--master={ZK}"), format!("--ip={ip}"), format!("--hostname={ip}")];
    let mut words =
        vec!["/usr/sbin/mesos-slave", "--work_dir=/var/lib/mesos", "--log_dir=/var/log/mesos"];
    words.extend(flags.iter().map(String::as_str).chain(more.iter().copied()));
    said.process(20, "mesos-slave", "mesos", &words);
    said.process(21, "docker", "docker.io", &["/usr/sbin/dockerd", "-H", "fd://"]);
    said.machine(&ip)
}

const USUAL: [&str; 3] = [
    "--containerizers=docker,mesos",
    "--attributes=rack:r1",
    "--resources=cpus(*):4;mem(etl):1024;mem(*):3072;ports(*):[31000-32000]",
];

fn adopted() -> Adopted {
    let mut machines: Vec<Machine> = (1..=3).map(master).collect();
    machines.extend((11..=14).map(|number| agent(number, &USUAL)));
    machines.push(agent(20, &["--attributes=rack:r2"]));
    let mut told = Told { replicas: Some(3), ..Told::default() };
    told.weights.insert("etl".to_owned(), 2.0);
    told.agents.insert("10.0.1.99".to_owned(), "lost".to_owned());
    write(
        &machines,
        &told,
        &Reached { user: Some("ops".to_owned()), become_root: true, ..Reached::default() },
    )
}

fn loaded(text: &str) -> Inventory {
    let folder = tempfile::tempdir().unwrap();
    match load_text("inventory.yaml", text.as_bytes(), folder.path(), &[], Lab::No) {
        Ok(loaded) => loaded.inventory,
        Err(refused) => panic!("{:#?}\n{text}", refused.problems),
    }
}

#[test]
fn a_cluster_made_by_hand_becomes_an_inventory() {
    let adopted = adopted();
    insta::assert_snapshot!(adopted.text);
    let inventory = loaded(&adopted.text);
    assert_eq!(inventory.cluster, "old");
    assert_eq!(inventory.hosts.len(), 8);
    let ZooKeeper::Managed { servers, config, .. } = &inventory.zookeeper else { panic!() };
    assert_eq!(servers.values().copied().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((&*config["dataDir"], &*config["java_options"]), ("/data/zk", "-Xmx1g"));
    assert_eq!(inventory.mesos.master_flags["offer_timeout"], "30secs");
    assert_eq!(inventory.mesos.pools.len(), 2);
    let first = inventory.agents().next().unwrap().2;
    assert_eq!(first.attributes.to_string(), "rack:r1");
    assert_eq!(first.resources.to_string(), "cpus:4;mem:3072;mem(etl):1024;ports:[31000-32000]");
    // Nobody asked for Docker on the last one.
    assert_eq!(inventory.agents().last().unwrap().2.flags["containerizers"], "mesos");
    assert_eq!(inventory.docker.daemon["log-driver"], "local");
}

/// Three servers that were started with these options of the JVM and these lines of zoo.cfg.
fn servers_with(options: &[&str], lines: &str) -> Adopted {
    let machine = |number: u8| {
        let ip = format!("10.0.0.{number}");
        let mut said = Said::default();
        said.record("name", &format!("m{number}\n")).record("addresses", &format!("{ip} \n"));
        said.record("packages", PACKAGES).record("myid", &format!("{number}\n"));
        let list: String = (1..=3).map(|n| format!("server.{n}=10.0.0.{n}:2888:3888\n")).collect();
        said.record("file /etc/zookeeper/conf/zoo.cfg", &format!("{lines}{list}"));
        let end =
            ["org.apache.zookeeper.server.quorum.QuorumPeerMain", "/etc/zookeeper/conf/zoo.cfg"];
        said.process(11, "zookeeper", "zookeeper", &[&["java"], options, &end].concat());
        let zk = format!("--zk={ZK}");
        said.process(10, "mesos-master", "mesos", &["/usr/sbin/mesos-master", &zk, "--quorum=2"]);
        said.machine(&ip)
    };
    let machines: Vec<Machine> = (1..=3).map(machine).collect();
    write(&machines, &Told::default(), &Reached::default())
}

#[test]
fn servers_that_authenticate_each_other_go_on_so() {
    let on = "quorum.auth.enableSasl=true\nquorum.auth.learnerRequireSasl=true\nquorum.auth.serverRequireSasl=true\n";
    let told = |adopted: &Adopted, words: &str| {
        adopted.notes.iter().any(|note| note.to_string().contains(words))
    };
    // Somebody else's: lines and file stay.
    let option = "-Djava.security.auth.login.config=/etc/zk.jaas";
    let theirs = servers_with(&["-Xmx1g", option], on);
    let inventory = loaded(&theirs.text);
    assert!(!inventory.sasl().is_on());
    let ZooKeeper::Managed { config, .. } = &inventory.zookeeper else { panic!() };
    assert_eq!(config["java_options"], format!("-Xmx1g {option}"));
    assert_eq!(config["quorum.auth.serverRequireSasl"], "true");
    assert!(told(&theirs, "/etc/zk.jaas holds how ZooKeeper proves"), "{:#?}", theirs.notes);
    // What an apply has set.
    let set = provision::inventory::Sasl {
        principals: vec!["zk2".to_owned(), "zk".to_owned()],
        shows: Some("zk2".to_owned()),
        open: false,
    };
    let options = set.options();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let ours = servers_with(&options, &format!("{on}quorum.cnxn.threads.size=20\n"));
    let inventory = loaded(&ours.text);
    assert_eq!(inventory.sasl(), set, "{}", ours.text);
    let ZooKeeper::Managed { config, .. } = &inventory.zookeeper else { panic!() };
    assert!(config.is_empty(), "{config:?}");
    assert!(told(&ours, "the secret of zk2 is not taken"), "{:#?}", ours.notes);
}

#[test]
fn who_logs_in_to_zookeeper_goes_on_to() {
    let machine = |mut machine: Machine| {
        let words = machine.processes.iter_mut().flat_map(|process| &mut process.words);
        words.for_each(|word| *word = word.replace("zk://", "zk://mesos:<secret>@"));
        machine
    };
    let adopted =
        write(&[machine(master(1)), machine(agent(1, &[]))], &Told::default(), &Reached::default());
    let access = loaded(&adopted.text).mesos.access;
    assert_eq!(access.writer.unwrap().principal, "mesos", "{}", adopted.text);
    let said = |words: &str| adopted.notes.iter().any(|note| note.to_string().contains(words));
    assert!(said("the secret of mesos is not taken"), "{:#?}", adopted.notes);
    let (_, inventory) = adopted.text.split_once("version: 1").unwrap();
    assert!(!inventory.contains("<secret>"), "{inventory}");
}

#[test]
fn what_is_not_said_is_listed_with_its_place() {
    let adopted = adopted();
    let said = |words: &str| adopted.notes.iter().any(|note| note.to_string().contains(words));
    let computed = "m1:/etc/default/mesos-master:5: `SECOND` is not taken over";
    assert!(said("`TOKEN <secret>` is not taken over"), "{:#?}", adopted.notes);
    assert!(said(computed) && !said("GLOG_v") && !said("MORE"), "{:#?}", adopted.notes);
    let env = [("GLOG_v", "1"), ("MORE", "a b")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(loaded(&adopted.text).mesos.master_env, env.into());
    assert!(said("m2:/etc/mesos-master/acls:1: no flag acls of what runs"), "{:#?}", adopted.notes);
    assert!(said("10.0.1.99: is the agent lost"), "{:#?}", adopted.notes);
    assert_eq!(adopted.unnamed.len(), 1);
    for note in &adopted.notes {
        assert!(adopted.text.contains(&note.to_string()), "{note}");
    }
}

#[test]
fn a_build_is_said_with_its_directory_and_the_release_that_it_says_itself() {
    let mut said = Said::default();
    said.record("name", "a1\n").record("addresses", "10.0.1.1\n").record("packages", "");
    let words =
        ["/opt/mesos/sbin/mesos-agent", "--ip=10.0.1.1", "--master=zk://10.0.0.9:2181/mesos"];
    said.process(5, "mesos-agent", "", &words);
    let reply = |body: &str| Reply { status: 200, body: body.to_owned() };
    let version = Question::Http("http://10.0.1.1:5050/version".to_owned());
    let told = told(&[Replies::from([(version, reply(r#"{"version":"1.9.0"}"#))])]);
    let adopted = write(&[said.machine("a1")], &told, &Reached::default());
    let package = "version: \"1.9.0\"\n  package: { built: \"/opt/mesos\", agent: mesos-agent }\n";
    assert!(adopted.text.contains(package), "{}", adopted.text);
    let note = "a build below /opt/mesos, which you see to";
    assert!(adopted.notes.iter().any(|it| it.to_string().ends_with(note)), "{:#?}", adopted.notes);
    // Whatever a process calls itself is a word, and no program to be run.
    let script = ask::probe().script("N");
    assert!(!script.contains("--version"), "{script}");
}

#[test]
fn what_runs_is_believed_over_what_stands_in_files() {
    let mut said = Said::default();
    said.record("name", "a1\n").record("addresses", "10.0.1.1\n").record("packages", PACKAGES);
    said.record("file /etc/mesos-slave/ip", "10.0.1.1\n");
    said.record("file /etc/mesos-slave/containerizers", "docker,mesos\n");
    said.process(
        5,
        "mesos-slave",
        "mesos",
        &[
            "/usr/sbin/mesos-slave",
            "--ip=10.0.1.1",
            "--containerizers=mesos",
            "--master=zk://10.0.0.9:2181/mesos",
        ],
    );
    let adopted = write(&[said.machine("a1")], &Told::default(), &Reached::default());
    assert!(adopted.text.contains("containerizers: mesos\n"), "{}", adopted.text);
    let note = "a1:/etc/mesos-slave/containerizers:1: it says docker,mesos, and what runs was started with mesos";
    assert!(
        adopted.notes.iter().any(|it| it.to_string().starts_with(note)),
        "{:#?}",
        adopted.notes
    );
    assert!(adopted.text.contains("external: \"10.0.0.9:2181/mesos\""), "{}", adopted.text);
}

#[test]
fn the_names_of_another_package_and_no_secret() {
    let mut said = Said::default();
    said.record("name", "a1\n").record("addresses", "10.0.1.1\n");
    said.record("packages", "aventer-mesos installed 1.11.0-0.7.1\n");
    said.record("file /etc/mesos-agent/ip", "10.0.1.1\n");
    said.record("principals /etc/cred", "\"principal\": \"workers\"\n");
    said.process(
        5,
        "mesos-agent",
        "aventer-mesos",
        &[
            "/usr/sbin/mesos-agent",
            "--ip=10.0.1.1",
            "--credential=file:///etc/cred",
            "--master=zk://10.0.1.1:2181/mesos",
        ],
    );
    said.process(
        6,
        "mesos-master",
        "aventer-mesos",
        &[
            "/usr/sbin/mesos-master",
            "--ip=10.0.1.1",
            "--quorum=1",
            "--authenticate_agents=true",
            "--credentials=/etc/cred",
            "--zk=zk://10.0.1.1:2181/mesos",
        ],
    );
    let adopted = write(&[said.machine("a1")], &Told::default(), &Reached::default());
    assert!(
        adopted.text.contains("preinstalled: true, name: aventer-mesos, agent: mesos-agent"),
        "{}",
        adopted.text
    );
    assert!(
        adopted
            .text
            .contains("agent: { principal: workers, secret: { env: MESOS_WORKERS_SECRET } }"),
        "{}",
        adopted.text
    );
}

//! Each rung of the ladder broken on purpose, on the recorded cluster: what is asked, and what is said.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use provision::diagnose::{Cluster, Report, Verdict, ask, broken, ladder};
use provision::ground::Endpoint;
use provision::ground::HostName;
use provision::inventory::Inventory;
use provision::mesos::frameworks::{Framework, Task, frameworks};
use provision::remote::Ask;
use provision::script::{Probe, Sections};
use provision::ui::diagnosis::{self, Judged};

use super::support::recording::{body, text};
use super::support::world::inventory;

/// The recorded cluster (tests/fixtures/real/README.md), with Spark as it was submitted there.
const RECORDED: &str = r#"version: 1
cluster: rec
hosts:
  m[1:3]: { address: "172.31.7.1[1:3]" }
  a1: { address: 172.31.7.21, hostname: a1 }
  a2: { address: 172.31.7.22, hostname: a2 }
zookeeper: { servers: { m1: 1, m2: 2, m3: 3 } }
mesos:
  version: 1.11.0
  package: { preinstalled: true }
  masters: { hosts: ["m[1:3]"] }
  agents: { all: { hosts: ["a[1:2]"] } }
docker: { images: [{ archive: ./debian-bookworm-slim.tar }] }
spark:
  version: 3.5.1
  archive: { path: ./spark-3.5.1-bin-hadoop3.tgz }
  image: { tag: spark-mesos }
  defaults: { spark.executor.memory: 512m, spark.cores.max: 4, spark.driver.host: 172.31.7.11 }
  clients: { hosts: [m1] }
  dispatcher: { hosts: [m1] }
"#;

const JOB: &str = "7c842204-3f73-4d59-a32a-eb195f81aaed-0005";

/// The recorded cluster behind the key that looks: what URLs answer, and what sections hold.
#[derive(Default, Clone)]
struct Hosts {
    urls: BTreeMap<String, String>,
    said: BTreeMap<(&'static str, &'static str), String>,
    silent: BTreeSet<&'static str>,
}

impl Hosts {
    /// Idle agents, m1 leads, two drivers wait since 34 seconds.
    fn new() -> Hosts {
        let mut hosts = Hosts::default();
        let at = |path: &str| format!("http://172.31.7.11:5050{path}");
        for (path, file) in [
            ("/metrics/snapshot", "masters/09-offers-declined/m1-metrics_snapshot.http"),
            ("/slaves", "masters/05-agents-idle/m1-slaves.http"),
            ("/frameworks", "masters/09-offers-declined/m1-frameworks.http"),
            ("/roles", "spark/pi-role-etl/roles-during.http"),
        ] {
            hosts.urls.insert(at(path), body(file));
        }
        for (address, file) in [("12", "m2"), ("13", "m3")] {
            let metrics = format!("masters/05-agents-idle/{file}-metrics_snapshot.http");
            hosts
                .urls
                .insert(format!("http://172.31.7.{address}:5050/metrics/snapshot"), body(&metrics));
        }
        hosts.said.insert(("m1", "clock"), "1795371634\n".to_owned());
        hosts
    }

    fn replace(&mut self, path: &str, from: &str, to: &str) -> &mut Hosts {
        let answer = self.urls.get_mut(&format!("http://172.31.7.11:5050{path}")).unwrap();
        assert!(answer.contains(from), "{path} has no {from}");
        *answer = answer.replace(from, to);
        self
    }

    fn answer(&mut self, path: &str, answer: String) -> &mut Hosts {
        self.urls.insert(format!("http://172.31.7.11:5050{path}"), answer);
        self
    }

    fn say(&mut self, host: &'static str, section: &'static str, text: &str) -> &mut Hosts {
        self.said.insert((host, section), text.to_owned());
        self
    }

    /// Its driver's web page says what it asks for.
    fn driver(&mut self, properties: &[(&str, &str)]) -> &mut Hosts {
        let pages = "http://172.31.7.11:4040/api/v1/applications".to_owned();
        let environment =
            serde_json::json!({ "runtime": {}, "sparkProperties": properties }).to_string();
        self.urls.insert(format!("{pages}/{JOB}/environment"), environment);
        self.urls.insert(pages, format!("[{{\"id\":\"{JOB}\",\"name\":\"PythonPi\"}}]"));
        self
    }
}

impl Ask for Hosts {
    async fn ask(&self, host: &HostName, probe: &Probe, _: Duration) -> Result<Sections, String> {
        if self.silent.contains(host.as_str()) {
            return Err("no answer".to_owned());
        }
        let script = probe.script("N");
        let mut sections = Sections::new();
        for asked in script.split("printf '\\n%s %s\\n' N ").skip(1) {
            let (name, body) = asked.split_once('\n').unwrap();
            if name == "http" || name == "masters" {
                let curl = body.lines().find(|line| line.starts_with("curl ")).unwrap();
                let urls = curl.split(' ').filter(|word| word.starts_with("http://"));
                let answers = urls.map(|url| match self.urls.get(url) {
                    Some(answer) => format!("{answer}\n200\n"),
                    None => "\n000\n".to_owned(),
                });
                sections
                    .extend(answers.enumerate().map(|(at, said)| (format!("{name}.{at}"), said)));
            }
            let said = self
                .said
                .iter()
                .find(|((at, section), _)| *at == host.as_str() && *section == name);
            if let Some((_, said)) = said {
                sections.insert(name.to_owned(), said.clone());
            }
        }
        Ok(sections)
    }
}

fn recorded() -> Inventory {
    inventory(RECORDED, &[])
}

/// What is printed for a job.
async fn diagnosed(hosts: &Hosts, called: &str) -> String {
    let (hosts, inventory) = (Arc::new(hosts.clone()), recorded());
    let cluster = ask::cluster(&hosts, &inventory).await;
    let framework = ask::meant(&cluster, called).first().copied();
    let job = ask::job(&hosts, &inventory, &cluster, called, framework, None).await;
    let rungs = ladder(&cluster, &job);
    let last = rungs.len().saturating_sub(1);
    assert!(rungs[..last].iter().all(|rung| rung.verdict != Verdict::Broken), "{rungs:#?}");
    assert_eq!(broken(&rungs).is_some(), rungs[last].verdict == Verdict::Broken);
    diagnosis::ladder(&Judged { called, framework, rungs: &rungs })
}

/// The recorded tasks of a framework, for the job.
fn with_tasks(hosts: &mut Hosts, states: &[(&str, &str, &str)]) {
    let tasks: Vec<String> = states
        .iter()
        .enumerate()
        .map(|(index, (state, agent, image))| {
            format!(
                r#"{{"id":"{index}","name":"PythonPi {index}","slave_id":"7c842204-3f73-4d59-a32a-eb195f81aaed-{agent}","state":"{state}","resources":{{"cpus":2.0,"mem":896.0}},"statuses":[{{"state":"{state}","timestamp":179537160{index}.0}}],"container":{{"type":"DOCKER","docker":{{"image":"{image}"}}}}}}"#
            )
        })
        .collect();
    let (over, living): (Vec<String>, Vec<String>) =
        tasks.into_iter().partition(|task| !task.contains("TASK_RUNNING"));
    let framework = format!(
        r#"{{"frameworks":[{{"id":"{JOB}","name":"PythonPi","user":"root","role":"*","hostname":"172.31.7.11","webui_url":"http://172.31.7.11:4040","active":true,"connected":true,"registered_time":1795371600.6,"tasks":[{}],"completed_tasks":[{}]}}]}}"#,
        living.join(","),
        over.join(",")
    );
    hosts.answer("/frameworks", framework);
}

#[tokio::test]
async fn nobody_leads() {
    let mut hosts = Hosts::new();
    hosts.replace("/metrics/snapshot", "\"master/elected\":1.0", "\"master/elected\":0.0");
    insta::assert_snapshot!(diagnosed(&hosts, JOB).await);
}

/// Elected alone, it answers everything with an empty cluster (recorded: masters/27-lone-master).
#[tokio::test]
async fn one_is_elected_without_its_quorum() {
    let mut hosts = Hosts::new();
    let replicas = "\"registrar/log/ensemble_size\":";
    hosts
        .replace("/metrics/snapshot", &format!("{replicas}3.0"), &format!("{replicas}1.0"))
        .replace("/metrics/snapshot", "registrar/registry_size_bytes", "nothing")
        .answer("/frameworks", r#"{"frameworks":[],"completed_frameworks":[]}"#.to_owned());
    insta::assert_snapshot!(diagnosed(&hosts, JOB).await);
}

/// One that lost the others later goes on with what it knows, and so does the ladder.
#[tokio::test]
async fn the_leader_has_lost_its_quorum() {
    let mut hosts = Hosts::new();
    let replicas = "\"registrar/log/ensemble_size\":";
    hosts.replace("/metrics/snapshot", &format!("{replicas}3.0"), &format!("{replicas}1.0"));
    let said = diagnosed(&hosts, "nightly").await;
    let leads =
        "m1 leads the masters, but it leads with 1 of the 2 log replicas that a quorum needs";
    assert!(said.contains(leads) && said.contains("BROKEN   registration"), "{said}");
}

#[tokio::test]
async fn the_leader_cannot_be_asked() {
    let mut hosts = Hosts::new();
    hosts.silent.insert("m1");
    insta::assert_snapshot!(diagnosed(&hosts, JOB).await);
}

#[tokio::test]
async fn it_is_not_registered() {
    insta::assert_snapshot!(diagnosed(&Hosts::new(), "nightly").await);
}

#[tokio::test]
async fn it_is_not_authenticated() {
    let mut hosts = Hosts::new();
    hosts.say(
        "m1",
        "refusal",
        "I1122 18:20:39.677845  5832 master.cpp:2990] Refusing subscription of framework 'nightly': Framework is not authenticated\n",
    );
    insta::assert_snapshot!(diagnosed(&hosts, "nightly").await);
}

/// What the log tells of another framework, or of nobody by name, is not told of this one.
#[tokio::test]
async fn a_refusal_is_told_of_whom_it_is_about() {
    let mut hosts = Hosts::new();
    let other = "I1122 18:20:39.677845  5832 master.cpp:2990] Refusing subscription of framework 'other': Framework is not authenticated\n";
    hosts.say("m1", "refusal", other);
    assert!(diagnosed(&hosts, "nightly").await.contains("BROKEN   registration"));
    let unnamed = "W1122 18:20:40.677845  5832 master.cpp:10150] Failed to authenticate scheduler-1@172.31.7.11:40001: Refused authentication\n";
    hosts.say("m1", "refusal", &format!("{unnamed}{other}"));
    insta::assert_snapshot!("the_log_names_nobody", diagnosed(&hosts, "nightly").await);
    hosts.say(
        "m1",
        "refusal",
        &format!("I1122 18:20:39.6  5832 master.cpp:2990] Refusing subscription of framework 'nightly': Role 'x' is not present in the master's --roles\n{unnamed}"),
    );
    insta::assert_snapshot!("it_is_refused_for_its_role", diagnosed(&hosts, "nightly").await);
}

#[tokio::test]
async fn its_connection_is_lost() {
    let mut hosts = Hosts::new();
    hosts.replace("/frameworks", "\"connected\":true", "\"connected\":false");
    insta::assert_snapshot!(diagnosed(&hosts, JOB).await);
}

#[tokio::test]
async fn all_is_reserved_for_others() {
    let mut hosts = Hosts::new();
    // Nothing of the recorded agents is left unreserved.
    hosts.replace(
        "/slaves",
        r#""role":"*"}"#,
        r#""role":"etl","reservations":[{"type":"STATIC","role":"etl"}]}"#,
    );
    insta::assert_snapshot!(diagnosed(&hosts, JOB).await);
}

#[tokio::test]
async fn the_quota_of_its_role_is_used_up() {
    let mut hosts = Hosts::new();
    let roles = r#"{"roles":[{"name":"*","weight":1.0,"quota":{"limit":{"cpus":4.0},"consumed":{"cpus":4.0}}}]}"#;
    hosts.answer("/roles", roles.to_owned());
    insta::assert_snapshot!(diagnosed(&hosts, JOB).await);
}

#[tokio::test]
async fn its_constraints_match_no_agent() {
    let mut hosts = Hosts::new();
    hosts.driver(&[("spark.mesos.constraints", "rack:r9"), ("spark.executor.memory", "512m")]);
    insta::assert_snapshot!(diagnosed(&hosts, JOB).await);
}

#[tokio::test]
async fn its_constraints_kill_the_driver() {
    let mut hosts = Hosts::new();
    hosts.driver(&[("spark.mesos.constraints", "rack")]);
    insta::assert_snapshot!(diagnosed(&hosts, JOB).await);
}

#[tokio::test]
async fn the_agents_that_match_are_drained_or_gone() {
    let mut hosts = Hosts::new();
    hosts.answer("/slaves", body("masters/12-drain/05-slaves-drained.http"));
    insta::assert_snapshot!(diagnosed(&hosts, JOB).await);
    hosts.answer("/slaves", r#"{"slaves":[]}"#.to_owned());
    hosts.answer("/maintenance/status", body("masters/13-maintenance/09-status-down.http"));
    insta::assert_snapshot!("an_agent_is_in_maintenance", diagnosed(&hosts, JOB).await);
}

#[tokio::test]
async fn no_agent_is_big_enough_even_when_empty() {
    let mut hosts = Hosts::new();
    hosts.driver(&[("spark.executor.memory", "8g")]);
    insta::assert_snapshot!(diagnosed(&hosts, JOB).await);
}

#[tokio::test]
async fn nothing_big_enough_is_free() {
    let mut hosts = Hosts::new();
    hosts.answer("/slaves", body("spark/pi-role-etl/slaves-during.http"));
    // By its defaults: its driver is not asked.
    insta::assert_snapshot!(diagnosed(&hosts, JOB).await);
}

#[tokio::test]
async fn it_may_have_fewer_cores_than_an_executor_takes() {
    let mut hosts = Hosts::new();
    hosts.driver(&[
        ("spark.cores.max", "1"),
        ("spark.executor.cores", "2"),
        ("spark.executor.memory", "512m"),
    ]);
    insta::assert_snapshot!(diagnosed(&hosts, JOB).await);
}

#[tokio::test]
async fn its_image_is_missing() {
    let mut hosts = Hosts::new();
    let failed = |agent| ("TASK_FAILED", agent, "spark-mesos-nope");
    with_tasks(&mut hosts, &[failed("S0"), failed("S1"), failed("S0"), failed("S1")]);
    hosts
        .say("a1", "image", "missing\n")
        .say("a2", "image", "missing\n")
        .say(
            "a1",
            "journal",
            "E1122 18:20:39.677845  5832 slave.cpp:6991] Container '06c0' for executor '1' of framework 7c84 failed to start: Failed to run 'docker -H unix:///var/run/docker.sock pull spark-mesos-nope:latest': exited with status 1\n",
        );
    insta::assert_snapshot!(diagnosed(&hosts, JOB).await);
}

#[tokio::test]
async fn its_driver_is_not_reached_from_the_agents() {
    let mut hosts = Hosts::new();
    with_tasks(
        &mut hosts,
        &[("TASK_FAILED", "S0", "spark-mesos"), ("TASK_RUNNING", "S1", "spark-mesos")],
    );
    hosts
        .driver(&[("spark.driver.host", "c1"), ("spark.driver.port", "39999")])
        .say("a1", "driver", "1 bash: c1: Name or service not known\n")
        .say("a2", "driver", "124 \n")
        .say("a1", "image", "here\n");
    insta::assert_snapshot!(diagnosed(&hosts, JOB).await);
}

#[tokio::test]
async fn its_executors_died() {
    let mut hosts = Hosts::new();
    with_tasks(
        &mut hosts,
        &[("TASK_FAILED", "S0", "spark-mesos"), ("TASK_FAILED", "S0", "spark-mesos")],
    );
    hosts
        .driver(&[("spark.driver.host", "172.31.7.11"), ("spark.driver.port", "39999")])
        .say("a1", "driver", "0 \n")
        .say("a1", "image", "here\n")
        .say("a1", "stderr", "I1122 18:20:39.1 5832 exec.cpp:164] Version: 1.12.0\nException in thread \"main\" java.lang.Ouch\n\tat x\nCaused by: java.io.IOException: \u{1b}[2Jno space left\n");
    insta::assert_snapshot!(diagnosed(&hosts, JOB).await);
}

#[tokio::test]
async fn a_driver_of_the_dispatcher_failed_queues_or_is_forgotten() {
    let mut hosts = Hosts::new();
    hosts.answer("/frameworks", body("spark/dispatcher/03-frameworks.http"));
    hosts.answer(
        "/slaves",
        body("masters/05-agents-idle/m1-slaves.http").replace("aaed-S1", "aaed-S2"),
    );
    hosts.say("a2", "stderr", &text("spark/dispatcher/03-driver-sandbox.txt"));
    let driver = "driver-20261122183030-0001";
    insta::assert_snapshot!("a_driver_failed", diagnosed(&hosts, driver).await);
    // One in Python: Spark puts its errors on its standard output, and ends calmly.
    let calm = "26/11/25 17:42:57 INFO ShutdownHookManager: Deleting directory /tmp/spark-6aaf\n";
    let trace = "Traceback (most recent call last):\n  File \"pi.py\", line 34, in <module>\nValueError: invalid literal for int() with base 10: 'many'\n";
    let mut python = hosts.clone();
    python.say("a2", "stderr", calm).say("a2", "stdout", trace);
    insta::assert_snapshot!("a_driver_in_python_failed", diagnosed(&python, driver).await);
    for (state, name) in [("QUEUED", "a_driver_is_queued"), ("NOT_FOUND", "a_driver_is_forgotten")]
    {
        let other = "driver-20261122183030-0007";
        hosts.urls.insert(
            format!("http://172.31.7.11:7077/v1/submissions/status/{other}"),
            format!(r#"{{"driverState":"{state}","success":true}}"#),
        );
        insta::assert_snapshot!(name, diagnosed(&hosts, other).await);
    }
}

#[tokio::test]
async fn all_rungs_of_a_job_that_runs_hold() {
    let mut hosts = Hosts::new();
    with_tasks(
        &mut hosts,
        &[("TASK_RUNNING", "S0", "spark-mesos"), ("TASK_RUNNING", "S1", "spark-mesos")],
    );
    hosts
        .driver(&[("spark.driver.host", "172.31.7.11"), ("spark.driver.port", "39999")])
        .say("a1", "driver", "0 \n")
        .say("a2", "driver", "0 \n");
    insta::assert_snapshot!(diagnosed(&hosts, JOB).await);
}

#[tokio::test]
async fn frameworks_and_room_are_listed() {
    let mut hosts = Hosts::new();
    hosts.answer("/slaves", body("spark/pi-role-etl/slaves-during.http"));
    let cluster = ask::cluster(&Arc::new(hosts), &recorded()).await;
    let text = format!("{}\n{}", diagnosis::frameworks(&cluster), diagnosis::room(&cluster));
    insta::assert_snapshot!(text);
    insta::assert_snapshot!(
        "frameworks_and_room_as_json",
        serde_json::to_string_pretty(&diagnosis::json(&cluster)).unwrap()
    );
}

#[tokio::test]
async fn a_job_is_meant_by_its_id_the_end_of_it_or_its_name() {
    let cluster = ask::cluster(&Arc::new(Hosts::new()), &recorded()).await;
    let meant = |called: &str| -> Vec<&str> {
        ask::meant(&cluster, called).iter().map(|of| of.id.rsplit_once('-').unwrap().1).collect()
    };
    assert_eq!(meant(JOB), ["0005"]);
    assert_eq!(meant("0002"), ["0002"]);
    assert_eq!(meant("PythonPi"), ["0005", "0004"], "those that are there");
    assert!(meant("nightly").is_empty() && meant("5").is_empty());
}

/// The question that an agent is asked, put to this machine.
#[test]
fn an_agent_tells_the_last_words_of_a_task_and_whether_it_reaches_a_driver() {
    let all = frameworks(&body("masters/10-wrong-image/m1-state.http")).unwrap();
    let (framework, task): (&Framework, &Task) = all
        .iter()
        .find_map(|of| Some((of, of.tasks.iter().find(|task| task.has_failed())?)))
        .unwrap();
    let work = tempfile::tempdir().unwrap();
    let sandbox = work.path().join(format!(
        "it's/slaves/{}/frameworks/{}/executors/{}/runs/latest",
        task.agent, framework.id, task.id
    ));
    std::fs::create_dir_all(&sandbox).unwrap();
    let long = "x".repeat(1000);
    let stderr: String = (0..100).map(|n| format!("{n} {long}\n")).collect();
    std::fs::write(sandbox.join("stderr"), stderr + "the last word\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = Endpoint::new("127.0.0.1", listener.local_addr().unwrap().port());
    let work = work.path().join("it's");
    let asked = |driver: &Endpoint| -> Report {
        let probe = ask::about(framework, task, work.to_str().unwrap(), Some(driver));
        ask::read(&run(&probe), task)
    };
    let report = asked(&there);
    assert_eq!(report.driver, Some(provision::diagnose::Connects::Yes));
    assert_eq!(report.lines.last().map(String::as_str), Some("the last word"));
    assert!(report.lines.len() <= 60 && report.lines.iter().all(|line| line.len() <= 400));
    drop(listener);
    let report = asked(&there);
    assert_eq!(
        report.driver,
        Some(provision::diagnose::Connects::No("Connection refused".to_owned()))
    );
}

/// Ids are somebody else's text: none of them leads out of the sandboxes.
#[test]
fn an_id_that_is_a_path_is_not_looked_up() {
    let all = frameworks(&body("masters/10-wrong-image/m1-state.http")).unwrap();
    let framework = all.iter().find(|of| of.tasks.iter().any(Task::has_failed)).unwrap();
    let mut task = framework.tasks[0].clone();
    for id in ["../../../etc", "a/b", "", "..", "$(id)"] {
        task.id = id.to_owned();
        assert_eq!(ask::about(framework, &task, "/var/lib/mesos", None), Probe::default(), "{id}");
    }
}

fn run(probe: &Probe) -> Sections {
    let mut shell =
        Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(probe.script("N").as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    probe.read("N", &String::from_utf8_lossy(&output.stdout)).unwrap()
}

/// Nothing is known, and nothing is claimed.
#[test]
fn an_empty_cluster_has_no_leader() {
    let rungs = ladder(&Cluster::default(), &provision::diagnose::Job::default());
    assert_eq!(rungs.len(), 1);
    assert_eq!(broken(&rungs).map(|rung| rung.words.as_str()), Some("no master leads"));
}

//! Spark itself on the stand-in: `libmesos.so` of tests/libmesos in its JVMs, one master of three
//! that leads, tasks as processes of one agent. Nothing is added to the commands that a user types:
//! all settings come from the files of the Spark home.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value as Json;

use crate::cluster::{Member, active, leader};
use crate::common::{Daemon, Scratch, ask, free_port, get, libmesos, output_of, wait_for};
use crate::zookeeper::Zookeeper;

/// Where drivers and the dispatcher are.
const CLIENT: &str = "127.0.78.41";

/// A Spark home of this test: Spark's own, with a configuration.
struct Spark {
    scratch: Scratch,
    masters: String,
}

impl Spark {
    fn new(zookeeper: &Zookeeper) -> Spark {
        let scratch = Scratch::new();
        let masters = format!("mesos://zk://{}/mesos", zookeeper.place);
        let library = libmesos().display().to_string();
        let home = scratch.path("spark");
        let home = home.display();
        scratch.write(
            "spark/conf/spark-env.sh",
            &format!(
                "export MESOS_NATIVE_JAVA_LIBRARY={library}\n\
                 export SPARK_LOCAL_IP={CLIENT} SPARK_LOCAL_HOSTNAME={CLIENT} SPARK_HOME={home}\n"
            ),
        );
        scratch.write(
            "spark/conf/spark-defaults.conf",
            &format!(
                "spark.master {masters}\nspark.mesos.executor.home {home}\n\
                 spark.mesos.principal spark\nspark.mesos.secret s3cret\n\
                 spark.master.rest.enabled true\nspark.ui.enabled false\nspark.cores.max 2\n\
                 spark.executor.memory 512m\nspark.driver.memory 512m\n\
                 spark.executor.extraJavaOptions -XX:TieredStopAtLevel=1\n"
            ),
        );
        let own = unpacked();
        let link = |from: &Path, to: &str| {
            std::os::unix::fs::symlink(from, scratch.path(to)).expect("a link to Spark's own");
        };
        for name in ["jars", "python", "examples", "sbin", "RELEASE"] {
            link(&own.join(name), &format!("spark/{name}"));
        }
        // The dispatcher passes `--driver-cores 1.0`, which spark-submit of 3.5.1 does not take.
        let submit = scratch.write(
            "spark/bin/spark-submit",
            "#!/bin/bash\nwords=()\nfor word; do\n  [ \"$last\" != --driver-cores ] || word=${word%.0}\n  \
             words+=(\"$word\") last=$word\ndone\n\
             exec \"${0%/*}/spark-class\" org.apache.spark.deploy.SparkSubmit \"${words[@]}\"\n",
        );
        let made = Command::new("chmod").args(["0755", &submit]).status();
        assert!(made.expect("chmod").success());
        for script in ["spark-class", "load-spark-env.sh", "find-spark-home"] {
            link(&own.join("bin").join(script), &format!("spark/bin/{script}"));
        }
        Spark { scratch, masters }
    }

    fn command(&self, program: &str) -> Command {
        let home = self.scratch.path("spark");
        let mut command = Command::new(home.join("bin").join(program));
        command.env("SPARK_HOME", &home).current_dir(&self.scratch.0);
        command
    }

    fn submit(&self, arguments: &[&str]) -> Output {
        output_of(self.command("spark-submit").args(arguments))
    }
}

/// The Spark that all tests use, unpacked once.
fn unpacked() -> &'static Path {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    HOME.get_or_init(|| {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let home = directory.join("spark");
        if home.exists() {
            return home;
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/spark.sh");
        let made = Command::new("sh").arg(script).arg(&directory).output().expect("sh");
        assert!(made.status.success(), "spark.sh: {}", text(&made.stderr));
        let part = directory.join(format!("spark.{}", std::process::id()));
        std::fs::create_dir_all(&part).expect("a directory to unpack to");
        let archive = text(&made.stdout);
        let unpacked = Command::new("tar")
            .args(["-xzf", archive.trim(), "--strip-components=1", "-C"])
            .arg(&part)
            .status();
        assert!(unpacked.expect("tar").success());
        std::fs::rename(&part, &home).expect("one test binary at a time");
        home
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const PI: &str = "examples/src/main/python/pi.py";

#[test]
fn spark_runs_in_both_modes_and_outlives_its_leader() {
    let Some(zookeeper) = Zookeeper::start("127.0.78.1") else { return };
    let credentials = Scratch::new();
    let file = credentials
        .write("credentials", r#"{"credentials":[{"principal":"spark","secret":"s3cret"}]}"#);
    let credentials = format!("--credentials={file}");
    let proven = [
        "--authenticate_frameworks",
        "--authenticate_http_frameworks",
        "--http_framework_authenticators=basic",
        &credentials,
    ];
    let mut masters: Vec<Member> =
        [12, 13, 14].map(|number| Member::master(&zookeeper, number, &proven)).into();
    let first = leader(&masters);
    let place = masters[first].place.clone();
    let agent = Member::agent(&zookeeper, 24, &["--no-switch_user"]);
    active(&place, &agent);
    let spark = Spark::new(&zookeeper);
    let pi = spark.scratch.path("spark").join(PI).display().to_string();

    runs_pi(&spark, &place, &pi);
    needs_its_secret(&spark, &pi);

    let (framework, job) = waits_for_its_flag(&spark, &place);
    masters[first].daemon().kill();
    masters[first].daemon = None;
    let place = masters[leader(&masters)].place.clone();
    wait_for("the framework at the new leader", || {
        let there = frameworks(&place, "frameworks").into_iter().find(|it| it["id"] == framework);
        there.filter(|it| it["connected"] == true && it["tasks"][0]["state"] == "TASK_RUNNING")
    });
    spark.scratch.write("flag", "");
    let output = job.wait_with_output().expect("it was started");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "sum 6\n");
    let done = completed(&place, &framework);
    assert_eq!(
        done["completed_tasks"].as_array().map(Vec::len),
        Some(1),
        "none was launched again"
    );

    runs_a_driver(&spark, &place, &agent.place, &pi);
}

/// Client mode: the answer, and a framework that is torn down with its task finished.
fn runs_pi(spark: &Spark, place: &str, pi: &str) {
    let output = spark.submit(&[pi, "2"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("Pi is roughly 3."), "{}", text(&output.stdout));
    let framework = text(&output.stderr);
    let (_, framework) = framework.split_once("Framework registered with ").expect("its id");
    let framework = Json::from(framework.lines().next().unwrap_or_default());
    let done = completed(place, &framework);
    assert_eq!(done["name"], "PythonPi");
    assert_eq!(done["principal"], "spark");
    assert_eq!(done["completed_tasks"][0]["state"], "TASK_FINISHED");
}

fn needs_its_secret(spark: &Spark, pi: &str) {
    let output = spark.submit(&["--conf", "spark.mesos.secret=wrong", pi, "2"]);
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("Mesos error: Master refused authentication"), "{said}");
}

/// Starts a job that goes on until there is a file `flag`; its framework, and its driver.
fn waits_for_its_flag(spark: &Spark, place: &str) -> (Json, std::process::Child) {
    let flag = spark.scratch.path("flag");
    let program = spark.scratch.write(
        "waits.py",
        &format!(
            "import os, time\nfrom pyspark import SparkContext\n\
             def wait(number):\n    while not os.path.exists({flag:?}):\n        time.sleep(0.1)\n    \
             return number\n\
             sc = SparkContext(appName='waits')\nprint('sum', sc.parallelize(range(4), 4).map(wait).sum())\n\
             sc.stop()\n"
        ),
    );
    let mut job = spark.command("spark-submit");
    let job = job.arg(program).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let running = wait_for("a running executor", || {
        let there = frameworks(place, "frameworks").into_iter().find(|it| it["name"] == "waits");
        there.filter(|it| it["tasks"][0]["state"] == "TASK_RUNNING")
    });
    (running["id"].clone(), job.expect("spark-submit starts"))
}

/// Cluster mode: the dispatcher is a framework, the driver its task and one by itself.
fn runs_a_driver(spark: &Spark, place: &str, agent: &str, pi: &str) {
    let port = free_port(CLIENT).to_string();
    let log = spark.scratch.path("dispatcher.log");
    let file = std::fs::File::create(&log).expect("a log file");
    let dispatcher = spark
        .command("spark-class")
        .arg("org.apache.spark.deploy.mesos.MesosClusterDispatcher")
        .args(["--host", CLIENT, "--port", &port, "--webui-port", "0"])
        .args(["--master", &spark.masters])
        .stdout(Stdio::null())
        .stderr(file)
        .spawn()
        .expect("spark-class starts");
    let pid = dispatcher.id().to_string();
    let mut dispatcher = Daemon::of(dispatcher, &log);
    let rest = format!("{CLIENT}:{port}");
    wait_for("the dispatcher", || get(&rest, "/v1/submissions/status/none"));

    let to = format!("mesos://{rest}");
    let output = spark.submit(&["--deploy-mode", "cluster", "--master", &to, pi, "2"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = [text(&output.stdout), text(&output.stderr)].concat();
    let (_, id) = said.split_once("created as ").unwrap_or_else(|| panic!("no id in {said}"));
    let id = id.split('.').next().unwrap_or_default().to_owned();
    let end = wait_for("the driver's end", || {
        let status = ask("GET", &rest, &format!("/v1/submissions/status/{id}"), "")?.json();
        (status["driverState"] == "FINISHED").then_some(status)
    });
    let message = end["message"].as_str().unwrap_or_default();
    assert!(message.contains("state: TASK_FINISHED"), "{message}");
    let state = get(agent, "/state").expect("the agent answers").json();
    let directory = find_text(&state, &format!("/executors/{id}/runs/")).expect("its sandbox");
    let said = std::fs::read_to_string(format!("{directory}/stdout")).expect("its output");
    assert!(said.contains("Pi is roughly 3."), "{said}");

    // A dispatcher that is asked to end leaves its framework waiting for the next one.
    let asked = Command::new("kill").arg(&pid).status();
    assert!(asked.expect("kill").success());
    dispatcher.ended();
    wait_for("a framework without its dispatcher", || {
        let left = frameworks(place, "frameworks");
        let left = left.into_iter().find(|it| it["name"] == "Spark Cluster");
        left.filter(|it| it["active"] == false)
    });
}

fn frameworks(place: &str, list: &str) -> Vec<Json> {
    let answer = get(place, "/frameworks").map(|answer| answer.json());
    answer.and_then(|view| view[list].as_array().cloned()).unwrap_or_default()
}

fn completed(place: &str, framework: &Json) -> Json {
    wait_for("a completed framework", || {
        let list = frameworks(place, "completed_frameworks");
        list.into_iter().find(|it| it["id"] == *framework)
    })
}

/// Any text in it that contains `part`.
fn find_text<'a>(json: &'a Json, part: &str) -> Option<&'a str> {
    match json {
        Json::String(text) => text.contains(part).then_some(text),
        Json::Array(items) => items.iter().find_map(|item| find_text(item, part)),
        Json::Object(map) => map.values().find_map(|item| find_text(item, part)),
        _ => None,
    }
}

//! The user `spark` on the client: a job that goes on for as long as it is held, then ends well.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::lab::Lab;
use super::twin::until;

/// The client.
pub(crate) const AT: &str = "c1";

/// Counts once, so that executors have worked for it, waits while it is held, and counts again.
const JOB: &str = r#"import os, sys, time
from pyspark.sql import SparkSession
name = sys.argv[1]
context = SparkSession.builder.appName(name).getOrCreate().sparkContext
print(name, "works:", context.parallelize(range(1000), 4).sum(), flush=True)
while os.path.exists("/run/jobs/" + name + ".held"):
    time.sleep(0.2)
print(name, "ends well:", context.parallelize(range(1000), 4).sum(), flush=True)
"#;

/// The same of a job that shuffles: what its second count reads was written by the first.
const SHUFFLING: &str = r#"import os, sys, time
from pyspark.sql import SparkSession
name = sys.argv[1]
context = SparkSession.builder.appName(name).getOrCreate().sparkContext
mapped = context.accumulator(0)
def pair(n):
    mapped.add(1)
    return n % 10, n
sums = context.parallelize(range(1000), 4).map(pair).reduceByKey(lambda one, other: one + other, 4)
print(name, "works:", sums.values().sum(), flush=True)
while os.path.exists("/run/jobs/" + name + ".held"):
    time.sleep(0.2)
print(f"{name} ends well: {sums.values().sum()}, mapped: {mapped.value}", flush=True)
"#;

/// The script of the plain job.
const PLAIN: &str = "job.py";

/// The script of the one that shuffles.
pub(crate) const SHUFFLES: &str = "shuffling.py";

pub(crate) fn moves_in(lab: &Lab) {
    lab.on(AT, "install -d -o spark /run/jobs");
    for (name, text) in [(PLAIN, JOB), (SHUFFLES, SHUFFLING)] {
        lab.on(AT, &format!("cat > /run/jobs/{name} <<'END'\n{text}END"));
    }
}

/// A job of the user's, in client mode.
pub(crate) struct Job<'a> {
    lab: &'a Lab,
    pub(crate) name: &'static str,
}

impl<'a> Job<'a> {
    /// Submits it with these properties, and goes on at once.
    pub(crate) fn submit(lab: &'a Lab, name: &'static str, properties: &[&str]) -> Job<'a> {
        Job::submit_script(lab, name, PLAIN, properties)
    }

    /// The same of another script.
    pub(crate) fn submit_script(
        lab: &'a Lab,
        name: &'static str,
        script: &str,
        properties: &[&str],
    ) -> Job<'a> {
        let properties: Vec<String> =
            properties.iter().map(|property| format!("--conf {property}")).collect();
        Job::run(lab, name, script, &properties.join(" "))
    }

    /// The plain one with any options of spark-submit.
    pub(crate) fn submit_with(lab: &'a Lab, name: &'static str, options: &str) -> Job<'a> {
        Job::run(lab, name, PLAIN, options)
    }

    fn run(lab: &'a Lab, name: &'static str, script: &str, options: &str) -> Job<'a> {
        let at = format!("/run/jobs/{name}");
        lab.on(
            AT,
            &format!(
                "rm -f {at}.*; touch {at}.held; systemd-run -q --collect --unit=job-{name} --uid=spark \
                 -p WorkingDirectory=/run/jobs sh -c '/opt/spark/bin/spark-submit {options} \
                 /run/jobs/{script} {name} >{at}.out 2>{at}.err; echo $? >{at}.rc'"
            ),
        );
        Job { lab, name }
    }

    /// What the leading master has of it, if it is registered.
    pub(crate) fn framework(&self) -> Option<Json> {
        let all = self.lab.asked("/frameworks");
        let mine = |of: &&Json| of["name"] == self.name;
        all["frameworks"].as_array()?.iter().find(mine).cloned()
    }

    pub(crate) fn is_registered(&self) -> bool {
        self.framework().is_some_and(|of| of["active"] == true)
    }

    /// Waits until it is registered and its driver's web page tells what it asks for.
    pub(crate) fn asks(&self) {
        until(&format!("{} asks for executors", self.name), || {
            let framework = self.framework().unwrap_or_default();
            let (Some(page), Some(id)) =
                (framework["webui_url"].as_str(), framework["id"].as_str())
            else {
                return false;
            };
            let url = format!("{page}/api/v1/applications/{id}/environment");
            self.lab.on(AT, &format!("curl -sf -m 5 -o /dev/null {url} && echo yes || true"))
                == "yes\n"
        });
    }

    /// Its running tasks and the agents that have them.
    pub(crate) fn tasks(&self) -> BTreeMap<String, String> {
        let framework = self.framework().unwrap_or_default();
        let tasks = framework["tasks"].as_array().cloned().unwrap_or_default();
        let text = |task: &Json, key: &str| task[key].as_str().unwrap().to_owned();
        let running = tasks.iter().filter(|task| task["state"] == "TASK_RUNNING");
        running.map(|task| (text(task, "id"), text(task, "slave_id"))).collect()
    }

    /// Cpus that it holds now.
    pub(crate) fn cpus(&self) -> f64 {
        self.framework().map_or(0.0, |of| of["used_resources"]["cpus"].as_f64().unwrap_or(0.0))
    }

    /// How many of its executors failed.
    pub(crate) fn lost(&self) -> usize {
        let framework = self.framework().unwrap_or_default();
        let over = framework["completed_tasks"].as_array().cloned().unwrap_or_default();
        over.iter().filter(|task| task["state"] == "TASK_FAILED").count()
    }

    pub(crate) fn works(&self) {
        self.says("works: 499500");
    }

    /// Lets it go, and waits until it has ended well.
    pub(crate) fn ends_well(self) {
        self.lab.on(AT, &format!("rm /run/jobs/{}.held", self.name));
        self.says("ends well: 499500");
        until(&format!("{} is over", self.name), || self.status().is_some());
        assert_eq!(self.status().as_deref(), Some("0"));
    }

    /// The exit status of its spark-submit, once it is over.
    pub(crate) fn status(&self) -> Option<String> {
        let said = self.lab.on(AT, &format!("cat /run/jobs/{}.rc 2>/dev/null || true", self.name));
        Some(said.trim().to_owned()).filter(|status| !status.is_empty())
    }

    /// Its driver is ended as by Ctrl-C of the user.
    pub(crate) fn ends(&self) {
        self.lab.on(AT, &format!("systemctl stop job-{} 2>/dev/null || true", self.name));
    }

    /// The same, and the masters have heard of it.
    pub(crate) fn give_up(self) {
        self.ends();
        until(&format!("{} is gone", self.name), || self.framework().is_none());
    }

    /// What its driver has written to its standard error.
    pub(crate) fn stderr(&self) -> String {
        self.lab.on(AT, &format!("cat /run/jobs/{}.err 2>/dev/null || true", self.name))
    }

    fn says(&self, words: &str) {
        let marked = format!("grep -c '{words}' /run/jobs/{}.out 2>/dev/null || true", self.name);
        until(&format!("{} says `{words}`", self.name), || self.lab.on(AT, &marked).trim() == "1");
    }
}

/// The broken rung of what is called so: its name and words, with its last lines.
pub(crate) fn broken_rung(lab: &Lab, called: &str) -> (String, String) {
    let ran = lab.run("diagnose", &[called, "--json"]);
    let said: Json = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    assert_eq!(ran.code, 3, "{called} has no broken rung: {said:#}");
    broken(&said["jobs"][0])
}

/// The same of one entry of `jobs`.
pub(crate) fn broken(judged: &Json) -> (String, String) {
    let last = judged["rungs"].as_array().and_then(|rungs| rungs.last()).unwrap();
    assert_eq!(last["verdict"], "broken", "{judged:#}");
    let lines = last["lines"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let words = last["words"].as_str().into_iter().chain(lines);
    (last["name"].as_str().unwrap().to_owned(), words.collect::<Vec<_>>().join("\n"))
}

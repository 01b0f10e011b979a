//! Frameworks and their tasks as a leading master shows them (`/frameworks`, or the whole `/state`), and how
//! many offers they were made (`/metrics/snapshot`). The readers are total, as those of [`master`](super::master).
//!
//! Source: answers of a real cluster, in tests/fixtures/real.

use serde_json::Value as Json;

use super::master::Metrics;
use super::values::UNRESERVED;

/// A framework, registered or gone.
#[derive(Debug, Clone, PartialEq)]
pub struct Framework {
    /// Its id.
    pub id: String,
    /// What it calls itself.
    pub name: String,
    /// The roles it is in; one, unless it is of many (from 1.3).
    pub roles: Vec<String>,
    /// The user that its tasks run as.
    pub user: String,
    /// What it authenticated as, if it did.
    pub principal: Option<String>,
    /// The host it says it runs on: a name or an address.
    pub hostname: String,
    /// Its web page; for a driver of Spark that of the driver.
    pub webui_url: Option<String>,
    /// How it stands to the master.
    pub standing: Standing,
    /// When it registered, in seconds since 1970 by the master's clock.
    pub registered: f64,
    /// Its tasks, those that ended among them.
    pub tasks: Vec<Task>,
}

/// How a framework stands to the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is made offers.
    Active,
    /// It is connected and is made none.
    Inactive,
    /// It is gone for now; its tasks run until its time to come back is over.
    Disconnected,
    /// It ended.
    Ended,
}

/// A task of a framework.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its id, which is its executor's in the agent's sandboxes too.
    pub id: String,
    /// Such as `TASK_RUNNING`.
    pub state: String,
    /// The id of its agent.
    pub agent: String,
    /// Cpus that it has or had.
    pub cpus: f64,
    /// Memory that it has or had, in MiB.
    pub mem: f64,
    /// The image that it runs in.
    pub image: Option<String>,
    /// When its state was last told, in seconds since 1970.
    pub told: Option<f64>,
    /// What was said with its last state, from masters that keep it.
    pub message: Option<String>,
}

/// Offers that a framework was made since the leader leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offers {
    /// Made to it.
    pub sent: u64,
    /// Of which it launched on.
    pub accepted: u64,
    /// Of which it wanted nothing.
    pub declined: u64,
    /// Which the master took back.
    pub rescinded: u64,
}

/// The frameworks that a leading master knows, those that ended among them.
pub fn frameworks(body: &str) -> Option<Vec<Framework>> {
    let body: Json = serde_json::from_str(body).ok()?;
    let registered = body.get("frameworks")?.as_array()?.iter();
    let ended = body.get("completed_frameworks").and_then(Json::as_array).into_iter().flatten();
    let registered = registered.filter_map(|of| framework(of, None));
    Some(registered.chain(ended.filter_map(|of| framework(of, Some(Standing::Ended)))).collect())
}

fn framework(of: &Json, standing: Option<Standing>) -> Option<Framework> {
    let tasks = ["tasks", "completed_tasks", "unreachable_tasks"];
    let tasks = tasks.iter().filter_map(|key| of.get(*key)?.as_array()).flatten();
    let listed = of.get("roles").and_then(Json::as_array).into_iter().flatten();
    let mut roles: Vec<String> = listed.filter_map(Json::as_str).map(str::to_owned).collect();
    if roles.is_empty() {
        roles.push(text(of, "role").unwrap_or_else(|| UNRESERVED.to_owned()));
    }
    let flag = |key: &str| of.get(key).and_then(Json::as_bool).unwrap_or(true);
    // `connected` is there from 1.2.
    let standing = standing.unwrap_or(match (flag("connected"), flag("active")) {
        (false, _) => Standing::Disconnected,
        (true, false) => Standing::Inactive,
        (true, true) => Standing::Active,
    });
    Some(Framework {
        id: text(of, "id")?,
        name: text(of, "name").unwrap_or_default(),
        roles,
        user: text(of, "user").unwrap_or_default(),
        principal: text(of, "principal").filter(|principal| !principal.is_empty()),
        hostname: text(of, "hostname").unwrap_or_default(),
        webui_url: text(of, "webui_url").filter(|url| !url.is_empty()),
        standing,
        registered: of.get("registered_time").and_then(Json::as_f64).unwrap_or(0.0),
        tasks: tasks.filter_map(task).collect(),
    })
}

fn task(of: &Json) -> Option<Task> {
    let amount = |name: &str| of.get("resources").and_then(|all| all.get(name)?.as_f64());
    let last = of.get("statuses").and_then(Json::as_array).and_then(|all| all.last());
    Some(Task {
        id: text(of, "id")?,
        state: text(of, "state").unwrap_or_else(|| "?".to_owned()),
        agent: text(of, "slave_id").unwrap_or_else(|| "?".to_owned()),
        cpus: amount("cpus").unwrap_or(0.0),
        mem: amount("mem").unwrap_or(0.0),
        image: of.pointer("/container/docker/image").and_then(Json::as_str).map(str::to_owned),
        told: last.and_then(|status| status.get("timestamp")?.as_f64()),
        message: last.and_then(|status| text(status, "message")),
    })
}

fn text(of: &Json, key: &str) -> Option<String> {
    of.get(key).and_then(Json::as_str).map(str::to_owned)
}

impl Framework {
    /// Tasks that are there now, started or about to.
    pub fn living(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| !task.is_over())
    }

    /// Cpus and MiB of its tasks that are there.
    pub fn holds(&self) -> (f64, f64) {
        self.living().fold((0.0, 0.0), |sum, task| (sum.0 + task.cpus, sum.1 + task.mem))
    }

    /// The offers it was made; `None` where the master does not count them (before 1.8).
    pub fn offers(&self, metrics: &Metrics) -> Option<Offers> {
        let count = |what: &str| metrics.ending(&format!("/{}/offers/{what}", self.id));
        // Counts are whole and not negative; `as` saturates.
        let whole = |number: f64| number as u64;
        Some(Offers {
            sent: whole(count("sent")?),
            accepted: whole(count("accepted").unwrap_or(0.0)),
            declined: whole(count("declined").unwrap_or(0.0)),
            rescinded: whole(count("rescinded").unwrap_or(0.0)),
        })
    }
}

impl Task {
    /// Whether it ended, well or not.
    pub fn is_over(&self) -> bool {
        self.state == "TASK_FINISHED" || self.state == "TASK_KILLED" || self.has_failed()
    }

    /// Whether it ended as nobody asked it to.
    pub fn has_failed(&self) -> bool {
        matches!(
            &*self.state,
            "TASK_FAILED"
                | "TASK_LOST"
                | "TASK_ERROR"
                | "TASK_DROPPED"
                | "TASK_GONE"
                | "TASK_GONE_BY_OPERATOR"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(answer: &'static str) -> &'static str {
        answer.split_once("\r\n\r\n").unwrap().1
    }

    #[test]
    fn the_recorded_framework_runs_its_tasks() {
        let running =
            include_str!("../../tests/fixtures/real/masters/07-sparkpi-running/m1-frameworks.http");
        let all = frameworks(body(running)).unwrap();
        let [pi] = &all[..] else { panic!("{all:?}") };
        assert!(pi.id.starts_with("7c842204-"), "{pi:?}");
        assert_eq!((pi.name.as_str(), pi.standing), ("PythonPi", Standing::Active));
        assert_eq!(pi.roles, ["*"]);
        assert_eq!(pi.webui_url.as_deref(), Some("http://172.31.7.11:4040"));
        assert_eq!(pi.living().count(), 2);
        for task in &pi.tasks {
            assert_eq!((task.state.as_str(), task.cpus, task.mem), ("TASK_RUNNING", 2.0, 896.0));
            assert_eq!(task.image.as_deref(), Some("spark-mesos"));
            assert!(task.told > Some(pi.registered), "{task:?}");
        }
    }

    #[test]
    fn the_recorded_offers_were_all_declined() {
        let waiting =
            include_str!("../../tests/fixtures/real/masters/09-offers-declined/m1-frameworks.http");
        let metrics = include_str!(
            "../../tests/fixtures/real/masters/09-offers-declined/m1-metrics_snapshot.http"
        );
        let metrics = Metrics::read(body(metrics)).unwrap();
        let all = frameworks(body(waiting)).unwrap();
        let (there, ended): (Vec<_>, Vec<_>) =
            all.iter().partition(|of| of.standing != Standing::Ended);
        assert_eq!((there.len(), ended.len()), (2, 4));
        for framework in there {
            let offers = framework.offers(&metrics).unwrap();
            assert_eq!(offers, Offers { sent: 2, accepted: 0, declined: 2, rescinded: 0 });
            assert!(framework.tasks.is_empty());
        }
        assert_eq!(ended[0].offers(&metrics).unwrap().accepted, 2);
    }

    #[test]
    fn the_recorded_tasks_without_an_image_failed_and_nobody_says_why() {
        let state = include_str!("../../tests/fixtures/real/masters/10-wrong-image/m1-state.http");
        let all = frameworks(body(state)).unwrap();
        let failed: Vec<&Task> =
            all.iter().flat_map(|of| &of.tasks).filter(|t| t.has_failed()).collect();
        assert_eq!(failed.len(), 4);
        for task in failed {
            assert_eq!(task.image.as_deref(), Some("spark-mesos-nope"));
            assert_eq!(task.message, None);
        }
    }

    #[test]
    fn the_recorded_dispatcher_has_its_drivers_for_tasks() {
        let drivers = include_str!("../../tests/fixtures/real/spark/dispatcher/03-frameworks.http");
        let all = frameworks(body(drivers)).unwrap();
        let driver = &all[0].tasks[0];
        assert_eq!(driver.id, "driver-20261122183030-0001");
        assert!(driver.has_failed() && driver.is_over());
        // Stopped; it may come back for as long as it asked to.
        assert_eq!(all[1].standing, Standing::Disconnected);
    }

    #[test]
    fn a_framework_of_many_roles_and_one_that_left_are_read() {
        let body = r#"{"frameworks":[{"id":"f","roles":["a","b"],"role":"*","connected":false,"active":true},
            {"id":"g","active":false},{"name":"no id"}]}"#;
        let all = frameworks(body).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].roles, ["a", "b"]);
        assert_eq!(all[0].standing, Standing::Disconnected);
        assert_eq!(all[1].standing, Standing::Inactive);
        for no_answer in ["", "[]", "{}", "No leader elected", "{\"frameworks\":1}"] {
            assert_eq!(frameworks(no_answer), None, "{no_answer}");
        }
    }
}

//! A job as far as it is known: what it asks for, and what its agents say of it.

use std::collections::BTreeMap;

use crate::ground::Endpoint;
use crate::inventory::{Inventory, Workload};
use crate::mesos::frameworks::{Framework, Task};
use crate::simulate::application::{Application, applications};
use crate::simulate::executors::Settings;

/// A job, and all that was found out about it.
#[derive(Debug, Clone, Default)]
pub struct Job<'a> {
    /// What the user called it.
    pub called: &'a str,
    /// Its framework, if the leading master knows it.
    pub framework: Option<&'a Framework>,
    /// Its driver as a task of the dispatcher: the dispatcher's framework, and the task.
    pub driver: Option<(&'a Framework, &'a Task)>,
    /// What its agent says of that task.
    pub driver_report: Option<Report>,
    /// What the dispatcher says of its driver, such as `QUEUED`.
    pub submission: Option<String>,
    /// What it asks for.
    pub wanted: Option<Wanted>,
    /// What agents say, by their ids.
    pub reports: BTreeMap<String, Report>,
    /// The words with which the master refused it.
    pub refusal: Option<String>,
}

/// What a job asks of agents.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Role, executors, constraints.
    pub workload: Workload,
    /// What else decides where executors run.
    pub settings: Settings,
    /// Where its driver listens, when that is known.
    pub driver: Option<Endpoint>,
    /// Who says so.
    pub said: Said,
}

/// Who says what a job asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Its driver, now.
    Driver,
    /// The inventory's `spark.defaults`: its driver could not be asked.
    Defaults,
    /// The proof that it is.
    Proof,
}

/// What an agent says of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The image that its task should run in, and whether it is there; `None` when nobody could tell.
    pub image: Option<(String, bool)>,
    /// What the agent's journal says of a container that did not start.
    pub journal: Option<String>,
    /// The last lines of a failed task: of its stderr, or of its stdout where only that tells of an error, as
    /// with drivers in Python, whose own errors Spark puts there.
    ///
    /// Source: Spark's `PythonRunner`, `redirectErrorStream(true)`, the same from 1.5 to 3.5.
    pub lines: Vec<String>,
    /// Whether the driver can be connected to from there; `None` when it was not tried.
    pub driver: Option<Connects>,
}

/// How a connection from an agent ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connects {
    /// Somebody listens.
    Yes,
    /// Why not.
    No(String),
}

/// What a master says of credentials that it refused, before it knows the name of who showed them.
pub(super) const UNNAMED: &str = "Failed to authenticate scheduler";

impl Wanted {
    /// What the defaults of the inventory ask for; `None` without Spark.
    pub fn by_default(inventory: &Inventory, said: Said) -> Option<Wanted> {
        let Application { workload, settings, .. } = applications(inventory).into_iter().next()?;
        Some(Wanted { workload, settings, driver: None, said })
    }

    /// What a driver's own properties ask for.
    pub fn of_properties(inventory: &Inventory, all: &BTreeMap<String, String>) -> Option<Wanted> {
        let version = &inventory.spark.as_ref()?.version;
        let Application { workload, settings, .. } = Application::of(None, all, version);
        let port = all.get("spark.driver.port").and_then(|port| port.parse().ok());
        let driver = all.get("spark.driver.host").zip(port);
        let driver = driver.map(|(host, port)| Endpoint::new(host.trim_matches(['[', ']']), port));
        Some(Wanted { workload, settings, driver, said: Said::Driver })
    }
}

impl Said {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Said::Driver => "as its driver says",
            Said::Defaults => "by spark.defaults, for its driver could not be asked",
            Said::Proof => "as the proof asks",
        }
    }
}

/// The line of a program's stderr that tells why it ended: the last cause of a Java trace, else the last line
/// that speaks of an error, else the last line. Mesos' own lines around it are nothing of the program's.
pub fn cause_of_death(stderr: &[String]) -> Option<&str> {
    told_error(stderr).or_else(|| own(stderr).last())
}

/// The line that tells of an error, if one does.
pub(super) fn told_error(output: &[String]) -> Option<&str> {
    let last = |is: &dyn Fn(&str) -> bool| own(output).rev().find(|line| is(line));
    last(&|line| line.starts_with("Caused by:")).or_else(|| {
        last(&|line| !is_frame(line) && (line.contains("Error") || line.contains("Exception")))
    })
}

fn own(output: &[String]) -> impl DoubleEndedIterator<Item = &str> {
    output.iter().map(|line| line.trim()).filter(|line| is_own(line))
}

/// Whether a line is a program's, not one that Mesos' executor adds: `I1122 18:30:33.265889  9144 …`.
pub(super) fn is_own(line: &str) -> bool {
    let mut start = line.trim().chars();
    let of_glog = start.next().is_some_and(|c| "IWEF".contains(c))
        && start.by_ref().take(4).filter(char::is_ascii_digit).count() == 4
        && start.next() == Some(' ');
    !line.trim().is_empty() && !of_glog
}

/// Whether a line is a frame of a Java trace.
pub(super) fn is_frame(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("at ") || line.starts_with("... ") && line.ends_with(" more")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_recorded_driver_died_of_what_it_said() {
        let sandbox =
            lines(include_str!("../../tests/fixtures/real/spark/dispatcher/03-driver-sandbox.txt"));
        assert_eq!(
            cause_of_death(&sandbox),
            Some(
                "Exception in thread \"main\" org.apache.spark.SparkException: Driver cores must be a positive number"
            )
        );
    }

    #[test]
    fn the_last_cause_of_a_trace_counts_and_mesos_own_lines_do_not() {
        let trace = "Exception in thread \"main\" java.lang.Ouch: Exception thrown in awaitResult\n\
            \tat org.apache.spark.Error.x(E.scala:1)\n\
            Caused by: java.io.IOException: Failed to connect to c1:39999\n\
            Caused by: java.net.UnknownHostException: c1\n\
            \t... 4 more\nI1122 18:30:33.265889  9144 executor.cpp:754] Container exited with status 1\n";
        assert_eq!(
            cause_of_death(&lines(trace)),
            Some("Caused by: java.net.UnknownHostException: c1")
        );
        assert_eq!(
            cause_of_death(&lines("a\nno such file\nI1122 18:30:33.2 9 x] Error")),
            Some("no such file")
        );
        assert_eq!(cause_of_death(&lines("I1122 18:30:33.2 9 x] Version: 1.12.0\n\n")), None);
    }
}

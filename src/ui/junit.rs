//! JUnit's XML, which every CI reads: of a run, one suite per host, one case per action, gate and smoke
//! check; of an inventory, a case for each problem.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Render, line};
use crate::event::{Event, Outcome, SmokeOutcome, Stamped};
use crate::ground::{HostName, Problem, Severity};
use crate::health::Member;
use crate::local::files::{self, Readers};
use crate::report::exit;
use crate::tasks::Task;

/// Gathers cases and writes them at the end.
#[derive(Debug)]
pub struct Junit {
    path: PathBuf,
    cases: Cases,
    /// What was written last, so that the end writes only what is new.
    written: Option<String>,
}

/// Cases by suite. A suite is a host; what is about no host is in the suite `cluster`.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Cases {
    began: Option<String>,
    suites: BTreeMap<Option<HostName>, Vec<TestCase>>,
    /// What played Mesos, where it was not Mesos.
    engine: Option<String>,
    /// Where pending changes are among them, which fail only where the exit code says so.
    pending: Vec<(HostName, usize)>,
}

impl Junit {
    /// Will write to this file.
    pub fn new(path: &Path) -> Junit {
        Junit { path: path.to_owned(), cases: Cases::default(), written: None }
    }

    fn write(&mut self) {
        let written = self.cases.xml().and_then(|text| {
            if self.written.as_ref() != Some(&text) {
                files::replace(&self.path, &text, Readers::Us)?;
                self.written = Some(text);
            }
            Ok(())
        });
        if let Err(error) = written {
            let path = self.path.display();
            line(io::stderr().lock(), &format!("{path} cannot be written: {error}"));
        }
    }
}

impl Render for Junit {
    fn draw(&mut self, event: &Stamped) {
        self.cases.add(event);
        // After a second signal there is no other end.
        if matches!(event.event, Event::RunEnded { .. } | Event::Interrupted { .. }) {
            self.write();
        }
    }
}

/// Commands that end early say no `run_ended`.
impl Drop for Junit {
    fn drop(&mut self) {
        self.write();
    }
}

impl Cases {
    /// Takes what an event says.
    pub fn add(&mut self, stamped: &Stamped) {
        self.began.get_or_insert_with(|| stamped.ts.clone());
        match &stamped.event {
            // What a proof showed is said by its result.
            Event::ActionEnded { task: Task::Smoke, outcome, .. }
                if *outcome != Outcome::Skipped => {}
            Event::ActionEnded { host, task, resource, outcome, seconds } => {
                let result = match outcome {
                    Outcome::Changed | Outcome::Unchanged => TestCaseStatus::success(),
                    Outcome::NotRun(why) => skipped(why),
                    Outcome::Skipped => skipped("something before it failed"),
                    Outcome::Failed { status, reason } => {
                        failed(&super::plain::failed(reason, *status))
                    }
                    Outcome::Lost(why) => error(why),
                };
                self.push(Some(host), task.name(), resource, *seconds, result);
            }
            // It comes right after the action that it belongs to ended.
            Event::ActionOutput { host, task, resource, text } => {
                // A check is called by its resource's name, without the kind, and may be about another
                // host than the one that it ran on.
                let smoke = format!(" {resource}");
                let mine = |case: &&mut TestCase| match task {
                    Task::Smoke => smoke.ends_with(&format!(" {}", case.name.as_str())),
                    _ => case.name.as_str() == *resource,
                };
                let own = Some(host.clone());
                let here = self.suites.get(&own).is_some_and(|cases| {
                    cases.iter().any(|case| smoke.ends_with(&format!(" {}", case.name.as_str())))
                });
                let case = match here {
                    true => self.suites.get_mut(&own).into_iter().flatten().rev().find(mine),
                    false => self.suites.values_mut().flatten().find(mine),
                };
                if let Some(case) = case {
                    case.set_system_out(visible(text));
                }
            }
            Event::GateEnded { task, hosts, members, open, seconds } => {
                for host in hosts {
                    let member = members.iter().find(|(name, _)| name == host).map(|(_, m)| m);
                    let result = match member {
                        _ if *open => TestCaseStatus::success(),
                        Some(Member::Sick(why)) => failed(why),
                        Some(Member::Silent) => error("its host could not be asked"),
                        Some(Member::Serving) | None => TestCaseStatus::success(),
                    };
                    self.push(Some(host), task.name(), "gate", *seconds, result);
                }
                // Those that held the gate without having been touched.
                let touched: BTreeSet<&HostName> = hosts.iter().collect();
                for (host, member) in
                    members.iter().filter(|(host, _)| !*open && !touched.contains(host))
                {
                    if let Member::Sick(why) = member {
                        let result = failed(why);
                        self.push(Some(host), task.name(), "gate", *seconds, result);
                    }
                }
            }
            Event::SmokeResult { check, host, result, detail, seconds, engine, .. } => {
                let result = match result {
                    SmokeOutcome::Passed => TestCaseStatus::success(),
                    SmokeOutcome::Failed => failed(detail),
                    // Not proven, and the exit code says so; but nothing is wrong.
                    SmokeOutcome::NoRoom => {
                        unsuccessful(NonSuccessKind::Failure, "no_room", detail)
                    }
                    SmokeOutcome::NotRun => skipped(detail),
                };
                self.push(host.as_ref(), "smoke", check, *seconds, result);
                if let Some(engine) = engine {
                    self.engine = Some(visible(engine));
                }
            }
            Event::HostConnected { host, seconds } => {
                self.push(Some(host), "ssh", "connect", *seconds, TestCaseStatus::success());
            }
            Event::HostUnreachable { host, reason } => {
                self.push(Some(host), "ssh", "reach", 0.0, error(reason));
            }
            Event::Blocked { host, task, reason } => {
                let result = skipped(&format!("blocked: {reason}"));
                self.push(Some(host), task.name(), "blocked", 0.0, result);
            }
            Event::Problem { problem, host } => {
                let result = match problem.severity {
                    Severity::Error => failed(&problem.to_string()),
                    Severity::Warning => skipped(&problem.to_string()),
                };
                self.push(host.as_ref(), "problem", problem.name, 0.0, result);
            }
            Event::Pending { host, task, resource, why } => {
                let at = self.suites.get(&Some(host.clone())).map_or(0, Vec::len);
                self.pending.push((host.clone(), at));
                let result = skipped(&format!("pending: {why}"));
                self.push(Some(host), task.name(), resource, 0.0, result);
            }
            Event::RunEnded { exit, seconds, .. } => self.end(*exit, *seconds),
            _ => {}
        }
    }

    /// What only the end tells: whether what is pending fails, and that a run failed of which no case did.
    fn end(&mut self, code: u8, seconds: f64) {
        if code == exit::PENDING {
            for (host, at) in std::mem::take(&mut self.pending) {
                let suite = self.suites.get_mut(&Some(host));
                if let Some(case) = suite.and_then(|suite| suite.get_mut(at))
                    && let TestCaseStatus::Skipped { message: Some(why), .. } = &case.status
                {
                    case.status = unsuccessful(NonSuccessKind::Failure, "pending", why.as_str());
                }
            }
        }
        let mut cases = self.suites.values().flatten();
        let told = cases.any(|case| matches!(case.status, TestCaseStatus::NonSuccess { .. }));
        let result = match code {
            exit::OK | exit::PENDING if !self.suites.is_empty() => return,
            exit::OK | exit::PENDING => TestCaseStatus::success(),
            _ if told => return,
            code => failed(&format!("the run ended with exit code {code}")),
        };
        self.push(None, "run", "run", seconds, result);
    }

    fn push(
        &mut self,
        host: Option<&HostName>,
        class: &str,
        name: &str,
        seconds: f64,
        status: TestCaseStatus,
    ) {
        let mut case = TestCase::new(visible(name), status);
        case.set_classname(visible(&format!("{}.{class}", suite(host))));
        case.set_time(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        self.suites.entry(host.cloned()).or_default().push(case);
    }

    /// The whole document.
    ///
    /// # Errors
    /// It cannot be written as XML.
    pub fn xml(&self) -> io::Result<String> {
        let suites = self.suites.iter().map(|(host, cases)| {
            let name = visible(suite(host.as_ref()));
            let mut suite = TestSuite::new(&name);
            let began = visible(self.began.as_deref().unwrap_or_default());
            suite.extra.insert("hostname".into(), name.into());
            suite.extra.insert("timestamp".into(), began.into());
            suite.set_time(cases.iter().filter_map(|case| case.time).sum());
            if let Some(engine) = &self.engine {
                suite.add_property(Property::new("engine", engine.as_str()));
            }
            suite.add_test_cases(cases.iter().cloned());
            suite
        });
        let mut report = Report::new("provision");
        report.add_test_suites(suites);
        report.set_time(report.test_suites.iter().filter_map(|suite| suite.time).sum());
        written(report)
    }
}

/// The document, as the readers of CIs take it.
///
/// Source: Jenkins' schema, jenkinsci/xunit-plugin, xsd/junit-10.xsd; GitLab, docs.gitlab.com, "Unit test
/// reports": of cases with the same class and name it shows the first alone.
fn written(mut report: Report) -> io::Result<String> {
    let mut known: HashMap<(Option<String>, String), usize> = HashMap::new();
    for case in report.test_suites.iter_mut().flat_map(|suite| &mut suite.test_cases) {
        let class = case.classname.as_ref().map(|class| class.as_str().to_owned());
        let count = known.entry((class, case.name.as_str().to_owned())).or_default();
        *count += 1;
        if *count > 1 {
            case.name = format!("{} ({count})", case.name.as_str()).into();
        }
    }
    let text = report.to_string().map_err(io::Error::other)?;
    // The library counts what is skipped at the top too, where Jenkins' schema has no such attribute.
    let Some(top) = text.find("<testsuites ") else { return Ok(text) };
    let (head, rest) = text.split_at(top);
    let (tag, rest) = rest.split_at(rest.find('>').unwrap_or(0));
    let skipped = format!(" skipped=\"{}\"", report.skipped);
    Ok(format!("{head}{}{rest}", tag.replacen(&skipped, "", 1)))
}

/// A case for each problem of a file, failed where it stops us; one that passes when there is none, for
/// some readers take an empty suite for a broken one.
///
/// # Errors
/// It cannot be written as XML.
pub fn of_problems(problems: &[Problem], file: &str, denied: Severity) -> io::Result<String> {
    let case = |name: &str, status| {
        let mut case = TestCase::new(visible(name), status);
        case.set_classname("inventory");
        case
    };
    let mut suite = TestSuite::new(visible(file));
    if problems.is_empty() {
        suite.add_test_case(case(file, TestCaseStatus::success()));
    }
    for problem in problems {
        let place = problem.place.as_ref().map(|at| format!("{at} ")).unwrap_or_default();
        let name = format!("{place}{}", problem.name);
        let whole = visible(&problem.to_string());
        suite.add_test_case(if problem.severity <= denied {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(problem.name).set_message(visible(&problem.message));
            status.set_description(whole);
            case(&name, status)
        } else {
            let mut case = case(&name, TestCaseStatus::success());
            case.set_system_out(whole);
            case
        });
    }
    let mut report = Report::new(visible(file));
    report.add_test_suite(suite);
    written(report)
}

fn suite(host: Option<&HostName>) -> &str {
    host.map_or("cluster", HostName::as_str)
}

fn failed(why: &str) -> TestCaseStatus {
    unsuccessful(NonSuccessKind::Failure, "failure", why)
}

/// Not the host's word but the lack of it.
fn error(why: &str) -> TestCaseStatus {
    unsuccessful(NonSuccessKind::Error, "error", why)
}

fn unsuccessful(kind: NonSuccessKind, name: &str, why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(name).set_message(visible(why)).set_description(visible(why));
    status
}

fn skipped(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(visible(why));
    status
}

/// Characters that XML 1.0 has no way to write, and those that steer a terminal, made visible rather than
/// left out. Source: XML 1.0, 2.2 Characters.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n'
            | '\t'
            | '\u{20}'..='\u{7e}'
            | '\u{a0}'..='\u{d7ff}'
            | '\u{e000}'..='\u{fffd}'
            | '\u{10000}'..='\u{10ffff}' => out.push(c),
            c => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::Place;

    #[test]
    fn problems_fail_where_they_are_denied_only() {
        let place = || Place { file: "a:b.yaml".into(), line: 3, column: 5, length: 2 };
        let text = "100 % <wrong>\u{1}";
        let problems = [
            Problem::error(Some(place()), "bad-flag", text),
            Problem::warning(Some(place()), "bad-flag", text),
        ];
        let xml = |problems, file, denied| of_problems(problems, file, denied).unwrap();
        let lenient = xml(&problems, "a&b", Severity::Error);
        assert!(lenient.contains("tests=\"2\"") && lenient.contains("failures=\"1\""), "{lenient}");
        assert!(
            lenient.contains("a&amp;b") && lenient.contains("&lt;wrong&gt;\\u0001"),
            "{lenient}"
        );
        assert!(xml(&problems, "f", Severity::Warning).contains("failures=\"2\""));
        let none = xml(&[], "f", Severity::Error);
        assert!(none.contains("tests=\"1\"") && none.contains("failures=\"0\""), "{none}");
    }
}

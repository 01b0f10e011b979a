//! JUnit's XML, which every CI reads: one suite per host, one case per action, gate and smoke check.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{Render, line};
use crate::event::{Event, Outcome, SmokeOutcome, Stamped};
use crate::health::Member;
use crate::inventory::HostName;
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
    suites: BTreeMap<Option<HostName>, Vec<Case>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Case {
    class: String,
    name: String,
    seconds: f64,
    result: Verdict,
    output: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    Passed,
    Skipped(String),
    Failed(String),
    /// Not the host's word but the lack of it.
    Error(String),
}

impl Junit {
    /// Will write to this file.
    pub fn new(path: &Path) -> Junit {
        Junit { path: path.to_owned(), cases: Cases::default(), written: None }
    }

    fn write(&mut self) {
        let text = self.cases.xml();
        if self.written.as_ref() == Some(&text) {
            return;
        }
        if let Err(error) = replace(&self.path, &text) {
            let path = self.path.display();
            line(std::io::stderr().lock(), &format!("{path} cannot be written: {error}"));
        }
        self.written = Some(text);
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

/// A checked path: its directory is there.
///
/// # Errors
/// One sentence.
pub fn path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let parent = directory(&path);
    if path.file_name().is_none() || path.is_dir() {
        return Err("it must name a file".to_owned());
    }
    if parent.is_dir() {
        Ok(path)
    } else {
        Err(format!("there is no directory {}", parent.display()))
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file whole or not at all.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".provision.").tempfile_in(directory(path))?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
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
                    Outcome::Changed | Outcome::Unchanged => Verdict::Passed,
                    Outcome::NotRun(why) => Verdict::Skipped(why.clone()),
                    Outcome::Skipped => Verdict::Skipped("something before it failed".to_owned()),
                    Outcome::Failed { status, reason } => {
                        Verdict::Failed(format!("{reason} (status {status})"))
                    }
                    Outcome::Lost(why) => Verdict::Error(why.clone()),
                };
                self.push(Some(host), task.name(), resource, *seconds, result);
            }
            // It comes right after the action that it belongs to ended.
            Event::ActionOutput { host, task, resource, text } => {
                // A check is called by its resource's name, without the kind, and may be about another
                // host than the one that it ran on.
                let smoke = format!(" {resource}");
                let mine = |case: &&mut Case| match task {
                    Task::Smoke => smoke.ends_with(&format!(" {}", case.name)),
                    _ => case.name == *resource,
                };
                let own = Some(host.clone());
                let here = self.suites.get(&own).is_some_and(|cases| {
                    cases.iter().any(|case| smoke.ends_with(&format!(" {}", case.name)))
                });
                let case = match here {
                    true => self.suites.get_mut(&own).into_iter().flatten().rev().find(mine),
                    false => self.suites.values_mut().flatten().find(mine),
                };
                if let Some(case) = case {
                    case.output.clone_from(text);
                }
            }
            Event::GateEnded { task, hosts, members, open, seconds } => {
                for host in hosts {
                    let member = members.iter().find(|(name, _)| name == host).map(|(_, m)| m);
                    let result = match member {
                        _ if *open => Verdict::Passed,
                        Some(Member::Sick(why)) => Verdict::Failed(why.clone()),
                        Some(Member::Silent) => {
                            Verdict::Error("its host could not be asked".to_owned())
                        }
                        Some(Member::Serving) | None => Verdict::Passed,
                    };
                    self.push(Some(host), task.name(), "gate", *seconds, result);
                }
                // Those that held the gate without having been touched.
                let touched: BTreeSet<&HostName> = hosts.iter().collect();
                for (host, member) in
                    members.iter().filter(|(host, _)| !*open && !touched.contains(host))
                {
                    if let Member::Sick(why) = member {
                        let result = Verdict::Failed(why.clone());
                        self.push(Some(host), task.name(), "gate", *seconds, result);
                    }
                }
            }
            Event::SmokeResult { check, host, result, detail, seconds } => {
                let result = match result {
                    SmokeOutcome::Passed => Verdict::Passed,
                    SmokeOutcome::Failed | SmokeOutcome::NoRoom => Verdict::Failed(detail.clone()),
                    SmokeOutcome::NotRun => Verdict::Skipped(detail.clone()),
                };
                self.push(host.as_ref(), "smoke", check, *seconds, result);
            }
            Event::HostConnected { host, seconds } => {
                self.push(Some(host), "ssh", "connect", *seconds, Verdict::Passed);
            }
            Event::HostUnreachable { host, reason } => {
                self.push(Some(host), "ssh", "reach", 0.0, Verdict::Error(reason.clone()));
            }
            Event::Blocked { host, task, reason } => {
                let result = Verdict::Skipped(format!("blocked: {reason}"));
                self.push(Some(host), task.name(), "blocked", 0.0, result);
            }
            Event::Problem { problem, host } => {
                let result = match problem.severity {
                    crate::inventory::Severity::Error => Verdict::Failed(problem.to_string()),
                    crate::inventory::Severity::Warning => Verdict::Skipped(problem.to_string()),
                };
                self.push(host.as_ref(), "problem", problem.name, 0.0, result);
            }
            _ => {}
        }
    }

    fn push(
        &mut self,
        host: Option<&HostName>,
        class: &str,
        name: &str,
        seconds: f64,
        result: Verdict,
    ) {
        self.suites.entry(host.cloned()).or_default().push(Case {
            class: class.to_owned(),
            name: name.to_owned(),
            seconds,
            result,
            output: String::new(),
        });
    }

    /// The whole document.
    pub fn xml(&self) -> String {
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let all: Vec<&Case> = self.suites.values().flatten().collect();
        let _ = writeln!(text, "<testsuites name=\"provision\" {}>", counts(&all));
        for (host, cases) in &self.suites {
            let name = host.as_ref().map_or("cluster", HostName::as_str);
            let _ = writeln!(
                text,
                "  <testsuite name=\"{}\" hostname=\"{}\" timestamp=\"{}\" {}>",
                escaped(name),
                escaped(name),
                escaped(self.began.as_deref().unwrap_or_default()),
                counts(&cases.iter().collect::<Vec<_>>())
            );
            for case in cases {
                write_case(&mut text, name, case);
            }
            text.push_str("  </testsuite>\n");
        }
        text.push_str("</testsuites>\n");
        text
    }
}

fn write_case(text: &mut String, suite: &str, case: &Case) {
    let _ = write!(
        text,
        "    <testcase classname=\"{}.{}\" name=\"{}\" time=\"{:.3}\"",
        escaped(suite),
        escaped(&case.class),
        escaped(&case.name),
        case.seconds
    );
    let inner = match &case.result {
        Verdict::Passed => None,
        Verdict::Skipped(why) => Some(("skipped", why)),
        Verdict::Failed(why) => Some(("failure", why)),
        Verdict::Error(why) => Some(("error", why)),
    };
    if inner.is_none() && case.output.is_empty() {
        text.push_str("/>\n");
        return;
    }
    text.push_str(">\n");
    if let Some((element, why)) = inner {
        let why = escaped(why);
        let _ = match element {
            "skipped" => writeln!(text, "      <skipped message=\"{why}\"/>"),
            _ => writeln!(
                text,
                "      <{element} message=\"{why}\" type=\"{element}\">{why}</{element}>"
            ),
        };
    }
    if !case.output.is_empty() {
        let _ = writeln!(text, "      <system-out>{}</system-out>", escaped(&case.output));
    }
    text.push_str("    </testcase>\n");
}

fn counts(cases: &[&Case]) -> String {
    let count = |of: fn(&Verdict) -> bool| cases.iter().filter(|case| of(&case.result)).count();
    format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\"",
        cases.len(),
        count(|v| matches!(v, Verdict::Failed(_))),
        count(|v| matches!(v, Verdict::Error(_))),
        count(|v| matches!(v, Verdict::Skipped(_))),
        cases.iter().map(|case| case.seconds).sum::<f64>()
    )
}

/// Text for an element or a quoted attribute. Characters that XML 1.0 has no way to write are made
/// visible. Source: XML 1.0, 2.2 Characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // As a reference, or a reader would make a blank of it in an attribute.
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\u{20}'..='\u{7e}'
            | '\u{a0}'..='\u{d7ff}'
            | '\u{e000}'..='\u{fffd}'
            | '\u{10000}'..='\u{10ffff}' => {
                out.push(c);
            }
            c => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
        }
    }
    out
}

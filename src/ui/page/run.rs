//! The sum of a run's events as its page shows it.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::Serialize;

use super::super::plain::took;
use super::Beside;
use super::proofs::{Proof, Smoke, range, smoke};
use super::read::{Line, Problem, Said};
use super::timeline::{Lane, Span, lanes, ticks};
use crate::event::{Outcome, SmokeOutcome};
use crate::ground::{HostName, Severity};
use crate::health::Member;
use crate::plan::shown::{Hosts, general, grouped, shown_hosts};
use crate::plan::text::counted;
use crate::report::exit;
use crate::tasks::Task;

/// What the template is given.
#[derive(Debug, Default, Serialize)]
pub(super) struct Shown {
    title: String,
    ended: Ended,
    doubts: Vec<String>,
    facts: Vec<Fact>,
    wrong: Vec<Wrong>,
    lanes: Vec<Lane>,
    folded: bool,
    ticks: Vec<String>,
    stages: Vec<Stage>,
    gates: Vec<Gate>,
    smoke: Vec<Smoke>,
    submits: Vec<String>,
    plan: String,
}

#[derive(Debug, Default, Serialize)]
struct Ended {
    tone: &'static str,
    words: String,
}

#[derive(Debug, Serialize)]
struct Fact {
    name: String,
    text: String,
}

#[derive(Debug, Serialize)]
struct Wrong {
    tone: &'static str,
    what: String,
    hosts: String,
    why: String,
    output: String,
}

#[derive(Debug, Serialize)]
struct Stage {
    title: String,
    words: String,
    open: bool,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    tone: &'static str,
    word: &'static str,
    hosts: String,
    resource: String,
    why: String,
    took: String,
}

#[derive(Debug, Serialize)]
struct Gate {
    tone: &'static str,
    word: &'static str,
    task: &'static str,
    hosts: String,
    why: String,
    took: String,
}

/// An action that ended.
struct Done {
    host: HostName,
    resource: String,
    why: String,
    outcome: Outcome,
    seconds: f64,
    output: String,
}

/// What is gathered on the way.
#[derive(Default)]
struct Gathered {
    began: Option<Timestamp>,
    /// The last event's time, in seconds since the first.
    last: f64,
    run: String,
    started: Option<(String, String)>,
    facts: Vec<Fact>,
    stages: Vec<(String, Vec<Done>)>,
    spans: BTreeMap<HostName, Vec<Span>>,
    why: HashMap<(HostName, String), String>,
    waiting: HashMap<Task, String>,
    unreachable: Vec<(HostName, String)>,
    blocked: Vec<(HostName, String)>,
    problems: Vec<Wrong>,
    gates: Vec<Gate>,
    proofs: Vec<Proof>,
    submits: Vec<String>,
    interrupted: Option<String>,
    ended: Option<(usize, u8, f64)>,
}

/// The page of these events.
pub(super) fn shown(events: &[Line], beside: &Beside) -> Shown {
    let mut all = Gathered::default();
    for line in events {
        all.add(line);
    }
    all.shown(beside)
}

impl Gathered {
    fn add(&mut self, line: &Line) {
        if let Ok(at) = line.ts.parse::<Timestamp>() {
            let began = *self.began.get_or_insert(at);
            self.last = at.duration_since(began).as_secs_f64();
        }
        self.run.clone_from(&line.run);
        match &line.event {
            Said::RunStarted { command, cluster, inventory, hosts, version, versions } => {
                self.started = Some((command.clone(), cluster.clone()));
                let mut fact = |name: &str, text: String| {
                    self.facts.push(Fact { name: name.to_owned(), text });
                };
                fact("hosts", hosts.to_string());
                fact("inventory", format!("SHA-256 {inventory}"));
                if !version.is_empty() {
                    fact("provision", version.clone());
                }
                versions.iter().for_each(|(name, version)| fact(name, version.clone()));
            }
            Said::HostUnreachable { host, reason } => {
                self.unreachable.push((host.clone(), reason.clone()));
            }
            Said::Blocked { host, task, reason } => {
                self.blocked.push((host.clone(), format!("{task}: {reason}")));
            }
            Said::StageStarted { stage } => self.stages.push((stage.clone(), Vec::new())),
            Said::ActionStarted { host, resource, why } => {
                self.why.insert((host.clone(), resource.clone()), why.clone());
            }
            Said::ActionEnded { host, resource, outcome, seconds } => {
                self.action(host, resource, outcome, *seconds);
            }
            Said::ActionOutput { host, resource, text } => {
                let done = self.stages.iter_mut().flat_map(|(_, all)| all).rev();
                let mut of = done.filter(|it| it.host == *host && it.resource == *resource);
                if let Some(done) = of.next() {
                    done.output.clone_from(text);
                }
            }
            Said::GateWaiting { task, waiting_for } => {
                self.waiting.insert(*task, waiting_for.clone());
            }
            Said::GateEnded { task, hosts, members, open, seconds } => {
                self.gate(*task, hosts, members, *open, *seconds);
            }
            Said::SmokeResult { check, host, result, detail, seconds, engine, submit } => {
                let (tone, word) = match result {
                    SmokeOutcome::Passed => ("good", "passed"),
                    SmokeOutcome::Failed => ("bad", "FAILED"),
                    SmokeOutcome::NotRun => ("held", "not run"),
                    SmokeOutcome::NoRoom => ("change", "no room"),
                };
                let engine = engine.as_ref().map_or(String::new(), |engine| format!(" ({engine})"));
                self.proofs.push(Proof {
                    tone,
                    word: format!("{word}{engine}"),
                    check: check.clone(),
                    host: host.clone(),
                    detail: detail.clone(),
                    seconds: *seconds,
                });
                if let Some(submit) = submit.as_ref().filter(|it| !self.submits.contains(it)) {
                    self.submits.push(submit.clone());
                }
            }
            Said::Problem { problem, host } => self.problem(problem, host.as_ref()),
            Said::Interrupted { signal } => self.interrupted = Some(signal.clone()),
            Said::RunEnded { changed, exit, seconds } => {
                self.ended = Some((*changed, *exit, *seconds));
            }
            Said::Other => {}
        }
    }

    fn action(&mut self, host: &HostName, resource: &str, outcome: &Outcome, seconds: f64) {
        let why = self.why.remove(&(host.clone(), resource.to_owned())).unwrap_or_default();
        if *outcome != Outcome::Skipped {
            let (tone, _) = of(outcome);
            let class = match tone {
                "good" => "b-good",
                "bad" => "b-bad",
                "held" => "b-held",
                _ => "b-change",
            };
            self.span(host, class, resource.to_owned(), seconds);
        }
        if self.stages.is_empty() {
            self.stages.push((String::new(), Vec::new()));
        }
        if let Some((_, done)) = self.stages.last_mut() {
            done.push(Done {
                host: host.clone(),
                resource: resource.to_owned(),
                why,
                outcome: outcome.clone(),
                seconds,
                output: String::new(),
            });
        }
    }

    fn gate(
        &mut self,
        task: Task,
        hosts: &[HostName],
        members: &[(HostName, Member)],
        open: bool,
        seconds: f64,
    ) {
        for host in hosts {
            self.span(host, "b-gate", format!("gate of {}", task.card().title), seconds);
        }
        let complaints: Vec<(HostName, String)> = members
            .iter()
            .filter_map(|(host, member)| match member {
                Member::Serving => None,
                Member::Sick(why) => Some((host.clone(), why.clone())),
                Member::Silent => Some((host.clone(), "its host could not be asked".to_owned())),
            })
            .collect();
        let waited = self.waiting.remove(&task);
        let words: Vec<String> = grouped(&complaints, Hosts::Folded)
            .into_iter()
            .map(|(hosts, why)| format!("{hosts}: {why}"))
            .collect();
        let why = match open {
            true => waited.map_or(String::new(), |it| format!("last waited for: {it}")),
            false => words.join("; "),
        };
        self.gates.push(Gate {
            tone: if open { "good" } else { "bad" },
            word: if open { "serving" } else { "NOT serving" },
            task: task.card().title,
            hosts: shown_hosts(&hosts.iter().collect::<Vec<_>>()),
            why,
            took: took(seconds),
        });
    }

    fn span(&mut self, host: &HostName, class: &'static str, what: String, seconds: f64) {
        let span = Span { from: (self.last - seconds).max(0.0), to: self.last, class, what };
        self.spans.entry(host.clone()).or_default().push(span);
    }

    fn problem(&mut self, problem: &Problem, host: Option<&HostName>) {
        let (tone, what) = match problem.severity {
            Severity::Error => ("bad", "error"),
            Severity::Warning => ("change", "warning"),
        };
        let place = problem.place.as_ref().map(ToString::to_string);
        let about = host.map(HostName::to_string).or(place).unwrap_or_default();
        let help = problem.help.as_ref().map_or(String::new(), |help| format!(" ({help})"));
        self.problems.push(Wrong {
            tone,
            what: what.to_owned(),
            hosts: about,
            why: format!("{}{help}", problem.message),
            output: String::new(),
        });
    }

    fn shown(self, beside: &Beside) -> Shown {
        let wrong = self.wrong();
        let seconds = self.ended.map_or(self.last, |(_, _, seconds)| seconds.max(self.last));
        let (lanes, folded) = lanes(&self.spans, seconds);
        let title = match &self.started {
            Some((command, cluster)) => format!("{command} of {cluster}"),
            None => beside.title.clone(),
        };
        let mut facts = Vec::new();
        let mut fact = |name: &str, text: String| facts.push(Fact { name: name.to_owned(), text });
        if let Some(began) = self.began {
            fact("run", self.run.clone());
            fact("began", format!("{began:.0}"));
            fact("took", took(seconds));
        }
        beside.facts.iter().for_each(|(name, text)| fact(name, text.clone()));
        let ended = self.how(beside);
        facts.extend(self.facts);
        Shown {
            title,
            ended,
            doubts: beside.doubts.clone(),
            facts,
            wrong,
            ticks: ticks(seconds),
            lanes,
            folded,
            stages: self
                .stages
                .into_iter()
                .filter(|(_, done)| !done.is_empty())
                .map(stage)
                .collect(),
            gates: self.gates,
            smoke: smoke(self.proofs),
            submits: self.submits,
            plan: beside.plan.clone(),
        }
    }

    fn how(&self, beside: &Beside) -> Ended {
        let Some((changed, code, _)) = self.ended else {
            let words = match &self.interrupted {
                Some(signal) => format!("Interrupted by {signal}; it never said how it ended."),
                None if self.started.is_none() && !beside.title.is_empty() => {
                    "Its events are not on this machine: they stay where it was run from."
                        .to_owned()
                }
                None => "Cut short: it never said how it ended.".to_owned(),
            };
            return Ended { tone: "bad", words };
        };
        let meaning = match code {
            exit::OK if changed == 0 => "nothing was to be done",
            exit::OK => "done",
            exit::USAGE => "refused before anything was changed",
            exit::PENDING => "changes are pending",
            exit::FAILED => "something failed",
            exit::UNREACHABLE => "hosts were unreachable or blocked, nothing failed",
            exit::SMOKE => "converged, and the proof failed",
            exit::LOCKED => "another run held a lock",
            129..=159 => "interrupted",
            _ => "ended",
        };
        let tone = match code {
            exit::OK | exit::PENDING => "good",
            exit::UNREACHABLE => "held",
            _ => "bad",
        };
        let changes = counted(changed, "change");
        Ended { tone, words: format!("Exit {code}: {meaning}; {changes}.") }
    }

    /// What went wrong or was left undone, what failed first.
    fn wrong(&self) -> Vec<Wrong> {
        let mut all = Vec::new();
        for done in self.stages.iter().flat_map(|(_, done)| done) {
            let why = match &done.outcome {
                Outcome::Failed { status, reason } => format!("{reason} (status {status})"),
                Outcome::Lost(why) => why.clone(),
                _ => continue,
            };
            all.push(Wrong {
                tone: "bad",
                what: format!("{} failed", done.resource),
                hosts: done.host.to_string(),
                why,
                output: done.output.trim_end().to_owned(),
            });
        }
        let gates = self.gates.iter().filter(|gate| gate.tone == "bad");
        all.extend(gates.map(|gate| Wrong {
            tone: "bad",
            what: format!("{} do not serve", gate.task),
            hosts: gate.hosts.clone(),
            why: gate.why.clone(),
            output: String::new(),
        }));
        for (what, tone, of) in
            [("unreachable", "bad", &self.unreachable), ("blocked", "held", &self.blocked)]
        {
            all.extend(grouped(of, Hosts::Folded).into_iter().map(|(hosts, why)| Wrong {
                tone,
                what: what.to_owned(),
                hosts,
                why,
                output: String::new(),
            }));
        }
        all.extend(self.problems.iter().map(|it| Wrong {
            tone: it.tone,
            what: it.what.clone(),
            hosts: it.hosts.clone(),
            why: it.why.clone(),
            output: String::new(),
        }));
        all
    }
}

/// A stage, what was done alike together.
fn stage((title, done): (String, Vec<Done>)) -> Stage {
    let hosts: std::collections::BTreeSet<&HostName> = done.iter().map(|it| &it.host).collect();
    let words = format!("{} on {}", counted(done.len(), "action"), counted(hosts.len(), "host"));
    let mut groups: Vec<Vec<&Done>> = Vec::new();
    let mut known: HashMap<(String, &str, String), usize> = HashMap::new();
    for one in &done {
        let (_, word) = of(&one.outcome);
        let about = general(&format!("{} {}", one.resource, said(one)), one.host.as_str());
        let at = *known.entry((about, word, one.resource.clone())).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    let rows: Vec<Row> = groups.iter().filter_map(|group| row(group)).collect();
    let open = rows.iter().any(|row| row.tone == "bad");
    Stage { title, words, open, rows }
}

fn row(group: &[&Done]) -> Option<Row> {
    let first = group.first()?;
    let mut hosts: Vec<&HostName> = group.iter().map(|it| &it.host).collect();
    hosts.sort();
    hosts.dedup();
    let alike = group.iter().all(|it| said(it) == said(first));
    let why = if alike { said(first) } else { general(&said(first), first.host.as_str()) };
    let (tone, word) = of(&first.outcome);
    let took = range(group.iter().map(|it| it.seconds));
    Some(Row {
        tone,
        word,
        hosts: shown_hosts(&hosts),
        resource: first.resource.clone(),
        why,
        took,
    })
}

/// What was not as wanted, and for what did not go well why.
fn said(done: &Done) -> String {
    let more = match &done.outcome {
        Outcome::Failed { reason, .. } => reason,
        Outcome::Lost(why) | Outcome::NotRun(why) => why,
        Outcome::Changed | Outcome::Unchanged | Outcome::Skipped => return done.why.clone(),
    };
    match done.why.is_empty() {
        true => more.clone(),
        false => format!("{}: {more}", done.why),
    }
}

fn of(outcome: &Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Changed => ("change", "changed"),
        Outcome::Unchanged => ("good", "ok"),
        Outcome::NotRun(_) => ("held", "not run"),
        Outcome::Failed { .. } => ("bad", "FAILED"),
        Outcome::Lost(_) => ("bad", "LOST"),
        Outcome::Skipped => ("quiet", "skipped"),
    }
}

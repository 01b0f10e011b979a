//! `provision apply`: makes the hosts as the inventory says, and proves it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};

use crate::apply::{Run, Stop};
use crate::cli::{Limits, Reach, RunOutput, Source};
use crate::commands::locks;
use crate::commands::plan::{Made, ask_all, make};
use crate::commands::rotation::changed_secrets;
use crate::commands::saved;
use crate::commands::session::{
    Session, again, confirm, has_errors, recorder, run_id, sink, start,
};
use crate::event::{Event, Sink};
use crate::health::Check;
use crate::inventory::show::without_passwords;
use crate::inventory::{HostName, Problem, Severity};
use crate::observe;
use crate::plan::saved::Saved;
use crate::plan::{Plan, Scope, plan, text};
use crate::records::{self, EventLog, Record};
use crate::remote::Change as _;
use crate::remote::fleet::{Fleet, Opening};
use crate::remote::shell::Changer;
use crate::report::{Report, exit};
use crate::ui::{Recorder, line, rfc3339, summary};

/// Arguments of `apply`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    output: RunOutput,
    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,
    /// Only show what would change: the same as `plan`
    #[arg(short = 'C', long)]
    check: bool,
    /// How many hosts work at once
    #[arg(short = 'f', long, default_value_t = 50, env = "PROVISION_FORKS")]
    forks: usize,
    /// How many failed or unreachable hosts of a task are borne; default 0 in a quorum, 10 % of agents
    #[arg(long, value_name = "N")]
    max_failed: Option<usize>,
    /// How long to wait for hosts that another run has locked, such as 10mins; default: not at all, and
    /// 1min for an action that runs on though its own run is gone
    #[arg(long, value_name = "DURATION", value_parser = locks::duration)]
    lock_timeout: Option<Duration>,
    /// Plan again after success, and fail if anything is left
    #[arg(long)]
    prove: bool,
}

/// Runs it. The inventory may also be a plan that `plan --out` wrote: then exactly that is done, or
/// nothing.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let saved = saved::read(&args.source.inventory)?;
    let (source, limits) = match &saved {
        None => (args.source.clone(), args.limits.clone()),
        Some(saved) => {
            if !args.source.sets.is_empty()
                || args.limits.limit.is_some()
                || !args.limits.tasks.is_empty()
            {
                return Ok(refuse(
                    "a saved plan holds its own -e, -l and -t; make another plan instead",
                ));
            }
            saved::again(saved)
        }
    };
    if args.check {
        return super::plan::run(&super::plan::Args {
            source,
            reach: args.reach.clone(),
            limits,
            output: args.output.clone(),
            detailed_exitcode: false,
            out: None,
        })
        .await;
    }
    if saved.is_some() && !source.inventory.exists() {
        return Ok(refuse(&format!(
            "the plan's inventory {} is not there; apply the plan in the directory where it was made, or make another",
            source.inventory.display()
        )));
    }
    let session = match start(&source, Some(&args.reach)).await? {
        Ok(session) => session,
        Err(quit) => return Ok(quit.0),
    };
    let scope = match session.scope(&limits) {
        Ok(scope) => scope,
        Err(why) => return Ok(refuse(&why)),
    };
    if let Some(saved) =
        saved.as_ref().filter(|saved| saved.asked.digest != session.inventory.digest)
    {
        let path = saved.asked.inventory.display();
        return Ok(refuse(&format!(
            "the inventory {path} has changed since the plan was made; nothing was changed; make a new plan"
        )));
    }
    Job { args, source, limits, session, scope, saved, run: run_id(), began: SystemTime::now() }
        .run()
        .await
}

/// One apply, as it was asked for.
struct Job<'a> {
    args: &'a Args,
    source: Source,
    limits: Limits,
    session: Session,
    scope: Scope,
    saved: Option<Saved>,
    run: String,
    began: SystemTime,
}

impl Job<'_> {
    async fn run(mut self) -> anyhow::Result<u8> {
        let secrets = self.session.secrets()?;
        let recorder = recorder(&self.run, &self.args.output);
        recorder.add(Box::new(EventLog::new(&self.run)));
        recorder.emit(Event::RunStarted {
            command: "apply".to_owned(),
            cluster: self.session.inventory.cluster.clone(),
            inventory: self.session.inventory.digest.clone(),
            hosts: self.session.inventory.hosts.len(),
        });
        let opening = self.session.opening(&self.args.reach, &self.run)?;
        let probes = observe::probes(&self.session.inventory, &self.session.desired);
        let limit = self.args.lock_timeout;
        let opened = locks::enter(&opening, &probes, &sink(&recorder), secrets, limit).await;
        let opened = match opened {
            Ok(opened) => opened,
            Err(quit) => return Ok(recorder.end(quit.0)),
        };
        for (host, what) in opened.interrupted {
            let message = format!("interrupted earlier: {what}; going on from what is there");
            let problem = Problem {
                severity: Severity::Warning,
                ..Problem::error(None, "interrupted", message)
            };
            recorder.emit(Event::Problem { problem, host: Some(host) });
        }
        let fleet = Arc::new(opened.fleet);
        let code = self.with(&fleet, &opening, opened.answers, &recorder).await;
        if let Some(fleet) = Arc::into_inner(fleet) {
            fleet.close().await;
        }
        code
    }

    async fn with(
        &mut self,
        fleet: &Arc<Fleet<Changer>>,
        opening: &Opening,
        answers: super::plan::Answers,
        recorder: &Arc<Recorder>,
    ) -> anyhow::Result<u8> {
        let made = make(&mut self.session, fleet, answers, &self.scope, recorder).await?;
        let Made { observed, plan, mut found } = made;
        found.extend(changed_secrets(&self.session.desired, &observed, fleet).await);
        if let Some(saved) = &self.saved {
            let (source, limits) = (&self.source, &self.limits);
            let now = saved::save(
                &self.session,
                &plan,
                &observed,
                &self.scope,
                source,
                limits,
                &self.run,
            );
            let moved = saved.moved(&now);
            if !moved.is_empty() {
                for what in moved {
                    line(std::io::stderr().lock(), &format!("error: {what}"));
                }
                let why = "the saved plan is stale, nothing was changed; make a new plan";
                return Ok(recorder.end(refuse(why)));
            }
        }
        if plan.is_empty() && found.is_empty() {
            if !self.args.output.json && plan.blocked.is_empty() && plan.unreachable.is_empty() {
                line(std::io::stdout().lock(), &text::summary(&plan));
            }
        } else if let Some(code) = self.not_now(&plan, found, recorder) {
            return Ok(recorder.end(code));
        }
        let stop = Arc::new(Stop::default());
        watch_signals(&stop, recorder);
        let mut record = self.record(opening, &plan);
        if !plan.is_empty() {
            leave(&record, &self.session, fleet).await;
        }
        let inventory = Arc::new(self.session.inventory.clone());
        let engine = Run::new(
            Arc::clone(&inventory),
            Arc::new(self.session.desired.clone()),
            Arc::clone(fleet),
            sink(recorder),
            stop,
            self.args.forks,
            self.args.max_failed,
        );
        engine.apply(&plan).await;
        let leader = if plan.is_empty() {
            Check::Masters.judge(&inventory, &observed.replies()).leader
        } else {
            engine.health(Check::Masters).await.leader
        };
        drop(engine);
        let report = recorder.report();
        let mut code = report.exit();
        if self.args.prove && code == exit::OK {
            code = self.prove(fleet).await?;
        }
        recorder.end(code);
        if !plan.is_empty() {
            record.outcome = Some(outcome(&report, code));
            leave(&record, &self.session, fleet).await;
        }
        if !self.args.output.json {
            let command = again("apply", &self.source, &self.limits);
            let words = summary::text(&inventory, &report, &command, leader.as_ref());
            line(std::io::stdout().lock(), words.trim_end());
            if !plan.is_empty() {
                line(std::io::stdout().lock(), &closing(&report, code, recorder));
            }
        }
        Ok(code)
    }

    /// Preflight's findings and the question; an exit code when nothing is to be done after them.
    fn not_now(
        &self,
        plan: &Plan,
        found: Vec<(Option<HostName>, Problem)>,
        recorder: &Recorder,
    ) -> Option<u8> {
        let refused = has_errors(&found);
        for (host, problem) in found {
            recorder.emit(Event::Problem { problem, host });
        }
        if refused {
            return Some(refuse("preflight found what must be mended first; nothing was changed"));
        }
        if !self.args.output.json {
            line(std::io::stdout().lock(), text::plan(plan).trim_end());
        }
        // Whoever saved the plan has seen it.
        if self.args.yes || self.saved.is_some() {
            return None;
        }
        match confirm("Do you want to make these changes?") {
            Ok(true) => None,
            Ok(false) => {
                line(std::io::stderr().lock(), "nothing was changed");
                Some(exit::USAGE)
            }
            Err(why) => Some(refuse(&format!("{why}; nothing was changed"))),
        }
    }

    /// Plans again.
    async fn prove(&mut self, fleet: &Arc<Fleet<Changer>>) -> anyhow::Result<u8> {
        let mut probes = observe::probes(&self.session.inventory, &self.session.desired);
        // All others would have made it fail, but for those that are gone on purpose.
        probes.retain(|host, _| fleet.has(host));
        let observed = self.session.observed(ask_all(fleet, probes).await)?;
        let left = plan(&self.session.inventory, &self.session.desired, &observed, &self.scope);
        if left.is_empty() && left.blocked.is_empty() && left.unreachable.is_empty() {
            return Ok(exit::OK);
        }
        let mut err = std::io::stderr().lock();
        line(&mut err, "error: this is still to be done after a successful apply:");
        line(&mut err, text::plan(&left).trim_end());
        Ok(exit::FAILED)
    }

    fn record(&self, opening: &Opening, plan: &Plan) -> Record {
        Record {
            v: records::VERSION,
            run: self.run.clone(),
            by: opening.by.clone(),
            from: opening.from.clone(),
            began: rfc3339(self.began),
            cluster: self.session.inventory.cluster.clone(),
            inventory: records::Asked {
                text: without_passwords(&self.session.text),
                digest: self.session.inventory.digest.clone(),
                sets: self.source.sets.iter().map(|set| without_passwords(set)).collect(),
            },
            plan: text::plan(plan),
            outcome: None,
        }
    }
}

/// Leaves a record on every master that can be reached, and a copy here. What does not work is said and
/// decides nothing.
async fn leave(record: &Record, session: &Session, fleet: &Arc<Fleet<Changer>>) {
    if let Err(error) = records::keep_here(record) {
        let text = format!("warning: no copy of this run's record is kept here: {error}");
        line(std::io::stderr().lock(), &text);
    }
    let mut tasks = tokio::task::JoinSet::new();
    let masters = session.inventory.mesos.masters.iter();
    for host in masters.filter(|host| fleet.has(host)) {
        let (fleet, host, fix) = (Arc::clone(fleet), host.clone(), record.write());
        tasks.spawn(async move {
            let why = match fleet.run(&host, "record", &fix).await {
                Ok(ended) if ended.status == 0 => return,
                Ok(ended) => ended.output_tail.trim().to_owned(),
                Err(why) => why,
            };
            let text = format!("warning: {host} keeps no record of this run: {why}");
            line(std::io::stderr().lock(), &text);
        });
    }
    while tasks.join_next().await.is_some() {}
}

fn outcome(report: &Report, code: u8) -> records::Outcome {
    records::Outcome {
        ended: rfc3339(SystemTime::now()),
        changed: report.changes(),
        failed: report.failures.len(),
        unreachable: report.unreachable.len(),
        blocked: report.blocked.len(),
        exit: code,
    }
}

fn closing(report: &Report, code: u8, recorder: &Recorder) -> String {
    format!(
        "Apply {}: {} changed on {} in {}.",
        if code == exit::OK { "complete" } else { "ended" },
        report.changes(),
        text::counted(report.changed.len(), "host"),
        crate::ui::plain::took(recorder.seconds())
    )
}

fn refuse(why: &str) -> u8 {
    line(std::io::stderr().lock(), &format!("error: {why}"));
    exit::USAGE
}

/// Ctrl-C once finishes what runs; twice leaves at once, saying what may still run.
pub(crate) fn watch_signals(stop: &Arc<Stop>, recorder: &Arc<Recorder>) {
    for (kind, name) in [
        (SignalKind::interrupt(), "SIGINT"),
        (SignalKind::terminate(), "SIGTERM"),
        (SignalKind::hangup(), "SIGHUP"),
    ] {
        let Ok(mut signals) = signal(kind) else { continue };
        let (stop, recorder) = (Arc::clone(stop), Arc::clone(recorder));
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                let running = stop.running();
                if stop.asked() {
                    let mut err = std::io::stderr().lock();
                    for action in &running {
                        line(&mut err, &format!("may still run: {action}"));
                    }
                    line(
                        &mut err,
                        "left at once; running actions end by themselves on their hosts, and the next apply waits for them",
                    );
                    leave_at_once(match name {
                        "SIGHUP" => 129,
                        "SIGTERM" => 143,
                        _ => i32::from(exit::INTERRUPTED),
                    });
                }
                stop.ask();
                recorder.emit(Event::Interrupted { signal: name.to_owned(), running });
            }
        });
    }
}

#[expect(clippy::exit, reason = "the second signal asks for exactly this")]
fn leave_at_once(code: i32) -> ! {
    std::process::exit(code)
}

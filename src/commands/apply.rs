//! `provision apply`: makes the hosts as the inventory says, and proves it.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use crate::apply::{Run, Stop};
use crate::cli::{Limits, Reach, RunOutput, Source};
use crate::commands::plan::{announce, hold_back, preflight_all};
use crate::commands::session::{confirm, has_errors, recorder, run_id, sink, start};
use crate::event::{Event, Sink};
use crate::health::Check;
use crate::observe;
use crate::plan::{plan, text};
use crate::preflight;
use crate::remote::fleet::change;
use crate::report::exit;
use crate::ui::{Recorder, line, summary};

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
}

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    if args.check {
        return super::plan::run(&super::plan::Args {
            source: args.source.clone(),
            reach: args.reach.clone(),
            limits: args.limits.clone(),
            output: args.output.clone(),
            detailed_exitcode: false,
        })
        .await;
    }
    let mut session = match start(&args.source, Some(&args.reach)).await? {
        Ok(session) => session,
        Err(quit) => return Ok(quit.0),
    };
    let scope = match session.scope(&args.limits) {
        Ok(scope) => scope,
        Err(why) => {
            line(std::io::stderr().lock(), &format!("error: {why}"));
            return Ok(exit::USAGE);
        }
    };
    let secrets = session.secrets()?;
    let run = run_id();
    let recorder = recorder(&run, &args.output);
    recorder.emit(Event::RunStarted {
        command: "apply".to_owned(),
        cluster: session.inventory.cluster.clone(),
        inventory: session.inventory.digest.clone(),
        hosts: session.inventory.hosts.len(),
    });
    let opening = session.opening(&args.reach, &run)?;
    let probes = observe::probes(&session.inventory, &session.desired);
    let opened = change(&opening, &probes, &sink(&recorder), secrets).await;
    if let Some((host, by)) = opened.locked.iter().next() {
        line(std::io::stderr().lock(), &format!("error: {host} is locked by another run: {by}"));
        opened.fleet.close().await;
        return Ok(exit::LOCKED);
    }
    for (host, what) in &opened.interrupted {
        line(std::io::stderr().lock(), &format!("{host}: interrupted earlier: {what}; resuming"));
    }
    let fleet = Arc::new(opened.fleet);
    let observed = session.observed(opened.answers)?;
    let mut plan = plan(&session.inventory, &session.desired, &observed, &scope);
    announce(&recorder, &observed, &plan);
    if !plan.is_empty() {
        let answers = preflight_all(&session.inventory, &fleet, &plan).await;
        let found = preflight::check(&session.inventory, &plan, &observed, &answers);
        hold_back(&mut plan, &found);
        let refused = has_errors(&found);
        for (host, problem) in found {
            recorder.emit(Event::Problem { problem, host });
        }
        if refused {
            line(std::io::stderr().lock(), "preflight found what must be mended first; nothing was changed");
            return Ok(exit::USAGE);
        }
        if !args.output.json {
            line(std::io::stdout().lock(), text::plan(&plan).trim_end());
        }
        if !args.yes {
            match confirm("Do you want to make these changes?") {
                Ok(true) => {}
                Ok(false) => {
                    line(std::io::stderr().lock(), "nothing was changed");
                    return Ok(exit::USAGE);
                }
                Err(why) => {
                    line(std::io::stderr().lock(), &format!("error: {why}; nothing was changed"));
                    return Ok(exit::USAGE);
                }
            }
        }
    } else if !args.output.json && plan.blocked.is_empty() && plan.unreachable.is_empty() {
        line(std::io::stdout().lock(), &text::summary(&plan));
    }
    let stop = Arc::new(Stop::default());
    watch_signals(Arc::clone(&stop), Arc::clone(&recorder));
    let inventory = Arc::new(session.inventory);
    let engine = Run::new(
        Arc::clone(&inventory),
        Arc::new(session.desired),
        Arc::clone(&fleet),
        sink(&recorder),
        stop,
        args.forks,
        args.max_failed,
    );
    engine.apply(&plan).await;
    let leader = if plan.is_empty() {
        Check::Masters.judge(&inventory, &observed.replies()).leader
    } else {
        engine.health(Check::Masters).await.leader
    };
    drop(engine);
    if let Some(fleet) = Arc::into_inner(fleet) {
        fleet.close().await;
    }
    let report = recorder.report();
    let code = report.exit();
    recorder.emit(Event::RunEnded {
        changed: report.changes(),
        failed: report.failures.len(),
        skipped: report.skipped,
        unreachable: report.unreachable.len(),
        blocked: report.blocked.len(),
        exit: code,
        seconds: recorder.seconds(),
    });
    if !args.output.json {
        let command = format!("provision apply {}", args.source.inventory.display());
        let words = summary::text(&inventory, &report, &command, leader.as_ref());
        line(std::io::stdout().lock(), words.trim_end());
        if !plan.is_empty() {
            line(
                std::io::stdout().lock(),
                &format!(
                    "Apply {}: {} changed on {} hosts in {}.",
                    if code == exit::OK { "complete" } else { "ended" },
                    report.changes(),
                    report.changed.len(),
                    crate::ui::plain::took(recorder.seconds())
                ),
            );
        }
    }
    Ok(code)
}

/// Ctrl-C once finishes what runs; twice leaves at once, saying what may still run.
pub(crate) fn watch_signals(stop: Arc<Stop>, recorder: Arc<Recorder>) {
    for (kind, name) in [
        (SignalKind::interrupt(), "SIGINT"),
        (SignalKind::terminate(), "SIGTERM"),
        (SignalKind::hangup(), "SIGHUP"),
    ] {
        let Ok(mut signals) = signal(kind) else { continue };
        let (stop, recorder) = (Arc::clone(&stop), Arc::clone(&recorder));
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if stop.asked() {
                    line(
                        std::io::stderr().lock(),
                        "left at once; running actions end by themselves on their hosts, and the next apply waits for them",
                    );
                    leave(match name {
                        "SIGHUP" => 129,
                        "SIGTERM" => 143,
                        _ => i32::from(exit::INTERRUPTED),
                    });
                }
                stop.ask();
                recorder.emit(Event::Interrupted { signal: name.to_owned(), running: Vec::new() });
            }
        });
    }
}

#[expect(clippy::exit, reason = "the second signal asks for exactly this")]
fn leave(code: i32) -> ! {
    std::process::exit(code)
}

//! Who hears of a run while it happens: the screen, files, and what was asked for beside them.

use std::io::IsTerminal as _;
use std::sync::Arc;

use super::arguments::RunOutput;
use super::quit::{self, Quit};
use crate::event::{Event, Sink};
use crate::inventory::Inventory;
use crate::ui::github::Github;
use crate::ui::junit::Junit;
use crate::ui::log::Log;
use crate::ui::page::Page;
use crate::ui::screen::{self, Annotations, Stderr};
use crate::ui::step_summary::StepSummary;
use crate::ui::{Recorder, Render};

/// The recorder of a run, drawing as asked.
pub fn recorder(run: &str, output: impl Into<RunOutput>) -> Arc<Recorder> {
    let output = output.into();
    let variable = |name: &str| std::env::var(name).ok();
    let stderr = if std::io::stderr().is_terminal() { Stderr::Terminal } else { Stderr::Other };
    let mut renderers: Vec<Box<dyn Render>> =
        vec![screen::renderer(output.screen(), stderr, &variable)];
    if let Some(to) = &output.log_file {
        renderers.push(Box::new(Log::new(to.clone())));
    }
    if let Some(path) = &output.junit {
        renderers.push(Box::new(Junit::new(path)));
    }
    if let Some(path) = &output.report {
        renderers.push(Box::new(Page::new(path)));
    }
    if screen::annotations(output.screen(), &variable) == Annotations::Written {
        renderers.push(Box::new(Github));
    }
    if let Some(summary) = StepSummary::of_workflow(&variable) {
        renderers.push(Box::new(summary));
    }
    Arc::new(Recorder::new(run, renderers))
}

/// Ends a run that was refused: whoever reads its events hears why, too.
pub fn refused(recorder: &Recorder, error: &anyhow::Error) -> anyhow::Error {
    for (host, problem) in quit::reasons(error) {
        recorder.tell(Event::Problem { problem, host });
    }
    Quit(recorder.end(quit::exit_code(error))).into()
}

/// As a sink.
pub fn sink(recorder: &Arc<Recorder>) -> Arc<dyn Sink> {
    Arc::clone(recorder) as Arc<dyn Sink>
}

/// The first event of a run.
pub fn started(recorder: &Recorder, command: &str, inventory: &Inventory) {
    recorder.emit(Event::RunStarted {
        command: command.to_owned(),
        cluster: inventory.cluster.clone(),
        inventory: inventory.digest.clone(),
        hosts: inventory.hosts.len(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        versions: inventory.versions(),
    });
}

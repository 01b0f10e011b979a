//! A command that plans by a verb of day 2: the same line as an apply's, and the same words around it.

use std::path::PathBuf;
use std::time::Duration;

use super::arguments::{Difference, Limits, RunOutput, Target, next};
use super::planning::Aim;
use super::preview::{self, Pending};
use super::{After, Done, Keeping, Proofs, Request, change, confirm, lock};
use crate::plan::verbs::Verb;
use crate::ui::out::Out;
use crate::ui::summary::Next;
use crate::ui::{line, summary};

/// How a change is made that was planned.
#[derive(Debug, Clone, clap::Args)]
pub struct Doing {
    /// Do not ask
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// How many hosts work at once
    #[arg(short = 'f', long, default_value_t = 50, env = "PROVISION_FORKS")]
    pub forks: usize,
    /// How long to wait for hosts that another run has locked, such as 10mins; default: not at all, and
    /// 1min for an action that runs on though its own run is gone
    #[arg(long, value_name = "DURATION", value_parser = lock::duration)]
    pub lock_timeout: Option<Duration>,
}

/// What every verb is asked with.
#[derive(Debug, Clone, clap::Args)]
pub struct Asked {
    /// Which cluster.
    #[command(flatten)]
    target: Target,
    /// How it is shown.
    #[command(flatten)]
    output: RunOutput,
    /// How it is done.
    #[command(flatten)]
    doing: Doing,
}

/// Where a plan is saved instead of being done; what destroys has none, for whoever does it is to ask for it then.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Saving {
    /// Only save the plan, for `apply FILE` to do exactly that or refuse
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Asked {
    /// Shows what a verb will do, asks, does it, and says how it went: the exit code. `words` ask for it,
    /// after the program's name; `limits` say what may be touched.
    ///
    /// # Errors
    /// As [`change`].
    pub async fn run(
        &self,
        words: &str,
        verb: Verb,
        limits: &Limits,
        saving: &Saving,
    ) -> anyhow::Result<u8> {
        let Asked { target, output, doing } = self;
        if let Some(out) = &saving.out {
            return preview::show(&preview::Request {
                source: &target.source,
                reach: &target.reach,
                aim: Aim::Verb(&verb),
                limits,
                output,
                look: Difference::default().look(output),
                out: Some(out),
                pending: Pending::IsFine,
            })
            .await;
        }
        let name = verb.command();
        let done = change(&Request {
            command: name,
            aim: Aim::Verb(&verb),
            source: &target.source,
            reach: &target.reach,
            limits,
            output,
            saved: None,
            proofs: Proofs::Count,
            wait: lock::Wait {
                limit: doing.lock_timeout,
                advice: "wait with --lock-timeout 10mins",
            },
            forks: doing.forks,
            max_failed: None,
            record: Keeping::Record,
            after: After::Nothing,
            agree: &|plan| {
                let look = output.look().map(|look| (confirm::Show::Whole, look));
                confirm::agree(plan, doing.yes, look, NOTHING)
            },
        })
        .await?;
        if !output.json {
            // Words with a host in them name it themselves.
            let limits = match verb {
                Verb::Drain | Verb::Undrain => &Limits::default(),
                _ => limits,
            };
            say(name, &next(words, &target.source, limits), &done);
        }
        Ok(done.code)
    }
}

const NOTHING: &str = "There is nothing to do.";

fn say(name: &str, next: &Next, done: &Done) {
    let words = summary::outcome(&done.inventory, &done.report, next);
    if !words.is_empty() {
        line(Out, words.trim_end());
    }
    if let Some(closing) = done.closing(name) {
        line(Out, &closing);
    }
}

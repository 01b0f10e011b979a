//! `provision status`: how the cluster is, as its components say.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnose::ask;
use crate::event::{Event, Sink as _};
use crate::local::clock::run_id;
use crate::observe;
use crate::pipeline::arguments::{Output, Target};
use crate::pipeline::load;
use crate::pipeline::recorder::{recorder, sink};
use crate::pipeline::{look, reach};
use crate::plan::preflight;
use crate::report::exit;
use crate::ui::colour::{Colour, Stream};
use crate::ui::out::{self, Out};
use crate::ui::{diagnosis, styled};

pub(crate) mod data;
pub(crate) mod text;

use data::Status;

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    output: Output,
    /// Print the JSON Schema of what --json prints, and look at nothing
    #[arg(long)]
    schema: bool,
    /// Look again and again, until Ctrl-C
    #[arg(short = 'w', long)]
    watch: bool,
}

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    if args.schema {
        out::data(&serde_json::to_string_pretty(&data::schema())?);
        return Ok(exit::OK);
    }
    loop {
        let (text, code) = look_once(args).await?;
        if args.watch && out::is_terminal() {
            styled(Out, "\x1b[H\x1b[2J");
        }
        // What hosts say in it is harmless already.
        match args.output.json {
            true => out::data(text.trim_end()),
            false => styled(Out, text.trim_end()),
        }
        if !args.watch {
            return Ok(code);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What is there now, in words or as one object, and the exit code for it.
async fn look_once(args: &Args) -> anyhow::Result<(String, u8)> {
    let session =
        load::session(&args.target.source, Some(&args.target.reach), load::Artefacts::MayBeMissing)
            .await?;
    let run = run_id();
    let quiet = Output { json: false, ..args.output.clone() };
    let recorder = recorder(&run, &quiet);
    let opening = reach::opening(&session.inventory, &args.target.reach, &run)?;
    let opened = look::at_hosts(&session, &opening, &sink(&recorder)).await;
    let fleet = Arc::new(opened.fleet);
    let mesos = match args.output.verbose {
        true => Some(ask::cluster(&fleet, &session.inventory).await),
        false => None,
    };
    if let Some(fleet) = Arc::into_inner(fleet) {
        fleet.close().await;
    }
    let observed = observe::observed(&session.inventory, &session.desired, opened.answers);
    for problem in preflight::strangers(&session.inventory, &observed) {
        recorder.emit(Event::Problem { problem, host: None });
    }
    let frameworks = mesos.as_ref().map(diagnosis::json);
    let status = Status::of(&session.inventory, &observed, frameworks);
    let shown = if args.output.json {
        // Of several looks each is a line.
        match args.watch {
            true => serde_json::to_string(&status)?,
            false => serde_json::to_string_pretty(&status)?,
        }
    } else {
        let mut shown = text::text(&status, Colour::on(Stream::Stdout));
        if let Some(mesos) = mesos.filter(|mesos| mesos.leader.is_some()) {
            let _ =
                write!(shown, "\n{}\n{}", diagnosis::frameworks(&mesos), diagnosis::room(&mesos));
        }
        shown
    };
    Ok((shown, status.exit))
}

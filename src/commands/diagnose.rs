//! `provision diagnose`: why a job hangs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use crate::diagnose::{Cluster, Rung, ask, broken, ladder};
use crate::local::clock::run_id;
use crate::mesos::frameworks::Framework;
use crate::pipeline::arguments::{Output, Target, TargetByOption, no_inventory};
use crate::pipeline::recorder::{recorder, sink};
use crate::pipeline::{load, reach};
use crate::remote::fleet::look;
use crate::report::exit;
use crate::ui::diagnosis::{self, Judged};
use crate::ui::line;
use crate::ui::out::{self, Out};

/// Arguments of `diagnose`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A framework's id or name, or a driver's id; without one every job that has no task is judged
    #[arg(value_name = "JOB", value_parser = no_inventory)]
    job: Option<String>,
    #[command(flatten)]
    target: TargetByOption,
    #[command(flatten)]
    output: Output,
}

/// The version of what `--json` prints.
const VERSION: u32 = 1;

/// What the dispatcher's framework is called; it waits for drivers, not for executors.
///
/// Source: Spark MesosClusterDispatcherArguments, `name`, the same from 2.0 to 3.5.
const DISPATCHER: &str = "Spark Cluster";

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let target = Target::from(&args.target);
    let inputs =
        load::inputs(&target.source, Some(&target.reach), load::Artefacts::MayBeMissing).await?;
    let inventory = &inputs.inventory;
    let run = run_id();
    let quiet = Output { json: false, ..args.output.clone() };
    let recorder = recorder(&run, &quiet);
    let opening = reach::opening(inventory, &target.reach, &run)?;
    let opened = look(&opening, &BTreeMap::new(), &sink(&recorder)).await;
    let unreachable: BTreeMap<_, _> = opened
        .answers
        .iter()
        .filter_map(|(host, answer)| Some((host, answer.as_ref().err()?)))
        .collect();
    let fleet = Arc::new(opened.fleet);
    let cluster = ask::cluster(&fleet, inventory).await;
    let mut judged: Vec<(String, Option<&Framework>, Vec<Rung>)> = Vec::new();
    for (called, framework) in asked_for(&cluster, args.job.as_deref()) {
        let job = ask::job(&fleet, inventory, &cluster, &called, framework, None).await;
        let rungs = ladder(&cluster, &job);
        drop(job);
        judged.push((called, framework, rungs));
    }
    if let Some(fleet) = Arc::into_inner(fleet) {
        fleet.close().await;
    }
    let judged: Vec<Judged<'_>> = judged
        .iter()
        .map(|(called, framework, rungs)| Judged { called, framework: *framework, rungs })
        .collect();
    let text = if args.output.json {
        let jobs = judged.iter().map(|judged| diagnosis::ladder_json(&cluster, judged));
        let mut value = json!({ "v": VERSION, "cluster": inventory.cluster });
        value["mesos"] = diagnosis::json(&cluster);
        value["jobs"] = jobs.collect();
        value["unreachable"] = json!(unreachable);
        serde_json::to_string_pretty(&value)?
    } else {
        let mut parts: Vec<String> = judged.iter().map(diagnosis::ladder).collect();
        if cluster.leader.is_some() && (args.job.is_none() || args.output.verbose) {
            parts.insert(0, diagnosis::frameworks(&cluster));
        }
        if cluster.leader.is_some() && args.output.verbose {
            parts.push(diagnosis::room(&cluster));
        }
        parts.join("\n")
    };
    match args.output.json {
        true => out::data(&text),
        false => line(Out, text.trim_end()),
    }
    Ok(if judged.iter().any(|judged| broken(judged.rungs).is_some()) {
        exit::FAILED
    } else if unreachable.is_empty() {
        exit::OK
    } else {
        exit::UNREACHABLE
    })
}

/// What is judged: what is called so; without a name every framework that has no task, and where nobody
/// leads, that.
fn asked_for<'a>(cluster: &'a Cluster, job: Option<&str>) -> Vec<(String, Option<&'a Framework>)> {
    let of = |framework: &'a Framework| (framework.id.clone(), Some(framework));
    if let Some(called) = job {
        let meant = ask::meant(cluster, called);
        // A driver's id names its task too.
        let all: Vec<_> = meant.into_iter().map(|of| (called.to_owned(), Some(of))).collect();
        return if all.is_empty() { vec![(called.to_owned(), None)] } else { all };
    }
    if cluster.frameworks.is_none() {
        return vec![("masters".to_owned(), None)];
    }
    let idle = |framework: &&Framework| framework.living().next().is_none();
    cluster.there().filter(idle).filter(|framework| framework.name != DISPATCHER).map(of).collect()
}

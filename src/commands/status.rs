//! `provision status`: how the cluster is, as its components say.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::Duration;

use serde_json::json;

use crate::cli::{Output, Reach, Source};
use crate::commands::session::{Quit, Session, recorder, run_id, sink, start};
use crate::event::{Event, Sink as _};
use crate::health::{Health, Member, leaders_agents};
use crate::observe;
use crate::plan::{Observed, Seen};
use crate::preflight;
use crate::remote::fleet::look;
use crate::report::exit;
use crate::resource::{Look, ResourceId, package};
use crate::tasks;
use crate::ui::{line, styled};

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    output: Output,
    /// Look again and again, until Ctrl-C
    #[arg(short = 'w', long)]
    watch: bool,
}

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    loop {
        let look = look_once(args).await?;
        let (text, code) = match look {
            Ok(look) => look,
            Err(quit) => return Ok(quit.0),
        };
        if args.watch && std::io::stdout().is_terminal() {
            styled(std::io::stdout().lock(), "\x1b[H\x1b[2J");
        }
        line(std::io::stdout().lock(), text.trim_end());
        if !args.watch {
            return Ok(code);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What is there now, in words or as one object, and the exit code for it.
async fn look_once(args: &Args) -> anyhow::Result<Result<(String, u8), Quit>> {
    let mut session = match start(&args.source, Some(&args.reach)).await? {
        Ok(session) => session,
        Err(quit) => return Ok(Err(quit)),
    };
    let run = run_id();
    let quiet = Output { json: false, ..args.output.clone() };
    let recorder = recorder(&run, &quiet);
    let opening = session.opening(&args.reach, &run)?;
    let probes = observe::probes(&session.inventory, &session.desired);
    let opened = look(&opening, &probes, &sink(&recorder)).await;
    opened.fleet.close().await;
    let observed = session.observed(opened.answers)?;
    for problem in preflight::strangers(&session.inventory, &observed) {
        recorder.emit(Event::Problem { problem, host: None });
    }
    let answers = observed.replies();
    let healths: Vec<(tasks::Task, Health)> = tasks::ALL
        .iter()
        .filter_map(|task| Some((*task, task.health(&session.inventory, &answers)?)))
        .filter(|(_, health)| !health.members.is_empty())
        .collect();
    let not_needed =
        |task: tasks::Task| task == tasks::Task::Dispatcher && !dispatcher_wanted(&observed);
    let sick = healths.iter().any(|(task, health)| {
        !not_needed(*task) && health.members.values().any(|m| matches!(m, Member::Sick(_)))
    });
    let text = if args.output.json {
        let value = json!({
            "cluster": session.inventory.cluster,
            "health": healths.iter().map(|(task, health)| (task.name(), health)).collect::<std::collections::BTreeMap<_, _>>(),
            "unreachable": observed.unreachable(),
        });
        // Of several looks each is a line.
        if args.watch { value.to_string() } else { serde_json::to_string_pretty(&value)? }
    } else {
        text(&session, &observed, &healths)
    };
    let code = if sick {
        exit::FAILED
    } else if observed.unreachable().is_empty() {
        exit::OK
    } else {
        exit::UNREACHABLE
    };
    Ok(Ok((text, code)))
}

/// Whether any dispatcher may run at all (it is left stopped where there is no libmesos).
fn dispatcher_wanted(observed: &Observed) -> bool {
    observed.answered().any(|(_, answer)| {
        answer.sections.get("units").is_some_and(|units| {
            crate::resource::service::unit("spark-dispatcher", units)
                .is_some_and(|unit| unit.file == "enabled" || unit.active == "active")
        })
    })
}

fn text(session: &Session, observed: &Observed, healths: &[(tasks::Task, Health)]) -> String {
    let inventory = &session.inventory;
    let mut text = format!("cluster {}\n", inventory.cluster);
    let listed = leaders_agents(inventory, &observed.replies()).unwrap_or_default();
    for (task, health) in healths {
        let _ = writeln!(text, "\n{}", task.card().title);
        for (host, member) in &health.members {
            let word = match member {
                _ if *task == tasks::Task::Dispatcher && !dispatcher_wanted(observed) => {
                    "not_run: no libmesos".to_owned()
                }
                Member::Serving if health.leader.as_ref() == Some(host) => "leading".to_owned(),
                Member::Serving => "serving".to_owned(),
                Member::Sick(why) => format!("SICK: {why}"),
                Member::Silent => "unreachable".to_owned(),
            };
            let version = version(observed, host, *task);
            let line = format!("  {host:<10} {word:<10} {version}");
            text.push_str(line.trim_end());
            if *task == tasks::Task::Agents {
                let address = inventory.hosts.get(host).map(|h| h.address.to_string());
                if let Some(agent) = address.and_then(|address| listed.get(&address)) {
                    let _ = write!(
                        text,
                        "  {}\n{:14}{}\n{:14}id {}",
                        agent.info.attributes, "", agent.info.resources, "", agent.info.id
                    );
                }
            }
            text.push('\n');
        }
    }
    let weights = observed.answered().find_map(|(_, answer)| {
        answer.looks.iter().find(|(id, _)| id.kind == "weights").and_then(|(_, look)| match look {
            Look::Facts(facts) => facts.get("weights").cloned(),
            _ => None,
        })
    });
    if let Some(weights) = weights {
        let _ =
            writeln!(text, "\nroles\n  {}", weights.replace(',', "\n  ").replace('=', " weight "));
    }
    if let Some(spark) = &inventory.spark {
        let _ = writeln!(text, "\nimage {}", spark.image.name());
        for (_, host, _) in inventory.agents() {
            let id = ResourceId { kind: "image", name: spark.image.name().to_owned() };
            let word = match observed.hosts.get(host) {
                Some(Seen::Answered(answer)) => match answer.looks.get(&id) {
                    Some(Look::Facts(facts)) => {
                        facts.get("id").cloned().unwrap_or_else(|| "missing".to_owned())
                    }
                    Some(Look::Later(when)) => format!("unknown until {when}"),
                    _ => "unknown".to_owned(),
                },
                _ => "unreachable".to_owned(),
            };
            let _ = writeln!(text, "  {host:<10} {word}");
        }
    }
    text
}

/// The installed version of a task's package.
fn version(observed: &Observed, host: &crate::inventory::HostName, task: tasks::Task) -> String {
    let package = match task {
        tasks::Task::Zookeeper => "zookeeper",
        tasks::Task::Masters | tasks::Task::Agents => "mesos",
        _ => return String::new(),
    };
    let Some(Seen::Answered(answer)) = observed.hosts.get(host) else { return String::new() };
    let packages = answer.sections.get("packages").map_or("", String::as_str);
    package::installed(packages, package).unwrap_or("").to_owned()
}

//! `provision history`: the applies and the verbs of day 2 that masters keep records of, and the inventory of each: the way
//! back is an ordinary apply of an earlier one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::ground::HostName;
use crate::local::clock::run_id;
use crate::local::files::{self, Readers, writable_path};
use crate::pipeline::arguments::{Output, Target, TargetByOption, no_inventory};
use crate::pipeline::load;
use crate::pipeline::reach;
use crate::pipeline::recorder::{recorder, sink};
use crate::records::{self, Holder, Record, Standing, Told};
use crate::remote::fleet::look;
use crate::remote::sentence::printable;
use crate::report::exit;
use crate::ui::line;
use crate::ui::out::{self, Out};
use crate::ui::page::{self, Beside};

/// Arguments of `history`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run's id or its beginning; without one all runs are listed
    #[arg(value_name = "ID", value_parser = no_inventory, add = crate::pipeline::complete::run())]
    id: Option<String>,
    #[command(flatten)]
    target: TargetByOption,
    #[command(flatten)]
    output: Output,
    /// Print the run's inventory, to look at it and perhaps apply it again
    #[arg(long = "inventory", requires = "id")]
    print_inventory: bool,
    /// Write the run's page, to open in a browser; what it did when is known where it was run from
    #[arg(long, value_name = "FILE", requires = "id", value_parser = writable_path)]
    #[arg(conflicts_with = "print_inventory")]
    html: Option<PathBuf>,
}

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let target = Target::from(&args.target);
    let session =
        load::session(&target.source, Some(&target.reach), load::Artefacts::MayBeMissing).await?;
    let run = run_id();
    let quiet = Output { json: false, ..args.output.clone() };
    let recorder = recorder(&run, &quiet);
    let mut opening = reach::opening(&session.inventory, &target.reach, &run)?;
    opening.hosts.retain(|host, _| session.inventory.mesos.masters.contains(host));
    let probes: BTreeMap<HostName, _> =
        opening.hosts.keys().map(|host| (host.clone(), records::probe())).collect();
    let opened = look(&opening, &probes, &sink(&recorder)).await;
    opened.fleet.close().await;
    let masters = opened.answers.len();
    let mut copies: Vec<(Holder, Record)> = Vec::new();
    let mut answered = false;
    for (host, answer) in opened.answers {
        let Ok(sections) = answer else { continue };
        answered = true;
        let read = records::read(&sections).into_iter();
        copies.extend(read.map(|record| (Holder::Master(host.clone()), record)));
    }
    if !answered {
        line(std::io::stderr().lock(), "no master answers; these are the copies on this machine");
    }
    let here = records::kept_here(&session.inventory.cluster).into_iter();
    // What has left the masters has left the list; what they hold is compared with what we noted.
    let known: BTreeSet<String> = copies.iter().map(|(_, record)| record.run.clone()).collect();
    let wanted = |record: &Record| !answered || args.id.is_some() || known.contains(&record.run);
    copies.extend(here.filter(wanted).map(|record| (Holder::Here, record)));
    let all = records::told(copies, masters);
    let Some(id) = &args.id else {
        all.values().for_each(say_doubts);
        let all: Vec<&Record> = all.values().map(|told| &told.record).collect();
        list(&all, &args.output);
        return Ok(if answered { exit::OK } else { exit::UNREACHABLE });
    };
    let mut found = all.values().filter(|told| told.record.run.starts_with(id.as_str()));
    let (Some(told), None) = (found.next(), found.next()) else {
        let text = format!(
            "error: there is no run `{id}`, or more than one; `provision history` lists them"
        );
        line(std::io::stderr().lock(), &text);
        return Ok(exit::USAGE);
    };
    say_doubts(told);
    if let Some(path) = &args.html {
        write_page(path, told)?;
        return Ok(exit::OK);
    }
    let record = &told.record;
    if args.print_inventory {
        anyhow::ensure!(
            told.standing == Standing::Believed,
            "the inventory of {} is not printed, for no majority of the masters tells it alike and this machine has no copy; ask again when more of them answer, or look at /var/lib/provision/records on each",
            printable(record.run.as_bytes())
        );
        match record.inventory.is_whole() {
            Some(true) => {}
            Some(false) => anyhow::bail!(
                "the inventory of {} is not the one that was applied: its digest is another",
                printable(record.run.as_bytes())
            ),
            None => {
                let text = "a password was taken out of it before it was noted, so its digest cannot be checked";
                line(std::io::stderr().lock(), text);
            }
        }
        for set in &record.inventory.sets {
            let text = format!("it was applied with -e {}", printable(set.as_bytes()));
            line(std::io::stderr().lock(), &text);
        }
        print(&record.inventory.text);
    } else if args.output.json {
        out::data(&serde_json::to_string(record)?);
    } else {
        line(Out, &row(record));
        line(Out, printable(record.plan.as_bytes()).trim_end());
    }
    Ok(exit::OK)
}

/// A text for a person is made harmless; for a file it is what it was, to the byte.
fn print(text: &str) {
    match out::is_terminal() {
        true => line(Out, printable(text.as_bytes()).trim_end_matches('\n')),
        false => out::bytes(text),
    }
}

/// The page of a run: of its events where this machine has them, and of its record.
fn write_page(path: &Path, told: &Told) -> anyhow::Result<()> {
    let record = &told.record;
    let shown = |text: &str| printable(text.as_bytes());
    let mut facts = vec![
        ("by".to_owned(), shown(&format!("{} from {}", record.by, record.from))),
        ("told by".to_owned(), names(&told.by)),
    ];
    let events = records::events_here(&record.run);
    if events.is_none() {
        facts.push(("run".to_owned(), shown(&record.run)));
        facts.push(("began".to_owned(), shown(&record.began)));
        facts.push(("ended".to_owned(), how(record)));
    }
    let beside = Beside {
        facts,
        doubts: doubts(told),
        plan: shown(&record.plan),
        title: shown(&format!("{} of {}", record.command, record.cluster)),
    };
    let events = events.unwrap_or_default();
    let text = page::page(events.lines(), &beside).map_err(anyhow::Error::msg)?;
    files::replace(path, text, Readers::Us)
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn names(all: &BTreeSet<Holder>) -> String {
    all.iter().map(Holder::to_string).collect::<Vec<_>>().join(" and ")
}

/// Says who tells of a run otherwise than it is shown, and that nobody may be believed.
fn say_doubts(told: &Told) {
    let run = printable(told.record.run.as_bytes());
    for doubt in doubts(told) {
        line(std::io::stderr().lock(), &format!("warning: {run}: {doubt}"));
    }
}

fn doubts(told: &Told) -> Vec<String> {
    let mut all = Vec::new();
    if !told.otherwise.is_empty() {
        let by = if told.by.is_empty() { "nobody else".to_owned() } else { names(&told.by) };
        all.push(format!("{} tells another record than {by}", names(&told.otherwise)));
    }
    if told.standing == Standing::Doubtful {
        let by = names(&told.by);
        let only = if by.is_empty() { String::new() } else { format!(", only {by}") };
        all.push(format!("no majority of the masters tells it{only}"));
    }
    all
}

fn list(all: &[&Record], output: &Output) {
    if output.json {
        out::data(&serde_json::to_string(all).unwrap_or_default());
        return;
    }
    for record in all {
        line(Out, &row(record));
    }
}

/// How a run ended, in words.
fn how(record: &Record) -> String {
    match &record.outcome {
        None => "cut short, or running".to_owned(),
        Some(outcome) => {
            let mut parts = vec![format!("{} changed", outcome.changed)];
            for (count, word) in [
                (outcome.failed, "failed"),
                (outcome.unreachable, "unreachable"),
                (outcome.blocked, "blocked"),
            ] {
                if count > 0 {
                    parts.push(format!("{count} {word}"));
                }
            }
            format!("exit {}: {}", outcome.exit, parts.join(", "))
        }
    }
}

fn row(record: &Record) -> String {
    let how = how(record);
    let Record { run, command, by, from, began, .. } = record;
    printable(format!("{run}  {began}  {by}@{from}  {command}  {how}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Asked, Outcome, VERSION};

    fn record(outcome: Option<Outcome>) -> Record {
        Record {
            v: VERSION,
            run: "r1".to_owned(),
            command: "restart".to_owned(),
            by: "alice\x1b[2J".to_owned(),
            from: "laptop".to_owned(),
            began: "then".to_owned(),
            cluster: "c".to_owned(),
            inventory: Asked { text: String::new(), digest: String::new(), sets: Vec::new() },
            plan: String::new(),
            outcome,
        }
    }

    #[test]
    fn a_row_tells_how_it_ended_and_steers_no_terminal() {
        let outcome = Outcome {
            ended: "later".to_owned(),
            changed: 3,
            failed: 1,
            unreachable: 0,
            blocked: 0,
            exit: 3,
        };
        assert_eq!(
            row(&record(Some(outcome))),
            "r1  then  alice\\x1b[2J@laptop  restart  exit 3: 3 changed, 1 failed"
        );
        assert!(row(&record(None)).ends_with("cut short, or running"));
    }
}

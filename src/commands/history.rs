//! `provision history`: the applies that masters keep records of, and the inventory of each: the way
//! back is an ordinary apply of an earlier one.

use std::collections::BTreeMap;

use crate::cli::{Output, Reach, Source};
use crate::commands::session::{recorder, run_id, sink, start};
use crate::inventory::HostName;
use crate::records::{self, Record};
use crate::remote::fleet::look;
use crate::remote::sentence::printable;
use crate::report::exit;
use crate::ui::line;

/// Arguments of `history`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run's id or its beginning; without one all runs are listed
    #[arg(value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    output: Output,
    /// Print the run's inventory, to look at it and perhaps apply it again
    #[arg(long = "inventory", requires = "id")]
    print_inventory: bool,
}

/// Which inventory names the masters. Not an argument by place: that is the run.
#[derive(Debug, clap::Args)]
struct Which {
    /// The inventory that names the masters
    #[arg(
        short = 'i',
        long = "in",
        value_name = "INVENTORY",
        env = "PROVISION_INVENTORY",
        default_value = "inventory.yaml"
    )]
    inventory: std::path::PathBuf,
    /// Override one value: `path.to.key=value`; a bare name sets a variable
    #[arg(short = 'e', long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
    /// Use the twin's containers instead of the real hosts
    #[arg(long)]
    lab: bool,
}

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let source = Source {
        inventory: args.which.inventory.clone(),
        sets: args.which.sets.clone(),
        lab: args.which.lab,
    };
    let session = match start(&source, Some(&args.reach)).await? {
        Ok(session) => session,
        Err(quit) => return Ok(quit.0),
    };
    let run = run_id();
    let quiet = Output { json: false, ..args.output.clone() };
    let recorder = recorder(&run, &quiet);
    let mut opening = session.opening(&args.reach, &run)?;
    opening.hosts.retain(|host, _| session.inventory.mesos.masters.contains(host));
    let probes: BTreeMap<HostName, _> =
        opening.hosts.keys().map(|host| (host.clone(), records::probe())).collect();
    let opened = look(&opening, &probes, &sink(&recorder)).await;
    opened.fleet.close().await;
    let mut all: BTreeMap<String, Record> = BTreeMap::new();
    let mut answered = false;
    for sections in opened.answers.into_values().flatten() {
        answered = true;
        records::read(&sections).into_iter().for_each(|record| newer(&mut all, record));
    }
    if !answered {
        line(std::io::stderr().lock(), "no master answers; these are the copies on this machine");
        records::kept_here(&session.inventory.cluster)
            .into_iter()
            .for_each(|record| newer(&mut all, record));
    }
    let Some(id) = &args.id else {
        list(&all, &args.output);
        return Ok(if answered { exit::OK } else { exit::UNREACHABLE });
    };
    let mut found = all.values().filter(|record| record.run.starts_with(id.as_str()));
    let (Some(record), None) = (found.next(), found.next()) else {
        let text = format!(
            "error: there is no run `{id}`, or more than one; `provision history` lists them"
        );
        line(std::io::stderr().lock(), &text);
        return Ok(exit::USAGE);
    };
    let mut out = std::io::stdout().lock();
    if args.print_inventory {
        for set in &record.inventory.sets {
            line(
                std::io::stderr().lock(),
                &format!("it was applied with -e {}", printable(set.as_bytes())),
            );
        }
        line(&mut out, printable(record.inventory.text.as_bytes()).trim_end_matches('\n'));
    } else if args.output.json {
        line(&mut out, &serde_json::to_string(record)?);
    } else {
        line(&mut out, &row(record));
        line(&mut out, printable(record.plan.as_bytes()).trim_end());
    }
    Ok(exit::OK)
}

/// Of two records of one run, from two masters, the one that knows how it ended.
fn newer(all: &mut BTreeMap<String, Record>, record: Record) {
    let known = all.entry(record.run.clone()).or_insert_with(|| record.clone());
    if known.outcome.is_none() {
        *known = record;
    }
}

fn list(all: &BTreeMap<String, Record>, output: &Output) {
    let mut out = std::io::stdout().lock();
    if output.json {
        let records: Vec<&Record> = all.values().collect();
        line(&mut out, &serde_json::to_string(&records).unwrap_or_default());
        return;
    }
    for record in all.values() {
        line(&mut out, &row(record));
    }
}

fn row(record: &Record) -> String {
    let how = match &record.outcome {
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
    };
    let Record { run, by, from, began, .. } = record;
    printable(format!("{run}  {began}  {by}@{from}  {how}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Asked, Outcome, VERSION};

    fn record(outcome: Option<Outcome>) -> Record {
        Record {
            v: VERSION,
            run: "r1".to_owned(),
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
    fn a_master_that_missed_the_end_does_not_hide_it() {
        let outcome = Outcome {
            ended: "later".to_owned(),
            changed: 3,
            failed: 1,
            unreachable: 0,
            blocked: 0,
            exit: 3,
        };
        for order in [[true, false], [false, true]] {
            let mut all = BTreeMap::new();
            for ended in order {
                newer(&mut all, record(ended.then(|| outcome.clone())));
            }
            assert_eq!(
                row(&all["r1"]),
                "r1  then  alice\\x1b[2J@laptop  exit 3: 3 changed, 1 failed"
            );
        }
        assert!(row(&record(None)).ends_with("cut short, or running"));
    }
}

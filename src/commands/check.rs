//! `provision check`: every problem and every lint, or what listens where; no host.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;

use crate::ground::{Problem, Severity};
use crate::inventory::show::Style;
use crate::inventory::{Inventory, ports};
use crate::lints;
use crate::local::files::{self, Readers};
use crate::pipeline::arguments::Source;
use crate::pipeline::load;
use crate::report::exit;
use crate::tasks::{World, desire};
use crate::template::Templates;
use crate::ui::letters::Letters;
use crate::ui::out::{self, Out};
use crate::ui::problems::{Format, Texts, template_problem, write};
use crate::ui::screen::{self, Annotations};
use crate::ui::{junit, line, step_summary};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// How problems are written; without it for people, and in a GitHub workflow as annotations too
    #[arg(long, value_enum, conflicts_with = "json")]
    format: Option<Format>,
    /// The same as --format json
    #[arg(long)]
    json: bool,
    /// Also write the problems to a file, as JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Fail on these too
    #[arg(long, value_enum, value_name = "SEVERITY")]
    deny: Option<Deny>,
    /// Also say what is dangerous about going from that inventory to this one; -e is of this one alone
    #[arg(long, value_name = "INVENTORY")]
    since: Option<PathBuf>,
    /// Print every lint with its reason, and nothing else
    #[arg(long)]
    lints: bool,
    /// Print what listens where, who must reach it and with which credential, and no problem
    #[arg(long, value_enum, value_name = "AS", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "table")]
    #[arg(conflicts_with_all = ["format", "json", "junit", "deny", "since", "lints"])]
    ports: Option<Ports>,
}

/// How ports are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Ports {
    /// A table
    Table,
    /// Rules for nftables that let members in and nobody else, to copy; nothing applies them
    Nftables,
}

/// What else makes the command fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Deny {
    /// Every warning
    Warnings,
}

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    if args.lints {
        line(Out, lints::explain::list().trim_end());
        return Ok(exit::OK);
    }
    if let Some(form) = args.ports {
        let inventory =
            load::inputs(&args.source, None, load::Artefacts::MayBeMissing).await?.inventory;
        let open = ports::open(&inventory);
        let text = match form {
            Ports::Table => ports::table(&open),
            Ports::Nftables => ports::nftables(&inventory, &open),
        };
        line(Out, text.trim_end());
        return Ok(exit::OK);
    }
    let (mut inventory, mut problems, text) =
        match load::read(&args.source, load::Artefacts::MayBeMissing) {
            Ok(loaded) => (Some(loaded.inventory), loaded.warnings, loaded.text),
            Err(refused) => (None, refused.problems, refused.text),
        };
    let templates = load::templates(&args.source.inventory)?;
    if let Some(inventory) = &mut inventory {
        if let Some(before) = &args.since {
            // What is overridden is what is asked about, not what was.
            let source =
                Source { inventory: before.clone(), sets: Vec::new(), ..args.source.clone() };
            let before = load::read(&source, load::Artefacts::MayBeMissing).map_err(|refused| {
                let first = refused.problems.first().map(ToString::to_string).unwrap_or_default();
                anyhow::anyhow!("{} cannot be compared with: {first}", source.inventory.display())
            })?;
            problems.extend(lints::changes(&before.inventory, inventory));
        }
        problems.extend(bad_template(inventory, &templates));
    }
    problems.sort();
    let asked = if args.json { Some(Format::Json) } else { args.format };
    let format = asked.unwrap_or(Format::Human);
    let texts = Texts { inventory: &text, templates: &templates };
    let style = if out::is_terminal() { Style::Coloured } else { Style::Plain };
    let text = write(&problems, texts, format, style);
    match format {
        Format::Json => out::bytes(text),
        _ => out::bytes(&*Letters::here().fit(&text)),
    }
    let variable = |name: &str| std::env::var(name).ok();
    let annotated = screen::annotations(screen::Options::default(), &variable);
    if asked.is_none() && annotated == Annotations::Written {
        let text = write(&problems, texts, Format::Github, Style::Plain);
        out::bytes(&*Letters::here().fit(&text));
    }
    let denied = match args.deny {
        Some(Deny::Warnings) => Severity::Warning,
        None => Severity::Error,
    };
    if let Some(path) = &args.junit {
        let name = args.source.inventory.display().to_string();
        junit::of_problems(&problems, &name, denied)
            .and_then(|xml| files::replace(path, xml, Readers::Others))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let count = |severity| problems.iter().filter(|p| p.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let sum = match (&inventory, errors, warnings) {
        (Some(inventory), 0, 0) => {
            format!("ok: {} ({} hosts)", inventory.cluster, inventory.hosts.len())
        }
        _ => format!("{}, {}", plural(errors, "error"), plural(warnings, "warning")),
    };
    if format == Format::Human {
        line(Out, &sum);
    }
    let name = args.source.inventory.display().to_string();
    step_summary::of_check(&variable, &name, &sum, &problems);
    let refused = problems.iter().any(|problem| problem.severity <= denied);
    Ok(if refused { exit::USAGE } else { exit::OK })
}

/// What is wrong with the templates beside the inventory: they do not parse, or not render.
fn bad_template(inventory: &mut Inventory, own: &BTreeMap<String, String>) -> Option<Problem> {
    let templates = match Templates::new(own) {
        Ok(templates) => templates,
        Err(why) => return Some(template_problem(&why)),
    };
    // Agents differ in addresses and flags only, so one of each pool shows what its template does.
    for pool in inventory.mesos.pools.values_mut() {
        if let Some((first, agent)) = pool.agents.pop_first() {
            pool.agents = BTreeMap::from([(first, agent)]);
        }
    }
    let world = World { inventory, templates: &templates };
    desire(&world).err().map(|why| template_problem(&why))
}

fn plural(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

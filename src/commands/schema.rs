//! `provision schema`: what may stand in an inventory, for editors; what comes out as JSON, for programs.

use crate::event;
use crate::inventory::schema::schema;
use crate::report::exit;
use crate::simulate::outlook;
use crate::ui::out;

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Of what: inventory, events (one line of --json), simulation; that of a status is printed by `status --schema`
    #[arg(value_enum, value_name = "OF", default_value = "inventory")]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    of: Of,
}

/// What has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Of {
    /// What may stand in an inventory
    Inventory,
    /// One line of `--json` and of `--log-file`
    Events,
    /// What `simulate --json` prints
    Simulation,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let schema = match args.of {
        Of::Inventory => schema(),
        Of::Events => event::schema::events(),
        Of::Simulation => outlook::schema(),
    };
    let text = serde_json::to_string_pretty(&schema)?;
    out::data(&text);
    Ok(exit::OK)
}

//! `provision init`: a commented inventory to begin with.

use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::local::files;
use crate::report::exit;
use crate::template::page;
use crate::ui::line;
use crate::ui::out::{self, Out};

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to write, which must not exist yet; standard output when not given
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Masters, each with a ZooKeeper server beside it: 1, 3, 5 or 7
    #[arg(long, value_name = "N", default_value = "3", value_parser = odd)]
    masters: u8,
    /// Agents
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u8).range(1..=250))]
    agents: u8,
    /// Name of the cluster
    #[arg(long, value_name = "NAME", default_value = "spark", value_parser = name)]
    cluster: String,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let text = inventory(&args.cluster, args.masters, args.agents)?;
    let Some(path) = &args.file else {
        out::bytes(text);
        return Ok(exit::OK);
    };
    // Never over a file that somebody wrote.
    match files::create_new(path, &text) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists already; name another file or move it away", path.display())
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot write {}", path.display()));
        }
    }
    let next = format!("wrote {0}; edit it, then: provision check {0}", path.display());
    line(Out, &next);
    Ok(exit::OK)
}

/// The text; a test holds that it passes `check` without a warning.
///
/// # Errors
/// The embedded template is broken, which the same test excludes.
pub fn inventory(cluster: &str, masters: u8, agents: u8) -> anyhow::Result<String> {
    const NAME: &str = "init/inventory.yaml";
    let text = include_str!("../../templates/init/inventory.yaml.tera");
    let servers: Vec<u8> = (1..=masters).collect();
    let values = serde_json::json!({
        "cluster": cluster, "masters": masters, "agents": agents, "servers": servers,
    });
    page(NAME, text, &values).map_err(anyhow::Error::msg)
}

fn odd(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(number @ (1 | 3 | 5 | 7)) => Ok(number),
        _ => Err("a quorum of masters is 1, 3, 5 or 7".to_owned()),
    }
}

fn name(text: &str) -> Result<String, String> {
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match first && text.chars().all(good) && text.len() <= 63 {
        true => Ok(text.to_owned()),
        false => Err("a name is letters, digits, `.`, `_` and `-`".to_owned()),
    }
}

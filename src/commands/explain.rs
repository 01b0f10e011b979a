//! `provision explain`: what a setting of the inventory takes and is for, what a lint finds, what templates see.

use anyhow::anyhow;

use crate::inventory::explain;
use crate::report::exit;
use crate::ui::line;
use crate::ui::out::{self, Out};
use crate::{lints, template};

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Path of a setting, such as mesos.agents.resources, or the name of a lint; `lints` lists them, `templates` says
    /// what templates are given; the whole file when not given
    #[arg(value_name = "PATH", default_value = "", hide_default_value = true)]
    path: String,
    /// Print everything as a page of Markdown: every setting, or with `lints` and `templates` those
    #[arg(long)]
    markdown: bool,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let text = match (args.path.as_str(), args.markdown) {
        ("", true) => explain::reference(),
        ("lints", true) => lints::explain::reference(),
        ("lints", false) => lints::explain::list(),
        ("templates", _) => templates(),
        (path, true) => {
            return Err(anyhow!(
                "there is no page of `{path}`; leave it out, or name lints or templates"
            ));
        }
        (path, false) => one(path).map_err(|message| anyhow!(message))?,
    };
    match args.markdown || args.path == "templates" {
        true => out::bytes(text),
        false => line(Out, text.trim_end()),
    }
    Ok(exit::OK)
}

fn one(path: &str) -> Result<String, String> {
    if let Some(lint) = lints::explain::find(path) {
        return Ok(lints::explain::explain(lint));
    }
    explain::explain(path).map_err(|message| match lints::explain::nearest(path) {
        Some(near) => format!("`{path}` is neither a setting nor a lint; did you mean `{near}`?"),
        None => message,
    })
}

/// The page of templates: those of values, and those of files.
pub fn templates() -> String {
    let words = "# Templates\n\nWhat templates see, and which filters there are. Made by `provision explain templates` \
                 from the types that templates are\nfilled with. The grammar is that of \
                 [Tera](https://keats.github.io/tera/docs/).\n\n";
    format!("{words}{}\n{}", explain::values(), template::explain::reference())
}

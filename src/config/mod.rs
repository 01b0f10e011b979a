//! What a user sets once instead of saying it each time: options that have a default, and hooks.
//!
//! There are two such files. The user's own may set all of it. The one beside an inventory comes from wherever the
//! inventory does, so it sets only what decides how a run goes, never what runs or is read or written here.

use std::path::{Path, PathBuf};

use crate::ground::Problem;
use crate::local::directories;
use crate::local::files;

mod read;

pub use read::parse;

/// What one file says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Config {
    /// Options by their long name.
    pub options: Vec<Setting>,
    /// Commands of this machine.
    pub hooks: Hooks,
}

/// An option with the value that it has unless another is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its long name, without dashes.
    pub name: &'static str,
    /// As it would be written after it.
    pub value: String,
    /// Where it stands.
    pub place: crate::ground::Place,
}

/// Commands of this machine that go with a run, each as its words.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Hooks {
    /// Before the first change.
    pub before: Vec<String>,
    /// When it is over.
    pub after: Vec<String>,
    /// Before each stage.
    pub before_stage: Vec<String>,
    /// After each stage.
    pub after_stage: Vec<String>,
}

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The user's own.
    User,
    /// Whoever wrote the inventory that it is beside.
    Inventory,
}

/// The name of the file beside an inventory.
pub const BESIDE: &str = "provision.toml";

/// Options that may be set, and whether the file beside an inventory may.
pub const OPTIONS: &[(&str, Owner)] = &[
    ("color", Owner::Inventory),
    ("forks", Owner::Inventory),
    ("format", Owner::Inventory),
    ("inventory", Owner::User),
    ("lock-timeout", Owner::Inventory),
    ("max-failed", Owner::Inventory),
    ("private-key", Owner::User),
    ("report", Owner::User),
    ("user", Owner::Inventory),
];

/// Where the user's own file is, whether or not there is one.
pub fn path() -> Option<PathBuf> {
    Some(directories::config().ok()?.join("config.toml"))
}

/// What the user's own file says; nothing where there is none.
///
/// # Errors
/// All that is wrong with it.
pub fn user() -> Result<Config, Vec<Problem>> {
    path().map_or(Ok(Config::default()), |path| file(&path, Owner::User))
}

/// What the file beside an inventory says; nothing where there is none.
///
/// # Errors
/// All that is wrong with it.
pub fn beside(inventory: &Path) -> Result<Config, Vec<Problem>> {
    let directory = inventory.parent().unwrap_or(Path::new(""));
    file(&directory.join(BESIDE), Owner::Inventory)
}

fn file(path: &Path, owner: Owner) -> Result<Config, Vec<Problem>> {
    let shown = path.display().to_string();
    let refused = |name, why: String, help: &str| {
        Err(vec![Problem::error(None, name, format!("{shown}: {why}")).help(help)])
    };
    let (text, others) = match files::read_with_writers(path) {
        Ok(read) => read,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Config::default()),
        Err(error) => {
            let help = "make it readable, or move it away";
            return refused("config-unreadable", format!("it cannot be read: {error}"), help);
        }
    };
    // It names commands that run as the user.
    if owner == Owner::User && others == files::Writers::Others {
        let why = "others may write it, and it may name commands that run here".to_owned();
        let help =
            format!("if you know what is in it, make it yours alone to write: chmod go-w {shown}");
        return refused("config-writable", why, &help);
    }
    parse(&shown, &text, owner)
}

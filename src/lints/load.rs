//! An inventory read and judged by the lints too: the loader that commands use.

use std::path::Path;
use std::sync::Arc;

use super::{check, is_known};
use crate::ground::{Problem, Severity};
use crate::inventory::Inventory;
pub use crate::inventory::load::{Artefacts, Lab, Refused, Request};
use crate::inventory::load::{Read, read, read_text, sorted};

/// An inventory without errors.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The inventory.
    pub inventory: Inventory,
    /// Doubtful things that the inventory does not allow by name.
    pub warnings: Vec<Problem>,
    /// The source, for [`crate::inventory::show`].
    pub text: Arc<str>,
}

/// Reads an inventory and asks every lint.
///
/// # Errors
/// Every mistake in it, warnings among them, in the order of the file.
pub fn load(request: &Request) -> Result<Loaded, Refused> {
    judge(read(request)?)
}

/// The same from text; relative paths start at `base`, those of overrides too.
///
/// # Errors
/// As [`load`].
pub fn load_text(
    name: &str,
    text: &[u8],
    base: &Path,
    sets: &[String],
    lab: Lab,
) -> Result<Loaded, Refused> {
    judge(read_text(name, text, base, sets, lab)?)
}

fn judge(read: Read) -> Result<Loaded, Refused> {
    let Read { inventory, mut problems, text } = read;
    let lints = check(&inventory, &problems);
    problems.extend(lints);
    let allowed = |name| inventory.allow.contains_key(name) && is_known(name);
    problems.retain(|problem| !allowed(problem.name));
    let problems = sorted(problems);
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(Refused { problems, text });
    }
    Ok(Loaded { inventory, warnings: problems, text })
}

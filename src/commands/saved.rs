//! Saved plans as files.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context;

use super::session::Session;
use crate::cli::{Limits, Source};
use crate::inventory::show::without_passwords;
use crate::plan::saved::{Asked, Made, Saved, Where, parse};
use crate::plan::{Observed, Plan, Scope};
use crate::ui::rfc3339;

/// No saved plan is larger; an inventory that is will be refused for its size.
const MOST_BYTES: u64 = 512 << 20;

/// Reads a saved plan; `None` for a file that is something else, or is not there.
pub fn read(path: &Path) -> anyhow::Result<Option<Saved>> {
    if path == Path::new("-") {
        return Ok(None);
    }
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file.take(MOST_BYTES),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be read", path.display()));
        }
    };
    let mut text = Vec::new();
    // Whatever else cannot be read or is no text, the inventory's own reader says better.
    if file.read_to_end(&mut text).is_err() {
        return Ok(None);
    }
    let Ok(text) = String::from_utf8(text) else { return Ok(None) };
    let saved = parse(&text).transpose();
    saved.map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))
}

/// Writes a plan for our eyes only, whole or not at all.
pub fn write(path: &Path, saved: &Saved) -> anyhow::Result<()> {
    let context = || format!("the plan cannot be written to {}", path.display());
    let text = serde_json::to_string_pretty(saved)?;
    // The secrets that we know of are slots in it.
    anyhow::ensure!(
        without_passwords(&text) == text,
        "a URL in the inventory holds a password, which a saved plan must not; take it out of there, or apply without --out"
    );
    let name = path.file_name().with_context(context)?.to_string_lossy().into_owned();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let write = || {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().inspect_err(|_| drop(std::fs::remove_file(&temporary))).with_context(context)
}

/// A plan of this session, written down.
pub fn save(
    session: &Session,
    plan: &Plan,
    observed: &Observed,
    scope: &Scope,
    source: &Source,
    limits: &Limits,
    run: &str,
) -> Saved {
    let asked = Asked {
        cluster: session.inventory.cluster.clone(),
        inventory: source.inventory.clone(),
        digest: session.inventory.digest.clone(),
        sets: source.sets.clone(),
        hosts: if source.lab { Where::Lab } else { Where::Inventory },
        limit: limits.limit.clone(),
        tasks: limits.tasks.clone(),
    };
    let made = Made {
        run: run.to_owned(),
        at: rfc3339(std::time::SystemTime::now()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    Saved::of(plan, &session.desired, observed, scope, asked, made)
}

/// What a saved plan was asked for, as if it were asked for now.
pub fn again(saved: &Saved) -> (Source, Limits) {
    let asked = &saved.asked;
    let source = Source {
        inventory: asked.inventory.clone(),
        sets: asked.sets.clone(),
        lab: asked.hosts == Where::Lab,
    };
    (source, Limits { limit: asked.limit.clone(), tasks: asked.tasks.clone() })
}

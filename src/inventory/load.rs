//! The only reader of inventory files: from a path and overrides to an [`Inventory`], or to every
//! [`Problem`] at once.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256, Sha512};

pub use super::check::Lab;
use super::check::check;
use super::decode::Cx;
use super::resolve::{Files, resolve};
use super::{Digest, Inventory, Place, Problem, Severity, raw, sets, yaml};

/// Reads, decodes, resolves and checks an inventory.
///
/// # Errors
/// Every mistake in it, warnings among them, in the order of the file.
pub fn load(request: &Request) -> Result<Loaded, Refused> {
    let here = std::env::current_dir().unwrap_or_default();
    let (name, base, bytes) = match request.path.as_deref() {
        Some(path) if path == Path::new("-") => {
            ("<stdin>".to_owned(), here.clone(), read(io::stdin().lock()))
        }
        path => {
            let path = path.unwrap_or(Path::new("inventory.yaml"));
            let base = here.join(path).parent().map_or_else(|| here.clone(), Path::to_path_buf);
            (path.display().to_string(), base, File::open(path).and_then(read))
        }
    };
    let bytes = bytes.map_err(|e| {
        let message = format!("`{name}` cannot be read: {}", reason(&e));
        let problem = Problem::error(None, "missing-file", message);
        let advice = "name an inventory, or let `provision init` write inventory.yaml";
        Refused { problems: vec![problem.help(advice)], text: Arc::from("") }
    })?;
    read_text(&name, &bytes, &base, &here, &request.sets, request.lab)
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
    read_text(name, text, base, base, sets, lab)
}

/// What to load.
#[derive(Debug, Clone)]
pub struct Request {
    /// The file; `-` is standard input, `None` is ./inventory.yaml.
    pub path: Option<PathBuf>,
    /// Overrides, `path=value`, applied in order.
    pub sets: Vec<String>,
    /// Whether the stand-in for Mesos may be named.
    pub lab: Lab,
}

/// An inventory without errors.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The inventory.
    pub inventory: Inventory,
    /// Doubtful things that the inventory does not allow by name.
    pub warnings: Vec<Problem>,
    /// The source, for [`super::show`].
    pub text: Arc<str>,
}

/// Why there is no inventory.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Everything wrong or doubtful; at least one is an error.
    pub problems: Vec<Problem>,
    /// The source, for [`super::show`].
    pub text: Arc<str>,
}

fn read_text(
    name: &str,
    bytes: &[u8],
    base: &Path,
    here: &Path,
    overrides: &[String],
    lab: Lab,
) -> Result<Loaded, Refused> {
    let shown = &bytes[..bytes.len().min(yaml::MAX_BYTES)];
    let text: Arc<str> = Arc::from(String::from_utf8_lossy(shown));
    let refuse = |problems| Refused { problems, text: Arc::clone(&text) };
    let mut root = yaml::parse(name, bytes).map_err(|p| refuse(vec![p]))?;
    let mut cx = Cx::default();
    for set in overrides {
        if let Err(problem) = sets::apply(&mut root, set) {
            cx.problems.push(problem);
        }
    }
    let raw = raw::decode(&mut cx, &root);
    drop(root);
    let Some(raw) = raw else { return Err(refuse(sorted(cx.problems))) };
    // A value that was refused leaves a hole; what is missing because of it is not a second mistake.
    let whole = cx.problems.is_empty();
    let mut disk = Disk { base, here, digests: HashMap::new() };
    let mut inventory = resolve(&mut cx, raw, &mut disk);
    let between = check(&inventory, lab).into_iter();
    let follows_from_holes = ["unused-host", "undeclared-role", "even-ensemble"];
    cx.problems.extend(between.filter(|p| whole || !follows_from_holes.contains(&p.name)));
    let lints = crate::lints::check(&inventory, &cx.problems);
    cx.problems.extend(lints);
    cx.problems.retain(|p| p.severity == Severity::Error || !inventory.allow.contains_key(p.name));
    let problems = sorted(cx.problems);
    if problems.iter().any(|p| p.severity == Severity::Error) {
        return Err(refuse(problems));
    }
    let mut hash = Sha256::new();
    hash.update(bytes);
    for set in overrides {
        hash.update([0]);
        hash.update(set.as_bytes());
    }
    inventory.digest = hex(&hash.finalize());
    Ok(Loaded { inventory, warnings: problems, text })
}

/// By place, the placeless first; the same twice is said once.
fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort();
    problems.dedup();
    problems
}

/// Reads one byte more than may be, so that too much is noticed and no more is held.
fn read(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(yaml::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Files named by the inventory; each is hashed once for each kind of digest.
struct Disk<'p> {
    base: &'p Path,
    here: &'p Path,
    digests: HashMap<(PathBuf, Kind), Result<Digest, String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Sha256,
    Sha512,
}

impl Files for Disk<'_> {
    fn locate(&self, place: &Place, path: &str) -> PathBuf {
        // What was typed at the prompt is relative to where it was typed.
        if place.file.starts_with("-e ") { self.here.join(path) } else { self.base.join(path) }
    }

    fn digest(&mut self, path: &Path, like: Option<&Digest>) -> Result<Digest, String> {
        let kind = match like {
            Some(Digest::Sha512(_)) => Kind::Sha512,
            _ => Kind::Sha256,
        };
        let compute = || digest_of(path, kind);
        self.digests.entry((path.to_path_buf(), kind)).or_insert_with(compute).clone()
    }
}

fn digest_of(path: &Path, kind: Kind) -> Result<Digest, String> {
    let metadata = std::fs::metadata(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        _ => format!("cannot be read: {}", reason(&e)),
    })?;
    // A pipe would block and a directory has no digest.
    if !metadata.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let hash = || -> io::Result<Digest> {
        let mut file = File::open(path)?;
        Ok(match kind {
            Kind::Sha256 => {
                let mut hash = Sha256::new();
                feed(&mut file, |block| hash.update(block))?;
                Digest::Sha256(hex(&hash.finalize()))
            }
            Kind::Sha512 => {
                let mut hash = Sha512::new();
                feed(&mut file, |block| hash.update(block))?;
                Digest::Sha512(hex(&hash.finalize()))
            }
        })
    };
    hash().map_err(|e| format!("cannot be read: {}", reason(&e)))
}

fn feed(file: &mut File, mut update: impl FnMut(&[u8])) -> io::Result<()> {
    let mut block = vec![0; 1 << 17];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(()),
            n => update(&block[..n]),
        }
    }
}

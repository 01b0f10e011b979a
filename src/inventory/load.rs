//! The only reader of inventory files: from a path and overrides to an [`Inventory`], or to every
//! [`Problem`] at once.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
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
    let allowed = |name| inventory.allow.contains_key(name) && crate::lints::is_known(name);
    cx.problems.retain(|problem| !allowed(problem.name));
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
        let compute = || match remembered::find(path, kind) {
            Some(digest) => Ok(digest),
            None => {
                let before = remembered::Stamp::of(path);
                let digest = digest_of(path, kind)?;
                remembered::keep(path, kind, before, &digest);
                Ok(digest)
            }
        };
        self.digests.entry((path.to_path_buf(), kind)).or_insert_with(compute).clone()
    }

    fn readable_by_all(&self, path: &Path) -> Option<u32> {
        let mode = |path: &Path| std::fs::metadata(path).ok().map(|about| about.mode() & 0o7777);
        let own = mode(path).filter(|mode| mode & 0o004 != 0)?;
        // A directory that others cannot enter hides what is below it.
        let mut above = path.ancestors().skip(1);
        above.all(|directory| mode(directory).is_none_or(|mode| mode & 0o001 != 0)).then_some(own)
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

/// Digests of large files, kept between runs: hashing a Spark archive costs more than opening all the
/// connections of a small cluster. A digest that no longer fits cannot do harm, for every host checks
/// what it is sent; it would only be refused there.
mod remembered {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    use std::path::{Path, PathBuf};
    use std::time::{Duration, SystemTime};

    use sha2::{Digest as _, Sha256};

    use super::{Digest, Kind, hex};

    /// What is faster to hash than to look up.
    const SMALL: u64 = 1 << 20;
    /// A file may change again within the same tick of its file system's clock.
    const SETTLED: Duration = Duration::from_secs(2);

    /// What changes whenever a file does.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) struct Stamp(String);

    impl Stamp {
        /// `None` of what is not worth remembering.
        pub(super) fn of(path: &Path) -> Option<Stamp> {
            Stamp::at(path, SystemTime::now())
        }

        fn at(path: &Path, now: SystemTime) -> Option<Stamp> {
            let about = fs::metadata(path).ok()?;
            let changed = u64::try_from(about.mtime().max(about.ctime())).ok()?;
            let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            let age = now.checked_sub(Duration::from_secs(changed))?;
            if !about.is_file() || about.len() < SMALL || age < SETTLED {
                return None;
            }
            Some(Stamp(format!(
                "{} {}.{:09} {}.{:09} {} {}",
                about.len(),
                about.mtime(),
                about.mtime_nsec(),
                about.ctime(),
                about.ctime_nsec(),
                about.dev(),
                about.ino()
            )))
        }
    }

    pub(super) fn find(path: &Path, kind: Kind) -> Option<Digest> {
        let stamp = Stamp::of(path)?;
        let text = fs::read_to_string(place(path, kind)?).ok()?;
        let (digest, seen) = text.strip_suffix('\n')?.split_once(' ')?;
        let length = match kind {
            Kind::Sha256 => 64,
            Kind::Sha512 => 128,
        };
        let whole = digest.len() == length && digest.bytes().all(|b| b.is_ascii_hexdigit());
        (whole && seen == stamp.0).then(|| match kind {
            Kind::Sha256 => Digest::Sha256(digest.to_owned()),
            Kind::Sha512 => Digest::Sha512(digest.to_owned()),
        })
    }

    /// Failing to remember is no failure: the next run hashes again.
    pub(super) fn keep(path: &Path, kind: Kind, before: Option<Stamp>, digest: &Digest) {
        let (Some(before), Some(place)) = (before, place(path, kind)) else { return };
        // What changed while it was read has no digest that could be named.
        if Stamp::of(path).as_ref() != Some(&before) {
            return;
        }
        let Some(directory) = place.parent() else { return };
        let _ = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        if let Ok(mut file) = tempfile::NamedTempFile::new_in(directory) {
            let written = writeln!(file, "{} {}", digest.hex(), before.0);
            let _ = written.map(|()| file.persist(place));
        }
    }

    /// `$XDG_CACHE_HOME/provision/digests/HASH-OF-THE-PATH`.
    fn place(path: &Path, kind: Kind) -> Option<PathBuf> {
        let path = fs::canonicalize(path).ok()?;
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.filter(|cache| cache.is_absolute()).or_else(home)?;
        let mut name = Sha256::new();
        name.update(path.as_os_str().as_encoded_bytes());
        name.update(match kind {
            Kind::Sha256 => [0, 1],
            Kind::Sha512 => [0, 2],
        });
        Some(cache.join("provision/digests").join(&hex(&name.finalize())[..32]))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_stamp_is_of_large_settled_files_and_changes_with_them() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("archive.tgz");
            fs::write(&path, vec![1; 1 << 20]).unwrap();
            let later = SystemTime::now() + Duration::from_secs(60);
            assert_eq!(Stamp::of(&path), None, "it may change again unseen");
            let first = Stamp::at(&path, later).unwrap();
            assert_eq!(Stamp::at(&path, later).unwrap(), first);
            // The same size and the same time, set back by hand: the inode's own time tells.
            let times = fs::metadata(&path).unwrap().modified().unwrap();
            fs::write(&path, vec![2; 1 << 20]).unwrap();
            fs::File::options().append(true).open(&path).unwrap().set_modified(times).unwrap();
            assert_ne!(Stamp::at(&path, later).unwrap(), first);
            fs::write(&path, "small").unwrap();
            assert_eq!(Stamp::at(&path, later), None);
        }
    }
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

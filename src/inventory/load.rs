//! The only reader of inventory files: from a path and overrides to an [`Inventory`] with all that is
//! wrong or doubtful in it. `lints::load` asks the lints too and is what commands use.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use super::check::Lab;
use super::check::check;
use super::decode::Cx;
use super::files::Files;
use super::resolve::resolve;
use super::{Inventory, cure, root, sets, yaml};
use crate::ground::digest::{Algorithm, Digest, Hasher, sha256};
use crate::ground::{Place, Problem};
use crate::local::packages::{self, Debian};

/// Reads, decodes, resolves and checks an inventory.
///
/// # Errors
/// It cannot be read, or is so wrong that nothing more can be said of it.
pub fn read(request: &Request) -> Result<Read, Refused> {
    let here = std::env::current_dir().unwrap_or_default();
    let (name, base, bytes) = match request.path.as_deref() {
        Some(path) if path == Path::new("-") => {
            ("<stdin>".to_owned(), here.clone(), bytes_of(io::stdin().lock()))
        }
        path => {
            let path = path.unwrap_or(Path::new("inventory.yaml"));
            let base = here.join(path).parent().map_or_else(|| here.clone(), Path::to_path_buf);
            (path.display().to_string(), base, File::open(path).and_then(bytes_of))
        }
    };
    let bytes = bytes.map_err(|e| {
        let message = format!("`{name}` cannot be read: {}", reason(&e));
        let problem = Problem::error(None, "missing-file", message);
        let advice = "name an inventory, or let `provision init` write inventory.yaml";
        Refused { problems: vec![problem.help(advice)], text: Arc::from("") }
    })?;
    let disk = Disk::new(&base, &here, request.artefacts);
    understand(&name, &bytes, disk, &request.sets, request.lab)
}

/// The same from text; relative paths start at `base`, those of overrides too.
///
/// # Errors
/// As [`read`].
pub fn read_text(
    name: &str,
    text: &[u8],
    base: &Path,
    sets: &[String],
    lab: Lab,
) -> Result<Read, Refused> {
    understand(name, text, Disk::new(base, base, Artefacts::Needed), sets, lab)
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
    /// Whether what hosts are sent must be here.
    pub artefacts: Artefacts,
}

/// Whether the local archives and packages that an inventory names must be here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Artefacts {
    /// For a plan: what is to be sent is known by its digest.
    Needed,
    /// For whoever only reads: one that is missing is a warning, and its digest zeros unless it is stated.
    MayBeMissing,
}

/// An inventory as far as it could be understood.
#[derive(Debug, Clone)]
pub struct Read {
    /// The inventory; where something is wrong it has a hole.
    pub inventory: Inventory,
    /// All that is wrong or doubtful, in no order.
    pub problems: Vec<Problem>,
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

fn understand(
    name: &str,
    bytes: &[u8],
    mut disk: Disk<'_>,
    overrides: &[String],
    lab: Lab,
) -> Result<Read, Refused> {
    let shown = &bytes[..bytes.len().min(yaml::MAX_BYTES)];
    let text: Arc<str> = Arc::from(String::from_utf8_lossy(shown));
    let refuse = |problems| Refused { problems, text: Arc::clone(&text) };
    let mut root = yaml::parse(name, bytes).map_err(|problem| {
        let mut problems = vec![problem];
        cure::complete(&mut problems);
        refuse(problems)
    })?;
    let mut cx = Cx::default();
    for set in overrides {
        if let Err(problem) = sets::apply(&mut root, set) {
            cx.problems.push(problem);
        }
    }
    let written = root::decode(&mut cx, &root);
    let hosts = root.keys_of("hosts");
    drop(root);
    let Some(written) = written else {
        cure::without_follow_ups(&mut cx.problems, &hosts);
        cure::complete(&mut cx.problems);
        return Err(refuse(sorted(cx.problems)));
    };
    // A value that was refused leaves a hole; what is missing because of it is not a second mistake.
    let whole = cx.problems.is_empty();
    let mut inventory = resolve(&mut cx, written, &mut disk);
    let between = check(&inventory, lab).into_iter();
    let follows_from_holes = ["unused-host", "undeclared-role", "even-ensemble"];
    cx.problems.extend(between.filter(|p| whole || !follows_from_holes.contains(&p.name)));
    cure::without_follow_ups(&mut cx.problems, &hosts);
    cure::complete(&mut cx.problems);
    let mut whole = bytes.to_vec();
    for set in overrides {
        whole.push(0);
        whole.extend(set.as_bytes());
    }
    inventory.digest = sha256(whole);
    Ok(Read { inventory, problems: cx.problems, text })
}

/// By place, the placeless first; the same twice is said once.
pub(crate) fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort();
    problems.dedup();
    problems
}

/// Reads one byte more than may be, so that too much is noticed and no more is held.
fn bytes_of(source: impl io::Read) -> io::Result<Vec<u8>> {
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

/// Files named by the inventory; each is hashed once with each algorithm.
struct Disk<'p> {
    base: &'p Path,
    here: &'p Path,
    artefacts: Artefacts,
    digests: HashMap<(PathBuf, Algorithm), Result<Digest, String>>,
}

impl<'p> Disk<'p> {
    fn new(base: &'p Path, here: &'p Path, artefacts: Artefacts) -> Disk<'p> {
        Disk { base, here, artefacts, digests: HashMap::new() }
    }
}

impl Files for Disk<'_> {
    fn locate(&self, place: &Place, path: &str) -> PathBuf {
        // As a shell would, which leaves it to us in a file and behind a `=`.
        if let Some(below) = path.strip_prefix("~/")
            && let Some(home) = std::env::var_os("HOME").filter(|home| !home.is_empty())
        {
            return Path::new(&home).join(below);
        }
        // What was typed at the prompt is relative to where it was typed.
        if place.file.starts_with("-e ") { self.here.join(path) } else { self.base.join(path) }
    }

    fn digest(&mut self, path: &Path, like: Option<&Digest>) -> Result<Digest, String> {
        let algorithm = like.map_or(Algorithm::Sha256, Digest::algorithm);
        let compute = || match remembered::find(path, algorithm) {
            Some(digest) => Ok(digest),
            None => {
                let before = remembered::Stamp::of(path);
                let digest = digest_of(path, algorithm)?;
                remembered::keep(path, algorithm, before, &digest);
                Ok(digest)
            }
        };
        self.digests.entry((path.to_path_buf(), algorithm)).or_insert_with(compute).clone()
    }

    fn may_be_missing(&self, path: &Path) -> bool {
        self.artefacts == Artefacts::MayBeMissing && !path.exists()
    }

    fn text(&self, path: &Path) -> Result<String, String> {
        let bytes = File::open(path).and_then(bytes_of).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => "does not exist".to_owned(),
            _ => format!("cannot be read: {}", reason(&e)),
        })?;
        if bytes.len() > yaml::MAX_BYTES {
            return Err(format!("is larger than {} MB", yaml::MAX_BYTES >> 20));
        }
        String::from_utf8(bytes).map_err(|_| "is no text".to_owned())
    }

    fn package(&self, path: &Path) -> Result<Debian, String> {
        Debian::read(path)
    }

    fn top_directory(&self, path: &Path) -> Option<String> {
        packages::top_directory(path)
    }

    fn readable_by_all(&self, path: &Path) -> Option<u32> {
        let mode = |path: &Path| std::fs::metadata(path).ok().map(|about| about.mode() & 0o7777);
        let own = mode(path).filter(|mode| mode & 0o004 != 0)?;
        // A directory that others cannot enter hides what is below it.
        let mut above = path.ancestors().skip(1);
        above.all(|directory| mode(directory).is_none_or(|mode| mode & 0o001 != 0)).then_some(own)
    }
}

/// The digest of a regular file.
///
/// # Errors
/// What is wrong with it, to follow its name.
pub(crate) fn digest_of(path: &Path, algorithm: Algorithm) -> Result<Digest, String> {
    let metadata = std::fs::metadata(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        _ => format!("cannot be read: {}", reason(&e)),
    })?;
    // A pipe would block and a directory has no digest.
    if !metadata.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let hash = || -> io::Result<Digest> {
        let (mut file, mut hash) = (File::open(path)?, Hasher::new(algorithm));
        let mut block = vec![0; 1 << 17];
        loop {
            match file.read(&mut block)? {
                0 => return Ok(hash.finish()),
                n => hash.update(&block[..n]),
            }
        }
    };
    hash().map_err(|e| format!("cannot be read: {}", reason(&e)))
}

/// Digests of large files, kept between runs: hashing a Spark archive costs more than opening all the
/// connections of a small cluster. A digest that no longer fits cannot do harm, for every host checks
/// what it is sent; it would only be refused there.
mod remembered {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::{Path, PathBuf};
    use std::time::{Duration, SystemTime};

    use super::{Algorithm, Digest, sha256};
    use crate::local::directories;
    use crate::local::files::{self, Readers};

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

    pub(super) fn find(path: &Path, algorithm: Algorithm) -> Option<Digest> {
        let stamp = Stamp::of(path)?;
        let text = fs::read_to_string(place(path, algorithm)?).ok()?;
        let (digest, seen) = text.strip_suffix('\n')?.split_once(' ')?;
        (seen == stamp.0).then(|| algorithm.digest(digest)).flatten()
    }

    /// Failing to remember is no failure: the next run hashes again.
    pub(super) fn keep(path: &Path, algorithm: Algorithm, before: Option<Stamp>, digest: &Digest) {
        let (Some(before), Some(place)) = (before, place(path, algorithm)) else { return };
        // What changed while it was read has no digest that could be named.
        if Stamp::of(path).as_ref() != Some(&before) {
            return;
        }
        let Some(directory) = place.parent() else { return };
        let text = format!("{} {}\n", digest.hex(), before.0);
        let _ = files::private_directory(directory)
            .and_then(|()| files::replace(&place, text, Readers::Us));
    }

    /// `$XDG_CACHE_HOME/provision/digests/HASH-OF-THE-PATH`.
    fn place(path: &Path, algorithm: Algorithm) -> Option<PathBuf> {
        let path = fs::canonicalize(path).ok()?;
        let mut name = path.as_os_str().as_encoded_bytes().to_vec();
        name.extend(match algorithm {
            Algorithm::Sha256 => [0, 1],
            Algorithm::Sha512 => [0, 2],
        });
        Some(directories::cache().ok()?.join("digests").join(&sha256(name)[..32]))
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

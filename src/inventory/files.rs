//! Files that an inventory names: what hosts download or are sent, with their digests.

use std::path::PathBuf;

use super::decode::{At, Cx, Object};
use super::settings::{Section, Setting, Shape, Type, section};
use super::types::{Text, scalar};
use super::yaml::Node;
use super::{grammar, schema};
use crate::ground::Digest;
use crate::ground::digest::Algorithm;
use crate::ground::problem::{Place, Problem};
use crate::local::packages::Debian;

section! {
    /// The digests that may stand beside a file.
    #[derive(Debug)]
    pub(super) struct Digests {
        /// SHA-256 of the file, in hex.
        may sha256: Sha256Hex;
        /// SHA-512 of the file, in hex.
        may sha512: Sha512Hex;
    }
}

scalar! {
    /// A SHA-256.
    Sha256Hex -> Digest, "64 hex digits", |t| Algorithm::Sha256.digest(t),
        schema::text("^[0-9A-Fa-f]{64}$");
    /// A SHA-512.
    Sha512Hex -> Digest, "128 hex digits", |t| Algorithm::Sha512.digest(t),
        schema::text("^[0-9A-Fa-f]{128}$");
}

/// One of the digests, or none.
#[derive(Debug, Default)]
pub(super) struct StatedDigest(Option<At<Digest>>);

impl Section for StatedDigest {
    fn take(cx: &mut Cx, object: &mut Object<'_>) -> Option<StatedDigest> {
        let digests = Digests::take(cx, object)?;
        if let (Some(_), Some(second)) = (&digests.sha256, &digests.sha512) {
            cx.error(&second.place, "one-of", "give sha256 or sha512, not both");
            return None;
        }
        Some(StatedDigest(digests.sha256.or(digests.sha512)))
    }

    fn settings() -> Vec<Setting> {
        Digests::settings()
    }

    fn not_both() -> Option<[&'static str; 2]> {
        Some(["sha256", "sha512"])
    }
}

/// The URL of a file.
pub(super) struct Download;

impl Type for Download {
    type Value = At<String>;

    fn read(cx: &mut Cx, node: &Node, path: &str) -> Option<At<String>> {
        let at = Text::read(cx, node, path)?;
        if !grammar::url(&at.value) {
            let message = "expected an http:// or https:// URL without blanks";
            cx.error(&at.place, "wrong-type", message);
            return None;
        }
        Some(at)
    }

    fn shape() -> Shape {
        Shape::Scalar { what: "an http:// or https:// URL", template: false, schema: schema::url() }
    }
}

/// A file that hosts need: fetched by each host from a URL, or pushed from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Where it is.
    pub source: Source,
    /// What it must be. A local file without a stated digest gets the one it has when loaded.
    pub digest: Digest,
}

/// Where hosts get a file of this machine from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seed {
    /// Each is sent it from here.
    Here,
    /// One is sent it from here, and the others fetch it from that one.
    Host,
}

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Each host downloads it.
    Url(String),
    /// On this machine; pushed. Absolute.
    Path(PathBuf),
}

impl Source {
    /// The last part of the path or URL, without query: what a person calls the file.
    pub fn file_name(&self) -> &str {
        let text = match self {
            Source::Url(url) => url.split(['?', '#']).next().unwrap_or(url),
            Source::Path(path) => path.to_str().unwrap_or("file"),
        };
        text.rsplit('/').find(|part| !part.is_empty()).unwrap_or("file")
    }
}

/// The files of the operator's machine, as far as an inventory names them.
pub(super) trait Files {
    /// An absolute path for a path as written at a place.
    fn locate(&self, place: &Place, path: &str) -> PathBuf;
    /// The digest of a file, of the same kind as `like`; SHA-256 when nothing is asked.
    ///
    /// # Errors
    /// Why it cannot be read, without its path.
    fn digest(&mut self, path: &std::path::Path, like: Option<&Digest>) -> Result<Digest, String>;
    /// Whether a file is not there and need not be: who only reads an inventory sends nothing.
    fn may_be_missing(&self, path: &std::path::Path) -> bool;
    /// The text of a file.
    ///
    /// # Errors
    /// Why there is none, to follow its name.
    fn text(&self, path: &std::path::Path) -> Result<String, String>;
    /// What a Debian package says of itself.
    ///
    /// # Errors
    /// Why it is none, to follow its name.
    fn package(&self, path: &std::path::Path) -> Result<Debian, String>;
    /// The directory that all in a gzipped archive lies in; `None` of what is none.
    fn top_directory(&self, path: &std::path::Path) -> Option<String>;
    /// The mode of a file that every user of this machine can read.
    fn readable_by_all(&self, path: &std::path::Path) -> Option<u32>;
}

/// A download with its digest, or a local file with the digest it has and, when stated, must have.
pub(super) fn resolve(
    cx: &mut Cx,
    files: &mut dyn Files,
    at: &At<String>,
    digest: &StatedDigest,
) -> Option<Fetch> {
    if at.value.starts_with("http://") || at.value.starts_with("https://") {
        if !grammar::url(&at.value) {
            cx.error(&at.place, "wrong-type", "a URL cannot hold blanks, quotes or braces");
            return None;
        }
        let Some(digest) = &digest.0 else {
            // One that was refused is not missing.
            if cx.problems.iter().any(|it| it.message.contains("hex digits")) {
                return None;
            }
            let message = "a download needs its digest";
            let problem = Problem::error(Some(at.place.clone()), "missing-digest", message);
            cx.problems.push(problem.help("write sha256 or sha512 beside it"));
            return None;
        };
        return Some(Fetch { source: Source::Url(at.value.clone()), digest: digest.value.clone() });
    }
    let path = files.locate(&at.place, &at.value);
    let stated = digest.0.as_ref();
    if files.may_be_missing(&path) {
        let message = format!("`{}` is not here", at.value);
        let problem = Problem::warning(Some(at.place.clone()), "missing-file", message);
        let zeros = "; where its digest is shown it is zeros";
        let zeros = if stated.is_none() { zeros } else { "" };
        let help = format!("put it at {} before plan and apply{zeros}", path.display());
        cx.problems.push(problem.help(help));
        let digest = stated.map_or_else(Digest::unknown, |stated| stated.value.clone());
        return Some(Fetch { source: Source::Path(path), digest });
    }
    match files.digest(&path, stated.map(|d| &d.value)) {
        Err(reason) => {
            let message = format!("`{}` {reason}", at.value);
            let problem = Problem::error(Some(at.place.clone()), "missing-file", message);
            cx.problems.push(problem.help(format!("looked for {}", path.display())));
            None
        }
        Ok(found) => {
            if let Some(stated) = stated.filter(|stated| stated.value != found) {
                let (expected, got) = (stated.value.hex(), found.hex());
                let message = format!("digest of the file: expected {expected}, got {got}");
                cx.error(&stated.place, "digest-mismatch", message);
            }
            Some(Fetch { source: Source::Path(path), digest: found })
        }
    }
}

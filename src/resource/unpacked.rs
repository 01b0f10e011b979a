//! An archive unpacked into a directory of its own.

use super::{Facts, Gap, Kind, Look, ResourceId, fetched, paths};
use crate::ground::SecretRef;
use crate::inventory::{Fetch, Proxy};
use crate::script::{Fix, Sections, Step, quote};

/// An archive unpacked into a directory that holds nothing else. The directory appears whole or not
/// at all; a marker in it names the archive's digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// Absolute path of the directory.
    pub directory: String,
    /// `directory/.provision`.
    pub marker: String,
    /// The archive.
    pub archive: Fetch,
    /// How to download it.
    pub proxy: Proxy,
    /// A file whose grand-parent is the directory in the archive that is wanted, such as
    /// `bin/spark-submit`.
    pub holds: &'static str,
}

impl Unpacked {
    /// An archive for a directory.
    pub fn new(directory: String, archive: Fetch, proxy: Proxy, holds: &'static str) -> Unpacked {
        let marker = format!("{directory}/.provision");
        Unpacked { directory, marker, archive, proxy, holds }
    }
}

impl Kind for Unpacked {
    fn id(&self) -> ResourceId {
        ResourceId { kind: "unpacked", name: self.directory.clone() }
    }

    fn want(&self) -> Facts {
        Facts::from([("archive", self.archive.digest.hex().to_owned())])
    }

    fn read(&self, sections: &Sections) -> Look {
        let facts = paths::text(&self.marker, sections)
            .map(|text| Facts::from([("archive", text.trim().to_owned())]))
            .unwrap_or_default();
        Look::Facts(facts)
    }

    /// Fetches, unpacks beside, renames into place.
    fn fix(&self, _: &[Gap]) -> Vec<Step> {
        let mut steps = fetched::steps(&self.archive, &self.proxy);
        let archive = quote(&fetched::path(&self.archive));
        let directory = quote(&self.directory);
        let script = format!(
            "{}\n\
             parent=$(dirname {directory}); mkdir -p \"$parent\"\n\
             d=$(mktemp -d \"$parent/.provision.XXXXXX\"); trap 'rm -rf \"$d\"' EXIT\n\
             unpack {archive} \"$d\" {}\n\
             chmod 755 \"$home\"\n\
             printf '%s\\n' {} > \"$home/.provision\"\n\
             if [ -e {directory} ]; then\n\
             if [ -d {directory}/{KEPT} ]; then rm -rf \"$home\"/{KEPT}; cp -a {directory}/{KEPT} \"$home\"; fi\n\
             mv -T {directory} \"$d/old\"\n\
             fi\n\
             sync -f \"$home\"\n\
             mv -fT \"$home\" {directory}",
            UNPACK,
            quote(self.holds),
            self.archive.digest.hex(),
        );
        steps.push(Step::Run(Fix::new(script)));
        steps
    }

    fn secrets(&self) -> Vec<SecretRef> {
        self.proxy.variables().1
    }

    fn undo(&self) -> Option<String> {
        Some(format!("rm -rf -- {}", quote(&self.directory)))
    }

    fn paths(&self) -> Vec<&str> {
        vec![&self.marker]
    }

    fn texts(&self) -> Vec<&str> {
        vec![&self.marker]
    }
}

/// What stays when a directory is unpacked again: other resources keep files in it, which were right
/// when they were looked at.
const KEPT: &str = "conf";

/// `unpack ARCHIVE DIRECTORY HOLDS` sets `$home`. Names that lead out of the directory are refused
/// before anything is unpacked; nothing keeps an owner or a set-id bit of the archive's maker.
pub const UNPACK: &str = r#"unpack() {
  case $(head -c 2 "$1" | od -An -tx1 | tr -d ' \n') in
    1f8b|425a|fd37|28b5) ;;
    *) case $(head -c 15 "$1" | tr '[:upper:]' '[:lower:]') in
         '<!doctype'*|'<html'*) die "$1 is an HTML page, not an archive" ;;
       esac
       tar -tf "$1" >/dev/null 2>&1 || die "$1 is not a tar archive" ;;
  esac
  tar -tf "$1" > "$2/.names" || die "$1 is a damaged archive"
  if grep -Eq '(^/|(^|/)\.\.(/|$))' "$2/.names"; then
    die "$1 holds names that lead out of its directory: $(grep -Em1 '(^/|(^|/)\.\.(/|$))' "$2/.names")"
  fi
  inside=$(grep -Em1 "(^|/)$3\$" "$2/.names") || die "$1 holds no $3"
  rm -f "$2/.names"
  mkdir "$2/tree"
  tar -xf "$1" -C "$2/tree" --no-same-owner --no-same-permissions
  out=$(find "$2/tree" -type l -exec sh -c 'for l; do r=$(readlink -m "$l"); case $r in "$0"/*) ;; *) printf "%s\n" "$l"; break ;; esac; done' "$(readlink -f "$2/tree")" {} + | head -n 1)
  [ -z "$out" ] || die "$1 holds a link that leads out of its directory: $out"
  home=$2/tree/${inside%/*}
  home=$(readlink -f "${home%/*}")
}"#;

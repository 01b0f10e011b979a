//! Where our files are on this machine.
//!
//! Source: the XDG Base Directory Specification 0.8, specifications.freedesktop.org/basedir-spec; a
//! relative value is to be ignored.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// What is worth keeping: `$XDG_STATE_HOME/provision`. It is not made here.
///
/// # Errors
/// Neither the variable nor HOME is set.
pub fn state() -> io::Result<PathBuf> {
    home("XDG_STATE_HOME", ".local/state")
}

/// What the user sets: `$XDG_CONFIG_HOME/provision`. It is not made here.
///
/// # Errors
/// Neither the variable nor HOME is set.
pub fn config() -> io::Result<PathBuf> {
    home("XDG_CONFIG_HOME", ".config")
}

/// What can be made again: `$XDG_CACHE_HOME/provision`. It is not made here.
///
/// # Errors
/// Neither the variable nor HOME is set.
pub fn cache() -> io::Result<PathBuf> {
    home("XDG_CACHE_HOME", ".cache")
}

/// What lives as long as processes do: `$XDG_RUNTIME_DIR/provision`, or where that is absent or its path
/// longer than `most` bytes, a directory in /tmp. Anybody may have taken that name before, to keep us out;
/// then one below our own cache serves. It is made where it is missing, and ours alone.
///
/// # Errors
/// One sentence: none can be made, or each is somebody else's.
pub fn runtime(most: usize) -> Result<PathBuf, String> {
    // Whoever owns our process' entry is whom we act as; no call for it is in std.
    let process = Path::new("/proc/self");
    let me = std::fs::metadata(process).map_err(|error| said(process, &error))?.uid();
    let session = variable("XDG_RUNTIME_DIR").filter(|path| path.is_dir());
    let places = [
        session.map(|path| path.join("provision")),
        Some(PathBuf::from(format!("/tmp/provision-{me}"))),
        cache().ok().map(|path| path.join("run")),
    ];
    let short = |path: &PathBuf| path.as_os_str().len() <= most;
    first_of_ours(places.into_iter().flatten().filter(short), me)
}

/// The first of these that is ours alone, or can be made so.
fn first_of_ours(places: impl Iterator<Item = PathBuf>, me: u32) -> Result<PathBuf, String> {
    let mut why = None;
    for path in places {
        match ours(&path, me) {
            Ok(()) => return Ok(path),
            Err(error) => why = why.or(Some(error)),
        }
    }
    Err(why.unwrap_or_else(|| "there is no directory for what lives as long as a run".to_owned()))
}

fn ours(path: &Path, me: u32) -> Result<(), String> {
    if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
        super::files::directory(parent).map_err(|error| said(parent, &error))?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(said(path, &error));
        }
        _ => {}
    }
    // A link is looked at itself: where it leads is not for others to say.
    let about = std::fs::symlink_metadata(path).map_err(|error| said(path, &error))?;
    if !about.is_dir() || about.uid() != me || about.mode() & 0o077 != 0 {
        let path = path.display();
        return Err(format!("`{path}` must be a directory of yours with mode 0700; move it away"));
    }
    Ok(())
}

fn said(path: &Path, error: &io::Error) -> String {
    format!("`{}`: {error}", path.display())
}

fn home(name: &str, below_home: &str) -> io::Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(below_home));
    let directory = variable(name).or_else(home).ok_or_else(|| {
        let text = format!("HOME is not set: set it or {name}");
        io::Error::new(io::ErrorKind::NotFound, text)
    })?;
    Ok(directory.join("provision"))
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_name_that_somebody_has_taken_keeps_nobody_out() {
        let dir = tempfile::tempdir().unwrap();
        let me = std::fs::metadata(dir.path()).unwrap().uid();
        let [wide, link, file, own] =
            ["wide", "link", "file", "a/own"].map(|it| dir.path().join(it));
        std::fs::create_dir(&wide).unwrap();
        std::fs::set_permissions(&wide, std::fs::Permissions::from_mode(0o755)).unwrap();
        let private = dir.path().join("private");
        DirBuilder::new().mode(0o700).create(&private).unwrap();
        symlink(&private, &link).unwrap();
        std::fs::write(&file, "").unwrap();
        let all = [&wide, &link, &file, &own].map(Clone::clone);
        assert_eq!(first_of_ours(all.clone().into_iter(), me), Ok(own.clone()));
        assert_eq!(std::fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
        // One of somebody else's is none, whatever its mode.
        let why = first_of_ours([own, wide.clone()].into_iter(), me + 1).unwrap_err();
        assert!(why.contains("must be a directory of yours"), "{why}");
        assert!(first_of_ours([wide].into_iter(), me).is_err());
    }
}

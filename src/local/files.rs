//! Files of this machine, written.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Nobody but us.
    Us,
    /// Whom the umask lets.
    Others,
}

impl Readers {
    fn mode(self) -> u32 {
        match self {
            Readers::Us => 0o600,
            Readers::Others => 0o666,
        }
    }
}

/// Writes a file whole or not at all, over what was there. What is no regular file, a device or a pipe,
/// is written into.
///
/// # Errors
/// What the system says; then what was there is still there.
pub fn replace(path: &Path, content: impl AsRef<[u8]>, readers: Readers) -> io::Result<()> {
    // Where a link leads is replaced, not the link.
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if std::fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir()) {
        return write_into(path, content);
    }
    let mut file = tempfile::Builder::new()
        .prefix(".provision.")
        .permissions(Permissions::from_mode(readers.mode()))
        .tempfile_in(parent(path))?;
    file.write_all(content.as_ref())?;
    // Its name must not be there before its bytes.
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Gives a file that another program has written its name, over what was there.
///
/// # Errors
/// What the system says.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "this is what the others are to use")]
    std::fs::rename(from, to)
}

/// Whether only we, or root, can have written an open file and only we can read it.
///
/// # Errors
/// What the system says.
pub fn is_ours_alone(file: &File) -> io::Result<bool> {
    let about = file.metadata()?;
    let me = std::fs::metadata("/proc/self")?.uid();
    Ok(about.is_file() && [me, 0].contains(&about.uid()) && about.mode() & 0o077 == 0)
}

/// Who can have written a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writers {
    /// Only we, or root.
    Us,
    /// Others too.
    Others,
}

/// The text of a file, and who can have written it.
///
/// # Errors
/// What the system says; that it is no text.
pub fn read_with_writers(path: &Path) -> io::Result<(String, Writers)> {
    let mut file = File::open(path)?;
    let about = file.metadata()?;
    let me = std::fs::metadata("/proc/self")?.uid();
    let ours = [me, 0].contains(&about.uid()) && about.mode() & 0o022 == 0;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok((text, if ours { Writers::Us } else { Writers::Others }))
}

/// Writes a file that must not be there yet.
///
/// # Errors
/// `AlreadyExists`, or whatever else the system says.
pub fn create_new(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(content.as_ref())
}

/// Writes into what is there and stays what it is: a device, a pipe, a setting of the kernel.
///
/// # Errors
/// What the system says.
pub fn write_into(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(content.as_ref())
}

/// Adds to the end of a file that somebody else has made and reads.
///
/// # Errors
/// What the system says.
pub fn add_to(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    OpenOptions::new().append(true).open(path)?.write_all(content.as_ref())
}

/// Opens a file of ours alone at its end, made where it is missing.
///
/// # Errors
/// What the system says.
pub fn append(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create(true).mode(Readers::Us.mode()).open(path)?;
    // One that was there may be wider; a device or pipe is as it is.
    let about = file.metadata()?;
    if about.is_file() && about.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(Readers::Us.mode()))?;
    }
    Ok(file)
}

/// Waits for a lock that no other process holds, and that lives as long as the returned file.
///
/// # Errors
/// What the system says.
pub fn lock(path: &Path) -> io::Result<File> {
    let file = append(path)?;
    file.lock()?;
    Ok(file)
}

/// Makes a directory and those above it, as the umask says.
///
/// # Errors
/// What the system says.
pub fn directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)
}

/// Makes a directory and those above it, for us alone.
///
/// # Errors
/// What the system says.
pub fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// A directory that is removed with what is in it when it is dropped.
///
/// # Errors
/// What the system says.
pub fn scratch_directory(within: &Path) -> io::Result<tempfile::TempDir> {
    tempfile::tempdir_in(within)
}

/// Removes a file, if it is there.
///
/// # Errors
/// What the system says.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a directory and all that is in it.
///
/// # Errors
/// What the system says.
pub fn remove_directory(path: &Path) -> io::Result<()> {
    std::fs::remove_dir_all(path)
}

/// A path that a file can be written to: it names no directory, and its own is there.
///
/// # Errors
/// One sentence.
pub fn writable_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.file_name().is_none() || path.is_dir() {
        return Err("it must name a file".to_owned());
    }
    match parent(&path) {
        directory if directory.is_dir() => Ok(path),
        directory => Err(format!("there is no directory {}", directory.display())),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan");
        replace(&path, "one", Readers::Us).unwrap();
        assert_eq!(mode(&path), 0o600);
        replace(&path, "two", Readers::Others).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(mode(&path) & 0o600, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        // A file that cannot be written leaves nothing behind either.
        std::fs::create_dir(dir.path().join("taken")).unwrap();
        replace(&dir.path().join("taken"), "x", Readers::Us).unwrap_err();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_link_stays_a_link_and_a_device_a_device() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, "new", Readers::Us).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
        replace(Path::new("/dev/null"), "x", Readers::Us).unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_file_for_our_eyes_only_becomes_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "a\n").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        append(&path).unwrap().write_all(b"b\n").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\nb\n");
        create_new(&path, "c").unwrap_err();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\nb\n");
    }
}

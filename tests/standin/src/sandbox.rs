//! A task's sandbox: where it is, whom it belongs to. Texts as in src/slave/paths.cpp at 1.11.0.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use crate::run::User;

/// Makes the sandbox and the link `latest` beside it.
pub(crate) fn create(directory: &Path, user: Option<(&str, User)>) -> Result<(), String> {
    make(directory, user).map_err(|error| {
        format!("Failed to create executor directory '{}': {error}", directory.display())
    })?;
    link_latest(directory)
}

/// Points `latest` at this run.
pub(crate) fn link_latest(directory: &Path) -> Result<(), String> {
    let latest = directory.with_file_name("latest");
    let linked = match std::fs::remove_file(&latest) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => symlink(directory, &latest),
    };
    linked.map_err(|error| {
        format!("Failed to symlink '{}' to '{}': {error}", directory.display(), latest.display())
    })
}

fn make(directory: &Path, user: Option<(&str, User)>) -> Result<(), String> {
    std::fs::create_dir_all(directory)
        .map_err(|error| format!("Failed to create directory: {error}"))?;
    // Not for others: tasks keep their own secrets there.
    std::fs::set_permissions(directory, Permissions::from_mode(0o750))
        .map_err(|error| format!("Failed to chmod directory: {error}"))?;
    let Some((name, user)) = user else { return Ok(()) };
    give(directory, user).map_err(|error| format!("Failed to chown directory to '{name}': {error}"))
}

/// Gives one file or directory to a user.
pub(crate) fn give(path: &Path, user: User) -> std::io::Result<()> {
    chown(path, Some(user.uid), Some(user.gid))
}

/// A user of this machine by name.
pub(crate) fn user(name: &str) -> Result<User, String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    find(&passwd, name).ok_or_else(|| format!("No such user '{name}'"))
}

fn find(passwd: &str, name: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let found = fields.first() == Some(&name);
        found.then_some(User {
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nspark:x:998:997::/opt/spark:/bin/sh\n";
        assert_eq!(find(passwd, "spark"), Some(User { uid: 998, gid: 997 }));
        assert_eq!(find(passwd, "spar"), None);
    }
}

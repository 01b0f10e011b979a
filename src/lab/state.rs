//! Where the lab keeps what is not in the engine: keys under XDG_STATE_HOME, images under XDG_CACHE_HOME.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Directory of one cluster's twin, which only we can enter; made where it is missing.
pub(super) fn cluster_dir(cluster: &str) -> anyhow::Result<PathBuf> {
    private(cluster_path(cluster)?)
}

/// As [`cluster_dir`], but only the name.
pub(super) fn cluster_path(cluster: &str) -> anyhow::Result<PathBuf> {
    Ok(home("XDG_STATE_HOME", ".local/state")?.join("provision/lab").join(cluster))
}

/// Directory of what can be made again; made where it is missing.
pub(super) fn cache_dir() -> anyhow::Result<PathBuf> {
    private(home("XDG_CACHE_HOME", ".cache")?.join("provision/lab"))
}

/// Waits for an exclusive lock that lives as long as the returned file.
pub(super) async fn lock(path: PathBuf) -> anyhow::Result<File> {
    tokio::task::spawn_blocking(move || {
        let file =
            File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    })
    .await?
}

/// Source: the XDG base directory specification; a relative value is to be ignored.
fn home(variable: &str, below_home: &str) -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable).map(PathBuf::from).filter(|p| p.is_absolute()) {
        return Ok(path);
    }
    let home = std::env::var_os("HOME").context("HOME is not set: set it or XDG_STATE_HOME")?;
    Ok(Path::new(&home).join(below_home))
}

fn private(path: PathBuf) -> anyhow::Result<PathBuf> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .and_then(|()| std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)))
        .with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

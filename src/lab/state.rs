//! Where the lab keeps what is not in the engine: keys with our state, images in our cache.

use std::fs::File;
use std::path::PathBuf;

use anyhow::Context;

use crate::local::{directories, files};

/// Directory of one cluster's twin, which only we can enter; made where it is missing.
pub(super) fn cluster_dir(cluster: &str) -> anyhow::Result<PathBuf> {
    private(cluster_path(cluster)?)
}

/// As [`cluster_dir`], but only the name.
pub(super) fn cluster_path(cluster: &str) -> anyhow::Result<PathBuf> {
    Ok(directories::state()?.join("lab").join(cluster))
}

/// Directory of what can be made again; made where it is missing.
pub(super) fn cache_dir() -> anyhow::Result<PathBuf> {
    private(directories::cache()?.join("lab"))
}

/// Waits for an exclusive lock that lives as long as the returned file.
pub(super) async fn lock(path: PathBuf) -> anyhow::Result<File> {
    tokio::task::spawn_blocking(move || {
        files::lock(&path).with_context(|| format!("cannot lock {}", path.display()))
    })
    .await?
}

fn private(path: PathBuf) -> anyhow::Result<PathBuf> {
    files::private_directory(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

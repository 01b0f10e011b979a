//! What the twin's hosts are made of: a Debian base, the host image on it, and the base as an archive.
//!
//! A base is the release's slim image, such as `debian:bookworm-slim`, where a registry answers, else it is made
//! with mmdebstrap from the machine's own package sources, so that a twin needs no registry at all.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;

use super::apt::Apt;
use super::docker::Docker;
use super::{Say, state};
use crate::ground::Debian;
use crate::ground::digest::sha256;
use crate::local::files;

/// The images of a twin, ready to start.
#[derive(Debug, Clone)]
pub(super) struct Images {
    /// Reference of the host image; changes with its inputs.
    pub(super) host: String,
    /// `docker save` of what Spark's image is built on, under its public name.
    pub(super) base_archive: PathBuf,
}

/// A registry that can be reached sends the 30 MB in far less; one behind a black hole never does.
const PULL_LIMIT: Duration = Duration::from_secs(60);
/// dpkg's settings of hosts and base: throw-away machines need neither fsync nor manuals.
const DPKG_CONF: &str = include_str!("../../Dockerfiles/lab-host/dpkg.conf");
/// The host image's name, before its digest.
const HOST: &str = "provision-lab/host:";
/// The label that says what a host's image was made from.
const DIGEST: &str = "provision.digest";
/// The host image's build context, but for the two files that are the machine's own.
const CONTEXT: [(&str, &str); 4] = [
    ("Dockerfile", include_str!("../../Dockerfiles/lab-host/Dockerfile")),
    ("entry", include_str!("../../Dockerfiles/lab-host/entry")),
    ("sshd.conf", include_str!("../../Dockerfiles/lab-host/sshd.conf")),
    ("dpkg.conf", DPKG_CONF),
];

/// Finds or makes the images: hosts of one release, and the base of Spark's image, which may be of another. Hosts may
/// have an image of the user's own, if it was built on theirs. Runs at the same time wait for each other.
pub(super) async fn prepare(
    docker: &Docker,
    hosts: Debian,
    own: Option<&str>,
    spark: Debian,
    say: &mut Say<'_>,
) -> anyhow::Result<Images> {
    let cache = state::cache_dir()?;
    let _lock = state::lock(cache.join("lock")).await?;
    let apt = Apt::of_this_machine(hosts).await;
    let base = base(docker, hosts, &apt, &cache, say).await?;
    let bare = host(docker, &apt, &base.id, &cache, say).await?;
    let host = match own {
        Some(own) => built_on(docker, own, bare).await?,
        None => bare,
    };
    let under = match spark == hosts {
        true => base,
        false => {
            let apt = Apt::of_this_machine(spark).await;
            self::base(docker, spark, &apt, &cache, say).await?
        }
    };
    let base_archive = archive(docker, spark, &under, &cache, say).await?;
    Ok(Images { host, base_archive })
}

/// A base that the engine has.
struct Base {
    id: String,
    tag: Tag,
}

/// Whether the base has its public name in the engine.
#[derive(Debug, Clone, Copy)]
enum Tag {
    Public,
    Ours,
}

async fn base(
    docker: &Docker,
    release: Debian,
    apt: &Apt,
    cache: &Path,
    say: &mut Say<'_>,
) -> anyhow::Result<Base> {
    let public = release.image();
    if let Some(id) = docker.image_id(public).await {
        return Ok(Base { id, tag: Tag::Public });
    }
    let ours = format!(
        "provision-lab/base:{}",
        short(&[release.suite(), &apt.sources, &apt.settings, DPKG_CONF])
    );
    if let Some(id) = docker.image_id(&ours).await {
        return Ok(Base { id, tag: Tag::Ours });
    }
    say(&format!("pulling {public}"));
    let refused = match docker.run_within(PULL_LIMIT, &["pull", "-q", public]).await {
        Ok(_) => match docker.image_id(public).await {
            Some(id) => return Ok(Base { id, tag: Tag::Public }),
            None => anyhow::anyhow!("the pulled image is not there"),
        },
        Err(error) => error,
    };
    say(&format!("no registry gives {public} ({refused:#}): making it with mmdebstrap"));
    bootstrap(docker, release, apt, cache, &ours)
        .await
        .with_context(|| format!("{public} can neither be pulled nor made"))?;
    let id = docker.image_id(&ours).await.context("the imported base image is not there")?;
    Ok(Base { id, tag: Tag::Ours })
}

async fn bootstrap(
    docker: &Docker,
    release: Debian,
    apt: &Apt,
    cache: &Path,
    tag: &str,
) -> anyhow::Result<()> {
    let program = which::which("mmdebstrap").map_err(|_| {
        anyhow::anyhow!("there is no `mmdebstrap` command: apt-get install mmdebstrap")
    })?;
    let work = files::scratch_directory(cache)?;
    let (tar, list) = (work.path().join("base.tar"), work.path().join("sources.list"));
    files::create_new(&list, &apt.sources)?;
    let mut command = Command::new(program);
    command.args(["--variant=minbase", "--quiet"]);
    if apt.sources.contains("https://") {
        command.arg("--include=ca-certificates");
    }
    for line in apt.settings.lines() {
        command.arg(format!("--aptopt={line}"));
    }
    for line in DPKG_CONF.lines().filter(|l| !l.starts_with('#')) {
        command.arg(format!("--dpkgopt={line}"));
    }
    let output = command
        .arg(release.suite())
        .arg(&tar)
        .args(if apt.sources.is_empty() { None } else { Some(&list) })
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run mmdebstrap")?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = text.lines().rev().take(3).collect();
        bail!("mmdebstrap: {}", tail.into_iter().rev().collect::<Vec<_>>().join("; "));
    }
    docker.run(&["import", "--change", "CMD [\"bash\"]", &path(&tar)?, tag]).await?;
    Ok(())
}

async fn host(
    docker: &Docker,
    apt: &Apt,
    base: &str,
    cache: &Path,
    say: &mut Say<'_>,
) -> anyhow::Result<String> {
    let mut inputs = vec![base, &apt.sources, &apt.settings];
    inputs.extend(CONTEXT.iter().flat_map(|(name, text)| [*name, *text]));
    let digest = short(&inputs);
    let image = format!("{HOST}{digest}");
    if docker.image_id(&image).await.is_some() {
        return Ok(image);
    }
    say("building the host image");
    let context = files::scratch_directory(cache)?;
    for (name, text) in CONTEXT {
        files::create_new(&context.path().join(name), text)?;
    }
    files::create_new(&context.path().join("sources.list"), &apt.sources)?;
    files::create_new(&context.path().join("apt.conf"), &apt.settings)?;
    let (base, label) = (format!("BASE={base}"), format!("{DIGEST}={digest}"));
    let at = path(context.path())?;
    docker
        .run(&["build", "-q", "--build-arg", &base, "--label", &label, "-t", &image, &at])
        .await
        .context("the host image does not build")?;
    Ok(image)
}

/// Whether this is the image of hosts as they are made, and none of the user's own.
pub(super) fn is_bare(image: &str) -> bool {
    image.starts_with(HOST)
}

/// An image of the user's own: what was built on a host's image has its digest, for labels are inherited.
async fn built_on(docker: &Docker, own: &str, bare: String) -> anyhow::Result<String> {
    let label = format!("{{{{index .Config.Labels {DIGEST:?}}}}}");
    let ask =
        async |image: &str| docker.run(&["image", "inspect", "--format", &label, image]).await;
    let digest = ask(own).await.with_context(|| format!("no image {own} here"))?;
    if digest != ask(&bare).await? {
        bail!("{own} was not built on the hosts' image as it is now: build it FROM {bare}");
    }
    Ok(own.to_owned())
}

/// Saves a base under its public name, once per base.
async fn archive(
    docker: &Docker,
    release: Debian,
    base: &Base,
    cache: &Path,
    say: &mut Say<'_>,
) -> anyhow::Result<PathBuf> {
    let public = release.image();
    let to = cache.join(format!("base-{}.tar", short(&[&base.id])));
    if to.exists() {
        return Ok(to);
    }
    say(&format!("saving {public} for the agents' engines"));
    let part = cache.join("base.tar.part");
    if let Tag::Ours = base.tag {
        docker.run(&["tag", &base.id, public]).await?;
    }
    let saved = docker.run(&["save", "-o", &path(&part)?, public]).await;
    if let Tag::Ours = base.tag {
        // The public name stays free: a later pull must not find ours in its place.
        docker.run(&["rmi", public]).await?;
    }
    saved?;
    files::rename(&part, &to)?;
    Ok(to)
}

/// Twelve hex digits over texts, their borders included.
fn short(texts: &[&str]) -> String {
    let mut all = Vec::new();
    for text in texts {
        all.extend(text.len().to_le_bytes());
        all.extend(text.as_bytes());
    }
    sha256(all)[..12].to_owned()
}

fn path(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_knows_where_one_text_ends() {
        assert_ne!(short(&["ab", "c"]), short(&["a", "bc"]));
        assert_eq!(short(&["ab"]).len(), 12);
    }
}

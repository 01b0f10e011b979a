//! What the twin's hosts are made of: a Debian base, the host image on it, and the base as an archive.
//!
//! The base is `debian:bookworm-slim` where a registry answers, else it is made with mmdebstrap from
//! the machine's own package sources, so that a twin needs no registry at all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;

use super::docker::Docker;
use super::{Say, state};
use crate::ground::digest::sha256;
use crate::local::files;

/// The images of a twin, ready to start.
#[derive(Debug, Clone)]
pub(super) struct Images {
    /// Reference of the host image; changes with its inputs.
    pub(super) host: String,
    /// `docker save` of the base, tagged [`BASE`].
    pub(super) base_archive: PathBuf,
}

/// The image that inventories name as the base of their Spark image.
const BASE: &str = "debian:bookworm-slim";
const SUITE: &str = "bookworm";
/// A registry that can be reached sends the 30 MB in far less; one behind a black hole never does.
const PULL_LIMIT: Duration = Duration::from_secs(60);
/// Where Debian (and so mmdebstrap's result) keeps its keys.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// dpkg's settings of hosts and base: throw-away machines need neither fsync nor manuals.
const DPKG_CONF: &str = include_str!("../../Dockerfiles/lab-host/dpkg.conf");
/// The host image's build context, but for the two files that are the machine's own.
const CONTEXT: [(&str, &str); 4] = [
    ("Dockerfile", include_str!("../../Dockerfiles/lab-host/Dockerfile")),
    ("entry", include_str!("../../Dockerfiles/lab-host/entry")),
    ("sshd.conf", include_str!("../../Dockerfiles/lab-host/sshd.conf")),
    ("dpkg.conf", DPKG_CONF),
];

/// Finds or makes the images. Runs at the same time wait for each other.
pub(super) async fn prepare(docker: &Docker, say: &mut Say<'_>) -> anyhow::Result<Images> {
    let cache = state::cache_dir()?;
    let _lock = state::lock(cache.join("lock")).await?;
    let apt = Apt::of_this_machine().await;
    let (base, tag) = base(docker, &apt, &cache, say).await?;
    let host = host(docker, &apt, &base, &cache, say).await?;
    let base_archive = archive(docker, &base, tag, &cache, say).await?;
    Ok(Images { host, base_archive })
}

/// Whether the base has its public name in the engine.
#[derive(Debug, Clone, Copy)]
enum Tag {
    Public,
    Ours,
}

async fn base(
    docker: &Docker,
    apt: &Apt,
    cache: &Path,
    say: &mut Say<'_>,
) -> anyhow::Result<(String, Tag)> {
    if let Some(id) = docker.image_id(BASE).await {
        return Ok((id, Tag::Public));
    }
    let ours = format!("provision-lab/base:{}", short(&[&apt.sources, &apt.settings, DPKG_CONF]));
    if let Some(id) = docker.image_id(&ours).await {
        return Ok((id, Tag::Ours));
    }
    say(&format!("pulling {BASE}"));
    let refused = match docker.run_within(PULL_LIMIT, &["pull", "-q", BASE]).await {
        Ok(_) => match docker.image_id(BASE).await {
            Some(id) => return Ok((id, Tag::Public)),
            None => anyhow::anyhow!("the pulled image is not there"),
        },
        Err(error) => error,
    };
    say(&format!("no registry gives {BASE} ({refused:#}): making it with mmdebstrap"));
    bootstrap(docker, apt, cache, &ours)
        .await
        .with_context(|| format!("{BASE} can neither be pulled nor made"))?;
    let id = docker.image_id(&ours).await.context("the imported base image is not there")?;
    Ok((id, Tag::Ours))
}

async fn bootstrap(docker: &Docker, apt: &Apt, cache: &Path, tag: &str) -> anyhow::Result<()> {
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
        .arg(SUITE)
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
    let image = format!("provision-lab/host:{digest}");
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
    let (base, label) = (format!("BASE={base}"), format!("provision.digest={digest}"));
    let at = path(context.path())?;
    docker
        .run(&["build", "-q", "--build-arg", &base, "--label", &label, "-t", &image, &at])
        .await
        .context("the host image does not build")?;
    Ok(image)
}

/// Saves the base under its public name, once per base.
async fn archive(
    docker: &Docker,
    base: &str,
    tag: Tag,
    cache: &Path,
    say: &mut Say<'_>,
) -> anyhow::Result<PathBuf> {
    let to = cache.join(format!("base-{}.tar", short(&[base])));
    if to.exists() {
        return Ok(to);
    }
    say("saving the base image for the agents' engines");
    let part = cache.join("base.tar.part");
    if let Tag::Ours = tag {
        docker.run(&["tag", base, BASE]).await?;
    }
    let saved = docker.run(&["save", "-o", &path(&part)?, BASE]).await;
    if let Tag::Ours = tag {
        // The public name stays free: a later pull must not find ours in its place.
        docker.run(&["rmi", BASE]).await?;
    }
    saved?;
    files::rename(&part, &to)?;
    Ok(to)
}

/// How this machine gets Debian's packages; the twin gets them the same way.
#[derive(Debug, PartialEq, Eq)]
struct Apt {
    /// One-line sources; none to leave the base's own.
    sources: String,
    /// apt.conf lines.
    settings: String,
}

impl Apt {
    async fn of_this_machine() -> Apt {
        let format = "$(ORIGIN)|$(CODENAME)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)";
        let targets = ["indextargets", "--format", format, "Created-By: Packages"];
        let targets = output_of("apt-get", &targets).await;
        let dump = output_of("apt-config", &["dump"]).await;
        Apt { sources: sources(&targets), settings: settings(&dump) }
    }
}

/// Debian's own archives among what apt fetches from; nothing where there are none, as on a machine
/// that is no Debian of this release: then the base keeps the sources that it came with.
fn sources(targets: &str) -> String {
    let found: BTreeSet<(String, String, String)> = targets
        .lines()
        .filter_map(|line| match line.split('|').collect::<Vec<_>>().as_slice() {
            ["Debian", codename, uri, release, component]
                if codename.starts_with(SUITE) && uri.starts_with("http") =>
            {
                Some((uri.to_string(), release.to_string(), component.to_string()))
            }
            _ => None,
        })
        .collect();
    let lines: Vec<String> = found
        .iter()
        .map(|(uri, release, component)| {
            format!("deb [signed-by={KEYRING}] {uri} {release} {component}")
        })
        .collect();
    // A part of them would do worse than none: updates without the release they update.
    if !found.iter().any(|(_, release, component)| release == SUITE && component == "main") {
        return String::new();
    }
    lines.join("\n") + "\n"
}

/// What a machine behind a proxy, or with a frozen mirror, must tell its apt.
fn settings(dump: &str) -> String {
    const CARRIED: [&str; 5] = [
        "Acquire::http::Proxy ",
        "Acquire::https::Proxy ",
        "Acquire::Check-Valid-Until ",
        "Acquire::Check-Date ",
        "Acquire::Retries ",
    ];
    let mut text = String::from("Acquire::Languages \"none\";\n");
    for line in dump.lines().filter(|line| CARRIED.iter().any(|key| line.starts_with(key))) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// What a command printed; nothing where it is missing or fails.
async fn output_of(program: &str, args: &[&str]) -> String {
    let Ok(program) = which::which(program) else { return String::new() };
    match Command::new(program).args(args).stdin(Stdio::null()).output().await {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        _ => String::new(),
    }
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
    fn sources_are_debians_own_and_once_each() {
        let targets = "Debian|bookworm|http://mirror.example/debian/|bookworm|main\n\
                       Debian|bookworm|http://mirror.example/debian/|bookworm|main\n\
                       Debian|bookworm-updates|http://mirror.example/debian/|bookworm-updates|main\n\
                       Debian|trixie|http://mirror.example/debian/|trixie|main\n\
                       Debian|bookworm|file:/srv/debian|bookworm|contrib\n\
                       Other|bookworm|http://other.example/|bookworm|main\n";
        let keyring = format!("[signed-by={KEYRING}]");
        assert_eq!(
            sources(targets),
            format!(
                "deb {keyring} http://mirror.example/debian/ bookworm main\n\
                 deb {keyring} http://mirror.example/debian/ bookworm-updates main\n"
            )
        );
    }

    #[test]
    fn without_debians_own_sources_the_base_keeps_its_own() {
        assert_eq!(sources("Ubuntu|noble|http://mirror.example/ubuntu/|noble|main\n"), "");
        let updates = "Debian|bookworm-updates|http://mirror.example/|bookworm-updates|main\n";
        assert_eq!(sources(updates), "");
    }

    #[test]
    fn settings_carry_proxies_and_nothing_that_is_about_this_machine() {
        let dump = "APT::Architecture \"amd64\";\nAcquire::http::Proxy \"http://p:1\";\n\
                    Acquire::http::Proxy-Auto-Detect \"/bin/x\";\nDPkg::Post-Invoke:: \"rm\";\n";
        assert_eq!(
            settings(dump),
            "Acquire::Languages \"none\";\nAcquire::http::Proxy \"http://p:1\";\n"
        );
    }

    #[test]
    fn a_digest_knows_where_one_text_ends() {
        assert_ne!(short(&["ab", "c"]), short(&["a", "bc"]));
        assert_eq!(short(&["ab"]).len(), 12);
    }
}

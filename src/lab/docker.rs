//! The `docker` command line: the one way in which the lab speaks to an engine.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// An engine that answered.
#[derive(Debug, Clone)]
pub(super) struct Docker {
    program: PathBuf,
    /// Whether the machine under the engine has cgroup v1 controllers.
    pub(super) cgroups: Cgroups,
}

/// Which control groups the engine's machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cgroups {
    /// Version 1, or both.
    V1,
    /// Version 2 alone.
    V2,
}

impl Docker {
    /// The machine's engine; an error says how to get one.
    pub(super) async fn connect() -> anyhow::Result<Docker> {
        let program = which::which("docker").map_err(|_| {
            anyhow::anyhow!("there is no `docker` command: install Docker (docker.io on Debian)")
        })?;
        let docker = Docker { program, cgroups: Cgroups::V1 };
        let version = docker
            .run(&["info", "--format", "{{.ServerVersion}} {{.CgroupVersion}}"])
            .await
            .context("no Docker engine answers: start it (systemctl start docker), or join the group that may use it")?;
        // An engine that is down answers `info` with an empty version and status 0 in some releases.
        let mut words = version.split_whitespace();
        match (words.next(), words.next()) {
            (Some(_), Some("2")) => Ok(Docker { cgroups: Cgroups::V2, ..docker }),
            (Some(_), _) => Ok(docker),
            (None, _) => {
                bail!("no Docker engine answers: start it (systemctl start docker)")
            }
        }
    }

    /// Runs one command to its end; its standard output, or an error with its last words.
    pub(super) async fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        self.run_with_input(args, "").await
    }

    /// As [`Docker::run`], with something to read.
    pub(super) async fn run_with_input(
        &self,
        args: &[&str],
        input: &str,
    ) -> anyhow::Result<String> {
        let mut child = Command::new(&self.program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that does not read ends by itself; its status says what is wrong.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await.context("cannot wait for docker")?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
        }
        let what = args.first().copied().unwrap_or_default();
        bail!("docker {what}: {}", last_words(&String::from_utf8_lossy(&output.stderr)))
    }

    /// As [`Docker::run`]; giving up after `limit` is an error, too.
    pub(super) async fn run_within(
        &self,
        limit: Duration,
        args: &[&str],
    ) -> anyhow::Result<String> {
        match tokio::time::timeout(limit, self.run(args)).await {
            Ok(done) => done,
            Err(_) => bail!("docker {} took over {limit:?}", args.first().unwrap_or(&"")),
        }
    }

    /// Identifier of an image; `None` when the engine does not have it.
    pub(super) async fn image_id(&self, image: &str) -> Option<String> {
        self.run(&["image", "inspect", "--format", "{{.Id}}", image]).await.ok()
    }

    /// Runs a shell script in a container, as root.
    pub(super) async fn script(&self, container: &str, script: &str) -> anyhow::Result<String> {
        self.run_with_input(&["exec", "-i", container, "/bin/sh", "-s"], script).await
    }
}

/// The lines of a failed command that say why: its last three that are not empty.
fn last_words(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    match lines.as_slice() {
        [] => "failed without a word".to_owned(),
        lines => lines[lines.len().saturating_sub(3)..].join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_the_last_lines_that_say_something() {
        assert_eq!(last_words("a\n\n b \nc\nd\n\n"), "b; c; d");
        assert_eq!(last_words(" \n"), "failed without a word");
    }
}

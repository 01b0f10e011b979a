//! Secrets: looked up before anything is opened, and compared with what hosts hold.
//!
//! No digest of a secret is kept anywhere, so the hosts compare: only a run that has looked the secrets up
//! can ask them whether one changed under an unchanged principal.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context;
use tokio::task::JoinSet;

use crate::ground::{HostName, Problem, SecretRef};
use crate::plan::Observed;
use crate::remote::fleet::{Fleet, Secrets};
use crate::remote::shell::Changer;
use crate::resource::file::{Content, File};
use crate::resource::{Look, diff};
use crate::script::{jaas_slot, slot};
use crate::tasks::Desired;
use crate::tasks::zookeeper::QUORUM_AUTH;

/// Looks up every secret that the desired state mentions.
///
/// # Errors
/// One sentence naming where a secret is not to be found.
pub(super) fn look_up(desired: &Desired) -> anyhow::Result<Secrets> {
    let mut wanted: BTreeSet<SecretRef> = BTreeSet::new();
    for wishes in desired.tasks.values().flat_map(BTreeMap::values).flatten() {
        wanted.extend(wishes.resource.secrets());
    }
    let words = words(desired);
    let mut values = BTreeMap::new();
    for secret in wanted {
        let value = reveal(&secret)?;
        // It goes into JSON files that Mesos reads, by a shell that knows no JSON.
        anyhow::ensure!(
            !words.contains(&secret)
                || !value.chars().any(|c| c.is_control() || c == '"' || c == '\\'),
            "a secret holds a quotation mark, a backslash or a control character, which Mesos' credential files cannot hold"
        );
        values.insert(secret, value);
    }
    for file in desired.tasks.values().flat_map(BTreeMap::values).flatten() {
        if let Some(File { content: Content::Secret { template, secrets, label }, .. }) =
            file.resource.get::<File>()
            && (template.starts_with("zk://") || is_jaas(template))
        {
            // A JVM takes it for the name of a property, see `jaas_slot`.
            let named = is_jaas(template)
                && secrets.iter().any(|it| values.get(it).is_some_and(|it| it.contains("${")));
            anyhow::ensure!(
                !named,
                "a secret of zookeeper.quorum_auth holds `${{`, which Java's file of secrets cannot hold"
            );
            if is_jaas(template) {
                continue;
            }
            // Mesos splits the URL at the first one. Source: include/mesos/zookeeper/url.hpp at 1.11.0.
            let split = secrets.iter().any(|it| values.get(it).is_some_and(|it| it.contains('/')));
            anyhow::ensure!(
                !split,
                "the secret of `{label}` in zookeeper.credentials holds a `/`, which ends it in Mesos' URL of ZooKeeper"
            );
        }
    }
    Ok(Secrets::new(values))
}

/// Secrets that are words of something; others are the whole text of a file or quoted there, and may hold any.
fn words(desired: &Desired) -> BTreeSet<SecretRef> {
    let wishes = desired.tasks.values().flat_map(BTreeMap::values).flatten();
    let partial = wishes.filter(|wish| {
        !wish.resource.get::<File>().is_some_and(|file| match &file.content {
            Content::Secret { template, .. } => {
                template.trim_end_matches('\n') == slot(0) || is_jaas(template)
            }
            Content::Text(_) => true,
        })
    });
    partial.flat_map(|wish| wish.resource.secrets()).collect()
}

/// Whether the secrets in it are quoted as Java does, which leaves none out but those that name a property.
fn is_jaas(template: &str) -> bool {
    template.contains(&jaas_slot(0))
}

fn reveal(secret: &SecretRef) -> anyhow::Result<String> {
    let value = match secret {
        SecretRef::Env(name) => std::env::var(name)
            .map_err(|_| anyhow::anyhow!("the secret's environment variable {name} is not set"))?,
        SecretRef::File(path) => std::fs::read_to_string(path)
            .with_context(|| format!("the secret's file {} cannot be read", path.display()))?,
        SecretRef::Command(command) => {
            let output = std::process::Command::new("sh")
                .args(["-c", command])
                .stdin(Stdio::null())
                .stderr(Stdio::inherit())
                .output()
                .context("the secret's command cannot be run")?;
            anyhow::ensure!(output.status.success(), "the secret's command failed");
            String::from_utf8(output.stdout).context("the secret's command gave no text")?
        }
        SecretRef::Prompt => rpassword::prompt_password("Secret: ")
            .context("the secret cannot be asked for without a terminal")?,
    };
    let value = value.strip_suffix('\n').unwrap_or(&value).to_owned();
    anyhow::ensure!(!value.is_empty(), "a secret is empty");
    anyhow::ensure!(!value.contains('\0'), "a secret holds a NUL, which no file of text does");
    Ok(value)
}

/// Files that are as wanted by all that may be known of them, and hold another secret.
pub(super) async fn changed(
    desired: &Desired,
    observed: &Observed,
    fleet: &Arc<Fleet<Changer>>,
) -> Vec<(Option<HostName>, Problem)> {
    let mut asked = JoinSet::new();
    for (host, answer) in observed.answered() {
        for (_, wish) in desired.of(host) {
            let Some(file) = wish.resource.get::<File>() else { continue };
            let Some(comparison) = file.holds() else { continue };
            let right = match answer.looks.get(&wish.resource.id()) {
                Some(Look::Facts(facts)) => diff(&wish.resource.want(), facts).is_empty(),
                _ => false,
            };
            if right {
                let (fleet, host, file) = (Arc::clone(fleet), host.clone(), file.clone());
                asked.spawn(async move {
                    let said = fleet.compare(&host, &comparison).await.ok()?;
                    let differs = said.lines().any(|line| line == file.path);
                    differs.then(|| (Some(host), problem(&file)))
                });
            }
        }
    }
    let mut found: Vec<_> = asked.join_all().await.into_iter().flatten().collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn problem(file: &File) -> Problem {
    let principals = match &file.content {
        Content::Secret { label, .. } => label.as_str(),
        Content::Text(_) => "",
    };
    if let Some(of) = principals.strip_prefix(QUORUM_AUTH) {
        let message = format!(
            "{} holds another secret than the one of `{of}` that was looked up, and servers that know different secrets are no ensemble",
            file.path
        );
        return Problem::error(None, "secret-changed", message).help(
            "give the new secret a new principal and move the old one under `zookeeper.quorum_auth.former`; apply, take it out there, apply again",
        );
    }
    if principals.contains('/') {
        let message = format!(
            "{} holds another secret than the one of `{principals}` that was looked up",
            file.path
        );
        return Problem::error(None, "secret-changed", message).help(
            "remove it there and apply again: it is written anew; then restart what reads it, the Docker engine say",
        );
    }
    let message = format!(
        "{} holds another secret than the one of `{principals}` that was looked up, and Mesos reads it only when it starts",
        file.path
    );
    Problem::error(None, "secret-changed", message).help(
        "give the new secret a new principal and move the old one under `mesos.credentials.former`; apply, take it out there, apply again",
    )
}

//! `provision render`: every file of every host as `apply` would write it, and what a change of the
//! inventory changes in them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use similar::TextDiff;

use crate::ground::{HostName, SecretRef};
use crate::inventory::select::select;
use crate::inventory::show::{Style, show};
use crate::inventory::{Inventory, Part};
use crate::lints;
use crate::local;
use crate::pipeline::arguments::Source;
use crate::pipeline::load::{self, Artefacts, refuse_template};
use crate::report::exit;
use crate::resource::Resource;
use crate::resource::file::Content;
use crate::resource::image::Origin;
use crate::script::{jaas_slot, slot};
use crate::tasks::{self, Desired, Task, World, desire_of};
use crate::template::Templates;
use crate::ui::line;
use crate::ui::out::Out;

/// Arguments of `render`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Only these hosts: names, globs, `@pool`, `!` to exclude, comma separated
    #[arg(short = 'l', long, value_name = "HOSTS", add = crate::pipeline::complete::hosts())]
    limit: Option<String>,
    /// Write the files below this directory, which must be new or empty
    #[arg(long, value_name = "DIR", conflicts_with = "diff")]
    out: Option<PathBuf>,
    /// Show what going from that inventory to this one changes in the files; -e is of this one alone
    #[arg(long, value_name = "INVENTORY")]
    diff: Option<PathBuf>,
    /// Only the paths, without what is in the files
    #[arg(long, conflicts_with_all = ["out", "diff"])]
    list: bool,
}

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let opened = load::inputs(&args.source, None, Artefacts::MayBeMissing).await?;
    let chosen = match &args.limit {
        None => None,
        Some(text) => Some(select(&opened.inventory, text).map_err(anyhow::Error::msg)?),
    };
    let mut dangers = Vec::new();
    let mut old = None;
    if let Some(other) = &args.diff {
        // What is overridden is what is asked about, not what was.
        let source = Source { inventory: other.clone(), sets: Vec::new(), ..args.source.clone() };
        let before = load::inputs(&source, None, Artefacts::MayBeMissing).await?;
        dangers = lints::changes(&before.inventory, &opened.inventory);
        match files(before.inventory, &before.templates, chosen.as_ref()) {
            Ok(files) => old = Some(files),
            Err(why) => return Err(refuse_template(&why, &before.own).into()),
        }
    }
    let files = match files(opened.inventory, &opened.templates, chosen.as_ref()) {
        Ok(files) => files,
        Err(why) => return Err(refuse_template(&why, &opened.own).into()),
    };
    if let Some(directory) = &args.out {
        let count = write_all(&files, directory)?;
        let hosts = files.len();
        let sum = format!("{count} files of {hosts} hosts in {}", directory.display());
        line(Out, &sum);
        return Ok(exit::OK);
    }
    let mut out = io::BufWriter::new(Out);
    // What cannot be written is remembered there.
    let _ = match &old {
        Some(old) => {
            for danger in dangers {
                let shown = show(&danger, lints::reason(danger.name), &opened.text, Style::Plain);
                line(io::stderr().lock(), shown.trim_end());
            }
            let changes = changes(old, &files);
            if changes.is_empty() {
                line(Out, "# no file differs");
            }
            changes.iter().try_for_each(|text| out.write_all(text.as_bytes()))
        }
        None => list(&files, args.list, &mut out),
    };
    let _ = out.flush();
    Ok(exit::OK)
}

/// Host → path → file.
pub type Files = BTreeMap<HostName, BTreeMap<Arc<str>, Rendered>>;

/// One file as it would be written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rendered {
    /// What is in it, secrets named and not shown.
    pub text: Arc<str>,
    /// `owner:group mode`.
    pub access: Arc<str>,
}

/// Every file of the chosen hosts; the files of an image's build stand below the directory that they
/// are put together in.
///
/// # Errors
/// A template that does not render.
pub fn files(
    mut inventory: Inventory,
    templates: &Templates,
    chosen: Option<&BTreeSet<HostName>>,
) -> Result<Files, String> {
    // All that should be true of ten thousand hosts is hundreds of MiB, so it is worked out for some
    // agents at a time; no file of one agent speaks of another.
    const AT_ONCE: usize = 256;
    let mut files = Files::new();
    let mut shared = Shared::default();
    let mut left = Vec::new();
    for (name, pool) in &mut inventory.mesos.pools {
        let agents = std::mem::take(&mut pool.agents).into_iter();
        let wanted = agents.filter(|(host, _)| chosen.is_none_or(|chosen| chosen.contains(host)));
        left.extend(wanted.map(|(host, agent)| (name.clone(), host, agent)));
    }
    let all = std::mem::take(&mut inventory.hosts);
    // Hosts that are agents only wait for their turn.
    let members = members(&inventory);
    let (fixed, mut agents): (BTreeMap<_, _>, BTreeMap<_, _>) =
        all.into_iter().partition(|(name, host)| host.pool.is_none() || members.contains(name));
    inventory.hosts = fixed.clone();
    let mut left = left.into_iter().peekable();
    // The proofs are scripts that are run and not written.
    let tasks: Vec<Task> = tasks::ALL.into_iter().filter(|task| *task != Task::Smoke).collect();
    loop {
        for (pool, host, agent) in left.by_ref().take(AT_ONCE) {
            if let Some(machine) = agents.remove(&host) {
                inventory.hosts.insert(host.clone(), machine);
            }
            if let Some(pool) = inventory.mesos.pools.get_mut(&pool) {
                pool.agents.insert(host, agent);
            }
        }
        let world = World { inventory: &inventory, templates };
        collect(&desire_of(&world, &tasks)?, chosen, &mut shared, &mut files);
        if left.peek().is_none() {
            return Ok(files);
        }
        inventory.hosts.clone_from(&fixed);
        inventory.mesos.pools.values_mut().for_each(|pool| pool.agents.clear());
    }
}

/// Hosts that do something else than run an agent.
fn members(inventory: &Inventory) -> BTreeSet<HostName> {
    let other = Part::ALL.into_iter().filter(|part| *part != Part::Agent);
    let members = other.flat_map(|part| inventory.hosts_of(part));
    members.chain(inventory.retired.keys()).cloned().collect()
}

/// Most hosts share most of their files.
#[derive(Default)]
struct Shared(HashSet<Arc<str>>);

impl Shared {
    fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(text);
        self.0.insert(Arc::clone(&new));
        new
    }
}

fn collect(
    desired: &Desired,
    chosen: Option<&BTreeSet<HostName>>,
    shared: &mut Shared,
    files: &mut Files,
) {
    for (host, wishes) in desired.tasks.values().flatten() {
        if chosen.is_some_and(|chosen| !chosen.contains(host)) {
            continue;
        }
        let mut found: Vec<(Arc<str>, Rendered)> = Vec::new();
        for wish in wishes {
            match &*wish.resource {
                Resource::File(file) => {
                    let text = match &file.content {
                        Content::Text(text) => shared.get(text),
                        Content::Secret { template, secrets, .. } => {
                            shared.get(&named(template, secrets))
                        }
                    };
                    let access =
                        shared.get(&format!("{}:{} {}", file.owner, file.group, file.mode));
                    found.push((shared.get(&file.path), Rendered { text, access }));
                }
                Resource::Image(image) => {
                    let Origin::Build(build) = &image.origin else { continue };
                    let good = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
                    let name: String =
                        image.name.chars().map(|c| if good(c) { c } else { '_' }).collect();
                    let dockerfile = ("Dockerfile", build.dockerfile.as_str());
                    let rest = build.files.iter().map(|(n, t)| (n.as_str(), t.as_str()));
                    for (file, text) in std::iter::once(dockerfile).chain(rest) {
                        let path = format!("/var/lib/provision/build/{name}/{file}");
                        let access = shared.get("root:root 644");
                        let rendered = Rendered { text: shared.get(text), access };
                        found.push((shared.get(&path), rendered));
                    }
                }
                _ => {}
            }
        }
        if !found.is_empty() {
            files.entry(host.clone()).or_default().extend(found);
        }
    }
}

/// The text with each slot filled with the name of its secret.
fn named(template: &str, secrets: &[SecretRef]) -> String {
    let mut text = template.to_owned();
    for (index, secret) in secrets.iter().enumerate() {
        let name = match secret {
            SecretRef::Env(name) => name.clone(),
            SecretRef::File(path) => path.display().to_string(),
            // The command may hold what is secret itself.
            SecretRef::Command(_) => "of a command".to_owned(),
            SecretRef::Prompt => "asked for".to_owned(),
        };
        for slot in [slot(index), jaas_slot(index)] {
            text = text.replace(&slot, &format!("<secret {name}>"));
        }
    }
    text
}

fn list(files: &Files, paths_only: bool, out: &mut impl Write) -> io::Result<()> {
    for (host, files) in files {
        for (path, file) in files {
            writeln!(out, "==> {host}:{path} ({})", file.access)?;
            if !paths_only {
                out.write_all(file.text.as_bytes())?;
                out.write_all(if file.text.ends_with('\n') { b"\n" } else { b"\n\n" })?;
            }
        }
    }
    Ok(())
}

/// `DIR/host/path`; only into a directory that holds nothing, so that nothing stale is taken for ours.
fn write_all(files: &Files, directory: &Path) -> anyhow::Result<usize> {
    if let Ok(mut entries) = std::fs::read_dir(directory) {
        let empty = entries.next().is_none();
        ensure!(empty, "{} is not empty; name a new directory", directory.display());
    }
    let mut count = 0;
    let mut made: BTreeSet<PathBuf> = BTreeSet::new();
    for (host, files) in files {
        for (path, file) in files {
            let safe = path.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
            ensure!(safe, "`{path}` cannot be written below a directory");
            let to = directory.join(host.as_str()).join(path.trim_start_matches('/'));
            if let Some(parent) = to.parent()
                && made.insert(parent.to_path_buf())
            {
                local::files::directory(parent)
                    .with_context(|| format!("cannot make {}", parent.display()))?;
            }
            local::files::create_new(&to, file.text.as_bytes())
                .with_context(|| format!("cannot write {}", to.display()))?;
            count += 1;
        }
    }
    Ok(count)
}

/// A unified diff for each file that changes, hosts with the same change together.
pub fn changes(old: &Files, new: &Files) -> Vec<String> {
    type Change<'a> = (&'a str, Option<&'a Rendered>, Option<&'a Rendered>);
    let mut groups: BTreeMap<Change<'_>, Vec<&HostName>> = BTreeMap::new();
    let nothing = BTreeMap::new();
    let hosts: BTreeSet<&HostName> = old.keys().chain(new.keys()).collect();
    for host in hosts {
        let before = old.get(host).unwrap_or(&nothing);
        let after = new.get(host).unwrap_or(&nothing);
        let paths: BTreeSet<&Arc<str>> = before.keys().chain(after.keys()).collect();
        for path in paths {
            let (a, b) = (before.get(path), after.get(path));
            if a != b {
                groups.entry((path, a, b)).or_default().push(host);
            }
        }
    }
    groups.into_iter().map(|((path, a, b), hosts)| change(path, a, b, &hosts)).collect()
}

fn change(path: &str, a: Option<&Rendered>, b: Option<&Rendered>, hosts: &[&HostName]) -> String {
    let few: Vec<&str> = hosts.iter().take(5).map(|host| host.as_str()).collect();
    let more = match hosts.len().saturating_sub(few.len()) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let mut text = format!("# on {}{more}\n", few.join(", "));
    let access = |file: Option<&Rendered>| file.map(|file| Arc::clone(&file.access));
    if let (Some(was), Some(is)) = (access(a), access(b))
        && was != is
    {
        text.push_str(&format!("# {was} becomes {is}\n"));
    }
    let content = |file: Option<&Rendered>| file.map_or("", |file| &*file.text).to_owned();
    let (before, after) = (content(a), content(b));
    let name = |file: Option<&Rendered>, side: &str| match file {
        Some(_) => format!("{side}{path}"),
        None => "/dev/null".to_owned(),
    };
    let diff = TextDiff::from_lines(&before, &after);
    text.push_str(&diff.unified_diff().header(&name(a, "a"), &name(b, "b")).to_string());
    if a.is_none() || b.is_none() {
        // An empty file has no line that a diff could show.
        let what = if a.is_none() { "new file" } else { "no longer written" };
        text.insert_str(0, &format!("# {what}\n"));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(list: &[(&str, &str, &str)]) -> Files {
        let mut files = Files::new();
        for (host, path, text) in list {
            let file = Rendered { text: Arc::from(*text), access: "root:root 644".into() };
            files.entry(HostName::new(host)).or_default().insert(Arc::from(*path), file);
        }
        files
    }

    #[test]
    fn hosts_with_the_same_change_stand_together() {
        let old = some(&[("a1", "/x", "1\n"), ("a2", "/x", "1\n"), ("a3", "/x", "1\n")]);
        let new = some(&[
            ("a1", "/x", "2\n"),
            ("a2", "/x", "2\n"),
            ("a3", "/x", "1\n"),
            ("a3", "/y", ""),
        ]);
        let changes = changes(&old, &new);
        assert_eq!(changes.len(), 2, "{changes:?}");
        assert!(changes[0].starts_with("# on a1, a2\n--- a/x\n+++ b/x\n"), "{}", changes[0]);
        assert!(changes[0].contains("\n-1\n+2\n"));
        assert!(changes[1].starts_with("# new file\n# on a3\n"), "{}", changes[1]);
    }

    /// Some agents at a time and all at once give the same files.
    #[test]
    fn parts_make_the_whole() {
        use crate::lints::load::{Lab, load_text};
        let head = "version: 1\ncluster: c\nhosts:\n  m1: { address: 10.0.0.1 }\n";
        let lines: String = (0..3)
            .map(|i| {
                let (first, last) = (i * 200 + 1, i * 200 + 200);
                format!("  a[{first}:{last}]: {{ address: \"10.1.{i}.[1:200]\" }}\n")
            })
            .collect();
        let text = format!("{head}{lines}")
            + "zookeeper: { servers: { m1: 1 } }\nmesos:\n  version: 1.11.0\n  package: { preinstalled: true }\n  \
               masters: { hosts: [m1] }\n  agents:\n    p: { hosts: [m1, \"a[1:300]\"] }\n    q: { hosts: [\"a[301:600]\"] }\n";
        let loaded = load_text("i", text.as_bytes(), Path::new("/"), &[], Lab::No);
        let inventory = loaded.expect("an inventory").inventory;
        let templates = Templates::new(&BTreeMap::new()).expect("our templates");
        let world = World { inventory: &inventory, templates: &templates };
        let mut whole = Files::new();
        let desired = tasks::desire(&world).expect("what is desired");
        collect(&desired, None, &mut Shared::default(), &mut whole);
        let parts = files(inventory, &templates, None).expect("files");
        assert_eq!(parts.len(), 601);
        assert!(parts == whole);
    }

    #[test]
    fn secrets_are_named_and_never_shown() {
        let secrets = [SecretRef::Env("A".into()), SecretRef::Command("echo hunter2".into())];
        let text = named(&format!("{}:{}", slot(0), slot(1)), &secrets);
        assert_eq!(text, "<secret A>:<secret of a command>");
    }
}

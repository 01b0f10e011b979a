//! Loading: an inventory, its templates, and what should be true on its hosts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use super::arguments::{Reach, Source};
use super::quit;
use crate::ground::HostName;
use crate::inventory::show::Style;
use crate::inventory::{Host, Inventory, Retired};
use crate::lab;
pub use crate::lints::load::Artefacts;
use crate::lints::load::{Lab, Loaded, Refused, Request, load};
use crate::tasks::{Desired, World, desire};
use crate::template::{BUILT_IN, Templates, meant};
use crate::ui::line;
use crate::ui::problems::{self, Format, Texts, template_problem};

/// An inventory, loaded and bent towards the twin where that is meant, and what is built from it.
#[derive(Debug)]
pub struct Session {
    /// What the user asked for.
    pub inventory: Arc<Inventory>,
    /// What should be true, as far as it can be said without asking anybody.
    pub desired: Desired,
    /// What files are rendered from.
    pub templates: Templates,
    /// The inventory's text, for problems that are found later.
    pub text: Arc<str>,
}

/// An inventory and its templates, nothing derived from them yet.
#[derive(Debug)]
pub struct Inputs {
    /// What the user asked for.
    pub inventory: Inventory,
    /// Templates, the user's over ours.
    pub templates: Templates,
    /// The user's by name, for what is wrong with them.
    pub own: BTreeMap<String, String>,
    /// The inventory's text, for problems that are found later.
    pub text: Arc<str>,
}

/// Reads an inventory and says nothing.
///
/// # Errors
/// All of its problems.
pub fn read(source: &Source, artefacts: Artefacts) -> Result<Loaded, Refused> {
    load(&Request {
        path: Some(source.inventory.clone()),
        sets: source.sets.clone(),
        lab: if source.lab { Lab::Yes } else { Lab::No },
        artefacts,
    })
}

/// Reads an inventory, printing every problem.
///
/// # Errors
/// [`Refused`](quit::Refused) when one of them is an error.
pub fn inventory(source: &Source, artefacts: Artefacts) -> anyhow::Result<Loaded> {
    let loaded = sound(source, artefacts)?;
    problems::print(&loaded.warnings, &loaded.text);
    Ok(loaded)
}

/// The same without a word on what is doubtful.
fn sound(source: &Source, artefacts: Artefacts) -> anyhow::Result<Loaded> {
    read(source, artefacts).map_err(|refused| {
        problems::print(&refused.problems, &refused.text);
        quit::Refused::of(refused.problems).into()
    })
}

/// Reads an inventory and its templates, bent towards the twin and the login that were asked for.
///
/// # Errors
/// As [`inventory`]; a template that cannot be read; a twin that does not run.
pub async fn inputs(
    source: &Source,
    reach: Option<&Reach>,
    artefacts: Artefacts,
) -> anyhow::Result<Inputs> {
    bent(self::inventory(source, artefacts)?, source, reach).await
}

async fn bent(loaded: Loaded, source: &Source, reach: Option<&Reach>) -> anyhow::Result<Inputs> {
    let Loaded { mut inventory, text, .. } = loaded;
    if source.lab {
        let twin = lab::find(&inventory.cluster).await?.with_context(|| {
            format!(
                "no twin of `{}` runs here; start it with `provision lab up`",
                inventory.cluster
            )
        })?;
        for note in lab::overlay(&mut inventory, &twin)? {
            line(std::io::stderr().lock(), &format!("twin: {note}"));
        }
    }
    if let Some(reach) = reach {
        for host in inventory.hosts.values_mut() {
            if let Some(user) = &reach.user {
                host.ssh.user = Some(user.clone());
            }
            if let Some(key) = &reach.private_key {
                host.ssh.identity_file = Some(key.clone());
            }
        }
    }
    let own = templates(&source.inventory)?;
    let templates = Templates::new(&own).map_err(|why| refuse_template(&why, &own))?;
    Ok(Inputs { inventory, templates, own, text })
}

/// Reads what [`inputs`] does and says what should be true.
///
/// # Errors
/// As [`inputs`]; [`Refused`](quit::Refused) when a template does not render.
pub async fn session(
    source: &Source,
    reach: Option<&Reach>,
    artefacts: Artefacts,
) -> anyhow::Result<Session> {
    whole(inputs(source, reach, artefacts).await?)
}

/// The same for a program that takes whatever else is said for an error, as Ansible does.
///
/// # Errors
/// As [`session`].
pub async fn unremarked(source: &Source) -> anyhow::Result<Session> {
    whole(bent(sound(source, Artefacts::MayBeMissing)?, source, None).await?)
}

fn whole(inputs: Inputs) -> anyhow::Result<Session> {
    let Inputs { inventory, templates, own, text } = inputs;
    let world = World { inventory: &inventory, templates: &templates };
    let desired = desire(&world).map_err(|why| refuse_template(&why, &own))?;
    Ok(Session { inventory: Arc::new(inventory), desired, templates, text })
}

impl Session {
    /// A host that there is, by its name.
    ///
    /// # Errors
    /// One sentence, where the inventory has none or says that it is gone.
    pub fn host(&self, name: &str) -> anyhow::Result<(&HostName, &Host)> {
        let inventory = &self.inventory;
        let host = inventory.hosts.get_key_value(&HostName::new(name)).with_context(|| {
            format!(
                "there is no host `{name}` in cluster {}; `provision inventory --graph` shows all",
                inventory.cluster
            )
        })?;
        anyhow::ensure!(
            inventory.retired.get(host.0) != Some(&Retired::Gone),
            "`{name}` is gone, as the inventory says"
        );
        Ok(host)
    }
}

/// Says what is wrong with a template, at its line.
pub fn refuse_template(why: &str, own: &BTreeMap<String, String>) -> quit::Refused {
    let texts = Texts { inventory: "", templates: own };
    let problem = template_problem(why);
    let shown = problems::write(std::slice::from_ref(&problem), texts, Format::Human, Style::Plain);
    line(std::io::stderr().lock(), shown.trim_end());
    quit::Refused::of(vec![problem])
}

/// `templates/` beside the inventory: name → text. What stands where a template of ours would and is none
/// keeps its whole name, for [`Templates::new`] to refuse.
///
/// # Errors
/// When one of them cannot be read.
pub fn templates(inventory: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let root = inventory.parent().unwrap_or(Path::new("")).join("templates");
    let mut found = BTreeMap::new();
    // Ours are embedded; beside our own example inventories there is none.
    if inventory == Path::new("-") || !root.is_dir() {
        return Ok(found);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&root)? {
        let path = entry?.path();
        if !path.is_dir() {
            files.push(path);
            continue;
        }
        for entry in std::fs::read_dir(&path)? {
            files.push(entry?.path());
        }
    }
    for file in files {
        let Some(path) = file.strip_prefix(&root).ok().and_then(Path::to_str) else { continue };
        let name = path.strip_suffix(".tera").filter(|name| is_built_in(name));
        if name.is_none() && !stands_for_ours(path) {
            continue;
        }
        let Some(name) = name else {
            found.insert(path.to_owned(), String::new());
            continue;
        };
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        // An editor's marks and line ends would reach the hosts, where daemons read them as text.
        let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
        found.insert(name.to_owned(), text);
    }
    Ok(found)
}

fn is_built_in(name: &str) -> bool {
    BUILT_IN.iter().any(|(known, _)| *known == name)
}

/// Whether somebody would take it for an override: it is called like one of ours, or lies where ours do.
/// Editors' backups and hidden files are left alone.
fn stands_for_ours(path: &str) -> bool {
    let (task, file) = path.rsplit_once('/').unwrap_or(("", path));
    if file.starts_with('.') || file.ends_with('~') || file.contains(".tera.") {
        return false;
    }
    let beside_ours = BUILT_IN.iter().any(|(known, _)| known.split('/').next() == Some(task));
    beside_ours || meant(file).is_some() || (!task.is_empty() && file.ends_with(".tera"))
}

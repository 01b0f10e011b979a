//! Saved plans as files.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

use anyhow::Context;

use super::arguments::{Limits, Source};
use super::load::{self, Session};
use super::planning::{Aim, Planned};
use crate::inventory::sets::is_variable;
use crate::inventory::show::without_passwords;
use crate::local::clock;
use crate::local::files::{self, Readers};
use crate::plan::Scope;
use crate::plan::saved::{Asked, Made, Saved, Where, parse};
use crate::script::quote_all;
use crate::ui::line;
use crate::ui::visible::sentence;

/// No saved plan is larger; an inventory that is will be refused for its size.
const MOST_BYTES: u64 = 512 << 20;

/// Reads a saved plan; `None` for a file that is something else, or is not there.
///
/// # Errors
/// A plan that cannot be read, or that others may have written or read.
pub fn read(path: &Path) -> anyhow::Result<Option<Saved>> {
    if path == Path::new("-") {
        return Ok(None);
    }
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be read", path.display()));
        }
    };
    let mut text = Vec::new();
    // Whatever else cannot be read or is no text, the inventory's own reader says better.
    if (&file).take(MOST_BYTES).read_to_end(&mut text).is_err() {
        return Ok(None);
    }
    let Ok(text) = String::from_utf8(text) else { return Ok(None) };
    let saved = parse(&text).transpose();
    let saved = saved.map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))?;
    let shown = path.display();
    anyhow::ensure!(
        saved.is_none() || files::is_ours_alone(&file)?,
        "others may have written the saved plan {shown} or may read it; if you know what is in it, make it yours alone: chmod 600 {shown}"
    );
    Ok(saved)
}

/// Writes a plan for our eyes only, whole or not at all.
///
/// # Errors
/// A password in it that would be written down; a file that cannot be written.
pub fn write(path: &Path, saved: &Saved) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(saved)?;
    // The secrets that we know of are slots in it.
    anyhow::ensure!(
        without_passwords(&text) == text,
        "a URL in the inventory holds a password, which a saved plan must not; take it out of there, or apply without --out"
    );
    files::replace(path, format!("{text}\n"), Readers::Us)
        .with_context(|| format!("the plan cannot be written to {}", path.display()))
}

/// A plan of this session, written down.
pub fn save(
    session: &Session,
    planned: &Planned,
    scope: &Scope,
    source: &Source,
    limits: &Limits,
    aim: Aim<'_>,
    run: &str,
) -> Saved {
    let asked = Asked {
        cluster: session.inventory.cluster.clone(),
        inventory: source.inventory.clone(),
        digest: session.inventory.digest.clone(),
        sets: source.sets.clone(),
        hosts: if source.lab { Where::Lab } else { Where::Inventory },
        limit: limits.limit.clone(),
        tasks: limits.tasks.clone(),
        verb: match aim {
            Aim::Inventory { .. } => None,
            Aim::Verb(verb) => Some(verb.clone()),
        },
    };
    let made = Made {
        run: run.to_owned(),
        at: clock::rfc3339(clock::now()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    Saved::of(&planned.plan, &planned.observed, scope, asked, made)
}

/// What a saved plan was asked for, as if it were asked for now. Of what it says only what can reach nothing
/// but the plan is taken: `-l`, `-t`, and overrides of variables that the user says yes to. Which inventory is
/// meant, and every other override, the user says: an `ssh` option or a secret may name a command of this
/// machine, and a path any file of it.
///
/// # Errors
/// One sentence: what the user has to say, and how.
pub fn again(
    saved: &Saved,
    own: &Source,
    agree: impl FnOnce(&str) -> Result<bool, String>,
) -> anyhow::Result<(Source, Limits)> {
    let Asked { sets, hosts, limit, tasks, .. } = &saved.asked;
    let limits = Limits { limit: limit.clone(), tasks: tasks.clone() };
    if let Some(set) = own.sets.iter().find(|set| !sets.contains(set)) {
        anyhow::bail!("the plan was made without {}; make another plan instead", shown([set]));
    }
    let unsaid: Vec<&String> = sets.iter().filter(|set| !own.sets.contains(set)).collect();
    let strange: Vec<&String> = unsaid.iter().copied().filter(|set| !is_variable(set)).collect();
    anyhow::ensure!(
        strange.is_empty(),
        "the plan was made with overrides, and none but those of variables are taken from a plan; if you mean them say them again: {}",
        shown(strange)
    );
    if !unsaid.is_empty() {
        let said = shown(unsaid);
        let question = format!("The plan was made with {said}. Go on with that?");
        let agreed = agree(&question).map_err(|_| {
            anyhow::anyhow!(
                "the plan was made with overrides; if you mean them say them again: {said}"
            )
        })?;
        anyhow::ensure!(agreed, "nothing was changed");
    }
    let source = Source { sets: sets.clone(), lab: *hosts == Where::Lab, ..own.clone() };
    Ok((source, limits))
}

/// Overrides as words of a command line, fit to be shown.
fn shown<'a>(sets: impl IntoIterator<Item = &'a String>) -> String {
    let words = sets.into_iter().flat_map(|set| ["-e", set.as_str()]);
    sentence(&without_passwords(&quote_all(words)))
}

/// Refuses a plan that was not saved for this inventory with these overrides; reads that and starts nothing.
///
/// # Errors
/// One sentence.
pub fn same_inventory(saved: &Saved, source: &Source) -> anyhow::Result<()> {
    // What is wrong with an inventory that cannot be loaded is said by whoever needs it.
    let Ok(loaded) = load::read(source, load::Artefacts::Needed) else { return Ok(()) };
    let Asked { cluster, inventory, digest, .. } = &saved.asked;
    let is = source.inventory.display();
    anyhow::ensure!(
        *digest == loaded.inventory.digest && *cluster == loaded.inventory.cluster,
        "the plan was made for another inventory than {is}, or for another text of it; nothing was changed; make a new plan, or name the inventory that it was made for, which it calls `{}`: -i PATH",
        sentence(&inventory.to_string_lossy())
    );
    Ok(())
}

/// The words that apply a plan which was saved at this path.
pub fn words(path: &Path, source: &Source) -> String {
    let (path, inventory) = (path.to_string_lossy(), source.inventory.to_string_lossy());
    let mut words = vec!["provision", "apply", &*path];
    if inventory != "inventory.yaml" {
        words.extend(["-i", &*inventory]);
    }
    words.extend(source.sets.iter().flat_map(|set| ["-e", set]));
    without_passwords(&quote_all(words))
}

/// Refuses a saved plan when another would be made `now`, saying what has moved.
///
/// # Errors
/// One sentence.
pub fn unmoved(saved: &Saved, now: &Saved) -> anyhow::Result<()> {
    let moved = saved.moved(now);
    for what in &moved {
        line(std::io::stderr().lock(), &format!("error: {what}"));
    }
    anyhow::ensure!(
        moved.is_empty(),
        "the saved plan is stale, nothing was changed; make a new plan"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::plan::saved::FORMAT;

    fn saved(sets: &[&str]) -> Saved {
        let asked = Asked {
            cluster: "c".to_owned(),
            inventory: "/tmp/theirs.yaml".into(),
            digest: "d".to_owned(),
            sets: sets.iter().map(|set| (*set).to_owned()).collect(),
            hosts: Where::Inventory,
            limit: Some("a*".to_owned()),
            tasks: Vec::new(),
            verb: None,
        };
        let made = Made { run: String::new(), at: String::new(), version: String::new() };
        Saved {
            provision_plan: FORMAT,
            made,
            asked,
            stages: Vec::new(),
            running: std::collections::BTreeMap::new(),
            blocked: std::collections::BTreeSet::new(),
            unreachable: std::collections::BTreeMap::new(),
            seen: std::collections::BTreeMap::new(),
            texts: std::collections::BTreeMap::new(),
            health: Default::default(),
        }
    }

    fn own(sets: &[&str]) -> Source {
        let sets = sets.iter().map(|set| (*set).to_owned()).collect();
        Source { inventory: "mine.yaml".into(), sets, lab: false }
    }

    #[test]
    fn neither_ssh_nor_secrets_nor_paths_are_taken_from_a_plan() {
        for set in [
            "ssh.config_file=/tmp/evil",
            "ssh={proxy_jump: x}",
            "hosts.m1.ssh.known_hosts=/dev/null",
            "mesos.credentials.agent.secret={command: id}",
            "mesos.package.deb=/tmp/evil.deb",
            "cluster=other",
        ] {
            let asked = |_: &str| -> Result<bool, String> { panic!("{set} was asked about") };
            let why = again(&saved(&[set]), &own(&[]), asked).unwrap_err().to_string();
            assert!(why.contains("say them again: -e "), "{why}");
            // Whoever says it himself means it.
            let (source, limits) = again(&saved(&[set]), &own(&[set]), asked).unwrap();
            assert_eq!(
                (source.inventory.as_path(), &source.sets[..]),
                (Path::new("mine.yaml"), &[set.to_owned()][..])
            );
            assert_eq!(limits.limit.as_deref(), Some("a*"));
        }
    }

    #[test]
    fn overrides_of_variables_are_shown_and_asked_about() {
        let plan = saved(&["rack=r1\x1b[2J", "vars.dc=seoul"]);
        let mut question = String::new();
        let mut ask = |agreed| {
            again(&plan, &own(&[]), |asked| {
                asked.clone_into(&mut question);
                agreed
            })
            .map(|(source, _)| source.sets)
        };
        assert_eq!(ask(Ok(true)).unwrap(), plan.asked.sets);
        ask(Ok(false)).unwrap_err();
        let why = ask(Err("there is no terminal".to_owned())).unwrap_err().to_string();
        assert!(why.contains("-e vars.dc=seoul") && !why.contains('\x1b'), "{why}");
        assert!(question.contains("rack=r1\\u001b[2J"), "{question}");
        let why = again(&plan, &own(&["other=1"]), |_| Ok(true)).unwrap_err().to_string();
        assert!(why.starts_with("the plan was made without -e other=1"), "{why}");
    }

    #[test]
    fn a_plan_that_others_may_have_written_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.json");
        write(&path, &saved(&[])).unwrap();
        assert_eq!(read(&path).unwrap(), Some(saved(&[])));
        for mode in [0o644, 0o620, 0o604] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let why = read(&path).unwrap_err().to_string();
            assert!(why.contains("chmod 600"), "{why}");
        }
    }

    #[test]
    fn the_words_that_apply_a_plan_say_what_is_not_taken_from_it() {
        let words = words(Path::new("p.json"), &own(&["ssh.user=o p"]));
        assert_eq!(words, "provision apply p.json -i mine.yaml -e 'ssh.user=o p'");
    }
}

//! What every command that reads an inventory or reaches hosts begins with.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;

use super::findings::{self, Texts, template_problem};
use crate::cli::{Format, Limits, Reach, RunOutput, Source};
use crate::event::Sink;
use crate::health::leaders_agents;
use crate::inventory::load::{Lab, Request, load};
use crate::inventory::select::select;
use crate::inventory::show::{Style, show, without_passwords};
use crate::inventory::{HostName, Inventory, Problem, SecretRef, Severity};
use crate::lab;
use crate::mesos::live::AgentInfo;
use crate::observe;
use crate::plan::{Observed, Scope};
use crate::remote::fleet::{Opening, Password, Secrets};
use crate::remote::shell::Places;
use crate::remote::ssh::{Options, UnknownKeys};
use crate::report::exit;
use crate::resource::Resource;
use crate::script::{Sections, Step, quote_all};
use crate::tasks::{Desired, Task, World, desire};
use crate::template::Templates;
use crate::ui::github::Github;
use crate::ui::junit::Junit;
use crate::ui::log::Log;
use crate::ui::screen::Stderr;
use crate::ui::{Colour, Recorder, Render, colour, line, rfc3339, screen, styled};

/// An inventory, loaded and bent towards the twin where that is meant, and what is built from it.
#[derive(Debug)]
pub struct Session {
    /// What the user asked for.
    pub inventory: Inventory,
    /// Templates, the user's over ours.
    pub templates: Templates,
    /// What should be true, as far as it can be said without asking anybody.
    pub desired: Desired,
    /// The inventory's text, for problems that are found later.
    pub text: Arc<str>,
}

/// Why a command ends early: what it said is said already.
#[derive(Debug)]
pub struct Quit(pub u8);

/// Loads an inventory as [`open`] does and says what should be true.
pub async fn start(
    source: &Source,
    reach: Option<&Reach>,
) -> anyhow::Result<Result<Session, Quit>> {
    let Opened { inventory, templates, own, text } = match open(source, reach).await? {
        Ok(opened) => opened,
        Err(quit) => return Ok(Err(quit)),
    };
    let world = World { inventory: &inventory, templates: &templates, live: None };
    match desire(&world) {
        Ok(desired) => Ok(Ok(Session { inventory, templates, desired, text })),
        Err(why) => Ok(Err(refuse_template(&why, &own))),
    }
}

/// An inventory and its templates, nothing derived from them yet.
#[derive(Debug)]
pub struct Opened {
    /// What the user asked for.
    pub inventory: Inventory,
    /// Templates, the user's over ours.
    pub templates: Templates,
    /// The user's by name, for what is wrong with them.
    pub own: BTreeMap<String, String>,
    /// The inventory's text, for problems that are found later.
    pub text: Arc<str>,
}

/// Loads an inventory, printing every problem. Errors end the command with 1.
pub async fn open(source: &Source, reach: Option<&Reach>) -> anyhow::Result<Result<Opened, Quit>> {
    let request = Request {
        path: Some(source.inventory.clone()),
        sets: source.sets.clone(),
        lab: if source.lab { Lab::Yes } else { Lab::No },
    };
    let loaded = match load(&request) {
        Ok(loaded) => loaded,
        Err(refused) => {
            print_problems(&refused.problems, &refused.text);
            return Ok(Err(Quit(exit::USAGE)));
        }
    };
    print_problems(&loaded.warnings, &loaded.text);
    let mut inventory = loaded.inventory;
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
    let own = overrides(&source.inventory)?;
    match Templates::new(&own) {
        Ok(templates) => Ok(Ok(Opened { inventory, templates, own, text: loaded.text })),
        Err(why) => Ok(Err(refuse_template(&why, &own))),
    }
}

/// Says what is wrong with a template, at its line.
pub(super) fn refuse_template(why: &str, own: &BTreeMap<String, String>) -> Quit {
    let texts = Texts { inventory: "", templates: own };
    let shown =
        findings::write(&[template_problem(why)], texts, findings::Format::Human, Style::Plain);
    line(std::io::stderr().lock(), shown.trim_end());
    Quit(exit::USAGE)
}

/// `templates/` beside the inventory: `name.tera` → text.
pub(super) fn overrides(inventory: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let root = inventory.parent().unwrap_or(Path::new("")).join("templates");
    let mut found = BTreeMap::new();
    // Ours are embedded; beside our own example inventories there is none.
    if inventory == Path::new("-") || !root.is_dir() {
        return Ok(found);
    }
    for task in std::fs::read_dir(&root)? {
        let task = task?.path();
        if !task.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&task)? {
            let file = file?.path();
            let name = file
                .strip_prefix(&root)
                .ok()
                .and_then(|path| path.to_str())
                .and_then(|path| path.strip_suffix(".tera"));
            if let Some(name) = name {
                let text = std::fs::read_to_string(&file)
                    .with_context(|| format!("cannot read {}", file.display()))?;
                found.insert(name.to_owned(), text);
            }
        }
    }
    Ok(found)
}

/// Prints problems as snippets where people read, as lines elsewhere.
pub fn print_problems(problems: &[Problem], text: &str) {
    for problem in problems {
        match colour() {
            Colour::No => {
                line(std::io::stderr().lock(), show(problem, text, Style::Plain).trim_end());
            }
            Colour::Yes => {
                styled(std::io::stderr().lock(), show(problem, text, Style::Coloured).trim_end());
            }
        }
    }
}

impl Session {
    /// What may be changed; an error when a name matches nothing.
    pub fn scope(&self, limits: &Limits) -> Result<Scope, String> {
        let hosts: Option<BTreeSet<HostName>> = match &limits.limit {
            None => None,
            Some(text) => Some(select(&self.inventory, text)?),
        };
        let mut tasks = BTreeSet::new();
        for name in &limits.tasks {
            let task = Task::parse(name).ok_or_else(|| {
                let all: Vec<&str> = crate::tasks::ALL.iter().map(|task| task.name()).collect();
                format!("there is no task `{name}`; tasks are {}", all.join(", "))
            })?;
            tasks.insert(task);
        }
        let tasks = (!tasks.is_empty()).then_some(tasks);
        Ok(Scope { hosts, tasks })
    }

    /// How all hosts are opened; hosts that are gone are not.
    pub fn opening(&self, reach: &Reach, run: &str) -> anyhow::Result<Opening> {
        let keys =
            if reach.accept_new_host_keys { UnknownKeys::Accept } else { UnknownKeys::Refuse };
        let options = Options::new(keys).map_err(|error| anyhow::anyhow!("{error}"))?;
        let gone = |host: &HostName| {
            self.inventory.retired.get(host) == Some(&crate::inventory::Retired::Gone)
        };
        let hosts = self
            .inventory
            .hosts
            .iter()
            .filter(|(name, _)| !gone(name))
            .map(|(name, host)| (name.clone(), host.ssh.clone()))
            .collect();
        Ok(Opening {
            hosts,
            options,
            password: password(reach)?.map(Password),
            places: Places::default(),
            run: run.to_owned(),
            by: std::env::var("SUDO_USER")
                .or_else(|_| std::env::var("USER"))
                .or_else(|_| std::env::var("LOGNAME"))
                .unwrap_or_else(|_| "somebody".to_owned()),
            from: std::fs::read_to_string("/etc/hostname")
                .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned()),
        })
    }

    /// What was seen, and what should be true now that the live agents are known.
    pub fn observed(
        &mut self,
        answers: BTreeMap<HostName, Result<Sections, String>>,
    ) -> anyhow::Result<Observed> {
        let replies = observe::replies(&self.inventory, &answers);
        let live: Option<BTreeMap<String, AgentInfo>> = leaders_agents(&self.inventory, &replies)
            .map(|all| all.into_iter().map(|(at, listed)| (at, listed.info)).collect());
        if let Some(live) = &live {
            let world =
                World { inventory: &self.inventory, templates: &self.templates, live: Some(live) };
            self.desired = desire(&world).map_err(|why| anyhow::anyhow!("{why}"))?;
        }
        Ok(observe::observed(&self.inventory, &self.desired, answers))
    }

    /// Looks up every secret that the desired state mentions.
    pub fn secrets(&self) -> anyhow::Result<Secrets> {
        let mut wanted: BTreeSet<SecretRef> = BTreeSet::new();
        for wishes in self.desired.tasks.values().flat_map(BTreeMap::values).flatten() {
            if let Resource::File(file) = &wishes.resource {
                for step in file.fix() {
                    if let Step::Run(fix) = step {
                        wanted.extend(fix.secrets().iter().cloned());
                    }
                }
            }
        }
        let mut values = BTreeMap::new();
        for secret in wanted {
            let value = reveal(&secret)?;
            values.insert(secret, value);
        }
        Ok(Secrets::new(values))
    }
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
    // It goes into JSON files that Mesos reads, by a shell that knows no JSON.
    anyhow::ensure!(
        !value.chars().any(|c| c.is_control() || c == '"' || c == '\\'),
        "a secret holds a quotation mark, a backslash or a control character, which Mesos' credential files cannot hold"
    );
    Ok(value)
}

fn password(reach: &Reach) -> anyhow::Result<Option<String>> {
    if let Some(path) = &reach.become_password_file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        return Ok(text.lines().next().map(str::to_owned));
    }
    if reach.ask_become_pass {
        let password = rpassword::prompt_password("sudo password: ")
            .context("sudo's password cannot be asked for without a terminal")?;
        return Ok(Some(password));
    }
    Ok(None)
}

/// The words that ask for the same again.
pub fn again(command: &str, source: &Source, limits: &Limits) -> String {
    let inventory = source.inventory.to_string_lossy();
    let tasks = limits.tasks.join(",");
    let mut words = vec!["provision", command, &*inventory];
    if source.lab {
        words.push("--lab");
    }
    words.extend(source.sets.iter().flat_map(|set| ["-e", set]));
    words.extend(limits.limit.iter().flat_map(|limit| ["-l", limit]));
    if !tasks.is_empty() {
        words.extend(["-t", &*tasks]);
    }
    without_passwords(&quote_all(words))
}

/// A new run's id: its time to the microsecond, so that ids sort as runs began, and chance, for two that
/// begin together.
pub fn run_id() -> String {
    let now = SystemTime::now();
    let nanos = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    let time: String = rfc3339(now).chars().filter(char::is_ascii_alphanumeric).take(15).collect();
    let chance = RandomState::new().build_hasher().finish() & 0xfff;
    format!("{time}Z-{:05x}{chance:03x}", nanos >> 10 & 0xf_ffff)
}

/// The recorder of a run, drawing as asked.
pub fn recorder(run: &str, output: impl Into<RunOutput>) -> Arc<Recorder> {
    let output = output.into();
    let variable = |name: &str| std::env::var(name).ok();
    let stderr = if std::io::stderr().is_terminal() { Stderr::Terminal } else { Stderr::Other };
    let mut renderers: Vec<Box<dyn Render>> = vec![screen::renderer(&output, stderr, &variable)];
    if let Some(to) = &output.log_file {
        renderers.push(Box::new(Log::new(to.clone())));
    }
    if let Some(path) = &output.junit {
        renderers.push(Box::new(Junit::new(path)));
    }
    if screen::format(&output, &variable) == Format::Github {
        renderers.push(Box::new(Github));
    }
    Arc::new(Recorder::new(run, renderers))
}

/// As a sink.
pub fn sink(recorder: &Arc<Recorder>) -> Arc<dyn Sink> {
    Arc::clone(recorder) as Arc<dyn Sink>
}

/// Asks for `yes`; without a terminal it says which flag is missing.
pub fn confirm(question: &str) -> Result<bool, String> {
    if !std::io::stdin().is_terminal() {
        return Err("there is no terminal to ask on; say --yes".to_owned());
    }
    line(std::io::stderr().lock(), &format!("{question}\n  Only `yes` is accepted."));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|error| error.to_string())?;
    Ok(answer.trim() == "yes")
}

/// Prints preflight findings; whether any is an error.
pub fn has_errors(found: &[(Option<HostName>, Problem)]) -> bool {
    found.iter().any(|(_, problem)| problem.severity == Severity::Error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_asks_for_the_same() {
        let source = Source {
            inventory: "my inventory.yaml".into(),
            sets: vec!["proxy.http=http://u:secret@p".to_owned()],
            lab: true,
        };
        let limits = Limits {
            limit: Some("a*".to_owned()),
            tasks: vec!["base".to_owned(), "agents".to_owned()],
        };
        let words = again("apply", &source, &limits);
        assert!(words.starts_with("provision apply 'my inventory.yaml' --lab -e proxy.http="));
        assert!(words.ends_with(" -l 'a*' -t base,agents"), "{words}");
        assert!(!words.contains("secret"), "{words}");
    }
}

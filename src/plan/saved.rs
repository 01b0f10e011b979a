//! A plan written down to be done later: exactly as it is, or not at all.
//!
//! It holds what was seen of each host as digests, and what will be done as texts with the slots of
//! secrets unfilled: neither a secret nor a digest of one is in it. Whoever applies it plans again,
//! writes that down too, and compares the two.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::content::{self, Change};
use super::verbs::Verb;
use super::{Action, Observed, Plan, Scope, Seen, text};
use crate::ground::HostName;
use crate::ground::digest::digest_of;
use crate::resource::Look;
use crate::script::{Handed, Step};
use crate::tasks::Task;

/// A saved plan. The first field tells such a file from an inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// [`FORMAT`].
    pub provision_plan: u32,
    /// Who made it.
    pub made: Made,
    /// What was asked for: it is asked for again when the plan is applied.
    pub asked: Asked,
    /// What will be done, in order.
    pub stages: Vec<Stage>,
    /// Agents that are restarted, and what ends with that.
    pub running: BTreeMap<HostName, String>,
    /// What is left undone on purpose.
    pub blocked: BTreeSet<String>,
    /// Hosts that did not answer, with the reason.
    pub unreachable: BTreeMap<HostName, String>,
    /// How the members of each task in the plan served: member → why it did not.
    pub health: BTreeMap<Task, BTreeMap<HostName, Option<String>>>,
    /// Host → resource → digest of what was seen of it.
    pub seen: BTreeMap<HostName, BTreeMap<String, String>>,
    /// What the steps of actions are, by the names that actions hold.
    pub texts: BTreeMap<String, String>,
}

/// Who made a plan, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// The run.
    pub run: String,
    /// When, RFC 3339.
    pub at: String,
    /// Version of `provision`.
    pub version: String,
}

/// What a plan was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The cluster.
    pub cluster: String,
    /// The inventory, as it was named.
    pub inventory: PathBuf,
    /// Digest of the inventory's text and its overrides.
    pub digest: String,
    /// Overrides, in order.
    pub sets: Vec<String>,
    /// Where the hosts are.
    pub hosts: Where,
    /// `-l`.
    pub limit: Option<String>,
    /// `-t`.
    pub tasks: Vec<String>,
    /// What is to be done on day 2; none where hosts are to be as the inventory says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb: Option<Verb>,
}

/// Where the hosts of a plan are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Where {
    /// Where the inventory says.
    Inventory,
    /// Containers on the machine that planned.
    Lab,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The task; none for the preparation.
    pub task: Option<Task>,
    /// What people call it.
    pub title: String,
    /// Who goes together; in a quorum the order is decided last.
    pub waves: Vec<Vec<HostName>>,
    /// What is done on each host, in order.
    pub hosts: BTreeMap<HostName, Vec<Does>>,
}

/// One action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Does {
    /// Its task.
    pub task: Task,
    /// The resource.
    pub resource: String,
    /// What is not as wanted.
    pub gaps: Vec<SavedGap>,
    /// When it can be looked at, if it could not be.
    pub later: Option<String>,
    /// `add`, `change`, `remove` or `look`.
    pub does: String,
    /// What is not as wanted, in words.
    pub why: String,
    /// What a file holds and will hold, where anybody may read it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content: Option<Change>,
    /// Names of its steps in [`Saved::texts`]; none where they depend on a later look.
    pub steps: Vec<String>,
}

/// One fact not as wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedGap {
    /// Which fact.
    pub fact: String,
    /// What is there.
    pub seen: Option<String>,
    /// What is wanted.
    pub want: String,
}

/// Version of the file's format.
pub const FORMAT: u32 = 3;

/// Reads a saved plan; `None` for a text that is something else, such as an inventory.
///
/// # Errors
/// One sentence, when it is a saved plan that cannot be read.
pub fn parse(text: &str) -> Option<Result<Saved, String>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    // An inventory may be written as JSON too.
    let any: serde_json::Value = serde_json::from_str(text).ok()?;
    let format = any.get("provision_plan")?;
    if format.as_u64() != Some(u64::from(FORMAT)) {
        return Some(Err(format!(
            "the saved plan has format {format} and this provision reads {FORMAT}; make a new plan"
        )));
    }
    Some(
        serde_json::from_value(any)
            .map_err(|error| format!("the saved plan cannot be read ({error}); make a new plan")),
    )
}

impl Saved {
    /// Writes a plan down.
    pub fn of(plan: &Plan, observed: &Observed, scope: &Scope, asked: Asked, made: Made) -> Saved {
        let mut texts = BTreeMap::new();
        let stages = plan.stages.iter().map(|stage| {
            let mut hosts = BTreeMap::new();
            for (host, actions) in stage.waves.iter().flat_map(|wave| &wave.hosts) {
                let actions = actions.iter().map(|a| does(a, &mut texts));
                hosts.insert(host.clone(), actions.collect());
            }
            let waves = stage.waves.iter().map(|wave| wave.hosts.keys().cloned().collect());
            Stage { task: stage.task, title: stage.title.clone(), waves: waves.collect(), hosts }
        });
        let stages = stages.collect();
        let tasks: BTreeSet<Task> = plan.stages.iter().filter_map(|stage| stage.task).collect();
        let health = observed.judged.health.iter().filter(|(task, _)| tasks.contains(task));
        let health = health.map(|(task, health)| {
            let members = health.members.keys();
            (*task, members.map(|host| (host.clone(), health.complaint(host))).collect())
        });
        let within =
            |host: &HostName| scope.hosts.as_ref().is_none_or(|hosts| hosts.contains(host));
        let seen =
            observed.hosts.iter().filter(|(host, _)| within(host)).filter_map(|(host, seen)| {
                let Seen::Answered(answer) = seen else { return None };
                let looks = answer.looks.iter().map(|(id, look)| (id.to_string(), digest(look)));
                Some((host.clone(), looks.collect()))
            });
        let unreachable = plan.unreachable.iter().filter(|(host, _)| within(host));
        let running = plan.disruptions.iter().map(|(host, it)| (host.clone(), it.to_string()));
        Saved {
            provision_plan: FORMAT,
            made,
            asked,
            stages,
            running: running.collect(),
            blocked: plan
                .blocked
                .iter()
                .map(|b| format!("{}: {}: {}", b.host, b.task, b.because))
                .collect(),
            unreachable: unreachable.map(|(host, why)| (host.clone(), why.clone())).collect(),
            health: health.collect(),
            seen: seen.collect(),
            texts,
        }
    }

    /// Why this plan must not be applied, `now` being the plan that would be made instead: one
    /// sentence each, naming the host and the resource. Empty when nothing has moved.
    pub fn moved(&self, now: &Saved) -> Vec<String> {
        if self.asked.digest != now.asked.digest {
            let path = self.asked.inventory.display();
            return vec![format!("the inventory {path} has changed since the plan was made")];
        }
        if self.made.version != now.made.version {
            return vec![format!(
                "provision {} made the plan and this is {}",
                self.made.version, now.made.version
            )];
        }
        let mut moved = Vec::new();
        for (host, why) in &now.unreachable {
            if !self.unreachable.contains_key(host) {
                moved.push(format!("{host}: it answered when the plan was made, and now: {why}"));
            }
        }
        for host in self.unreachable.keys().filter(|host| now.seen.contains_key(*host)) {
            moved.push(format!("{host}: it answers, and did not when the plan was made"));
        }
        for (host, was) in &self.seen {
            let Some(is) = now.seen.get(host) else { continue };
            moved.extend(self.moved_on(now, host, was, is));
        }
        for (task, was) in &self.health {
            let Some(is) = now.health.get(task) else { continue };
            moved.extend(was.iter().filter_map(|(host, was)| match (was, is.get(host)?) {
                (None, Some(why)) => Some(format!(
                    "{host}: {task}: it served when the plan was made, and now: {why}"
                )),
                (Some(_), None) => {
                    Some(format!("{host}: {task}: it serves, and did not when the plan was made"))
                }
                _ => None,
            }));
        }
        // What nothing on the hosts explains: another template, another answer of the leader.
        if moved.is_empty() {
            moved.extend(self.blocked.symmetric_difference(&now.blocked).map(|what| {
                let way = if now.blocked.contains(what) { "is" } else { "is no longer" };
                format!("{what}: this {way} what holds it back")
            }));
            let (was, is) = (self.work(), now.work());
            let hosts: BTreeSet<&HostName> = was.keys().chain(is.keys()).copied().collect();
            for host in hosts {
                if let Some(what) = other(was.get(host), is.get(host)) {
                    moved.push(format!("{host}: {what} would now be done otherwise"));
                }
            }
        }
        // Who leads may change, for whoever does goes last; who goes together may not.
        if moved.is_empty() {
            let stages = self.stages.iter().zip(&now.stages);
            moved.extend(stages.filter(|(was, is)| together(was) != together(is)).map(
                |(was, is)| {
                    let (title, then, now) = (&was.title, order(&was.waves), order(&is.waves));
                    format!("{title}: others would now go together: then {then}; now {now}")
                },
            ));
        }
        moved
    }

    fn moved_on(
        &self,
        now: &Saved,
        host: &HostName,
        was: &BTreeMap<String, String>,
        is: &BTreeMap<String, String>,
    ) -> Vec<String> {
        let resources: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        resources
            .into_iter()
            .filter(|resource| was.get(*resource) != is.get(*resource))
            .map(|resource| {
                let then = self.gaps(host, resource);
                let this = now.gaps(host, resource);
                if then == this {
                    format!("{host}: {resource} has changed since the plan was made")
                } else {
                    format!("{host}: {resource} has changed since the plan was made: then {then}, now {this}")
                }
            })
            .collect()
    }

    fn gaps(&self, host: &HostName, resource: &str) -> String {
        let actions = self.stages.iter().filter_map(|stage| stage.hosts.get(host)).flatten();
        let mut gaps: Vec<String> = Vec::new();
        for action in actions.filter(|action| action.resource == resource) {
            gaps.extend(action.later.clone());
            if action.gaps.iter().all(|gap| gap.seen.is_none()) && !action.gaps.is_empty() {
                gaps.push("missing".to_owned());
                continue;
            }
            gaps.extend(action.gaps.iter().map(|gap| match (gap.fact.as_str(), &gap.seen) {
                // Digests say nothing to people.
                ("sha256", Some(_)) => "other content".to_owned(),
                ("inputs", Some(_)) => "started with other inputs".to_owned(),
                (fact, seen) => format!("{fact} {}", seen.as_deref().unwrap_or("missing")),
            }));
        }
        if gaps.is_empty() { "as wanted".to_owned() } else { gaps.join(", ") }
    }

    /// Host → what is done there, in order, with the texts themselves.
    fn work(&self) -> BTreeMap<&HostName, Vec<(&Does, Vec<&str>)>> {
        let mut work: BTreeMap<&HostName, Vec<_>> = BTreeMap::new();
        for (host, actions) in self.stages.iter().flat_map(|stage| &stage.hosts) {
            work.entry(host).or_default().extend(actions.iter().map(|action| {
                let texts = action.steps.iter();
                (
                    action,
                    texts.filter_map(|name| self.texts.get(name)).map(String::as_str).collect(),
                )
            }));
        }
        work
    }
}

/// Who goes together in a stage.
fn together(stage: &Stage) -> BTreeSet<&Vec<HostName>> {
    stage.waves.iter().collect()
}

/// Waves in words.
fn order(waves: &[Vec<HostName>]) -> String {
    let names = |wave: &Vec<HostName>| {
        wave.iter().map(|host| host.as_str()).collect::<Vec<_>>().join(" and ")
    };
    waves.iter().map(names).collect::<Vec<_>>().join(", then ")
}

/// The first resource in which two lists of work differ.
fn other<'a>(
    was: Option<&Vec<(&'a Does, Vec<&str>)>>,
    is: Option<&Vec<(&'a Does, Vec<&str>)>>,
) -> Option<&'a str> {
    let (was, is) = (was.map_or(&[][..], Vec::as_slice), is.map_or(&[][..], Vec::as_slice));
    let first = (0..was.len().max(is.len())).find(|at| was.get(*at) != is.get(*at))?;
    was.get(first).or_else(|| is.get(first)).map(|(action, _)| action.resource.as_str())
}

fn does(action: &Action, texts: &mut BTreeMap<String, String>) -> Does {
    let known = action.later.is_none();
    let steps = if known { action.resource.fix(&action.gaps) } else { Vec::new() };
    let mut names = Vec::new();
    for step in steps {
        let text = step_text(&step);
        let name = digest_of([text.as_str()])[..16].to_owned();
        texts.insert(name.clone(), text);
        names.push(name);
    }
    Does {
        task: action.task,
        resource: action.id().to_string(),
        gaps: action
            .gaps
            .iter()
            .map(|gap| SavedGap {
                fact: gap.fact.to_owned(),
                seen: gap.seen.clone(),
                want: gap.want.clone(),
            })
            .collect(),
        later: action.later.map(|_| action.why()),
        does: text::symbol(action).word().to_owned(),
        why: action.why(),
        content: content::change(action),
        steps: names,
    }
}

/// A step in words: what runs with its secret slots unfilled, or what is sent.
pub(crate) fn step_text(step: &Step) -> String {
    match step {
        Step::Run(fix) | Step::Lead(fix) | Step::Reboot(fix) => fix.text().to_owned(),
        Step::Push(push) => {
            format!("send {}/{} ({})", push.directory, push.name, push.digest.hex())
        }
        Step::Fetch(Handed { from, make, directory, name }) => {
            format!("fetch {directory}/{name} from {from}, made there by:\n{}", make.text())
        }
    }
}

fn digest(look: &Look) -> String {
    let parts: Vec<&str> = match look {
        Look::Facts(facts) => {
            let facts = facts.iter().flat_map(|(fact, value)| [*fact, value.as_str()]);
            ["facts"].into_iter().chain(facts).collect()
        }
        Look::Later(when) => vec!["later", *when],
        Look::Failed(why) => vec!["failed", why.as_str()],
    };
    digest_of(parts)[..16].to_owned()
}

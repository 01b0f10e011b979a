//! Pools of agents: each agent with its attributes, resources and flags, rendered for it.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use tera::{Context, Value as Seen};

use super::decode::{At, Cx, clipped, digits};
use super::files::Files;
use super::hosts::{self, Host};
use super::managed::{self, ManagedFile};
use super::mesos::known_flags;
use super::render::{SeenHost, Templates, is_template};
use super::resolve::Resolver;
use super::root::Root;
use super::settings::section;
use super::types::{
    Bool, Catalogue, Free, List, Map as MapOf, Options, Plain, Port, Resource, Template, Text,
    scalar,
};
use super::{check, cure, environment, grammar, schema};
use crate::ground::HostName;
use crate::ground::problem::{Place, Problem};
use crate::mesos::flags::Component;
use crate::mesos::values::{Attributes, Resources, Value};
use crate::mesos::versions::Version;

section! {
    /// A pool as written.
    #[derive(Debug)]
    pub(super) struct Settings {
        /// Hosts, or ranges of them.
        need hosts: List<Text>, such as "['a[01:20]']";
        /// Port that they listen on.
        may port: Plain<Port> as u16 = "5051";
        /// Variables of the pool.
        may vars: Free = "{}", such as "{rack: r1}";
        /// What constraints match; templates. Text is matched, numbers compared.
        may attributes: MapOf<Template> = "{}", such as "{rack: r1, os: debian-12}";
        /// The total of each agent: cpus, mem, disk, ports, …; templates.
        may resources: MapOf<Resource> = "{}",
            such as "{cpus: 8, mem: 16GB, disk: 100GB, ports: '[31000-32000]'}";
        /// Of which so much for a role alone: role: {cpus: …, mem: …}.
        may reserved: MapOf<MapOf<Resource>> = "{}", such as "{etl: {cpus: 4, mem: 8GB}}";
        /// Flags of the agents; templates.
        may flags: Options<AgentFlags> = "{}", such as "{isolation: 'cgroups/cpu,cgroups/mem'}";
        /// Variables of their environment; templates.
        may env: MapOf<Template> = "{}", such as "{GLOG_v: 1}";
        /// Files that flags point to: path: what is in it.
        may files: MapOf<managed::Written> = "{}", such as "{/etc/mesos-files/modules.json: {path: ./modules.json}}";
        /// Whether they announce `provision_host`, by which each is proven. An agent that begins to announce
        /// something comes back under a new id, and what runs on it ends.
        may host_attribute: Plain<Bool> as bool = "true";
        /// How many may be restarted together: a count or 20%.
        may batch: Plain<CountOrPercent> = "20%", such as "2";
    }
}

scalar! {
    /// How many of a pool.
    CountOrPercent -> Batch, "a count of at least 1 or a percentage such as 20%",
        |t| match t.strip_suffix('%') {
            Some(p) => {
                let percent = digits(p).and_then(|n| u8::try_from(n).ok());
                percent.filter(|n| (1..=100).contains(n)).map(Batch::Percent)
            }
            None => {
                let count = digits(t).and_then(|n| usize::try_from(n).ok());
                count.filter(|n| *n > 0).map(Batch::Count)
            }
        },
        serde_json::json!({ "anyOf": [
            { "type": "integer", "minimum": 1 },
            schema::text("^0*[1-9][0-9]{0,8}$"),
            schema::text("^0*([1-9][0-9]?|100)%$"),
        ] });
}

/// Any flag, for templates and other releases; those of the last release with what is known of them.
pub(super) struct AgentFlags;

impl Catalogue for AgentFlags {
    fn known() -> Vec<(String, String)> {
        known_flags(Component::Agent)
    }
}

/// A named set of agents that share settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Each agent with its settings, templates rendered for it.
    pub agents: BTreeMap<HostName, Agent>,
    /// How many agents of the pool may be disturbed at a time.
    pub batch: Batch,
}

/// The settings of one agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// Attributes as asked for, with our own `provision_host` added.
    pub attributes: Attributes,
    /// Resources as asked for: reserved ones and the unreserved rest. Empty: Mesos detects them.
    pub resources: Resources,
    /// Variables of its environment.
    pub env: BTreeMap<String, String>,
    /// Files that its flags point to.
    pub files: Vec<ManagedFile>,
    /// Port that it listens on.
    pub port: u16,
    /// Flags, values as text ready for a flag file; our defaults included, those we own excluded.
    pub flags: BTreeMap<String, String>,
}

/// How many may go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Batch {
    /// So many hosts, at least one.
    Count(usize),
    /// So many per cent of the pool, rounded down, at least one host.
    Percent(u8),
}

impl Batch {
    /// How many hosts of `total` may go together; at least one.
    pub fn of(self, total: usize) -> usize {
        match self {
            Batch::Count(n) => n.max(1),
            Batch::Percent(p) => (total * usize::from(p) / 100).max(1),
        }
    }
}

/// The attribute by which a Pi is pinned to an agent.
pub const HOST_ATTRIBUTE: &str = "provision_host";

/// All pools; a host in two of them is reported and stays in the first.
pub(super) fn resolve(
    root: &Root,
    r: &mut Resolver<'_>,
    version: &Version,
) -> BTreeMap<String, Pool> {
    let (cx, templates, top) = (&mut *r.cx, &mut r.templates, r.top);
    let (hosts, lines) = (r.hosts, r.lines);
    let local = &*r.files;
    let written = root.mesos.as_ref().map(|m| m.agents.as_slice()).unwrap_or_default();
    let mut taken: HashMap<HostName, &str> = HashMap::new();
    let mut pools = BTreeMap::new();
    for (name, pool) in written {
        if !grammar::word(&name.value, "._-") {
            let message = format!("`{}` cannot name a pool", name.value);
            cx.error(&name.place, "bad-name", message);
        }
        check::flags(cx, Component::Agent, &pool.flags);
        environment::of_daemon(cx, Component::Agent, &pool.env);
        shapes(cx, pool);
        let mut render = Renderer {
            templates: &mut *templates,
            local,
            top,
            root,
            pool_name: &name.value,
            pool,
            merged: HashMap::new(),
            reported: BTreeMap::new(),
            version,
            checked: HashSet::new(),
            blanks: HashSet::new(),
        };
        let mut agents = BTreeMap::new();
        for item in pool.hosts.iter().flatten() {
            for host in hosts::names(cx, hosts, std::slice::from_ref(item)) {
                if let Some(other) = taken.get(&host).filter(|other| **other != name.value) {
                    let message = format!("host `{host}` is in pool `{other}` already");
                    cx.error(&item.place, "host-in-two-pools", message);
                    continue;
                }
                taken.insert(host.clone(), name.value.as_str());
                let (Some(settings), Some(index)) = (hosts.get(&host), lines.get(&host)) else {
                    continue;
                };
                let agent = render.agent(cx, settings, *index);
                agents.insert(host, agent);
            }
        }
        cx.problems.extend(render.reported.into_values());
        pools.insert(name.value.clone(), Pool { agents, batch: pool.batch });
    }
    pools
}

/// Mistakes in names, which are the same for every agent.
fn shapes(cx: &mut Cx, pool: &Settings) {
    for (key, _) in &pool.attributes {
        if key.value == HOST_ATTRIBUTE {
            let message = format!("the attribute `{HOST_ATTRIBUTE}` is ours");
            let problem = Problem::error(Some(key.place.clone()), "owned-attribute", message);
            cx.problems.push(problem.help("every agent gets it with its host's name; delete it"));
        } else if !grammar::word(&key.value, "._-") {
            let message = format!("`{}` cannot name an attribute", key.value);
            cx.error(&key.place, "bad-name", message);
        }
    }
    for (key, _) in &pool.resources {
        if !grammar::word(&key.value, "._-") {
            let message = format!("`{}` cannot name a resource", key.value);
            cx.error(&key.place, "bad-name", message);
        }
    }
    for (role, part) in &pool.reserved {
        if !grammar::role_name(&role.value) {
            let message = format!("resources cannot be reserved for `{}`", role.value);
            cx.error(&role.place, "bad-role", message);
        }
        for (key, _) in part {
            if !pool.resources.iter().any(|(total, _)| total.value == key.value) {
                let message = format!("`{}` is reserved but has no total", key.value);
                let problem = Problem::error(Some(key.place.clone()), "no-total", message);
                cx.problems.push(problem.help("write the total in `resources`"));
            }
        }
    }
}

struct Renderer<'a> {
    templates: &'a mut Templates,
    local: &'a dyn Files,
    top: &'a Context,
    root: &'a Root,
    pool_name: &'a str,
    pool: &'a Settings,
    /// Line of `hosts` → (all variables, its own): the same for every host of a range.
    merged: HashMap<usize, (Seen, Seen)>,
    /// One mistake for each place, however many hosts share it.
    reported: BTreeMap<Place, Problem>,
    version: &'a Version,
    /// Flags (by index) and values that were checked: most agents of a pool share them.
    checked: HashSet<(usize, String)>,
    blanks: HashSet<Place>,
}

impl Renderer<'_> {
    fn agent(&mut self, cx: &mut Cx, host: &Host, line: usize) -> Agent {
        let context = self.context(host, line);
        let who = format!(" (for host {})", host.name);
        let pool = self.pool;
        let mut attributes = BTreeMap::new();
        for (key, at) in &pool.attributes {
            let Some(text) = self.templates.render(cx, at, &context, &who) else { continue };
            match grammar::attribute(&key.value, &text, self.version) {
                Ok(value) => {
                    if text.trim().contains(' ') && matches!(value, Value::Text(_)) {
                        self.blank(cx, at, &key.value, &value);
                    }
                    attributes.insert(key.value.clone(), value);
                }
                Err(message) => {
                    let help = "write a word such as r1, or a number";
                    self.report(at, ("bad-attribute", &message, help), &who);
                }
            }
        }
        if pool.host_attribute && grammar::reads_as_number(host.name.as_str(), self.version) {
            let lines = self.root.hosts.as_deref().unwrap_or_default();
            let message = format!(
                "the agent's name `{}` reads as a number, which Mesos would not match as text",
                host.name
            );
            if let Some(key) = lines.get(line).map(|(key, _)| key) {
                self.report(key, ("numeric-host", &message, "give it a letter"), "");
            }
        }
        if pool.host_attribute {
            let name = Value::Text(host.name.as_str().to_owned());
            attributes.insert(HOST_ATTRIBUTE.to_owned(), name);
        }
        let resources = self.resources(cx, &context, &who);
        // Docker needs its containerizer, Spark without Docker the other, and a pull takes minutes.
        let mut flags = BTreeMap::from([
            ("containerizers".to_owned(), "docker,mesos".to_owned()),
            ("executor_registration_timeout".to_owned(), "5mins".to_owned()),
        ]);
        for (index, (key, at)) in pool.flags.iter().enumerate() {
            if let Some(text) = self.templates.render(cx, at, &context, &who) {
                if self.checked.insert((index, text.clone())) {
                    let who = if is_template(&at.value) { who.as_str() } else { "" };
                    check::flag(cx, Component::Agent, (key, at), &text, who, self.version);
                }
                flags.insert(key.value.clone(), text);
            }
        }
        let mut env = BTreeMap::new();
        for (key, at) in &pool.env {
            if let Some(text) = self.templates.render(cx, at, &context, &who) {
                env.insert(key.value.clone(), text);
            }
        }
        Agent {
            env,
            attributes: Attributes(attributes),
            resources: Resources(resources),
            files: self.files(cx, &context, &who),
            port: pool.port,
            flags,
        }
    }

    /// Each file is looked at once for each agent; a mistake that all make is said once.
    fn files(&mut self, cx: &mut Cx, context: &Context, who: &str) -> Vec<ManagedFile> {
        let section = format!("mesos.agents.{}.files", self.pool_name);
        let templates = &mut *self.templates;
        managed::resolve(cx, self.local, &section, &self.pool.files, |cx, at| {
            templates.render(cx, at, context, who)
        })
    }

    fn resources(
        &mut self,
        cx: &mut Cx,
        context: &Context,
        who: &str,
    ) -> BTreeMap<(String, String), Value> {
        let pool = self.pool;
        let mut left: BTreeMap<&str, Option<Value>> = BTreeMap::new();
        for (key, at) in &pool.resources {
            if let Some(value) = self.resource(cx, key, at, context, who) {
                left.insert(&key.value, Some(value));
            }
        }
        let mut resources = BTreeMap::new();
        for (role, part) in &pool.reserved {
            for (key, at) in part {
                let Some(value) = self.resource(cx, key, at, context, who) else { continue };
                let Some(total) = left.get_mut(key.value.as_str()) else { continue };
                let rest = match total.as_ref() {
                    Some(total) => grammar::minus(total, &value),
                    None => Err("nothing of it is left to reserve".to_owned()),
                };
                match rest {
                    Ok(rest) => *total = rest,
                    Err(message) => {
                        let message = format!("`{}`: {message}", key.value);
                        let help = "reserve less of it, or raise the total in `resources`";
                        self.report(at, ("too-much-reserved", &message, help), who);
                    }
                }
                resources.insert((key.value.clone(), role.value.clone()), value);
            }
        }
        for (name, rest) in left {
            if let Some(rest) = rest {
                resources.insert((name.to_owned(), "*".to_owned()), rest);
            }
        }
        resources
    }

    fn resource(
        &mut self,
        cx: &mut Cx,
        key: &At<String>,
        at: &At<String>,
        context: &Context,
        who: &str,
    ) -> Option<Value> {
        let text = self.templates.render(cx, at, context, who)?;
        match grammar::resource(&key.value, &text, self.version) {
            Ok(value) => Some(value),
            Err(message) => {
                // What a template made of it is nowhere else to be seen.
                let made = match text == at.value {
                    true => String::new(),
                    false => format!(" of `{}`", clipped(&at.value)),
                };
                let message =
                    format!("`{}`: {message}, found `{}`{made}", key.value, clipped(&text));
                let help = match key.value.as_str() {
                    "mem" | "disk" => match cure::bytes(&text) {
                        Some(meant) => &format!("write {}: {meant}", key.value),
                        None => "write it like 16GB or 512MB",
                    },
                    "ports" => "write it like [31000-32000]",
                    "cpus" | "gpus" => "write a number such as 4 or 0.5",
                    _ => "write it like 4, [1-9] or {a,b}",
                };
                self.report(at, ("bad-resource", &message, help), who);
                None
            }
        }
    }

    /// Once for each place: Mesos deletes blanks, and constraints are then compared with what is left.
    fn blank(&mut self, cx: &mut Cx, at: &At<String>, name: &str, value: &Value) {
        if self.blanks.insert(at.place.clone()) {
            let message = format!("Mesos deletes the blanks in attribute `{name}`");
            let problem = Problem::warning(Some(at.place.clone()), "blank-in-attribute", message);
            cx.problems.push(problem.help(format!("write `{value}`, or a hyphen for the blank")));
        }
    }

    /// A template can go wrong on one host only, so that host is named; text goes wrong on all.
    fn report(
        &mut self,
        at: &At<String>,
        (name, message, help): (&'static str, &str, &str),
        who: &str,
    ) {
        let who = if is_template(&at.value) { who } else { "" };
        let place = || Some(at.place.clone());
        let problem = || Problem::error(place(), name, format!("{message}{who}")).help(help);
        self.reported.entry(at.place.clone()).or_insert_with(problem);
    }

    fn context(&mut self, host: &Host, line: usize) -> Context {
        let (all, own) = self.merged.entry(line).or_insert_with(|| {
            let lines = self.root.hosts.as_deref().unwrap_or_default();
            let own = lines.get(line).map(|(_, h)| &h.vars);
            let mut all = self.root.vars.clone();
            all.extend(self.pool.vars.clone());
            all.extend(own.cloned().unwrap_or_default());
            (Seen::from_serializable(&all), own.map_or_else(Seen::none, Seen::from_serializable))
        });
        let mut context = self.top.clone();
        let seen = SeenHost {
            name: host.name.as_str(),
            address: host.address.to_string(),
            hostname: host.hostname.as_str(),
            pool: self.pool_name,
            vars: own,
        };
        context.insert_value("vars", all.clone());
        context.insert_value("host", Seen::from_serializable(&seen));
        context
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_of_the_pool_and_never_nobody() {
        assert_eq!(Batch::Percent(20).of(20), 4);
        assert_eq!(Batch::Percent(10).of(5), 1);
        assert_eq!(Batch::Count(3).of(1), 3);
    }
}

//! Pools of agents: each agent with its attributes, resources and flags, rendered for it.

use std::collections::{BTreeMap, HashMap, HashSet};

use tera::{Context, Map, Value as Seen};

use super::check;
use super::decode::{At, Cx};
use super::problem::{Place, Problem};
use super::raw::{Json, Raw, RawPool};
use super::render::{Templates, is_template};
use super::resolve::{Lines, names};
use super::{Agent, Batch, Host, HostName, Pool, grammar};
use crate::mesos::flags::Component;
use crate::mesos::values::{Attributes, Resources, Value};
use crate::mesos::versions::Version;

/// The attribute by which a Pi is pinned to an agent.
pub const HOST_ATTRIBUTE: &str = "provision_host";

/// All pools; a host in two of them is reported and stays in the first.
pub(super) fn resolve(
    cx: &mut Cx,
    templates: &mut Templates,
    top: &Context,
    raw: &Raw,
    (hosts, lines): (&BTreeMap<HostName, Host>, &Lines),
    version: &Version,
) -> BTreeMap<String, Pool> {
    let written = raw.mesos.as_ref().map(|m| m.pools.as_slice()).unwrap_or_default();
    let mut taken: HashMap<HostName, &str> = HashMap::new();
    let mut pools = BTreeMap::new();
    for (name, pool) in written {
        if !grammar::word(&name.value, "._-") {
            let message = format!("`{}` cannot name a pool", name.value);
            cx.error(&name.place, "bad-name", message);
        }
        check::flags(cx, Component::Agent, &pool.flags);
        shapes(cx, pool);
        let mut render = Renderer {
            templates: &mut *templates,
            top,
            raw,
            pool_name: &name.value,
            pool,
            merged: HashMap::new(),
            reported: BTreeMap::new(),
            version,
            checked: HashSet::new(),
            blanks: HashSet::new(),
        };
        let mut agents = BTreeMap::new();
        for item in &pool.hosts {
            for host in names(cx, hosts, std::slice::from_ref(item)) {
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
        for (place, (name, message)) in render.reported {
            cx.error(&place, name, message);
        }
        let batch = pool.batch.as_ref().map_or(Batch::Percent(20), |at| at.value);
        pools.insert(name.value.clone(), Pool { agents, batch });
    }
    pools
}

/// Mistakes in names, which are the same for every agent.
fn shapes(cx: &mut Cx, pool: &RawPool) {
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
    top: &'a Context,
    raw: &'a Raw,
    pool_name: &'a str,
    pool: &'a RawPool,
    /// Line of `hosts` → (all variables, its own): the same for every host of a range.
    merged: HashMap<usize, (Seen, Seen)>,
    /// One mistake for each place, however many hosts share it.
    reported: BTreeMap<Place, (&'static str, String)>,
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
                Err(message) => self.report(at, "bad-attribute", &message, &who),
            }
        }
        if grammar::reads_as_number(host.name.as_str(), self.version) {
            let message = format!("the agent's name `{}` reads as a number", host.name);
            if let Some(key) = self.raw.hosts.get(line).map(|(key, _)| key) {
                let advice = ", which Mesos would not match as text; give it a letter";
                self.report(key, "numeric-host", &(message + advice), "");
            }
        }
        let name = Value::Text(host.name.as_str().to_owned());
        attributes.insert(HOST_ATTRIBUTE.to_owned(), name);
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
        Agent { attributes: Attributes(attributes), resources: Resources(resources), flags }
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
                        self.report(at, "too-much-reserved", &message, who);
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
                let message = format!("`{}`: {message}", key.value);
                self.report(at, "bad-resource", &message, who);
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
    fn report(&mut self, at: &At<String>, name: &'static str, message: &str, who: &str) {
        let who = if is_template(&at.value) { who } else { "" };
        let problem = || (name, format!("{message}{who}"));
        self.reported.entry(at.place.clone()).or_insert_with(problem);
    }

    fn context(&mut self, host: &Host, line: usize) -> Context {
        let (all, own) = self.merged.entry(line).or_insert_with(|| {
            let own = self.raw.hosts.get(line).map(|(_, h)| &h.vars);
            let mut all: Json = self.raw.vars.clone();
            all.extend(self.pool.vars.clone());
            all.extend(own.cloned().unwrap_or_default());
            (Seen::from_serializable(&all), own.map_or_else(Seen::none, Seen::from_serializable))
        });
        let mut context = self.top.clone();
        let mut seen = Map::new();
        seen.insert("name".into(), host.name.as_str().into());
        seen.insert("address".into(), host.address.to_string().into());
        seen.insert("hostname".into(), host.hostname.as_str().into());
        seen.insert("pool".into(), self.pool_name.into());
        seen.insert("vars".into(), own.clone());
        context.insert_value("vars", all.clone());
        context.insert_value("host", seen.into());
        context
    }
}

//! An agent as Mesos shows it: one entry of the master's `/slaves` or `/state`, or the agent's own
//! `/state`.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::values::{Attributes, Message, Resources, UNRESERVED, Value};
use super::versions::Version;

/// What an agent announced.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentInfo {
    /// Its id, which changes when it may not recover.
    pub id: String,
    /// The host name it announced.
    pub hostname: String,
    /// Its port; masters show it from 1.2.0, otherwise it is read from the pid.
    pub port: Option<u16>,
    /// Its fault domain, as JSON, from 1.4.0.
    pub domain: Option<Json>,
    /// Attributes.
    pub attributes: Attributes,
    /// Resources, zero amounts left out.
    pub resources: Resources,
    /// How much the answer tells of the resources.
    pub detail: Detail,
    /// Names of the resources that its flags pin, when the answer holds its flags (the agent's own
    /// `/state`); the others were detected.
    pub pinned: Option<BTreeSet<String>>,
}

/// How much an answer tells of an agent's resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Every resource by role.
    ByRole,
    /// cpus, mem, disk and ports summed over roles (before 0.23): reservations cannot be seen.
    TotalsOnly,
}

impl AgentInfo {
    /// Reads one agent's JSON object.
    ///
    /// # Errors
    /// One sentence: what the answer lacks.
    pub fn from_json(agent: &Json) -> Result<AgentInfo, String> {
        let text = |key: &str| agent.get(key).and_then(Json::as_str).map(str::to_owned);
        let need = |key: &str| text(key).ok_or_else(|| format!("an agent's answer has no `{key}`"));
        // Old releases do not say their version here; what they printed follows the newest grammar
        // that is lenient with negative numbers.
        let version = Version::parse(text("version").as_deref().unwrap_or("1.0.0"))?;
        let port = agent.get("port").and_then(Json::as_u64).or_else(|| {
            text("pid").and_then(|pid| pid.rsplit_once(':').and_then(|(_, p)| p.parse().ok()))
        });
        let (resources, detail) = resources(agent, &version)?;
        Ok(AgentInfo {
            id: need("id")?,
            hostname: need("hostname")?,
            port: port.and_then(|port| u16::try_from(port).ok()),
            domain: agent.get("domain").cloned(),
            attributes: attributes(agent, &version)?,
            resources,
            detail,
            pinned: agent.get("flags").map(|flags| {
                let text = flags.get("resources").and_then(Json::as_str).unwrap_or("");
                let pinned = Resources::parse(text, &version).unwrap_or_default();
                pinned.names().into_iter().map(str::to_owned).collect()
            }),
        })
    }
}

/// Scalars are numbers, ranges and text are strings; text that reads as a number cannot be (it would
/// have become one), so a string is ranges or text.
fn attributes(agent: &Json, version: &Version) -> Result<Attributes, String> {
    let Some(object) = agent.get("attributes").and_then(Json::as_object) else {
        return Err("an agent's answer has no `attributes`".to_owned());
    };
    let mut attributes = Attributes::default();
    for (name, value) in object {
        let value = match value {
            Json::String(text) => match Value::parse(text, version) {
                Ok(Value::Ranges(ranges)) => Value::Ranges(ranges),
                _ => Value::Text(text.clone()),
            },
            value => value
                .as_f64()
                .and_then(Value::scalar)
                .ok_or_else(|| format!("attribute {name} is neither number nor text"))?,
        };
        attributes.0.insert(name.clone(), value);
    }
    Ok(attributes)
}

fn resources(agent: &Json, version: &Version) -> Result<(Resources, Detail), String> {
    let mut resources = Resources::default();
    let roles = |key: &str| agent.get(key).and_then(Json::as_object);
    if let Some(unreserved) = agent.get("unreserved_resources_full") {
        let mut list = messages(unreserved)?;
        for of_role in roles("reserved_resources_full").into_iter().flat_map(|r| r.values()) {
            list.extend(messages(of_role)?);
        }
        resources = Resources::from_messages(list, version)?;
        resources.0.retain(|_, value| !value.is_empty());
        return Ok((resources, Detail::ByRole));
    }
    if let Some(unreserved) = agent.get("unreserved_resources") {
        add_summary(&mut resources, UNRESERVED, unreserved, version)?;
        for (role, of_role) in roles("reserved_resources").into_iter().flatten() {
            add_summary(&mut resources, role, of_role, version)?;
        }
        return Ok((resources, Detail::ByRole));
    }
    let total = agent.get("resources").ok_or("an agent's answer has no `resources`")?;
    add_summary(&mut resources, UNRESERVED, total, version)?;
    Ok((resources, Detail::TotalsOnly))
}

fn messages(list: &Json) -> Result<Vec<Message>, String> {
    let list = list.as_array().ok_or("an agent's resources are not a list")?;
    // Dynamic reservations and volumes are made on a running agent; they are no part of its flags.
    // They still stand in for what the flags gave, so their amount counts as before the reservation.
    list.iter()
        .map(|entry| {
            let mut entry = entry.clone();
            if let Some(chain) = entry.get_mut("reservations").and_then(Json::as_array_mut) {
                chain.retain(|r| r.get("type").and_then(Json::as_str) != Some("DYNAMIC"));
                let role = chain.last().and_then(|r| r.get("role")).cloned();
                entry["role"] = role.unwrap_or_else(|| UNRESERVED.into());
            } else if entry.get("reservation").is_some() {
                entry["role"] = UNRESERVED.into();
            }
            serde_json::from_value(entry).map_err(|why| format!("an agent's resource: {why}"))
        })
        .collect()
}

fn add_summary(
    resources: &mut Resources,
    role: &str,
    summary: &Json,
    version: &Version,
) -> Result<(), String> {
    for (name, value) in summary.as_object().into_iter().flatten() {
        let value = match value {
            Json::String(text) => Value::parse(text, version)?,
            value => value
                .as_f64()
                .and_then(Value::scalar)
                .ok_or_else(|| format!("resource {name} is neither number nor text"))?,
        };
        if !value.is_empty() {
            resources.add(name, role, value, version)?;
        }
    }
    Ok(())
}

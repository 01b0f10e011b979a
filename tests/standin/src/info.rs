//! What an agent is: the part that must not change while it keeps its id.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::values::{Attribute, Resource, Value, resource_of_json};

/// The capabilities of an agent of 1.11.0, as recorded.
pub(crate) const AGENT_CAPABILITIES: [&str; 8] = [
    "MULTI_ROLE",
    "HIERARCHICAL_ROLE",
    "RESERVATION_REFINEMENT",
    "RESOURCE_PROVIDER",
    "RESIZE_VOLUME",
    "AGENT_OPERATION_FEEDBACK",
    "AGENT_DRAINING",
    "TASK_RESOURCE_LIMITS",
];

/// Mesos' SlaveInfo.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AgentInfo {
    pub(crate) id: Option<String>,
    pub(crate) hostname: String,
    pub(crate) port: u16,
    pub(crate) resources: Vec<Resource>,
    pub(crate) attributes: Vec<Attribute>,
}

impl AgentInfo {
    pub(crate) fn to_json(&self) -> Json {
        let mut object = json!({
            "hostname": self.hostname,
            "port": self.port,
            "resources": self.resources.iter().map(Resource::to_json).collect::<Vec<_>>(),
            "attributes": self.attributes.iter().map(Attribute::to_json).collect::<Vec<_>>(),
        });
        if let Some(id) = &self.id {
            object["id"] = json!({ "value": id });
        }
        object["checkpoint"] = true.into();
        object
    }

    pub(crate) fn of_json(object: &Json) -> Option<AgentInfo> {
        let list = |name: &str| object[name].as_array().cloned().unwrap_or_default();
        Some(AgentInfo {
            id: object["id"]["value"].as_str().map(str::to_owned),
            hostname: object["hostname"].as_str()?.to_owned(),
            port: u16::try_from(object["port"].as_u64()?).ok()?,
            resources: list("resources").iter().map(resource_of_json).collect::<Option<_>>()?,
            attributes: list("attributes").iter().map(Attribute::of_json).collect::<Option<_>>()?,
        })
    }

    /// Equal in all that Mesos compares at recovery; the order of resources and attributes does not
    /// count, the address is not looked at.
    /// Source: src/common/type_utils.cpp, operator== for SlaveInfo.
    pub(crate) fn same(&self, other: &AgentInfo) -> bool {
        self.hostname == other.hostname
            && self.port == other.port
            && same_items(&self.resources, &other.resources)
            && same_items(&self.attributes, &other.attributes)
    }

    /// protobuf's text form, as the refusal to recover prints it.
    pub(crate) fn debug_string(&self) -> String {
        let mut text = format!("hostname: {:?}\n", self.hostname);
        for resource in &self.resources {
            let mut body = value_text(&resource.name, &resource.value);
            if let Some(role) = &resource.role {
                body.push_str(&format!(
                    "  reservations {{\n    role: {role:?}\n    type: STATIC\n  }}\n"
                ));
            }
            text.push_str(&format!("resources {{\n{body}}}\n"));
        }
        for attribute in &self.attributes {
            let body = value_text(&attribute.name, &attribute.value);
            text.push_str(&format!("attributes {{\n{body}}}\n"));
        }
        if let Some(id) = &self.id {
            text.push_str(&format!("id {{\n  value: {id:?}\n}}\n"));
        }
        text.push_str(&format!("checkpoint: true\nport: {}\n", self.port));
        text
    }

    /// `{"rack":"r1","level":7.5}`; ranges as text.
    pub(crate) fn attributes_json(&self) -> Json {
        let pairs = self.attributes.iter().map(|attribute| {
            let value = match &attribute.value {
                Value::Scalar(number) => json!(number),
                other => other.print().into(),
            };
            (attribute.name.clone(), value)
        });
        Json::Object(pairs.collect())
    }

    /// `resources`, `reserved_resources` and the others that every view of an agent has.
    pub(crate) fn resource_views(&self) -> ResourceViews {
        let mut reserved: BTreeMap<&str, Vec<&Resource>> = BTreeMap::new();
        let mut unreserved = Vec::new();
        for resource in &self.resources {
            match &resource.role {
                Some(role) => reserved.entry(role).or_default().push(resource),
                None => unreserved.push(resource),
            }
        }
        let full = |list: &[&Resource]| {
            Json::from(list.iter().map(|resource| resource.to_full_json()).collect::<Vec<_>>())
        };
        let by_role = |view: &dyn Fn(&[&Resource]) -> Json| {
            let pairs = reserved.iter().map(|(role, list)| ((*role).to_owned(), view(list)));
            Json::Object(pairs.collect::<Map<_, _>>())
        };
        ResourceViews {
            total: totals(&self.resources.iter().collect::<Vec<_>>()),
            reserved: by_role(&totals),
            unreserved: totals(&unreserved),
            reserved_full: by_role(&full),
            unreserved_full: full(&unreserved),
        }
    }

    /// Sum of one scalar over all roles.
    pub(crate) fn scalar(&self, name: &str) -> f64 {
        let named = self.resources.iter().filter(|resource| resource.name == name);
        named.filter_map(|resource| resource.value.scalar()).sum()
    }
}

/// See [`AgentInfo::resource_views`].
#[derive(Debug)]
pub(crate) struct ResourceViews {
    pub(crate) total: Json,
    pub(crate) reserved: Json,
    pub(crate) unreserved: Json,
    pub(crate) reserved_full: Json,
    pub(crate) unreserved_full: Json,
}

/// `{"disk":0.0,"mem":0.0,"gpus":0.0,"cpus":0.0}` and whatever else is there.
pub(crate) fn totals(resources: &[&Resource]) -> Json {
    let mut object = json!({ "disk": 0.0, "mem": 0.0, "gpus": 0.0, "cpus": 0.0 });
    for resource in resources {
        let name = resource.name.as_str();
        object[name] = match (&resource.value, object[name].as_f64()) {
            (Value::Scalar(more), Some(sum)) => json!(sum + more),
            (Value::Scalar(number), None) => json!(number),
            (other, _) => other.print().into(),
        };
    }
    object
}

fn same_items<T: PartialEq>(ours: &[T], theirs: &[T]) -> bool {
    ours.len() == theirs.len() && ours.iter().all(|item| theirs.contains(item))
}

fn value_text(name: &str, value: &Value) -> String {
    let (kind, field, body) = match value {
        Value::Scalar(number) => ("SCALAR", "scalar", format!("    value: {number}\n")),
        Value::Text(text) => ("TEXT", "text", format!("    value: {text:?}\n")),
        Value::Set(items) => {
            let items = items.iter().map(|item| format!("    item: {item:?}\n"));
            ("SET", "set", items.collect())
        }
        Value::Ranges(ranges) => {
            let ranges = ranges.iter().map(|(begin, end)| {
                format!("    range {{\n      begin: {begin}\n      end: {end}\n    }}\n")
            });
            ("RANGES", "ranges", ranges.collect())
        }
    };
    format!("  name: {name:?}\n  type: {kind}\n  {field} {{\n{body}  }}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values;

    fn a2(rack: &str) -> AgentInfo {
        let written = "cpus(etl):1;mem(etl):1024;cpus:2;mem:4096;disk:8192;ports:[31000-32000]";
        AgentInfo {
            id: Some("7c842204-3f73-4d59-a32a-eb195f81aaed-S1".to_owned()),
            hostname: "a2".to_owned(),
            port: 5051,
            resources: values::resources(written, "*").expect("good resources"),
            attributes: values::attributes(&format!("rack:{rack}")).expect("good attributes"),
        }
    }

    #[test]
    fn the_text_form_is_the_recorded_one() {
        let recorded = include_str!("../tests/recorded/changed-attribute.txt");
        assert!(recorded.contains(&a2("r2").debug_string()), "{}", a2("r2").debug_string());
        assert!(recorded.contains(&a2("r9").debug_string()));
    }

    #[test]
    fn order_does_not_count_but_values_do() {
        let mut turned = a2("r2");
        turned.resources.reverse();
        assert!(a2("r2").same(&turned));
        assert!(!a2("r2").same(&a2("r9")));
    }

    #[test]
    fn views_and_json_are_the_recorded_ones() {
        let recorded: Json = serde_json::from_str(include_str!("../tests/recorded/slaves.json"))
            .expect("the recording is JSON");
        let agent = &recorded["slaves"][0];
        let views = a2("r2").resource_views();
        assert_eq!(views.total, agent["resources"]);
        assert_eq!(views.reserved, agent["reserved_resources"]);
        assert_eq!(views.unreserved, agent["unreserved_resources"]);
        assert_eq!(views.reserved_full, agent["reserved_resources_full"]);
        assert_eq!(views.unreserved_full, agent["unreserved_resources_full"]);
        assert_eq!(a2("r2").attributes_json(), agent["attributes"]);
        assert_eq!(AgentInfo::of_json(&a2("r2").to_json()), Some(a2("r2")));
    }
}

//! `--acls`: what principals may do, judged as Mesos' local authorizer does.
//! Source: src/authorizer/local/authorizer.cpp, include/mesos/authorizer/acls.proto.

use serde_json::{Value as Json, json};

use crate::flags::Flags;

/// The entries of the flag; none allow everything.
#[derive(Debug, Default)]
pub(crate) struct Acls(Json);

impl Acls {
    pub(crate) fn of(flags: &Flags) -> Acls {
        let text = flags.text("acls").unwrap_or("{}");
        Acls(serde_json::from_str(text).unwrap_or_default())
    }

    /// Whether a principal (nobody: whoever proves nothing) may do an action to an object (nothing named: any).
    pub(crate) fn allow(&self, action: &str, who: Option<&str>, what: Option<&str>) -> bool {
        for entry in self.0[action].as_array().into_iter().flatten() {
            let subject = &entry["principals"];
            let others = entry.as_object().into_iter().flatten();
            let object = others.filter(|(name, _)| *name != "principals").map(|(_, of)| of).next();
            let nothing = json!({});
            let object = object.unwrap_or(&nothing);
            if matches(who, subject) && matches(what, object) {
                return allows(who, subject) && allows(what, object);
            }
        }
        self.0["permissive"].as_bool().unwrap_or(true)
    }

    /// Who must be allowed what for a request to a master or an agent to be obeyed: the action, and objects.
    pub(crate) fn allow_request(
        &self,
        who: Option<&str>,
        path: &str,
        method: &str,
        body: &[u8],
        framework_principal: impl Fn(&str) -> Option<String>,
    ) -> bool {
        let body: Json = match serde_json::from_slice(body) {
            Ok(body) => body,
            Err(_) => String::from_utf8_lossy(body).trim().into(),
        };
        let roles = |list: &Json, action: &str| {
            let list = list.as_array().cloned().unwrap_or_default();
            list.iter().all(|it| self.allow(action, who, it["role"].as_str()))
        };
        if method == "GET" || method == "HEAD" {
            return true;
        }
        match path {
            "weights" => roles(&body, "update_weights"),
            "teardown" => {
                let pairs = body.as_str().unwrap_or_default().split('&');
                let id = pairs.into_iter().find_map(|pair| pair.strip_prefix("frameworkId="));
                let of = id.and_then(&framework_principal);
                self.allow("teardown_frameworks", who, of.as_deref())
            }
            "maintenance/schedule" => self.allow("update_maintenance_schedules", who, None),
            "machine/down" => self.allow("start_maintenances", who, None),
            "machine/up" => self.allow("stop_maintenances", who, None),
            "api/v1" => match body["type"].as_str().unwrap_or_default() {
                "UPDATE_WEIGHTS" => {
                    roles(&body["update_weights"]["weight_infos"], "update_weights")
                }
                "DRAIN_AGENT" => self.allow("drain_agents", who, None),
                "DEACTIVATE_AGENT" => self.allow("deactivate_agents", who, None),
                "REACTIVATE_AGENT" => self.allow("reactivate_agents", who, None),
                "MARK_AGENT_GONE" => self.allow("mark_agents_gone", who, None),
                _ => true,
            },
            _ => true,
        }
    }
}

fn values(entity: &Json) -> impl Iterator<Item = &str> {
    entity["values"].as_array().into_iter().flatten().filter_map(Json::as_str)
}

/// Whether an entry is about this one.
fn matches(asked: Option<&str>, entity: &Json) -> bool {
    match (asked, entity["type"].as_str().unwrap_or("SOME")) {
        (_, "ANY" | "NONE") => true,
        (None, _) => false,
        (Some(asked), _) => values(entity).any(|value| value == asked),
    }
}

/// Whether an entry that is about it lets it pass.
fn allows(asked: Option<&str>, entity: &Json) -> bool {
    match (asked, entity["type"].as_str().unwrap_or("SOME")) {
        (_, "ANY") => true,
        (_, "NONE") | (None, _) => false,
        (Some(asked), _) => values(entity).any(|value| value == asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_that_fits_decides() {
        let acls = Acls(json!({
            "update_weights": [
                { "principals": { "values": ["op"] }, "roles": { "type": "ANY" } },
                { "principals": { "type": "ANY" }, "roles": { "type": "NONE" } },
            ],
            "register_frameworks": [
                { "principals": { "values": ["foo"] }, "roles": { "values": ["etl"] } },
                { "principals": { "type": "NONE" }, "roles": { "values": ["etl"] } },
            ],
        }));
        assert!(acls.allow("update_weights", Some("op"), Some("etl")));
        assert!(!acls.allow("update_weights", Some("spark"), Some("etl")));
        assert!(!acls.allow("update_weights", None, Some("etl")));
        assert!(acls.allow("register_frameworks", Some("foo"), Some("etl")));
        assert!(!acls.allow("register_frameworks", Some("bar"), Some("etl")));
        assert!(acls.allow("register_frameworks", Some("bar"), Some("other")));
        assert!(acls.allow("teardown_frameworks", None, None));
        assert!(!Acls(json!({ "permissive": false })).allow("run_tasks", Some("foo"), None));
    }
}

//! What principals may do, as the flag `acls` takes it. The first entry that fits decides, and what no entry is
//! about is allowed; a release ignores actions that it does not know.
//!
//! Source: Mesos `include/mesos/authorizer/acls.proto` (HEAD), `docs/authorization.md`.

use serde_json::{Map, Value as Json, json};

/// What only operators do: the action, and what it is done to.
const OPERATORS: [(&str, &str); 11] = [
    ("teardown_frameworks", "framework_principals"),
    ("update_weights", "roles"),
    ("update_quotas", "roles"),
    ("drain_agents", "agents"),
    ("deactivate_agents", "agents"),
    ("reactivate_agents", "agents"),
    ("mark_agents_gone", "agents"),
    ("update_maintenance_schedules", "machines"),
    ("start_maintenances", "machines"),
    ("stop_maintenances", "machines"),
    ("set_log_level", "level"),
];

/// What frameworks do as well, with what is offered to them.
const FRAMEWORKS: [(&str, &str); 5] = [
    ("reserve_resources", "roles"),
    ("unreserve_resources", "reserver_principals"),
    ("create_volumes", "roles"),
    ("destroy_volumes", "creator_principals"),
    ("resize_volumes", "roles"),
];

/// What nobody does over an agent's HTTP; executors that prove who they are do it to their own containers.
const AT_AGENTS: [(&str, &str); 17] = [
    ("launch_nested_containers_as_user", "users"),
    ("launch_nested_containers_under_parent_with_user", "users"),
    ("launch_nested_container_sessions_as_user", "users"),
    ("launch_nested_container_sessions_under_parent_with_user", "users"),
    ("kill_nested_containers", "users"),
    ("wait_nested_containers", "users"),
    ("remove_nested_containers", "users"),
    ("attach_containers_input", "users"),
    ("attach_containers_output", "users"),
    ("launch_standalone_containers", "users"),
    ("kill_standalone_containers", "users"),
    ("wait_standalone_containers", "users"),
    ("remove_standalone_containers", "users"),
    ("modify_resource_provider_configs", "resource_providers"),
    ("mark_resource_providers_gone", "resource_providers"),
    ("prune_images", "images"),
    ("set_log_level", "level"),
];

/// Who is who among the principals that masters accept.
#[derive(Debug, Default)]
pub struct Principals<'a> {
    /// Who may change the cluster.
    pub operators: Vec<&'a str>,
    /// Who may register as an agent; `None` where nobody is asked.
    pub agents: Option<Vec<&'a str>>,
    /// Who may register as a framework; `None` where nobody is asked.
    pub frameworks: Option<Vec<&'a str>>,
}

/// The masters'.
pub fn of_masters(principals: &Principals<'_>) -> Json {
    let mut acls = Map::new();
    let mut only = |who: &[&str], action: &str, object: &str| {
        acls.insert(
            action.to_owned(),
            json!([
                { "principals": { "values": who }, object: { "type": "ANY" } },
                { "principals": { "type": "ANY" }, object: { "type": "NONE" } },
            ]),
        );
    };
    for (action, object) in OPERATORS {
        only(&principals.operators, action, object);
    }
    if let Some(agents) = &principals.agents {
        only(agents, "register_agents", "agents");
    }
    if let Some(frameworks) = &principals.frameworks {
        only(frameworks, "register_frameworks", "roles");
        let both = [principals.operators.as_slice(), frameworks].concat();
        for (action, object) in FRAMEWORKS {
            only(&both, action, object);
        }
    }
    Json::Object(acls)
}

/// The agents'.
pub fn of_agents() -> Json {
    let nobody =
        |object: &str| json!([{ "principals": { "type": "ANY" }, object: { "type": "NONE" } }]);
    let acls = AT_AGENTS.iter().map(|(action, object)| ((*action).to_owned(), nobody(object)));
    Json::Object(acls.collect())
}

//! Frameworks and tasks in the JSON that operators see: the keys and their order as recorded from a
//! real master, or as its writers in src/master/http.cpp at 1.11.0 have them.

use std::cmp::Ordering::Equal;
use std::collections::BTreeMap;

use mesos_messages::{CapabilityType, TaskState};
use serde_json::{Value as Json, json};

use super::{Framework, Frameworks, Offer, Task};
use crate::http::Request;
use crate::info::totals;
use crate::values::Resource;
use crate::{resources, task_view};

/// The states that `/state-summary` counts, in its order.
pub(crate) const COUNTED: [&str; 10] = [
    "TASK_STAGING",
    "TASK_STARTING",
    "TASK_RUNNING",
    "TASK_KILLING",
    "TASK_FINISHED",
    "TASK_KILLED",
    "TASK_FAILED",
    "TASK_LOST",
    "TASK_ERROR",
    "TASK_UNREACHABLE",
];

/// Sums over roles in the form of `used_resources`.
pub(crate) fn sums(resources: &[Resource]) -> Json {
    let mut all = Vec::new();
    for resource in resources {
        resources::add(&mut all, &[Resource { role: None, ..resource.clone() }]);
    }
    totals(&all.iter().collect::<Vec<_>>())
}

/// `used_resources_full` and `offered_resources_full`: each with the role that it counts for.
pub(crate) fn full<'a>(allocated: impl Iterator<Item = (&'a str, Vec<Resource>)>) -> Json {
    let mut by_role: BTreeMap<&str, Vec<Resource>> = BTreeMap::new();
    for (role, resources) in allocated {
        resources::add(by_role.entry(role).or_default(), &resources);
    }
    let each = by_role.into_iter().flat_map(|(role, list)| {
        list.into_iter().map(move |resource| {
            let mut view = resource.to_full_json();
            let reservations = view["reservations"].take();
            if let Some(object) = view.as_object_mut() {
                object.remove("reservations");
            }
            view["allocation_info"] = json!({ "role": role });
            if !reservations.is_null() {
                view["reservations"] = reservations;
            }
            view
        })
    });
    each.collect()
}

impl Frameworks {
    /// `frameworks`, `completed_frameworks` and `unregistered_frameworks`.
    pub(crate) fn put(&self, view: &mut Json) {
        view["frameworks"] = self.registered.values().map(|it| self.framework(it)).collect();
        view["completed_frameworks"] = self.completed.iter().map(|it| self.framework(it)).collect();
    }

    fn framework(&self, framework: &Framework) -> Json {
        let mut view = self.summary(framework);
        let info = &framework.info;
        view["user"] = info.user.as_str().into();
        view["failover_timeout"] = json!(info.failover_timeout());
        view["checkpoint"] = info.checkpoint().into();
        view["registered_time"] = framework.registered_time.into();
        view["unregistered_time"] = framework.unregistered_time.into();
        if let Some(principal) = &info.principal {
            view["principal"] = principal.as_str().into();
        }
        let offered = self.offered(|offer| offer.framework_id == framework.id());
        let mut all = framework.used(None);
        resources::add(&mut all, &offered);
        view["resources"] = sums(&all);
        if framework.reregistered_time != framework.registered_time {
            view["reregistered_time"] = framework.reregistered_time.into();
        }
        match framework.can(CapabilityType::MultiRole) {
            true => view["roles"] = json!(info.roles),
            false => view["role"] = info.role().into(),
        }
        let id = framework.id();
        let task = |task: &Task| task_view::task(id, &task.info, &task.statuses);
        view["tasks"] = framework.tasks.values().map(task).collect();
        view["unreachable_tasks"] = framework.unreachable.values().map(task).collect();
        view["completed_tasks"] = framework.completed.iter().map(task).collect();
        let offers = self.offers.iter().filter(|(_, offer)| offer.framework_id == framework.id());
        view["offers"] = offers.map(|(id, offer)| offer.to_json(id)).collect();
        view["executors"] = json!([]);
        view["offer_constraints"] = json!({});
        view
    }

    /// What `/state` and `/state-summary` have in common. A framework that speaks HTTP has no pid.
    fn summary(&self, framework: &Framework) -> Json {
        let info = &framework.info;
        let mut view = json!({ "id": framework.id(), "name": info.name });
        view["used_resources"] = sums(&framework.used(None));
        view["offered_resources"] =
            sums(&self.offered(|offer| offer.framework_id == framework.id()));
        view["capabilities"] = info.capabilities.iter().map(|it| it.r#type().name()).collect();
        view["hostname"] = info.hostname.as_deref().unwrap_or_default().into();
        if let Some(url) = &info.webui_url {
            view["webui_url"] = url.as_str().into();
        }
        view["active"] = framework.is_active().into();
        view["connected"] = framework.stream.is_some().into();
        view["recovered"] = framework.recovered.into();
        view
    }

    /// `frameworks` of `/state-summary`.
    pub(crate) fn summaries(&self) -> Json {
        let each = self.registered.values().map(|framework| {
            let mut view = self.summary(framework);
            put_counts(&mut view, framework.all_tasks());
            let mut ids: Vec<&str> = framework.all_tasks().map(Task::agent_id).collect();
            ids.sort_unstable();
            ids.dedup();
            view["slave_ids"] = json!(ids);
            view
        });
        each.collect()
    }

    /// `/tasks`: the newest first, a hundred unless `limit` and `offset` say otherwise.
    pub(crate) fn tasks(&self, request: &Request) -> Json {
        let number = |name: &str, usual: usize| {
            request.parameter(name).and_then(|text| text.parse().ok()).unwrap_or(usual)
        };
        let asked = |name: &str, own: &str| request.parameter(name).is_none_or(|it| it == own);
        let all = self.registered.values().chain(&self.completed);
        let of = all.filter(|framework| asked("framework_id", framework.id()));
        let mut tasks: Vec<(&str, &Task)> = of
            .flat_map(|framework| framework.all_tasks().map(|task| (framework.id(), task)))
            .filter(|(_, task)| asked("task_id", task.id()))
            .collect();
        let begun = |task: &Task| task.statuses.first().and_then(|status| status.timestamp);
        tasks.sort_by(|one, other| begun(other.1).partial_cmp(&begun(one.1)).unwrap_or(Equal));
        if request.parameter("order").as_deref() == Some("asc") {
            tasks.reverse();
        }
        let page = tasks.into_iter().skip(number("offset", 0)).take(number("limit", 100));
        let views = page.map(|(id, task)| task_view::task(id, &task.info, &task.statuses));
        json!({ "tasks": views.collect::<Vec<_>>() })
    }

    /// What `/state-summary` says of the tasks of one agent.
    pub(crate) fn put_agent_summary(&self, view: &mut Json, agent_id: &str) {
        let all = self.registered.values().flat_map(Framework::all_tasks);
        put_counts(view, all.filter(|task| task.agent_id() == agent_id));
        let here = self
            .registered
            .values()
            .filter(|framework| framework.all_tasks().any(|task| task.agent_id() == agent_id));
        view["framework_ids"] = here.map(Framework::id).collect();
    }

    /// How many tasks of all frameworks, of the completed ones too, are in a state.
    pub(crate) fn count(&self, state: TaskState) -> usize {
        let all = self.registered.values().chain(&self.completed).flat_map(Framework::all_tasks);
        all.filter(|task| task.state == state).count()
    }
}

fn put_counts<'a>(view: &mut Json, tasks: impl Iterator<Item = &'a Task>) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for task in tasks {
        *counts.entry(task.state.name()).or_default() += 1;
    }
    for name in COUNTED {
        view[name] = counts.get(name).copied().unwrap_or(0).into();
    }
}

impl Framework {
    /// Those that run, those that cannot be reached and those that have ended.
    pub(crate) fn all_tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().chain(self.unreachable.values()).chain(&self.completed)
    }
}

impl Framework {
    /// What `/metrics/snapshot` has of each framework.
    pub(crate) fn put_metrics(&self, view: &mut Json) {
        let prefix = format!("master/frameworks/{}/{}", self.info.name, self.id());
        let counts = &self.counts;
        for (kind, counted) in [("calls", &counts.calls), ("events", &counts.events)] {
            view[format!("{prefix}/{kind}")] = json!(counted.values().sum::<u64>() as f64);
            for (name, number) in counted {
                view[format!("{prefix}/{kind}/{}", name.to_lowercase())] = json!(*number as f64);
            }
        }
        for (name, number) in [
            ("accepted", counts.offers_accepted),
            ("declined", counts.offers_declined),
            ("rescinded", counts.offers_rescinded),
            ("sent", counts.offers_sent),
        ] {
            view[format!("{prefix}/offers/{name}")] = json!(number as f64);
        }
        let subscribed = if self.is_active() { 1.0 } else { 0.0 };
        view[format!("{prefix}/subscribed")] = json!(subscribed);
    }
}

impl Offer {
    fn to_json(&self, id: &str) -> Json {
        json!({
            "id": id,
            "framework_id": self.framework_id,
            "allocation_info": { "role": self.role },
            "slave_id": self.agent_id,
            "resources": sums(&self.resources),
        })
    }
}

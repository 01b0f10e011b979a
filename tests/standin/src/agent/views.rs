//! The JSON that an agent answers, in the shape that was recorded from a real one.

use std::collections::BTreeMap;

use mesos_messages::{CapabilityType, Resource, Scalar, TaskInfo, TaskState};
use serde_json::{Value as Json, json};

use super::Agent;
use super::tasks::{Executor, Framework, Phase};
use crate::container::{role, scalar};
use crate::info::{AGENT_CAPABILITIES, ResourceViews};
use crate::task_view::{self, resources};
use crate::{clock, version};

impl Agent {
    pub(super) fn view(&self) -> Json {
        let state = self.state();
        let views = state.info.resource_views();
        let allocated: Vec<Resource> = state.tasks.all().flat_map(|(_, _, it)| held(it)).collect();
        let is_free = |resource: &&Resource| reserved_for(resource).is_none();
        let unreserved_allocated: Vec<Resource> =
            allocated.iter().filter(is_free).cloned().collect();
        let ResourceViews { total, reserved, unreserved, reserved_full, unreserved_full } = views;
        let mut view = json!({
            "version": version::mesos(),
            "build_date": "1970-01-01 00:00:00 UTC",
            "build_time": 0.0,
            "build_user": "standin",
            "start_time": self.start_time,
            "id": state.info.id.as_deref().unwrap_or_default(),
            "pid": self.pid(),
            "hostname": state.info.hostname,
            "capabilities": AGENT_CAPABILITIES,
            "resources": total,
            "reserved_resources": reserved,
            "unreserved_resources": unreserved,
            "reserved_resources_full": reserved_full,
            "unreserved_resources_full": unreserved_full,
            "reserved_resources_allocated": reserved_allocated(&allocated),
            "unreserved_resources_allocated": resources(&unreserved_allocated),
            "resource_providers": [],
            "attributes": state.info.attributes_json(),
        });
        if let Some(link) = &state.link {
            view["master_hostname"] = link.hostname.as_str().into();
        }
        if let Some(dir) = self.flags.text("log_dir") {
            view["log_dir"] = dir.into();
        }
        view["flags"] = self.flags.to_json();
        let of = |all: &mut dyn Iterator<Item = &Framework>| all.map(framework).collect::<Json>();
        view["frameworks"] = of(&mut state.tasks.frameworks.values());
        view["completed_frameworks"] = of(&mut state.tasks.completed.iter());
        view
    }

    pub(super) fn metrics(&self) -> Json {
        let state = self.state();
        let mut view = json!({});
        let allocated: Vec<Resource> = state.tasks.all().flat_map(|(_, _, it)| held(it)).collect();
        for name in ["cpus", "disk", "gpus", "mem"] {
            let (total, used) = (state.info.scalar(name), scalar(&allocated, name));
            view[format!("slave/{name}_total")] = json!(total);
            view[format!("slave/{name}_used")] = json!(used);
            let percent = if total > 0.0 { used / total } else { 0.0 };
            view[format!("slave/{name}_percent")] = json!(percent);
        }
        let count = |wanted: &dyn Fn(&Executor) -> bool| {
            json!(state.tasks.all().filter(|(_, _, it)| wanted(it)).count() as f64)
        };
        view["slave/executors_registering"] = count(&|it| matches!(it.phase, Phase::Launching));
        view["slave/executors_running"] = count(&|it| matches!(it.phase, Phase::Started(_)));
        view["slave/executors_terminated"] = count(&|it| matches!(it.phase, Phase::Ended));
        view["slave/executors_terminating"] = json!(0.0);
        view["slave/frameworks_active"] = json!(state.tasks.frameworks.len() as f64);
        view["slave/recovery_errors"] = json!(0.0);
        view["slave/registered"] = json!(if state.link.is_some() { 1.0 } else { 0.0 });
        for (name, wanted) in TASK_STATES {
            let now = state.tasks.all().filter(|(_, _, it)| it.state() == *wanted).count();
            let done = state.tasks.ended.get(wanted).copied().unwrap_or_default();
            view[format!("slave/tasks_{name}")] = json!((now + done) as f64);
        }
        view["slave/uptime_secs"] = json!(clock::seconds() - self.start_time);
        view
    }

    /// `/containers`: those that run.
    pub(super) fn containers(&self) -> Json {
        let state = self.state();
        let running = state.tasks.all().filter(|(.., it)| matches!(it.phase, Phase::Started(_)));
        let container = |(id, _, executor): (&str, &Framework, &Executor)| {
            let mut view = monitored(id, executor);
            let status =
                executor.statuses.last().and_then(|status| status.container_status.as_ref());
            let ip = status.and_then(|it| it.network_infos.first()?.ip_addresses.first());
            let mut inner = json!({ "container_id": { "value": executor.container } });
            if let Some(ip) = ip {
                inner["network_infos"] =
                    json!([{ "ip_addresses": [{ "ip_address": ip.ip_address() }] }]);
            }
            view["container_id"] = executor.container.as_str().into();
            view["status"] = inner;
            view
        };
        running.map(container).collect()
    }

    /// `/monitor/statistics`: limits only, nothing is measured.
    pub(super) fn statistics(&self) -> Json {
        let state = self.state();
        let running = state.tasks.all().filter(|(.., it)| matches!(it.phase, Phase::Started(_)));
        running.map(|(id, _, executor)| monitored(id, executor)).collect()
    }
}

const TASK_STATES: &[(&str, TaskState)] = &[
    ("failed", TaskState::Failed),
    ("finished", TaskState::Finished),
    ("gone", TaskState::GoneByOperator),
    ("killed", TaskState::Killed),
    ("killing", TaskState::Killing),
    ("lost", TaskState::Lost),
    ("running", TaskState::Running),
    ("staging", TaskState::Staging),
    ("starting", TaskState::Starting),
];

fn monitored(framework_id: &str, executor: &Executor) -> Json {
    let held: Vec<Resource> = held(executor).collect();
    let (cpus, memory) = (scalar(&held, "cpus"), scalar(&held, "mem"));
    json!({
        "executor_id": executor.task.task_id.value,
        "executor_name": executor_name(&executor.task),
        "framework_id": framework_id,
        "source": executor.task.task_id.value,
        "statistics": {
            "cpus_limit": cpus,
            "mem_limit_bytes": (memory * f64::from(1 << 20)) as u64,
            "timestamp": clock::seconds(),
        },
    })
}

fn framework(framework: &Framework) -> Json {
    let info = &framework.info;
    let id = info.id.as_ref().map_or("", |id| id.value.as_str());
    let executors = |all: &mut dyn Iterator<Item = &Executor>| {
        all.map(|executor| executor_view(id, executor)).collect::<Json>()
    };
    let mut view = json!({
        "id": id,
        "name": info.name,
        "user": info.user,
        "failover_timeout": info.failover_timeout(),
        "checkpoint": info.checkpoint(),
        "hostname": info.hostname(),
    });
    if let Some(principal) = &info.principal {
        view["principal"] = principal.as_str().into();
    }
    match framework.can(CapabilityType::MultiRole) {
        true => view["roles"] = json!(info.roles),
        false => view["role"] = info.role().into(),
    }
    view["executors"] = executors(&mut framework.executors.values());
    view["completed_executors"] = executors(&mut framework.completed.iter());
    view
}

fn executor_view(framework_id: &str, executor: &Executor) -> Json {
    let id = executor.task.task_id.value.as_str();
    let task = task_view::task(framework_id, &executor.task, &executor.statuses);
    let nothing = || json!([]);
    let (tasks, queued, completed) = match (&executor.phase, executor.is_terminal()) {
        (_, true) => (nothing(), nothing(), json!([task])),
        (Phase::Launching, false) => (nothing(), json!([task]), nothing()),
        (_, false) => (json!([task]), nothing(), nothing()),
    };
    let held: Vec<Resource> = held(executor).collect();
    json!({
        "id": id,
        "name": executor_name(&executor.task),
        "source": id,
        "container": executor.container,
        "directory": executor.sandbox,
        "resources": resources(&held),
        "role": role(&executor.task.resources).unwrap_or("*"),
        "labels": [],
        "tasks": tasks,
        "queued_tasks": queued,
        "completed_tasks": completed,
    })
}

/// `Command Executor (Task: 0) (Command: sh -c 'the first letters...')`.
/// Source: src/slave/slave.cpp at 1.11.0, `getExecutorInfo`.
fn executor_name(task: &TaskInfo) -> String {
    let command = task.command.clone().unwrap_or_default();
    let text = if command.shell() {
        format!("sh -c '{}'", short(command.value()))
    } else {
        let words: Vec<&str> = command.arguments.iter().map(String::as_str).collect();
        format!("[{}, {}]", command.value(), short(&words.join(", ")))
    };
    format!("Command Executor (Task: {}) (Command: {text})", task.task_id.value)
}

/// The first 12 letters, and three points for the rest.
fn short(text: &str) -> String {
    match text.chars().count() {
        0..=15 => text.to_owned(),
        _ => format!("{}...", text.chars().take(12).collect::<String>()),
    }
}

/// What a task takes, with the little that its executor needs itself; an executor that is left
/// without its task holds that little until it is gone.
fn held(executor: &Executor) -> impl Iterator<Item = Resource> + '_ {
    let task = executor.task.resources.iter().filter(|_| !executor.is_terminal());
    let own = [("cpus", 0.1), ("mem", 32.0)].map(|(name, value)| Resource {
        name: name.to_owned(),
        scalar: Some(Scalar { value }),
        ..Resource::default()
    });
    task.cloned().chain(own)
}

/// The role for which a resource is reserved.
fn reserved_for(resource: &Resource) -> Option<&str> {
    let refined = resource.reservations.last().and_then(|it| it.role.as_deref());
    refined.or(resource.role.as_deref()).filter(|role| *role != "*")
}

fn reserved_allocated(allocated: &[Resource]) -> Json {
    let mut by_role: BTreeMap<&str, Vec<Resource>> = BTreeMap::new();
    for resource in allocated {
        if let Some(role) = reserved_for(resource) {
            by_role.entry(role).or_default().push(resource.clone());
        }
    }
    by_role.iter().map(|(role, held)| ((*role).to_owned(), resources(held))).collect()
}

#[cfg(test)]
mod tests {
    use mesos_messages::{
        AllocationInfo, CommandInfo, ContainerId, ContainerInfo, ContainerStatus, ContainerType,
        DockerInfo, FrameworkInfo, IpAddress, NetworkInfo, TaskStatus,
    };

    use super::*;

    #[test]
    fn a_running_framework_reads_as_recorded() {
        let text = include_str!("../../tests/recorded/agent-framework.json");
        let recorded: Json = serde_json::from_str(text).expect("the recording is JSON");
        let there = &recorded["executors"][0];
        let word = |value: &Json| value.as_str().expect("a text").to_owned();
        let scalar = |name: &str, value: f64| Resource {
            name: name.to_owned(),
            scalar: Some(Scalar { value }),
            allocation_info: Some(AllocationInfo { role: Some("*".to_owned()) }),
            ..Resource::default()
        };
        let docker = DockerInfo { image: "spark-mesos".to_owned(), ..DockerInfo::default() };
        let container = ContainerInfo {
            r#type: ContainerType::Docker as i32,
            docker: Some(docker),
            ..ContainerInfo::default()
        };
        let command = " \"/opt/spark/./bin/spark-class\" and more".to_owned();
        let task = TaskInfo {
            name: "PythonPi 0".to_owned(),
            task_id: "0".into(),
            agent_id: word(&there["tasks"][0]["slave_id"]).into(),
            resources: vec![scalar("cpus", 2.0), scalar("mem", 896.0)],
            command: Some(CommandInfo { value: Some(command), ..CommandInfo::default() }),
            container: Some(container),
            ..TaskInfo::default()
        };
        let id = word(&there["container"]);
        let told = there["tasks"][0]["statuses"].as_array().expect("a list").iter().map(|status| {
            let state = TaskState::of_name(&word(&status["state"])).expect("a state");
            let address =
                IpAddress { ip_address: Some("172.31.7.21".to_owned()), ..IpAddress::default() };
            let network = NetworkInfo { ip_addresses: vec![address], ..NetworkInfo::default() };
            TaskStatus {
                state: state as i32,
                timestamp: status["timestamp"].as_f64(),
                container_status: Some(ContainerStatus {
                    container_id: Some(ContainerId::from(id.as_str())),
                    network_infos: vec![network],
                    ..ContainerStatus::default()
                }),
                ..TaskStatus::default()
            }
        });
        let directory = word(&there["directory"]).into();
        let mut executor = Executor::new(task, id.clone(), directory, "meta".into());
        executor.phase = Phase::Started(None);
        executor.statuses = told.collect();
        let mut ours = Framework::new(FrameworkInfo {
            id: Some(word(&recorded["id"]).into()),
            name: "PythonPi".to_owned(),
            user: "root".to_owned(),
            hostname: Some("172.31.7.11".to_owned()),
            ..FrameworkInfo::default()
        });
        ours.executors.insert("0".to_owned(), executor);
        assert_eq!(framework(&ours).to_string(), recorded.to_string());
    }
}

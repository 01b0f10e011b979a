//! A task in JSON, as masters and agents answer it: the same keys in the same order as recorded.

use mesos_messages::{
    ContainerInfo, ContainerType, DockerNetwork, Label, Labels, NetworkInfo, Resource, TaskInfo,
    TaskStatus, VolumeMode,
};
use serde_json::{Value as Json, json};

/// A task of a framework with what was told about it.
pub(crate) fn task(framework_id: &str, task: &TaskInfo, statuses: &[TaskStatus]) -> Json {
    let state = statuses.last().map_or("TASK_STAGING", |status| status.state().name());
    let mut view = json!({
        "id": task.task_id.value,
        "name": task.name,
        "framework_id": framework_id,
        // A command task has none in a master's eyes.
        "executor_id": task.executor.as_ref().map_or("", |it| it.executor_id.value.as_str()),
        "slave_id": task.agent_id.value,
        "state": state,
        "resources": resources(&task.resources),
        "role": crate::container::role(&task.resources).unwrap_or("*"),
        "statuses": statuses.iter().map(status).collect::<Vec<_>>(),
        "labels": labels(task.labels.as_ref()),
    });
    if let Some(info) = &task.container {
        view["container"] = container(info);
    }
    view
}

/// Sums of scalars and the ranges, `{"disk":0.0,"mem":896.0,"gpus":0.0,"cpus":2.0}`.
pub(crate) fn resources(resources: &[Resource]) -> Json {
    let mut sums = json!({ "disk": 0.0, "mem": 0.0, "gpus": 0.0, "cpus": 0.0 });
    for resource in resources {
        let name = resource.name.as_str();
        if let Some(scalar) = resource.scalar {
            // Three decimals count.
            let sum = sums[name].as_f64().unwrap_or(0.0) + scalar.value;
            sums[name] = json!((sum * 1000.0).round() / 1000.0);
        } else if let Some(ranges) = &resource.ranges {
            let before = sums[name].as_str().map(|text| text.trim_matches(['[', ']']).to_owned());
            let more = ranges.range.iter().map(|range| format!("{}-{}", range.begin, range.end));
            let all: Vec<String> = before.into_iter().chain(more).collect();
            sums[name] = format!("[{}]", all.join(", ")).into();
        }
    }
    sums
}

fn status(status: &TaskStatus) -> Json {
    let mut view = json!({ "state": status.state().name() });
    if let Some(timestamp) = status.timestamp {
        view["timestamp"] = timestamp.into();
    }
    if let Some(container) = &status.container_status {
        let mut inner = json!({});
        if let Some(id) = &container.container_id {
            inner["container_id"] = json!({ "value": id.value });
        }
        inner["network_infos"] = networks(&container.network_infos);
        view["container_status"] = inner;
    }
    view
}

fn networks(infos: &[NetworkInfo]) -> Json {
    let one = |info: &NetworkInfo| {
        let addresses = info.ip_addresses.iter().map(|address| {
            json!({ "protocol": address.protocol().name(), "ip_address": address.ip_address() })
        });
        json!({ "ip_addresses": addresses.collect::<Vec<_>>() })
    };
    infos.iter().map(one).collect()
}

fn labels(labels: Option<&Labels>) -> Json {
    let one = |label: &Label| json!({ "key": label.key, "value": label.value() });
    labels.into_iter().flat_map(|labels| &labels.labels).map(one).collect()
}

fn container(info: &ContainerInfo) -> Json {
    let kind = ContainerType::try_from(info.r#type).unwrap_or(ContainerType::Mesos);
    let mut view = json!({ "type": kind.name() });
    if !info.volumes.is_empty() {
        let volumes = info.volumes.iter().map(|volume| {
            let mode = VolumeMode::try_from(volume.mode).unwrap_or(VolumeMode::Rw).name();
            let mut view = json!({ "mode": mode, "container_path": volume.container_path });
            if let Some(path) = &volume.host_path {
                view["host_path"] = path.as_str().into();
            }
            view
        });
        view["volumes"] = volumes.collect();
    }
    if let Some(docker) = &info.docker {
        let network = DockerNetwork::try_from(docker.network.unwrap_or(DockerNetwork::Host as i32));
        let mut inner = json!({
            "image": docker.image,
            "network": network.unwrap_or(DockerNetwork::Host).name(),
            "privileged": docker.privileged(),
        });
        if !docker.parameters.is_empty() {
            let all = docker.parameters.iter();
            inner["parameters"] =
                all.map(|one| json!({ "key": one.key, "value": one.value })).collect();
        }
        inner["force_pull_image"] = docker.force_pull_image().into();
        view["docker"] = inner;
    }
    view
}

#[cfg(test)]
mod tests {
    use mesos_messages::{
        AllocationInfo, ContainerId, ContainerStatus, DockerInfo, IpAddress, Range, Ranges, Scalar,
        TaskState,
    };

    use super::*;

    fn scalar(name: &str, value: f64) -> Resource {
        Resource {
            name: name.to_owned(),
            scalar: Some(Scalar { value }),
            allocation_info: Some(AllocationInfo { role: Some("*".to_owned()) }),
            ..Resource::default()
        }
    }

    #[test]
    fn a_task_reads_as_recorded() {
        let recorded: Json = serde_json::from_str(include_str!("../tests/recorded/task.json"))
            .expect("the recording is JSON");
        let container = ContainerInfo {
            r#type: ContainerType::Docker as i32,
            docker: Some(DockerInfo { image: "spark-mesos".to_owned(), ..DockerInfo::default() }),
            ..ContainerInfo::default()
        };
        let info = TaskInfo {
            name: "PythonPi 0".to_owned(),
            task_id: "0".into(),
            agent_id: "7c842204-3f73-4d59-a32a-eb195f81aaed-S0".into(),
            resources: vec![scalar("cpus", 2.0), scalar("mem", 896.0)],
            container: Some(container),
            ..TaskInfo::default()
        };
        let address =
            IpAddress { ip_address: Some("172.31.7.21".to_owned()), ..IpAddress::default() };
        let status = |state: TaskState, timestamp: f64| TaskStatus {
            state: state as i32,
            timestamp: Some(timestamp),
            container_status: Some(ContainerStatus {
                container_id: Some(ContainerId::from("281707ae-73b3-4072-ac72-1de6485c7359")),
                network_infos: vec![NetworkInfo {
                    ip_addresses: vec![address.clone()],
                    ..NetworkInfo::default()
                }],
                ..ContainerStatus::default()
            }),
            ..TaskStatus::default()
        };
        let statuses = [
            status(TaskState::Starting, 1_795_371_488.191_851),
            status(TaskState::Running, 1_795_371_489.100_256),
        ];
        let view = task("7c842204-3f73-4d59-a32a-eb195f81aaed-0000", &info, &statuses);
        assert_eq!(view.to_string(), recorded.to_string());
    }

    #[test]
    fn resources_are_summed_over_roles() {
        let ports = Resource {
            name: "ports".to_owned(),
            ranges: Some(Ranges { range: vec![Range { begin: 1, end: 2 }] }),
            ..Resource::default()
        };
        let all = [scalar("cpus", 0.1), scalar("cpus", 2.0), ports.clone(), ports];
        let sums = resources(&all);
        assert_eq!((&sums["cpus"], &sums["ports"]), (&json!(2.1), &json!("[1-2, 1-2]")));
    }
}

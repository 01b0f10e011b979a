//! How a task becomes a `docker run`: the words, in the order in which the real agent writes them.
//! Source: src/docker/docker.cpp at 1.11.0, `Docker::RunOptions::create` and `Docker::run`.

use std::collections::BTreeMap;

use mesos_messages::{
    CommandInfo, ContainerInfo, DockerInfo, DockerNetwork, Resource, TaskInfo, VolumeMode,
};

/// Where a container's sandbox is, on the host and in the container, and what the container is
/// called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) name: &'a str,
    pub(crate) sandbox: &'a str,
    pub(crate) mapped: &'a str,
}

/// The words after `docker -H ...`, or why the task cannot be run.
pub(crate) fn arguments(
    task: &TaskInfo,
    resources: &[Resource],
    place: Place<'_>,
    cfs: Option<CfsQuota>,
) -> Result<Vec<String>, String> {
    let container = task.container.as_ref().ok_or("No container info found")?;
    let docker = container.docker.as_ref().ok_or("No docker info found in container info")?;
    let command = task.command.clone().unwrap_or_default();
    let mut words = vec!["run".to_owned()];
    let mut put = |name: &str, value: String| words.extend([name.to_owned(), value]);
    let cpus = scalar(resources, "cpus");
    put("--cpu-shares", ((CPU_SHARES_PER_CPU * cpus) as u64).max(MIN_CPU_SHARES).to_string());
    if cfs == Some(CfsQuota) {
        put("--cpu-quota", ((CPU_CFS_PERIOD * cpus) as u64).max(MIN_CPU_CFS_QUOTA).to_string());
    }
    let memory = (scalar(resources, "mem") as u64).max(MIN_MEMORY_MB) << 20;
    put("--memory", memory.to_string());
    for (name, value) in environment(&command, resources, place) {
        put("-e", format!("{name}={value}"));
    }
    for volume in volumes(container, docker, place)? {
        put("-v", volume);
    }
    if let Some(driver) = &docker.volume_driver {
        put("--volume-driver", driver.clone());
    }
    let network = network(container, docker)?;
    put("--net", network.clone());
    if let Some(hostname) = &container.hostname {
        if network == "host" {
            return Err("Unable to set hostname with host network mode".to_owned());
        }
        put("--hostname", hostname.clone());
    }
    for port in ports(docker, resources, &network)? {
        put("-p", port);
    }
    // A shell is wanted, whatever the image would start.
    if command.shell() {
        put("--entrypoint", "/bin/sh".to_owned());
    }
    put("--name", place.name.to_owned());
    if docker.privileged() {
        words.insert(1, "--privileged".to_owned());
    }
    let more = docker.parameters.iter().map(|more| format!("--{}={}", more.key, more.value));
    words.extend(more);
    words.push(docker.image.clone());
    if command.shell() {
        let value = command.value.ok_or("Shell specified but no command value provided")?;
        words.extend(["-c".to_owned(), value]);
    } else {
        words.extend(command.value);
        words.extend(command.arguments);
    }
    Ok(words)
}

/// That containers get no more than their CPUs: `--cgroups_enable_cfs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CfsQuota;

const CPU_SHARES_PER_CPU: f64 = 1024.0;
const MIN_CPU_SHARES: u64 = 2;
/// In microseconds.
const CPU_CFS_PERIOD: f64 = 100_000.0;
const MIN_CPU_CFS_QUOTA: u64 = 1000;
const MIN_MEMORY_MB: u64 = 32;

/// The image as Docker is asked for it: without a tag or a digest it is the one called `latest`.
pub(crate) fn image_with_tag(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or_default();
    if name.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

/// Sum of one scalar.
pub(crate) fn scalar(resources: &[Resource], name: &str) -> f64 {
    let named = resources.iter().filter(|resource| resource.name == name);
    named.filter_map(|resource| resource.scalar.map(|scalar| scalar.value)).sum()
}

/// The role for which the resources were offered; a task never mixes two.
pub(crate) fn role(resources: &[Resource]) -> Option<&str> {
    resources.first()?.allocation_info.as_ref()?.role.as_deref()
}

/// A command's own variables; secrets are left out.
pub(crate) fn variables(command: &CommandInfo) -> impl Iterator<Item = (String, String)> + '_ {
    let all = command.environment.iter().flat_map(|environment| &environment.variables);
    all.filter(|variable| variable.secret.is_none())
        .map(|variable| (variable.name.clone(), variable.value().to_owned()))
}

fn environment(
    command: &CommandInfo,
    resources: &[Resource],
    place: Place<'_>,
) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = variables(command).collect();
    all.insert("MESOS_SANDBOX".to_owned(), place.mapped.to_owned());
    all.insert("MESOS_CONTAINER_NAME".to_owned(), place.name.to_owned());
    if let Some(role) = role(resources) {
        all.insert("MESOS_ALLOCATION_ROLE".to_owned(), role.to_owned());
    }
    all
}

fn volumes(
    container: &ContainerInfo,
    docker: &DockerInfo,
    place: Place<'_>,
) -> Result<Vec<String>, String> {
    let mut volumes = Vec::new();
    for volume in &container.volumes {
        let inside = match volume.container_path.starts_with('/') {
            true => volume.container_path.clone(),
            false => format!("{}/{}", place.mapped, volume.container_path),
        };
        let host = volume.host_path.as_deref().ok_or("Host path or volume source is required")?;
        if !host.starts_with('/') && !volume.container_path.starts_with('/') {
            return Err(format!(
                "Both host_path '{host}' and container_path '{}' of a volume are relative",
                volume.container_path
            ));
        }
        let host = match host.starts_with('/') || docker.volume_driver.is_some() {
            true => host.to_owned(),
            false => format!("{}/{host}", place.sandbox),
        };
        let mode = if volume.mode() == VolumeMode::Ro { "ro" } else { "rw" };
        volumes.push(format!("{host}:{inside}:{mode}"));
    }
    volumes.push(format!("{}:{}", place.sandbox, place.mapped));
    Ok(volumes)
}

fn network(container: &ContainerInfo, docker: &DockerInfo) -> Result<String, String> {
    let name = match docker.network() {
        DockerNetwork::Host => "host",
        DockerNetwork::Bridge => "bridge",
        DockerNetwork::None => "none",
        DockerNetwork::User => match container.network_infos.as_slice() {
            [] => return Err("No network info found in container info".to_owned()),
            [one] => one.name.as_deref().ok_or("No network name found in network info")?,
            _ => return Err("Only a single network can be defined in Docker run".to_owned()),
        },
    };
    Ok(name.to_owned())
}

fn ports(
    docker: &DockerInfo,
    resources: &[Resource],
    network: &str,
) -> Result<Vec<String>, String> {
    if docker.port_mappings.is_empty() {
        return Ok(Vec::new());
    }
    if network == "host" || network == "none" {
        return Err("Port mappings are only supported for bridge and user-defined networks".into());
    }
    let ranges: Vec<_> = resources
        .iter()
        .filter(|resource| resource.name == "ports")
        .filter_map(|resource| resource.ranges.as_ref())
        .flat_map(|ranges| &ranges.range)
        .collect();
    if ranges.is_empty() {
        return Err("Port mappings require port resources".to_owned());
    }
    let word = |mapping: &mesos_messages::PortMapping| {
        let host = mapping.host_port;
        let own =
            |range: &&&mesos_messages::Range| (range.begin..=range.end).contains(&u64::from(host));
        ranges.iter().find(own).ok_or(format!("Port [{host}] not included in resources"))?;
        let protocol = mapping.protocol.as_ref().map(|it| format!("/{}", it.to_lowercase()));
        Ok(format!("{host}:{}{}", mapping.container_port, protocol.unwrap_or_default()))
    };
    docker.port_mappings.iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use mesos_messages::{
        AllocationInfo, ContainerType, Environment, Parameter, Scalar, ValueType, Variable, Volume,
    };

    use super::*;

    const PLACE: Place<'_> =
        Place { name: "mesos-u", sandbox: "/w/runs/u", mapped: "/mnt/mesos/sandbox" };

    fn resource(name: &str, value: f64) -> Resource {
        Resource {
            name: name.to_owned(),
            r#type: ValueType::Scalar as i32,
            scalar: Some(Scalar { value }),
            allocation_info: Some(AllocationInfo { role: Some("*".to_owned()) }),
            ..Resource::default()
        }
    }

    /// An executor of Spark as it was recorded.
    fn spark() -> TaskInfo {
        let variable = Variable {
            name: "SPARK_USER".to_owned(),
            value: Some("root".to_owned()),
            ..Variable::default()
        };
        TaskInfo {
            resources: vec![resource("cpus", 2.0), resource("mem", 896.0)],
            command: Some(CommandInfo {
                value: Some(" \"/opt/spark/./bin/spark-class\" x --hostname a1".to_owned()),
                environment: Some(Environment { variables: vec![variable] }),
                ..CommandInfo::default()
            }),
            container: Some(ContainerInfo {
                r#type: ContainerType::Docker as i32,
                docker: Some(DockerInfo {
                    image: "spark-mesos".to_owned(),
                    ..DockerInfo::default()
                }),
                ..ContainerInfo::default()
            }),
            ..TaskInfo::default()
        }
    }

    fn words(task: &TaskInfo) -> Result<Vec<String>, String> {
        arguments(task, &task.resources, PLACE, None)
    }

    #[test]
    fn an_executor_of_spark_is_started_as_recorded() {
        let written = words(&spark()).expect("it can be run");
        let expected = [
            "run",
            "--cpu-shares",
            "2048",
            "--memory",
            "939524096",
            "-e",
            "MESOS_ALLOCATION_ROLE=*",
            "-e",
            "MESOS_CONTAINER_NAME=mesos-u",
            "-e",
            "MESOS_SANDBOX=/mnt/mesos/sandbox",
            "-e",
            "SPARK_USER=root",
            "-v",
            "/w/runs/u:/mnt/mesos/sandbox",
            "--net",
            "host",
            "--entrypoint",
            "/bin/sh",
            "--name",
            "mesos-u",
            "spark-mesos",
            "-c",
            " \"/opt/spark/./bin/spark-class\" x --hostname a1",
        ];
        assert_eq!(written, expected);
    }

    #[test]
    fn words_of_a_command_without_a_shell_follow_the_image() {
        let mut task = spark();
        task.command = Some(CommandInfo {
            shell: Some(false),
            value: Some("a".to_owned()),
            arguments: vec!["b c".to_owned()],
            ..CommandInfo::default()
        });
        let written = words(&task).expect("it can be run");
        assert!(written.ends_with(&["spark-mesos".into(), "a".into(), "b c".into()]));
        assert!(!written.contains(&"--entrypoint".to_owned()));
    }

    #[test]
    fn volumes_and_parameters_are_given() {
        let mut task = spark();
        let container = task.container.as_mut().expect("a container");
        let mut volume = Volume {
            container_path: "in".to_owned(),
            host_path: Some("/opt/x".to_owned()),
            mode: VolumeMode::Ro as i32,
        };
        container.volumes.push(volume.clone());
        let docker = container.docker.as_mut().expect("Docker");
        docker.parameters.push(Parameter { key: "label".to_owned(), value: "a=b".to_owned() });
        docker.privileged = Some(true);
        let written = words(&task).expect("it can be run");
        assert!(written.contains(&"/opt/x:/mnt/mesos/sandbox/in:ro".to_owned()), "{written:?}");
        assert!(written.contains(&"--label=a=b".to_owned()));
        assert_eq!(written[1], "--privileged");
        volume.host_path = Some("y".to_owned());
        task.container.as_mut().expect("a container").volumes.push(volume);
        assert_eq!(
            words(&task).expect_err("both are relative"),
            "Both host_path 'y' and container_path 'in' of a volume are relative"
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut task = spark();
        task.container.as_mut().expect("a container").hostname = Some("h".to_owned());
        assert_eq!(
            words(&task).expect_err("a host network"),
            "Unable to set hostname with host network mode"
        );
        task.container.as_mut().expect("a container").docker = None;
        assert_eq!(words(&task).expect_err("no docker"), "No docker info found in container info");
    }

    #[test]
    fn an_image_has_a_tag() {
        assert_eq!(image_with_tag("spark-mesos"), "spark-mesos:latest");
        assert_eq!(image_with_tag("r:5000/a"), "r:5000/a:latest");
        assert_eq!(image_with_tag("a:1"), "a:1");
        assert_eq!(image_with_tag("a@sha256:1"), "a@sha256:1");
    }
}

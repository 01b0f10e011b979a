//! What an agent itself asks of Docker: before it serves, before a task, and at its recovery.
//! Source: src/docker/docker.cpp at 1.11.0, `Docker::create`, `Docker::pull` and `Docker::ps`; texts
//! as recorded.

use std::process::Command;

use crate::container::image_with_tag;
use crate::flags::Flags;

/// The checks of `--containerizers`, in the real order.
pub(crate) fn check_containerizers(flags: &Flags) -> Result<Docker, String> {
    let written = flags.text("containerizers").unwrap_or_default();
    // Cut at commas, never trimmed, then sorted: a blank comes before every letter.
    let mut types: Vec<&str> = written.split(',').collect();
    types.sort_unstable();
    if types.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(format!("Duplicate entries found in --containerizer flag '{written}'"));
    }
    let mut docker = Docker::Unused;
    for kind in types {
        match kind {
            "mesos" => {}
            "docker" => {
                check_docker(flags).map_err(|error| {
                    format!(
                        "Could not create DockerContainerizer: Failed to create docker: {error}"
                    )
                })?;
                docker = Docker::Used;
            }
            other => return Err(format!("Unknown or unsupported containerizer: {other}")),
        }
    }
    Ok(docker)
}

/// Whether the docker containerizer is among those asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Docker {
    Used,
    Unused,
}

/// How Docker is asked: the client and where its engine listens.
pub(crate) fn client(flags: &Flags) -> Vec<String> {
    let docker = flags.text("docker").unwrap_or("docker");
    let socket = flags.text("docker_socket").unwrap_or("/var/run/docker.sock");
    vec![docker.to_owned(), "-H".to_owned(), format!("unix://{socket}")]
}

/// Sees that an image is there, or fetches it: first the engine is asked, for an image that was
/// built on this host is in no registry.
pub(crate) fn pull(flags: &Flags, image: &str, forced: bool) -> Result<(), String> {
    let image = image_with_tag(image);
    let ask = |words: &[&str]| {
        let client = client(flags);
        let (program, first) = client.split_first().map_or(("docker", &[][..]), |(p, f)| (p, f));
        let mut command = Command::new(program);
        command.args(first).args(words).stdin(std::process::Stdio::null());
        command
            .output()
            .map_err(|error| (format!("{} {}", client.join(" "), words.join(" ")), error))
    };
    if !forced && ask(&["inspect", "--type=image", &image]).is_ok_and(|it| it.status.success()) {
        return Ok(());
    }
    let output = ask(&["pull", &image])
        .map_err(|(command, error)| format!("Failed to create subprocess '{command}': {error}"))?;
    match output.status.code() {
        Some(0) => Ok(()),
        code => {
            let command = format!("{} pull {image}", client(flags).join(" "));
            let (status, error) = (code.unwrap_or(-1), String::from_utf8_lossy(&output.stderr));
            Err(format!("Failed to run '{command}': exited with status {status}; stderr='{error}'"))
        }
    }
}

/// Stops a container, by force after so many seconds, and removes it with its volumes.
pub(crate) fn remove(flags: &Flags, name: &str, seconds: &str) {
    for words in [format!("stop -t {seconds} {name}"), format!("rm -f -v {name}")] {
        // A container that is gone already is what is wanted.
        let _ = run(&command(flags, &words));
    }
}

/// The names of all containers, at recovery; it waits for an engine that is being started through
/// its socket.
pub(crate) fn list_containers(flags: &Flags) -> Result<Vec<String>, String> {
    let command = command(flags, "ps -a");
    let run = run(&command);
    match run {
        // The name is the last column.
        Ok((0, output, _)) => {
            let rows = output.lines().skip(1).filter_map(|row| row.split_whitespace().last());
            Ok(rows.map(str::to_owned).collect())
        }
        Ok((status, _, error)) => Err(format!(
            "Collect failed: Failed to run '{command}': exited with status {status}; stderr='{error}'"
        )),
        Err(error) => Err(format!("Collect failed: Failed to run '{command}': {error}")),
    }
}

fn check_docker(flags: &Flags) -> Result<(), String> {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    if !has_cpu_hierarchy(&mounts) {
        return Err("Failed to find a mounted cgroups hierarchy for the 'cpu' subsystem; \
                    you probably need to mount cgroups manually"
            .to_owned());
    }
    let command = command(flags, "--version");
    let failed = |error: String| format!("Failed to get docker version: {error}");
    match run(&command).map_err(&failed)? {
        (0, output, _) => check_version(&output).map_err(|error| match error {
            VersionError::Unreadable => failed("Failed to parse docker version".to_owned()),
            VersionError::TooOld(version) => {
                format!("Insufficient version '{version}' of Docker. Please upgrade to >=' 1.8.0'")
            }
        }),
        (status, _, _) => {
            Err(failed(format!("Failed to execute '{command}': exited with status {status}")))
        }
    }
}

fn command(flags: &Flags, arguments: &str) -> String {
    format!("{} {arguments}", client(flags).join(" "))
}

/// Through a shell, as the real agent does: a missing program is status 127.
fn run(command: &str) -> Result<(i32, String, String), String> {
    let output = Command::new("/bin/sh").args(["-c", command]).output();
    let output = output.map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr)))
}

/// A cgroup v1 mount whose options name the `cpu` controller.
fn has_cpu_hierarchy(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        fields.get(2) == Some(&"cgroup")
            && fields.get(3).is_some_and(|options| options.split(',').any(|o| o == "cpu"))
    })
}

#[derive(Debug, PartialEq, Eq)]
enum VersionError {
    Unreadable,
    TooOld(String),
}

/// `Docker version 20.10.24+dfsg1, build 297e128`.
fn check_version(output: &str) -> Result<(), VersionError> {
    let version = output.split("version ").nth(1).and_then(|rest| rest.split([',', '\n']).next());
    let version = version.ok_or(VersionError::Unreadable)?;
    let numbers: Option<Vec<u32>> = version
        .split(['+', '-'])
        .next()
        .map(|numbers| numbers.split('.').map_while(|n| n.parse().ok()).collect());
    match numbers.as_deref() {
        None | Some([]) => Err(VersionError::Unreadable),
        Some(numbers) if numbers < &[1, 8, 0][..] => Err(VersionError::TooOld(version.to_owned())),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_v1_hierarchy_with_cpu_counts() {
        assert!(has_cpu_hierarchy("cgroup /sys/fs/cgroup/cpu cgroup rw,nosuid,cpu,cpuacct 0 0"));
        assert!(!has_cpu_hierarchy("cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0"));
        assert!(!has_cpu_hierarchy("cgroup2 /sys/fs/cgroup cgroup2 rw,cpu 0 0"));
    }

    #[test]
    fn debian_s_version_is_understood() {
        assert_eq!(check_version("Docker version 20.10.24+dfsg1, build 297e128\n"), Ok(()));
        assert_eq!(
            check_version("Docker version 1.7.1, build x"),
            Err(VersionError::TooOld("1.7.1".to_owned()))
        );
        assert_eq!(check_version("podman"), Err(VersionError::Unreadable));
    }
}

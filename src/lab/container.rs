//! One host of a twin as a container: how it is started, and when it is ready.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::docker::Docker;
use super::{Engine, network};
use crate::ground::{Debian, HostName};

/// A container, wanted or found.
#[derive(Debug, Clone)]
pub(super) struct Container {
    pub(super) host: HostName,
    pub(super) address: Ipv4Addr,
    pub(super) engine: Engine,
    pub(super) cluster: String,
    pub(super) image: String,
    pub(super) debian: Debian,
    pub(super) base_archive: PathBuf,
    pub(super) spark_base: Debian,
    pub(super) state: State,
}

impl Container {
    /// What its Spark image is built on: the archive, and the release in it.
    pub(super) fn base(self) -> (PathBuf, Debian) {
        (self.base_archive, self.spark_base)
    }
}

/// What the engine says of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Missing,
    Running,
    Paused,
    /// Its own word for any other state.
    Other(String),
}

/// A host that answers.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) host: HostName,
    pub(super) address: Ipv4Addr,
    /// Type and key, as in a known_hosts file.
    pub(super) host_key: String,
}

/// A start is mostly work of the engine and of systemd; more at once only makes each slower.
pub(super) const STARTS_AT_ONCE: usize = 8;
/// A boot takes two seconds; forty of them on a small machine take longer, each.
const BOOT_LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(200);

/// Makes the container, or starts the one that is there.
pub(super) async fn start(
    docker: &Docker,
    want: &Container,
    have: Option<&Container>,
    name_servers: &str,
) -> anyhow::Result<()> {
    let name = name(&want.cluster, &want.host);
    if let Some(have) = have {
        if have.engine != want.engine {
            bail!(
                "{} was made for another task than the inventory now gives it: run `provision lab reset`",
                want.host
            );
        }
        match have.state {
            State::Running => {}
            State::Paused => drop(docker.run(&["unpause", &name]).await?),
            _ => drop(docker.run(&["start", &name]).await?),
        }
        return Ok(());
    }
    let args = arguments(want, &name, name_servers);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    docker.run(&args).await.with_context(|| format!("{} does not start", want.host))?;
    Ok(())
}

/// The `docker run` line. The sets were found by leaving things out until something failed.
fn arguments(want: &Container, name: &str, name_servers: &str) -> Vec<String> {
    let mut args: Vec<String> = ["run", "--detach"].map(str::to_owned).into();
    let mut flag = |name: &str, value: String| args.extend([name.to_owned(), value]);
    flag("--name", name.to_owned());
    flag("--hostname", want.host.to_string());
    flag("--network", network::name(&want.cluster));
    flag("--ip", want.address.to_string());
    flag("--label", format!("provision.cluster={}", want.cluster));
    flag("--label", format!("provision.host={}", want.host));
    flag("--label", format!("provision.address={}", want.address));
    flag("--label", format!("provision.engine={}", want.engine));
    flag("--label", format!("provision.image={}", want.image));
    flag("--label", format!("provision.debian={}", want.debian.suite()));
    flag("--label", format!("provision.base={}", want.base_archive.display()));
    flag("--label", format!("provision.base-debian={}", want.spark_base.suite()));
    flag("--env", format!("TWIN_DNS={name_servers}"));
    // systemd is PID 1: it mounts nothing itself here, but must write its own part of the cgroups.
    flag("--tmpfs", "/run".to_owned());
    flag("--tmpfs", "/run/lock".to_owned());
    flag("--cgroupns", "host".to_owned());
    flag("--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw".to_owned());
    if want.engine == Engine::Nested {
        // SYS_ADMIN mounts, NET_ADMIN makes the bridge; without seccomp=unconfined runc fails with
        // "unable to create session key", and AppArmor's default profile forbids mounts.
        for right in RIGHTS {
            flag("--cap-add", right.to_owned());
        }
        for profile in ["seccomp", "apparmor", "systempaths"] {
            flag("--security-opt", format!("{profile}=unconfined"));
        }
        // overlay2 does not work on overlay2: the nested engine's directory is a volume.
        flag("--volume", "/var/lib/docker".to_owned());
    }
    args.push(want.image.clone());
    args
}

/// What an agent's container may do beyond Docker's defaults. A nested engine needs the first two; the
/// others a real Mesos agent was recorded with (it reads other processes and sets priorities).
const RIGHTS: [&str; 6] =
    ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYS_NICE", "SYSLOG", "DAC_READ_SEARCH"];

/// Waits until systemd has booted and sshd answers on the host's address; lets `key` in.
pub(super) async fn wait_ready(
    docker: &Docker,
    want: &Container,
    key: &str,
) -> anyhow::Result<Ready> {
    let name = name(&want.cluster, &want.host);
    let until = Instant::now() + BOOT_LIMIT;
    loop {
        let told = match docker.script(&name, BOOT_STATE).await {
            Ok(told) if matches!(told.as_str(), "running" | "degraded") => break,
            Ok(told) => told,
            Err(error) => format!("{error:#}"),
        };
        let format = "{{.State.Status}} {{.State.ExitCode}}";
        let state = docker.run(&["inspect", "--format", format, &name]).await?;
        if !state.starts_with("running") {
            let log = docker.run(&["logs", "--tail", "5", &name]).await.unwrap_or_default();
            bail!(
                "{} died at boot ({state}): {log}; too low an fs.inotify.max_user_instances ends so, too",
                want.host
            );
        }
        if Instant::now() > until {
            bail!("{} has not booted within {BOOT_LIMIT:?}, systemd says: {told}", want.host);
        }
        sleep(POLL).await;
    }
    let host_key = docker
        .run_with_input(&["exec", "-i", &name, "/bin/sh", "-c", LET_IN], &format!("{key}\n"))
        .await
        .with_context(|| format!("{} takes no key", want.host))?;
    wait_for_sshd(want, until).await?;
    Ok(Ready { host: want.host.clone(), address: want.address, host_key })
}

/// systemd's word for the boot; every word but `running` comes with a status other than 0.
const BOOT_STATE: &str = "systemctl is-system-running 2>&1 || :\n";

/// Reads a public key, writes the files that let it in, prints the host key without its comment.
const LET_IN: &str = r#"set -eu
IFS= read -r key
umask 077
for user in root ops; do
    home=$(getent passwd "$user" | cut -d: -f6)
    printf '%s\n' "$key" >"$home/.ssh/authorized_keys"
    chown "$user:" "$home/.ssh/authorized_keys"
done
cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub"#;

/// A listening port is not yet an answer: the banner is.
async fn wait_for_sshd(want: &Container, until: Instant) -> anyhow::Result<()> {
    let address = SocketAddr::from((want.address, 22));
    while Instant::now() < until {
        let banner = timeout(Duration::from_secs(5), async {
            let mut stream = TcpStream::connect(address).await?;
            let mut first = [0_u8; 4];
            stream.read_exact(&mut first).await?;
            std::io::Result::Ok(first)
        });
        if matches!(banner.await, Ok(Ok(first)) if &first == b"SSH-") {
            return Ok(());
        }
        sleep(POLL).await;
    }
    bail!("sshd of {} does not answer at {address}: see `docker logs`", want.host)
}

/// The containers of a cluster's twin, whatever their state.
pub(super) async fn list(
    docker: &Docker,
    cluster: &str,
) -> anyhow::Result<BTreeMap<HostName, Container>> {
    let filter = format!("label=provision.cluster={cluster}");
    let format = [
        "{{.State}}",
        "{{.Label \"provision.host\"}}",
        "{{.Label \"provision.address\"}}",
        "{{.Label \"provision.engine\"}}",
        "{{.Label \"provision.image\"}}",
        "{{.Label \"provision.base\"}}",
        "{{.Label \"provision.debian\"}}",
        "{{.Label \"provision.base-debian\"}}",
    ]
    .join("\t");
    let text = docker.run(&["ps", "--all", "--filter", &filter, "--format", &format]).await?;
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let container = parse(cluster, line).with_context(|| {
            format!("a container of {cluster} has labels that are not ours: {line:?}")
        })?;
        found.insert(container.host.clone(), container);
    }
    Ok(found)
}

fn parse(cluster: &str, line: &str) -> Option<Container> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [state, host, address, engine, image, base, debian, base_debian] = fields.as_slice() else {
        return None;
    };
    // Containers of before there was a choice have no such labels.
    let release = |suite: &str| match suite {
        "" => Some(Debian::Bookworm),
        suite => Debian::of_suite(suite),
    };
    Some(Container {
        host: HostName::new(host),
        address: address.parse().ok()?,
        engine: match *engine {
            "none" => Engine::None,
            "nested" => Engine::Nested,
            _ => return None,
        },
        cluster: cluster.to_owned(),
        image: image.to_string(),
        debian: release(debian)?,
        base_archive: PathBuf::from(base),
        spark_base: release(base_debian)?,
        state: match *state {
            "running" => State::Running,
            "paused" => State::Paused,
            other => State::Other(other.to_owned()),
        },
    })
}

/// Removes containers with their volumes.
pub(super) async fn remove(
    docker: &Docker,
    containers: &BTreeMap<HostName, Container>,
) -> anyhow::Result<()> {
    if containers.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = containers.values().map(|c| name(&c.cluster, &c.host)).collect();
    let mut args = vec!["rm", "--force", "--volumes"];
    args.extend(names.iter().map(String::as_str));
    docker.run(&args).await?;
    Ok(())
}

fn name(cluster: &str, host: &HostName) -> String {
    format!("provision-lab-{cluster}-{host}")
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::None => "none",
            Engine::Nested => "nested",
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Missing => "missing",
            State::Running => "running",
            State::Paused => "paused",
            State::Other(word) => word,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_engine_is_a_container() {
        let line = "exited\ta1\t10.213.4.10\tnested\timg\t/x/base.tar\ttrixie\tbullseye";
        let got = parse("c", line).unwrap();
        assert_eq!((got.host.as_str(), got.engine), ("a1", Engine::Nested));
        assert_eq!(got.state, State::Other("exited".into()));
        assert_eq!((got.debian, got.spark_base), (Debian::Trixie, Debian::Bullseye));
        let old = parse("c", "running\ta1\t10.213.4.10\tnone\timg\t/x\t\t").unwrap();
        assert_eq!((old.debian, old.spark_base), (Debian::Bookworm, Debian::Bookworm));
        assert!(parse("c", "running\ta1\t\tnested\timg\t/x\t\t").is_none());
        assert!(parse("c", "running\ta1\t10.213.4.10\tmaybe\timg\t/x\t\t").is_none());
        assert!(parse("c", "running\ta1\t10.213.4.10\tnone\timg\t/x\twoody\t").is_none());
    }

    #[test]
    fn only_a_host_with_an_engine_gets_rights_over_the_machine() {
        let mut want = parse("c", "running\tm1\t10.213.4.10\tnone\timg\t/x\t\t").unwrap();
        let plain = arguments(&want, "n", "").join(" ");
        assert!(!plain.contains("cap-add") && !plain.contains("unconfined"), "{plain}");
        want.engine = Engine::Nested;
        let nested = arguments(&want, "n", "").join(" ");
        assert!(
            nested.contains("--cap-add SYS_ADMIN") && !nested.contains("privileged"),
            "{nested}"
        );
    }
}

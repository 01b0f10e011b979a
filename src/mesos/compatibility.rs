//! Which versions of Mesos, Spark, Java, Docker and the operating system go together.
//!
//! Every table here was read from sources or seen running; what it does not know it does not
//! guess, and finds nothing.

use super::Finding;
use super::flags::is_head;
use super::versions::Version;
use crate::ground::Debian;

/// Mesos by itself.
pub fn mesos(version: &Version) -> Vec<Finding> {
    let mut findings = Vec::new();
    if is_head(version) {
        findings.push(
            Finding::warning(format!("Mesos {version} was never released; 1.11.0 was the last"))
                .help("its flags are checked as those of 1.12-dev"),
        );
    }
    if !version.at_least(&[0, 20, 1]) {
        findings.push(
            Finding::warning(format!("Mesos {version} is older than all that is known here"))
                .help("its flags are checked as those of 0.20.1"),
        );
    }
    findings
}

/// Spark on Mesos.
///
/// Source: Spark's root `pom.xml` by release (mesos.jar), SPARK-44442 (removal in 4.0.0) and
/// SPARK-35050 (deprecation in 3.2.0).
pub fn spark_on_mesos(spark: &Version, mesos: &Version) -> Vec<Finding> {
    if spark.at_least(&[4]) {
        return vec![
            Finding::error(format!("Spark {spark} cannot run on Mesos; 4.0.0 removed it"))
                .help("use Spark 3.5.x, the last line with Mesos"),
        ];
    }
    if !spark.at_least(&[1, 6]) {
        return vec![
            Finding::error(format!("Spark {spark} is older than all that is known here"))
                .help("use Spark 1.6.0 or later"),
        ];
    }
    let floor: &[u32] = if spark.at_least(&[2, 1]) { &[1, 0, 0] } else { &[0, 21, 0] };
    if !mesos.at_least(floor) {
        let floor: Vec<String> = floor.iter().map(u32::to_string).collect();
        return vec![
            Finding::error(format!(
                "Spark {spark} is made for Mesos {} and later, not {mesos}",
                floor.join(".")
            ))
            .help("take a newer Mesos or an older Spark"),
        ];
    }
    Vec::new()
}

/// The dispatcher's cluster mode. Seen with 3.5.1: it passes `--driver-cores 1.0`, and spark-submit
/// in the driver's container reads a whole number; 2.4.0 and 3.0.0 have no such check.
pub fn dispatcher(spark: &Version) -> Vec<Finding> {
    if spark.at_least(&[3, 5]) && !spark.at_least(&[4]) {
        return vec![
            Finding::warning(format!(
                "drivers that the dispatcher of Spark {spark} starts stop with `Driver cores must be a positive number`"
            ))
            .help("let bin/spark-submit in the image rewrite `--driver-cores N.0` to `N`"),
        ];
    }
    Vec::new()
}

/// The Javas that a Spark below 4 runs on, by major version (8 for 1.8).
///
/// Source: `docs/index.md` of each Spark release.
pub fn javas_of_spark(spark: &Version) -> &'static [u32] {
    if spark.at_least(&[3, 3]) {
        &[8, 11, 17]
    } else if spark.at_least(&[3]) {
        &[8, 11]
    } else if spark.at_least(&[2, 2]) {
        &[8]
    } else {
        &[7, 8]
    }
}

/// Java under Spark, by major version (8 for 1.8).
pub fn spark_java(spark: &Version, java: u32) -> Vec<Finding> {
    let runs = javas_of_spark(spark);
    if spark.at_least(&[4]) || runs.contains(&java) {
        return Vec::new();
    }
    let list: Vec<String> = runs.iter().map(u32::to_string).collect();
    let message = format!("Spark {spark} runs on Java {}, not {java}", list.join(", "));
    // 3.3 and later do start on newer ones; the older lines stop on Java's closed modules.
    let finding = match spark.at_least(&[3, 3]) && java > 17 {
        true => Finding::warning(message),
        false => Finding::error(message),
    };
    vec![finding.help("take another Java package or another Spark")]
}

/// Major version in the name of a Java package, such as `openjdk-17-jre-headless`.
pub fn java_of_package(package: &str) -> Option<u32> {
    package.split('-').find_map(|part| part.parse().ok())
}

/// Java of Debian's archive; of releases that the lab does not make nothing is said.
pub fn java_on_debian(java: u32, debian: u32) -> Vec<Finding> {
    let Some(release) = Debian::numbered(debian) else { return Vec::new() };
    if release.javas().contains(&java) {
        return Vec::new();
    }
    let offers: Vec<String> = release.javas().iter().map(u32::to_string).collect();
    vec![
        Finding::warning(format!("{release} offers Java {}, not {java}", offers.join(" and ")))
            .help("add a package source that holds it, or take another Spark"),
    ]
}

/// Docker under the agent's docker containerizer. `docker` is what `docker --version` shows or the
/// package's upstream version, such as `20.10.24+dfsg1`.
///
/// Source: Mesos `src/docker/docker.cpp` by release.
pub fn docker_on_mesos(mesos: &Version, docker: &str) -> Vec<Finding> {
    let Ok(version) = docker_version(docker) else {
        return vec![Finding::error(format!("`{docker}` is not a version of Docker"))];
    };
    let reads_client_version =
        !mesos.at_least(&[0, 21, 2]) || (mesos.at_least(&[0, 22]) && !mesos.at_least(&[0, 22, 2]));
    if reads_client_version && version.at_least(&[1, 8]) {
        return vec![
            Finding::error(format!(
                "Mesos {mesos} cannot read the version of Docker {version}, whose `docker version` looks otherwise since 1.8"
            ))
            .help("take Mesos 0.23.0 or later, or Docker below 1.8"),
        ];
    }
    if !mesos.at_least(&[1, 2, 1]) && version.as_str().contains('+') {
        return vec![
            Finding::error(format!(
                "Mesos {mesos} cannot read the version {version} of Docker, for the `+` in it"
            ))
            .help("take Mesos 1.2.1 or later, or Docker's own package"),
        ];
    }
    let floor: &[u32] = if asks_for_docker_1_8(mesos) { &[1, 8, 0] } else { &[1, 0, 0] };
    if !version.at_least(floor) {
        let floor: Vec<String> = floor.iter().map(u32::to_string).collect();
        return vec![
            Finding::error(format!(
                "Mesos {mesos} asks for Docker {}, not {version}",
                floor.join(".")
            ))
            .help("take a newer Docker"),
        ];
    }
    Vec::new()
}

/// The version in `Docker version 20.10.24+dfsg1, build 297e128`, `5:24.0.7-1~debian.12` or
/// `20.10.24+dfsg1`.
///
/// # Errors
/// One sentence.
pub fn docker_version(text: &str) -> Result<Version, String> {
    let text = text.trim();
    let text = text.strip_prefix("Docker version ").unwrap_or(text);
    let text = text.split([',', ' ']).next().unwrap_or(text);
    // The epoch of a Debian version.
    let text = text.split_once(':').map_or(text, |(_, upstream)| upstream);
    Version::parse(text)
}

/// 1.4.3, 1.5.2, 1.6.2, 1.7.1 and all from 1.8.0.
fn asks_for_docker_1_8(mesos: &Version) -> bool {
    let lines: [([u32; 3], [u32; 2]); 4] =
        [([1, 4, 3], [1, 5]), ([1, 5, 2], [1, 6]), ([1, 6, 2], [1, 7]), ([1, 7, 1], [1, 8])];
    mesos.at_least(&[1, 8])
        || lines.iter().any(|(from, below)| mesos.at_least(from) && !mesos.at_least(below))
}

/// systemd on an agent that asks for cgroup v1.
///
/// Source: systemd's NEWS for 256 (refused unless forced) and 258 (removed).
pub fn systemd(version: u32) -> Vec<Finding> {
    match version {
        ..=255 => Vec::new(),
        256 | 257 => vec![
            Finding::warning(format!("systemd {version} boots with cgroup v1 only when forced"))
                .help("add SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 to the kernel's arguments"),
        ],
        _ => vec![
            Finding::error(format!("systemd {version} can no longer boot with cgroup v1"))
                .help("use an older release of the operating system for agents, such as Debian 12"),
        ],
    }
}

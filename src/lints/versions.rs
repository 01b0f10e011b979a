//! Lints on versions: what was never made for each other.

use super::{Found, Hit, Lint, Look};
use crate::ground::Severity;
use crate::inventory::{Spark, SparkImage};
use crate::mesos::versions::Version;
use crate::mesos::{Finding, compatibility};

const MESOS: &[&str] = &["mesos"];
const SPARK: &[&str] = &["spark"];
const BOTH: &[&str] = &["mesos", "spark"];

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "unreleased-mesos",
        title: "A Mesos that is not in the catalogue",
        reason: "flags of releases 0.20.1 to 1.11.0 are known; what is newer is checked as 1.12-dev, what is \
                 older as 0.20.1",
        examples: &["mesos.version=1.12.0"],
        found: Found::Looking { needs: MESOS, find: unreleased },
    },
    Lint {
        name: "spark-on-mesos",
        title: "Spark and Mesos that do not go together",
        reason: "Spark speaks to Mesos through the library it was built with, and from 4.0.0 not at all",
        examples: &["spark.version=4.0.0"],
        found: Found::Looking { needs: BOTH, find: spark_on_mesos },
    },
    Lint {
        name: "spark-archive",
        title: "An archive that is not the Spark that is meant",
        reason: "Apache releases Spark built with Hadoop's classes, without them, and as source; only the first \
                 runs by itself",
        examples: &[
            "spark.archive.url=https://archive.apache.org/dist/spark/spark-3.5.1/spark-3.5.1.tgz",
            "spark.archive.url=https://archive.apache.org/dist/spark/spark-3.4.0/spark-3.4.0-bin-hadoop3.tgz",
        ],
        found: Found::Looking { needs: SPARK, find: archive },
    },
    Lint {
        name: "spark-on-java",
        title: "Spark and Java that do not go together",
        reason: "older Sparks stop on Java's closed modules, newer ones need what older Javas lack",
        examples: &["spark.java=openjdk-21-jre-headless", "spark.java=openjdk-7-jre-headless"],
        found: Found::Looking { needs: SPARK, find: spark_on_java },
    },
    Lint {
        name: "no-such-package",
        title: "A package that is not there",
        reason: "apt stops at the first name that it cannot find, and nothing of the list is installed",
        examples: &["spark.java=openjdk-17-jre-headles"],
        found: Found::Looking { needs: SPARK, find: no_such_package },
    },
    Lint {
        name: "old-base-image",
        title: "An image to build on that cannot be pulled",
        reason: "engines from 26 on refuse images pushed in the manifest schema of 2014, and the library in \
                 them cannot read what masters from 0.24 on write into ZooKeeper",
        examples: &[
            r#"spark.image={base: "debian:latest"}"#,
            r#"spark.image={base: "mesosphere/mesos:0.20.1"}"#,
        ],
        found: Found::Looking { needs: BOTH, find: old_base },
    },
    Lint {
        name: "docker-on-mesos",
        title: "A Docker whose version Mesos cannot read",
        reason: "the agent asks the engine for its version and exits when it cannot read the answer",
        examples: &["mesos.version=1.2.0\nspark.version=2.4.0"],
        found: Found::Looking { needs: &["mesos", "docker"], find: docker },
    },
    Lint {
        name: "cgroup-version",
        title: "A system that boots without cgroup v1",
        reason: "the docker containerizer of every released Mesos looks for the cgroup v1 hierarchy `cpu` and \
                 exits without it",
        examples: &["mesos.agents.p.attributes.os=debian-12"],
        found: Found::Looking { needs: &["mesos", "base"], find: cgroups },
    },
    Lint {
        name: "driver-cores",
        title: "Drivers that stop as soon as they start",
        reason: "the dispatcher of Spark 3.5 passes `--driver-cores 1.0`, and spark-submit in the image reads \
                 a whole number",
        examples: &[
            "spark.dispatcher.hosts=[m1]\nspark.image={registry: \"example/spark@sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a\"}",
        ],
        found: Found::Looking { needs: SPARK, find: driver_cores },
    },
];

fn hits(path: &str, findings: Vec<Finding>) -> Vec<Hit> {
    findings
        .into_iter()
        .map(|finding| {
            let help = finding.help.unwrap_or_default();
            match finding.severity {
                Severity::Error => Hit::error(path, finding.message, help),
                Severity::Warning => Hit::warning(path, finding.message, help),
            }
        })
        .collect()
}

fn unreleased(look: &Look<'_>) -> Vec<Hit> {
    hits("mesos.version", compatibility::mesos(&look.inventory.mesos.version))
}

fn spark_on_mesos(look: &Look<'_>) -> Vec<Hit> {
    let Some(spark) = &look.inventory.spark else { return Vec::new() };
    let mesos = &look.inventory.mesos.version;
    hits("spark.version", compatibility::spark_on_mesos(&spark.version, mesos))
}

fn spark_on_java(look: &Look<'_>) -> Vec<Hit> {
    let Some(spark) = &look.inventory.spark else { return Vec::new() };
    let path = java_path(look);
    let mut found = Vec::new();
    if let Some(java) = compatibility::java_of_package(&spark.java) {
        found.extend(hits(path, compatibility::spark_java(&spark.version, java)));
        if let Some(debian) = debian_of(spark) {
            found.extend(hits(path, compatibility::java_on_debian(java, debian)));
        }
    }
    found
}

/// Source: the names in <https://archive.apache.org/dist/spark/>.
fn archive(look: &Look<'_>) -> Vec<Hit> {
    let Some(spark) = &look.inventory.spark else { return Vec::new() };
    let path = match look.inventory.places.0.contains_key("spark.archive.url") {
        true => "spark.archive.url",
        false => "spark.archive.path",
    };
    let name = spark.archive.source.file_name();
    let Some(rest) = name.strip_prefix("spark-") else { return Vec::new() };
    let (version, build) = rest.split_once("-bin-").unwrap_or((rest.trim_end_matches(".tgz"), ""));
    let Ok(version) = Version::parse(version) else { return Vec::new() };
    let mut found = Vec::new();
    if version.numbers() != spark.version.numbers() {
        let message =
            format!("`{name}` is Spark {version}, and `spark.version` is {}", spark.version);
        found.push(Hit::error(path, message, format!("name the archive of {}", spark.version)));
    }
    if build.is_empty() {
        // A warning: whoever builds Spark himself may call it so.
        let message = format!("`{name}` is what Apache calls the source of Spark");
        let help =
            format!("name spark-{version}-bin-hadoop3.tgz, or as it is called in that release");
        found.push(Hit::warning(path, message, help));
    } else if build.starts_with("without-hadoop") && !spark.env.contains_key("SPARK_DIST_CLASSPATH")
    {
        let message =
            format!("`{name}` has no Hadoop, and nothing of Spark starts without its classes");
        let help = "name the archive -bin-hadoop3.tgz, or set SPARK_DIST_CLASSPATH in `spark.env`";
        found.push(Hit::warning(path, message, help));
    }
    found
}

/// Where the Java is written, or the version that makes its default wrong.
fn java_path(look: &Look<'_>) -> &'static str {
    match look.inventory.places.0.contains_key("spark.java") {
        true => "spark.java",
        false => "spark.version",
    }
}

/// Debian's number in the name of the image that is built on.
fn debian_of(spark: &Spark) -> Option<u32> {
    let SparkImage::Build { base, .. } = &spark.image else { return None };
    let (name, tag) = base.rsplit_once(':')?;
    if name.rsplit('/').next() != Some("debian") {
        return None;
    }
    release(tag)
}

/// `bookworm-slim`, `12`, `12.5-slim`.
fn release(tag: &str) -> Option<u32> {
    let word = tag.split(['-', '.']).next().unwrap_or(tag);
    // Source: Debian's release history.
    match word {
        "jessie" => Some(8),
        "stretch" => Some(9),
        "buster" => Some(10),
        "bullseye" => Some(11),
        "bookworm" => Some(12),
        "trixie" => Some(13),
        number => number.parse().ok(),
    }
}

fn no_such_package(look: &Look<'_>) -> Vec<Hit> {
    let Some(spark) = &look.inventory.spark else { return Vec::new() };
    let mut named: Vec<(String, &str)> = vec![("spark.java".to_owned(), &spark.java)];
    if let SparkImage::Build { packages, .. } = &spark.image {
        let item = |(index, name)| (format!("spark.image.packages.{index}"), String::as_str(name));
        named.extend(packages.iter().enumerate().map(item));
    }
    let mut found = Vec::new();
    for (path, name) in named {
        let java = name.strip_prefix("openjdk-").and_then(|rest| rest.split_once('-'));
        let kinds = [
            "jre-headless",
            "jre",
            "jdk-headless",
            "jdk",
            "jre-zero",
            "dbg",
            "doc",
            "source",
            "demo",
        ];
        let message = format!("there is no package `{name}`");
        match (java, name) {
            (Some((number, kind)), _) if !kinds.contains(&kind) => {
                found.push(Hit::error(
                    path,
                    message,
                    format!("write openjdk-{number}-jre-headless"),
                ));
            }
            (_, "python") if debian_of(spark).is_none_or(|debian| debian >= 11) => {
                let message = format!("{message} from Debian 11 and Ubuntu 20.04 on");
                found.push(Hit::error(path, message, "write python3"));
            }
            _ => {}
        }
    }
    found
}

fn old_base(look: &Look<'_>) -> Vec<Hit> {
    let Some(spark) = &look.inventory.spark else { return Vec::new() };
    let SparkImage::Build { base, .. } = &spark.image else { return Vec::new() };
    let name = base.split([':', '@']).next().unwrap_or(base);
    let old = name.trim_start_matches("docker.io/").starts_with("mesosphere/");
    let help = "build on debian:bookworm-slim; libmesos comes with `mesos.package`";
    let hit = || Hit::error("spark.image.base", format!("`{base}` is of another age"), help);
    let mut found: Vec<Hit> = old.then(hit).into_iter().collect();
    let tag = base.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/'));
    if !old && !base.contains('@') && tag.is_none_or(|tag| tag == "latest") {
        let message = format!("`{base}` is another image on every day and every host");
        found.push(Hit::warning(
            "spark.image.base",
            message,
            "write its tag, or better its digest",
        ));
    }
    found
}

fn docker(look: &Look<'_>) -> Vec<Hit> {
    let inventory = look.inventory;
    // Every docker.io of Debian 10 to 13 has the `+dfsg` that older agents cannot read; of other
    // packages the version is known to the preflight only.
    if inventory.docker.package.as_deref() != Some("docker.io") || inventory.mesos.pools.is_empty()
    {
        return Vec::new();
    }
    let on_agents = inventory.agents().any(|(_, _, agent)| {
        let os = agent.attributes.0.get("os").map(ToString::to_string).unwrap_or_default();
        // Ubuntu's docker.io has a plain version.
        !os.to_ascii_lowercase().starts_with("ubuntu")
            && agent.flags.get("containerizers").is_some_and(|list| list.contains("docker"))
    });
    let found = compatibility::docker_on_mesos(&inventory.mesos.version, "20.10.24+dfsg1");
    if on_agents { hits("mesos.version", found) } else { Vec::new() }
}

fn cgroups(look: &Look<'_>) -> Vec<Hit> {
    let inventory = look.inventory;
    let mut found = Vec::new();
    for (name, pool) in &inventory.mesos.pools {
        let path = format!("mesos.agents.{name}.attributes.os");
        let agents = pool.agents.values().filter(|agent| {
            agent.flags.get("containerizers").is_some_and(|list| list.contains("docker"))
        });
        let system = agents.filter_map(|a| Some(a.attributes.0.get("os")?.to_string())).next();
        let Some((system, systemd)) =
            system.and_then(|text| Some((text.clone(), system_of(&text)?)))
        else {
            continue;
        };
        if inventory.base.cgroup_v1 {
            found.extend(hits(&path, compatibility::systemd(systemd)));
        } else if !inventory.places.0.contains_key("base.cgroup_v1") {
            // Whoever wrote `false` knows how these hosts boot.
            found.push(Hit::warning(
                path,
                format!(
                    "{system} boots with cgroup v2 only, where no released Mesos can use Docker"
                ),
                "write `base: { cgroup_v1: true }`, or false if these hosts boot with v1 already",
            ));
        }
    }
    found
}

/// systemd's version in systems that boot with cgroup v2 only, from a text such as `debian-12`.
///
/// Source: the distributions' release notes; Debian from 11, Ubuntu from 21.10, Fedora from 31.
fn system_of(text: &str) -> Option<u32> {
    let text = text.to_ascii_lowercase();
    let number = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let version = Version::parse(&format!("{number}.0")).ok()?;
    if text.starts_with("debian") && version.at_least(&[11]) {
        return Some(match version.numbers().first() {
            Some(11) => 247,
            Some(12) => 252,
            _ => 257,
        });
    }
    if text.starts_with("ubuntu") && version.at_least(&[21, 10]) {
        return Some(if version.at_least(&[25, 4]) { 257 } else { 255 });
    }
    None
}

fn driver_cores(look: &Look<'_>) -> Vec<Hit> {
    let Some(spark) = &look.inventory.spark else { return Vec::new() };
    // The image that we build holds a wrapper that mends it.
    if spark.dispatcher.is_none() || matches!(spark.image, SparkImage::Build { .. }) {
        return Vec::new();
    }
    hits("spark.dispatcher", compatibility::dispatcher(&spark.version))
}

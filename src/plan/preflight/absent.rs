//! What apt has no package of: said before the first change, not when half is installed.

use super::error;
use super::packages::installs;
use crate::ground::{Debian, HostName, Problem};
use crate::inventory::{Inventory, Spark};
use crate::mesos::compatibility;
use crate::plan::Plan;

/// Name of the finding, and of what allows it.
const ABSENT: &str = "no-such-package";

/// Says so where apt knows what its repositories hold: it has lists, and nobody has named a repository since.
pub(super) const LISTS: &str = "l=/var/lib/apt/lists\n\
    if [ -n \"$(find $l -maxdepth 1 -name '*Packages*' 2>/dev/null | head -n 1)\" ] && \
    [ -z \"$(find /etc/apt/sources.list /etc/apt/sources.list.d -newer $l/partial 2>/dev/null | head -n 1)\" ]; then echo lists; fi\n";

/// What apt has no package of, for what the plan installs on a host of such a release of Debian.
pub(super) fn check(
    inventory: &Inventory,
    plan: &Plan,
    host: &HostName,
    answer: &str,
    release: Option<Debian>,
) -> Vec<Problem> {
    if inventory.allow.contains_key(ABSENT) {
        return Vec::new();
    }
    let lists = answer.lines().any(|line| line == "lists");
    let mut found = Vec::new();
    // What is fetched first, or comes of a repository that is to be added, is not known yet.
    for (_, set) in installs(plan).filter(|(it, set)| *it == host && set.before.is_empty()) {
        let mut mine = false;
        let said: Vec<&str> = answer
            .lines()
            .filter_map(|line| match line.split_once(' ') {
                Some(("set", name)) => {
                    mine = name == set.name;
                    None
                }
                Some(("absent", name)) if mine => Some(name),
                _ => None,
            })
            .collect();
        let unknown = |name: &str| match (lists, java(name), release) {
            (true, ..) => said.contains(&name),
            // A fresh machine has no lists yet; what its release holds is known of Java.
            (false, Some(java), Some(release)) => !release.javas().contains(&java),
            _ => false,
        };
        let number = release.map_or(0, Debian::number);
        for (name, _) in set.of(number).filter(|(name, _)| unknown(name)) {
            let spark = inventory.spark.as_ref().filter(|spark| spark.java == *name);
            found.push(match (spark, java(name), release) {
                (Some(spark), Some(java), Some(release)) => absent_java(spark, java, release),
                _ => error(ABSENT, format!("apt has no package `{name}` here")).help(
                    "correct its name, or add the repository that holds it and run apt-get update",
                ),
            });
        }
    }
    found
}

/// The number in the name of a Java of Debian's.
fn java(package: &str) -> Option<u32> {
    package.strip_prefix("openjdk-").and_then(compatibility::java_of_package)
}

fn absent_java(spark: &Spark, wanted: u32, release: Debian) -> Problem {
    let list = |numbers: &[u32], word: &str| {
        let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
        match numbers.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} {word} {last}", rest.join(", ")),
            _ => numbers.join(""),
        }
    };
    let runs = compatibility::javas_of_spark(&spark.version);
    let message = format!(
        "{release} has no Java {wanted} (`{}`): it has {}, and Spark {} runs on {}",
        spark.java,
        list(release.javas(), "and"),
        spark.version,
        list(runs, "or"),
    );
    let fits = release.javas().iter().rev().find(|java| runs.contains(java));
    let elsewhere: Vec<u32> = Debian::ALL
        .into_iter()
        .filter(|other| other.javas().contains(&wanted))
        .map(Debian::number)
        .collect();
    let own = "name in `spark.java` a package of a repository of your own";
    error(ABSENT, message).help(match (fits, elsewhere.is_empty()) {
        (Some(java), _) => format!("write spark.java: openjdk-{java}-jre-headless"),
        (None, false) if spark.shuffle.is_some() => format!(
            "Spark's clients, dispatcher and history server, and agents with `spark.shuffle_service`, go on hosts with Debian {}, or {own}",
            list(&elsewhere, "or")
        ),
        (None, false) => format!(
            "Spark's clients, dispatcher and history server go on hosts with Debian {}, or {own}; agents may stay, for executors have the Java of their image",
            list(&elsewhere, "or")
        ),
        (None, true) => own.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::packages::tests::{installing, inventory};
    use super::*;
    use crate::resource::package::Packages;

    const SPARK: &str = "spark: { version: 3.5.1, archive: { url: \"https://x/y\", sha256: 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a }, clients: { hosts: [m1] } }\n";

    /// What is said of a plan that installs these on a host that answered so.
    fn not_there(more: &str, names: &[&str], answer: &str, debian: u32) -> Vec<Problem> {
        let plan = installing(Packages::named("spark", names.iter().copied()), "m1");
        let release = Debian::numbered(debian);
        check(&inventory(more), &plan, &HostName::new("m1"), answer, release)
    }

    #[test]
    fn a_java_that_a_debian_lacks_is_said_before_anything_is_installed() {
        let java = "openjdk-17-jre-headless";
        let said = |answer: &str, debian: u32| -> Vec<String> {
            let found = not_there(SPARK, &[java, "python3"], answer, debian);
            found.into_iter().map(|it| format!("{} ({})", it.message, it.help.unwrap())).collect()
        };
        let expected = "Debian 13 has no Java 17 (`openjdk-17-jre-headless`): it has 21 and 25, and Spark 3.5.1 runs on 8, 11 or 17 \
            (Spark's clients, dispatcher and history server go on hosts with Debian 11 or 12, or name in `spark.java` a package of a \
            repository of your own; agents may stay, for executors have the Java of their image)";
        // A fresh machine, and one whose apt knows.
        let knows = format!("lists\nset docker\nabsent x\nset spark\nabsent {java}\n");
        for answer in ["set spark\nabsent python3\n", &knows] {
            assert_eq!(said(answer, 13), [expected]);
        }
        // A repository of their own holds it; the other releases hold it.
        assert_eq!(said("lists\nset spark\n", 13), [""; 0]);
        for debian in [11, 12] {
            assert_eq!(said("set spark\nabsent python3\n", debian), [""; 0], "{debian}");
        }
        assert_eq!(
            not_there(&format!("{SPARK}allow: {{ no-such-package: x }}\n"), &[java], &knows, 13),
            []
        );
        // Then agents need it too.
        let served = SPARK.replace("version: 3.5.1", "version: 3.5.1, shuffle_service: {}");
        let found = not_there(&served, &[java], "set spark\nabsent python3\n", 13);
        let help = found[0].help.as_deref().unwrap_or_default();
        assert!(help.contains("and agents with `spark.shuffle_service`, go on hosts"), "{help}");
        assert!(!help.contains("may stay"), "{help}");
        // A Spark that has another.
        let old = SPARK.replace("version: 3.5.1", "version: 3.2.0, java: openjdk-8-jre-headless");
        let found = not_there(&old, &["openjdk-8-jre-headless"], "", 11);
        assert_eq!(found[0].help.as_deref(), Some("write spark.java: openjdk-11-jre-headless"));
        // Nothing is known of others without lists.
        assert_eq!(not_there("", &["docker-engien"], "set spark\nabsent docker-engien\n", 12), []);
        let found =
            not_there("", &["docker-engien"], "lists\nset spark\nabsent docker-engien\n", 12);
        assert_eq!(found[0].message, "apt has no package `docker-engien` here");
    }
}

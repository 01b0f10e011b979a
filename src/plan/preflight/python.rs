//! The Python of a client and that of Spark's image.

use super::error;
use crate::ground::{Debian, HostName, Problem, Severity};
use crate::inventory::{Inventory, SparkImage};
use crate::mesos::compatibility;

/// Whether a client's drivers would meet executors of another Python, where both releases are known.
///
/// Source: `PYTHON_VERSION_MISMATCH` in apache/spark v3.5.1, `python/pyspark/worker.py`.
pub(super) fn differs(
    inventory: &Inventory,
    host: &HostName,
    release: Option<Debian>,
) -> Option<Problem> {
    const CHOICES: [&str; 2] = ["PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"];
    let spark = inventory.spark.as_ref().filter(|spark| spark.clients.contains(host))?;
    let SparkImage::Build { base, .. } = &spark.image else { return None };
    let (here, there) = (release?, Debian::of_image(base)?);
    let chosen = CHOICES.iter().any(|name| spark.env.contains_key(*name))
        || spark.defaults.keys().any(|key| key.starts_with("spark.pyspark."));
    if chosen || here.python() == there.python() {
        return None;
    }
    let message = format!(
        "{here} has Python {} and {base} has {}: PySpark refuses jobs in client mode whose driver and executors differ",
        here.python(),
        there.python()
    );
    let java = spark.java.strip_prefix("openjdk-").and_then(compatibility::java_of_package);
    let holds = java.is_none_or(|java| here.javas().contains(&java));
    let problem = error("python-differs", message).help(match holds {
        true => format!("write spark.image.base: {}", here.image()),
        false => {
            "bring one Python to both, and name it in `spark.env` as PYSPARK_PYTHON".to_owned()
        }
    });
    Some(Problem { severity: Severity::Warning, ..problem })
}

#[cfg(test)]
mod tests {
    use super::super::packages::tests::inventory;
    use super::*;

    #[test]
    fn a_driver_of_another_python_than_its_executors_is_named() {
        let archive = "{ url: \"https://x/y\", sha256: 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a }";
        let says = |more: &str, host: &str, release: Option<Debian>| {
            let spark = format!(
                "spark: {{ version: 3.5.1, archive: {archive}, clients: {{ hosts: [m1] }}{more} }}\n"
            );
            differs(&inventory(&spark), &HostName::new(host), release).map(|it| it.message)
        };
        let old = Some(Debian::Bullseye);
        let said = says("", "m1", old).unwrap();
        assert!(
            said.contains("Debian 11 has Python 3.9 and debian:bookworm-slim has 3.11"),
            "{said}"
        );
        assert_eq!(says("", "m1", Some(Debian::Bookworm)), None);
        assert_eq!(says(", image: { base: \"debian:bullseye-slim\" }", "m1", old), None);
        assert_eq!(says(", env: { PYSPARK_PYTHON: /opt/python }", "m1", old), None);
        // An agent has no driver; of what is not Debian nothing is known.
        assert_eq!(says("", "a1", old), None);
        assert_eq!(says("", "m1", None), None);
    }
}

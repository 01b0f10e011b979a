//! `workloads`: applications on paper, for `simulate`.

use super::decode::Cx;
use super::grammar;
use super::settings::section;
use super::types::{Count, Memory, Plain, Text};

section! {
    /// An application as written.
    #[derive(Debug)]
    pub(super) struct Settings {
        /// One executor.
        need executors: Executors, such as "{cores: 2, memory: 4GB}";
        /// spark.mesos.role.
        may role: Text = "*", such as "etl";
        /// spark.cores.max; everything when not set.
        may cores_max: Plain<Count>, such as "8";
        /// spark.mesos.constraints.
        may constraints: Plain<Text> = "", such as "rack:r1,r2;ssd:";
    }
}

section! {
    /// What an executor asks for.
    #[derive(Debug)]
    pub(super) struct Executors {
        /// spark.executor.cores; all that an offer holds when not set.
        may cores: Plain<Count>, such as "2";
        /// spark.executor.memory.
        need memory: Plain<Memory>, such as "4GB";
        /// spark.mesos.executor.memoryOverhead.
        may overhead: Plain<Memory>, such as "512MB";
    }
}

/// A Spark application on paper.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Role it registers in; `*` unless said otherwise.
    pub role: String,
    /// `spark.executor.cores`; `None` as in Spark: all that an offer holds.
    pub cores: Option<u32>,
    /// `spark.executor.memory` in MiB.
    pub memory_mib: u64,
    /// `spark.mesos.executor.memoryOverhead` in MiB.
    pub overhead_mib: Option<u64>,
    /// `spark.cores.max`.
    pub cores_max: Option<u32>,
    /// `spark.mesos.constraints`, its text.
    pub constraints: String,
}

pub(super) fn resolve(settings: Settings, cx: &mut Cx) -> Option<Workload> {
    let Settings { executors, role, cores_max, constraints } = settings;
    if role.value != "*" && !grammar::role_name(&role.value) {
        let message = format!("`{}` cannot name a Mesos role", role.value);
        cx.error(&role.place, "bad-role", message);
        return None;
    }
    let executors = executors?;
    Some(Workload {
        role: role.value,
        cores: executors.cores,
        memory_mib: executors.memory?,
        overhead_mib: executors.overhead,
        cores_max,
        constraints,
    })
}

//! What became of executors: their image, the way to their driver, and how they ended.

use std::collections::BTreeMap;

use super::super::{Cluster, Connects, Job, Report, cause_of_death};
use super::offers;
use super::rung::{Rung, list};
use crate::mesos::frameworks::{Standing, Task};

pub(super) fn image(cluster: &Cluster, job: &Job<'_>) -> Option<Rung> {
    let name = "image";
    let told =
        job.reports.iter().filter_map(|(id, report)| Some((id, report, report.image.as_ref()?)));
    let told: Vec<(&String, &Report, &(String, bool))> = told.collect();
    let missing: Vec<_> = told.iter().filter(|(_, _, (_, there))| !there).collect();
    let Some((_, _, (image, _))) = missing.first() else {
        let (_, _, (image, _)) = told.first()?;
        let at = list(told.iter().map(|(id, ..)| cluster.agent_name(id)));
        return Some(Rung::holds(name, format!("{image} is on {at}")));
    };
    let at = list(missing.iter().map(|(id, ..)| cluster.agent_name(id)));
    let journal: Vec<String> =
        missing.iter().filter_map(|(_, report, _)| report.journal.clone()).take(1).collect();
    let next = "provision apply puts the inventory's image on every agent; another one is yours to put there";
    Some(Rung::broken(name, format!("image {image} is missing on {at}"), next).lines(&journal))
}

pub(super) fn address(cluster: &Cluster, job: &Job<'_>) -> Option<Rung> {
    let name = "address";
    let driver = job.wanted.as_ref()?.driver.as_ref()?;
    let tried: Vec<(&String, &Connects)> =
        job.reports.iter().filter_map(|(id, report)| Some((id, report.driver.as_ref()?))).collect();
    let fails = |(id, connects): &(&String, &Connects)| match connects {
        Connects::Yes => None,
        Connects::No(why) => Some(format!("from {}: {why}", cluster.agent_name(id))),
    };
    let failed: Vec<String> = tried.iter().filter_map(fails).collect();
    if tried.is_empty() {
        return None;
    }
    if failed.is_empty() {
        let at = list(tried.iter().map(|(id, _)| cluster.agent_name(id)));
        return Some(Rung::holds(name, format!("its driver's {driver} is reached from {at}")));
    }
    Some(Rung::broken(
        name,
        format!("executors cannot reach their driver at {driver}; {}", list(failed)),
        "set SPARK_LOCAL_HOSTNAME in spark-env.sh (or spark.driver.host) to an address that agents reach, and \
         let its ports through (spark.driver.port, spark.blockManager.port)",
    ))
}

pub(super) fn executors(cluster: &Cluster, job: &Job<'_>) -> Option<Rung> {
    let name = "executors";
    let framework = job.framework?;
    let failed: Vec<&Task> = framework.tasks.iter().filter(|task| task.has_failed()).collect();
    let living = framework.living().count();
    let Some(last) =
        failed.iter().max_by(|a, b| a.told.unwrap_or(0.0).total_cmp(&b.told.unwrap_or(0.0)))
    else {
        if living > 0 {
            return Some(Rung::holds(name, format!("{living} run, none failed")));
        }
        return (framework.standing != Standing::Ended).then(|| {
            Rung::unknown(name, format!("none has started yet{}", offers(cluster, framework)))
        });
    };
    let agent = cluster.agent_name(&last.agent);
    let report = job.reports.get(&last.agent);
    let said = report
        .and_then(|report| cause_of_death(&report.lines).or(report.journal.as_deref()))
        .or(last.message.as_deref());
    let said = said.map_or(String::new(), |said| format!(": {said}"));
    let mut words = format!("an executor ended with {} on {agent}{said}", last.state);
    if failed.len() > 1 {
        words.push_str(&format!(" ({} failed in all)", failed.len()));
    }
    if living > 0 {
        return Some(Rung::holds(name, format!("{living} run; {words}")));
    }
    let mut by_agent: BTreeMap<&str, usize> = BTreeMap::new();
    for task in &failed {
        *by_agent.entry(cluster.agent_name(&task.agent)).or_default() += 1;
    }
    // Source: Spark MesosCoarseGrainedSchedulerBackend, MAX_SLAVE_FAILURES = 2, the same from 1.5 to 3.5.
    let given_up = list(by_agent.iter().filter(|(_, count)| **count >= 2).map(|(agent, _)| *agent));
    let next = match given_up.is_empty() {
        true => format!("provision logs {agent}"),
        false => format!(
            "Spark has given up {given_up} for this job: mend it, then submit the job again"
        ),
    };
    Some(Rung::broken(name, words, next).lines(report.map_or(&[], |report| &report.lines)))
}

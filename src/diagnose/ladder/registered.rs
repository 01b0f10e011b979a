//! From a leading master up to a framework that is registered there.

use super::super::job::UNNAMED;
use super::super::{Cluster, Job, cause_of_death};
use super::rung::{Rung, list};
use crate::mesos::frameworks::{Framework, Standing, Task};

pub(super) fn leader(cluster: &Cluster, _: &Job<'_>) -> Option<Rung> {
    let name = "leader";
    let complaint = cluster.leader.as_ref().and_then(|leader| cluster.complaints.get(leader));
    // One that was elected alone answers everything, and knows nobody before it has fetched the registry. One that
    // loses the others later goes on with what it knows.
    let fetched = cluster
        .metrics
        .as_ref()
        .is_some_and(|of| of.get("registrar/registry_size_bytes").is_some());
    Some(match (&cluster.leader, complaint, &cluster.frameworks) {
        (Some(leader), Some(why), _) if !fetched => Rung::broken(
            name,
            format!("{leader} is elected and cannot lead: {why}"),
            "provision status, then provision apply: a quorum of masters must serve",
        ),
        (Some(leader), complaint, Some(_)) => {
            let but = complaint.map_or(String::new(), |why| format!(", but {why}"));
            Rung::holds(name, format!("{leader} leads the masters{but}"))
        }
        (Some(leader), _, None) => Rung::broken(
            name,
            format!("{leader} leads the masters and does not answer /frameworks"),
            format!("provision logs {leader}"),
        ),
        (None, ..) => {
            // Who follows complains of nothing else.
            let told = cluster.complaints.iter().filter(|(_, why)| *why != "no master leads");
            let said = list(told.map(|(host, why)| format!("{host}: {why}")));
            let why = if said.is_empty() { String::new() } else { format!(": {said}") };
            match cluster.may_be_led {
                true => Rung::unknown(name, format!("no master that could be asked leads{why}")),
                false => Rung::broken(name, format!("no master leads{why}"), "provision status"),
            }
        }
    })
}

pub(super) fn authentication(_: &Cluster, job: &Job<'_>) -> Option<Rung> {
    let name = "authentication";
    if let Some(refusal) = job.refusal.as_ref().filter(|said| said.contains("uthentic")) {
        let whose = match refusal.contains(UNNAMED) {
            true => " of a framework that its log does not name",
            false => "",
        };
        return Some(Rung::broken(
            name,
            format!("the master refused credentials{whose}: {refusal}"),
            "compare spark.mesos.principal and its secret with mesos.credentials.framework, and apply",
        ));
    }
    let framework = job.framework?;
    Some(Rung::holds(
        name,
        match &framework.principal {
            Some(principal) => format!("it registered as principal {principal}"),
            None => "it registered without a principal".to_owned(),
        },
    ))
}

pub(super) fn registration(cluster: &Cluster, job: &Job<'_>) -> Option<Rung> {
    let name = "registration";
    // A driver of the dispatcher that failed took its framework along, if it had one.
    if let Some((dispatcher, driver)) = job.driver
        && (job.framework.is_none() || driver.has_failed())
    {
        return Some(driver_task(cluster, job, dispatcher, driver));
    }
    let Some(framework) = job.framework else { return Some(unregistered(cluster, job)) };
    let id = &framework.id;
    let host = &framework.hostname;
    Some(match framework.standing {
        Standing::Active => Rung::holds(name, format!("framework {id} is registered from {host}")),
        Standing::Ended => Rung::holds(name, format!("framework {id} has ended")),
        Standing::Inactive => Rung::broken(
            name,
            format!("framework {id} is registered and deactivated: the master makes it no offers"),
            "end its driver and submit it again",
        ),
        Standing::Disconnected => Rung::broken(
            name,
            format!(
                "framework {id} was registered from {host} and its connection is lost: its driver died, \
                 or masters do not reach the address that it announces"
            ),
            "end its driver; masters must reach LIBPROCESS_IP of spark-env.sh on its host",
        ),
    })
}

/// A driver in cluster mode that has no framework, or failed with it.
fn driver_task(cluster: &Cluster, job: &Job<'_>, dispatcher: &Framework, driver: &Task) -> Rung {
    let name = "registration";
    let agent = cluster.agent_name(&driver.agent);
    let id = &driver.id;
    if !driver.is_over() {
        return Rung::broken(
            name,
            format!("{id} is {} on {agent} and has not registered", driver.state),
            format!("provision logs {agent}"),
        );
    }
    let report = job.driver_report.as_ref();
    let said =
        report.and_then(|report| cause_of_death(&report.lines).or(report.journal.as_deref()));
    let said = said.or(driver.message.as_deref()).map_or(String::new(), |said| format!(": {said}"));
    let words = format!("{id} ended with {} on {agent}{said}", driver.state);
    if !driver.has_failed() {
        return Rung::holds(name, words);
    }
    let next = match &report.and_then(|report| report.image.clone()) {
        Some((image, false)) => format!("image {image} is missing on {agent}: provision apply"),
        _ => format!(
            "its stderr and stdout are in the sandbox of framework {} on {agent}",
            dispatcher.id
        ),
    };
    Rung::broken(name, words, next).lines(report.map_or(&[], |report| &report.lines))
}

fn unregistered(cluster: &Cluster, job: &Job<'_>) -> Rung {
    let name = "registration";
    let called = job.called;
    if let Some(state) = &job.submission {
        return match state.as_str() {
            "QUEUED" | "RETRYING" => Rung::broken(
                name,
                format!(
                    "the dispatcher has {called} {state}: no agent had room for the driver itself \
                     (spark.driver.cores, spark.driver.memory) or matches spark.mesos.driver.constraints"
                ),
                "provision status -v shows the free room of each agent",
            ),
            "NOT_FOUND" => Rung::broken(
                name,
                format!("the dispatcher knows no {called}"),
                "it forgets drivers that ended when it is restarted; submit it again",
            ),
            state => Rung::broken(
                name,
                format!(
                    "the dispatcher has {called} {state}, and the leading master has no framework of it"
                ),
                "look at the dispatcher's log",
            ),
        };
    }
    if let Some(refusal) = &job.refusal {
        let next = "mend what the master says of it, then submit it again";
        return Rung::broken(name, format!("the master refused it: {refusal}"), next);
    }
    let there = list(cluster.there().map(|of| format!("{} ({})", of.name, of.id)));
    let there = if there.is_empty() {
        "there is none at all".to_owned()
    } else {
        format!("there are {there}")
    };
    let leader = cluster.leader.as_ref().map_or(String::new(), |leader| format!(" {leader}"));
    Rung::broken(
        name,
        format!("no framework of the leading master{leader} is called {called}; {there}"),
        "a driver that waits after `Attempting to register` announces an address that masters do not reach: \
         set LIBPROCESS_IP in spark-env.sh to the address of its host",
    )
}

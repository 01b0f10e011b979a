//! Jobs of a user, as people submit them: on hosts whose names resolve nowhere, in both modes, beside other
//! jobs, through changes of the cluster and the death of its leader; and the rungs of `diagnose` broken on purpose,
//! found and named, for a user's job and for the smoke test (each with recorded answers in tests/core/diagnose.rs).
//!
//! One test in which jobs run, one in which the cluster changes under them, one in which all is broken. They share
//! nothing. Three agents, so that one role can have twice another's.

use super::support::lab::Lab;
use super::support::user;

mod changes;
mod plain;
mod rungs;
mod sharing;
mod shuffle;
mod smoke;

/// A proof that hangs is given up after so long, in which a driver has registered even on a slow machine.
const PATIENT: &str = "smoke.timeout=60secs";

/// The cluster of all three.
const SETS: [&str; 6] = [
    "hosts.a3.address=10.77.0.23",
    "hosts.a3.vars.rack=r3",
    "mesos.agents.workers.hosts.0=a[1:3]",
    // Half of everything, so that shares come out whole.
    "mesos.agents.workers.reserved.etl.mem=1536MB",
    "mesos.agents.workers.reserved.etl.disk=5GB",
    "smoke.each_agent=false",
];

#[test]
fn lab_a_user_s_job_runs_and_anyone_can_see_it() {
    let mut lab = Lab::with("lab-jobs", &SETS);
    plain::members_names_resolve_nowhere(&lab);
    let submits = plain::apply_prints_what_it_has_proven(&lab);
    user::moves_in(&lab);
    plain::what_is_printed_runs_where_constraints_say(&lab, &submits);
    plain::a_driver_that_fails_is_told_from_one_that_finished(&lab, &submits);
    sharing::weights_share_as_simulate_said(&lab);
    changes::an_incompatible_change_drains_and_the_job_goes_on(&mut lab);
}

#[test]
#[ignore = "one of the long ones: make lab-long"]
fn lab_jobs_go_on_while_the_cluster_changes() {
    let mut lab = Lab::with("lab-changes", &SETS);
    let submits = plain::apply_prints_what_it_has_proven(&lab);
    user::moves_in(&lab);
    sharing::a_reservation_is_kept_and_a_full_agent_is_no_failure(&lab);
    changes::an_additive_change_kills_no_driver(&mut lab, &submits);
    changes::a_leader_that_is_killed_disturbs_no_job(&lab);
    plain::who_has_ended_is_in_the_history(&lab);
    shuffle::what_executors_wrote_outlives_them(&lab);
    rungs::of_jobs_that_hang(&lab);
    rungs::of_masters_without_a_leader(&lab);
}

/// Spark without a dispatcher: what hangs would be waited for in cluster mode too.
const CLIENT_MODE: &str = "spark={version: 3.5.1, archive: {}, image: {tag: spark-mesos, base: 'debian:bookworm-slim'}, \
     defaults: {spark.driver.memory: 512m, spark.executor.memory: 512m, spark.cores.max: 2, spark.mesos.role: etl}, \
     clients: {hosts: [c1]}}";

#[test]
#[ignore = "one of the long ones: make lab-long"]
fn lab_what_keeps_a_job_is_told_by_diagnose_and_by_the_smoke_test() {
    let lab = Lab::with("lab-broken", &[&[CLIENT_MODE], &SETS[..]].concat());
    let apply = lab.run("apply", &["-y"]);
    assert_eq!(apply.code, 0, "{apply:?}");
    user::moves_in(&lab);
    smoke::of_single_agents(&lab);
    smoke::of_a_client(&lab);
    smoke::of_a_role_that_has_no_share(&lab);
    smoke::of_agents_that_offer_nothing(&lab);
}

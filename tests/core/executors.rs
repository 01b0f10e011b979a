//! Where Spark's executors land: the vectors A–I of the facts, and what holds for all inputs.

use std::collections::BTreeMap;

use proptest::prelude::*;
use provision::inventory::Workload;
use provision::mesos::values::Attributes;
use provision::simulate::Agent;
use provision::simulate::executors::{Executor, Placement, Settings, executor_mib, place};

use super::support::agents::{agent, agents, spark, version, workload};

/// The executors of each agent that has any.
fn by_agent(placement: &Placement) -> BTreeMap<&str, Vec<&Executor>> {
    let mut agents: BTreeMap<&str, Vec<&Executor>> = BTreeMap::new();
    for executor in &placement.executors {
        agents.entry(&executor.agent).or_default().push(executor);
    }
    agents
}

fn per_agent(placement: &Placement) -> Vec<(String, Vec<u32>)> {
    let map = by_agent(placement).into_iter();
    map.map(|(name, list)| (name.to_owned(), list.iter().map(|e| e.cores).collect())).collect()
}

fn expect(placement: &Placement, wanted: &[(&str, &[u32])]) {
    let wanted: Vec<(String, Vec<u32>)> =
        wanted.iter().map(|(name, cores)| ((*name).to_owned(), cores.to_vec())).collect();
    assert_eq!(per_agent(placement), wanted);
}

#[test]
fn vector_a_executors_go_round_the_agents() {
    let w = workload(Some(2), 1024, Some(10));
    let p = place(&agents(3, "cpus:4;mem:5120"), &w, &spark("3.5.1")).unwrap();
    expect(&p, &[("a1", &[2, 2]), ("a2", &[2, 2]), ("a3", &[2])]);
    assert_eq!(p.cores(), 10);
}

#[test]
fn vector_b_without_cores_one_executor_takes_all_of_an_agent() {
    let w = workload(None, 1024, Some(10));
    let p = place(&agents(3, "cpus:4;mem:5120"), &w, &spark("3.5.1")).unwrap();
    expect(&p, &[("a1", &[4]), ("a2", &[4]), ("a3", &[2])]);
}

#[test]
fn vector_c_cores_max_is_rounded_to_whole_executors() {
    let w = workload(Some(4), 1024, Some(10));
    for spark_version in ["2.0.2", "2.1.0", "2.2.0", "3.5.1"] {
        let p = place(&agents(3, "cpus:4;mem:5120"), &w, &spark(spark_version)).unwrap();
        expect(&p, &[("a1", &[4]), ("a2", &[4])]);
        let said = if spark_version < "2.2" { "10" } else { "8" };
        assert!(p.left_out["a3"].contains(&format!("spark.cores.max of {said} ")), "{p:?}");
    }
}

#[test]
fn vector_d_memory_limits_executors() {
    let w = workload(Some(2), 1024, None);
    let p = place(&agents(2, "cpus:8;mem:2000"), &w, &spark("3.5.1")).unwrap();
    expect(&p, &[("a1", &[2]), ("a2", &[2])]);
}

#[test]
fn vector_e_cores_are_whole() {
    let p = place(&agents(1, "cpus:3.9;mem:4096"), &workload(None, 1024, None), &spark("3.5.1"));
    expect(&p.unwrap(), &[("a1", &[3])]);
}

#[test]
fn vector_f_overhead_is_a_tenth_but_at_least_384() {
    assert_eq!(executor_mib(&workload(None, 8192, None), &spark("3.5.1")), 9011);
    assert_eq!(executor_mib(&workload(None, 1024, None), &spark("3.5.1")), 1408);
    assert_eq!(executor_mib(&workload(None, 512, None), &spark("3.5.1")), 896);
    let set = Workload { overhead_mib: Some(0), ..workload(None, 1024, None) };
    assert_eq!(executor_mib(&set, &spark("3.5.1")), 1024);
}

#[test]
fn vector_g_the_default_executor_does_not_fit_a_gigabyte() {
    let p = place(&agents(2, "cpus:4;mem:1024"), &workload(None, 1024, None), &spark("3.5.1"));
    let p = p.unwrap();
    assert!(p.executors.is_empty());
    assert_eq!(p.left_out["a1"], "an executor needs 1408 MiB, it offers 1024");
}

#[test]
fn vector_h_gpus_are_taken_as_they_come() {
    let w = workload(None, 1024, None);
    let settings = Settings { gpus_max: 3, ..spark("3.5.1") };
    let two = agents(2, "cpus:4;mem:4096;gpus:2");
    let p = place(&two, &w, &settings).unwrap();
    assert_eq!(p.executors.iter().map(|e| e.gpus).collect::<Vec<_>>(), [2, 1]);
    let p = place(&two, &w, &spark("3.5.1")).unwrap();
    assert!(p.executors.is_empty() && p.left_out["a1"].contains("gpus"));
}

#[test]
fn vector_i_a_fixed_port_allows_one_executor_per_agent() {
    let w = workload(Some(1), 512, None);
    let two = agents(2, "cpus:4;mem:4096;ports:[31000-32000]");
    let settings = Settings { block_manager_port: Some(31500), ..spark("3.5.1") };
    expect(&place(&two, &w, &settings).unwrap(), &[("a1", &[1]), ("a2", &[1])]);
    let settings = Settings { block_manager_port: Some(7078), ..spark("3.5.1") };
    let p = place(&two, &w, &settings).unwrap();
    assert!(p.executors.is_empty() && p.left_out["a1"].contains("7078"), "{p:?}");
}

#[test]
fn reservations_are_seen_by_their_role_alone() {
    let one = agents(1, "cpus:2;cpus(etl):1;mem:4096;mem(etl):1024");
    let w = workload(None, 512, Some(6));
    // As recorded with spark.mesos.role=etl: 2 unreserved and 1 reserved core in one executor.
    let etl = Workload { role: "etl".to_owned(), ..w.clone() };
    expect(&place(&one, &etl, &spark("3.5.1")).unwrap(), &[("a1", &[3])]);
    expect(&place(&one, &w, &spark("3.5.1")).unwrap(), &[("a1", &[2])]);
    // A child is offered its parent's, a namesake is not.
    let child = Workload { role: "etl/nightly".to_owned(), ..w.clone() };
    expect(&place(&one, &child, &spark("3.5.1")).unwrap(), &[("a1", &[3])]);
    let namesake = Workload { role: "etl2".to_owned(), ..w };
    expect(&place(&one, &namesake, &spark("3.5.1")).unwrap(), &[("a1", &[2])]);
}

#[test]
fn constraints_decline_or_stop_the_driver() {
    let mut list = agents(2, "cpus:4;mem:4096");
    for (agent, rack) in list.iter_mut().zip(["r1", "r2"]) {
        agent.attributes = Attributes::parse(&format!("rack:{rack}"), &version("1.11.0")).unwrap();
    }
    let w = Workload { constraints: "rack:r2".to_owned(), ..workload(Some(4), 1024, None) };
    let p = place(&list, &w, &spark("3.5.1")).unwrap();
    expect(&p, &[("a2", &[4])]);
    assert_eq!(p.left_out["a1"], "rack is r1, not r2");
    list[0].attributes = Attributes::parse("rack:[1-2]", &version("1.11.0")).unwrap();
    assert!(place(&list, &w, &spark("3.5.1")).unwrap_err().contains("agent a1"));
}

#[test]
fn limits_hold_to_the_last_core_and_executor() {
    let three = agents(3, "cpus:4;mem:5120");
    // 3 cores are left, and an executor takes 4.
    let w = workload(Some(4), 1024, Some(11));
    expect(&place(&three, &w, &spark("2.0.2")).unwrap(), &[("a1", &[4]), ("a2", &[4])]);
    let settings = Settings { executor_limit: Some(2), ..spark("3.5.1") };
    let w = workload(Some(1), 1024, None);
    expect(&place(&three, &w, &settings).unwrap(), &[("a1", &[1]), ("a2", &[1])]);
}

proptest! {
    #[test]
    fn placement_stays_within_every_agent(
        list in proptest::collection::vec((1_u32..17, 100_u32..9000), 1..6),
        cores in proptest::option::of(0_u32..5),
        most in proptest::option::of(0_u32..30),
        memory in 0_u64..4000,
    ) {
        let agents: Vec<Agent> = list.iter().enumerate()
            .map(|(i, (c, m))| agent(&format!("a{i}"), &format!("cpus:{c};mem:{m}"))).collect();
        let w = workload(cores, memory, most);
        let p = place(&agents, &w, &spark("3.5.1")).unwrap();
        prop_assert!(most.is_none_or(|most| p.cores() <= u64::from(most)));
        let by_agent = by_agent(&p);
        for (agent, (c, m)) in agents.iter().zip(&list) {
            let here = by_agent.get(agent.name.as_str()).map_or(&[][..], Vec::as_slice);
            prop_assert!(here.iter().map(|e| e.cores).sum::<u32>() <= *c);
            prop_assert!(here.len() as u64 * p.memory_mib <= u64::from(*m));
            prop_assert_eq!(here.is_empty(), p.left_out.contains_key(&agent.name));
        }
    }
}

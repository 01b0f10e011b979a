//! Proofs that fail, and what is said to be the cause.

use provision::event::SmokeOutcome;
use provision::report::exit;

use super::super::support::fake::{Hook, Trouble};
use super::super::support::runs::{Script, apply, fresh, host, left};
use super::super::support::world::{Machine, Reach};

#[tokio::test(start_paused = true)]
async fn a_proof_that_fails_does_not_keep_the_next_from_running() {
    let ran = apply(
        fresh(),
        Script {
            troubles: vec![("c1: smoke/proof pi-on-a1", Trouble::Status(1, "Exception\n"))],
            ..Script::default()
        },
    )
    .await;
    assert!(ran.called("c1: smoke/proof pi-on-a2"));
    assert_eq!(ran.report.exit(), exit::SMOKE);
    assert!(left(&ran.world).contains("proof pi-on-a1"));
}

/// The smoke names what `diagnose` would: the broken rung, and a time-out by its name.
#[tokio::test(start_paused = true)]
async fn the_cause_of_a_failed_proof_is_the_broken_rung_of_its_ladder() {
    let mut world = fresh();
    world.frameworks = serde_json::json!({"completed_frameworks": [
        {"id": "f1", "name": "PythonPi", "role": "etl", "completed_tasks": [{
            "id": "0", "state": "TASK_FAILED", "slave_id": "@a1",
        }]},
        {"id": "f2", "name": "PythonPi", "role": "etl"},
    ], "frameworks": [{"id": "d", "name": "Spark Cluster", "completed_tasks": [{
        "id": "driver-1", "state": "TASK_FAILED", "slave_id": "@a1",
    }]}]})
    .to_string();
    let died =
        "Caused by: java.net.UnknownHostException: c1\nI1122 18:30:33.2 9 executor.cpp:1] Bye\n";
    world.said.insert("stderr", died.to_owned());
    let smoke = |name, says| (name, Trouble::Status(1, says));
    let troubles = vec![
        smoke(
            "c1: smoke/proof pi-through-mesos",
            "framework none\nERROR Refused: Master refused authentication\n",
        ),
        smoke("c1: smoke/proof pi-on-a1", "framework f1\nstopped after 9 s\n"),
        smoke("c1: smoke/proof pi-on-a2", "framework f2\nspark-submit ended with status 1\n"),
        smoke(
            "c1: smoke/proof pi-in-cluster-mode",
            "driver driver-1\nmessage: \"Container exited\"\ndriver driver-1 did not end with TASK_FINISHED\n",
        ),
    ];
    let ran = apply(world, Script { troubles, ..Script::default() }).await;
    let causes: Vec<String> = ran
        .report
        .smoke
        .iter()
        .filter(|smoke| format!("{smoke:?}").contains("Failed"))
        .map(|smoke| format!("{smoke:?}"))
        .collect();
    insta::assert_snapshot!(causes.join("\n"));
}

/// The dispatcher forgets a driver that it has queued once the proof gives it up.
#[tokio::test(start_paused = true)]
async fn a_driver_that_was_queued_until_it_was_given_up_had_no_room() {
    let says = "driver driver-9\nstate QUEUED\nstopped after 9 s\n";
    let troubles = vec![("c1: smoke/proof pi-in-cluster-mode", Trouble::Status(1, says))];
    let ran = apply(fresh(), Script { troubles, ..Script::default() }).await;
    let queued = "timed out after 9 s; the dispatcher has driver-9 QUEUED: no agent had room for the driver itself";
    assert!(
        ran.report.smoke.iter().any(|(.., why)| why.starts_with(queued)),
        "{:#?}",
        ran.report.smoke
    );
}

/// Without a leader every driver waits or dies, and knows nothing of why. Where masters cannot be asked nobody
/// knows, and what a driver died of by itself counts.
#[tokio::test(start_paused = true)]
async fn a_proof_while_nobody_leads_is_told_so() {
    let stops = |master: &mut Machine| master.units.get_mut("mesos-master").unwrap().active = false;
    told_of_proofs(
        stops,
        [
            ("pi-through-mesos", "timed out after 9 s; no master leads: m1: "),
            ("pi-on-a1", "no master leads: m1: "),
            ("pi-in-cluster-mode", "timed out after 9 s; no master leads: m1: "),
        ],
    )
    .await;
    let silent = "timed out after 9 s; no master that could be asked leads: m1: its host ";
    told_of_proofs(
        |master| master.reach = Reach::Dead,
        [
            ("pi-through-mesos", silent),
            ("pi-on-a1", "the driver on c1 died before it registered: Exception: ouch"),
            ("pi-in-cluster-mode", silent),
        ],
    )
    .await;
}

/// Two of three masters fall before the proofs of the client, which are then told so.
async fn told_of_proofs(fall: fn(&mut Machine), causes: [(&str, &str); 3]) {
    let troubles = [
        ("c1: smoke/proof pi-through-mesos", "framework none\nstopped after 9 s\n"),
        (
            "c1: smoke/proof pi-on-a1",
            "framework none\nException: ouch\nspark-submit ended with status 1\n",
        ),
        (
            "c1: smoke/proof pi-in-cluster-mode",
            "driver driver-9\nstate QUEUED\nstopped after 9 s\n",
        ),
    ];
    let troubles = troubles.map(|(proof, says)| (proof, Trouble::Status(1, says))).to_vec();
    let after: Hook = Box::new(move |call, world| {
        if call == "a2: smoke/proof pi-in-image" {
            for name in ["m1", "m2"] {
                fall(world.machines.get_mut(&host(name)).unwrap());
            }
        }
    });
    let script = Script { troubles, after: Some(after), ..Script::default() };
    let ran = apply(fresh(), script).await;
    let failed: Vec<_> =
        ran.report.smoke.iter().filter(|it| it.2 == SmokeOutcome::Failed).collect();
    for (proof, why) in causes {
        let told = failed.iter().any(|it| it.0 == proof && it.3.starts_with(why));
        assert!(told, "{proof}: {why} in {failed:#?}");
    }
}

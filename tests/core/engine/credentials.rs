//! Credentials on and off: who would be refused, and in which order they are asked for.

use provision::plan::{Scope, preflight};

use super::super::support::fake::Trouble;
use super::super::support::runs::{DEMO, Script, apply, converged};
use super::super::support::world::{World, inventory};

fn demo(more: &str) -> provision::inventory::Inventory {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inventories/demo.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.replace("  masters:\n", &format!("{more}  masters:\n"));
    inventory(&text, &DEMO)
}

const CREDENTIALS: &str = "  credentials: { agent: { principal: agent, secret: { env: A } }, \
                           framework: { principal: spark, secret: { env: B } } }\n";

/// Each of them ended at the masters' change, and no plan said so.
#[test]
fn frameworks_that_will_be_refused_are_named() {
    let named = |world: &World, frameworks: &str| -> Vec<String> {
        let (_, plan) = world.plan(&Scope::default());
        let frameworks = serde_json::from_str(frameworks).unwrap();
        let found = preflight::refused(&world.inventory, &plan, &frameworks);
        found.into_iter().map(|problem| problem.message).collect()
    };
    let all = r#"{"frameworks": [{"id": "f1", "name": "etl", "active": true},
        {"id": "f2", "name": "own", "active": true, "principal": "spark"},
        {"id": "f3", "name": "gone", "active": false},
        {"id": "f4", "name": "other", "active": true, "principal": "old"}]}"#;
    let mut world = converged();
    assert_eq!(named(&world, all), [""; 0], "masters do not change");
    world.inventory = demo(CREDENTIALS);
    let ends = "it ends, and its tasks with it";
    let other = format!("other (f4) runs as `old`, whom the masters will not know: {ends}");
    let on = "etl (f1) runs without a principal, and the masters will ask for one";
    assert_eq!(named(&world, all), [format!("{on}: {ends}"), other.clone()]);
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    assert_eq!(named(&world, all), [""; 0], "nothing is left to change");
    world.inventory = demo("");
    let own = format!("own (f2) runs as `spark`, whom the masters will not know: {ends}");
    assert_eq!(named(&world, all), [own, other]);
}

/// What nobody has written any more cannot be known by masters that are to know something new.
#[test]
fn a_principal_is_not_dropped_under_agents_that_use_it() {
    let mut world = World::fresh(demo(CREDENTIALS));
    let (_, plan) = world.plan(&Scope::default());
    world.apply(&plan, |_, _, _| ());
    let found = |world: &World| -> Vec<String> {
        let (view, plan) = world.plan(&Scope::default());
        let found = preflight::check(&world.inventory, &plan, &view.observed, &Default::default());
        let of = found.into_iter().filter(|(_, problem)| problem.name == "principal-dropped");
        of.map(|(host, problem)| format!("{}: {}", host.unwrap(), problem.help.unwrap())).collect()
    };
    assert_eq!(found(&world), [""; 0]);
    world.inventory = demo(&CREDENTIALS.replace("principal: agent", "principal: agent-2"));
    let cure = "keep the old principal under `mesos.credentials.former`; apply, take it out there, apply again";
    assert_eq!(found(&world), [format!("a1: {cure}"), format!("a2: {cure}")]);
}

/// Masters would refuse who has not gone over.
#[tokio::test(start_paused = true)]
async fn masters_ask_for_nothing_that_an_agent_failed_to_get() {
    let mut world = converged();
    world.inventory = demo(CREDENTIALS);
    let troubles = vec![("a2: agents/service mesos-slave", Trouble::Status(1, "no"))];
    let ran = apply(world, Script { troubles, max_failed: Some(1), ..Script::default() }).await;
    let waves = ran.waves();
    assert!(waves.iter().any(|wave| wave == "Spark: a1 a2 c1"), "{waves:#?}");
    assert!(!waves.iter().any(|wave| wave.starts_with("masters ask")), "{waves:#?}");
    let why = "a2 comes first, and failed before";
    assert!(ran.blocked().iter().any(|it| it.starts_with("m1: masters: ") && it.contains(why)));
}

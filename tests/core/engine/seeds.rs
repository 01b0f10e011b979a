//! Files that go from host to host, and the image that one agent builds for all.

use std::collections::BTreeSet;

use provision::event::Event;
use provision::plan::Scope;
use provision::report::exit;

use super::super::support::fake::Trouble;
use super::super::support::runs::{DEMO, Ran, Script, apply, host, left};
use super::super::support::world::{Reach, World, inventory};

fn fresh(sets: &[&'static str]) -> World {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inventories/demo.yaml");
    let sets = [&DEMO[..], sets].concat();
    World::fresh(inventory(&std::fs::read_to_string(path).unwrap(), &sets))
}

/// What of a file was done, as `host: what`.
fn of<'a>(ran: &'a Ran, file: &str) -> Vec<&'a str> {
    let calls = ran.calls.iter().filter(|call| call.contains(file));
    calls.map(String::as_str).filter(|call| !call.contains('/')).collect()
}

fn problems(ran: &Ran) -> Vec<String> {
    let problem = |event: &Event| match event {
        Event::Problem { problem, host: Some(host) } => {
            Some(format!("{host}: {}", problem.message))
        }
        _ => None,
    };
    ran.events.iter().filter_map(problem).collect()
}

#[tokio::test(start_paused = true)]
async fn a_file_leaves_this_machine_once() {
    let ran = apply(fresh(&["seed=host"]), Script::default()).await;
    assert_eq!(ran.report.failures, []);
    for file in ["-mesos_1.11.0_amd64.deb", "-spark-3.5.1-bin-hadoop3.tgz"] {
        let (mut sent, fetched): (Vec<&str>, Vec<&str>) =
            of(&ran, file).into_iter().partition(|call| call.contains(": push "));
        // Whoever was sent it is asked again whether it is there.
        sent.dedup();
        assert_eq!(sent.len(), 1, "{sent:?}");
        // Each once for each of its resources that needs it; who has it fetches nothing.
        assert!(fetched.len() > 1, "{fetched:?}");
        let seed = sent[0].split(':').next().unwrap();
        assert!(fetched.iter().all(|call| call.ends_with(&format!(" from {seed}"))), "{fetched:?}");
        assert!(!fetched.iter().any(|call| call.starts_with(seed)), "{fetched:?}");
        let serves = ran.position(&format!("{seed}: serve files"));
        assert!(fetched.iter().all(|call| serves < ran.position(call)), "{:?}", ran.calls);
    }
    // Of agents only, and of all of them: one file more, which both need.
    assert_eq!(of(&ran, "-debian-bookworm-slim.tar").len(), 2);
    let with = |what: &str| -> BTreeSet<&str> {
        ran.calls.iter().filter_map(|call| call.strip_suffix(what)).collect()
    };
    assert_eq!(with(": serve files"), with(": serve no files"), "{:?}", ran.calls);
    assert_eq!(with(": forget keys"), BTreeSet::from(["a2", "c1", "m1", "m2", "m3"]));
    assert_eq!(problems(&ran), Vec::<String>::new());
    assert_eq!(left(&ran.world), "No changes. The cluster matches the inventory.\n");
}

#[tokio::test(start_paused = true)]
async fn what_one_host_alone_needs_is_not_served() {
    let mut world = apply(fresh(&["seed=host"]), Script::default()).await.world;
    let client = world.machines.get_mut(&host("c1")).unwrap();
    client.entries.retain(|path, _| !path.starts_with("/opt/spark"));
    let ran = apply(world, Script::default()).await;
    assert_eq!(of(&ran, "-spark-3.5.1").len(), 1, "{:?}", ran.calls);
    assert!(!ran.calls.iter().any(|call| call.contains("serve")), "{:?}", ran.calls);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_cannot_fetch_is_sent_it_from_here() {
    let script = Script {
        troubles: vec![(
            "m3: fetch ",
            Trouble::Status(1, "connect to host 10.0.0.1 port 7022: refused\n"),
        )],
        ..Script::default()
    };
    let ran = apply(fresh(&["seed=host"]), script).await;
    assert_eq!(ran.report.exit(), exit::OK);
    assert!(ran.called("m3: push "));
    let problems = problems(&ran);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("m3: "), "{problems:?}");
    assert!(problems[0].contains("port 7022: refused"), "{problems:?}");
    assert_eq!(left(&ran.world), "No changes. The cluster matches the inventory.\n");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_cannot_serve_is_said_once() {
    for (trouble, why) in [
        (
            Trouble::Status(1, "its server did not start: Address already in use\n"),
            "already in use",
        ),
        (Trouble::Lost, "the connection was lost"),
    ] {
        // Whoever is the first: every host cannot.
        let hosts = ["a1", "a2", "c1", "m1", "m2", "m3"];
        let names = [
            "a1: serve files",
            "a2: serve files",
            "c1: serve files",
            "m1: serve files",
            "m2: serve files",
            "m3: serve files",
        ];
        let troubles = names.map(|name| (name, trouble)).to_vec();
        let ran = apply(fresh(&["seed=host"]), Script { troubles, ..Script::default() }).await;
        assert_eq!(ran.report.exit(), exit::OK);
        for problem in problems(&ran) {
            assert!(problem.contains(why), "{problem}");
        }
        for host in hosts {
            let said =
                problems(&ran).iter().filter(|it| it.starts_with(&format!("{host}: "))).count();
            assert!(said <= 1, "{:?}", problems(&ran));
        }
        assert!(!ran.calls.iter().any(|call| call.contains(": fetch ")), "{:?}", ran.calls);
        assert_eq!(left(&ran.world), "No changes. The cluster matches the inventory.\n");
    }
}

/// It goes into a file that says whom to trust.
#[tokio::test(start_paused = true)]
async fn a_server_is_known_by_one_key_and_nothing_else_that_it_says() {
    let mut world = fresh(&["seed=host"]);
    for machine in world.machines.values_mut() {
        machine.served_as = Some("ssh-ed25519 AAAA\n* ssh-ed25519 BBBB".to_owned());
    }
    let ran = apply(world, Script::default()).await;
    assert!(problems(&ran).iter().all(|it| it.contains("it says no key")), "{:?}", problems(&ran));
    assert!(!problems(&ran).is_empty());
    assert!(!ran.calls.iter().any(|call| call.contains(": fetch ")), "{:?}", ran.calls);
}

#[tokio::test(start_paused = true)]
async fn one_agent_builds_the_image_and_the_others_load_it() {
    let ran = apply(fresh(&["spark.image.build=once"]), Script::default()).await;
    assert_eq!(ran.report.failures, []);
    let waves = ran.waves();
    let prepared = waves.iter().position(|wave| wave.starts_with("prepare: ")).unwrap();
    let loaded = waves.iter().position(|wave| wave == "Spark image: a2").expect("a wave");
    assert!(prepared < loaded, "{waves:?}");
    let made =
        ran.calls.iter().find(|call| call.contains("hand-over image-")).expect("it was made");
    assert!(made.starts_with("a1: "), "{made}");
    assert!(ran.position(made) > ran.position("a1: image/image spark-mesos"));
    assert!(ran.called("a2: fetch image-"));
    let images = |name: &str| ran.world.machines[&host(name)].images["spark-mesos"].clone();
    assert_eq!(images("a1"), images("a2"));
    assert_eq!(left(&ran.world), "No changes. The cluster matches the inventory.\n");
    // Everything else comes from here.
    assert!(!of(&ran, "-mesos_1.11.0_amd64.deb").iter().any(|call| call.contains("fetch")));
}

#[tokio::test(start_paused = true)]
async fn whoever_has_the_image_of_all_gives_it() {
    let mut world = apply(fresh(&["spark.image.build=once"]), Script::default()).await.world;
    let built = world.machines[&host("a2")].images["spark-mesos"].clone();
    world.machines.get_mut(&host("a1")).unwrap().images.remove("spark-mesos");
    let ran = apply(world, Script::default()).await;
    assert!(ran.calls.iter().any(|call| call.starts_with("a2: hand-over ")), "{:?}", ran.calls);
    assert_eq!(ran.world.machines[&host("a1")].images["spark-mesos"], built);

    // Another build of the same inputs, as an apply of one agent alone makes it.
    let mut world = ran.world;
    let inputs = built.split(' ').next().unwrap();
    let other = format!("{inputs} by-itself");
    world.machines.get_mut(&host("a2")).unwrap().images.insert("spark-mesos".to_owned(), other);
    let ran = apply(world, Script::default()).await;
    let images = |name: &str| ran.world.machines[&host(name)].images["spark-mesos"].clone();
    assert_eq!(images("a1"), images("a2"));
    assert_eq!(left(&ran.world), "No changes. The cluster matches the inventory.\n");

    // Nobody who could give it is asked: an agent by itself builds it.
    let mut world = ran.world;
    world.machines.get_mut(&host("a2")).unwrap().images.remove("spark-mesos");
    let scope = Scope { hosts: Some(BTreeSet::from([host("a2")])), ..Scope::default() };
    let (_, plan) = world.plan(&scope);
    let actions: Vec<String> =
        plan.actions().map(|(host, it)| format!("{host}: {}", it.id())).collect();
    assert_eq!(actions, ["a2: image spark-mesos"]);
    assert_eq!(plan.stages[0].task, None, "it is built before anything rolls");
    // One that does not answer gives nothing.
    world.machines.get_mut(&host("a1")).unwrap().reach = Reach::NoSsh;
    let (_, plan) = world.plan(&Scope::default());
    assert!(plan.actions().any(|(at, it)| *at == host("a2") && it.id().kind == "image"));
}

#[tokio::test(start_paused = true)]
async fn an_image_that_was_not_built_is_not_waited_for() {
    let script = Script {
        troubles: vec![("a1: image/", Trouble::Status(1, "no space left on device\n"))],
        ..Script::default()
    };
    let ran = apply(fresh(&["spark.image.build=once"]), script).await;
    assert!(!ran.called("a2: image/") && !ran.called("a2: fetch "), "{:?}", ran.calls);
    let blocked = ran.blocked();
    assert!(
        blocked.iter().any(|it| it == "a2: image: a1 comes first, and failed before"),
        "{blocked:?}"
    );

    // Nor one that was lost on the way; its agent does not start without it.
    let script = Script {
        troubles: vec![("a2: fetch ", Trouble::Status(1, "No route to host\n"))],
        ..Script::default()
    };
    let ran = apply(fresh(&["spark.image.build=once"]), script).await;
    assert_ne!(ran.report.exit(), exit::OK);
    assert!(
        ran.report.failures.iter().any(|it| it.cause.contains("No route to host")),
        "{:?}",
        ran.report.failures
    );
    assert!(!ran.called("a2: agents/service mesos-slave"), "{:?}", ran.calls);
}

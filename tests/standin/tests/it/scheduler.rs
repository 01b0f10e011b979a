//! Frameworks on a master and real agents of this stand-in: from the subscription to the end of a
//! task, who is offered what, and who is refused.

use mesos_messages::scheduler::{Call, CallType, EventType, Kill, Reconcile};
use mesos_messages::{FrameworkId, FrameworkInfo, Reason, Source, TaskState};
use serde_json::{Value as Json, json};

use crate::cluster::{Member, active, keys, leader};
use crate::common::{Scratch, ask, free_port, get, wait_for};
use crate::framework::{Framework, answer, basic, call, info, post, subscribe, sum, task};
use crate::zookeeper::Zookeeper;

/// A master without ZooKeeper.
pub(crate) fn lone_master(more: &[&str]) -> Member {
    let place = format!("127.0.0.1:{}", free_port("127.0.0.1"));
    let flags = more.iter().map(|&flag| flag.to_owned()).collect();
    let master = Member::new("mesos-master", "127.0.0.1", place, flags);
    let masters = [master];
    leader(&masters);
    let [master] = masters;
    master
}

pub(crate) fn agent_of(master: &Member, resources: &str) -> Member {
    let place = format!("127.0.0.1:{}", free_port("127.0.0.1"));
    let flags = vec![
        format!("--master={}", master.place),
        "--no-systemd_enable_support".to_owned(),
        "--attributes=rack:r1;level:7".to_owned(),
        format!("--resources={resources}"),
    ];
    Member::new("mesos-slave", "127.0.0.1", place, flags)
}

pub(crate) const SMALL: &str = "cpus:2;mem:2048;disk:8192;ports:[31000-32000]";

pub(crate) fn json_of(master: &Member, path: &str) -> Json {
    get(&master.place, path).expect("an answer").json()
}

#[test]
fn a_task_goes_from_its_offer_to_its_end() {
    let master = lone_master(&[]);
    let agent = agent_of(&master, SMALL);
    let agent_id = active(&master.place, &agent)["id"].as_str().expect("an id").to_owned();
    let framework = Framework::start(&master.place, info("pi", "*"));
    assert!(framework.id.ends_with("-0000"), "{}", framework.id);

    let offer = framework.offer(0);
    assert_eq!((offer.agent_id.value.as_str(), offer.hostname.as_str()), (&*agent_id, "127.0.0.1"));
    assert_eq!((sum(&offer, "cpus", "*"), sum(&offer, "mem", "*")), (2.0, 2048.0));
    let attributes: Vec<&str> = offer.attributes.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(attributes, ["rack", "level"]);
    let port = offer.url.as_ref().expect("a URL").address.port;
    assert!(agent.place.ends_with(&format!(":{port}")));
    let offered = json_of(&master, "/frameworks")["frameworks"][0].clone();
    assert_eq!(offered["offers"][0]["id"], offer.id.value.as_str());
    assert_eq!(offered["offered_resources"]["ports"], "[31000-32000]");

    framework.launch(&offer, vec![task("1", &offer, "sleep 1", 1.5, 512.0)]);
    framework.acknowledge(&framework.update("1", TaskState::Starting));
    let running = framework.update("1", TaskState::Running);
    assert_eq!(running.source(), Source::Executor);
    shapes(&master);
    framework.acknowledge(&running);
    let finished = framework.update("1", TaskState::Finished);
    // Its end is there, and stays among the tasks until the framework has seen it.
    let view = json_of(&master, "/state")["frameworks"][0].clone();
    assert_eq!(view["tasks"][0]["state"], "TASK_FINISHED");
    assert_eq!(view["used_resources"]["cpus"], 0.0);
    framework.acknowledge(&finished);
    let view = json_of(&master, "/state")["frameworks"][0].clone();
    assert_eq!((&view["tasks"], &view["completed_tasks"][0]["id"]), (&json!([]), &json!("1")));
    let states: Vec<&Json> = view["completed_tasks"][0]["statuses"]
        .as_array()
        .expect("statuses")
        .iter()
        .map(|status| &status["state"])
        .collect();
    assert_eq!(states, ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]);

    let tasks = json_of(&master, "/tasks?task_id=1");
    assert_eq!(tasks["tasks"][0], view["completed_tasks"][0]);
    assert_eq!(json_of(&master, "/tasks?task_id=2"), json!({ "tasks": [] }));

    framework.call(call(CallType::Teardown));
    let view = json_of(&master, "/frameworks");
    assert_eq!(view["frameworks"], json!([]));
    let gone = &view["completed_frameworks"][0];
    assert_eq!((&gone["id"], &gone["active"]), (&json!(framework.id), &json!(false)));
    assert!(gone["unregistered_time"].as_f64() > Some(0.0));
    // It does not come back.
    let id = Some(FrameworkId::from(framework.id.as_str()));
    let (status, _, body) =
        answer(&master.place, &subscribe(FrameworkInfo { id, ..info("pi", "*") }), "");
    assert_eq!(status, 200);
    assert!(body.contains("Framework has been removed"), "{body}");
}

/// While a task runs, the views have the recorded keys in the recorded order; only a framework that
/// speaks HTTP has no pid, and a task without a container none.
fn shapes(master: &Member) {
    let but = |object: &Json, left_out: &[&str]| -> Vec<String> {
        let kept = keys(object).into_iter().filter(|key| !left_out.contains(key));
        kept.map(str::to_owned).collect()
    };
    let read = |text: &str| -> Json { serde_json::from_str(text).expect("a recording") };
    let recorded = read(include_str!("../recorded/frameworks-running.json"));
    let ours = json_of(master, "/frameworks");
    assert_eq!(keys(&ours), keys(&recorded));
    let (ours, recorded) = (&ours["frameworks"][0], &recorded["frameworks"][0]);
    assert_eq!(but(ours, &[]), but(recorded, &["pid"]));
    assert_eq!(keys(&ours["used_resources"]), keys(&recorded["used_resources"]));
    let (ours, recorded) = (&ours["tasks"][0], &recorded["tasks"][0]);
    assert_eq!(but(ours, &[]), but(recorded, &["container"]));
    let last = |task: &Json| task["statuses"].as_array().expect("statuses").last().cloned();
    let (ours, recorded) = (last(ours).expect("one"), last(recorded).expect("one"));
    assert_eq!(keys(&ours), keys(&recorded));
    assert_eq!(keys(&ours["container_status"]), keys(&recorded["container_status"]));

    let recorded = read(include_str!("../recorded/roles-running.json"));
    let ours = json_of(master, "/roles");
    assert_eq!(keys(&ours["roles"][0]), keys(&recorded["roles"][0]));
    let wanted = json!({ "cpus": 1.5, "mem": 512.0 });
    for part in ["resources", "allocated"] {
        assert_eq!(ours["roles"][0][part], wanted);
    }
    assert_eq!(ours["roles"][0]["quota"]["consumed"], wanted);

    let recorded = read(include_str!("../recorded/slaves-running.json"));
    let ours = json_of(master, "/slaves");
    let (ours, recorded) = (&ours["slaves"][0], &recorded["slaves"][0]);
    assert_eq!(keys(ours), keys(recorded));
    let mut full = recorded["used_resources_full"].clone();
    full[0]["scalar"]["value"] = 1.5.into();
    full[1]["scalar"]["value"] = 512.0.into();
    assert_eq!(ours["used_resources_full"].to_string(), full.to_string());

    let recorded = read(include_str!("../recorded/metrics-running.json"));
    for (name, value) in json_of(master, "/metrics/snapshot").as_object().expect("an object") {
        let of_framework = name.strip_prefix("master/frameworks/pi/");
        let of_framework = of_framework.and_then(|rest| rest.split_once('/'));
        let name = of_framework.map_or_else(
            || name.clone(),
            |(_, rest)| {
                let id = "7c842204-3f73-4d59-a32a-eb195f81aaed-0000";
                format!("master/frameworks/PythonPi/{id}/{rest}")
            },
        );
        assert!(recorded[&name].is_number() && value.is_f64(), "{name} is not recorded");
    }

    let recorded = read(include_str!("../recorded/state-summary-running.json"));
    let ours = json_of(master, "/state-summary");
    assert_eq!(but(&ours["frameworks"][0], &[]), but(&recorded["frameworks"][0], &["pid"]));
    assert_eq!(keys(&ours["slaves"][0]), keys(&recorded["slaves"][0]));
    assert_eq!(ours["slaves"][0]["TASK_RUNNING"], 1);
}

#[test]
fn what_does_not_fit_is_refused_as_the_real_one_does() {
    let master = lone_master(&[]);
    let agent = agent_of(&master, SMALL);
    active(&master.place, &agent);
    let framework = Framework::start(&master.place, info("pi", "*"));
    let offer = framework.offer(0);
    let tasks = vec![
        task("big", &offer, "true", 3.0, 512.0),
        task("kept", &offer, "sleep 600", 1.0, 512.0),
        task("kept", &offer, "true", 0.5, 32.0),
    ];
    framework.launch(&offer, tasks);
    let refused = framework.update("big", TaskState::Error);
    assert_eq!((refused.reason(), refused.source()), (Reason::TaskInvalid, Source::Master));
    assert_eq!(refused.uuid, None, "nobody waits for its acknowledgement");
    let text = refused.message();
    assert!(text.starts_with("Total resources cpus(allocated: *):3; mem(allocated: *):512 required by task and its executor is more than available "), "{text}");
    let twice = framework.update("kept", TaskState::Error);
    assert_eq!(twice.message(), "Task has duplicate ID: kept");
    framework.acknowledge(&framework.update("kept", TaskState::Starting));
    framework.acknowledge(&framework.update("kept", TaskState::Running));

    // An offer is used once.
    framework.launch(&offer, vec![task("late", &offer, "true", 0.5, 32.0)]);
    let late = framework.update("late", TaskState::Lost);
    let text =
        format!("Task launched with invalid offers: Offer {} is no longer valid", offer.id.value);
    assert_eq!((late.message(), late.reason()), (text.as_str(), Reason::InvalidOffers));

    // What runs is told again when asked, what is unknown is lost.
    is_reconciled(&framework, "kept");
    let kill = |id: &str| Call {
        kill: Some(Kill { task_id: id.into(), agent_id: None, kill_policy: None }),
        ..call(CallType::Kill)
    };
    framework.call(kill("nobody"));
    let unknown = framework.update("nobody", TaskState::Lost);
    assert_eq!(unknown.message(), "Reconciliation: Task is unknown");
    framework.call(kill("kept"));
    framework.acknowledge(&framework.update("kept", TaskState::Killed));
}

/// Asks about all tasks: one that runs is told of, by the master and without a wish for an answer.
fn is_reconciled(framework: &Framework, task: &str) {
    framework.call(Call { reconcile: Some(Reconcile::default()), ..call(CallType::Reconcile) });
    framework.until("the answer", |events| {
        let updates = events.iter().filter_map(|event| event.update.as_ref());
        let mut told = updates.map(|update| &update.status).filter(|status| {
            status.reason == Some(Reason::Reconciliation as i32) && status.uuid.is_none()
        });
        told.find(|it| it.state() == TaskState::Running && it.task_id.value == task).map(|_| ())
    });
}

#[test]
fn a_role_of_weight_two_is_offered_twice_as_many_agents() {
    let master = lone_master(&["--weights=etl=2"]);
    let adhoc = Framework::start(&master.place, info("adhoc", "adhoc"));
    let etl = Framework::start(&master.place, info("etl", "etl"));
    let agents: Vec<Member> = (0..6).map(|_| agent_of(&master, SMALL)).collect();
    for agent in &agents {
        active(&master.place, agent);
    }
    wait_for("six offers", || (adhoc.offers().len() + etl.offers().len() == 6).then_some(()));
    assert_eq!((adhoc.offers().len(), etl.offers().len()), (2, 4));
    // Other weights make what is offered void.
    let body = r#"[{"role":"adhoc","weight":4}]"#;
    assert_eq!(ask("PUT", &master.place, "/weights", body).expect("an answer").status, 200);
    wait_for("all to be rescinded", || {
        let rescinded = [&adhoc, &etl].map(|it| it.heard(EventType::Rescind).len());
        (rescinded == [2, 4]).then_some(())
    });
    wait_for("six new offers", || (adhoc.offers().len() + etl.offers().len() == 12).then_some(()));
    assert_eq!((adhoc.offers().len(), etl.offers().len()), (6, 6));
}

#[test]
fn a_reservation_is_kept_and_a_filter_holds() {
    let master = lone_master(&[]);
    let agent = agent_of(&master, "cpus(etl):1;mem(etl):512;cpus:2;mem:1024;ports:[31000-31001]");
    active(&master.place, &agent);
    let adhoc = Framework::start(&master.place, info("adhoc", "*"));
    let first = adhoc.offer(0);
    assert_eq!((sum(&first, "cpus", "*"), sum(&first, "cpus", "etl")), (2.0, 0.0));
    let etl = Framework::start(&master.place, info("etl", "etl"));
    let reserved = etl.offer(0);
    assert_eq!((sum(&reserved, "cpus", "*"), sum(&reserved, "cpus", "etl")), (0.0, 1.0));

    // Refused for an hour: it goes to the other role, round after round.
    adhoc.decline(&first, 3600.0);
    etl.decline(&reserved, 0.0);
    for round in 1..=3 {
        let all = etl.offer(round);
        if round < 3 {
            etl.decline(&all, 0.0);
        }
    }
    assert_eq!(adhoc.offers().len(), 1);
    etl.call(call(CallType::Suppress));
    etl.decline(&etl.offer(3), 0.0);
    adhoc.revive();
    assert_eq!(sum(&adhoc.offer(1), "cpus", "*"), 2.0);
    etl.revive();
    assert_eq!(sum(&etl.offer(4), "cpus", "etl"), 1.0);
    // Nobody is offered an agent that is deactivated, and what was offered of it is taken back.
    let id = first.agent_id.value.as_str();
    let body =
        json!({ "type": "DEACTIVATE_AGENT", "deactivate_agent": { "agent_id": { "value": id } } });
    let answered = ask("POST", &master.place, "/api/v1", &body.to_string()).expect("an answer");
    assert_eq!(answered.status, 200);
    let taken = adhoc.until("the offer to be rescinded", |events| {
        events.iter().find_map(|event| event.rescind.clone())
    });
    assert_eq!(taken.offer_id, adhoc.offer(1).id);
    assert_eq!(json_of(&master, "/frameworks")["frameworks"][0]["offers"], json!([]));
}

#[test]
fn a_framework_fails_over_and_one_without_a_timeout_is_gone() {
    let master = lone_master(&[]);
    let agent = agent_of(&master, SMALL);
    active(&master.place, &agent);
    let lasting = FrameworkInfo { failover_timeout: Some(3600.0), ..info("lasting", "*") };
    let before = Framework::start(&master.place, lasting.clone());
    let offer = before.offer(0);
    before.launch(&offer, vec![task("1", &offer, "sleep 600", 1.0, 512.0)]);
    before.update("1", TaskState::Starting);
    before.vanish();
    let view = || json_of(&master, "/state")["frameworks"][0].clone();
    wait_for("its disconnection", || (view()["connected"] == false).then_some(()));
    assert_eq!((&view()["active"], &view()["tasks"][0]["id"]), (&json!(false), &json!("1")));

    // What it has not acknowledged is told to its next self.
    let id = Some(FrameworkId::from(before.id.as_str()));
    let lasting = FrameworkInfo { id, ..lasting };
    let after = Framework::start(&master.place, lasting.clone());
    assert_eq!(after.id, before.id);
    after.acknowledge(&after.update("1", TaskState::Starting));
    after.acknowledge(&after.update("1", TaskState::Running));
    assert!(view()["reregistered_time"].as_f64() > view()["registered_time"].as_f64());

    // A third one takes over from a connected one.
    let third = Framework::start(&master.place, lasting);
    let error = after.until("the end", |events| events.iter().find_map(|it| it.error.clone()));
    assert_eq!(error.message, "Framework failed over");
    wait_for("the end of the stream", || after.has_ended().then_some(()));
    let (status, text) = after.ask(call(CallType::Revive));
    assert_eq!(status, 400);
    assert!(
        text.ends_with(&format!("currently associated with framework ID {}", third.id)),
        "{text}"
    );

    // An operator ends it, and its task with it.
    let teardown = |id: &str| {
        let body = format!("frameworkId={id}");
        let answer = ask("POST", &master.place, "/teardown", &body).expect("an answer");
        (answer.status, answer.body)
    };
    assert_eq!(teardown("x"), (400, "No framework found with specified ID".to_owned()));
    assert_eq!(teardown(&third.id), (200, String::new()));
    wait_for("the end of the stream", || third.has_ended().then_some(()));
    let gone = json_of(&master, "/frameworks")["completed_frameworks"][0].clone();
    assert_eq!(gone["completed_tasks"][0]["state"], "TASK_KILLED");

    let brief = Framework::start(&master.place, info("brief", "*"));
    brief.vanish();
    wait_for("its removal", || {
        let gone = json_of(&master, "/frameworks");
        (gone["completed_frameworks"][1]["id"] == brief.id.as_str()).then_some(())
    });
}

#[test]
fn what_an_agent_ran_is_lost_with_it() {
    let quick = ["--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=3"];
    let master = lone_master(&quick);
    let mut agent = agent_of(&master, SMALL);
    active(&master.place, &agent);
    let brief = Framework::start(&master.place, info("brief", "*"));
    let lasting = FrameworkInfo { checkpoint: Some(true), ..info("lasting", "*") };
    let lasting = Framework::start(&master.place, lasting);
    let run = |framework: &Framework, place: usize| {
        let offer = framework.offer(place);
        framework.launch(&offer, vec![task("1", &offer, "sleep 600", 1.0, 512.0)]);
        framework.acknowledge(&framework.update("1", TaskState::Starting));
        framework.acknowledge(&framework.update("1", TaskState::Running));
    };
    run(&brief, 0);
    run(&lasting, 0);
    agent.daemon().kill();
    // At once where the framework does not checkpoint, after the last ping where it does.
    let lost = brief.update("1", TaskState::Lost);
    assert_eq!(lost.message(), "Agent 127.0.0.1 disconnected");
    assert_eq!(lost.reason(), Reason::AgentDisconnected);
    let lost = lasting.update("1", TaskState::Lost);
    assert_eq!(lost.message(), "health check timed out");
    for framework in [&brief, &lasting] {
        framework.until("the loss of the agent", |events| {
            events.iter().find_map(|event| event.failure.clone())
        });
    }
    let view = json_of(&master, "/frameworks");
    let known = |id: &str| {
        let all = view["frameworks"].as_array().expect("frameworks");
        all.iter().find(|framework| framework["id"] == id).cloned().expect("it is there")
    };
    assert_eq!(known(&brief.id)["completed_tasks"][0]["state"], "TASK_LOST");
    assert_eq!(known(&lasting.id)["unreachable_tasks"][0]["id"], "1");
    // It is back: what was told to be lost must not go on there.
    agent.start();
    active(&master.place, &agent);
    let whole = wait_for("an offer of all of it", || {
        [&lasting, &brief].into_iter().find_map(|framework| framework.offers().into_iter().nth(1))
    });
    assert_eq!(sum(&whole, "cpus", "*"), 2.0);
}

#[test]
fn a_job_outlives_its_leading_master() {
    let Some(zookeeper) = Zookeeper::start("127.0.77.5") else { return };
    let mut masters = [71, 72].map(|number| {
        let mut master = Member::master(&zookeeper, number, &[]);
        master.daemon().kill();
        master.replace_flag("--quorum", "--quorum=1");
        master.start();
        master
    });
    let first = leader(&masters);
    let agent = Member::agent(&zookeeper, 73, &[]);
    let there = active(&masters[first].place, &agent);
    let lasting = FrameworkInfo { failover_timeout: Some(3600.0), ..info("job", "*") };
    let before = Framework::start(&masters[first].place, lasting.clone());
    let offer = before.offer(0);
    before.launch(&offer, vec![task("1", &offer, "sleep 600", 1.0, 512.0)]);
    before.acknowledge(&before.update("1", TaskState::Starting));
    before.acknowledge(&before.update("1", TaskState::Running));

    // Who does not lead sends frameworks to who does.
    let other = masters[1 - first].place.clone();
    let (status, head, _) = wait_for("a redirect", || {
        post(&other, &subscribe(info("lost", "*")), "").filter(|answer| answer.0 == 307)
    });
    let location = format!("Location: //{}/master/api/v1/scheduler", masters[first].place);
    assert!(status == 307 && head.contains(&location), "{head}");

    masters[first].daemon().kill();
    masters[first].daemon = None;
    let second = leader(&masters);
    let place = &masters[second].place;
    assert_eq!(active(place, &agent)["id"], there["id"]);
    let view = || get(place, "/frameworks").expect("an answer").json()["frameworks"][0].clone();
    assert_eq!((&view()["recovered"], &view()["active"]), (&json!(true), &json!(false)));
    assert_eq!(view()["tasks"][0]["state"], "TASK_RUNNING");
    let id = Some(FrameworkId::from(before.id.as_str()));
    let after = Framework::start(place, FrameworkInfo { id, ..lasting });
    assert_eq!((&view()["recovered"], &view()["active"]), (&json!(false), &json!(true)));
    is_reconciled(&after, "1");
    let offer = after.offer(0);
    assert_eq!(sum(&offer, "cpus", "*"), 1.0, "the rest of the agent");
}

#[test]
fn frameworks_prove_who_they_are() {
    let scratch = Scratch::new();
    let known = r#"{"credentials":[{"principal":"spark","secret":"right"}]}"#;
    let credentials = format!("--credentials=file://{}", scratch.write("credentials", known));
    let master = lone_master(&[&credentials, "--authenticate_frameworks"]);
    let named = |principal: &str| FrameworkInfo {
        principal: Some(principal.to_owned()),
        ..info("pi", "*")
    };
    for shown in [String::new(), basic("spark", "wrong")] {
        let (status, head, body) = answer(&master.place, &subscribe(named("spark")), &shown);
        assert_eq!((status, body.as_str()), (401, "401 Unauthorized."));
        assert!(
            head.contains("WWW-Authenticate: Basic realm=\"mesos-master-scheduler\""),
            "{head}"
        );
    }
    let right = basic("spark", "right");
    let (status, _, body) = answer(&master.place, &subscribe(named("other")), &right);
    assert_eq!(status, 400);
    assert_eq!(
        body,
        "Failed to validate scheduler::Call: Authenticated principal 'spark' does not match principal 'other' set in `FrameworkInfo`"
    );
    let framework = Framework::proven(&master.place, info("pi", "*"), Some(right));
    assert_eq!(json_of(&master, "/frameworks")["frameworks"][0]["principal"], "spark");
    framework.revive();
    let said = master.daemon.as_ref().expect("it runs").log();
    assert!(!said.contains("wrong") && !said.contains("right"), "{said}");
}

#[test]
fn a_framework_that_is_not_taken_is_told_why() {
    let master = lone_master(&["--roles=etl", "--no-root_submissions"]);
    let said = |role: &str| answer(&master.place, &subscribe(info("pi", role)), "").2;
    let role = "Roles { other } are not present in the master's --roles";
    assert!(said("other").contains(role));
    assert!(said("etl").contains("User 'root' is not allowed to run frameworks"));
}

#[test]
fn calls_that_nobody_understands_are_refused_with_the_documented_words() {
    let master = lone_master(&[]);
    let refusal = |call: &Call, more: &str| {
        let (status, _, body) = answer(&master.place, call, more);
        (status, body)
    };
    let bad = |text: &str| (400, text.to_owned());
    assert_eq!(
        refusal(&Call::default(), ""),
        bad("Failed to validate scheduler::Call: Expecting 'type' to be present")
    );
    assert_eq!(
        refusal(&call(CallType::Revive), ""),
        bad("Failed to validate scheduler::Call: Expecting 'framework_id' to be present")
    );
    let with_id = |kind: CallType| Call { framework_id: Some("x".into()), ..call(kind) };
    assert_eq!(
        refusal(&with_id(CallType::Kill), ""),
        bad("Failed to validate scheduler::Call: Expecting 'kill' to be present")
    );
    assert_eq!(refusal(&with_id(CallType::Revive), ""), bad("Framework cannot be found"));
    assert_eq!(
        refusal(&subscribe(info("pi", "*")), "Mesos-Stream-Id: x\r\n"),
        bad("Subscribe calls should not include the 'Mesos-Stream-Id' header")
    );
    let framework = Framework::start(&master.place, info("pi", "*"));
    let own = Call { framework_id: Some(framework.id.as_str().into()), ..call(CallType::Revive) };
    assert_eq!(
        refusal(&own, ""),
        bad("All non-subscribe calls should include the 'Mesos-Stream-Id' header")
    );
    let json = ask("POST", &master.place, "/api/v1/scheduler", "{}").expect("an answer");
    assert_eq!(json.status, 415);
    let garbage = "POST";
    let asked = ask("GET", &master.place, "/api/v1/scheduler", garbage).expect("an answer");
    assert_eq!(asked.status, 405);
    let lasting = FrameworkInfo { failover_timeout: Some(60.0), ..info("lasting", "*") };
    let lasting = Framework::start(&master.place, lasting);
    lasting.vanish();
    let forbidden = wait_for("its disconnection", || {
        Some(lasting.ask(call(CallType::Revive))).filter(|(status, _)| *status != 202)
    });
    assert_eq!(forbidden, (403, "Framework is not subscribed".to_owned()));
}

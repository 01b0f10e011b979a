//! What a scheduler sees of its driver, and what a master does.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use mesos::driver::{Callback, Config, Driver};
use mesos::messages::Call;
use mesos_messages::scheduler::{
    self, CallType, Event, EventType, ExecutorMessage, Failure, Offers, Rescind, Update,
};
use mesos_messages::{
    Credential, FrameworkId, FrameworkInfo, Message, Offer, OfferId, Reason, Status, TaskId,
    TaskInfo, TaskState, TaskStatus,
};

use crate::master::{Master, PATIENCE, Subscription};

/// So long that no test can miss one.
const RARE: f64 = 600.0;

struct Scheduler {
    driver: Arc<Driver>,
    callbacks: Receiver<Callback>,
}

impl Scheduler {
    fn start(config: Config) -> Scheduler {
        Scheduler::failing_at(config, |_| false)
    }

    /// One that throws in some callbacks.
    fn failing_at(config: Config, fails: impl Fn(&Callback) -> bool + Send + 'static) -> Scheduler {
        let (sender, callbacks) = channel();
        let driver = Driver::new(
            config,
            Box::new(move |callback| {
                let fails = fails(&callback);
                sender.send(callback).expect("the test listens");
                if fails { Err("thrown".to_owned()) } else { Ok(()) }
            }),
        );
        assert_eq!(driver.status(), Status::DriverNotStarted);
        driver.start();
        Scheduler { driver: Arc::new(driver), callbacks }
    }

    fn next(&self) -> Callback {
        self.callbacks.recv_timeout(PATIENCE).expect("a callback")
    }

    fn updated(&self) -> TaskStatus {
        match self.next() {
            Callback::StatusUpdate(status) => TaskStatus::decode(&*status).expect("a status"),
            other => panic!("{other:?}"),
        }
    }
}

fn info() -> FrameworkInfo {
    FrameworkInfo { user: "alice".to_owned(), name: "job".to_owned(), ..FrameworkInfo::default() }
}

fn config(master: &str) -> Config {
    Config {
        master: master.to_owned(),
        framework: info().encode_to_vec(),
        credential: None,
        implicit_acknowledgements: true,
    }
}

/// A started scheduler, registered as F1.
fn registered(config: Config, master: &Master) -> (Scheduler, Subscription) {
    let scheduler = Scheduler::start(config);
    let mut subscription = master.subscription();
    subscription.accept("F1", RARE);
    assert!(matches!(scheduler.next(), Callback::Registered { .. }));
    (scheduler, subscription)
}

fn event(r#type: EventType) -> Event {
    Event { r#type: Some(r#type.into()), ..Event::default() }
}

fn update(task: &str, uuid: Option<&[u8]>) -> Event {
    let status = TaskStatus {
        task_id: task.into(),
        state: TaskState::Running.into(),
        agent_id: Some("S1".into()),
        uuid: uuid.map(<[u8]>::to_vec),
        ..TaskStatus::default()
    };
    Event { update: Some(Update { status }), ..event(EventType::Update) }
}

fn error(message: &str) -> Event {
    let error = Some(scheduler::Error { message: message.to_owned() });
    Event { error, ..event(EventType::Error) }
}

fn launch(task: &str) -> Call {
    let task = TaskInfo {
        name: task.to_owned(),
        task_id: task.into(),
        agent_id: "S1".into(),
        ..TaskInfo::default()
    };
    Call::launch(vec![OfferId::from("O1").encode_to_vec()], vec![task.encode_to_vec()], vec![])
}

fn kill(task: &str) -> Call {
    Call::kill(TaskId::from(task).encode_to_vec())
}

#[test]
fn a_first_subscription_names_the_framework_and_no_id() {
    let master = Master::start();
    let scheduler = Scheduler::start(config(&master.address));
    assert_eq!(scheduler.driver.start(), Status::DriverRunning, "the second start does nothing");
    let mut subscription = master.subscription();
    assert_eq!(subscription.headers.get("Mesos-Stream-Id"), None);
    assert_eq!(subscription.headers.get("Authorization"), None);
    assert_eq!(subscription.call.framework_id, None);
    let sent = subscription.call.subscribe.clone().expect("a subscription");
    assert!(sent.framework_info.hostname.as_ref().is_some_and(|name| !name.is_empty()));
    let expected = FrameworkInfo { hostname: sent.framework_info.hostname.clone(), ..info() };
    assert_eq!((sent.framework_info, sent.suppressed_roles), (expected, vec![]));

    subscription.accept("F1", RARE);
    let Callback::Registered { framework_id, master_info } = scheduler.next() else {
        panic!("registered comes first")
    };
    assert_eq!(FrameworkId::decode(&*framework_id), Ok("F1".into()));
    let master_info = mesos_messages::MasterInfo::decode(&*master_info).expect("a master");
    assert_eq!(master_info.hostname.as_deref(), Some("leader"));
}

#[test]
fn every_event_has_its_callback_and_bytes_stay_whole() {
    let master = Master::start();
    let (scheduler, mut subscription) = registered(config(&master.address), &master);
    // A field that nobody here knows, number 1000.
    let offer = Offer { id: "O1".into(), hostname: "a1".to_owned(), ..Offer::default() };
    let strange = [offer.encode_to_vec(), vec![0xc2, 0x3e, 1, 7]].concat();
    let mut raw = vec![0x08, 2, 0x1a, strange.len() as u8 + 2, 0x0a, strange.len() as u8];
    raw.extend(&strange);
    let known = Event::decode(&*raw).expect("an event of offers");
    assert_eq!(known.offers, Some(Offers { offers: vec![offer] }));
    subscription.send_bytes(&raw);
    assert_eq!(scheduler.next(), Callback::ResourceOffers(vec![strange]));

    subscription.send(&event(EventType::Heartbeat));
    subscription.send(&event(EventType::InverseOffers));
    subscription.send(&Event {
        rescind: Some(Rescind { offer_id: "O1".into() }),
        ..event(EventType::Rescind)
    });
    let id = |value: &str| OfferId::from(value).encode_to_vec();
    assert_eq!(scheduler.next(), Callback::OfferRescinded(id("O1")));
    subscription.send(&Event {
        message: Some(ExecutorMessage {
            agent_id: "S1".into(),
            executor_id: "E1".into(),
            data: vec![0, 255],
        }),
        ..event(EventType::Message)
    });
    let (executor_id, agent_id) = (id("E1"), id("S1"));
    let told = Callback::FrameworkMessage { executor_id, agent_id, data: vec![0, 255] };
    assert_eq!(scheduler.next(), told);
    for (executor, status) in [(None, None), (Some("E1"), Some(137)), (Some("E1"), None)] {
        let executor_id = executor.map(Into::into);
        let failure = Some(Failure { agent_id: Some("S1".into()), executor_id, status });
        subscription.send(&Event { failure, ..event(EventType::Failure) });
        let told = match executor {
            None => Callback::SlaveLost(id("S1")),
            Some(executor) => Callback::ExecutorLost {
                executor_id: id(executor),
                agent_id: id("S1"),
                status: status.unwrap_or_default(),
            },
        };
        assert_eq!(scheduler.next(), told);
    }
}

#[test]
fn calls_go_out_in_their_order_with_id_and_stream() {
    let master = Master::start();
    let (scheduler, _subscription) = registered(config(&master.address), &master);
    let id = |value: &str| OfferId::from(value).encode_to_vec();
    let filters = mesos_messages::Filters { refuse_seconds: Some(5.0) };
    let status = TaskStatus { task_id: "t".into(), ..TaskStatus::default() };
    for call in [
        launch("t"),
        Call::decline(id("O2"), filters.encode_to_vec()),
        Call::of(CallType::Revive),
        Call::of(CallType::Suppress),
        kill("t"),
        Call::message(id("E1"), id("S1"), vec![7]),
        Call::reconcile(&[status.encode_to_vec()]),
        Call::request(vec![]),
    ] {
        assert_eq!(scheduler.driver.send(call), Status::DriverRunning);
    }
    let (headers, call) = master.call(CallType::Accept);
    assert_eq!(headers.get("Mesos-Stream-Id"), Some("stream-1"));
    assert_eq!(call.framework_id, Some("F1".into()));
    let accept = call.accept.expect("an ACCEPT");
    assert_eq!(accept.offer_ids, ["O1".into()]);
    let launch = accept.operations[0].launch.as_ref().expect("a LAUNCH");
    assert_eq!(
        (launch.task_infos[0].name.as_str(), &launch.task_infos[0].task_id),
        ("t", &"t".into())
    );
    let decline = master.call(CallType::Decline).1.decline.expect("a DECLINE");
    assert_eq!((decline.offer_ids, decline.filters), (vec!["O2".into()], Some(filters)));
    master.call(CallType::Revive);
    master.call(CallType::Suppress);
    assert_eq!(master.call(CallType::Kill).1.kill.expect("a KILL").task_id, "t".into());
    let message = master.call(CallType::Message).1.message.expect("a MESSAGE");
    assert_eq!((message.executor_id, message.agent_id), ("E1".into(), "S1".into()));
    let reconcile = master.call(CallType::Reconcile).1.reconcile.expect("a RECONCILE");
    assert_eq!(reconcile.tasks[0].task_id, "t".into());
    master.call(CallType::Request);
}

#[test]
fn an_update_is_acknowledged_after_its_callback_where_asked() {
    let master = Master::start();
    let (scheduler, mut subscription) = registered(config(&master.address), &master);
    subscription.send(&update("quiet", None));
    subscription.send(&update("t", Some(&[1; 16])));
    assert_eq!(scheduler.updated().task_id, "quiet".into());
    assert_eq!(scheduler.updated().task_id, "t".into());
    let acknowledge = master.call(CallType::Acknowledge).1.acknowledge.expect("an ACKNOWLEDGE");
    assert_eq!((acknowledge.task_id, acknowledge.agent_id), ("t".into(), "S1".into()));
    assert_eq!(acknowledge.uuid, [1; 16]);

    let explicit = Config { implicit_acknowledgements: false, ..config(&master.address) };
    let (scheduler, mut subscription) = registered(explicit, &master);
    subscription.send(&update("t", Some(&[2; 16])));
    let status = scheduler.updated();
    scheduler.driver.send(kill("first"));
    let call = Call::acknowledge(&status.encode_to_vec()).expect("it asks for one");
    scheduler.driver.send(call);
    master.call(CallType::Kill);
    master.call(CallType::Acknowledge);
}

#[test]
fn a_broken_subscription_is_opened_again_with_the_id() {
    let master = Master::start();
    let (scheduler, subscription) = registered(config(&master.address), &master);
    subscription.close();
    assert_eq!(scheduler.next(), Callback::Disconnected);
    let mut subscription = master.subscription();
    assert_eq!(subscription.call.framework_id, Some("F1".into()));
    let sent = subscription.call.subscribe.clone().expect("a subscription");
    assert_eq!(sent.framework_info.id, Some("F1".into()));
    assert_eq!(sent.framework_info.name, "job");

    // Not subscribed yet: a launch is lost, and its scheduler is told so.
    scheduler.driver.send(kill("t"));
    scheduler.driver.send(launch("t"));
    let status = scheduler.updated();
    assert_eq!((status.task_id.clone(), status.state()), ("t".into(), TaskState::Lost));
    assert_eq!((status.reason(), status.uuid), (Reason::MasterDisconnected, None));

    subscription.accept("F1", RARE);
    assert!(matches!(scheduler.next(), Callback::Reregistered { .. }));
    assert_eq!(master.other_call(), None, "what was lost is not sent later");
    scheduler.driver.send(kill("later"));
    master.call(CallType::Kill);
}

#[test]
fn a_silent_master_is_left() {
    let master = Master::start();
    let scheduler = Scheduler::start(config(&master.address));
    let mut subscription = master.subscription();
    subscription.accept("F1", 0.02);
    assert!(matches!(scheduler.next(), Callback::Registered { .. }));
    assert_eq!(scheduler.next(), Callback::Disconnected);
    subscription.closed();
    let mut again = master.subscription();
    again.accept("F1", RARE);
    assert!(matches!(scheduler.next(), Callback::Reregistered { .. }));
}

#[test]
fn a_master_that_forgot_us_is_subscribed_with_again() {
    for status in ["403 Forbidden", "307 Temporary Redirect"] {
        let master = Master::start();
        let (scheduler, subscription) = registered(config(&master.address), &master);
        master.answer_calls(status);
        scheduler.driver.send(kill("t"));
        master.call(CallType::Kill);
        subscription.closed();
        assert_eq!(scheduler.next(), Callback::Disconnected, "{status}");
        master.subscription().accept("F1", RARE);
        assert!(matches!(scheduler.next(), Callback::Reregistered { .. }));
    }
}

#[test]
fn a_refused_call_alone_changes_nothing() {
    let master = Master::start();
    let (scheduler, mut subscription) = registered(config(&master.address), &master);
    master.answer_calls("400 Bad Request");
    scheduler.driver.send(kill("t"));
    master.call(CallType::Kill);
    subscription.send(&update("t", None));
    assert_eq!(scheduler.updated().task_id, "t".into());
}

#[test]
fn redirects_are_followed() {
    for form in ["//ADDRESS/api/v1/scheduler", "ADDRESS", "http://ADDRESS/"] {
        let (standby, leader) = (Master::start(), Master::start());
        let scheduler = Scheduler::start(config(&standby.address));
        let to = form.replace("ADDRESS", &leader.address);
        let header = format!("Location: {to}\r\n");
        standby.subscription().refuse("307 Temporary Redirect", &header, "");
        let mut subscription = leader.subscription();
        subscription.accept("F1", RARE);
        assert!(matches!(scheduler.next(), Callback::Registered { .. }), "{form}");
        scheduler.driver.send(kill("t"));
        leader.call(CallType::Kill);
        drop(subscription);
    }
}

#[test]
fn a_master_that_cannot_yet_is_asked_again() {
    let master = Master::start();
    let scheduler = Scheduler::start(config(&master.address));
    master.subscription().refuse("503 Service Unavailable", "", "recovering");
    master.subscription().close();
    master.subscription().accept("F1", RARE);
    assert!(matches!(scheduler.next(), Callback::Registered { .. }));
}

#[test]
fn a_refused_subscription_is_an_error_and_the_end() {
    let master = Master::start();
    let scheduler = Scheduler::start(config(&master.address));
    master.subscription().refuse("401 Unauthorized", "", "who are you");
    let Callback::Error(text) = scheduler.next() else { panic!("an error") };
    // The words of Mesos' own driver come first.
    assert_eq!(text, "Master refused authentication: who are you");
    assert_eq!(scheduler.driver.join(), Status::DriverAborted);
    assert_eq!(scheduler.driver.send(kill("t")), Status::DriverAborted);
    assert_eq!(scheduler.driver.stop(false), Status::DriverAborted);
    assert_eq!(scheduler.driver.stop(false), Status::DriverStopped);

    let scheduler = Scheduler::start(config(&master.address));
    master.subscription().refuse("403 Forbidden", "", "not you");
    let Callback::Error(text) = scheduler.next() else { panic!("an error") };
    assert_eq!(text, "Master refused the subscription with status 403: not you");

    let (scheduler, mut subscription) = registered(config(&master.address), &master);
    subscription.send(&error("Framework failed over"));
    assert_eq!(scheduler.next(), Callback::Error("Framework failed over".to_owned()));
    assert_eq!(scheduler.driver.join(), Status::DriverAborted);
    subscription.closed();
}

#[test]
fn a_master_that_cannot_be_found_is_an_error() {
    let scheduler = Scheduler::start(config("zk://h:2181"));
    let Callback::Error(text) = scheduler.next() else { panic!("an error") };
    assert!(text.starts_with("Failed to create a master detector for 'zk://h:2181'"), "{text}");
    assert_eq!(scheduler.driver.join(), Status::DriverAborted);
}

#[test]
fn a_failing_callback_aborts_without_acknowledgement() {
    let master = Master::start();
    let config = config(&master.address);
    let scheduler =
        Scheduler::failing_at(config, |callback| matches!(callback, Callback::StatusUpdate(_)));
    let mut subscription = master.subscription();
    subscription.accept("F1", RARE);
    subscription.send(&update("t", Some(&[1; 16])));
    subscription.send(&update("u", Some(&[2; 16])));
    assert_eq!(scheduler.driver.join(), Status::DriverAborted);
    subscription.closed();
    assert!(matches!(scheduler.next(), Callback::Registered { .. }));
    assert_eq!(scheduler.updated().task_id, "t".into());
    assert!(scheduler.callbacks.recv().is_err(), "no callback after the abort");
    assert_eq!(master.other_call(), None);
}

#[test]
fn stop_sends_what_was_asked_before_then_tears_down() {
    let master = Master::start();
    let (scheduler, subscription) = registered(config(&master.address), &master);
    scheduler.driver.send(kill("t"));
    assert_eq!(scheduler.driver.stop(false), Status::DriverStopped);
    // They were answered before it returned: the process may end now.
    assert!(master.other_call().is_some_and(|call| call.r#type() == CallType::Kill));
    assert!(master.other_call().is_some_and(|call| call.r#type() == CallType::Teardown));
    subscription.closed();
    assert_eq!(scheduler.driver.join(), Status::DriverStopped);
    assert!(scheduler.callbacks.recv().is_err(), "no callback after the end");

    let (scheduler, subscription) = registered(config(&master.address), &master);
    scheduler.driver.send(kill("t"));
    assert_eq!(scheduler.driver.stop(true), Status::DriverStopped);
    master.call(CallType::Kill);
    subscription.closed();
    assert_eq!(master.other_call(), None, "a failover keeps its tasks");
}

#[test]
fn a_driver_may_stop_while_no_master_answers() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let scheduler = Scheduler::start(config(&address));
    assert_eq!(scheduler.driver.stop(false), Status::DriverStopped);
    assert!(scheduler.callbacks.recv().is_err());
}

#[test]
fn credentials_are_shown_with_every_call() {
    let master = Master::start();
    let credential =
        Credential { principal: "spark".to_owned(), secret: Some("s3:cret".to_owned()) };
    let credential = Some(credential.encode_to_vec());
    let config = Config { credential, ..config(&master.address) };
    let scheduler = Scheduler::start(config);
    let mut subscription = master.subscription();
    // printf spark:s3:cret | base64
    let expected = Some("Basic c3Bhcms6czM6Y3JldA==");
    assert_eq!(subscription.headers.get("Authorization"), expected);
    let sent = subscription.call.subscribe.clone().expect("a subscription").framework_info;
    assert_eq!(sent.principal.as_deref(), Some("spark"));
    subscription.accept("F1", RARE);
    scheduler.next();
    scheduler.driver.send(kill("t"));
    assert_eq!(master.call(CallType::Kill).0.get("Authorization"), expected);
    assert!(!format!("{:?}", scheduler.driver).contains("cret"));
}

#[test]
fn suppression_outlives_a_subscription() {
    let master = Master::start();
    let framework = FrameworkInfo { role: Some("etl".to_owned()), ..info() }.encode_to_vec();
    let config = Config { framework, ..config(&master.address) };
    let (scheduler, subscription) = registered(config, &master);
    let reopen = |subscription: Subscription| {
        subscription.close();
        assert_eq!(scheduler.next(), Callback::Disconnected);
        let mut subscription = master.subscription();
        subscription.accept("F1", RARE);
        assert!(matches!(scheduler.next(), Callback::Reregistered { .. }));
        let roles = subscription.call.subscribe.clone().expect("it subscribes").suppressed_roles;
        (subscription, roles)
    };
    scheduler.driver.send(Call::of(CallType::Suppress));
    master.call(CallType::Suppress);
    let (subscription, roles) = reopen(subscription);
    assert_eq!(roles, ["etl"]);
    scheduler.driver.send(Call::of(CallType::Revive));
    master.call(CallType::Revive);
    assert_eq!(reopen(subscription).1, [""; 0]);
}

#[test]
fn a_framework_with_an_id_fails_over() {
    let master = Master::start();
    let framework = FrameworkInfo { id: Some("F0".into()), ..info() }.encode_to_vec();
    let scheduler = Scheduler::start(Config { framework, ..config(&master.address) });
    let mut subscription = master.subscription();
    assert_eq!(subscription.call.framework_id, Some("F0".into()));
    subscription.accept("F0", RARE);
    assert!(matches!(scheduler.next(), Callback::Registered { .. }));
}

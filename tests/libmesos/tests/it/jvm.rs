//! The library in a real JVM, under the classes of the real mesos.jar: `Probe.java` is a scheduler
//! that does what it reads and says what it is told. Spark's own Janino compiles it, so that a
//! JRE is enough; `-Xcheck:jni` watches over every use of JNI.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};

use mesos_messages::scheduler::{
    CallType, Event, EventType, ExecutorMessage, Failure, Offers, Rescind, Update,
};
use mesos_messages::{Offer, TaskState, TaskStatus};

use crate::master::{Master, PATIENCE, Subscription};

const RARE: f64 = 600.0;

struct Probe {
    jvm: Child,
    orders: Option<ChildStdin>,
    said: Receiver<String>,
}

impl Probe {
    fn start(arguments: &[&str]) -> Probe {
        let library = std::env::current_exe().expect("the test is a file");
        let library = library.with_file_name("libmesos.so");
        let mut jvm = Command::new("java")
            .args(["-Xcheck:jni", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", classpath()])
            .arg("org.codehaus.janino.SimpleCompiler")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/Probe.java"))
            .arg("Probe")
            .args(arguments)
            .env("MESOS_NATIVE_JAVA_LIBRARY", library)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("java is missing: sh tests/assets/tools.sh");
        let (sender, said) = channel();
        let output = BufReader::new(jvm.stdout.take().expect("it is piped"));
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The test may be over.
                let _ = sender.send(line);
            }
        });
        let orders = jvm.stdin.take();
        let probe = Probe { jvm, orders, said };
        probe.says("version 1.11.0");
        probe
    }

    /// Gives an order that answers nothing.
    fn order(&mut self, line: &str) {
        let orders = self.orders.as_mut().expect("it has not ended");
        writeln!(orders, "{line}").expect("the probe reads");
    }

    /// Gives an order and expects its answer.
    fn answers(&mut self, line: &str, answer: &str) {
        self.order(line);
        self.says(answer);
    }

    fn says(&self, expected: &str) {
        let line = self.said.recv_timeout(PATIENCE).expect("the probe says something");
        // Warnings of -Xcheck:jni come on standard output too.
        assert_eq!(line, expected);
    }

    /// Ends its input, and sees that the JVM ends.
    fn ends(mut self) {
        drop(self.orders.take());
        let ended = self.jvm.wait().expect("it was started");
        assert!(ended.success(), "{ended}");
        assert_eq!(self.said.recv_timeout(PATIENCE).ok(), None);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.jvm.kill();
        let _ = self.jvm.wait();
    }
}

/// mesos.jar and Janino, out of the Spark that all tests use.
fn classpath() -> &'static str {
    static CLASSPATH: OnceLock<String> = OnceLock::new();
    CLASSPATH.get_or_init(|| {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/spark.sh");
        let made = Command::new("sh").arg(script).arg(&directory).output().expect("sh");
        assert!(made.status.success(), "spark.sh: {}", String::from_utf8_lossy(&made.stderr));
        let archive = String::from_utf8_lossy(&made.stdout).trim().to_owned();
        let names = ["mesos-", "janino-", "commons-compiler-"];
        let unpacked = Command::new("tar")
            .args(["-xzf", &archive, "-C"])
            .arg(&directory)
            .args(["--strip-components=2", "--wildcards"])
            .args(names.map(|name| format!("*/jars/{name}*.jar")))
            .status();
        assert!(unpacked.expect("tar").success());
        let jars = std::fs::read_dir(&directory).expect("it was just filled");
        let jars = jars.flatten().map(|jar| jar.path().display().to_string());
        jars.filter(|path| path.ends_with(".jar")).collect::<Vec<_>>().join(":")
    })
}

/// A probe that is registered as F1.
fn registered(master: &Master, implicit: &str) -> (Probe, Subscription) {
    let mut probe = Probe::start(&[&master.address, implicit]);
    probe.answers("start", "DRIVER_RUNNING");
    let mut subscription = master.subscription();
    subscription.accept("F1", RARE);
    probe.says("registered F1 leader");
    (probe, subscription)
}

fn event(r#type: EventType) -> Event {
    Event { r#type: Some(r#type.into()), ..Event::default() }
}

fn update(task: &str, uuid: u8) -> Event {
    let status = TaskStatus {
        task_id: task.into(),
        state: TaskState::Running.into(),
        agent_id: Some("S1".into()),
        uuid: Some(vec![uuid; 16]),
        ..TaskStatus::default()
    };
    Event { update: Some(Update { status }), ..event(EventType::Update) }
}

#[test]
fn every_callback_reaches_java() {
    let master = Master::start();
    let (mut probe, mut subscription) = registered(&master, "implicit");
    let info = subscription.call.subscribe.clone().expect("it subscribes").framework_info;
    assert_eq!(info.name, "probe");
    assert!(!info.user.is_empty(), "an empty user is the JVM's own");

    let offers = ["O1", "O2"].map(|id| Offer {
        id: id.into(),
        hostname: "a1".to_owned(),
        framework_id: "F1".into(),
        agent_id: "S1".into(),
        ..Offer::default()
    });
    let offers = Some(Offers { offers: offers.to_vec() });
    subscription.send(&Event { offers, ..event(EventType::Offers) });
    probe.says("offers O1 O2");
    let rescind = Some(Rescind { offer_id: "O2".into() });
    subscription.send(&Event { rescind, ..event(EventType::Rescind) });
    probe.says("rescinded O2");
    subscription.send(&update("t", 1));
    probe.says("update t TASK_RUNNING");
    let acknowledge = master.call(CallType::Acknowledge).1.acknowledge;
    assert_eq!(acknowledge.expect("an ACKNOWLEDGE").uuid, [1; 16]);
    let (agent_id, executor_id) = ("S1".into(), "E1".into());
    let message = Some(ExecutorMessage { agent_id, executor_id, data: vec![0, 255, 7] });
    subscription.send(&Event { message, ..event(EventType::Message) });
    probe.says("message E1 S1 3");
    let mut failure =
        Failure { agent_id: Some("S1".into()), executor_id: Some("E1".into()), status: Some(9) };
    subscription.send(&Event { failure: Some(failure.clone()), ..event(EventType::Failure) });
    probe.says("executor lost E1 S1 9");
    failure.executor_id = None;
    subscription.send(&Event { failure: Some(failure), ..event(EventType::Failure) });
    probe.says("agent lost S1");

    subscription.close();
    probe.says("disconnected");
    let mut subscription = master.subscription();
    assert_eq!(subscription.call.framework_id, Some("F1".into()));
    subscription.accept("F1", RARE);
    probe.says("reregistered leader");
    let error = mesos_messages::scheduler::Error { message: "grün 😀".to_owned() };
    subscription.send(&Event { error: Some(error), ..event(EventType::Error) });
    probe.says("error grün 😀");
    probe.answers("join", "DRIVER_ABORTED");
    probe.answers("revive", "DRIVER_ABORTED");
    probe.ends();
}

#[test]
fn every_method_reaches_the_master() {
    let master = Master::start();
    let (mut probe, subscription) = registered(&master, "implicit");
    for order in ["launch O1 t1", "launch-on-all O1 t1", "accept O1 t1"] {
        probe.answers(order, "DRIVER_RUNNING");
        let (_, call) = master.call(CallType::Accept);
        let accept = call.accept.clone().expect("an ACCEPT");
        assert_eq!(accept.offer_ids, ["O1".into()], "{order}");
        assert_eq!(accept.filters.unwrap_or_default().refuse_seconds(), 7.0);
        let launch = accept.operations[0].launch.clone().expect("a LAUNCH");
        assert_eq!(launch.task_infos[0].task_id, "t1".into(), "{order}");
    }
    probe.answers("decline O2", "DRIVER_RUNNING");
    let decline = master.call(CallType::Decline).1.decline.expect("a DECLINE");
    assert_eq!(decline.offer_ids, ["O2".into()]);
    assert_eq!(decline.filters.unwrap_or_default().refuse_seconds(), 7.0);
    for (order, call) in [
        ("revive", CallType::Revive),
        ("suppress", CallType::Suppress),
        ("request", CallType::Request),
        ("kill t1", CallType::Kill),
    ] {
        probe.answers(order, "DRIVER_RUNNING");
        master.call(call);
    }
    probe.answers("reconcile t1", "DRIVER_RUNNING");
    let reconcile = master.call(CallType::Reconcile).1.reconcile.expect("a RECONCILE");
    assert_eq!(reconcile.tasks[0].task_id, "t1".into());
    probe.answers("message E1", "DRIVER_RUNNING");
    let message = master.call(CallType::Message).1.message.expect("a MESSAGE");
    assert_eq!((message.executor_id, message.data), ("E1".into(), vec![0, 255]));
    probe.answers("acknowledge", "exception IllegalStateException");

    probe.answers("stop for-good", "DRIVER_STOPPED");
    master.call(CallType::Teardown);
    subscription.closed();
    probe.answers("join", "DRIVER_STOPPED");
    probe.answers("revive", "DRIVER_STOPPED");
    probe.ends();
}

#[test]
fn an_exception_in_a_callback_aborts() {
    let master = Master::start();
    let (mut probe, mut subscription) = registered(&master, "implicit");
    probe.order("throw");
    // The order is obeyed before this answer.
    probe.answers("revive", "DRIVER_RUNNING");
    master.call(CallType::Revive);
    subscription.send(&update("t", 1));
    probe.says("update t TASK_RUNNING");
    probe.answers("join", "DRIVER_ABORTED");
    subscription.closed();
    probe.answers("stop failover", "DRIVER_ABORTED");
    assert_eq!(master.other_call(), None, "no acknowledgement");
    probe.ends();
}

#[test]
fn explicit_acknowledgements_and_credentials() {
    let master = Master::start();
    let mut probe = Probe::start(&[&master.address, "explicit", "spark", "secret"]);
    probe.answers("start", "DRIVER_RUNNING");
    let mut subscription = master.subscription();
    // printf spark:secret | base64
    assert_eq!(subscription.headers.get("Authorization"), Some("Basic c3Bhcms6c2VjcmV0"));
    subscription.accept("F1", RARE);
    probe.says("registered F1 leader");
    subscription.send(&update("t", 3));
    probe.says("update t TASK_RUNNING");
    probe.answers("revive", "DRIVER_RUNNING");
    master.call(CallType::Revive);
    probe.answers("acknowledge", "DRIVER_RUNNING");
    let acknowledge = master.call(CallType::Acknowledge).1.acknowledge;
    assert_eq!(acknowledge.expect("an ACKNOWLEDGE").uuid, [3; 16]);
    probe.answers("stop failover", "DRIVER_STOPPED");
    subscription.closed();
    assert_eq!(master.other_call(), None);
    probe.ends();
}

#[test]
fn a_driver_that_nobody_holds_is_stopped() {
    let master = Master::start();
    let (mut probe, subscription) = registered(&master, "implicit");
    probe.answers("forget", "forgotten");
    master.call(CallType::Teardown);
    subscription.closed();
    probe.ends();
}

#[test]
fn a_jvm_ends_while_its_driver_runs() {
    let master = Master::start();
    let (probe, subscription) = registered(&master, "implicit");
    probe.ends();
    subscription.closed();
}

//! Bytes that Mesos' own Java classes wrote are read, and written again as they were: every number
//! and every type is right. `java.txt` was made with mesos-1.4.3-shaded-protobuf.jar (it is in
//! Spark 3.5.1): messages in which each field that we know is set.

use mesos_messages::scheduler::{Call, CallType, Event};
use mesos_messages::{Credential, Message, TaskInfo, TaskState};

fn bytes(name: &str) -> Vec<u8> {
    let written = include_str!("java.txt");
    let mut lines = written.lines().skip_while(|line| line.strip_prefix("# ") != Some(name));
    let hex = lines.nth(1).expect("the bytes follow the name");
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("text"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")).collect()
}

fn survives<M: Message + Default + std::fmt::Debug>(name: &str) -> M {
    let written = bytes(name);
    let read = M::decode(written.as_slice()).expect(name);
    assert_eq!(read.encode_to_vec(), written, "{name}: {read:?}");
    read
}

#[test]
fn nothing_is_lost_or_misread() {
    let call: Call = survives("call");
    assert_eq!(call.r#type(), CallType::Accept);
    let accept = call.accept.expect("it is an ACCEPT");
    assert_eq!(accept.filters.expect("it has filters").refuse_seconds(), 120.0);
    let task = &accept.operations[0].launch.as_ref().expect("a launch").task_infos[0];
    assert!(!task.command.as_ref().expect("a command").shell());
    // As documented, where nothing is said.
    assert_eq!(call.decline.and_then(|it| it.filters).expect("filters").refuse_seconds(), 5.0);
    let call: Call = survives("subscribe");
    assert_eq!(call.subscribe.expect("a SUBSCRIBE").framework_info.role(), "etl");
    let event: Event = survives("event");
    assert_eq!(event.update.expect("an update").status.state(), TaskState::Running);
    survives::<TaskInfo>("executor task");
}

#[test]
fn a_secret_is_not_printed() {
    let credential: Credential = survives("credential");
    assert_eq!(format!("{credential:?}"), "Credential(p)");
}

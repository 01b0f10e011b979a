//! The v1 scheduler API's calls and events, as far as this driver looks into them.
//!
//! Messages that a driver only passes on stay bytes: Java's `Protos` (v0) and the API (v1) have the
//! same field numbers, so what the one wrote the other reads, fields that neither of us knows
//! included. Source: include/mesos/v1/scheduler/scheduler.proto and include/mesos/v1/mesos.proto of
//! Apache Mesos 1.11.0.

use mesos_messages::scheduler::{
    Acknowledge, CallType, Error, EventType, Reconcile, ReconcileTask,
};
use mesos_messages::{OperationType, TaskInfo, TaskStatus};
use prost::Message;

/// A message that is not looked into.
pub type Opaque = Vec<u8>;

/// What a scheduler tells its master: `mesos.v1.scheduler.Call`.
#[expect(missing_docs, reason = "the fields are the API's")]
#[derive(Clone, PartialEq, Message)]
pub struct Call {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub framework_id: Option<Opaque>,
    #[prost(enumeration = "CallType", optional, tag = "2")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "3")]
    pub subscribe: Option<Subscribe>,
    #[prost(message, optional, tag = "4")]
    pub accept: Option<Accept>,
    #[prost(message, optional, tag = "5")]
    pub decline: Option<Decline>,
    #[prost(message, optional, tag = "6")]
    pub kill: Option<Kill>,
    #[prost(message, optional, tag = "8")]
    pub acknowledge: Option<Acknowledge>,
    #[prost(message, optional, tag = "9")]
    pub reconcile: Option<Reconcile>,
    #[prost(message, optional, tag = "10")]
    pub message: Option<ExecutorMessage>,
    #[prost(message, optional, tag = "11")]
    pub request: Option<Request>,
}

/// `Call.Subscribe`.
#[expect(missing_docs, reason = "the fields are the API's")]
#[derive(Clone, PartialEq, Message)]
pub struct Subscribe {
    #[prost(bytes = "vec", required, tag = "1")]
    pub framework_info: Opaque,
    #[prost(string, repeated, tag = "2")]
    pub suppressed_roles: Vec<String>,
}

/// `Call.Accept`.
#[expect(missing_docs, reason = "the fields are the API's")]
#[derive(Clone, PartialEq, Message)]
pub struct Accept {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub offer_ids: Vec<Opaque>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub operations: Vec<Opaque>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub filters: Option<Opaque>,
}

/// `Call.Decline`.
#[expect(missing_docs, reason = "the fields are the API's")]
#[derive(Clone, PartialEq, Message)]
pub struct Decline {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub offer_ids: Vec<Opaque>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub filters: Option<Opaque>,
}

/// `Call.Kill`.
#[expect(missing_docs, reason = "the fields are the API's")]
#[derive(Clone, PartialEq, Message)]
pub struct Kill {
    #[prost(bytes = "vec", required, tag = "1")]
    pub task_id: Opaque,
}

/// `Call.Message` and `Event.Message`, which are alike.
#[expect(missing_docs, reason = "the fields are the API's")]
#[derive(Clone, PartialEq, Message)]
pub struct ExecutorMessage {
    #[prost(bytes = "vec", required, tag = "1")]
    pub agent_id: Opaque,
    #[prost(bytes = "vec", required, tag = "2")]
    pub executor_id: Opaque,
    #[prost(bytes = "vec", required, tag = "3")]
    pub data: Vec<u8>,
}

/// `Call.Request`.
#[expect(missing_docs, reason = "the fields are the API's")]
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub requests: Vec<Opaque>,
}

/// What a master tells a scheduler: `mesos.v1.scheduler.Event`.
#[expect(missing_docs, reason = "the fields are the API's")]
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    #[prost(enumeration = "EventType", optional, tag = "1")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub subscribed: Option<Subscribed>,
    #[prost(message, optional, tag = "3")]
    pub offers: Option<Offers>,
    #[prost(message, optional, tag = "4")]
    pub rescind: Option<Rescind>,
    #[prost(message, optional, tag = "5")]
    pub update: Option<Update>,
    #[prost(message, optional, tag = "6")]
    pub message: Option<ExecutorMessage>,
    #[prost(message, optional, tag = "7")]
    pub failure: Option<Failure>,
    #[prost(message, optional, tag = "8")]
    pub error: Option<Error>,
}

/// `Event.Subscribed`.
#[expect(missing_docs, reason = "the fields are the API's")]
#[derive(Clone, PartialEq, Message)]
pub struct Subscribed {
    #[prost(bytes = "vec", required, tag = "1")]
    pub framework_id: Opaque,
    #[prost(double, optional, tag = "2")]
    pub heartbeat_interval_seconds: Option<f64>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub master_info: Option<Opaque>,
}

/// `Event.Offers`.
#[expect(missing_docs, reason = "the fields are the API's")]
#[derive(Clone, PartialEq, Message)]
pub struct Offers {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub offers: Vec<Opaque>,
}

/// `Event.Rescind`.
#[expect(missing_docs, reason = "the fields are the API's")]
#[derive(Clone, PartialEq, Message)]
pub struct Rescind {
    #[prost(bytes = "vec", required, tag = "1")]
    pub offer_id: Opaque,
}

/// `Event.Update`.
#[expect(missing_docs, reason = "the fields are the API's")]
#[derive(Clone, PartialEq, Message)]
pub struct Update {
    #[prost(bytes = "vec", required, tag = "1")]
    pub status: Opaque,
}

/// `Event.Failure`.
#[expect(missing_docs, reason = "the fields are the API's")]
#[derive(Clone, PartialEq, Message)]
pub struct Failure {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub agent_id: Option<Opaque>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub executor_id: Option<Opaque>,
    #[prost(int32, optional, tag = "3")]
    pub status: Option<i32>,
}

/// The fields of `FrameworkInfo` that a driver reads or fills in.
#[expect(missing_docs, reason = "the fields are the API's")]
#[derive(Clone, PartialEq, Message)]
pub struct FrameworkInfo {
    #[prost(string, optional, tag = "1")]
    pub user: Option<String>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub id: Option<Opaque>,
    #[prost(string, optional, tag = "6")]
    pub role: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub hostname: Option<String>,
    #[prost(string, optional, tag = "8")]
    pub principal: Option<String>,
    #[prost(string, repeated, tag = "12")]
    pub roles: Vec<String>,
}

/// `Offer.Operation`, as far as it launches tasks.
#[expect(missing_docs, reason = "the fields are the API's")]
#[derive(Clone, PartialEq, Message)]
pub struct Operation {
    #[prost(int32, optional, tag = "1")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub launch: Option<Launch>,
    #[prost(message, optional, tag = "7")]
    pub launch_group: Option<LaunchGroup>,
}

/// `Offer.Operation.Launch`.
#[expect(missing_docs, reason = "the fields are the API's")]
#[derive(Clone, PartialEq, Message)]
pub struct Launch {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub task_infos: Vec<Opaque>,
}

/// `Offer.Operation.LaunchGroup`, as far as it has tasks.
#[expect(missing_docs, reason = "the fields are the API's")]
#[derive(Clone, PartialEq, Message)]
pub struct LaunchGroup {
    #[prost(message, optional, tag = "2")]
    pub task_group: Option<TaskGroup>,
}

/// `TaskGroupInfo`.
#[expect(missing_docs, reason = "the fields are the API's")]
#[derive(Clone, PartialEq, Message)]
pub struct TaskGroup {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub tasks: Vec<Opaque>,
}

impl Call {
    /// A call of this type without any more.
    pub fn of(r#type: CallType) -> Call {
        Call { r#type: Some(r#type.into()), ..Call::default() }
    }

    /// The LAUNCH of tasks on offers, as an ACCEPT.
    pub fn launch(offer_ids: Vec<Opaque>, task_infos: Vec<Opaque>, filters: Opaque) -> Call {
        let launch = Some(Launch { task_infos });
        let operation =
            Operation { r#type: Some(OperationType::Launch.into()), launch, launch_group: None };
        Call::accept(offer_ids, vec![operation.encode_to_vec()], filters)
    }

    /// ACCEPT.
    pub fn accept(offer_ids: Vec<Opaque>, operations: Vec<Opaque>, filters: Opaque) -> Call {
        let accept = Some(Accept { offer_ids, operations, filters: Some(filters) });
        Call { accept, ..Call::of(CallType::Accept) }
    }

    /// DECLINE.
    pub fn decline(offer_id: Opaque, filters: Opaque) -> Call {
        let decline = Some(Decline { offer_ids: vec![offer_id], filters: Some(filters) });
        Call { decline, ..Call::of(CallType::Decline) }
    }

    /// KILL.
    pub fn kill(task_id: Opaque) -> Call {
        Call { kill: Some(Kill { task_id }), ..Call::of(CallType::Kill) }
    }

    /// The ACKNOWLEDGE that a `TaskStatus` asks for; none without a `uuid`, for nobody sends such
    /// an update again.
    pub fn acknowledge(status: &[u8]) -> Option<Call> {
        let status = TaskStatus::decode(status).ok()?;
        let uuid = status.uuid.filter(|uuid| !uuid.is_empty())?;
        let acknowledge = Acknowledge { agent_id: status.agent_id?, task_id: status.task_id, uuid };
        Some(Call { acknowledge: Some(acknowledge), ..Call::of(CallType::Acknowledge) })
    }

    /// RECONCILE of the tasks that these `TaskStatus`es name.
    pub fn reconcile(statuses: &[Opaque]) -> Call {
        let statuses = statuses.iter().filter_map(|bytes| TaskStatus::decode(&**bytes).ok());
        let tasks =
            statuses.map(|s| ReconcileTask { task_id: s.task_id, agent_id: s.agent_id }).collect();
        Call { reconcile: Some(Reconcile { tasks }), ..Call::of(CallType::Reconcile) }
    }

    /// MESSAGE to an executor.
    pub fn message(executor_id: Opaque, agent_id: Opaque, data: Vec<u8>) -> Call {
        let message = Some(ExecutorMessage { agent_id, executor_id, data });
        Call { message, ..Call::of(CallType::Message) }
    }

    /// REQUEST.
    pub fn request(requests: Vec<Opaque>) -> Call {
        Call { request: Some(Request { requests }), ..Call::of(CallType::Request) }
    }

    /// The tasks that this call would have launched.
    pub fn tasks(&self) -> Vec<TaskInfo> {
        let operations = self.accept.iter().flat_map(|accept| &accept.operations);
        let operations = operations.filter_map(|bytes| Operation::decode(&**bytes).ok());
        let tasks = operations.flat_map(|operation| {
            let single = operation.launch.unwrap_or_default().task_infos;
            let group = operation.launch_group.unwrap_or_default().task_group.unwrap_or_default();
            single.into_iter().chain(group.tasks)
        });
        tasks.filter_map(|bytes| TaskInfo::decode(&*bytes).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use mesos_messages::{OfferId, TaskId};

    use super::*;

    #[test]
    fn an_update_without_uuid_is_not_acknowledged() {
        let status = TaskStatus {
            task_id: "t".into(),
            agent_id: Some("S1".into()),
            uuid: Some(vec![1, 2]),
            ..TaskStatus::default()
        };
        let call = Call::acknowledge(&status.encode_to_vec()).expect("it has a uuid");
        let sent = call.acknowledge.expect("an acknowledgement");
        assert_eq!((sent.task_id, sent.agent_id, sent.uuid), ("t".into(), "S1".into(), vec![1, 2]));
        for uuid in [None, Some(Vec::new())] {
            let status = TaskStatus { uuid, ..status.clone() };
            assert_eq!(Call::acknowledge(&status.encode_to_vec()), None);
        }
    }

    #[test]
    fn a_launch_knows_its_tasks() {
        let task = TaskInfo { task_id: "t".into(), agent_id: "S1".into(), ..TaskInfo::default() };
        let call = Call::launch(
            vec![OfferId::from("O1").encode_to_vec()],
            vec![task.encode_to_vec()],
            Vec::new(),
        );
        assert_eq!(call.tasks(), [task]);
        assert_eq!(Call::kill(TaskId::from("t").encode_to_vec()).tasks(), []);
    }
}

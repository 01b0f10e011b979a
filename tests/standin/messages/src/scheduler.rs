//! The scheduler API: calls of a framework, events of a master. Both are the usual union: a type
//! and the field of that type.

use crate::offer::{Filters, Offer, Operation, Request};
use crate::task::{KillPolicy, TaskStatus};
use crate::{AgentId, ExecutorId, FrameworkId, FrameworkInfo, MasterInfo, OfferId, TaskId};

/// What a framework asks.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Call {
    #[prost(message, optional, tag = "1")]
    pub framework_id: Option<FrameworkId>,
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
    #[prost(message, optional, tag = "7")]
    pub shutdown: Option<Shutdown>,
    #[prost(message, optional, tag = "8")]
    pub acknowledge: Option<Acknowledge>,
    #[prost(message, optional, tag = "9")]
    pub reconcile: Option<Reconcile>,
    #[prost(message, optional, tag = "10")]
    pub message: Option<ExecutorMessage>,
    #[prost(message, optional, tag = "11")]
    pub request: Option<Requests>,
    #[prost(message, optional, tag = "15")]
    pub revive: Option<Roles>,
    #[prost(message, optional, tag = "16")]
    pub suppress: Option<Roles>,
}

enumeration! {
    /// Call.Type.
    CallType {
        Unknown = 0 "UNKNOWN",
        Subscribe = 1 "SUBSCRIBE",
        Teardown = 2 "TEARDOWN",
        Accept = 3 "ACCEPT",
        Decline = 4 "DECLINE",
        Revive = 5 "REVIVE",
        Kill = 6 "KILL",
        Shutdown = 7 "SHUTDOWN",
        Acknowledge = 8 "ACKNOWLEDGE",
        Reconcile = 9 "RECONCILE",
        Message = 10 "MESSAGE",
        Request = 11 "REQUEST",
        Suppress = 12 "SUPPRESS",
        AcceptInverseOffers = 13 "ACCEPT_INVERSE_OFFERS",
        DeclineInverseOffers = 14 "DECLINE_INVERSE_OFFERS",
    }
}

/// Call.Subscribe.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Subscribe {
    #[prost(message, required, tag = "1")]
    pub framework_info: FrameworkInfo,
    #[prost(string, repeated, tag = "2")]
    pub suppressed_roles: Vec<String>,
}

/// Call.Accept.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Accept {
    #[prost(message, repeated, tag = "1")]
    pub offer_ids: Vec<OfferId>,
    #[prost(message, repeated, tag = "2")]
    pub operations: Vec<Operation>,
    #[prost(message, optional, tag = "3")]
    pub filters: Option<Filters>,
}

/// Call.Decline.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Decline {
    #[prost(message, repeated, tag = "1")]
    pub offer_ids: Vec<OfferId>,
    #[prost(message, optional, tag = "2")]
    pub filters: Option<Filters>,
}

/// Call.Revive and Call.Suppress; no role means all of the framework's.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Roles {
    #[prost(string, repeated, tag = "1")]
    pub roles: Vec<String>,
}

/// Call.Kill.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Kill {
    #[prost(message, required, tag = "1")]
    pub task_id: TaskId,
    #[prost(message, optional, tag = "2")]
    pub agent_id: Option<AgentId>,
    #[prost(message, optional, tag = "3")]
    pub kill_policy: Option<KillPolicy>,
}

/// Call.Shutdown.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Shutdown {
    #[prost(message, required, tag = "1")]
    pub executor_id: ExecutorId,
    #[prost(message, required, tag = "2")]
    pub agent_id: AgentId,
}

/// Call.Acknowledge.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Acknowledge {
    #[prost(message, required, tag = "1")]
    pub agent_id: AgentId,
    #[prost(message, required, tag = "2")]
    pub task_id: TaskId,
    #[prost(bytes = "vec", required, tag = "3")]
    pub uuid: Vec<u8>,
}

/// Call.Reconcile; no task means all of the framework's.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Reconcile {
    #[prost(message, repeated, tag = "1")]
    pub tasks: Vec<ReconcileTask>,
}

/// Call.Reconcile.Task.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ReconcileTask {
    #[prost(message, required, tag = "1")]
    pub task_id: TaskId,
    #[prost(message, optional, tag = "2")]
    pub agent_id: Option<AgentId>,
}

/// Call.Message and Event.Message: bytes for, or from, an executor.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ExecutorMessage {
    #[prost(message, required, tag = "1")]
    pub agent_id: AgentId,
    #[prost(message, required, tag = "2")]
    pub executor_id: ExecutorId,
    #[prost(bytes = "vec", required, tag = "3")]
    pub data: Vec<u8>,
}

/// Call.Request.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Requests {
    #[prost(message, repeated, tag = "1")]
    pub requests: Vec<Request>,
}

/// What a master tells a framework.
#[derive(Clone, PartialEq, prost::Message)]
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

enumeration! {
    /// Event.Type.
    EventType {
        Unknown = 0 "UNKNOWN",
        Subscribed = 1 "SUBSCRIBED",
        Offers = 2 "OFFERS",
        Rescind = 3 "RESCIND",
        Update = 4 "UPDATE",
        Message = 5 "MESSAGE",
        Failure = 6 "FAILURE",
        Error = 7 "ERROR",
        Heartbeat = 8 "HEARTBEAT",
        InverseOffers = 9 "INVERSE_OFFERS",
        RescindInverseOffer = 10 "RESCIND_INVERSE_OFFER",
    }
}

/// Event.Subscribed.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Subscribed {
    #[prost(message, required, tag = "1")]
    pub framework_id: FrameworkId,
    #[prost(double, optional, tag = "2")]
    pub heartbeat_interval_seconds: Option<f64>,
    #[prost(message, optional, tag = "3")]
    pub master_info: Option<MasterInfo>,
}

/// Event.Offers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Offers {
    #[prost(message, repeated, tag = "1")]
    pub offers: Vec<Offer>,
}

/// Event.Rescind.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Rescind {
    #[prost(message, required, tag = "1")]
    pub offer_id: OfferId,
}

/// Event.Update.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Update {
    #[prost(message, required, tag = "1")]
    pub status: TaskStatus,
}

/// Event.Failure: an agent, or one executor on it, is gone.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Failure {
    #[prost(message, optional, tag = "1")]
    pub agent_id: Option<AgentId>,
    #[prost(message, optional, tag = "2")]
    pub executor_id: Option<ExecutorId>,
    #[prost(int32, optional, tag = "3")]
    pub status: Option<i32>,
}

/// Event.Error: the framework cannot go on.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Error {
    #[prost(string, required, tag = "1")]
    pub message: String,
}

//! Offers and what is done with them.

use crate::resource::{AllocationInfo, Attribute, Resource};
use crate::task::TaskInfo;
use crate::{AgentId, ExecutorId, FrameworkId, OfferId, Unavailability, Url};

/// Resources of one agent, for one framework.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Offer {
    #[prost(message, required, tag = "1")]
    pub id: OfferId,
    #[prost(message, required, tag = "2")]
    pub framework_id: FrameworkId,
    #[prost(message, required, tag = "3")]
    pub agent_id: AgentId,
    #[prost(string, required, tag = "4")]
    pub hostname: String,
    #[prost(message, repeated, tag = "5")]
    pub resources: Vec<Resource>,
    #[prost(message, repeated, tag = "6")]
    pub executor_ids: Vec<ExecutorId>,
    #[prost(message, repeated, tag = "7")]
    pub attributes: Vec<Attribute>,
    #[prost(message, optional, tag = "8")]
    pub url: Option<Url>,
    #[prost(message, optional, tag = "9")]
    pub unavailability: Option<Unavailability>,
    #[prost(message, optional, tag = "10")]
    pub allocation_info: Option<AllocationInfo>,
}

/// Offer.Operation.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Operation {
    #[prost(enumeration = "OperationType", optional, tag = "1")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub launch: Option<Launch>,
}

/// Offer.Operation.Launch.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Launch {
    #[prost(message, repeated, tag = "1")]
    pub task_infos: Vec<TaskInfo>,
}

enumeration! {
    /// Offer.Operation.Type.
    OperationType {
        Unknown = 0 "UNKNOWN",
        Launch = 1 "LAUNCH",
        Reserve = 2 "RESERVE",
        Unreserve = 3 "UNRESERVE",
        Create = 4 "CREATE",
        Destroy = 5 "DESTROY",
        LaunchGroup = 6 "LAUNCH_GROUP",
    }
}

/// For how long the rest of an offer is not wanted again.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Filters {
    #[prost(double, optional, tag = "1", default = "5.0")]
    pub refuse_seconds: Option<f64>,
}

/// A wish for resources; the hierarchical allocator ignores it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    #[prost(message, optional, tag = "1")]
    pub agent_id: Option<AgentId>,
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<Resource>,
}

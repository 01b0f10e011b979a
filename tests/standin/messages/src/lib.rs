//! The messages of Mesos' v1 scheduler API, written by hand: of include/mesos/v1/mesos.proto and
//! include/mesos/v1/scheduler/scheduler.proto at 1.11.0 the fields that somebody here uses. Fields
//! are named and numbered as there, and their meaning is written there.
//!
//! The messages of the older driver (include/mesos/mesos.proto: SlaveID and so on) have the same
//! numbers, so that the bytes of the one are read as the other. Fields that are not listed here
//! are dropped when a message is read and written again.

/// An enumeration whose values know their names in the .proto file.
macro_rules! enumeration {
    ($(#[$about:meta])* $name:ident { $($value:ident = $number:literal $text:literal),* $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
        #[repr(i32)]
        pub enum $name {
            $($value = $number),*
        }

        impl $name {
            /// The name in the .proto file.
            pub fn name(self) -> &'static str {
                match self {
                    $($name::$value => $text),*
                }
            }

            /// The value of that name.
            pub fn of_name(name: &str) -> Option<$name> {
                match name {
                    $($text => Some($name::$value),)*
                    _ => None,
                }
            }
        }
    };
}

/// A message that is one string.
macro_rules! id {
    ($($(#[$about:meta])* $name:ident),* $(,)?) => {
        $(
            $(#[$about])*
            #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Message)]
            pub struct $name {
                #[prost(string, required, tag = "1")]
                pub value: String,
            }

            impl From<&str> for $name {
                fn from(value: &str) -> $name {
                    $name { value: value.to_owned() }
                }
            }

            impl From<String> for $name {
                fn from(value: String) -> $name {
                    $name { value }
                }
            }
        )*
    };
}

mod offer;
mod resource;
pub mod scheduler;
mod task;

pub use offer::*;
pub use prost::Message;
pub use resource::*;
pub use task::*;

id! {
    /// Given by the master at the first subscription.
    FrameworkId,
    /// Valid until the offer is used, declined or rescinded.
    OfferId,
    /// SlaveID of the older driver.
    AgentId,
    /// Chosen by the framework, unique in it.
    TaskId,
    /// Of a custom executor; command tasks have none.
    ExecutorId,
    /// The name of a container without its prefix.
    ContainerId,
}

/// A point in time, in nanoseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct TimeInfo {
    #[prost(int64, required, tag = "1")]
    pub nanoseconds: i64,
}

/// A length of time.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct DurationInfo {
    #[prost(int64, required, tag = "1")]
    pub nanoseconds: i64,
}

/// When an agent will not be there.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Unavailability {
    #[prost(message, required, tag = "1")]
    pub start: TimeInfo,
    #[prost(message, optional, tag = "2")]
    pub duration: Option<DurationInfo>,
}

/// Where somebody listens.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Address {
    #[prost(string, optional, tag = "1")]
    pub hostname: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub ip: Option<String>,
    #[prost(int32, required, tag = "3")]
    pub port: i32,
}

/// A parsed URL.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Url {
    #[prost(string, required, tag = "1")]
    pub scheme: String,
    #[prost(message, required, tag = "2")]
    pub address: Address,
    #[prost(string, optional, tag = "3")]
    pub path: Option<String>,
    #[prost(message, repeated, tag = "4")]
    pub query: Vec<Parameter>,
    #[prost(string, optional, tag = "5")]
    pub fragment: Option<String>,
}

/// A key and its value.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Parameter {
    #[prost(string, required, tag = "1")]
    pub key: String,
    #[prost(string, required, tag = "2")]
    pub value: String,
}

/// Free words that a framework attaches.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Labels {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Label {
    #[prost(string, required, tag = "1")]
    pub key: String,
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

/// Who a client is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct Credential {
    #[prost(string, required, tag = "1")]
    pub principal: String,
    #[prost(string, optional, tag = "2")]
    pub secret: Option<String>,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The secret stays out of every print.
        write!(out, "Credential({})", self.principal)
    }
}

/// A master, as it announces itself.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MasterInfo {
    #[prost(string, required, tag = "1")]
    pub id: String,
    /// In network order.
    #[prost(uint32, required, tag = "2")]
    pub ip: u32,
    #[prost(uint32, required, tag = "3")]
    pub port: u32,
    #[prost(string, optional, tag = "4")]
    pub pid: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub hostname: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub version: Option<String>,
    #[prost(message, optional, tag = "7")]
    pub address: Option<Address>,
}

/// A framework, as it describes itself.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FrameworkInfo {
    #[prost(string, required, tag = "1")]
    pub user: String,
    #[prost(string, required, tag = "2")]
    pub name: String,
    #[prost(message, optional, tag = "3")]
    pub id: Option<FrameworkId>,
    /// Seconds.
    #[prost(double, optional, tag = "4", default = "0.0")]
    pub failover_timeout: Option<f64>,
    #[prost(bool, optional, tag = "5", default = "false")]
    pub checkpoint: Option<bool>,
    /// Without the capability MULTI_ROLE.
    #[prost(string, optional, tag = "6", default = "*")]
    pub role: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub hostname: Option<String>,
    #[prost(string, optional, tag = "8")]
    pub principal: Option<String>,
    #[prost(string, optional, tag = "9")]
    pub webui_url: Option<String>,
    #[prost(message, repeated, tag = "10")]
    pub capabilities: Vec<Capability>,
    #[prost(message, optional, tag = "11")]
    pub labels: Option<Labels>,
    /// With the capability MULTI_ROLE.
    #[prost(string, repeated, tag = "12")]
    pub roles: Vec<String>,
}

/// FrameworkInfo.Capability.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Capability {
    #[prost(enumeration = "CapabilityType", optional, tag = "1")]
    pub r#type: Option<i32>,
}

enumeration! {
    /// FrameworkInfo.Capability.Type: what a framework understands.
    CapabilityType {
        Unknown = 0 "UNKNOWN",
        RevocableResources = 1 "REVOCABLE_RESOURCES",
        TaskKillingState = 2 "TASK_KILLING_STATE",
        GpuResources = 3 "GPU_RESOURCES",
        SharedResources = 4 "SHARED_RESOURCES",
        PartitionAware = 5 "PARTITION_AWARE",
        MultiRole = 6 "MULTI_ROLE",
        ReservationRefinement = 7 "RESERVATION_REFINEMENT",
        RegionAware = 8 "REGION_AWARE",
    }
}

enumeration! {
    /// What the calls of the older driver answer.
    Status {
        DriverNotStarted = 1 "DRIVER_NOT_STARTED",
        DriverRunning = 2 "DRIVER_RUNNING",
        DriverAborted = 3 "DRIVER_ABORTED",
        DriverStopped = 4 "DRIVER_STOPPED",
    }
}

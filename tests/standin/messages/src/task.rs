//! Tasks, how they are run, and how they fare.

use crate::resource::Resource;
use crate::{
    AgentId, ContainerId, DurationInfo, ExecutorId, FrameworkId, Labels, Parameter, TaskId,
    TimeInfo,
};

/// A task to be run, by a command or by an executor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TaskInfo {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(message, required, tag = "2")]
    pub task_id: TaskId,
    #[prost(message, required, tag = "3")]
    pub agent_id: AgentId,
    #[prost(message, repeated, tag = "4")]
    pub resources: Vec<Resource>,
    #[prost(message, optional, tag = "5")]
    pub executor: Option<ExecutorInfo>,
    #[prost(bytes = "vec", optional, tag = "6")]
    pub data: Option<Vec<u8>>,
    #[prost(message, optional, tag = "7")]
    pub command: Option<CommandInfo>,
    #[prost(message, optional, tag = "9")]
    pub container: Option<ContainerInfo>,
    #[prost(message, optional, tag = "10")]
    pub labels: Option<Labels>,
    #[prost(message, optional, tag = "11")]
    pub discovery: Option<DiscoveryInfo>,
    #[prost(message, optional, tag = "12")]
    pub kill_policy: Option<KillPolicy>,
}

/// A framework's own executor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExecutorInfo {
    #[prost(message, required, tag = "1")]
    pub executor_id: ExecutorId,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub data: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "5")]
    pub resources: Vec<Resource>,
    #[prost(message, optional, tag = "7")]
    pub command: Option<CommandInfo>,
    #[prost(message, optional, tag = "8")]
    pub framework_id: Option<FrameworkId>,
    #[prost(string, optional, tag = "9")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "10")]
    pub source: Option<String>,
    #[prost(message, optional, tag = "11")]
    pub container: Option<ContainerInfo>,
}

/// What is run.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CommandInfo {
    #[prost(message, repeated, tag = "1")]
    pub uris: Vec<Uri>,
    #[prost(message, optional, tag = "2")]
    pub environment: Option<Environment>,
    #[prost(string, optional, tag = "3")]
    pub value: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub user: Option<String>,
    #[prost(bool, optional, tag = "6", default = "true")]
    pub shell: Option<bool>,
    #[prost(string, repeated, tag = "7")]
    pub arguments: Vec<String>,
}

/// CommandInfo.URI: what is fetched into the sandbox first.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Uri {
    #[prost(string, required, tag = "1")]
    pub value: String,
    #[prost(bool, optional, tag = "2")]
    pub executable: Option<bool>,
    #[prost(bool, optional, tag = "3", default = "true")]
    pub extract: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    pub cache: Option<bool>,
    #[prost(string, optional, tag = "5")]
    pub output_file: Option<String>,
}

/// Variables.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Environment {
    #[prost(message, repeated, tag = "1")]
    pub variables: Vec<Variable>,
}

/// Environment.Variable.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Variable {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
    #[prost(enumeration = "VariableType", optional, tag = "3", default = "Value")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "4")]
    pub secret: Option<Secret>,
}

enumeration! {
    /// Environment.Variable.Type.
    VariableType {
        Unknown = 0 "UNKNOWN",
        Value = 1 "VALUE",
        Secret = 2 "SECRET",
    }
}

/// Something that must not be printed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct Secret {
    #[prost(enumeration = "SecretType", optional, tag = "1")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "3")]
    pub value: Option<SecretValue>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Secret")
    }
}

/// Secret.Value.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct SecretValue {
    #[prost(bytes = "vec", required, tag = "1")]
    pub data: Vec<u8>,
}

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("SecretValue")
    }
}

enumeration! {
    /// Secret.Type.
    SecretType {
        Unknown = 0 "UNKNOWN",
        Reference = 1 "REFERENCE",
        Value = 2 "VALUE",
    }
}

/// The container that a task runs in.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerInfo {
    #[prost(enumeration = "ContainerType", required, tag = "1")]
    pub r#type: i32,
    #[prost(message, repeated, tag = "2")]
    pub volumes: Vec<Volume>,
    #[prost(message, optional, tag = "3")]
    pub docker: Option<DockerInfo>,
    #[prost(string, optional, tag = "4")]
    pub hostname: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub mesos: Option<MesosInfo>,
    #[prost(message, repeated, tag = "7")]
    pub network_infos: Vec<NetworkInfo>,
}

enumeration! {
    /// ContainerInfo.Type.
    ContainerType {
        Docker = 1 "DOCKER",
        Mesos = 2 "MESOS",
    }
}

/// ContainerInfo.DockerInfo.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DockerInfo {
    #[prost(string, required, tag = "1")]
    pub image: String,
    #[prost(enumeration = "DockerNetwork", optional, tag = "2", default = "Host")]
    pub network: Option<i32>,
    #[prost(message, repeated, tag = "3")]
    pub port_mappings: Vec<PortMapping>,
    #[prost(bool, optional, tag = "4", default = "false")]
    pub privileged: Option<bool>,
    #[prost(message, repeated, tag = "5")]
    pub parameters: Vec<Parameter>,
    #[prost(bool, optional, tag = "6")]
    pub force_pull_image: Option<bool>,
    #[prost(string, optional, tag = "7")]
    pub volume_driver: Option<String>,
}

enumeration! {
    /// ContainerInfo.DockerInfo.Network.
    DockerNetwork {
        Host = 1 "HOST",
        Bridge = 2 "BRIDGE",
        None = 3 "NONE",
        User = 4 "USER",
    }
}

/// ContainerInfo.DockerInfo.PortMapping.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PortMapping {
    #[prost(uint32, required, tag = "1")]
    pub host_port: u32,
    #[prost(uint32, required, tag = "2")]
    pub container_port: u32,
    #[prost(string, optional, tag = "3")]
    pub protocol: Option<String>,
}

/// ContainerInfo.MesosInfo.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MesosInfo {
    #[prost(message, optional, tag = "1")]
    pub image: Option<Image>,
}

/// Image.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Image {
    #[prost(enumeration = "ImageType", required, tag = "1")]
    pub r#type: i32,
    #[prost(message, optional, tag = "3")]
    pub docker: Option<DockerImage>,
    #[prost(bool, optional, tag = "4", default = "true")]
    pub cached: Option<bool>,
}

enumeration! {
    /// Image.Type.
    ImageType {
        Appc = 1 "APPC",
        Docker = 2 "DOCKER",
    }
}

/// Image.Docker.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DockerImage {
    #[prost(string, required, tag = "1")]
    pub name: String,
}

/// A directory that the container sees.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Volume {
    #[prost(string, required, tag = "1")]
    pub container_path: String,
    #[prost(string, optional, tag = "2")]
    pub host_path: Option<String>,
    #[prost(enumeration = "VolumeMode", required, tag = "3")]
    pub mode: i32,
}

enumeration! {
    /// Volume.Mode.
    VolumeMode {
        Rw = 1 "RW",
        Ro = 2 "RO",
    }
}

/// How a container is reached.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NetworkInfo {
    #[prost(message, optional, tag = "4")]
    pub labels: Option<Labels>,
    #[prost(message, repeated, tag = "5")]
    pub ip_addresses: Vec<IpAddress>,
    #[prost(string, optional, tag = "6")]
    pub name: Option<String>,
}

/// NetworkInfo.IPAddress.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct IpAddress {
    #[prost(enumeration = "IpProtocol", optional, tag = "1", default = "Ipv4")]
    pub protocol: Option<i32>,
    #[prost(string, optional, tag = "2")]
    pub ip_address: Option<String>,
}

enumeration! {
    /// NetworkInfo.Protocol.
    IpProtocol {
        Ipv4 = 1 "IPv4",
        Ipv6 = 2 "IPv6",
    }
}

/// How a task is ended.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct KillPolicy {
    #[prost(message, optional, tag = "1")]
    pub grace_period: Option<DurationInfo>,
}

/// How others find a task.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DiscoveryInfo {
    #[prost(int32, required, tag = "1")]
    pub visibility: i32,
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
}

/// How a task fares.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TaskStatus {
    #[prost(message, required, tag = "1")]
    pub task_id: TaskId,
    #[prost(enumeration = "TaskState", required, tag = "2")]
    pub state: i32,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub data: Option<Vec<u8>>,
    #[prost(string, optional, tag = "4")]
    pub message: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub agent_id: Option<AgentId>,
    /// Seconds since 1970.
    #[prost(double, optional, tag = "6")]
    pub timestamp: Option<f64>,
    #[prost(message, optional, tag = "7")]
    pub executor_id: Option<ExecutorId>,
    #[prost(bool, optional, tag = "8")]
    pub healthy: Option<bool>,
    #[prost(enumeration = "Source", optional, tag = "9")]
    pub source: Option<i32>,
    #[prost(enumeration = "Reason", optional, tag = "10")]
    pub reason: Option<i32>,
    /// Set where an acknowledgement is wanted: 16 bytes.
    #[prost(bytes = "vec", optional, tag = "11")]
    pub uuid: Option<Vec<u8>>,
    #[prost(message, optional, tag = "12")]
    pub labels: Option<Labels>,
    #[prost(message, optional, tag = "13")]
    pub container_status: Option<ContainerStatus>,
    #[prost(message, optional, tag = "14")]
    pub unreachable_time: Option<TimeInfo>,
}

/// The container of a running task.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ContainerStatus {
    #[prost(message, repeated, tag = "1")]
    pub network_infos: Vec<NetworkInfo>,
    #[prost(uint32, optional, tag = "3")]
    pub executor_pid: Option<u32>,
    #[prost(message, optional, tag = "4")]
    pub container_id: Option<ContainerId>,
}

enumeration! {
    /// The states of a task.
    TaskState {
        Staging = 6 "TASK_STAGING",
        Starting = 0 "TASK_STARTING",
        Running = 1 "TASK_RUNNING",
        Killing = 8 "TASK_KILLING",
        Finished = 2 "TASK_FINISHED",
        Failed = 3 "TASK_FAILED",
        Killed = 4 "TASK_KILLED",
        Error = 7 "TASK_ERROR",
        Lost = 5 "TASK_LOST",
        Dropped = 9 "TASK_DROPPED",
        Unreachable = 10 "TASK_UNREACHABLE",
        Gone = 11 "TASK_GONE",
        GoneByOperator = 12 "TASK_GONE_BY_OPERATOR",
        Unknown = 13 "TASK_UNKNOWN",
    }
}

impl TaskState {
    /// Whether the task has ended for good; one that is unreachable may come back.
    /// Source: src/common/protobuf_utils.cpp, `isTerminalState`.
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            TaskState::Finished
                | TaskState::Failed
                | TaskState::Killed
                | TaskState::Lost
                | TaskState::Error
                | TaskState::Dropped
                | TaskState::Gone
                | TaskState::GoneByOperator
        )
    }
}

enumeration! {
    /// TaskStatus.Source: who says so.
    Source {
        Master = 0 "SOURCE_MASTER",
        Agent = 1 "SOURCE_SLAVE",
        Executor = 2 "SOURCE_EXECUTOR",
    }
}

enumeration! {
    /// TaskStatus.Reason. The names are those of the older API, which is what operators see.
    Reason {
        CommandExecutorFailed = 0 "REASON_COMMAND_EXECUTOR_FAILED",
        ExecutorTerminated = 1 "REASON_EXECUTOR_TERMINATED",
        ExecutorUnregistered = 2 "REASON_EXECUTOR_UNREGISTERED",
        FrameworkRemoved = 3 "REASON_FRAMEWORK_REMOVED",
        GcError = 4 "REASON_GC_ERROR",
        InvalidFrameworkId = 5 "REASON_INVALID_FRAMEWORKID",
        InvalidOffers = 6 "REASON_INVALID_OFFERS",
        MasterDisconnected = 7 "REASON_MASTER_DISCONNECTED",
        ContainerLimitationMemory = 8 "REASON_CONTAINER_LIMITATION_MEMORY",
        Reconciliation = 9 "REASON_RECONCILIATION",
        AgentDisconnected = 10 "REASON_SLAVE_DISCONNECTED",
        AgentRemoved = 11 "REASON_SLAVE_REMOVED",
        AgentRestarted = 12 "REASON_SLAVE_RESTARTED",
        AgentUnknown = 13 "REASON_SLAVE_UNKNOWN",
        TaskInvalid = 14 "REASON_TASK_INVALID",
        TaskUnauthorized = 15 "REASON_TASK_UNAUTHORIZED",
        TaskUnknown = 16 "REASON_TASK_UNKNOWN",
        ContainerPreempted = 17 "REASON_CONTAINER_PREEMPTED",
        ResourcesUnknown = 18 "REASON_RESOURCES_UNKNOWN",
        ContainerLimitation = 19 "REASON_CONTAINER_LIMITATION",
        ContainerLimitationDisk = 20 "REASON_CONTAINER_LIMITATION_DISK",
        ContainerLaunchFailed = 21 "REASON_CONTAINER_LAUNCH_FAILED",
        ContainerUpdateFailed = 22 "REASON_CONTAINER_UPDATE_FAILED",
        ExecutorRegistrationTimeout = 23 "REASON_EXECUTOR_REGISTRATION_TIMEOUT",
        ExecutorReregistrationTimeout = 24 "REASON_EXECUTOR_REREGISTRATION_TIMEOUT",
        TaskKilledDuringLaunch = 30 "REASON_TASK_KILLED_DURING_LAUNCH",
        AgentRemovedByOperator = 31 "REASON_SLAVE_REMOVED_BY_OPERATOR",
        AgentReregistered = 32 "REASON_SLAVE_REREGISTERED",
        AgentDraining = 34 "REASON_SLAVE_DRAINING",
    }
}

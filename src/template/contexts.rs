//! What each template is given: a type for each, whose words are those of docs/templates.md.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;

/// What a template of ours is filled with.
pub trait Context: Serialize + JsonSchema {
    /// The template, by its name.
    const TEMPLATE: &'static str;
}

/// Says which template each type is for, and makes the list of them.
macro_rules! contexts {
    ($($context:ident => $template:literal,)*) => {
        $(impl Context for $context {
            const TEMPLATE: &'static str = $template;
        })*

        /// Every template's name with the schema of what it is given, in the order of [`super::BUILT_IN`].
        pub fn all() -> Vec<(&'static str, Schema)> {
            // Types within a type stand where they are used.
            let settings = || SchemaSettings::draft07().with(|s| s.inline_subschemas = true);
            vec![$((
                $template,
                settings().for_serialize().into_generator().into_root_schema_for::<$context>(),
            ),)*]
        }
    };
}

contexts! {
    ZooCfg => "zookeeper/zoo.cfg",
    ZooKeeperLog => "zookeeper/log4j.properties",
    ZooKeeperUnit => "zookeeper/zookeeper.service",
    Mesos => "mesos/mesos",
    MesosMaster => "mesos/mesos-master",
    MesosAgent => "mesos/mesos-slave",
    MesosAgentUnit => "mesos/mesos-slave.service.d",
    ProxyUnit => "docker/proxy.conf",
    ProxyEnvironment => "docker/proxy.env",
    Dockerfile => "spark/Dockerfile",
    SparkSubmit => "spark/spark-submit",
    SparkDefaults => "spark/spark-defaults.conf",
    SparkEnv => "spark/spark-env.sh",
    Dispatcher => "spark/spark-dispatcher.service",
    SparkHistory => "spark/spark-history.service",
    SparkShuffle => "spark/spark-shuffle.service",
    PiInImage => "smoke/pi-in-image.sh",
    PiThroughMesos => "smoke/pi-through-mesos.sh",
    PiInClusterMode => "smoke/pi-in-cluster-mode.sh",
}

/// /etc/zookeeper/conf/zoo.cfg.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ZooCfg {
    /// Ours, with those of `zookeeper.config` in their place.
    pub settings: Vec<Line>,
    /// The members of the ensemble; none where it is one server alone.
    pub servers: Vec<Server>,
}

/// /etc/zookeeper/conf/log4j.properties.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ZooKeeperLog {}

/// /etc/systemd/system/zookeeper.service.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ZooKeeperUnit {
    /// `zookeeper.config.java_options`, divided into words.
    pub java_options: Vec<String>,
}

/// /etc/default/mesos, on masters and agents.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Mesos {
    /// LIBPROCESS_SSL_*, where `mesos.tls` is given.
    pub tls: Vec<Variable>,
}

/// /etc/default/mesos-master.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MesosMaster {
    /// `mesos.masters.port`.
    pub port: u16,
    /// Where logs go; none where a flag says it.
    pub log_dir: Option<&'static str>,
    /// `mesos.masters.env`.
    pub env: Vec<Variable>,
}

/// /etc/default/mesos-slave, or as the package calls its agent.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MesosAgent {
    /// Where the flags stand, one file each.
    pub directory: &'static str,
    /// Where logs go; none where a flag says it.
    pub log_dir: Option<&'static str>,
    /// `env` of the pool.
    pub env: Vec<Variable>,
}

/// What the agent's unit has beside the package's own, in a drop-in.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MesosAgentUnit {}

/// /etc/systemd/system/docker.service.d/provision-proxy.conf, where `proxy` is given.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProxyUnit {
    /// The file that the next template makes.
    pub file: &'static str,
}

/// The engine's proxies, in a file that root alone can read.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProxyEnvironment {
    /// HTTP_PROXY, HTTPS_PROXY and NO_PROXY, as far as they are given. A secret stands as a mark that is replaced on its way to the host.
    pub environment: Vec<Variable>,
}

/// What the image of Spark is built from, on every agent.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Dockerfile {
    /// `spark.image.base`.
    pub base: String,
    /// Debian packages: `spark.java` and `spark.image.packages`.
    pub packages: Vec<String>,
    /// Where Spark is found, a link.
    pub home: &'static str,
    /// Where Spark is, as on clients.
    pub directory: String,
    /// `spark.user`.
    pub user: String,
    /// Whether a Mesos package lies beside it, for libmesos.
    pub mesos_deb: bool,
}

/// bin/spark-submit in the image, around Spark's own.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SparkSubmit {
    /// `spark.user`.
    pub user: String,
}

/// conf/spark-defaults.conf of clients and the dispatcher; and /etc/spark-shuffle/spark-defaults.conf, with those that
/// the shuffle service reads.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SparkDefaults {
    /// Ours, with those of `spark.defaults` in their place.
    pub settings: Vec<Line>,
}

/// conf/spark-env.sh of clients and the dispatcher; and /etc/spark-shuffle/spark-env.sh, with what the shuffle service
/// reads and its memory.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SparkEnv {
    /// The host's address.
    pub address: String,
    /// The number of Debian's OpenJDK, where `spark.java` is one.
    pub java: Option<u32>,
    /// LIBPROCESS_SSL_*, where `mesos.tls` is given.
    pub tls: Vec<Variable>,
    /// `spark.env`.
    pub environment: Vec<Variable>,
}

/// /etc/systemd/system/spark-dispatcher.service.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Dispatcher {
    /// Where Spark is found, a link.
    pub home: &'static str,
    /// `spark.user`.
    pub user: String,
    /// The host's address.
    pub address: String,
    /// `spark.dispatcher.port`.
    pub port: u16,
    /// URL of the masters, through ZooKeeper.
    pub master: String,
    /// The ensemble, as ZooKeeper's clients name it.
    pub zookeeper: String,
}

/// /etc/systemd/system/spark-history.service.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SparkHistory {
    /// Where Spark is found, a link.
    pub home: &'static str,
    /// `spark.user`.
    pub user: String,
}

/// /etc/systemd/system/spark-shuffle.service.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SparkShuffle {
    /// Where this version of Spark is.
    pub home: String,
    /// `spark.user`.
    pub user: String,
    /// The directory of its spark-defaults.conf and spark-env.sh.
    pub configuration: &'static str,
    /// `spark.shuffle_service.directory`: a path that needs no quoting anywhere.
    pub directory: String,
}

/// The proof that the image runs, on an agent.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PiInImage {
    /// Where Spark is found, a link.
    pub home: &'static str,
    /// Name of the image.
    pub image: String,
    /// `smoke.timeout`.
    pub timeout_secs: u64,
    /// `smoke.slices`.
    pub slices: u32,
}

/// The proof that a job runs through Mesos, on a client.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PiThroughMesos {
    /// Where Spark is found, a link.
    pub home: String,
    /// `spark.user`.
    pub user: String,
    /// The property that pins the job to an agent, where it is.
    pub constraints: Option<String>,
    /// How many agents may run it.
    pub agents: usize,
    /// `smoke.slices`.
    pub slices: u32,
    /// `smoke.timeout`.
    pub timeout_secs: u64,
    /// The exit code of a proof that cannot run here.
    pub not_run: i32,
}

/// The proof that a job runs through the dispatcher, on a client.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PiInClusterMode {
    /// Where Spark is found, a link.
    pub home: &'static str,
    /// `spark.user`.
    pub user: String,
    /// URL of the dispatcher.
    pub rest: String,
    /// The same as Spark's --master.
    pub master: String,
    /// `smoke.slices`.
    pub slices: u32,
    /// `smoke.timeout`.
    pub timeout_secs: u64,
    /// The exit code of a proof that cannot run here.
    pub not_run: i32,
}

/// A line of a key and a value.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Line {
    /// Its key.
    pub key: String,
    /// Its value, as the inventory says it.
    pub value: String,
}

/// A variable of an environment.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value, as the inventory says it.
    pub value: String,
}

/// A server of the ensemble.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Server {
    /// Its number, the myid.
    pub id: u8,
    /// Its address, in brackets where it is one of IPv6.
    pub address: String,
}

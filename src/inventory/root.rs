//! The keys at the top of an inventory. Each section is declared in a file of its own, beside what it
//! means.

use super::base::{self, Base};
use super::decode::Cx;
use super::files::Seed;
use super::hosts::{HostLine, Retirements};
use super::settings::{Shape, Type, section};
use super::smoke::Smoke;
use super::ssh::Connection;
use super::types::{Free, Map, Plain, Text, scalar};
use super::yaml::Node;
use super::{docker, grammar, mesos, schema, spark, workloads, zookeeper};

section! {
    /// An inventory as written: typed where the text alone decides, templates not yet rendered.
    pub(super) struct Root {
        /// Version of this format.
        need version: FormatVersion, such as "1";
        /// Name of the cluster: letters, digits, `.`, `_` and `-`.
        need cluster: ClusterName, such as "analytics";
        /// Variables for templates, seen as `vars.NAME`.
        may vars: Free = "{}", such as "{dc: seoul}";
        /// How hosts are reached; what is not said, your ssh_config decides.
        may ssh: Connection = "{}", such as "{user: ops, become: true}";
        /// Proxies for apt, downloads and Docker.
        may proxy: base::Settings = "{}";
        /// Where hosts get files of this machine from: all from here, or one from here and the others from that one.
        may seed: Plain<SeedName> as Seed = "here", such as "host";
        /// Every machine. A range such as `a[01:20]` stands for many; its address needs one as long.
        need hosts: Map<HostLine>,
            such as "{m1: {address: 10.0.0.11}, 'a[01:20]': {address: '10.0.1.[1:20]'}}";
        /// What is asked of every host.
        may base: Base = "{}";
        /// The ensemble that masters elect their leader in.
        need zookeeper: zookeeper::Settings, such as "{servers: {m1: 1, m2: 2, m3: 3}}";
        /// Mesos itself.
        need mesos: mesos::Settings;
        /// The Docker engine of the agents.
        may docker: docker::Settings = "{}";
        /// Spark; leave it out for a bare Mesos cluster.
        may spark: spark::Settings;
        /// Applications on paper, for `provision simulate`.
        may workloads: Map<workloads::Settings> = "{}",
            such as "{etl: {role: etl, executors: {cores: 2, memory: 4GB}}}";
        /// How the cluster is proven.
        may smoke: Smoke = "{}";
        /// Hosts of `hosts` that are in no task any more: a list, or host: stop or gone.
        may retired: Retirements = "[]", such as "[a07]", "{a07: gone}";
        /// Lints that may stand, each with the reason: name: reason.
        may allow: Map<Text> = "{}", such as "{cores-max-unset: one job at a time}";
    }
}

scalar! {
    /// There is one version of the format.
    FormatVersion -> (), "1, the only version of the format", |t| (t == "1").then_some(()),
        serde_json::json!({ "enum": [1, "1"] });
    /// Whence files come.
    SeedName -> Seed, "here or host",
        |t| match t {
            "here" => Some(Seed::Here),
            "host" => Some(Seed::Host),
            _ => None,
        },
        serde_json::json!({ "enum": ["here", "host"] });
    /// What may name Mesos' cluster, containers and directories.
    ClusterName -> String, "a name of letters, digits, `.`, `_` and `-`",
        |t| {
            let good = grammar::word(t, "._-") && !t.starts_with('.') && t.len() <= 63;
            good.then(|| t.to_owned())
        },
        schema::word("^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$");
}

/// Reads the whole file; every mistake goes to `cx`.
pub(super) fn decode(cx: &mut Cx, root: &Node) -> Option<Root> {
    Root::read(cx, root, "")
}

/// What an inventory looks like.
pub(crate) fn shape() -> Shape {
    Root::shape()
}

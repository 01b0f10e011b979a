//! Lints that are found elsewhere, and said by these names: by `inventory` while it reads, where alone the
//! text is at hand, and by the preflight, which asks the hosts.

use super::{Found, Lint};
use crate::ground::Severity;

/// What to do about a file system that is too small.
pub(crate) const MAKE_ROOM: &str = "make room there, move Docker's images with `data-root` in `docker.daemon`, or allow `disk-full` with a reason";

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "blank-in-attribute",
        title: "Text that Mesos keeps without its blanks",
        reason: "Mesos removes every blank from a value before it reads it",
        examples: &["mesos.agents.p.attributes.site=north west"],
        found: Found::Reading,
    },
    Lint {
        name: "doubtful-flag",
        title: "A flag that is on its way out",
        reason: "the flag works in this release, and the next one may stop the daemon on it",
        examples: &["mesos.masters.flags.max_slave_ping_timeouts=5"],
        found: Found::Reading,
    },
    Lint {
        name: "even-ensemble",
        title: "One member too many, or too few",
        reason: "a majority of an even number is as large as that of the next odd one",
        examples: &["zookeeper.servers={m1: 1, m2: 2, m3: 3, m4: 4}"],
        found: Found::Reading,
    },
    Lint {
        name: "undeclared-role",
        title: "A role beside those that are declared",
        reason: "a role that nobody declared has weight 1 and no reservation of its own",
        examples: &[
            "mesos.roles={etl: {weight: 2}}\nworkloads={nightly: {role: etll, executors: {memory: 1GB}}}",
        ],
        found: Found::Reading,
    },
    Lint {
        name: "unknown-option",
        title: "A key that zoo.cfg does not have",
        reason: "ZooKeeper passes over a key that it does not know without a word; case counts",
        examples: &["zookeeper.config.syncLimt=5", "zookeeper.config.initlimit=10"],
        found: Found::Reading,
    },
    Lint {
        name: "unused-host",
        title: "A host without a task",
        reason: "a host that no task uses is not configured; what we once started there is stopped, and its data stays",
        examples: &["allow={}"],
        found: Found::Reading,
    },
    Lint {
        name: "readable-secret",
        title: "A secret that everybody may read",
        reason: "whoever logs in here could register agents or run jobs with it",
        examples: &[],
        found: Found::Asking {
            severity: Severity::Warning,
            says: "everybody on this machine can read the file of this secret",
            cure: "chmod 600 the file",
        },
    },
    Lint {
        name: "port-taken",
        title: "A port for two",
        reason: "two services cannot listen on one port",
        examples: &["zookeeper.config.clientPort=5050"],
        found: Found::Reading,
    },
    Lint {
        name: "disk-full",
        title: "A file system that is too small",
        reason: "a disk that fills up halfway leaves packages and images unusable; the room they need is an \
                 estimate",
        examples: &[],
        found: Found::Asking {
            severity: Severity::Error,
            says: "/var needs 3772 MiB free, 512 MiB are",
            cure: MAKE_ROOM,
        },
    },
    Lint {
        name: "own-unit",
        title: "A daemon whose unit does not read its flags",
        reason: "units of packages start Mesos by a wrapper that makes flags of files; one written by hand with \
                 flags of its own goes on with those, whatever the files say",
        examples: &[],
        found: Found::Asking {
            severity: Severity::Error,
            says: "/etc/systemd/system/mesos-slave.service is a unit of your own that does not read /etc/mesos-slave, \
                   where the flags of the inventory stand: a restart would not change what mesos-slave runs with",
            cure: "write what differs into that unit by hand, or let it start mesos-slave by a wrapper that reads \
                   /etc/mesos-slave and allow `own-unit` with a reason",
        },
    },
    Lint {
        name: "unknown-property",
        title: "A Spark property that does nothing",
        reason: "Spark passes over a property that its release does not have, or not on Mesos, without a word",
        examples: &["spark.defaults.spark.mesos.constraint=rack:r1"],
        found: Found::Reading,
    },
    Lint {
        name: "unreadable-property",
        title: "A Spark property that Spark cannot read",
        reason: "the driver stops on a value that is not of the property's type, or goes on without it",
        examples: &["spark.defaults.spark.executor.memory=lots"],
        found: Found::Reading,
    },
];

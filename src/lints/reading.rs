//! Lints that are met while the inventory is read, so that their check is there: `inventory::check` and
//! `inventory::pools`. Here they have their names, reasons and place in the list.

use super::{Lint, nothing};

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "blank-in-attribute",
        title: "Text that Mesos keeps without its blanks",
        reason: "Mesos removes every blank from a value before it reads it",
        needs: &["mesos"],
        find: nothing,
    },
    Lint {
        name: "doubtful-flag",
        title: "A flag that is on its way out",
        reason: "the flag works in this release, and the next one may stop the daemon on it",
        needs: &["mesos"],
        find: nothing,
    },
    Lint {
        name: "even-ensemble",
        title: "One member too many, or too few",
        reason: "a majority of an even number is as large as that of the next odd one",
        needs: &["zookeeper", "mesos"],
        find: nothing,
    },
    Lint {
        name: "undeclared-role",
        title: "A role beside those that are declared",
        reason: "a role that nobody declared has weight 1 and no reservation of its own",
        needs: &["mesos", "workloads"],
        find: nothing,
    },
    Lint {
        name: "unused-host",
        title: "A host without a task",
        reason: "a host that no task uses is neither configured nor looked at",
        needs: &["hosts"],
        find: nothing,
    },
    Lint {
        name: "readable-secret",
        title: "A secret that everybody may read",
        reason: "whoever logs in here could register agents or run jobs with it",
        needs: &["mesos"],
        find: nothing,
    },
    Lint {
        name: "port-taken",
        title: "A port for two",
        reason: "two services cannot listen on one port",
        needs: &["spark"],
        find: nothing,
    },
    Lint {
        name: "unknown-property",
        title: "A Spark property that does nothing",
        reason: "Spark passes over a property that its release does not have, or not on Mesos, without a word",
        needs: &["spark"],
        find: nothing,
    },
    Lint {
        name: "unreadable-property",
        title: "A Spark property that Spark cannot read",
        reason: "the driver stops on a value that is not of the property's type, or goes on without it",
        needs: &["spark"],
        find: nothing,
    },
];

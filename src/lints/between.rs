//! What a change from one inventory to another would do that neither shows by itself.

use super::{Found, Hit, Lint};
use crate::ground::{Problem, Severity};
use crate::inventory::Inventory;

pub(super) const LINTS: &[Lint] = &[
    Lint {
        name: "master-growth",
        title: "From one master to a quorum",
        reason: "a single master's replicated log was written with quorum 1; two new empty logs outvote it, \
                 and the registry with its agents and weights is lost or corrupt",
        examples: &[r#"mesos.masters.hosts=["m[1:3]"]"#],
        found: Found::Comparing { before: "mesos.masters.hosts=[m1]" },
    },
    Lint {
        name: "quorum-jump",
        title: "More than one step of the quorum at once",
        reason: "masters with the old and with the new quorum must always have a majority in common",
        examples: &[r#"mesos.masters.hosts=["m[1:7]"]"#],
        found: Found::Comparing { before: r#"mesos.masters.hosts=["m[1:3]"]"# },
    },
    Lint {
        name: "removes-packages",
        title: "Packages that apt would take away",
        reason: "what stands in the way of an installation is somebody's, and apt -y would remove it unasked; \
                 the plan names it, and it goes only where this is allowed",
        examples: &[],
        found: Found::Asking {
            severity: Severity::Error,
            says: "to install docker.io apt would take away docker-ce 5:24, runc 1.2 (for 1.1)",
            cure: "if they may go, say so: -e 'allow.removes-packages=REASON'; nothing is removed without it",
        },
    },
    Lint {
        name: "renumbered-server",
        title: "A ZooKeeper server with another myid",
        reason: "its peers know it by its number; the old one would be voted for and never answer",
        examples: &["zookeeper.servers={m1: 4, m2: 2, m3: 3}"],
        found: Found::Comparing { before: "zookeeper.servers={m1: 1, m2: 2, m3: 3}" },
    },
    Lint {
        name: "weights-stay",
        title: "Roles taken out, with their weights left at the masters",
        reason: "the masters' registry keeps a weight for ever; where the inventory says nothing of roles it is \
                 left alone",
        examples: &[""],
        found: Found::Comparing { before: "mesos.roles={etl: {weight: 2}}" },
    },
];

/// How a lone master's log is given up, so that a quorum can begin one.
pub(crate) const WIPE_LOG: &str = "allow it, in a quiet hour: what the master remembers is saved, a new log begins, and it is restored";

/// What is dangerous about going from `old` to `new`; places are those of `new`.
pub fn changes(old: &Inventory, new: &Inventory) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut say = |name: &str, hit: Hit| {
        let lint = LINTS.iter().find(|lint| lint.name == name);
        let allowed = new.allow.contains_key(name);
        found.extend(lint.filter(|_| !allowed).map(|lint| hit.problem(lint, new)));
    };
    let (before, after) = (old.mesos.masters.len(), new.mesos.masters.len());
    if before == 1 && after > 1 {
        let message = format!("1 master becomes {after}");
        say("master-growth", Hit::warning("mesos.masters.hosts", message, WIPE_LOG));
    } else if old.quorum().abs_diff(new.quorum()) > 1 {
        let message = format!("{before} masters become {after} in one step");
        let help = "go by two masters at a time";
        say("quorum-jump", Hit::warning("mesos.masters.hosts", message, help));
    }
    if let (Some(before), Some(after)) = (old.ensemble(), new.ensemble()) {
        for (host, myid) in after {
            if let Some(was) = before.get(host).filter(|was| *was != myid) {
                let message = format!("the myid of `{host}` changes from {was} to {myid}");
                let help = "leave it as it was; a myid is for life";
                say(
                    "renumbered-server",
                    Hit::error(format!("zookeeper.servers.{host}"), message, help),
                );
            }
        }
    }
    let says = |inventory: &Inventory| inventory.places.0.contains_key("mesos.roles");
    if says(old) && !says(new) && old.mesos.roles.values().any(|role| role.weight != 1.0) {
        let message = "`mesos.roles` is gone, and the weights that it gave stay at the masters";
        let help = "write `roles: {}` and apply";
        say("weights-stay", Hit::warning("mesos", message, help));
    }
    found
}

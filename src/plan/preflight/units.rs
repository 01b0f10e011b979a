//! Units and builds of the user's own in the place of a package's: what we write for a daemon such a unit may not
//! read, and such a build may be another one than is meant.

use super::error;
use crate::ground::{HostName, Problem};
use crate::inventory::{Inventory, MesosPackage};
use crate::mesos::versions::is_upstream;
use crate::plan::Plan;
use crate::resource::service::Service;
use crate::script::{Probe, quote};
use crate::tasks::Task;

/// Name of the finding, and of what allows it.
pub(super) const OWN_UNIT: &str = "own-unit";

/// Name of the finding that a build has no unit.
const NO_UNIT: &str = "no-unit";

/// What the units of packages start, which makes flags of files.
/// Source: `mesos-init-wrapper` of the packages of Mesos.
const WRAPPER: &str = "init-wrapper";

/// Daemons of a host that would be started anew, each with the directory of its flags.
fn started(
    inventory: &Inventory,
    plan: &Plan,
    host: &HostName,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    let of = |task: Task, directory| Some((task.unit(inventory)?, directory));
    let daemons = [
        of(Task::Masters, "/etc/mesos-master"),
        of(Task::Agents, inventory.mesos.agent_unit.directory()),
    ];
    let anew = |unit: &str| {
        plan.actions().any(|(at, action)| {
            let service = action.resource.get::<Service>().filter(|it| it.unit == unit);
            at == host && service.is_some() && action.resource.disturbs(&action.gaps)
        })
    };
    let anew: Vec<_> = daemons.into_iter().flatten().filter(|(unit, _)| anew(unit)).collect();
    anew.into_iter()
}

/// Asks what starts these daemons, and a build of the user's own for its version.
pub(super) fn probe(inventory: &Inventory, plan: &Plan, host: &HostName) -> Probe {
    let mut probe = own_units(inventory, plan, host);
    if let Some(daemon) = built(inventory, host) {
        probe.section("built", format!("{} --version 2>/dev/null | head -n 1", quote(&daemon)));
    }
    probe
}

/// A daemon of a build of the user's own that a host is to run.
fn built(inventory: &Inventory, host: &HostName) -> Option<String> {
    let MesosPackage::Built(prefix) = &inventory.mesos.package else { return None };
    let name = match inventory.mesos.masters.contains(host) {
        true => "mesos-master",
        false => inventory.agent(host).map(|_| inventory.mesos.agent_unit.name())?,
    };
    Some(format!("{prefix}/sbin/{name}"))
}

/// A build that is not there, or another one than is meant.
pub(super) fn version(inventory: &Inventory, host: &HostName, answer: &str) -> Option<Problem> {
    let daemon = built(inventory, host)?;
    let wanted = &inventory.mesos.version;
    let is = answer.strip_prefix("mesos ").map(str::trim);
    let message = match is {
        Some(is) if is_upstream(is, wanted.as_str()) => return None,
        Some(is) => format!("{daemon} is Mesos {is}, and `mesos.version` is {wanted}"),
        None => format!("{daemon} does not say its version; is Mesos built there?"),
    };
    Some(error("other-build", message).help(
        "correct `mesos.version` or `mesos.package.built`, or bring the build that is meant to this host",
    ))
}

fn own_units(inventory: &Inventory, plan: &Plan, host: &HostName) -> Probe {
    let ask = |(unit, _): (&str, _)| {
        let service = quote(&format!("{unit}.service"));
        format!("systemctl show -p Id -p FragmentPath -p ExecStart {service} 2>/dev/null; echo")
    };
    let asks: Vec<String> = started(inventory, plan, host).map(ask).collect();
    match asks.is_empty() {
        true => Probe::default(),
        false => Probe::new("own-units", asks.join("\n")),
    }
}

/// Daemons whose unit starts them with words of its own: a restart would change nothing, and the gate wait in vain; and
/// those of a build that no unit starts at all.
pub(super) fn check(
    inventory: &Inventory,
    plan: &Plan,
    host: &HostName,
    answer: &str,
) -> Vec<Problem> {
    if inventory.allow.contains_key(OWN_UNIT) {
        return Vec::new();
    }
    let built = matches!(inventory.mesos.package, MesosPackage::Built(_));
    let problem = |(unit, directory): (&str, &str)| {
        let id = format!("Id={unit}.service");
        let lines = answer.split("\n\n").find(|block| block.lines().any(|line| line == id))?;
        let field =
            |name: &str| lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let path = field("FragmentPath").unwrap_or_default();
        if built && path.is_empty() {
            let message = format!("no unit {unit}.service is here, and a build brings none");
            return Some(error(NO_UNIT, message).help(format!(
                "write one that starts {unit} by a wrapper that reads {directory}, as the packages' units do"
            )));
        }
        let reads = field("ExecStart").is_none_or(|start| start.contains(WRAPPER));
        if reads || !path.starts_with("/etc/systemd/system/") {
            return None;
        }
        let message = format!(
            "{path} is a unit of your own that does not read {directory}, where the flags of the inventory stand: a restart would not change what {unit} runs with"
        );
        Some(error(OWN_UNIT, message).help(format!(
            "write what differs into that unit by hand, or let it start {unit} by a wrapper that reads {directory} and allow `{OWN_UNIT}` with a reason"
        )))
    };
    started(inventory, plan, host).filter_map(problem).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::lints::load::{Lab, load_text};
    use crate::plan::{Action, Stage, Wave};
    use crate::resource::Gap;

    fn inventory(more: &str) -> Inventory {
        let text = format!(
            "version: 1\ncluster: c\nhosts: {{ m1: {{ address: 10.0.0.1 }} }}\n\
             zookeeper: {{ servers: {{ m1: 1 }} }}\nmesos:\n  version: 1.11.0\n  package: {{ preinstalled: true }}\n\
             \x20 masters: {{ hosts: [m1] }}\n  agents: {{ p: {{ hosts: [m1] }} }}\n{more}"
        );
        load_text("i", text.as_bytes(), Path::new("/"), &[], Lab::No).expect("good").inventory
    }

    /// A plan with one service of m1's in it, of which this fact differs.
    fn plan(inventory: &Arc<Inventory>, unit: &str, fact: &'static str, seen: &str) -> Plan {
        let service = Service::running(unit, "digest".to_owned(), Vec::new());
        let gap = Gap { fact, seen: Some(seen.to_owned()), want: "digest".to_owned() };
        let action = Action::new(Task::Agents, Arc::new(service.into()), vec![gap]);
        let waves = vec![Wave { hosts: [(HostName::new("m1"), vec![action])].into() }];
        let stage =
            Stage::new(inventory, Some(Task::Agents), "agents".to_owned(), waves, [].into());
        Plan { stages: vec![stage], ..Plan::default() }
    }

    #[test]
    fn a_unit_that_reads_no_file_of_ours_is_not_restarted_for_one() {
        let m1 = HostName::new("m1");
        let answer = |path: &str, start: &str| {
            format!("Id=mesos-slave.service\nExecStart={start}\nFragmentPath={path}")
        };
        let own = "/etc/systemd/system/mesos-slave.service";
        let start = "{ path=/usr/local/sbin/mesos-slave ; argv[]=/usr/local/sbin/mesos-slave --ip=10.0.0.1 }";
        let wrapper =
            "{ path=/usr/bin/mesos-init-wrapper ; argv[]=/usr/bin/mesos-init-wrapper slave }";
        let plain = Arc::new(inventory(""));
        let restart = plan(&plain, "mesos-slave", "inputs", "other");
        assert!(probe(&plain, &restart, &m1).script("N").contains("mesos-slave.service"));
        let found = check(&plain, &restart, &m1, &answer(own, start));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].message.contains(own) && found[0].message.contains("/etc/mesos-slave"));
        for (path, start) in [(own, wrapper), ("/lib/systemd/system/mesos-slave.service", start)] {
            assert_eq!(check(&plain, &restart, &m1, &answer(path, start)), []);
        }
        let allowed = Arc::new(inventory("allow: { own-unit: it reads them }\n"));
        assert_eq!(check(&allowed, &restart, &m1, &answer(own, start)), []);
        // What is only taken over is not restarted.
        let over = plan(&plain, "mesos-slave", "process", crate::resource::service::AS_WANTED);
        assert_eq!(check(&plain, &over, &m1, &answer(own, start)), []);
    }

    #[test]
    fn a_build_without_a_unit_is_found_out_before_anything_is_changed() {
        let m1 = HostName::new("m1");
        let mut built = inventory("");
        built.mesos.package = MesosPackage::Built("/usr/local".to_owned());
        let built = Arc::new(built);
        let start = plan(&built, "mesos-slave", "active", "inactive");
        let found = check(&built, &start, &m1, "Id=mesos-slave.service\n\n");
        assert_eq!(found.iter().map(|it| it.name).collect::<Vec<_>>(), [NO_UNIT]);
        // A package is about to bring its own.
        let plain = Arc::new(inventory(""));
        assert_eq!(check(&plain, &start, &m1, "Id=mesos-slave.service\n\n"), []);
    }

    #[test]
    fn a_build_says_which_mesos_it_is() {
        let mut inventory = inventory("");
        let m1 = HostName::new("m1");
        assert_eq!(version(&inventory, &m1, "mesos 1.10.0"), None, "a package is dpkg's to tell");
        inventory.mesos.package = MesosPackage::Built("/usr/local".to_owned());
        let asked = probe(&inventory, &Plan::default(), &m1).script("N");
        assert!(asked.contains("/usr/local/sbin/mesos-master --version"), "{asked}");
        for right in ["mesos 1.11.0", "mesos 1.11.0+standin"] {
            assert_eq!(version(&inventory, &m1, right), None);
        }
        let said = |answer| version(&inventory, &m1, answer).unwrap().message;
        assert!(said("mesos 1.10.0").contains("is Mesos 1.10.0, and `mesos.version` is 1.11.0"));
        assert!(said("").contains("does not say its version"));
    }
}

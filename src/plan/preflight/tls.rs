//! TLS of Mesos: whether those that run would still understand each other on the way to what is wanted, and
//! certificates that are over.

use std::collections::BTreeMap;

use super::error;
use crate::ground::{HostName, Problem, Severity};
use crate::inventory::Inventory;
use crate::mesos::tls::Wire;
use crate::plan::Plan;
use crate::script::{Probe, Sections, quote};
use crate::tasks::Task;

/// A certificate is spoken of so long before it ends, in seconds.
const SOON: i64 = 21 * 86_400;

/// The name of the finding that a step would part those that run.
const STEP: &str = "tls-step";

/// Asks how the daemons of a host speak that would be started anew; the process tells, for its files may be newer.
pub(super) fn probe(inventory: &Inventory, plan: &Plan, host: &HostName) -> Probe {
    let units = [Task::Masters, Task::Agents].into_iter().filter_map(|it| it.unit(inventory));
    let moved = |unit: &&str| {
        plan.actions().any(|(at, action)| {
            at == host && action.id().kind == "service" && action.id().name == **unit
        })
    };
    let ask = |unit: &str| {
        let service = quote(&format!("{unit}.service"));
        format!(
            "p=$(systemctl show -p MainPID --value {service} 2>/dev/null); [ \"${{p:-0}}\" = 0 ] || \
             {{ echo unit={unit}; grep -azE '^LIBPROCESS_SSL_(ENABLED|SUPPORT_DOWNGRADE)=' \"/proc/$p/environ\" 2>/dev/null | tr '\\0' '\\n'; }}"
        )
    };
    let asks: Vec<String> = units.filter(moved).map(ask).collect();
    match asks.is_empty() {
        true => Probe::default(),
        false => Probe::new("tls", asks.join("\n")),
    }
}

/// Units and how their processes speak.
fn spoken(said: &str) -> BTreeMap<&str, Wire> {
    let blocks = said.split("unit=").skip(1);
    let block = |text| {
        let (unit, rest) = str::split_once(text, '\n')?;
        Some((unit, Wire::of(rest.lines())))
    };
    blocks.filter_map(block).collect()
}

/// A step from one way of speaking to the other, under masters and agents that know the first alone.
pub(super) fn step(
    inventory: &Inventory,
    answers: &BTreeMap<HostName, Sections>,
) -> Vec<(Option<HostName>, Problem)> {
    let wanted = inventory.wire();
    let master = Task::Masters.unit(inventory).unwrap_or_default();
    let all: Vec<(&HostName, &str, Wire)> = answers
        .iter()
        .flat_map(|(host, answer)| {
            let said = answer.get("tls").map_or("", String::as_str);
            spoken(said).into_iter().map(move |(unit, wire)| (host, unit, wire))
        })
        .collect();
    // Masters that are not asked are not started anew: they speak as is wanted.
    let moving = all.iter().any(|(_, unit, wire)| *unit == master && *wire != wanted);
    let parted = all.iter().filter(|(_, unit, wire)| {
        // One that nobody understands already loses nothing by its turn.
        !wire.meets(wanted) && (*unit == master || moving)
    });
    let problem = |(host, unit, _): &(&HostName, &str, Wire)| {
        let (how, cure) = match wanted {
            Wire::Plain => (
                "over TLS alone, and the others would from now on speak without",
                "apply with `mesos.tls` and its `plain: true` first, then without `mesos.tls`",
            ),
            _ => (
                "without TLS, and the others would from now on speak nothing else",
                "apply with `plain: true` in `mesos.tls` first, then without it",
            ),
        };
        let message = format!("its {unit} speaks {how}");
        (Some((*host).clone()), error(STEP, message).help(cure))
    };
    parted.map(problem).collect()
}

/// A certificate of a host that is over by the host's own clock, or will be soon.
pub(super) fn expiry(inventory: &Inventory, host: &HostName, clock: &str) -> Option<Problem> {
    let until = inventory.mesos.tls.as_ref()?.hosts.get(host)?.until?;
    let left = until - clock.parse::<i64>().ok()?;
    let cure = "sign another, and apply again: what reads it is started anew in its turn";
    let days = left / 86_400;
    if left <= 0 {
        return Some(error("certificate-expired", "its certificate is over").help(cure));
    }
    let message = format!("its certificate is over in {days} days");
    (left < SOON).then(|| Problem {
        severity: Severity::Warning,
        ..error("certificate-expired", message).help(cure)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::lints::load::{Lab, load_text};

    fn inventory(tls: &str) -> Inventory {
        let text = "version: 1\ncluster: c\nhosts: { m1: { address: 10.0.0.1 }, m2: { address: 10.0.0.2 } }\n\
            zookeeper: { servers: { m1: 1 } }\nmesos: { version: 1.11.0, package: { preinstalled: true }, \
            masters: { hosts: [m1] }, agents: { p: { hosts: [m2] } } }\n";
        let mut inventory =
            load_text("i", text.as_bytes(), Path::new("/"), &[], Lab::No).unwrap().inventory;
        let policy = |wire| crate::mesos::tls::Policy { wire, asks_clients: false };
        let tls = match tls {
            "both" => Some(policy(Wire::Either)),
            "tls" => Some(policy(Wire::Tls)),
            _ => None,
        };
        let host = |until| crate::inventory::Identity {
            certificate: String::new(),
            key: crate::ground::SecretRef::Prompt,
            until,
        };
        let hosts = BTreeMap::from([(HostName::new("m1"), host(Some(2_000_000_000)))]);
        inventory.mesos.tls =
            tls.map(|policy| crate::inventory::Tls { hosts, ca: String::new(), policy });
        inventory
    }

    const PLAIN: &str = "";
    const BOTH: &str = "LIBPROCESS_SSL_ENABLED=true\nLIBPROCESS_SSL_SUPPORT_DOWNGRADE=true\n";
    const TLS: &str = "LIBPROCESS_SSL_ENABLED=true\nLIBPROCESS_SSL_SUPPORT_DOWNGRADE=false\n";

    /// Who is refused.
    fn refused(wanted: &str, master: Option<&str>, agent: Option<&str>) -> String {
        let said = |unit: &str, text: &str| format!("unit={unit}\n{text}");
        let of = |host: &str, text: String| {
            (HostName::new(host), Sections::from([("tls".to_owned(), text)]))
        };
        let master = master.map_or_else(String::new, |text| said("mesos-master", text));
        let agent = agent.map_or_else(String::new, |text| said("mesos-slave", text));
        let answers = BTreeMap::from([of("m1", master), of("m2", agent)]);
        let found = step(&inventory(wanted), &answers);
        found
            .iter()
            .filter_map(|(host, _)| Some(host.as_ref()?.as_str()))
            .collect::<Vec<_>>()
            .join(",")
    }

    #[test]
    fn a_step_that_parts_those_that_run_is_refused() {
        assert_eq!(refused("tls", Some(PLAIN), Some(PLAIN)), "m1,m2");
        assert_eq!(refused("", Some(TLS), Some(TLS)), "m1,m2");
        // An agent that is cut off when its masters go on.
        assert_eq!(refused("tls", Some(BOTH), Some(PLAIN)), "m2");
        assert_eq!(refused("", Some(BOTH), Some(TLS)), "m2");
    }

    #[test]
    fn a_step_over_both_is_none_that_parts() {
        for (wanted, master, agent) in [
            ("both", Some(PLAIN), Some(PLAIN)),
            ("both", Some(TLS), Some(TLS)),
            ("tls", Some(BOTH), Some(BOTH)),
            ("", Some(BOTH), Some(BOTH)),
            // A fresh cluster, and an agent that was not there when the others went over.
            ("tls", None, None),
            ("tls", Some(TLS), Some(PLAIN)),
            ("tls", None, Some(PLAIN)),
        ] {
            assert_eq!(refused(wanted, master, agent), "", "{wanted} {master:?} {agent:?}");
        }
    }

    #[test]
    fn a_certificate_is_told_of_before_it_ends() {
        let (inventory, m1) = (inventory("tls"), HostName::new("m1"));
        let said = |clock: &str| expiry(&inventory, &m1, clock).map(|it| (it.severity, it.message));
        assert_eq!(said("1900000000"), None);
        assert_eq!(
            said("1999000000"),
            Some((Severity::Warning, "its certificate is over in 11 days".to_owned()))
        );
        assert_eq!(said("2000000000").map(|it| it.0), Some(Severity::Error));
        assert_eq!(said(""), None);
    }
}

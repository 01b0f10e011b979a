//! Ports as rules of nftables, to be copied.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::{Binds, OpenPort, Peer};
use crate::inventory::{Inventory, Part};

/// Rules that let members reach what they must and nobody else, in one file for all hosts: a rule names
/// the group by its members' addresses, so that those of other groups never match. What is no port of
/// ours, ssh among it, is left to the host's own firewall: `accept` here ends this chain alone.
pub fn nftables(inventory: &Inventory, open_ports: &[OpenPort]) -> String {
    let mut text = format!(
        "#!/usr/sbin/nft -f\n\
         # What `provision check --ports=nftables` says of the cluster `{}`; nothing here is applied by it.\n\
         # Look through it, put the networks of people's browsers into `operators`, try it on one host\n\
         # (`nft -c -f FILE` reads it, `nft -f FILE` loads it, `nft delete table inet provision` takes it\n\
         # away), then give the same file to all hosts. Containers with a network of their own are not in it.\n\
         table inet provision\n\
         delete table inet provision\n\
         table inet provision {{\n",
        inventory.cluster
    );
    let ours: Vec<&OpenPort> = open_ports.iter().filter(|one| one.on.is_some()).collect();
    for part in Part::ALL {
        for family in [Family::V4, Family::V6] {
            let mut all: Vec<IpAddr> = family.addresses(inventory, part).collect();
            if !all.is_empty() {
                all.sort();
                all.dedup();
                let all = all.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
                let (name, kind) = (family.set(part.group()), family.kind());
                let _ = writeln!(text, "\tset {name} {{\n\t\ttype {kind}");
                let _ = writeln!(text, "\t\telements = {{ {all} }}\n\t}}");
            }
        }
    }
    for (family, example) in [(Family::V4, "192.0.2.0/24"), (Family::V6, "2001:db8::/64")] {
        let (name, kind) = (family.set("operators"), family.kind());
        let _ = writeln!(text, "\tset {name} {{\n\t\ttype {kind}\n\t\tflags interval");
        let _ = writeln!(text, "\t\t# elements = {{ {example} }}\n\t}}");
    }
    text.push_str(
        "\tchain input {\n\
         \t\ttype filter hook input priority filter; policy accept;\n\
         \t\tiifname \"lo\" accept\n\
         \t\tct state established,related accept\n",
    );
    for one in open_ports.iter().filter(|one| one.on.is_none()) {
        let _ = writeln!(
            text,
            "\t\ttcp dport {} accept # {}: guarded by its logins",
            one.ports, one.component
        );
    }
    for one in &ours {
        let _ = writeln!(text, "\t\t# {}: {}", one.on.map_or("", Part::group), one.component);
        for peer in &one.from {
            for family in [Family::V4, Family::V6] {
                if let Some(rule) = accept(inventory, one, *peer, family) {
                    let _ = writeln!(text, "\t\t{rule}");
                }
            }
        }
    }
    text.push_str("\t\t# nobody else\n");
    let mut closed: Vec<String> = Vec::new();
    for one in ours {
        for rule in drops(inventory, one) {
            if !closed.contains(&rule) {
                let _ = writeln!(text, "\t\t{rule}");
                closed.push(rule);
            }
        }
    }
    text.push_str("\t}\n}\n");
    text
}

/// Lets one peer reach one port by one family of addresses, where both have some.
fn accept(inventory: &Inventory, one: &OpenPort, peer: Peer, family: Family) -> Option<String> {
    let there = |part| family.is_in(inventory, part);
    let to = one.on.filter(|part| there(*part))?;
    let from = match peer {
        Peer::Hosts(part) => there(part).then(|| part.group())?,
        Peer::Operators => "operators",
        Peer::Here => return None,
    };
    let (ip, to, from) = (family.header(), family.set(to.group()), family.set(from));
    Some(format!("{ip} daddr @{to} {ip} saddr @{from} tcp dport {} accept", one.ports))
}

/// Closes a port to whoever has not been let in: on its host's address, or on all that it listens on.
fn drops(inventory: &Inventory, one: &OpenPort) -> Vec<String> {
    let Some(part) = one.on.filter(|_| one.binds == Binds::Own) else {
        return vec![format!("tcp dport {} drop", one.ports)];
    };
    let families = [Family::V4, Family::V6].into_iter();
    let families = families.filter(|family| family.is_in(inventory, part));
    let rule = |family: Family| {
        let (ip, set) = (family.header(), family.set(part.group()));
        format!("{ip} daddr @{set} tcp dport {} drop", one.ports)
    };
    families.map(rule).collect()
}

/// A family of addresses, which a set of nftables holds one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn addresses(self, inventory: &Inventory, part: Part) -> impl Iterator<Item = IpAddr> {
        let hosts = inventory.hosts_of(part).filter_map(|name| inventory.hosts.get(name));
        let all = hosts.map(|host| host.address);
        all.filter(move |address| address.is_ipv4() == (self == Family::V4))
    }

    fn is_in(self, inventory: &Inventory, part: Part) -> bool {
        self.addresses(inventory, part).next().is_some()
    }

    fn set(self, group: &str) -> String {
        match self {
            Family::V4 => group.to_owned(),
            Family::V6 => format!("{group}6"),
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Family::V4 => "ipv4_addr",
            Family::V6 => "ipv6_addr",
        }
    }

    fn header(self) -> &'static str {
        match self {
            Family::V4 => "ip",
            Family::V6 => "ip6",
        }
    }
}

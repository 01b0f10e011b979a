//! Who leads a quorum: a server that is to leave gives the lead away first, for servers whose list lacks it
//! would follow it no more; a master does before a quorum is lowered, for the next one writes the registry anew.

use super::{Facts, Gap, Kind, Look, ResourceId};
use crate::mesos::asking;
use crate::mesos::master::Metrics;
use crate::script::{Fix, Probe, Sections, Step, quote};

/// The lead of a member of a quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lead {
    /// Its unit, without `.service`.
    pub unit: &'static str,
    /// Who is asked.
    pub asks: Asks,
}

/// How a member is asked whether it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asks {
    /// A server of the ensemble, at its address and client port: `srvr`.
    Server(String, u16),
    /// A master, under its URL: its metrics.
    Master(String),
}

impl Kind for Lead {
    fn id(&self) -> ResourceId {
        ResourceId { kind: "lead", name: self.unit.to_owned() }
    }

    fn want(&self) -> Facts {
        Facts::from([("leads", "no".to_owned())])
    }

    fn probe(all: &[&Self]) -> Probe {
        let Some(it) = all.first() else { return Probe::default() };
        let script = match &it.asks {
            Asks::Server(address, port) => {
                let ask = "exec 3<>\"/dev/tcp/$0/$1\" || exit; printf srvr >&3; \
                     while IFS= read -r l <&3 || [ -n \"$l\" ]; do printf '%s\\n' \"$l\"; done";
                let (ask, address) = (quote(ask), quote(address));
                format!("timeout 4 bash -c {ask} {address} {port} 2>/dev/null")
            }
            Asks::Master(url) => {
                let path = format!("{url}/metrics/snapshot");
                format!(
                    "{}\ncurl -K \"$k\" -s -g -m 4 --connect-timeout 2 --noproxy '*' {} 2>/dev/null",
                    asking::asking([url.as_str()]),
                    asking::word(&path)
                )
            }
        };
        Probe::new("lead", script)
    }

    /// One that does not answer does not lead.
    fn read(&self, sections: &Sections) -> Look {
        let said = sections.get("lead").map_or("", String::as_str);
        let leads = match &self.asks {
            Asks::Server(..) => said.lines().any(|line| line == "Mode: leader"),
            // One line, whatever else is said.
            Asks::Master(_) => said.lines().any(|line| {
                Metrics::read(line).is_some_and(|it| it.get("master/elected") == Some(1.0))
            }),
        };
        let leads = if leads { "yes" } else { "no" };
        Look::Facts(Facts::from([("leads", leads.to_owned())]))
    }

    fn fix(&self, _: &[Gap]) -> Vec<Step> {
        vec![Step::Run(Fix::new(format!("systemctl restart {}", quote(self.unit))))]
    }

    fn disturbs(&self, _: &[Gap]) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_leader_leads() {
        let of = |asks: &Asks| Lead { unit: "u", asks: asks.clone() };
        let server = &Asks::Server("10.0.0.1".to_owned(), 1);
        let master = &Asks::Master("http://10.0.0.1:1".to_owned());
        let srvr = include_str!("../../tests/fixtures/real/zookeeper/04-settled/m3-srvr.raw");
        let look = |asks: &Asks, text: &str| {
            let Look::Facts(facts) =
                of(asks).read(&Sections::from([("lead".to_owned(), text.to_owned())]))
            else {
                panic!("no facts");
            };
            facts["leads"].clone()
        };
        assert_eq!(look(server, srvr), "yes");
        assert_eq!(look(server, &srvr.replace("leader", "follower")), "no");
        assert_eq!(look(server, ""), "no");
        let (leads, not) = (
            include_str!(
                "../../tests/fixtures/real/masters/05-agents-idle/m1-metrics_snapshot.http"
            ),
            include_str!(
                "../../tests/fixtures/real/masters/05-agents-idle/m2-metrics_snapshot.http"
            ),
        );
        assert_eq!(look(master, leads), "yes");
        assert_eq!(look(master, not), "no");
        assert_eq!(look(master, ""), "no");
    }
}

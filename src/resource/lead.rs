//! Who leads a quorum: a server that is to leave gives the lead away first, for servers whose list lacks it
//! would follow it no more; a master does before a quorum is lowered, for the next one writes the registry anew.

use super::{Facts, Gap, Kind, Look, ResourceId};
use crate::mesos::master::Metrics;
use crate::script::{Fix, Probe, Sections, Step, quote};

/// The lead of a member of a quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lead {
    /// Its unit, without `.service`.
    pub unit: &'static str,
    /// Where it is asked.
    pub address: String,
    /// On which port.
    pub port: u16,
    /// In which words.
    pub asks: Asks,
}

/// How a member is asked whether it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// A server of the ensemble: `srvr`.
    Server,
    /// A master: its metrics.
    Master,
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
        let words = match it.asks {
            Asks::Server => "srvr",
            Asks::Master => r"GET /metrics/snapshot HTTP/1.0\r\n\r\n",
        };
        let ask = format!(
            "exec 3<>\"/dev/tcp/$0/$1\" || exit; printf '{words}' >&3; \
             while IFS= read -r l <&3 || [ -n \"$l\" ]; do printf '%s\\n' \"$l\"; done"
        );
        let (ask, address, port) = (quote(&ask), quote(&it.address), it.port);
        Probe::new("lead", format!("timeout 4 bash -c {ask} {address} {port} 2>/dev/null"))
    }

    /// One that does not answer does not lead.
    fn read(&self, sections: &Sections) -> Look {
        let said = sections.get("lead").map_or("", String::as_str);
        let leads = match self.asks {
            Asks::Server => said.lines().any(|line| line == "Mode: leader"),
            // One line after the header.
            Asks::Master => said.lines().any(|line| {
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
        let of = |asks| Lead { unit: "u", address: "10.0.0.1".to_owned(), port: 1, asks };
        let srvr = include_str!("../../tests/fixtures/real/zookeeper/04-settled/m3-srvr.raw");
        let look = |asks, text: &str| {
            let Look::Facts(facts) =
                of(asks).read(&Sections::from([("lead".to_owned(), text.to_owned())]))
            else {
                panic!("no facts");
            };
            facts["leads"].clone()
        };
        assert_eq!(look(Asks::Server, srvr), "yes");
        assert_eq!(look(Asks::Server, &srvr.replace("leader", "follower")), "no");
        assert_eq!(look(Asks::Server, ""), "no");
        let (leads, not) = (
            include_str!(
                "../../tests/fixtures/real/masters/05-agents-idle/m1-metrics_snapshot.http"
            ),
            include_str!(
                "../../tests/fixtures/real/masters/05-agents-idle/m2-metrics_snapshot.http"
            ),
        );
        assert_eq!(look(Asks::Master, leads), "yes");
        assert_eq!(look(Asks::Master, not), "no");
        assert_eq!(look(Asks::Master, ""), "no");
    }
}

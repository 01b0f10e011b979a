//! What hosts of the tests' world answer to a probe, in the very shape in which real ones do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

use provision::ground::HostName;
use provision::mesos::values::Value;
use provision::script::{Probe, Sections};
use serde_json::{Value as Json, json};

use super::super::ensemble::Says;
use super::super::{machine, quorums, recording};
use super::{ID, Reach, World, foreign};

impl World {
    /// What a host answers to a probe.
    pub(crate) fn answer(&self, host: &HostName, probe: &Probe) -> Result<Sections, String> {
        Ok(probe.read("NONCE", &self.said(host, probe)?)?)
    }

    /// The same, as it comes over the wire.
    pub(crate) fn said(&self, host: &HostName, probe: &Probe) -> Result<String, String> {
        let machine = &self.machines[host];
        if machine.reach != Reach::Whole {
            return Err("it does not answer on port 22".to_owned());
        }
        let script = probe.script("NONCE");
        let mut said = String::new();
        for part in script.split("printf '\\n%s %s\\n' NONCE ").skip(1) {
            let (name, body) = part.split_once('\n').expect("a name");
            let text = match name {
                "packages" => machine.dpkg(),
                "debian" => "12\n".to_owned(),
                // Nothing here was started by anybody else.
                name if name.starts_with("process.") => "00\n=\n=\n".to_owned(),
                "stat" => machine.stat(),
                "sha256" => machine.sha256(),
                "texts" => machine.texts(),
                "strays" => machine.strays(),
                "users" => {
                    machine.users.iter().map(|u| format!("{u}:x:999:999::/:/bin/sh\n")).collect()
                }
                "units" => machine.show(body),
                "images" => machine.images(),
                "server" => machine.served_as.clone().unwrap_or("ssh-ed25519 AAAA\n".to_owned()),
                "client" => "the key of the run\n".to_owned(),
                "weights" if machine.packages.contains_key("curl") => {
                    self.http(body, |code, page| foreign(&format!("{page}\n{code}")))
                }
                "weights" => String::new(),
                "znodes" => self.znodes(),
                "left-masters" if !machine.stamped("mesos-master") => String::new(),
                "http" | "masters" | "left-masters" => {
                    self.http(body, |code, page| format!("{page}\n{code}\n\nNONCE +\n"))
                }
                "zookeeper" => body
                    .lines()
                    .filter(|line| line.starts_with("timeout"))
                    .map(|_| foreign(&self.four_letters(host)))
                    .collect(),
                // As recorded of Spark 3.5.1's.
                "shuffle" => match machine.serves("spark-shuffle") {
                    true => {
                        "00000000000000220400000000000000010000000d0b0000000000000000\n".to_owned()
                    }
                    false => "\n".to_owned(),
                },
                "ensemble" if body.contains("if [ -e /var") && !machine.stamped("zookeeper") => {
                    String::new()
                }
                "ensemble" => machine.files(),
                "log" if body.contains("if [ -e /var") && !machine.stamped("mesos-master") => {
                    String::new()
                }
                "log" if machine.text(machine::QUORUM).is_empty() => String::new(),
                "log" => {
                    let log = if machine.entries.contains_key(machine::LOG) { "log\n" } else { "" };
                    let runs = machine.says_of("mesos-master");
                    format!("quorum={}\n{log}{runs}", machine.text(machine::QUORUM).trim())
                }
                "left-zookeeper" if !machine.stamped("zookeeper") => String::new(),
                "left-zookeeper" => foreign(&self.four_letters(host)),
                "lead" if body.contains("/metrics/snapshot") => {
                    let address = self.inventory.hosts[host].address.to_string();
                    self.page(&address, "5050", "metrics/snapshot").1
                }
                "lead" => self.four_letters(host),
                "leftovers" => machine.secrets(),
                "clock" => format!("{}\n", self.now),
                "stderr" | "stdout" | "image" | "driver" | "refusal" => {
                    self.said.get(name).cloned().unwrap_or_default()
                }
                "journal" => "it said something\n".to_owned(),
                other => panic!("nobody answers {other}"),
            };
            let _ = write!(said, "\nNONCE {name}\n{text}");
        }
        Ok(said + "\nNONCE .\n")
    }

    /// What ZooKeeper answers about who may write: two znodes alike, in hexadecimal.
    fn znodes(&self) -> String {
        if self.leader("zookeeper").is_none() {
            return String::new();
        }
        let text = |it: &str| [&(it.len() as u32).to_be_bytes(), it.as_bytes()].concat();
        let frame = |body: &[u8]| [&(body.len() as u32).to_be_bytes(), body].concat();
        let mut acl = [&[0; 12][..], &0_u32.to_be_bytes()].concat();
        let names: Vec<&str> =
            self.writers.as_deref().map_or(Vec::new(), |names| names.split(", ").collect());
        let everybody = if names.is_empty() { 31_u32 } else { 1 };
        acl.extend((names.len() as u32 + 1).to_be_bytes());
        acl.extend(everybody.to_be_bytes());
        acl.extend([text("world"), text("anyone")].concat());
        for name in names {
            acl.extend(31_u32.to_be_bytes());
            acl.extend([text("digest"), text(&format!("{name}:x"))].concat());
        }
        let bytes = [frame(&[0; 37]), frame(&acl), frame(&acl), frame(&[0; 16])].concat();
        bytes.iter().map(|byte| format!(" {byte:02x}")).collect()
    }

    fn http(&self, script: &str, says: impl Fn(&str, &str) -> String) -> String {
        let mut text = String::new();
        // Over whatever it is spoken to: all here speak both.
        let script = script.replace("\"$(spoken ", "http://").replace(")\"", "");
        let script = script.replace("https://", "http://");
        let curl = script.lines().filter(|line| line.starts_with("curl "));
        for word in curl.flat_map(str::split_whitespace).filter(|word| word.starts_with("http://"))
        {
            let rest = word.strip_prefix("http://").expect("http");
            let (at, path) = rest.split_once('/').expect("a path");
            let (address, port) = at.rsplit_once(':').expect("a port");
            let (code, body) = self.page(address, port, path);
            text.push_str(&says(code, &body));
        }
        text
    }

    fn page(&self, address: &str, port: &str, path: &str) -> (&'static str, String) {
        let nobody = ("000", String::new());
        let found = self.inventory.hosts.iter().find(|(_, h)| h.address.to_string() == address);
        let Some((name, _)) = found else { return nobody };
        let machine = &self.machines[name];
        if let Some(page) = self.forged.get(name) {
            return ("200", page.clone());
        }
        if machine.reach == Reach::Dead {
            return nobody;
        }
        if port == "18080" && machine.serves("spark-history") {
            return ("200", r#"{"spark":"3.5.1"}"#.to_owned());
        }
        if port == "5050" {
            if !machine.runs("mesos-master") {
                return nobody;
            }
            let leader = self.leader("mesos-master");
            let leads = leader.as_ref() == Some(name);
            let moving = self.quorums.as_ref().zip(quorums::number(name));
            let says = moving.map(|(quorums, number)| quorums.log.says(number, quorums.at));
            let seen = self.quorums.as_ref().map_or(0, |quorums| quorums.log.seen());
            return match path {
                _ if says.is_some_and(|says| says.is_none()) => nobody,
                "metrics/snapshot" if says.is_some() => {
                    let says = says.flatten().expect("a master");
                    let mut metrics = json!({
                        "master/elected": f64::from(u8::from(says.elected)),
                        "registrar/log/recovered": f64::from(u8::from(says.recovered)),
                        "registrar/log/ensemble_size": seen as f64,
                    });
                    if says.fetched {
                        metrics["registrar/registry_size_bytes"] = json!(1.0);
                    }
                    ("200", metrics.to_string())
                }
                "flags" => {
                    let unit = &machine.units["mesos-master"];
                    let mut flags = json!(unit.admits);
                    flags["quorum"] = json!(unit.read.trim());
                    ("200", json!({ "flags": flags }).to_string())
                }
                "metrics/snapshot" => {
                    let recovered = leader.is_some() && machine.serves("mesos-master");
                    ("200", self.metrics(leads, recovered))
                }
                "slaves" if leads => ("200", self.slaves()),
                "frameworks" if leads => ("200", self.frameworks()),
                "weights" if leads => {
                    let all: Vec<Json> = self
                        .weights
                        .iter()
                        .map(|(role, weight)| json!({"role": role, "weight": weight}))
                        .collect();
                    ("200", Json::from(all).to_string())
                }
                _ => ("307", String::new()),
            };
        }
        if machine.serves("spark-dispatcher") {
            return ("200", "{\n  \"serverSparkVersion\" : \"3.5.1\"\n}".to_owned());
        }
        nobody
    }

    fn metrics(&self, leads: bool, recovered: bool) -> String {
        static REAL: OnceLock<Json> = OnceLock::new();
        let real = REAL.get_or_init(|| {
            let body = recording::body("masters/05-agents-idle/m1-metrics_snapshot.http");
            serde_json::from_str(&body).expect("JSON")
        });
        let mut metrics = real.clone();
        let replicas = self.machines.values().filter(|it| it.serves("mesos-master")).count();
        metrics["registrar/log/ensemble_size"] = json!(replicas as f64);
        metrics["master/elected"] = json!(f64::from(u8::from(leads)));
        metrics["registrar/log/recovered"] = json!(f64::from(u8::from(recovered)));
        metrics.to_string()
    }

    pub(crate) fn frameworks(&self) -> String {
        let agents = self.machines.iter().filter_map(|(host, at)| Some((host, at.agent.as_ref()?)));
        agents.fold(self.frameworks.clone(), |text, (host, agent)| {
            text.replace(&format!("\"@{host}\""), &format!("\"{ID}{}-{host}\"", agent.id))
        })
    }

    fn slaves(&self) -> String {
        let mut list = Vec::new();
        for (host, machine) in &self.machines {
            let Some(agent) = machine.agent.as_ref().filter(|_| machine.serves("mesos-slave"))
            else {
                continue;
            };
            let here = &self.inventory.hosts[host];
            let mut by_role: BTreeMap<&str, serde_json::Map<String, Json>> = BTreeMap::new();
            for ((name, role), value) in &agent.resources.0 {
                by_role.entry(role).or_default().insert(name.clone(), number(value));
            }
            let unreserved = by_role.remove("*").unwrap_or_default();
            let attributes: serde_json::Map<String, Json> = agent
                .attributes
                .0
                .iter()
                .map(|(name, value)| (name.clone(), number(value)))
                .collect();
            let mut listed = json!({
                "id": format!("{ID}{}-{host}", agent.id),
                "hostname": here.hostname,
                "port": 5051,
                "attributes": attributes,
                "pid": format!("slave(1)@{}:5051", here.address),
                "reserved_resources": by_role,
                "unreserved_resources": unreserved,
                "active": !agent.drained && !agent.deactivated,
                "deactivated": agent.drained || agent.deactivated,
                "version": "1.11.0",
            });
            if agent.drained {
                let on = agent.until.is_some_and(|until| tokio::time::Instant::now() < until);
                listed["drain_info"] = json!({"state": if on { "DRAINING" } else { "DRAINED" }});
            }
            list.push(listed);
        }
        json!({"slaves": list, "recovered_slaves": []}).to_string()
    }

    fn four_letters(&self, host: &HostName) -> String {
        let machine = &self.machines[host];
        if let Some(said) = self.forged.get(host) {
            return said.clone();
        }
        if !machine.runs("zookeeper") {
            return String::new();
        }
        let conf = format!("membership: \n{}version=0", machine.units["zookeeper"].read);
        let moving = self.quorums.as_ref().zip(quorums::number(host));
        if let Some((quorums, number)) = moving {
            let mode = |mode: &str| format!("Zookeeper version: 3.8.0\nMode: {mode}\n");
            return match quorums.ensemble.says(number, quorums.at) {
                Says::Nothing => String::new(),
                Says::NotServing => {
                    "This ZooKeeper instance is not currently serving requests\n".to_owned()
                }
                Says::Follower => mode("follower") + &conf,
                Says::Standalone => mode("standalone") + &conf,
                Says::Leader(synced) => {
                    mode("leader") + &format!("zk_synced_followers\t{synced}\n") + &conf
                }
            };
        }
        let (list, alive) = (self.list(), self.alive("zookeeper").len());
        match self.leader("zookeeper") {
            Some(leader) if machine.serves("zookeeper") => {
                if list.len() == 1 {
                    return recording::body("zookeeper/04-settled/m1-srvr.raw")
                        .replace("follower", "standalone");
                }
                if leader != *host {
                    return recording::body("zookeeper/04-settled/m1-srvr.raw") + &conf;
                }
                let mntr = recording::body("zookeeper/04-settled/m3-mntr.raw").replace(
                    "zk_synced_followers\t2",
                    &format!("zk_synced_followers\t{}", alive - 1),
                );
                recording::body("zookeeper/04-settled/m3-srvr.raw") + &mntr + &conf
            }
            _ => "This ZooKeeper instance is not currently serving requests\n".to_owned(),
        }
    }
}

fn number(value: &Value) -> Json {
    match value {
        Value::Scalar(thousandths) => {
            json!(value.to_string().parse::<f64>().unwrap_or(*thousandths as f64 / 1000.0))
        }
        other => json!(other.to_string()),
    }
}

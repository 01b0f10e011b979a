//! One health check per task. It serves four masters: order (the leader goes last), safety (no healthy
//! member is touched while a peer is sick), gates (may the next wave start) and `status`.
//!
//! A check is data: questions that a host asks of its own components over the network, and a judgement
//! of all answers together. The component is asked, never the init system: `systemctl start` returned 0
//! in all 16 broken set-ups that were tried (facts: mesos §15).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value as Json;

use crate::inventory::{HostName, Inventory, ZooKeeper};
use crate::mesos::live::AgentInfo;
use crate::mesos::values::{Attributes, Resources};
use crate::script::{Probe, Sections, quote, quote_all};

/// What one task's members are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Members of the ensemble.
    ZooKeeper,
    /// Mesos masters.
    Masters,
    /// Mesos agents, as the leading master sees them.
    Agents,
    /// The MesosClusterDispatcher.
    Dispatcher,
}

/// One question that a host asks for us.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// HTTP GET.
    Http(String),
    /// ZooKeeper's `srvr`, and `mntr` of a leader: host and client port.
    FourLetter(String, u16),
}

/// What was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status; 0 when nobody answered. For ZooKeeper 200 when it said anything.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Answers by question; a question without an answer was not put (no `curl` there yet).
pub type Replies = BTreeMap<Question, Reply>;

/// How one member serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Member {
    /// It serves.
    Serving,
    /// It answers wrongly or not at all, and why.
    Sick(String),
    /// Its host could not be asked.
    Silent,
}

/// How the members of one task serve.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Every member.
    pub members: BTreeMap<HostName, Member>,
    /// Who leads, for a quorum.
    pub leader: Option<HostName>,
}

impl Health {
    /// Members that serve.
    pub fn serving(&self) -> BTreeSet<&HostName> {
        self.members.iter().filter(|(_, m)| **m == Member::Serving).map(|(host, _)| host).collect()
    }

    /// Whether it is certain that no majority serves under a leader. A member whose host cannot be
    /// asked may well serve, and may be the leader.
    pub fn is_lost(&self) -> bool {
        let silent = self.members.values().filter(|m| **m == Member::Silent).count();
        let led = self.leader.is_some() || silent > 0;
        !led || self.serving().len() + silent <= self.members.len() / 2
    }

    /// Whether it is certain that nobody leads.
    pub fn is_leaderless(&self) -> bool {
        self.leader.is_none() && self.members.values().all(|member| *member != Member::Silent)
    }

    /// Why a member does not serve; `None` when it does.
    pub fn complaint(&self, host: &HostName) -> Option<String> {
        match self.members.get(host) {
            Some(Member::Serving) | None => None,
            Some(Member::Sick(why)) => Some(why.clone()),
            Some(Member::Silent) => Some("its host could not be asked".to_owned()),
        }
    }
}

impl Check {
    /// Who is a member.
    pub fn members(self, inventory: &Inventory) -> Vec<HostName> {
        match self {
            Check::ZooKeeper => match &inventory.zookeeper {
                ZooKeeper::Managed { servers, .. } => servers.keys().cloned().collect(),
                ZooKeeper::External { .. } => Vec::new(),
            },
            Check::Masters => inventory.mesos.masters.iter().cloned().collect(),
            Check::Agents => inventory.agents().map(|(_, host, _)| host.clone()).collect(),
            Check::Dispatcher => dispatcher_hosts(inventory),
        }
    }

    /// What the smoke test calls it.
    pub fn name(self) -> &'static str {
        match self {
            Check::ZooKeeper => "zookeeper",
            Check::Masters => "masters",
            Check::Agents => "agents",
            Check::Dispatcher => "dispatcher",
        }
    }

    /// Whether its members elect a leader among themselves.
    pub fn elects(self) -> bool {
        matches!(self, Check::ZooKeeper | Check::Masters)
    }

    /// Hosts that must answer for the judgement: the members, and the masters for agents.
    pub fn witnesses(self, inventory: &Inventory) -> Vec<HostName> {
        match self {
            Check::Agents => Check::Masters.members(inventory),
            other => other.members(inventory),
        }
    }

    /// Who alone could judge its members and cannot be asked: a quorum of masters serves, no leader is
    /// among those that answer, so it is one that does not.
    pub fn silent_judge(
        self,
        inventory: &Inventory,
        answers: &BTreeMap<HostName, Replies>,
    ) -> Option<HostName> {
        if self != Check::Agents {
            return None;
        }
        let masters = Check::Masters.judge(inventory, answers);
        if masters.leader.is_some() || masters.is_lost() {
            return None;
        }
        let mut silent = masters.members.iter().filter(|(_, member)| **member == Member::Silent);
        silent.next().map(|(host, _)| host.clone())
    }

    /// What this host asks.
    pub fn questions(self, inventory: &Inventory, host: &HostName) -> Vec<Question> {
        let Some(machine) = inventory.hosts.get(host) else { return Vec::new() };
        let address = match machine.address {
            std::net::IpAddr::V4(v4) => v4.to_string(),
            std::net::IpAddr::V6(v6) => format!("[{v6}]"),
        };
        let http = |port: u16, path: &str| Question::Http(format!("http://{address}:{port}{path}"));
        match self {
            Check::ZooKeeper => {
                vec![Question::FourLetter(machine.address.to_string(), client_port(inventory))]
            }
            Check::Masters => vec![http(MASTER_PORT, "/metrics/snapshot")],
            Check::Agents => {
                // Before 0.22 there was no /slaves; the whole state holds the same list.
                let since = inventory.mesos.version.at_least(&[0, 22]);
                vec![http(MASTER_PORT, if since { "/slaves" } else { "/state.json" })]
            }
            Check::Dispatcher => {
                let port = inventory.spark.as_ref().and_then(|s| s.dispatcher.as_ref());
                port.map(|d| http(d.port, "/v1/submissions/status/none")).into_iter().collect()
            }
        }
    }

    /// Judges all answers. A host that is missing in `answers` could not be asked.
    pub fn judge(self, inventory: &Inventory, answers: &BTreeMap<HostName, Replies>) -> Health {
        match self {
            Check::ZooKeeper => zookeeper(inventory, answers),
            Check::Masters => masters(inventory, answers),
            Check::Agents => agents(inventory, answers),
            Check::Dispatcher => dispatcher(inventory, answers),
        }
    }
}

/// The masters' port; `/etc/default/mesos-master` holds it.
pub const MASTER_PORT: u16 = 5050;
/// The agents' port.
pub const AGENT_PORT: u16 = 5051;

/// The client port of our ensemble.
pub fn client_port(inventory: &Inventory) -> u16 {
    match &inventory.zookeeper {
        ZooKeeper::Managed { config, .. } => {
            config.get("clientPort").and_then(|port| port.parse().ok()).unwrap_or(2181)
        }
        ZooKeeper::External { servers } => servers.first().map_or(2181, |(_, port)| *port),
    }
}

fn dispatcher_hosts(inventory: &Inventory) -> Vec<HostName> {
    let dispatcher = inventory.spark.as_ref().and_then(|spark| spark.dispatcher.as_ref());
    dispatcher.map(|d| d.hosts.iter().cloned().collect()).unwrap_or_default()
}

fn zookeeper(inventory: &Inventory, answers: &BTreeMap<HostName, Replies>) -> Health {
    let members = Check::ZooKeeper.members(inventory);
    let alone = members.len() == 1;
    let mut health = Health::default();
    for host in members {
        let member = match reply(Check::ZooKeeper, inventory, &host, answers) {
            None => Member::Silent,
            Some(reply) => {
                let mode = reply.body.lines().find_map(|line| line.strip_prefix("Mode: "));
                match mode {
                    Some("standalone") if alone => {
                        health.leader = Some(host.clone());
                        Member::Serving
                    }
                    Some("standalone") => {
                        Member::Sick("it runs standalone, outside the ensemble".to_owned())
                    }
                    Some("leader") => {
                        health.leader = Some(host.clone());
                        Member::Serving
                    }
                    Some("follower") => Member::Serving,
                    Some(other) => Member::Sick(format!("it is {other}")),
                    None if reply.status == 0 => {
                        Member::Sick("nothing answers on its client port".to_owned())
                    }
                    None => Member::Sick(first_line(&reply.body)),
                }
            }
        };
        health.members.insert(host, member);
    }
    // A follower that the leader does not count is not back yet.
    if let Some(leader) = health.leader.clone() {
        let synced = reply(Check::ZooKeeper, inventory, &leader, answers)
            .and_then(|reply| metric_line(&reply.body, "zk_synced_followers"));
        let followers = health.serving().len().saturating_sub(1) as u64;
        if let Some(synced) = synced.filter(|synced| *synced < followers) {
            health.members.insert(
                leader,
                Member::Sick(format!("it has {synced} of {followers} followers in sync")),
            );
        }
    }
    health
}

fn masters(inventory: &Inventory, answers: &BTreeMap<HostName, Replies>) -> Health {
    let mut health = Health::default();
    let mut leaders = Vec::new();
    for host in Check::Masters.members(inventory) {
        let member = match reply(Check::Masters, inventory, &host, answers) {
            None => Member::Silent,
            Some(reply) if reply.status == 0 => {
                Member::Sick(format!("nothing answers on port {MASTER_PORT}"))
            }
            Some(reply) => match serde_json::from_str::<Json>(&reply.body) {
                Err(_) => {
                    Member::Sick(format!("its metrics answer HTTP {} and no JSON", reply.status))
                }
                Ok(metrics) => {
                    let value = |name: &str| metrics.get(name).and_then(Json::as_f64);
                    let elected = value("master/elected") == Some(1.0);
                    if elected {
                        leaders.push(host.clone());
                    }
                    match not_ready(&value, elected, inventory) {
                        Some(why) => Member::Sick(why),
                        None => Member::Serving,
                    }
                }
            },
        };
        health.members.insert(host, member);
    }
    match leaders.as_slice() {
        [leader] => health.leader = Some(leader.clone()),
        // A master whose host cannot be asked may be the leader.
        [] if !health.is_leaderless() => {}
        [] => {
            for member in health.members.values_mut().filter(|m| **m == Member::Serving) {
                *member = Member::Sick("no master leads".to_owned());
            }
        }
        several => {
            let names: Vec<&str> = several.iter().map(HostName::as_str).collect();
            for host in several {
                let why = format!("{} each hold themselves for the leader", names.join(" and "));
                health.members.insert(host.clone(), Member::Sick(why));
            }
        }
    }
    health
}

/// Why a master that answers is not ready. Elected, HTTP 200, and even `registrar/log/recovered` = 1
/// prove nothing by themselves: a lone master of a quorum of 2 whose replica had voted before shows all
/// three. What it lacks is the size of a registry that it has fetched. Source: the recordings
/// `masters/27-lone-master` and `masters/05-agents-idle`.
fn not_ready(
    value: &impl Fn(&str) -> Option<f64>,
    elected: bool,
    inventory: &Inventory,
) -> Option<String> {
    // Absent before Mesos 1.0.
    if value("registrar/log/recovered").is_some_and(|recovered| recovered != 1.0) {
        return Some("its replicated log is not recovered".to_owned());
    }
    // Absent before 1.4.
    let replicas = value("registrar/log/ensemble_size")?;
    if elected && replicas < inventory.quorum() as f64 {
        return Some(format!(
            "it leads with {replicas} of the {} log replicas that a quorum needs",
            inventory.quorum()
        ));
    }
    (elected && value("registrar/registry_size_bytes").is_none())
        .then(|| "it leads and has not fetched the registry yet".to_owned())
}

fn agents(inventory: &Inventory, answers: &BTreeMap<HostName, Replies>) -> Health {
    let mut health = Health::default();
    let seen = leaders_agents(inventory, answers);
    for (_, host, wanted) in inventory.agents() {
        let member = match &seen {
            None => Member::Sick("no leading master could be asked about it".to_owned()),
            Some(seen) => {
                let address = inventory.hosts.get(host).map(|h| h.address.to_string());
                match address.and_then(|address| seen.get(&address)) {
                    None => Member::Sick("it is not registered at the leading master".to_owned()),
                    Some(agent) => judge_agent(agent, &wanted.attributes, &wanted.resources),
                }
            }
        };
        health.members.insert(host.clone(), member);
    }
    health
}

/// One agent of the leader's list.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// What it announced.
    pub info: AgentInfo,
    /// Whether the master holds it for alive.
    pub active: bool,
    /// Whether an operator has deactivated or drained it.
    pub deactivated: bool,
    /// Its Mesos version, where the master says it.
    pub version: Option<String>,
}

/// The leading master's agents by address; `None` when no leader answered.
pub fn leaders_agents(
    inventory: &Inventory,
    answers: &BTreeMap<HostName, Replies>,
) -> Option<BTreeMap<String, Listed>> {
    let body = Check::Masters.members(inventory).iter().find_map(|host| {
        // Only the leader answers 200; before Mesos 1.0 everybody does, so its own pid must lead.
        let reply = reply(Check::Agents, inventory, host, answers)?;
        let body: Json =
            (reply.status == 200).then(|| serde_json::from_str(&reply.body).ok())??;
        let leads = match (body.get("leader"), body.get("pid")) {
            (Some(leader), Some(pid)) => leader == pid,
            _ => true,
        };
        leads.then_some(body)
    })?;
    let list = body.get("slaves")?.as_array()?;
    Some(
        list.iter()
            .filter_map(|agent| {
                let pid = agent.get("pid")?.as_str()?;
                let address = pid.split('@').nth(1)?.rsplit_once(':')?.0;
                let flag = |name: &str| agent.get(name).and_then(Json::as_bool);
                let listed = Listed {
                    info: AgentInfo::from_json(agent).ok()?,
                    // The field is there from 0.22.
                    active: flag("active").unwrap_or(true),
                    deactivated: flag("deactivated").unwrap_or(false),
                    version: agent.get("version").and_then(Json::as_str).map(str::to_owned),
                };
                Some((address.trim_matches(['[', ']']).to_owned(), listed))
            })
            .collect(),
    )
}

fn judge_agent(agent: &Listed, attributes: &Attributes, resources: &Resources) -> Member {
    // Such an agent is listed as not active too (recorded: `masters/12-drain`).
    if agent.deactivated {
        return Member::Sick("it is drained or deactivated; no offers are made of it".to_owned());
    }
    if !agent.active {
        return Member::Sick("the leading master lists it as not active".to_owned());
    }
    if agent.info.attributes != *attributes {
        return Member::Sick(format!(
            "it is registered with attributes {} instead of {attributes}",
            agent.info.attributes
        ));
    }
    // What was not asked for is detected by Mesos itself and differs from host to host.
    let differing: Vec<String> = resources
        .0
        .iter()
        .filter(|(key, value)| agent.info.resources.0.get(*key) != Some(value))
        .map(|((name, role), _)| format!("{name}({role})"))
        .collect();
    if !differing.is_empty() && agent.info.detail == crate::mesos::live::Detail::ByRole {
        return Member::Sick(format!(
            "it is registered with resources {} instead of {resources} (differing: {})",
            agent.info.resources,
            differing.join(", ")
        ));
    }
    Member::Serving
}

fn dispatcher(inventory: &Inventory, answers: &BTreeMap<HostName, Replies>) -> Health {
    let mut health = Health::default();
    for host in dispatcher_hosts(inventory) {
        let member = match reply(Check::Dispatcher, inventory, &host, answers) {
            None => Member::Silent,
            // REST starts after the framework registered, so any answer of it will do.
            Some(reply) if reply.body.contains("serverSparkVersion") => Member::Serving,
            Some(reply) if reply.status == 0 => {
                Member::Sick("nothing answers on its REST port".to_owned())
            }
            Some(_) => Member::Sick("another server answers on its REST port".to_owned()),
        };
        health.members.insert(host, member);
    }
    health
}

fn reply(
    check: Check,
    inventory: &Inventory,
    host: &HostName,
    answers: &BTreeMap<HostName, Replies>,
) -> Option<Reply> {
    let replies = answers.get(host)?;
    let question = check.questions(inventory, host).into_iter().next()?;
    Some(replies.get(&question).cloned().unwrap_or_default())
}

fn metric_line(body: &str, name: &str) -> Option<u64> {
    body.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().split('.').next()?.trim().parse().ok())
}

fn first_line(body: &str) -> String {
    body.lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("it says nothing")
        .to_owned()
}

/// The probe that puts all questions: one `curl` for every URL, one `bash` for every ZooKeeper. Where curl
/// is missing bash asks for URLs too: a leading master that could not be asked would be taken for dead, and
/// its quorum for lost.
pub fn probe(questions: &[Question]) -> Probe {
    let mut probe = Probe::default();
    let urls: Vec<&str> = questions
        .iter()
        .filter_map(|q| if let Question::Http(url) = q { Some(url.as_str()) } else { None })
        .collect();
    if !urls.is_empty() {
        let by_bash: String = urls.iter().filter_map(|url| by_bash(url)).collect();
        probe.section(
            "http",
            format!(
                "if command -v curl >/dev/null 2>&1; then\n\
                 curl -s -g -m 8 --connect-timeout 2 --noproxy '*' -w '\\n{MARK} %{{http_code}}\\n' {} 2>/dev/null\n\
                 else\n{by_bash}fi",
                quote_all(urls)
            ),
        );
    }
    let mut script = String::new();
    for question in questions {
        if let Question::FourLetter(host, port) = question {
            // A leader is asked for more, in the same process. /dev/tcp is bash's.
            let _ = writeln!(
                script,
                "timeout 4 bash -c {} {} {port} 2>/dev/null; printf '\\n{MARK} 200\\n'",
                quote(
                    "exec 3<>\"/dev/tcp/$0/$1\" || exit; printf srvr >&3; lead=; \
                     while IFS= read -r l <&3 || [ -n \"$l\" ]; do printf '%s\\n' \"$l\"; \
                     [ \"$l\" != 'Mode: leader' ] || lead=1; done; exec 3>&-; \
                     [ -z \"$lead\" ] || { exec 3<>\"/dev/tcp/$0/$1\"; printf mntr >&3; cat <&3; }"
                ),
                quote(host)
            );
        }
    }
    if !script.is_empty() {
        probe.section("zookeeper", script);
    }
    probe
}

const MARK: &str = "@@provision";

/// Asks for one URL and prints what [`probe`]'s curl prints.
fn by_bash(url: &str) -> Option<String> {
    let (at, path) = url.strip_prefix("http://")?.split_once('/')?;
    let (host, port) = at.rsplit_once(':')?;
    let words = [host.trim_matches(['[', ']']), port, &format!("/{path}")].map(quote).join(" ");
    // HTTP/1.0, so that the end of the answer is the end of the connection.
    let get = quote(&format!(
        "exec 3<>\"/dev/tcp/$0/$1\" || exit; printf 'GET %s HTTP/1.0\\r\\n\\r\\n' \"$2\" >&3; \
         IFS=' ' read -r _ c _ <&3 || exit; \
         while IFS= read -r l <&3 && [ -n \"${{l%?}}\" ]; do :; done; \
         cat <&3; printf '\\n{MARK} %s\\n' \"$c\""
    ));
    Some(format!("timeout 8 bash -c {get} {words} 2>/dev/null || printf '\\n{MARK} 000\\n'\n"))
}

/// What was answered to [`probe`].
pub fn replies(questions: &[Question], sections: &Sections) -> Replies {
    let mut replies = Replies::new();
    let mut http = split(sections.get("http"));
    let mut zookeeper = split(sections.get("zookeeper"));
    for question in questions {
        let next = match question {
            Question::Http(_) => http.next(),
            Question::FourLetter(..) => zookeeper.next().map(|mut reply| {
                if reply.body.trim().is_empty() {
                    reply.status = 0;
                }
                reply
            }),
        };
        if let Some(reply) = next {
            replies.insert(question.clone(), reply);
        }
    }
    replies
}

fn split(section: Option<&String>) -> impl Iterator<Item = Reply> {
    let mut replies = Vec::new();
    let mut body = String::new();
    for line in section.map_or("", String::as_str).lines() {
        match line.strip_prefix(MARK) {
            Some(code) => replies.push(Reply {
                status: code.trim().parse().unwrap_or(0),
                body: std::mem::take(&mut body),
            }),
            None => {
                body.push_str(line);
                body.push('\n');
            }
        }
    }
    replies.into_iter()
}

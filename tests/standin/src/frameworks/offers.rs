//! Making offers, taking them back, and what is not wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use mesos_messages::scheduler::{Event, EventType, Offers, Rescind};
use mesos_messages::{self as messages, CapabilityType, Filters};

use super::{Filter, Framework, Offer};
use crate::allocator::{self, Candidate, Client, Cluster};
use crate::log;
use crate::master::{Agent, Master, State};
use crate::resources;
use crate::values::{self, Attribute, Resource, Value};

impl State {
    /// One round of the allocator, over all agents that may be offered.
    pub(crate) fn allocate(&mut self, master: &Master) {
        let now = Instant::now();
        for framework in self.frameworks.registered.values_mut() {
            framework.filters.retain(|filter| filter.until > now);
        }
        let mut totals: BTreeMap<String, f64> = BTreeMap::new();
        let all = self.agents.values().flat_map(|agent| &agent.info.resources);
        for (name, number) in all.filter_map(|it| Some((&it.name, it.value.scalar()?))) {
            *totals.entry(name.clone()).or_default() += number;
        }
        let active = self.agents.iter().filter(|(id, agent)| self.is_active(id, agent));
        let mut agents: Vec<Candidate> = active
            .map(|(id, agent)| Candidate { id: id.clone(), free: self.free(id, agent) })
            .collect();
        // In random order, as the real one does it.
        let order = RandomState::new();
        agents.sort_by_key(|agent| order.hash_one(&agent.id));
        let registered = &self.frameworks.registered;
        let clients = registered.values().flat_map(|framework| self.clients(framework)).collect();
        let least = master.flags.text("min_allocatable_resources").unwrap_or("cpus:0.01|mem:32");
        let least = least.split('|').filter_map(|text| values::resources(text, "*").ok()).collect();
        let cluster = Cluster { totals, weights: &self.registry.weights, least };
        let filter_gpus = master.flags.is_set("filter_gpu_resources");
        let may = |client: &Client, agent: &str, offered: &[Resource]| {
            let Some(framework) = registered.get(&client.framework) else { return false };
            let has_gpus = self.agents.get(agent).is_some_and(|it| it.info.scalar("gpus") > 0.0);
            let can = !(filter_gpus && has_gpus) || framework.can(CapabilityType::GpuResources);
            can && !framework.filters.iter().any(|filter| {
                filter.agent_id == agent
                    && filter.role == client.role
                    && resources::contains(&filter.resources, offered)
            })
        };
        let grants = allocator::allocate(&cluster, agents, clients, may);
        let mut made: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for grant in grants {
            let id = format!("{}-O{}", master.id, self.frameworks.next_offer);
            self.frameworks.next_offer += 1;
            made.entry(grant.framework.clone()).or_default().push(id.clone());
            let offer = Offer {
                framework_id: grant.framework,
                agent_id: grant.agent,
                role: grant.role,
                resources: grant.resources,
            };
            self.frameworks.offers.insert(id, offer);
        }
        for (framework_id, ids) in made {
            self.send_offers(&framework_id, &ids);
        }
    }

    /// What of an agent neither runs nor is offered.
    fn free(&self, id: &str, agent: &Agent) -> Vec<Resource> {
        let mut free = Vec::new();
        resources::add(&mut free, &agent.info.resources);
        let offered = self.frameworks.offered(|offer| offer.agent_id == id);
        let taken = [self.frameworks.used_on(id), offered];
        for taken in taken {
            // What came back with less than its tasks use offers nothing.
            if !resources::subtract(&mut free, &taken) {
                return Vec::new();
            }
        }
        free
    }

    fn clients(&self, framework: &Framework) -> Vec<Client> {
        let id = framework.id();
        let of = |role: String| {
            let mut allocated = framework.used(Some(&role));
            let offers = &self.frameworks;
            let offered = offers.offered(|it| it.framework_id == id && it.role == role);
            resources::add(&mut allocated, &offered);
            Client {
                framework: id.to_owned(),
                allocated,
                count: framework.granted.get(&role).copied().unwrap_or(0),
                wants: framework.is_active() && !framework.suppressed.contains(&role),
                role,
            }
        };
        framework.roles().into_iter().map(of).collect()
    }

    fn send_offers(&mut self, framework_id: &str, ids: &[String]) {
        let agents = &self.agents;
        let Some(framework) = self.frameworks.registered.get_mut(framework_id) else { return };
        let mut offers = Vec::new();
        for id in ids {
            let Some(offer) = self.frameworks.offers.get(id) else { continue };
            let Some(agent) = agents.get(&offer.agent_id) else { continue };
            *framework.granted.entry(offer.role.clone()).or_default() += 1;
            offers.push(message(framework, id, offer, agent));
        }
        log::info(
            "master.cpp:9606",
            &format!(
                "Sending offers [ {} ] to framework {framework_id} ({})",
                ids.join(", "),
                framework.info.name
            ),
        );
        framework.counts.offers_sent += offers.len() as u64;
        let offers = Some(Offers { offers });
        framework.send(EventType::Offers, Event { offers, ..Event::default() });
    }

    /// Takes offers back, and tells those who held them.
    pub(crate) fn rescind_offers(&mut self, which: impl Fn(&Offer) -> bool) {
        for (id, offer) in self.frameworks.offers.extract_if(.., |_, offer| which(offer)) {
            log::info("master.cpp:11876", &format!("Removing offer {id}"));
            let Some(framework) = self.frameworks.registered.get_mut(&offer.framework_id) else {
                continue;
            };
            framework.counts.offers_rescinded += 1;
            let rescind = Some(Rescind { offer_id: id.into() });
            framework.send(EventType::Rescind, Event { rescind, ..Event::default() });
        }
    }

    /// Takes back the offers of agents that may not be offered any more.
    pub(crate) fn rescind_inactive(&mut self) {
        let active = self.agents.iter().filter(|(id, agent)| self.is_active(id, agent));
        let active: BTreeSet<String> = active.map(|(id, _)| id.clone()).collect();
        self.rescind_offers(|offer| !active.contains(&offer.agent_id));
    }
}

/// Source: include/mesos/v1/mesos.proto at 1.11.0, Filters; src/master/constants.hpp.
const REFUSE_SECONDS: f64 = 5.0;
const MAX_REFUSE_SECONDS: f64 = 365.0 * 24.0 * 3600.0;

impl Framework {
    /// Does not want these resources of an agent again for a while.
    pub(super) fn refuse(
        &mut self,
        master: &Master,
        agent_id: &str,
        role: &str,
        resources: Vec<Resource>,
        filters: Option<Filters>,
    ) {
        let asked = filters.map_or(REFUSE_SECONDS, |filters| filters.refuse_seconds());
        let seconds = match asked {
            asked if asked.is_nan() || asked < 0.0 => REFUSE_SECONDS,
            asked => asked.min(MAX_REFUSE_SECONDS),
        };
        if seconds == 0.0 || resources.is_empty() {
            return;
        }
        // At least one round, or it would not have been refused at all.
        let least = master.flags.duration("allocation_interval");
        let until = Instant::now() + Duration::from_secs_f64(seconds).max(least);
        let (agent_id, role) = (agent_id.to_owned(), role.to_owned());
        self.filters.push(Filter { agent_id, role, resources, until });
    }
}

fn message(framework: &Framework, id: &str, offer: &Offer, agent: &Agent) -> messages::Offer {
    let role = Some(offer.role.clone());
    let several = framework.can(CapabilityType::MultiRole);
    let hostname = agent.info.hostname.clone();
    messages::Offer {
        id: id.into(),
        framework_id: framework.id().into(),
        agent_id: offer.agent_id.as_str().into(),
        resources: offer.resources.iter().map(|it| framework.described(it, &offer.role)).collect(),
        attributes: agent.info.attributes.iter().map(attribute).collect(),
        url: Some(messages::Url {
            scheme: "http".to_owned(),
            address: messages::Address {
                hostname: Some(hostname.clone()),
                ip: Some(agent.ip().to_owned()),
                port: i32::from(agent.info.port),
            },
            path: Some("/slave(1)".to_owned()),
            ..messages::Url::default()
        }),
        hostname,
        allocation_info: several.then_some(messages::AllocationInfo { role }),
        ..messages::Offer::default()
    }
}

fn attribute(attribute: &Attribute) -> messages::Attribute {
    let mut message = messages::Attribute { name: attribute.name.clone(), ..Default::default() };
    match &attribute.value {
        Value::Scalar(value) => {
            message.set_type(messages::ValueType::Scalar);
            message.scalar = Some(messages::Scalar { value: *value });
        }
        Value::Ranges(ranges) => {
            message.set_type(messages::ValueType::Ranges);
            message.ranges = Some(resources::ranges_message(ranges));
        }
        Value::Set(item) => {
            message.set_type(messages::ValueType::Set);
            message.set = Some(messages::Set { item: item.clone() });
        }
        Value::Text(value) => {
            message.set_type(messages::ValueType::Text);
            message.text = Some(messages::Text { value: value.clone() });
        }
    }
    message
}

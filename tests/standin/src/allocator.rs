//! Who is offered what: whole agents by weighted dominant resource fairness, first over roles, then
//! over the frameworks of a role. Pure: the order of the agents is an input.
//! Source: src/master/allocator/mesos/hierarchical.cpp and sorter/drf/sorter.cpp at 1.11.0.

use std::collections::BTreeMap;

use crate::resources;
use crate::values::Resource;

/// An agent that may be offered.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) id: String,
    /// What neither runs nor is offered.
    pub(crate) free: Vec<Resource>,
}

/// A framework in one of its roles.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) framework: String,
    pub(crate) role: String,
    /// What it runs and what it is offered, in this role.
    pub(crate) allocated: Vec<Resource>,
    /// How often it was offered something.
    pub(crate) count: u64,
    /// Whether it wants offers now; one that does not still counts for its role's share.
    pub(crate) wants: bool,
}

/// One offer to be made.
#[derive(Debug, PartialEq)]
pub(crate) struct Grant {
    pub(crate) framework: String,
    pub(crate) role: String,
    pub(crate) agent: String,
    pub(crate) resources: Vec<Resource>,
}

/// What the shares are of, and what is worth an offer.
#[derive(Debug)]
pub(crate) struct Cluster<'a> {
    /// The scalars of all registered agents.
    pub(crate) totals: BTreeMap<String, f64>,
    /// Of roles; 1 where there is none.
    pub(crate) weights: &'a BTreeMap<String, f64>,
    /// One of these must be there.
    pub(crate) least: Vec<Vec<Resource>>,
}

/// Divides. `may` says whether a client may be offered these resources of an agent: no filter of
/// its own is against it, it knows how to use them.
pub(crate) fn allocate(
    cluster: &Cluster<'_>,
    agents: Vec<Candidate>,
    mut clients: Vec<Client>,
    may: impl Fn(&Client, &str, &[Resource]) -> bool,
) -> Vec<Grant> {
    let mut grants = Vec::new();
    for mut agent in agents {
        let mut asked = vec![false; clients.len()];
        // After each grant the shares are others.
        while let Some(next) = first(cluster, &clients, &asked) {
            asked[next] = true;
            let client = &mut clients[next];
            let offered: Vec<Resource> =
                agent.free.iter().filter(|it| is_for(it, &client.role)).cloned().collect();
            let enough = cluster.least.iter().any(|least| is_at_least(&offered, least));
            if !client.wants || !enough || !may(client, &agent.id, &offered) {
                continue;
            }
            if !resources::subtract(&mut agent.free, &offered) {
                continue;
            }
            resources::add(&mut client.allocated, &offered);
            client.count += 1;
            grants.push(Grant {
                framework: client.framework.clone(),
                role: client.role.clone(),
                agent: agent.id.clone(),
                resources: offered,
            });
        }
    }
    grants
}

/// Unreserved, or reserved for the role or for one above it.
fn is_for(resource: &Resource, role: &str) -> bool {
    resource.role.as_deref().is_none_or(|reserved| {
        role.strip_prefix(reserved).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn is_at_least(offered: &[Resource], least: &[Resource]) -> bool {
    least.iter().all(|least| {
        least.value.scalar().is_some_and(|number| resources::scalar(offered, &least.name) >= number)
    })
}

/// The client whose turn it is, of those that were not asked about this agent.
fn first(cluster: &Cluster<'_>, clients: &[Client], asked: &[bool]) -> Option<usize> {
    let left = clients.iter().enumerate().filter(|(place, _)| !asked[*place]);
    let keys = left.map(|(place, client)| (key(cluster, clients, client), place));
    keys.min_by(|one, other| compare(&one.0, &other.0)).map(|(_, place)| place)
}

/// What decides between two siblings: the smaller share, then the fewer offers, then the name.
type Key = (f64, u64, String);

fn compare(one: &[Key], other: &[Key]) -> std::cmp::Ordering {
    let each = one.iter().zip(other).map(|(one, other)| {
        let share = one.0.total_cmp(&other.0);
        share.then_with(|| one.1.cmp(&other.1)).then_with(|| one.2.cmp(&other.2))
    });
    each.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
}

/// The way through the tree of roles down to the framework: `a`, `a/b`, the role itself as its own
/// child (it may have roles below it), the framework.
fn key(cluster: &Cluster<'_>, clients: &[Client], client: &Client) -> Vec<Key> {
    let mut path = String::new();
    let mut keys = Vec::new();
    for component in client.role.split('/') {
        path = if path.is_empty() { component.to_owned() } else { format!("{path}/{component}") };
        let below = |other: &Client| {
            other
                .role
                .strip_prefix(&path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        keys.push(sibling(cluster, clients, &path, cluster.weight(&path), below));
    }
    let role = |other: &Client| other.role == client.role;
    keys.push(sibling(cluster, clients, ".", 1.0, role));
    let own = |other: &Client| role(other) && other.framework == client.framework;
    keys.push(sibling(cluster, clients, &client.framework, 1.0, own));
    keys
}

fn sibling(
    cluster: &Cluster<'_>,
    clients: &[Client],
    name: &str,
    weight: f64,
    belongs: impl Fn(&Client) -> bool,
) -> Key {
    let members = || clients.iter().filter(|client| belongs(client));
    let dominant = cluster.totals.iter().filter(|(_, total)| **total > 0.0).map(|(name, total)| {
        members().map(|client| resources::scalar(&client.allocated, name)).sum::<f64>() / total
    });
    let share = dominant.fold(0.0, f64::max) / weight;
    (share, members().map(|client| client.count).sum(), name.to_owned())
}

impl Cluster<'_> {
    fn weight(&self, role: &str) -> f64 {
        self.weights.get(role).copied().unwrap_or(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values;

    fn client(role: &str) -> Client {
        let framework = format!("of-{role}");
        let allocated = Vec::new();
        Client { framework, role: role.to_owned(), allocated, count: 0, wants: true }
    }

    /// Divides agents in the listed order; the roles that got them, in the order of the grants.
    fn divide(
        agents: &[&str],
        weights: &[(&str, f64)],
        clients: Vec<Client>,
    ) -> Vec<(String, f64)> {
        let read = |text: &str| values::resources(text, "*").expect("good resources");
        let weights = weights.iter().map(|(role, weight)| ((*role).to_owned(), *weight)).collect();
        let all: Vec<Resource> = agents.iter().flat_map(|text| read(text)).collect();
        let totals = ["cpus", "mem"].map(|name| (name.to_owned(), resources::scalar(&all, name)));
        let least = ["cpus:0.01", "mem:32"].map(read).to_vec();
        let cluster = Cluster { totals: totals.into(), weights: &weights, least };
        let agents = agents.iter().enumerate();
        let agents = agents.map(|(id, text)| Candidate { id: id.to_string(), free: read(text) });
        let grants = allocate(&cluster, agents.collect(), clients, |_, _, _| true);
        let cpus = |grant: Grant| (grant.role, resources::scalar(&grant.resources, "cpus"));
        grants.into_iter().map(cpus).collect()
    }

    fn roles(granted: &[(String, f64)]) -> Vec<&str> {
        granted.iter().map(|(role, _)| role.as_str()).collect()
    }

    #[test]
    fn a_weight_of_two_gets_twice_as_much() {
        let agents = ["cpus:4;mem:8"; 6];
        let granted = divide(&agents, &[("prod", 2.0)], vec![client("dev"), client("prod")]);
        assert_eq!(roles(&granted), ["dev", "prod", "prod", "dev", "prod", "prod"]);
    }

    #[test]
    fn the_dominant_resource_counts_then_offers_then_the_name() {
        let agents = ["cpus:8;mem:8", "cpus:4;mem:16", "cpus:2;mem:4", "cpus:2;mem:4"];
        let granted = divide(&agents, &[], vec![client("x"), client("y")]);
        assert_eq!(roles(&granted), ["x", "y", "x", "y"]);
    }

    #[test]
    fn a_reservation_is_offered_to_its_role_only() {
        let agents = ["cpus:2;cpus(r):2"; 2];
        let owned = |granted: &[(&str, f64)]| -> Vec<(String, f64)> {
            granted.iter().map(|(role, cpus)| ((*role).to_owned(), *cpus)).collect()
        };
        let both = divide(&agents, &[], vec![client("r"), client("*")]);
        assert_eq!(both, owned(&[("*", 2.0), ("r", 2.0), ("*", 2.0), ("r", 2.0)]));
        assert_eq!(divide(&agents, &[], vec![client("r")]), owned(&[("r", 4.0), ("r", 4.0)]));
        assert_eq!(divide(&agents, &[], vec![client("*")]), owned(&[("*", 2.0), ("*", 2.0)]));
        // A role below has it too, one whose name only begins alike has not.
        assert_eq!(divide(&agents[..1], &[], vec![client("r/a")]), owned(&[("r/a", 4.0)]));
        assert_eq!(divide(&agents[..1], &[], vec![client("ra")]), owned(&[("ra", 2.0)]));
    }

    #[test]
    fn roles_below_share_what_their_parent_gets() {
        let agents = ["cpus:1;mem:1"; 8];
        let granted = divide(&agents, &[], vec![client("a/x"), client("a/y"), client("b")]);
        let count = |role: &str| granted.iter().filter(|(name, _)| name == role).count();
        assert_eq!((count("a/x"), count("a/y"), count("b")), (2, 2, 4));
    }

    #[test]
    fn crumbs_are_not_offered_nor_is_anything_to_who_does_not_want_it() {
        assert_eq!(divide(&["cpus:0.005;mem:16"], &[], vec![client("*")]), []);
        let silent = Client { wants: false, ..client("*") };
        assert_eq!(divide(&["cpus:4;mem:64"], &[], vec![silent]), []);
    }
}

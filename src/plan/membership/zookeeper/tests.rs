//! Laws over random ensembles, and ways that are known.

use std::path::Path;

use proptest::prelude::*;

use super::super::{Does, Members, Step, Steps};
use super::*;
use crate::health::Server;
use crate::lints::load::{Lab, load_text};
use crate::plan::Scope;

fn list(names: &[u8]) -> List {
    names.iter().map(|n| (HostName::new(&format!("m{n}")), *n)).collect()
}

/// All of these run.
fn run(names: &[u8]) -> Running {
    let server = || Server { answers: true, ..Server::default() };
    let servers = list(names).into_keys().map(|host| (host, server()));
    Running { servers: servers.collect(), ..Running::default() }
}

fn titles(current: &[u8], wanted: &[u8], gone: &[u8]) -> Vec<String> {
    let gone = list(gone).into_keys().collect();
    let steps = from(&list(current), &run(current), &list(wanted), &gone);
    steps.all().map(|step| step.title.clone()).collect()
}

#[test]
fn one_joins_after_the_other() {
    let expected = ["m4 joins the ensemble", "m5 joins the ensemble"];
    assert_eq!(titles(&[1, 2, 3], &[1, 2, 3, 4, 5], &[]), expected);
}

#[test]
fn a_member_is_replaced_by_a_join_and_a_leave() {
    assert_eq!(
        titles(&[1, 2, 3], &[1, 2, 4], &[]),
        [
            "m4 joins the ensemble",
            "m3 gives the lead of the ensemble away, if it leads",
            "m3 leaves the ensemble",
            "m3's server stops"
        ]
    );
}

#[test]
fn who_is_gone_leaves_on_paper() {
    assert_eq!(
        titles(&[1, 2, 3], &[1, 2, 4], &[3]),
        ["m3 leaves the ensemble", "m4 joins the ensemble"]
    );
}

#[test]
fn whose_lists_are_not_known_keep_their_membership() {
    let text = "version: 1\ncluster: c\nhosts:\n  m[1:4]: { address: \"10.0.0.[1:4]\" }\n\
        zookeeper: { servers: { m1: 1, m2: 2, m4: 4 } }\n\
        mesos: { version: 1.11.0, package: { preinstalled: true }, masters: { hosts: [m1] } }\nretired: [m3]\n";
    let inventory = load_text("i", text.as_bytes(), Path::new("/"), &[], Lab::No);
    let inventory = inventory.expect("good").inventory;
    let health = Health {
        members: list(&[1, 2, 3]).into_keys().map(|host| (host, Member::Serving)).collect(),
        leader: Some(HostName::new("m1")),
    };
    let (scope, gone) = (Scope::default(), BTreeSet::new());
    let state = State { health: &health, scope: &scope, agents: None, strangers: &BTreeSet::new() };
    let of = |is_old: bool| {
        let addresses = (1..4).map(|id| (id, format!("10.0.0.{id}"))).collect();
        let server =
            Server { answers: true, serves: true, list: addresses, is_old, ..Server::default() };
        let servers = list(&[1, 2, 3]).into_keys().map(|host| (host, server.clone()));
        let running = Running { servers: servers.collect(), ..Running::default() };
        steps(&running, &inventory, &gone, state)
    };
    assert!(of(false).unwrap().all().next().is_some());
    assert!(of(true).unwrap_err().why.contains("m1's ZooKeeper is of before 3.5"));
}

/// A server of before that is only a master now is silent: a first installation knows of none such, and has no agent.
#[test]
fn no_ensemble_is_begun_beside_a_silent_former_server() {
    let text = "version: 1\ncluster: c\nhosts:\n  m[1:2]: { address: \"10.0.0.[1:2]\" }\n\
        zookeeper: { servers: { m2: 2 } }\n\
        mesos: { version: 1.11.0, package: { preinstalled: true }, masters: { hosts: [m1] } }\n";
    let inventory = load_text("i", text.as_bytes(), Path::new("/"), &[], Lab::No);
    let inventory = inventory.expect("good").inventory;
    let (health, scope, gone) = (Health::default(), Scope::default(), BTreeSet::new());
    let state = State { health: &health, scope: &scope, agents: None, strangers: &BTreeSet::new() };
    let of = |has_begun: bool| {
        let silent = [HostName::new("m1")].into();
        let running = Running { silent, has_begun, ..run(&[2]) };
        steps(&running, &inventory, &gone, state)
    };
    let why = of(true).unwrap_err().why;
    let cure =
        "bring it back, or take it out of `mesos.masters.hosts` and write `retired: {m1: gone}`";
    assert!(why.contains("m1, which may hold the data") && why.contains(cure), "{why}");
    assert_eq!(of(false), Ok(Steps::default()));
}

/// Who leads with the longer list may need it for its majority; one that does not serve is of no use to anybody.
#[test]
fn who_leaves_is_minded_until_all_lists_are_one() {
    let text = "version: 1\ncluster: c\nhosts:\n  m[2:5]: { address: \"10.0.0.[2:5]\" }\n\
        zookeeper: { servers: { m2: 2, m5: 5 } }\n\
        mesos: { version: 1.11.0, package: { preinstalled: true }, masters: { hosts: [m2] } }\nretired: [m3, m4]\n";
    let inventory = load_text("i", text.as_bytes(), Path::new("/"), &[], Lab::No);
    let inventory = inventory.expect("good").inventory;
    let scope = Scope::default();
    let of = |leader: &str, m3_serves: bool| {
        let addresses = |ids: &[u8]| ids.iter().map(|id| (*id, format!("10.0.0.{id}"))).collect();
        let server = |id: u8| Server {
            id: Some(id),
            answers: true,
            serves: id != 3 || m3_serves,
            data: Data::Perhaps,
            list: addresses(if id == 2 { &[2, 4, 5] } else { &[2, 3, 4, 5] }),
            ..Server::default()
        };
        let servers = list(&[2, 3, 4, 5]).into_iter().map(|(host, id)| (host, server(id)));
        let running = Running { servers: servers.collect(), ..Running::default() };
        let members = list(&[2, 4, 5]).into_keys().map(|host| (host, Member::Serving));
        let leader = Some(HostName::new(leader));
        let health = Health { members: members.collect(), leader };
        let state =
            State { health: &health, scope: &scope, agents: None, strangers: &BTreeSet::new() };
        let steps = steps(&running, &inventory, &BTreeSet::new(), state).unwrap();
        let first = steps.first.into_iter().next().unwrap();
        assert_eq!(first.title, "the ensemble's lists become one: m2, m4, m5");
        assert_eq!(first.does, Does::Roll(list(&[2, 4, 5]).into_keys().collect()));
        first.judged
    };
    assert_eq!(of("m4", true), Members::Servers(list(&[2, 3, 4, 5])));
    assert_eq!(of("m4", false), Members::Servers(list(&[2, 4, 5])));
    assert_eq!(of("m2", true), Members::Servers(list(&[2, 4, 5])));
}

#[test]
fn the_holder_of_the_data_is_in_the_first_majority() {
    let steps = from(&list(&[1]), &run(&[1]), &list(&[1, 2, 3]), &BTreeSet::new());
    let does: Vec<&Does> = steps.all().map(|step| &step.does).collect();
    let hosts = |names: &[u8]| list(names).into_keys().collect();
    assert_eq!(does, [&Does::Together(hosts(&[1, 2])), &Does::Roll(hosts(&[3]))]);
    assert_eq!(
        titles(&[1], &[1, 2, 3], &[]),
        ["m2 joins m1's ensemble, which does not serve for some seconds", "m3 joins the ensemble"]
    );
}

#[test]
fn empty_servers_are_no_majority_without_a_holder() {
    let holder = Server { data: Data::Perhaps, ..Server::default() };
    let running = Running { servers: [(HostName::new("m1"), holder)].into(), ..Running::default() };
    let hosts = |names: &[u8]| -> BTreeSet<HostName> { list(names).into_keys().collect() };
    let of = |work: &[u8], running: &Running, all: &[u8]| {
        start(&hosts(work), running, &list(all), &list(all), &Health::default())
    };
    let expected = (hosts(&[1, 2]), vec![HostName::new("m3")]);
    assert_eq!(of(&[1, 2, 3], &running, &[1, 2, 3]), Ok(expected));
    // All empty: a first installation.
    assert_eq!(
        of(&[1, 2, 3], &Running::default(), &[1, 2, 3]),
        Ok((hosts(&[1, 2, 3]), Vec::new()))
    );
    // All empty but for one that is not there.
    assert!(of(&[2, 3], &Running::default(), &[1, 2, 3]).unwrap_err().why.contains("m1"));
    // One that is not there may be as empty, and come back: m2, m3, m4 and m5 would be four of six.
    let why = of(&[1, 2, 3, 5, 6], &running, &[1, 2, 3, 4, 5, 6]).unwrap_err().why;
    assert!(
        why.contains("that 3 empty ones would") && why.contains("with m4, which could"),
        "{why}"
    );
    let expected = (hosts(&[1, 2, 3, 4]), vec![HostName::new("m5"), HostName::new("m6")]);
    assert_eq!(of(&[1, 2, 3, 4, 5, 6], &running, &[1, 2, 3, 4, 5, 6]), Ok(expected));
    // Two that run already count with those that are started: one more makes a majority with the holder.
    let mut up = running.clone();
    for host in ["m2", "m3"] {
        let server = Server { answers: true, ..Server::default() };
        up.servers.insert(HostName::new(host), server);
    }
    let one = start(
        &hosts(&[5, 6]),
        &up,
        &list(&[1, 2, 3, 5, 6]),
        &list(&[1, 2, 3, 4, 5, 6]),
        &Health::default(),
    );
    assert_eq!(one, Ok((hosts(&[5]), vec![HostName::new("m6")])));
    // Enough run already and do not serve: an empty one more waits until they do.
    let four = list(&[1, 2, 3, 4]);
    let why = start(&hosts(&[4]), &up, &four, &four, &Health::default()).unwrap_err().why;
    assert!(why.starts_with("m1, m2, m3 would be enough to serve and do not; m4 would"), "{why}");
    // Three that run already are a majority of four by themselves, and are named.
    let server = Server { answers: true, ..Server::default() };
    up.servers.insert(HostName::new("m4"), server);
    let four = list(&[1, 2, 3, 4]);
    let why = start(&hosts(&[1]), &up, &four, &four, &Health::default()).unwrap_err().why;
    assert!(why.contains("together with m2, m3, m4, which"), "{why}");
    // It is gone, and all run with the list that counts it still.
    let gone =
        start(&hosts(&[1, 2]), &running, &list(&[1, 2]), &list(&[1, 2, 3]), &Health::default());
    assert_eq!(gone, Ok((hosts(&[1, 2]), Vec::new())));
}

/// A server as it runs: its list, and whether it holds the data.
type Servers = BTreeMap<HostName, (List, bool)>;

/// Majorities of any two lists that are in use intersect, and no majority of any list is empty.
fn hold(servers: &Servers) {
    let lists: BTreeSet<&List> = servers.values().map(|(list, _)| list).collect();
    for one in &lists {
        for other in &lists {
            let union: BTreeSet<&HostName> = one.keys().chain(other.keys()).collect();
            let needed = one.len() / 2 + other.len() / 2 + 2;
            assert!(needed > union.len(), "{one:?} and {other:?} may be apart");
        }
        let empty = |host: &&HostName| servers.get(*host).is_some_and(|(_, data)| !data);
        let empty = one.keys().filter(empty).count();
        assert!(empty <= one.len() / 2, "the empty ones are a majority of {one:?}");
    }
}

/// What a larger number does not list it shows nothing to.
fn hear(servers: &Servers, open: &BTreeSet<HostName>, step: &Step) {
    let Members::Servers(wanted) = &step.wants else { panic!("{step:?}") };
    let id = |host: &HostName| host.as_str()[1..].parse::<u8>().unwrap();
    for (one, (list, _)) in servers.iter().filter(|(_, (list, _))| list.len() > 1) {
        for other in servers.keys().filter(|it| !list.contains_key(*it) && id(it) < id(one)) {
            let lists = servers.iter().filter(|(host, _)| *host != other);
            let counted = lists.map(|(_, (list, _))| list).chain([wanted]);
            let counted = counted.into_iter().any(|list| list.contains_key(other));
            assert!(!counted || open.contains(other), "{other} does not hear {one}: {step:?}");
        }
    }
}

fn act(servers: &mut Servers, open: &mut BTreeSet<HostName>, step: &Step, cut: usize) {
    let Members::Servers(list) = &step.wants else { panic!("{step:?}") };
    let insists = |open: &mut BTreeSet<HostName>, host: &HostName| match step.open.contains(host) {
        true => drop(open.insert(host.clone())),
        false => drop(open.remove(host)),
    };
    match &step.does {
        Does::Roll(hosts) => {
            // Joiners first, as the plan's waves have it.
            let mut order: Vec<&HostName> = hosts.iter().collect();
            order.sort_by_key(|host| servers.contains_key(*host));
            for host in order.into_iter().take(cut) {
                insists(open, host);
                let data = servers.get(host).is_some_and(|(_, data)| *data);
                servers.insert(host.clone(), (list.clone(), data));
                hold(servers);
                hear(servers, open, step);
                // Its gate: it follows, in sync.
                servers.insert(host.clone(), (list.clone(), true));
            }
        }
        Does::Together(hosts) => {
            for host in hosts {
                insists(open, host);
                let data = servers.get(host).is_some_and(|(_, data)| *data);
                servers.insert(host.clone(), (list.clone(), data));
            }
            hold(servers);
            hear(servers, open, step);
            for host in hosts {
                servers.insert(host.clone(), (list.clone(), true));
            }
        }
        Does::GiveLead(_) => {}
        Does::Stop(host) | Does::StopUngated(host) => {
            let listed = servers
                .iter()
                .filter(|(other, (list, _))| *other != host && list.contains_key(host));
            // But of three the two others become a pair without it.
            let counted = listed.filter(|(_, (list, _))| list.len() != 3).count();
            assert_eq!(counted, 0, "{host} stops and is still counted");
            servers.remove(host);
            open.remove(host);
        }
        other => panic!("{other:?}"),
    }
    hold(servers);
}

fn plan(servers: &Servers, open: &BTreeSet<HostName>, wanted: &List) -> Steps {
    // Whoever is counted by no other is outside.
    let counted = |host: &HostName| {
        servers.iter().any(|(other, (list, _))| other != host && list.contains_key(host))
    };
    let inside = servers.keys().any(counted);
    let own: BTreeMap<HostName, List> = servers
        .iter()
        .filter(|(host, _)| !inside || counted(host))
        .map(|(host, (list, _))| (host.clone(), list.clone()))
        .collect();
    let lists = distinct(&own);
    let base = match current(&lists, wanted) {
        Ok(list) => list,
        Err(refusal) => panic!("{}: {lists:?}", refusal.why),
    };
    let server = |list: &List| {
        let list = list.iter().map(|(host, id)| (*id, host.to_string())).collect();
        Server { answers: true, list, ..Server::default() }
    };
    let all = servers.iter().map(|(host, (list, _))| (host.clone(), server(list))).collect();
    let running = Running { servers: all, ..Running::default() };
    let mut steps = from(&base, &running, wanted, &BTreeSet::new());
    if lists.len() > 1 && base.len() > 1 {
        steps.first.insert(0, one_list(&base, List::new(), &BTreeSet::new()));
    }
    unlisted::let_in(steps, &own, open.clone())
}

proptest! {
    /// Whatever membership becomes whatever other: two lists in use never allow two majorities that are
    /// apart, the empty are never a majority, none that is counted insists where larger numbers pass it over, and
    /// cut anywhere, the rest leads to what is wanted by then.
    #[test]
    fn every_change_keeps_one_majority_and_the_data(
        old in prop::collection::btree_set(1_u8..9, 1..6),
        new in prop::collection::btree_set(1_u8..9, 1..6),
        other in prop::option::of(prop::collection::btree_set(1_u8..9, 1..6)),
        cut in any::<prop::sample::Index>(),
        within in any::<prop::sample::Index>(),
    ) {
        let old = list(&old.into_iter().collect::<Vec<_>>());
        let wanted = list(&new.into_iter().collect::<Vec<_>>());
        let mut servers: Servers =
            old.keys().map(|host| (host.clone(), (old.clone(), true))).collect();
        let mut open = BTreeSet::new();
        let steps = plan(&servers, &open, &wanted);
        let all: Vec<&Step> = steps.all().collect();
        let stop = cut.index(all.len() + 1);
        for (index, step) in all.iter().enumerate() {
            if index == stop {
                let (many, rolls) = match &step.does {
                    Does::Roll(hosts) => (hosts.len(), true),
                    _ => (0, false),
                };
                if rolls {
                    act(&mut servers, &mut open, step, within.index(many + 1));
                }
                break;
            }
            act(&mut servers, &mut open, step, usize::MAX);
        }
        // Where nothing was cut short all insist again.
        prop_assert!(stop < all.len() || open.is_empty(), "{open:?}");
        // By then another membership may be wanted.
        let other = other.map(|other| list(&other.into_iter().collect::<Vec<_>>()));
        let wanted = other.unwrap_or(wanted);
        for step in plan(&servers, &open, &wanted).all() {
            act(&mut servers, &mut open, step, usize::MAX);
        }
        // One that is a member and does not run is started as ever.
        for host in wanted.keys() {
            let new = || (wanted.clone(), true);
            servers.entry(host.clone()).or_insert_with(new);
        }
        let end: Servers =
            wanted.keys().map(|host| (host.clone(), (wanted.clone(), true))).collect();
        prop_assert_eq!(&servers, &end);
        prop_assert_eq!(plan(&servers, &open, &wanted).all().count(), 0);
    }
}

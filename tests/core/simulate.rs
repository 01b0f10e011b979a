//! How the cluster would be shared: the vectors V1–V10 of the facts, what holds for all inputs, and the outlook.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use provision::lints::load::{Lab, load_text};
use provision::simulate::Agent;
use provision::simulate::application::applications;
use provision::simulate::drf::cycle::{Allocation, Grant};
use provision::simulate::drf::{
    Amounts, Appetite, Client, Framework, Quota, Role, Rules, Share, cycle, fill, totals,
};
use provision::simulate::outlook::{Bind, Order, Outlook, Plan, outlook, schema};

use super::support::agents::{agent, agents, spark, version, workload};

fn amounts(list: &[(&str, i64)]) -> Amounts {
    list.iter().map(|(name, amount)| ((*name).to_owned(), amount * 1000)).collect()
}

fn client(name: &str, weight: f64, demand: &[(&str, i64)]) -> Client {
    Client { name: name.to_owned(), weight, demand: amounts(demand), most_tasks: None }
}

/// Checks the sequence (first letters), the shares after each step where given, tasks and rest.
fn filling(total: &[(&str, i64)], clients: &[Client], sequence: &str, shares: &str, rest: &str) {
    let filling = fill(&amounts(total), clients);
    let taken: String = filling.steps.iter().map(|s| &clients[s.client].name[..1]).collect();
    assert_eq!(taken, sequence);
    if !shares.is_empty() {
        let got: Vec<String> = filling.steps.iter().map(|s| s.share.to_string()).collect();
        assert_eq!(got.join(" "), shares);
    }
    let left: Vec<String> =
        filling.left.iter().map(|(name, amount)| format!("{name} {}", amount / 1000)).collect();
    assert_eq!(left.join(", "), rest);
    for client in clients {
        let count = taken.matches(&client.name[..1]).count() as u64;
        assert_eq!(filling.tasks[&client.name], count);
    }
}

#[test]
fn vectors_1_and_2_of_the_paper() {
    let total = [("cpus", 9), ("mem", 18)];
    let a = |w| client("A", w, &[("cpus", 1), ("mem", 4)]);
    let b = client("B", 1.0, &[("cpus", 3), ("mem", 1)]);
    let rest = "cpus 0, mem 4";
    filling(&total, &[a(1.0), b.clone()], "ABABA", "2/9 1/3 4/9 2/3 2/3", rest);
    filling(&total, &[a(2.0), b], "ABAAB", "1/9 1/3 2/9 1/3 2/3", rest);
}

#[test]
fn vectors_3_to_6_of_progressive_filling() {
    let task = [("cpus", 1), ("mem", 2)];
    let two = [client("dev", 1.0, &task), client("prod", 2.0, &task)];
    filling(&[("cpus", 9), ("mem", 18)], &two, "dppdppdpp", "", "cpus 0, mem 0");

    let a = client("a", 1.0, &[("cpus", 1), ("mem", 1)]);
    let b = client("b", 1.0, &[("cpus", 1), ("mem", 8)]);
    let c = client("c", 1.0, &[("cpus", 4), ("mem", 2)]);
    let filling4 = fill(&amounts(&[("cpus", 100), ("mem", 400)]), &[a, b, c]);
    let tasks = BTreeMap::from([("a".into(), 40), ("b".into(), 20), ("c".into(), 10)]);
    assert_eq!(filling4.tasks, tasks);
    assert_eq!(filling4.left, amounts(&[("cpus", 0), ("mem", 180)]));

    let a = client("a", 3.0, &[("cpus", 2), ("mem", 1)]);
    let b = client("b", 1.0, &[("cpus", 1), ("mem", 3)]);
    let shares = "1/15 3/20 2/15 1/5 3/10 4/15";
    filling(&[("cpus", 10), ("mem", 20)], &[a, b], "abaaba", shares, "cpus 0, mem 10");

    let a = client("a", 1.0, &[("cpus", 1), ("mem", 4), ("gpus", 1)]);
    let b = client("b", 1.0, &[("cpus", 2), ("mem", 4), ("gpus", 0)]);
    let total = [("cpus", 12), ("mem", 48), ("gpus", 4)];
    filling(&total, &[a, b], "abbababa", "", "cpus 0, gpus 0, mem 16");
}

#[test]
fn a_workload_wants_its_executors_up_to_cores_max() {
    let w = workload(Some(2), 1024, Some(9));
    let client = Client::of("nightly", 2.0, &w, &spark("3.5.1"));
    assert_eq!(client.demand, amounts(&[("cpus", 2), ("mem", 1408)]));
    let filling = fill(&amounts(&[("cpus", 100), ("mem", 100_000)]), &[client]);
    assert_eq!(filling.tasks["nightly"], 4);
    assert_eq!(filling.left, amounts(&[("cpus", 92), ("mem", 100_000 - 4 * 1408)]));
}

fn role(name: &str, weight: f64) -> Role {
    Role {
        name: name.to_owned(),
        weight,
        frameworks: vec![Framework { name: format!("{name}-1"), appetite: Appetite::All }],
        quota: Quota::default(),
    }
}

fn run(agents: &[Agent], roles: &[Role]) -> Allocation {
    cycle(agents, roles, &Rules { mesos: version("1.11.0"), excluded: Vec::new() })
}

fn grants(allocation: &Allocation) -> String {
    let list = allocation.grants.iter();
    let cpus = |grant: &Grant| grant.amounts.get("cpus").copied().unwrap_or(0) / 1000;
    list.map(|g| format!("{}:{}={}", g.agent, g.role, cpus(g))).collect::<Vec<_>>().join(" ")
}

#[test]
fn vector_7_weights_order_whole_agents() {
    let six = run(&agents(6, "cpus:4;mem:8192"), &[role("dev", 1.0), role("prod", 2.0)]);
    assert_eq!(grants(&six), "a1:dev=4 a2:prod=4 a3:prod=4 a4:dev=4 a5:prod=4 a6:prod=4");
    assert_eq!(six.shares["dev"], Share::new(1, 3));
    assert_eq!(six.shares["prod"], Share::new(1, 3));
}

#[test]
fn vector_8_ties_go_by_count_then_name() {
    let list = [
        agent("a1", "cpus:8;mem:8192"),
        agent("a2", "cpus:4;mem:16384"),
        agent("a3", "cpus:2;mem:4096"),
        agent("a4", "cpus:2;mem:4096"),
    ];
    let end = run(&list, &[role("y", 1.0), role("x", 1.0)]);
    assert_eq!(grants(&end), "a1:x=8 a2:y=4 a3:x=2 a4:y=2");
    assert_eq!((end.shares["x"], end.shares["y"]), (Share::new(5, 8), Share::new(5, 8)));
}

#[test]
fn vector_9_reservations_serve_their_role_alone() {
    let two = agents(2, "cpus:2;cpus(r):2");
    let both = run(&two, &[role("r", 1.0), role("*", 1.0)]);
    assert_eq!(grants(&both), "a1:*=2 a1:r=2 a2:*=2 a2:r=2");
    assert_eq!((both.shares["*"], both.shares["r"]), (Share::new(1, 2), Share::new(1, 2)));
    assert_eq!(grants(&run(&two, &[role("r", 1.0)])), "a1:r=4 a2:r=4");
    let star = run(&two, &[role("*", 1.0)]);
    assert_eq!((grants(&star).as_str(), star.idle["cpus"]), ("a1:*=2 a2:*=2", 4000));
    // Before 0.27 reservations do not count: r stands at 0 after its reserved half.
    let old = Rules { mesos: version("0.26.0"), excluded: Vec::new() };
    let old = cycle(&two, &[role("r", 1.0), role("*", 1.0)], &old);
    assert_eq!(grants(&old), "a1:*=2 a1:r=2 a2:r=4");
}

#[test]
fn vector_10_quota_is_served_first_and_held_back() {
    let one = agents(1, "cpus:10;mem:1024");
    let six = amounts(&[("cpus", 6)]);
    let quota = |limit: Amounts, appetite| {
        let mut q = role("q", 1.0);
        q.quota = Quota { guarantee: six.clone(), limit };
        q.frameworks[0].appetite = appetite;
        [q, role("d", 1.0)]
    };
    let cpus = |allocation: &Allocation, role: &str| -> i64 {
        let mine = allocation.grants.iter().filter(|g| g.role == role);
        mine.map(|g| g.amounts.get("cpus").copied().unwrap_or(0) / 1000).sum()
    };
    let burst = run(&one, &quota(Amounts::new(), Appetite::All));
    assert_eq!((cpus(&burst, "q"), cpus(&burst, "d")), (10, 0));
    let limited = run(&one, &quota(six.clone(), Appetite::All));
    assert_eq!((cpus(&limited, "q"), cpus(&limited, "d")), (6, 4));
    let filtering = run(&one, &quota(Amounts::new(), Appetite::Nothing));
    assert_eq!((cpus(&filtering, "q"), cpus(&filtering, "d")), (0, 4));
    assert_eq!(filtering.idle["cpus"], 6000);
    // Over two agents: what the first gave out is no longer there to be held back.
    let two = agents(2, "cpus:5;mem:1024");
    let filtering = run(&two, &quota(Amounts::new(), Appetite::Nothing));
    assert_eq!((cpus(&filtering, "d"), filtering.idle["cpus"]), (4, 6000));
}

#[test]
fn crumbs_are_not_offered() {
    let offered = |resources: &str, mesos: &str| {
        let rules = Rules { mesos: version(mesos), excluded: Vec::new() };
        !cycle(&agents(1, resources), &[role("r", 1.0)], &rules).grants.is_empty()
    };
    for (resources, now, before_0_21) in [
        ("cpus:0.01", true, false),
        ("cpus:0.009", false, false),
        ("mem:32", true, false),
        ("mem:31.9", false, false),
        ("cpus:1;mem:32", true, false),
        ("cpus:1;mem:32.001", true, true),
        ("cpus:0.009;mem:64", true, false),
    ] {
        assert_eq!(offered(resources, "1.11.0"), now, "{resources}");
        assert_eq!(offered(resources, "0.21.0"), now, "{resources}");
        assert_eq!(offered(resources, "0.20.1"), before_0_21, "{resources}");
    }
}

#[test]
fn excluded_resources_do_not_count() {
    // x holds all gpus; without them it has less than y.
    let list = [agent("a1", "cpus:2;gpus:4"), agent("a2", "cpus:4"), agent("a3", "cpus:2")];
    let roles = [role("x", 1.0), role("y", 1.0)];
    let with = |excluded: &[&str]| {
        let excluded = excluded.iter().map(|name| (*name).to_owned()).collect();
        grants(&cycle(&list, &roles, &Rules { mesos: version("1.11.0"), excluded }))
    };
    assert_eq!(with(&[]), "a1:x=2 a2:y=4 a3:y=2");
    assert_eq!(with(&["gpus"]), "a1:x=2 a2:y=4 a3:x=2");
}

/// `BLESS=1` writes it.
#[test]
fn the_schema_in_docs_is_that_of_the_picture() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/simulate.schema.json");
    let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), text, "run with BLESS=1");
}

/// Amounts are in the units of Mesos' resources, and what is printed is what the schema says.
#[test]
fn as_json_everything_is_in_one_unit() {
    let picture = picture_with(
        "w: { executors: { memory: 1GB } }",
        &["mesos.agents.p.resources.cpus=2.5".into()],
    );
    let json = serde_json::to_value(&picture).unwrap();
    assert_eq!(json["totals"]["cpus"], 10);
    assert_eq!(json["totals"]["mem"], 4 * 8192);
    let total = |cpus: &str| {
        let set = format!("mesos.agents.p.resources.cpus={cpus}");
        let json = serde_json::to_value(picture_with("w: { executors: { memory: 1GB } }", &[set]));
        json.unwrap()["totals"]["cpus"].clone()
    };
    assert_eq!(total("1.2"), 4.8);
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let errors: Vec<String> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

fn picture(workloads: &str) -> Outlook {
    picture_with(workloads, &[])
}

fn picture_with(workloads: &str, sets: &[String]) -> Outlook {
    let text = format!(
        "version: 1\ncluster: c\nhosts: {{ m1: {{ address: 10.0.0.1 }}, \"a[1:4]\": {{ address: \"10.0.1.[1:4]\" }} }}\n\
         zookeeper: {{ servers: {{ m1: 1 }} }}\nmesos:\n  version: 1.11.0\n  package: {{ preinstalled: true }}\n\
         \x20 roles: {{ etl: {{ weight: 3 }}, adhoc: {{ weight: 1 }} }}\n  masters: {{ hosts: [m1] }}\n\
         \x20 agents: {{ p: {{ hosts: [\"a[1:4]\"], resources: {{ cpus: 8, mem: 8192MB, disk: 50GB, ports: \"[31000-32000]\" }} }} }}\n\
         spark: {{ version: 3.5.1, archive: {{ url: \"https://x/y\", sha256: {} }}, defaults: {{ spark.cores.max: 1 }} }}\n\
         workloads: {{ {workloads} }}\n",
        "0a".repeat(32)
    );
    let inventory =
        load_text("i", text.as_bytes(), Path::new("/"), sets, Lab::No).expect("good").inventory;
    let all = applications(&inventory);
    let named = all.iter().filter(|a| a.name.is_some());
    let plans: Vec<Plan<'_>> = named
        .map(|a| Plan { name: a.title(), workload: &a.workload, settings: &a.settings })
        .collect();
    outlook(&inventory, &plans, Order::Inventory)
}

#[test]
fn applications_of_a_role_share_its_weight() {
    let each = |role: &str| {
        format!("{{ role: {role}, executors: {{ cores: 1, memory: 128MB }}, cores_max: 32 }}")
    };
    let list = format!("a: {}, b: {}, c: {}", each("etl"), each("etl"), each("adhoc"));
    let sharing = picture(&list).sharing;
    let executors: Vec<u64> = sharing
        .roles
        .iter()
        .flat_map(|role| role.frameworks.iter().map(|f| f.textbook_executors))
        .collect();
    // Of 32 cores adhoc's c gets a quarter, etl's a and b the rest by halves.
    assert_eq!(executors, [8, 12, 12]);
}

#[test]
fn what_holds_an_application_back_is_named() {
    let binds = |executors: &str, most: u32| {
        let text = format!("w: {{ executors: {{ {executors} }}, cores_max: {most} }}");
        picture(&text).executors[0].binds.clone()
    };
    // All of the cores that it may have, and one executor less.
    assert_eq!(binds("cores: 1, memory: 128MB", 8), BTreeMap::from([(Bind::CoresMax, 4)]));
    assert_eq!(binds("cores: 2, memory: 128MB", 32), BTreeMap::from([(Bind::CoresMax, 4)]));
    assert_eq!(binds("cores: 8, memory: 128MB", 100), BTreeMap::from([(Bind::Cpus, 4)]));
    // 8192 MiB hold 4 of 2048 to the last byte, and not 2 of 4097.
    let exact = "cores: 1, memory: 1664MB";
    assert_eq!(
        picture(&format!("w: {{ executors: {{ {exact} }}, cores_max: 99 }}")).executors[0]
            .executors,
        16
    );
    assert_eq!(binds(exact, 99), BTreeMap::from([(Bind::Mem, 4)]));
    // Room for one more of 4096 MiB to the byte, and the port is taken.
    let port = ["spark.defaults.spark.blockManager.port=31500".to_owned()];
    let one = "w: { executors: { cores: 1, memory: 3712MB }, cores_max: 99 }";
    let placed = &picture_with(one, &port).executors[0];
    assert_eq!((placed.executors, &placed.binds), (4, &BTreeMap::from([(Bind::Other, 4)])));
}

#[test]
fn before_1_9_a_guarantee_is_the_limit_of_whole_agents() {
    let guaranteed = |appetite| {
        let mut q = role("q", 1.0);
        q.quota.guarantee = amounts(&[("cpus", 6)]);
        q.frameworks[0].appetite = appetite;
        [q, role("d", 1.0)]
    };
    let at = |mesos: &str, agents: &[Agent], roles: &[Role]| {
        let rules = Rules { mesos: version(mesos), excluded: Vec::new() };
        grants(&cycle(agents, roles, &rules))
    };
    // The one agent goes whole to q, four more than it is guaranteed.
    let one = agents(1, "cpus:10;mem:1024");
    let all = guaranteed(Appetite::All);
    assert_eq!(at("1.8.0", &one, &all), "a1:q=10");
    // Three agents of 5: q is served with two, and then takes no part in what is left.
    let three = agents(3, "cpus:5;mem:1024");
    assert_eq!(at("1.8.0", &three, &all), "a1:q=5 a2:q=5 a3:d=5");
    // Nobody takes the guarantee: d gets an agent only while six cpus remain beside it.
    let filtering = guaranteed(Appetite::Nothing);
    assert_eq!(at("1.8.0", &one, &filtering), "");
    assert_eq!(at("1.8.0", &three, &filtering), "a1:d=5");
    assert_eq!(at("1.9.0", &three, &filtering), "a1:d=5 a2:d=4 a3:d=0");
}

#[test]
fn parents_compare_with_all_that_is_below_them() {
    let six = agents(6, "cpus:4;mem:8192");
    let roles = [role("a/x", 1.0), role("a/y", 1.0), role("b", 1.0)];
    // a and b take turns, and x and y within a's.
    let nested = run(&six, &roles);
    assert_eq!(grants(&nested), "a1:a/x=4 a2:b=4 a3:a/y=4 a4:b=4 a5:a/x=4 a6:b=4");
    // Before 1.3 a slash was a letter, and three roles take turns.
    let flat = cycle(&six, &roles, &Rules { mesos: version("1.2.0"), excluded: Vec::new() });
    assert_eq!(grants(&flat), "a1:a/x=4 a2:a/y=4 a3:b=4 a4:a/x=4 a5:a/y=4 a6:b=4");
    // A parent's weight is that of the whole family; it need not have a framework.
    let parent = Role { frameworks: Vec::new(), ..role("a", 2.0) };
    let weighty = run(&six, &[&roles[..], &[parent]].concat());
    assert_eq!(grants(&weighty), "a1:a/x=4 a2:b=4 a3:a/y=4 a4:b=4 a5:a/x=4 a6:a/y=4");
    // With a framework of its own it is one of its children.
    let own = run(&six, &[role("a", 1.0), role("a/x", 1.0), role("b", 1.0)]);
    assert_eq!(grants(&own), "a1:a=4 a2:b=4 a3:a/x=4 a4:b=4 a5:a=4 a6:b=4");
}

#[test]
fn before_1_7_3_frameworks_compare_by_what_their_role_holds() {
    let list = [
        agent("a1", "cpus:1;mem:900"),
        agent("a2", "cpus:4;mem:100"),
        agent("a3", "cpus:5;mem:9000"),
    ];
    let mut r = role("r", 1.0);
    r.frameworks.push(Framework { name: "r-2".to_owned(), appetite: Appetite::All });
    let last = |mesos: &str| {
        let rules = Rules { mesos: version(mesos), excluded: Vec::new() };
        cycle(&list, std::slice::from_ref(&r), &rules).grants.last().unwrap().framework.clone()
    };
    // Of the cluster r-1 has 1/10 of the cpus and r-2 4/10; of what the role holds 9/10 of the memory
    // and 4/5 of the cpus.
    assert_eq!(last("1.7.3"), "r-1");
    assert_eq!(last("1.7.2"), "r-2");
}

proptest! {
    #[test]
    fn shares_order_as_fractions_do(a in 0..u64::MAX, b in 1..u64::MAX, c in 0..u64::MAX, d in 1..u64::MAX) {
        let (a, b, c, d) = (u128::from(a), u128::from(b), u128::from(c), u128::from(d));
        prop_assert_eq!(Share::new(a, b).cmp(&Share::new(c, d)), (a * d).cmp(&(c * b)));
    }

    #[test]
    fn filling_gives_out_no_more_than_there_is(
        total in proptest::collection::vec(0_i64..50, 3),
        demands in proptest::collection::vec((proptest::collection::vec(0_i64..6, 3), 1_u8..5), 0..5),
    ) {
        let names = ["cpus", "mem", "gpus"];
        let named = |list: &[i64]| -> Amounts {
            names.iter().zip(list).map(|(n, a)| ((*n).to_owned(), *a)).collect()
        };
        let clients: Vec<Client> = demands.iter().enumerate().map(|(i, (demand, weight))| Client {
            name: format!("c{i}"),
            weight: f64::from(*weight),
            demand: named(demand),
            most_tasks: None,
        }).collect();
        let filling = fill(&named(&total), &clients);
        for (name, left) in &filling.left {
            let used: i64 = clients.iter()
                .map(|c| c.demand[name] * i64::try_from(filling.tasks[&c.name]).unwrap()).sum();
            prop_assert!(*left >= 0);
            prop_assert_eq!(used + left, named(&total)[name]);
        }
        for c in &clients {
            let asks = c.demand.values().any(|wants| *wants > 0);
            prop_assert!(!asks || c.demand.iter().any(|(n, wants)| *wants > filling.left[n]));
        }
    }

    #[test]
    fn a_cycle_gives_out_each_amount_once(
        list in proptest::collection::vec((1_u32..9, 1_u32..9), 1..8),
        weights in proptest::collection::vec(1_u8..5, 1..4),
    ) {
        let agents: Vec<Agent> = list.iter().enumerate()
            .map(|(i, (c, m))| agent(&format!("a{i}"), &format!("cpus:{c};mem:{};cpus(r0):1", m * 1024)))
            .collect();
        let roles: Vec<Role> = weights.iter().enumerate()
            .map(|(i, w)| role(&format!("r{i}"), f64::from(*w))).collect();
        let end = run(&agents, &roles);
        let mut sum = end.idle.clone();
        for (name, amount) in end.grants.iter().flat_map(|g| &g.amounts) {
            *sum.entry(name.clone()).or_default() += amount;
        }
        prop_assert_eq!(sum, totals(&agents));
    }
}

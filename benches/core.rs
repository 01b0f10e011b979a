//! The pure core at 10 to 10,000 hosts: what every command does before and between looking at hosts.
//! Each group reports hosts per second; where that figure falls with size, growth is not linear.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use provision::internals::{
    Answer, Desired, Facts, Inventory, Lab, Look, Observed, Order, Plan, Scope, Seen, Templates,
    World, applications, desire, load_text, outlook, plan, probes,
};

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];

fn reading(c: &mut Criterion) {
    let mut group = c.benchmark_group("load+check");
    for hosts in SIZES {
        let text = inventory_text(hosts);
        group.throughput(Throughput::Elements(hosts as u64));
        group.bench_function(BenchmarkId::from_parameter(hosts), |b| {
            b.iter(|| load(black_box(&text)));
        });
    }
}

fn wishing(c: &mut Criterion) {
    let templates = templates();
    let mut group = c.benchmark_group("desire (renders)");
    for hosts in SIZES {
        let inventory = load(&inventory_text(hosts));
        group.throughput(Throughput::Elements(hosts as u64));
        group.bench_function(BenchmarkId::from_parameter(hosts), |b| {
            b.iter(|| wish(black_box(&inventory), &templates));
        });
    }
}

fn asking(c: &mut Criterion) {
    let templates = templates();
    let mut group = c.benchmark_group("probes");
    for hosts in SIZES {
        let inventory = load(&inventory_text(hosts));
        let desired = wish(&inventory, &templates);
        group.throughput(Throughput::Elements(hosts as u64));
        group.bench_function(BenchmarkId::from_parameter(hosts), |b| {
            b.iter(|| probes(black_box(&inventory), &desired));
        });
    }
}

fn planning(c: &mut Criterion) {
    let templates = templates();
    for (name, fresh) in [("plan, converged", Hosts::Converged), ("plan, fresh", Hosts::Fresh)] {
        let mut group = c.benchmark_group(name);
        for hosts in SIZES {
            let inventory = Arc::new(load(&inventory_text(hosts)));
            let desired = wish(&inventory, &templates);
            let observed = observed(&inventory, &desired, fresh);
            let scope = Scope::default();
            group.throughput(Throughput::Elements(hosts as u64));
            group.bench_function(BenchmarkId::from_parameter(hosts), |b| {
                b.iter(|| plan(black_box(&inventory), &templates, &desired, &observed, &scope));
            });
        }
    }
}

fn simulating(c: &mut Criterion) {
    let mut group = c.benchmark_group("simulate (executors and DRF)");
    for hosts in SIZES {
        let inventory = load(&inventory_text(hosts));
        group.throughput(Throughput::Elements(hosts as u64));
        group.bench_function(BenchmarkId::from_parameter(hosts), |b| {
            b.iter(|| simulate(black_box(&inventory)));
        });
    }
}

/// What hosts answer.
#[derive(Clone, Copy)]
enum Hosts {
    Converged,
    Fresh,
}

fn simulate(inventory: &Inventory) -> usize {
    let applications = applications(inventory);
    let plans: Vec<Plan<'_>> = applications
        .iter()
        .map(|application| Plan {
            name: application.title(),
            workload: &application.workload,
            settings: &application.settings,
        })
        .collect();
    outlook(inventory, &plans, Order::Inventory).agents
}

fn observed(inventory: &Inventory, desired: &Desired, hosts: Hosts) -> Observed {
    let answer = |host| Answer {
        looks: desired
            .of(host)
            .map(|(_, wish)| {
                let facts = match hosts {
                    Hosts::Converged => wish.resource.want(),
                    Hosts::Fresh => Facts::new(),
                };
                (wish.resource.id(), Look::Facts(facts))
            })
            .collect(),
        ..Answer::default()
    };
    let hosts = inventory.hosts.keys().map(|host| (host.clone(), Seen::Answered(answer(host))));
    Observed { hosts: hosts.collect(), ..Observed::default() }
}

fn wish(inventory: &Inventory, templates: &Templates) -> Desired {
    desire(&World { inventory, templates }).expect("every template renders")
}

fn templates() -> Templates {
    Templates::new(&BTreeMap::new()).expect("built-in templates parse")
}

fn load(text: &str) -> Inventory {
    match load_text("bench.yaml", text.as_bytes(), Path::new("/"), &[], Lab::No) {
        Ok(loaded) => loaded.inventory,
        Err(refused) => panic!("{:?}", refused.problems.first()),
    }
}

/// Agents in pools of 200 with templates, attributes and reservations; three masters.
fn inventory_text(agents: usize) -> String {
    let mut hosts = String::from("  m[1:3]: { address: \"10.0.0.1[1:3]\" }\n");
    let mut pools = String::new();
    for first in (0..agents).step_by(200) {
        let (pool, count) = (first / 200, (agents - first).min(200));
        hosts.push_str(&format!(
            "  p{pool}a[1:{count}]: {{ address: \"10.1.{pool}.[1:{count}]\", vars: {{ rack: r{pool} }} }}\n"
        ));
        pools.push_str(&format!(
            "    pool{pool}:\n      hosts: [\"p{pool}a[1:{count}]\"]\n      \
             attributes: {{ rack: \"{{{{ host.vars.rack }}}}\", os: debian-12 }}\n      \
             resources: {{ cpus: 16, mem: 60GB, disk: 400GB, ports: \"[31000-32000]\" }}\n      \
             reserved: {{ etl: {{ cpus: 4, mem: 16GB }} }}\n      batch: 20%\n"
        ));
    }
    let digest = "0".repeat(128);
    format!(
        "version: 1\ncluster: bench\nssh: {{ user: ops, become: true }}\nhosts:\n{hosts}\
         zookeeper: {{ servers: {{ m1: 1, m2: 2, m3: 3 }} }}\n\
         mesos:\n  version: 1.11.0\n  package: {{ preinstalled: true }}\n  \
         roles: {{ etl: {{ weight: 2 }}, adhoc: {{ weight: 1 }} }}\n  masters: {{ hosts: [m1, m2, m3] }}\n  \
         agents:\n{pools}\
         spark:\n  version: 3.5.1\n  archive: {{ url: \"https://mirror.example/spark.tgz\", sha512: {digest} }}\n  \
         image: {{ tag: spark-mesos, base: \"debian:bookworm-slim\" }}\n  \
         defaults: {{ spark.cores.max: 40, spark.mesos.role: etl }}\n  clients: {{ hosts: [m1] }}\n\
         workloads:\n  nightly: {{ role: etl, executors: {{ cores: 4, memory: 12GB }}, cores_max: 120 }}\n  \
         notebooks: {{ role: adhoc, executors: {{ cores: 2, memory: 4GB }}, cores_max: 40 }}\n"
    )
}

criterion_group! {
    name = core;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = reading, wishing, asking, planning, simulating
}
criterion_main!(core);

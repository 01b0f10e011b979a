//! `check`, `render` and `simulate` of 10 to 10,000 hosts in two pools, a template in every attribute.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use provision::internals::{
    Inventory, Lab, Order, Plan, Templates, applications, files, load_text, outlook,
};

fn offline(c: &mut Criterion) {
    let templates = Templates::new(&BTreeMap::new()).expect("our templates");
    for hosts in [10, 100, 1_000, 10_000] {
        let text = text(hosts);
        let inventory = load(&text);
        let mut group = c.benchmark_group("offline");
        group.sample_size(10);
        group.bench_with_input(BenchmarkId::new("check", hosts), &text, |b, text| {
            b.iter(|| black_box(load(text)));
        });
        group.bench_with_input(BenchmarkId::new("render", hosts), &inventory, |b, inventory| {
            b.iter(|| black_box(files(inventory.clone(), &templates, None)));
        });
        group.bench_with_input(BenchmarkId::new("simulate", hosts), &inventory, |b, inventory| {
            b.iter(|| black_box(simulate(inventory)));
        });
        group.finish();
    }
}

fn load(text: &str) -> Inventory {
    let loaded = load_text("bench.yaml", text.as_bytes(), Path::new("/"), &[], Lab::No);
    loaded.unwrap_or_else(|refused| panic!("{:?}", refused.problems)).inventory
}

fn simulate(inventory: &Inventory) -> usize {
    let applications = applications(inventory);
    let plans: Vec<Plan<'_>> = applications
        .iter()
        .map(|a| Plan { name: a.title(), workload: &a.workload, settings: &a.settings })
        .collect();
    outlook(inventory, &plans, Order::Inventory).executors.len()
}

/// An inventory of so many agents and three masters.
fn text(agents: usize) -> String {
    let mut hosts = String::new();
    let width = 200.min(agents);
    for block in 0..agents.div_ceil(width) {
        let (first, last) = (block * width + 1, ((block + 1) * width).min(agents));
        let _ = writeln!(
            hosts,
            "  a[{first}:{last}]: {{ address: \"10.{}.{}.[1:{}]\", vars: {{ rack: r{} }} }}",
            1 + block / 200,
            block % 200,
            last - first + 1,
            block % 4
        );
    }
    let half = agents / 2;
    let pool = |name: &str, first: usize, last: usize, cpus: usize| {
        format!(
            "    {name}:\n      hosts: [\"a[{first}:{last}]\"]\n      vars: {{ cpus: {cpus} }}\n      \
             attributes: {{ rack: \"{{{{ host.vars.rack }}}}\", name: \"x-{{{{ host.name }}}}\", pool: \"{{{{ host.pool }}}}\", dc: \"{{{{ vars.dc }}}}\" }}\n      \
             resources: {{ cpus: \"{{{{ vars.cpus }}}}\", mem: \"{{{{ vars.cpus * 4 }}}}GB\", disk: 100GB, ports: \"[31000-32000]\" }}\n      \
             reserved: {{ etl: {{ cpus: \"{{{{ vars.cpus / 2 }}}}\", mem: 4GB }} }}\n"
        )
    };
    let pools = pool("small", 1, half, 8) + &pool("large", half + 1, agents, 16);
    let digest = "0".repeat(128);
    format!(
        "version: 1\ncluster: bench\nvars: {{ dc: seoul }}\nhosts:\n  m[1:3]: {{ address: \"10.0.0.[1:3]\" }}\n{hosts}\
         zookeeper: {{ servers: {{ m1: 1, m2: 2, m3: 3 }} }}\nmesos:\n  version: 1.11.0\n  package: {{ preinstalled: true }}\n  \
         roles: {{ etl: {{ weight: 2 }}, adhoc: {{ weight: 1 }} }}\n  masters: {{ hosts: [\"m[1:3]\"] }}\n  agents:\n{pools}\
         spark:\n  version: 3.5.1\n  archive: {{ url: \"https://files.example/spark.tgz\", sha512: \"{digest}\" }}\n  \
         defaults: {{ spark.cores.max: 8 }}\n  clients: {{ hosts: [m1] }}\n\
         workloads:\n  nightly: {{ role: etl, executors: {{ cores: 2, memory: 4GB }}, cores_max: 4000, constraints: \"rack:r1\" }}\n  \
         notebook: {{ role: adhoc, executors: {{ cores: 1, memory: 2GB }}, cores_max: 100 }}\n"
    )
}

criterion_group!(benches, offline);
criterion_main!(benches);

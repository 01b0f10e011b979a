//! Whatever is in a file: no panic, bounded work, and every problem has its place.

use proptest::prelude::*;
use provision::ground::Problem;
use provision::inventory::select::select;
use provision::inventory::show::{Style, show};
use provision::lints::load::{Lab, load_text};
use provision::mesos::values::{Attributes, Resources, Value};
use std::path::Path;

use super::{bad, design, good, host};

#[test]
fn ten_thousand_hosts_with_templates_everywhere_load() {
    let inventory =
        good(load_text("big", big().as_bytes(), Path::new("/"), &[], Lab::No)).inventory;
    assert_eq!(inventory.agents().count(), 10_000);
    let agent = inventory.agent(&host("a777")).unwrap();
    assert_eq!(agent.attributes.0["name"], Value::Text("a777-r1".to_owned()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2 * ProptestConfig::default().cases, ..ProptestConfig::default() })]

    #[test]
    fn mutated_bytes_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), mutation()), 1..6),
    ) {
        let mut bytes = design();
        for (at, (drop, insert)) in edits {
            let start = at.index(bytes.len().max(1)).min(bytes.len());
            let end = (start + drop).min(bytes.len());
            bytes.splice(start..end, insert);
        }
        if let Err(refused) = load_text("m.yaml", &bytes, Path::new("/nowhere"), &[], Lab::No) {
            prop_assert!(!refused.problems.is_empty());
            for problem in &refused.problems {
                let shown = show(problem, provision::lints::reason(problem.name), &refused.text, Style::Plain);
                let escape = char::from(27);
                prop_assert!(!shown.contains(escape));
            }
        }
    }
}

/// Every field whose text has a grammar of its own, given text of that grammar's letters.
const FIELDS: [&str; 17] = [
    "hosts.b[1:2].address=",
    "hosts.m1.address=",
    "zookeeper.external=",
    "zookeeper.servers.m1=",
    "mesos.version=",
    "mesos.agents.p.hosts.0=",
    "mesos.agents.p.batch=",
    "mesos.agents.p.attributes.rack=",
    "mesos.agents.p.resources.mem=",
    "mesos.agents.p.resources.ports=",
    "mesos.agents.p.reserved.etl.cpus=",
    "mesos.roles.etl.weight=",
    "ssh.connect_timeout=",
    "workloads.w.executors.memory=",
    "workloads.w.executors.cores=",
    "workloads.w.constraints=",
    "",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn fields_never_panic_and_end_in_a_place(
        field in prop::sample::select(FIELDS.to_vec()),
        text in prop_oneof!["[a-c0-9:;,()\\[\\]{}.*/ =%@_-]{0,20}", "[0-9.]{1,6}[a-zA-Z%]{0,4}", any::<String>()],
    ) {
        let sets = vec![format!("{field}{text}")];
        let small = "version: 1\ncluster: c\nhosts: { m1: { address: 10.0.0.1 }, \"b[1:2]\": { address: \"10.0.1.[1:2]\" } }\n\
            zookeeper: { servers: { m1: 1 } }\nmesos:\n  version: 1.11.0\n  package: { preinstalled: true }\n  \
            masters: { hosts: [m1] }\n  agents: { p: { hosts: [\"b[1:2]\"], resources: { cpus: 4, mem: 8GB } } }\n\
            workloads: { w: { executors: { memory: 1GB } } }\n";
        match load_text("s.yaml", small.as_bytes(), Path::new("/nowhere"), &sets, Lab::No) {
            Ok(loaded) => {
                // What Mesos would be given reads back as it was meant.
                let version = &loaded.inventory.mesos.version;
                for (_, _, agent) in loaded.inventory.agents() {
                    let read = Attributes::parse(&agent.attributes.to_string(), version).unwrap();
                    prop_assert_eq!(&read, &agent.attributes);
                    let read = Resources::parse(&agent.resources.to_string(), version).unwrap();
                    prop_assert_eq!(&read.0, &agent.resources.0);
                }
                prop_assert!(loaded.inventory.zookeeper_url().starts_with("zk://"));
                let _ = select(&loaded.inventory, &text);
            }
            Err(refused) => {
                // An override without `=` stands nowhere.
                let placed = |p: &Problem| p.place.is_some() || p.name == "bad-override";
                prop_assert!(refused.problems.iter().all(placed), "{refused:?}");
            }
        }
    }
}

fn mutation() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let tokens = prop::sample::select(vec![
        "[", "]", "{", "}", ":", ",", "\n", "\t", "'", "\"", "&a ", "*a", "!t ", "<<: ", "- ",
        "---\n", "{{ x }}", "{% if %}", "[1:9]", "[9:1]", "\0", "~", "|", ">", "#", "\u{feff}",
        "\r",
    ]);
    let insert = prop_oneof![
        tokens.prop_map(|t| t.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    (0_usize..20, insert)
}

fn big() -> String {
    r#"
version: 1
cluster: big
vars: { dc: seoul }
hosts:
  m1: { address: 10.9.0.1 }
  a[1:200]: { address: "10.1.0.[1:200]", vars: { rack: r1 } }
  PLACEHOLDER
zookeeper: { servers: { m1: 1 } }
mesos:
  version: 1.11.0
  package: { preinstalled: true }
  masters: { hosts: [m1] }
  agents:
    all:
      hosts: ["a[1:10000]"]
      vars: { cpus: 8 }
      attributes:
        rack: "{{ host.vars.rack }}"
        name: "{{ host.name }}-{{ host.vars.rack }}"
        dc: "{{ vars.dc }}"
        pool: "{{ host.pool }}"
      resources: { cpus: "{{ vars.cpus }}", mem: "{{ vars.cpus * 2 }}GB" }
      reserved: { etl: { cpus: "{{ vars.cpus / 2 }}" } }
"#
    .replace("  PLACEHOLDER\n", &lines())
}

fn lines() -> String {
    (1..50)
        .map(|i| {
            let (first, last) = (i * 200 + 1, i * 200 + 200);
            format!(
                "  a[{first}:{last}]: {{ address: \"10.1.{i}.[1:200]\", vars: {{ rack: r1 }} }}\n"
            )
        })
        .collect()
}

#[test]
fn hostile_files_end_in_bounded_work() {
    let long = "x".repeat(7 << 20);
    let ranges: String = (0..2000).map(|i| format!("  a{i}[1:100000]: {{}}\n")).collect();
    let unknown = "zzz,".repeat(100_000);
    for text in [
        format!("cluster: {long}"),
        format!("cluster: [{}]", "a,".repeat(1 << 20)),
        format!("hosts:\n{ranges}"),
        format!("hosts:\n{}", ranges.replace("100000", "50000")),
        format!("hosts: {{ a[1:9999]: {{}} }}\nretired: [{unknown}]"),
        format!("{}: 1", "? a\n: ".repeat(1000)),
        "&a ".repeat(100_000),
        format!("a: '{}", "\n".repeat(1 << 20)),
    ] {
        let refused = bad(load_text("h", text.as_bytes(), Path::new("/"), &[], Lab::No));
        show(
            &refused.problems[0],
            provision::lints::reason(refused.problems[0].name),
            &refused.text,
            Style::Plain,
        );
        assert!(refused.problems[0].message.len() < 1000);
        if text.contains("100000]") {
            assert!(refused.problems.iter().any(|p| p.name == "bad-range"));
        }
        if text.contains("a1[1:50000]") {
            assert!(refused.problems.iter().any(|p| p.name == "too-many-hosts"));
        }
    }
}

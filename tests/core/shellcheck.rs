//! ShellCheck reads every script that the example inventories lead to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::sync::Arc;

use provision::apply::seed::{self, Keys};
use provision::ground::HostName;
use provision::ground::digest::Algorithm;
use provision::inventory::{Inventory, Proxy};
use provision::mesos::asking::knowing;
use provision::observe;
use provision::plan::{Action, Plan, Stage, Wave, preflight};
use provision::resource::fetched::CACHE;
use provision::resource::image::{Copied, Image, Origin};
use provision::resource::{Gap, Kind as _};
use provision::script::{Fix, Step};
use provision::tasks::{Desired, Task, Wish, World, desire};

use super::scripts::by_verbs;
use super::support::world;

/// What is not looked for, and why.
const EXCLUDED: [(&str, &str); 7] = [
    ("SC2317", "the library's functions are there whether a fix calls them or not"),
    ("SC2012", "names in `examples/jars` are Spark's own"),
    ("SC2043", "a list of one directory is a list all the same"),
    ("SC1078", "a secret with quotes in it, quoted, looks like a string that is not closed"),
    ("SC1079", "the same, where it ends"),
    ("SC2016", "a program for a second shell stands in single quotes on purpose"),
    ("SC3013", "dash, bash and busybox know `-ef`, and POSIX since 2024"),
];

#[test]
fn every_script_passes_shellcheck() {
    let there = Command::new("shellcheck").arg("--version").output().is_ok();
    assert!(there, "there is no shellcheck here; run: sh tests/assets/tools.sh");
    let mut scripts: BTreeMap<String, String> = BTreeMap::new();
    for name in ["demo", "production", "single-host", "air-gapped"] {
        collect(name, &mut scripts);
    }
    for resource in by_verbs() {
        for step in resource.fix(&[]) {
            let fix = match step {
                Step::Run(fix) | Step::Reboot(fix) => fix,
                Step::Lead(fix) => fix.after(&knowing("http://10.0.0.1:5050")),
                Step::Fetch(handed) => handed.make,
                Step::Push(_) => continue,
            };
            scripts.insert(fix.script(|_| String::new()), format!("verbs: {}", resource.id()));
        }
    }
    for (script, of) in between_hosts() {
        let script = Fix::new(script).script(|_| String::new());
        scripts.insert(script, format!("between hosts: {of}"));
    }
    assert!(scripts.len() > 40, "only {} scripts", scripts.len());
    let folder = tempfile::tempdir().unwrap();
    let mut names = BTreeMap::new();
    for (number, (script, of)) in scripts.iter().enumerate() {
        let path = folder.path().join(format!("{number}.sh"));
        fs::write(&path, script).unwrap();
        names.insert(format!("{number}.sh"), of.clone());
    }
    let codes: Vec<&str> = EXCLUDED.iter().map(|(code, _)| *code).collect();
    let output = Command::new("shellcheck")
        .args(["-s", "sh", "-f", "gcc", "-e", &codes.join(",")])
        .args(names.keys())
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // Dozens of scripts share their text; each finding is wanted once.
    let findings: BTreeSet<String> = said
        .lines()
        .map(|line| {
            let (file, rest) = line.split_once(':').unwrap_or((line, ""));
            let what = rest.splitn(3, ':').nth(2).unwrap_or(rest);
            let line: usize = rest.split(':').next().and_then(|n| n.parse().ok()).unwrap_or(1);
            let text = fs::read_to_string(folder.path().join(file)).unwrap_or_default();
            format!("{what}\n    {}", text.lines().nth(line - 1).unwrap_or(""))
        })
        .collect();
    let first = said.lines().next().and_then(|line| line.split(':').next()).unwrap_or("");
    assert!(
        findings.is_empty(),
        "first in {:?}:\n{}",
        names.get(first),
        findings.into_iter().collect::<Vec<_>>().join("\n")
    );
}

/// What takes files from host to host, with what each does.
pub(crate) fn between_hosts() -> Vec<(String, &'static str)> {
    let a1 = HostName::new("a1");
    let keys = Keys { server: "ssh-ed25519 AAAA".into(), client: "the key\nof the run".into() };
    let digest = Algorithm::Sha256.digest(&"0".repeat(64)).expect("a digest");
    let fetch = seed::fetch(&a1, "10.0.0.1", &keys, CACHE, "0123456789abcdef-mesos.deb", &digest);
    let copied = Copied { from: a1, inputs: "0".repeat(64), build: None };
    let (origin, proxy) = (Origin::Copy(copied), Proxy::default());
    let image = Image { name: "spark-mesos".to_owned(), origin, proxy };
    let made = image.fix(&[]).into_iter().map(|step| match step {
        Step::Fetch(handed) => (handed.make, "an image is handed over"),
        Step::Run(fix) => (fix, "an image is loaded"),
        other => panic!("{other:?}"),
    });
    let fixes = [(seed::serve("10.0.0.1"), "a host serves"), (fetch, "a file is fetched")];
    let fixes = fixes.into_iter().chain(made).map(|(fix, of)| (fix.text().to_owned(), of));
    fixes.chain([(seed::keys().script("NONCE"), "keys are asked for")]).collect()
}

fn collect(name: &str, scripts: &mut BTreeMap<String, String>) {
    let path = format!("{}/inventories/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let sets: &[&str] = if name == "demo" {
        &[
            "mesos.package.deb=mesos_1.11.0_amd64.deb",
            "spark.archive.path=spark-3.5.1-bin-hadoop3.tgz",
            "docker.images.0.archive=debian-bookworm-slim.tar",
        ]
    } else {
        &[]
    };
    let inventory = world::inventory(&fs::read_to_string(path).unwrap(), sets);
    let context = World { inventory: &inventory, templates: world::templates() };
    let desired = desire(&context).unwrap();
    let mut add = |script: String, of: String| {
        scripts.entry(script).or_insert(of);
    };
    for (host, probe) in observe::probes(&inventory, &desired) {
        add(probe.script("NONCE"), format!("{name}: {host}: probe"));
        let preflight = preflight::probe(&inventory, &installs(&inventory, &desired, &host), &host);
        add(preflight.script("NONCE"), format!("{name}: {host}: preflight"));
    }
    for host in inventory.hosts.keys() {
        for (task, wish) in desired.of(host) {
            let resource = &wish.resource;
            let of = format!("{name}: {host}: {task}: {}", resource.id());
            // Nothing of it is there, and in an owned directory lies what should not.
            let gaps: Vec<Gap> = resource
                .want()
                .into_iter()
                .map(|(fact, want)| {
                    let seen = (fact == "strays").then(|| "a b\n$HOME".to_owned());
                    Gap { fact, seen, want }
                })
                .collect();
            for step in resource.fix(&gaps) {
                let fix = match step {
                    Step::Run(fix) => fix,
                    Step::Lead(fix) => fix.after(&knowing("http://10.0.0.1:5050")),
                    Step::Fetch(handed) => handed.make,
                    Step::Reboot(_) | Step::Push(_) => continue,
                };
                add(fix.script(|_| "a 'secret'".to_owned()), of.clone());
            }
            if let Some(undo) = resource.undo() {
                add(Fix::new(undo).script(|_| String::new()), of.clone());
            }
            if let Some(stamp) = resource.stamp() {
                add(stamp.script(|_| String::new()), of.clone());
            }
        }
    }
}

/// A plan that installs every package of a host.
fn installs(inventory: &Inventory, desired: &Desired, host: &HostName) -> Plan {
    let wishes = desired.of(host).filter(|(_, wish)| wish.resource.id().kind == "packages");
    let action = |(task, wish): (Task, &Wish)| Action::new(task, wish.resource.clone(), Vec::new());
    let hosts = BTreeMap::from([(host.clone(), wishes.map(action).collect())]);
    let (title, members) = (String::new(), BTreeMap::new());
    let (waves, inventory) = (vec![Wave { hosts }], Arc::new(inventory.clone()));
    let stage = Stage::new(&inventory, None, title, waves, members);
    Plan { stages: vec![stage], ..Plan::default() }
}

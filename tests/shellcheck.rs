//! ShellCheck reads every script that the example inventories lead to. Where it is not installed there
//! is nothing to say.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use provision::observe;
use provision::preflight;
use provision::resource::{Gap, Resource};
use provision::script::Step;
use provision::tasks::{World, desire};

#[expect(dead_code, reason = "only inventories are needed here")]
#[path = "support/world.rs"]
mod world;

/// What is not looked for, and why.
const EXCLUDED: [(&str, &str); 4] = [
    ("SC2317", "the library's functions are there whether a fix calls them or not"),
    ("SC2012", "names in `examples/jars` are Spark's own"),
    ("SC2043", "a list of one directory is a list all the same"),
    ("SC2016", "a program for a second shell stands in single quotes on purpose"),
];

#[test]
fn every_script_passes_shellcheck() {
    if Command::new("shellcheck").arg("--version").output().is_err() {
        return;
    }
    let mut scripts: BTreeMap<String, String> = BTreeMap::new();
    for name in ["demo", "production", "single-host", "air-gapped"] {
        collect(name, &mut scripts);
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
    let context = World { inventory: &inventory, templates: world::templates(), live: None };
    let desired = desire(&context).unwrap();
    let mut add = |script: String, of: String| {
        scripts.entry(script).or_insert(of);
    };
    for (host, probe) in observe::probes(&inventory, &desired) {
        add(probe.script("NONCE"), format!("{name}: {host}: probe"));
        let preflight = preflight::probe(&inventory, &host);
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
                if let Step::Run(fix) = step {
                    add(fix.script(|_| "a 'secret'".to_owned()), of.clone());
                }
            }
            if let Resource::Service(service) = resource {
                add(service.stamp().script(|_| String::new()), of.clone());
            }
        }
    }
}

//! Whole files: each bad one says exactly what is wrong, the repository's own load, real ones check clean.

use provision::inventory::show::{Style, show};
use provision::inventory::{MesosPackage, Source};
use provision::lints::load::{Lab, load_text};
use provision::mesos::values::Value;
use std::fs;
use std::path::PathBuf;

use super::{DEMO, Files, design, good, host, root};

/// What stands behind `error(` up to the end of its statement.
fn statement(text: &str) -> &str {
    let mut depth = 0;
    let end = text.char_indices().find(|(_, c)| {
        depth += i32::from("([{".contains(*c)) - i32::from(")]}".contains(*c));
        depth < 0 || (depth == 0 && *c == ';')
    });
    end.map_or(text, |(at, _)| &text[..at])
}

/// What is wrong with an inventory gets its cure from `inventory::cure`, which the cases below hold; a finding on
/// hosts has nobody else to give it one.
#[test]
fn every_finding_of_preflight_says_what_to_do() {
    let folder = root().join("src/plan/preflight");
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (at, _) in code.match_indices("error(").filter(|(at, _)| !code[..*at].ends_with("::")) {
            let said = statement(&code[at..]);
            // The declaration, and what gives each its own.
            let shared = said.starts_with("error(name: ") || said.starts_with("error(\"stranger\"");
            assert!(shared || said.contains(".help("), "{}: {said}", file.display());
        }
    }
}

/// One case: NAME.yaml, its one-line problems in NAME.expected. Lines of the YAML that begin with
/// `# -e ` are overrides. A new case is a new file; `BLESS=1` writes what is missing.
#[test]
fn bad_inventories_say_what_is_wrong() {
    let folder = root().join("tests/inventories-bad");
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    cases.sort();
    assert!(cases.len() >= 30, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let bytes = fs::read(&case).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let sets: Vec<String> =
            text.lines().filter_map(|l| l.strip_prefix("# -e ")).map(str::to_owned).collect();
        let name = case.file_name().unwrap().to_str().unwrap();
        let problems = match load_text(name, &bytes, &folder, &sets, Lab::No) {
            Ok(loaded) => loaded.warnings,
            Err(refused) => refused.problems,
        };
        for problem in &problems {
            let cured = problem.help.as_ref().is_some_and(|help| !help.is_empty());
            assert!(cured, "{name}: nobody says what to do: {problem}");
            show(problem, provision::lints::reason(problem.name), &text, Style::Plain);
        }
        // Hardly any case has credentials; one is about that.
        let said =
            problems.iter().filter(|p| p.name != "open-ports" || name == "lint-open-ports.yaml");
        let got: Vec<String> = said.map(ToString::to_string).collect();
        // Where this repository lies is nobody's business.
        let got = (got.join("\n") + "\n").replace(&format!("{}/", folder.display()), "");
        let expected = case.with_extension("expected");
        if std::env::var_os("BLESS").is_some() && !expected.exists() {
            fs::write(&expected, &got).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != got {
            wrong.push(format!("--- {name}\n{got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_inventories_of_the_repository_load_without_warnings() {
    let files = Files::new();
    let mut seen = 0;
    for entry in fs::read_dir(root().join("inventories")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "yaml") {
            continue;
        }
        let text = fs::read(&path).unwrap();
        let sets: Vec<String> = match path.file_stem().unwrap().to_str().unwrap() {
            // It is there to be found out; see tests/lints.rs.
            "tutorial" => continue,
            "demo" => DEMO.map(str::to_owned).to_vec(),
            _ => Vec::new(),
        };
        let loaded = good(load_text("x.yaml", &text, files.path(), &sets, Lab::No));
        assert!(loaded.warnings.is_empty(), "{}: {:?}", path.display(), loaded.warnings);
        seen += 1;
    }
    assert!(seen >= 5);
}

#[test]
fn the_example_of_the_design_means_what_it_says() {
    let files = Files::new();
    let loaded = good(load_text("inventory.yaml", &design(), files.path(), &[], Lab::No));
    let warnings: Vec<&str> = loaded.warnings.iter().map(|w| w.name).collect();
    assert_eq!(warnings, Vec::<&str>::new());
    let inventory = loaded.inventory;
    assert_eq!(inventory.hosts.len(), 23);
    assert_eq!(inventory.quorum(), 2);
    assert_eq!(
        inventory.zookeeper_url(),
        "zk://10.0.0.11:2181,10.0.0.12:2181,10.0.0.13:2181/mesos"
    );
    let a11 = host("a11");
    assert_eq!(inventory.hosts[&a11].address.to_string(), "10.0.1.11");
    assert_eq!(inventory.hosts[&a11].hostname, "10.0.1.11");
    assert_eq!(inventory.hosts[&a11].pool.as_deref(), Some("compute"));
    let agent = inventory.agent(&a11).unwrap();
    assert_eq!(agent.attributes.0["rack"], Value::Text("r2".to_owned()));
    assert_eq!(agent.attributes.0["provision_host"], Value::Text("a11".to_owned()));
    let resource =
        |name: &str, role: &str| agent.resources.0.get(&(name.to_owned(), role.to_owned()));
    assert_eq!(resource("cpus", "etl"), Some(&Value::Scalar(4000)));
    assert_eq!(resource("cpus", "*"), Some(&Value::Scalar(4000)));
    assert_eq!(resource("mem", "*"), Some(&Value::Scalar(8 * 1024 * 1000)));
    assert_eq!(resource("ports", "*"), Some(&Value::Ranges(vec![(31000, 32000)])));
    assert_eq!(agent.flags["containerizers"], "docker,mesos");
    assert_eq!(agent.flags["executor_registration_timeout"], "5mins");
    assert_eq!(inventory.mesos.version.as_str(), "1.11.0");
    let MesosPackage::Deb { file: deb, .. } = &inventory.mesos.package else { panic!("a .deb") };
    assert!(matches!(&deb.source, Source::Path(p) if p.is_absolute()));
    assert_eq!(inventory.spark.unwrap().defaults["spark.cores.max"], "8");
    assert_eq!(inventory.allow.len(), 2);
    assert_eq!(inventory.digest.len(), 64);
}

/// What people really have: agents of other distributions, playbooks, odd ports, every line of zoo.cfg.
#[test]
fn real_configurations_check_clean() {
    let files = Files::new();
    let mut seen = 0;
    for entry in fs::read_dir(root().join("tests/inventories")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "design.yaml" {
            continue;
        }
        let text = fs::read(&path).unwrap();
        match load_text(&name, &text, files.path(), &[], Lab::No) {
            Ok(loaded) => {
                let said: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
                assert_eq!(said, Vec::<String>::new(), "{name}");
            }
            Err(refused) => {
                let said: Vec<String> = refused.problems.iter().map(ToString::to_string).collect();
                panic!("{name}:\n{}", said.join("\n"));
            }
        }
        seen += 1;
    }
    assert!(seen >= 7, "{seen}");
}

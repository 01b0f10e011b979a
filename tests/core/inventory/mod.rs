//! Inventories as users write them: the good ones load, each bad one says exactly what is wrong.

mod cases;
mod hostile;

use super::support::world::bytes_of;
use provision::ground::{HostName, Problem};
use provision::inventory::select::select;
use provision::inventory::{MesosPackage, Source, ZooKeeper};
use provision::lints::load::{self, Artefacts, Lab, Loaded, Refused, load_text};
use provision::mesos::values::Value;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn variables_of_the_host_win_over_the_pools_and_those_over_the_files() {
    let files = Files::new();
    let sets = [
        "x=top",
        "y=top",
        "z=top",
        "mesos.agents.workers.vars.y=pool",
        "mesos.agents.workers.vars.z=pool",
        "hosts.a1.vars.z=host",
        "mesos.agents.workers.attributes.all={{ vars.x }}-{{ vars.y }}-{{ vars.z }}",
        "mesos.agents.workers.attributes.own={{ host.name }}-{{ host.pool }}-{{ host.address }}",
        "mesos.roles.etl.weight={{ 1 + 2 }}.5",
        "mesos.masters.flags.registry_fetch_timeout={{ cluster | length }}mins",
    ];
    let inventory = demo(&files, &sets).inventory;
    let text = |host_name: &str, attribute: &str| {
        inventory.agent(&host(host_name)).unwrap().attributes.0[attribute].clone()
    };
    assert_eq!(text("a1", "all"), Value::Text("top-pool-host".to_owned()));
    assert_eq!(text("a2", "all"), Value::Text("top-pool-pool".to_owned()));
    assert_eq!(text("a2", "own"), Value::Text("a2-workers-10.77.0.22".to_owned()));
    assert!((inventory.mesos.roles["etl"].weight - 3.5).abs() < 1e-9);
    assert_eq!(inventory.mesos.master_flags["registry_fetch_timeout"], "4mins");
}

#[test]
fn paths_start_at_the_file_and_those_of_overrides_where_they_were_typed() {
    let files = Files::new();
    let text = fs::read(root().join("inventories/single-host.yaml")).unwrap();
    let path = files.path().join("inventory.yaml");
    fs::write(&path, text).unwrap();
    // Cargo runs tests in the package's folder.
    let sets = vec!["mesos.package.deb=tests/fixtures/packages/mesos_1.11.0_amd64.deb".to_owned()];
    let request =
        load::Request { path: Some(path), sets, lab: Lab::No, artefacts: Artefacts::Needed };
    let inventory = good(load::load(&request)).inventory;
    let MesosPackage::Deb { file: deb, .. } = &inventory.mesos.package else { panic!("a .deb") };
    assert_eq!(
        deb.source,
        Source::Path(
            std::env::current_dir().unwrap().join("tests/fixtures/packages/mesos_1.11.0_amd64.deb")
        )
    );
    let archive = inventory.spark.unwrap().archive.source;
    assert_eq!(archive, Source::Path(files.path().join("spark-3.5.1-bin-hadoop3.tgz")));
}

#[test]
fn a_tilde_is_the_home_wherever_a_path_is_written() {
    let files = Files::new();
    let home = PathBuf::from(std::env::var_os("HOME").expect("a home"));
    let sets = ["ssh.config_file=~/c", "ssh.identity_file=~/.ssh/k", "ssh.known_hosts=./h"];
    let inventory = demo(&files, &sets).inventory;
    let ssh = &inventory.hosts[&host("a1")].ssh;
    assert_eq!(ssh.config_file.as_deref(), Some(&*home.join("c")));
    assert_eq!(ssh.identity_file.as_deref(), Some(&*home.join(".ssh/k")));
    assert_eq!(ssh.known_hosts.as_deref(), Some(&*files.path().join("h")));
    // Missing, it is looked for where it was meant to be.
    let refused = bad(demo_result(&files, &["mesos.package.deb=~/no-such-file-there.deb"]));
    let help = refused.problems[0].help.clone().unwrap_or_default();
    assert_eq!(help, format!("looked for {}", home.join("no-such-file-there.deb").display()));
}

#[test]
fn the_digest_follows_text_and_overrides() {
    let files = Files::new();
    let digest = |sets: &[&str]| demo(&files, sets).inventory.digest;
    assert_eq!(digest(&["x=1"]), digest(&["x=1"]));
    assert_ne!(digest(&["x=1"]), digest(&["x=2"]));
}

#[test]
fn versions_and_words_keep_their_text() {
    let files = Files::new();
    let sets = [
        "mesos.version=1.10",
        "mesos.package={preinstalled: true}",
        "spark.env.COUNTRY=no",
        "spark.defaults.spark.x.y=010",
        "mesos.agents.workers.attributes.zone=yes",
    ];
    let inventory = demo(&files, &sets).inventory;
    assert_eq!(inventory.mesos.version.as_str(), "1.10");
    let spark = inventory.spark.clone().unwrap();
    assert_eq!(spark.env["COUNTRY"], "no");
    assert_eq!(spark.defaults["spark.x.y"], "010");
    let agent = inventory.agent(&host("a1")).unwrap();
    assert_eq!(agent.attributes.0["zone"], Value::Text("yes".to_owned()));
}

#[test]
fn a_package_may_have_a_name_of_its_own() {
    let files = Files::new();
    let name = |package: &str| {
        demo(&files, &[&format!("mesos.package={package}")]).inventory.mesos.package_name
    };
    assert_eq!(name("{preinstalled: true}"), "mesos");
    let url = "https://x.example/m.deb";
    let zeros = "0".repeat(64);
    let far = format!("{{deb: '{url}', sha256: {zeros}, name: aventer-mesos}}");
    assert_eq!(name(&far), "aventer-mesos");
    assert_eq!(name("{apt: {uri: 'file:/x', suite: s}, name: aventer-mesos}"), "aventer-mesos");
    let inventory =
        demo(&files, &["mesos.package={apt: {uri: 'file:/x', suite: s}, name: aventer-mesos}"])
            .inventory;
    let templates = provision::template::Templates::new(&Default::default()).unwrap();
    let world = provision::tasks::World { inventory: &inventory, templates: &templates };
    let desired = format!("{:?}", provision::tasks::desire(&world).unwrap());
    assert!(desired.contains("aventer-mesos=1.11.0*"), "{desired}");
    assert!(desired.contains("/var/lib/dpkg/info/aventer-mesos.list"), "{desired}");
}

#[test]
fn a_stated_digest_must_be_the_files() {
    let files = Files::new();
    let zeros = format!("mesos.package.sha256={}", "0".repeat(64));
    let refused = bad(demo_result(&files, &[&zeros]));
    let names: Vec<&str> = refused.problems.iter().map(|p| p.name).collect();
    assert_eq!(names, ["digest-mismatch"]);
    let inventory = demo(&files, &[]).inventory;
    let MesosPackage::Deb { file: deb, .. } = &inventory.mesos.package else { panic!("a .deb") };
    let stated = format!("mesos.package.sha256={}", deb.digest.hex().to_uppercase());
    assert_eq!(demo(&files, &[&stated]).inventory.mesos, inventory.mesos);
}

#[test]
fn a_secret_that_others_may_read_is_told_of_with_its_place() {
    use std::os::unix::fs::PermissionsExt as _;
    let files = Files::new();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    };
    let secrets = files.path().join("secrets");
    fs::create_dir(&secrets).unwrap();
    fs::write(secrets.join("agent"), "hunter2").unwrap();
    let text = fs::read_to_string(root().join("inventories/single-host.yaml")).unwrap();
    let credentials = "mesos:\n  credentials:\n    agent: { principal: a, secret: { file: secrets/agent } }\n    \
         framework: { principal: b, secret: { env: B } }\n    operator: { principal: c, secret: { env: C } }\n";
    let text = text.replace(
        "zookeeper:\n",
        "zookeeper:\n  credentials: { principal: d, secret: { env: D } }\n",
    );
    let text = text.replace("mesos:\n", credentials);
    let text = text.lines().filter(|line| !line.starts_with("allow:"));
    let text = text.collect::<Vec<_>>().join("\n") + "\n";
    let warnings = |more: &str| -> Vec<String> {
        let text = format!("{text}{more}");
        let loaded = good(load_text("i", text.as_bytes(), files.path(), &[], Lab::No));
        loaded.warnings.iter().map(ToString::to_string).collect()
    };
    mode(files.path(), 0o755);
    mode(&secrets, 0o755);
    mode(&secrets.join("agent"), 0o644);
    let line = text.lines().position(|line| line.contains("secrets/agent")).unwrap() + 1;
    let column = text.lines().nth(line - 1).unwrap().find("secrets/agent").unwrap() + 1;
    let wanted = format!(
        "i:{line}:{column}: warning[readable-secret]: everybody on this machine can read the file of this \
         secret (it is 644; chmod 600 secrets/agent)"
    );
    assert_eq!(warnings(""), [wanted]);
    assert_eq!(warnings("allow: { readable-secret: a test }\n"), Vec::<String>::new());
    // A directory that nobody else may enter hides it, and 640 is the group's business.
    mode(&secrets, 0o700);
    assert_eq!(warnings(""), Vec::<String>::new());
    mode(&secrets, 0o755);
    mode(&secrets.join("agent"), 0o640);
    assert_eq!(warnings(""), Vec::<String>::new());
}

#[test]
fn the_stand_in_is_for_the_lab() {
    let files = Files::new();
    let sets = [&DEMO[..], &["mesos.version=1.11.0+standin", "mesos.package={preinstalled: true}"]]
        .concat();
    let sets: Vec<String> = sets.into_iter().map(str::to_owned).collect();
    let text = fs::read(root().join("inventories/demo.yaml")).unwrap();
    let load = |lab| load_text("demo.yaml", &text, files.path(), &sets, lab);
    assert!(bad(load(Lab::No)).problems.iter().any(|p| p.name == "stand-in"));
    assert_eq!(good(load(Lab::Yes)).inventory.mesos.version.as_str(), "1.11.0+standin");
}

#[test]
fn selections_restrict_and_never_match_nothing() {
    let files = Files::new();
    let inventory = demo(&files, &[]).inventory;
    let chosen = |text: &str| {
        select(&inventory, text)
            .map(|hosts| hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(chosen("m1").as_deref(), Ok("m1"));
    assert_eq!(chosen("m*,!m2").as_deref(), Ok("m1 m3"));
    assert_eq!(chosen("@workers,c1").as_deref(), Ok("a1 a2 c1"));
    assert_eq!(chosen("m[2:3]").as_deref(), Ok("m2 m3"));
    assert_eq!(chosen("!@masters").as_deref(), Ok("a1 a2 c1"));
    assert_eq!(chosen("?1").as_deref(), Ok("a1 c1 m1"));
    // As other tools write it.
    assert_eq!(chosen("all"), chosen("*"));
    assert_eq!(chosen("all:!@masters").as_deref(), Ok("a1 a2 c1"));
    assert_eq!(chosen("a*:&a1").as_deref(), Ok("a1"));
    assert_eq!(chosen("&@masters:!m[2:3]").as_deref(), Ok("m1"));
    for (part, words) in [
        ("masters", "write `@masters`"),
        ("workers", "write `@workers`"),
        ("@play.retry", "$(paste -sd, play.retry)"),
        (
            "@nobody",
            "groups are @zookeeper, @masters, @agents, @clients, @dispatchers, @history, @shuffle, @workers",
        ),
        ("~(a|b).*", "write a glob"),
        ("c11", "did you mean `c1`?"),
    ] {
        let said = chosen(part).unwrap_err();
        assert!(said.contains(words), "{part}: {said}");
    }
    for nothing in ["m4", "@nobody", "x*", "m1,!m1", "", "m1,zz", "m[7:9]"] {
        assert!(chosen(nothing).is_err(), "{nothing}");
    }
}

#[test]
fn an_address_can_be_overridden_with_what_defaulted_to_it() {
    let files = Files::new();
    let mut inventory = demo(&files, &["hosts.c1.hostname=client.example"]).inventory;
    for name in ["a1", "c1"] {
        inventory.override_address(&host(name), [172, 30, 0, 9].into());
    }
    assert_eq!(inventory.hosts[&host("a1")].hostname, "172.30.0.9");
    assert_eq!(inventory.hosts[&host("a1")].ssh.host, "172.30.0.9");
    assert_eq!(inventory.hosts[&host("c1")].hostname, "client.example");
}

#[test]
fn an_external_ensemble_may_carry_its_path() {
    let files = Files::new();
    let sets = ["zookeeper={external: 'zk1:2181,10.0.0.2:2182/clusters/a'}"];
    let inventory = demo(&files, &sets).inventory;
    assert!(matches!(inventory.zookeeper, ZooKeeper::External { .. }));
    assert_eq!(inventory.zookeeper_url(), "zk://zk1:2181,10.0.0.2:2182/clusters/a");
}

#[test]
fn a_missing_file_is_a_problem_not_a_panic() {
    let request = load::Request {
        path: Some(root().join("tests/no-such-inventory.yaml")),
        sets: Vec::new(),
        lab: Lab::No,
        artefacts: Artefacts::MayBeMissing,
    };
    assert_eq!(bad(load::load(&request)).problems[0].name, "missing-file");
}

/// Who only reads an inventory needs nothing of what hosts are sent; what is there is looked at all the same.
#[test]
fn archives_may_be_missing_where_nothing_is_planned() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inventory.yaml");
    fs::copy(root().join("inventories/air-gapped.yaml"), &path).unwrap();
    let load = |artefacts, sets: &[&str]| {
        let sets = sets.iter().map(|set| (*set).to_owned()).collect();
        load::load(&load::Request { path: Some(path.clone()), sets, lab: Lab::No, artefacts })
    };
    let names = |problems: &[Problem]| problems.iter().map(|it| it.name).collect::<Vec<_>>();
    let loaded = good(load(Artefacts::MayBeMissing, &[]));
    assert_eq!(names(&loaded.warnings), ["missing-file"; 4]);
    let zeros = "0".repeat(64);
    assert_eq!(loaded.inventory.spark.unwrap().archive.digest.hex(), zeros);
    let stated = "0a".repeat(32);
    let set = format!("spark.archive.sha256={stated}");
    let loaded = good(load(Artefacts::MayBeMissing, &[&set]));
    assert_eq!(loaded.inventory.spark.unwrap().archive.digest.hex(), stated);
    assert_eq!(names(&bad(load(Artefacts::Needed, &[])).problems), ["missing-file"; 4]);
    fs::write(folder.path().join("mesos_1.11.0_amd64.deb"), "no package").unwrap();
    let refused = bad(load(Artefacts::MayBeMissing, &[]));
    assert!(names(&refused.problems).contains(&"no-package"), "{:?}", refused.problems);
}

fn host(name: &str) -> HostName {
    HostName::new(name)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn good(result: Result<Loaded, Refused>) -> Loaded {
    result.unwrap_or_else(|refused| {
        let lines: Vec<String> = refused.problems.iter().map(ToString::to_string).collect();
        panic!("{}", lines.join("\n"))
    })
}

fn bad(result: Result<Loaded, Refused>) -> Refused {
    result.map(|_| ()).expect_err("must be refused")
}

const DEMO: [&str; 3] = [
    "mesos.package.deb=mesos.deb",
    "spark.archive.path=spark.tgz",
    "docker.images.0.archive=base.tar",
];

fn demo_result(files: &Files, sets: &[&str]) -> Result<Loaded, Refused> {
    let sets: Vec<String> = DEMO.iter().chain(sets).map(|s| (*s).to_owned()).collect();
    let text = fs::read(root().join("inventories/demo.yaml")).expect("the demo");
    load_text("demo.yaml", &text, files.path(), &sets, Lab::No)
}

fn demo(files: &Files, sets: &[&str]) -> Loaded {
    good(demo_result(files, sets))
}

/// Every local file that the inventories of the repository name.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        let folder = tempfile::tempdir().expect("a folder");
        for name in [
            "mesos.deb",
            "spark.tgz",
            "base.tar",
            "mesos_1.11.0_amd64.deb",
            "spark-3.5.1-bin-hadoop3.tgz",
            "debian-bookworm-slim.tar",
            "spark-mesos-3.5.1.tar",
        ] {
            fs::write(folder.path().join(name), bytes_of(name)).expect("a file");
        }
        Files(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

fn design() -> Vec<u8> {
    fs::read(root().join("tests/inventories/design.yaml")).expect("the example")
}

#[test]
fn files_of_the_users_own_are_written_and_what_reads_them_starts_anew() {
    let text = fs::read_to_string(root().join("tests/inventories/dcos-agent.yaml")).unwrap();
    let load = |text: &str| {
        let files = Files::new();
        good(load_text("x.yaml", text.as_bytes(), files.path(), &[], Lab::No)).inventory
    };
    let templates = provision::template::Templates::new(&Default::default()).unwrap();
    let desired = |text: &str| {
        let inventory = load(text);
        let world = provision::tasks::World { inventory: &inventory, templates: &templates };
        provision::tasks::desire(&world).unwrap()
    };
    let all = desired(&text);
    let of = |all: &provision::tasks::Desired, host_name: &str, path: &str| {
        let name = host(host_name);
        let found = all.of(&name).find(|(_, wish)| wish.resource.id().name == path);
        found.map(|(_, wish)| wish.resource.clone()).unwrap()
    };
    let environment = of(&all, "a2", "/etc/mesos-files/executor-environment.json");
    assert!(format!("{environment:?}").contains("a2"), "{environment:?}");
    assert_eq!(environment.want()["mode"], "640");
    let secret = of(&all, "a2", "/etc/mesos-files/docker.json");
    assert_eq!(secret.want()["mode"], "600");
    assert_eq!(secret.secrets().len(), 1);
    // What its daemon was started with depends on the one and not on the other.
    let digest = |text: &str| of(&desired(text), "a2", "mesos-slave").want()["inputs"].clone();
    assert_ne!(digest(&text), digest(&text.replace("\"RACK\"", "\"ROW\"")));
    assert_eq!(digest(&text), digest(&text.replace("DOCKER_CONFIG_JSON", "OTHER")));
    let acls = of(&all, "m1", "/etc/mesos-files/acls.json");
    assert!(format!("{acls:?}").contains("permissive"), "{acls:?}");
}

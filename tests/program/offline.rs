//! The commands that touch no host, as people and pipelines call them.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

use super::chromium::{Scheme, look};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A folder with the production inventory and every file that it names.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let packages = root().join("tests/fixtures/packages");
    let deb = "mesos_1.11.0_amd64.deb";
    fs::copy(packages.join(deb), folder.path().join(deb)).expect("a package");
    let spark = "spark-3.5.1-bin-hadoop3.tgz";
    fs::write(folder.path().join(spark), spark).expect("a file");
    let text = fs::read_to_string(root().join("inventories/production.yaml")).expect("production");
    fs::write(folder.path().join("inventory.yaml"), text).expect("an inventory");
    folder
}

pub(crate) fn provision(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_provision"))
        .current_dir(folder)
        .env_remove("PROVISION_INVENTORY")
        .env_remove("GITHUB_ACTIONS")
        .env_remove("GITHUB_STEP_SUMMARY")
        .env("LC_ALL", "C.UTF-8")
        .args(arguments)
        .output()
        .expect("provision");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|why| panic!("{why}: {text}"))
}

#[test]
fn check_says_ok_and_exits_with_0() {
    let folder = folder();
    assert_eq!(
        provision(folder.path(), &["check"]),
        (0, "ok: analytics (23 hosts)\n".to_owned(), String::new())
    );
    let (code, out, _) = provision(folder.path(), &["check", "--json"]);
    assert_eq!((code, json(&out)["problems"].as_array().map(Vec::len)), (0, Some(0)));
}

#[test]
fn warnings_fail_only_where_they_are_denied() {
    let folder = folder();
    let doubt = ["-e", "spark.user=root"];
    let with = |more: &[&str]| provision(folder.path(), &[&["check"], &doubt[..], more].concat());
    let (code, out, _) = with(&["--format", "lines"]);
    assert_eq!(code, 0);
    assert!(out.contains("warning[jobs-as-root]"), "{out}");
    assert_eq!(with(&["--deny", "warnings"]).0, 1);
    let (_, out, _) = with(&["--format", "github"]);
    assert!(out.starts_with("::warning "), "{out}");
    with(&["--junit", "report.xml"]);
    let lenient = fs::read_to_string(folder.path().join("report.xml")).unwrap();
    assert!(lenient.contains("failures=\"0\"") && lenient.contains("jobs-as-root"));
    with(&["--junit", "report.xml", "--deny", "warnings"]);
    let strict = fs::read_to_string(folder.path().join("report.xml")).unwrap();
    assert!(strict.contains("failures=\"1\"") && strict.contains("type=\"jobs-as-root\""));
    let (code, out, _) = with(&["-e", "allow={jobs-as-root: 'a test'}", "--deny", "warnings"]);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn errors_are_snippets_with_reason_and_cure_in_the_order_of_the_file() {
    let folder = folder();
    let text = fs::read_to_string(folder.path().join("inventory.yaml")).unwrap();
    let text = text
        .replace("offer_timeout: 30secs", "offer_timeout: 30 secs")
        .replace("spark.cores.max: 40, ", "");
    fs::write(folder.path().join("inventory.yaml"), text).unwrap();
    let (code, out, _) = provision(folder.path(), &["check"]);
    assert_eq!(code, 1);
    let flag = out.find("error[bad-flag-value]").expect("the flag");
    let cores = out.find("warning[cores-max-unset]").expect("the cores");
    assert!(flag < cores, "{out}");
    assert!(out.contains("flags: { offer_timeout: 30 secs }"), "{out}");
    assert!(out.contains("= note: Spark accepts every offer"), "{out}");
    assert!(out.ends_with("1 error, 1 warning\n"), "{out}");
}

#[test]
fn mistakes_in_templates_have_the_templates_line() {
    let folder = folder();
    let templates = folder.path().join("templates/zookeeper");
    fs::create_dir_all(&templates).unwrap();
    fs::write(templates.join("zoo.cfg.tera"), "a=1\nb={{ nope }}\n").unwrap();
    let (code, out, _) = provision(folder.path(), &["check", "--format", "lines"]);
    assert_eq!(code, 1);
    assert!(out.starts_with("templates/zookeeper/zoo.cfg.tera:2:6: error[bad-template]"), "{out}");
    let (_, out, _) = provision(folder.path(), &["check"]);
    assert!(out.contains("2 | b={{ nope }}"), "{out}");
    // Whoever needs the files says the same.
    for arguments in [&["render", "--list"][..], &["render", "--diff", "inventory.yaml"]] {
        let (code, _, error) = provision(folder.path(), arguments);
        assert_eq!(code, 1);
        assert!(error.contains("--> templates/zookeeper/zoo.cfg.tera:2:6"), "{error}");
        assert!(error.contains("2 | b={{ nope }}"), "{error}");
    }
    fs::write(templates.join("zoo.cfg.tera"), "a=1\n\n{% if %}\n").unwrap();
    let (_, _, error) = provision(folder.path(), &["render", "--list"]);
    assert!(error.contains("--> templates/zookeeper/zoo.cfg.tera:3:"), "{error}");
}

#[test]
fn what_was_to_be_a_template_is_named() {
    let folder = folder();
    let templates = folder.path().join("templates/zookeeper");
    fs::create_dir_all(&templates).unwrap();
    // Other people's files, and an editor's, are left alone.
    fs::write(folder.path().join("templates/README.md"), "ours").unwrap();
    fs::write(templates.join("zoo.cfg.tera~"), "old").unwrap();
    // Another system's line ends and mark do not reach a host.
    fs::write(templates.join("zoo.cfg.tera"), "\u{feff}# mine\r\na=1\r\n").unwrap();
    let (code, out, error) = provision(folder.path(), &["render", "-l", "@zookeeper"]);
    assert_eq!(code, 0, "{out}{error}");
    assert!(out.contains("# mine\na=1\n") && !out.contains(['\r', '\u{feff}']), "{out}");
    for name in ["zookeeper/zoo.cfg.j2", "zoo.cfg", "zk/zoo.cfg.tera"] {
        let path = folder.path().join("templates").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "a=1\n").unwrap();
        let (code, out, _) = provision(folder.path(), &["check", "--format", "lines"]);
        assert_eq!(code, 1, "{out}");
        let wanted = format!(
            "error[bad-template]: templates/{name} overrides nothing (name it templates/zookeeper/zoo.cfg.tera)"
        );
        assert!(out.contains(&wanted), "{out}");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn every_lint_is_listed_with_its_reason() {
    let (code, out, _) = provision(Path::new("/"), &["check", "--lints"]);
    assert_eq!(code, 0);
    assert!(out.lines().filter(|line| !line.starts_with(' ')).count() >= 40, "{out}");
    assert!(out.contains("cores-max-unset: "));
}

#[test]
fn files_are_rendered_whole_and_secrets_are_named() {
    let folder = folder();
    let (code, out, error) = provision(folder.path(), &["render", "--out", "made"]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("of 23 hosts in made"), "{out}");
    let read = |path: &str| fs::read_to_string(folder.path().join("made").join(path)).expect(path);
    assert_eq!(
        read("a11/etc/mesos-slave/attributes").trim_end(),
        "dc:seoul;os:debian-12;provision_host:a11;rack:r2"
    );
    assert_eq!(read("m1/etc/mesos-master/quorum").trim_end(), "2");
    let secret = read("a11/etc/mesos-secrets/agent-agent.json");
    assert!(secret.contains("<secret MESOS_AGENT_SECRET>"), "{secret}");
    assert!(
        read("a11/var/lib/provision/build/spark-mesos/Dockerfile")
            .contains("FROM debian:bookworm-slim")
    );
    // What is there already is nobody's to mix with.
    let (code, _, error) = provision(folder.path(), &["render", "--out", "made"]);
    assert_eq!(code, 1);
    assert!(error.contains("is not empty"), "{error}");
    let (_, out, _) = provision(folder.path(), &["render", "-l", "a11,m1", "--list"]);
    assert!(out.lines().all(|line| line.starts_with("==> a11:/") || line.starts_with("==> m1:/")));
    assert!(out.contains("==> a11:/etc/mesos-slave/attributes (root:root 644)"), "{out}");
    assert_eq!(provision(folder.path(), &["render", "-l", "nobody"]).0, 1);
}

#[test]
fn a_diff_shows_what_a_change_of_the_inventory_changes() {
    let folder = folder();
    let text = fs::read_to_string(folder.path().join("inventory.yaml")).unwrap();
    fs::write(folder.path().join("old.yaml"), text.replace("os: debian-12", "os: debian-11"))
        .unwrap();
    let (code, out, error) = provision(folder.path(), &["render", "--diff", "old.yaml"]);
    assert_eq!(code, 0, "{error}");
    // Two racks make two changes.
    assert_eq!(out.matches("+++ b/etc/mesos-slave/attributes").count(), 20, "{out}");
    assert!(out.contains("-dc:seoul;os:debian-11;provision_host:a01;rack:r1"), "{out}");
    assert!(out.contains("+dc:seoul;os:debian-12;provision_host:a01;rack:r1"), "{out}");
    let (_, out, _) = provision(folder.path(), &["render", "--diff", "inventory.yaml"]);
    assert_eq!(out, "# no file differs\n");
}

#[test]
fn simulate_places_executors_and_shares_by_weight() {
    let folder = folder();
    let (code, out, error) =
        provision(folder.path(), &["simulate", "--json", "--html", "page.html"]);
    assert_eq!(code, 0, "{error}");
    let picture = json(&out);
    // 20 agents of 16 cpus: 10 unreserved, 4 for etl, 2 for ml. nightly: rack r1, 4 cores, 120 at most.
    let nightly = &picture["executors"][0];
    assert_eq!(nightly["name"], "nightly");
    assert_eq!((&nightly["executors"], &nightly["cores"]), (&30.into(), &120.into()));
    assert_eq!(nightly["by_agent"]["a01"], serde_json::json!([4, 4, 4]));
    assert_eq!(nightly["binds"]["constraint"], 10);
    assert_eq!(nightly["executor_mib"], 12_288 + 1_228);
    let roles = &picture["sharing"]["roles"];
    let share = |index: usize| roles[index]["share"].as_f64().expect("a share");
    assert_eq!((&roles[0]["role"], &roles[1]["role"]), (&"adhoc".into(), &"etl".into()));
    // Whole agents: adhoc 7 of 20 unreserved parts, etl the other 13 and all of its reservations.
    assert!((share(0) - 7.0 * 16.0 / 320.0).abs() < 0.2 && share(1) > share(0), "{out}");
    assert_eq!(picture["sharing"]["idle"]["cpus"], 40);
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(page.contains("nightly"));
    for outside in ["http://", "https://", "<script", "<link", "src="] {
        assert!(!page.contains(outside), "{outside}");
    }
    let shuffled = |seed: &str| provision(folder.path(), &["simulate", "--seed", seed]).1;
    assert_eq!(shuffled("7"), shuffled("7"));
    let table = provision(folder.path(), &["simulate"]).1;
    assert!(table.contains("30         120 of 120"), "{table}");
    assert!(table.contains("10 agents get none: rack is r2, not r1"), "{table}");
}

/// The page of ten times as many agents, in a real browser.
#[test]
fn a_page_of_two_hundred_agents_is_read_at_a_glance() {
    let folder = folder();
    let path = folder.path().join("inventory.yaml");
    let text = fs::read_to_string(&path).expect("an inventory");
    let many = text
        .replace("a[01:10]", "a[001:100]")
        .replace("a[11:20]", "a[101:200]")
        .replace("a[01:20]", "a[001:200]")
        .replace("10.0.1.[1:10]", "10.0.1.[1:100]")
        .replace("10.0.1.[11:20]", "10.0.1.[101:200]");
    fs::write(&path, many).expect("an inventory");
    let (code, _, error) = provision(folder.path(), &["simulate", "--html", "page.html"]);
    assert_eq!(code, 0, "{error}");
    let page = fs::read_to_string(folder.path().join("page.html")).expect("a page");
    for (width, scheme) in [(1280, Scheme::Light), (400, Scheme::Dark)] {
        let seen = look(&page, "simulate", width, scheme);
        assert_eq!(seen.outside, [""; 0], "{width}: reaches out");
        assert_eq!(seen.pale, [""; 0], "{scheme:?}: cannot be read");
        let dark = scheme == Scheme::Dark;
        assert_eq!(seen.paper != "rgb(255, 255, 255)", dark, "{}", seen.paper);
        if width == 1280 {
            insta::assert_snapshot!(seen.text);
        } else {
            assert!(seen.text.contains("a[001:"), "{}", seen.text);
        }
    }
}

/// No line is wider than the terminal, and what is said is the same.
#[test]
fn tables_fit_the_terminal() {
    let folder = folder();
    for (columns, bars, stacked) in
        [(120, true, false), (100, true, true), (80, false, true), (40, false, true)]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_provision"))
            .current_dir(folder.path())
            .env("COLUMNS", columns.to_string())
            .env("LC_ALL", "C.UTF-8")
            .arg("simulate")
            .output()
            .expect("provision");
        let text = String::from_utf8(output.stdout).expect("text");
        let shares = text.split("Shares by DRF").nth(1).expect("shares");
        assert_eq!(shares.contains('█'), bars, "{columns}: {text}");
        assert_eq!(
            text.contains("      held back by: cores.max (20)"),
            stacked,
            "{columns}: {text}"
        );
        // Sentences wrap at a blank wherever they are; columns would be torn apart.
        let tables = shares.lines().filter(|line| line.contains(" %"));
        for line in tables.chain(text.lines().filter(|line| line.contains("executor:"))) {
            assert!(line.chars().count() <= columns, "{columns}: {line}");
        }
        for said in ["13516 MiB", "120 of 120", "35.0 %", "37.5 %", "quota is no part"] {
            assert!(text.contains(said), "{columns}: {said}: {text}");
        }
    }
}

#[test]
fn ports_are_a_table_or_rules_and_only_of_a_sound_inventory() {
    let folder = folder();
    let (code, out, error) = provision(folder.path(), &["check", "--ports"]);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(out.starts_with("ON ") && out.contains("masters: m[1:3]"), "{out}");
    // A value of its own, or the inventory that follows.
    assert_eq!(provision(folder.path(), &["check", "--ports", "inventory.yaml"]).1, out);
    let (code, rules, _) = provision(folder.path(), &["check", "--ports=nftables"]);
    assert_eq!(code, 0);
    assert!(rules.starts_with("#!/usr/sbin/nft -f\n") && rules.ends_with("}\n"), "{rules}");
    let (code, out, error) =
        provision(folder.path(), &["check", "--ports", "-e", "spark.dispatcher.port=5050"]);
    assert_eq!((code, out.as_str()), (1, ""), "{error}");
    assert!(error.contains("port-taken"), "{error}");
    assert_eq!(provision(folder.path(), &["check", "--ports", "--json"]).0, 1);
}

#[test]
fn the_schema_is_of_the_draft_that_editors_read() {
    let (code, out, _) = provision(Path::new("/"), &["schema"]);
    assert_eq!(code, 0);
    assert_eq!(json(&out)["$schema"], "http://json-schema.org/draft-07/schema#");
}

#[test]
fn a_plan_from_elsewhere_starts_nothing_before_it_is_compared() {
    let folder = folder();
    let marker = folder.path().join("started");
    let command = format!("touch {}", marker.display());
    let inventory = fs::read_to_string(folder.path().join("inventory.yaml")).expect("an inventory");
    // Theirs has a secret of a command, and so may an override.
    let theirs = folder.path().join("theirs.yaml");
    let secret = format!("secret: {{ command: '{command}' }}");
    assert!(inventory.contains("secret: "), "{inventory}");
    let with_command: Vec<String> = inventory
        .lines()
        .map(|line| match line.find("secret: ") {
            Some(at) => format!("{}{secret} }}", &line[..at]),
            None => line.to_owned(),
        })
        .collect();
    fs::write(&theirs, with_command.join("\n")).expect("another inventory");
    let plan = |inventory: &str, sets: Value| {
        let text = serde_json::json!({
            "provision_plan": 3,
            "made": { "run": "r", "at": "now", "version": env!("CARGO_PKG_VERSION") },
            "asked": {
                "cluster": "analytics", "inventory": inventory, "digest": "0", "sets": sets,
                "hosts": "inventory", "limit": null, "tasks": [],
            },
            "stages": [], "running": {}, "blocked": [], "unreachable": {}, "seen": {}, "texts": {}, "health": {},
        });
        let path = folder.path().join("plan.json");
        let _ = fs::remove_file(&path);
        fs::write(&path, text.to_string()).expect("a plan");
        let only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&path, only).expect("its mode");
    };
    let refused = |words: &[&str], why: &str| {
        let (code, out, error) = provision(folder.path(), words);
        assert_eq!(code, 1, "{out}{error}");
        assert!(error.contains(why), "{error}");
        assert!(!marker.exists(), "{why}: a command was run");
    };
    let theirs = theirs.to_str().expect("a plain path");
    plan(theirs, serde_json::json!([]));
    refused(&["apply", "plan.json", "-y"], "the plan was made for another inventory");
    let secret = format!("mesos.credentials.agent.secret={{command: '{command}'}}");
    plan("inventory.yaml", serde_json::json!([secret]));
    refused(&["apply", "plan.json", "-y"], "say them again: -e 'mesos.credentials.agent.secret=");
    plan("inventory.yaml", serde_json::json!(["ssh.config_file=theirs.yaml"]));
    refused(&["apply", "plan.json", "-y"], "say them again: -e ssh.config_file=theirs.yaml");
    refused(&["apply", "plan.json", "-C"], "say them again: -e ssh.config_file=theirs.yaml");
    // A variable is asked about, and there is nobody to ask.
    plan("inventory.yaml", serde_json::json!(["dc=x"]));
    refused(&["apply", "plan.json"], "say them again: -e dc=x");
    refused(&["apply", "plan.json", "-e", "dc=x"], "the plan was made for another inventory");
    let only = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(folder.path().join("plan.json"), only).expect("its mode");
    refused(&["apply", "plan.json", "-y"], "chmod 600 plan.json");
}

/// What hosts are sent need not be here to read an inventory; a plan needs it.
#[test]
fn the_shipped_examples_pass_check_and_only_a_plan_needs_their_files() {
    let mut seen = 0;
    for entry in fs::read_dir(root().join("inventories")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // It is there to be found out.
        if name == "tutorial.yaml" {
            continue;
        }
        seen += 1;
        let folder = tempfile::tempdir().unwrap();
        fs::copy(&path, folder.path().join("inventory.yaml")).unwrap();
        for command in ["check", "render", "simulate"] {
            let (code, out, err) = provision(folder.path(), &[command]);
            assert_eq!(code, 0, "{name}, {command}: {out}{err}");
            assert!(out.contains("missing-file") || err.contains("missing-file"), "{name}: {out}");
        }
        let (code, _, err) = provision(folder.path(), &["plan"]);
        assert!(code == 1 && err.contains("error[missing-file]"), "{name}: {err}");
    }
    assert!(seen >= 5, "{seen}");
}

/// `-e` is of the inventory that is asked about, not of the one that it is compared with.
#[test]
fn render_diff_shows_what_an_override_changes_and_says_when_nothing_does() {
    let folder = folder();
    let diff = |more: &[&str]| {
        let (code, out, err) =
            provision(folder.path(), &[&["render", "--diff", "inventory.yaml"], more].concat());
        assert_eq!(code, 0, "{err}");
        out
    };
    assert_eq!(diff(&[]), "# no file differs\n");
    let out = diff(&["-e", "spark.defaults.spark.cores.max=41"]);
    assert!(out.contains("-spark.cores.max 40\n+spark.cores.max 41\n"), "{out}");
}

#[test]
fn a_result_that_cannot_be_written_is_an_error_and_a_reader_that_leaves_is_none() {
    let folder = folder();
    let program = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_provision"));
        command.current_dir(folder.path()).env_remove("PROVISION_INVENTORY");
        command
    };
    for arguments in [
        &["check"][..],
        &["check", "--json"],
        &["render"],
        &["simulate"],
        &["simulate", "--json"],
        &["explain", "mesos"],
        &["explain", "lints", "--markdown"],
        &["init"],
        &["inventory", "--list"],
        &["schema"],
        &["man"],
        &["completions", "bash"],
        &["--help"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = program().args(arguments).stdout(full).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        let said = "error: standard output cannot be written: No space left on device";
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {err}");
        assert_eq!(err.matches(said).count(), 1, "{arguments:?}: {err}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = program().args(arguments).stdout(writer).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

/// One place decides; what is for programs is the same everywhere.
#[test]
fn a_locale_without_unicode_gets_none() {
    let folder = folder();
    let text = |locale: &[(&str, &str)], arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_provision"));
        command.current_dir(folder.path()).env_remove("PROVISION_INVENTORY").args(arguments);
        ["LC_ALL", "LC_CTYPE", "LANG"].iter().for_each(|name| _ = command.env_remove(name));
        let output = command.envs(locale.iter().copied()).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let doubt = ["check", "-e", "spark.defaults.x\u{f6}=1", "-e", "cluster=\u{f6}"];
    for arguments in [&["simulate"][..], &["--help"], &["explain", "bad-constraint"], &doubt] {
        for locale in [&[][..], &[("LC_ALL", "C"), ("LANG", "C.UTF-8")], &[("LANG", "POSIX")]] {
            let text = text(locale, arguments);
            assert!(text.is_ascii() && text.len() > 20, "{locale:?} {arguments:?}: {text}");
        }
    }
    let unicode = text(&[("LANG", "en_US.UTF-8")], &["simulate"]);
    assert!(unicode.contains('\u{2588}'), "{unicode}");
    let json = |locale| text(&[("LC_ALL", locale)], &["simulate", "--json"]);
    assert_eq!(json("C"), json("C.UTF-8"));
}

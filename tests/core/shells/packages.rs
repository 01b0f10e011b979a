//! Packages: what apt would take away, accounts beside them.

use super::super::support::room::{in_each_shell, said};
use provision::resource::package::{LOSSES, Packages};
use provision::resource::user::User;
use provision::resource::weights::Weights;
use provision::resource::{Kind as _, Resource};
use provision::script::Step;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

#[test]
fn packages_accounts_and_weights() {
    in_each_shell(|room| {
        let packages = Resource::Packages(Packages {
            quiet: vec!["mesos-slave".to_owned()],
            ..Packages::named("mesos", ["mesos", "curl"])
        });
        room.fails_with("install", &packages);
        assert!(room.calls().contains("unmask --runtime -q mesos-slave"), "{}", room.calls());
        room.settles(&packages);
        let user = Resource::User(User { name: "spark".to_owned() });
        room.fails_with("useradd", &user);
        room.settles(&user);
        let weights = Resource::Weights(Weights {
            masters: vec!["http://follower:5050".to_owned(), "http://leader:5050".to_owned()],
            roles: BTreeMap::from([("etl".to_owned(), 2.0), ("it's".to_owned(), 1.5)]),
        });
        room.fails_with("PUT", &weights);
        room.settles(&weights);
    });
}

/// The release is that of the machine that the tests are on.
#[test]
fn what_is_a_package_of_its_own_on_this_release_is_installed_with_the_others() {
    let text = fs::read_to_string("/etc/os-release").unwrap();
    let field = |key: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        value.trim_matches('"').to_owned()
    };
    let number = field("VERSION_ID=").split('.').next().unwrap().parse::<u32>().ok();
    let release = number.filter(|_| field("ID=") == "debian").unwrap_or(0);
    in_each_shell(|room| {
        let since = vec![(release, "now".to_owned()), (release + 1, "later".to_owned())];
        let packages = Packages { since, ..Packages::named("engine", ["engine"]) };
        let packages = Resource::Packages(packages);
        assert_eq!(room.gaps(&packages)[0].seen.as_deref(), Some("engine, now"));
        room.settles(&packages);
        let calls = room.calls();
        assert!(calls.contains("install engine now\n"), "{:?}: {calls}", room.shell);
    });
}

/// The real apt, on a system of its own that only it believes in, where it simulates every installation.
fn apt(folder: &Path) -> impl Fn(&str) -> std::process::Output + '_ {
    let path = |name: &str| folder.join(name);
    for name in
        ["state/lists/partial", "cache/archives/partial", "etc/preferences.d", "repo", "bin"]
    {
        fs::create_dir_all(path(name)).unwrap();
    }
    let package = |name: &str, version: &str, more: &str| {
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@x>\n{more}Description: x\n"
        )
    };
    let file = "Filename: ./x.deb\nSize: 1\nSHA256: 00\n";
    let offered = [
        package(
            "wanted",
            "2",
            &format!("Conflicts: theirs\nDepends: lib (= 4)\nSuggests: theirs-too\n{file}"),
        ),
        package("harmless", "1", file),
        package("lib", "4", file),
    ];
    let installed = [("theirs", "1:3-1"), ("lib", "5")]
        .map(|(name, version)| package(name, version, "Status: install ok installed\n"));
    fs::write(path("repo/Packages"), offered.join("\n")).unwrap();
    fs::write(path("status"), installed.join("\n")).unwrap();
    let root = folder.display();
    let pin = "Package: lib\nPin: version 4\nPin-Priority: 1001\n";
    fs::write(path("etc/preferences"), pin).unwrap();
    fs::write(path("etc/sources.list"), format!("deb [trusted=yes] file:{root}/repo ./\n"))
        .unwrap();
    let conf = format!(
        "Dir \"{root}\";\nDir::State \"{root}/state\";\nDir::State::status \"{root}/status\";\n\
         Dir::Cache \"{root}/cache\";\nDir::Etc \"{root}/etc\";\nDir::Log \"{root}\";\n\
         APT::Architecture \"amd64\";\nAPT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n\
         APT::Get::Simulate \"true\";\nDebug::NoLocking \"1\";\n"
    );
    fs::write(path("conf"), conf).unwrap();
    let dpkg = "#!/bin/sh\n[ \"$1\" = --configure ] || exec /usr/bin/dpkg \"$@\"\n";
    fs::write(path("bin/dpkg"), dpkg).unwrap();
    fs::set_permissions(path("bin/dpkg"), fs::Permissions::from_mode(0o755)).unwrap();
    move |script: &str| {
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.join("bin").display());
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).env("PATH", path).env("APT_CONFIG", folder.join("conf"));
        shell.output().unwrap()
    }
}

#[test]
fn apt_takes_nothing_away_but_what_was_named_and_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let run = apt(folder.path());
    let updated = run("apt-get -q -o APT::Get::Simulate=false update");
    assert!(updated.status.success(), "{}", said(&updated));
    let _ = fs::remove_file(folder.path().join("cache/pkgcache.bin"));
    let simulated = |words: &str| {
        let output = run(&format!("{LOSSES}apt_losses {words}"));
        String::from_utf8(output.stdout).unwrap()
    };
    let mut losses: Vec<String> = simulated("wanted").lines().map(str::to_owned).collect();
    losses.sort();
    assert_eq!(losses, ["lower lib 5 4", "remove theirs 1:3-1"]);
    assert_eq!(simulated("harmless"), "");
    assert_eq!(simulated("harmless nowhere neither"), "absent nowhere\nabsent neither\n");
    assert_eq!(simulated("theirs-too"), "absent theirs-too\n");
    assert!(!folder.path().join("cache/pkgcache.bin").exists(), "looking wrote something");
    let install = |name: &str, may_lose: &[&str]| {
        let may_lose = may_lose.iter().map(|name| (*name).to_owned()).collect();
        let packages = Packages { may_lose, ..Packages::named("x", [name]) };
        let Step::Run(fix) = packages.fix(&[]).remove(0) else { panic!() };
        let output = run(&fix.script(|_| String::new()));
        (output.status.success(), said(&output))
    };
    let (done, said) = install("harmless", &[]);
    assert!(done, "{said}");
    let (done, said) = install("wanted", &[]);
    assert!(!done && said.contains("remove is disabled"), "{said}");
    // What is allowed is what was named, and nothing that came later.
    let (done, said) = install("wanted", &["lib"]);
    assert!(!done && said.contains("apt would remove theirs 1:3-1 too"), "{said}");
    let (done, said) = install("wanted", &["theirs", "lib"]);
    assert!(done && said.contains("Remv theirs"), "{said}");
}

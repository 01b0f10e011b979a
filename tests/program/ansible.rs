//! What the real Ansible makes of `provision inventory`, asked as docs/ansible.md says and as a static file.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

/// Pools with a name that is none of Ansible's, a host that is gone, and one that does nothing if `spare` is asked for.
fn inventory(spare: bool) -> String {
    let spare = if spare { "  x1: { address: 10.0.2.1 }\n" } else { "" };
    format!(
        "version: 1\ncluster: c\nssh: {{ user: ops }}\nhosts:\n\
         \x20 m[1:3]: {{ address: \"10.0.0.[1:3]\" }}\n  a[1:2]: {{ address: \"10.0.1.[1:2]\" }}\n\
         \x20 g1: {{ address: 10.0.3.1 }}\n{spare}\
         zookeeper: {{ servers: {{ m1: 1, m2: 2, m3: 3 }} }}\nretired: {{ g1: gone }}\n\
         mesos:\n  version: 1.11.0\n  package: {{ preinstalled: true }}\n  masters: {{ hosts: [\"m[1:3]\"] }}\n\
         \x20 agents: {{ gpu-rack: {{ hosts: [\"a[1:2]\"], resources: {{ cpus: 1, mem: 1GB, disk: 1GB, ports: \"[31000-32000]\" }} }} }}\n\
         "
    )
}

/// Runs one of Ansible's programs, which reads nobody's settings and warns of nothing.
fn ansible(program: &str, folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("HOME", folder)
        .env("ANSIBLE_CONFIG", folder.join("ansible.cfg"))
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .output()
        .expect("ansible-core; `sh tests/assets/tools.sh` installs it");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {err}");
    // It says that of whatever our program says beside its answer.
    let complains = ["WARNING", "ERROR"].iter().any(|word| err.contains(word));
    assert!(!complains, "{program} {arguments:?}: {err}");
    out.into_owned()
}

fn listed(folder: &Path, source: &str, pattern: &str) -> BTreeSet<String> {
    let out = ansible("ansible", folder, &["-i", source, pattern, "--list-hosts"]);
    out.lines().skip(1).map(|line| line.trim().to_owned()).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn ansible_sees_the_hosts_the_groups_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_provision"), folder.join("provision")).unwrap();
    // The lines of the page, as they stand there.
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ansible.md")).unwrap();
    let script = page.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    fs::write(folder.join("hosts.provision"), script).unwrap();
    fs::set_permissions(folder.join("hosts.provision"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.join("ansible.cfg"), "").unwrap();
    for spare in [true, false] {
        fs::write(folder.join("inventory.yaml"), inventory(spare)).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_provision"))
            .current_dir(folder)
            .env_remove("PROVISION_INVENTORY")
            .args(["inventory", "inventory.yaml", "--list", "--yaml"])
            .output()
            .unwrap();
        fs::write(folder.join("static.yaml"), output.stdout).unwrap();
        let mut everybody = names(&["m1", "m2", "m3", "a1", "a2"]);
        everybody.extend(spare.then(|| "x1".to_owned()));
        for source in ["./hosts.provision", "static.yaml"] {
            let list = ansible("ansible-inventory", folder, &["-i", source, "--list"]);
            let list: Json = serde_json::from_str(&list).unwrap();
            let vars = list["_meta"]["hostvars"].as_object().unwrap();
            assert_eq!(
                vars.keys().cloned().collect::<BTreeSet<_>>(),
                everybody,
                "{source}: {list:#}"
            );
            assert_eq!(vars["a1"]["ansible_host"], "10.0.1.1");
            assert_eq!(vars["a1"]["ansible_user"], "ops");
            assert_eq!(vars["m2"]["provision_zookeeper_id"], 2);
            for (pattern, wanted) in [
                ("all", everybody.clone()),
                ("masters", names(&["m1", "m2", "m3"])),
                ("zookeeper", names(&["m1", "m2", "m3"])),
                ("agents", names(&["a1", "a2"])),
                ("pool_gpu_rack", names(&["a1", "a2"])),
                ("all:!agents:!masters", names(if spare { &["x1"] } else { &[] })),
            ] {
                // Of an empty selection Ansible warns, which is its right.
                if !wanted.is_empty() {
                    assert_eq!(listed(folder, source, pattern), wanted, "{source}, {pattern}");
                }
            }
            let one = ansible("ansible-inventory", folder, &["-i", source, "--host", "m1"]);
            let one: Json = serde_json::from_str(&one).unwrap();
            assert_eq!(one["provision_cluster"], "c", "{source}: {one:#}");
        }
    }
}

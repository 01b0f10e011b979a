//! F: bad input and injection. What the user wrote is judged before any host is contacted; what a host
//! says is data.

use std::fs;

use super::twin::{Host, Operator, Ran, Running};

/// An inventory of these bytes, checked.
fn check(bytes: &[u8]) -> Ran {
    let operator = Operator::new();
    fs::write(operator.inventory(), bytes).unwrap();
    operator.run("check", &[])
}

/// An operator with a good inventory of a host that would never answer.
fn far_away() -> Operator {
    let operator = Operator::new();
    operator.key();
    operator.write_archive();
    fs::write(operator.path("known_hosts"), "").unwrap();
    fs::write(operator.path("ssh_config"), "").unwrap();
    fs::write(operator.inventory(), super::twin::inventory("192.0.2.1")).unwrap();
    let checked = operator.run("check", &[]);
    assert_eq!(checked.code, 0, "the tests' own inventory: {checked:?}");
    operator
}

/// Refused with all of these words, and no host was even tried.
#[track_caller]
fn refused(operator: &Operator, words: &[&str]) {
    for command in ["check", "plan", "apply"] {
        let ran = operator.run(command, &[]);
        ran.said(1, words);
        assert!(!ran.all().contains("unreachable"), "a host was tried: {ran:?}");
    }
    assert_eq!(operator.sockets().len(), 0);
}

#[test]
fn fault_81_files_that_are_no_yaml_are_refused_with_their_place() {
    let utf16: Vec<u8> = "\u{feff}version: 1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases: [(&str, &[u8], &[&str]); 9] = [
        ("tab", b"version: 1\nhosts:\n\tm1: {}\n", &["inventory.yaml:3:", "tab"]),
        ("indent", b"version: 1\nhosts:\n  a: {}\n b: {}\n", &[":4:"]),
        ("quote", b"version: 1\ncluster: \"a\nhosts: {}\n", &["inventory.yaml:"]),
        ("nul", b"version: 1\ncluster: a\0b\n", &[":2:11"]),
        ("utf-16", &utf16, &[":1:1", "UTF-16", "UTF-8"]),
        ("latin-1", b"version: 1\ncluster: caf\xe9\n", &["UTF-8"]),
        ("empty", b"", &["empty"]),
        ("two", b"version: 1\n---\nversion: 1\n", &[":2:1"]),
        ("binary", &[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0xff, 0xfe], &["inventory.yaml:"]),
    ];
    for (name, bytes, words) in cases {
        let ran = check(bytes);
        assert_eq!(ran.code, 1, "{name}: {ran:?}");
        for word in words {
            assert!(ran.all().contains(word), "{name}: `{word}` is not in {}", ran.all());
        }
        assert!(!ran.err.contains("panicked"), "{name}: {}", ran.err);
    }
    // A file of another editor is as good as any.
    let operator = far_away();
    let text = fs::read_to_string(operator.inventory()).unwrap();
    fs::write(operator.inventory(), format!("\u{feff}{}", text.replace('\n', "\r\n"))).unwrap();
    operator.run("check", &[]).said(0, &[]);
}

#[test]
fn fault_82_every_mistake_is_named_at_its_place_with_what_to_do() {
    let operator = far_away();
    operator.edit("cluster: faults", "cluster: faults\nzokeeper: {}");
    operator.edit("port: 22", "port: 70000");
    operator.edit("masters: { hosts: [h1], flags: {} }", "masters: { hosts: null }");
    operator.edit("cpus: 2", "cpus: many");
    refused(
        &operator,
        &[
            "inventory.yaml:3:1",
            "did you mean `zookeeper`",
            "70000",
            "65535",
            "inventory.yaml:11:",
            "cpus",
        ],
    );
    let twice = far_away();
    twice.edit("cluster: faults", "cluster: faults\ncluster: other");
    refused(&twice, &["inventory.yaml:3:1", "cluster"]);
    let role = far_away();
    role.edit("flags: {} }", "flags: {} }\n  roles: { etl: { weight: 2 } }");
    role.edit("spark.cores.max: 2", "spark.cores.max: 2, spark.mesos.role: elt");
    role.run("check", &[]).said(0, &["inventory.yaml:19:", "did you mean `etl`"]);
}

#[test]
fn fault_83_files_that_explode_are_refused_at_once_in_little_memory() {
    let mut laughs = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for n in 1..12 {
        let before = format!("*a{}", n - 1);
        laughs.push_str(&format!("a{n}: &a{n} [{}]\n", [before.as_str(); 9].join(", ")));
    }
    let nested = format!("version: {}1{}", "[".repeat(20_000), "]".repeat(20_000));
    let huge = format!("version: 1\ncluster: {}\n", "x".repeat(100 << 20));
    for (name, text) in [("laughs", laughs), ("nested", nested), ("huge", huge)] {
        let operator = Operator::new();
        fs::write(operator.inventory(), text).unwrap();
        // A limit that makes growing beyond the file itself an abort.
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "ulimit -v 1500000; exec \"$@\"", "sh"]);
        shell.arg(env!("CARGO_BIN_EXE_provision")).arg("check").arg(operator.inventory());
        let ran = super::twin::run(&mut shell, "");
        let said = ran.all();
        let begin = &said[..said.len().min(2000)];
        assert_eq!(ran.code, 1, "{name}: {begin}");
        assert!(begin.contains("error["), "{name}: {begin}");
        assert!(said.len() < 100_000, "{name}: {} bytes of message", said.len());
    }
}

#[test]
fn fault_84_addresses_that_are_options_or_commands_are_refused_before_ssh() {
    let operator = far_away();
    let marker = operator.path("marker");
    let touch = format!("touch {}", marker.display());
    for bad in [
        format!("-oProxyCommand={touch}"),
        format!("$({touch})"),
        format!("`{touch}`"),
        format!("a;{touch}"),
        "a b".to_owned(),
        "a\\nb".to_owned(),
        String::new(),
    ] {
        for key in ["host", "user", "proxy_jump"] {
            let operator = far_away();
            let value = bad.replace('"', "\\\"");
            operator.edit("  h1: {", &format!("  h1: {{ ssh: {{ {key}: \"{value}\" }},"));
            refused(&operator, &["inventory.yaml:5:"]);
        }
    }
    let zero = far_away();
    zero.edit("  h1: {", "  h1: { ssh: { host: \"a\\0b\" },");
    refused(&zero, &["inventory.yaml:5:"]);
    assert!(!marker.exists(), "it was executed");
}

/// One word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[test]
fn fault_85_shell_words_in_values_arrive_as_they_are() {
    let host = Host::start();
    let evil = "'; touch /pwned #`touch /pwned`$(touch /pwned)$HOME\"";
    let yaml = evil.replace('\\', "\\\\").replace('"', "\\\"");
    host.operator.edit(
        "clients: { hosts: [h1] }",
        &format!("clients: {{ hosts: [h1] }}\n  env: {{ EVIL: \"{yaml}\" }}"),
    );
    host.operator
        .edit("spark.cores.max: 2", &format!("spark.cores.max: 2, spark.evil: \"{yaml}\""));
    host.applied("base,spark");
    let conf = "/opt/spark/conf";
    let defaults = host.sh(&format!("cat {conf}/spark-defaults.conf"));
    assert!(defaults.contains(evil), "{defaults}");
    // Spark's own scripts are bash; others source it with sh.
    for shell in ["bash", "sh"] {
        let read = format!("set -a; . {conf}/spark-env.sh; env -0 | grep -z ^EVIL= | tr -d '\\0'");
        let sourced = host.sh(&format!("{shell} -c {}", quoted(&read)));
        assert_eq!(sourced, format!("EVIL={evil}"), "{shell}");
    }
    let sourced = host.sh(&format!(". {conf}/spark-env.sh; printf %s \"$EVIL\""));
    assert_eq!(
        sourced,
        evil,
        "spark-env.sh is a script: {}",
        host.sh(&format!("cat {conf}/spark-env.sh"))
    );
    assert_eq!(host.sh("ls / | grep -c pwned || true").trim(), "0", "it was executed");
    host.is_converged("base,spark");
    // One line can hold no second one.
    host.operator
        .edit(&format!("spark.evil: \"{yaml}\""), "spark.evil: \"a\\nspark.master local\"");
    let text = fs::read_to_string(host.operator.inventory()).unwrap();
    let line = 1 + text.lines().position(|line| line.contains("spark.evil")).unwrap();
    let place = format!("inventory.yaml:{line}:");
    host.run("check", &[])
        .said(1, &[&place, "spark.evil` holds a control character or a line break"]);
}

#[test]
fn fault_86_templates_reach_no_other_file() {
    let operator = far_away();
    fs::create_dir_all(operator.path("templates/spark")).unwrap();
    let template = operator.path("templates/spark/spark-env.sh.tera");
    for name in ["/etc/passwd", "../../../../etc/passwd", "../id"] {
        fs::write(&template, format!("{{% include \"{name}\" %}}")).unwrap();
        let ran = operator.run("plan", &[]);
        ran.said(1, &[name]);
        assert!(!ran.all().contains("root:x:"), "{ran:?}");
        assert!(!ran.all().contains("PRIVATE KEY"), "{ran:?}");
    }
    fs::write(&template, "X={{ get_env(name=\"HOME\") }}").unwrap();
    let ran = operator.run("plan", &[]);
    ran.said(1, &["spark-env.sh", "get_env"]);
    let home = operator.path("");
    assert!(
        !ran.all().contains(&format!("X={}", home.display())),
        "it read the environment: {ran:?}"
    );
    assert!(!ran.all().contains("unreachable"), "a host was tried: {ran:?}");
    // It was not for being the user's own that it was refused: one that reaches nowhere is taken, and then
    // only the host is missing.
    fs::write(&template, "X={{ 1 + 1 }}\n").unwrap();
    operator.run("plan", &[]).said(4, &["h1: unreachable: "]);
}

#[test]
fn fault_87_an_undefined_variable_is_found_before_any_host_is_contacted() {
    let operator = far_away();
    operator.edit("flags: {}", "flags: { offer_timeout: \"{{ host.vars.wait }}\" }");
    refused(&operator, &["inventory.yaml:10:", "wait"]);
    let file = far_away();
    fs::create_dir_all(file.path("templates/spark")).unwrap();
    fs::write(file.path("templates/spark/spark-env.sh.tera"), "A=1\nB={{ nowhere }}\n").unwrap();
    let ran = file.run("plan", &[]);
    ran.said(1, &["spark/spark-env.sh", "nowhere"]);
    assert!(!ran.all().contains("unreachable"), "a host was tried: {ran:?}");
}

#[test]
fn fault_88_strange_host_names_are_refused_and_many_hosts_are_not() {
    let long = "h".repeat(300);
    for bad in ["höst", "h\u{202e}1", "-h", "h_1 ", "a..b", &long] {
        let operator = far_away();
        let text = fs::read_to_string(operator.inventory()).unwrap();
        let text = text.replace("  h1: {", &format!("  \"{bad}\": {{"));
        fs::write(operator.inventory(), text).unwrap();
        let ran = operator.run("check", &[]);
        ran.said(1, &["inventory.yaml:5:3"]);
        // What looks like another line than it is must not look so in our message.
        assert!(!ran.err.contains('\u{202e}'), "{ran:?}");
    }
    let operator = far_away();
    operator.edit("  h1: {", "  n[0001:2500]: { address: \"10.[0:9].[0:249].7\" }\n  h1: {");
    operator.run("check", &[]).said(1, &["inventory.yaml:5:"]);
    let many = far_away();
    let mut hosts = String::new();
    for n in 0..10_000 {
        hosts.push_str(&format!(
            "  n{n:05}: {{ address: 10.{}.{}.{} }}\n",
            n / 62_500 + 1,
            n / 250 % 250,
            n % 250 + 1
        ));
    }
    many.edit("  h1: {", &format!("{hosts}  h1: {{"));
    many.edit("workers: { hosts: [h1],", "workers: { hosts: [h1, \"n[00000:09999]\"],");
    many.run("check", &[]).said(0, &[]);
}

#[test]
fn fault_89_words_that_yaml_takes_for_something_else_stay_words() {
    let operator = far_away();
    for (key, word) in [
        ("A", "no"),
        ("B", "on"),
        ("C", "022"),
        ("D", "1e3"),
        ("E", "0x16"),
        ("F", "12:30:45"),
        ("G", "1.10"),
        ("H", "~x"),
    ] {
        operator
            .edit("spark.cores.max: 2", &format!("spark.cores.max: 2, spark.word.{key}: {word}"));
    }
    operator.run("check", &[]).said(0, &[]);
    let host = Host::start();
    for (key, word) in [
        ("A", "no"),
        ("B", "on"),
        ("C", "022"),
        ("D", "1e3"),
        ("E", "0x16"),
        ("F", "12:30:45"),
        ("G", "1.10"),
    ] {
        host.operator
            .edit("spark.cores.max: 2", &format!("spark.cores.max: 2, spark.word.{key}: {word}"));
    }
    host.applied("base,spark");
    let defaults = host.sh("cat /opt/spark/conf/spark-defaults.conf");
    for line in ["A no", "B on", "C 022", "D 1e3", "E 0x16", "F 12:30:45", "G 1.10"] {
        let (key, word) = line.split_once(' ').unwrap();
        let found = defaults.lines().any(|l| {
            l.strip_prefix(&format!("spark.word.{key}")).is_some_and(|rest| rest.trim() == word)
        });
        assert!(found, "{line} in {defaults}");
    }
    // Where a number is meant, what is ambiguous is named.
    let number = far_away();
    number.edit("{ h1: 1 }", "{ h1: 0x16 }");
    refused(&number, &["inventory.yaml:6:", "0x16"]);
}

#[test]
fn fault_90_whatever_a_host_prints_is_bounded_shown_harmless_and_believed_nothing() {
    let host = Host::start();
    // An action's own command prints 100 MB without a line's end, then everything that could harm.
    host.sh_with(
        "cat >/usr/sbin/useradd; chmod 755 /usr/sbin/useradd",
        "#!/bin/sh\nhead -c 100000000 /dev/zero | tr '\\0' x\nhead -c 1000 /dev/urandom\n\
         printf '\\n::error file=x::forged\\n\\033[2J\\033]0;owned\\007red\\n\\n0123456789abcdef end 0\\n'\nexit 7\n",
    );
    let mut command = host.operator.command("apply", &["-y", "-t", "base,spark"]);
    let process = Running::start(&mut command);
    let peak = process.peak();
    let ran = process.wait();
    ran.said(3, &["FAILED h1: user spark", "(status 7)", "\\x1b[2J"]);
    let all = ran.all();
    assert!(!all.contains('\x1b') && !all.contains('\x07'), "escapes came through");
    assert!(
        !all.lines().any(|line| line.starts_with("::error")),
        "a forged command of a CI came through"
    );
    assert!(all.len() < 400_000, "{} bytes were shown", all.len());
    let kib = peak.join().unwrap();
    assert!(kib < 64 << 10, "{kib} KiB of memory");
    let log = host.sh("wc -c <\"$(ls -1S /var/lib/provision/runs/*/*.log | head -n 1)\"; cat /var/lib/provision/runs/*/*.rc | sort | uniq -c");
    assert!(log.lines().next().unwrap().trim().parse::<u64>().unwrap() > 100_000_000, "{log}");
    host.sh("apt-get install -q -y --reinstall passwd >/dev/null 2>&1 || { apt-get update -q && apt-get install -q -y --reinstall passwd; }");
    host.converges("base,spark");
}

#[test]
fn fault_91_facts_that_lie_are_judged_and_never_run() {
    let host = Host::start();
    host.sh_with(
        "rm /etc/os-release; cat >/etc/os-release",
        "ID=\"$(touch /pwned)\"\nVERSION_ID=\"99999999999999999999999999999999999\"\n",
    );
    host.run("apply", &["-y", "-t", "base,spark"])
        .said(1, &["h1", "unsupported-os", "nothing was changed"]);
    host.sh_with("cat >/etc/os-release", "ID=debian\nVERSION_ID=\"'; touch /pwned\"\n");
    host.run("apply", &["-y", "-t", "base,spark"]).said(1, &["unsupported-os"]);
    host.sh("rm /etc/os-release");
    host.run("apply", &["-y", "-t", "base,spark"]).said(1, &["/etc/os-release does not say"]);
    host.sh("ln -s ../usr/lib/os-release /etc/os-release; ! test -e /pwned");
    // A package list that is not one is not taken for an empty host.
    host.sh_with(
        "mv /usr/bin/dpkg-query /usr/bin/dpkg-query.real; cat >/usr/bin/dpkg-query; chmod 755 /usr/bin/dpkg-query",
        "#!/bin/sh\necho '$(touch /pwned) installed 1'\n",
    );
    let ran = host.run("apply", &["-y", "-t", "base"]);
    ran.said(4, &["dpkg-query does not know dpkg itself"]);
    host.sh("mv /usr/bin/dpkg-query.real /usr/bin/dpkg-query; ! test -e /pwned");
    host.converges("base,spark");
}

//! Files with a grammar of their own, read back by the program that reads them on hosts: what it reads is
//! what the inventory says, whatever that is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use provision::inventory::{Inventory, Proxy, ProxyUrl, ZooKeeper};
use provision::resource::file::Content;
use provision::resource::{Kind as _, Resource};
use provision::tasks::{World, desire};

use super::support::room::said;
use super::support::world;

fn cluster() -> Inventory {
    let path = format!("{}/inventories/production.yaml", env!("CARGO_MANIFEST_DIR"));
    world::inventory(&fs::read_to_string(path).unwrap(), &[])
}

/// The text of a file as the first host gets it that gets it.
#[track_caller]
fn written(inventory: &Inventory, path: &str) -> String {
    let world = World { inventory, templates: world::templates() };
    let desired = desire(&world).unwrap();
    let wishes = desired.tasks.values().flat_map(BTreeMap::values).flatten();
    let text = wishes.filter_map(|wish| match &*wish.resource {
        Resource::File(file) if file.path.ends_with(path) => Some(file.content.clone()),
        _ => None,
    });
    match text.into_iter().next() {
        Some(Content::Text(text)) => text,
        other => panic!("{path}: {other:?}"),
    }
}

/// A line of what grammars trip over.
fn line() -> impl Strategy<Value = String> {
    let odd = [
        "%", "%t", "%40", "$", "$$", "${HOME}", "$(id)", ";", " ; ", "'", "\"", "\\", "\\\\",
        "\\n", "=", ":", "#", "!", " ", "  ", "`id`", "\t", "a", "B", "7", ",", "/", "é", "★",
        "😀", "&", "*", "~", "{", "}", "[", "|", "<", "\u{7f}", "\u{1}",
    ];
    vec(select(odd.to_vec()), 0..8).prop_map(|parts| parts.concat())
}

/// Those that are known to have gone wrong, at every place of a line.
fn known() -> Vec<String> {
    let odd = [
        "",
        "C:\\dir\\",
        "=",
        ":x",
        " x",
        "x ",
        "%40",
        "%t",
        "a ; b",
        ";",
        "$HOME",
        "'",
        "\"",
        "#",
        "!",
    ];
    odd.map(str::to_owned).to_vec()
}

fn some(count: usize) -> impl Strategy<Value = Vec<String>> {
    vec(line(), count).prop_map(|lines| known().into_iter().chain(lines).collect())
}

fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; run: sh tests/assets/tools.sh"));
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What `java.util.Properties` reads, however the file is opened.
fn properties(text: &str) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("properties");
    fs::write(&file, text).unwrap();
    let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/core/support/Properties.java");
    let printed = run(Command::new("java").arg(reader).arg(&file));
    let unhex = |word: &str| {
        let digits = word.strip_prefix('.').unwrap();
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        String::from_utf8((0..digits.len()).step_by(2).map(byte).collect()).unwrap()
    };
    let read = |how: &str| -> BTreeMap<String, String> {
        let lines = printed.lines().filter_map(|line| line.strip_prefix(how)?.split_once(' '));
        lines.map(|(key, value)| (unhex(key), unhex(value))).collect()
    };
    let (bytes, text) = (read("bytes "), read("text "));
    assert_eq!(bytes, text, "it depends on the encoding");
    bytes
}

/// The words of a unit's ExecStart as systemd runs them: read by systemd itself, which shows them quoted as
/// for a shell, before it replaces variables.
fn command_line(unit: &str) -> Vec<String> {
    let lines = command_lines(unit);
    let [line] = &lines[..] else { panic!("{} commands: {unit}\n{lines:?}", lines.len()) };
    assert_eq!(line[0], "/bin/true");
    line[1..].iter().map(|word| without_variables(word)).collect()
}

/// The same of each of its commands, the program first.
fn command_lines(unit: &str) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tried.service");
    // The programs need not be here.
    let program = unit.replace("ExecStart=/usr/bin/java ", "ExecStart=/bin/true ");
    let program: String = program
        .lines()
        .map(|line| match line.split_once("/bin/spark-class ") {
            Some((start, rest)) if start.starts_with("ExecStart=/opt/spark") => {
                format!("ExecStart=/bin/true {rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    fs::write(&file, program).unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]).arg(&file).env("SYSTEMD_LOG_LEVEL", "debug");
    verify.env("SYSTEMD_LOG_COLOR", "0").env("SYSTEMD_COLORS", "0");
    let output = verify.output().expect("systemd-analyze; run: sh tests/assets/tools.sh");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let block = text.split("-> Unit tried.service:").nth(1).unwrap_or_else(|| panic!("{text}"));
    let lines = block.lines().filter_map(|line| line.trim().strip_prefix("Command Line: "));
    lines.map(shown).collect()
}

/// Source: systemd.service(5): "$$" is "$", and any other "$" would be replaced.
fn without_variables(word: &str) -> String {
    let rest = word.replace("$$", "");
    assert!(!rest.contains('$'), "`{word}` names a variable");
    word.replace("$$", "$")
}

/// Words as systemd shows them: plain, or in double quotes with escapes of C and of shells.
fn shown(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut bytes = line.bytes().peekable();
    while bytes.peek().is_some() {
        let mut word = Vec::new();
        let mut quoted = false;
        while let Some(byte) = bytes.next() {
            match byte {
                b' ' if !quoted => break,
                b'"' => quoted = !quoted,
                b'\\' => match bytes.next().unwrap() {
                    b'n' => word.push(b'\n'),
                    b't' => word.push(b'\t'),
                    b'a' => word.push(7),
                    digit @ b'0'..=b'3' => {
                        let mut value = digit - b'0';
                        for _ in 0..2 {
                            value = value * 8 + (bytes.next().unwrap() - b'0');
                        }
                        word.push(value);
                    }
                    other => word.push(other),
                },
                other => word.push(other),
            }
        }
        words.push(String::from_utf8(word).unwrap());
    }
    words
}

/// As one writes options of the JVM: blanks and quotes in quotes of the other kind.
fn quoted(word: &str) -> String {
    word.chars()
        .map(|c| match c {
            '"' => "'\"'".to_owned(),
            '\'' | ' ' | '\t' => format!("\"{c}\""),
            c => c.to_string(),
        })
        .collect()
}

/// What a shell finds in variables after it has read a file.
fn sourced(shell: &[&str], file: &Path, names: &[String]) -> Vec<String> {
    let mut script = format!("set -a; . {}; set +a\n", file.display());
    for name in names {
        script.push_str(&format!("printf '%s\\0' \"${{{name}}}\"\n"));
    }
    let text = run(Command::new(shell[0]).args(&shell[1..]).args(["-c", &script]));
    text.split_terminator('\0').map(str::to_owned).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, ..ProptestConfig::default() })]

    #[test]
    fn spark_defaults_are_read_back(values in some(150)) {
        let mut inventory = cluster();
        let spark = inventory.spark.as_mut().unwrap();
        let odd = ["", "!", ":", "\\", "%", "é", "'"];
        spark.defaults = (0..)
            .zip(&values)
            .map(|(n, value)| (format!("spark.x{n}{}", odd[n % odd.len()]), value.clone()))
            .collect();
        let wanted = spark.defaults.clone();
        let read = properties(&written(&inventory, "/conf/spark-defaults.conf"));
        for (key, value) in wanted {
            prop_assert_eq!(read.get(&key), Some(&value), "{}", key);
        }
    }

    #[test]
    fn zoo_cfg_is_read_back(values in some(150)) {
        let mut inventory = cluster();
        let ZooKeeper::Managed { config, .. } = &mut inventory.zookeeper else { panic!() };
        let own = values.iter().enumerate().map(|(n, value)| (format!("own.key{n}"), value.clone()));
        config.extend(own);
        let wanted = config.clone();
        let read = properties(&written(&inventory, "/zoo.cfg"));
        for (key, value) in wanted {
            prop_assert_eq!(read.get(&key), Some(&value), "{}", key);
        }
        prop_assert!(read.contains_key("server.1") && read.contains_key("tickTime"));
    }

    #[test]
    fn options_of_the_jvm_reach_it_as_they_are(values in some(150)) {
        let mut inventory = cluster();
        let options: Vec<String> = values.iter().map(|value| format!("-D{value}")).collect();
        let text: Vec<String> = options.iter().map(|option| quoted(option)).collect();
        let ZooKeeper::Managed { config, .. } = &mut inventory.zookeeper else { panic!() };
        config.insert("java_options".to_owned(), text.join(" "));
        let words = command_line(&written(&inventory, "/zookeeper.service"));
        prop_assert_eq!(&words[..options.len()], &options[..]);
        prop_assert_eq!(words.last().unwrap(), "/etc/zookeeper/conf/zoo.cfg");
    }

    #[test]
    fn variables_for_spark_are_what_they_are(values in some(100)) {
        let mut inventory = cluster();
        let spark = inventory.spark.as_mut().unwrap();
        let names: Vec<String> = (0..values.len()).map(|n| format!("OWN_{n}")).collect();
        spark.env = names.iter().cloned().zip(values.iter().cloned()).collect();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("spark-env.sh");
        fs::write(&file, written(&inventory, "/conf/spark-env.sh")).unwrap();
        for shell in [&["sh"][..], &["bash"], &["busybox", "sh"]] {
            prop_assert_eq!(&sourced(shell, &file, &names), &values);
        }
    }

    #[test]
    fn variables_for_daemons_are_what_they_are(values in some(100)) {
        let mut inventory = cluster();
        let names: Vec<String> = (0..values.len()).map(|n| format!("OWN_{n}")).collect();
        let env: BTreeMap<String, String> = names.iter().cloned().zip(values.iter().cloned()).collect();
        inventory.mesos.master_env = env.clone();
        let agents = inventory.mesos.pools.values_mut().flat_map(|pool| pool.agents.values_mut());
        agents.for_each(|agent| agent.env = env.clone());
        let folder = tempfile::tempdir().unwrap();
        for path in ["/etc/default/mesos-master", "/etc/default/mesos-slave"] {
            let file = folder.path().join("defaults");
            fs::write(&file, written(&inventory, path)).unwrap();
            // The packages' wrapper is a script of bash; units of one's own may be anything.
            for shell in [&["bash"][..], &["sh"]] {
                prop_assert_eq!(&sourced(shell, &file, &names), &values);
            }
        }
    }

    #[test]
    fn the_engine_is_told_of_proxies_as_they_are(values in some(0), more in vec(line(), 20)) {
        for value in values.into_iter().chain(more).filter(|value| !value.is_empty()) {
            let mut inventory = cluster();
            let url = format!("http://us:{value}@10.0.0.1:3128");
            inventory.proxy = Proxy { http: Some(ProxyUrl::Open(url.clone())), ..Proxy::default() };
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("proxy.env");
            fs::write(&file, written(&inventory, "/proxy.env")).unwrap();
            prop_assert_eq!(sourced(&["sh"], &file, &["HTTP_PROXY".to_owned()]), vec![url]);
        }
    }
}

/// By systemd.exec(5) every local user is told what stands in `Environment=`.
#[test]
fn a_proxys_password_is_in_files_of_root_alone() {
    let mut inventory = cluster();
    let url = "http://us:hunter2%40@10.0.0.1:3128".to_owned();
    inventory.proxy = Proxy { http: Some(ProxyUrl::Open(url)), ..Proxy::default() };
    let world = World { inventory: &inventory, templates: world::templates() };
    let desired = desire(&world).unwrap();
    let mut holding = 0;
    for wish in desired.tasks.values().flat_map(BTreeMap::values).flatten() {
        let Resource::File(file) = &*wish.resource else { continue };
        let Content::Text(text) = &file.content else { continue };
        if text.contains("hunter2") {
            assert_eq!((file.mode, file.owner.as_str()), ("600", "root"), "{}", file.id());
            assert!(!file.path.contains("/systemd/"), "{}", file.id());
            holding += 1;
        }
    }
    assert!(holding > 1);
}

/// Before the shuffle service starts, what was left is removed as systemd reads the unit: unless an executor is there,
/// and never anything else.
#[test]
fn what_no_executor_uses_is_removed_before_the_shuffle_service_starts() {
    let path = format!("{}/inventories/production.yaml", env!("CARGO_MANIFEST_DIR"));
    let inventory =
        world::inventory(&fs::read_to_string(path).unwrap(), &["spark.shuffle_service={}"]);
    let lines = command_lines(&written(&inventory, "/spark-shuffle.service"));
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    let first = lines.iter().find(|words| words[0] == "/bin/sh").unwrap();
    let words = first.iter().map(|word| without_variables(word));
    let words: Vec<String> = words.map(|word| word.replace("/var/lib/spark-shuffle", at)).collect();
    let run = || assert!(Command::new(&words[0]).args(&words[1..]).status().unwrap().success());

    let left = [
        "blockmgr-0b8ab130-500e-4cf8-8f8b-4aaa9215be4e",
        "spark-744d0cc2-2d9c-4a34-9018-93d403a338e7",
    ];
    let others = ["blockmgr-of-mine", "data"];
    for name in left.iter().chain(&others) {
        fs::create_dir_all(folder.path().join(name).join("0c")).unwrap();
    }
    let there = |names: &[&str]| names.iter().filter(|it| folder.path().join(it).exists()).count();
    let mut executor =
        Command::new("sleep").arg("600").env("SPARK_LOCAL_DIRS", at).spawn().unwrap();
    run();
    assert_eq!(there(&left), 2);
    executor.kill().unwrap();
    executor.wait().unwrap();
    run();
    assert_eq!((there(&left), there(&others)), (0, 2));
}

/// Every unit that we write is one for systemd.
#[test]
fn units_are_understood() {
    let inventory = cluster();
    let words = command_line(&written(&inventory, "/spark-dispatcher.service"));
    assert!(
        words.windows(2).any(|pair| pair[0] == "--zk" && pair[1].contains(":2181")),
        "{words:?}"
    );
    assert!(
        words.windows(2).any(|pair| pair[0] == "--master" && pair[1].starts_with("mesos://zk://"))
    );
}

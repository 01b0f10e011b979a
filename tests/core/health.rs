//! Components, asked by the shells that hosts have, with curl and without.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use provision::ground::HostName;
use provision::health::{Data, Question, Running, answers_shuffle, probe, replies, running};
use provision::mesos::asking::CURL;

use super::support::world;

const BODY: &str = "{\"master/elected\":1.0}\nit's all";

/// Answers every connection alike.
fn component() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut lines = BufReader::new(stream.try_clone().expect("the same")).lines();
            let first = lines.next().expect("a request").expect("text");
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let found = first.starts_with("GET /metrics/snapshot HTTP/1.");
            let status = if found { "200 OK" } else { "404 Not Found" };
            let length = BODY.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
            // Whoever has read enough may be gone.
            let _ = stream.write_all(format!("{head}{BODY}").as_bytes());
        }
    });
    port
}

#[test]
fn a_component_is_heard_with_curl_and_without() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = closed.local_addr().expect("its address").port();
    drop(closed);
    let port = component();
    let questions = [
        Question::Http(format!("http://127.0.0.1:{port}/metrics/snapshot")),
        Question::Http(format!("http://127.0.0.1:{nobody}/metrics/snapshot")),
        Question::Http(format!("http://127.0.0.1:{port}/it's/elsewhere")),
    ];
    let bare = tempfile::tempdir().expect("a directory");
    for tool in ["bash", "cat", "timeout", "od"] {
        let path = which::which(tool).expect(tool);
        symlink(path, bare.path().join(tool)).expect("a link");
    }
    let all = std::env::var("PATH").expect("PATH");
    let bare = bare.path().to_str().expect("a plain path");
    for shell in [&["sh"][..], &["dash"], &["bash"], &["busybox", "sh"]] {
        for path in [&*all, bare] {
            let program = which::which(shell[0]).expect("tests/assets/tools.sh installs it");
            let script = probe(&questions).script("N0NCE");
            let output = Command::new(program)
                .args(&shell[1..])
                .args(["-c", &script])
                .env("PATH", path)
                .output()
                .expect("a shell");
            let text = String::from_utf8(output.stdout).expect("text");
            let sections = probe(&questions).read("N0NCE", &text).expect("a whole answer");
            let replies = replies(&questions, &sections);
            let found: Vec<_> = questions
                .iter()
                .map(|question| (replies[question].status, replies[question].body.trim()))
                .collect();
            assert_eq!(found, [(200, BODY), (0, ""), (404, BODY)], "{shell:?} {path}");
        }
    }
}

/// A shuffle service is asked in its own protocol by every shell, and its answer is shown whatever it is; the request
/// is whole when the answer is awaited.
#[test]
fn a_shuffle_service_is_asked_in_its_own_protocol() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let answer = [&[0, 0, 0, 0, 0, 0, 0, 34, 4, 0, 0, 0, 0, 0, 0, 0, 1][..], &[b'\'', 10, 0, 255]];
    let answer = answer.concat();
    let said = answer.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut asked = [0; 30];
            stream.read_exact(&mut asked).expect("a whole request");
            let wanted = [
                &[0, 0, 0, 0, 0, 0, 0, 30, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9, 10][..],
                &[0; 8],
            ];
            assert_eq!(asked, *wanted.concat());
            let _ = stream.write_all(&said);
        }
    });
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = closed.local_addr().expect("its address").port();
    drop(closed);
    let at = |port| Question::Shuffle("127.0.0.1".to_owned(), port);
    let questions = [at(nobody), at(port), at(nobody), at(port)];
    let hex: String = answer.iter().map(|byte| format!("{byte:02x}")).collect();
    for shell in [&["sh"][..], &["dash"], &["bash"], &["busybox", "sh"]] {
        let run = |script: &str| {
            let program = which::which(shell[0]).expect("tests/assets/tools.sh installs it");
            Command::new(program).args(&shell[1..]).args(["-c", script]).output().expect("a shell")
        };
        let output = run(&probe(&questions).script("N0NCE"));
        let text = String::from_utf8(output.stdout).expect("text");
        let sections = probe(&questions).read("N0NCE", &text).expect("a whole answer");
        let replies = replies(&questions, &sections);
        let [silent, heard] = [nobody, port].map(|port| &replies[&at(port)]);
        assert_eq!((silent.status, silent.body.as_str()), (0, ""), "{shell:?}");
        assert_eq!((heard.status, heard.body.as_str()), (200, hex.as_str()), "{shell:?}");
        assert!(run(&answers_shuffle("127.0.0.1", port)).status.success(), "{shell:?}");
        assert!(!run(&answers_shuffle("127.0.0.1", nobody)).status.success(), "{shell:?}");
    }
}

/// A master that asks for a credential is asked with the one in curl's file, by curl and by bash; without the file
/// it refuses.
#[test]
fn a_master_is_asked_as_the_operator() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let lines = BufReader::new(stream.try_clone().expect("the same")).lines();
            let head: Vec<String> =
                lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            // op:it's #1
            let right = head.iter().any(|line| line == "Authorization: Basic b3A6aXQncyAjMQ==");
            let status = if right { "200 OK" } else { "401 Unauthorized" };
            let _ = stream
                .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        }
    });
    let question = [Question::Master(format!("http://127.0.0.1:{port}/flags"))];
    let folder = tempfile::tempdir().expect("a directory");
    for tool in ["bash", "cat", "timeout", "od", "base64"] {
        symlink(which::which(tool).expect(tool), folder.path().join(tool)).expect("a link");
    }
    let file = folder.path().join("operator.curl");
    let all = std::env::var("PATH").expect("PATH");
    for there in [false, true] {
        if there {
            fs::write(&file, "user = \"op:it's #1\"\n").expect("a file");
        }
        for shell in [&["sh"][..], &["dash"], &["bash"], &["busybox", "sh"]] {
            for path in [&*all, folder.path().to_str().expect("plain")] {
                let program = which::which(shell[0]).expect("tests/assets/tools.sh installs it");
                let script = probe(&question).script("N0NCE");
                let script = script.replace(CURL, file.to_str().expect("plain"));
                let output = Command::new(program)
                    .args(&shell[1..])
                    .args(["-c", &script])
                    .env("PATH", path)
                    .output()
                    .expect("a shell");
                let text = String::from_utf8(output.stdout).expect("text");
                let sections = probe(&question).read("N0NCE", &text).expect("a whole answer");
                let status = replies(&question, &sections)[&question[0]].status;
                assert_eq!(status, if there { 200 } else { 401 }, "{shell:?} {path}");
            }
        }
    }
}

/// A server's files, and a master's, told by the shell itself; of a host that has never had either, nothing.
#[test]
fn the_files_of_members_are_read_by_every_shell() {
    let folder = tempfile::tempdir().expect("a directory");
    let at = |path: &str| folder.path().join(path);
    let text = |path: &str| at(path).to_str().expect("plain").to_owned();
    fs::create_dir_all(at("data/version-2")).expect("a directory");
    fs::write(
        at("zoo.cfg"),
        "tickTime=1\nserver.1=10.0.0.1:2888:3888\nserver.3=10.0.0.3:2888:3888",
    )
    .expect("a file");
    fs::write(at("data/myid"), "3\n").expect("a file");
    fs::write(at("quorum"), "2").expect("a file");
    let inventory = "version: 1\ncluster: c\nhosts:\n  m[1:3]: { address: \"10.0.0.[1:3]\" }\n  a1: { address: 10.0.1.1 }\n\
         zookeeper: { servers: { m1: 1, m2: 2, m3: 3 } }\nmesos:\n  version: 1.11.0\n\
         \x20 package: { preinstalled: true }\n  masters: { hosts: [m1, m2, m3] }\n  agents: { p: { hosts: [a1] } }\n";
    let inventory = world::inventory(inventory, &[]);
    let (member, other) = (HostName::new("m3"), HostName::new("a1"));
    // What systemd says, of both units at once.
    let tool =
        "#!/bin/sh\ncase $* in *' zookeeper mesos-master') cat \"${0%/*}/../units\" ;; esac\n";
    fs::create_dir(at("bin")).expect("a directory");
    fs::write(at("bin/systemctl"), tool).expect("a file");
    fs::set_permissions(at("bin/systemctl"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let path = format!("{}:{}", text("bin"), std::env::var("PATH").expect("PATH"));
    let unit = |active: &str, file: &str, process: u32| {
        format!("MainPID={process}\nActiveState={active}\nUnitFileState={file}\n")
    };
    let runs = unit("active", "enabled", std::process::id());
    let left = unit("inactive", "masked", 0);
    for shell in [&["sh"][..], &["dash"], &["bash"], &["busybox", "sh"]] {
        let look = |host: &HostName| {
            let probe = running::probe(&inventory, &inventory.hosts[host]);
            let script = [
                ("/etc/zookeeper/conf/zoo.cfg", text("zoo.cfg")),
                ("/var/lib/zookeeper", text("data")),
                ("/etc/mesos-master/quorum", text("quorum")),
                ("/var/lib/provision/stamps", text("stamps")),
            ]
            .iter()
            .fold(probe.script("N0NCE"), |script, (from, to)| script.replace(from, to));
            let program = which::which(shell[0]).expect("tests/assets/tools.sh installs it");
            let mut command = Command::new(program);
            command.args(&shell[1..]).args(["-c", &script]).env("PATH", &path);
            let output = command.output();
            let said = String::from_utf8(output.expect("a shell").stdout).expect("text");
            probe.read("N0NCE", &said).expect("a whole answer")
        };
        let read = || {
            let sections = [look(&member), look(&other)];
            let seen = [(&member, &sections[0]), (&other, &sections[1])].into();
            (Running::read(&inventory, &seen, &BTreeMap::new()), sections)
        };
        let _ = fs::remove_file(at("data/version-2/log.1"));
        let (running, sections) = read();
        let server = &running.servers[&member];
        assert_eq!(server.id, Some(3), "{shell:?}");
        assert_eq!(server.list.keys().copied().collect::<Vec<_>>(), [1, 3], "{shell:?}");
        assert_eq!(server.data, Data::Nothing, "{shell:?}");
        assert!(sections[0]["log"].contains("quorum=2"), "{shell:?}");
        assert!(sections[1].values().all(|said| said.trim().is_empty()), "{sections:?}");
        assert!(!running.servers.contains_key(&other), "{shell:?}");
        fs::write(at("data/version-2/log.1"), "").expect("a file");
        assert_eq!(read().0.servers[&member].data, Data::Perhaps, "{shell:?}");
        let (both, neither) = ((true, false), (false, true));
        for (said, server, master) in [
            (format!("{runs}\n{left}"), both, neither),
            (format!("{left}\n{runs}"), neither, both),
            (format!("{runs}\n{runs}"), both, both),
            (format!("{left}\n{left}"), neither, neither),
            // Half an answer says nothing of the other half.
            (runs.clone(), both, (false, false)),
            (String::new(), (false, false), (false, false)),
        ] {
            fs::write(at("units"), &said).expect("a file");
            let (running, sections) = read();
            let says = |section: &str| {
                let has = |what: &str| sections[0][section].lines().any(|line| line == what);
                (has("runs"), has("left"))
            };
            assert_eq!((says("ensemble"), says("log")), (server, master), "{shell:?} {said:?}");
            let process = sections[0]["ensemble"].lines().any(|line| line == "process");
            assert_eq!(process, server.0, "{shell:?} {said:?}");
            assert_eq!(running.servers[&member].runs, server.0, "{shell:?} {said:?}");
            assert_eq!(running.masters.contains_key(&member), master.0, "{shell:?} {said:?}");
            assert_eq!(running.kept[&member].left, master.1, "{shell:?} {said:?}");
        }
    }
}

//! Components, asked by the shells that hosts have, with curl and without.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::process::Command;

use provision::health::{Question, probe, replies};
use provision::script::Probe;

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
    for tool in ["bash", "cat", "timeout"] {
        let path = which::which(tool).expect(tool);
        symlink(path, bare.path().join(tool)).expect("a link");
    }
    let all = std::env::var("PATH").expect("PATH");
    let bare = bare.path().to_str().expect("a plain path");
    for shell in [&["sh"][..], &["dash"], &["bash"], &["busybox", "sh"]] {
        for path in [&*all, bare] {
            let program = which::which(shell[0]).expect("tests/assets/tools.sh installs it");
            let script = probe(&questions).script("N");
            let output = Command::new(program)
                .args(&shell[1..])
                .args(["-c", &script])
                .env("PATH", path)
                .output()
                .expect("a shell");
            let text = String::from_utf8(output.stdout).expect("text");
            let sections = Probe::sections("N", &text).expect("a whole answer");
            let replies = replies(&questions, &sections);
            let found: Vec<_> = questions
                .iter()
                .map(|question| (replies[question].status, replies[question].body.trim()))
                .collect();
            assert_eq!(found, [(200, BODY), (0, ""), (404, BODY)], "{shell:?} {path}");
        }
    }
}

//! Tests in containers with real systemd, sshd, ZooKeeper and Docker. They need an engine (`make engine`).

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test whose world cannot be set up is to stop; minutes of silence would worry whoever waits"
)]

mod adopt;
mod doors;
mod faults;
mod jobs;
mod main_job;
mod membership;
mod support;
mod systems;
mod tasks;
mod tls;
mod verbs;

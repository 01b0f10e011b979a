//! One binary, two daemons: `mesos-master` and `mesos-agent` (also `mesos-slave`), chosen by the
//! name it was started under; and an agent's executors, which it starts itself.
//!
//! It stands in for Mesos where Mesos cannot be had: no registry carries a package. Towards an
//! installer it behaves like the real one (flags, texts, exit codes, election in a real ZooKeeper,
//! endpoints, recovery of an agent's identity), and its agents run command tasks.

mod acls;
mod agent;
mod allocator;
mod auth;
mod channel;
mod clock;
mod container;
mod docker;
mod execute;
mod executor;
mod fetcher;
mod flags;
mod frameworks;
mod group;
mod http;
mod info;
mod log;
mod maintenance;
mod master;
mod net;
mod operator;
mod orders;
mod recovery;
mod registry;
mod replica;
mod resources;
mod run;
mod sandbox;
mod scheduler;
mod systemd;
mod task_view;
mod units;
mod values;
mod version;
mod views;
mod weights;
mod wire;
mod zk;

use std::io::Write;
use std::process::ExitCode;

use flags::{Component, Flags};

fn main() -> ExitCode {
    let mut words = std::env::args();
    let started_as = words.next().unwrap_or_default();
    let name = started_as.rsplit('/').next().unwrap_or_default();
    let component = match name {
        "mesos-master" => Component::Master,
        "mesos-agent" | "mesos-slave" => Component::Agent,
        "mesos-executor" | "mesos-docker-executor" => {
            let directory = words.next().unwrap_or_default();
            return executor::run(std::path::Path::new(&directory));
        }
        "mesos-execute" => return execute::run(words),
        _ => return refuse("start this program as mesos-master, mesos-agent or mesos-slave"),
    };
    let loaded = Flags::load(component, &version::mesos(), words, std::env::vars());
    let flags = match loaded {
        Ok(flags) => flags,
        Err(error) => return refuse(&format!("{error}\n\n{}", component.help_hint())),
    };
    if flags.is_set("help") {
        return say(&flags.usage());
    }
    if flags.is_set("version") {
        return say(&format!("mesos {}\n", version::mesos()));
    }
    log::start(flags.text("log_dir"), component.program());
    if let Err(why) = mesos_tls::check() {
        log::exit_with("openssl.cpp:508", &why);
    }
    match component {
        Component::Master => master::run(flags),
        Component::Agent => agent::run(flags),
    }
}

fn say(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn refuse(text: &str) -> ExitCode {
    // Nowhere is left to tell that standard error is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::FAILURE
}

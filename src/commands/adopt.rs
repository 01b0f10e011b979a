//! `provision adopt`: an inventory of what is there. It holds the key that looks, and no other.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::adopt::ask::{self, Machine};
use crate::adopt::inventory::{self, Reached};
use crate::ground::HostName;
use crate::health;
use crate::inventory::Ssh;
use crate::inventory::ssh::{is_destination, is_login};
use crate::local::clock::run_id;
use crate::pipeline::arguments::{Output, Reach};
use crate::pipeline::recorder::{recorder, sink};
use crate::pipeline::{look, reach};
use crate::remote::fleet;
use crate::report::exit;
use crate::ui::{line, out};

/// Arguments of `adopt`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Hosts as ssh knows them
    #[arg(value_name = "HOST", required = true, value_parser = host)]
    hosts: Vec<String>,
    #[command(flatten)]
    reach: Reach,
    /// Become root with sudo
    #[arg(short = 'b', long = "become")]
    become_root: bool,
    /// TCP port of sshd
    #[arg(short = 'p', long, value_name = "PORT")]
    port: Option<u16>,
    /// ssh_config file, instead of yours
    #[arg(long, value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// File of known host keys, instead of yours
    #[arg(long, value_name = "FILE")]
    known_hosts: Option<PathBuf>,
    /// Name of the cluster where its masters have none
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
}

const EXAMPLES: &str = "Example:
  provision adopt m1 m2 m3 a1 a2 -u ops -b > inventory.yaml    then read it, and: provision check; provision plan
What an inventory cannot say stands in it as comments, and on standard error. Nothing is changed on a host.
Exits with 4 when hosts do not answer.";

/// Nobody waits longer for an answer.
const LIMIT: Duration = Duration::from_secs(60);

fn host(text: &str) -> Result<String, String> {
    if is_destination(text) {
        return Ok(text.to_owned());
    }
    Err("a host is a name or an address; the login user is given with -u".to_owned())
}

/// Runs it.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    if let Some(user) = args.reach.user.as_ref().filter(|user| !is_login(user)) {
        anyhow::bail!("`{user}` is no login name");
    }
    let hosts: BTreeMap<HostName, Ssh> =
        args.hosts.iter().map(|host| (HostName::new(host), ssh(args, host))).collect();
    let run = run_id();
    let recorder = recorder(&run, &Output::default());
    let opening = reach::opening_of(hosts, &args.reach, &run)?;
    let probes = args.hosts.iter().map(|host| (HostName::new(host), ask::probe())).collect();
    let opened = fleet::look(&opening, &probes, &sink(&recorder)).await;
    let fleet = Arc::new(opened.fleet);
    let machines: BTreeMap<HostName, Machine> = opened
        .answers
        .iter()
        .filter_map(|(host, answer)| {
            Some((host.clone(), ask::read(host.as_str(), answer.as_ref().ok()?)))
        })
        .collect();
    let masters = machines.iter().filter(|(_, machine)| machine.master().is_some());
    let asked = masters.map(|(host, it)| (host.clone(), ask::ask_master(it))).collect();
    let mut replies = Vec::new();
    for (host, answer) in look::ask_all(&fleet, asked).await {
        if let (Ok(sections), Some(machine)) = (answer, machines.get(&host)) {
            replies.push(health::replies(&ask::questions(machine), &sections));
        }
    }
    if let Some(fleet) = Arc::into_inner(fleet) {
        fleet.close().await;
    }
    let machines: Vec<Machine> = machines.into_values().collect();
    let reached = Reached {
        user: args.reach.user.clone(),
        become_root: args.become_root,
        port: args.port,
        identity_file: args.reach.private_key.clone(),
        config_file: args.config_file.clone(),
        known_hosts: args.known_hosts.clone(),
        cluster: args.cluster.clone(),
    };
    let adopted = inventory::write(&machines, &inventory::told(&replies), &reached);
    for note in &adopted.notes {
        line(std::io::stderr().lock(), &note.to_string());
    }
    out::bytes(&adopted.text);
    Ok(if machines.len() == opened.answers.len() { exit::OK } else { exit::UNREACHABLE })
}

fn ssh(args: &Args, host: &str) -> Ssh {
    Ssh {
        host: host.to_owned(),
        user: args.reach.user.clone(),
        port: args.port,
        identity_file: args.reach.private_key.clone(),
        proxy_jump: None,
        known_hosts: args.known_hosts.clone(),
        config_file: args.config_file.clone(),
        connect_timeout: LIMIT / 6,
        become_root: args.become_root,
    }
}

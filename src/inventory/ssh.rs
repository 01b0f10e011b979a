//! `ssh`, at the top and at a host: how hosts are reached.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::decode::At;
use super::files::Files;
use super::settings::section;
use super::types::{Bool, Port, Text, Timeout, scalar};
use super::{grammar, schema};

section! {
    /// What may be said at the top and at a host.
    #[derive(Debug)]
    pub(super) struct Connection {
        /// Login user.
        may user: Login, such as "ops";
        /// TCP port.
        may port: Port, such as "2222";
        /// Private key file.
        may identity_file: Text, such as "~/.ssh/id_ed25519";
        /// Hosts to jump through, user@host:port.
        may proxy_jump: Jump, such as "ops@bastion.example:22";
        /// File of known host keys, instead of yours.
        may known_hosts: Text, such as "./known_hosts";
        /// ssh_config file, instead of yours.
        may config_file: Text, such as "./ssh_config";
        /// Limit for connecting.
        may connect_timeout: Timeout = "10secs";
        /// Whether to become root with sudo.
        may r#become: Bool = "false";
    }
}

section! {
    /// How one host is reached.
    #[derive(Debug)]
    pub(super) struct HostConnection {
        /// What ssh connects to, where that is not the address.
        may host: SshHost, such as "a01.example";
        over connection: Connection;
    }
}

scalar! {
    /// A login name, Windows domains among them.
    Login -> String, "a login name such as ops or CORP\\ops", |t| is_login(t).then(|| t.to_owned()),
        schema::word("^(?!.*\\\\$)[A-Za-z0-9._@\\\\+][A-Za-z0-9._@\\\\+-]*$");
    /// What `ProxyJump` takes.
    Jump -> String, "a jump such as user@host:port", |t| is_jump(t).then(|| t.to_owned()),
        schema::word("^(?!-)(?!.*,-)[A-Za-z0-9._@:,\\[\\]/-]+$");
    /// What ssh connects to.
    SshHost -> String, "a host name or address", |t| is_destination(t).then(|| t.to_owned()),
        schema::word("^[A-Za-z0-9._:%][A-Za-z0-9._:%-]*$");
}

/// Whether ssh takes it as a login name: a backslash parts a domain from a name, as in `CORP\ops`.
///
/// Source: openssh 9.6, `ssh.c` `valid_ruser`, which takes a backslash anywhere but at the end.
pub fn is_login(text: &str) -> bool {
    grammar::word(text, "._-@\\+") && !text.ends_with('\\')
}

/// Whether ssh takes it as `ProxyJump`.
pub fn is_jump(text: &str) -> bool {
    grammar::word(text, "._-@:,[]/") && text.split(',').all(|hop| !hop.starts_with('-'))
}

/// Whether ssh can connect to it.
pub fn is_destination(text: &str) -> bool {
    grammar::word(text, "._-:%")
}

/// How to reach a host. What is `None` or empty is left to the user's ssh_config.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Ssh {
    /// What to connect to: a name or address; the host's `address` unless said otherwise.
    pub host: String,
    /// Login user.
    pub user: Option<String>,
    /// TCP port.
    pub port: Option<u16>,
    /// Private key file.
    pub identity_file: Option<PathBuf>,
    /// `ProxyJump` destination(s).
    pub proxy_jump: Option<String>,
    /// File of known host keys, instead of the user's.
    pub known_hosts: Option<PathBuf>,
    /// ssh_config file, instead of the user's.
    pub config_file: Option<PathBuf>,
    /// Time limit for the TCP connection and the handshake.
    pub connect_timeout: Duration,
    /// Whether to become root with sudo (or whether the login user is root already).
    pub become_root: bool,
}

/// What is said at the host, then at the top, then by default.
pub(super) fn resolve(
    top: &Connection,
    host: &HostConnection,
    address: IpAddr,
    files: &dyn Files,
) -> Ssh {
    fn value<T: Clone>(own: &Option<At<T>>, top: &Option<At<T>>) -> Option<T> {
        own.as_ref().or(top.as_ref()).map(|at| at.value.clone())
    }
    fn over<T: Clone>(own: &At<T>, top: &At<T>) -> T {
        if own.is_written() { own.value.clone() } else { top.value.clone() }
    }
    let path = |own: &Option<At<String>>, top: &Option<At<String>>| {
        own.as_ref().or(top.as_ref()).map(|at| files.locate(&at.place, &at.value))
    };
    let own = &host.connection;
    Ssh {
        host: value(&host.host, &None).unwrap_or_else(|| address.to_string()),
        user: value(&own.user, &top.user),
        port: value(&own.port, &top.port),
        identity_file: path(&own.identity_file, &top.identity_file),
        proxy_jump: value(&own.proxy_jump, &top.proxy_jump),
        known_hosts: path(&own.known_hosts, &top.known_hosts),
        config_file: path(&own.config_file, &top.config_file),
        connect_timeout: over(&own.connect_timeout, &top.connect_timeout),
        become_root: over(&own.r#become, &top.r#become),
    }
}

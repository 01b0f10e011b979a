//! `zookeeper`: the ensemble that the masters elect their leader in.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use super::credentials::{self, Credential, Rotating};
use super::decode::{At, Cx, clipped, digits};
use super::quorum_auth::{self, QuorumAuth};
use super::resolve::Resolver;
use super::settings::{choice, section};
use super::types::{Map, Options, Text, scalar};
use super::zoo_cfg::ZooCfg;
use super::{grammar, schema};
use crate::ground::HostName;
use crate::ground::problem::Problem;

choice! {
    /// Ours, or somebody else's.
    #[derive(Debug)]
    #[expect(clippy::large_enum_variant, reason = "there is one, and it is read once")]
    pub(super) enum Settings {
        servers => Managed(Managed),
        external => External(External),
    }
}

section! {
    /// An ensemble of ours.
    #[derive(Debug)]
    pub(super) struct Managed {
        /// host: myid (1 to 255), by hand so that it never changes.
        need servers: Map<Myid>, such as "{m1: 1, m2: 2, m3: 3}";
        /// Lines of zoo.cfg over our defaults; templates.
        may config: Options<ZooCfg> = "{}", such as "{tickTime: 2000}";
        /// As whom masters write below their path, where then nobody else may; everybody may read, as agents and
        /// frameworks do. Clients are then served on the members' own addresses alone. Needs Mesos 1.5; the
        /// secret has no `/`.
        may credentials: Rotating, such as "{principal: mesos, secret: {env: ZOOKEEPER_SECRET}}";
        /// As whom servers come to each other (SASL, DIGEST-MD5): whoever does not know the secret neither votes nor
        /// follows. One apply brings all of them over, on, off, or to another principal with the old one under
        /// `former`. ZooKeeper has it from 3.4.10; the secret has no `${`.
        may quorum_auth: Rotating, such as "{principal: zookeeper, secret: {env: QUORUM_SECRET}}";
    }
}

section! {
    /// An ensemble of somebody else's.
    #[derive(Debug)]
    pub(super) struct External {
        /// An ensemble that is not ours: host:port,host:port/path.
        need external: Text, such as "zk1:2181,zk2:2181,zk3:2181/mesos";
        /// As whom masters write below their path, where then nobody else may; everybody may read, as agents and
        /// frameworks do. Needs Mesos 1.5; the secret has no `/`.
        may credentials: Rotating, such as "{principal: mesos, secret: {env: ZOOKEEPER_SECRET}}";
    }
}

scalar! {
    /// The number of a server.
    Myid -> u8, "a myid from 1 to 255",
        |t| digits(t).and_then(|n| u8::try_from(n).ok()).filter(|n| *n > 0),
        schema::whole(1, Some(255), "^0*([1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])$");
}

/// The ensemble that the masters elect their leader in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZooKeeper {
    /// Ours: installed and rolled by us.
    Managed {
        /// Host → myid (1..=255).
        servers: BTreeMap<HostName, u8>,
        /// Lines of zoo.cfg over our defaults, values as text.
        config: BTreeMap<String, String>,
        /// With what servers prove to each other that they are of it.
        auth: Option<QuorumAuth>,
    },
    /// Somebody else's: only checked.
    External {
        /// Host (name or address) and client port of each member.
        servers: Vec<(String, u16)>,
    },
}

pub(super) fn resolve(settings: Option<&Settings>, r: &mut Resolver<'_>) -> ZooKeeper {
    match settings {
        Some(Settings::Managed(managed)) => {
            let mut members = BTreeMap::new();
            for (host, myid) in managed.servers.iter().flatten() {
                for name in r.names(std::slice::from_ref(host)) {
                    members.insert(name, myid.value);
                }
            }
            ZooKeeper::Managed {
                servers: members,
                config: r.rendered(&managed.config),
                auth: quorum_auth::resolve(managed.quorum_auth.as_ref(), r),
            }
        }
        Some(Settings::External(External { external: Some(at), .. })) => {
            let list = at.value.split('/').next().unwrap_or("");
            ZooKeeper::External {
                servers: list.split(',').filter_map(|m| member(r.cx, at, m)).collect(),
            }
        }
        _ => ZooKeeper::External { servers: Vec::new() },
    }
}

/// As whom masters write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Whom they are, or go over to; `None` where everybody may write.
    pub writer: Option<Credential>,
    /// Whom they were.
    pub former: Option<Credential>,
}

impl Access {
    /// As whom masters write now: the former one until all that there is lets in the new one too.
    pub fn writing(&self) -> Option<&Credential> {
        self.former.as_ref().or(self.writer.as_ref())
    }

    /// Who may write.
    pub fn accepted(&self) -> impl Iterator<Item = &Credential> {
        self.writer.iter().chain(&self.former)
    }
}

pub(super) fn access(settings: Option<&Settings>, r: &mut Resolver<'_>) -> Access {
    let written = match settings {
        Some(Settings::Managed(managed)) => managed.credentials.as_ref(),
        Some(Settings::External(external)) => external.credentials.as_ref(),
        None => None,
    };
    let (cx, files) = (&mut *r.cx, &*r.files);
    let (writer, former) = credentials::rotating(cx, "zookeeper.credentials", written, files);
    Access { writer, former }
}

/// One `host:port` of an external ensemble.
fn member(cx: &mut Cx, at: &At<String>, text: &str) -> Option<(String, u16)> {
    let place = || Some(at.place.clone());
    let parts = text.trim().rsplit_once(':');
    let (host, port) = parts.unwrap_or((text.trim(), ""));
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if bare.parse::<Ipv6Addr>().is_ok() {
        let message = format!("Mesos finds no ZooKeeper at `{bare}`, for it reads no IPv6 address");
        let problem = Problem::error(place(), "ipv6-address", message);
        let help = "write a name that resolves to it, or an IPv4 address";
        cx.problems.push(problem.help(help));
        return None;
    }
    let port = port.parse::<u16>().ok().filter(|port| *port > 0);
    let member = port.filter(|_| grammar::host_name(host)).map(|port| (host.to_owned(), port));
    if member.is_none() {
        let message = format!("`{}` is no member of an ensemble", clipped(text.trim()));
        let problem = Problem::error(place(), "bad-ensemble", message);
        cx.problems.push(problem.help("write host:port,host:port and perhaps /path"));
    }
    member
}

/// The masters' path in ZooKeeper: what follows the first `/` of an external ensemble, or ours.
pub(super) fn znode(cx: &mut Cx, settings: Option<&Settings>) -> String {
    let Some(Settings::External(External { external: Some(at), .. })) = settings else {
        return "/mesos".to_owned();
    };
    let Some((_, path)) = at.value.split_once('/') else { return "/mesos".to_owned() };
    if !path.split('/').all(|part| grammar::word(part, "._-")) {
        let message = format!("`/{}` is no path of ZooKeeper", clipped(path));
        let problem = Problem::error(Some(at.place.clone()), "bad-ensemble", message);
        cx.problems.push(problem.help("write it like /mesos"));
    }
    format!("/{path}")
}

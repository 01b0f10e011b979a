//! `mesos.tls`: with whose certificates the hosts of Mesos show who they are, and whom they believe.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tera::{Context, Value};

use super::certificates::{self, Certificate};
use super::credentials::{self, Secret};
use super::decode::At;
use super::hosts::{Host, HostLine};
use super::render::SeenHost;
use super::resolve::Resolver;
use super::settings::section;
use super::types::{Bool, Plain, Template, Text};
use super::{Inventory, Mesos, Spark};
use crate::ground::digest::sha256;
use crate::ground::{HostName, Place, Problem, SecretRef};
use crate::mesos::tls::{Policy, SINCE, Wire};

section! {
    /// As written.
    #[derive(Debug)]
    pub(super) struct Settings {
        /// The certificate of each host in PEM, with those between it and the CA behind it: a path, and a template.
        /// It names the host's address (`subjectAltName=IP:…`), for so it is checked.
        need certificate: Template, such as "'./tls/{{ host.name }}.pem'";
        /// Where its private key is, in PEM; what follows `file` and `command` is a template.
        need key: Secret, such as "{file: './tls/{{ host.name }}.key'}";
        /// File with the certificates of the CAs that all believe, in PEM.
        need ca: Text, such as "./tls/ca.pem";
        /// Whether HTTP without TLS is answered too, and used where somebody speaks nothing else: for as long as a
        /// cluster goes over, one way or the other.
        may plain: Plain<Bool> as bool = "false";
        /// Whether whoever comes must show a certificate of the CA: agents, frameworks, and people's browsers too.
        may client_certificates: Plain<Bool> as bool = "false";
    }
}

/// TLS of Mesos.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Hosts of masters, agents, clients and the dispatcher.
    pub hosts: BTreeMap<HostName, Identity>,
    /// Certificates of the CAs, in PEM.
    pub ca: String,
    /// What is asked of those that come and go.
    pub policy: Policy,
}

/// How a host shows who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its certificate and those that lead to the CA, in PEM.
    pub certificate: String,
    /// Where its key is.
    pub key: SecretRef,
    /// The certificate's last second, since 1970; `None` of one that cannot be read.
    pub until: Option<i64>,
}

impl Identity {
    /// Names its files: with another certificate comes another key, under a name of its own, and those of a process
    /// that runs stay until it was started anew.
    pub fn name(&self) -> String {
        format!("tls-{}", &sha256(&self.certificate)[..12])
    }
}

impl Inventory {
    /// How masters and agents speak.
    pub fn wire(&self) -> Wire {
        self.mesos.tls.as_ref().map_or(Wire::Plain, |tls| tls.policy.wire)
    }

    /// The URL under which we ask a host's master: see [`asking`](crate::mesos::asking).
    pub fn master_url(&self, host: &Host) -> String {
        format!("{}://{}", self.wire().scheme(), self.master_at(host))
    }

    /// The URL of a host's master for people.
    pub fn master_page(&self, host: &Host) -> String {
        format!("{}://{}", self.wire().page(), self.master_at(host))
    }
}

/// Who shows a certificate: who speaks libprocess.
fn speakers(mesos: &Mesos, spark: Option<&Spark>) -> BTreeSet<HostName> {
    let agents = mesos.pools.values().flat_map(|pool| pool.agents.keys());
    let clients = spark.into_iter().flat_map(|spark| &spark.clients);
    let dispatcher = spark.and_then(|spark| spark.dispatcher.as_ref());
    let dispatcher = dispatcher.into_iter().flat_map(|it| &it.hosts);
    mesos.masters.iter().chain(agents).chain(clients).chain(dispatcher).cloned().collect()
}

/// TLS as it is written; mistakes in it are reported.
pub(super) fn resolve(
    written: Option<&Settings>,
    lines: &[(At<String>, HostLine)],
    mesos: &Mesos,
    spark: Option<&Spark>,
    r: &mut Resolver<'_>,
) -> Option<Tls> {
    let written = written?;
    let ca = written.ca.as_ref().and_then(|at| public(r, at, &at.value, ""));
    let wire = if written.plain { Wire::Either } else { Wire::Tls };
    let place = |key: &str| r.cx.places.get(&format!("mesos.tls.{key}")).cloned();
    let mut found = Vec::new();
    // One that was refused makes no further mistakes.
    let known = mesos.version.at_least(&[0, 1]);
    if known && !mesos.version.at_least(&SINCE) {
        let message = format!("of Mesos {} nobody can tell whether it has TLS", mesos.version);
        let problem = Problem::error(r.cx.places.get("mesos.tls").cloned(), "no-tls", message);
        found.push(problem.help("take Mesos 1.3 or later, or delete this"));
    }
    if written.plain && written.client_certificates {
        let message =
            "who comes without TLS shows no certificate, so nobody would be asked for one";
        let problem = Problem::error(place("client_certificates"), "no-tls", message);
        found.push(problem.help("write it when `plain` goes"));
    }
    r.cx.problems.extend(found);
    let mut reader = Reader { lines, mesos, known: BTreeMap::new(), said: BTreeSet::new() };
    let mut hosts = BTreeMap::new();
    for name in speakers(mesos, spark) {
        let Some(host) = r.hosts.get(&name) else { continue };
        if let Some(identity) = reader.identity(written, host, r) {
            hosts.insert(name, identity);
        }
    }
    let policy = Policy { wire, asks_clients: written.client_certificates };
    Some(Tls { hosts, ca: ca?, policy })
}

/// A text of certificates, without a key.
fn public(r: &mut Resolver<'_>, at: &At<String>, name: &str, who: &str) -> Option<String> {
    let path = r.files.locate(&at.place, name);
    let text = r.files.text(&path);
    let text =
        text.and_then(|text| certificates::is_public(&text).map(|()| text).map_err(str::to_owned));
    match text {
        Ok(text) => Some(text),
        Err(why) => {
            let message = format!("`{name}` {why}{who}");
            let problem = Problem::error(Some(at.place.clone()), "bad-certificate", message);
            r.cx.problems.push(problem.help(format!("looked for {}", path.display())));
            None
        }
    }
}

/// Reads each file once, and says each mistake once for each place.
struct Reader<'a> {
    lines: &'a [(At<String>, HostLine)],
    mesos: &'a Mesos,
    known: BTreeMap<PathBuf, Option<(String, Option<Certificate>)>>,
    said: BTreeSet<(Place, &'static str)>,
}

impl Reader<'_> {
    fn identity(
        &mut self,
        written: &Settings,
        host: &Host,
        r: &mut Resolver<'_>,
    ) -> Option<Identity> {
        let context = self.context(host, r);
        let who = format!(" (for host {})", host.name);
        let at = written.certificate.as_ref()?;
        let name = r.templates.render(r.cx, at, &context, &who)?;
        let path = r.files.locate(&at.place, &name);
        if !self.known.contains_key(&path) {
            // What is wrong with one is most often wrong with all.
            let first = !self.said.contains(&(at.place.clone(), "file"));
            let text = if first { public(r, at, &name, &who) } else { r.files.text(&path).ok() };
            if text.is_none() {
                self.said.insert((at.place.clone(), "file"));
            }
            let read = text.map(|text| {
                let certificate = certificates::first(&text);
                (text, certificate)
            });
            self.known.insert(path.clone(), read);
        }
        let (text, read) = self.known.get(&path)?.clone()?;
        let named = read.as_ref().map(|it| it.addresses.contains(&host.address));
        if named != Some(true) && self.said.insert((at.place.clone(), "address")) {
            let message = match named {
                None => format!("`{name}` cannot be read as a certificate{who}"),
                _ => format!("`{name}` does not name the address {}{who}", host.address),
            };
            let problem = Problem::error(Some(at.place.clone()), "bad-certificate", message);
            let help = format!(
                "members are found by address: sign one with subjectAltName=IP:{}",
                host.address
            );
            r.cx.problems.push(problem.help(help));
        }
        let key = self.key(written.key.as_ref()?, &context, &who, r)?;
        Some(Identity { certificate: text, key, until: read.map(|it| it.until) })
    }

    fn key(
        &mut self,
        written: &Secret,
        context: &Context,
        who: &str,
        r: &mut Resolver<'_>,
    ) -> Option<SecretRef> {
        let (cx, templates) = (&mut *r.cx, &mut r.templates);
        let key = written.rendered(|at| templates.render(cx, at, context, who))?;
        let from = cx.places.get("mesos.tls.key").cloned()?;
        // That everybody can read it is said once.
        let mut aside = super::decode::Cx::default();
        let first = !self.said.contains(&(from.clone(), "key"));
        let path = "mesos.tls.key";
        let cx = if first { cx } else { &mut aside };
        let before = cx.problems.len();
        let located = credentials::located(cx, &*r.files, &from, path, key);
        if cx.problems.len() > before {
            self.said.insert((from, "key"));
        }
        Some(located)
    }

    /// What a template sees of a host.
    fn context(&self, host: &Host, r: &Resolver<'_>) -> Context {
        let line = r.lines.get(&host.name).and_then(|line| self.lines.get(*line));
        let vars = line.map_or_else(Value::none, |(_, it)| Value::from_serializable(&it.vars));
        let mut pools = self.mesos.pools.iter();
        let pool = pools.find(|(_, pool)| pool.agents.contains_key(&host.name));
        let seen = SeenHost {
            name: host.name.as_str(),
            address: host.address.to_string(),
            hostname: host.hostname.as_str(),
            pool: pool.map_or("", |(name, _)| name),
            vars: &vars,
        };
        let mut context = r.top.clone();
        context.insert_value("host", Value::from_serializable(&seen));
        context
    }
}

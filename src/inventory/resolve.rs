//! From what was written to what is meant: ranges expanded, templates rendered, defaults filled in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tera::Context;

use super::decode::{At, Cx, nearest};
use super::pools;
use super::problem::{Place, Problem};
use super::raw::{
    Json, Raw, RawCredential, RawFetch, RawMesos, RawPackage, RawSsh, RawZooKeeper, Texts,
};
use super::raw_spark::{RawImage, RawSpark, RawWorkload};
use super::render::{Templates, context};
use super::{
    Base, Credential, Credentials, Digest, Dispatcher, Docker, Fetch, Host, HostName, Inventory,
    Mesos, MesosPackage, Places, Role, SecretRef, Smoke, Source, Spark, SparkImage, Ssh, Workload,
    ZooKeeper, check, grammar, ranges,
};
use crate::mesos::flags::{Component, last_release};
use crate::mesos::versions::Version;
use crate::script::quote;

/// The files of the operator's machine, as far as an inventory names them.
pub(super) trait Files {
    /// An absolute path for a path as written at a place.
    fn locate(&self, place: &Place, path: &str) -> PathBuf;
    /// The digest of a file, of the same kind as `like`; SHA-256 when nothing is asked.
    ///
    /// # Errors
    /// Why it cannot be read, without its path.
    fn digest(&mut self, path: &std::path::Path, like: Option<&Digest>) -> Result<Digest, String>;
    /// The mode of a file that every user of this machine can read.
    fn readable_by_all(&self, path: &std::path::Path) -> Option<u32>;
}

/// Builds the inventory. Where `cx` holds errors afterwards it is not whole and must not be used.
pub(super) fn resolve(cx: &mut Cx, raw: Raw, files: &mut dyn Files) -> Inventory {
    let mut templates = Templates::default();
    let cluster = raw.cluster.as_ref().map_or_else(String::new, |at| at.value.clone());
    let top = context(&cluster, &raw.vars);
    let (mut hosts, lines) = hosts(cx, &raw, &*files);
    let mesos = mesos(cx, &mut templates, &top, &raw, (&hosts, &lines), files);
    for (pool, settings) in &mesos.pools {
        for host in settings.agents.keys() {
            if let Some(host) = hosts.get_mut(host) {
                host.pool = Some(pool.clone());
            }
        }
    }
    let zookeeper = zookeeper(cx, &mut templates, &top, &raw, &hosts);
    let mut retired = BTreeMap::new();
    for (at, how) in &raw.retired {
        for name in names(cx, &hosts, std::slice::from_ref(at)) {
            retired.insert(name, *how);
        }
    }
    Inventory {
        zookeeper,
        proxy: raw.proxy,
        base: Base { cgroup_v1: raw.cgroup_v1 },
        docker: match raw.docker {
            Some(docker) => Docker {
                package: docker.package.map_or_else(|| "docker.io".to_owned(), |at| at.value),
                daemon: docker.daemon,
                images: docker.images.iter().filter_map(|f| fetch(cx, files, f)).collect(),
            },
            None => {
                Docker { package: "docker.io".to_owned(), daemon: Json::new(), images: Vec::new() }
            }
        },
        spark: raw.spark.map(|spark| self::spark(cx, &mut templates, &top, &hosts, files, spark)),
        workloads: raw
            .workloads
            .into_iter()
            .filter_map(|(name, w)| Some((name.value, workload(cx, w)?)))
            .collect(),
        smoke: raw.smoke.unwrap_or_else(default_smoke),
        retired,
        allow: allow(cx, raw.allow),
        places: Places(std::mem::take(&mut cx.places)),
        digest: String::new(),
        cluster,
        hosts,
        mesos,
    }
}

/// How a cluster is proven unless `smoke` says otherwise.
pub(super) fn default_smoke() -> Smoke {
    Smoke { slices: 10, each_agent: true, timeout: Duration::from_secs(180) }
}

/// The hosts that a `hosts:` list names; unknown ones are reported and left out.
pub(super) fn names(
    cx: &mut Cx,
    hosts: &BTreeMap<HostName, Host>,
    list: &[At<String>],
) -> BTreeSet<HostName> {
    let mut known = BTreeSet::new();
    for item in list {
        let Some(names) = expand(cx, item) else { continue };
        let mut unknown: Vec<String> = Vec::new();
        for name in names {
            let host = HostName::new(&name);
            if hosts.contains_key(&host) {
                known.insert(host);
            } else {
                unknown.push(name);
            }
        }
        let Some(first) = unknown.first() else { continue };
        let message = match unknown.len() {
            1 => format!("`{first}` is not in `hosts`"),
            n => format!("`{first}` and {} more of `{}` are not in `hosts`", n - 1, item.value),
        };
        let problem = Problem::error(Some(item.place.clone()), "unknown-host", message);
        // Advice on the first ones is enough; it looks at every host.
        let few = cx.problems.len() < 50;
        let near = few.then(|| nearest(first, hosts.keys().map(HostName::as_str))).flatten();
        cx.problems.push(match near {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help("add it to `hosts` or take it out here"),
        });
    }
    known
}

/// The names of one item, unless it is no range or the file stands for too many by now.
fn expand(cx: &mut Cx, at: &At<String>) -> Option<Vec<String>> {
    // Each host may be named in several lists.
    if cx.expanded > 4 * ranges::MAX_HOSTS {
        if cx.problems.last().is_none_or(|p| p.name != "too-many-hosts") {
            cx.error(&at.place, "too-many-hosts", "the ranges stand for too many hosts");
        }
        return None;
    }
    match ranges::expand(&at.value) {
        Ok(names) => {
            cx.expanded += names.len();
            Some(names)
        }
        Err(message) => {
            cx.error(&at.place, "bad-range", message);
            None
        }
    }
}

/// A map of templates rendered to text.
pub(super) fn rendered(
    cx: &mut Cx,
    templates: &mut Templates,
    context: &Context,
    texts: &Texts,
) -> BTreeMap<String, String> {
    let render = |(key, at): &(At<String>, At<String>)| {
        Some((key.value.clone(), templates.render(cx, at, context, "")?))
    };
    texts.iter().filter_map(render).collect()
}

/// Host → the line of `hosts` (its index) that it comes from.
pub(super) type Lines = HashMap<HostName, usize>;

fn hosts(cx: &mut Cx, raw: &Raw, files: &dyn Files) -> (BTreeMap<HostName, Host>, Lines) {
    let mut hosts = BTreeMap::new();
    let mut lines = Lines::new();
    for (line, (key, host)) in raw.hosts.iter().enumerate() {
        let Some(names) = expand(cx, key) else { continue };
        let addresses = match &host.address {
            Some(at) => addresses(cx, &names, at),
            None => None,
        };
        let shared = names.len() > 1;
        for (what, at) in [("hostname", &host.hostname), ("ssh.host", &host.ssh.host)] {
            if let (true, Some(at)) = (shared, at) {
                let message = format!("{} hosts would share one {what}", names.len());
                let problem = Problem::error(Some(at.place.clone()), "range-mismatch", message);
                cx.problems.push(problem.help("give these hosts a line each"));
            }
        }
        // Without an address (reported) the host still counts as known.
        let nowhere = IpAddr::from([0, 0, 0, 0]);
        for (index, text) in names.iter().enumerate() {
            let name = HostName::new(text);
            if !grammar::host_name(text) {
                let message = format!("`{text}` is not a host name");
                let problem = Problem::error(Some(key.place.clone()), "bad-host-name", message);
                cx.problems.push(problem.help("use letters, digits, hyphens and dots (RFC 1123)"));
                break;
            }
            if hosts.contains_key(&name) {
                let message = format!("host `{name}` is written twice");
                cx.error(&key.place, "duplicate-host", message);
                break;
            }
            let address = addresses.as_ref().map_or(nowhere, |list| list[index]);
            let hostname = host.hostname.as_ref().map(|at| at.value.clone());
            let ssh = ssh(&raw.ssh, &host.ssh, address, files);
            let hostname = hostname.unwrap_or_else(|| address.to_string());
            if shared {
                cx.places.insert(format!("hosts.{name}"), key.place.clone());
            }
            lines.insert(name.clone(), line);
            hosts.insert(name.clone(), Host { name, address, hostname, ssh, pool: None });
        }
    }
    (hosts, lines)
}

fn addresses(cx: &mut Cx, names: &[String], at: &At<String>) -> Option<Vec<IpAddr>> {
    let texts = match ranges::zip(names, &at.value) {
        Ok(texts) => texts,
        Err(message) => {
            let problem = Problem::error(Some(at.place.clone()), "range-mismatch", message);
            cx.problems.push(problem.help("give the address a range as long as the key's"));
            return None;
        }
    };
    let parse = |text: &String| match text.parse::<IpAddr>() {
        Ok(ip) if !ip.is_unspecified() && !ip.is_multicast() => Ok(ip),
        _ => Err(text.clone()),
    };
    match texts.iter().map(parse).collect() {
        Ok(list) => Some(list),
        Err(text) => {
            let message = format!("`{text}` is not an address of a host");
            let problem = Problem::error(Some(at.place.clone()), "bad-address", message);
            cx.problems
                .push(problem.help("write an IP literal; names go in `hostname` or `ssh.host`"));
            None
        }
    }
}

fn ssh(top: &RawSsh, own: &RawSsh, address: IpAddr, files: &dyn Files) -> Ssh {
    fn value<T: Clone>(own: &Option<At<T>>, top: &Option<At<T>>) -> Option<T> {
        own.as_ref().or(top.as_ref()).map(|at| at.value.clone())
    }
    let path = |own: &Option<At<String>>, top: &Option<At<String>>| {
        // `~` is ssh's to resolve.
        own.as_ref().or(top.as_ref()).map(|at| match at.value.starts_with('~') {
            true => PathBuf::from(&at.value),
            false => files.locate(&at.place, &at.value),
        })
    };
    let ten_seconds = Duration::from_secs(10);
    Ssh {
        host: value(&own.host, &None).unwrap_or_else(|| address.to_string()),
        user: value(&own.user, &top.user),
        port: value(&own.port, &top.port),
        identity_file: path(&own.identity_file, &top.identity_file),
        proxy_jump: value(&own.proxy_jump, &top.proxy_jump),
        known_hosts: path(&own.known_hosts, &top.known_hosts),
        config_file: path(&own.config_file, &top.config_file),
        connect_timeout: value(&own.connect_timeout, &top.connect_timeout).unwrap_or(ten_seconds),
        become_root: value(&own.become_root, &top.become_root).unwrap_or(false),
    }
}

fn zookeeper(
    cx: &mut Cx,
    templates: &mut Templates,
    top: &Context,
    raw: &Raw,
    hosts: &BTreeMap<HostName, Host>,
) -> ZooKeeper {
    match &raw.zookeeper {
        Some(RawZooKeeper::Managed { servers, config }) => {
            let mut members = BTreeMap::new();
            for (host, myid) in servers {
                for name in names(cx, hosts, std::slice::from_ref(host)) {
                    members.insert(name, myid.value);
                }
            }
            ZooKeeper::Managed { servers: members, config: rendered(cx, templates, top, config) }
        }
        Some(RawZooKeeper::External(Some(at))) => {
            let list = at.value.split('/').next().unwrap_or("");
            ZooKeeper::External {
                servers: list.split(',').filter_map(|m| member(cx, at, m)).collect(),
            }
        }
        _ => ZooKeeper::External { servers: Vec::new() },
    }
}

/// One `host:port` of an external ensemble; IPv6 in brackets.
fn member(cx: &mut Cx, at: &At<String>, text: &str) -> Option<(String, u16)> {
    let parts = text.trim().rsplit_once(':');
    let member = parts.and_then(|(host, port)| {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let good = grammar::host_name(bare) || bare.parse::<IpAddr>().is_ok();
        let port = port.parse::<u16>().ok().filter(|p| *p > 0)?;
        good.then(|| (bare.to_owned(), port))
    });
    if member.is_none() {
        let message = "an external ensemble is written host:port,host:port and perhaps /path";
        cx.error(&at.place, "bad-ensemble", message);
    }
    member
}

/// The masters' path in ZooKeeper: what follows the first `/` of an external ensemble, or ours.
fn znode(cx: &mut Cx, raw: &Raw) -> String {
    let Some(RawZooKeeper::External(Some(at))) = &raw.zookeeper else {
        return "/mesos".to_owned();
    };
    let Some((_, path)) = at.value.split_once('/') else { return "/mesos".to_owned() };
    if !path.split('/').all(|part| grammar::word(part, "._-")) {
        let message = "the path after the ensemble must be like /mesos";
        cx.error(&at.place, "bad-ensemble", message);
    }
    format!("/{path}")
}

fn version(cx: &mut Cx, at: Option<&At<String>>) -> Version {
    let placeholder = || Version::parse("0.0").ok();
    let parsed = at.map(|at| {
        let good = grammar::word(&at.value, ".+-~");
        let version = Version::parse(&at.value).ok().filter(|_| good);
        if version.is_none() {
            cx.error(&at.place, "bad-version", "a version is written like 1.11.0");
        }
        version
    });
    match parsed.flatten().or_else(placeholder) {
        Some(version) => version,
        None => unreachable!("0.0 is a version"),
    }
}

fn mesos(
    cx: &mut Cx,
    templates: &mut Templates,
    top: &Context,
    raw: &Raw,
    (hosts, lines): (&BTreeMap<HostName, Host>, &Lines),
    files: &mut dyn Files,
) -> Mesos {
    let mut mesos = Mesos {
        version: version(cx, raw.mesos.as_ref().and_then(|m| m.version.as_ref())),
        package: MesosPackage::Preinstalled,
        roles: BTreeMap::new(),
        znode: znode(cx, raw),
        masters: BTreeSet::new(),
        master_flags: BTreeMap::new(),
        pools: BTreeMap::new(),
        credentials: Credentials::default(),
    };
    let Some(written) = &raw.mesos else { return mesos };
    match &written.package {
        Some(RawPackage::Deb(deb)) => {
            if let Some(deb) = fetch(cx, files, deb) {
                mesos.package = MesosPackage::Deb(deb);
            }
        }
        Some(RawPackage::Apt { uri, suite, components, key }) => {
            let key = key.as_ref().and_then(|at| {
                let path = files.locate(&at.place, &at.value);
                match files.digest(&path, None) {
                    Ok(digest) => Some(Fetch { source: Source::Path(path), digest }),
                    Err(reason) => {
                        cx.error(&at.place, "missing-file", format!("`{}` {reason}", at.value));
                        None
                    }
                }
            });
            let (uri, suite, components) = (uri.clone(), suite.clone(), components.clone());
            mesos.package = MesosPackage::Apt { uri, suite, components, key };
        }
        Some(RawPackage::Preinstalled) | None => {}
    }
    for (name, weight) in &written.roles {
        if name.value != "*" && !grammar::role_name(&name.value) {
            let message = format!("`{}` cannot name a Mesos role", name.value);
            cx.error(&name.place, "bad-role", message);
        }
        let Some(weight) = weight else { continue };
        let Some(text) = templates.render(cx, weight, top, "") else { continue };
        match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() && number > 0.0 => {
                mesos.roles.insert(name.value.clone(), Role { weight: number });
            }
            _ => cx.error(&weight.place, "bad-weight", "a weight is a number above 0"),
        }
    }
    mesos.masters = names(cx, hosts, &written.masters);
    check::flags(cx, Component::Master, &written.master_flags);
    // A version that was refused makes no further mistakes.
    let version =
        if mesos.version.at_least(&[0, 1]) { mesos.version.clone() } else { last_release() };
    for (key, at) in &written.master_flags {
        if let Some(text) = templates.render(cx, at, top, "") {
            check::flag(cx, Component::Master, (key, at), &text, "", &version);
            mesos.master_flags.insert(key.value.clone(), text);
        }
    }
    mesos.pools = pools::resolve(cx, templates, top, raw, (hosts, lines), &version);
    mesos.credentials = Credentials {
        agent: credential(cx, "agent", written.agent_credential.as_ref(), files),
        framework: credential(cx, "framework", written.framework_credential.as_ref(), files),
        former: (0..)
            .zip(&written.former_credentials)
            .filter_map(|(n, raw)| credential(cx, &format!("former.{n}"), Some(raw), files))
            .collect(),
    };
    one_secret_each(cx, written, &mesos.credentials);
    mesos
}

fn credential(
    cx: &mut Cx,
    whose: &str,
    raw: Option<&RawCredential>,
    files: &dyn Files,
) -> Option<Credential> {
    let raw = raw?;
    let principal = raw.principal.as_ref()?;
    let secret = match raw.secret.clone()? {
        SecretRef::File(written) => {
            let path = files.locate(&principal.place, &written.to_string_lossy());
            if let Some(mode) = files.readable_by_all(&path) {
                let place = cx.places.get(&format!("mesos.credentials.{whose}.secret.file"));
                let message = "everybody on this machine can read the file of this secret";
                let problem = Problem::warning(place.cloned(), "readable-secret", message);
                let help =
                    format!("it is {mode:o}; chmod 600 {}", quote(&written.to_string_lossy()));
                cx.problems.push(problem.help(help));
            }
            SecretRef::File(path)
        }
        other => other,
    };
    Some(Credential { principal: principal.value.clone(), secret })
}

/// Masters read one secret for each principal.
fn one_secret_each(cx: &mut Cx, written: &RawMesos, credentials: &Credentials) {
    let raw = written.agent_credential.iter().chain(&written.framework_credential);
    for principal in raw.chain(&written.former_credentials).filter_map(|c| c.principal.as_ref()) {
        let mut all = credentials.accepted().filter(|one| one.principal == principal.value);
        let first = all.next().map(|one| &one.secret);
        if all.any(|one| Some(&one.secret) != first) {
            let message = format!("the principal `{}` is given two secrets", principal.value);
            cx.error(&principal.place, "two-secrets", &message);
        }
    }
}

/// A download with its digest, or a local file with the digest it has and, when stated, must have.
fn fetch(cx: &mut Cx, files: &mut dyn Files, raw: &RawFetch) -> Option<Fetch> {
    let at = &raw.source;
    if at.value.starts_with("http://") || at.value.starts_with("https://") {
        if !grammar::url(&at.value) {
            cx.error(&at.place, "wrong-type", "a URL cannot hold blanks, quotes or braces");
            return None;
        }
        let Some(digest) = &raw.digest else {
            let message = "a download needs its digest";
            let problem = Problem::error(Some(at.place.clone()), "missing-digest", message);
            cx.problems.push(problem.help("write sha256 or sha512 beside it"));
            return None;
        };
        return Some(Fetch { source: Source::Url(at.value.clone()), digest: digest.value.clone() });
    }
    let path = files.locate(&at.place, &at.value);
    let stated = raw.digest.as_ref();
    match files.digest(&path, stated.map(|d| &d.value)) {
        Err(reason) => {
            let message = format!("`{}` {reason}", at.value);
            let problem = Problem::error(Some(at.place.clone()), "missing-file", message);
            cx.problems.push(problem.help(format!("looked for {}", path.display())));
            None
        }
        Ok(found) => {
            if let Some(stated) = stated.filter(|stated| stated.value != found) {
                let (expected, got) = (stated.value.hex(), found.hex());
                let message = format!("digest of the file: expected {expected}, got {got}");
                cx.error(&stated.place, "digest-mismatch", message);
            }
            Some(Fetch { source: Source::Path(path), digest: found })
        }
    }
}

fn spark(
    cx: &mut Cx,
    templates: &mut Templates,
    top: &Context,
    hosts: &BTreeMap<HostName, Host>,
    files: &mut dyn Files,
    raw: RawSpark,
) -> Spark {
    let text = |at: Option<At<String>>, default: &str| {
        at.map_or_else(|| default.to_owned(), |at| at.value)
    };
    let nothing =
        || Fetch { source: Source::Url(String::new()), digest: Digest::Sha256(String::new()) };
    for (key, _) in &raw.env {
        let digit = key.value.starts_with(|c: char| c.is_ascii_digit());
        if digit || !grammar::word(&key.value, "_") {
            let message = format!("`{}` cannot name an environment variable", key.value);
            cx.error(&key.place, "bad-name", message);
        }
    }
    for (key, _) in &raw.defaults {
        if key.value.contains(|c: char| c.is_whitespace() || c == '=' || c == '#') {
            let message = format!("`{}` cannot name a Spark property", key.value);
            cx.error(&key.place, "bad-name", message);
        }
    }
    let image = match raw.image {
        Some(RawImage::Registry(reference)) => SparkImage::Registry { reference },
        Some(RawImage::Archive { tag, archive }) => {
            SparkImage::Archive { tag, archive: fetch(cx, files, &archive).unwrap_or_else(nothing) }
        }
        other => {
            let (tag, base, packages) = match other {
                Some(RawImage::Build { tag, base, packages }) => (tag, base, packages),
                _ => (None, None, None),
            };
            SparkImage::Build {
                tag: tag.unwrap_or_else(|| "spark-mesos".to_owned()),
                base: base.unwrap_or_else(|| "debian:bookworm-slim".to_owned()),
                packages: packages
                    .unwrap_or_else(|| ["python3", "libnss3", "curl"].map(str::to_owned).to_vec()),
            }
        }
    };
    let version = version(cx, raw.version.as_ref());
    let mut defaults = BTreeMap::new();
    for (key, at) in &raw.defaults {
        let Some(text) = templates.render(cx, at, top, "") else { continue };
        // A version that was refused makes no further mistakes.
        if version.at_least(&[0, 1]) {
            check::property(cx, (key, at), &text, &version);
        }
        defaults.insert(key.value.clone(), text);
    }
    Spark {
        version,
        archive: raw.archive.and_then(|a| fetch(cx, files, &a)).unwrap_or_else(nothing),
        java: text(raw.java, "openjdk-17-jre-headless"),
        user: text(raw.user, "spark"),
        image,
        defaults,
        env: rendered(cx, templates, top, &raw.env),
        clients: names(cx, hosts, &raw.clients),
        dispatcher: raw.dispatcher.map(|(list, port)| Dispatcher {
            hosts: names(cx, hosts, &list),
            port: port.unwrap_or(7077),
        }),
    }
}

fn workload(cx: &mut Cx, raw: RawWorkload) -> Option<Workload> {
    let role = match raw.role {
        Some(at) if at.value != "*" && !grammar::role_name(&at.value) => {
            let message = format!("`{}` cannot name a Mesos role", at.value);
            cx.error(&at.place, "bad-role", message);
            return None;
        }
        Some(at) => at.value,
        None => "*".to_owned(),
    };
    Some(Workload {
        role,
        cores: raw.cores,
        memory_mib: raw.memory_mib,
        overhead_mib: raw.overhead_mib,
        cores_max: raw.cores_max,
        constraints: raw.constraints.unwrap_or_default(),
    })
}

fn allow(cx: &mut Cx, raw: Texts) -> BTreeMap<String, String> {
    let mut allowed = BTreeMap::new();
    for (lint, reason) in raw {
        if reason.value.trim().is_empty() {
            let message = format!("`allow.{}` needs a reason", lint.value);
            cx.error(&reason.place, "missing-reason", message);
        }
        allowed.insert(lint.value, reason.value);
    }
    allowed
}

//! The inventory as written: its keys, typed where the text alone decides, templates not yet
//! rendered. What is `None` was absent, or was wrong and has been reported.

use std::collections::BTreeMap;
use std::time::Duration;

use super::decode::{
    At, Cx, Object, boolean, count, dictionary, digits, free_map, list, parsed, port, text, texts,
};
use super::yaml::{Kind, Node};
use super::{Batch, Digest, Proxy, Retired, SecretRef, Smoke, grammar};

pub(super) type Json = serde_json::Map<String, serde_json::Value>;
/// A map of the user's own keys, whose values may be templates.
pub(super) type Texts = Vec<(At<String>, At<String>)>;

/// Reads the whole file; every mistake goes to `cx`.
pub(super) fn decode(cx: &mut Cx, root: &Node) -> Option<Raw> {
    let mut o = Object::open(cx, root, "")?;
    let version = parsed("1, the only version of the format", |t| (t == "1").then_some(()));
    o.required(cx, "version", version);
    let raw = Raw {
        cluster: o.required(cx, "cluster", cluster),
        vars: o.optional(cx, "vars", free_map).unwrap_or_default(),
        ssh: o.optional(cx, "ssh", |cx, n, p| ssh(cx, n, p, Level::Cluster)).unwrap_or_default(),
        proxy: o.optional(cx, "proxy", proxy).unwrap_or_default(),
        hosts: o.required(cx, "hosts", |cx, n, p| dictionary(cx, n, p, host)).unwrap_or_default(),
        cgroup_v1: o.optional(cx, "base", base).unwrap_or(false),
        zookeeper: o.required(cx, "zookeeper", zookeeper),
        mesos: o.required(cx, "mesos", mesos),
        docker: o.optional(cx, "docker", docker),
        spark: o.optional(cx, "spark", super::raw_spark::spark),
        workloads: o
            .optional(cx, "workloads", |cx, n, p| dictionary(cx, n, p, super::raw_spark::workload))
            .unwrap_or_default(),
        smoke: o.optional(cx, "smoke", smoke),
        retired: o.optional(cx, "retired", retired).unwrap_or_default(),
        allow: o.optional(cx, "allow", |cx, n, p| dictionary(cx, n, p, text)).unwrap_or_default(),
    };
    o.close(cx);
    Some(raw)
}

#[derive(Debug)]
pub(super) struct Raw {
    pub(super) cluster: Option<At<String>>,
    pub(super) vars: Json,
    pub(super) ssh: RawSsh,
    pub(super) proxy: Proxy,
    pub(super) hosts: Vec<(At<String>, RawHost)>,
    pub(super) cgroup_v1: bool,
    pub(super) zookeeper: Option<RawZooKeeper>,
    pub(super) mesos: Option<RawMesos>,
    pub(super) docker: Option<RawDocker>,
    pub(super) spark: Option<super::raw_spark::RawSpark>,
    pub(super) workloads: Vec<(At<String>, super::raw_spark::RawWorkload)>,
    pub(super) smoke: Option<Smoke>,
    pub(super) retired: Vec<(At<String>, Retired)>,
    pub(super) allow: Texts,
}

#[derive(Debug, Default, Clone)]
pub(super) struct RawSsh {
    pub(super) host: Option<At<String>>,
    pub(super) user: Option<At<String>>,
    pub(super) port: Option<At<u16>>,
    pub(super) identity_file: Option<At<String>>,
    pub(super) proxy_jump: Option<At<String>>,
    pub(super) known_hosts: Option<At<String>>,
    pub(super) config_file: Option<At<String>>,
    pub(super) connect_timeout: Option<At<Duration>>,
    pub(super) become_root: Option<At<bool>>,
}

#[derive(Debug)]
pub(super) struct RawHost {
    pub(super) address: Option<At<String>>,
    pub(super) hostname: Option<At<String>>,
    pub(super) ssh: RawSsh,
    pub(super) vars: Json,
}

#[derive(Debug)]
pub(super) enum RawZooKeeper {
    Managed { servers: Vec<(At<String>, At<u8>)>, config: Texts },
    External(Option<At<String>>),
}

#[derive(Debug)]
pub(super) struct RawMesos {
    pub(super) version: Option<At<String>>,
    pub(super) package: Option<RawPackage>,
    /// Role → weight.
    pub(super) roles: Vec<(At<String>, Option<At<String>>)>,
    pub(super) masters: Vec<At<String>>,
    pub(super) master_flags: Texts,
    pub(super) pools: Vec<(At<String>, RawPool)>,
    pub(super) agent_credential: Option<RawCredential>,
    pub(super) framework_credential: Option<RawCredential>,
    pub(super) former_credentials: Vec<RawCredential>,
}

#[derive(Debug)]
pub(super) enum RawPackage {
    Deb(RawFetch),
    Apt { uri: String, suite: String, components: Vec<String>, key: Option<At<String>> },
    Preinstalled,
}

#[derive(Debug)]
pub(super) struct RawFetch {
    /// URL or path.
    pub(super) source: At<String>,
    pub(super) digest: Option<At<Digest>>,
}

#[derive(Debug)]
pub(super) struct RawPool {
    pub(super) hosts: Vec<At<String>>,
    pub(super) vars: Json,
    pub(super) attributes: Texts,
    pub(super) resources: Texts,
    pub(super) reserved: Vec<(At<String>, Texts)>,
    pub(super) flags: Texts,
    pub(super) batch: Option<At<Batch>>,
}

#[derive(Debug)]
pub(super) struct RawCredential {
    pub(super) principal: Option<At<String>>,
    pub(super) secret: Option<SecretRef>,
}

#[derive(Debug)]
pub(super) struct RawDocker {
    pub(super) package: Option<At<String>>,
    pub(super) daemon: Json,
    pub(super) images: Vec<RawFetch>,
}

/// Whether ssh settings are those of one host.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Cluster,
    Host,
}

fn cluster(cx: &mut Cx, node: &Node, path: &str) -> Option<At<String>> {
    let read = |t: &str| {
        let good = grammar::word(t, "._-") && !t.starts_with('.') && t.len() <= 63;
        good.then(|| t.to_owned())
    };
    parsed("a name of letters, digits, `.`, `_` and `-`", read)(cx, node, path)
}

fn ssh(cx: &mut Cx, node: &Node, path: &str, level: Level) -> Option<RawSsh> {
    let mut o = Object::open(cx, node, path)?;
    let ssh = RawSsh {
        host: if level == Level::Host { o.optional(cx, "host", ssh_host) } else { None },
        user: o.optional(cx, "user", |cx, n, p| {
            parsed("a login name", |t| safe(t, "._-@\\+"))(cx, n, p)
        }),
        port: o.optional(cx, "port", port),
        identity_file: o.optional(cx, "identity_file", text),
        proxy_jump: o.optional(cx, "proxy_jump", |cx, n, p| {
            parsed("a jump such as user@host:port", |t| {
                t.split(',').all(|hop| !hop.starts_with('-')).then(|| safe(t, "._-@:,[]/"))?
            })(cx, n, p)
        }),
        known_hosts: o.optional(cx, "known_hosts", text),
        config_file: o.optional(cx, "config_file", text),
        connect_timeout: o.optional(cx, "connect_timeout", duration),
        become_root: o.optional(cx, "become", boolean),
    };
    o.close(cx);
    Some(ssh)
}

fn ssh_host(cx: &mut Cx, node: &Node, path: &str) -> Option<At<String>> {
    parsed("a host name or address", |t| safe(t, "._-:%"))(cx, node, path)
}

/// What may stand in an ssh command line: old clients expand `%h` within shell commands.
fn safe(text: &str, extra: &str) -> Option<String> {
    grammar::word(text, extra).then(|| text.to_owned())
}

fn duration(cx: &mut Cx, node: &Node, path: &str) -> Option<At<Duration>> {
    let read = |t: &str| grammar::duration(t).filter(|d| !d.is_zero());
    parsed("a duration such as 10secs or 3mins", read)(cx, node, path)
}

fn proxy(cx: &mut Cx, node: &Node, path: &str) -> Option<Proxy> {
    let mut o = Object::open(cx, node, path)?;
    let url = |cx: &mut Cx, n: &Node, p: &str| {
        parsed("an http:// or https:// URL", |t| grammar::url(t).then(|| t.to_owned()))(cx, n, p)
    };
    let direct = |t: &str| safe(t, ".,:*/-_[]");
    let proxy = Proxy {
        http: o.optional(cx, "http", url).map(|at| at.value),
        https: o.optional(cx, "https", url).map(|at| at.value),
        no_proxy: o
            .optional(cx, "no_proxy", |cx, n, p| {
                parsed("hosts separated by commas", direct)(cx, n, p)
            })
            .map(|at| at.value),
    };
    o.close(cx);
    Some(proxy)
}

fn host(cx: &mut Cx, node: &Node, path: &str) -> Option<RawHost> {
    let mut o = Object::open(cx, node, path)?;
    let host = RawHost {
        address: o.required(cx, "address", text),
        hostname: o.optional(cx, "hostname", |cx, n, p| {
            let read = |t: &str| grammar::host_name(t).then(|| t.to_owned());
            parsed("a host name", read)(cx, n, p)
        }),
        ssh: o.optional(cx, "ssh", |cx, n, p| ssh(cx, n, p, Level::Host)).unwrap_or_default(),
        vars: o.optional(cx, "vars", free_map).unwrap_or_default(),
    };
    o.close(cx);
    Some(host)
}

fn base(cx: &mut Cx, node: &Node, path: &str) -> Option<bool> {
    let mut o = Object::open(cx, node, path)?;
    let cgroup_v1 = o.optional(cx, "cgroup_v1", boolean);
    o.close(cx);
    cgroup_v1.map(|at| at.value)
}

fn zookeeper(cx: &mut Cx, node: &Node, path: &str) -> Option<RawZooKeeper> {
    let mut o = Object::open(cx, node, path)?;
    let zookeeper = match o.one_of(cx, &["servers", "external"])? {
        "servers" => RawZooKeeper::Managed {
            servers: o
                .optional(cx, "servers", |cx, n, p| dictionary(cx, n, p, myid))
                .unwrap_or_default(),
            config: o.optional(cx, "config", options).unwrap_or_default(),
        },
        _ => RawZooKeeper::External(o.optional(cx, "external", text)),
    };
    o.close(cx);
    Some(zookeeper)
}

fn myid(cx: &mut Cx, node: &Node, path: &str) -> Option<At<u8>> {
    let read = |t: &str| digits(t).and_then(|n| u8::try_from(n).ok()).filter(|n| *n > 0);
    parsed("a myid from 1 to 255", read)(cx, node, path)
}

/// A map of scalars that may be templates.
pub(super) fn options(cx: &mut Cx, node: &Node, path: &str) -> Option<Texts> {
    dictionary(cx, node, path, text)
}

fn mesos(cx: &mut Cx, node: &Node, path: &str) -> Option<RawMesos> {
    let mut o = Object::open(cx, node, path)?;
    let (masters, master_flags) = o.required(cx, "masters", masters).unwrap_or_default();
    let (agent_credential, framework_credential, former_credentials) =
        o.optional(cx, "credentials", credentials).unwrap_or_default();
    let mesos = RawMesos {
        version: o.required(cx, "version", text),
        package: o.required(cx, "package", package),
        roles: o.optional(cx, "roles", |cx, n, p| dictionary(cx, n, p, role)).unwrap_or_default(),
        masters,
        master_flags,
        pools: o.required(cx, "agents", |cx, n, p| dictionary(cx, n, p, pool)).unwrap_or_default(),
        agent_credential,
        framework_credential,
        former_credentials,
    };
    o.close(cx);
    Some(mesos)
}

fn masters(cx: &mut Cx, node: &Node, path: &str) -> Option<(Vec<At<String>>, Texts)> {
    let mut o = Object::open(cx, node, path)?;
    let hosts = o.required(cx, "hosts", texts).unwrap_or_default();
    let flags = o.optional(cx, "flags", options).unwrap_or_default();
    o.close(cx);
    Some((hosts, flags))
}

fn role(cx: &mut Cx, node: &Node, path: &str) -> Option<Option<At<String>>> {
    let mut o = Object::open(cx, node, path)?;
    let weight = o.required(cx, "weight", text);
    o.close(cx);
    Some(weight)
}

fn package(cx: &mut Cx, node: &Node, path: &str) -> Option<RawPackage> {
    let mut o = Object::open(cx, node, path)?;
    let package = match o.one_of(cx, &["deb", "apt", "preinstalled"])? {
        "deb" => fetch(cx, &mut o, "deb").map(RawPackage::Deb),
        "apt" => o.optional(cx, "apt", apt),
        _ => {
            let yes = o.optional(cx, "preinstalled", |cx, n, p| {
                parsed("true", |t| (t == "true").then_some(()))(cx, n, p)
            });
            yes.map(|_| RawPackage::Preinstalled)
        }
    };
    o.close(cx);
    package
}

fn apt(cx: &mut Cx, node: &Node, path: &str) -> Option<RawPackage> {
    let word = |cx: &mut Cx, n: &Node, p: &str| {
        parsed("a word of letters, digits, `.`, `_`, `/` and `-`", |t| safe(t, "._/-"))(cx, n, p)
    };
    let mut o = Object::open(cx, node, path)?;
    let uri = o.required(cx, "uri", |cx, n, p| {
        parsed("a URL", |t| {
            let good = grammar::url(t) || (t.starts_with("file:/") && !t.contains([' ', '\'']));
            good.then(|| t.to_owned())
        })(cx, n, p)
    });
    let suite = o.required(cx, "suite", word);
    let components = o.optional(cx, "components", |cx, n, p| list(cx, n, p, word));
    let key = o.optional(cx, "key", text);
    o.close(cx);
    let components = components.map_or_else(
        || vec!["main".to_owned()],
        |list| list.into_iter().map(|at| at.value).collect(),
    );
    Some(RawPackage::Apt { uri: uri?.value, suite: suite?.value, components, key })
}

/// A file under `key`, with the digest that stands beside it.
pub(super) fn fetch(cx: &mut Cx, o: &mut Object<'_>, key: &'static str) -> Option<RawFetch> {
    let hex = |length: usize| {
        move |t: &str| {
            let good = t.len() == length && t.bytes().all(|b| b.is_ascii_hexdigit());
            good.then(|| t.to_ascii_lowercase())
        }
    };
    let sha256 = o.optional(cx, "sha256", |cx, n, p| parsed("64 hex digits", hex(64))(cx, n, p));
    let sha512 = o.optional(cx, "sha512", |cx, n, p| parsed("128 hex digits", hex(128))(cx, n, p));
    let source = o.required(cx, key, text)?;
    if key == "url" && !grammar::url(&source.value) {
        let message = "expected an http:// or https:// URL without blanks";
        cx.error(&source.place, "wrong-type", message);
        return None;
    }
    let digest = match (sha256, sha512) {
        (Some(_), Some(b)) => {
            cx.error(&b.place, "one-of", "give sha256 or sha512, not both");
            return None;
        }
        (Some(a), None) => Some(At { value: Digest::Sha256(a.value), place: a.place }),
        (None, Some(b)) => Some(At { value: Digest::Sha512(b.value), place: b.place }),
        (None, None) => None,
    };
    Some(RawFetch { source, digest })
}

fn pool(cx: &mut Cx, node: &Node, path: &str) -> Option<RawPool> {
    let mut o = Object::open(cx, node, path)?;
    let pool = RawPool {
        hosts: o.required(cx, "hosts", texts).unwrap_or_default(),
        vars: o.optional(cx, "vars", free_map).unwrap_or_default(),
        attributes: o.optional(cx, "attributes", options).unwrap_or_default(),
        resources: o.optional(cx, "resources", resources).unwrap_or_default(),
        reserved: o
            .optional(cx, "reserved", |cx, n, p| dictionary(cx, n, p, resources))
            .unwrap_or_default(),
        flags: o.optional(cx, "flags", options).unwrap_or_default(),
        batch: o.optional(cx, "batch", batch),
    };
    o.close(cx);
    Some(pool)
}

/// Resources; `ports: [31000-32000]` without quotes is a list for YAML and means the same.
fn resources(cx: &mut Cx, node: &Node, path: &str) -> Option<Texts> {
    dictionary(cx, node, path, |cx, node, path| match &node.kind {
        Kind::Seq(_) => {
            let items = texts(cx, node, path)?;
            let items: Vec<String> = items.into_iter().map(|at| at.value).collect();
            Some(At { value: format!("[{}]", items.join(",")), place: node.place.clone() })
        }
        _ => text(cx, node, path),
    })
}

fn batch(cx: &mut Cx, node: &Node, path: &str) -> Option<At<Batch>> {
    let read = |t: &str| match t.strip_suffix('%') {
        Some(p) => {
            let percent = digits(p).and_then(|n| u8::try_from(n).ok());
            percent.filter(|n| (1..=100).contains(n)).map(Batch::Percent)
        }
        None => {
            let count = digits(t).and_then(|n| usize::try_from(n).ok());
            count.filter(|n| *n > 0).map(Batch::Count)
        }
    };
    parsed("a count of at least 1 or a percentage such as 20%", read)(cx, node, path)
}

type Credentials = (Option<RawCredential>, Option<RawCredential>, Vec<RawCredential>);

fn credentials(cx: &mut Cx, node: &Node, path: &str) -> Option<Credentials> {
    let mut o = Object::open(cx, node, path)?;
    let agent = o.optional(cx, "agent", credential);
    let framework = o.optional(cx, "framework", credential);
    let former = o.optional(cx, "former", |cx, n, p| list(cx, n, p, credential));
    o.close(cx);
    Some((agent, framework, former.unwrap_or_default()))
}

fn credential(cx: &mut Cx, node: &Node, path: &str) -> Option<RawCredential> {
    let mut o = Object::open(cx, node, path)?;
    let principal = o.required(cx, "principal", |cx, n, p| {
        parsed("a name of letters, digits, `.`, `_` and `-`", |t| safe(t, "._-"))(cx, n, p)
    });
    let secret = o.required(cx, "secret", secret);
    o.close(cx);
    Some(RawCredential { principal, secret })
}

fn secret(cx: &mut Cx, node: &Node, path: &str) -> Option<SecretRef> {
    let mut o = Object::open(cx, node, path)?;
    let secret = match o.one_of(cx, &["env", "file", "command", "prompt"])? {
        "env" => {
            let read = |t: &str| {
                let good = grammar::word(t, "_") && !t.starts_with(|c: char| c.is_ascii_digit());
                good.then(|| SecretRef::Env(t.to_owned()))
            };
            let env = |cx: &mut Cx, n: &Node, p: &str| {
                parsed("the name of an environment variable", read)(cx, n, p)
            };
            o.optional(cx, "env", env).map(|at| at.value)
        }
        "file" => o.optional(cx, "file", text).map(|at| SecretRef::File(at.value.into())),
        "command" => o.optional(cx, "command", text).map(|at| SecretRef::Command(at.value)),
        _ => o
            .optional(cx, "prompt", |cx, n, p| {
                parsed("true", |t| (t == "true").then_some(SecretRef::Prompt))(cx, n, p)
            })
            .map(|at| at.value),
    };
    o.close(cx);
    secret
}

fn docker(cx: &mut Cx, node: &Node, path: &str) -> Option<RawDocker> {
    let mut o = Object::open(cx, node, path)?;
    let docker = RawDocker {
        package: o.optional(cx, "package", debian_package),
        daemon: o.optional(cx, "daemon", free_map).unwrap_or_default(),
        images: o.optional(cx, "images", |cx, n, p| list(cx, n, p, image)).unwrap_or_default(),
    };
    o.close(cx);
    Some(docker)
}

fn image(cx: &mut Cx, node: &Node, path: &str) -> Option<RawFetch> {
    let mut o = Object::open(cx, node, path)?;
    let image = fetch(cx, &mut o, "archive");
    o.close(cx);
    image
}

/// The name of a Debian package.
pub(super) fn debian_package(cx: &mut Cx, node: &Node, path: &str) -> Option<At<String>> {
    let read = |t: &str| grammar::debian_package(t).then(|| t.to_owned());
    parsed("the name of a Debian package", read)(cx, node, path)
}

fn smoke(cx: &mut Cx, node: &Node, path: &str) -> Option<Smoke> {
    let mut o = Object::open(cx, node, path)?;
    let mut smoke = super::resolve::default_smoke();
    if let Some(at) = o.optional(cx, "slices", count) {
        smoke.slices = at.value;
    }
    if let Some(at) = o.optional(cx, "each_agent", boolean) {
        smoke.each_agent = at.value;
    }
    if let Some(at) = o.optional(cx, "timeout", duration) {
        smoke.timeout = at.value;
    }
    o.close(cx);
    Some(smoke)
}

fn retired(cx: &mut Cx, node: &Node, path: &str) -> Option<Vec<(At<String>, Retired)>> {
    if let Kind::Seq(_) = node.kind {
        return texts(cx, node, path)
            .map(|hosts| hosts.into_iter().map(|host| (host, Retired::Stop)).collect());
    }
    let read =
        |t: &str| BTreeMap::from([("stop", Retired::Stop), ("gone", Retired::Gone)]).remove(t);
    let entries = dictionary(cx, node, path, |cx, n, p| parsed("stop or gone", read)(cx, n, p))?;
    Some(entries.into_iter().map(|(host, at)| (host, at.value)).collect())
}

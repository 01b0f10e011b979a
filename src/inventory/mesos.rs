//! `mesos`: the package, the roles, the masters; pools and credentials are beside.

use std::collections::{BTreeMap, BTreeSet};

use super::credentials::{self, Credentials};
use super::decode::{At, Cx};
use super::files::{Fetch, StatedDigest};
use super::managed::{self, ManagedFile};
use super::packages::deb;
use super::pools::{self, Pool};
use super::resolve::Resolver;
use super::root::Root;
use super::settings::{choice, section};
use super::tls::{self, Tls};
use super::types::{
    Catalogue, DebianPackage, List, Map, Options, Plain, Port, Source, Template, Text, Yes, scalar,
};
use super::zookeeper::Access;
use super::{check, environment, grammar, schema, zookeeper};
use crate::ground::{HostName, Problem};
use crate::mesos::MASTER_PORT;
use crate::mesos::flags::{self, Component, Kind, ValueKind, last_release};
use crate::mesos::versions::Version;

section! {
    /// Mesos as written.
    #[derive(Debug)]
    pub(super) struct Settings {
        /// Version of the package.
        need version: Text, such as "1.11.0";
        /// Where the package comes from.
        need package: Package, such as "{deb: ./mesos_1.11.0_amd64.deb}", "{preinstalled: true}";
        /// Roles with their weights. A weight that the masters hold for another role goes back to 1; without
        /// this key weights are left alone.
        may roles: Map<WrittenRole> = "{}", such as "{etl: {weight: 2}, adhoc: {weight: 1}}";
        /// The masters; their quorum is computed.
        need masters: Masters, such as "{hosts: [m1, m2, m3]}";
        /// Pools: agents that share settings; leave it out for masters alone.
        may agents: Map<pools::Settings> = "{}", such as "{compute: {hosts: ['a[01:20]']}}";
        /// Authentication; leave it out for none.
        may credentials: credentials::Settings = "{}";
        /// TLS for all that masters, agents and drivers say to each other; leave it out for none.
        may tls: tls::Settings, such as
            "{certificate: './tls/{{ host.name }}.pem', key: {file: './tls/{{ host.name }}.key'}, ca: ./tls/ca.pem}";
    }
}

section! {
    /// A role as written.
    #[derive(Debug)]
    pub(super) struct WrittenRole {
        /// Share relative to other roles; above 0; a template.
        need weight: Template, such as "2";
    }
}

section! {
    /// The masters as written.
    #[derive(Debug)]
    pub(super) struct Masters {
        /// Hosts that run a master: 1, 3, 5 or 7.
        need hosts: List<Text>, such as "[m1, m2, m3]";
        /// Port that they listen on.
        may port: Port = "5050";
        /// Flags of the masters; templates.
        may flags: Options<MasterFlags> = "{}", such as "{offer_timeout: 30secs}";
        /// Variables of their environment; templates.
        may env: Map<Template> = "{}", such as "{GLOG_v: 1}";
        /// Files that flags point to: path: what is in it.
        may files: Map<managed::Written> = "{}", such as "{/etc/mesos-files/acls.json: {path: ./acls.json}}";
    }
}

choice! {
    /// Where the package comes from.
    #[derive(Debug)]
    pub(super) enum Package {
        deb => Deb(Deb),
        apt => Apt(FromApt),
        preinstalled => Preinstalled(Preinstalled),
        built => Built(Built),
    }
}

section! {
    /// From a file.
    #[derive(Debug)]
    pub(super) struct Deb {
        /// A .deb file: a path, or a URL with its digest.
        need deb: Source, such as "./mesos_1.11.0_amd64.deb";
        /// Name of the Debian package; a file here says it itself.
        may name: Plain<DebianPackage> as String, such as "mesos", "aventer-mesos";
        /// What the package calls its agent: unit, /etc/NAME and /etc/default/NAME; a file here says it itself.
        may agent: Plain<AgentUnitName> as AgentUnit, such as "mesos-slave", "mesos-agent";
        with digest: StatedDigest;
    }
}

section! {
    /// From a repository.
    #[derive(Debug)]
    pub(super) struct FromApt {
        /// An apt repository.
        need apt: Apt, such as "{uri: 'https://apt.example/mesos', suite: bookworm}";
        /// Name of the Debian package.
        may name: Plain<DebianPackage> = "mesos", such as "aventer-mesos";
        /// What the package calls its agent: unit, /etc/NAME and /etc/default/NAME.
        may agent: Plain<AgentUnitName> as AgentUnit = "mesos-slave", such as "mesos-agent";
    }
}

section! {
    /// A repository.
    #[derive(Debug)]
    pub(super) struct Apt {
        /// Base URI of the repository.
        need uri: Plain<AptUri>, such as "https://apt.example/mesos", "file:/srv/apt";
        /// Suite, such as bookworm; one that ends in `/` is a path, of a repository without components.
        need suite: Plain<AptWord>, such as "bookworm", "./";
        /// Components; main, unless the suite is a path.
        may components: List<Plain<AptWord>>, such as "[main]";
        /// File with the key that the lists are signed with, ASCII-armoured.
        may key: Text, such as "./mesos.asc";
    }
}

section! {
    /// From somewhere else.
    #[derive(Debug)]
    pub(super) struct Preinstalled {
        /// true: you see to it.
        need preinstalled: Yes, such as "true";
        /// Name of the Debian package.
        may name: Plain<DebianPackage> = "mesos", such as "aventer-mesos";
        /// What the package calls its agent: unit, /etc/NAME and /etc/default/NAME.
        may agent: Plain<AgentUnitName> as AgentUnit = "mesos-slave", such as "mesos-agent";
    }
}

section! {
    /// From source, by `make install`: no package of the host's knows of it.
    #[derive(Debug)]
    pub(super) struct Built {
        /// Directory below which it was installed; you see to it, and to units that start it.
        need built: Plain<Prefix>, such as "/usr/local", "/opt/mesos";
        /// What your units call its agent: unit, /etc/NAME and /etc/default/NAME.
        may agent: Plain<AgentUnitName> as AgentUnit = "mesos-slave", such as "mesos-agent";
    }
}

scalar! {
    /// Where a build was installed.
    Prefix -> String, "an absolute path without blanks",
        |t| (t.starts_with('/') && !t.contains(char::is_whitespace)).then(|| t.trim_end_matches('/').to_owned()),
        serde_json::json!({ "type": "string", "pattern": "^/\\S*$" });
    /// The two names that packages give to an agent.
    AgentUnitName -> AgentUnit, "mesos-slave or mesos-agent",
        |t| AgentUnit::ALL.into_iter().find(|it| it.name() == t),
        serde_json::json!({ "enum": AgentUnit::ALL.map(AgentUnit::name) });
    /// What a line of sources.list begins with.
    AptUri -> String, "a URL",
        |t| {
            let good = grammar::url(t) || (t.starts_with("file:/") && !t.contains([' ', '\'']));
            good.then(|| t.to_owned())
        },
        serde_json::json!({ "anyOf": [
            schema::url(), schema::text("^file:/[^ '\\u0000-\\u001f\\u007f-\\u009f]*$"),
        ] });
    /// A suite or component.
    AptWord -> String, "a word of letters, digits, `.`, `_`, `/` and `-`",
        |t| grammar::safe(t, "._/-"), schema::word("^[A-Za-z0-9._/][A-Za-z0-9._/-]*$");
}

/// Any flag, for templates and other releases; those of the last release with what is known of them.
pub(super) struct MasterFlags;

impl Catalogue for MasterFlags {
    fn known() -> Vec<(String, String)> {
        known_flags(Component::Master)
    }
}

/// The flags of the last release, each with a description.
pub(super) fn known_flags(component: Component) -> Vec<(String, String)> {
    let version = flags::last_release();
    let known = flags::all(component)
        .iter()
        .filter(|flag| flag.kind == Kind::Primary && flag.exists_in(&version));
    let described = known.map(|flag| {
        let kind = match flag.kind_of_value {
            ValueKind::Bool => "true or false",
            ValueKind::Bytes => "a size such as 16GB",
            ValueKind::Double => "a number",
            ValueKind::Duration => "a duration such as 5mins",
            ValueKind::Int => "a whole number",
            ValueKind::IntList => "whole numbers, comma separated",
            ValueKind::Json => "JSON, or a path to it",
            ValueKind::Path => "a path",
            ValueKind::Percent => "a percentage such as 10%",
            ValueKind::Rate => "a rate such as 1/10mins",
            ValueKind::Set => "words, comma separated",
            ValueKind::Text => "text",
        };
        let default =
            flag.default.as_deref().map_or_else(String::new, |d| format!(", default {d}"));
        let note = flag.note.as_deref().map_or_else(String::new, |note| format!("; {note}"));
        (flag.name.clone(), format!("{kind}{default}{note}"))
    });
    described.collect()
}

/// Mesos itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Mesos {
    /// Version asked for; the installed package's must equal it.
    pub version: Version,
    /// Where the package comes from.
    pub package: MesosPackage,
    /// What Debian calls it.
    pub package_name: String,
    /// What the package calls its agent.
    pub agent_unit: AgentUnit,
    /// Role → weight, for the roles the user named.
    pub roles: BTreeMap<String, Role>,
    /// Path of the masters' znodes; `/mesos`.
    pub znode: String,
    /// As whom the masters write their znodes.
    pub access: Access,
    /// Hosts that run a master.
    pub masters: BTreeSet<HostName>,
    /// How many of them must agree while their membership changes; `None` for a majority of them.
    pub quorum: Option<usize>,
    /// Port that the masters listen on.
    pub master_port: u16,
    /// Flags of the masters, values as text ready for a flag file.
    pub master_flags: BTreeMap<String, String>,
    /// Variables of the masters' environment.
    pub master_env: BTreeMap<String, String>,
    /// Files that flags of the masters point to.
    pub master_files: Vec<ManagedFile>,
    /// Pools of agents.
    pub pools: BTreeMap<String, Pool>,
    /// Authentication of agents and frameworks.
    pub credentials: Credentials,
    /// TLS; `None`: all is said without.
    pub tls: Option<Tls>,
}

impl Mesos {
    /// Where masters keep their log.
    pub fn masters_work_dir(&self) -> &str {
        self.master_flags.get("work_dir").map_or("/var/lib/mesos", String::as_str)
    }
}

/// Digests of what dpkg keeps of a package's files, [`Debian::sums`](crate::local::packages::Debian::sums).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    /// SHA-256 of the list as it is kept, in hex: what a host is compared by.
    pub list: String,
    /// SHA-256 of its lines in order, in hex: what a process depends on.
    pub files: String,
}

/// Where the Mesos package comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MesosPackage {
    /// A .deb file.
    Deb {
        /// Where it is.
        file: Fetch,
        /// What dpkg keeps of its files once it is installed; `None` of a file that is not here.
        contents: Option<Sums>,
    },
    /// An apt repository.
    Apt {
        /// Base URI.
        uri: String,
        /// Suite, such as `bookworm`.
        suite: String,
        /// Components; none where the suite is a path.
        components: Vec<String>,
        /// The key that its lists are signed with, ASCII-armoured.
        key: Option<Fetch>,
    },
    /// The user sees to it.
    Preinstalled,
    /// The user has built it, below this directory, and sees to it.
    Built(String),
}

/// What packages call an agent: those of old `mesos-slave`, some since Mesos 1.0 `mesos-agent`.
///
/// The name is that of the unit, of the directory in /etc whose files are flags, and of the file in
/// /etc/default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentUnit {
    /// `mesos-slave`.
    Slave,
    /// `mesos-agent`.
    Agent,
}

impl AgentUnit {
    /// Both.
    pub const ALL: [AgentUnit; 2] = [AgentUnit::Slave, AgentUnit::Agent];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            AgentUnit::Slave => "mesos-slave",
            AgentUnit::Agent => "mesos-agent",
        }
    }

    /// The directory whose every file is a flag.
    pub fn directory(self) -> &'static str {
        match self {
            AgentUnit::Slave => "/etc/mesos-slave",
            AgentUnit::Agent => "/etc/mesos-agent",
        }
    }
}

/// One Mesos role.
#[derive(Debug, Clone, PartialEq)]
pub struct Role {
    /// Share relative to other roles; > 0.
    pub weight: f64,
}

/// Everything of `mesos`, pools and credentials included.
pub(super) fn resolve(root: &Root, r: &mut Resolver<'_>) -> Mesos {
    let mut mesos = Mesos {
        version: r.version(root.mesos.as_ref().and_then(|m| m.version.as_ref())),
        package: MesosPackage::Preinstalled,
        package_name: "mesos".to_owned(),
        agent_unit: AgentUnit::Slave,
        roles: BTreeMap::new(),
        znode: zookeeper::znode(r.cx, root.zookeeper.as_ref()),
        access: zookeeper::access(root.zookeeper.as_ref(), r),
        masters: BTreeSet::new(),
        quorum: None,
        master_port: MASTER_PORT,
        master_flags: BTreeMap::new(),
        master_env: BTreeMap::new(),
        master_files: Vec::new(),
        pools: BTreeMap::new(),
        credentials: Credentials::default(),
        tls: None,
    };
    let Some(settings) = &root.mesos else { return mesos };
    match &settings.package {
        Some(Package::Deb(written)) => deb(written, r, &mut mesos),
        Some(Package::Apt(FromApt { apt, name, agent })) => {
            mesos.package_name.clone_from(name);
            mesos.agent_unit = *agent;
            if let Some(package) = apt.as_ref().and_then(|apt| repository(apt, r)) {
                mesos.package = package;
            }
        }
        Some(Package::Preinstalled(Preinstalled { preinstalled, name, agent })) => {
            mesos.package_name.clone_from(name);
            mesos.agent_unit = *agent;
            if preinstalled.is_some() {
                mesos.package = MesosPackage::Preinstalled;
            }
        }
        Some(Package::Built(Built { built, agent })) => {
            mesos.agent_unit = *agent;
            if let Some(prefix) = built {
                mesos.package = MesosPackage::Built(prefix.clone());
            }
        }
        None => {}
    }
    mesos.roles = roles(&settings.roles, r);
    // A version that was refused makes no further mistakes.
    let version =
        if mesos.version.at_least(&[0, 1]) { mesos.version.clone() } else { last_release() };
    if let Some(masters) = &settings.masters {
        mesos.masters = r.names(masters.hosts.as_deref().unwrap_or_default());
        mesos.master_port = masters.port.value;
        check::flags(r.cx, Component::Master, &masters.flags);
        for (key, at) in &masters.flags {
            if let Some(text) = r.render(at) {
                check::flag(r.cx, Component::Master, (key, at), &text, "", &version);
                mesos.master_flags.insert(key.value.clone(), text);
            }
        }
        environment::of_daemon(r.cx, Component::Master, &masters.env);
        mesos.master_env = r.rendered(&masters.env);
    }
    if let Some(masters) = &settings.masters {
        let (templates, top) = (&mut r.templates, r.top);
        let section = "mesos.masters.files";
        mesos.master_files =
            managed::resolve(r.cx, &*r.files, section, &masters.files, |cx, at| {
                templates.render(cx, at, top, "")
            });
    }
    mesos.pools = pools::resolve(root, r, &version);
    mesos.credentials = credentials::resolve(&settings.credentials, r);
    mesos
}

/// `None` where what is written was refused.
fn repository(apt: &Apt, r: &mut Resolver<'_>) -> Option<MesosPackage> {
    let (uri, suite) = (apt.uri.clone()?, apt.suite.clone()?);
    let key = apt.key.as_ref().and_then(|at| r.local(at));
    let components = components(r.cx, &suite, apt.components.as_deref());
    Some(MesosPackage::Apt { uri, suite, components, key })
}

/// apt reads nothing at all any more where a suite that is a path has components, or another has none.
///
/// Source: sources.list(5), "exact path".
fn components(cx: &mut Cx, suite: &str, written: Option<&[String]>) -> Vec<String> {
    let place = cx.places.get("mesos.package.apt.components").cloned();
    let mut wrong = |message: &str, help: &str| {
        cx.problems.push(Problem::error(place.clone(), "bad-components", message).help(help));
    };
    match (suite.ends_with('/'), written) {
        (true, None) => Vec::new(),
        (true, Some(_)) => {
            wrong("a suite that ends in `/` is a path, and has no components", "delete them");
            Vec::new()
        }
        (false, None) => vec!["main".to_owned()],
        (false, Some([])) => {
            let help = "write them, or nothing for [main]; of a repository without any the suite ends in `/`";
            wrong("a suite has components", help);
            Vec::new()
        }
        (false, Some(components)) => components.to_vec(),
    }
}

fn roles(written: &[(At<String>, WrittenRole)], r: &mut Resolver<'_>) -> BTreeMap<String, Role> {
    let mut roles = BTreeMap::new();
    for (name, role) in written {
        if name.value != "*" && !grammar::role_name(&name.value) {
            let message = format!("`{}` cannot name a Mesos role", name.value);
            r.cx.error(&name.place, "bad-role", message);
        }
        let Some(weight) = &role.weight else { continue };
        let Some(text) = r.render(weight) else { continue };
        match text.trim().parse::<f64>() {
            Ok(weight) if weight.is_finite() && weight > 0.0 => {
                roles.insert(name.value.clone(), Role { weight });
            }
            _ => r.cx.error(&weight.place, "bad-weight", "a weight is a number above 0"),
        }
    }
    roles
}

//! TLS of Mesos on hosts: certificates and keys, and the environment that names them to whoever speaks libprocess.

use std::collections::{BTreeMap, BTreeSet};

use crate::ground::HostName;
use crate::inventory::{Inventory, SECRETS};
use crate::mesos::tls::{Paths, environment};
use crate::resource::file::{Content, File};
use crate::resource::leftovers::Leftovers;
use crate::resource::link::Link;
use crate::script::slot;
use crate::template::contexts::Variable;

/// How the names of all these files begin.
const PREFIX: &str = "tls-";
/// The CAs' certificates.
const CA: &str = "tls-ca.pem";

/// Ends the action that writes /etc/default/mesos where this build of Mesos has not what that asks for.
///
/// That the flag is there tells, see [`SINCE`](crate::mesos::tls::SINCE). A build without libevent ends at its start
/// when it is to speak both, and holds the words with which it does so.
/// Source: Mesos 1.10.0, 3rdparty/libprocess/src/openssl.cpp (MESOS-10073).
pub(super) const TRIAL: &str = "case $(cat \"$new\") in *LIBPROCESS_SSL_ENABLED=*)\n\
    for b in mesos-agent mesos-slave; do ! command -v \"$b\" >/dev/null 2>&1 || break; done\n\
    case $(\"$b\" --help 2>&1) in *authenticate_http_executors*) ;;\n\
    *) die 'this Mesos was not built with TLS (configure --enable-ssl): take a package that was, or delete mesos.tls' ;; esac\n\
    case $(cat \"$new\") in *LIBPROCESS_SSL_SUPPORT_DOWNGRADE=true*)\n\
    for l in /usr/lib/libmesos.so /usr/local/lib/libmesos.so; do\n\
    ! grep -qs 'Non-libevent SSL sockets do not support downgrade' \"$l\" ||\n\
    die 'this Mesos was built without libevent (configure --enable-libevent), so it cannot do with mesos.tls.plain'\n\
    done ;; esac ;; esac";

/// What lies in one directory of a host: the files, and what is said to those that read them.
#[derive(Debug)]
pub(super) struct Installed {
    /// The CA's certificates, the host's, its key.
    pub(super) files: Vec<File>,
    paths: Paths,
    environment: BTreeMap<String, String>,
}

/// In a directory of secrets that belongs to somebody; `None` without TLS.
pub(super) fn installed(
    inventory: &Inventory,
    host: &HostName,
    directory: &str,
    owner: &str,
) -> Option<Installed> {
    let tls = inventory.mesos.tls.as_ref()?;
    let identity = tls.hosts.get(host)?;
    let path = |name: &str| format!("{directory}/{name}");
    let paths = Paths {
        certificate: path(&format!("{}.pem", identity.name())),
        key: path(&format!("{}.key", identity.name())),
        ca: path(CA),
    };
    let key = File {
        path: paths.key.clone(),
        content: Content::Secret {
            // The last line's end is no part of a secret.
            template: format!("{}\n", slot(0)),
            secrets: vec![identity.key.clone()],
            label: "mesos.tls/key".to_owned(),
        },
        owner: owner.to_owned(),
        group: owner.to_owned(),
        mode: "600",
        trial: None,
        after: None,
    };
    let files = vec![
        File::new(paths.ca.as_str(), tls.ca.as_str()),
        File::new(paths.certificate.as_str(), identity.certificate.as_str()),
        key,
    ];
    let environment = environment(&inventory.mesos.version, &paths, tls.policy);
    Some(Installed { files, paths, environment })
}

/// On a host of masters or agents.
pub(super) fn of_daemons(inventory: &Inventory, host: &HostName) -> Option<Installed> {
    installed(inventory, host, SECRETS, "root")
}

impl Installed {
    /// Lines of an environment.
    pub(super) fn variables(&self) -> Vec<Variable> {
        let all = self.environment.iter();
        all.map(|(name, value)| Variable { name: name.clone(), value: value.clone() }).collect()
    }

    /// Names and values.
    pub(super) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Whom curl believes, and where it is asked how it shows who it is itself.
    pub(super) fn of_curl(&self, inventory: &Inventory) -> String {
        let Paths { certificate, key, ca } = &self.paths;
        let asked = inventory.mesos.tls.as_ref().is_some_and(|tls| tls.policy.asks_clients);
        let own = format!("cert = \"{certificate}\"\nkey = \"{key}\"\n");
        format!("cacert = \"{ca}\"\n{}", if asked { own.as_str() } else { "" })
    }

    /// Names that stay when a certificate is another one, for those who are told them once on all hosts.
    pub(super) fn links(&self, directory: &str) -> Vec<Link> {
        let [certificate, key] = linked(directory);
        let link = |path: String, target: &str| Link { path, target: target.to_owned() };
        vec![link(certificate, &self.paths.certificate), link(key, &self.paths.key)]
    }

    /// Names of the files.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.files.iter().filter_map(File::name).collect()
    }
}

/// Names of the links to a certificate and its key.
pub(super) const LINKS: [&str; 2] = ["tls.pem", "tls.key"];

fn linked(directory: &str) -> [String; 2] {
    LINKS.map(|name| format!("{directory}/{name}"))
}

/// What those are told that may be on any host, by the links; `None` without TLS.
pub(super) fn through_links(
    inventory: &Inventory,
    directory: &str,
) -> Option<BTreeMap<String, String>> {
    let tls = inventory.mesos.tls.as_ref()?;
    let [certificate, key] = linked(directory);
    let paths = Paths { certificate, key, ca: format!("{directory}/{CA}") };
    Some(environment(&inventory.mesos.version, &paths, tls.policy))
}

/// Files of certificates and keys that nobody uses any more, of masters and agents.
pub(super) fn old(installed: Option<&Installed>) -> Leftovers {
    let used = installed.map(Installed::names).unwrap_or_default();
    Leftovers { directory: SECRETS.to_owned(), prefix: PREFIX, used }
}

/// What an agent's executors are told, beside what its flag says: those that are processes of Mesos speak to the
/// agent as it speaks. `None` where nothing is to be added, or what is said is no object.
///
/// Source: Mesos 1.11.0, docs/ssl.md: "Executors must be able to access the SSL environment variables"; the agent
/// hands on none of its own that begin with LIBPROCESS_ (src/slave/containerizer/containerizer.cpp).
pub(super) fn of_executors(installed: &Installed, said: Option<&str>) -> Option<String> {
    let mut all = match said {
        None => serde_json::Map::new(),
        Some(text) => serde_json::from_str(text).ok()?,
    };
    for (name, value) in &installed.environment {
        all.entry(name.clone()).or_insert_with(|| value.as_str().into());
    }
    Some(serde_json::Value::from(all).to_string())
}

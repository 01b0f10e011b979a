//! `zookeeper.quorum_auth`: with what the servers of an ensemble prove to each other that they are of it.

use std::collections::BTreeSet;
use std::fmt;

use super::credentials::{self, Rotating};
use super::resolve::Resolver;
use crate::ground::{HostName, Problem, SecretRef};

/// SASL between servers, with the secrets that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumAuth {
    /// What a server does.
    pub sasl: Sasl,
    /// The secrets of its principals, in their order; `None` for a file that is on the host and stays as it is.
    pub secrets: Option<Vec<SecretRef>>,
    /// Servers that let in who shows nothing all the same, for as long as not all others list them: a server shows
    /// nothing to one that it does not list. Source: `QuorumCnxManager.startConnection` of apache/zookeeper
    /// release-3.8.0.
    pub open: BTreeSet<HostName>,
}

impl QuorumAuth {
    /// What one server does.
    pub fn of(&self, host: &HostName) -> Sasl {
        let open = self.sasl.open || self.open.contains(host);
        Sasl { open, ..self.sasl.clone() }
    }
}

/// What a server of an ensemble does about SASL (DIGEST-MD5) with the others, in both directions.
///
/// A server that shows a principal gets nowhere with one that has no SASL at all, nor with one that does not know
/// the principal or knows another secret of it, whether that one insists or not; one that shows none is let in by
/// all that do not insist. Source: `SaslQuorumAuthLearner.authenticate` and `SaslQuorumAuthServer.authenticate`
/// of apache/zookeeper release-3.8.0, tried with those servers (docs/facts.md).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sasl {
    /// Whom it accepts: the principal of now, then the one before it. Empty without SASL.
    pub principals: Vec<String>,
    /// As whom it comes to the others; `None` where it shows nothing (`learnerRequireSasl=false`).
    pub shows: Option<String>,
    /// Whether it lets in who shows nothing (`serverRequireSasl=false`).
    pub open: bool,
}

/// Where the files with the secrets lie, and how their names begin.
pub const JAAS_DIRECTORY: &str = "/etc/zookeeper/conf";
/// See [`JAAS_DIRECTORY`].
pub const JAAS_PREFIX: &str = "provision-quorum-";
const JAAS_SUFFIX: &str = ".jaas";

/// The option of the JVM that names a file of JAAS.
pub const LOGIN_CONFIG: &str = "-Djava.security.auth.login.config";
/// How the keys of zoo.cfg begin that this sets.
pub const QUORUM_AUTH_KEYS: &str = "quorum.auth.";

/// The section of JAAS that holds whom a server accepts.
pub const SERVER_SECTION: &str = "QuorumServer";
/// The sections that hold as whom a server comes: each of its principals, in their order.
pub const LEARNER_SECTIONS: [&str; 2] = ["QuorumLearner", "QuorumFormerLearner"];

impl Default for Sasl {
    /// None.
    fn default() -> Sasl {
        Sasl { principals: Vec::new(), shows: None, open: true }
    }
}

impl Sasl {
    /// Whether there is any.
    pub fn is_on(&self) -> bool {
        !self.principals.is_empty()
    }

    /// Whether a server that comes so is let in.
    pub fn accepts(&self, shown: Option<&str>) -> bool {
        match shown {
            None => self.open,
            Some(principal) => self.knows(principal),
        }
    }

    /// Whether it knows a principal.
    pub fn knows(&self, principal: &str) -> bool {
        self.principals.iter().any(|known| known == principal)
    }

    /// The file with the secrets. Other principals are in another file: a process that runs keeps its own until it
    /// is started anew. No principal has a comma in it.
    pub fn file(&self) -> String {
        format!("{JAAS_DIRECTORY}/{JAAS_PREFIX}{}{JAAS_SUFFIX}", self.principals.join(","))
    }

    /// Lines of zoo.cfg; none without SASL.
    ///
    /// Source: apache/zookeeper release-3.8.0, zookeeperAdmin.md, "Authentication & Authorization Options", and
    /// `QuorumPeerConfig.parseProperties`; 3.4.13 reads the same.
    pub fn settings(&self, servers: usize) -> Vec<(&'static str, String)> {
        if !self.is_on() {
            return Vec::new();
        }
        // "The recommended value is 2x # of quorum peers"; 20 is ZooKeeper's own default.
        let threads = (2 * servers).max(20);
        let mut all = vec![("quorum.auth.enableSasl", "true".to_owned())];
        all.extend(self.told());
        all.push(("quorum.auth.server.saslLoginContext", SERVER_SECTION.to_owned()));
        all.push(("quorum.cnxn.threads.size", threads.to_string()));
        all
    }

    /// What tells one way from the other, where the file is the same.
    fn told(&self) -> [(&'static str, String); 3] {
        let shown = self.principals.iter().position(|it| Some(it) == self.shows.as_ref());
        let section = LEARNER_SECTIONS.get(shown.unwrap_or(0)).copied().unwrap_or_default();
        [
            ("quorum.auth.learnerRequireSasl", self.shows.is_some().to_string()),
            ("quorum.auth.serverRequireSasl", (!self.open).to_string()),
            ("quorum.auth.learner.saslLoginContext", section.to_owned()),
        ]
    }

    /// Options of the JVM; none without SASL. ZooKeeper reads the file from them, and the rest from zoo.cfg alone:
    /// that is said here too, so that a process tells with what it was started, whatever its files say by now.
    pub fn options(&self) -> Vec<String> {
        if !self.is_on() {
            return Vec::new();
        }
        let file = format!("{LOGIN_CONFIG}={}", self.file());
        let told = self.told().into_iter().map(|(key, value)| format!("-D{key}={value}"));
        [file].into_iter().chain(told).collect()
    }

    /// What a process does that was started with these options of the JVM; `None` where they are not as
    /// [`options`](Self::options) writes them.
    pub fn read<'a>(options: &(impl Iterator<Item = &'a str> + Clone)) -> Option<Sasl> {
        let value =
            |name: &str| options.clone().find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        let Some(file) = value(LOGIN_CONFIG) else { return Some(Sasl::default()) };
        let names = file.strip_prefix(JAAS_DIRECTORY)?.strip_prefix('/')?;
        let names = names.strip_prefix(JAAS_PREFIX)?.strip_suffix(JAAS_SUFFIX)?;
        let principals: Vec<String> = names.split(',').map(str::to_owned).collect();
        let section = value("-Dquorum.auth.learner.saslLoginContext")?;
        let shown = LEARNER_SECTIONS.iter().position(|it| *it == section)?;
        let shown = principals.get(shown)?.clone();
        let shows = value("-Dquorum.auth.learnerRequireSasl")? == "true";
        let open = value("-Dquorum.auth.serverRequireSasl")? != "true";
        Some(Sasl { shows: shows.then_some(shown), open, principals })
    }
}

/// What people read: `accepts zk1; shows zk1`.
impl fmt::Display for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_on() {
            return f.write_str("no SASL");
        }
        let anybody = if self.open { " and who shows none" } else { "" };
        let shows = self.shows.as_deref().unwrap_or("none");
        write!(f, "accepts {}{anybody}; shows {shows}", self.principals.join(" and "))
    }
}

/// As it is written; `None` without.
pub(super) fn resolve(written: Option<&Rotating>, r: &mut Resolver<'_>) -> Option<QuorumAuth> {
    let path = "zookeeper.quorum_auth";
    let (cx, files) = (&mut *r.cx, &*r.files);
    let (now, former) = credentials::rotating(cx, path, written, files);
    let now = now?;
    if former.as_ref().is_some_and(|former| former.principal == now.principal) {
        let place = cx.places.get(&format!("{path}.former.principal")).cloned();
        let message = format!("the principal `{}` is given two secrets", now.principal);
        let problem = Problem::error(place, "two-secrets", message);
        cx.problems.push(problem.help("give the new secret a new principal"));
        return None;
    }
    let shows = Some(now.principal.clone());
    let all = || [&now].into_iter().chain(&former);
    let principals = all().map(|it| it.principal.clone()).collect();
    let secrets = Some(all().map(|it| it.secret.clone()).collect());
    let sasl = Sasl { principals, shows, open: false };
    Some(QuorumAuth { sasl, secrets, open: BTreeSet::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_tells_what_it_was_started_with() {
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for principals in [&["zk"][..], &["zk-2", "z.k_1"]] {
            let shown = principals.iter().map(|it| Some((*it).to_owned())).chain([None]);
            for (shows, open) in shown.flat_map(|shows| [(shows.clone(), true), (shows, false)]) {
                let sasl = Sasl { principals: names(principals), shows, open };
                let options = [vec!["-Xmx512m".to_owned()], sasl.options()].concat();
                assert_eq!(Sasl::read(&options.iter().map(String::as_str)), Some(sasl));
            }
        }
        assert_eq!(Sasl::read(&["-Xmx1g"].into_iter()), Some(Sasl::default()));
        // Somebody else's, one of ours that does not say the rest, and one that is cut short.
        for others in [
            "/etc/zookeeper/jaas.conf",
            "/etc/zookeeper/conf/provision-quorum-zk.jaas",
            "/etc/zookeeper/conf/provision-quorum-zk",
        ] {
            let option = format!("{LOGIN_CONFIG}={others}");
            assert_eq!(Sasl::read(&[option.as_str()].into_iter()), None, "{others}");
        }
    }

    #[test]
    fn who_comes_so_is_let_in_where_that_is_accepted() {
        let sasl = |shows: Option<&str>, open| Sasl {
            principals: vec!["zk".to_owned()],
            shows: shows.map(str::to_owned),
            open,
        };
        let (off, both) = (Sasl::default(), sasl(None, true));
        let (shows, insists) = (sasl(Some("zk"), true), sasl(Some("zk"), false));
        let goes = |one: &Sasl, other: &Sasl| other.accepts(one.shows.as_deref());
        let all = [&off, &both, &shows, &insists];
        let table: Vec<String> = all
            .iter()
            .map(|one| all.iter().map(|other| if goes(one, other) { 'y' } else { '-' }).collect())
            .collect();
        assert_eq!(table, ["yyy-", "yyy-", "-yyy", "-yyy"]);
    }
}

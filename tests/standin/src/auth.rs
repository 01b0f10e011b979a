//! Credentials. The real daemons prove them by CRAM-MD5; here the agent simply shows its secret, in
//! a protocol that only stand-ins speak.

use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::acls::Acls;
use crate::flags::Flags;
use crate::log;

/// A principal and what proves it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credential {
    pub(crate) principal: String,
    pub(crate) secret: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The secret stays out of every print.
        write!(out, "Credential({})", self.principal)
    }
}

/// Those whom a master believes.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    known: Vec<Credential>,
    agents: Required,
    frameworks: Required,
    readonly: Required,
    readwrite: Required,
    acls: Acls,
}

/// What may be done over an endpoint, and so whether it asks for a credential.
/// Source: the calls of `route()` in src/master/master.cpp, src/slave/slave.cpp and libprocess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Realm {
    Open,
    ReadOnly,
    ReadWrite,
}

impl Realm {
    pub(crate) fn of(path: &str) -> Realm {
        match path {
            "" | "health" | "version" | "redirect" => Realm::Open,
            "api/v1"
            | "teardown"
            | "weights"
            | "quota"
            | "maintenance/schedule"
            | "machine/down"
            | "machine/up" => Realm::ReadWrite,
            _ => Realm::ReadOnly,
        }
    }
}

/// Whether somebody must show a credential.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Required {
    Yes,
    #[default]
    No,
}

/// What a master makes of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Admitted,
    /// The credential is wrong: the agent is told, and ends.
    Refused,
    /// There is none where one is needed: the agent is told nothing, and tries for ever.
    Ignored,
}

impl Credentials {
    /// Reads `--credentials`; ends the master where the real one ends.
    pub(crate) fn of_master(flags: &Flags) -> Credentials {
        let required = |asked: bool| if asked { Required::Yes } else { Required::No };
        let agents = required(flags.is_set("authenticate_agents"));
        let http = flags.is_set("authenticate_http_frameworks");
        if http && flags.text("http_framework_authenticators").is_none() {
            log::exit_with(
                "master.cpp:640",
                "Missing `--http_framework_authenticators` flag. This must be used in conjunction with `--authenticate_http_frameworks`",
            );
        }
        let readonly = required(flags.is_set("authenticate_http_readonly"));
        let readwrite = required(flags.is_set("authenticate_http_readwrite"));
        // Frameworks of this stand-in speak HTTP only: what asks the driver for its SASL asks them.
        let frameworks = required(http || flags.is_set("authenticate_frameworks"));
        let Some(path) = flags.text("credentials") else {
            if agents == Required::Yes || frameworks == Required::Yes {
                log::exit_with(
                    "master.cpp:533",
                    "Authentication requires a credentials file (see --credentials flag)",
                );
            }
            no_credentials("master", readonly, readwrite);
            return Credentials { acls: Acls::of(flags), ..Credentials::default() };
        };
        let known = read::<File>("credentials", path).credentials;
        let acls = Acls::of(flags);
        Credentials { known, agents, frameworks, readonly, readwrite, acls }
    }

    /// Reads the agent's `--http_credentials`.
    pub(crate) fn of_agent(flags: &Flags) -> Credentials {
        let required = |name: &str| if flags.is_set(name) { Required::Yes } else { Required::No };
        let readonly = required("authenticate_http_readonly");
        let readwrite = required("authenticate_http_readwrite");
        let known = match flags.text("http_credentials") {
            Some(path) => read::<File>("http_credentials", path).credentials,
            None => {
                no_credentials("agent", readonly, readwrite);
                Vec::new()
            }
        };
        let acls = Acls::of(flags);
        Credentials { known, readonly, readwrite, acls, ..Credentials::default() }
    }

    /// Who puts a request, where it is asked; an error where that is not proven.
    pub(crate) fn over_http(
        &self,
        path: &str,
        shown: Option<&str>,
    ) -> Result<Option<String>, NotProven> {
        let required = match Realm::of(path) {
            Realm::Open => Required::No,
            Realm::ReadOnly => self.readonly,
            Realm::ReadWrite => self.readwrite,
        };
        if required == Required::No {
            return Ok(None);
        }
        self.proven(shown).map(Some)
    }

    pub(crate) fn acls(&self) -> &Acls {
        &self.acls
    }

    fn proven(&self, shown: Option<&str>) -> Result<String, NotProven> {
        let credential = shown.and_then(basic).ok_or(NotProven)?;
        match self.known.contains(&credential) {
            true => Ok(credential.principal),
            false => Err(NotProven),
        }
    }

    /// Who a framework is, by its header `Authorization`; an error where it does not prove it.
    pub(crate) fn framework(&self, shown: Option<&str>) -> Result<Option<String>, NotProven> {
        if self.frameworks == Required::No {
            return Ok(None);
        }
        self.proven(shown).map(Some)
    }

    pub(crate) fn judge(&self, shown: Option<&Credential>) -> Verdict {
        let name = shown.map(|it| it.principal.as_str());
        match shown {
            Some(credential) if self.known.contains(credential) => {
                // The real one is told that it is not authorized, and ends too.
                match self.acls.allow("register_agents", name, None) {
                    true => Verdict::Admitted,
                    false => Verdict::Refused,
                }
            }
            Some(_) => Verdict::Refused,
            None if self.agents == Required::Yes => Verdict::Ignored,
            None => Verdict::Admitted,
        }
    }
}

#[derive(Deserialize)]
struct File {
    credentials: Vec<Credential>,
}

fn no_credentials(daemon: &str, readonly: Required, readwrite: Required) {
    for (realm, required) in [("readonly", readonly), ("readwrite", readwrite)] {
        if required == Required::Yes {
            log::exit_with(
                "master.cpp:600",
                &format!(
                    "No credentials provided for the default 'basic' HTTP authenticator for realm 'mesos-{daemon}-{realm}'"
                ),
            );
        }
    }
}

/// There is no credential, or a wrong one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotProven;

/// `Basic` and the base64 of `principal:secret`.
fn basic(header: &str) -> Option<Credential> {
    let (scheme, packed) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64.decode(packed.trim()).ok()?).ok()?;
    let (principal, secret) = text.split_once(':')?;
    Some(Credential { principal: principal.to_owned(), secret: secret.to_owned() })
}

/// Reads the agent's `--credential`.
pub(crate) fn of_agent(flags: &Flags) -> Option<Credential> {
    flags.text("credential").map(|path| read("credential", path))
}

fn read<T: for<'a> Deserialize<'a>>(flag: &str, path: &str) -> T {
    let fail = |reason: &str| -> ! {
        log::exit_with(
            "credentials.hpp:44",
            &format!("Failed to read {flag} file '{path}' (see --{flag} flag): {reason}"),
        )
    };
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| fail(&error.to_string()));
    let mode = std::fs::metadata(path).map(|meta| meta.permissions().mode()).unwrap_or_default();
    if mode & 0o007 != 0 {
        log::warning(
            "credentials.hpp:64",
            &format!(
                "Permissions on {flag} file '{path}' are too open; it is recommended that your \
                 {flag} file is NOT accessible by others"
            ),
        );
    }
    // serde's message could quote the file, that is a secret.
    serde_json::from_str(&text).unwrap_or_else(|_| fail("not in the JSON form that is needed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_judged_by_what_they_show() {
        let credential =
            |secret: &str| Credential { principal: "agent".into(), secret: secret.into() };
        let known = vec![credential("s")];
        let strict = Credentials { known, agents: Required::Yes, ..Credentials::default() };
        assert_eq!(strict.judge(Some(&credential("s"))), Verdict::Admitted);
        assert_eq!(strict.judge(Some(&credential("t"))), Verdict::Refused);
        assert_eq!(strict.judge(None), Verdict::Ignored);
        assert_eq!(Credentials::default().judge(None), Verdict::Admitted);
        assert_eq!(Credentials::default().judge(Some(&credential("s"))), Verdict::Refused);
        assert_eq!(format!("{:?}", credential("s")), "Credential(agent)");
    }

    #[test]
    fn frameworks_prove_themselves_only_where_it_is_asked() {
        let known = vec![Credential { principal: "spark".into(), secret: "a:b".into() }];
        let strict = Credentials { known, frameworks: Required::Yes, ..Credentials::default() };
        let basic = |text: &str| format!("Basic {}", BASE64.encode(text));
        assert_eq!(strict.framework(Some(&basic("spark:a:b"))), Ok(Some("spark".to_owned())));
        for wrong in [basic("spark:a"), basic("spark"), "Bearer x".to_owned(), String::new()] {
            assert_eq!(strict.framework(Some(&wrong)), Err(NotProven), "{wrong}");
        }
        assert_eq!(strict.framework(None), Err(NotProven));
        assert_eq!(Credentials::default().framework(Some(&basic("spark:x"))), Ok(None));
    }
}

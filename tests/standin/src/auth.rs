//! Credentials. The real daemons prove them by CRAM-MD5; here the agent simply shows its secret, in
//! a protocol that only stand-ins speak.

use std::os::unix::fs::PermissionsExt;

use serde::{Deserialize, Serialize};

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
    required: Required,
}

/// Whether an agent must show a credential.
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
        let required = match flags.is_set("authenticate_agents") {
            true => Required::Yes,
            false => Required::No,
        };
        let Some(path) = flags.text("credentials") else {
            if required == Required::Yes || flags.is_set("authenticate_frameworks") {
                log::exit_with(
                    "master.cpp:533",
                    "Authentication requires a credentials file (see --credentials flag)",
                );
            }
            return Credentials::default();
        };
        #[derive(Deserialize)]
        struct File {
            credentials: Vec<Credential>,
        }
        let known = read::<File>("credentials", path).credentials;
        Credentials { known, required }
    }

    pub(crate) fn judge(&self, shown: Option<&Credential>) -> Verdict {
        match shown {
            Some(credential) if self.known.contains(credential) => Verdict::Admitted,
            Some(_) => Verdict::Refused,
            None if self.required == Required::Yes => Verdict::Ignored,
            None => Verdict::Admitted,
        }
    }
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
        let strict = Credentials { known: vec![credential("s")], required: Required::Yes };
        assert_eq!(strict.judge(Some(&credential("s"))), Verdict::Admitted);
        assert_eq!(strict.judge(Some(&credential("t"))), Verdict::Refused);
        assert_eq!(strict.judge(None), Verdict::Ignored);
        assert_eq!(Credentials::default().judge(None), Verdict::Admitted);
        assert_eq!(Credentials::default().judge(Some(&credential("s"))), Verdict::Refused);
        assert_eq!(format!("{:?}", credential("s")), "Credential(agent)");
    }
}

//! TLS of libprocess: what masters, agents and drivers are told, and how a process that runs speaks.
//!
//! Source: Mesos 1.11.0, docs/ssl.md and 3rdparty/libprocess/src/openssl.cpp.

use std::collections::BTreeMap;

use super::asking::EITHER;
use super::versions::Version;

/// The first release of which a build tells whether it has TLS: its agent has the flag
/// `authenticate_http_executors` then, and otherwise not.
///
/// Source: Mesos 1.3.0 to 1.11.0, src/slave/flags.cpp, `#ifdef USE_SSL_SOCKET`.
pub const SINCE: [u32; 2] = [1, 3];

/// How a daemon of Mesos is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wire {
    /// HTTP alone.
    #[default]
    Plain,
    /// Both: while a cluster goes from one to the other.
    Either,
    /// HTTPS alone.
    Tls,
}

impl Wire {
    /// Begins the URL that we ask.
    pub fn scheme(self) -> &'static str {
        match self {
            Wire::Plain => "http",
            Wire::Either => EITHER,
            Wire::Tls => "https",
        }
    }

    /// Begins the URL that people are shown.
    pub fn page(self) -> &'static str {
        if self == Wire::Plain { "http" } else { "https" }
    }

    /// How a process speaks whose environment holds these `NAME=value`.
    pub fn of<'a>(environment: impl IntoIterator<Item = &'a str>) -> Wire {
        let (mut enabled, mut downgrades) = (false, false);
        for line in environment {
            match line.split_once('=') {
                Some(("LIBPROCESS_SSL_ENABLED", value)) => enabled = is_true(value),
                Some(("LIBPROCESS_SSL_SUPPORT_DOWNGRADE", value)) => downgrades = is_true(value),
                _ => {}
            }
        }
        match (enabled, downgrades) {
            (false, _) => Wire::Plain,
            (true, true) => Wire::Either,
            (true, false) => Wire::Tls,
        }
    }

    /// Whether two that speak so understand each other.
    pub fn meets(self, other: Wire) -> bool {
        self == other || self == Wire::Either || other == Wire::Either
    }
}

fn is_true(value: &str) -> bool {
    matches!(value, "true" | "1")
}

/// Where the files are that a process reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Its certificate, with those that lead to the CA.
    pub certificate: String,
    /// Its private key.
    pub key: String,
    /// Whom it believes.
    pub ca: String,
}

/// What is asked of those that come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How the cluster speaks; not [`Wire::Plain`].
    pub wire: Wire,
    /// Whether who comes must show a certificate of the CA too.
    pub asks_clients: bool,
}

/// What libprocess' own list lacks: it begins with AES128-SHA and RC4-SHA, knows no ephemeral elliptic curves, and so
/// no key that is not RSA. TLS 1.2 alone is on unless told otherwise, and 1.3 "should not be enabled" (docs/ssl.md).
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";

/// The environment of a process of libprocess: a master, an agent, an executor, a driver.
///
/// Members are found by their addresses, so certificates are checked against these. What is verified while plain is
/// spoken too, whoever stands between could switch off (docs/ssl.md); so it is verified when it is not.
pub fn environment(version: &Version, paths: &Paths, policy: Policy) -> BTreeMap<String, String> {
    // Source: docs/upgrades.md, "Upgrading from 1.9.x to 1.10.x": the names of these two.
    let renamed = version.at_least(&[1, 10]);
    let verify = if renamed { "VERIFY_SERVER_CERT" } else { "VERIFY_CERT" };
    let require = if renamed { "REQUIRE_CLIENT_CERT" } else { "REQUIRE_CERT" };
    let strict = policy.wire == Wire::Tls;
    let mut all = vec![
        ("ENABLED", "true".to_owned()),
        ("SUPPORT_DOWNGRADE", (!strict).to_string()),
        ("CERT_FILE", paths.certificate.clone()),
        ("KEY_FILE", paths.key.clone()),
        ("CA_FILE", paths.ca.clone()),
        (verify, strict.to_string()),
        (require, (strict && policy.asks_clients).to_string()),
        ("VERIFY_IPADD", "true".to_owned()),
        ("CIPHERS", CIPHERS.to_owned()),
    ];
    // Source: docs/upgrades.md, "Upgrading from 1.8.x to 1.9.x". The other scheme asks DNS who an address is.
    if version.at_least(&[1, 9]) {
        all.push(("HOSTNAME_VALIDATION_SCHEME", "openssl".to_owned()));
    }
    all.into_iter().map(|(name, value)| (format!("LIBPROCESS_SSL_{name}"), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(version: &str, wire: Wire, asks_clients: bool) -> BTreeMap<String, String> {
        let path = |name: &str| format!("/etc/x/{name}");
        let paths = Paths { certificate: path("c"), key: path("k"), ca: path("a") };
        environment(&Version::parse(version).unwrap(), &paths, Policy { wire, asks_clients })
    }

    #[test]
    fn names_are_those_of_the_release() {
        let of = |version, name: &str| {
            told(version, Wire::Tls, true).get(&format!("LIBPROCESS_SSL_{name}")).cloned()
        };
        let yes = Some("true".to_owned());
        for (version, new, old, scheme) in [
            ("1.11.0", &yes, &None, Some("openssl")),
            ("1.10.0", &yes, &None, Some("openssl")),
            ("1.9.0", &None, &yes, Some("openssl")),
            ("1.8.1", &None, &yes, None),
        ] {
            assert_eq!(&of(version, "VERIFY_SERVER_CERT"), new, "{version}");
            assert_eq!(&of(version, "REQUIRE_CLIENT_CERT"), new, "{version}");
            assert_eq!(&of(version, "VERIFY_CERT"), old, "{version}");
            assert_eq!(&of(version, "REQUIRE_CERT"), old, "{version}");
            assert_eq!(of(version, "HOSTNAME_VALIDATION_SCHEME").as_deref(), scheme, "{version}");
        }
    }

    #[test]
    fn what_is_told_is_what_is_read() {
        let lines = |wire, asks| -> Vec<String> {
            told("1.11.0", wire, asks).iter().map(|(k, v)| format!("{k}={v}")).collect()
        };
        for wire in [Wire::Either, Wire::Tls] {
            assert_eq!(Wire::of(lines(wire, false).iter().map(String::as_str)), wire);
        }
        assert_eq!(Wire::of(["PATH=/bin", "LIBPROCESS_SSL_ENABLED=0"]), Wire::Plain);
        assert_eq!(Wire::of(["LIBPROCESS_SSL_ENABLED=1"]), Wire::Tls);
        // What could be switched off from outside is not asked for.
        let both = lines(Wire::Either, true);
        assert!(both.contains(&"LIBPROCESS_SSL_REQUIRE_CLIENT_CERT=false".to_owned()), "{both:?}");
        assert!(Wire::Plain.meets(Wire::Either) && !Wire::Plain.meets(Wire::Tls));
    }
}

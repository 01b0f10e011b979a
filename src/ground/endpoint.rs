//! Where something listens: a host and a port.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

/// A host (name or address) and a TCP port. Shown as URLs and configuration files want it:
/// `10.0.0.1:5050`, `m1.example:5050`, and an IPv6 address in brackets, `[fd00::1]:5050`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// A name or an address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Endpoint {
    /// A host and a port.
    pub fn new(host: impl fmt::Display, port: u16) -> Endpoint {
        Endpoint { host: host.to_string(), port }
    }

    /// Reads what is shown; `None` of what is no host and port. An IPv6 address needs no brackets
    /// where Mesos shows it without any.
    pub fn parse(text: &str) -> Option<Endpoint> {
        let (host, port) = text.rsplit_once(':')?;
        let bare = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|host| host.parse::<Ipv6Addr>().is_ok())?,
            None => host,
        };
        let port = port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse().ok())??;
        (!bare.is_empty()).then(|| Endpoint { host: bare.to_owned(), port })
    }

    /// `http://host:port`, without a slash at its end.
    pub fn http(&self) -> String {
        format!("http://{self}")
    }
}

/// A host as it stands before a colon: an IPv6 address in brackets, anything else as it is.
pub fn bracketed(host: &str) -> Cow<'_, str> {
    if host.contains(':') { format!("[{host}]").into() } else { host.into() }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", bracketed(&self.host), self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_is_in_brackets_and_nothing_else_is() {
        for (host, shown) in [
            ("10.0.0.1", "10.0.0.1:5050"),
            ("m1.example", "m1.example:5050"),
            ("fd00::1", "[fd00::1]:5050"),
        ] {
            let endpoint = Endpoint::new(host, 5050);
            assert_eq!(endpoint.to_string(), shown);
            assert_eq!(endpoint.http(), format!("http://{shown}"));
            assert_eq!(Endpoint::parse(shown), Some(endpoint));
        }
    }

    #[test]
    fn what_has_no_host_or_no_port_is_none() {
        for bad in ["", "m1", ":5050", "m1:", "m1:x", "m1:+1", "m1:65536", "[m1]:1", "[fd00::1:1"] {
            assert_eq!(Endpoint::parse(bad), None, "{bad}");
        }
    }
}

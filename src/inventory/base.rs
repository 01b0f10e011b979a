//! `base` and `proxy`: what holds for every host whatever it runs.

use std::net::IpAddr;

use super::credentials::{self, Secret};
use super::decode::{At, Cx};
use super::resolve::Resolver;
use super::settings::{Shape, Type, section};
use super::types::{Bool, Plain, Url, scalar};
use super::yaml::{Kind, Node};
use super::{grammar, schema};
use crate::ground::SecretRef;
use crate::script::slot;

section! {
    /// What is asked of every host whatever it runs.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Base {
        /// Write the kernel argument that boots with cgroup v1, which the docker containerizer needs.
        may cgroup_v1: Plain<Bool> as bool = "false";
    }
}

section! {
    /// HTTP proxies for apt, downloads and Docker.
    #[derive(Debug)]
    pub(super) struct Settings {
        /// Proxy for http; where its URL is found, if that holds a password.
        may http: ProxyUrl, such as "http://proxy.example:3128", "{env: PROXY_URL}";
        /// Proxy for https; where its URL is found, if that holds a password.
        may https: ProxyUrl, such as "http://proxy.example:3128", "{file: ./proxy.url}";
        /// Hosts reached directly, comma separated.
        may no_proxy: Plain<DirectHosts>, such as "localhost,10.0.0.0/8";
    }
}

scalar! {
    /// Hosts, domains and networks.
    DirectHosts -> String, "hosts separated by commas", |t| grammar::safe(t, ".,:*/-_[]"),
        schema::word("^(?!-)[A-Za-z0-9.,:*/_\\[\\]-]+$");
}

/// The URL of a proxy, or where it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyUrl {
    /// It holds no secret.
    Open(String),
    /// It is one, for it holds a password.
    Secret(SecretRef),
}

impl Type for ProxyUrl {
    type Value = At<ProxyUrl>;

    fn read(cx: &mut Cx, node: &Node, path: &str) -> Option<At<ProxyUrl>> {
        let value = match &node.kind {
            Kind::Map(_) => ProxyUrl::Secret(Secret::read(cx, node, path)?.reference()?),
            _ => ProxyUrl::Open(Url::read(cx, node, path)?.value),
        };
        Some(At { value, place: node.place.clone() })
    }

    fn shape() -> Shape {
        Shape::Either(vec![Url::shape(), Secret::shape()])
    }
}

/// HTTP proxies for apt, downloads and Docker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxy {
    /// Proxy for http.
    pub http: Option<ProxyUrl>,
    /// Proxy for https.
    pub https: Option<ProxyUrl>,
    /// Hosts reached directly, comma separated.
    pub no_proxy: Option<String>,
}

/// The proxies, secret files found.
pub(super) fn resolve(settings: Settings, r: &mut Resolver<'_>) -> Proxy {
    let mut url = |name: &str, at: Option<At<ProxyUrl>>| {
        let At { value, place } = at?;
        Some(match value {
            ProxyUrl::Secret(secret) => {
                let path = format!("proxy.{name}");
                ProxyUrl::Secret(credentials::located(r.cx, &*r.files, &place, &path, secret))
            }
            open => open,
        })
    };
    Proxy {
        http: url("http", settings.http),
        https: url("https", settings.https),
        no_proxy: settings.no_proxy,
    }
}

impl Proxy {
    /// The variables that programs look for, in lower case, each with its value; where that is a secret it is
    /// the slot of one of those that are returned beside.
    pub fn variables(&self) -> (Vec<(&'static str, String)>, Vec<SecretRef>) {
        let mut secrets = Vec::new();
        let mut variables = Vec::new();
        for (name, url) in [("http_proxy", &self.http), ("https_proxy", &self.https)] {
            match url {
                None => {}
                Some(ProxyUrl::Open(url)) => variables.push((name, url.clone())),
                Some(ProxyUrl::Secret(secret)) => {
                    variables.push((name, slot(secrets.len())));
                    secrets.push(secret.clone());
                }
            }
        }
        variables.extend(self.no_proxy.clone().map(|hosts| ("no_proxy", hosts)));
        (variables, secrets)
    }

    /// The hosts that `no_proxy` names one by one, without domains and networks.
    pub fn direct_hosts(&self) -> impl Iterator<Item = &str> {
        let one = |entry: &&str| !entry.contains(['/', '*']) && !entry.starts_with('.');
        self.entries().filter(one)
    }

    /// Whether a host is reached directly: it is named, or lies in a domain or network that is.
    ///
    /// Go's programs and curl since 7.86 read networks, older ones and apt do not: so this is told them.
    pub fn is_direct(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let address = host.parse::<IpAddr>().ok();
        self.entries().any(|entry| {
            let domain = entry.trim_start_matches('*').trim_start_matches('.');
            match (entry.split_once('/'), address) {
                _ if entry == "*" => true,
                (Some((network, bits)), Some(address)) => in_network(address, network, bits),
                (Some(_), None) => false,
                (None, Some(_)) => entry == host,
                (None, None) => {
                    let rest = host.strip_suffix(domain);
                    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                }
            }
        })
    }

    /// What `no_proxy` lists, without ports and brackets.
    fn entries(&self) -> impl Iterator<Item = &str> {
        let all = self.no_proxy.as_deref().unwrap_or_default().split(',');
        let bare = all.map(|entry| match entry.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(rest),
            None if entry.matches(':').count() == 1 => entry.split(':').next().unwrap_or(entry),
            None => entry,
        });
        bare.filter(|entry| !entry.is_empty())
    }
}

fn in_network(address: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    let number = |address: IpAddr| match address {
        IpAddr::V4(it) => (u128::from(u32::from(it)), 32),
        IpAddr::V6(it) => (u128::from(it), 128),
    };
    let ((one, width), (other, other_width)) = (number(address), number(network));
    width == other_width
        && bits <= width
        && (one ^ other).checked_shr(width - bits).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_reached_directly() {
        let no_proxy =
            Some("localhost,10.0.0.0/8,.corp,repo.example:8080,*.lan,fd00::/16".to_owned());
        let proxy = Proxy { no_proxy, ..Proxy::default() };
        for host in [
            "localhost",
            "10.255.0.1",
            "a.corp",
            "repo.example",
            "x.repo.example",
            "a.lan",
            "[fd00::1]",
        ] {
            assert!(proxy.is_direct(host), "{host}");
        }
        for host in
            ["11.0.0.1", "acorp", "example", "deb.example.org", "fd01::1", "10.corp.example"]
        {
            assert!(!proxy.is_direct(host), "{host}");
        }
        assert_eq!(proxy.direct_hosts().collect::<Vec<_>>(), ["localhost", "repo.example"]);
        assert!(!Proxy::default().is_direct("a"));
        let all = Proxy { no_proxy: Some("*".to_owned()), ..Proxy::default() };
        assert!(all.is_direct("a") && all.is_direct("10.0.0.1"));
        let none = Proxy { no_proxy: Some("0.0.0.0/0".to_owned()), ..Proxy::default() };
        assert!(none.is_direct("10.0.0.1") && !none.is_direct("::1"));
    }
}

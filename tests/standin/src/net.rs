//! Which address a daemon listens on and which it tells others.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};

use crate::flags::Flags;
use crate::log;

/// Where a daemon is, as others see it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) ip: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) hostname: String,
}

impl Place {
    pub(crate) fn socket(&self) -> SocketAddr {
        SocketAddr::from((self.ip, self.port))
    }
}

/// Binds, or dies with the real text. Without `--ip` the socket listens on every address while the
/// daemon announces the one that its own host name resolves to, be it a loopback address.
pub(crate) fn bind(flags: &Flags) -> (TcpListener, Place) {
    let given = flags.text("ip").map(|ip| {
        ip.parse::<Ipv4Addr>().unwrap_or_else(|_| {
            fail(&format!("Failed to parse LIBPROCESS_IP '{ip}': Failed to parse the IP"))
        })
    });
    let port = flags.number("port").and_then(|port| u16::try_from(port).ok());
    let port = port.unwrap_or_else(|| fail("LIBPROCESS_PORT is not a valid port"));
    let listen = given.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let listener = TcpListener::bind((listen, port)).unwrap_or_else(|error| {
        let reason = error.to_string();
        let reason = reason.split(" (os error").next().unwrap_or_default().to_owned();
        fail(&format!("Failed to bind on {listen}:{port}: {reason}"))
    });
    let advertised = flags.text("advertise_ip").and_then(|ip| ip.parse().ok());
    let ip = advertised.or(given).unwrap_or_else(own_address);
    let port = flags.text("advertise_port").and_then(|port| port.parse().ok()).unwrap_or(port);
    let hostname = match flags.text("hostname") {
        Some(hostname) => hostname.to_owned(),
        None if flags.is_set("hostname_lookup") => name_of(ip),
        None => ip.to_string(),
    };
    (listener, Place { ip, port, hostname })
}

/// `4` random 32-bit groups in the form of a UUID.
pub(crate) fn uuid() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/random/uuid");
    match read {
        Ok(uuid) => uuid.trim().to_owned(),
        Err(error) => log::exit_with("uuid.cpp:1", &format!("Failed to make a UUID: {error}")),
    }
}

fn fail(message: &str) -> ! {
    log::abort("process.cpp:1124", &format!("Failed to initialize: {message}"))
}

fn own_name() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    read.trim().to_owned()
}

fn own_address() -> Ipv4Addr {
    let name = own_name();
    let resolved = (name.as_str(), 0).to_socket_addrs().ok();
    let first = resolved.and_then(|mut found| {
        found.find_map(|address| match address.ip() {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        })
    });
    first.unwrap_or_else(|| {
        fail(&format!("Failed to obtain the IP address for '{name}'; the DNS service may not be able to resolve it"))
    })
}

/// The name of an address by /etc/hosts, else the address itself.
fn name_of(ip: Ipv4Addr) -> String {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let wanted = ip.to_string();
    let named = hosts.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        (words.next()? == wanted).then(|| words.next().map(str::to_owned)).flatten()
    });
    named.unwrap_or(wanted)
}

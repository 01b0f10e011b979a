//! A small ZooKeeper client: one session, one request at a time, no watches.
//!
//! Every caller polls; a poll is also the heartbeat. A broken connection is mended at the next
//! request with the same session, until the session's time is over.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::wire::{Reader, Writer};

/// One session.
#[derive(Debug)]
pub(crate) struct Zk {
    address: Address,
    timeout: Duration,
    session: i64,
    password: Vec<u8>,
    connection: Option<TcpStream>,
    next_server: usize,
    next_xid: i32,
    last_contact: Instant,
}

/// `zk://[user:password@]host:port,host:port/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) credentials: Option<String>,
    pub(crate) servers: Vec<String>,
    pub(crate) path: String,
}

/// Why a request was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The connection broke, perhaps after the request was obeyed; ask again.
    Lost,
    /// The session is over, and its ephemeral nodes with it.
    Expired,
    /// ZooKeeper's own error code.
    Code(i32),
}

/// What `zookeeper.KeeperException.Code` calls NONODE.
pub(crate) const NO_NODE: Failure = Failure::Code(-101);
/// NODEEXISTS.
pub(crate) const NODE_EXISTS: Failure = Failure::Code(-110);

/// How a node is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    Persistent,
    EphemeralSequential,
}

impl Zk {
    pub(crate) fn new(address: Address, timeout: Duration) -> Zk {
        Zk {
            address,
            timeout,
            session: 0,
            password: vec![0; 16],
            connection: None,
            next_server: 0,
            next_xid: 1,
            last_contact: Instant::now(),
        }
    }

    pub(crate) fn path(&self) -> &str {
        &self.address.path
    }

    /// The number that the ephemeral nodes of this session bear as their owner.
    pub(crate) fn session(&self) -> i64 {
        self.session
    }

    pub(crate) fn children(&mut self, path: &str) -> Result<Vec<String>, Failure> {
        let answer = self.request(GET_CHILDREN, |w| w.text(path).no())?;
        let mut reader = Reader(&answer);
        let count = reader.int().ok_or(Failure::Lost)?;
        (0..count).map(|_| reader.text().ok_or(Failure::Lost)).collect()
    }

    /// The data of a node and the session that owns it (0: persistent).
    pub(crate) fn data(&mut self, path: &str) -> Result<(Vec<u8>, i64), Failure> {
        let answer = self.request(GET_DATA, |w| w.text(path).no())?;
        let mut reader = Reader(&answer);
        let mut read = || {
            let data = reader.bytes()?.to_vec();
            for _ in 0..4 {
                reader.long()?; // czxid mzxid ctime mtime
            }
            for _ in 0..3 {
                reader.int()?; // version cversion aversion
            }
            Some((data, reader.long()?))
        };
        read().ok_or(Failure::Lost)
    }

    /// Makes a node; the name it got.
    pub(crate) fn create(
        &mut self,
        path: &str,
        data: &[u8],
        node: Node,
    ) -> Result<String, Failure> {
        let secured = self.address.credentials.is_some();
        let flags = match node {
            Node::Persistent => 0,
            Node::EphemeralSequential => 3,
        };
        let body = |w: Writer| {
            let w = w.text(path).bytes(data);
            let w = match secured {
                // World may read, the creator may do all: what Mesos does with credentials.
                true => w.int(2).int(1).text("world").text("anyone").int(31).text("auth").text(""),
                false => w.int(1).int(31).text("world").text("anyone"),
            };
            w.int(flags)
        };
        let answer = self.request(CREATE, body)?;
        Reader(&answer).text().ok_or(Failure::Lost)
    }

    /// Makes a persistent node and those above it, where absent.
    pub(crate) fn ensure(&mut self, path: &str) -> Result<(), Failure> {
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
        for end in ends.collect::<Vec<_>>() {
            match self.create(&path[..end], b"", Node::Persistent) {
                Ok(_) | Err(NODE_EXISTS) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    pub(crate) fn set(&mut self, path: &str, data: &[u8]) -> Result<(), Failure> {
        self.request(SET_DATA, |w| w.text(path).bytes(data).int(-1)).map(drop)
    }

    fn request(
        &mut self,
        operation: i32,
        body: impl Fn(Writer) -> Writer,
    ) -> Result<Vec<u8>, Failure> {
        self.connect()?;
        let xid = self.next_xid;
        self.next_xid = self.next_xid.wrapping_add(1).max(1);
        let packet = body(Writer::default().int(xid).int(operation)).packet();
        let answer = self.exchange(&packet);
        match answer.as_deref().and_then(|bytes| split_header(bytes, xid)) {
            Some((0, body)) => {
                self.last_contact = Instant::now();
                Ok(body.to_vec())
            }
            Some((SESSION_EXPIRED, _)) => Err(Failure::Expired),
            Some((code, _)) => {
                self.last_contact = Instant::now();
                Err(Failure::Code(code))
            }
            None => {
                self.connection = None;
                Err(Failure::Lost)
            }
        }
    }

    fn exchange(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let connection = self.connection.as_mut()?;
        connection.write_all(packet).ok()?;
        read_packet(connection)
    }

    /// Opens the connection if there is none, trying one server per call: the next time the next.
    fn connect(&mut self) -> Result<(), Failure> {
        if self.connection.is_some() {
            return Ok(());
        }
        let server = self.address.servers[self.next_server % self.address.servers.len()].clone();
        let opened = open(&server, self.timeout / 3);
        let greeted = opened.and_then(|mut stream| {
            let greeting = Writer::default()
                .int(0)
                .long(0)
                .int(i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX))
                .long(self.session)
                .bytes(&self.password)
                .no();
            stream.write_all(&greeting.packet()).ok()?;
            let answer = read_packet(&mut stream)?;
            let mut reader = Reader(&answer);
            reader.int()?;
            let granted = reader.int()?;
            Some((stream, granted, reader.long()?, reader.bytes()?.to_vec()))
        });
        match greeted {
            Some((_, granted, _, _)) if granted <= 0 => Err(Failure::Expired),
            Some((stream, _, session, password)) => {
                self.connection = Some(stream);
                self.session = session;
                self.password = password;
                self.last_contact = Instant::now();
                self.authenticate()
            }
            None => {
                self.next_server += 1;
                match self.last_contact.elapsed() > self.timeout {
                    true => Err(Failure::Expired),
                    false => Err(Failure::Lost),
                }
            }
        }
    }

    fn authenticate(&mut self) -> Result<(), Failure> {
        let Some(credentials) = self.address.credentials.clone() else { return Ok(()) };
        let packet =
            Writer::default().int(-4).int(AUTH).int(0).text("digest").text(&credentials).packet();
        let answer = self.exchange(&packet);
        match answer.as_deref().and_then(|bytes| split_header(bytes, -4)) {
            Some((0, _)) => Ok(()),
            Some((code, _)) => Err(Failure::Code(code)),
            None => {
                self.connection = None;
                Err(Failure::Lost)
            }
        }
    }
}

impl Address {
    /// Source: include/mesos/zookeeper/url.hpp at 1.11.0: trimmed, split at the first `/`, then at
    /// the last `@`.
    pub(crate) fn parse(url: &str) -> Result<Address, String> {
        let url = url.trim();
        let Some(rest) = url.strip_prefix("zk://") else {
            return Err(format!("Expecting 'zk://' at the beginning of the URL, got '{url}'"));
        };
        let (front, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = path.trim_end_matches('/');
        let (credentials, servers) = match front.rsplit_once('@') {
            Some((credentials, servers)) => (Some(credentials.to_owned()), servers),
            None => (None, front),
        };
        if credentials.as_deref().is_some_and(|credentials| !credentials.contains(':')) {
            return Err("Expecting 'username:password' for authentication".to_owned());
        }
        if path.is_empty() {
            return Err("Expecting a (chroot) path for ZooKeeper ('/' is not supported)".to_owned());
        }
        let servers = servers.split(',').map(str::to_owned).collect();
        Ok(Address { credentials, servers, path: path.to_owned() })
    }
}

const CREATE: i32 = 1;
const GET_DATA: i32 = 4;
const SET_DATA: i32 = 5;
const GET_CHILDREN: i32 = 8;
const AUTH: i32 = 100;
const SESSION_EXPIRED: i32 = -112;

fn open(server: &str, patience: Duration) -> Option<TcpStream> {
    let address = server.to_socket_addrs().ok()?.next()?;
    let stream = TcpStream::connect_timeout(&address, patience.min(Duration::from_secs(1))).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    stream.set_write_timeout(Some(patience)).ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

fn read_packet(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    // ZooKeeper itself refuses more than 1 MiB (jute.maxbuffer).
    let length = usize::try_from(i32::from_be_bytes(length)).ok().filter(|&n| n < 4 << 20)?;
    let mut packet = vec![0; length];
    stream.read_exact(&mut packet).ok()?;
    Some(packet)
}

/// The error code and the body of the answer to request `xid`.
fn split_header(packet: &[u8], xid: i32) -> Option<(i32, &[u8])> {
    let mut reader = Reader(packet);
    let answered = reader.int()?;
    reader.long()?;
    let code = reader.int()?;
    (answered == xid).then_some((code, reader.0))
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn urls_split_like_mesos_does() {
        let parsed = Address::parse(" zk://u:p@x@h1:1,h2:2/a/b\n").expect("a good URL");
        assert_eq!(parsed.credentials.as_deref(), Some("u:p@x"));
        assert_eq!(parsed.servers, ["h1:1", "h2:2"]);
        assert_eq!(parsed.path, "/a/b");
        for wrong in ["zk://h:1", "zk://h:1/", "h:1/m", "zk://user@h:1/m"] {
            assert!(Address::parse(wrong).is_err(), "{wrong} must be refused");
        }
    }
}

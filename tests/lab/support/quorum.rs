//! A client of the cluster while it rolls: one session that keeps writing znodes, and an eye on every
//! member of both quorums. What it saw is told in counts, not in seconds.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The client at work.
pub(crate) struct Client {
    stop: Arc<AtomicBool>,
    writer: JoinHandle<Written>,
    watch: JoinHandle<Vec<Look>>,
}

/// What it saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) written: Written,
    pub(crate) zookeeper: Quorum,
    pub(crate) masters: Quorum,
}

/// What became of the writes.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Znodes that ZooKeeper said it has, those of clients before this one among them.
    pub(crate) acknowledged: BTreeSet<u32>,
    /// Of those, the ones that were not there at the end.
    pub(crate) lost: Vec<u32>,
    /// How often ZooKeeper gave the session up: it was not served for as long as it may live.
    pub(crate) expired: u32,
}

/// One quorum, over all looks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Quorum {
    /// How many looks there were.
    pub(crate) looks: usize,
    /// The most members that were down at once: nothing listened.
    pub(crate) most_down: usize,
    /// Who was down at once, each such set once.
    pub(crate) down: BTreeSet<BTreeSet<usize>>,
    /// Members that were down at any time.
    pub(crate) ever_down: BTreeSet<usize>,
    /// Who led, one after the other.
    pub(crate) leaders: Vec<usize>,
    /// How often in a row of looks nobody led.
    pub(crate) gaps: usize,
}

/// One look at all members of both.
#[derive(Debug, Clone)]
struct Look {
    zookeeper: Vec<State>,
    masters: Vec<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing listens.
    Down,
    /// It listens, and did not say how it is: that is no news.
    Unknown,
    /// It answers and leads not.
    Up,
    Leads,
}

const PAUSE: Duration = Duration::from_millis(50);
/// Who does not answer in this time says nothing.
const PATIENCE: Duration = Duration::from_secs(4);
/// What Mesos asks for too.
const SESSION_MILLIS: i32 = 10_000;
const ROOT: &str = "/client";

impl Client {
    /// Begins, on hosts that are members of both quorums.
    pub(crate) fn start(members: &[String]) -> Client {
        Client::of(members, members)
    }

    /// Begins, on the members of each quorum; those of whom some are yet to come or to go may be among them.
    pub(crate) fn of(servers: &[String], masters: &[String]) -> Client {
        let stop = Arc::new(AtomicBool::new(false));
        let at = |ips: &[String], port: u16| -> Vec<SocketAddr> {
            ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect()
        };
        let (zookeeper, masters) = (at(servers, 2181), at(masters, 5050));
        let members = zookeeper.clone();
        let done = Arc::clone(&stop);
        let writer = thread::spawn(move || write(&members, &done));
        let done = Arc::clone(&stop);
        let watch = thread::spawn(move || {
            let mut looks = Vec::new();
            while !done.load(Ordering::SeqCst) {
                looks.push(Look {
                    zookeeper: all(&zookeeper, ensemble_member),
                    masters: all(&masters, master),
                });
                thread::sleep(PAUSE);
            }
            looks
        });
        Client { stop, writer, watch }
    }

    /// Ends, and tells.
    pub(crate) fn end(self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        let looks = self.watch.join().unwrap();
        Seen {
            written: self.writer.join().unwrap(),
            zookeeper: Quorum::of(looks.iter().map(|look| look.zookeeper.as_slice())),
            masters: Quorum::of(looks.iter().map(|look| look.masters.as_slice())),
        }
    }
}

impl Quorum {
    /// The most of these that were down at once.
    pub(crate) fn most_down_of(&self, these: &BTreeSet<usize>) -> usize {
        self.down.iter().map(|down| down.intersection(these).count()).max().unwrap_or(0)
    }

    fn of<'a>(looks: impl Iterator<Item = &'a [State]>) -> Quorum {
        let mut sum = Quorum::default();
        let mut led = true;
        for look in looks {
            sum.looks += 1;
            let down = look.iter().enumerate().filter(|(_, state)| **state == State::Down);
            let down: BTreeSet<usize> = down.map(|(member, _)| member).collect();
            sum.most_down = sum.most_down.max(down.len());
            sum.ever_down.extend(&down);
            sum.down.insert(down);
            match look.iter().position(|state| *state == State::Leads) {
                Some(leader) => {
                    if sum.leaders.last() != Some(&leader) {
                        sum.leaders.push(leader);
                    }
                    led = true;
                }
                // Whoever said nothing may lead.
                None if look.contains(&State::Unknown) => {}
                None => {
                    sum.gaps += usize::from(led);
                    led = false;
                }
            }
        }
        sum
    }
}

fn all(members: &[SocketAddr], ask: fn(&SocketAddr) -> io::Result<State>) -> Vec<State> {
    let asked = members.iter().map(|member| {
        let member = *member;
        thread::spawn(move || match ask(&member) {
            Ok(state) => state,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => State::Down,
            Err(_) => State::Unknown,
        })
    });
    let asked: Vec<_> = asked.collect();
    asked.into_iter().map(|thread| thread.join().unwrap()).collect()
}

fn said(to: &SocketAddr, question: &str) -> io::Result<String> {
    let mut stream = connect(to)?;
    stream.write_all(question.as_bytes())?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn connect(to: &SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn ensemble_member(at: &SocketAddr) -> io::Result<State> {
    let text = said(at, "srvr")?;
    Ok(match text.lines().find_map(|line| line.strip_prefix("Mode: ")) {
        Some("leader") => State::Leads,
        _ if text.is_empty() => State::Unknown,
        _ => State::Up,
    })
}

fn master(at: &SocketAddr) -> io::Result<State> {
    let question =
        format!("GET /metrics/snapshot HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    let text = said(at, &question)?;
    let elected = text.split_once("\"master/elected\":").map(|(_, rest)| rest.starts_with('1'));
    Ok(match elected {
        Some(true) => State::Leads,
        Some(false) => State::Up,
        None => State::Unknown,
    })
}

/// One session that writes a znode after the other, going on with another member where one is lost.
fn write(members: &[SocketAddr], stop: &AtomicBool) -> Written {
    let mut written = Written::default();
    let mut session = Session::default();
    let mut member = members.iter().cycle();
    let mut stream: Option<TcpStream> = None;
    let mut next = None;
    let mut last = false;
    loop {
        let mut attempt = || -> io::Result<()> {
            let stream = match &mut stream {
                Some(stream) => stream,
                none => {
                    let fresh = session.open(member.next().unwrap(), &mut written.expired)?;
                    let stream = none.insert(fresh);
                    session.create(stream, ROOT)?;
                    stream
                }
            };
            if last {
                let there = session.children(stream)?;
                written.lost =
                    written.acknowledged.iter().filter(|n| !there.contains(n)).copied().collect();
            } else if let Some(number) = next {
                session.create(stream, &format!("{ROOT}/{number}"))?;
                written.acknowledged.insert(number);
                next = Some(number + 1);
            } else {
                written.acknowledged = session.children(stream)?;
                next = Some(written.acknowledged.last().map_or(0, |last| last + 1));
            }
            Ok(())
        };
        match attempt() {
            Ok(()) if last => return written,
            Ok(()) => {}
            Err(_) => stream = None,
        }
        last = stop.load(Ordering::SeqCst);
        thread::sleep(PAUSE);
    }
}

/// ZooKeeper's protocol, as little of it as is needed.
/// Source: `zookeeper.jute`; numbers are big-endian, packets and texts have their length before them.
#[derive(Debug, Default)]
struct Session {
    id: i64,
    password: Vec<u8>,
    /// The last change that it knows of: no member that is behind may serve it.
    zxid: i64,
    xid: i32,
}

const CREATE: i32 = 1;
const GET_CHILDREN: i32 = 8;
const SYNC: i32 = 9;
const NODE_EXISTS: i32 = -110;

impl Session {
    fn open(&mut self, at: &SocketAddr, expired: &mut u32) -> io::Result<TcpStream> {
        let mut stream = connect(at)?;
        let mut packet = Vec::new();
        packet.extend(0_i32.to_be_bytes());
        packet.extend(self.zxid.to_be_bytes());
        packet.extend(SESSION_MILLIS.to_be_bytes());
        packet.extend(self.id.to_be_bytes());
        put(&mut packet, &self.password);
        send(&mut stream, &packet)?;
        let reply = receive(&mut stream)?;
        let mut reply = reply.as_slice();
        let (_, timeout) = (number(&mut reply)?, number(&mut reply)?);
        let id = long(&mut reply)?;
        let password = bytes(&mut reply)?;
        if timeout == 0 {
            // It has died: another one is begun.
            *expired += 1;
            *self = Session { zxid: self.zxid, ..Session::default() };
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        (self.id, self.password) = (id, password);
        Ok(stream)
    }

    fn ask(&mut self, stream: &mut TcpStream, kind: i32, body: &[u8]) -> io::Result<Vec<u8>> {
        self.xid += 1;
        let mut packet = Vec::new();
        packet.extend(self.xid.to_be_bytes());
        packet.extend(kind.to_be_bytes());
        packet.extend(body);
        send(stream, &packet)?;
        loop {
            let reply = receive(stream)?;
            let mut rest = reply.as_slice();
            let (xid, zxid, error) = (number(&mut rest)?, long(&mut rest)?, number(&mut rest)?);
            self.zxid = self.zxid.max(zxid);
            if xid != self.xid {
                continue;
            }
            // Written before, and the answer was lost.
            if error != 0 && !(kind == CREATE && error == NODE_EXISTS) {
                return Err(io::Error::other(format!("ZooKeeper says {error}")));
            }
            return Ok(rest.to_vec());
        }
    }

    fn create(&mut self, stream: &mut TcpStream, path: &str) -> io::Result<()> {
        let mut body = Vec::new();
        put(&mut body, path.as_bytes());
        put(&mut body, b"");
        body.extend(1_i32.to_be_bytes());
        body.extend(31_i32.to_be_bytes());
        put(&mut body, b"world");
        put(&mut body, b"anyone");
        body.extend(0_i32.to_be_bytes());
        self.ask(stream, CREATE, &body).map(drop)
    }

    fn children(&mut self, stream: &mut TcpStream) -> io::Result<BTreeSet<u32>> {
        let mut body = Vec::new();
        put(&mut body, ROOT.as_bytes());
        self.ask(stream, SYNC, &body)?;
        body.push(0);
        let reply = self.ask(stream, GET_CHILDREN, &body)?;
        let mut rest = reply.as_slice();
        let names = (0..number(&mut rest)?).map(|_| bytes(&mut rest));
        let names: Vec<Vec<u8>> = names.collect::<io::Result<_>>()?;
        Ok(names.iter().map(|name| String::from_utf8_lossy(name).parse().unwrap()).collect())
    }
}

fn put(packet: &mut Vec<u8>, text: &[u8]) {
    packet.extend((text.len() as i32).to_be_bytes());
    packet.extend(text);
}

fn send(stream: &mut TcpStream, packet: &[u8]) -> io::Result<()> {
    let mut framed = Vec::new();
    put(&mut framed, packet);
    stream.write_all(&framed)
}

fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = number(stream)?;
    let mut packet = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    stream.read_exact(&mut packet)?;
    Ok(packet)
}

fn number(from: &mut impl io::Read) -> io::Result<i32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(i32::from_be_bytes(bytes))
}

fn long(from: &mut impl io::Read) -> io::Result<i64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(i64::from_be_bytes(bytes))
}

fn bytes(from: &mut &[u8]) -> io::Result<Vec<u8>> {
    // A length of -1 is "none".
    let mut bytes = vec![0; usize::try_from(number(from)?).unwrap_or(0)];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

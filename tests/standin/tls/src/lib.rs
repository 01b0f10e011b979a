//! TLS as libprocess is told to speak it by its environment, for daemons and drivers that know streams of TCP
//! alone: whoever connects or is connected to gets a stream of this machine, and two threads carry what is said
//! between that and the one that is encrypted.
//!
//! Source: Mesos 1.11.0, docs/ssl.md. A server's certificate is always verified, which the real one does when
//! `LIBPROCESS_SSL_VERIFY_SERVER_CERT` says so; where downgrades are supported one that is not believed is spoken to
//! without TLS, as there.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS12;
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
};

/// How a process of libprocess speaks.
#[derive(Debug)]
struct Tls {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    downgrades: bool,
}

/// How long a handshake may take, and a peer that was accepted may say nothing at all.
const PATIENCE: Duration = Duration::from_secs(15);
/// The first byte of a handshake.
const HANDSHAKE: u8 = 22;

/// Reads what the environment says.
///
/// # Errors
/// Why a process that was told so cannot start, in one sentence.
pub fn check() -> Result<(), String> {
    told().map(|_| ()).map_err(str::to_owned)
}

/// What was accepted, as a stream of what is said; `None` of whom this process does not listen to.
pub fn accept(stream: TcpStream) -> Option<TcpStream> {
    accepted(told().ok()?, stream)
}

/// Connects as this process is told to.
///
/// # Errors
/// Nobody is there, or shows no certificate that is believed.
pub fn connect(address: &SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    connected(told().map_err(io::Error::other)?, address, patience)
}

fn accepted(tls: Option<&Tls>, stream: TcpStream) -> Option<TcpStream> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut first = [0];
    let encrypted = stream.peek(&mut first).ok()? == 1 && first[0] == HANDSHAKE;
    match (tls, encrypted) {
        (None, true) => None,
        (Some(tls), false) if !tls.downgrades => None,
        (_, false) => Some(stream),
        (Some(tls), true) => {
            let connection = ServerConnection::new(Arc::clone(&tls.server)).ok()?;
            carried(stream, connection.into()).ok()
        }
    }
}

fn connected(tls: Option<&Tls>, address: &SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(address, patience)?;
    let Some(tls) = tls else { return Ok(stream) };
    let name = ServerName::from(address.ip());
    let connection =
        ClientConnection::new(Arc::clone(&tls.client), name).map_err(io::Error::other)?;
    match carried(stream, connection.into()) {
        Err(_) if tls.downgrades => TcpStream::connect_timeout(address, patience),
        carried => carried,
    }
}

/// What the environment says, read once.
fn told() -> Result<Option<&'static Tls>, &'static str> {
    static TOLD: OnceLock<Result<Option<Tls>, String>> = OnceLock::new();
    let told =
        TOLD.get_or_init(|| read(|name| std::env::var(format!("LIBPROCESS_SSL_{name}")).ok()));
    told.as_ref().map(Option::as_ref).map_err(String::as_str)
}

fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Tls>, String> {
    let on = |name: &str| matches!(variable(name).as_deref(), Some("true" | "1"));
    if !on("ENABLED") {
        return Ok(None);
    }
    let file = |name: &str, what: &str| {
        variable(name).ok_or_else(|| {
            format!("SSL requires {what}! NOTE: Set path with LIBPROCESS_SSL_{name}")
        })
    };
    let key_file = file("KEY_FILE", "key")?;
    let cert_file = file("CERT_FILE", "certificate")?;
    let mut roots = RootCertStore::empty();
    if let Some(path) = variable("CA_FILE") {
        let failed =
            |why: String| format!("Could not load CA file and/or directory: {why} -> FILE: {path}");
        for certificate in certificates(&path).map_err(failed)? {
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
    }
    let roots = Arc::new(roots);
    let chain = certificates(&cert_file)
        .map_err(|why| format!("Could not load cert file '{cert_file}': {why}"))?;
    let key = PrivateKeyDer::from_pem_file(&key_file)
        .map_err(|why| format!("Could not load key file '{key_file}': {why}"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let text = |error: rustls::Error| error.to_string();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS12])
        .map_err(text)?;
    let server = if on("REQUIRE_CLIENT_CERT") || on("REQUIRE_CERT") {
        let roots = Arc::clone(&roots);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
        server.with_client_cert_verifier(verifier.map_err(|error| error.to_string())?)
    } else {
        server.with_no_client_auth()
    };
    let fits = |error: rustls::Error| {
        format!("Private key does not match the certificate public key: {error}")
    };
    let server = server.with_single_cert(chain.clone(), key.clone_key()).map_err(fits)?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])
        .map_err(text)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(fits)?;
    let downgrades = on("SUPPORT_DOWNGRADE");
    Ok(Some(Tls { server: Arc::new(server), client: Arc::new(client), downgrades }))
}

fn certificates(path: impl AsRef<Path>) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if all.is_empty() { Err("it holds none".to_owned()) } else { Ok(all) }
}

/// Shakes hands, and carries from then on.
fn carried(mut stream: TcpStream, mut connection: Connection) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    // Whoever waits for an answer says how long.
    stream.set_read_timeout(None)?;
    connection.set_buffer_limit(None);
    let (ours, theirs) = pair()?;
    let connection = Arc::new(Mutex::new(connection));
    let (from, to, shared) = (stream.try_clone()?, ours.try_clone()?, Arc::clone(&connection));
    std::thread::spawn(move || {
        // The end of either is told to the other, whatever it was.
        let _ = decrypt(&from, &to, &shared);
        let _ = to.shutdown(Shutdown::Write);
    });
    std::thread::spawn(move || {
        let _ = encrypt(&ours, &stream, &connection);
        let _ = stream.shutdown(Shutdown::Write);
    });
    Ok(theirs)
}

/// Two ends of a stream of this machine.
fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    loop {
        let (other, from) = listener.accept()?;
        if from == one.local_addr()? {
            one.set_nodelay(true)?;
            other.set_nodelay(true)?;
            return Ok((one, other));
        }
    }
}

fn lock(connection: &Mutex<Connection>) -> std::sync::MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn flush(connection: &mut Connection, mut to: &TcpStream) -> io::Result<()> {
    while connection.wants_write() {
        connection.write_tls(&mut to)?;
    }
    Ok(())
}

fn decrypt(
    mut from: &TcpStream,
    mut to: &TcpStream,
    connection: &Mutex<Connection>,
) -> io::Result<()> {
    let mut buffer = vec![0; 32 << 10];
    let mut said = Vec::new();
    // What came along with the end of the handshake.
    let mut read = 0;
    loop {
        {
            let mut connection = lock(connection);
            let mut left = &buffer[..read];
            loop {
                if !left.is_empty() {
                    connection.read_tls(&mut left)?;
                }
                let state = connection.process_new_packets().map_err(io::Error::other)?;
                let due = state.plaintext_bytes_to_read();
                let ended = state.peer_has_closed();
                let at = said.len();
                said.resize(at + due, 0);
                connection.reader().read_exact(&mut said[at..])?;
                if ended {
                    drop(connection);
                    return to.write_all(&said);
                }
                if left.is_empty() {
                    break;
                }
            }
            flush(&mut connection, from)?;
        }
        to.write_all(&said)?;
        said.clear();
        read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
    }
}

fn encrypt(mut from: &TcpStream, to: &TcpStream, connection: &Mutex<Connection>) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        let mut connection = lock(connection);
        if read == 0 {
            connection.send_close_notify();
            return flush(&mut connection, to);
        }
        connection.writer().write_all(&buffer[..read])?;
        flush(&mut connection, to)?;
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;

    /// A directory with certificates of two CAs for 127.0.0.1, made once by `openssl`.
    fn folder() -> &'static Path {
        static MADE: OnceLock<PathBuf> = OnceLock::new();
        MADE.get_or_init(|| {
            let folder = std::env::temp_dir().join(format!("mesos-tls-{}", std::process::id()));
            std::fs::create_dir_all(&folder).expect("a directory");
            let script = "set -e; for c in one two; do \
                openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 -subj /CN=$c -keyout $c.key -out $c.pem; \
                openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=host -keyout of-$c.key -out r; \
                printf subjectAltName=IP:127.0.0.1 > e; \
                openssl x509 -req -in r -CA $c.pem -CAkey $c.key -set_serial 7 -days 9 -extfile e -out of-$c.pem; done";
            let made = Command::new("sh").args(["-c", script]).current_dir(&folder).output();
            let made = made.expect("a shell");
            assert!(made.status.success(), "{made:?}");
            folder
        })
    }

    fn of(ca: &str, owner: &str, more: &[&str]) -> Tls {
        let file = |name: &str| folder().join(name).to_string_lossy().into_owned();
        let told = read(|name| match name {
            "ENABLED" => Some("true".to_owned()),
            "CA_FILE" => Some(file(&format!("{ca}.pem"))),
            "CERT_FILE" => Some(file(&format!("{owner}.pem"))),
            "KEY_FILE" => Some(file(&format!("{owner}.key"))),
            name => more.contains(&name).then(|| "1".to_owned()),
        });
        told.expect("good files").expect("TLS")
    }

    /// What comes back of what is said to somebody who says it back.
    fn said(server: Option<Tls>, client: impl Into<Option<Tls>>, text: &[u8]) -> Option<Vec<u8>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let place = listener.local_addr().expect("its place");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(mut stream) = accepted(server.as_ref(), stream) else { continue };
                let mut heard = vec![0; 7];
                while let Ok(read @ 1..) = stream.read(&mut heard) {
                    if stream.write_all(&heard[..read]).is_err() {
                        break;
                    }
                }
            }
        });
        let mut stream = connected(client.into().as_ref(), &place, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut writer = stream.try_clone().ok()?;
        let owned = text.to_vec();
        let writing = std::thread::spawn(move || writer.write_all(&owned));
        let mut back = vec![0; text.len()];
        stream.read_exact(&mut back).ok()?;
        writing.join().ok()?.ok()?;
        Some(back)
    }

    #[test]
    fn who_speaks_tls_and_believes_is_understood() {
        let text: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        let tls = || Some(of("one", "of-one", &[]));
        assert_eq!(said(tls(), tls(), &text).as_deref(), Some(&text[..]));
        let asks = Some(of("one", "of-one", &["REQUIRE_CLIENT_CERT"]));
        assert_eq!(said(asks, tls(), &text).as_deref(), Some(&text[..]));
        assert_eq!(said(None, None, &text).as_deref(), Some(&text[..]));
    }

    #[test]
    fn whoever_does_not_is_not() {
        let tls = |more: &[&str]| Some(of("one", "of-one", more));
        // Without TLS, or to somebody without.
        assert_eq!(said(tls(&[]), None, b"x"), None);
        assert_eq!(said(None, tls(&[]), b"x"), None);
        // Of another CA: the server, then the client.
        assert_eq!(said(Some(of("two", "of-two", &[])), tls(&[]), b"x"), None);
        let stranger = || Some(of("one", "of-two", &[]));
        assert_eq!(said(tls(&["REQUIRE_CLIENT_CERT"]), stranger(), b"x"), None);
        assert_eq!(said(tls(&[]), stranger(), b"x").as_deref(), Some(&b"x"[..]));
    }

    #[test]
    fn with_downgrades_both_are_spoken() {
        let both = || Some(of("one", "of-one", &["SUPPORT_DOWNGRADE"]));
        let tls = || Some(of("one", "of-one", &[]));
        for (server, client) in [
            (both(), both()),
            (both(), None),
            (None, both()),
            (both(), tls()),
            (tls(), both()),
            (Some(of("two", "of-two", &["SUPPORT_DOWNGRADE"])), both()),
        ] {
            assert_eq!(said(server, client, b"hello").as_deref(), Some(&b"hello"[..]));
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let file = |name: &str| folder().join(name).to_string_lossy().into_owned();
        let told = |cert: &str, key: &str| {
            let (cert, key) = (file(cert), file(key));
            let told = read(|name| match name {
                "ENABLED" => Some("1".to_owned()),
                "CERT_FILE" => Some(cert.clone()),
                "KEY_FILE" => Some(key.clone()),
                _ => None,
            });
            told.expect_err("no start")
        };
        assert!(told("of-one.pem", "of-two.key").starts_with("Private key does not match"));
        assert!(told("none.pem", "of-one.key").starts_with("Could not load cert file"));
        assert!(
            read(|name| (name == "ENABLED").then(|| "true".to_owned()))
                .expect_err("no start")
                .starts_with("SSL requires key!")
        );
    }
}

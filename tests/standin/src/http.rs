//! HTTP/1.1, as much as an operator's client and our own agents use.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use serde_json::Value;

use crate::clock;

/// A request; `path` without the query, percent-decoded.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) content_type: Option<String>,
    headers: Headers,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a header, whose name is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// A parameter of the query, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self.query.as_deref()?.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.into_iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| percent_decode(&value.replace('+', " ")))
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    status: u16,
    /// One header besides the usual ones.
    header: Option<(&'static str, String)>,
    content_type: Option<&'static str>,
    body: Vec<u8>,
    /// What follows, piece by piece, for as long as there is a sender.
    stream: Option<Receiver<Vec<u8>>>,
}

/// Serves one connection; made anew for each, so that it can remember who is at the other end.
pub(crate) trait Handler {
    fn handle(&mut self, request: &Request) -> Response;
    /// Who is at the other end.
    fn met(&mut self, _peer: &TcpStream) {}
    /// The other end is gone.
    fn closed(&mut self) {}
}

/// Serves for ever, a thread for each connection.
pub(crate) fn serve<H: Handler>(
    listener: TcpListener,
    make: impl Fn() -> H + Send + Sync + 'static,
) {
    let make = Arc::new(make);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let make = Arc::clone(&make);
            std::thread::spawn(move || {
                let Some(stream) = mesos_tls::accept(stream) else { return };
                let mut handler = make();
                handler.met(&stream);
                converse(&stream, &mut handler);
                handler.closed();
            });
        }
    });
}

/// One connection of our own to another daemon, kept open between requests.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn open(address: &str) -> Option<Client> {
        let address = std::net::ToSocketAddrs::to_socket_addrs(address).ok()?.next()?;
        let stream = mesos_tls::connect(&address, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Client { stream: BufReader::new(stream) })
    }

    /// Posts JSON; the status and the JSON of the answer (null if it has none).
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let body = body.to_string();
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: master\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.stream.get_mut().write_all(request.as_bytes()).ok()?;
        let (first, headers) = read_head(&mut self.stream)?;
        let status = first.split(' ').nth(1)?.parse().ok()?;
        let body = read_body(&mut self.stream, &headers)?;
        Some((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

impl Response {
    /// 200 with an empty body, as answers to a successful change are.
    pub(crate) fn ok() -> Response {
        Response { status: 200, header: None, content_type: None, body: Vec::new(), stream: None }
    }

    /// 202: it is done, or will be.
    pub(crate) fn accepted() -> Response {
        Response { status: 202, ..Response::ok() }
    }

    /// 200 with a body that goes on and on.
    pub(crate) fn stream(
        content_type: &'static str,
        header: (&'static str, String),
        pieces: Receiver<Vec<u8>>,
    ) -> Response {
        let (header, stream) = (Some(header), Some(pieces));
        Response { content_type: Some(content_type), header, stream, ..Response::ok() }
    }

    /// 401, with how one proves oneself.
    pub(crate) fn unauthorized(realm: &str) -> Response {
        let header = Some(("WWW-Authenticate", format!("Basic realm=\"{realm}\"")));
        Response { header, ..Response::text(401, "401 Unauthorized.") }
    }

    pub(crate) fn json(value: &Value) -> Response {
        let body = value.to_string().into_bytes();
        Response { content_type: Some("application/json"), body, ..Response::ok() }
    }

    /// Bytes to be kept.
    pub(crate) fn file(body: Vec<u8>) -> Response {
        Response { content_type: Some("application/octet-stream"), body, ..Response::ok() }
    }

    pub(crate) fn html(page: &str) -> Response {
        Response { content_type: Some("text/html"), body: page.into(), ..Response::ok() }
    }

    /// Plain text under another status.
    pub(crate) fn text(status: u16, text: &str) -> Response {
        let content_type = Some("text/plain; charset=utf-8");
        Response { status, content_type, body: text.into(), ..Response::ok() }
    }

    pub(crate) fn bad_request(text: &str) -> Response {
        Response::text(400, text)
    }

    pub(crate) fn not_found() -> Response {
        Response::text(404, "404 Not Found.")
    }

    /// 307; `location` begins with `//`.
    pub(crate) fn redirect(location: String) -> Response {
        Response { status: 307, header: Some(("Location", location)), ..Response::ok() }
    }

    fn bytes(&self) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            202 => "Accepted",
            307 => "Temporary Redirect",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            406 => "Not Acceptable",
            415 => "Unsupported Media Type",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            _ => "Internal Server Error",
        };
        let mut head =
            format!("HTTP/1.1 {} {reason}\r\nDate: {}\r\n", self.status, clock::http_date());
        if let Some((name, value)) = &self.header {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match self.stream {
            Some(_) => head.push_str("Transfer-Encoding: chunked\r\n"),
            None => head.push_str(&format!("Content-Length: {}\r\n", self.body.len())),
        }
        if let Some(content_type) = self.content_type {
            head.push_str(&format!("Content-Type: {content_type}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend(&self.body);
        bytes
    }
}

/// Whether the other end of a connection on which nothing is due is gone.
pub(crate) fn has_left(peer: &TcpStream) -> bool {
    let looked = peer.set_nonblocking(true).and_then(|()| peer.peek(&mut [0]));
    let restored = peer.set_nonblocking(false);
    match looked {
        Ok(read) => read == 0 || restored.is_err(),
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock || restored.is_err(),
    }
}

fn converse(stream: &TcpStream, handler: &mut impl Handler) {
    // Longer than any agent is silent (a heartbeat each second), shorter than a forgotten client.
    let prepared = stream.set_read_timeout(Some(Duration::from_secs(15)));
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    if prepared.is_err() {
        return;
    }
    while let Some((request, keep)) = read_request(&mut reader, &mut writer) {
        let response = handler.handle(&request);
        if writer.write_all(&response.bytes()).is_err() {
            return;
        }
        if let Some(pieces) = &response.stream {
            pour(stream, pieces);
            return;
        }
        if keep == Keep::No {
            return;
        }
    }
}

/// How soon an end is noticed while nothing is sent.
const LOOK: Duration = Duration::from_millis(100);

/// Sends pieces as chunks until their sender or the other end is gone.
fn pour(stream: &TcpStream, pieces: &Receiver<Vec<u8>>) {
    let mut writer = stream;
    let prepared =
        stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(LOOK / 100)));
    if prepared.is_err() {
        return;
    }
    loop {
        let sent = match pieces.recv_timeout(LOOK) {
            Ok(piece) => {
                let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
                chunk.extend(piece);
                chunk.extend(b"\r\n");
                writer.write_all(&chunk)
            }
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => {
                // Who is gone misses nothing.
                let _ = writer.write_all(b"0\r\n\r\n");
                return;
            }
        };
        // Nothing is expected from the other end but its end.
        if sent.is_err() || matches!(stream.peek(&mut [0]), Ok(0)) {
            return;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

fn read_request(reader: &mut impl BufRead, writer: &mut impl Write) -> Option<(Request, Keep)> {
    let (first, headers) = read_head(reader)?;
    let mut words = first.split(' ');
    let method = words.next()?.to_owned();
    let target = words.next()?;
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    // curl waits a second for this before it sends a body of more than 1 KiB.
    if header(&headers, "expect").is_some_and(|value| value.starts_with("100")) {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    // HTTP/1.0 ends with the answer; who speaks it waits for that.
    let closes = words.next() == Some("HTTP/1.0")
        || header(&headers, "connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
    let keep = if closes { Keep::No } else { Keep::Yes };
    let request = Request {
        method,
        path: percent_decode(path),
        query,
        content_type: header(&headers, "content-type").map(str::to_owned),
        body: read_body(reader, &headers)?,
        headers,
    };
    Some((request, keep))
}

type Headers = Vec<(String, String)>;

fn read_head(reader: &mut impl BufRead) -> Option<(String, Headers)> {
    let first = read_line(reader)?;
    let mut headers = Headers::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Some((first, headers));
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_lowercase(), value.trim().to_owned()));
        if headers.len() > 100 {
            return None;
        }
    }
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let read = reader.take(16 << 10).read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}

fn read_body(reader: &mut impl BufRead, headers: &Headers) -> Option<Vec<u8>> {
    let length = header(headers, "content-length").unwrap_or("0").parse::<usize>().ok()?;
    let mut body = vec![0; length.min(8 << 20)];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

fn header<'a>(headers: &'a Headers, wanted: &str) -> Option<&'a str> {
    headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], code) {
            (b'%', Some(code)) => {
                decoded.push(code);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_to_its_end() {
        let text = "PUT /slave%281%29/state?x=1 HTTP/1.1\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\nabcREST";
        let mut written = Vec::new();
        let (request, keep) = read_request(&mut text.as_bytes(), &mut written).expect("a request");
        assert_eq!((request.method.as_str(), request.path.as_str()), ("PUT", "/slave(1)/state"));
        assert_eq!((request.query.as_deref(), request.body.as_slice()), (Some("x=1"), &b"abc"[..]));
        assert_eq!((keep, written.len()), (Keep::Yes, 0));
    }

    #[test]
    fn an_old_client_and_one_that_asks_for_it_get_the_end() {
        for text in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nConnection: Close\r\n\r\n"] {
            let read = read_request(&mut text.as_bytes(), &mut Vec::new());
            assert_eq!(read.expect("a request").1, Keep::No, "{text}");
        }
    }

    #[test]
    fn parameters_are_decoded() {
        let query = Some("path=%2Fa%20b+c&offset=-1".to_owned());
        let request = Request { query, ..Request::default() };
        assert_eq!(request.parameter("path").as_deref(), Some("/a b c"));
        assert_eq!(request.parameter("offset").as_deref(), Some("-1"));
        assert_eq!(request.parameter("length"), None);
    }

    #[test]
    fn a_cut_request_is_none() {
        let text = "GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab";
        assert!(read_request(&mut text.as_bytes(), &mut Vec::new()).is_none());
    }
}

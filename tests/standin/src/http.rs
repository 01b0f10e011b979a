//! HTTP/1.1, as much as an operator's client and our own agents use.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
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
    pub(crate) body: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    status: u16,
    location: Option<String>,
    content_type: Option<&'static str>,
    body: Vec<u8>,
}

/// Serves one connection; made anew for each, so that it can remember who is at the other end.
pub(crate) trait Handler {
    fn handle(&mut self, request: &Request) -> Response;
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
                let mut handler = make();
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
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
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
        Response { status: 200, location: None, content_type: None, body: Vec::new() }
    }

    pub(crate) fn json(value: &Value) -> Response {
        let body = value.to_string().into_bytes();
        Response { content_type: Some("application/json"), body, ..Response::ok() }
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
        Response { status: 307, location: Some(location), ..Response::ok() }
    }

    fn bytes(&self) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            307 => "Temporary Redirect",
            400 => "Bad Request",
            401 => "Unauthorized",
            404 => "Not Found",
            405 => "Method Not Allowed",
            415 => "Unsupported Media Type",
            503 => "Service Unavailable",
            _ => "Internal Server Error",
        };
        let mut head =
            format!("HTTP/1.1 {} {reason}\r\nDate: {}\r\n", self.status, clock::http_date());
        if let Some(location) = &self.location {
            head.push_str(&format!("Location: {location}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        if let Some(content_type) = self.content_type {
            head.push_str(&format!("Content-Type: {content_type}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend(&self.body);
        bytes
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
        let response = handler.handle(&request).bytes();
        if writer.write_all(&response).is_err() || keep == Keep::No {
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
    fn a_cut_request_is_none() {
        let text = "GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab";
        assert!(read_request(&mut text.as_bytes(), &mut Vec::new()).is_none());
    }
}

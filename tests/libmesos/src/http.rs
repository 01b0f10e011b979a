//! HTTP/1.1 as far as the scheduler API needs it: one POST for each connection, and an answer that
//! may be a chunked stream of RecordIO records.
//! Source: docs/scheduler-http-api.md of Apache Mesos 1.11.0.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// The path of the scheduler API on a master.
pub const PATH: &str = "/api/v1/scheduler";
/// The header that ties later calls to their subscription.
pub const STREAM_ID: &str = "Mesos-Stream-Id";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What the documentation suggests for answers to any request.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(75);

/// Opens a connection to `host:port`, trying every address of the name.
pub fn connect(address: &str) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match mesos_tls::connect(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
                stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// A call to be posted.
#[derive(Debug, Clone, Copy)]
pub struct Post<'a> {
    /// `host:port`.
    pub host: &'a str,
    /// The value of `Authorization`.
    pub authorization: Option<&'a str>,
    /// The value of [`STREAM_ID`]; none for SUBSCRIBE.
    pub stream_id: Option<&'a str>,
    /// The encoded call.
    pub body: &'a [u8],
}

impl Post<'_> {
    /// Writes the request.
    pub fn write(&self, stream: &mut impl Write) -> io::Result<()> {
        let Post { host, body, .. } = self;
        let length = body.len();
        let mut head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-protobuf\r\n\
             Accept: application/x-protobuf\r\nContent-Length: {length}\r\n"
        );
        for (name, value) in [("Authorization", self.authorization), (STREAM_ID, self.stream_id)] {
            if let Some(value) = value {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        // A subscription lives as long as its connection; any other call is the only one of its own.
        head.push_str(if self.stream_id.is_some() {
            "Connection: close\r\n\r\n"
        } else {
            "Connection: keep-alive\r\n\r\n"
        });
        stream.write_all(&[head.as_bytes(), body].concat())
    }
}

/// The head of an answer, and its body still to be read.
#[derive(Debug)]
pub struct Answer<R> {
    /// The status code.
    pub status: u16,
    headers: Vec<(String, String)>,
    body: Body<R>,
}

/// The deepest line, or text, that is read of an answer which is no stream.
const MAX_LINE: u64 = 64 << 10;

impl<R: Read> Answer<R> {
    /// Reads the head.
    pub fn read(stream: R) -> io::Result<Answer<R>> {
        let mut stream = BufReader::new(stream);
        let first = line(&mut stream)?;
        let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.filter(|_| first.starts_with("HTTP/"));
        let status = status.ok_or_else(|| invalid("the answer is not HTTP"))?;
        let mut headers = Vec::new();
        loop {
            let line = line(&mut stream)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid("a bad header"))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let chunked = find(&headers, "Transfer-Encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let length = find(&headers, "Content-Length").and_then(|value| value.parse().ok());
        let left = match (chunked, length) {
            (true, _) => Left::Chunked(0),
            (false, Some(length)) => Left::Bytes(length),
            (false, None) => Left::UntilClosed,
        };
        Ok(Answer { status, headers, body: Body { stream, left } })
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The body as text, cut where it is very long.
    pub fn text(self) -> String {
        let mut bytes = Vec::new();
        // What was read before a failure is all that there is to tell.
        let _ = self.body.take(MAX_LINE).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    /// The next RecordIO record; `None` at the stream's end.
    pub fn record(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut length = String::new();
        loop {
            let mut byte = [0];
            match self.body.read(&mut byte)? {
                0 if length.is_empty() => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => {}
            }
            match byte[0] {
                b'\n' if !length.is_empty() => break,
                b'\n' => {}
                digit if digit.is_ascii_digit() => length.push(char::from(digit)),
                _ => return Err(invalid("a record does not begin with its length")),
            }
        }
        let length = length.parse().map_err(|_| invalid("a record is too long"))?;
        let mut record = Vec::new();
        (&mut self.body).take(length).read_to_end(&mut record)?;
        match record.len() as u64 == length {
            true => Ok(Some(record)),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

#[derive(Debug)]
struct Body<R> {
    stream: BufReader<R>,
    left: Left,
}

#[derive(Debug, Clone, Copy)]
enum Left {
    Bytes(u64),
    UntilClosed,
    /// This much of the present chunk.
    Chunked(u64),
    Nothing,
}

impl<R: Read> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Left::Chunked(0) = self.left {
            let head = line(&mut self.stream)?;
            let size = head.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| invalid("a bad chunk"))?;
            // What may follow the last chunk is of no use here.
            self.left = if size == 0 { Left::Nothing } else { Left::Chunked(size) };
        }
        let limit = match self.left {
            Left::Bytes(left) | Left::Chunked(left) => left,
            Left::UntilClosed => u64::MAX,
            Left::Nothing => 0,
        };
        let size = buffer.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        if size == 0 {
            return Ok(0);
        }
        let read = self.stream.read(&mut buffer[..size])?;
        match &mut self.left {
            Left::UntilClosed | Left::Nothing => {}
            Left::Bytes(_) | Left::Chunked(_) if read == 0 => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Left::Bytes(left) => *left -= read as u64,
            Left::Chunked(left) => {
                *left -= read as u64;
                if *left == 0 {
                    line(&mut self.stream)?;
                }
            }
        }
        Ok(read)
    }
}

/// `host:port` of a `Location`, whose forms differ: `//host:port/path`, `http://host:port/path`,
/// `host:port`. None where it is HTTPS, or the path alone.
pub fn location(value: &str) -> Option<String> {
    let value = value.strip_prefix("http:").unwrap_or(value);
    let authority = value.trim_start_matches('/').split('/').next()?;
    let (host, port) = authority.rsplit_once(':')?;
    (!host.is_empty() && port.parse::<u16>().is_ok()).then(|| authority.to_owned())
}

fn find<'a>(headers: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.map(|(_, value)| value.as_str())
}

fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    stream.take(MAX_LINE).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes).map_err(|_| invalid("a line is not UTF-8"))
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_may_be_cut_anywhere_by_chunks() {
        let records: [&[u8]; 3] = [b"hello", b"\n7\n", b""];
        let stream: Vec<u8> = records
            .iter()
            .flat_map(|record| [record.len().to_string().as_bytes(), b"\n", record].concat())
            .collect();
        for size in 1..stream.len() + 1 {
            let mut answer =
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nmesos-stream-id: a b\r\n\r\n"
                    .to_vec();
            for chunk in stream.chunks(size) {
                answer.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                answer.extend(chunk);
                answer.extend(b"\r\n");
            }
            answer.extend(b"0\r\n\r\n");
            let mut answer = Answer::read(&*answer).expect("a good head");
            assert_eq!((answer.status, answer.header(STREAM_ID)), (200, Some("a b")));
            for record in records {
                assert_eq!(answer.record().expect("a record").as_deref(), Some(record));
            }
            assert_eq!(answer.record().expect("the end"), None, "chunks of {size}");
        }
    }

    #[test]
    fn a_cut_stream_is_a_failure() {
        for body in ["5\r\n5\nhel", "5\r\n5\nhel\r\n", "5\r\n5\nhel\r\n0\r\n\r\n", "x\r\n", ""] {
            let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            let mut answer = Answer::read(text.as_bytes()).expect("a good head");
            assert!(answer.record().is_err(), "{body}");
        }
    }

    #[test]
    fn a_refusal_has_its_text() {
        let text = "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno\n\nrest";
        let answer = Answer::read(text.as_bytes()).expect("a good head");
        assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
    }

    #[test]
    fn locations_have_several_forms() {
        for value in ["//m2:5050/api/v1/scheduler", "m2:5050", "http://m2:5050/master", "//m2:5050"]
        {
            assert_eq!(location(value).as_deref(), Some("m2:5050"), "{value}");
        }
        for value in ["https://m2:5050/", "/master/redirect", "//m2/", ""] {
            assert_eq!(location(value), None, "{value}");
        }
    }
}

//! A master that does what a test tells it. It reads and writes with the stand-in's messages, not
//! with the driver's own, so that each is checked by the other.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesos_messages::scheduler::{Call, CallType, Event, EventType, Subscribed};
use mesos_messages::{MasterInfo, Message};

/// Far more than anything here needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The scripted master.
#[derive(Debug)]
pub(crate) struct Master {
    pub(crate) address: String,
    subscriptions: Receiver<Subscription>,
    calls: Receiver<(Headers, Call)>,
    answer: Arc<Mutex<&'static str>>,
}

/// A SUBSCRIBE whose answer the test writes.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) headers: Headers,
    pub(crate) call: Call,
    stream: TcpStream,
}

/// The request's headers, as they came.
#[derive(Debug, Clone)]
pub(crate) struct Headers(String);

impl Headers {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.lines().filter_map(|line| line.split_once(": "));
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Master {
    pub(crate) fn start() -> Master {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let answer = Arc::new(Mutex::new("202 Accepted"));
        let (subscriptions, calls) = (channel(), channel());
        let (to_subscriptions, to_calls) = (subscriptions.0, calls.0);
        let present = Arc::clone(&answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &present, &to_subscriptions, &to_calls);
            }
        });
        Master { address, subscriptions: subscriptions.1, calls: calls.1, answer }
    }

    /// What every call but SUBSCRIBE is answered from now on.
    pub(crate) fn answer_calls(&self, status: &'static str) {
        *self.answer.lock().expect("no test has panicked with it") = status;
    }

    pub(crate) fn subscription(&self) -> Subscription {
        self.subscriptions.recv_timeout(PATIENCE).expect("a SUBSCRIBE")
    }

    pub(crate) fn call(&self, expected: CallType) -> (Headers, Call) {
        let (headers, call) = self.calls.recv_timeout(PATIENCE).expect("a call");
        assert_eq!(call.r#type(), expected, "{call:?}");
        (headers, call)
    }

    /// A call that has come already, if any.
    pub(crate) fn other_call(&self) -> Option<Call> {
        self.calls.try_recv().ok().map(|(_, call)| call)
    }
}

impl Subscription {
    /// Accepts it as this framework.
    pub(crate) fn accept(&mut self, framework: &str, heartbeat: f64) {
        self.write(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n\
             Transfer-Encoding: chunked\r\nMesos-Stream-Id: stream-1\r\n\r\n",
        );
        let master_info = MasterInfo {
            id: "m".to_owned(),
            ip: 0x0100_007f,
            port: 5050,
            hostname: Some("leader".to_owned()),
            ..MasterInfo::default()
        };
        self.send(&Event {
            r#type: Some(EventType::Subscribed.into()),
            subscribed: Some(Subscribed {
                framework_id: framework.into(),
                heartbeat_interval_seconds: Some(heartbeat),
                master_info: Some(master_info),
            }),
            ..Event::default()
        });
    }

    /// Refuses it, or sends it elsewhere.
    pub(crate) fn refuse(mut self, status: &str, header: &str, text: &str) {
        let length = text.len();
        self.write(&format!("HTTP/1.1 {status}\r\n{header}Content-Length: {length}\r\n\r\n{text}"));
    }

    pub(crate) fn send(&mut self, event: &Event) {
        self.send_bytes(&event.encode_to_vec());
    }

    /// An event as its encoding.
    pub(crate) fn send_bytes(&mut self, record: &[u8]) {
        let record = [format!("{}\n", record.len()).as_bytes(), record].concat();
        // In two chunks, for the border of a record is none of a chunk.
        for chunk in [&record[..1], &record[1..]] {
            self.write(&format!("{:x}\r\n", chunk.len()));
            self.stream.write_all(chunk).expect("the driver listens");
            self.write("\r\n");
        }
    }

    pub(crate) fn close(self) {
        // The driver may have closed it before.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Waits until the driver has closed it.
    pub(crate) fn closed(mut self) {
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a good timeout");
        let mut byte = [0];
        let read = self.stream.read(&mut byte);
        let gone = match read {
            Ok(read) => read == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        };
        assert!(gone, "the driver keeps its subscription");
    }

    fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("the driver listens");
    }
}

fn serve(
    stream: TcpStream,
    answer: &Mutex<&'static str>,
    subscriptions: &Sender<Subscription>,
    calls: &Sender<(Headers, Call)>,
) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).expect("the driver writes") == 0 {
            return;
        }
    }
    assert!(head.starts_with("POST /api/v1/scheduler HTTP/1.1\r\n"), "{head}");
    let headers = Headers(head);
    for name in ["Content-Type", "Accept"] {
        assert_eq!(headers.get(name), Some("application/x-protobuf"));
    }
    let length = headers.get("Content-Length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.expect("a length")];
    reader.read_exact(&mut body).expect("the body");
    let call = Call::decode(&*body).expect("a call");
    // The test may have ended before this call came.
    if call.r#type() == CallType::Subscribe {
        let _ = subscriptions.send(Subscription { headers, call, stream });
    } else {
        let status = *answer.lock().expect("no test has panicked with it");
        let _ = calls.send((headers, call));
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        let _ = (&stream).write_all(text.as_bytes());
    }
}

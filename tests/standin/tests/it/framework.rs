//! A framework of the test: it speaks the documented scheduler API and notes what it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use mesos_messages::scheduler::{
    Accept, Acknowledge, Call, CallType, Decline, Event, EventType, Roles, Subscribe,
};
use mesos_messages::{
    CommandInfo, Filters, FrameworkInfo, Launch, Message, Offer, Operation, OperationType,
    Resource, Scalar, TaskInfo, TaskStatus, ValueType,
};

use crate::common::wait_for;

/// Far more than an answer needs; a stream that nobody expected would go on for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// A subscription.
#[derive(Debug)]
pub(crate) struct Framework {
    pub(crate) place: String,
    pub(crate) id: String,
    pub(crate) stream_id: String,
    credential: Option<String>,
    connection: TcpStream,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    events: Vec<Event>,
    ended: bool,
}

/// A framework's own description.
pub(crate) fn info(name: &str, role: &str) -> FrameworkInfo {
    FrameworkInfo {
        user: "root".to_owned(),
        name: name.to_owned(),
        role: Some(role.to_owned()),
        hostname: Some("here".to_owned()),
        webui_url: Some("http://here:4040".to_owned()),
        ..FrameworkInfo::default()
    }
}

pub(crate) fn call(kind: CallType) -> Call {
    Call { r#type: Some(kind as i32), ..Call::default() }
}

pub(crate) fn subscribe(info: FrameworkInfo) -> Call {
    Call {
        framework_id: info.id.clone(),
        subscribe: Some(Subscribe { framework_info: info, suppressed_roles: Vec::new() }),
        ..call(CallType::Subscribe)
    }
}

/// The header of a principal with its secret.
pub(crate) fn basic(principal: &str, secret: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64.encode(format!("{principal}:{secret}")))
}

/// Posts a call; status, head and what follows.
pub(crate) fn post(
    place: &str,
    call: &Call,
    more: &str,
) -> Option<(u16, String, BufReader<TcpStream>)> {
    let mut stream = TcpStream::connect(place).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let body = call.encode_to_vec();
    let length = body.len();
    let head = format!(
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n\
         Accept: application/x-protobuf\r\nContent-Length: {length}\r\n{more}\r\n"
    );
    stream.write_all(&[head.into_bytes(), body].concat()).ok()?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, head, reader))
}

/// Status and body of a call that must be answered at once.
pub(crate) fn answer(place: &str, call: &Call, more: &str) -> (u16, String, String) {
    let close = format!("{more}Connection: close\r\n");
    let (status, head, mut reader) = post(place, call, &close).expect("an answer");
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut body = String::new();
        let read = reader.read_to_string(&mut body);
        // Nobody waits for it where the test has failed.
        let _ = sender.send(read.map(|_| body));
    });
    let body = receiver.recv_timeout(PATIENCE).expect("the answer ends").expect("text");
    (status, head, body)
}

impl Framework {
    pub(crate) fn start(place: &str, info: FrameworkInfo) -> Framework {
        Framework::proven(place, info, None)
    }

    /// Subscribes with a header `Authorization`.
    pub(crate) fn proven(
        place: &str,
        info: FrameworkInfo,
        credential: Option<String>,
    ) -> Framework {
        let more = credential.clone().unwrap_or_default();
        let (status, head, reader) = post(place, &subscribe(info), &more).expect("an answer");
        assert_eq!(status, 200, "{head}");
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let stream_id = header("Mesos-Stream-Id: ").expect("a stream id").to_owned();
        assert_eq!(header("Content-Type: "), Some("application/x-protobuf"));
        let heard = Arc::new(Mutex::new(Heard::default()));
        let connection = reader.get_ref().try_clone().expect("a second handle");
        let noting = Arc::clone(&heard);
        std::thread::spawn(move || listen(reader, &noting));
        let (place, id) = (place.to_owned(), String::new());
        let mut framework = Framework { place, id, stream_id, credential, connection, heard };
        let first = framework.until("the first event", |events| events.first().cloned());
        let subscribed = first.subscribed.expect("SUBSCRIBED comes first");
        assert_eq!(subscribed.heartbeat_interval_seconds, Some(15.0));
        framework.id = subscribed.framework_id.value;
        framework
    }

    pub(crate) fn until<T>(&self, what: &str, find: impl Fn(&[Event]) -> Option<T>) -> T {
        wait_for(what, || find(&self.heard.lock().unwrap_or_else(PoisonError::into_inner).events))
    }

    /// All events of a kind so far.
    pub(crate) fn heard(&self, kind: EventType) -> Vec<Event> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.events.iter().filter(|event| event.r#type() == kind).cloned().collect()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).ended
    }

    /// Sends a call, which must be accepted.
    pub(crate) fn call(&self, call: Call) {
        assert_eq!(self.ask(call), (202, String::new()));
    }

    pub(crate) fn ask(&self, call: Call) -> (u16, String) {
        let call = Call { framework_id: Some(self.id.as_str().into()), ..call };
        let credential = self.credential.as_deref().unwrap_or_default();
        let more = format!("Mesos-Stream-Id: {}\r\n{credential}", self.stream_id);
        let (status, _, body) = answer(&self.place, &call, &more);
        (status, body)
    }

    /// All offers so far, those that are gone too.
    pub(crate) fn offers(&self) -> Vec<Offer> {
        let events = self.heard(EventType::Offers).into_iter();
        events.flat_map(|event| event.offers.unwrap_or_default().offers).collect()
    }

    /// The offer with this place in the order of all offers, once it is there.
    pub(crate) fn offer(&self, place: usize) -> Offer {
        wait_for("an offer", || self.offers().into_iter().nth(place))
    }

    pub(crate) fn decline(&self, offer: &Offer, refuse_seconds: f64) {
        self.call(Call {
            decline: Some(Decline {
                offer_ids: vec![offer.id.clone()],
                filters: Some(Filters { refuse_seconds: Some(refuse_seconds) }),
            }),
            ..call(CallType::Decline)
        });
    }

    /// Launches tasks in an offer; what is left is not wanted for an hour.
    pub(crate) fn launch(&self, offer: &Offer, tasks: Vec<TaskInfo>) {
        let launch = Operation {
            r#type: Some(OperationType::Launch as i32),
            launch: Some(Launch { task_infos: tasks }),
        };
        self.call(Call {
            accept: Some(Accept {
                offer_ids: vec![offer.id.clone()],
                operations: vec![launch],
                filters: Some(Filters { refuse_seconds: Some(3600.0) }),
            }),
            ..call(CallType::Accept)
        });
    }

    pub(crate) fn revive(&self) {
        self.call(Call { revive: Some(Roles::default()), ..call(CallType::Revive) });
    }

    /// The first update of a task in that state.
    pub(crate) fn update(&self, task: &str, state: mesos_messages::TaskState) -> TaskStatus {
        self.until(&format!("{} of {task}", state.name()), |events| {
            let updates = events.iter().filter_map(|event| event.update.as_ref());
            let mut of = updates.map(|update| &update.status).filter(|it| it.state() == state);
            of.find(|status| status.task_id.value == task).cloned()
        })
    }

    pub(crate) fn acknowledge(&self, status: &TaskStatus) {
        self.call(Call {
            acknowledge: Some(Acknowledge {
                agent_id: status.agent_id.clone().expect("an agent"),
                task_id: status.task_id.clone(),
                uuid: status.uuid.clone().expect("an update that wants it"),
            }),
            ..call(CallType::Acknowledge)
        });
    }

    /// Goes away without a word.
    pub(crate) fn vanish(&self) {
        // It may be gone already.
        let _ = self.connection.shutdown(std::net::Shutdown::Both);
    }
}

impl Drop for Framework {
    fn drop(&mut self) {
        self.vanish();
    }
}

/// A task that runs a command of the shell, sized by resources that are not reserved.
pub(crate) fn task(id: &str, offer: &Offer, command: &str, cpus: f64, mem: f64) -> TaskInfo {
    TaskInfo {
        name: format!("name of {id}"),
        task_id: id.into(),
        agent_id: offer.agent_id.clone(),
        resources: vec![scalar("cpus", cpus), scalar("mem", mem)],
        command: Some(CommandInfo { value: Some(command.to_owned()), ..CommandInfo::default() }),
        ..TaskInfo::default()
    }
}

fn scalar(name: &str, value: f64) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: ValueType::Scalar as i32,
        scalar: Some(Scalar { value }),
        ..Resource::default()
    }
}

/// The sum of a scalar in an offer, of one role or of none.
pub(crate) fn sum(offer: &Offer, name: &str, role: &str) -> f64 {
    let named = offer.resources.iter().filter(|it| it.name == name && it.role() == role);
    named.filter_map(|resource| resource.scalar).map(|scalar| scalar.value).sum()
}

/// Notes events until the stream ends: records in chunks.
fn listen(mut reader: BufReader<TcpStream>, heard: &Mutex<Heard>) {
    let mut bytes = Vec::new();
    while let Some(chunk) = chunk(&mut reader) {
        bytes.extend(chunk);
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let length = std::str::from_utf8(&bytes[..end]).expect("a length");
            let length = length.parse::<usize>().expect("a number");
            if bytes.len() < end + 1 + length {
                break;
            }
            let record: Vec<u8> = bytes.drain(..end + 1 + length).skip(end + 1).collect();
            let event = Event::decode(record.as_slice()).expect("an event");
            heard.lock().unwrap_or_else(PoisonError::into_inner).events.push(event);
        }
    }
    heard.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
}

fn chunk(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let length = usize::from_str_radix(line.trim(), 16).ok().filter(|length| *length > 0)?;
    let mut chunk = vec![0; length + 2];
    reader.read_exact(&mut chunk).ok()?;
    chunk.truncate(length);
    Some(chunk)
}

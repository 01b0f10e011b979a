//! A master of the test: it admits one agent, gives it orders, and notes what it tells.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use mesos_messages::{DurationInfo, FrameworkInfo, Message, TaskInfo, TaskState, TaskStatus};
use serde_json::{Value as Json, json};

use crate::common::{free_port, wait_for};

/// What was said so far.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    orders: Vec<Json>,
    /// The last registration.
    pub(crate) registration: Option<Json>,
    pub(crate) registrations: u64,
    /// All updates in their order, those that came twice twice.
    pub(crate) updates: Vec<TaskStatus>,
    /// How many tasks the agent said it has.
    pub(crate) tasks: Option<u64>,
    /// Whether updates are acknowledged at once.
    pub(crate) silent: bool,
}

/// The master.
#[derive(Debug)]
pub(crate) struct Master {
    pub(crate) place: String,
    talk: Arc<Mutex<Talk>>,
}

impl Master {
    pub(crate) fn start() -> Master {
        let place = format!("127.0.0.1:{}", free_port("127.0.0.1"));
        let listener = TcpListener::bind(&place).expect("a free port");
        let talk = Arc::new(Mutex::new(Talk::default()));
        let shared = Arc::clone(&talk);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let talk = Arc::clone(&shared);
                std::thread::spawn(move || converse(&stream, &talk));
            }
        });
        Master { place, talk }
    }

    pub(crate) fn talk(&self) -> MutexGuard<'_, Talk> {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn launch(&self, framework: &FrameworkInfo, task: &TaskInfo) {
        let order = json!({ "order": "launch", "framework": pack(framework), "task": pack(task) });
        self.talk().orders.push(order);
    }

    pub(crate) fn kill(&self, framework: &str, task: &str, grace: Option<Duration>) {
        let grace = grace.map(|grace| pack(&duration(grace)));
        self.talk().orders.push(json!({
            "order": "kill", "framework_id": framework, "task_id": task, "grace": grace,
        }));
    }

    pub(crate) fn order(&self, order: Json) {
        self.talk().orders.push(order);
    }

    pub(crate) fn registered(&self) {
        wait_for("a registration", || self.talk().registration.is_some().then_some(()));
    }

    /// The states that were told of a task, each once, as soon as the last is terminal.
    pub(crate) fn states(&self, task: &str) -> Vec<TaskState> {
        let end = wait_for(&format!("the end of task {task}"), || {
            let told = self.told(task);
            told.last().is_some_and(|status| status.state().is_terminal()).then_some(told)
        });
        end.iter().map(TaskStatus::state).collect()
    }

    /// What was told of a task, without repetitions.
    pub(crate) fn told(&self, task: &str) -> Vec<TaskStatus> {
        let mut told: Vec<TaskStatus> = Vec::new();
        for status in self.talk().updates.iter().filter(|it| it.task_id.value == task) {
            if !told.iter().any(|seen| seen.uuid == status.uuid) {
                told.push(status.clone());
            }
        }
        told
    }

    /// Waits until a task was told to be in a state.
    pub(crate) fn until(&self, task: &str, state: TaskState) -> TaskStatus {
        wait_for(&format!("{} of {task}", state.name()), || {
            self.told(task).into_iter().find(|status| status.state() == state)
        })
    }

    /// The last word about a task.
    pub(crate) fn end(&self, task: &str) -> TaskStatus {
        self.states(task);
        self.told(task).pop().expect("it has ended")
    }
}

pub(crate) fn duration(duration: Duration) -> DurationInfo {
    DurationInfo { nanoseconds: duration.as_nanos() as i64 }
}

pub(crate) fn pack(message: &impl Message) -> Json {
    BASE64.encode(message.encode_to_vec()).into()
}

fn unpack<M: Message + Default>(packed: &Json) -> M {
    let bytes = BASE64.decode(packed.as_str().expect("a string")).expect("base64");
    M::decode(bytes.as_slice()).expect("a message")
}

fn converse(stream: &TcpStream, talk: &Mutex<Talk>) {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    let mut session = 0;
    while let Some(message) = read(&mut reader) {
        let body = answer(&message, talk, &mut session).to_string();
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        if writer.write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Json> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

/// `session` is the registration over this connection.
fn answer(message: &Json, talk: &Mutex<Talk>, session: &mut u64) -> Json {
    let lock = || talk.lock().unwrap_or_else(PoisonError::into_inner);
    match message["kind"].as_str() {
        Some("register") => {
            let mut talk = lock();
            talk.registration = Some(message.clone());
            talk.registrations += 1;
            *session = talk.registrations;
            json!({ "id": "m-S0", "session": session })
        }
        Some("orders") => {
            lock().tasks = message["tasks"].as_u64();
            let begun = Instant::now();
            loop {
                let mut talk = lock();
                // An agent that is gone takes no orders.
                if talk.registrations != *session {
                    return json!({ "unknown": true });
                }
                let orders = std::mem::take(&mut talk.orders);
                drop(talk);
                if !orders.is_empty() || begun.elapsed() > Duration::from_millis(300) {
                    return json!({ "orders": orders });
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Some("update") => {
            let status: TaskStatus = unpack(&message["status"]);
            let mut talk = lock();
            if !talk.silent {
                let uuid = status.uuid.as_ref().map(|uuid| BASE64.encode(uuid));
                talk.orders.push(json!({
                    "order": "acknowledge",
                    "framework_id": message["framework_id"],
                    "task_id": status.task_id.value,
                    "uuid": uuid,
                }));
            }
            talk.updates.push(status);
            json!({})
        }
        _ => json!({ "unknown": true }),
    }
}

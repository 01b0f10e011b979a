//! `mesos-execute`: runs one command on the cluster and waits for its end, over the documented v1
//! scheduler API. Source: src/cli/execute.cpp at 1.11.0, of whose flags those are known that are
//! listed in [`KNOWN`].

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use mesos_messages::scheduler::{
    Accept, Acknowledge, Call, CallType, Decline, Event, EventType, Subscribe,
};
use mesos_messages::{
    CommandInfo, ContainerInfo, ContainerType, DockerInfo, Filters, FrameworkId, FrameworkInfo,
    Launch, Message, Offer, Operation, OperationType, TaskInfo,
};

use crate::agent::Detector;
use crate::container::scalar;
use crate::resources::{self, Form};
use crate::values;

const KNOWN: [&str; 8] =
    ["master", "name", "command", "resources", "role", "docker_image", "principal", "secret"];

/// Runs the command that the words describe; success when it ended well.
pub(crate) fn run(words: impl Iterator<Item = String>) -> ExitCode {
    match flags(words).and_then(|flags| Job::of(&flags)).and_then(|job| job.execute()) {
        Ok(code) => code,
        Err(error) => crate::refuse(&error),
    }
}

type Flags = BTreeMap<String, String>;

fn flags(words: impl Iterator<Item = String>) -> Result<Flags, String> {
    words
        .map(|word| {
            let pair = word.strip_prefix("--").and_then(|word| word.split_once('='));
            let (name, value) =
                pair.ok_or(format!("Expecting --name=value instead of '{word}'"))?;
            match KNOWN.contains(&name) {
                true => Ok((name.to_owned(), value.to_owned())),
                false => Err(format!("Failed to load unknown flag '{name}'")),
            }
        })
        .collect()
}

struct Job {
    master: String,
    framework: FrameworkInfo,
    task: TaskInfo,
    /// The header that proves the principal.
    credential: String,
}

impl Job {
    fn of(flags: &Flags) -> Result<Job, String> {
        let needed = |name: &str| {
            flags.get(name).cloned().ok_or(format!("Missing required option --{name}"))
        };
        let (master, name) = (needed("master")?, needed("name")?);
        let role = flags.get("role").cloned().unwrap_or_else(|| "*".to_owned());
        let written = flags.get("resources").map_or("cpus:1;mem:128", String::as_str);
        let wanted = values::resources(written, "*").map_err(|error| error.to_string())?;
        let wanted = wanted.iter().map(|it| resources::to_message(it, Form::Old, None));
        let container = flags.get("docker_image").map(|image| ContainerInfo {
            r#type: ContainerType::Docker as i32,
            docker: Some(DockerInfo { image: image.clone(), ..DockerInfo::default() }),
            ..ContainerInfo::default()
        });
        let principal = flags.get("principal").cloned();
        let credential = principal.as_ref().map_or_else(String::new, |principal| {
            let secret = flags.get("secret").map_or("", String::as_str);
            format!("Authorization: Basic {}\r\n", BASE64.encode(format!("{principal}:{secret}")))
        });
        Ok(Job {
            master,
            framework: FrameworkInfo {
                user: user(),
                name: "mesos-execute instance".to_owned(),
                role: Some(role),
                principal,
                ..FrameworkInfo::default()
            },
            task: TaskInfo {
                task_id: name.as_str().into(),
                name,
                resources: wanted.collect(),
                command: Some(CommandInfo {
                    value: Some(needed("command")?),
                    ..CommandInfo::default()
                }),
                container,
                ..TaskInfo::default()
            },
            credential,
        })
    }

    fn execute(&self) -> Result<ExitCode, String> {
        let address = self.leader()?;
        let subscribe = Call {
            subscribe: Some(Subscribe {
                framework_info: self.framework.clone(),
                suppressed_roles: Vec::new(),
            }),
            ..call(CallType::Subscribe)
        };
        let mut stream = post(&address, &subscribe, &self.credential)?;
        let mut more = format!("Mesos-Stream-Id: {}\r\n{}", stream.id, self.credential);
        more.push_str("Connection: close\r\n");
        let mut id = None;
        let mut launched = false;
        while let Some(event) = stream.event()? {
            let send = |id: &Option<FrameworkId>, call: Call| {
                post(&address, &Call { framework_id: id.clone(), ..call }, &more).map(drop)
            };
            match event.r#type() {
                EventType::Subscribed => {
                    id = event.subscribed.map(|subscribed| subscribed.framework_id);
                    let text = id.as_ref().map_or("", |id| id.value.as_str());
                    say(&format!("Subscribed with ID {text}"));
                }
                EventType::Offers => {
                    for offer in event.offers.unwrap_or_default().offers {
                        let take = !launched && self.fits(&offer);
                        if take {
                            let agent = &offer.agent_id.value;
                            say(&format!("Submitted task '{}' to agent '{agent}'", self.task.name));
                        }
                        launched |= take;
                        send(&id, if take { self.accept(&offer) } else { decline(&offer) })?;
                    }
                }
                EventType::Update => {
                    let Some(status) = event.update.map(|update| update.status) else { continue };
                    let state = status.state();
                    let (name, message) = (state.name(), status.message());
                    say(&format!("Received status update {name} for task '{}'", self.task.name));
                    if !message.is_empty() {
                        say(&format!("  message: '{message}'"));
                    }
                    if let (Some(uuid), Some(agent_id)) = (status.uuid.clone(), &status.agent_id) {
                        let acknowledge = Acknowledge {
                            agent_id: agent_id.clone(),
                            task_id: status.task_id.clone(),
                            uuid,
                        };
                        let acknowledge =
                            Call { acknowledge: Some(acknowledge), ..call(CallType::Acknowledge) };
                        send(&id, acknowledge)?;
                    }
                    if state.is_terminal() {
                        send(&id, call(CallType::Teardown))?;
                        let well = state == mesos_messages::TaskState::Finished;
                        return Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
                    }
                }
                EventType::Error => {
                    let text = event.error.map(|error| error.message).unwrap_or_default();
                    return Err(format!("Received an ERROR event: {text}"));
                }
                _ => {}
            }
        }
        Err("Disconnected from master".to_owned())
    }

    /// Where the leading master listens.
    fn leader(&self) -> Result<String, String> {
        let mut detector = Detector::of(&self.master, Duration::from_secs(10));
        for _ in 0..100 {
            if let Ok(Some(leader)) = detector.look(None) {
                return Ok(leader.pid().trim_start_matches("master@").to_owned());
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        Err(format!("No master leads at {}", self.master))
    }

    fn fits(&self, offer: &Offer) -> bool {
        let wanted = &self.task.resources;
        wanted.iter().all(|it| scalar(&offer.resources, &it.name) >= scalar(wanted, &it.name))
    }

    fn accept(&self, offer: &Offer) -> Call {
        let task = TaskInfo { agent_id: offer.agent_id.clone(), ..self.task.clone() };
        let launch = Operation {
            r#type: Some(OperationType::Launch as i32),
            launch: Some(Launch { task_infos: vec![task] }),
        };
        let accept = Accept {
            offer_ids: vec![offer.id.clone()],
            operations: vec![launch],
            filters: Some(Filters { refuse_seconds: Some(3600.0) }),
        };
        Call { accept: Some(accept), ..call(CallType::Accept) }
    }
}

fn decline(offer: &Offer) -> Call {
    let decline = Decline {
        offer_ids: vec![offer.id.clone()],
        filters: Some(Filters { refuse_seconds: Some(5.0) }),
    };
    Call { decline: Some(decline), ..call(CallType::Decline) }
}

fn call(kind: CallType) -> Call {
    Call { r#type: Some(kind as i32), ..Call::default() }
}

/// The name of whoever runs this.
fn user() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let uid = uid.and_then(|line| line.split_whitespace().next()).unwrap_or("0").to_owned();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let own = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid));
    own.and_then(|line| line.split(':').next()).unwrap_or("root").to_owned()
}

fn say(text: &str) {
    // Who does not listen still wants the task to be run.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// The events of a subscription: records of RecordIO, in the chunks of HTTP/1.1.
struct Stream {
    id: String,
    reader: BufReader<TcpStream>,
    bytes: Vec<u8>,
}

fn post(address: &str, call: &Call, more: &str) -> Result<Stream, String> {
    let failed = |error: std::io::Error| format!("{address}: {error}");
    let mut places = address.to_socket_addrs().map_err(failed)?;
    let place = places.next().ok_or_else(|| format!("{address} has no address"))?;
    let mut stream = mesos_tls::connect(&place, Duration::from_secs(10)).map_err(failed)?;
    // The master says something at least each 15 seconds.
    stream.set_read_timeout(Some(Duration::from_secs(60))).map_err(failed)?;
    let body = call.encode_to_vec();
    let length = body.len();
    let head = format!(
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: {address}\r\n\
         Content-Type: application/x-protobuf\r\nAccept: application/x-protobuf\r\n\
         Content-Length: {length}\r\n{more}\r\n"
    );
    stream.write_all(&[head.into_bytes(), body].concat()).map_err(failed)?;
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).map_err(failed)?;
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let status = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    if !status.starts_with('2') {
        let mut text = String::new();
        // The status alone says enough where there is no more.
        let _ = reader.take(1000).read_to_string(&mut text);
        return Err(format!("{address} answered {status}: {text}"));
    }
    let id = lines.iter().filter_map(|line| line.split_once(": "));
    let id = id.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("mesos-stream-id"));
    let id = id.map(|(_, value)| value.to_owned()).unwrap_or_default();
    Ok(Stream { id, reader, bytes: Vec::new() })
}

impl Stream {
    /// The next event; none at the end.
    fn event(&mut self) -> Result<Option<Event>, String> {
        loop {
            if let Some(end) = self.bytes.iter().position(|&byte| byte == b'\n') {
                let length = String::from_utf8_lossy(&self.bytes[..end]).trim().parse::<usize>();
                let length = length.map_err(|error| format!("no RecordIO: {error}"))?;
                if self.bytes.len() > end + length {
                    let record: Vec<u8> = self.bytes.drain(..=end + length).skip(end + 1).collect();
                    let event = Event::decode(record.as_slice());
                    return event.map(Some).map_err(|error| error.to_string());
                }
            }
            let mut line = String::new();
            let read = self.reader.read_line(&mut line).map_err(|error| error.to_string())?;
            let length = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
            if read == 0 || length == 0 {
                return Ok(None);
            }
            let mut chunk = vec![0; length + 2];
            self.reader.read_exact(&mut chunk).map_err(|error| error.to_string())?;
            chunk.truncate(length);
            self.bytes.extend(chunk);
        }
    }
}

//! What a scheduler asks for, posted in its order.

use std::io;
use std::sync::PoisonError;
use std::sync::mpsc::Sender;
use std::time::{SystemTime, UNIX_EPOCH};

use mesos_messages::{Reason, Source, Status, TaskInfo, TaskState, TaskStatus};
use prost::Message as _;

use super::{Callback, Shared, State, Subscription};
use crate::http::{self, Answer, Post};
use crate::log;
use crate::messages::{Call, Opaque};

impl Shared {
    pub(super) fn post_calls(&self, callbacks: &Sender<Callback>) {
        loop {
            let idle =
                |state: &mut State| state.status == Status::DriverRunning && state.calls.is_empty();
            let state = self.changed.wait_while(self.lock(), idle);
            let mut state = state.unwrap_or_else(PoisonError::into_inner);
            let Some(mut call) = state.calls.pop_front() else {
                // The driver runs no more, and all has been said.
                state.hang_up();
                state.flushed = true;
                self.changed.notify_all();
                return;
            };
            let subscription = state.subscription.clone();
            call.framework_id = state.framework_id.clone();
            drop(state);
            let name = call.r#type().name();
            let posted = match &subscription {
                None => Err(NotPosted::Unsent("disconnected from the master".to_owned())),
                Some(subscription) => self.post(subscription, &call),
            };
            match posted {
                Ok(()) => {}
                Err(NotPosted::Unsent(why)) => {
                    log(&format!("Ignoring {name}: {why}"));
                    for task in call.tasks() {
                        let _ = callbacks.send(Callback::StatusUpdate(lost(task)));
                    }
                }
                Err(NotPosted::Refused(why)) => log(&format!("The master refused {name}: {why}")),
                Err(NotPosted::Unsubscribed(why)) => {
                    log(&format!("The master refused {name}, subscribing again: {why}"));
                    self.lock().hang_up();
                }
            }
        }
    }

    fn post(&self, to: &Subscription, call: &Call) -> Result<(), NotPosted> {
        let unsent = |error: io::Error| NotPosted::Unsent(error.to_string());
        let unknown = |error: io::Error| NotPosted::Refused(error.to_string());
        let mut stream = http::connect(&to.address).map_err(unsent)?;
        let post = Post {
            host: &to.address,
            authorization: self.authorization.as_deref(),
            stream_id: Some(&to.stream_id),
            body: &call.encode_to_vec(),
        };
        post.write(&mut stream).map_err(unknown)?;
        let answer = Answer::read(stream).map_err(unknown)?;
        match answer.status {
            200..300 => Ok(()),
            // Not leading any more, or without our subscription.
            status @ (307 | 403) => {
                Err(NotPosted::Unsubscribed(format!("{status} {}", answer.text())))
            }
            status => Err(NotPosted::Refused(format!("{status} {}", answer.text()))),
        }
    }
}

/// Why a call was not accepted.
enum NotPosted {
    /// It surely never reached the master.
    Unsent(String),
    /// It was answered, or may have been obeyed.
    Refused(String),
    /// The master does not have our subscription.
    Unsubscribed(String),
}

/// The update that a scheduler gets for a task whose launch never reached a master.
fn lost(task: TaskInfo) -> Opaque {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let status = TaskStatus {
        task_id: task.task_id,
        state: TaskState::Lost.into(),
        message: Some("Master disconnected".to_owned()),
        agent_id: Some(task.agent_id),
        timestamp: Some(since.as_secs_f64()),
        source: Some(Source::Master.into()),
        reason: Some(Reason::MasterDisconnected.into()),
        ..TaskStatus::default()
    };
    status.encode_to_vec()
}

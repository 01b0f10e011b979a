//! What a master tells an agent to do, and the form that it has on the way: messages as base64 of
//! their bytes, inside the JSON that the daemons of this stand-in speak.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use mesos_messages::{DurationInfo, FrameworkInfo, Message, TaskInfo};
use serde_json::{Value as Json, json};

/// One order; an agent carries them out in their order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Order {
    /// Runs a task of a framework, whose info has its id.
    Launch { framework: Box<FrameworkInfo>, task: Box<TaskInfo> },
    /// Ends a task; without a grace period, with the one of the task or of the agent.
    Kill { framework_id: String, task_id: String, grace: Option<DurationInfo> },
    /// Ends all tasks of a framework and forgets it, without any update to anybody.
    ShutdownFramework { framework_id: String },
    /// Ends all tasks, and says of them that the agent is being drained.
    Drain { grace: Option<DurationInfo>, mark_gone: bool },
    /// The agent takes tasks again.
    EndDrain,
    /// The framework has seen an update: it need not be sent again.
    Acknowledge { framework_id: String, task_id: String, uuid: Vec<u8> },
}

impl Order {
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Order::Launch { framework, task } => json!({
                "order": "launch",
                "framework": pack(&**framework),
                "task": pack(&**task),
            }),
            Order::Kill { framework_id, task_id, grace } => json!({
                "order": "kill",
                "framework_id": framework_id,
                "task_id": task_id,
                "grace": grace.as_ref().map(pack),
            }),
            Order::Drain { grace, mark_gone } => json!({
                "order": "drain",
                "grace": grace.as_ref().map(pack),
                "mark_gone": mark_gone,
            }),
            Order::EndDrain => json!({ "order": "end-drain" }),
            Order::ShutdownFramework { framework_id } => json!({
                "order": "shutdown-framework",
                "framework_id": framework_id,
            }),
            Order::Acknowledge { framework_id, task_id, uuid } => json!({
                "order": "acknowledge",
                "framework_id": framework_id,
                "task_id": task_id,
                "uuid": BASE64.encode(uuid),
            }),
        }
    }

    pub(crate) fn of_json(object: &Json) -> Option<Order> {
        let text = |name: &str| object[name].as_str().map(str::to_owned);
        Some(match object["order"].as_str()? {
            "launch" => Order::Launch {
                framework: Box::new(unpack(&object["framework"])?),
                task: Box::new(unpack(&object["task"])?),
            },
            "kill" => Order::Kill {
                framework_id: text("framework_id")?,
                task_id: text("task_id")?,
                grace: unpack(&object["grace"]),
            },
            "drain" => Order::Drain {
                grace: unpack(&object["grace"]),
                mark_gone: object["mark_gone"].as_bool()?,
            },
            "end-drain" => Order::EndDrain,
            "shutdown-framework" => {
                Order::ShutdownFramework { framework_id: text("framework_id")? }
            }
            "acknowledge" => Order::Acknowledge {
                framework_id: text("framework_id")?,
                task_id: text("task_id")?,
                uuid: BASE64.decode(object["uuid"].as_str()?).ok()?,
            },
            _ => return None,
        })
    }
}

/// A message as a JSON string.
pub(crate) fn pack(message: &impl Message) -> Json {
    BASE64.encode(message.encode_to_vec()).into()
}

/// Such a string as a message.
pub(crate) fn unpack<M: Message + Default>(packed: &Json) -> Option<M> {
    M::decode(BASE64.decode(packed.as_str()?).ok()?.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_survive_the_way() {
        let framework =
            Box::new(FrameworkInfo { id: Some("f".into()), ..FrameworkInfo::default() });
        let task =
            TaskInfo { task_id: "t".into(), data: Some(vec![0, 255]), ..TaskInfo::default() };
        let task = Box::new(task);
        let id = || ("f".to_owned(), "t".to_owned());
        let ((framework_id, task_id), grace) = (id(), Some(DurationInfo { nanoseconds: 5 }));
        for order in [
            Order::Launch { framework, task },
            Order::Kill { framework_id, task_id, grace },
            Order::Kill { framework_id: id().0, task_id: id().1, grace: None },
            Order::ShutdownFramework { framework_id: id().0 },
            Order::Drain { grace: Some(DurationInfo { nanoseconds: 7 }), mark_gone: true },
            Order::EndDrain,
            Order::Acknowledge { framework_id: id().0, task_id: id().1, uuid: vec![7; 16] },
        ] {
            assert_eq!(Order::of_json(&order.to_json()), Some(order));
        }
    }
}

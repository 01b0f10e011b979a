//! What an agent is, as its flags and its machine say.

use std::process::Command;

use serde_json::Value as Json;

use crate::flags::Flags;
use crate::info::AgentInfo;
use crate::log;
use crate::net::Place;
use crate::values::{self, Resource, Value};

/// The agent as its flags and its machine say.
pub(super) fn describe(flags: &Flags, place: &Place) -> AgentInfo {
    let default_role = flags.text("default_role").unwrap_or("*");
    let written = flags.text("resources").unwrap_or_default();
    let mut resources = values::resources(written, default_role).unwrap_or_else(|error| {
        log::exit_with("slave.cpp:493", &format!("Failed to determine agent resources: {error}"))
    });
    for (name, detect) in DETECTED {
        // A name given for one role alone counts as given.
        if !resources.iter().any(|resource| resource.name == *name) {
            let role = (default_role != "*").then(|| default_role.to_owned());
            resources.push(Resource { name: (*name).to_owned(), role, value: detect(flags) });
        }
    }
    let listed: Vec<Json> = resources.iter().map(Resource::to_json).collect();
    log::info("slave.cpp:631", &format!("Agent resources: {}", Json::from(listed)));
    let attributes = values::attributes(flags.text("attributes").unwrap_or_default());
    let attributes = attributes.unwrap_or_else(|error| {
        let (place, text) = error.line();
        log::abort(place, &text)
    });
    let printed: Vec<String> = attributes
        .iter()
        .map(|attribute| format!("{}={}", attribute.name, attribute.value.print()))
        .collect();
    log::info("slave.cpp:639", &format!("Agent attributes: [ {} ]", printed.join(", ")));
    let hostname = place.hostname.clone();
    log::info("slave.cpp:648", &format!("Agent hostname: {hostname}"));
    AgentInfo { id: None, hostname, port: place.port, resources, attributes }
}

type Detect = fn(&Flags) -> Value;

/// Source: src/slave/containerizer/containerizer.cpp at 1.11.0, `Containerizer::resources`.
const DETECTED: &[(&str, Detect)] =
    &[("cpus", cpus), ("mem", memory), ("disk", disk), ("ports", ports)];

fn cpus(_: &Flags) -> Value {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Value::Scalar(count as f64)
}

/// All but 1 GiB, or half of less than 2 GiB; in MB.
fn memory(_: &Flags) -> Value {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let total =
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024;
    Value::Scalar(if total >= 2048 { total - 1024 } else { total / 2 } as f64)
}

/// All but 5 GiB of the work directory's file system, or half of less than 10 GiB; in MB.
fn disk(flags: &Flags) -> Value {
    let directory = flags.text("work_dir").unwrap_or("/");
    // A directory that is not there cannot be measured; the real agent makes it too.
    let _ = std::fs::create_dir_all(directory);
    let output = Command::new("df").args(["-Pm", "--", directory]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let size =
        text.lines().nth(1).and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    let size = size.unwrap_or(0);
    Value::Scalar(if size >= 10 << 10 { size - (5 << 10) } else { size / 2 } as f64)
}

fn ports(_: &Flags) -> Value {
    Value::Ranges(vec![(31000, 32000)])
}

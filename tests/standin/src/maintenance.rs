//! The maintenance primitives: schedule, machines down and up. Texts as recorded.

use serde_json::{Value as Json, json};

use crate::flags;
use crate::frameworks::Removal;
use crate::http::Response;
use crate::master::{Master, State};
use crate::operator::stored;
use crate::registry::Machine;

/// `GET /maintenance/schedule`.
pub(crate) fn schedule(state: &State) -> Json {
    match state.registry.schedule.as_slice() {
        [] => json!({}),
        windows => json!({ "windows": windows }),
    }
}

/// `GET /maintenance/status`.
pub(crate) fn status(state: &State) -> Json {
    let mut status = json!({});
    let down = &state.registry.down;
    let draining: Vec<Json> = machines(&state.registry.schedule)
        .iter()
        .filter(|machine| !down.contains(machine))
        .map(|machine| json!({ "id": machine }))
        .collect();
    if !draining.is_empty() {
        status["draining_machines"] = draining.into();
    }
    if !down.is_empty() {
        status["down_machines"] = json!(down);
    }
    status
}

/// Whether the machine is in the schedule.
pub(crate) fn is_scheduled(state: &State, hostname: &str, ip: &str) -> bool {
    machines(&state.registry.schedule).contains(&machine(hostname, ip))
}

/// Whether the operator brought the machine down.
pub(crate) fn is_down(state: &State, hostname: &str, ip: &str) -> bool {
    state.registry.down.contains(&machine(hostname, ip))
}

/// The three changes.
pub(crate) fn post(master: &Master, state: &mut State, path: &str, body: &[u8]) -> Response {
    let text = String::from_utf8_lossy(body);
    let Ok(parsed) = serde_json::from_str::<Json>(&text) else {
        return Response::bad_request(&flags::syntax_error(&text));
    };
    match path {
        "maintenance/schedule" => set_schedule(master, state, &parsed),
        "machine/down" => set_down(master, state, &parsed),
        _ => set_up(master, state, &parsed),
    }
}

fn set_schedule(master: &Master, state: &mut State, schedule: &Json) -> Response {
    let windows = match windows(schedule) {
        Ok(windows) => windows,
        Err(error) => return Response::bad_request(&error),
    };
    let listed = machines(&windows);
    if let Some(down) = state.registry.down.iter().find(|machine| !listed.contains(machine)) {
        return Response::bad_request(&format!(
            "Machine '{}' is deactivated and cannot be removed from the schedule",
            json!(down)
        ));
    }
    stored(master.change(state, |registry| registry.schedule = windows))
}

fn set_down(master: &Master, state: &mut State, list: &Json) -> Response {
    let named = match ids(list) {
        Ok(named) => named,
        Err(error) => return Response::bad_request(&error),
    };
    let listed = machines(&state.registry.schedule);
    let draining =
        |machine: &Machine| listed.contains(machine) && !state.registry.down.contains(machine);
    if let Some(other) = named.iter().find(|machine| !draining(machine)) {
        return Response::bad_request(&format!(
            "Machine '{}' is not in DRAINING mode and cannot be brought down",
            json!(other)
        ));
    }
    let there =
        |agent: &crate::master::Agent| named.contains(&machine(&agent.info.hostname, agent.ip()));
    let stopped: Vec<String> =
        state.agents.iter().filter(|(_, agent)| there(agent)).map(|(id, _)| id.clone()).collect();
    let changed = master.change(state, |registry| {
        registry.down.extend(named.iter().cloned());
        for id in &stopped {
            registry.agents.remove(id);
        }
    });
    if changed.is_ok() {
        for id in stopped {
            const CAUSE: &str = "Operator initiated 'Machine DOWN'";
            state.remove_agent(&id, Removal::Removed(CAUSE));
            state.farewells.insert(id, CAUSE.to_owned());
        }
    }
    stored(changed)
}

fn set_up(master: &Master, state: &mut State, list: &Json) -> Response {
    let named = match ids(list) {
        Ok(named) => named,
        Err(error) => return Response::bad_request(&error),
    };
    if let Some(other) = named.iter().find(|machine| !state.registry.down.contains(machine)) {
        return Response::bad_request(&format!(
            "Machine '{}' is not in DOWN mode and cannot be brought up",
            json!(other)
        ));
    }
    stored(master.change(state, |registry| {
        registry.down.retain(|machine| !named.contains(machine));
        for window in &mut registry.schedule {
            if let Some(machines) = window["machine_ids"].as_array_mut() {
                machines.retain(|id| !named.contains(&machine_of(id)));
            }
        }
        registry.schedule.retain(|window| window["machine_ids"] != json!([]));
    }))
}

fn windows(schedule: &Json) -> Result<Vec<Json>, String> {
    let posted = schedule["windows"].as_array().cloned().unwrap_or_default();
    let mut windows = Vec::new();
    let mut seen: Vec<Machine> = Vec::new();
    for window in posted {
        let machines = ids(&window["machine_ids"]).map_err(|error| match error.as_str() {
            EMPTY => "List of machines in the maintenance window is empty".to_owned(),
            _ => error,
        })?;
        for machine in &machines {
            if seen.contains(machine) {
                let machine = json!(machine);
                return Err(format!("Machine '{machine}' appears more than once in the schedule"));
            }
            seen.push(machine.clone());
        }
        let unavailability = &window["unavailability"];
        let Some(start) = unavailability["start"]["nanoseconds"].as_i64() else {
            return Err("Missing required field 'start' in the unavailability".to_owned());
        };
        let mut ordered = json!({});
        if let Some(duration) = unavailability["duration"]["nanoseconds"].as_i64() {
            if duration < 0 {
                return Err("Unavailability 'duration' is negative".to_owned());
            }
            ordered["duration"] = json!({ "nanoseconds": duration });
        }
        ordered["start"] = json!({ "nanoseconds": start });
        windows.push(json!({ "machine_ids": machines, "unavailability": ordered }));
    }
    Ok(windows)
}

const EMPTY: &str = "List of machines is empty";

fn ids(list: &Json) -> Result<Vec<Machine>, String> {
    let named: Vec<Machine> =
        list.as_array().map(|list| list.iter().map(machine_of).collect()).unwrap_or_default();
    if named.is_empty() {
        return Err(EMPTY.to_owned());
    }
    if named.contains(&Machine::default()) {
        return Err("Both 'hostname' and 'ip' for a machine are empty".to_owned());
    }
    Ok(named)
}

fn machines(windows: &[Json]) -> Vec<Machine> {
    let ids = windows.iter().filter_map(|window| window["machine_ids"].as_array()).flatten();
    ids.map(machine_of).collect()
}

fn machine_of(id: &Json) -> Machine {
    machine(id["hostname"].as_str().unwrap_or_default(), id["ip"].as_str().unwrap_or_default())
}

fn machine(hostname: &str, ip: &str) -> Machine {
    // Host names are compared without regard to case, as the real registry does.
    Machine { hostname: hostname.to_lowercase(), ip: ip.to_owned() }
}

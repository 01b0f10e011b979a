//! `POST /api/v1/scheduler`: the documented scheduler API over HTTP, with protobuf on both ways.
//! Source: docs/scheduler-http-api.md, src/master/http.cpp and validation.cpp at 1.11.0; texts as
//! there.

use std::sync::{Arc, mpsc};
use std::time::Instant;

use mesos_messages::Message;
use mesos_messages::scheduler::{Call, CallType};

use crate::frameworks::Stream;
use crate::http::{Request, Response};
use crate::master::{Master, State};
use crate::operator::{self, Connection};
use crate::{log, net};

pub(crate) const PATH: &str = "api/v1/scheduler";

const PROTOBUF: &str = "application/x-protobuf";
const STREAM_ID: &str = "mesos-stream-id";

/// Which framework a connection carries the events of.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) framework_id: String,
    pub(crate) stream_id: String,
}

impl Connection {
    /// Answers a call of a framework, which must have proven who it is.
    pub(crate) fn call(&mut self, request: &Request) -> Response {
        let master = Arc::clone(&self.master);
        let Ok(principal) = master.credentials.framework(request.header("authorization")) else {
            tell_unproven(request);
            return Response::unauthorized("mesos-master-scheduler");
        };
        let mut state = master.state();
        if let Some(response) = operator::elsewhere(&state, PATH, request) {
            return response;
        }
        if !state.is_leading() {
            return operator::not_recovered();
        }
        let (response, subscription) = answer(&master, &mut state, request, principal.as_deref());
        if subscription.is_some() {
            self.subscription = subscription;
        }
        response
    }
}

/// Says in the log who did not prove who it is, as the real master does of frameworks that come through its
/// own driver: a secret is shown before any name is.
fn tell_unproven(request: &Request) {
    if request.header("authorization").is_some() {
        let text = "Failed to authenticate scheduler over HTTP: Refused authentication";
        log::warning("master.cpp:10150", text);
        return;
    }
    let call = Call::decode(request.body.as_slice()).unwrap_or_default();
    let name = call.subscribe.map(|subscribe| subscribe.framework_info.name).unwrap_or_default();
    log::info(
        "master.cpp:2990",
        &format!("Refusing subscription of framework '{name}': Framework is not authenticated"),
    );
}

/// Answers a call to a leading master; a SUBSCRIBE that is taken also gives the subscription.
fn answer(
    master: &Master,
    state: &mut State,
    request: &Request,
    principal: Option<&str>,
) -> (Response, Option<Subscription>) {
    match read(request, principal) {
        Err(refusal) => (refusal, None),
        Ok(call) if call.r#type() == CallType::Subscribe => {
            subscribe(master, state, request, call, principal)
        }
        Ok(call) => (carry_out(master, state, request, call, principal), None),
    }
}

fn read(request: &Request, principal: Option<&str>) -> Result<Call, Response> {
    if request.method != "POST" {
        let text = format!("Expecting one of {{ 'POST' }}, but received '{}'", request.method);
        return Err(Response::text(405, &text));
    }
    match request.content_type.as_deref() {
        None => return Err(Response::bad_request("Expecting 'Content-Type' to be present")),
        Some(PROTOBUF) => {}
        Some("application/json") => {
            let text = format!("This stand-in speaks {PROTOBUF} only");
            return Err(Response::text(415, &text));
        }
        Some(_) => {
            let text = format!("Expecting 'Content-Type' of application/json or {PROTOBUF}");
            return Err(Response::text(415, &text));
        }
    }
    let call = Call::decode(request.body.as_slice())
        .map_err(|_| Response::bad_request("Failed to parse body into Call protobuf"))?;
    match invalid(&call, principal) {
        None => Ok(call),
        Some(error) => {
            let text = format!("Failed to validate scheduler::Call: {error}");
            Err(Response::bad_request(&text))
        }
    }
}

fn invalid(call: &Call, principal: Option<&str>) -> Option<String> {
    if call.r#type.is_none() {
        return Some("Expecting 'type' to be present".to_owned());
    }
    let missing = |name: &str| Some(format!("Expecting '{name}' to be present"));
    if call.r#type() == CallType::Subscribe {
        let Some(subscribe) = &call.subscribe else { return missing("subscribe") };
        let info = &subscribe.framework_info;
        if info.id != call.framework_id {
            return Some("'framework_id' differs from 'subscribe.framework_info.id'".to_owned());
        }
        return mismatch(principal, info.principal.as_deref());
    }
    if call.framework_id.is_none() {
        return missing("framework_id");
    }
    let (there, name) = match call.r#type() {
        CallType::Accept => (call.accept.is_some(), "accept"),
        CallType::Decline => (call.decline.is_some(), "decline"),
        CallType::Kill => (call.kill.is_some(), "kill"),
        CallType::Shutdown => (call.shutdown.is_some(), "shutdown"),
        CallType::Acknowledge => (call.acknowledge.is_some(), "acknowledge"),
        CallType::Reconcile => (call.reconcile.is_some(), "reconcile"),
        CallType::Message => (call.message.is_some(), "message"),
        CallType::Request => (call.request.is_some(), "request"),
        _ => (true, ""),
    };
    if !there {
        return missing(name);
    }
    let uuid = call.acknowledge.as_ref().map(|acknowledge| acknowledge.uuid.len());
    (uuid.is_some_and(|length| length != 16)).then(|| "Not a valid UUID".to_owned())
}

/// What is said of a principal that the framework does not have.
fn mismatch(authenticated: Option<&str>, named: Option<&str>) -> Option<String> {
    let (authenticated, named) = (authenticated?, named?);
    (authenticated != named).then(|| {
        format!(
            "Authenticated principal '{authenticated}' does not match principal '{named}' set in `FrameworkInfo`"
        )
    })
}

fn subscribe(
    master: &Master,
    state: &mut State,
    request: &Request,
    call: Call,
    principal: Option<&str>,
) -> (Response, Option<Subscription>) {
    let refuse = |response: Response| (response, None);
    let accepts = request.header("accept").is_none_or(|accept| {
        let kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
        kinds.into_iter().any(|kind| [PROTOBUF, "application/*", "*/*"].contains(&kind))
    });
    if !accepts {
        let text = format!("Expecting 'Accept' to allow '{PROTOBUF}' or 'application/json'");
        return refuse(Response::text(406, &text));
    }
    if request.header(STREAM_ID).is_some() {
        let text = "Subscribe calls should not include the 'Mesos-Stream-Id' header";
        return refuse(Response::bad_request(text));
    }
    let Some(mut subscribe) = call.subscribe else {
        return refuse(Response::bad_request("Expecting 'subscribe' to be present"));
    };
    let info = &mut subscribe.framework_info;
    if info.principal.is_none()
        && let Some(principal) = principal
    {
        log::warning(
            "http.cpp:820",
            &format!(
                "Setting 'principal' in FrameworkInfo to '{principal}' because the framework authenticated with that principal but did not set it in FrameworkInfo"
            ),
        );
        info.principal = Some(principal.to_owned());
    }
    let (acls, who) = (master.credentials.acls(), info.principal.as_deref());
    let roles =
        if info.roles.is_empty() { vec![info.role().to_owned()] } else { info.roles.clone() };
    if let Some(role) =
        roles.iter().find(|role| !acls.allow("register_frameworks", who, Some(role)))
    {
        // The real one says it in an event of the stream.
        return refuse(Response::text(403, &format!("Not authorized to use role '{role}'")));
    }
    let stream_id = net::uuid();
    let (sender, events) = mpsc::channel();
    let stream = Stream { id: stream_id.clone(), sender, heartbeat: Instant::now() };
    let framework_id = state.subscribe(master, subscribe, stream);
    let response = Response::stream(PROTOBUF, ("Mesos-Stream-Id", stream_id.clone()), events);
    (response, framework_id.map(|framework_id| Subscription { framework_id, stream_id }))
}

fn carry_out(
    master: &Master,
    state: &mut State,
    request: &Request,
    call: Call,
    principal: Option<&str>,
) -> Response {
    let id = call.framework_id.clone().unwrap_or_default().value;
    let Some(framework) = state.frameworks.registered.get_mut(&id) else {
        return Response::bad_request("Framework cannot be found");
    };
    let named = framework.info.principal.as_deref().unwrap_or_default();
    if let Some(error) = mismatch(principal, Some(named)) {
        return Response::bad_request(&error);
    }
    let Some(stream) = &framework.stream else {
        return Response::text(403, "Framework is not subscribed");
    };
    let Some(shown) = request.header(STREAM_ID) else {
        let text = "All non-subscribe calls should include the 'Mesos-Stream-Id' header";
        return Response::bad_request(text);
    };
    if shown != stream.id {
        return Response::bad_request(&format!(
            "The stream ID '{shown}' included in this request didn't match the stream ID currently associated with framework ID {id}"
        ));
    }
    let kind = call.r#type();
    *framework.counts.calls.entry(kind.name()).or_default() += 1;
    log::info("master.cpp:1500", &format!("Processing {} call of framework {id}", kind.name()));
    match kind {
        CallType::Teardown => {
            state.remove_framework(&id);
        }
        CallType::Accept => state.accept(master, &id, call.accept.unwrap_or_default()),
        CallType::Decline => state.decline(master, &id, &call.decline.unwrap_or_default()),
        CallType::Revive => state.revive(master, &id, &call.revive.unwrap_or_default()),
        CallType::Suppress => state.suppress(&id, &call.suppress.unwrap_or_default()),
        CallType::Kill => state.kill(&id, &call.kill.unwrap_or_default()),
        CallType::Acknowledge => state.acknowledge(&id, call.acknowledge.unwrap_or_default()),
        CallType::Reconcile => state.reconcile(&id, &call.reconcile.unwrap_or_default()),
        // The hierarchical allocator ignores wishes; without custom executors there is nobody to
        // shut down or to send a message to; there are no inverse offers.
        CallType::Request
        | CallType::Shutdown
        | CallType::Message
        | CallType::AcceptInverseOffers
        | CallType::DeclineInverseOffers => {}
        CallType::Unknown | CallType::Subscribe => {
            return Response::text(501, "501 Not Implemented.");
        }
    }
    Response::accepted()
}

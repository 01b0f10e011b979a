//! An agent that a run of ours drained. A note on the agent's host says so from before the master is
//! asked until the agent gets offers again: a run that is cut short in between leaves it, and the next
//! one ends the drain. Without it the agent would never be offered again, restart or not, for the
//! masters' registry remembers (docs/facts.md). What an operator has drained bears no note and is left
//! alone.

use serde_json::json;

use super::paths::text;
use super::{Facts, Gap, Kind, Look, ResourceId};
use crate::inventory::AgentUnit;
use crate::mesos::asking::asking;
use crate::script::{Fix, Sections, Step, quote};

/// Where the note is: the id of the agent that was drained.
pub const NOTE: &str = "/var/lib/provision/drained";

/// Tasks get so long to end by themselves when their agent is drained. A Spark executor uses all of it
/// (recorded: `masters/12-drain`), so a longer one only delays the roll.
pub const GRACE_SECS: u64 = 60;
/// What draining may take beyond that: killing, and status updates on their way.
pub const SLACK_SECS: u64 = 60;

/// The drain of one host's agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// The address that the agent announces: a host says which id is its own, and is believed for no other's.
    pub address: String,
    /// What the agent is called here.
    pub agent: AgentUnit,
}

/// Who drains an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// We: it is noted.
    Us,
    /// An operator has deactivated it before: it stays so.
    Operator,
}

impl Drain {
    /// Asks the leading master to drain an agent. `max_grace_period` must be an object: the text form
    /// that Mesos' own page shows cannot be parsed (recorded: `masters/12-drain/01-drain-bad-string.http`).
    pub fn begin(&self, agent: &str, by: By) -> Vec<Step> {
        let body = json!({
            "type": "DRAIN_AGENT",
            "drain_agent": {
                "agent_id": {"value": "$id"},
                "max_grace_period": {"seconds": GRACE_SECS},
                "mark_gone": false,
            },
        });
        let asked = Step::Lead(asked(agent, &body));
        match by {
            By::Us => vec![Step::Run(noted(agent)), asked],
            By::Operator => vec![asked],
        }
    }

    /// Asks the leading master to make no offers of an agent: what runs there goes on, and nothing comes.
    /// The note is that of a drain, so it is ended as one.
    pub fn hold(&self, agent: &str) -> Vec<Step> {
        let agent_id = json!({"agent_id": {"value": "$id"}});
        let body = json!({"type": "DEACTIVATE_AGENT", "deactivate_agent": agent_id});
        vec![Step::Run(noted(agent)), Step::Lead(asked(agent, &body))]
    }

    /// Takes a note back whose call was refused. Whoever did not answer may have heard: then it stays.
    pub fn refused(&self) -> Fix {
        Fix::new(format!("rm -f {NOTE}"))
    }

    /// Says that an agent that was stopped never comes back: the master forgets it at once, and refuses
    /// its id for ever, so the host forgets that id too.
    pub fn gone(&self, agent: &str) -> Vec<Step> {
        let agent_id = json!({"agent_id": {"value": "$id"}});
        let body = json!({"type": "MARK_AGENT_GONE", "mark_agent_gone": agent_id});
        let forgotten = format!(
            "work=$(cat {}/work_dir 2>/dev/null) || work=/var/lib/mesos\n\
             rm -f \"$work/meta/slaves/latest\" {NOTE}",
            self.agent.directory(),
        );
        vec![Step::Run(Fix::new(forgotten)), Step::Lead(asked(agent, &body))]
    }

    /// Asks the leading master to make offers of an agent again, once it is no longer being drained: asked
    /// for earlier, Mesos 1.9.0 would do it half (MESOS-10096), and later ones refuse.
    pub(super) fn end(&self, agent: &str) -> Vec<Step> {
        let fix = format!(
            "id={}\n{}\n\
             [ \"$code\" = 200 ] || again \"the leading master does not list it: HTTP $code\"\n\
             case $out in\n\
             *'\"pid\"'*{at}*) ;;\n\
             *'\"pid\"'*) die \"$id is the agent of another host\" ;;\nesac\n\
             case $out in *'\"state\":\"DRAINING\"'*) again 'it is still being drained' ;; esac\n{}\n\
             case $code:$out in 200:* | *'not deactivated'* | *'Unknown agent'*) exit 0 ;; esac\n\
             again \"the leading master does not reactivate it: $out\"",
            quote(agent),
            call("slaves?slave_id=$id", None),
            call("api/v1", Some(REACTIVATE)),
            at = quote(&format!("@{}:", self.address)),
        );
        vec![Step::Lead(Fix::new(fix)), Step::Run(self.refused())]
    }
}

/// Notes on the agent's host that a call of ours about it follows.
fn noted(agent: &str) -> Fix {
    Fix::new(format!(
        "mkdir -p {}\nprintf '%s\\n' {} > {NOTE}.new\nsync {NOTE}.new\nmv -fT {NOTE}.new {NOTE}",
        NOTE.rsplit_once('/').map_or("", |(directory, _)| directory),
        quote(agent),
    ))
}

/// One call about an agent.
fn asked(agent: &str, body: &serde_json::Value) -> Fix {
    Fix::new(format!(
        "id={}\n{}\ncase $code in 200) exit 0 ;; 4*) die \"${{out:-HTTP $code}}\" ;; esac\n\
         again \"no leading master answered\"",
        quote(agent),
        call("api/v1", Some(&body.to_string())),
    ))
}

impl Kind for Drain {
    fn id(&self) -> ResourceId {
        ResourceId { kind: "drain", name: self.agent.name().to_owned() }
    }

    fn want(&self) -> Facts {
        Facts::from([("drain", "none".to_owned())])
    }

    fn read(&self, sections: &Sections) -> Look {
        let note = text(NOTE, sections).map(str::trim);
        let seen = note.map_or_else(|| "none".to_owned(), |id| format!("of {id}"));
        Look::Facts(Facts::from([("drain", seen)]))
    }

    /// Ends it: the agent gets offers again.
    fn fix(&self, gaps: &[Gap]) -> Vec<Step> {
        let seen = gaps.iter().find_map(|gap| gap.seen.as_deref()?.strip_prefix("of "));
        match seen.map(str::trim).filter(|id| !id.is_empty()) {
            Some(id) => self.end(id),
            // It was being written: nobody was asked yet.
            None => vec![Step::Run(self.refused())],
        }
    }

    fn texts(&self) -> Vec<&str> {
        vec![NOTE]
    }
}

/// `$id` is the shell's.
const REACTIVATE: &str =
    r#"{"type":"REACTIVATE_AGENT","reactivate_agent":{"agent_id":{"value":"$id"}}}"#;

/// Asks `$url` as the operator and leaves its answer in `$out` and `$code`; nobody answering is code 000.
pub(super) fn call(path: &str, body: Option<&str>) -> String {
    let data = body.map_or_else(String::new, |body| {
        format!("-H 'Content-Type: application/json' -d \"{}\" ", body.replace('"', "\\\""))
    });
    format!(
        "{}\n\
         out=$(curl -K \"$k\" -sS -g -m 20 --connect-timeout 3 --noproxy '*' -w '\\n%{{http_code}}' {data}\"$url/{path}\" 2>/dev/null) || :\n\
         code=${{out##*[!0-9]}}; out=${{out%?\"$code\"}}",
        asking([])
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::diff;

    #[test]
    fn a_note_of_a_drain_is_a_gap_and_no_note_is_none() {
        let drain = Drain { address: "10.0.1.1".to_owned(), agent: AgentUnit::Slave };
        let gaps = |texts: &str| {
            let sections = Sections::from([("texts".to_owned(), texts.to_owned())]);
            let Look::Facts(facts) = drain.read(&sections) else { panic!() };
            diff(&drain.want(), &facts).len()
        };
        assert_eq!(gaps(""), 0);
        assert_eq!(gaps(&format!("==> {NOTE} <==\nid-S1\n")), 1);
        // Even one that holds nothing: it was being written.
        assert_eq!(gaps(&format!("==> {NOTE} <==\n")), 1);
    }
}

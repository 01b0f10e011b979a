//! An agent that a run of ours drained. A note on the agent's host says so from before the master is
//! asked until the agent gets offers again: a run that is cut short in between leaves it, and the next
//! one ends the drain. Without it the agent would never be offered again, restart or not, for the
//! masters' registry remembers (facts: mesos §9). What an operator has drained bears no note and is left
//! alone.

use serde_json::json;

use super::file::text;
use super::{Facts, Look};
use crate::script::{Fix, Sections, Step, quote, quote_all};

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
    /// `http://address:port` of every master; the one that leads is asked.
    pub masters: Vec<String>,
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
    /// What is wanted: none of ours.
    pub fn want(&self) -> Facts {
        Facts::from([("drain", "none".to_owned())])
    }

    /// Asks the leading master to drain an agent. `max_grace_period` must be an object: the text form
    /// that Mesos' own page shows cannot be parsed (recorded: `masters/12-drain/01-drain-bad-string.http`).
    pub fn begin(&self, agent: &str, by: By) -> Fix {
        let body = json!({
            "type": "DRAIN_AGENT",
            "drain_agent": {
                "agent_id": {"value": "$id"},
                "max_grace_period": {"seconds": GRACE_SECS},
                "mark_gone": false,
            },
        });
        let (note, take_back) = match by {
            By::Us => (
                format!(
                    "mkdir -p {}\nprintf '%s\\n' \"$id\" > {NOTE}.new\nsync {NOTE}.new\nmv -fT {NOTE}.new {NOTE}\n",
                    NOTE.rsplit_once('/').map_or("", |(directory, _)| directory)
                ),
                format!("rm -f {NOTE}; "),
            ),
            By::Operator => (String::new(), String::new()),
        };
        // Whoever did not answer may have heard: then the note stays.
        Fix::new(format!(
            "id={}\n{note}for url in {}; do\n{}\ncase $code in 200) exit 0 ;; 4*) {take_back}die \"$out\" ;; esac\ndone\n\
             die no leading master answered",
            quote(agent),
            self.urls(),
            call("api/v1", Some(&body.to_string())),
        ))
    }

    /// Ends it: the agent gets offers again. While it is draining that must not be asked for: Mesos 1.9.0
    /// would do it half (MESOS-10096), later ones refuse.
    pub fn fix(&self) -> Vec<Step> {
        vec![Step::Run(Fix::new(format!(
            "id=$(cat {NOTE} 2>/dev/null) || :\n[ -n \"$id\" ] || {{ rm -f {NOTE}; exit 0; }}\n\
             n=0\nwhile n=$((n + 1)); do\nled=\nfor url in {urls}; do\n{list}\n\
             [ \"$code\" != 200 ] || {{ led=$url; break; }}\ndone\n\
             if [ -z \"$led\" ]; then why='no leading master answered'\nelse\ncase $out in\n\
             *'\"state\":\"DRAINING\"'*) why='it is still being drained' ;;\n\
             *) url=$led\n{reactivate}\n\
             case $code:$out in 200:* | *'not deactivated'* | *'Unknown agent'*) rm -f {NOTE}; exit 0 ;; esac\n\
             why=\"the leading master does not reactivate it: $out\" ;;\nesac\nfi\n\
             [ $n -lt {limit} ] || die \"$why\"\nsleep 1\ndone",
            urls = self.urls(),
            list = call("slaves?slave_id=$id", None),
            reactivate = call("api/v1", Some(REACTIVATE)),
            limit = GRACE_SECS + SLACK_SECS,
        )))]
    }

    fn urls(&self) -> String {
        quote_all(self.masters.iter().map(String::as_str))
    }
}

/// `$id` is the shell's.
const REACTIVATE: &str =
    r#"{"type":"REACTIVATE_AGENT","reactivate_agent":{"agent_id":{"value":"$id"}}}"#;

/// Asks `$url` and leaves its answer in `$out` and `$code`; nobody answering is code 000.
fn call(path: &str, body: Option<&str>) -> String {
    let data = body.map_or_else(String::new, |body| {
        format!("-H 'Content-Type: application/json' -d \"{}\" ", body.replace('"', "\\\""))
    });
    format!(
        "out=$(curl -sS -g -m 20 --connect-timeout 3 --noproxy '*' -w '\\n%{{http_code}}' {data}\"$url/{path}\" 2>/dev/null) || :\n\
         code=${{out##*[!0-9]}}; out=${{out%?\"$code\"}}"
    )
}

/// Facts: whether a note is there.
pub fn read(sections: &Sections) -> Look {
    let note = text(NOTE, sections).map(str::trim);
    let seen = note.map_or_else(|| "none".to_owned(), |id| format!("of {id}"));
    Look::Facts(Facts::from([("drain", seen)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::diff;

    #[test]
    fn a_note_of_a_drain_is_a_gap_and_no_note_is_none() {
        let drain = Drain { masters: vec!["http://10.0.0.1:5050".to_owned()] };
        let gaps = |texts: &str| {
            let sections = Sections::from([("texts".to_owned(), texts.to_owned())]);
            let Look::Facts(facts) = read(&sections) else { panic!() };
            diff(&drain.want(), &facts).len()
        };
        assert_eq!(gaps(""), 0);
        assert_eq!(gaps(&format!("==> {NOTE} <==\nid-S1\n")), 1);
        // Even one that holds nothing: it was being written.
        assert_eq!(gaps(&format!("==> {NOTE} <==\n")), 1);
    }
}

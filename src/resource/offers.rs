//! Whether an agent gets offers, as an operator wants it: drained by hand it stays so, over every restart
//! and apply, until it is given back by hand. A drain of a run of ours is another thing and bears a
//! note ([`super::drain`]).

use super::drain::{By, Drain, NOTE, call};
use super::{Facts, Gap, Kind, Look, ResourceId};
use crate::script::{Fix, Sections, Step, quote};

/// Whether an agent gets offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offers {
    /// Its id at the leading master.
    pub agent: String,
    /// How masters are asked.
    pub drain: Drain,
    /// What is wanted.
    pub state: State,
}

/// What is wanted of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It gets offers.
    Made,
    /// It gets none, and what ran on it has ended.
    Drained,
}

impl State {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            State::Made => "made",
            State::Drained => "none (drained)",
        }
    }
}

impl Kind for Offers {
    fn id(&self) -> ResourceId {
        ResourceId { kind: "agent", name: self.agent.clone() }
    }

    fn want(&self) -> Facts {
        Facts::from([("offers", self.state.word().to_owned())])
    }

    /// The leading master's list says it, not the host.
    fn read(&self, _: &Sections) -> Look {
        Look::Later("the leading master says so")
    }

    fn disturbs(&self, _: &[Gap]) -> bool {
        self.state == State::Drained
    }

    fn fix(&self, _: &[Gap]) -> Vec<Step> {
        match self.state {
            State::Drained => {
                let mut steps = self.drain.begin(&self.agent, By::Operator);
                // Whichever run of ours drained it before: from now on it is the operator's.
                steps.push(Step::Run(Fix::new(format!("rm -f {NOTE}"))));
                steps.push(Step::Lead(Fix::new(format!(
                    "id={}\n{}\n\
                     case $code:$out in 200:*'\"state\":\"DRAINED\"'*) exit 0 ;; esac\n\
                     again 'it is not drained yet'",
                    quote(&self.agent),
                    call("slaves?slave_id=$id", None),
                ))));
                steps
            }
            State::Made => self.drain.end(&self.agent),
        }
    }
}

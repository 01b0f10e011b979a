//! Something proven once: a script that passed, stamped with the digest of all that it proved.

use super::{Facts, Gap, Kind, Look, ResourceId, last_line, paths};
use crate::ground::HostName;
use crate::script::{Fix, Sections, Step, quote};

/// Exit status of a proof's script that could not be run here, with the reason on its last line.
/// It is stamped as such: there is nothing to be gained from trying again.
pub const NOT_RUN: i32 = 70;
/// Exit status of a proof's script that found no free room. Not stamped: tried again next time.
pub const NO_ROOM: i32 = 71;

/// What a proof's script prints before the command that a user would give for the same.
pub const SUBMITTED: &str = "submit ";

/// Something proven once.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    /// What is proven, such as `pi-in-image`.
    pub name: String,
    /// Digest of all that it depends on.
    pub digest: String,
    /// Where the stamp is.
    pub stamp: String,
    /// The script; exits 0 when proven, [`NOT_RUN`], [`NO_ROOM`] or anything else when not.
    pub script: String,
    /// The agent that it is pinned to, and what must be free there.
    pub pinned: Option<Pinned>,
    /// What plays Mesos for it.
    pub engine: Engine,
}

/// Where one executor of a proof must run.
#[derive(Debug, Clone, PartialEq)]
pub struct Pinned {
    /// The agent's host.
    pub agent: HostName,
    /// Cores of one executor.
    pub cpus: f64,
    /// Memory of one executor with its overhead, in MiB.
    pub memory_mib: f64,
}

/// What plays Mesos.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Engine {
    /// Mesos itself, or nothing of it is in the proof.
    #[default]
    Mesos,
    /// The stand-in of the tests.
    StandIn,
}

impl Proof {
    /// A proof of something on its host.
    pub fn new(name: &str, digest: String, script: String) -> Proof {
        let stamp = format!("{}/{name}.proof", super::service::STAMPS);
        Proof { name: name.to_owned(), digest, stamp, script, pinned: None, engine: Engine::Mesos }
    }

    fn stamping(&self) -> String {
        let (stamp, digest) = (quote(&self.stamp), quote(&self.digest));
        format!(
            "mkdir -p \"$(dirname {stamp})\"\n\
             text=\"{digest}\n\"\n\
             sum=$(printf '%s' \"$text\" | sha256sum); sum=${{sum%% *}}\n\
             put {stamp} root root 600 \"$sum\" \"$text\""
        )
    }
}

impl Kind for Proof {
    fn id(&self) -> ResourceId {
        ResourceId { kind: "proof", name: self.name.clone() }
    }

    fn want(&self) -> Facts {
        Facts::from([("proof", self.digest.clone())])
    }

    fn read(&self, sections: &Sections) -> Look {
        let facts = paths::text(&self.stamp, sections)
            .map(|text| Facts::from([("proof", text.trim().to_owned())]))
            .unwrap_or_default();
        Look::Facts(facts)
    }

    /// Runs the script, then stamps what it proved: two steps, so that whoever runs them can look for
    /// witnesses in between. What cannot be run here is stamped by the first. The old stamp goes first:
    /// what fails now is not proven, whatever it was before.
    fn fix(&self, _: &[Gap]) -> Vec<Step> {
        let stamp = self.stamping();
        vec![
            Step::Run(Fix::new(format!(
                "rm -f {}\nprove() {{\n{}\n}}\nset +e\n(set -e; prove); rc=$?\nset -e\n\
                 if [ $rc = {NOT_RUN} ]; then\n{stamp}\nfi\nexit $rc",
                quote(&self.stamp),
                self.script
            ))),
            Step::Run(Fix::new(stamp)),
        ]
    }

    fn undo(&self) -> Option<String> {
        Some(format!("rm -f {}", quote(&self.stamp)))
    }

    fn texts(&self) -> Vec<&str> {
        vec![&self.stamp]
    }

    /// How it was submitted, where it says so, and its last line.
    fn result(&self, output: &str) -> String {
        let submitted = output.lines().filter(|line| line.starts_with(SUBMITTED));
        submitted.map(|line| format!("{line}\n")).chain([last_line(output)]).collect()
    }
}

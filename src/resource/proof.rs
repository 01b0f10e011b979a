//! Something proven once: a script that passed, stamped with the digest of all that it proved.

use super::{Facts, Look, file};
use crate::script::{Fix, Sections, Step, quote};

/// Exit status of a proof's script that could not be run here, with the reason on its last line.
/// It is stamped as such: there is nothing to be gained from trying again.
pub const NOT_RUN: i32 = 70;
/// Exit status of a proof's script that found no free room. Not stamped: tried again next time.
pub const NO_ROOM: i32 = 71;

/// Something proven once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// What is proven, such as `pi-in-image`.
    pub name: String,
    /// Digest of all that it depends on.
    pub digest: String,
    /// Where the stamp is.
    pub stamp: String,
    /// The script; exits 0 when proven, [`NOT_RUN`], [`NO_ROOM`] or anything else when not.
    pub script: String,
    /// The agent that it is pinned to, which must have room for it.
    pub agent: Option<crate::inventory::HostName>,
}

impl Proof {
    /// A proof of something on its host.
    pub fn new(name: &str, digest: String, script: String) -> Proof {
        let stamp = format!("{}/{name}.proof", super::service::STAMPS);
        Proof { name: name.to_owned(), digest, stamp, script, agent: None }
    }

    /// What is wanted.
    pub fn want(&self) -> Facts {
        Facts::from([("proof", self.digest.clone())])
    }

    /// Runs the script, then stamps what it proved: two steps, so that whoever runs them can look for
    /// witnesses in between. What cannot be run here is stamped by the first. The old stamp goes first:
    /// what fails now is not proven, whatever it was before.
    pub fn fix(&self) -> Vec<Step> {
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

/// Facts of one proof.
pub fn read(proof: &Proof, sections: &Sections) -> Look {
    let facts = file::text(&proof.stamp, sections)
        .map(|text| Facts::from([("proof", text.trim().to_owned())]))
        .unwrap_or_default();
    Look::Facts(facts)
}

//! What the smoke test said.

use serde::Serialize;

use super::super::plain::took;
use crate::ground::HostName;
use crate::plan::shown::shown_hosts;

/// A row of proofs.
#[derive(Debug, Serialize)]
pub(super) struct Smoke {
    tone: &'static str,
    word: String,
    check: String,
    hosts: String,
    detail: String,
    took: String,
}

/// A proof that ended.
pub(super) struct Proof {
    /// How it is coloured.
    pub tone: &'static str,
    /// How it ended.
    pub word: String,
    /// What was tried.
    pub check: String,
    /// For which host.
    pub host: Option<HostName>,
    /// One sentence.
    pub detail: String,
    /// How long it took.
    pub seconds: f64,
}

/// Proofs beyond which those that ended alike are one row.
const PROOFS: usize = 24;

/// Proofs as rows: each its own, or where there are many those of one check that ended alike together.
pub(super) fn smoke(proofs: Vec<Proof>) -> Vec<Smoke> {
    let folds = proofs.len() > PROOFS;
    let mut groups: Vec<(String, Vec<Proof>)> = Vec::new();
    for proof in proofs {
        // Its host's name is the end of many a check's.
        let check = match &proof.host {
            Some(host) => match proof.check.strip_suffix(host.as_str()) {
                Some(check) => format!("{check}HOST"),
                None => proof.check.clone(),
            },
            None => proof.check.clone(),
        };
        let alike = |(of, all): &&mut (String, Vec<Proof>)| {
            folds && *of == check && all.iter().all(|it| it.word == proof.word)
        };
        match groups.iter_mut().find(alike) {
            Some((_, all)) => all.push(proof),
            None => groups.push((check, vec![proof])),
        }
    }
    groups.into_iter().filter_map(|(check, all)| proven(check, &all)).collect()
}

fn proven(check: String, all: &[Proof]) -> Option<Smoke> {
    const DETAILS: usize = 3;
    let first = all.first()?;
    let mut hosts: Vec<&HostName> = all.iter().filter_map(|it| it.host.as_ref()).collect();
    hosts.sort();
    hosts.dedup();
    let mut details: Vec<&str> = all.iter().map(|it| it.detail.as_str()).collect();
    details.sort_unstable();
    details.dedup();
    let more = details.len().saturating_sub(DETAILS);
    let mut detail = details.get(..DETAILS).unwrap_or(&details).join("; ");
    if more > 0 {
        detail.push_str(&format!("; and {more} more"));
    }
    Some(Smoke {
        tone: first.tone,
        word: first.word.clone(),
        check: if all.len() == 1 { first.check.clone() } else { check },
        hosts: if hosts.is_empty() { String::new() } else { shown_hosts(&hosts) },
        detail,
        took: range(all.iter().map(|it| it.seconds)),
    })
}

/// How long they took, from the shortest to the longest.
pub(super) fn range(seconds: impl Iterator<Item = f64> + Clone) -> String {
    let (least, most) = (seconds.clone().fold(f64::MAX, f64::min), seconds.fold(0.0, f64::max));
    match took(least) == took(most) {
        true => took(most),
        false => format!("{} to {}", took(least), took(most)),
    }
}

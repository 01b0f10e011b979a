//! When which host did what: a lane for each host, or where there are many one for all that did the same.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::ground::HostName;
use crate::plan::shown::shown_hosts;

/// Hosts beyond which those that did the same share a lane.
const LANES: usize = 24;

/// What a host did, in seconds since the run began.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    /// From when.
    pub from: f64,
    /// Until when.
    pub to: f64,
    /// How it is drawn.
    pub class: &'static str,
    /// What it was.
    pub what: String,
}

/// A lane as the page draws it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Lane {
    hosts: String,
    bars: Vec<Bar>,
}

/// From where to where, in percent of the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Bar {
    class: &'static str,
    left: String,
    width: String,
    title: String,
}

/// The lanes of a run that took so many seconds, and whether hosts share them.
pub(super) fn lanes(spans: &BTreeMap<HostName, Vec<Span>>, seconds: f64) -> (Vec<Lane>, bool) {
    let folds = spans.len() > LANES;
    let mut groups: BTreeMap<usize, (Vec<&HostName>, Vec<Span>)> = BTreeMap::new();
    let mut known: BTreeMap<Vec<(&str, &str)>, usize> = BTreeMap::new();
    for (index, (host, of)) in spans.iter().enumerate() {
        let key: Vec<(&str, &str)> =
            of.iter().map(|span| (span.class, span.what.as_str())).collect();
        let at = if folds { *known.entry(key).or_insert(index) } else { index };
        let (hosts, all) = groups.entry(at).or_insert_with(|| (Vec::new(), of.clone()));
        hosts.push(host);
        for (whole, own) in all.iter_mut().zip(of) {
            whole.from = whole.from.min(own.from);
            whole.to = whole.to.max(own.to);
        }
    }
    let lanes = groups.into_values().map(|(hosts, spans)| Lane {
        hosts: shown_hosts(&hosts),
        bars: spans.into_iter().map(|span| span.bar(seconds)).collect(),
    });
    (lanes.collect(), folds)
}

/// Where the axis is marked.
pub(super) fn ticks(seconds: f64) -> Vec<String> {
    (0..=4).map(|part| super::super::plain::took(seconds * f64::from(part) / 4.0)).collect()
}

impl Span {
    fn bar(self, seconds: f64) -> Bar {
        let percent = |at: f64| (at / seconds.max(0.001) * 100.0).clamp(0.0, 100.0);
        let (left, right) = (percent(self.from), percent(self.to));
        Bar {
            class: self.class,
            left: format!("{left:.2}"),
            width: format!("{:.2}", (right - left).max(0.0)),
            title: format!("{} ({})", self.what, super::super::plain::took(self.to - self.from)),
        }
    }
}

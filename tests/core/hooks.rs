//! Who has a word between the stages of a run, and what is done once one refuses.

use std::sync::{Arc, Mutex};

use provision::apply::{Between, Word};
use provision::event::Event;
use provision::report::exit;

use super::support::runs::{Ran, Script, apply, fresh};

/// Refuses at one place.
#[derive(Debug)]
struct Refuses {
    at: (&'static str, &'static str),
    asked: Mutex<Vec<String>>,
}

impl Refuses {
    fn word(&self, when: &'static str, stage: &str) -> Result<(), String> {
        self.asked.lock().unwrap().push(format!("{when} {stage}"));
        match self.at == (when, stage) {
            true => Err("the hook refused".to_owned()),
            false => Ok(()),
        }
    }
}

impl Between for Refuses {
    fn before<'a>(&'a self, stage: &'a str) -> Word<'a> {
        Box::pin(async move { self.word("before", stage) })
    }

    fn after<'a>(&'a self, stage: &'a str) -> Word<'a> {
        Box::pin(async move { self.word("after", stage) })
    }
}

async fn refused(when: &'static str, stage: &'static str) -> (Ran, Vec<String>) {
    let refuses = Arc::new(Refuses { at: (when, stage), asked: Mutex::default() });
    let script = Script { between: Some(refuses.clone()), ..Script::default() };
    let ran = apply(fresh(), script).await;
    let asked = refuses.asked.lock().unwrap().clone();
    (ran, asked)
}

fn stages(ran: &Ran) -> Vec<&str> {
    let titles = ran.events.iter().filter_map(|event| match event {
        Event::StageStarted { stage, .. } => Some(stage.as_str()),
        _ => None,
    });
    titles.collect()
}

#[tokio::test(start_paused = true)]
async fn everybody_is_asked_around_every_stage() {
    let (ran, asked) = refused("never", "").await;
    let want: Vec<String> = stages(&ran)
        .iter()
        .flat_map(|stage| [format!("before {stage}"), format!("after {stage}")])
        .collect();
    assert!(want.len() > 8, "{want:?}");
    assert_eq!(asked, want);
    assert_eq!(ran.report.exit(), exit::OK);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_not_begun_nor_anything_after_it() {
    let (whole, _) = refused("never", "").await;
    let all: Vec<String> = stages(&whole).iter().map(|it| (*it).to_owned()).collect();
    let at = all.iter().position(|stage| stage == "Mesos masters").expect("masters");
    for (when, begun) in [("before", at), ("after", at + 1)] {
        let (ran, asked) = refused(when, "Mesos masters").await;
        assert_eq!(stages(&ran), all[..begun], "{when}");
        assert_eq!(asked.last().map(String::as_str), Some(&*format!("{when} Mesos masters")));
        let reasons: Vec<&str> =
            ran.report.blocked.iter().map(|(_, _, why)| why.as_str()).collect();
        assert!(
            !reasons.is_empty() && reasons.iter().all(|it| it.contains("the hook refused")),
            "{reasons:?}"
        );
        assert_eq!(ran.report.exit(), exit::UNREACHABLE);
    }
}

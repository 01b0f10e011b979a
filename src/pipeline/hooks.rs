//! The user's own commands that go with a run: they get its events so far on standard input, as lines of JSON, and the
//! run goes on only where they end with 0.
//!
//! They are named in the user's own file and nowhere else (src/config): an inventory from elsewhere runs nothing here.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::apply::{Between, Word};
use crate::config::{self, Hooks};
use crate::event::Stamped;
use crate::script::quote_all;
use crate::ui::{Recorder, Render, line};

/// The hooks of one run.
#[derive(Debug)]
pub(super) struct Hooked {
    hooks: Hooks,
    events: Arc<Mutex<String>>,
    /// What a hook is told beside the events.
    about: [(&'static str, String); 3],
    /// Whether one refused.
    refused: Mutex<bool>,
}

impl Hooked {
    /// The user's hooks, hearing a run's events from now on; `None` without any.
    ///
    /// # Errors
    /// The user's file is wrong; that was said.
    pub(super) fn new(
        recorder: &Recorder,
        run: &str,
        command: &str,
        cluster: &str,
    ) -> anyhow::Result<Option<Hooked>> {
        let hooks = match config::user() {
            Ok(config) => config.hooks,
            // The command line has said it before anything began, unless it was changed since.
            Err(_) => anyhow::bail!("the file with the hooks is wrong; nothing was changed"),
        };
        if hooks == Hooks::default() {
            return Ok(None);
        }
        let events = Arc::default();
        recorder.add(Box::new(Keep(Arc::clone(&events))));
        let about = [
            ("PROVISION_RUN", run.to_owned()),
            ("PROVISION_COMMAND", command.to_owned()),
            ("PROVISION_CLUSTER", cluster.to_owned()),
        ];
        Ok(Some(Hooked { hooks, events, about, refused: Mutex::new(false) }))
    }

    /// Before the first change.
    ///
    /// # Errors
    /// It refused.
    pub(super) async fn before(&self) -> anyhow::Result<()> {
        let said = self.run("before", &self.hooks.before, "").await;
        said.map_err(|why| anyhow::anyhow!("{why}; nothing was changed"))
    }

    /// When all is over; what it refuses comes too late for anything but the exit code.
    pub(super) async fn after(&self) {
        if let Err(why) = self.run("after", &self.hooks.after, "").await {
            line(std::io::stderr().lock(), &format!("error: {why}"));
        }
    }

    /// Whether a hook refused.
    pub(super) fn refused(&self) -> bool {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, name: &str, words: &[String], stage: &str) -> Result<(), String> {
        let Some((program, arguments)) = words.split_first() else { return Ok(()) };
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ended = async {
            let mut child = Command::new(program)
                .args(arguments)
                .envs(self.about.iter().map(|(key, value)| (*key, value)))
                .env("PROVISION_HOOK", name)
                .env("PROVISION_STAGE", stage)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            let stdin = child.stdin.take();
            // Whoever does not read them all is no failure.
            let told = async {
                if let Some(mut stdin) = stdin {
                    let _ = stdin.write_all(events.as_bytes()).await;
                }
            };
            let (_, output) = tokio::join!(told, child.wait_with_output());
            output
        };
        let called = format!("the hook `{name}` ({})", quote_all([program.as_str()]));
        let result = match ended.await {
            Err(error) => Err(format!("{called} cannot be run: {error}")),
            Ok(output) => {
                let mut said = output.stdout;
                said.extend(output.stderr);
                let said = String::from_utf8_lossy(&said);
                for text in said.lines() {
                    line(std::io::stderr().lock(), &format!("{name}: {text}"));
                }
                match output.status.success() {
                    true => Ok(()),
                    false => Err(format!("{called} refused: {}", output.status)),
                }
            }
        };
        if result.is_err() {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = true;
        }
        result
    }
}

impl Between for Hooked {
    fn before<'a>(&'a self, stage: &'a str) -> Word<'a> {
        Box::pin(self.run("before-stage", &self.hooks.before_stage, stage))
    }

    fn after<'a>(&'a self, stage: &'a str) -> Word<'a> {
        Box::pin(self.run("after-stage", &self.hooks.after_stage, stage))
    }
}

/// Keeps a run's events as lines.
#[derive(Debug)]
struct Keep(Arc<Mutex<String>>);

impl Render for Keep {
    fn draw(&mut self, event: &Stamped) {
        let text = serde_json::to_string(event).unwrap_or_default();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_str(&text);
        all.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Sink as _};

    fn hooked(script: &str) -> (Recorder, Hooked) {
        let words = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let hooks = Hooks {
            before: words.clone(),
            after: words.clone(),
            before_stage: words.clone(),
            after_stage: words,
        };
        let events: Arc<Mutex<String>> = Arc::default();
        let recorder = Recorder::new("R", vec![Box::new(Keep(Arc::clone(&events)))]);
        let about = [("PROVISION_RUN", "R".to_owned()), ("A", String::new()), ("B", String::new())];
        (recorder, Hooked { hooks, events, about, refused: Mutex::new(false) })
    }

    #[tokio::test]
    async fn a_hook_gets_the_events_so_far_and_where_the_run_is() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("seen");
        let (recorder, hooked) = hooked(&format!(
            "{{ echo $PROVISION_HOOK $PROVISION_STAGE $PROVISION_RUN; cat; }} >'{}'",
            to.display()
        ));
        recorder.emit(Event::StageStarted { stage: "S".into(), hosts: 1, actions: 1 });
        Between::before(&hooked, "Mesos agents").await.unwrap();
        let seen = std::fs::read_to_string(to).unwrap();
        let (first, events) = seen.split_once('\n').unwrap();
        assert_eq!(first, "before-stage Mesos agents R");
        assert!(
            events.contains("\"event\":\"stage_started\"") && events.ends_with('\n'),
            "{events}"
        );
        assert!(!hooked.refused());
    }

    #[tokio::test]
    async fn a_hook_that_fails_refuses_whether_it_read_the_events_or_not() {
        let (recorder, hooked) = hooked("exit 7");
        for _ in 0..2000 {
            recorder.emit(Event::StageStarted { stage: "S".repeat(100), hosts: 1, actions: 1 });
        }
        let why = hooked.before().await.unwrap_err().to_string();
        assert_eq!(why, "the hook `before` (/bin/sh) refused: exit status: 7; nothing was changed");
        assert!(hooked.refused());
        let (_, hooked) = self::hooked("");
        hooked.before().await.unwrap();
        let missing = Hooked {
            hooks: Hooks { before: vec!["/nowhere/at/all".to_owned()], ..Hooks::default() },
            ..hooked
        };
        let why = missing.before().await.unwrap_err().to_string();
        assert!(why.contains("cannot be run: No such file"), "{why}");
    }
}

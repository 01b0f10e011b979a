//! Signals: the first asks a run to end, the second ends it.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use crate::apply::Stop;
use crate::event::{Event, Sink as _};
use crate::report::exit;
use crate::ui::{Recorder, line};

/// Ctrl-C once finishes what runs; twice leaves at once, saying what may still run.
pub(super) fn watch(stop: &Arc<Stop>, recorder: &Arc<Recorder>) {
    for (kind, name) in [
        (SignalKind::interrupt(), "SIGINT"),
        (SignalKind::terminate(), "SIGTERM"),
        (SignalKind::hangup(), "SIGHUP"),
    ] {
        let Ok(mut signals) = signal(kind) else { continue };
        let (stop, recorder) = (Arc::clone(stop), Arc::clone(recorder));
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                let running = stop.running();
                if stop.asked() {
                    let mut err = std::io::stderr().lock();
                    for action in &running {
                        line(&mut err, &format!("may still run: {action}"));
                    }
                    line(
                        &mut err,
                        "left at once; running actions end by themselves on their hosts, and the next apply waits for them",
                    );
                    leave_at_once(match name {
                        "SIGHUP" => 129,
                        "SIGTERM" => 143,
                        _ => i32::from(exit::INTERRUPTED),
                    });
                }
                stop.ask();
                recorder.emit(Event::Interrupted { signal: name.to_owned(), running });
            }
        });
    }
}

#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "the second signal asks for exactly this"
)]
fn leave_at_once(code: i32) -> ! {
    std::process::exit(code)
}

//! Who holds a host's lock, as the host has it written down.

use std::fmt;

/// The line in the lock's file, taken apart. It is shown and compared, never trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holder {
    /// Id of the run.
    pub run: String,
    /// The action that runs, unless it is between two.
    pub action: Option<String>,
    /// Its shell on the host.
    pub pid: String,
    /// Who started the run.
    pub by: String,
    /// From which machine.
    pub from: String,
    /// Since when, by the host's clock.
    pub since: String,
    /// Whether anybody can still speak to that shell.
    pub controller: Controller,
}

/// Whether whoever started a run can still speak to its shell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Controller {
    /// It can, as far as the host can tell.
    #[default]
    There,
    /// Its end of the connection is closed: the lock is free as soon as the running action ends.
    Gone,
    /// It is gone, and its action has ended: what that left running has the lock open, a daemon perhaps.
    Over,
}

impl Holder {
    /// Reads `run=… step=… pid=… by=… from=… since=…` and perhaps `orphan=yes`, `over=yes`.
    pub fn parse(line: &str) -> Holder {
        let field = |name: &str| {
            line.split_whitespace()
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
                .map(str::to_owned)
        };
        Holder {
            run: field("run").unwrap_or_default(),
            action: field("step").filter(|action| action != "-"),
            pid: field("pid").unwrap_or_default(),
            by: field("by").unwrap_or_default(),
            from: field("from").unwrap_or_default(),
            since: field("since").unwrap_or_default(),
            controller: match (field("orphan"), field("over")) {
                (Some(_), Some(_)) => Controller::Over,
                (Some(_), None) => Controller::Gone,
                (None, _) => Controller::There,
            },
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.run.is_empty() {
            return f.write_str("a process that is taking it just now");
        }
        let Holder { run, by, from, since, pid, .. } = self;
        write!(f, "run {run} by {by} from {from} since {since}")?;
        match (&self.action, self.controller) {
            (Some(action), Controller::Gone) => {
                write!(f, "; its controller is gone and its action {action} still runs (pid {pid})")
            }
            (_, Controller::Over) => {
                f.write_str("; it has ended, and what it left running keeps the lock")
            }
            (None, Controller::Gone) => write!(f, "; its controller is gone (pid {pid})"),
            (Some(action), Controller::There) => write!(f, "; it is at {action} (pid {pid})"),
            (None, Controller::There) => write!(f, " (pid {pid})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_named_with_all_that_is_known_of_it() {
        let line = "run=r1 step=zk/start pid=12 by=alice from=laptop since=2026-01-01T00:00:00Z";
        let holder = Holder::parse(line);
        assert_eq!(
            holder.to_string(),
            "run r1 by alice from laptop since 2026-01-01T00:00:00Z; it is at zk/start (pid 12)"
        );
        let orphan = Holder::parse(&format!("{line} orphan=yes"));
        assert_eq!(orphan.controller, Controller::Gone);
        assert!(orphan.to_string().ends_with("zk/start still runs (pid 12)"));
        let over = Holder::parse(&format!("{line} orphan=yes over=yes"));
        assert_eq!(over.controller, Controller::Over);
        assert!(over.to_string().ends_with("what it left running keeps the lock"));
        assert_eq!(Holder::parse(&line.replace("zk/start", "-")).action, None);
        assert_eq!(Holder::parse("").to_string(), "a process that is taking it just now");
    }
}

//! A systemd unit. A restart is a state, not an event: the digest of all that the process depends on
//! is stamped, with the unit's InvocationID, once the process was found healthy.

use super::file::{stat, text};
use super::{Facts, Gap, Look};
use crate::script::{Fix, Probe, Sections, Step, quote, quote_all};

/// Directory of the stamps.
pub const STAMPS: &str = "/var/lib/provision/stamps";

/// A systemd unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Unit name without `.service`.
    pub unit: String,
    /// What it should be.
    pub state: State,
    /// Paths that its process reads at its start.
    pub inputs: Vec<String>,
    /// Digest of all that the process depends on.
    pub digest: String,
    /// Where the stamp is.
    pub stamp: String,
    /// Shell lines between stop and start, when the change needs them.
    pub between: Option<String>,
    /// A command that succeeds once the service answers; tried for 30 s after a start.
    pub ready: Option<&'static str>,
    /// Files of which one must exist for the service to make sense here. Where none does, the unit is
    /// left stopped and disabled, and that is reported as `not_run`.
    pub needs: Vec<String>,
}

/// What a unit should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Enabled and running, with the inputs as they are.
    Running,
    /// Not running and not started at boot.
    Stopped,
    /// Never started, not even by a package's installation.
    Masked,
}

impl Service {
    /// A unit that runs.
    pub fn running(unit: &str, digest: String, inputs: Vec<String>) -> Service {
        Service { digest, inputs, ..Service::of(unit, State::Running) }
    }

    /// A unit in a state that needs no digest.
    pub fn of(unit: &str, state: State) -> Service {
        Service {
            unit: unit.to_owned(),
            state,
            inputs: Vec::new(),
            digest: String::new(),
            stamp: format!("{STAMPS}/{unit}.service"),
            between: None,
            ready: None,
            needs: Vec::new(),
        }
    }

    /// What is wanted.
    pub fn want(&self) -> Facts {
        match self.state {
            State::Running => Facts::from([
                ("active", "active".to_owned()),
                ("enabled", "enabled".to_owned()),
                ("inputs", self.digest.clone()),
                ("process", "current".to_owned()),
            ]),
            State::Stopped => {
                Facts::from([("active", "inactive".to_owned()), ("enabled", "disabled".to_owned())])
            }
            State::Masked => Facts::from([("load", "masked".to_owned())]),
        }
    }

    /// Starts, restarts, stops or masks. `start` returning 0 proves nothing, so the gate decides.
    pub fn fix(&self, gaps: &[Gap]) -> Vec<Step> {
        let unit = quote(&self.unit);
        let script = match self.state {
            State::Masked => format!(
                "systemctl unmask --runtime -q {unit} 2>/dev/null || :\n\
                 systemctl stop {unit} 2>/dev/null || :\nsystemctl mask {unit}"
            ),
            State::Stopped => format!(
                "systemctl daemon-reload\nsystemctl disable {unit} 2>/dev/null || :\n\
                 systemctl stop {unit}\nsystemctl reset-failed {unit} 2>/dev/null || :"
            ),
            State::Running => {
                // Only what concerns the unit file: the process is right as it is.
                let enable_only = gaps.iter().all(|gap| gap.fact == "enabled");
                let enable = format!(
                    "systemctl daemon-reload\nsystemctl unmask --runtime -q {unit} 2>/dev/null || :\n\
                     systemctl unmask -q {unit} 2>/dev/null || :\nsystemctl enable -q {unit}"
                );
                if enable_only {
                    enable
                } else {
                    let verb = match &self.between {
                        None => format!("systemctl restart {unit}"),
                        Some(between) => {
                            format!("systemctl stop {unit}\n{between}\nsystemctl start {unit}")
                        }
                    };
                    // A unit that hit its start limit would refuse the next start. Of one that does not
                    // start, systemctl only says where to read on.
                    format!(
                        "{}gave_up() {{ journalctl -u {unit} -n 18 -o cat --no-pager 2>/dev/null || :; die {unit} \"$*\"; }}\n\
                         rm -f {}\n{enable}\nsystemctl reset-failed {unit} 2>/dev/null || :\n\
                         {verb} || gave_up does not start{}",
                        self.needed(),
                        quote(&self.stamp),
                        self.wait()
                    )
                }
            }
        };
        vec![Step::Run(Fix::new(script))]
    }

    fn needed(&self) -> String {
        if self.needs.is_empty() {
            return String::new();
        }
        let unit = quote(&self.unit);
        let tests: Vec<String> =
            self.needs.iter().map(|p| format!("[ -e {} ]", quote(p))).collect();
        format!(
            "if ! {{ {}; }}; then\nsystemctl daemon-reload\nsystemctl disable -q {unit} 2>/dev/null || :\n\
             systemctl stop {unit} 2>/dev/null || :\nsay {}\nexit {}\nfi\n",
            tests.join(" || "),
            quote(&format!("none of {} is there", self.needs.join(", "))),
            super::proof::NOT_RUN
        )
    }

    fn wait(&self) -> String {
        self.ready.map_or_else(String::new, |ready| {
            format!(
                "\nn=0\nuntil {ready} 2>/dev/null; do\n  n=$((n + 1)); [ $n -lt 60 ] || {{ {ready} || :; gave_up does not answer; }}\n  sleep 0.5\ndone"
            )
        })
    }

    /// Writes the stamp: sent once the process was found healthy.
    pub fn stamp(&self) -> Fix {
        let (unit, stamp) = (quote(&self.unit), quote(&self.stamp));
        Fix::new(format!(
            "mkdir -p {STAMPS}\n\
             id=$(systemctl show -p InvocationID --value {unit})\n\
             text=\"inputs={}\ninvocation=$id\n\"\n\
             sum=$(printf '%s' \"$text\" | sha256sum); sum=${{sum%% *}}\n\
             put {stamp} root root 600 \"$sum\" \"$text\"",
            self.digest
        ))
    }

    /// Whether closing these gaps disturbs the running process.
    pub fn disturbs(&self, gaps: &[Gap]) -> bool {
        self.state != State::Masked && gaps.iter().any(|gap| gap.fact != "enabled")
    }

    /// Whether closing these gaps ends a process that runs now.
    pub fn interrupts(&self, gaps: &[Gap]) -> bool {
        self.disturbs(gaps) && !gaps.iter().any(|gap| gap.fact == "active")
    }
}

/// One `systemctl show` for every unit of a host.
pub fn probe(all: &[&Service]) -> Probe {
    if all.is_empty() {
        return Probe::default();
    }
    let units: Vec<String> = all.iter().map(|it| format!("{}.service", it.unit)).collect();
    Probe::new("units", show(units.iter().map(String::as_str)))
}

/// `systemctl show` of some units, as [`unit()`] reads it.
pub fn show<'a>(units: impl IntoIterator<Item = &'a str>) -> String {
    format!(
        "systemctl show --timestamp=unix -p Id -p LoadState -p ActiveState -p SubState -p UnitFileState \
         -p InvocationID -p ExecMainStartTimestamp -p ActiveEnterTimestamp -p NRestarts -p Result -- {} 2>/dev/null",
        quote_all(units)
    )
}

/// What systemd says of one unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit<'a> {
    /// `loaded`, `not-found`, `masked`, …
    pub load: &'a str,
    /// `active`, `activating`, `inactive`, `failed`, …
    pub active: &'a str,
    /// `running`, `auto-restart`, `exited`, …
    pub sub: &'a str,
    /// `enabled`, `disabled`, `masked`, `masked-runtime`, …
    pub file: &'a str,
    /// Identifies this run of the unit.
    pub invocation: &'a str,
    /// When its main process started, seconds since the epoch.
    pub started: Option<u64>,
    /// How often systemd restarted it.
    pub restarts: u32,
    /// `success`, `exit-code`, `signal`, …
    pub result: &'a str,
}

/// Finds one unit in the answer of [`show`].
pub fn unit<'a>(name: &str, answer: &'a str) -> Option<Unit<'a>> {
    let id = format!("{name}.service");
    answer.split("\n\n").find_map(|block| {
        let mut unit = Unit::default();
        let mut mine = false;
        for (key, value) in block.lines().filter_map(|line| line.split_once('=')) {
            let time = || value.strip_prefix('@').and_then(|t| t.parse().ok()).filter(|t| *t > 0);
            match key {
                "Id" => mine = value == id,
                "LoadState" => unit.load = value,
                "ActiveState" => unit.active = value,
                "SubState" => unit.sub = value,
                "UnitFileState" => unit.file = value,
                "InvocationID" => unit.invocation = value,
                "ExecMainStartTimestamp" => unit.started = time(),
                "NRestarts" => unit.restarts = value.parse().unwrap_or(0),
                "Result" => unit.result = value,
                _ => {}
            }
        }
        mine.then_some(unit)
    })
}

/// Facts of one service.
pub fn read(service: &Service, sections: &Sections) -> Look {
    let Some(answer) = sections.get("units") else {
        return Look::Failed("systemctl show gave no answer".to_owned());
    };
    let Some(unit) = unit(&service.unit, answer) else {
        return Look::Failed(format!("systemctl show said nothing of {}.service", service.unit));
    };
    // Not there at all. Wanted stopped, that is as good as it gets.
    if unit.load == "not-found" && unit.active == "inactive" {
        return Look::Facts(match service.state {
            State::Stopped => service.want(),
            State::Running | State::Masked => Facts::new(),
        });
    }
    let mut facts = Facts::from([
        ("load", unit.load.to_owned()),
        ("active", unit.active.to_owned()),
        (
            "enabled",
            if unit.file.is_empty() { "disabled".to_owned() } else { unit.file.to_owned() },
        ),
    ]);
    // A unit that systemd keeps restarting is "activating"; say what a person would say.
    if unit.sub == "auto-restart" {
        facts.insert("active", "restarting".to_owned());
    }
    // Units that a package does not bring itself (SysV) count as their generator says.
    if unit.active == "failed" && service.state == State::Stopped {
        facts.insert("active", "inactive".to_owned());
    }
    // What can never start does not start at boot either.
    if unit.file.starts_with("masked") && service.state == State::Stopped {
        facts.insert("enabled", "disabled".to_owned());
    }
    // What it needs is not there: stopped and disabled is as right as it can be.
    let lacking = !service.needs.is_empty()
        && !service.needs.iter().any(|path| stat(path, sections).is_some());
    if lacking && unit.load == "loaded" && unit.active == "inactive" && unit.file == "disabled" {
        return Look::Facts(service.want());
    }
    let stamp = text(&service.stamp, sections).unwrap_or("");
    let field = |name: &str| stamp.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
    if let Some(inputs) = field("inputs") {
        facts.insert("inputs", inputs.to_owned());
    }
    if unit.active == "active" {
        let newest =
            service.inputs.iter().filter_map(|p| stat(p, sections)).map(|s| s.changed).max();
        let process = if field("invocation") == Some(unit.invocation) {
            "current"
        } else {
            match (newest, unit.started) {
                // Whole seconds on both sides: the same second does not prove "before".
                (Some(newest), Some(started)) if newest >= started => "older than its files",
                (_, None) => "of unknown age",
                _ => "current, started by somebody else",
            }
        };
        facts.insert("process", process.to_owned());
    }
    Look::Facts(facts)
}

/// A process that somebody else started after its inputs were last touched: right as long as no input
/// has a gap. The planner, who knows that, decides with [`settle`].
pub const FOREIGN: &str = "current, started by somebody else";

/// Decides about a process that somebody else started.
pub fn settle(facts: &mut Facts, inputs: InputsGap) {
    if facts.get("process").map(String::as_str) == Some(FOREIGN) && inputs == InputsGap::None {
        facts.insert("process", "current".to_owned());
    }
}

/// Whether any input of a service is not as wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputsGap {
    /// All are as wanted.
    None,
    /// At least one is not.
    Some,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOW: &str = "Id=a.service\nLoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nInvocationID=i1\nExecMainStartTimestamp=@100\nNRestarts=0\nResult=success\n\nId=b.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\nInvocationID=\nExecMainStartTimestamp=\nNRestarts=0\nResult=success\n";

    fn look(stamp: &str, changed: u64) -> Facts {
        let service = Service::running("a", "d1".into(), vec!["/f".into()]);
        let sections = Sections::from([
            ("units".to_owned(), SHOW.to_owned()),
            ("texts".to_owned(), format!("==> {} <==\n{stamp}", service.stamp)),
            ("stat".to_owned(), format!("regular file|root:root|644|1|{changed}|/f|'/f'\n")),
        ]);
        match read(&service, &sections) {
            Look::Facts(facts) => facts,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stamped_process_is_current_whatever_its_files_say() {
        assert_eq!(look("inputs=d1\ninvocation=i1\n", 500)["process"], "current");
    }

    #[test]
    fn a_process_started_by_hand_is_judged_by_the_age_of_its_files() {
        let old = "inputs=d1\ninvocation=i0\n";
        assert_eq!(look(old, 500)["process"], "older than its files");
        assert_eq!(look(old, 100)["process"], "older than its files");
        let mut facts = look(old, 99);
        settle(&mut facts, InputsGap::Some);
        assert_eq!(facts["process"], FOREIGN);
        settle(&mut facts, InputsGap::None);
        assert_eq!(facts["process"], "current");
    }

    #[test]
    fn units_are_told_apart() {
        assert_eq!(unit("b", SHOW).unwrap().load, "not-found");
        assert_eq!(unit("a", SHOW).unwrap().started, Some(100));
        assert_eq!(unit("c", SHOW), None);
    }
}

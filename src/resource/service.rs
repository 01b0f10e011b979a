//! A systemd unit. A restart is a state, not an event: the digest of all that the process depends on
//! is stamped, with the unit's InvocationID, once the process was found healthy.

use std::collections::BTreeSet;

use super::evidence::Evidence;
use super::paths::{stat, text};
use super::{Facts, Gap, Kind, Look, ResourceId};
use crate::script::{Fix, Probe, Sections, Step, quote};

/// Whether a host answered that a unit of it was once started by us; of a unit that it was not asked about, no.
pub fn is_stamped(unit: &str, sections: &Sections) -> bool {
    text(&format!("{STAMPS}/{unit}.service"), sections).is_some()
}

/// Directory of the stamps.
pub const STAMPS: &str = "/var/lib/provision/stamps";

/// A systemd unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Unit name without `.service`.
    pub unit: String,
    /// What it should be.
    pub state: State,
    /// Paths that its process reads at its start.
    pub inputs: Vec<String>,
    /// Digest of all that the process depends on; it is stamped once the process was found healthy.
    pub digest: String,
    /// Where the stamp is.
    pub stamp: String,
    /// Shell lines between stop and start, when the change needs them.
    pub between: Option<String>,
    /// What tells, after a start, that the service answers; nothing goes on before.
    pub ready: Option<Ready>,
    /// How it is told whether a process that nobody of ours ever started runs as wanted.
    pub evidence: Option<Box<Evidence>>,
    /// Files of which one must exist for the service to make sense here. Where none does, the unit is
    /// left stopped and disabled, and that is reported as `not_run`.
    pub needs: Vec<String>,
}

/// How it is told that a service answers that was just started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// A command that succeeds then.
    pub command: String,
    /// Seconds that it is tried for, twice in each; its own time comes on top.
    pub secs: u32,
}

/// What a unit should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Enabled and running, with the inputs as they are.
    Running,
    /// Not running and not started at boot.
    Stopped,
    /// The same, but where we never found it healthy: then it is somebody else's, and left alone.
    Left,
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
            evidence: None,
            needs: Vec::new(),
        }
    }

    fn stops(&self) -> bool {
        matches!(self.state, State::Stopped | State::Left)
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
        self.ready.as_ref().map_or_else(String::new, |Ready { command, secs }| {
            format!(
                "\nn=0\nuntil {command} 2>/dev/null; do\n  n=$((n + 1)); [ $n -lt {} ] || {{ {command} || :; gave_up does not answer; }}\n  sleep 0.5\ndone",
                secs * 2
            )
        })
    }

    fn stamping(&self) -> Fix {
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
}

impl Kind for Service {
    fn id(&self) -> ResourceId {
        ResourceId { kind: "service", name: self.unit.clone() }
    }

    fn want(&self) -> Facts {
        match self.state {
            State::Running => Facts::from([
                ("active", "active".to_owned()),
                ("enabled", "enabled".to_owned()),
                ("inputs", self.digest.clone()),
                ("process", "current".to_owned()),
            ]),
            State::Stopped | State::Left => {
                Facts::from([("active", "inactive".to_owned()), ("enabled", "disabled".to_owned())])
            }
            State::Masked => Facts::from([("load", "masked".to_owned())]),
        }
    }

    /// One `systemctl show` for every unit of a host of which it decides something: each costs systemd
    /// milliseconds, one that does not exist above all, for it is looked for on disk every time.
    fn probe(all: &[&Self]) -> Probe {
        if all.is_empty() {
            return Probe::default();
        }
        let mut script = "set --\n".to_owned();
        for it in all {
            let (unit, add) = (quote(&format!("{}.service", it.unit)), named(&it.unit));
            let line = match it.state {
                State::Running | State::Stopped => add,
                State::Left => format!("[ ! -e {} ] || {add}", quote(&it.stamp)),
                // What masks it for good.
                State::Masked => format!(
                    "if [ /etc/systemd/system/{unit} -ef /dev/null ]; then printf 'Id=%s\\nLoadState=masked\\n\\n' {unit}; \
                     else {add}; fi"
                ),
            };
            script.push_str(&line);
            script.push('\n');
        }
        script.push_str(SHOW);
        let mut probe = Probe::new("units", script);
        for it in all {
            if let Some(evidence) = &it.evidence {
                let script = evidence.probe(&it.unit, &it.stamp);
                probe.section(&format!("process.{}", it.unit), script);
            }
        }
        probe
    }

    fn read(&self, sections: &Sections) -> Look {
        let Some(answer) = sections.get("units") else {
            return Look::Failed("systemctl show gave no answer".to_owned());
        };
        if self.state == State::Left && text(&self.stamp, sections).is_none() {
            return Look::Facts(self.want());
        }
        let Some(unit) = unit(&self.unit, answer) else {
            return Look::Failed(format!("systemctl show said nothing of {}.service", self.unit));
        };
        // Not there at all. Wanted stopped, that is as good as it gets.
        if unit.load == "not-found" && unit.active == "inactive" {
            return Look::Facts(match self.state {
                State::Stopped | State::Left => self.want(),
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
        if unit.active == "failed" && self.stops() {
            facts.insert("active", "inactive".to_owned());
        }
        // What can never start does not start at boot either.
        if unit.file.starts_with("masked") && self.stops() {
            facts.insert("enabled", "disabled".to_owned());
        }
        // What it needs is not there: stopped and disabled is as right as it can be.
        let lacking =
            !self.needs.is_empty() && !self.needs.iter().any(|path| stat(path, sections).is_some());
        if lacking && unit.load == "loaded" && unit.active == "inactive" && unit.file == "disabled"
        {
            return Look::Facts(self.want());
        }
        let stamp = text(&self.stamp, sections).unwrap_or("");
        let field =
            |name: &str| stamp.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
        if let Some(inputs) = field("inputs") {
            facts.insert("inputs", inputs.to_owned());
        }
        if unit.active == "active" {
            let newest =
                self.inputs.iter().filter_map(|p| stat(p, sections)).map(|s| s.changed).max();
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
            let said = sections.get(&format!("process.{}", self.unit));
            if field("inputs").is_none()
                && let (Some(evidence), Some(said)) = (&self.evidence, said)
                && evidence.holds(said, unit.started, sections)
            {
                facts.insert("inputs", self.digest.clone());
                facts.insert("process", AS_WANTED.to_owned());
            }
        }
        Look::Facts(facts)
    }

    /// Starts, restarts, stops or masks. `start` returning 0 proves nothing, so the gate decides.
    fn fix(&self, gaps: &[Gap]) -> Vec<Step> {
        let unit = quote(&self.unit);
        let script = match self.state {
            State::Masked => format!(
                "systemctl unmask --runtime -q {unit} 2>/dev/null || :\n\
                 systemctl stop {unit} 2>/dev/null || :\nsystemctl mask {unit}"
            ),
            State::Stopped | State::Left => format!(
                "systemctl daemon-reload\nsystemctl disable {unit} 2>/dev/null || :\n\
                 systemctl stop {unit}\nsystemctl reset-failed {unit} 2>/dev/null || :"
            ),
            State::Running => {
                // Only what concerns the unit file: the process is right as it is.
                let enable_only = gaps.iter().all(|gap| gap.fact == "enabled" || takes_over(gap));
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
                         mkdir -p {STAMPS}; echo inputs={RESTARTING} > {}\n{enable}\nsystemctl reset-failed {unit} 2>/dev/null || :\n\
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

    /// It has been stopped.
    fn undo(&self) -> Option<String> {
        (self.state == State::Running).then(|| format!("rm -f {}", quote(&self.stamp)))
    }

    fn paths(&self) -> Vec<&str> {
        self.inputs.iter().chain(&self.needs).map(String::as_str).collect()
    }

    fn texts(&self) -> Vec<&str> {
        vec![&self.stamp]
    }

    /// Decides about a process that somebody else started.
    fn settle(&self, facts: &mut Facts, touched: &BTreeSet<&str>) {
        let right = !self.inputs.iter().any(|path| touched.contains(path.as_str()));
        if right && facts.get("process").map(String::as_str) == Some(FOREIGN) {
            facts.insert("process", "current".to_owned());
        }
    }

    fn runs(&self) -> Option<&str> {
        (self.state == State::Running).then_some(self.unit.as_str())
    }

    fn disturbs(&self, gaps: &[Gap]) -> bool {
        self.state != State::Masked
            && gaps.iter().any(|gap| gap.fact != "enabled" && !takes_over(gap))
    }

    fn interrupts(&self, gaps: &[Gap]) -> bool {
        let gaps_of = |fact| gaps.iter().find(|gap: &&Gap| gap.fact == fact);
        match self.state {
            State::Running => self.disturbs(gaps) && gaps_of("active").is_none(),
            State::Stopped | State::Left => gaps_of("active").is_some(),
            // Whatever there is of it may run.
            State::Masked => gaps_of("load").is_some_and(|gap| gap.seen.is_some()),
        }
    }

    fn stamp(&self) -> Option<Fix> {
        (self.state == State::Running).then(|| self.stamping())
    }
}

/// `systemctl show` of one unit, as [`unit()`] reads it.
pub fn show(unit: &str) -> String {
    format!("set --\n{}\n{SHOW}", named(unit))
}

/// A line that names one more unit for [`SHOW`].
fn named(unit: &str) -> String {
    format!("set -- \"$@\" {}", quote(&format!("{unit}.service")))
}

/// `systemctl show` of the units in `$@`, as [`unit()`] reads it. Before systemd 251, of Debian 11 say, it knows no
/// `--timestamp=unix` and shows nothing at all; then it is asked for its own way of writing time, in UTC.
const SHOW: &str = "[ $# = 0 ] || {
set -- -p Id -p LoadState -p ActiveState -p SubState -p UnitFileState -p InvocationID \
-p ExecMainStartTimestamp -p ActiveEnterTimestamp -p NRestarts -p Result -- \"$@\"
systemctl show --timestamp=unix \"$@\" 2>/dev/null || TZ=UTC0 systemctl show \"$@\" 2>/dev/null
}";

/// Seconds since the epoch of `@1700000000` or `Tue 2023-11-14 22:13:20 UTC`.
fn moment(text: &str) -> Option<u64> {
    if let Some(seconds) = text.strip_prefix('@') {
        return seconds.parse().ok().filter(|seconds| *seconds > 0);
    }
    let words: Vec<&str> = text.split(' ').collect();
    let &[_, date, time, "UTC"] = words.as_slice() else { return None };
    let numbers = |text: &str, by: char| -> Option<[u64; 3]> {
        let numbers: Option<Vec<u64>> = text.split(by).map(|it| it.parse().ok()).collect();
        numbers?.try_into().ok()
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(time, ':')?);
    // Days of the Gregorian calendar, years beginning in March, so that the leap day is the last of one.
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * ((month + 9) % 12) + 2) / 5 + day;
    Some(days.checked_sub(DAYS_BEFORE_1970)? * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// What the sum of [`moment`] makes of 1 January 1970.
const DAYS_BEFORE_1970: u64 = 719_469;

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

/// Finds one unit in the answer of [`SHOW`].
pub fn unit<'a>(name: &str, answer: &'a str) -> Option<Unit<'a>> {
    let id = format!("{name}.service");
    answer.split("\n\n").find_map(|block| {
        let mut unit = Unit::default();
        let mut mine = false;
        for (key, value) in block.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "Id" => mine = value == id,
                "LoadState" => unit.load = value,
                "ActiveState" => unit.active = value,
                "SubState" => unit.sub = value,
                "UnitFileState" => unit.file = value,
                "InvocationID" => unit.invocation = value,
                "ExecMainStartTimestamp" => unit.started = moment(value),
                "NRestarts" => unit.restarts = value.parse().unwrap_or(0),
                "Result" => unit.result = value,
                _ => {}
            }
        }
        mine.then_some(unit)
    })
}

/// A process that somebody else started after its inputs were last touched: right as long as no input
/// has a gap.
pub const FOREIGN: &str = "current, started by somebody else";

/// A process that we never found healthy and that runs as wanted.
pub const AS_WANTED: &str = "as wanted, started by somebody else";

/// What a stamp says from before a restart until the process was found healthy: that there was one.
pub const RESTARTING: &str = "restarting";

/// Whether a gap is closed by taking a process over as it runs.
fn takes_over(gap: &Gap) -> bool {
    gap.fact == "process" && gap.seen.as_deref() == Some(AS_WANTED)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::mesos::flags::Component;
    use crate::mesos::process::Flags;
    use crate::mesos::versions::Version;
    use crate::resource::package::Packages;

    const SHOWN: &str = "Id=a.service\nLoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nInvocationID=i1\nExecMainStartTimestamp=@100\nNRestarts=0\nResult=success\n\nId=b.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\nInvocationID=\nExecMainStartTimestamp=\nNRestarts=0\nResult=success\n";

    fn service() -> Service {
        Service::running("a", "d1".into(), vec!["/f".into()])
    }

    fn look(stamp: &str, changed: u64) -> Facts {
        let service = service();
        let sections = Sections::from([
            ("units".to_owned(), SHOWN.to_owned()),
            ("texts".to_owned(), format!("==> {} <==\n{stamp}", service.stamp)),
            ("stat".to_owned(), format!("regular file|root:root|644|1|{changed}|/f|'/f'\n")),
        ]);
        match service.read(&sections) {
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
        service().settle(&mut facts, &BTreeSet::from(["/f"]));
        assert_eq!(facts["process"], FOREIGN);
        service().settle(&mut facts, &BTreeSet::from(["/g"]));
        assert_eq!(facts["process"], "current");
    }

    /// A service asked for with `--quorum=2` and a variable, with what runs.
    fn by_hand(
        (cmdline, environ): (&str, &str),
        stamp: Option<&str>,
        package: &str,
    ) -> (Service, Facts) {
        let flags = Flags::from([("quorum".to_owned(), "2".to_owned())]);
        let version = Version::parse("1.11.0").unwrap();
        let mut wanted = Packages::named("mesos", ["mesos"]);
        wanted.packages = vec![("mesos".to_owned(), Some("1.11.0".to_owned()))];
        let daemon = Component::Master;
        let environment = BTreeMap::from([("GLOG_v".to_owned(), "1".to_owned())]);
        let wanted = Box::new(wanted);
        let evidence = Evidence::Flags { daemon, flags, environment, version, package: wanted };
        let service = Service { evidence: Some(Box::new(evidence)), ..service() };
        let hex = |text: &str| text.bytes().map(|byte| format!(" {byte:02x}")).collect::<String>();
        let texts = stamp.map_or(String::new(), |s| format!("==> {} <==\n{s}", service.stamp));
        let sections = Sections::from([
            ("units".to_owned(), SHOWN.to_owned()),
            ("texts".to_owned(), texts),
            ("stat".to_owned(), "regular file|root:root|644|1|500|/f|'/f'\n".to_owned()),
            (
                "packages".to_owned(),
                format!("dpkg installed 1 amd64\nmesos installed {package} amd64\n"),
            ),
            ("process.a".to_owned(), format!("{}\n=\n{}\n=\n", hex(cmdline), hex(environ))),
        ]);
        let Look::Facts(facts) = service.read(&sections) else { panic!() };
        (service, facts)
    }

    #[test]
    fn a_process_that_runs_as_wanted_is_taken_over_and_not_restarted() {
        let right = "mesos-master\0--quorum=2\0";
        let told = "GLOG_v=1\0";
        let (service, facts) = by_hand((right, told), None, "1.11.0-2.0.1");
        let gaps = super::super::diff(&service.want(), &facts);
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert!(!service.disturbs(&gaps) && !service.interrupts(&gaps));
        let [Step::Run(fix)] = &service.fix(&gaps)[..] else { panic!() };
        assert!(!fix.text().contains("restart"), "{}", fix.text());
        assert!(service.stamp().is_some());
        // Other flags or variables, TLS that is not wanted, another package, a restart of ours that was cut short,
        // nobody to ask.
        let spoken = "GLOG_v=1\0LIBPROCESS_SSL_ENABLED=true\0";
        for (runs, stamp, package) in [
            (("mesos-master\0--quorum=1\0", told), None, "1.11.0-2.0.1"),
            ((right, "GLOG_v=2\0"), None, "1.11.0-2.0.1"),
            ((right, ""), None, "1.11.0-2.0.1"),
            ((right, spoken), None, "1.11.0-2.0.1"),
            ((right, told), None, "1.10.0-2.0.1"),
            ((right, told), Some("inputs=restarting\n"), "1.11.0-2.0.1"),
            (("", told), None, "1.11.0-2.0.1"),
        ] {
            let (service, facts) = by_hand(runs, stamp, package);
            let gaps = super::super::diff(&service.want(), &facts);
            assert!(service.interrupts(&gaps), "{runs:?} {stamp:?} {package}");
        }
    }

    #[test]
    fn time_is_read_as_either_systemd_writes_it() {
        for (text, seconds) in [
            ("@1700000000", Some(1_700_000_000)),
            ("Tue 2023-11-14 22:13:20 UTC", Some(1_700_000_000)),
            ("Thu 2024-02-29 00:00:00 UTC", Some(1_709_164_800)),
            ("Fri 2024-03-01 00:00:01 UTC", Some(1_709_251_201)),
            ("Thu 1970-01-01 00:00:00 UTC", Some(0)),
            ("Mon 2026-11-30 11:22:33 UTC", Some(1_796_037_753)),
            ("", None),
            ("@0", None),
            ("n/a", None),
            ("Tue 2023-11-14 22:13:20 CET", None),
        ] {
            assert_eq!(moment(text), seconds, "{text}");
        }
    }

    #[test]
    fn units_are_told_apart() {
        assert_eq!(unit("b", SHOWN).unwrap().load, "not-found");
        assert_eq!(unit("a", SHOWN).unwrap().started, Some(100));
        assert_eq!(unit("c", SHOWN), None);
    }
}

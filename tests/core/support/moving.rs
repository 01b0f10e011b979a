//! Hosts that are a model and do not stand still: what is asked and done takes time, machines fall and come back,
//! connections hang, leaders change, the operator stops or is stopped. After every call the laws of a quorum are held
//! against the model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use provision::apply::Stop;
use provision::event::{Event, Sink};
use provision::ground::HostName;
use provision::plan::{Action, Plan};
use provision::remote::{Ask, Change, Ended};
use provision::resource::service::Service;
use provision::resource::{Look, diff, probe, read};
use provision::script::{Fix, Probe, Push, Sections, Step};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::chance::{Chance, Set, bit, each, has, size};
use super::fake::lock;
use super::quorums::{Quorums, number};
use super::world::{Reach, World};

/// The hosts, behind both keys, and whoever listens.
#[derive(Debug)]
pub(crate) struct Moving {
    pub(crate) state: Mutex<State>,
    pub(crate) stop: Arc<Stop>,
    /// Our own process was killed.
    pub(crate) killed: Notify,
}

/// What happens, and what was seen of it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) world: World,
    plan: Plan,
    chance: Chance,
    began: Instant,
    /// How much goes wrong.
    rates: Rates,
    /// What ends, and when.
    ends: Vec<(u64, Trouble)>,
    next_trouble: u64,
    last_trouble: u64,
    slow: BTreeMap<HostName, u64>,
    calls: usize,
    cut: Option<Cut>,
    /// When the last wave began, and which quorums served then.
    wave: (u64, Served),
    /// Members that were started by us in this run.
    started: BTreeSet<(HostName, &'static str)>,
    pub(crate) troubled: bool,
    pub(crate) events: Vec<Event>,
    pub(crate) trace: Vec<String>,
    pub(crate) violation: Option<String>,
}

/// How often something goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rates {
    /// The longest time between two troubles, in seconds; 0 for none.
    pub(crate) every: u64,
    /// Of a thousand calls so many are lost, done or not.
    pub(crate) lost: u64,
}

/// Where a run ends early: after so many calls.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// The operator asks to stop.
    CtrlC(usize),
    /// Our process is killed.
    Kill(usize),
}

/// How many members the quorums have that serve: of the leader's list, that its log needs; 0 where none does.
#[derive(Debug, Clone, Copy, Default)]
struct Served {
    ensemble: usize,
    masters: usize,
    /// Servers and masters that did not: whoever does not serve may restart beside others that do not.
    out: Set,
    out_of_masters: Set,
}

#[derive(Debug, Clone)]
enum Trouble {
    /// The power fails.
    Falls,
    /// The network of a host is cut, and what runs there runs on.
    CutOff,
    /// Its sshd does not answer.
    NoSsh,
    /// It answers late.
    Slow(u64),
    /// A process hangs.
    Wedged(&'static str),
    /// A process ends, and systemd starts it anew.
    Crashes(&'static str),
    /// The ensemble, or the masters, elect.
    Elects(&'static str),
    /// It is over, on this host.
    Over(HostName),
}

/// The clock begins here: before, the quorums had time to elect.
pub(crate) const BEGINNING: u64 = 120_000;
const UNITS: [&str; 2] = ["zookeeper", "mesos-master"];
/// A question that was put before a trouble may be answered as if it were not.
const BLIND: u64 = 25_000;

impl Moving {
    pub(crate) fn new(mut world: World, chance: Chance) -> Moving {
        world.quorums = Some(Quorums::new(Chance(chance.0 ^ 1)));
        world.advance(BEGINNING);
        let state = State {
            world,
            plan: Plan::default(),
            chance,
            began: Instant::now(),
            rates: Rates::default(),
            ends: Vec::new(),
            next_trouble: u64::MAX,
            last_trouble: 0,
            slow: BTreeMap::new(),
            calls: 0,
            cut: None,
            wave: (0, Served::default()),
            started: BTreeSet::new(),
            troubled: false,
            events: Vec::new(),
            trace: Vec::new(),
            violation: None,
        };
        Moving { state: Mutex::new(state), stop: Arc::new(Stop::default()), killed: Notify::new() }
    }

    /// The same hosts for another run.
    pub(crate) fn again(mut self, plan: Plan, rates: Rates, cut: Option<Cut>) -> Moving {
        let state = self.state.get_mut().expect("no panic");
        state.plan = plan;
        state.rates = rates;
        state.cut = cut;
        state.calls = 0;
        state.troubled = false;
        state.events.clear();
        state.started.clear();
        state.plan_trouble();
        self.stop = Arc::new(Stop::default());
        self
    }

    fn delays(&self, host: &HostName) -> (Duration, Duration) {
        let mut state = lock(&self.state);
        let most = state.slow.get(host).copied().unwrap_or(400);
        let (before, after) = (state.chance.between(10, most), state.chance.between(10, most));
        (Duration::from_millis(before), Duration::from_millis(after))
    }

    async fn call(&self, host: &HostName, name: &str, fix: Option<&Fix>) -> Result<Ended, String> {
        let (before, after) = self.delays(host);
        sleep(before).await;
        let (ended, cut) = {
            let mut state = lock(&self.state);
            state.step();
            let ended = state.call(host, name, fix);
            let calls = state.calls;
            let cut = state.cut;
            match cut {
                Some(Cut::CtrlC(at)) if at == calls => {
                    state.say("Ctrl-C");
                    self.stop.ask();
                }
                Some(Cut::Kill(at)) if at == calls => state.say("killed"),
                _ => {}
            }
            (ended, matches!(cut, Some(Cut::Kill(at)) if at <= calls))
        };
        if cut {
            self.killed.notify_one();
            std::future::pending::<()>().await;
        }
        // Whoever hears nothing finds out after a while.
        sleep(if ended.is_err() { Duration::from_secs(45) } else { after }).await;
        ended
    }
}

impl State {
    /// Milliseconds.
    pub(crate) fn at(&self) -> u64 {
        BEGINNING + self.began.elapsed().as_millis() as u64
    }

    pub(crate) fn say(&mut self, what: &str) {
        let at = self.at();
        self.trace.push(format!("{:>8.1} {what}", at as f64 / 1000.0));
    }

    fn violate(&mut self, what: String) {
        self.say(&format!("VIOLATION {what}"));
        self.violation.get_or_insert(what);
    }

    fn quorums(&self) -> &Quorums {
        self.world.quorums.as_ref().expect("quorums that move")
    }

    /// What happens until now.
    pub(crate) fn step(&mut self) {
        let at = self.at();
        loop {
            let end = self.ends.iter().map(|(due, _)| *due).min().unwrap_or(u64::MAX);
            let due = end.min(self.next_trouble);
            if due > at {
                break;
            }
            self.world.advance(due);
            if end == due {
                let index = self.ends.iter().position(|(when, _)| *when == due).expect("one");
                let (_, trouble) = self.ends.remove(index);
                if let Trouble::Over(host) = trouble {
                    self.heal(&host);
                }
            } else {
                self.trouble();
                self.plan_trouble();
            }
            self.check("trouble");
        }
        self.world.advance(at);
        self.check("time");
    }

    fn check(&mut self, after: &str) {
        let quorums = self.world.quorums.as_mut().expect("quorums that move");
        if let Some(broken) = quorums.broken() {
            self.violate(format!("after {after}: {broken}"));
        }
    }

    fn check_danger(&mut self, after: &str) {
        if let Some(danger) = self.quorums().danger(&self.world.machines) {
            self.violate(format!("after {after}: {danger}"));
        }
    }

    fn plan_trouble(&mut self) {
        let from = self.at().max(if self.next_trouble == u64::MAX { 0 } else { self.next_trouble });
        self.next_trouble = match self.rates.every {
            0 => u64::MAX,
            every => from + self.chance.between(1000, every * 1000),
        };
    }

    fn trouble(&mut self) {
        let hosts: Vec<HostName> =
            self.world.machines.keys().filter(|host| number(host).is_some()).cloned().collect();
        let host = self.chance.pick(&hosts).clone();
        let unit = *self.chance.pick(&UNITS);
        let trouble = match self.chance.between(0, 9) {
            0 | 1 => Trouble::Falls,
            2 => Trouble::CutOff,
            3 => Trouble::NoSsh,
            4 => Trouble::Slow(self.chance.between(1000, 14_000)),
            5 => Trouble::Wedged(unit),
            6 | 7 => Trouble::Crashes(unit),
            _ => Trouble::Elects(unit),
        };
        let number = number(&host).expect("a number");
        if has(self.quorums().gone, number) {
            return;
        }
        let at = self.quorums().at;
        (self.last_trouble, self.troubled) = (at, true);
        self.trace.push(format!("{:>8.1} {host}: {trouble:?}", at as f64 / 1000.0));
        let lasts = at + self.chance.between(3_000, 240_000);
        let machine = self.world.machines.get_mut(&host).expect("a machine");
        match trouble {
            Trouble::Falls => machine.fall(),
            Trouble::CutOff if machine.reach != Reach::Dead => machine.reach = Reach::Dead,
            Trouble::NoSsh if machine.reach == Reach::Whole => machine.reach = Reach::NoSsh,
            Trouble::Slow(most) => drop(self.slow.insert(host.clone(), most)),
            Trouble::Wedged(unit) => {
                if let Some(unit) = machine.units.get_mut(unit).filter(|unit| unit.active) {
                    unit.wedged = true;
                }
            }
            Trouble::Crashes(unit) => {
                if machine.runs(unit) && machine.reach != Reach::Dead {
                    self.world.restart_by_hand(&host, unit);
                }
                return;
            }
            Trouble::Elects(unit) => {
                let quorums = self.world.quorums.as_mut().expect("quorums that move");
                match unit {
                    "zookeeper" => quorums.ensemble.disturb(at),
                    _ => quorums.log.disturb(at),
                }
                return;
            }
            _ => {}
        }
        // Some stay so until somebody comes.
        if self.chance.percent(75) {
            self.ends.push((lasts, Trouble::Over(host)));
        }
    }

    /// Whatever is wrong with a host is over.
    pub(crate) fn heal(&mut self, host: &HostName) {
        let number = number(host).expect("a number");
        if has(self.quorums().gone, number) {
            return;
        }
        self.last_trouble = self.quorums().at;
        self.slow.remove(host);
        let machine = self.world.machines.get_mut(host).expect("a machine");
        machine.units.values_mut().for_each(|unit| unit.wedged = false);
        let off = machine.reach == Reach::Dead && machine.units.values().all(|unit| !unit.active);
        machine.reach = Reach::Whole;
        if off {
            self.world.boot(host);
        }
        let at = self.quorums().at;
        self.trace.push(format!("{:>8.1} {host} is well", at as f64 / 1000.0));
    }

    /// Everybody is well, but for those that are gone.
    pub(crate) fn heal_all(&mut self) {
        self.step();
        self.ends.clear();
        (self.rates, self.next_trouble) = (Rates::default(), u64::MAX);
        let hosts: Vec<HostName> = self.world.machines.keys().cloned().collect();
        for host in hosts.iter().filter(|host| number(host).is_some()) {
            self.heal(host);
        }
        self.slow.clear();
    }

    /// A host that will never be again.
    pub(crate) fn bury(&mut self, host: usize) {
        self.step();
        let name = super::quorums::name(host);
        self.world.machines.get_mut(&name).expect("a machine").fall();
        self.world.quorums.as_mut().expect("quorums that move").gone |= bit(host);
        self.say(&format!("{name} is gone"));
    }

    /// The quorums that serve.
    fn served(&self) -> Served {
        let quorums = self.quorums();
        let leader = quorums.log.leader().filter(|_| quorums.log.serves());
        let says = leader.and_then(|leader| quorums.log.says(leader, quorums.at));
        let ensemble = &quorums.ensemble;
        let serves = |host: &usize| {
            use super::ensemble::Says;
            let says = ensemble.says(*host, quorums.at);
            matches!(says, Says::Follower | Says::Leader(_) | Says::Standalone)
        };
        // One that has just been started and does not answer yet is out as much as one that does not follow.
        let out =
            !each(ensemble.all_up(quorums.at)).filter(serves).fold(0, |set, host| set | bit(host));
        // One that leads and has no quorum any more writes nothing.
        let voters = size(quorums.log.votes(quorums.at));
        let masters = says.map_or(0, |says| says.quorum);
        let masters = if voters >= masters { masters } else { 0 };
        let out_of_masters = !quorums.log.votes(quorums.at);
        Served { ensemble: ensemble.size(), masters, out, out_of_masters }
    }

    fn call(&mut self, host: &HostName, name: &str, fix: Option<&Fix>) -> Result<Ended, String> {
        self.calls += 1;
        if self.world.machines[host].reach != Reach::Whole {
            self.say(&format!("{host}: {name}: cannot be reached"));
            return Err("it does not answer on port 22".to_owned());
        }
        let lost = self.chance.next() % 1000 < self.rates.lost;
        if lost && self.chance.percent(50) {
            self.troubled = true;
            self.say(&format!("{host}: {name}: lost before it was done"));
            return Err("the connection was lost".to_owned());
        }
        let process = |state: &State, unit: &str| {
            let unit = state.world.machines[host].units.get(unit);
            unit.filter(|unit| unit.active).map(|unit| unit.invocation())
        };
        let before = UNITS.map(|unit| process(self, unit));
        let done = match fix {
            Some(fix) => self.act(host, name, fix),
            None => Ok(()),
        };
        self.say(&format!("{host}: {name}{}", if done.is_ok() { "" } else { ": failed" }));
        let at = self.at();
        self.world.advance(at);
        for (unit, before) in UNITS.into_iter().zip(before) {
            let now = process(self, unit);
            if now != before {
                self.judge(host, unit, now.is_some(), before.is_some());
            }
        }
        if lost {
            self.troubled = true;
            self.say(&format!("{host}: {name}: lost after it was done"));
            return Err("the connection was lost".to_owned());
        }
        let (status, said) = done.map_or_else(|why| (1, why), |()| (0, String::new()));
        Ok(Ended { status, output_tail: said, log: std::path::PathBuf::new() })
    }

    fn act(&mut self, host: &HostName, name: &str, fix: &Fix) -> Result<(), String> {
        if let Some(verb) = name.strip_suffix(" mesos-slave").filter(|verb| !verb.contains('/'))
            && verb != "stamp"
        {
            self.world.tell_agent(host, verb);
            return Ok(());
        }
        let planned: Vec<Action> =
            self.plan.actions().filter(|(at, _)| *at == host).map(|(_, it)| it.clone()).collect();
        if name.starts_with("stamp ") {
            let mut services = planned.iter().filter_map(|it| it.resource.get::<Service>());
            let stamped = services.find(|service| {
                use provision::resource::Kind as _;
                service.stamp().as_ref() == Some(fix)
            });
            self.world.stamp(host, stamped.ok_or("a stamp of nothing")?);
            return Ok(());
        }
        for action in planned.iter().filter(|it| format!("{}/{}", it.task, it.id()) == *name) {
            let gaps = match action.later {
                None => action.gaps.clone(),
                Some(_) => {
                    let asked = probe(&[&action.resource]);
                    match read(&action.resource, &self.world.answer(host, &asked)?) {
                        Look::Facts(facts) => diff(&action.resource.want(), &facts),
                        other => return Err(format!("{other:?}")),
                    }
                }
            };
            let does = |step: &Step| matches!(step, Step::Run(it) | Step::Reboot(it) if it == fix);
            if action.resource.fix(&gaps).iter().any(does) {
                return self.world.act(host, &action.resource, &gaps);
            }
        }
        Err(format!("nobody planned {name}"))
    }

    /// Those that another server's list names: whoever else runs is no member, whatever its own list says.
    fn counted(&self) -> Set {
        let lists = self.world.standing().0;
        lists.iter().fold(0, |set, (host, list)| set | list & !bit(*host))
    }

    /// Whether no more than two servers are to run.
    fn pair(&self) -> bool {
        let counted = self.counted();
        self.world.standing().0.keys().filter(|host| has(counted, **host)).count() <= 2
    }

    /// The laws of a quorum, once one of its members was started, started anew or stopped.
    fn judge(&mut self, host: &HostName, unit: &'static str, runs: bool, ran: bool) {
        let Some(number) = number(host) else { return };
        let what = match (runs, ran) {
            (true, true) => "restarted",
            (true, false) => "started",
            _ => "stopped",
        };
        let call = format!("{host}'s {unit} was {what}");
        self.check_danger(&call);
        let (wave, served) = self.wave;
        let ours = self.last_trouble + BLIND < wave;
        let at = self.quorums().at;
        let members = if unit == "zookeeper" { served.ensemble } else { served.masters };
        let healthy = members > 0;
        let peers: Vec<&HostName> = self
            .started
            .iter()
            .filter(|(peer, of)| *of == unit && peer != host)
            .map(|it| &it.0)
            .collect();
        let counted = self.counted();
        let quorums = self.quorums();
        let starting = peers.into_iter().find(|peer| {
            let peer = super::quorums::number(peer).expect("a number");
            match unit {
                "zookeeper" => quorums.ensemble.starting(peer, at),
                _ => quorums.log.starting(peer, at),
            }
        });
        let mut wrong = None;
        // One that serves alone and becomes several: the others cannot answer before it is one of them.
        let alone = unit == "zookeeper" && members == 1;
        let out = match unit {
            "zookeeper" => has(served.out, number),
            _ => has(served.out_of_masters, number),
        };
        if let (Some(peer), true, true, true) = (starting, ran && !out, healthy && !alone, ours) {
            wrong = Some(format!("{call} while {peer}, that we started, did not answer yet"));
        }
        if healthy && ours && ran && quorums.gone == 0 {
            let lost = match unit {
                // Where two of three are to be left they have nobody to spare.
                "zookeeper" => {
                    let up = quorums.ensemble.all_up(at) & counted;
                    let pair = members == 3 && size(up) <= 2;
                    members >= 3 && !quorums.ensemble.bears(at) && !(pair && self.pair())
                }
                _ => {
                    // Where one of two is left, it serves with a lower quorum.
                    let others = size(quorums.log.votes(at) & !bit(number));
                    members >= 2 && others >= 2 && others + usize::from(runs) < members
                }
            };
            if lost {
                wrong = Some(format!("{call}, and a quorum that served is lost"));
            }
        }
        if let Some(wrong) = wrong {
            self.violate(wrong);
        }
        if runs {
            self.started.insert((host.clone(), unit));
        }
    }
}

impl Ask for Moving {
    async fn ask(
        &self,
        host: &HostName,
        probe: &Probe,
        limit: Duration,
    ) -> Result<Sections, String> {
        let (before, after) = self.delays(host);
        sleep(before).await;
        let answer = {
            let mut state = lock(&self.state);
            state.step();
            state.world.answer(host, probe)
        };
        if answer.is_err() || before + after >= limit {
            sleep(limit.saturating_sub(before)).await;
            return Err("it did not answer in time".to_owned());
        }
        sleep(after).await;
        answer
    }
}

impl Change for Moving {
    async fn run(&self, host: &HostName, name: &str, fix: &Fix) -> Result<Ended, String> {
        self.call(host, name, Some(fix)).await
    }

    async fn reboot(&self, host: &HostName, name: &str, fix: &Fix) -> Result<Ended, String> {
        self.call(host, name, Some(fix)).await
    }

    async fn push(&self, host: &HostName, push: &Push) -> Result<Ended, String> {
        self.call(host, &format!("push {}", push.name), None).await
    }
}

impl Sink for Moving {
    fn emit(&self, event: Event) {
        let mut state = lock(&self.state);
        match &event {
            Event::WaveStarted { stage, hosts, .. } => {
                let hosts: Vec<&str> = hosts.iter().map(HostName::as_str).collect();
                state.say(&format!("== {stage}: {}", hosts.join(" ")));
                state.wave = (state.at(), state.served());
            }
            Event::GateWaiting { waiting_for, .. } => state.say(&format!("waits: {waiting_for}")),
            Event::GateEnded { open: false, .. } => state.say("a gate stays shut"),
            Event::Blocked { host, task, reason } => {
                state.say(&format!("! {host}: {task}: {reason}"));
            }
            _ => {}
        }
        state.events.push(event);
    }
}

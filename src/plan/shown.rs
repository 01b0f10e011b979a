//! A plan as it is shown, of one that was just made or of one that was saved: hosts with the same gaps
//! folded, or every host for itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use super::content::{self, Change};
use super::text::{Sign, counted, symbol};
use super::{Plan, saved};
use crate::ground::HostName;
use crate::inventory::ranges;

/// A plan as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    stages: Vec<Part>,
    running: Vec<(HostName, String)>,
    blocked: Vec<(HostName, String)>,
    unreachable: Vec<(HostName, String)>,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    title: String,
    waves: Vec<Vec<(HostName, Vec<Does>)>>,
}

/// What is done to one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Does {
    sign: Sign,
    kind: String,
    name: String,
    why: String,
    content: Option<Change>,
}

/// How a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Whether hosts with the same gaps are folded.
    pub hosts: Hosts,
    /// Whether the contents of files are shown.
    pub contents: Contents,
}

/// Whether hosts with the same gaps are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hosts {
    /// Together.
    Folded,
    /// Each for itself.
    Each,
}

/// Whether the contents of files are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// One line says what kind of difference it is.
    Named,
    /// Before and after.
    Shown,
}

impl Look {
    /// Every host for itself; contents are named.
    pub const WHOLE: Look = Look { hosts: Hosts::Each, contents: Contents::Named };
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Blanks before it.
    pub indent: &'static str,
    /// What is coloured: a title, a symbol, a line of a file that comes or goes.
    pub head: String,
    /// The rest of it.
    pub rest: String,
    /// How its head is coloured.
    pub tone: Tone,
}

/// What a head is, for who colours it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// A title, or the last line.
    Title,
    /// Something comes.
    Add,
    /// Something changes.
    Change,
    /// Something goes.
    Remove,
    /// What is said beside.
    Faint,
    /// It is left undone.
    Blocked,
    /// It did not answer.
    Unreachable,
    /// Text.
    Plain,
}

/// Names that are shown of a group before the rest is only counted.
const NAMES: usize = 6;

impl Shown {
    /// One that was just made.
    pub fn of(plan: &Plan) -> Shown {
        let stages = plan.stages.iter().map(|stage| {
            let waves = stage.waves.iter().map(|wave| {
                let hosts = wave.hosts.iter().map(|(host, actions)| {
                    let does = actions.iter().map(|action| Does {
                        sign: symbol(action),
                        kind: action.id().kind.to_owned(),
                        name: action.id().name,
                        why: action.why(),
                        content: content::change(action),
                    });
                    (host.clone(), does.collect())
                });
                hosts.collect()
            });
            Part { title: stage.title.clone(), waves: waves.collect() }
        });
        let running = plan.disruptions.iter().map(|(host, it)| (host.clone(), it.to_string()));
        let blocked = plan
            .blocked
            .iter()
            .map(|it| (it.host.clone(), format!("{}: blocked: {}", it.task, it.because)));
        let unreachable = plan.unreachable.iter().map(|(host, why)| (host.clone(), why.clone()));
        Shown {
            stages: stages.collect(),
            running: running.collect(),
            blocked: blocked.collect(),
            unreachable: unreachable.collect(),
        }
    }

    /// One that was saved.
    pub fn of_saved(saved: &saved::Saved) -> Shown {
        let stages = saved.stages.iter().map(|stage| {
            let waves = stage.waves.iter().map(|wave| {
                let hosts = wave.iter().map(|host| {
                    let actions = stage.hosts.get(host).into_iter().flatten();
                    let does = actions.map(|action| {
                        let (kind, name) = action.resource.split_once(' ').unwrap_or_default();
                        Does {
                            sign: Sign::parse(&action.does).unwrap_or(Sign::Look),
                            kind: kind.to_owned(),
                            name: name.to_owned(),
                            why: action.why.clone(),
                            content: action.content.clone(),
                        }
                    });
                    (host.clone(), does.collect())
                });
                hosts.collect()
            });
            Part { title: stage.title.clone(), waves: waves.collect() }
        });
        let blocked = saved.blocked.iter().filter_map(|it| {
            let (host, rest) = it.split_once(": ")?;
            let (task, because) = rest.split_once(": ")?;
            Some((HostName::new(host), format!("{task}: blocked: {because}")))
        });
        let pairs = |map: &BTreeMap<HostName, String>| {
            map.iter().map(|(host, why)| (host.clone(), why.clone())).collect()
        };
        Shown {
            stages: stages.collect(),
            running: pairs(&saved.running),
            blocked: blocked.collect(),
            unreachable: pairs(&saved.unreachable),
        }
    }

    /// All of it, the summary last.
    pub fn lines(&self, look: Look) -> Vec<Line> {
        let mut lines = Vec::new();
        for part in &self.stages {
            match look.hosts {
                Hosts::Folded => part.folded(look.contents, &mut lines),
                Hosts::Each => part.each(look.contents, &mut lines),
            }
        }
        if !self.running.is_empty() {
            lines.push(Line::title("Running work"));
        }
        let mut rest = |tone, head: &str, all: &[(HostName, String)]| {
            for (hosts, what) in grouped(all, look.hosts) {
                lines.push(Line::of("  ", head, format!("{hosts}: {what}"), tone));
            }
        };
        rest(Tone::Plain, "", &self.running);
        rest(Tone::Blocked, "! ", &self.blocked);
        let unreachable: Vec<(HostName, String)> = self
            .unreachable
            .iter()
            .map(|(host, why)| (host.clone(), format!("unreachable: {why}")))
            .collect();
        rest(Tone::Unreachable, "! ", &unreachable);
        lines.push(Line::title(&self.summary()));
        lines
    }

    /// The last line.
    pub fn summary(&self) -> String {
        let all = || {
            let waves = self.stages.iter().flat_map(|stage| &stage.waves).flatten();
            waves.flat_map(|(host, does)| does.iter().map(move |does| (host, does)))
        };
        let count = |sign| all().filter(|(_, does)| does.sign == sign).count();
        let (adds, changes) = (count(Sign::Add), count(Sign::Change));
        let removals = count(Sign::Remove);
        let hosts: BTreeSet<&HostName> =
            all().filter(|(_, does)| does.sign != Sign::Look).map(|(host, _)| host).collect();
        if hosts.is_empty() && self.blocked.is_empty() && self.unreachable.is_empty() {
            return "No changes. The cluster matches the inventory.".to_owned();
        }
        let removals = match removals {
            0 => String::new(),
            n => format!(", {n} to remove"),
        };
        let mut line = if hosts.is_empty() {
            "No changes that could be made".to_owned()
        } else {
            let hosts = counted(hosts.len(), "host");
            format!("Plan: {adds} to add, {changes} to change{removals}, on {hosts}")
        };
        if !self.blocked.is_empty() {
            let _ = write!(line, "; {} blocked", self.blocked.len());
        }
        if !self.unreachable.is_empty() {
            let _ = write!(line, "; {} unreachable", counted(self.unreachable.len(), "host"));
        }
        line.push('.');
        line
    }
}

impl Part {
    /// Wave by wave, host by host.
    fn each(&self, contents: Contents, lines: &mut Vec<Line>) {
        lines.push(Line::title(&self.title));
        for (index, wave) in self.waves.iter().enumerate() {
            if self.waves.len() > 1 {
                let names: Vec<&str> = wave.iter().map(|(host, _)| host.as_str()).collect();
                let (at, of) = (index + 1, self.waves.len());
                let text = format!("wave {at} of {of}: {}", names.join(", "));
                lines.push(Line::of("  ", "", text, Tone::Plain));
            }
            for (host, all) in wave {
                for does in all {
                    does.draw(host.as_str(), &does.resource(), contents, lines);
                }
            }
        }
    }

    /// Each line once, with all hosts that it is about; those of every wave together.
    fn folded(&self, contents: Contents, lines: &mut Vec<Line>) {
        let order = match &self.waves[..] {
            [] | [_] => String::new(),
            waves => {
                let alone = waves.iter().all(|wave| wave.len() == 1);
                let of_wave = |wave: &Vec<(HostName, Vec<Does>)>| {
                    let hosts = ranges::fold(wave.iter().map(|(host, _)| host.as_str()));
                    cut(&hosts)
                };
                let mut shown: Vec<String> = waves.iter().take(NAMES).map(of_wave).collect();
                if waves.len() > NAMES {
                    shown.push("…".to_owned());
                }
                match alone {
                    true => format!(", one by one: {}", shown.join(", ")),
                    false => format!(", in {} waves: {}", waves.len(), shown.join("; then ")),
                }
            }
        };
        lines.push(Line { rest: order, ..Line::title(&self.title) });
        // Which line it is about whom; the order is that of the first host that has it.
        let mut groups: Vec<(&Does, Vec<&HostName>)> = Vec::new();
        let mut known: HashMap<(&str, &str, &str, Option<&Change>), usize> = HashMap::new();
        for (host, all) in self.waves.iter().flatten() {
            for does in all {
                let content = does.content.as_ref().filter(|_| contents == Contents::Shown);
                let key = (does.kind.as_str(), does.name.as_str(), does.why.as_str(), content);
                let at = *known.entry(key).or_insert_with(|| {
                    groups.push((does, Vec::new()));
                    groups.len() - 1
                });
                match groups.get_mut(at) {
                    // What a host does twice is one line too.
                    Some((_, hosts)) if hosts.last() != Some(&host) => hosts.push(host),
                    _ => {}
                }
            }
        }
        let mut rest = &groups[..];
        while let [(first, hosts), ..] = rest {
            let same = |(does, of): &&(&Does, Vec<&HostName>)| {
                of == hosts
                    && does.alike(first)
                    && (contents == Contents::Named || does.content.is_none())
            };
            let alike = rest.iter().take_while(same).count().max(1);
            let (group, others) = rest.split_at(alike);
            let resource = together(group.iter().map(|(does, _)| *does));
            let mut hosts = hosts.clone();
            hosts.sort();
            hosts.dedup();
            first.draw(&shown_hosts(&hosts), &resource, contents, lines);
            rest = others;
        }
    }
}

impl Does {
    fn resource(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    /// Whether the same is done to another resource of the kind; of files, to one beside it.
    fn alike(&self, other: &Does) -> bool {
        let beside = self.kind != "file" || self.directory() == other.directory();
        beside && self.kind == other.kind && self.sign == other.sign && self.why == other.why
    }

    fn directory(&self) -> &str {
        self.name.rsplit_once('/').map_or("", |(directory, _)| directory)
    }

    fn draw(&self, hosts: &str, resource: &str, contents: Contents, lines: &mut Vec<Line>) {
        let rest = format!("{hosts}: {resource}: {}", self.why);
        lines.push(Line::of("  ", &format!("{} ", self.sign.symbol()), rest, self.sign.tone()));
        if contents == Contents::Named {
            return;
        }
        match &self.content {
            Some(change) => lines.extend(content::lines(change).into_iter().map(|text| {
                let tone = match text.chars().next() {
                    Some('+') => Tone::Add,
                    Some('-') => Tone::Remove,
                    _ => Tone::Plain,
                };
                Line::of("      ", &text, String::new(), tone)
            })),
            None if self.kind == "file" && self.sign != Sign::Look => {
                let text = "what it holds is not shown: not everybody may read it, or it could not be read";
                lines.push(Line::of("      ", "", text.to_owned(), Tone::Plain));
            }
            None => {}
        }
    }
}

impl Line {
    fn title(text: &str) -> Line {
        Line::of("", text, String::new(), Tone::Title)
    }

    fn of(indent: &'static str, head: &str, rest: String, tone: Tone) -> Line {
        Line { indent, head: head.to_owned(), rest, tone }
    }
}

/// Resources of one kind that the same is done to.
fn together<'a>(all: impl Iterator<Item = &'a Does>) -> String {
    let all: Vec<&Does> = all.collect();
    let [first, _, ..] = all[..] else {
        return all.first().map_or_else(String::new, |d| d.resource());
    };
    if first.kind == "file" {
        let last = |does: &&Does| does.name.rsplit('/').next().unwrap_or_default().to_owned();
        let files: Vec<String> = all.iter().map(last).collect();
        return format!("files in {}: {}", first.directory(), files.join(", "));
    }
    let names = ranges::fold(all.iter().map(|does| does.name.as_str()));
    format!("{} {}", first.kind, names.join(", "))
}

/// Hosts of one line: all by name, or where there are many as ranges and how many they are.
pub fn shown_hosts(hosts: &[&HostName]) -> String {
    match hosts {
        [one] => one.to_string(),
        _ => {
            let folded = ranges::fold(hosts.iter().map(|host| host.as_str()));
            format!("{} ({})", cut(&folded), counted(hosts.len(), "host"))
        }
    }
}

/// The first of them.
fn cut(names: &[String]) -> String {
    match names.get(..NAMES) {
        Some(first) if names.len() > NAMES => {
            format!("{} and {} more", first.join(", "), names.len() - NAMES)
        }
        _ => names.join(", "),
    }
}

/// Sentences about hosts, those that say the same together: what names the host itself counts for the same.
pub fn grouped(all: &[(HostName, String)], hosts: Hosts) -> Vec<(String, String)> {
    if hosts == Hosts::Each {
        return all.iter().map(|(host, what)| (host.to_string(), what.clone())).collect();
    }
    let mut groups: Vec<(String, Vec<&(HostName, String)>)> = Vec::new();
    for one in all {
        let (host, what) = one;
        let general = general(what, host.as_str());
        match groups.iter_mut().find(|(key, _)| *key == general) {
            Some((_, members)) => members.push(one),
            None => groups.push((general, vec![one])),
        }
    }
    let shown = groups.into_iter().map(|(general, members)| match &members[..] {
        [(host, what)] => (host.to_string(), what.clone()),
        [(_, first), ..] => {
            let mut hosts: Vec<&HostName> = members.iter().map(|(host, _)| host).collect();
            hosts.sort();
            hosts.dedup();
            let same = members.iter().all(|(_, what)| what == first);
            (shown_hosts(&hosts), if same { first.clone() } else { general })
        }
        [] => (String::new(), general),
    });
    shown.collect()
}

/// A sentence in which the host's own name and addresses are called so.
pub fn general(what: &str, host: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let address = bare.parse::<std::net::IpAddr>().is_ok()
            || bare.parse::<std::net::SocketAddr>().is_ok();
        match () {
            () if bare == host => word.replace(bare, "HOST"),
            () if address => word.replace(bare, "ADDRESS"),
            () => word.to_owned(),
        }
    };
    what.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

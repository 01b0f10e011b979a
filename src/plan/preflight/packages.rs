//! What apt would take away beside what it installs: simulated on the host, named in the plan, and done
//! only where the inventory allows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::absent::LISTS;
use super::error;
use crate::ground::{HostName, Problem};
use crate::inventory::Inventory;
use crate::plan::{Action, Plan};
use crate::resource::package::{LOSSES, Packages};
use crate::resource::{Gap, Resource};
use crate::script::{Probe, Sections, quote};
use crate::tasks::Task;

/// Name of the finding, and of what allows it.
pub(super) const REMOVES: &str = "removes-packages";

/// Section of the answer: `set NAME`, then what that set would take away, and what there is no package of.
pub(super) const SECTION: &str = "apt-losses";

/// Simulates what the plan would install on a host. What cannot be simulated yet (a repository that is to be
/// added, lists that are to be fetched) is held back by apt itself when it comes to it.
pub(super) fn probe(plan: &Plan, host: &HostName) -> Probe {
    let mut script = String::new();
    for (_, packages) in installs(plan).filter(|(it, _)| *it == host) {
        if script.is_empty() {
            script.push_str(LOSSES);
            script.push_str(LISTS);
        }
        // A .deb may still have to be sent.
        let files = packages.install.iter().filter(|word| word.starts_with('/'));
        let there: String = files.map(|file| format!("[ -f {} ] && ", quote(file))).collect();
        let (lines, words) = packages.words();
        script.push_str(&format!(
            "printf 'set %s\\n' {}\n{lines}{there}apt_losses {words}\n",
            quote(&packages.name)
        ));
    }
    if script.is_empty() { Probe::default() } else { Probe::new(SECTION, script) }
}

pub(super) fn installs(plan: &Plan) -> impl Iterator<Item = (&HostName, &Packages)> {
    plan.actions().filter_map(|(host, action)| Some((host, action.resource.get::<Packages>()?)))
}

/// What one set would take away: package and its version, with the lower one where it stays.
fn losses<'a>(answer: &'a str, set: &str) -> Vec<(&'a str, String)> {
    let mut mine = false;
    let mut losses = Vec::new();
    for line in answer.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["set", name] => mine = name == set,
            ["remove", name, version] if mine => losses.push((name, format!("{name} {version}"))),
            ["lower", name, from, to] if mine => {
                losses.push((name, format!("{name} {from} (for {to})")));
            }
            _ => {}
        }
    }
    losses
}

/// Puts what is taken away into the plan, and the word for it where it is given.
pub fn name_losses(
    inventory: &Inventory,
    plan: &mut Plan,
    answers: &BTreeMap<HostName, Sections>,
) -> Vec<(Option<HostName>, Problem)> {
    let mut found = Vec::new();
    let waves = plan.stages.iter_mut().flat_map(|stage| &mut stage.waves);
    for (host, actions) in waves.flat_map(|wave| &mut wave.hosts) {
        let answer = answers.get(host).and_then(|answer| answer.get(SECTION));
        for action in actions {
            let problem = answer.and_then(|answer| name_loss(inventory, action, answer));
            found.extend(problem.map(|problem| (Some(host.clone()), problem)));
        }
    }
    found
}

fn name_loss(inventory: &Inventory, action: &mut Action, answer: &str) -> Option<Problem> {
    let packages = action.resource.get::<Packages>()?;
    // The version of those that the inventory names is what it says.
    let stated = |name: &str| packages.packages.iter().any(|(it, v)| it == name && v.is_some());
    let mut losses = losses(answer, &packages.name);
    losses.retain(|(name, _)| !stated(name));
    if losses.is_empty() {
        return None;
    }
    let shown: Vec<&str> = losses.iter().map(|(_, shown)| shown.as_str()).collect();
    let shown = shown.join(", ");
    let message = format!("to install {} apt would take away {shown}", packages.install.join(", "));
    let may_lose = losses.iter().map(|(name, _)| (*name).to_owned()).collect();
    action.gaps.push(Gap { fact: "losses", seen: Some(shown), want: "nothing".to_owned() });
    if inventory.allow.contains_key(REMOVES) {
        let packages = Packages { may_lose, ..packages.clone() };
        action.resource = Arc::new(Resource::Packages(packages));
        return None;
    }
    Some(error(REMOVES, message).help(format!(
        "if they may go, say so: -e 'allow.{REMOVES}=REASON'; nothing is removed without it"
    )))
}

/// An engine under another name than the inventory's.
pub(super) fn other_engine(
    inventory: &Inventory,
    plan: &Plan,
    host: &HostName,
    installed: &str,
) -> Option<Problem> {
    let wanted = inventory.docker.package.as_deref()?;
    let installs = plan.actions().any(|(it, action)| {
        it == host && action.task == Task::Docker && action.id().kind == "packages"
    });
    let there = installed.split_whitespace().collect::<Vec<_>>();
    let other = ENGINES.iter().find(|engine| **engine != wanted && there.contains(engine))?;
    (installs && !there.contains(&wanted)).then(|| {
        error(
            "other-engine",
            format!("{other} is installed here, and {wanted} cannot be beside it"),
        )
        .help(format!("write docker: {{ package: {other} }}"))
    })
}

/// Packages that bring dockerd.
pub(super) const ENGINES: [&str; 4] = ["docker-ce", "docker.io", "moby-engine", "docker-engine"];

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::*;
    use crate::ground::Severity;
    use crate::lints::load::{Lab, load_text};
    use crate::plan::{Stage, Wave};
    use crate::script::Step;

    pub(in super::super) fn inventory(more: &str) -> Inventory {
        let text = format!(
            "version: 1\ncluster: c\nhosts: {{ m1: {{ address: 10.0.0.1 }}, a1: {{ address: 10.0.0.2 }} }}\n\
             zookeeper: {{ servers: {{ m1: 1 }} }}\nmesos:\n  version: 1.11.0\n  package: {{ preinstalled: true }}\n\
             \x20 masters: {{ hosts: [m1] }}\n  agents: {{ p: {{ hosts: [a1] }} }}\n{more}"
        );
        load_text("i", text.as_bytes(), Path::new("/"), &[], Lab::No).expect("good").inventory
    }

    fn plan() -> Plan {
        installing(Packages::named("docker", ["docker.io", "iptables"]), "a1")
    }

    /// A plan that installs these on a host.
    pub(in super::super) fn installing(packages: Packages, host: &str) -> Plan {
        let resource = Arc::new(Resource::Packages(packages));
        let action = Action::new(Task::Docker, resource, Vec::new());
        let hosts = BTreeMap::from([(HostName::new(host), vec![action])]);
        let (title, members) = (String::new(), BTreeMap::new());
        let (waves, inventory) = (vec![Wave { hosts }], Arc::new(inventory("")));
        let stage = Stage::new(&inventory, None, title, waves, members);
        Plan { stages: vec![stage], ..Plan::default() }
    }

    fn fixes(plan: &Plan) -> String {
        let mut text = String::new();
        for (_, action) in plan.actions() {
            for step in action.resource.fix(&action.gaps) {
                if let Step::Run(fix) = step {
                    text.push_str(fix.text());
                }
            }
        }
        text
    }

    #[test]
    fn what_apt_would_take_away_is_in_the_plan_and_goes_only_where_it_is_allowed() {
        let host = HostName::new("a1");
        let script = probe(&plan(), &host).script("N");
        assert!(script.contains("apt_losses docker.io iptables"), "{script}");
        assert_eq!(probe(&plan(), &HostName::new("m1")), Probe::default());
        let said = "set docker\nremove docker-ce 5:24\nlower runc 1.2 1.1\n".to_owned();
        let answers = BTreeMap::from([(host, Sections::from([(SECTION.to_owned(), said)]))]);
        for (allow, may_lose) in
            [("", "''"), ("allow: { removes-packages: old }\n", "'docker-ce runc'")]
        {
            let mut plan = plan();
            let found = name_losses(&inventory(allow), &mut plan, &answers);
            let shown: Vec<_> = found.iter().map(|(_, it)| (it.name, it.severity)).collect();
            let wanted = if allow.is_empty() { vec![(REMOVES, Severity::Error)] } else { vec![] };
            assert_eq!(shown, wanted);
            let text = crate::plan::text::plan(&plan);
            assert!(text.contains("takes away docker-ce 5:24, runc 1.2 (for 1.1)"), "{text}");
            let may_lose = format!("may_lose={may_lose} ");
            assert!(fixes(&plan).contains(&may_lose), "{}", fixes(&plan));
        }
    }

    #[test]
    fn another_engine_is_named() {
        let found = |more: &str, installed: &str| {
            let host = HostName::new("a1");
            other_engine(&inventory(more), &plan(), &host, installed).and_then(|it| it.help)
        };
        let written = Some("write docker: { package: docker-ce }".to_owned());
        assert_eq!(found("", "docker-ce"), written);
        assert_eq!(found("", ""), None);
        assert_eq!(found("", "docker.io"), None);
        assert_eq!(found("docker: { package: docker-ce }\n", "docker-ce"), None);
    }

    #[test]
    fn losses_are_those_of_their_set() {
        let answer = "set base\nset docker\nremove docker-ce 5:24\nlower runc 1.2 1.1\n";
        let shown: Vec<String> =
            losses(answer, "docker").into_iter().map(|(_, shown)| shown).collect();
        assert_eq!(shown, ["docker-ce 5:24", "runc 1.2 (for 1.1)"]);
        assert_eq!(losses(answer, "base"), []);
    }
}

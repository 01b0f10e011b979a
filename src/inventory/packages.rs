//! What the files that an inventory names say of themselves, held against what it says of them.

use std::collections::BTreeSet;

use super::decode::At;
use super::files::{Fetch, Source};
use super::mesos::{AgentUnit, Deb, Mesos, MesosPackage, Sums};
use super::resolve::Resolver;
use crate::ground::digest::sha256;
use crate::ground::problem::{Place, Problem};
use crate::local::packages::Debian;
use crate::mesos::versions::{Version, is_upstream};

/// A .deb: what is written of it, or what it says itself where it is here.
pub(super) fn deb(written: &Deb, r: &mut Resolver<'_>, mesos: &mut Mesos) {
    if let Some(name) = &written.name {
        mesos.package_name.clone_from(name);
    }
    if let Some(agent) = written.agent {
        mesos.agent_unit = agent;
    }
    let Some(file) = r.fetch(written.deb.as_ref(), &written.digest) else { return };
    let mut contents = None;
    if let (Source::Path(path), Some(at)) = (&file.source, &written.deb)
        && !r.files.may_be_missing(path)
    {
        match r.files.package(path) {
            Err(why) => {
                let message = format!("`{}` {why}", at.value);
                let problem = Problem::error(Some(at.place.clone()), "no-package", message);
                r.cx.problems
                    .push(problem.help("name a .deb file, as `dpkg-deb -I FILE` reads it"));
            }
            Ok(package) => {
                contents = Some(sums(&package));
                let problems = judge(written, at, &package, &mesos.version);
                r.cx.problems.extend(problems);
                mesos.agent_unit = agent(&package).unwrap_or(mesos.agent_unit);
                mesos.package_name = package.name;
            }
        }
    }
    mesos.package = MesosPackage::Deb { file, contents };
}

fn sums(package: &Debian) -> Sums {
    let lines: BTreeSet<&str> = package.sums.lines().collect();
    let sorted: String = lines.iter().map(|line| format!("{line}\n")).collect();
    Sums { list: sha256(&package.sums), files: sha256(sorted) }
}

/// What the package calls its agent; `None` where it brings none.
fn agent(package: &Debian) -> Option<AgentUnit> {
    let brings = |unit: &AgentUnit| {
        let service = format!("/systemd/system/{}.service", unit.name());
        package.paths.iter().any(|path| path.ends_with(&service))
    };
    AgentUnit::ALL.into_iter().find(brings)
}

fn judge(written: &Deb, at: &At<String>, package: &Debian, version: &Version) -> Vec<Problem> {
    let error = |name, message: String, help: String| {
        Problem::error(Some(at.place.clone()), name, message).help(help)
    };
    let mut found = Vec::new();
    let master = |path: &String| path.rsplit('/').next().is_some_and(|name| name == "mesos-master");
    let unit = |path: &String| path.ends_with("/systemd/system/mesos-master.service");
    let Debian { name, version: its, paths, .. } = package;
    if !paths.iter().any(|path| master(path) || unit(path)) {
        let message = format!("`{}` holds no Mesos: it is {name} {its}", at.value);
        return vec![error(
            "no-mesos",
            message,
            "name the package that brings mesos-master".to_owned(),
        )];
    }
    if agent(package).is_none() || !paths.iter().any(unit) {
        let message = format!("{name} {its} brings no units for systemd");
        let help =
            "take one with mesos-master.service and mesos-slave.service (or mesos-agent.service)";
        found.push(error("no-units", message, help.to_owned()));
    }
    if let Some(stated) = written.name.as_ref().filter(|stated| *stated != name) {
        let message = format!("the file is the package {name}, not {stated}");
        found.push(error("package-name", message, "delete `name`; the file says it".to_owned()));
    }
    if let (Some(stated), Some(is)) = (written.agent, agent(package))
        && stated != is
    {
        let message = format!("the file calls its agent {}, not {}", is.name(), stated.name());
        found.push(error("package-name", message, "delete `agent`; the file says it".to_owned()));
    }
    // A version that was refused makes no further mistakes.
    if version.at_least(&[0, 1]) && !is_upstream(its, version.as_str()) {
        let message = format!("`mesos.version` is {version}, and the file is {name} {its}");
        let help = format!("write `version: {}`, or name another file", upstream(its));
        found.push(error("package-version", message, help));
    }
    found
}

/// A Debian version without epoch and revision.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.rsplit_once('-').map_or(version, |(upstream, _)| upstream)
}

/// A Spark archive's directory, which has its version in its name when Apache made it.
pub(super) fn spark(r: &mut Resolver<'_>, place: &Place, file: &Fetch, version: &Version) {
    let Source::Path(path) = &file.source else { return };
    let Some(top) = r.files.top_directory(path) else { return };
    let its = top.strip_prefix("spark-").map(|rest| rest.split('-').next().unwrap_or(rest));
    let Some(its) = its.filter(|its| Version::parse(its).is_ok()) else { return };
    if version.at_least(&[0, 1]) && its != version.as_str() {
        let message = format!("`spark.version` is {version}, and the archive holds {top}");
        let problem = Problem::error(Some(place.clone()), "archive-version", message);
        r.cx.problems
            .push(problem.help(format!("write `version: {its}`, or name another archive")));
    }
}

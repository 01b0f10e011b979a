//! What constraints of Spark's come to on the agents that there are: the searches behind the lints that name them.

use std::collections::{BTreeMap, BTreeSet};

use super::spark::property;
use super::{Application, Hit, Look};
use crate::mesos::constraints::{Constraints, Match};
use crate::mesos::values::Value;

pub(super) fn bad_constraint(look: &Look<'_>) -> Vec<Hit> {
    let bad = |application: &Application| {
        let why = Constraints::parse(&application.workload.constraints).err()?;
        let path = application.path("constraints", "spark.mesos.constraints");
        Some(Hit::error(path, why, "write it as rack:r1,r2;ssd:"))
    };
    look.applications.iter().filter_map(bad).collect()
}

/// What every agent makes of the constraints, each sentence once; empty without constraints.
fn verdicts(look: &Look<'_>, constraints: &Constraints) -> (BTreeSet<String>, bool) {
    let mut thrown = BTreeSet::new();
    let mut fits = false;
    for (_, _, agent) in look.inventory.agents() {
        match constraints.matches(&agent.attributes) {
            Match::Fits => fits = true,
            Match::Declined(_) => {}
            Match::Throws(why) => {
                thrown.insert(why);
            }
        }
    }
    (thrown, fits)
}

/// Those of executors, and those of drivers that the dispatcher starts.
fn each_constraint(
    look: &Look<'_>,
    mut find: impl FnMut(&str, &str, &Constraints) -> Option<Hit>,
) -> Vec<Hit> {
    let executors = look.applications.iter().map(|application| {
        let path = application.path("constraints", "spark.mesos.constraints");
        (path, application.workload.constraints.as_str())
    });
    let key = "spark.mesos.driver.constraints";
    let drivers = property(look, key).map(|text| (format!("spark.defaults.{key}"), text));
    let mut hits = Vec::new();
    for (path, text) in executors.chain(drivers) {
        if let Ok(parsed) = Constraints::parse(text)
            && !parsed.0.is_empty()
        {
            hits.extend(find(&path, text, &parsed));
        }
    }
    hits
}

pub(super) fn crashes(look: &Look<'_>) -> Vec<Hit> {
    each_constraint(look, |path, _, parsed| {
        let (thrown, _) = verdicts(look, parsed);
        let why = thrown.first()?;
        Some(Hit::error(path, why.clone(), "make the attribute a text such as r1"))
    })
}

pub(super) fn matches_nothing(look: &Look<'_>) -> Vec<Hit> {
    each_constraint(look, |path, text, parsed| {
        let (thrown, fits) = verdicts(look, parsed);
        if fits || !thrown.is_empty() || look.inventory.agents().next().is_none() {
            return None;
        }
        let message = format!("no agent meets the constraint `{text}`");
        let known: BTreeSet<&str> = look
            .inventory
            .agents()
            .flat_map(|(_, _, agent)| agent.attributes.0.keys().map(String::as_str))
            .collect();
        let missing = parsed.0.keys().find(|name| !known.contains(name.as_str()));
        let help = match missing {
            Some(name) => match crate::mesos::flags::did_you_mean(name, known) {
                Some(near) => format!("no agent has the attribute {name}; did you mean {near}?"),
                None => format!("no agent has the attribute {name}"),
            },
            None => wanted_and_there(look, parsed),
        };
        Some(match path.starts_with("spark.defaults") {
            true => Hit::error(path, message, help),
            false => Hit::warning(path, message, help),
        })
    })
}

/// The values that are there, of the constraint that nobody meets.
fn wanted_and_there(look: &Look<'_>, parsed: &Constraints) -> String {
    let alone = parsed.0.iter().find(|(name, wanted)| {
        let one = Constraints(BTreeMap::from([((*name).clone(), (*wanted).clone())]));
        !verdicts(look, &one).1
    });
    let Some((name, _)) = alone else {
        return "each of them is met by some agent, and all together by none".to_owned();
    };
    let there: BTreeSet<String> = look
        .inventory
        .agents()
        .filter_map(|(_, _, agent)| agent.attributes.0.get(name).map(ToString::to_string))
        .collect();
    let few: Vec<&str> = there.iter().take(5).map(String::as_str).collect();
    let more = if there.len() > few.len() { ", …" } else { "" };
    format!("{name} is {}{more} on the agents", few.join(", "))
}

pub(super) fn by_number(look: &Look<'_>) -> Vec<Hit> {
    each_constraint(look, |path, _, parsed| {
        let scalar = |name: &str| {
            look.inventory
                .agents()
                .any(|(_, _, agent)| matches!(agent.attributes.0.get(name), Some(Value::Scalar(_))))
        };
        let numbers = |wanted: &BTreeSet<String>| wanted.iter().any(|t| t.parse::<f64>().is_ok());
        let (name, wanted) =
            parsed.0.iter().find(|(name, wanted)| numbers(wanted) && scalar(name))?;
        let list: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let message = format!("`{name}:{}` means {name} of at least that", list.join(","));
        Some(Hit::warning(
            path,
            message,
            "give the attribute a letter, such as r1, to mean equality",
        ))
    })
}

pub(super) fn fits_nowhere(look: &Look<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for application in &look.applications {
        let Ok(parsed) = Constraints::parse(&application.workload.constraints) else { continue };
        let mut why = None;
        let fits = look.inventory.agents().any(|(_, _, agent)| {
            if parsed.matches(&agent.attributes) != Match::Fits {
                return false;
            }
            application.fits(&agent.resources).map_err(|short| why = Some(short)).is_ok()
        });
        let (false, Some(why)) = (fits, why) else { continue };
        let path = application.path("executors.memory", "spark.executor.memory");
        let message = format!("an executor of `{}` needs {why} at most", application.title());
        let help = "ask for less (384 MiB or a tenth come on top), or offer more";
        hits.push(match application.name {
            None => Hit::error(path, message, help),
            Some(_) => Hit::warning(path, message, help),
        });
    }
    hits
}

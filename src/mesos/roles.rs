//! The grammar of roles and weights.

use std::collections::{BTreeMap, BTreeSet};

use super::versions::Version;

/// Checks the name of a role.
///
/// Source: Mesos `src/common/roles.cpp`; `/` inside a name from 1.3.0.
///
/// # Errors
/// One sentence.
pub fn check_name(role: &str, version: &Version) -> Result<(), String> {
    if role.is_empty() {
        return Err("a role has no name".to_owned());
    }
    if role.starts_with('-') {
        return Err(format!("role `{role}` begins with a dash"));
    }
    if let Some(c) = role.chars().find(|c| matches!(c, '\t'..='\r' | ' ' | '\x7f')) {
        return Err(format!("role `{role}` contains {c:?}; blanks are not allowed"));
    }
    // Not forbidden by Mesos, but then the text of --resources, --roles or --weights reads otherwise.
    if let Some(c) = role.chars().find(|c| matches!(c, ',' | '=' | ';' | ':' | '(' | ')')) {
        return Err(format!(
            "role `{role}` contains `{c}`, which separates things in Mesos' flags"
        ));
    }
    if role.contains('/') && !version.at_least(&[1, 3]) {
        return Err(format!("role `{role}` contains a slash, which Mesos takes from 1.3.0 on"));
    }
    for part in role.split('/') {
        match part {
            "" => {
                return Err(format!(
                    "role `{role}` begins or ends with a slash or has two in a row"
                ));
            }
            "." | ".." => return Err(format!("role `{role}` has `{part}` for a name")),
            "*" if role != "*" => {
                return Err(format!("role `{role}` has `*` for a part, which is the default role"));
            }
            part if part.starts_with('-') => {
                return Err(format!("role `{role}` has a part that begins with a dash"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks the value of the flag `weights`: `adhoc=1,etl=2.5`.
///
/// # Errors
/// One sentence.
pub fn check_weights(text: &str, version: &Version) -> Result<(), String> {
    let mut named = BTreeSet::new();
    for pair in text.split(',') {
        let (role, weight) = pair
            .split_once('=')
            .ok_or_else(|| format!("`{pair}` is not role=weight (separated by commas only)"))?;
        check_name(role, version)?;
        let weight: f64 =
            weight.parse().map_err(|_| format!("the weight of role {role} is not a number"))?;
        if !weight.is_finite() || weight <= 0.0 {
            return Err(format!("weight {weight} is not a number above 0"));
        }
        if !named.insert(role) {
            return Err(format!("role {role} has two weights"));
        }
    }
    Ok(())
}

/// Role → weight as a leading master answers `/weights`; a role that it does not name weighs 1.
///
/// Source: Mesos `src/master/weights_handler.cpp`, from 1.0.
pub fn weights(answer: &str) -> Option<BTreeMap<String, f64>> {
    let list: Vec<serde_json::Value> = serde_json::from_str(answer).ok()?;
    let weight = |item: &serde_json::Value| {
        Some((item.get("role")?.as_str()?.to_owned(), item.get("weight")?.as_f64()?))
    };
    list.iter().map(weight).collect()
}

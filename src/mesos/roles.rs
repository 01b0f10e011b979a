//! Roles and weights: their grammar, and how each release takes them.

use std::collections::BTreeMap;

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

/// Checks a weight.
///
/// # Errors
/// One sentence.
pub fn check_weight(weight: f64) -> Result<(), String> {
    if weight.is_finite() && weight > 0.0 {
        Ok(())
    } else {
        Err(format!("weight {weight} is not a number above 0"))
    }
}

/// How weights reach the masters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightsBy {
    /// The flag `weights`, and every role (ours and Spark's) listed in the flag `roles`: before 0.27.
    FlagWithRoles,
    /// The flag `weights`, without `roles`: 0.27 and 0.28.
    Flag,
    /// `PUT /weights` at the leader: from 1.0.0, for there the registry overrules the flag.
    Leader,
}

/// How weights reach masters of this version.
pub fn weights_by(version: &Version) -> WeightsBy {
    if version.at_least(&[1, 0]) {
        WeightsBy::Leader
    } else if version.at_least(&[0, 27]) {
        WeightsBy::Flag
    } else {
        WeightsBy::FlagWithRoles
    }
}

/// The value of the flag `weights`: `adhoc=1,etl=2.5`.
pub fn weights_flag(weights: &BTreeMap<String, f64>) -> String {
    let pairs: Vec<String> = weights.iter().map(|(role, w)| format!("{role}={w}")).collect();
    pairs.join(",")
}

/// Reads the flag `weights`.
///
/// # Errors
/// One sentence.
pub fn parse_weights_flag(text: &str, version: &Version) -> Result<BTreeMap<String, f64>, String> {
    let mut weights = BTreeMap::new();
    for pair in text.split(',') {
        let (role, weight) = pair
            .split_once('=')
            .ok_or_else(|| format!("`{pair}` is not role=weight (separated by commas only)"))?;
        check_name(role, version)?;
        let weight: f64 =
            weight.parse().map_err(|_| format!("the weight of role {role} is not a number"))?;
        check_weight(weight)?;
        if weights.insert(role.to_owned(), weight).is_some() {
            return Err(format!("role {role} has two weights"));
        }
    }
    Ok(weights)
}

/// The body of `PUT /weights`. The call merges and never deletes: 1.0 neutralises a role.
pub fn weights_body(weights: &BTreeMap<String, f64>) -> String {
    let list: Vec<serde_json::Value> = weights
        .iter()
        .map(|(role, weight)| serde_json::json!({"role": role, "weight": weight}))
        .collect();
    serde_json::Value::Array(list).to_string()
}

/// Reads the answer of `GET /weights`.
///
/// # Errors
/// One sentence.
pub fn parse_weights_body(text: &str) -> Result<BTreeMap<String, f64>, String> {
    let unreadable = || "the answer to GET /weights is not a list of roles and weights".to_owned();
    let list: Vec<serde_json::Value> = serde_json::from_str(text).map_err(|_| unreadable())?;
    list.iter()
        .map(|entry| {
            let role = entry.get("role").and_then(serde_json::Value::as_str);
            let weight = entry.get("weight").and_then(serde_json::Value::as_f64);
            role.map(str::to_owned).zip(weight).ok_or_else(unreadable)
        })
        .collect()
}

//! Weights of roles: the flag, the endpoint, and what is refused.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::flags::{self, Flags};
use crate::log;

/// Reads `--weights`; ends the master where the real one ends.
pub(crate) fn of_flag(flags: &Flags) -> BTreeMap<String, f64> {
    let fail = |reason: &str| -> ! { log::exit_with("master.cpp:740", reason) };
    let whitelist: Option<Vec<&str>> = flags.text("roles").map(|roles| roles.split(',').collect());
    let mut weights = BTreeMap::new();
    let written = flags.text("weights").unwrap_or_default();
    for pair in written.split(',').filter(|pair| !pair.is_empty()) {
        let Some((role, weight)) = pair.split_once('=').filter(|(_, rest)| !rest.contains('='))
        else {
            fail(&format!(
                "Invalid weight: '{pair}'. --weights should be of the form 'role=weight,role=weight'"
            ));
        };
        // atof: what is no number is zero.
        let weight = weight.parse::<f64>().unwrap_or(0.0);
        if weight <= 0.0 || !weight.is_finite() {
            fail(&format!("Invalid weight: '{pair}'. Weights must be positive"));
        }
        if let Some(roles) = &whitelist
            && !roles.contains(&role)
        {
            fail(&format!("Invalid weight: '{pair}'. Role '{role}' is not in the whitelist"));
        }
        if let Some(reason) = invalid_role(role) {
            fail(&format!("Invalid weight: '{pair}': {reason}"));
        }
        weights.insert(role.to_owned(), weight);
    }
    weights
}

/// Reads the body of `PUT /weights`; texts as recorded.
pub(crate) fn of_body(body: &[u8]) -> Result<BTreeMap<String, f64>, String> {
    let text = String::from_utf8_lossy(body);
    let parsed: Json = serde_json::from_str(&text).map_err(|_| {
        let error = flags::syntax_error(&text);
        format!("Failed to parse update weights request JSON '{text}': {error}")
    })?;
    of_infos(&parsed)
}

/// Reads a list of WeightInfo.
pub(crate) fn of_infos(infos: &Json) -> Result<BTreeMap<String, f64>, String> {
    const BAD: &str = "Failed to convert weights JSON array to protobuf";
    let infos = infos.as_array().ok_or(format!("{BAD}: Expecting a JSON array"))?;
    let mut weights = BTreeMap::new();
    for info in infos {
        let role = info["role"].as_str().ok_or(format!("{BAD}: Missing required field 'role'"))?;
        let weight =
            info["weight"].as_f64().ok_or(format!("{BAD}: Missing required field 'weight'"))?;
        if let Some(reason) = invalid_role(role) {
            return Err(format!(
                "Failed to validate update weights request JSON: Invalid role '{role}': {reason}"
            ));
        }
        if weight <= 0.0 {
            return Err(format!(
                "Failed to validate update weights request JSON for role '{role}': \
                 Invalid weight '{weight}': Weights must be positive"
            ));
        }
        weights.insert(role.to_owned(), weight);
    }
    Ok(weights)
}

/// `[{"role":"etl","weight":2.0}]`.
pub(crate) fn to_json(weights: &BTreeMap<String, f64>) -> Json {
    weights.iter().map(|(role, weight)| json!({ "role": role, "weight": weight })).collect()
}

/// The v1 API's order of the fields.
pub(crate) fn to_v1(weights: &BTreeMap<String, f64>) -> Json {
    weights.iter().map(|(role, weight)| json!({ "weight": weight, "role": role })).collect()
}

/// Source: src/common/roles.cpp, `validate`.
pub(crate) fn invalid_role(role: &str) -> Option<String> {
    if role == "*" {
        return None;
    }
    if role.is_empty() {
        return Some("Empty role name is invalid".to_owned());
    }
    if role.starts_with('/') || role.ends_with('/') {
        return Some(format!("Role '{role}' cannot start or end with a slash"));
    }
    role.split('/').find_map(|component| match component {
        "" => Some(format!("Role '{role}' cannot contain two adjacent slashes")),
        "." | ".." => Some(format!("Role '{role}' cannot include '{component}' as a component")),
        "*" => Some(format!("Role '{role}' cannot include '*' as a component")),
        _ if component.starts_with('-') => Some(format!(
            "Role component '{component}' is invalid because it begins with a dash"
        )),
        _ if component.contains([' ', '\t', '\n', '\u{b}', '\u{c}', '\r', '\u{8}']) => Some(format!(
            "Role component '{component}' is invalid because it contains backspace or whitespace"
        )),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_refused_with_the_recorded_texts() {
        let error = |body: &str| of_body(body.as_bytes()).expect_err("must be refused");
        assert_eq!(
            error("etl=2"),
            "Failed to parse update weights request JSON 'etl=2': syntax error at line 1 near: etl=2"
        );
        assert_eq!(
            error(r#"[{"role":"etl","weight":-1}]"#),
            "Failed to validate update weights request JSON for role 'etl': Invalid weight '-1': Weights must be positive"
        );
        assert_eq!(
            error(r#"[{"role":"e tl","weight":1}]"#),
            "Failed to validate update weights request JSON: Invalid role 'e tl': Role component 'e tl' is invalid because it contains backspace or whitespace"
        );
        let read = of_body(br#"[{"role":"etl","weight":2}]"#).expect("a good body");
        assert_eq!(to_json(&read).to_string(), r#"[{"role":"etl","weight":2.0}]"#);
    }
}

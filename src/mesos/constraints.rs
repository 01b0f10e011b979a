//! `spark.mesos.constraints`: its grammar and what it matches, defects included.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::values::{Attributes, Value};

/// Attribute → values of which one is wanted; none for "the attribute must be there".
///
/// Source: Spark `MesosSchedulerUtils.parseConstraintString`, the same from 1.5 to 3.5.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Constraints(pub BTreeMap<String, BTreeSet<String>>);

/// What Spark makes of an agent's offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// It may start executors there.
    Fits,
    /// It declines the offer; the sentence says why.
    Declined(String),
    /// The driver throws and stops; the sentence says why.
    Throws(String),
}

impl Constraints {
    /// Reads `rack:r1,r2;ssd:`. Blanks around `:` and `,` belong to names and values, as in Spark.
    ///
    /// # Errors
    /// One sentence: what the driver would die on.
    pub fn parse(text: &str) -> Result<Constraints, String> {
        let mut constraints = BTreeMap::new();
        if text.is_empty() {
            return Ok(Constraints(constraints));
        }
        for entry in text.split(';').map(str::trim) {
            if entry.is_empty() {
                return Err("there is an empty constraint; remove the needless `;`".to_owned());
            }
            let Some((name, values)) = entry.split_once(':') else {
                return Err(format!(
                    "constraint `{entry}` has no colon; write `{entry}:` for an attribute that must be there"
                ));
            };
            if values.contains(':') {
                return Err(format!("constraint `{entry}` has more than one colon"));
            }
            if constraints.insert(name.to_owned(), java_split(values)).is_some() {
                return Err(format!("there are two constraints on {name}; write them as one list"));
            }
        }
        Ok(Constraints(constraints))
    }

    /// What Spark makes of an offer of an agent with these attributes. A constraint that throws
    /// counts before one that declines, for the driver dies on it at the first such agent.
    pub fn matches(&self, attributes: &Attributes) -> Match {
        let mut result = Match::Fits;
        for (name, wanted) in &self.0 {
            match one(name, wanted, attributes.0.get(name)) {
                Match::Fits => {}
                Match::Declined(why) if result == Match::Fits => result = Match::Declined(why),
                Match::Declined(_) => {}
                Match::Throws(why) => return Match::Throws(why),
            }
        }
        result
    }
}

fn one(name: &str, wanted: &BTreeSet<String>, offered: Option<&Value>) -> Match {
    let list = || wanted.iter().map(String::as_str).collect::<Vec<_>>().join(" or ");
    let Some(offered) = offered else {
        return Match::Declined(format!("attribute {name} is missing"));
    };
    if wanted.is_empty() {
        return Match::Fits;
    }
    match offered {
        Value::Text(text) if wanted.contains(text) => Match::Fits,
        Value::Text(text) => Match::Declined(format!("{name} is {text}, not {}", list())),
        Value::Scalar(thousandths) => {
            // All of them are converted before any is compared.
            let numbers: Option<Vec<f64>> = wanted.iter().map(|text| java_double(text)).collect();
            let Some(numbers) = numbers else {
                return Match::Throws(format!(
                    "attribute {name} is the number {offered} and the constraint {name}:{} is not",
                    list()
                ));
            };
            match numbers.iter().any(|number| *number <= *thousandths as f64 / 1000.0) {
                true => Match::Fits,
                false => Match::Declined(format!("{name} is {offered}, less than {}", list())),
            }
        }
        Value::Ranges(_) => Match::Throws(format!(
            "attribute {name} holds ranges, on which Spark fails unless the constraint is `{name}:`"
        )),
        Value::Set(offered) if wanted.iter().all(|item| offered.contains(item)) => Match::Fits,
        Value::Set(_) => Match::Declined(format!("{name} does not hold {}", list())),
    }
}

/// Java's `split(",")`: empty strings at the end are dropped.
fn java_split(values: &str) -> BTreeSet<String> {
    match values.trim_end_matches(',') {
        "" => BTreeSet::new(),
        values => values.split(',').map(str::to_owned).collect(),
    }
}

/// Java's `Double.parseDouble`, as far as people write numbers.
fn java_double(text: &str) -> Option<f64> {
    let text = text.trim();
    let unsigned = text.trim_start_matches(['+', '-']);
    if unsigned == "NaN" || unsigned == "Infinity" {
        return text.parse().ok();
    }
    let digits = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    digits.chars().all(plain).then(|| digits.parse().ok()).flatten()
}

/// As Spark reads it.
impl fmt::Display for Constraints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, values)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ";" };
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let values = values.join(",");
            // A comma at the end is dropped when read and keeps a last blank from being trimmed.
            let comma = if values.ends_with(char::is_whitespace) { "," } else { "" };
            write!(f, "{separator}{name}:{values}{comma}")?;
        }
        Ok(())
    }
}

//! Resources and attributes: the grammars of Mesos' own `--resources` and `--attributes`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

use super::lexer::tokens;
use super::roles;
use super::units::Bytes;
use super::versions::Version;

/// The role of what is not reserved.
pub const UNRESERVED: &str = "*";

/// What no item of a set may hold where sets are text: the letters of the grammar, and blanks, which
/// Mesos deletes.
const UNWRITABLE: [char; 12] = ['{', '}', '[', ']', '(', ')', ',', ';', ':', '\n', ' ', '\0'];

/// Attributes of an agent: name → value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attributes(pub BTreeMap<String, Value>);

/// Resources of an agent: (name, role) → value; role `*` is the unreserved rest.
///
/// Two are equal when Mesos takes them for equal: an amount of nothing counts for nothing. Such an
/// amount is kept all the same, for `gpus:0` keeps Mesos from detecting gpus itself.
#[derive(Debug, Clone, Default)]
pub struct Resources(pub BTreeMap<(String, String), Value>);

/// A value as Mesos types it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number with three decimals, in thousandths (Mesos compares scalars so from 0.28).
    Scalar(i64),
    /// Ranges of unsigned numbers, both ends in, sorted and merged.
    Ranges(Vec<(u64, u64)>),
    /// A set; refused as an attribute (it crashes the agent).
    Set(Vec<String>),
    /// Text; refused as a resource.
    Text(String),
}

impl Resources {
    /// Reads `cpus(etl):4;mem:1024;ports:[31000-32000]`, or from 0.26 on Mesos' JSON array. Amounts
    /// of one name and role add up.
    ///
    /// # Errors
    /// One sentence: the first entry that the agent would stop on.
    pub fn parse(text: &str, version: &Version) -> Result<Resources, String> {
        if text.trim_start().starts_with('[') {
            if !version.at_least(&[0, 26]) {
                return Err(format!(
                    "Mesos {version} does not read resources as JSON; write cpus:4;mem:1024"
                ));
            }
            return Resources::from_json(text, version);
        }
        let mut resources = Resources::default();
        for entry in tokens(text, &[';']) {
            let (key, value) = match tokens(entry, &[':']).collect::<Vec<_>>()[..] {
                [key, value] => (key, value),
                _ => return Err(format!("`{entry}` is not name:value with exactly one colon")),
            };
            let (name, role) = match key.split_once('(') {
                None => (key, UNRESERVED),
                Some((name, rest)) => match rest.split_once(')') {
                    Some((role, _)) => (name, role),
                    None => {
                        return Err(format!("`{entry}` opens a parenthesis and never closes it"));
                    }
                },
            };
            let value = Value::parse(value, version)?;
            resources.add(name.trim(), role.trim(), value, version)?;
        }
        Ok(resources)
    }

    /// Adds an amount as the inventory writes it: Mesos' own grammar, and sizes such as `16GB` for
    /// mem and disk, which Mesos counts in MiB.
    ///
    /// # Errors
    /// One sentence.
    pub fn insert(
        &mut self,
        name: &str,
        role: &str,
        text: &str,
        version: &Version,
    ) -> Result<(), String> {
        let value = match (name, text.trim().parse::<Bytes>()) {
            ("mem" | "disk", Ok(bytes)) => Value::Scalar(bytes.mib_thousandths()),
            ("mem" | "disk", Err(why)) => match Value::parse(text, version)? {
                Value::Text(_) => return Err(why),
                value => value,
            },
            _ => Value::parse(text, version)?,
        };
        self.add(name, role, value, version)
    }

    /// Adds an amount.
    ///
    /// # Errors
    /// One sentence: what Mesos refuses as a resource.
    pub fn add(
        &mut self,
        name: &str,
        role: &str,
        value: Value,
        version: &Version,
    ) -> Result<(), String> {
        if name.is_empty() {
            return Err("a resource has no name".to_owned());
        }
        // A list that begins with `[` is read as JSON.
        if name.contains([';', ':', '(']) || name.starts_with('[') || name != name.trim() {
            return Err(format!("`{name}` cannot be the name of a resource"));
        }
        roles::check_name(role, version)?;
        match &value {
            Value::Text(text) => {
                return Err(format!(
                    "`{text}` is text, and resource {name} takes a number, [ranges] or a {{set}}"
                ));
            }
            Value::Scalar(thousandths) if *thousandths < 0 => {
                return Err(format!("resource {name} is negative"));
            }
            _ => {}
        }
        let kind = std::mem::discriminant(&value);
        if self.0.iter().any(|((n, _), v)| n == name && std::mem::discriminant(v) != kind) {
            return Err(format!("resource {name} has values of different types"));
        }
        let key = (name.to_owned(), role.to_owned());
        let sum = match self.0.get(&key) {
            None => value,
            Some(already) => {
                already.plus(&value).ok_or_else(|| format!("resource {name} is too large"))?
            }
        };
        self.0.insert(key, sum);
        Ok(())
    }

    /// Reserves a part of the unreserved rest for a role.
    ///
    /// # Errors
    /// One sentence when less than that is left, or nothing was said of the total.
    pub fn reserve(
        &mut self,
        name: &str,
        role: &str,
        part: &Value,
        version: &Version,
    ) -> Result<(), String> {
        if role == UNRESERVED {
            return Err("nothing is reserved for `*`; it is the unreserved rest".to_owned());
        }
        roles::check_name(role, version)?;
        let key = (name.to_owned(), UNRESERVED.to_owned());
        let Some(left) = self.0.get(&key) else {
            return Err(format!(
                "{name} is reserved for {role} and missing in the total; add {name} to resources"
            ));
        };
        let Some(rest) = left.minus(part) else {
            return Err(format!(
                "{part} {name} cannot be reserved for {role}: {left} of the total is left"
            ));
        };
        self.add(name, role, part.clone(), version)?;
        self.0.insert(key, rest);
        Ok(())
    }

    /// The sum over all roles, names and values only.
    pub fn totals(&self) -> BTreeMap<&str, Value> {
        let mut totals: BTreeMap<&str, Value> = BTreeMap::new();
        for ((name, _), value) in &self.0 {
            let sum = totals.get(name.as_str()).map_or(Some(value.clone()), |sum| sum.plus(value));
            totals.insert(name, sum.unwrap_or_else(|| value.clone()));
        }
        totals
    }

    /// Thousandths of a scalar in one role; 0 when absent.
    pub fn scalar(&self, name: &str, role: &str) -> i64 {
        match self.0.get(&(name.to_owned(), role.to_owned())) {
            Some(Value::Scalar(thousandths)) => *thousandths,
            _ => 0,
        }
    }

    /// Names that are spoken of, in any role.
    pub fn names(&self) -> BTreeSet<&str> {
        self.0.keys().map(|(name, _)| name.as_str()).collect()
    }

    /// Reads the JSON array of `Resource` messages that `--resources` takes and `*_full` arrays hold.
    ///
    /// # Errors
    /// One sentence.
    pub fn from_json(text: &str, version: &Version) -> Result<Resources, String> {
        let list: Vec<Message> = serde_json::from_str(text)
            .map_err(|why| format!("resources are not a JSON array of Mesos resources: {why}"))?;
        let resources = Resources::from_messages(list, version)?;
        // The text that we write has no escapes.
        let unwritable = |item: &&String| item.is_empty() || item.contains(UNWRITABLE);
        for ((name, _), value) in &resources.0 {
            if let Value::Set(items) = value
                && let Some(item) = items.iter().find(unwritable)
            {
                return Err(format!("item `{item}` of {name} cannot be written as text"));
            }
        }
        Ok(resources)
    }

    pub(super) fn from_messages(
        list: Vec<Message>,
        version: &Version,
    ) -> Result<Resources, String> {
        let mut resources = Resources::default();
        for message in list {
            if message.revocable.is_some() {
                return Err(format!("{} is revocable, which Mesos gives out itself", message.name));
            }
            let role = match &message.reservations[..] {
                [] => message.role.as_deref().unwrap_or(UNRESERVED),
                [one] if one.kind.as_deref().unwrap_or("STATIC") == "STATIC" => {
                    one.role.as_deref().unwrap_or(UNRESERVED)
                }
                _ => {
                    return Err(format!("{} is reserved dynamically or twice", message.name));
                }
            };
            let value = match (message.kind.as_str(), message.scalar, message.ranges, message.set) {
                ("SCALAR", Some(scalar), _, _) => Value::scalar(scalar.value)
                    .ok_or_else(|| format!("{} is not a number Mesos can keep", message.name))?,
                ("RANGES", _, Some(ranges), _) => {
                    if let Some(bad) = ranges.range.iter().find(|r| r.begin > r.end) {
                        return Err(format!(
                            "a range of {} runs backwards: {}-{}",
                            message.name, bad.begin, bad.end
                        ));
                    }
                    Value::ranges(ranges.range.iter().map(|r| (r.begin, r.end)).collect())
                }
                ("SET", _, _, Some(set)) => Value::set(set.item.iter().map(String::as_str)),
                (kind, ..) => {
                    return Err(format!("{} has type `{kind}` and no value of it", message.name));
                }
            };
            resources.add(&message.name, role, value, version)?;
        }
        Ok(resources)
    }

    fn ordered(&self) -> Vec<(&(String, String), &Value)> {
        let rank = |name: &str| match name {
            "cpus" => 0,
            "mem" => 1,
            "disk" => 2,
            "gpus" => 3,
            "ports" => 4,
            _ => 5,
        };
        let mut entries: Vec<_> = self.0.iter().collect();
        entries.sort_by_key(|((name, _), _)| rank(name));
        entries
    }
}

/// The text for a flag file: cpus, mem, disk, gpus, ports, then the others; of each the unreserved
/// rest first.
impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, ((name, role), value)) in self.ordered().into_iter().enumerate() {
            let separator = if index == 0 { "" } else { ";" };
            match role.as_str() {
                UNRESERVED => write!(f, "{separator}{name}:{value}")?,
                role => write!(f, "{separator}{name}({role}):{value}")?,
            }
        }
        Ok(())
    }
}

impl PartialEq for Resources {
    fn eq(&self, other: &Resources) -> bool {
        let filled = |(_, value): &(&(String, String), &Value)| !value.is_empty();
        self.0.iter().filter(filled).eq(other.0.iter().filter(filled))
    }
}

impl Attributes {
    /// Reads `rack:r1;zone:z1`; a newline separates as well.
    ///
    /// # Errors
    /// One sentence: the first pair that the agent would abort on, and repeated names, of which
    /// Mesos keeps both but shows one.
    pub fn parse(text: &str, version: &Version) -> Result<Attributes, String> {
        let mut attributes = Attributes::default();
        for pair in tokens(text, &[';', '\n']) {
            let Some((name, value)) = pair.split_once(':') else {
                return Err(format!("`{pair}` is not name:value"));
            };
            if attributes.0.contains_key(name) {
                return Err(format!("attribute {name} is given twice"));
            }
            attributes.insert(name, value, version)?;
        }
        Ok(attributes)
    }

    /// Sets one attribute from its text.
    ///
    /// # Errors
    /// One sentence: what would make the agent abort.
    pub fn insert(&mut self, name: &str, text: &str, version: &Version) -> Result<(), String> {
        if name.is_empty() {
            return Err(format!("an attribute with value `{text}` has no name"));
        }
        if name.contains([':', ';', '\n']) {
            return Err(format!("`{name}` cannot be the name of an attribute"));
        }
        if text.contains([';', '\n']) {
            return Err(format!(
                "attribute {name} has a `;` or a newline in its value, where the next attribute would begin"
            ));
        }
        if text.contains(':') && !version.at_least(&[0, 24]) {
            return Err(format!(
                "attribute {name} has a colon in its value, on which Mesos {version} aborts"
            ));
        }
        match Value::parse(text, version).map_err(|why| format!("attribute {name}: {why}"))? {
            Value::Set(_) => Err(format!(
                "attribute {name} is a set, on which the agent aborts; use text or one attribute per item"
            )),
            value => {
                self.0.insert(name.to_owned(), value);
                Ok(())
            }
        }
    }
}

/// The text for a flag file.
impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ";" };
            write!(f, "{separator}{name}:{value}")?;
        }
        Ok(())
    }
}

/// The `Resource` message as JSON. Source: Mesos `include/mesos/mesos.proto`.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    scalar: Option<ScalarMessage>,
    ranges: Option<RangesMessage>,
    set: Option<SetMessage>,
    role: Option<String>,
    #[serde(default)]
    reservations: Vec<ReservationMessage>,
    revocable: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct ScalarMessage {
    value: f64,
}

#[derive(Debug, Deserialize)]
struct RangesMessage {
    #[serde(default)]
    range: Vec<RangeMessage>,
}

#[derive(Debug, Deserialize)]
struct RangeMessage {
    begin: u64,
    end: u64,
}

#[derive(Debug, Deserialize)]
struct SetMessage {
    #[serde(default)]
    item: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct ReservationMessage {
    #[serde(rename = "type")]
    kind: Option<String>,
    role: Option<String>,
}

//! The catalogue of the Spark properties that count on Mesos, by release, and the check of one value.
//!
//! `properties.tsv` holds every `spark.mesos.*` property and those of Spark's core that decide where
//! executors and drivers run. It was read from Spark's sources 0.6.0 to 3.0.0 (the first release whose
//! code holds the name) and from the byte code of 3.5: `deploy.mesos.config` and `internal.config`.

use std::sync::LazyLock;

use super::Finding;
use super::constraints::Constraints;
use super::flags::near;
use super::image;
use super::versions::Version;

/// Whether Spark would read this line of spark-defaults.conf, and as it is meant.
///
/// A warning is returned as an `Err` too: see its severity. Of properties outside `spark.mesos.` that
/// the catalogue does not hold only a misspelling of one that it holds is found.
///
/// # Errors
/// The first thing wrong with the name, then with the value.
pub fn check_property(name: &str, value: &str, spark: &Version) -> Result<(), Finding> {
    let Some(row) = find(name) else { return unknown(name, spark) };
    if !row.since.at_most(spark) {
        let message = format!("`{name}` came with Spark {}, not {spark}", row.since);
        return Err(Finding::warning(message).help(format!("{IGNORED}; delete it")));
    }
    let gone = row.until.as_ref().filter(|until| until.at_most(spark));
    let help = || row.note.clone().unwrap_or_else(|| format!("{IGNORED}; delete it"));
    if let Some(until) = gone {
        let message = format!("`{name}` went with Spark {until}");
        return Err(Finding::warning(message).help(help()));
    }
    if row.kind == Kind::Unread {
        let message = format!("Spark does not read `{name}` on Mesos");
        return Err(Finding::warning(message).help(help()));
    }
    if row.kind == Kind::Image {
        return image::check(value.trim());
    }
    if row.kind.reads(value.trim()) {
        return Ok(());
    }
    let (wanted, example) = row.kind.words();
    let shown = row.kind.is_plain() && value.len() <= 60;
    let found = if shown { format!(", found `{value}`") } else { String::new() };
    let message = format!("`{name}`: expected {wanted}{found}");
    Err(Finding::error(message).help(format!("write it like {example}")))
}

/// One property by its name; those that end in a name of the user's own by their beginning.
pub fn find(name: &str) -> Option<&'static Property> {
    let rows = &*CATALOGUE;
    let exact = rows.binary_search_by(|row| row.name.as_str().cmp(name)).ok();
    exact.map(|index| &rows[index]).or_else(|| {
        let begins = |row: &&Property| {
            let prefix = row.name.strip_suffix('*');
            prefix
                .is_some_and(|prefix| name.strip_prefix(prefix).is_some_and(|own| !own.is_empty()))
        };
        rows.iter().find(begins)
    })
}

/// All properties, by name; `*` at the end stands for a name of the user's own.
pub fn all() -> &'static [Property] {
    &CATALOGUE
}

/// Spark's sizes: `512m`, `1g`, and MiB without a unit.
///
/// Source: Spark `JavaUtils.byteStringAs`: k, m, g, t, p, each with or without `b`, in any case.
pub fn parse_mib(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let (number, unit) = split_unit(&text);
    let number: u64 = number.parse().ok()?;
    match unit {
        "b" => Some(number >> 20),
        "k" | "kb" => Some(number >> 10),
        "" | "m" | "mb" => Some(number),
        "g" | "gb" => number.checked_mul(1 << 10),
        "t" | "tb" => number.checked_mul(1 << 20),
        "p" | "pb" => number.checked_mul(1 << 30),
        _ => None,
    }
}

/// One row of the catalogue.
#[derive(Debug, Clone)]
pub struct Property {
    /// Its name.
    pub name: String,
    /// Grammar of its value.
    pub kind: Kind,
    /// First release that has it.
    pub since: Version,
    /// First release that no longer has it; `None` while 3.5 does.
    pub until: Option<Version>,
    /// What to do instead.
    pub note: Option<String>,
}

/// Grammar of a property's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false` in any case.
    Bool,
    /// `name:value,value;name:…`.
    Constraints,
    /// A whole number from 1 on.
    Count,
    /// A number from 0 on.
    Double,
    /// The name of a Docker image.
    Image,
    /// A whole number from 0 on.
    Int,
    /// `key:value,key:value`, a backslash before a comma or colon that belongs to the text.
    Labels,
    /// `key=value,key=value` for `docker run`.
    Parameters,
    /// A port; 0 for any.
    Port,
    /// `host:container[:tcp|:udp]`, comma separated.
    Portmaps,
    /// A number above 0.
    Positive,
    /// `host:port`, comma separated, without `zk://`.
    Servers,
    /// A size, in MiB without a unit.
    Size,
    /// Anything.
    Text,
    /// A number and perhaps a unit.
    Time,
    /// Nothing on Mesos reads it.
    Unread,
    /// `[host:]container[:ro|:rw]`, comma separated.
    Volumes,
    /// One of these words.
    Word(Vec<String>),
}

const IGNORED: &str = "Spark goes on without what it does not know";

static CATALOGUE: LazyLock<Vec<Property>> =
    LazyLock::new(|| include_str!("properties.tsv").lines().skip(1).filter_map(row).collect());

/// A test holds that every line of the file makes a row.
fn row(line: &str) -> Option<Property> {
    let &[name, kind, since, until, note] = line.split('\t').collect::<Vec<_>>().as_slice() else {
        return None;
    };
    let given = |text: &str| (text != "-").then(|| text.to_owned());
    Some(Property {
        name: name.to_owned(),
        kind: match kind {
            "bool" => Kind::Bool,
            "constraints" => Kind::Constraints,
            "count" => Kind::Count,
            "double" => Kind::Double,
            "image" => Kind::Image,
            "int" => Kind::Int,
            "labels" => Kind::Labels,
            "parameters" => Kind::Parameters,
            "port" => Kind::Port,
            "portmaps" => Kind::Portmaps,
            "positive" => Kind::Positive,
            "servers" => Kind::Servers,
            "size" => Kind::Size,
            "text" => Kind::Text,
            "time" => Kind::Time,
            "unread" => Kind::Unread,
            "volumes" => Kind::Volumes,
            words => {
                Kind::Word(words.strip_prefix("word ")?.split('|').map(str::to_owned).collect())
            }
        },
        since: Version::parse(since).ok()?,
        until: given(until).map(|until| Version::parse(&until)).transpose().ok()?,
        note: given(note),
    })
}

fn unknown(name: &str, spark: &Version) -> Result<(), Finding> {
    if !name.starts_with("spark.") {
        // Source: Spark `SparkSubmitArguments.ignoreNonSparkProperties`.
        let message = format!("`{name}` is no Spark property, for it does not begin with `spark.`");
        return Err(Finding::warning(message).help("spark-submit leaves it out; delete it"));
    }
    let known = || CATALOGUE.iter().filter(|row| row.exists_in(spark)).map(|row| row.name.as_str());
    let message = format!("there is no Spark property `{name}`");
    if let Some(own) = name.strip_prefix("spark.mesos.") {
        let edits = (own.chars().count() / 3).clamp(1, 3);
        return Err(Finding::warning(message).help(match near(name, known(), edits) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("{IGNORED}; delete it"),
        }));
    }
    // The rest of Spark, and whatever is built on it, has names of its own.
    match near(name, known(), 1) {
        Some(meant) => Err(Finding::warning(message).help(format!("did you mean `{meant}`?"))),
        None => Ok(()),
    }
}

impl Property {
    /// Whether this release reads it.
    pub fn exists_in(&self, spark: &Version) -> bool {
        self.since.at_most(spark) && !self.until.as_ref().is_some_and(|until| until.at_most(spark))
    }
}

impl Kind {
    /// Whether its values are numbers and words, in which nobody hides a secret.
    fn is_plain(&self) -> bool {
        !matches!(self, Kind::Labels | Kind::Parameters | Kind::Text | Kind::Volumes)
    }

    /// What it wants, and an example.
    pub fn words(&self) -> (String, &str) {
        let (wanted, example) = match self {
            Kind::Bool => ("true or false", "true"),
            Kind::Constraints => ("constraints", "rack:r1,r2;ssd:"),
            Kind::Count => ("a whole number of at least 1", "8"),
            Kind::Double => ("a number from 0 on", "0.5"),
            Kind::Image => ("the name of an image, in lower case", "spark-mesos:3.5.1"),
            Kind::Int => ("a whole number from 0 on, without a unit", "512"),
            Kind::Labels => {
                ("labels, with a backslash before a comma or colon of the text", "a:b,c:d")
            }
            Kind::Parameters => ("parameters of `docker run`", "key=value,key=value"),
            Kind::Port => ("a port, 0 for any", "7078"),
            Kind::Portmaps => ("ports of host and container", "8080:80,5353:53:udp"),
            Kind::Positive => ("a number above 0", "0.1"),
            Kind::Servers => ("ZooKeeper's servers, without zk:// and path", "h1:2181,h2:2181"),
            Kind::Size => ("a size without a fraction, MiB without a unit", "512m"),
            Kind::Text | Kind::Unread => ("text", "this"),
            Kind::Time => ("a time in us, ms, s, m, min, h or d", "30s"),
            Kind::Volumes => ("volumes of host and container", "/host/path:/path:ro,/data"),
            Kind::Word(words) => {
                return (format!("one of {}", words.join(", ")), words.first().map_or("", |w| w));
            }
        };
        (wanted.to_owned(), example)
    }

    /// Whether Spark reads this text as it is meant.
    fn reads(&self, text: &str) -> bool {
        let number = || text.parse::<f64>().ok().filter(|number| number.is_finite());
        let items = || text.split(',').map(str::trim).filter(|item| !item.is_empty());
        match self {
            Kind::Bool => matches!(text.to_ascii_lowercase().as_str(), "true" | "false"),
            Kind::Constraints => Constraints::parse(text).is_ok(),
            Kind::Count => text.parse::<i32>().is_ok_and(|number| number > 0),
            Kind::Double => number().is_some_and(|number| number >= 0.0),
            Kind::Image => image::check(text).is_ok(),
            Kind::Int => text.parse::<i32>().is_ok_and(|number| number >= 0),
            Kind::Labels => {
                let pair = |label: &str| unescaped(label, ':').count() == 2;
                text.is_empty() || unescaped(text, ',').all(pair)
            }
            Kind::Parameters => {
                items().all(|item| item.split_once('=').is_some_and(|(key, _)| !key.is_empty()))
            }
            Kind::Port => text.parse::<u16>().is_ok(),
            Kind::Portmaps => items().all(portmap),
            Kind::Positive => number().is_some_and(|number| number > 0.0),
            Kind::Servers => items().next().is_some() && items().all(server),
            Kind::Size => parse_mib(text).is_some(),
            Kind::Text | Kind::Unread => true,
            Kind::Time => {
                let lower = text.to_ascii_lowercase();
                let (number, unit) = split_unit(&lower);
                // Source: Spark `JavaUtils.timeStringAs`.
                let units = ["", "us", "ms", "s", "m", "min", "h", "d"];
                number.parse::<i64>().is_ok() && units.contains(&unit)
            }
            Kind::Volumes => items().all(volume),
            Kind::Word(words) => words.iter().any(|word| word == text),
        }
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// Parts between separators that no backslash stands before.
fn unescaped(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c: char| {
        let here = c == separator && !escaped;
        escaped = c == '\\';
        here
    })
}

/// `host:port`.
fn server(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
}

/// Source: Spark `MesosSchedulerBackendUtil.parsePortMappingsSpec`.
fn portmap(text: &str) -> bool {
    let port = |part: &str| part.parse::<u16>().is_ok();
    match text.split(':').collect::<Vec<_>>()[..] {
        [host, container] | [host, container, "tcp" | "udp"] => port(host) && port(container),
        _ => false,
    }
}

/// Source: Spark `MesosSchedulerBackendUtil.parseVolumesSpec`.
fn volume(text: &str) -> bool {
    match text.split(':').collect::<Vec<_>>()[..] {
        [one] | [one, "ro" | "rw"] => !one.is_empty(),
        [host, container] | [host, container, "ro" | "rw"] => {
            !host.is_empty() && !container.is_empty()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_file_makes_a_row_in_order() {
        let lines = include_str!("properties.tsv").lines().skip(1).count();
        assert_eq!(CATALOGUE.len(), lines);
        assert!(CATALOGUE.windows(2).all(|pair| pair[0].name < pair[1].name));
    }

    #[test]
    fn sizes_are_sparks_own() {
        for (text, mib) in
            [("512m", 512), ("2G", 2048), ("1024", 1024), ("1gb", 1024), ("2048k", 2), ("3b", 0)]
        {
            assert_eq!(parse_mib(text), Some(mib), "{text}");
        }
        assert_eq!((parse_mib("1t"), parse_mib("1p")), (Some(1 << 20), Some(1 << 30)));
        for bad in ["", "g", "1.5g", "1 g", "-1g", "1x"] {
            assert_eq!(parse_mib(bad), None, "{bad}");
        }
    }
}

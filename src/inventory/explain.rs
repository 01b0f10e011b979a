//! The declared settings in words: one of them for `provision explain`, all of them as a page.

use std::fmt::Write as _;

use super::decode::{clipped, nearest};
use super::settings::{Setting, Shape};
use super::{render, root};

/// The setting at a path: what it takes, what it is for, its default, examples and keys. Names of the
/// user's own and indices may be left out: `mesos.agents.resources`. An empty path is the whole file.
///
/// # Errors
/// A sentence with advice: no such setting.
pub fn explain(path: &str) -> Result<String, String> {
    let root = root::shape();
    let found = find(&root, path)?;
    let takes = takes(found.shape);
    let mut text = match found.path.as_str() {
        "" => "an inventory\n".to_owned(),
        path => format!("{path}: {takes}\n"),
    };
    if let Some(words) = &found.words {
        let _ = write!(text, "\n{words}\n");
    }
    if let Some(setting) = found.setting {
        let required = setting.required.then_some(("required", "yes"));
        let default = default_of(setting).map(|default| ("default", default));
        let examples = setting.examples.iter().map(|example| ("example", *example));
        let facts: Vec<_> = required.into_iter().chain(default).chain(examples).collect();
        if !facts.is_empty() {
            text.push('\n');
        }
        for (what, value) in facts {
            let _ = writeln!(text, "  {what:<8}  {value}");
        }
    }
    for (section, alternative) in sections(found.shape).into_iter().zip(0..) {
        text.push_str(if alternative == 0 { "\nkeys\n" } else { "\nor\n" });
        let keys = section.settings();
        let width = keys.iter().map(|key| key.name.len()).max().unwrap_or(0);
        for key in keys {
            let required = if key.required { " (required)" } else { "" };
            let _ = writeln!(text, "  {:<width$}  {}{required}", key.name, key.words);
        }
    }
    Ok(text)
}

/// What templates of values see, as Markdown.
pub fn values() -> String {
    render::reference()
}

/// Every setting as a page of Markdown.
pub fn reference() -> String {
    let mut page = "# Inventory\n\n\
        Every key that an inventory may hold. Made by `provision explain --markdown` from the \
        declarations that\nthe parser and the JSON Schema (`provision schema`) are made from. NAME \
        stands for names of your own,\n0 for any place in a list. `provision explain PATH` says the \
        same of one key.\n"
        .to_owned();
    let mut written = Vec::new();
    collect(&mut written, "", &root::shape());
    for (index, (title, body)) in written.iter().enumerate() {
        let earlier = written[..index].iter().find(|(_, same)| same == body);
        let body = match earlier {
            Some((like, _)) => format!("As [{like}](#{}).\n", anchor(like)),
            None => body.clone(),
        };
        let _ = write!(page, "\n## {title}\n\n{body}");
    }
    page
}

/// Where a heading is found in its page, as GitHub and GitLab name it.
fn anchor(title: &str) -> String {
    title.to_lowercase().replace(' ', "-").replace('.', "")
}

/// Each section below a path: its title, its tables. What may stand in several maps is collected once.
fn collect(written: &mut Vec<(String, String)>, path: &str, shape: &Shape) {
    let title = if path.is_empty() { "The file" } else { path };
    let tables: Vec<String> = sections(shape).into_iter().map(table).collect();
    if !tables.is_empty() && written.iter().all(|(before, _)| before != title) {
        written.push((title.to_owned(), tables.join("\nor\n\n")));
    }
    for setting in shape.settings() {
        let (below, shape) = within(setting, path);
        collect(written, &below, shape);
    }
}

/// A section's keys.
fn table(section: &Shape) -> String {
    let mut text = "| key | takes | default | |\n| --- | --- | --- | --- |\n".to_owned();
    for key in section.settings() {
        let default = match (key.required, default_of(key)) {
            (true, _) => "required".to_owned(),
            (false, Some(default)) => format!("`{default}`"),
            (false, None) => String::new(),
        };
        let examples: Vec<String> =
            key.examples.iter().map(|example| format!("`{example}`")).collect();
        let examples = match examples.is_empty() {
            true => String::new(),
            false => format!(" Such as {}.", examples.join(", ")),
        };
        let takes = takes(&key.shape);
        let row = format!("| `{}` | {takes} | {default} | {}{examples} |", key.name, key.words);
        let _ = writeln!(text, "{row}");
    }
    text
}

/// The innermost values of a setting and their path.
fn within<'s>(setting: &'s Setting, path: &str) -> (String, &'s Shape) {
    let mut path = joined(path, setting.name);
    let mut shape = &setting.shape;
    loop {
        let (step, inner) = match shape {
            Shape::List(values) => ("0", values),
            Shape::Map { values, .. } => ("NAME", values),
            _ => return (path, shape),
        };
        path = joined(&path, step);
        shape = inner;
    }
}

/// Each map that a shape may be.
fn sections(shape: &Shape) -> Vec<&Shape> {
    match shape {
        Shape::Section { .. } => vec![shape],
        Shape::Choice { sections, .. } => sections.iter().collect(),
        Shape::Either(shapes) => shapes.iter().flat_map(sections).collect(),
        _ => Vec::new(),
    }
}

/// What a setting takes, in a few words.
fn takes(shape: &Shape) -> String {
    match shape {
        Shape::Scalar { what, template: false, .. } => (*what).to_owned(),
        Shape::Scalar { what, template: true, .. } => format!("{what}, perhaps a template"),
        Shape::Free => "a map of anything".to_owned(),
        Shape::List(values) => format!("a list; each: {}", takes(values)),
        Shape::Map { values, .. } => {
            format!("a map under names of your own; each: {}", takes(values))
        }
        Shape::Section { .. } | Shape::Choice { .. } => "a map".to_owned(),
        Shape::Either(shapes) => shapes.iter().map(takes).collect::<Vec<_>>().join("; or "),
    }
}

/// A default as people read it; that nothing is written by default needs no word.
fn default_of(setting: &Setting) -> Option<&'static str> {
    match setting.default? {
        "{}" | "[]" => None,
        "" => Some("\"\""),
        default => Some(default),
    }
}

fn joined(path: &str, step: &str) -> String {
    if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") }
}

/// Where a path leads.
struct Found<'s> {
    /// The path with `NAME` and `0` for what is the user's own.
    path: String,
    shape: &'s Shape,
    /// The key, unless it is the user's own.
    setting: Option<&'s Setting>,
    words: Option<String>,
}

fn find<'s>(root: &'s Shape, path: &str) -> Result<Found<'s>, String> {
    let mut found = Found { path: String::new(), shape: root, setting: None, words: None };
    let mut rest = path;
    while !rest.is_empty() {
        let (first, tail) = rest.split_once('.').unwrap_or((rest, ""));
        if found.shape.is_flat_map() {
            return below_flat_map(found, rest);
        }
        let keys = found.shape.settings();
        let (step, inner) = match found.shape {
            Shape::Section { .. } | Shape::Choice { .. } | Shape::Either(_) if !keys.is_empty() => {
                let Some(setting) = keys.iter().find(|key| key.name == first) else {
                    let near = nearest(first, keys.iter().map(|key| key.name));
                    return Err(unknown(&joined(&found.path, first), near));
                };
                rest = tail;
                found = Found {
                    path: joined(&found.path, first),
                    shape: &setting.shape,
                    setting: Some(setting),
                    words: Some(setting.words.clone()),
                };
                continue;
            }
            Shape::List(values) => ("0", values),
            Shape::Map { values, .. } => ("NAME", values),
            _ => return Err(format!("nothing stands below `{}`", found.path)),
        };
        // The user's own name may be left out.
        let skipped = inner.child(first).is_some() && !sections(inner).is_empty();
        if !skipped && step == "0" && first.parse::<usize>().is_err() {
            let near = nearest(first, inner.settings().into_iter().map(|key| key.name));
            return Err(unknown(&joined(&found.path, first), near));
        }
        rest = if skipped { rest } else { tail };
        found = Found { path: joined(&found.path, step), shape: inner, ..found };
        found.setting = None;
    }
    Ok(found)
}

/// A key of the user's own, dots and all, or one that Mesos or Spark knows.
fn below_flat_map<'s>(map: Found<'s>, key: &str) -> Result<Found<'s>, String> {
    let (values, known) = match map.shape {
        Shape::Map { values, known } => (&**values, known()),
        Shape::Either(shapes) => {
            (shapes.iter().find_map(|s| s.child(key)).unwrap_or(map.shape), vec![])
        }
        _ => (map.shape, Vec::new()),
    };
    let words = known.iter().find(|(name, _)| name == key).map(|(_, words)| words.clone());
    if words.is_none() && !known.is_empty() {
        let near = nearest(key, known.iter().map(|(name, _)| name.as_str()));
        return Err(unknown(&joined(&map.path, key), near));
    }
    let path = joined(&map.path, if words.is_some() { key } else { "NAME" });
    Ok(Found { path, shape: values, setting: None, words: words.or(map.words) })
}

fn unknown(path: &str, near: Option<&str>) -> String {
    let path = clipped(path);
    match near {
        Some(near) => format!("`{path}` is no setting; did you mean `{near}`?"),
        None => format!("`{path}` is no setting; `provision explain` lists those at the top"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_users_own_may_be_left_out() {
        let whole = explain("mesos.agents.compute.resources").unwrap();
        assert!(whole.starts_with("mesos.agents.NAME.resources: a map under names of your own"));
        assert_eq!(explain("mesos.agents.resources").unwrap(), whole);
        assert_eq!(explain("docker.images.0.sha256"), explain("docker.images.sha256"));
        assert_eq!(explain("hosts.a.ssh.host"), explain("hosts.ssh.host"));
    }

    #[test]
    fn a_key_says_what_it_takes_its_default_and_examples() {
        let expected = "mesos.agents.NAME.batch: a count of at least 1 or a percentage such as 20%\n\n\
            How many may be restarted together: a count or 20%.\n\n  default   20%\n  example   2\n";
        assert_eq!(explain("mesos.agents.batch").as_deref(), Ok(expected));
        let choice = explain("zookeeper").unwrap();
        assert!(choice.contains("\nor\n  external     An ensemble that is not ours"), "{choice}");
        assert!(choice.contains("  required  yes\n"), "{choice}");
        assert!(explain("").unwrap().contains("\n  cluster    Name of the cluster"));
    }

    #[test]
    fn what_mesos_and_spark_know_is_told() {
        assert!(explain("mesos.masters.flags.offer_timeout").unwrap().contains("a duration"));
        assert!(explain("spark.defaults.spark.cores.max").unwrap().contains("since Spark"));
        assert!(explain("mesos.agents.p.attributes.rack.x").unwrap().contains("What constraints"));
    }

    #[test]
    fn what_is_no_setting_is_an_error_with_advice() {
        let error = |path: &str| explain(path).unwrap_err();
        assert_eq!(error("mesos.agnets"), "`mesos.agnets` is no setting; did you mean `agents`?");
        assert!(
            error("spark.defaults.spark.core.max").ends_with("did you mean `spark.cores.max`?")
        );
        assert!(error("zzz").ends_with("`provision explain` lists those at the top"));
        assert_eq!(error("cluster.x"), "nothing stands below `cluster`");
        assert!(error("docker.images.archiv").ends_with("did you mean `archive`?"));
    }
}

//! The templates in words: what each is given and the filters of all, from the types.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::{WRITERS, contexts};

/// Every template with what it is given, and every filter, as Markdown.
pub fn reference() -> String {
    let mut page = "## Files on hosts\n\n\
        Each file that we write from a template can be made from one of yours: put it beside the inventory, in\n\
        `templates/`, under the name that stands here with `.tera` behind it. `provision render` shows what comes \
        of it, and\n`provision check` what is wrong with it. A name that the template uses and does not get is an \
        error.\n"
        .to_owned();
    for (name, schema) in contexts::all() {
        let schema = schema.to_value();
        let _ = write!(page, "\n### {name}\n\n{}\n", words(&schema));
        let fields = fields("", &schema);
        if fields.is_empty() {
            page.push_str("\nIt is given nothing.\n");
            continue;
        }
        page.push_str("\n| name | is | |\n| --- | --- | --- |\n");
        for (name, kind, words) in fields {
            let _ = writeln!(page, "| `{name}` | {kind} | {words} |");
        }
    }
    page.push_str(
        "\n### Filters\n\nTera's own, and these, which write a value in the grammar of the file \
         (`{{ value | sh }}`):\n\n| filter | writes |\n| --- | --- |\n",
    );
    for writer in WRITERS {
        let _ = writeln!(page, "| `{}` | {} |", writer.name, writer.words);
    }
    page
}

fn words(schema: &Json) -> &str {
    schema.get("description").and_then(Json::as_str).unwrap_or_default()
}

/// Name, type and words of each field; those of what a list holds follow it as `list[].field`.
fn fields(above: &str, schema: &Json) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for (name, field) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
        let name = format!("{above}{name}");
        all.push((name.clone(), kind(field), words(field).to_owned()));
        if let Some(items) = field.get("items") {
            all.extend(fields(&format!("{name}[]."), items));
        }
    }
    all
}

/// A type, as people say it.
fn kind(schema: &Json) -> String {
    let one = |name: &str| {
        match name {
            "string" => "a text",
            "boolean" => "true or false",
            "integer" => "a number",
            "array" => "a list",
            "object" => "a map",
            "null" => "nothing",
            other => other,
        }
        .to_owned()
    };
    match schema.get("type") {
        Some(Json::String(name)) if name == "array" => match schema.get("items").map(kind) {
            Some(items) => format!("a list; each: {items}"),
            None => one(name),
        },
        Some(Json::String(name)) => one(name),
        Some(Json::Array(names)) => {
            let names: Vec<String> = names.iter().filter_map(Json::as_str).map(one).collect();
            names.join(" or ")
        }
        _ => "anything".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::BUILT_IN;

    /// The list of types and that of templates are in step, and no field is without words.
    #[test]
    fn every_template_has_its_type_and_every_field_its_words() {
        let names: Vec<&str> = contexts::all().into_iter().map(|(name, _)| name).collect();
        let built_in: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, built_in);
        for (name, schema) in contexts::all() {
            for (field, kind, words) in fields("", schema.as_value()) {
                assert!(kind != "anything" && !words.is_empty(), "{name}: {field}");
            }
        }
    }

    /// No field is in vain: each stands in the built-in template.
    #[test]
    fn templates_use_what_they_are_given() {
        for ((_, text), (name, schema)) in BUILT_IN.iter().zip(contexts::all()) {
            for (field, ..) in fields("", schema.as_value()) {
                let last = field.rsplit('.').next().unwrap_or(&field);
                assert!(text.contains(last), "{name} does nothing with {field}");
            }
        }
    }
}

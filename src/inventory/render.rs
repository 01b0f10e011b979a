//! Tera for values: compiled once, rendered for every host, each mistake reported once.

use std::collections::{HashMap, HashSet};

use tera::{Context, ErrorKind, Tera, Value};

use super::decode::{At, Cx};
use super::problem::{Place, Problem};
use super::raw::Json;

/// Templates met so far.
#[derive(Default)]
pub(super) struct Templates {
    tera: Tera,
    /// Template text → whether Tera took it (its name is its text).
    known: HashMap<String, Result<(), String>>,
    reported: HashSet<Place>,
}

impl Templates {
    /// The text with its template rendered; text without `{{`, `{%`, `{#` is itself.
    ///
    /// `who` ends the message: "for host a1", or nothing.
    pub(super) fn render(
        &mut self,
        cx: &mut Cx,
        at: &At<String>,
        context: &Context,
        who: &str,
    ) -> Option<String> {
        let text = &at.value;
        if !is_template(text) {
            return Some(text.clone());
        }
        if !self.known.contains_key(text) {
            let added = self.tera.add_raw_template(text, text).map_err(|e| sentence(&e));
            self.known.insert(text.clone(), added);
        }
        let rendered = match &self.known[text] {
            Ok(()) => self.tera.render(text, context).map_err(|e| sentence(&e) + who),
            Err(message) => Err(message.clone()),
        };
        let rendered = rendered.and_then(|out| match out.chars().any(char::is_control) {
            true => Err(format!("the template gives a line break or control character{who}")),
            false => Ok(out),
        });
        match rendered {
            Ok(out) => Some(out),
            Err(message) => {
                if self.reported.insert(at.place.clone()) {
                    let place = Some(at.place.clone());
                    let problem = Problem::error(place, "bad-template", message);
                    let known = "templates see cluster, vars, and on agents host";
                    cx.problems.push(problem.help(known));
                }
                None
            }
        }
    }
}

/// Whether Tera has anything to do.
pub(super) fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
}

/// What every template sees.
pub(super) fn context(cluster: &str, vars: &Json) -> Context {
    let mut context = Context::new();
    context.insert("cluster", cluster);
    context.insert_value("vars", Value::from_serializable(vars));
    context
}

/// The first line of Tera's message, without its source excerpt, as part of a sentence.
fn sentence(error: &tera::Error) -> String {
    let text = match error.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => {
            report.message().to_owned()
        }
        other => other.to_string(),
    };
    let line = text.lines().next().unwrap_or("").trim_end_matches('.');
    let mut chars = line.chars();
    let first: String = chars.next().map(|c| c.to_lowercase().collect()).unwrap_or_default();
    format!("template: {first}{}", chars.as_str()).replace(". ", "; ")
}

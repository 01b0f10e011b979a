//! Tera for values: compiled once, rendered for every host, each mistake reported once.
//!
//! A value is a word or a line, and an inventory may come from anywhere: nothing in a template repeats, and
//! what it can make is bounded, however little of a file asks for it.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;
use tera::{Context, ErrorKind, Kwargs, State, Tera, Value};

use super::decode::{At, Cx};
use crate::ground::problem::{Place, Problem};

/// Templates met so far.
pub(super) struct Templates {
    tera: Tera,
    /// Template text → whether Tera took it (its name is its text).
    known: HashMap<String, Result<(), String>>,
    reported: HashSet<Place>,
}

/// Most that a template or its value may be.
const MOST_BYTES: usize = 16 << 10;
/// What of Tera's is there beside `{{ }}`.
const TAGS: [&str; 6] = ["if", "elif", "else", "endif", "raw", "endraw"];
/// Each `~` makes a new text of two.
const MOST_JOINED: usize = 32;
/// Filters of Tera's that make lines.
const WITHOUT: [&str; 2] = ["indent", "newlines_to_br"];

impl Default for Templates {
    fn default() -> Templates {
        let mut tera = Tera::default();
        // Tera's own double a text as often as they are written.
        tera.register_filter("replace", replace);
        tera.register_filter("join", join);
        for name in WITHOUT {
            tera.register_filter(
                name,
                move |_: &str, _: Kwargs, _: &State<'_>| -> tera::TeraResult<String> {
                    Err(tera::Error::message(format!(
                        "a value is one line, so there is no `{name}`"
                    )))
                },
            );
        }
        Templates { tera, known: HashMap::new(), reported: HashSet::new() }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "Tera hands its filters what they take")]
fn replace(text: &str, kwargs: Kwargs, _: &State<'_>) -> tera::TeraResult<String> {
    let (from, to) = (kwargs.must_get::<&str>("from")?, kwargs.must_get::<&str>("to")?);
    let bytes = text.len().saturating_add(text.matches(from).count().saturating_mul(to.len()));
    if bytes > MOST_BYTES { Err(too_long()) } else { Ok(text.replace(from, to)) }
}

#[expect(clippy::needless_pass_by_value, reason = "Tera hands its filters what they take")]
fn join(list: Vec<Value>, kwargs: Kwargs, _: &State<'_>) -> tera::TeraResult<String> {
    let between = kwargs.get::<&str>("sep")?.unwrap_or_default();
    let mut text = String::new();
    for (index, item) in list.iter().enumerate() {
        let between = if index == 0 { "" } else { between };
        if text.len() + between.len() > MOST_BYTES {
            return Err(too_long());
        }
        text.push_str(between);
        text.push_str(&item.to_string());
    }
    Ok(text)
}

fn too_long() -> tera::Error {
    tera::Error::message(format!("it makes more than {} KiB", MOST_BYTES >> 10))
}

/// Why a text may not be a template; of what stands behind a tag all is looked at, quoted or not.
fn refusal(text: &str) -> Option<String> {
    if text.len() > MOST_BYTES {
        return Some(format!("a template is longer than {} KiB", MOST_BYTES >> 10));
    }
    if text.matches('~').count() > MOST_JOINED {
        return Some(format!("a template joins more than {MOST_JOINED} texts with `~`"));
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let tags = text.split("{%").skip(1).map(|tag| tag.trim_start_matches(['-', ' ', '\t']));
    let tag = tags.map(|tag| tag.split(|c| !is_word(c)).next().unwrap_or_default());
    let mut strange = tag.filter(|word| !word.is_empty() && !TAGS.contains(word));
    let inside = text.find("{{").into_iter().chain(text.find("{%")).min().map(|at| &text[at..]);
    // A member may be called so: `vars.for`.
    let words = inside.unwrap_or_default().split(|c| !is_word(c) && c != '.');
    let mut repeats = words.filter(|word| ["for", "range"].contains(word));
    let word = repeats.next().or_else(|| strange.next())?;
    Some(format!("in values there is no `{word}`: {{{{ }}}}, {{% if %}} and filters are all"))
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
            let added = match refusal(text) {
                Some(why) => Err(format!("template: {why}")),
                None => self.tera.add_raw_template(text, text).map_err(|e| sentence(&e)),
            };
            self.known.insert(text.clone(), added);
        }
        let rendered = match &self.known[text] {
            Ok(()) => self.bounded(text, context).map_err(|why| why + who),
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

impl Templates {
    fn bounded(&self, name: &str, context: &Context) -> Result<String, String> {
        // A slice takes what it has room for, and ends the rendering then.
        let mut text = vec![0; MOST_BYTES];
        let mut room = &mut text[..];
        let rendered = self.tera.render_to(name, context, &mut room);
        let left = room.len();
        match rendered {
            Ok(()) => {
                text.truncate(MOST_BYTES - left);
                Ok(String::from_utf8_lossy(&text).into_owned())
            }
            Err(error) if matches!(error.kind(), ErrorKind::Io(_)) => Err(sentence(&too_long())),
            Err(error) => Err(sentence(&error)),
        }
    }
}

/// Whether Tera has anything to do.
pub(super) fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
}

/// What the template of a value sees.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Seen<'a> {
    /// `cluster`.
    pub(super) cluster: &'a str,
    /// `vars`; for a host with those of its pool and its own over them.
    #[schemars(with = "Vars")]
    pub(super) vars: &'a Value,
    /// The host that the value is for; only below `mesos.agents`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<SeenHost<'a>>,
}

/// What it sees of a host.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SeenHost<'a> {
    /// Its name in the inventory.
    pub(super) name: &'a str,
    /// Its address.
    pub(super) address: String,
    /// What it calls itself.
    pub(super) hostname: &'a str,
    /// The pool that it is in.
    pub(super) pool: &'a str,
    /// Its own `vars`, without others.
    #[schemars(with = "Vars")]
    pub(super) vars: &'a Value,
}

/// Names of the user's own.
type Vars = serde_json::Map<String, serde_json::Value>;

/// What every template sees.
pub(super) fn context(cluster: &str, vars: &Vars) -> Context {
    let vars = Value::from_serializable(vars);
    let seen = Seen { cluster, vars: &vars, host: None };
    // It is a map of texts and of what YAML can say.
    Context::from_serialize(&seen).unwrap_or_default()
}

/// The templates of values in words, as Markdown.
pub fn reference() -> String {
    let mut page = format!(
        "## Values of the inventory\n\nA value that `provision explain PATH` calls \"perhaps a template\" may \
         hold `{{{{ }}}}`, `{{% if %}}`, `{{% raw %}}` and\nfilters: `rack: \"{{{{ host.vars.rack }}}}\"`. It is \
         one line of at most {} KiB, and nothing in it repeats. A name that is\nnot there is an error.\n\n\
         | name | is |\n| --- | --- |\n",
        MOST_BYTES >> 10
    );
    let mut row = |name: &str, schema: &serde_json::Value| {
        let words = schema.get("description").and_then(|words| words.as_str()).unwrap_or_default();
        let _ = writeln!(page, "| `{name}` | {words} |");
    };
    for (name, field) in fields(&schemars::schema_for!(Seen<'_>)) {
        row(&name, &field);
    }
    for (name, field) in fields(&schemars::schema_for!(SeenHost<'_>)) {
        row(&format!("host.{name}"), &field);
    }
    let without: Vec<String> = WITHOUT.iter().map(|name| format!("`{name}`")).collect();
    let _ = write!(page, "\nFilters are Tera's own, without {}.\n", without.join(" and "));
    page
}

fn fields(schema: &schemars::Schema) -> Vec<(String, serde_json::Value)> {
    let fields = schema.get("properties").and_then(|fields| fields.as_object());
    fields.into_iter().flatten().map(|(name, field)| (name.clone(), field.clone())).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str, vars: &serde_json::Value) -> Result<String, String> {
        let mut templates = Templates::default();
        if let Some(why) = refusal(text) {
            return Err(why);
        }
        templates.tera.add_raw_template(text, text).map_err(|error| sentence(&error))?;
        let vars = vars.as_object().cloned().unwrap_or_default();
        templates.bounded(text, &context("c", &vars))
    }

    #[test]
    fn what_a_value_needs_is_there() {
        let vars = serde_json::json!({"rack": "r1", "zones": ["a", "b"], "for": 1});
        for (text, value) in [
            ("{{ vars.rack }}-{{ cluster }}", "r1-c"),
            ("{% if vars.rack == 'r1' %}x{% else %}y{% endif %}", "x"),
            (
                "{%- if vars.for == 1 -%} {{ vars.rack | replace(from='r', to='rack') }}{% endif %}",
                "rack1",
            ),
            ("{{ vars.zones | join(sep=',') }}", "a,b"),
            ("{{ (vars.rack ~ '-x') | upper }}", "R1-X"),
        ] {
            assert_eq!(rendered(text, &vars).as_deref(), Ok(value), "{text}");
        }
    }

    /// What the reference names is there, and nothing else of ours.
    #[test]
    fn the_reference_names_what_is_seen() {
        let vars = Value::from_serializable(&serde_json::json!({"rack": "r1"}));
        let (address, vars) = ("10.0.0.1".to_owned(), &vars);
        let host = SeenHost { name: "a1", address, hostname: "a1.example", pool: "p", vars };
        let seen = Seen { cluster: "c", vars, host: Some(host) };
        let json = serde_json::to_value(&seen).unwrap();
        let page = reference();
        let rows = page.lines().filter(|line| line.starts_with("| `")).count();
        let below = json["host"].as_object().unwrap();
        assert_eq!(rows, json.as_object().unwrap().len() + below.len(), "{page}");
        let named = |name: &str| page.lines().any(|l| l.starts_with(&format!("| `{name}` | ")));
        assert!(json.as_object().unwrap().keys().all(|name| named(name)));
        assert!(below.keys().all(|name| named(&format!("host.{name}"))));
    }

    #[test]
    fn nothing_repeats_and_nothing_grows_without_bound() {
        let big = serde_json::json!({"b": "a".repeat(1 << 20), "l": vec!["x"; 1 << 16]});
        let nested = "{% for a in vars.l %}{% for b in vars.l %}{% for c in vars.l %}x{% endfor %}{% endfor %}{% endfor %}";
        let doubled =
            format!("{{{{ 'aaaa' {} }}}}", "| replace(from='a', to='aaaaaaaa') ".repeat(20));
        let joined = format!("{{{{ vars.b {} }}}}", "~ vars.b".repeat(40));
        for text in [
            nested,
            "{{ [x for x in vars.l] | length }}",
            "{% set a = vars.b %}{{ a }}",
            "{{ range(end=1000000000) | length }}",
            "{{ vars.b | indent(width=1000) }}",
            "{{ vars.l | join(sep=vars.b) }}",
            "{{ vars.b | replace(from='a', to='aa') }}",
            "{% include 'x' %}",
            "{{ vars.b }}",
            &doubled,
            &joined,
            &"{{ cluster }}".repeat(2000),
        ] {
            let why = rendered(text, &big).unwrap_err();
            assert!(why.len() < 300, "{why}");
        }
    }
}

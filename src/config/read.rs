//! A file's text, read strictly: every mistake at once, each with its place.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::{Config, Hooks, OPTIONS, Owner, Setting};
use crate::ground::{Place, Problem};

/// Hooks by name.
const HOOKS: [&str; 4] = ["before", "after", "before-stage", "after-stage"];

/// What a file says.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(file: &str, text: &str, owner: Owner) -> Result<Config, Vec<Problem>> {
    let mut reader = Reader { file, text, owner, problems: Vec::new() };
    let mut config = Config::default();
    match DeTable::parse(text) {
        Ok(table) => {
            for (key, value) in table.get_ref() {
                let (name, at) = (key.get_ref().as_ref(), key.span());
                match value.get_ref() {
                    DeValue::Table(hooks) if name == "hooks" => {
                        config.hooks = reader.hooks(hooks, at);
                    }
                    _ => config.options.extend(reader.option(
                        name,
                        at,
                        value.get_ref(),
                        value.span(),
                    )),
                }
            }
        }
        Err(error) => {
            let at = error.span().unwrap_or(0..0);
            let message = error.message().lines().next().unwrap_or_default().to_owned();
            reader.error(
                at,
                "not-toml",
                format!("this is no TOML: {message}"),
                "write key = \"value\"",
            );
        }
    }
    reader.problems.sort();
    if reader.problems.is_empty() { Ok(config) } else { Err(reader.problems) }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    owner: Owner,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn option(
        &mut self,
        name: &str,
        at: Range<usize>,
        value: &DeValue<'_>,
        value_at: Range<usize>,
    ) -> Option<Setting> {
        let Some((name, may)) = OPTIONS.iter().find(|(known, _)| *known == name) else {
            let known = OPTIONS.iter().map(|(known, _)| *known).chain(["hooks"]);
            self.unknown(name, at, &known.collect::<Vec<_>>());
            return None;
        };
        if self.owner == Owner::Inventory && *may == Owner::User {
            self.not_from_elsewhere(&format!("`{name}`"), at);
            return None;
        }
        let value = match value {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            _ => {
                let message = format!("`{name}` is neither text nor a number");
                let help = format!("write {name} = \"…\", with what stands after --{name}");
                self.error(value_at, "wrong-type", message, &help);
                return None;
            }
        };
        Some(Setting { name, value, place: self.place(value_at) })
    }

    fn hooks(&mut self, table: &DeTable<'_>, at: Range<usize>) -> Hooks {
        let mut hooks = Hooks::default();
        if self.owner == Owner::Inventory {
            self.not_from_elsewhere("hooks", at);
            return hooks;
        }
        for (key, value) in table {
            let place = match key.get_ref().as_ref() {
                "before" => &mut hooks.before,
                "after" => &mut hooks.after,
                "before-stage" => &mut hooks.before_stage,
                "after-stage" => &mut hooks.after_stage,
                other => {
                    self.unknown(other, key.span(), &HOOKS);
                    continue;
                }
            };
            match words(value.get_ref()) {
                Ok(words) => *place = words,
                Err(why) => {
                    let help = "write the program and its arguments: [\"/usr/local/bin/tell\", \"--loud\"]";
                    self.error(value.span(), "wrong-hook", format!("a hook {why}"), help);
                }
            }
        }
        hooks
    }

    fn not_from_elsewhere(&mut self, what: &str, at: Range<usize>) {
        let message = format!(
            "{what} is not taken from a file beside an inventory, which may come from elsewhere"
        );
        let own = super::path().map_or_else(String::new, |path| format!(": {}", path.display()));
        self.error(at, "not-here", message, &format!("write it in your own file{own}"));
    }

    fn unknown(&mut self, name: &str, at: Range<usize>, known: &[&str]) {
        let near = known.iter().max_by(|one, other| {
            strsim::jaro_winkler(name, one).total_cmp(&strsim::jaro_winkler(name, other))
        });
        let near = near.filter(|near| strsim::jaro_winkler(name, near) > 0.8);
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("keys are {}", known.join(", ")),
        };
        self.error(at, "unknown-key", format!("there is no key `{name}`"), &help);
    }

    fn error(&mut self, at: Range<usize>, name: &'static str, message: String, help: &str) {
        let place = self.place(at);
        self.problems.push(Problem::error(Some(place), name, message).help(help));
    }

    fn place(&self, at: Range<usize>) -> Place {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let length = self.text.get(at).map_or(1, |text| text.chars().count().max(1));
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place {
            file: self.file.into(),
            line: number(line),
            column: number(column),
            length: number(length),
        }
    }
}

/// The words of a hook.
fn words(value: &DeValue<'_>) -> Result<Vec<String>, &'static str> {
    let DeValue::Array(list) = value else {
        return Err("is no list of words, and no shell would split it");
    };
    let mut words = Vec::new();
    for word in list {
        let DeValue::String(text) = word.get_ref() else {
            return Err("has a word that is no text");
        };
        words.push(text.to_string());
    }
    match words.first() {
        None => Err("names no program"),
        // Where we stand may be a directory from elsewhere.
        Some(program) if program.contains('/') && !program.starts_with('/') => {
            Err("names its program by a path that is not whole")
        }
        Some(program) if program.is_empty() => Err("names no program"),
        Some(_) => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, owner: Owner) -> String {
        let problems = parse("config.toml", text, owner).unwrap_err();
        problems.iter().map(|problem| format!("{problem}\n")).collect()
    }

    #[test]
    fn what_is_right_is_taken() {
        let text = "forks = 20\nlock-timeout = '10mins'\n[hooks]\nbefore = ['/bin/true', '-x']\n";
        let config = parse("c", text, Owner::User).unwrap();
        let options: Vec<_> =
            config.options.iter().map(|it| (it.name, it.value.as_str(), it.place.line)).collect();
        assert_eq!(options, [("forks", "20", 1), ("lock-timeout", "10mins", 2)]);
        assert_eq!(config.hooks.before, ["/bin/true", "-x"]);
        assert_eq!(parse("c", "", Owner::Inventory).unwrap(), Config::default());
    }

    #[test]
    fn every_mistake_has_its_place_and_its_cure() {
        let text = "\nfroks = 20\n  user = true\ndelta = 1\n[hooks]\nbefor = ['a']\nafter = 'x y'\nbefore = ['./x']\nbefore-stage = []\nafter-stage = [1]\n";
        insta::assert_snapshot!(said(text, Owner::User));
        insta::assert_snapshot!(said("user = 'x\n", Owner::User));
    }

    #[test]
    fn a_file_from_elsewhere_runs_and_writes_nothing_here() {
        for text in [
            "[hooks]\nbefore = ['id']",
            "hooks = 1",
            "report = '/x'",
            "inventory = '/x'",
            "private-key = '/x'",
        ] {
            let said = said(text, Owner::Inventory);
            assert!(said.contains("config.toml:1:"), "{said}");
        }
        assert!(
            said("[hooks]\nbefore = ['id']", Owner::Inventory).contains("may come from elsewhere")
        );
    }
}

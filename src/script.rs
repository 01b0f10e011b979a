//! Shell scripts as values: one that only looks and one that makes right are different types.
//!
//! Everything that reaches a host's shell is built here or quoted by [`quote`].

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::ground::{Digest, HostName, SecretRef};

/// A script that only looks: named sections, each printing what it found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probe {
    sections: Vec<Section>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    name: String,
    body: String,
    holds: Holds,
}

/// What a section prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// One text.
    Text,
    /// At most so many texts, each ended by [`END_OF_PART`].
    Parts(usize),
}

/// A script that makes something right. Its only constructor is strict: the first command that fails
/// ends it, an unset variable too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    body: String,
    secrets: Vec<SecretRef>,
}

/// A script that only looks, and needs secrets to compare what it sees with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison(Fix);

/// One step of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Run a script on the host.
    Run(Fix),
    /// Run a script on the host of the master that leads, with its URL as the shell's `$url`; one that ends with
    /// [`AGAIN`] is run again a little later, wherever the leading master is then.
    Lead(Fix),
    /// Run a script that makes the host boot, and wait until it is there again.
    Reboot(Fix),
    /// Send a local file, verified there and renamed into place whole.
    Push(Push),
    /// Fetch a file from another host, verified and renamed into place whole.
    Fetch(Handed),
}

/// Exit status of a [`Step::Lead`] that is to be run again; why is its last line.
pub const AGAIN: i32 = 73;

/// A file that another host makes when it is asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handed {
    /// Who has it.
    pub from: HostName,
    /// Makes it there, unless it is there; its last line is the file's SHA-256 in hex.
    pub make: Fix,
    /// Directory, on both hosts.
    pub directory: &'static str,
    /// File name in it: letters, digits, `.`, `_`, `+` and `-`.
    pub name: String,
}

/// A local file to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// On the operator's machine.
    pub from: std::path::PathBuf,
    /// Directory on the host; exists.
    pub directory: String,
    /// File name in it.
    pub name: String,
    /// What the file must be.
    pub digest: Digest,
}

/// Sections of an answer by name.
pub type Sections = BTreeMap<String, String>;

/// Quotes one word for any POSIX shell, whatever is in it. NUL bytes cannot be in a shell word and
/// are refused where values enter (inventory loading), so they are dropped here.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:=@%,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut quoted = String::with_capacity(word.len() + 2);
    quoted.push('\'');
    for c in word.chars() {
        match c {
            '\'' => quoted.push_str("'\\''"),
            '\0' => {}
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// Several words, quoted and joined by blanks.
pub fn quote_all<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(quote).collect();
    quoted.join(" ")
}

/// A template with the [`slot`]s of so many secrets as one word for a shell, whatever is in it: a slot
/// leaves the quotes and enters them again, for a secret is quoted itself when it is filled in.
pub fn quote_template(template: &str, secrets: usize) -> String {
    let mut words = format!("'{}'", template.replace('\'', "'\\''").replace('\0', ""));
    for slot in (0..secrets).flat_map(|index| [slot(index), jaas_slot(index)]) {
        words = words.replace(&slot, &format!("'{slot}'"));
    }
    words
}

impl Probe {
    /// A probe of one section.
    pub fn new(name: &str, body: impl Into<String>) -> Probe {
        let mut probe = Probe::default();
        probe.section(name, body);
        probe
    }

    /// Adds a section. Its body prints to standard output; failing is not its end.
    pub fn section(&mut self, name: &str, body: impl Into<String>) {
        let (name, body) = (name.to_owned(), body.into());
        self.sections.push(Section { name, body, holds: Holds::Text });
    }

    /// Adds a section of so many texts, which are found under `NAME.0`, `NAME.1`, … Its body ends each
    /// with [`END_OF_PART`].
    pub fn parts(&mut self, name: &str, count: usize, body: impl Into<String>) {
        let (name, body) = (name.to_owned(), body.into());
        self.sections.push(Section { name, body, holds: Holds::Parts(count) });
    }

    /// How many sections it has.
    pub fn sections(&self) -> usize {
        self.sections.len()
    }

    /// Adds the sections of another probe.
    pub fn extend(&mut self, other: Probe) {
        self.sections.extend(other.sections);
    }

    /// The text to run. Each section starts on a line `nonce name`, the last line is `nonce .`: an
    /// answer without it was cut and must be thrown away. A nonce is for one host and one question:
    /// whoever else learns what is printed here must not know it beforehand.
    pub fn script(&self, nonce: &str) -> String {
        let mut script = String::new();
        for Section { name, body, holds } in &self.sections {
            if matches!(holds, Holds::Parts(_)) {
                let _ = writeln!(script, "p_mark={}", quote(nonce));
            }
            let _ = writeln!(script, "printf '\\n%s %s\\n' {} {}", quote(nonce), quote(name));
            let _ = writeln!(script, "{body}");
        }
        let _ = writeln!(script, "printf '\\n%s .\\n' {}", quote(nonce));
        script
    }

    /// Splits an answer into its sections: those that were asked for, each once and in their order, or
    /// the whole answer is none.
    ///
    /// # Errors
    /// Half a sentence: why it could not be looked.
    pub fn read(&self, nonce: &str, answer: &str) -> Result<Sections, &'static str> {
        let mark = format!("\n{nonce} ");
        let mut sections = Sections::new();
        let mut asked = self.sections.iter();
        let mut current: Option<(&Section, usize)> = None;
        let mut texts = answer.split(mark.as_str());
        // What a login shell says before.
        texts.next();
        // In a section of parts a text stands before the mark that ends it.
        let mut before = "";
        while let Some(text) = texts.next() {
            let (name, text) = text.split_once('\n').ok_or(CUT)?;
            match (name, current) {
                (".", _) if asked.len() == 0 => {
                    let is_last = text.is_empty() && texts.next().is_none();
                    return if is_last { Ok(sections) } else { Err(UNASKED) };
                }
                ("+", Some((section, number))) => {
                    if section.holds == Holds::Text || section.holds == Holds::Parts(number) {
                        return Err(UNASKED);
                    }
                    sections.insert(format!("{}.{number}", section.name), before.to_owned());
                    current = Some((section, number + 1));
                }
                (name, _) => {
                    let section = asked.next().filter(|it| it.name == name).ok_or(UNASKED)?;
                    if section.holds == Holds::Text {
                        sections.insert(name.to_owned(), text.to_owned());
                    }
                    current = Some((section, 0));
                }
            }
            before = text;
        }
        Err(CUT)
    }
}

const CUT: &str = "its answer was cut short";
const UNASKED: &str = "its answer holds what was not asked for";

/// Ends one text in a section of [parts](Probe::parts), in the shell that runs the section.
pub const END_OF_PART: &str = "printf '\\n%s +\\n' \"$p_mark\"";

/// What others decide, such as another host's answer: the first [`FOREIGN_BYTES`] of a command's output, in
/// hexadecimal, and a line of its own after it. Whatever is in it becomes no line, mark or name of ours, and
/// the next answer has room. [`foreign_texts`] reads it.
pub fn foreign(command: &str) -> String {
    format!("{command} | od -A n -v -t x1 -N {FOREIGN_BYTES}; echo '='\n")
}

/// The same of a regular file, of which `path` is the word.
pub fn foreign_file(path: &str) -> String {
    format!("od -A n -v -t x1 -N {FOREIGN_BYTES} -- {path} 2>/dev/null; echo '='\n")
}

/// Most that is taken of what others decide.
pub const FOREIGN_BYTES: usize = 256 << 10;

/// What commands that were made [`foreign`] printed, one text each.
pub fn foreign_texts(said: &str) -> impl Iterator<Item = String> {
    said.split_inclusive("=\n").filter_map(|text| text.strip_suffix("=\n")).map(|text| {
        let bytes = text.split_ascii_whitespace().map(|hex| u8::from_str_radix(hex, 16));
        String::from_utf8_lossy(&bytes.map_while(Result::ok).collect::<Vec<u8>>()).into_owned()
    })
}

impl Fix {
    /// A strict script.
    pub fn new(body: impl Into<String>) -> Fix {
        Fix { body: body.into(), secrets: Vec::new() }
    }

    /// A strict script in which `slot(n)` stands for the n-th secret, quoted.
    pub fn with_secrets(body: impl Into<String>, secrets: Vec<SecretRef>) -> Fix {
        Fix { body: body.into(), secrets }
    }

    /// The same after lines of the shell that set what it takes.
    #[must_use]
    pub fn after(&self, first: &str) -> Fix {
        let body = format!("{first}{}", self.body);
        Fix { body, secrets: self.secrets.clone() }
    }

    /// The text to run. `reveal` gives the value of each secret; it is asked for nothing else.
    pub fn script(&self, mut reveal: impl FnMut(&SecretRef) -> String) -> String {
        let values: Vec<String> = self.secrets.iter().map(&mut reveal).collect();
        format!("set -eu\n{LIBRARY}{}\n", filled(&self.body, &values))
    }

    /// The script with its secret slots unfilled: for plans and tests.
    pub fn text(&self) -> &str {
        &self.body
    }

    /// The secrets that it needs.
    pub fn secrets(&self) -> &[SecretRef] {
        &self.secrets
    }
}

impl Comparison {
    /// A script that prints what differs, in which `slot(n)` stands for the n-th secret, quoted.
    pub fn new(body: impl Into<String>, secrets: Vec<SecretRef>) -> Comparison {
        Comparison(Fix::with_secrets(body, secrets))
    }

    /// The text to run, with the secrets' values.
    pub fn script(&self, reveal: impl FnMut(&SecretRef) -> String) -> String {
        format!("( {}\n)", self.0.script(reveal))
    }

    /// The script with its secret slots unfilled.
    #[cfg(test)]
    pub fn text(&self) -> &str {
        self.0.text()
    }
}

/// What stands for the n-th secret in a [`Fix`] or a [`Comparison`].
pub fn slot(index: usize) -> String {
    format!("{SLOT}{index}@")
}

const SLOT: &str = "@provision-secret-";

/// The same within the double quotes of a file of JAAS, whatever the secret holds.
pub fn jaas_slot(index: usize) -> String {
    format!("{SLOT}{JAAS}{index}@")
}

const JAAS: &str = "jaas-";

/// What stands between double quotes in a file of JAAS. What follows `${` there is the name of a property of the
/// JVM up to `}`, and nothing takes that meaning from it.
///
/// Source: OpenJDK 17, `sun.security.provider.ConfigFile`, which reads with `java.io.StreamTokenizer` (escapes of
/// C, octal ones too) and then calls `sun.security.util.PropertyExpander`.
fn jaas_string(text: &str) -> String {
    let mut string = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => string.extend(['\\', c]),
            c if c.is_ascii_control() => {
                let _ = write!(string, "\\{:03o}", u32::from(c));
            }
            c => string.push(c),
        }
    }
    string
}

/// The text with its slots filled, each once: what a value holds is no slot.
fn filled(text: &str, values: &[String]) -> String {
    let mut parts = text.split(SLOT);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let slot = part.split_once('@').and_then(|(index, rest)| {
            let (index, in_jaas) = match index.strip_prefix(JAAS) {
                Some(index) => (index, true),
                None => (index, false),
            };
            let plain = index.parse::<usize>().ok()?;
            let value = values.get(plain).filter(|_| plain.to_string() == index)?;
            Some((if in_jaas { quote(&jaas_string(value)) } else { quote(value) }, rest))
        });
        match slot {
            Some((value, rest)) => whole.extend([value.as_str(), rest]),
            None => whole.extend([SLOT, part]),
        }
    }
    whole
}

/// Functions that fixes share. `put` writes a file whole or not at all: a dot-named temporary in the
/// same directory (a stray file in /etc/mesos-* is a flag, a dot-file is not), content checked by size
/// and digest, owner and mode set, synced, renamed. The replaced version goes to the run's backup.
const LIBRARY: &str = r#"
say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }
again() { printf '%s\n' "$*" >&2; exit 73; }
backup() {
  [ -n "${PROVISION_BACKUP:-}" ] || return 0
  if [ -e "$1" ] || [ -L "$1" ]; then
    mkdir -p "$PROVISION_BACKUP$(dirname "$1")"
    cp -aT "$1" "$PROVISION_BACKUP$1"
  fi
}
refuse_link() {
  if [ -L "$1" ]; then die "$1 is a symbolic link to $(readlink "$1"); remove it or put a regular file there"; fi
  if [ -e "$1" ] && [ ! -f "$1" ]; then die "$1 exists and is not a regular file; move it away"; fi
}
put() { # path owner group mode sha256 content
  refuse_link "$1"
  t=$(mktemp "$(dirname "$1")/.provision.XXXXXX") || die "$1 cannot be written; is its disk full?"
  trap 'rm -f "$t"' EXIT
  printf '%s' "$6" > "$t" || die "$1 cannot be written; is its disk full?"
  got=$(sha256sum < "$t"); got=${got%% *}
  [ "$got" = "$5" ] || die "$1: wrote a file with digest $got, expected $5"
  chown "$2:$3" "$t"; chmod "$4" "$t"
  sync "$t"
  mv -fT "$t" "$1" || die "$1 cannot be replaced$(immutable "$1")"
  trap - EXIT
}
immutable() {
  case $(lsattr -d "$1" 2>/dev/null || :) in
    ????i*) printf ', it is immutable; run: chattr -i %s' "$1" ;;
  esac
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_word_stays_readable_and_any_other_is_quoted() {
        assert_eq!(quote("/etc/mesos/zk"), "/etc/mesos/zk");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("it's $HOME"), "'it'\\''s $HOME'");
    }

    fn asked() -> Probe {
        let mut probe = Probe::new("files", "");
        probe.parts("http", 2, "");
        probe.section("units", "");
        probe
    }

    const WHOLE: &str =
        "noise\n\nN files\na b\n\nN http\none\n200\n\nN +\n\nN +\n\nN units\nX=1\n\nN .\n";

    #[test]
    fn an_answer_without_its_end_mark_is_no_answer() {
        let sections = asked().read("N", WHOLE).unwrap();
        assert_eq!(sections["files"], "a b\n");
        assert_eq!(sections["http.0"], "one\n200\n");
        assert_eq!(sections["http.1"], "");
        assert_eq!(sections["units"], "X=1\n");
        for cut in 0..WHOLE.len() {
            assert_eq!(asked().read("N", &WHOLE[..cut]), Err(CUT), "{}", &WHOLE[..cut]);
        }
    }

    #[test]
    fn an_answer_with_anything_else_than_was_asked_for_is_no_answer() {
        for (from, to) in [
            // A section that nobody asked for, one twice, two exchanged, one missing, more after the end.
            ("N units\n", "N strays\nx|../..\n\nN units\n"),
            ("N units\n", "N files\nother\n\nN units\n"),
            ("N files\na b\n\nN http", "N http\na b\n\nN files"),
            ("N files\na b\n\n", ""),
            ("N +\n\nN +\n", "N +\n\nN +\n\nN +\n"),
            ("X=1\n", "X=1\n\nN +\n"),
            ("N .\n", "N .\n\nN .\n"),
            ("N units\nX=1\n\n", ""),
        ] {
            assert!(WHOLE.contains(from));
            assert_eq!(asked().read("N", &WHOLE.replace(from, to)), Err(UNASKED), "{to}");
        }
        // Fewer parts than could be: the question was not put.
        assert!(asked().read("N", &WHOLE.replacen("N +\n\n", "", 1)).is_ok());
    }

    #[test]
    fn what_others_say_is_one_value_whatever_it_is() {
        let said = " 7b 0a 4e 20 2e\n 0a\n=\n=\n ff\n=\n 41";
        let texts: Vec<String> = foreign_texts(said).collect();
        assert_eq!(texts, ["{\nN .\n", "", "\u{fffd}"]);
    }

    #[test]
    fn a_secret_that_holds_a_slot_fills_none() {
        let secrets = ["A", "B"].map(|name| SecretRef::Env(name.into()));
        let body = format!("a={} b={} c={} {SLOT}2@ {SLOT}01@", slot(0), slot(1), slot(1));
        let fix = Fix::with_secrets(body, secrets.to_vec());
        let script = fix.script(|secret| match secret {
            SecretRef::Env(name) if name == "A" => format!("x{}x", slot(1)),
            _ => "hunter2".to_owned(),
        });
        let right = format!("a=x{}x b=hunter2 c=hunter2 {SLOT}2@ {SLOT}01@\n", slot(1));
        assert!(script.ends_with(&right), "{script}");
    }

    #[test]
    fn a_secret_is_in_the_script_that_runs_and_in_nothing_else() {
        let fix = Fix::with_secrets(
            format!("printf %s {} > f", slot(0)),
            vec![SecretRef::Env("TOKEN".into())],
        );
        assert!(!fix.text().contains("hunter2"));
        assert!(fix.script(|_| "hunter2's".into()).contains("'hunter2'\\''s'"));
        assert!(!format!("{fix:?}").contains("hunter2"));
    }
}

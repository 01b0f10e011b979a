//! Shell scripts as values: one that only looks and one that makes right are different types.
//!
//! Everything that reaches a host's shell is built here or quoted by [`quote`].

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::inventory::{Digest, SecretRef};

/// A script that only looks: named sections, each printing what it found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probe {
    sections: Vec<(String, String)>,
}

/// A script that makes something right. Its only constructor is strict: the first command that fails
/// ends it, an unset variable too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    body: String,
    secrets: Vec<SecretRef>,
}

/// One step of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Run a script on the host.
    Run(Fix),
    /// Send a local file, verified there and renamed into place whole.
    Push(Push),
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

impl Probe {
    /// A probe of one section.
    pub fn new(name: &str, body: impl Into<String>) -> Probe {
        let mut probe = Probe::default();
        probe.section(name, body);
        probe
    }

    /// Adds a section. Its body prints to standard output; failing is not its end.
    pub fn section(&mut self, name: &str, body: impl Into<String>) {
        self.sections.push((name.to_owned(), body.into()));
    }

    /// Adds the sections of another probe.
    pub fn extend(&mut self, other: Probe) {
        self.sections.extend(other.sections);
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// The text to run. Each section starts on a line `nonce name`, the last line is `nonce .`: an
    /// answer without it was cut and must be thrown away.
    pub fn script(&self, nonce: &str) -> String {
        let mut script = String::new();
        for (name, body) in &self.sections {
            let _ = writeln!(script, "printf '\\n%s %s\\n' {} {}", quote(nonce), quote(name));
            let _ = writeln!(script, "{body}");
        }
        let _ = writeln!(script, "printf '\\n%s .\\n' {}", quote(nonce));
        script
    }

    /// Splits an answer into its sections; `None` when its end mark is missing.
    pub fn sections(nonce: &str, answer: &str) -> Option<Sections> {
        let mut sections = Sections::new();
        let mark = format!("\n{nonce} ");
        let mut parts = answer.split(mark.as_str());
        parts.next();
        let mut ended = false;
        for part in parts {
            let (name, body) = part.split_once('\n')?;
            match name {
                "." => ended = true,
                name => {
                    sections.insert(name.to_owned(), body.to_owned());
                }
            }
        }
        ended.then_some(sections)
    }
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

    /// The secrets that must be known before it can run.
    pub fn secrets(&self) -> &[SecretRef] {
        &self.secrets
    }

    /// The text to run. `reveal` gives the value of each secret; it is asked for nothing else.
    pub fn script(&self, mut reveal: impl FnMut(&SecretRef) -> String) -> String {
        let mut body = self.body.clone();
        for (index, secret) in self.secrets.iter().enumerate() {
            body = body.replace(&slot(index), &quote(&reveal(secret)));
        }
        format!("set -eu\n{LIBRARY}{body}\n")
    }

    /// The script with its secret slots unfilled: for plans and tests.
    pub fn text(&self) -> &str {
        &self.body
    }
}

/// What stands for the n-th secret in a [`Fix`].
pub fn slot(index: usize) -> String {
    format!("@provision-secret-{index}@")
}

/// Functions that fixes share. `put` writes a file whole or not at all: a dot-named temporary in the
/// same directory (a stray file in /etc/mesos-* is a flag, a dot-file is not), content checked by size
/// and digest, owner and mode set, synced, renamed. The replaced version goes to the run's backup.
const LIBRARY: &str = r#"
say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }
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
  t=$(mktemp "$(dirname "$1")/.provision.XXXXXX")
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

    #[test]
    fn an_answer_without_its_end_mark_is_no_answer() {
        let whole = "noise\n\nN files\na b\n\nN units\nX=1\n\nN .\n";
        let sections = Probe::sections("N", whole).unwrap();
        assert_eq!(sections["files"], "a b\n");
        assert_eq!(sections["units"], "X=1\n");
        assert_eq!(Probe::sections("N", &whole[..whole.len() - 3]), None);
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

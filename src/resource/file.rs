//! A regular file with its whole content.

use std::fmt::Write as _;

use super::paths::{NOT_ALLOWED, stat, sum, wanted};
use super::{Facts, Gap, Kind, Look, ResourceId};
use crate::ground::SecretRef;
use crate::ground::digest::sha256;
use crate::script::{Comparison, Fix, Sections, Step, quote, quote_template};

/// A regular file with its whole content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Absolute path.
    pub path: String,
    /// What is in it.
    pub content: Content,
    /// Owner.
    pub owner: String,
    /// Group.
    pub group: String,
    /// Permission bits, octal without leading zero, such as `644`.
    pub mode: &'static str,
    /// What is tried before it is put in its place: `$new` is another file with the same text and the end of
    /// its name. Where that fails nothing was changed.
    pub trial: Option<&'static str>,
    /// What must be done after it was written, such as reloading systemd.
    pub after: Option<&'static str>,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// This text.
    Text(String),
    /// Text in which `slot(n)` stands for the n-th secret. Compared by presence, owner and mode only,
    /// and by a stamp that names the principal: no digest of a secret is kept anywhere.
    Secret {
        /// The text with slots.
        template: String,
        /// The secrets, in the order of their slots.
        secrets: Vec<SecretRef>,
        /// What identifies the content without revealing it: the principal, or what of the inventory it
        /// is, such as `proxy/http`.
        label: String,
    },
}

impl File {
    /// A root-owned file that everybody may read.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> File {
        File {
            path: path.into(),
            content: Content::Text(text.into()),
            owner: "root".to_owned(),
            group: "root".to_owned(),
            mode: "644",
            trial: None,
            after: None,
        }
    }

    /// A file that root alone may read, for its text is a secret or holds those of these slots.
    pub fn private(path: &str, template: String, secrets: Vec<SecretRef>, label: &str) -> File {
        let content = match secrets.is_empty() {
            true => Content::Text(template),
            false => Content::Secret { template, secrets, label: label.to_owned() },
        };
        File { content, mode: "600", ..File::new(path, "") }
    }

    /// Its name in its directory.
    pub fn name(&self) -> Option<String> {
        self.path.rsplit('/').next().map(str::to_owned)
    }

    /// What a process that reads this file depends on, for a service's digest.
    pub fn input(&self) -> String {
        match &self.content {
            Content::Text(text) => format!("{}={}", self.path, sha256(text)),
            Content::Secret { label, .. } => format!("{}={label}", self.path),
        }
    }

    /// Prints its path unless it holds the secrets as they were looked up now; `None` for other files.
    pub fn holds(&self) -> Option<Comparison> {
        let Content::Secret { template, secrets, .. } = &self.content else { return None };
        let words = quote_template(template, secrets.len());
        let path = quote(&self.path);
        let script = format!("printf '%s' {words} | cmp -s - {path} || say {path}");
        Some(Comparison::new(script, secrets.clone()))
    }

    fn finish(&self, script: &mut String) {
        if let Some(after) = self.after {
            let _ = writeln!(script, "{after}");
        }
    }
}

impl Kind for File {
    fn id(&self) -> ResourceId {
        ResourceId { kind: "file", name: self.path.clone() }
    }

    fn want(&self) -> Facts {
        let mut want = wanted("regular file", &self.owner, &self.group, self.mode);
        if let Content::Text(text) = &self.content {
            want.insert("sha256", sha256(text));
        }
        want
    }

    fn read(&self, sections: &Sections) -> Look {
        let Some(stat) = stat(&self.path, sections) else { return Look::Facts(Facts::new()) };
        let mut facts = stat.facts();
        // stat says "regular empty file" of an empty one.
        if stat.kind == "regular empty file" {
            facts.insert("type", "regular file".to_owned());
        }
        if let Some(digest) = sum(&self.path, sections) {
            facts.insert("sha256", digest.to_owned());
        } else if matches!(self.content, Content::Text(_)) && facts["type"] == "regular file" {
            return Look::Failed(NOT_ALLOWED.to_owned());
        }
        Look::Facts(facts)
    }

    /// Of those whose text is known here.
    fn sums(&self) -> Vec<&str> {
        match self.content {
            Content::Text(_) => vec![&self.path],
            Content::Secret { .. } => Vec::new(),
        }
    }

    /// Writes it whole, the old version kept in the run's backup (never a secret's).
    fn fix(&self, _: &[Gap]) -> Vec<Step> {
        let path = quote(&self.path);
        let mut script = String::new();
        let _ = writeln!(script, "mkdir -p \"$(dirname {path})\"");
        let _ = writeln!(script, "refuse_link {path}");
        let owner = format!("{} {} {}", quote(&self.owner), quote(&self.group), self.mode);
        let fix = match &self.content {
            Content::Text(text) => {
                if let Some(trial) = self.trial {
                    let name = self.path.rsplit('/').next().unwrap_or("file");
                    let name = quote(&format!("new-{name}"));
                    let _ = writeln!(
                        script,
                        "d=$(mktemp -d); trap 'rm -rf \"$d\"' EXIT; new=$d/{name}\n\
                         printf '%s' {} > \"$new\"\n{trial}\nrm -rf \"$d\"; trap - EXIT",
                        quote(text)
                    );
                }
                let _ = writeln!(script, "backup {path}");
                let _ = writeln!(script, "put {path} {owner} {} {}", sha256(text), quote(text));
                self.finish(&mut script);
                Fix::new(script)
            }
            Content::Secret { template, secrets, .. } => {
                // The digest of a secret must not be computed here, where it could be logged.
                let _ = writeln!(script, "umask 077");
                let words = quote_template(template, secrets.len());
                let _ = writeln!(script, "t=$(mktemp \"$(dirname {path})/.provision.XXXXXX\")");
                let _ = writeln!(script, "trap 'rm -f \"$t\"' EXIT");
                let _ = writeln!(script, "printf '%s' {words} > \"$t\"");
                let _ = writeln!(script, "chown {}:{} \"$t\"", self.owner, self.group);
                let _ = writeln!(script, "chmod {} \"$t\"; sync \"$t\"", self.mode);
                let _ = writeln!(script, "mv -fT \"$t\" {path}; trap - EXIT");
                self.finish(&mut script);
                Fix::with_secrets(script, secrets.clone())
            }
        };
        vec![Step::Run(fix)]
    }

    fn undo(&self) -> Option<String> {
        let path = quote(&self.path);
        // No secret in the backup.
        let backup = match &self.content {
            Content::Text(_) => format!("backup {path}\n"),
            Content::Secret { .. } => String::new(),
        };
        let mut script = format!("{backup}rm -f {path}\n");
        self.finish(&mut script);
        Some(script)
    }

    fn paths(&self) -> Vec<&str> {
        vec![&self.path]
    }

    fn touches(&self) -> Option<&str> {
        Some(&self.path)
    }

    fn secrets(&self) -> Vec<SecretRef> {
        match &self.content {
            Content::Text(_) => Vec::new(),
            Content::Secret { secrets, .. } => secrets.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_found_by_path() {
        let sections = Sections::from([
            ("stat".to_owned(), "regular file|root:root|644|3|170|/a b|'/a b'\n".to_owned()),
            ("sha256".to_owned(), "00ff  /a b\n".to_owned()),
        ]);
        let file = File::new("/a b", "x");
        let Look::Facts(facts) = file.read(&sections) else { panic!() };
        assert_eq!(facts["sha256"], "00ff");
    }
}

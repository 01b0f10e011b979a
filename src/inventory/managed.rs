//! `files`: files of the user's own that flags point to: ACLs, modules, rules of a firewall, Docker's
//! credentials, the environment of executors.

use super::credentials::{self, Secret};
use super::decode::{At, Cx};
use super::files::Files;
use super::settings::{choice, section};
use super::types::{self, Bool, Plain, Template, scalar};
use super::{grammar, schema};
use crate::ground::SecretRef;
use crate::ground::problem::Problem;

choice! {
    /// A file, by what is in it.
    #[derive(Debug)]
    pub(super) enum Written {
        text => Text(FromText),
        path => Path(FromPath),
        secret => Secret(FromSecret),
    }
}

section! {
    /// Its text.
    #[derive(Debug)]
    pub(super) struct FromText {
        /// What is in it; a template.
        need text: Template, such as "'{\"run_tasks\": []}'";
        with about: About;
    }
}

section! {
    /// A file of this machine.
    #[derive(Debug)]
    pub(super) struct FromPath {
        /// A text file of this machine, taken as it is.
        need path: types::Source, such as "./acls.json";
        with about: About;
    }
}

section! {
    /// A secret.
    #[derive(Debug)]
    pub(super) struct FromSecret {
        /// Where its whole text is found; it is never shown.
        need secret: Secret, such as "{file: ./docker-config.json}";
        with about: About;
    }
}

section! {
    /// What holds of it whatever is in it.
    #[derive(Debug, Clone)]
    pub(super) struct About {
        /// Permissions in octal; those of a secret are 600 unless said otherwise.
        may mode: Plain<Mode>, such as "640";
        /// Who owns it.
        may owner: Plain<Account> = "root";
        /// Its group.
        may group: Plain<Account> = "root";
        /// Whether the daemon is started anew when it changes; one that reads it by itself need not be.
        may restart: Plain<Bool> as bool = "true";
    }
}

scalar! {
    /// Permissions that a file of this kind may have.
    Mode -> String, "permissions such as 644, 640 or 600",
        |t| MODES.contains(&t).then(|| t.to_owned()), serde_json::json!({ "enum": modes() });
    /// A name of a user or group.
    Account -> String, "a name of a user or group",
        |t| grammar::word(t, "._-").then(|| t.to_owned()), schema::word("^[A-Za-z0-9_.][A-Za-z0-9_.-]*$");
}

/// Files that others may write, or that start with somebody's rights, are none of these.
const MODES: [&str; 12] =
    ["400", "440", "444", "500", "550", "555", "600", "640", "644", "700", "750", "755"];

fn modes() -> Vec<serde_json::Value> {
    let text = MODES.iter().map(|mode| serde_json::Value::from(*mode));
    let number = MODES.iter().filter_map(|mode| Some(mode.parse::<u16>().ok()?.into()));
    text.chain(number).collect()
}

/// A file of the user's own on hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedFile {
    /// Absolute path.
    pub path: String,
    /// What is in it.
    pub text: ManagedText,
    /// Permissions in octal.
    pub mode: &'static str,
    /// Who owns it.
    pub owner: String,
    /// Its group.
    pub group: String,
    /// Whether the daemon is started anew when it changes.
    pub restart: bool,
}

/// What is in a file of the user's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManagedText {
    /// This.
    Plain(String),
    /// A secret.
    Secret(SecretRef),
}

/// Directories and files that are ours: what a task writes there would fight with it.
const OURS: [&str; 9] = [
    "/etc/mesos/",
    "/etc/mesos-master/",
    "/etc/mesos-slave/",
    "/etc/mesos-agent/",
    "/etc/mesos-secrets/",
    "/etc/spark-secrets/",
    "/etc/zookeeper/",
    "/etc/default/mesos",
    "/var/lib/provision/",
];

/// The files of a section, `render` making text of its templates.
pub(super) fn resolve(
    cx: &mut Cx,
    files: &dyn Files,
    section: &str,
    written: &[(At<String>, Written)],
    mut render: impl FnMut(&mut Cx, &At<String>) -> Option<String>,
) -> Vec<ManagedFile> {
    let mut all = Vec::new();
    for (at, file) in written {
        let path = at.value.as_str();
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        let whole = path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain));
        if !whole || path.contains(char::is_control) {
            let message =
                format!("`{}` is no absolute path of a file", super::decode::clipped(path));
            let problem = Problem::error(Some(at.place.clone()), "bad-path", message);
            cx.problems.push(problem.help("write it like /etc/mesos-files/acls.json"));
            continue;
        }
        if OURS.iter().any(|ours| path.starts_with(ours)) || path == "/etc/docker/daemon.json" {
            let message = format!("`{path}` is ours to write");
            let problem = Problem::error(Some(at.place.clone()), "bad-path", message);
            cx.problems.push(problem.help("put it elsewhere, such as /etc/mesos-files/acls.json"));
            continue;
        }
        let (text, about) = match file {
            Written::Text(from) => {
                let text = from.text.as_ref().and_then(|text| render(cx, text));
                (text.map(ManagedText::Plain), &from.about)
            }
            Written::Path(from) => {
                (from.path.as_ref().and_then(|at| local(cx, files, at)), &from.about)
            }
            Written::Secret(from) => {
                let reference = from.secret.as_ref().and_then(Secret::reference);
                let path = format!("{section}.{path}.secret");
                let located =
                    reference.map(|it| credentials::located(cx, files, &at.place, &path, it));
                (located.map(ManagedText::Secret), &from.about)
            }
        };
        let Some(text) = text else { continue };
        let default = if matches!(text, ManagedText::Secret(_)) { "600" } else { "644" };
        let mode = about.mode.as_deref().unwrap_or(default);
        let mode = MODES.into_iter().find(|known| *known == mode).unwrap_or(default);
        all.push(ManagedFile {
            path: path.to_owned(),
            text,
            mode,
            owner: about.owner.clone(),
            group: about.group.clone(),
            restart: about.restart,
        });
    }
    all
}

fn local(cx: &mut Cx, files: &dyn Files, at: &At<String>) -> Option<ManagedText> {
    let path = files.locate(&at.place, &at.value);
    match files.text(&path) {
        Ok(text) => Some(ManagedText::Plain(text)),
        Err(why) => {
            let message = format!("`{}` {why}", at.value);
            let problem = Problem::error(Some(at.place.clone()), "missing-file", message);
            cx.problems.push(problem.help(format!("looked for {}", path.display())));
            None
        }
    }
}

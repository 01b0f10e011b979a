//! `mesos.credentials`: what agents and frameworks authenticate with. Secrets are references.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::decode::{At, Cx};
use super::files::Files;
use super::resolve::Resolver;
use super::settings::{choice, section};
use super::types::{List, Text, Yes, scalar};
use super::{grammar, schema};
use crate::ground::SecretRef;
use crate::ground::problem::{Place, Problem};
use crate::script::quote;

section! {
    /// Who authenticates.
    #[derive(Debug)]
    pub(super) struct Settings {
        /// What agents authenticate with.
        may agent: Written, such as "{principal: agent, secret: {env: AGENT_SECRET}}";
        /// What Spark authenticates with.
        may framework: Written, such as "{principal: spark, secret: {file: ./spark.secret}}";
        /// What masters accept beside these, during a rotation.
        may former: List<Written> = "[]";
        /// Who may change the cluster over the masters' HTTP (weights, drains, maintenance, ending frameworks);
        /// `provision` does so as this one. With it the HTTP of masters and agents asks everybody for a
        /// credential. Needs Mesos 1.0.
        may operator: Rotating, such as "{principal: operator, secret: {env: OPERATOR_SECRET}}";
        /// Who may look, at masters and at agents, and change nothing: what people give their browsers. Its
        /// secret lies on every agent, the operator's on masters alone.
        may viewer: Written, such as "{principal: viewer, secret: {env: VIEWER_SECRET}}";
    }
}

section! {
    /// A principal with its secret, and the one before it.
    #[derive(Debug)]
    pub(super) struct Rotating {
        /// The name; not secret.
        need principal: Principal, such as "operator";
        /// Where the secret is; never the secret itself.
        need secret: Secret, such as "{env: SECRET}", "{prompt: true}";
        /// Who it was before: accepted too, and used until all know the new one.
        may former: Written, such as "{principal: operator, secret: {env: FORMER_SECRET}}";
    }
}

section! {
    /// A principal with its secret.
    #[derive(Debug)]
    pub(super) struct Written {
        /// The name; not secret.
        need principal: Principal, such as "agent";
        /// Where the secret is; never the secret itself.
        need secret: Secret, such as "{env: AGENT_SECRET}", "{prompt: true}";
    }
}

choice! {
    /// Where a secret is.
    #[derive(Debug)]
    pub(super) enum Secret {
        env => Env(Env),
        file => File(File),
        command => Command(Command),
        prompt => Prompt(Prompt),
    }
}

section! {
    /// In the environment.
    #[derive(Debug)]
    pub(super) struct Env {
        /// An environment variable of yours.
        need env: Variable, such as "AGENT_SECRET";
    }
}

section! {
    /// In a file.
    #[derive(Debug)]
    pub(super) struct File {
        /// A file of yours.
        need file: Text, such as "./agent.secret";
    }
}

section! {
    /// Printed by a command.
    #[derive(Debug)]
    pub(super) struct Command {
        /// A command of yours that prints it.
        need command: Text, such as "pass show mesos/agent";
    }
}

section! {
    /// Asked for.
    #[derive(Debug)]
    pub(super) struct Prompt {
        /// true: asked at the terminal.
        need prompt: Yes, such as "true";
    }
}

scalar! {
    /// A principal.
    Principal -> String, "a name of letters, digits, `.`, `_` and `-`",
        |t| grammar::safe(t, "._-"), schema::word("^[A-Za-z0-9._][A-Za-z0-9._-]*$");
    /// What may name an environment variable.
    Variable -> String, "the name of an environment variable",
        |t| grammar::safe(t, "_").filter(|t| !t.starts_with(|c: char| c.is_ascii_digit())),
        serde_json::json!({ "type": ["string", "boolean"], "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" });
}

impl Secret {
    /// The same with what is a template rendered; `None` where what it says was refused.
    pub(super) fn rendered(
        &self,
        mut render: impl FnMut(&At<String>) -> Option<String>,
    ) -> Option<SecretRef> {
        match self {
            Secret::File(file) => {
                Some(SecretRef::File(PathBuf::from(render(file.file.as_ref()?)?)))
            }
            Secret::Command(command) => {
                Some(SecretRef::Command(render(command.command.as_ref()?)?))
            }
            Secret::Env(_) | Secret::Prompt(_) => self.reference(),
        }
    }

    /// `None` where what it says was refused.
    pub(super) fn reference(&self) -> Option<SecretRef> {
        match self {
            Secret::Env(env) => env.env.as_ref().map(|at| SecretRef::Env(at.value.clone())),
            Secret::File(file) => {
                file.file.as_ref().map(|at| SecretRef::File(PathBuf::from(&at.value)))
            }
            Secret::Command(command) => {
                command.command.as_ref().map(|at| SecretRef::Command(at.value.clone()))
            }
            Secret::Prompt(prompt) => prompt.prompt.as_ref().map(|_| SecretRef::Prompt),
        }
    }
}

/// Authentication of agents and frameworks; all `None` means none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// What agents authenticate with at the master.
    pub agent: Option<Credential>,
    /// What Spark authenticates with.
    pub framework: Option<Credential>,
    /// What masters accept beside these, while agents and frameworks go over to them.
    pub former: Vec<Credential>,
    /// What masters do until everybody has gone over to what is written; `None` in the end.
    pub opening: Option<Opening>,
    /// Who may change the cluster over HTTP; with it HTTP asks everybody.
    pub operator: Option<Credential>,
    /// Who the operator was, while masters go over.
    pub former_operator: Option<Credential>,
    /// Who may look over HTTP.
    pub viewer: Option<Credential>,
}

/// What masters do until agents and clients have what is written: nobody is asked for one who was not before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Whether agents go on being asked.
    pub agents: bool,
    /// Whether frameworks do.
    pub frameworks: bool,
    /// Whether masters go on with the file of principals that they have: it holds all that are written, and more.
    pub keeps: bool,
}

impl Credentials {
    /// Whether masters admit no agent without one.
    pub fn asks_agents(&self) -> bool {
        self.agent.is_some() && self.opening.as_ref().is_none_or(|it| it.agents)
    }

    /// Whether masters admit no framework without one.
    pub fn asks_frameworks(&self) -> bool {
        self.framework.is_some() && self.opening.as_ref().is_none_or(|it| it.frameworks)
    }

    /// Whether masters go on with the principals that they know.
    pub fn keeps(&self) -> bool {
        self.opening.as_ref().is_some_and(|it| it.keeps)
    }

    /// All that masters accept.
    pub fn accepted(&self) -> impl Iterator<Item = &Credential> {
        self.agent.iter().chain(&self.framework).chain(&self.former).chain(self.over_http())
    }

    /// What masters accept over HTTP alone.
    fn over_http(&self) -> impl Iterator<Item = &Credential> {
        self.operators().chain(&self.viewer)
    }

    /// Who may change the cluster.
    pub fn operators(&self) -> impl Iterator<Item = &Credential> {
        self.operator.iter().chain(&self.former_operator)
    }

    /// As whom questions and calls of ours are put: one whom every master accepts, also those whose turn is
    /// still to come.
    pub fn asking(&self) -> Option<&Credential> {
        self.former_operator.as_ref().or(self.operator.as_ref())
    }
}

/// A principal and where its secret is found. The secret itself is never in here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The principal's name; not secret.
    pub principal: String,
    /// Where the secret is.
    pub secret: SecretRef,
}

/// Where credentials are kept on hosts: root only, outside the directories whose every file is a flag.
pub const SECRETS: &str = "/etc/mesos-secrets";

/// Name of the file that masters read. No principal has a comma in it: other principals, another name.
pub fn masters_file(principals: &str) -> String {
    format!("master-{principals}.json")
}

/// The principals in a file that masters read, by its path; `None` for a file that is not ours.
pub fn principals(path: &str) -> Option<BTreeSet<String>> {
    let path = path.strip_prefix("file://").unwrap_or(path);
    let names = path.strip_prefix(SECRETS)?.strip_prefix("/master-")?.strip_suffix(".json")?;
    Some(names.split(',').map(str::to_owned).collect())
}

/// Who authenticates, secret files found.
pub(super) fn resolve(settings: &Settings, r: &mut Resolver<'_>) -> Credentials {
    let (cx, files) = (&mut *r.cx, &*r.files);
    let operator = settings.operator.as_ref();
    let (operator, former_operator) = rotating(cx, "mesos.credentials.operator", operator, files);
    let credentials = Credentials {
        agent: credential(cx, "agent", settings.agent.as_ref(), files),
        framework: credential(cx, "framework", settings.framework.as_ref(), files),
        former: (0..)
            .zip(&settings.former)
            .filter_map(|(n, one)| credential(cx, &format!("former.{n}"), Some(one), files))
            .collect(),
        opening: None,
        operator,
        former_operator,
        viewer: credential(cx, "viewer", settings.viewer.as_ref(), files),
    };
    apart(cx, settings, &credentials);
    one_secret_each(cx, settings, &credentials);
    credentials
}

/// A principal and the one before it; `path` is where they are written.
pub(super) fn rotating(
    cx: &mut Cx,
    path: &str,
    written: Option<&Rotating>,
    files: &dyn Files,
) -> (Option<Credential>, Option<Credential>) {
    let Some(written) = written else { return (None, None) };
    let (principal, secret) = (written.principal.as_ref(), written.secret.as_ref());
    let now = one(cx, path, principal, secret, files);
    let former = written.former.as_ref();
    let former = former.and_then(|it| {
        one(cx, &format!("{path}.former"), it.principal.as_ref(), it.secret.as_ref(), files)
    });
    (now, former)
}

fn credential(
    cx: &mut Cx,
    whose: &str,
    written: Option<&Written>,
    files: &dyn Files,
) -> Option<Credential> {
    let written = written?;
    let path = format!("mesos.credentials.{whose}");
    one(cx, &path, written.principal.as_ref(), written.secret.as_ref(), files)
}

fn one(
    cx: &mut Cx,
    path: &str,
    principal: Option<&At<String>>,
    secret: Option<&Secret>,
    files: &dyn Files,
) -> Option<Credential> {
    let principal = principal?;
    let path = format!("{path}.secret");
    let secret = secret?.reference()?;
    let secret = located(cx, files, &principal.place, &path, secret);
    Some(Credential { principal: principal.value.clone(), secret })
}

/// A secret whose file is found, seen from where it was written; that everybody can read it is said.
pub(super) fn located(
    cx: &mut Cx,
    files: &dyn Files,
    from: &Place,
    path: &str,
    secret: SecretRef,
) -> SecretRef {
    let SecretRef::File(written) = secret else { return secret };
    let file = files.locate(from, &written.to_string_lossy());
    if let Some(mode) = files.readable_by_all(&file) {
        let place = cx.places.get(&format!("{path}.file"));
        let message = "everybody on this machine can read the file of this secret";
        let problem = Problem::warning(place.cloned(), "readable-secret", message);
        let help = format!("it is {mode:o}; chmod 600 {}", quote(&written.to_string_lossy()));
        cx.problems.push(problem.help(help));
    }
    SecretRef::File(file)
}

/// The principals with their places, as they are written.
fn named(settings: &Settings) -> impl Iterator<Item = &At<String>> {
    let operator = settings.operator.iter();
    let former = operator.clone().filter_map(|it| it.former.as_ref());
    let written = settings.agent.iter().chain(&settings.framework).chain(&settings.former);
    let written = written.chain(&settings.viewer).chain(former);
    let written = written.filter_map(|c| c.principal.as_ref());
    written.chain(operator.filter_map(|it| it.principal.as_ref()))
}

/// Whoever holds the secret of an agent or a framework must not be an operator by it.
fn apart(cx: &mut Cx, settings: &Settings, credentials: &Credentials) {
    let others = credentials.agent.iter().chain(&credentials.framework);
    let others: Vec<&str> = others
        .chain(&credentials.former)
        .chain(&credentials.viewer)
        .map(|it| it.principal.as_str())
        .collect();
    let operator = settings.operator.iter();
    let former = operator.clone().filter_map(|it| it.former.as_ref()?.principal.as_ref());
    for principal in operator.filter_map(|it| it.principal.as_ref()).chain(former) {
        if others.contains(&principal.value.as_str()) {
            let message = format!("`{}` is the operator and somebody else too", principal.value);
            let problem = Problem::error(Some(principal.place.clone()), "shared-operator", message);
            let help =
                "give the operator a principal of its own: the others' secrets lie on more hosts";
            cx.problems.push(problem.help(help));
        }
    }
}

/// Masters read one secret for each principal.
fn one_secret_each(cx: &mut Cx, settings: &Settings, credentials: &Credentials) {
    for principal in named(settings) {
        let mut all = credentials.accepted().filter(|one| one.principal == principal.value);
        let first = all.next().map(|one| &one.secret);
        if all.any(|one| Some(&one.secret) != first) {
            let message = format!("the principal `{}` is given two secrets", principal.value);
            cx.error(&principal.place, "two-secrets", &message);
        }
    }
}

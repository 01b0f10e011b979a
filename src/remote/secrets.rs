//! What is printed nowhere: values of secrets, and sudo's password.

use std::collections::BTreeMap;
use std::fmt;

use crate::ground::SecretRef;

/// Values of secrets by where they are found. Printed nowhere.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<SecretRef, String>);

/// sudo's password. Printed nowhere.
#[derive(Clone)]
pub struct Password(pub String);

impl Secrets {
    /// Values that were looked up.
    pub fn new(values: BTreeMap<SecretRef, String>) -> Secrets {
        Secrets(values)
    }

    /// The text of a script, its secrets filled in by asking `reveal` for each.
    ///
    /// # Errors
    /// One sentence that names a secret which was not looked up: a fix is never run with an empty one.
    pub(super) fn fill(
        &self,
        script: impl FnOnce(&mut dyn FnMut(&SecretRef) -> String) -> String,
    ) -> Result<String, String> {
        let mut missing = None;
        let script = script(&mut |secret| match self.0.get(secret) {
            Some(value) => value.clone(),
            None => {
                missing = Some(name(secret));
                String::new()
            }
        });
        match missing {
            None => Ok(script),
            Some(name) => {
                Err(format!("{name} was not looked up, so nothing was sent that needs it"))
            }
        }
    }
}

/// Where a secret is found, in words. A command may hold what is secret itself.
fn name(secret: &SecretRef) -> String {
    match secret {
        SecretRef::Env(name) => format!("the secret in the environment variable {name}"),
        SecretRef::File(path) => format!("the secret in the file {}", path.display()),
        SecretRef::Command(_) => "the secret of a command".to_owned(),
        SecretRef::Prompt => "the secret that is asked for".to_owned(),
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} hidden)", self.0.len())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Fix, slot};

    #[test]
    fn a_secret_that_was_not_looked_up_is_an_error_that_names_it() {
        let known = SecretRef::Env("KNOWN".to_owned());
        let unknown = SecretRef::File("/run/secrets/zk".into());
        let secrets = Secrets::new(BTreeMap::from([(known.clone(), "hunter2".to_owned())]));
        let fix = |of: &[&SecretRef]| {
            let slots: Vec<String> = (0..of.len()).map(slot).collect();
            Fix::with_secrets(slots.join(" "), of.iter().map(|&secret| secret.clone()).collect())
        };
        let fill = |of: &[&SecretRef]| secrets.fill(|reveal| fix(of).script(reveal));
        assert!(fill(&[&known]).unwrap().contains("hunter2"));
        let error = fill(&[&known, &unknown]).unwrap_err();
        assert!(error.contains("/run/secrets/zk") && !error.contains("hunter2"), "{error}");
        let command = SecretRef::Command("echo hunter3".to_owned());
        assert!(!fill(&[&command]).unwrap_err().contains("hunter3"));
    }

    #[test]
    fn nothing_shows_a_value() {
        let secrets = Secrets::new(BTreeMap::from([(SecretRef::Prompt, "hunter2".to_owned())]));
        let shown = format!("{secrets:?} {:?}", Password("hunter2".to_owned()));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

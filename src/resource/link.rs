//! A symbolic link.

use super::paths::stat;
use super::{Facts, Gap, Kind, Look, ResourceId};
use crate::script::{Fix, Sections, Step, quote};

/// A symbolic link, replaced atomically.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Absolute path of the link.
    pub path: String,
    /// Where it points.
    pub target: String,
}

impl Kind for Link {
    fn id(&self) -> ResourceId {
        ResourceId { kind: "link", name: self.path.clone() }
    }

    fn want(&self) -> Facts {
        Facts::from([("type", "symbolic link".to_owned()), ("target", self.target.clone())])
    }

    fn read(&self, sections: &Sections) -> Look {
        let Some(stat) = stat(&self.path, sections) else { return Look::Facts(Facts::new()) };
        let mut facts = Facts::from([("type", stat.kind.to_owned())]);
        if let Some(target) = stat.target {
            facts.insert("target", target.trim_matches('\'').to_owned());
        }
        Look::Facts(facts)
    }

    /// Makes a new link beside it and renames it into place.
    fn fix(&self, _: &[Gap]) -> Vec<Step> {
        let (path, target) = (quote(&self.path), quote(&self.target));
        vec![Step::Run(Fix::new(format!(
            "if [ -e {path} ] && [ ! -L {path} ]; then die {path} exists and is no symbolic link\\; move it away; fi\n\
             d=$(mktemp -d \"$(dirname {path})/.provision.XXXXXX\")\n\
             trap 'rm -rf \"$d\"' EXIT\n\
             ln -s {target} \"$d/link\"\n\
             mv -fT \"$d/link\" {path}"
        )))]
    }

    fn undo(&self) -> Option<String> {
        let path = quote(&self.path);
        Some(format!("if [ -L {path} ]; then rm -f {path}; fi"))
    }

    fn paths(&self) -> Vec<&str> {
        vec![&self.path]
    }
}

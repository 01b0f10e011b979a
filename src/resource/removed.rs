//! Something that is to be there no more, as somebody asks who takes a cluster down.

use super::{Facts, Gap, Kind, Look, ResourceId};
use crate::script::{Fix, Sections, Step, quote_all};

/// Something that is to be there no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// What.
    pub of: ResourceId,
    /// How.
    pub way: Way,
}

/// How something is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// These lines, which leave what was there in the backup where it was small.
    Undone(String),
    /// These paths with all that is in them, for good.
    Deleted(Vec<String>),
}

/// The fact that it is there.
pub const THERE: &str = "there";

impl Kind for Removed {
    fn id(&self) -> ResourceId {
        self.of.clone()
    }

    fn want(&self) -> Facts {
        Facts::from([(THERE, "no".to_owned())])
    }

    /// Whoever asks for it has looked.
    fn read(&self, _: &Sections) -> Look {
        Look::Facts(Facts::from([(THERE, "yes".to_owned())]))
    }

    fn fix(&self, _: &[Gap]) -> Vec<Step> {
        let script = match &self.way {
            Way::Undone(script) => script.clone(),
            Way::Deleted(paths) => {
                format!("rm -rf -- {}", quote_all(paths.iter().map(String::as_str)))
            }
        };
        vec![Step::Run(Fix::new(script))]
    }
}

//! `docker`: the Docker engine of the agents.

use super::daemon_json;
use super::files::{Fetch, StatedDigest};
use super::resolve::Resolver;
use super::settings::section;
use super::types::{DebianPackage, Free, List, Plain, Source};
use crate::ground::Problem;

section! {
    /// The engine as written.
    #[derive(Debug)]
    pub(super) struct Settings {
        /// Debian package of the engine; `preinstalled` for one that is there and that nothing of it is touched.
        may package: Plain<DebianPackage> = "docker.io", such as "docker-ce", "preinstalled";
        /// /etc/docker/daemon.json.
        may daemon: Free = "{}", such as "{log-driver: local}";
        /// Archives that every agent loads, as `docker save` writes them.
        may images: List<Archive> = "[]", such as "[{archive: ./image.tar}]";
    }
}

section! {
    /// An archive of images.
    #[derive(Debug)]
    pub(super) struct Archive {
        /// A path, or a URL with its digest.
        need archive: Source, such as "./image.tar";
        with digest: StatedDigest;
    }
}

/// What stands for an engine that is not ours.
const PREINSTALLED: &str = "preinstalled";

/// The Docker engine of the agents.
#[derive(Debug, Clone, PartialEq)]
pub struct Docker {
    /// Debian package of the engine; `None` of one that the user sees to: neither its package nor its files nor
    /// its service are ours.
    pub package: Option<String>,
    /// `/etc/docker/daemon.json` as the user wants it; our own keys are added where absent.
    pub daemon: serde_json::Map<String, serde_json::Value>,
    /// Archives (`docker save` format) that every agent loads.
    pub images: Vec<Fetch>,
}

pub(super) fn resolve(settings: Settings, r: &mut Resolver<'_>) -> Docker {
    let images = settings.images.iter();
    let preinstalled = settings.package == PREINSTALLED;
    if preinstalled && !settings.daemon.is_empty() {
        let place = r.cx.places.get("docker.daemon").cloned();
        let message = "the engine is yours, and so is its daemon.json";
        let problem = Problem::error(place, "bad-option", message);
        r.cx.problems.push(problem.help("delete `daemon`, or name the package of the engine"));
    }
    Docker {
        package: (!preinstalled).then_some(settings.package),
        daemon: daemon_json::checked(r.cx, settings.daemon),
        images: images.filter_map(|i| r.fetch(i.archive.as_ref(), &i.digest)).collect(),
    }
}

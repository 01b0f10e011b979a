//! A host that is to boot. Asked for and never found wanting: no probe says that a host should.

use super::{Facts, Gap, Kind, Look, ResourceId};
use crate::ground::HostName;
use crate::script::{Fix, Sections, Step};

/// A host that is to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reboot {
    /// Which.
    pub host: HostName,
}

impl Kind for Reboot {
    fn id(&self) -> ResourceId {
        ResourceId { kind: "reboot", name: self.host.to_string() }
    }

    fn want(&self) -> Facts {
        Facts::from([("boot", "another".to_owned())])
    }

    fn read(&self, _: &Sections) -> Look {
        Look::Facts(Facts::from([("boot", "this".to_owned())]))
    }

    /// Detached and moments later: this script is to have ended, and its status to be on disk, before
    /// anything goes down. The lock's descriptor is closed, so that it is not held by who only waits.
    fn fix(&self, _: &[Gap]) -> Vec<Step> {
        vec![Step::Reboot(Fix::new(
            "command -v systemctl >/dev/null || die systemctl is not there\nsync\n\
             setsid sh -c 'sleep 3; exec systemctl reboot' </dev/null >/dev/null 2>&1 9>&- &",
        ))]
    }

    fn disturbs(&self, _: &[Gap]) -> bool {
        true
    }

    fn interrupts(&self, _: &[Gap]) -> bool {
        true
    }
}

//! Planning again after success: nothing may be left.

use std::sync::Arc;

use super::load::Session;
use super::look::ask_all;
use crate::observe;
use crate::plan::{Scope, plan, text};
use crate::remote::fleet::Fleet;
use crate::remote::shell::Changer;
use crate::report::exit;
use crate::ui::line;

/// The exit code of a run that would have ended with `code`.
///
/// # Errors
/// A template that does not render.
pub(super) async fn after(
    code: u8,
    session: &mut Session,
    fleet: &Arc<Fleet<Changer>>,
    scope: &Scope,
) -> anyhow::Result<u8> {
    if code != exit::OK {
        return Ok(code);
    }
    let mut probes = observe::probes(&session.inventory, &session.desired);
    // All others would have made it fail, but for those that are gone on purpose.
    probes.retain(|host, _| fleet.has(host));
    let answers = ask_all(fleet, probes).await;
    let observed = observe::observed(&session.inventory, &session.desired, answers);
    let left = plan(&session.inventory, &session.templates, &session.desired, &observed, scope);
    if left.is_empty() && left.blocked.is_empty() && left.unreachable.is_empty() {
        return Ok(exit::OK);
    }
    let mut err = std::io::stderr().lock();
    line(&mut err, "error: this is still to be done after a successful apply:");
    line(&mut err, text::plan(&left).trim_end());
    Ok(exit::FAILED)
}

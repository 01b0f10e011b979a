//! The main job on the twin: bare hosts become a proven cluster, a second apply changes nothing, every
//! kind of drift is seen as exactly that gap and repaired, looking leaves no trace, a host that is down
//! is named and the rest goes on.
//!
//! One test, because each part begins where the last one ended. It needs a Docker engine (`make engine`)
//! and builds the rest itself.

use super::support::lab::Lab;

mod changing;
mod drift;
mod making;
mod trouble;

#[test]
fn lab_an_inventory_becomes_a_cluster_and_stays_one() {
    let mut lab = Lab::up("lab-main");
    making::a_plan_shows_everything_and_changes_nothing(&lab);
    making::apply_makes_it_and_proves_it(&lab);
    making::a_second_apply_has_nothing_to_do(&lab);
    making::status_tells_what_is_there(&lab);
    making::looking_leaves_no_trace(&lab);
    drift::each_drift_is_seen_and_repaired(&lab);
    drift::a_stopped_leader_is_started_again(&lab);
    drift::a_stopped_engine_is_not_started_by_looking(&lab);
    changing::a_changed_setting_rolls_agent_by_agent(&lab);
    changing::an_interrupted_drain_is_gone_on_with(&lab);
    changing::a_secret_that_changed_is_refused(&lab);
    let agents = changing::changed_settings_roll_the_leader_last(&mut lab);
    changing::the_old_principal_is_dropped(&lab, &agents);
    trouble::a_host_that_is_down_is_named(&lab);
    trouble::bad_input_touches_nothing(&lab);
}

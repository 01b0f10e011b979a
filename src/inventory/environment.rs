//! Variables of a process' environment, as inventories write them.

use super::decode::Cx;
use super::grammar;
use super::resolve::Texts;
use crate::ground::problem::Problem;
use crate::mesos::flags::{Component, find};

/// What the packages' init wrapper makes flags of, what it obeys itself, and what is said elsewhere, each with what to
/// write instead. Source: mesosphere/mesos-deb-packaging, `mesos-init-wrapper`.
const OWNED: [(&str, &str); 7] = [
    ("PORT", "write `port`"),
    ("ZK", "it follows from `zookeeper`"),
    ("MASTER", "it follows from `zookeeper`"),
    ("LOGS", "write the flag `log_dir`"),
    ("IP", "it is the host's `address`"),
    ("CLUSTER", "it is `cluster`"),
    ("ISOLATION", "write the flag `isolation`"),
];

/// Names that cannot be a variable's.
pub(super) fn names(cx: &mut Cx, written: &Texts) {
    for (key, _) in written {
        let digit = key.value.starts_with(|c: char| c.is_ascii_digit());
        if digit || !grammar::word(&key.value, "_") {
            let message = format!("`{}` cannot name an environment variable", key.value);
            let problem = Problem::error(Some(key.place.clone()), "bad-name", message);
            cx.problems.push(problem.help("names are letters, digits and `_`"));
        }
    }
}

/// The same for a daemon of Mesos, and names that are said otherwise.
pub(super) fn of_daemon(cx: &mut Cx, component: Component, written: &Texts) {
    names(cx, written);
    for (key, _) in written {
        if let Some(instead) = owned(component, &key.value) {
            let message = format!("the variable `{}` is ours", key.value);
            let problem = Problem::error(Some(key.place.clone()), "owned-variable", message);
            cx.problems.push(problem.help(instead));
        }
    }
}

/// What says it otherwise, if anything does.
pub fn owned(component: Component, name: &str) -> Option<String> {
    if let Some((_, instead)) = OWNED.iter().find(|(owned, _)| *owned == name) {
        return Some((*instead).to_owned());
    }
    let flag = name.strip_prefix("MESOS_").map(str::to_ascii_lowercase);
    if let Some(flag) = flag.filter(|flag| find(component, flag).is_some()) {
        return Some(format!("write the flag `{flag}`"));
    }
    name.starts_with("LIBPROCESS_SSL_").then(|| "write `mesos.tls`".to_owned())
}

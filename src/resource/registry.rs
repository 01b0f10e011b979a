//! What masters remember in their registry, over a log that begins anew: saved through the API while the old log
//! serves, restored through it once the new one does. In between it lies on the host of the old log, and a run
//! that was cut short leaves it there for the next one.
//!
//! Sources: Mesos 1.11.0, docs/quota.md, docs/maintenance.md, docs/weights.md; `QuotaStatus.configs` and
//! `UPDATE_QUOTA` from 1.9.0 (include/mesos/quota/quota.proto).

use serde_json::{Value as Json, json};

use super::paths::text;
use super::{Facts, Gap, Kind, Look, ResourceId};
use crate::mesos::asking;
use crate::script::{Fix, Sections, Step, quote, quote_all};

/// The registry of the masters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// `http://address:port` of every master, or as it is asked with TLS; the one that leads is asked.
    pub masters: Vec<String>,
    /// What becomes of it.
    pub turn: Turn,
}

/// What becomes of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It is saved on this host.
    Saved,
    /// Its log is set aside: the master of this host stops, and this directory of it keeps the log under another
    /// name.
    Aside(String),
    /// What a member of a quorum holds of earlier, on which nobody counts, is set aside in the same way: one that comes
    /// back with it would vote for it, without what was written meanwhile.
    Stale(Stale),
    /// It is what was saved on this host again.
    Restored,
}

/// What a member holds of a membership of earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    /// The unit that would go on with it.
    pub unit: &'static str,
    /// The directories that hold it.
    pub paths: Vec<String>,
}

/// Where it lies while the old log serves, and then until it is restored.
const SAVED: &str = "/var/lib/provision/registry/saved";
pub const PENDING: &str = "/var/lib/provision/registry/pending";

/// The file of each part, and where it is asked for.
const PARTS: [(&str, &str); 4] = [
    ("/var/lib/provision/registry/pending/weights", "weights"),
    ("/var/lib/provision/registry/pending/quota", "quota"),
    ("/var/lib/provision/registry/pending/schedule", "maintenance/schedule"),
    ("/var/lib/provision/registry/pending/status", "maintenance/status"),
];

impl Registry {
    fn masters(&self) -> impl Iterator<Item = &str> {
        self.masters.iter().map(String::as_str)
    }

    /// Asks the leading master for all of it, whole or not at all.
    fn save(&self) -> String {
        let asks: String = PARTS
            .iter()
            .filter_map(|(file, path)| Some((file.rsplit('/').next()?, path)))
            .map(|(name, path)| {
                format!(
                    "code=$(curl -K \"$k\" -sS -g -m 20 --noproxy '*' -o {SAVED}.new/{name} -w '%{{http_code}}' \"$url/{path}\") || code=0\n\
                     [ \"$code\" = 200 ] || die \"$url/{path} answers HTTP $code\"\n"
                )
            })
            .collect();
        format!(
            "rm -rf {SAVED}.new; install -d -m 700 {SAVED}.new\n{}\nfor url in {}; do\n\
             code=$(curl -K \"$k\" -s -g -m 10 --connect-timeout 3 --noproxy '*' -o /dev/null -w '%{{http_code}}' \"$url/weights\") || continue\n\
             [ \"$code\" = 200 ] || continue\n{asks}rm -rf {SAVED}; mv -fT {SAVED}.new {SAVED}; sync; exit 0\n\
             done\ndie no leading master answered",
            asking::asking(self.masters()),
            asking::words(self.masters())
        )
    }

    /// Nothing is remembered by the old log that is not saved: it ends first.
    fn set_aside(work_dir: &str) -> String {
        let log = quote(&format!("{work_dir}/replicated_log"));
        format!(
            "[ -d {SAVED} ] || die nothing of the registry is saved\n\
             systemctl stop mesos-master\nrm -rf {PENDING}; mv -fT {SAVED} {PENDING}; sync\n\
             aside={log}.of-$(date -u +%Y%m%dT%H%M%SZ)\n[ ! -e {log} ] || mv -T {log} \"$aside\"\n\
             say \"the old log is kept in $aside\""
        )
    }

    /// What is sent to the leading master: where to, how, and the body.
    fn calls(&self, seen: &str) -> Vec<(&'static str, &'static str, Json)> {
        let saved: Json = serde_json::from_str(seen).unwrap_or_default();
        let part = |name: &str| saved.get(name).cloned().unwrap_or_default();
        let list = |of: &Json, key: &str| of.get(key).and_then(Json::as_array).cloned();
        let some = |all: &Vec<Json>| !all.is_empty();
        let mut calls = Vec::new();
        let weights = part("weights").as_array().cloned().filter(some);
        if let Some(weights) = weights {
            calls.push(("PUT", "weights", Json::from(weights)));
        }
        let quota = part("quota");
        if let Some(configs) = list(&quota, "configs").filter(some) {
            let update = json!({"force": true, "quota_configs": configs});
            calls.push(("POST", "api/v1", json!({"type": "UPDATE_QUOTA", "update_quota": update})));
        } else {
            for info in list(&quota, "infos").unwrap_or_default() {
                let of = |key: &str| info.get(key).cloned().unwrap_or_default();
                let body = json!({"role": of("role"), "guarantee": of("guarantee"), "force": true});
                calls.push(("POST", "quota", body));
            }
        }
        let schedule = part("schedule");
        if list(&schedule, "windows").is_some_and(|all| some(&all)) {
            calls.push(("POST", "maintenance/schedule", schedule));
        }
        if let Some(down) = list(&part("status"), "down_machines").filter(some) {
            calls.push(("POST", "machine/down", Json::from(down)));
        }
        calls
    }

    fn restore(&self, seen: &str) -> String {
        let calls: String = self
            .calls(seen)
            .into_iter()
            .map(|(method, path, body)| {
                format!(
                    "out=$(curl -K \"$k\" -sS -g -m 20 --noproxy '*' -w '\\n%{{http_code}}' -X {method} -H 'Content-Type: application/json' -d {} \"$url/{path}\") || die \"$url/{path} did not answer\"\n\
                     case ${{out##*[!0-9]}} in 2??) ;; *) die \"$url/{path}: $out\" ;; esac\n",
                    quote(&body.to_string())
                )
            })
            .collect();
        format!(
            "{}\nfor url in {}; do\n\
             code=$(curl -K \"$k\" -s -g -m 10 --connect-timeout 3 --noproxy '*' -o /dev/null -w '%{{http_code}}' \"$url/weights\") || continue\n\
             [ \"$code\" = 200 ] || continue\n{calls}rm -rf {PENDING}; exit 0\ndone\ndie no leading master answered",
            asking::asking(self.masters()),
            asking::words(self.masters())
        )
    }
}

impl Stale {
    /// They are kept under other names.
    fn set_aside(&self) -> String {
        format!(
            "systemctl stop {}\naside=of-$(date -u +%Y%m%dT%H%M%SZ)\nfor path in {}; do\n\
             [ ! -e \"$path\" ] || mv -T \"$path\" \"$path.$aside\"\ndone\n\
             say \"what was held of earlier is kept, under names that end with .$aside\"",
            quote(self.unit),
            quote_all(self.paths.iter().map(String::as_str))
        )
    }
}

impl Kind for Registry {
    fn id(&self) -> ResourceId {
        let name = match self.turn {
            Turn::Saved => "saved",
            Turn::Aside(_) => "log",
            Turn::Stale(_) => "of-earlier",
            Turn::Restored => "restored",
        };
        ResourceId { kind: "registry", name: name.to_owned() }
    }

    fn want(&self) -> Facts {
        let want = match self.turn {
            Turn::Saved => "on this host",
            Turn::Aside(_) | Turn::Stale(_) => "set aside",
            Turn::Restored => "",
        };
        Facts::from([("registry", want.to_owned())])
    }

    /// Only of what is to be restored anything is known: that it lies here.
    fn read(&self, sections: &Sections) -> Look {
        if self.turn != Turn::Restored {
            return Look::Facts(Facts::new());
        }
        let mut saved = serde_json::Map::new();
        for (file, _) in PARTS {
            let (Some(text), Some(name)) = (text(file, sections), file.rsplit('/').next()) else {
                continue;
            };
            let Ok(json) = serde_json::from_str::<Json>(text) else {
                return Look::Failed(format!("{file} is not what a master answers"));
            };
            saved.insert(name.to_owned(), json);
        }
        let saved = if saved.is_empty() { String::new() } else { Json::from(saved).to_string() };
        Look::Facts(Facts::from([("registry", saved)]))
    }

    fn fix(&self, gaps: &[Gap]) -> Vec<Step> {
        let script = match &self.turn {
            Turn::Saved => self.save(),
            Turn::Aside(work_dir) => Registry::set_aside(work_dir),
            Turn::Stale(stale) => stale.set_aside(),
            Turn::Restored => {
                let seen = gaps.iter().find_map(|gap| gap.seen.as_deref());
                self.restore(seen.unwrap_or_default())
            }
        };
        vec![Step::Run(Fix::new(script))]
    }

    fn texts(&self) -> Vec<&str> {
        match self.turn {
            Turn::Restored => PARTS.iter().map(|(file, _)| *file).collect(),
            _ => Vec::new(),
        }
    }

    fn disturbs(&self, _: &[Gap]) -> bool {
        matches!(self.turn, Turn::Aside(_))
    }

    fn interrupts(&self, _: &[Gap]) -> bool {
        matches!(self.turn, Turn::Aside(_))
    }

    fn result(&self, output: &str) -> String {
        super::last_line(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restored() -> Registry {
        Registry { masters: vec!["http://m1:5050".to_owned()], turn: Turn::Restored }
    }

    fn seen(parts: &[(&str, &str)]) -> String {
        let texts: Vec<String> =
            parts.iter().map(|(name, text)| format!("==> {PENDING}/{name} <==\n{text}")).collect();
        let sections = Sections::from([("texts".to_owned(), texts.join("\n"))]);
        let Look::Facts(facts) = restored().read(&sections) else { panic!() };
        facts["registry"].clone()
    }

    #[test]
    fn what_lies_there_is_sent_as_the_masters_take_it() {
        assert_eq!(seen(&[]), restored().want()["registry"]);
        let all = seen(&[
            ("weights", r#"[{"role":"etl","weight":2.0}]"#),
            (
                "quota",
                r#"{"infos":[{"role":"etl","guarantee":[{"name":"cpus"}],"principal":"x"}]}"#,
            ),
            ("schedule", r#"{"windows":[{"machine_ids":[{"hostname":"a1"}]}]}"#),
            ("status", r#"{"down_machines":[{"hostname":"a2"}],"draining_machines":[]}"#),
        ]);
        let calls = restored().calls(&all);
        let said: Vec<String> =
            calls.iter().map(|(how, path, body)| format!("{how} {path} {body}")).collect();
        assert_eq!(
            said,
            [
                r#"PUT weights [{"role":"etl","weight":2.0}]"#,
                r#"POST quota {"role":"etl","guarantee":[{"name":"cpus"}],"force":true}"#,
                r#"POST maintenance/schedule {"windows":[{"machine_ids":[{"hostname":"a1"}]}]}"#,
                r#"POST machine/down [{"hostname":"a2"}]"#,
            ]
        );
        // From 1.9 a quota has limits.
        let quota = seen(&[("quota", r#"{"infos":[{}],"configs":[{"role":"etl","limits":{}}]}"#)]);
        let calls = restored().calls(&quota);
        assert_eq!((calls.len(), calls[0].1), (1, "api/v1"));
        assert_eq!(calls[0].2["update_quota"]["quota_configs"][0]["role"], "etl");
        // Nothing but what says nothing.
        let nothing =
            seen(&[("weights", "[]"), ("quota", "{}"), ("schedule", "{}"), ("status", "{}")]);
        assert_eq!(restored().calls(&nothing), []);
        assert_ne!(nothing, "");
    }
}

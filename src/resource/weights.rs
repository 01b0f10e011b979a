//! Weights of Mesos roles. From Mesos 1.0 they live in the masters' registry, where the first start
//! with the flag puts them and the flag never again changes them (facts: mesos `--weights`, "Ignoring
//! --weights flag … and recovering the weights from registry"); so they are set through the API.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Facts, Look};
use crate::script::{Fix, Probe, Sections, Step, quote, quote_all};

/// Weights of roles, asked of and sent to whichever master leads.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// `http://address:port` of every master.
    pub masters: Vec<String>,
    /// Role → weight.
    pub roles: BTreeMap<String, f64>,
}

impl Weights {
    /// What is wanted: the weights of the roles named, others are left alone.
    pub fn want(&self) -> Facts {
        Facts::from([("weights", print(&self.roles))])
    }

    /// Sends them to the master that answers for itself (the leader), and reads them back.
    pub fn fix(&self) -> Vec<Step> {
        let body = serde_json::Value::from(
            self.roles
                .iter()
                .map(|(role, weight)| serde_json::json!({"role": role, "weight": weight}))
                .collect::<Vec<_>>(),
        );
        let urls = quote_all(self.masters.iter().map(String::as_str));
        let mut script = String::new();
        let _ = write!(
            script,
            "for url in {urls}; do\n\
             code=$(curl -s -m 10 -o /dev/null -w '%{{http_code}}' \"$url/weights\") || continue\n\
             [ \"$code\" = 200 ] || continue\n\
             code=$(curl -s -m 20 -o /dev/null -w '%{{http_code}}' -X PUT -d {} \"$url/weights\") || die \"$url did not take the weights\"\n\
             case $code in 2??) ;; *) die \"$url answered HTTP $code to the new weights\" ;; esac\n\
             curl -s -m 10 \"$url/weights\"; exit 0\n\
             done\ndie no leading master answered",
            quote(&body.to_string())
        );
        vec![Step::Run(Fix::new(script))]
    }
}

/// One `curl` for all masters: only the leader answers 200, the others redirect or refuse.
pub fn probe(all: &[&Weights]) -> Probe {
    let Some(weights) = all.first() else { return Probe::default() };
    let urls: Vec<String> =
        weights.masters.iter().map(|m| quote(&format!("{m}/weights"))).collect();
    Probe::new(
        "weights",
        format!(
            "command -v curl >/dev/null 2>&1 && curl -s -m 5 --connect-timeout 2 -w '\\n@%{{http_code}}\\n' {} 2>/dev/null",
            urls.join(" ")
        ),
    )
}

/// Facts of the weights.
pub fn read(weights: &Weights, sections: &Sections) -> Look {
    let Some(text) = sections.get("weights") else {
        return Look::Failed("the question about weights got no answer".to_owned());
    };
    // The body of an answer stands before its `@code` line.
    let mut body = String::new();
    for line in text.lines() {
        match line.strip_prefix('@') {
            Some("200") => {
                let Some(all) = parse(&body) else {
                    return Look::Failed("the leader's weights could not be read".to_owned());
                };
                let mine = weights.roles.keys().map(|role| {
                    // A role that the registry does not know weighs 1.
                    (role.clone(), all.get(role).copied().unwrap_or(1.0))
                });
                return Look::Facts(Facts::from([("weights", print(&mine.collect()))]));
            }
            Some(_) => body.clear(),
            None => body.push_str(line),
        }
    }
    Look::Later("a master leads")
}

fn parse(body: &str) -> Option<BTreeMap<String, f64>> {
    let list: Vec<serde_json::Value> = serde_json::from_str(body).ok()?;
    list.iter()
        .map(|item| Some((item.get("role")?.as_str()?.to_owned(), item.get("weight")?.as_f64()?)))
        .collect()
}

fn print(roles: &BTreeMap<String, f64>) -> String {
    let list: Vec<String> = roles.iter().map(|(role, weight)| format!("{role}={weight}")).collect();
    list.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_leaders_answer_counts() {
        let weights = Weights {
            masters: vec!["http://m1:5050".into()],
            roles: BTreeMap::from([("etl".into(), 2.0), ("adhoc".into(), 1.0)]),
        };
        let look =
            |text: &str| read(&weights, &Sections::from([("weights".to_owned(), text.to_owned())]));
        assert_eq!(look("\n@307\n\n@000\n"), Look::Later("a master leads"));
        let leader = "\n@307\n[{\"role\":\"etl\",\"weight\":2.0}]\n@200\n";
        let Look::Facts(facts) = look(leader) else { panic!() };
        assert_eq!(facts, weights.want());
    }
}

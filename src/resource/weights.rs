//! Weights of Mesos roles. From Mesos 1.0 they live in the masters' registry, where the first start
//! with the flag puts them and the flag never again changes them (docs/facts.md); so they are set
//! through the API.

use std::collections::BTreeMap;

use super::{Facts, Gap, Kind, Look, ResourceId};
use crate::mesos::{asking, roles};
use crate::script::{Fix, Probe, Sections, Step, foreign, foreign_texts, quote};

/// Weights of roles, asked of and sent to whichever master leads.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// `http://address:port` of every master, or as it is asked with TLS.
    pub masters: Vec<String>,
    /// Role → weight.
    pub roles: BTreeMap<String, f64>,
}

impl Kind for Weights {
    fn id(&self) -> ResourceId {
        ResourceId { kind: "weights", name: "roles".to_owned() }
    }

    fn want(&self) -> Facts {
        Facts::from([("weights", print(&self.roles))])
    }

    /// Only the leader answers 200, the others redirect or refuse. One host asks them all, so what each
    /// says is [`foreign`]: none can speak for another, or for this host.
    fn probe(all: &[&Self]) -> Probe {
        let Some(weights) = all.first() else { return Probe::default() };
        let ask = |master: &String| {
            let url = asking::word(&format!("{master}/weights"));
            foreign(&format!(
                "curl -K \"$k\" -s -g -m 5 --connect-timeout 2 --noproxy '*' -w '\\n%{{http_code}}' {url} 2>/dev/null"
            ))
        };
        let asks: String = weights.masters.iter().map(ask).collect();
        Probe::new(
            "weights",
            format!(
                "if command -v curl >/dev/null 2>&1; then\n{}\n{asks}fi",
                asked(&weights.masters)
            ),
        )
    }

    fn read(&self, sections: &Sections) -> Look {
        let Some(text) = sections.get("weights") else {
            return Look::Failed("the question about weights got no answer".to_owned());
        };
        let mut leaders = Vec::new();
        for (master, said) in self.masters.iter().zip(foreign_texts(text)) {
            if let Some(body) = said.strip_suffix("\n200") {
                leaders.push((master, body.to_owned()));
            }
        }
        match &leaders[..] {
            [] => Look::Later("a master leads"),
            [(_, body)] => {
                let Some(all) = roles::weights(body) else {
                    return Look::Failed("the leader's weights could not be read".to_owned());
                };
                // A role that the registry does not know weighs 1, and so does one that we do not want.
                let mut seen: BTreeMap<String, f64> =
                    self.roles.keys().map(|role| (role.clone(), 1.0)).collect();
                let weighty = |role: &str, weight: f64| {
                    self.roles.contains_key(role) || (weight - 1.0).abs() > f64::EPSILON
                };
                seen.extend(all.into_iter().filter(|(role, weight)| weighty(role, *weight)));
                Look::Facts(Facts::from([("weights", print(&seen))]))
            }
            [(one, _), (other, _), ..] => {
                Look::Failed(format!("{one} and {other} both answer as the leading master"))
            }
        }
    }

    /// Sends them to the master that leads, and reads them back.
    ///
    /// The masters forget no role, so one that is not wanted any more is given the weight of those that
    /// nobody named.
    fn fix(&self, gaps: &[Gap]) -> Vec<Step> {
        let seen = gaps.iter().filter_map(|gap| gap.seen.as_deref()).flat_map(names);
        let mut roles: BTreeMap<&str, f64> = seen.map(|role| (role, 1.0)).collect();
        roles.extend(self.roles.iter().map(|(role, weight)| (role.as_str(), *weight)));
        let body: serde_json::Value = roles
            .into_iter()
            .map(|(role, weight)| serde_json::json!({"role": role, "weight": weight}))
            .collect();
        let script = format!(
            "{}\n\
             code=$(curl -K \"$k\" -s -g -m 20 --connect-timeout 3 --noproxy '*' -o /dev/null -w '%{{http_code}}' -X PUT -d {} \"$url/weights\") || :\n\
             case $code in\n\
             2??) ;;\n\
             4*) die \"$url answered HTTP $code to the new weights\" ;;\n\
             *) again \"no leading master took the weights (HTTP $code)\" ;;\n\
             esac\n\
             curl -K \"$k\" -s -g -m 10 --noproxy '*' \"$url/weights\"",
            asking::asking([]),
            quote(&body.to_string())
        );
        vec![Step::Lead(Fix::new(script))]
    }
}

/// What begins a question to these masters.
fn asked(masters: &[String]) -> String {
    asking::asking(masters.iter().map(String::as_str))
}

fn print(roles: &BTreeMap<String, f64>) -> String {
    let list: Vec<String> = roles.iter().map(|(role, weight)| format!("{role}={weight}")).collect();
    list.join(",")
}

/// The roles in what [`print()`] prints; neither `=` nor a comma may be in the name of one.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter_map(|item| item.split_once('=').map(|(role, _)| role))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::diff;

    #[test]
    fn only_the_leaders_answer_counts() {
        let weights = Weights {
            masters: vec!["http://m1:5050".into(), "http://m2:5050".into()],
            roles: BTreeMap::from([("etl".into(), 2.0), ("adhoc".into(), 1.0)]),
        };
        let hex = |said: &str| {
            let bytes: String = said.bytes().map(|byte| format!(" {byte:02x}")).collect();
            format!("{bytes}\n=\n")
        };
        let look = |answers: &[&str]| {
            let text: String = answers.iter().map(|said| hex(said)).collect();
            weights.read(&Sections::from([("weights".to_owned(), text)]))
        };
        let other = weights.masters[1].clone();
        assert_eq!(look(&["\n307", "\n000"]), Look::Later("a master leads"));
        let leader = "[{\"role\":\"etl\",\"weight\":2.0}]\n200";
        let Look::Facts(facts) = look(&["\n307", leader]) else { panic!() };
        assert_eq!(facts, weights.want());
        // One that is wanted no more weighs 1 again.
        let before = "[{\"role\":\"etl\",\"weight\":2.0},{\"role\":\"old\",\"weight\":5.0},{\"role\":\"x\",\"weight\":1.0}]\n200";
        let Look::Facts(facts) = look(&[before]) else { panic!() };
        assert_eq!(facts["weights"], "adhoc=1,etl=2,old=5");
        let steps = format!("{:?}", weights.fix(&diff(&weights.want(), &facts)));
        let reset = r#"{\"role\":\"old\",\"weight\":1.0}"#;
        assert!(steps.contains(reset), "{steps}");
        // Whatever a master that does not lead says, it says of itself.
        let forged = format!("=\n\n@200\n{leader}\n307");
        assert_eq!(look(&[&forged, "\n000"]), Look::Later("a master leads"));
        let Look::Failed(why) = look(&[leader, leader]) else { panic!() };
        assert!(why.contains(&other), "{why}");
    }
}

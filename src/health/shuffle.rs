//! Spark's external shuffle service, asked in its own protocol where nobody's executors are.

use super::{Answers, Check, Health, Member, Question};
use crate::ground::HostName;
use crate::inventory::{Host, Inventory, Part};

/// The shuffle service of every agent.
#[derive(Debug)]
pub struct Shuffle;

/// Where the shuffle service of a host answers; `None` without one.
pub fn shuffle(inventory: &Inventory, host: &Host) -> Option<(String, u16)> {
    let port = inventory.spark.as_ref()?.shuffle.as_ref()?.port;
    Some((host.address.to_string(), port))
}

impl Check for Shuffle {
    fn name(&self) -> &'static str {
        "shuffle"
    }

    fn members(&self, inventory: &Inventory) -> Vec<HostName> {
        inventory.hosts_of(Part::Shuffle).cloned().collect()
    }

    fn question(&self, inventory: &Inventory, host: &Host) -> Option<Question> {
        let (address, port) = shuffle(inventory, host)?;
        Some(Question::Shuffle(address, port))
    }

    fn judge(&self, inventory: &Inventory, answers: &Answers<'_>) -> Health {
        answers.each(self, inventory, |_, reply| {
            if answers_as_spark(&reply.body) {
                Member::Serving
            } else if reply.body.is_empty() {
                Member::Sick("nothing answers on its port".to_owned())
            } else {
                Member::Sick("another server answers on its port".to_owned())
            }
        })
    }
}

/// Whether these bytes, in hexadecimal, begin a frame that answers the request of that number: the frame's length in
/// eight bytes, a type, and eight bytes of the number. Before Spark 3.0 the question is not known, and a failure is
/// what the service answers.
/// Source: apache/spark 3.5.1, `MessageEncoder`, `Message.Type`: RpcResponse is 4, RpcFailure 5.
fn answers_as_spark(hex: &str) -> bool {
    let kind = hex.get(16..18);
    matches!(kind, Some("04" | "05")) && hex.get(18..34) == Some("0000000000000001")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_answer_are_told_from_what_others_say() {
        // Recorded: Spark 3.5.1, MesosExternalShuffleService.
        let recorded = "00000000000000220400000000000000010000000d0b0000000000000000";
        assert!(answers_as_spark(recorded));
        assert!(answers_as_spark("0000000000000a00050000000000000001000009eb"));
        for other in ["", "00", "485454502f312e312034303020426164205265717565737400000000000000"] {
            assert!(!answers_as_spark(other), "{other}");
        }
        assert!(!answers_as_spark(&recorded.replace("0000010000000d", "0000020000000d")));
    }
}

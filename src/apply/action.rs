//! One action: what it takes to make one resource right, and how that ended.

use super::{ASK_LIMIT, Engine, proof};
use crate::event::Outcome;
use crate::ground::HostName;
use crate::plan::Action;
use crate::plan::disruption::{Hit, hit};
use crate::remote::{Change, Ended};
use crate::resource::proof::{NO_ROOM, NOT_RUN, Proof};
use crate::resource::{self, Gap, Look, Resource, ResourceId};
use crate::script::{Fix, Step};

/// How an action ended, and the last lines it printed when they are worth showing.
pub(super) type Ending = (Outcome, String);

impl<Hosts: Change> Engine<Hosts> {
    /// One action.
    pub(super) async fn action(&self, host: &HostName, action: &Action) -> Ending {
        self.make_right(host, action).await.unwrap_or_else(|early| early)
    }

    /// The same; an error is an end before all of it was done.
    async fn make_right(&self, host: &HostName, action: &Action) -> Result<Ending, Ending> {
        let resource = &*action.resource;
        let silent = |outcome| (outcome, String::new());
        let gaps = match action.later {
            None => action.gaps.clone(),
            Some(_) => match self.look(host, resource).await.map_err(silent)? {
                gaps if gaps.is_empty() => return Ok(silent(Outcome::Unchanged)),
                gaps => gaps,
            },
        };
        if let Some(proof) = resource.get::<Proof>()
            && let Some(reason) = proof::no_room(self, proof).await
        {
            return Err(silent(Outcome::Failed { status: NO_ROOM, reason }));
        }
        let hit = hit(action, &gaps).filter(|hit| *hit != Hit::Drains);
        let emptied = match hit {
            None => None,
            Some(hit) => {
                let emptied = self.empty(host, action.task, hit).await;
                emptied.map_err(|reason| silent(failed(reason)))?
            }
        };
        let steps = self.steps(host, action, &gaps).await;
        if steps.is_err() && hit.is_some() {
            // What hit it half is not given work: the next apply ends what its note says.
            self.state.lock().await.held.remove(host);
        }
        let output = steps?;
        if let Some(hit) = hit
            && let Err(reason) = self.after_hit(host, hit, emptied).await
        {
            return Err((failed(reason), output));
        }
        if let Some(stamp) = resource.stamp()
            && let Err(outcome) = self.started(host, action, stamp).await
        {
            return Err((outcome, output));
        }
        Ok((Outcome::Changed, resource.result(&output)))
    }

    /// Takes the steps that close the gaps: the last output of them that says anything.
    async fn steps(
        &self,
        host: &HostName,
        action: &Action,
        gaps: &[Gap],
    ) -> Result<String, Ending> {
        let resource = &*action.resource;
        let name = format!("{}/{}", action.task, action.id());
        let mut output = String::new();
        for step in resource.fix(gaps) {
            let mut at = host.clone();
            let ended = match &step {
                Step::Run(fix) => self.hosts.run(host, &name, fix).await,
                Step::Lead(fix) => {
                    let done = self.lead(&format!("{name} of {host}"), fix).await;
                    done.map(|(leader, ended)| {
                        at = leader;
                        ended
                    })
                }
                Step::Reboot(fix) => self.hosts.reboot(host, &name, fix).await,
                Step::Push(push) => self.push(host, push).await,
                Step::Fetch(handed) => self.fetch_made(host, handed).await,
            };
            let ended = match ended {
                Ok(ended) => ended,
                Err(why) => {
                    let why = format!("{why}; the next apply goes on from what it finds");
                    return Err((Outcome::Lost(why), output));
                }
            };
            match ended.status {
                0 => {}
                NOT_RUN => {
                    self.state.lock().await.not_run.insert((host.clone(), action.task));
                    let why = last_line(&ended.output_tail).unwrap_or("cannot be run here");
                    return Err((Outcome::NotRun(why.to_owned()), String::new()));
                }
                _ => return Err(self.failed_step(host, &at, resource, ended).await),
            }
            if let (Some(proof), true) = (resource.get::<Proof>(), output.is_empty())
                && let Some(reason) = proof::unseen(self, proof, &ended.output_tail).await
            {
                return Err((failed(reason), tail(&ended.output_tail, 20)));
            }
            if !ended.output_tail.trim().is_empty() {
                output = ended.output_tail;
            }
        }
        Ok(output)
    }

    /// A step that failed, and why as far as can be found out.
    async fn failed_step(
        &self,
        host: &HostName,
        at: &HostName,
        resource: &Resource,
        ended: Ended,
    ) -> Ending {
        let mut reason =
            last_line(&ended.output_tail).unwrap_or("it failed without a word").to_owned();
        if let Some(proof) = resource.get::<Proof>()
            && let Some(cause) = proof::cause(self, host, proof, &ended.output_tail).await
        {
            reason = cause;
        }
        let mut shown = tail(&ended.output_tail, 20);
        if !ended.log.as_os_str().is_empty() {
            shown.push_str(&format!("log on {at}: {}\n", ended.log.display()));
        }
        (Outcome::Failed { status: ended.status, reason }, shown)
    }

    /// What started is stamped once the gate has found it healthy, or at once where there is none.
    async fn started(&self, host: &HostName, action: &Action, stamp: Fix) -> Result<(), Outcome> {
        if action.task.card().check.is_none() {
            return self::stamp(&*self.hosts, host, &action.id(), &stamp).await;
        }
        let mut state = self.state.lock().await;
        state.started.entry(host.clone()).or_default().push((action.id(), stamp));
        Ok(())
    }

    /// Looks again at one resource.
    pub(super) async fn look(
        &self,
        host: &HostName,
        resource: &Resource,
    ) -> Result<Vec<Gap>, Outcome> {
        let probe = resource::probe(&[resource]);
        let sections = self.hosts.ask(host, &probe, ASK_LIMIT).await.map_err(Outcome::Lost)?;
        match resource::read(resource, &sections) {
            Look::Facts(facts) => Ok(resource::diff(&resource.want(), &facts)),
            Look::Later(when) => {
                Err(Outcome::Failed { status: 0, reason: format!("still waiting until {when}") })
            }
            Look::Failed(reason) => Err(Outcome::Failed { status: 0, reason }),
        }
    }
}

/// Notes on the host what a process that was found healthy depends on.
pub(super) async fn stamp<Hosts: Change>(
    hosts: &Hosts,
    host: &HostName,
    of: &ResourceId,
    stamp: &Fix,
) -> Result<(), Outcome> {
    let name = format!("stamp {}", of.name);
    match hosts.run(host, &name, stamp).await {
        Ok(Ended { status: 0, .. }) => Ok(()),
        Ok(ended) => Err(Outcome::Failed {
            status: ended.status,
            reason: last_line(&ended.output_tail).unwrap_or("the stamp failed").to_owned(),
        }),
        Err(why) => Err(Outcome::Lost(why)),
    }
}

fn failed(reason: String) -> Outcome {
    Outcome::Failed { status: 0, reason }
}

fn last_line(text: &str) -> Option<&str> {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty())
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    let mut tail = all[all.len().saturating_sub(lines)..].join("\n");
    if !tail.is_empty() {
        tail.push('\n');
    }
    tail
}

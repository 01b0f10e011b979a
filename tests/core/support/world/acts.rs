//! What a resource's fix does to a host of the tests' world: an arm for every kind.

use provision::ground::HostName;
use provision::inventory::ImageBuild;
use provision::resource::drain::NOTE;
use provision::resource::image::{Image, Origin};
use provision::resource::offers;
use provision::resource::registry::{PENDING, Turn};
use provision::resource::service::{RESTARTING, STAMPS, State};
use provision::resource::{Gap, Kind as _, Resource};
use serde_json::{Value as Json, json};

use super::super::{machine, quorums};
use super::{Entry, World};

/// Whose image it is a copy of.
fn copied(resource: &Resource) -> Option<&HostName> {
    match &resource.get::<Image>()?.origin {
        Origin::Copy(copied) => Some(&copied.from),
        _ => None,
    }
}

impl World {
    /// Does what an action does, without the stamp that follows a healthy gate.
    pub(crate) fn act(
        &mut self,
        host: &HostName,
        resource: &Resource,
        gaps: &[Gap],
    ) -> Result<(), String> {
        self.now += 1;
        let now = self.now;
        let wanted = self.inventory.agent(host).cloned();
        let leads = self.leader("mesos-master").is_some();
        let theirs = copied(resource).map(|from| self.machines[from].images.clone());
        let machine = self.machines.get_mut(host).expect("a machine");
        match resource {
            Resource::Packages(set) => {
                for (name, version) in &set.packages {
                    machine.install(name, version.as_deref(), &set.quiet, now);
                }
                machine
                    .built
                    .extend(set.contents.iter().map(|it| (it.list.clone(), it.digest.clone())));
            }
            Resource::File(file) => machine.write(file, now),
            Resource::Directory(directory) => {
                let owner = format!("{}:{}", directory.owner, directory.group);
                let entry = Entry::new("directory", &owner, directory.mode, now);
                machine.entries.insert(directory.path.clone(), entry);
                for gap in gaps.iter().filter(|gap| gap.fact == "strays") {
                    for stray in gap.seen.iter().flat_map(|names| names.split('\n')) {
                        machine.entries.remove(&format!("{}/{stray}", directory.path));
                    }
                }
            }
            Resource::Link(link) => {
                let mut entry = Entry::new("symbolic link", "root:root", "777", now);
                entry.sha.clone_from(&link.target);
                machine.entries.insert(link.path.clone(), entry);
            }
            Resource::User(user) => {
                machine.users.insert(user.name.clone());
            }
            Resource::Unpacked(it) => {
                // The old directory goes with everything in it.
                let inside = format!("{}/", it.directory);
                machine.entries.retain(|path, _| !path.starts_with(&inside));
                machine.note(&it.marker, format!("{}\n", it.archive.digest.hex()), now);
            }
            Resource::Image(image) => {
                if !machine.runs("docker") {
                    return Err("Cannot connect to the Docker daemon".to_owned());
                }
                match &image.origin {
                    Origin::Build(build) => {
                        let label = match build.by {
                            ImageBuild::Each => build.digest(),
                            ImageBuild::Once => format!("{} {host}-{now}", build.digest()),
                        };
                        machine.images.insert(image.name.clone(), label);
                    }
                    Origin::Copy(copied) => {
                        let theirs = theirs.as_ref().and_then(|all| all.get(&image.name));
                        let label = theirs.filter(|label| label.starts_with(&copied.inputs));
                        let label = label.ok_or("there is no image")?.clone();
                        machine.images.insert(image.name.clone(), label);
                    }
                    Origin::Load { archive, stamp } => {
                        machine.images.insert("base:1".to_owned(), String::new());
                        let text = format!("{}\nbase:1\n", archive.digest.hex());
                        machine.note(stamp, text, now);
                    }
                    Origin::Pull => {
                        machine.images.insert(image.name.clone(), String::new());
                    }
                }
            }
            Resource::Service(service) => {
                let restarts = gaps.iter().any(|gap| gap.fact != "enabled");
                if service.state == State::Running && restarts {
                    machine.note(&service.stamp, format!("inputs={RESTARTING}\n"), now);
                }
                machine.turn(service, restarts, now);
                if service.unit == "mesos-slave" && service.state == State::Running && restarts {
                    let wanted = wanted.expect("an agent");
                    let between = service.between.as_deref().unwrap_or_default();
                    machine.announce(wanted.attributes, wanted.resources, between, now);
                }
                if restarts {
                    self.lead_no_more(host, &service.unit);
                }
            }
            Resource::Weights(weights) => {
                if !leads {
                    return Err("no leading master answered".to_owned());
                }
                // Of whatever else it held the weight goes back to 1.
                self.weights.clone_from(&weights.roles);
            }
            Resource::Znodes(it) => self.writers = Some(it.want()["writers"].clone()),
            Resource::Lead(lead) if self.quorums.is_some() => machine.restart(lead.unit, now),
            Resource::Lead(lead) => self.lead_no_more(host, lead.unit),
            Resource::Drain(_) => machine.drain(false, now),
            Resource::Offers(offers) => {
                machine.drain(offers.state == offers::State::Drained, now);
                // By hand, so without a note of ours.
                machine.entries.remove(NOTE);
            }
            Resource::Registry(it) => match &it.turn {
                Turn::Saved => machine.saved = Some(json!(self.weights)),
                Turn::Aside(_) => {
                    machine.entries.remove(machine::LOG);
                    machine.units.get_mut("mesos-master").expect("a master").active = false;
                    let saved = machine.saved.take().expect("it was saved").to_string();
                    machine.note(&format!("{PENDING}/weights"), saved, now);
                    self.weights.clear();
                }
                Turn::Stale(stale) => {
                    let number = quorums::number(host).expect("a number");
                    if let Some(unit) = machine.units.get_mut(stale.unit) {
                        unit.active = false;
                    }
                    match (stale.unit, &mut self.quorums) {
                        ("zookeeper", Some(quorums)) => quorums.ensemble.set_aside(number),
                        ("zookeeper", None) => machine.data = false,
                        (_, quorums) => {
                            machine.entries.remove(machine::LOG);
                            if let Some(quorums) = quorums {
                                quorums.log.set_aside(number);
                            }
                        }
                    }
                }
                Turn::Restored => {
                    if !leads {
                        return Err("no leading master answered".to_owned());
                    }
                    machine.entries.remove(&format!("{PENDING}/weights"));
                    let seen = gaps.iter().find_map(|gap| gap.seen.as_deref()).expect("a gap");
                    let saved: Json = serde_json::from_str(seen).expect("JSON");
                    self.weights =
                        serde_json::from_value(saved["weights"].clone()).expect("weights");
                }
            },
            Resource::Leftovers(it) => {
                for name in gaps.iter().filter_map(|gap| gap.seen.as_deref()).flat_map(str::lines) {
                    machine.entries.remove(&format!("{}/{name}", it.directory));
                }
            }
            Resource::Removed(it) => {
                let stamp = format!("{STAMPS}/{}.{}", it.of.name, it.of.kind);
                let inside = format!("{}/", it.of.name);
                match it.of.kind {
                    "service" | "proof" => drop(machine.entries.remove(&stamp)),
                    "unpacked" => machine.entries.retain(|path, _| !path.starts_with(&inside)),
                    // What others have put into it stays, and it with that.
                    "directory" if machine.entries.keys().any(|it| it.starts_with(&inside)) => {}
                    _ => drop(machine.entries.remove(&it.of.name)),
                }
            }
            Resource::Reboot(_) => {
                machine.boot(now);
                for unit in ["zookeeper", "mesos-master"] {
                    self.lead_no_more(host, unit);
                }
            }
            Resource::Proof(proof) => {
                machine.note(&proof.stamp, format!("{}\n", proof.digest), now);
            }
        }
        Ok(())
    }

    fn lead_no_more(&mut self, host: &HostName, unit: &str) {
        for quorum in ["zookeeper", "mesos-master"] {
            if unit != quorum || self.leaders.get(quorum).is_some_and(|leader| leader != host) {
                continue;
            }
            let next = self.alive(quorum).into_iter().find(|member| *member != host).cloned();
            if let Some(next) = next {
                self.leaders.insert(quorum, next);
            }
        }
    }
}

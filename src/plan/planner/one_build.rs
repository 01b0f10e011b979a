//! The image that one agent builds for all: who builds it, and from whom the others load it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Planner;
use crate::ground::HostName;
use crate::inventory::ImageBuild;
use crate::plan::Seen;
use crate::resource::image::{Copied, Image, Origin};
use crate::resource::{Look, Resource};
use crate::tasks::{Task, Wish, Wishes};

impl Planner<'_> {
    /// What agents want, and whose image it is, where it is built once. Whoever has it keeps it, the one that most have
    /// where there are several; where nobody has it the first agent builds it, before anything rolls.
    pub(super) fn one_build(&self, wishes: &Wishes) -> Option<(Wishes, HostName)> {
        let image =
            |wishes: &Vec<Wish>| wishes.iter().find_map(|it| it.resource.get::<Image>()).cloned();
        let image = wishes.values().find_map(image)?;
        let Origin::Build(build) = &image.origin else { return None };
        if build.by == ImageBuild::Each {
            return None;
        }
        let inputs = build.digest();
        let id = Resource::from(image.clone()).id();
        let mut asked = Vec::new();
        let mut holders: BTreeMap<&str, Vec<&HostName>> = BTreeMap::new();
        for host in wishes.keys().filter(|host| self.scope.allows(host, Task::Image)) {
            let Some(Seen::Answered(answer)) = self.observed.hosts.get(host) else { continue };
            asked.push(host);
            let Some(Look::Facts(facts)) = answer.looks.get(&id) else { continue };
            if facts.get("inputs") == Some(&inputs)
                && let Some(build) = facts.get("build")
            {
                holders.entry(build).or_default().push(host);
            }
        }
        let most = holders.iter().rev().max_by_key(|(_, hosts)| hosts.len());
        let build = most.map(|(build, _)| (*build).to_owned());
        let from = most.map_or_else(|| asked.first(), |(_, hosts)| hosts.first());
        let from = (*from?).clone();
        let copied = Copied { from: from.clone(), inputs, build };
        let copy = Image { origin: Origin::Copy(copied), ..image };
        let copy = Arc::new(Resource::from(copy));
        let mut wishes = wishes.clone();
        for (_, wishes) in wishes.iter_mut().filter(|(host, _)| **host != from) {
            for wish in wishes.iter_mut().filter(|wish| wish.resource.id() == id) {
                *wish = Wish { resource: Arc::clone(&copy), when: crate::tasks::When::Roll };
            }
        }
        Some((wishes, from))
    }
}

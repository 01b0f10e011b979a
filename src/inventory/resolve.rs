//! From what was written to what is meant: ranges expanded, templates rendered, files found. Each
//! section says in its own file what it means.

use std::collections::{BTreeMap, BTreeSet};

use tera::Context;

use super::decode::{At, Cx};
use super::files::{self, Fetch, Files, Source, StatedDigest};
use super::hosts::{self, Host, Lines};
use super::render::{Templates, context};
use super::root::Root;
use super::{Inventory, Places, base, docker, grammar, mesos, spark, tls, workloads, zookeeper};
use crate::ground::HostName;
use crate::mesos::versions::Version;

/// A map of the user's own keys, whose values may be templates.
pub(super) type Texts = [(At<String>, At<String>)];

/// Builds the inventory. Where `cx` holds errors afterwards it is not whole and must not be used.
pub(super) fn resolve(cx: &mut Cx, root: Root, files: &mut dyn Files) -> Inventory {
    // There is but one version of the format.
    let _ = root.version;
    let cluster = root.cluster.as_ref().map_or_else(String::new, |at| at.value.clone());
    let top = context(&cluster, &root.vars);
    let (mut hosts, lines) = hosts::resolve(cx, &root, &*files);
    let templates = Templates::default();
    let mut r = Resolver { cx, templates, top: &top, hosts: &hosts, lines: &lines, files };
    let mut mesos = mesos::resolve(&root, &mut r);
    let zookeeper = zookeeper::resolve(root.zookeeper.as_ref(), &mut r);
    let mut retired = BTreeMap::new();
    for (at, how) in &root.retired {
        for name in r.names(std::slice::from_ref(at)) {
            retired.insert(name, *how);
        }
    }
    let proxy = base::resolve(root.proxy, &mut r);
    let docker = docker::resolve(root.docker, &mut r);
    let spark = root.spark.map(|settings| spark::resolve(settings, &mut r));
    let tls = root.mesos.as_ref().and_then(|mesos| mesos.tls.as_ref());
    let lines = root.hosts.as_deref().unwrap_or_default();
    mesos.tls = tls::resolve(tls, lines, &mesos, spark.as_ref(), &mut r);
    let mut workloads = BTreeMap::new();
    for (name, settings) in root.workloads {
        if let Some(workload) = workloads::resolve(settings, r.cx) {
            workloads.insert(name.value, workload);
        }
    }
    let allow = allow(r.cx, root.allow);
    let places = Places(std::mem::take(&mut r.cx.places));
    for (pool, settings) in &mesos.pools {
        for host in settings.agents.keys() {
            if let Some(host) = hosts.get_mut(host) {
                host.pool = Some(pool.clone());
            }
        }
    }
    Inventory {
        cluster,
        hosts,
        proxy,
        seed: root.seed,
        base: root.base,
        zookeeper,
        mesos,
        docker,
        spark,
        workloads,
        smoke: root.smoke,
        retired,
        allow,
        places,
        digest: String::new(),
    }
}

/// What resolving takes beside the settings.
pub(super) struct Resolver<'a> {
    /// Where mistakes go.
    pub(super) cx: &'a mut Cx,
    /// Templates met so far.
    pub(super) templates: Templates,
    /// What every template sees.
    pub(super) top: &'a Context,
    /// Every host.
    pub(super) hosts: &'a BTreeMap<HostName, Host>,
    /// The line of each.
    pub(super) lines: &'a Lines,
    /// The files of this machine.
    pub(super) files: &'a mut dyn Files,
}

impl Resolver<'_> {
    /// The hosts that a list names; unknown ones are reported and left out.
    pub(super) fn names(&mut self, list: &[At<String>]) -> BTreeSet<HostName> {
        hosts::names(self.cx, self.hosts, list)
    }

    /// A template rendered without a host.
    pub(super) fn render(&mut self, at: &At<String>) -> Option<String> {
        self.templates.render(self.cx, at, self.top, "")
    }

    /// A map of templates rendered to text.
    pub(super) fn rendered(&mut self, texts: &Texts) -> BTreeMap<String, String> {
        let render =
            |(key, at): &(At<String>, At<String>)| Some((key.value.clone(), self.render(at)?));
        texts.iter().filter_map(render).collect()
    }

    /// A download with its digest, or a local file with the digest it has.
    pub(super) fn fetch(
        &mut self,
        source: Option<&At<String>>,
        digest: &StatedDigest,
    ) -> Option<Fetch> {
        files::resolve(self.cx, self.files, source?, digest)
    }

    /// A file of this machine.
    pub(super) fn local(&mut self, at: &At<String>) -> Option<Fetch> {
        let path = self.files.locate(&at.place, &at.value);
        match self.files.digest(&path, None) {
            Ok(digest) => Some(Fetch { source: Source::Path(path), digest }),
            Err(reason) => {
                let message = format!("`{}` {reason}", at.value);
                self.cx.error(&at.place, "missing-file", message);
                None
            }
        }
    }

    /// A version; 0.0 for what was refused.
    pub(super) fn version(&mut self, at: Option<&At<String>>) -> Version {
        let placeholder = || Version::parse("0.0").ok();
        let parsed = at.map(|at| {
            let good = grammar::word(&at.value, ".+-~");
            let version = Version::parse(&at.value).ok().filter(|_| good);
            if version.is_none() {
                self.cx.error(&at.place, "bad-version", "a version is written like 1.11.0");
            }
            version
        });
        match parsed.flatten().or_else(placeholder) {
            Some(version) => version,
            None => unreachable!("0.0 is a version"),
        }
    }
}

fn allow(cx: &mut Cx, written: Vec<(At<String>, At<String>)>) -> BTreeMap<String, String> {
    let mut allowed = BTreeMap::new();
    for (lint, reason) in written {
        if reason.value.trim().is_empty() {
            let message = format!("`allow.{}` needs a reason", lint.value);
            cx.error(&reason.place, "missing-reason", message);
        }
        allowed.insert(lint.value, reason.value);
    }
    allowed
}

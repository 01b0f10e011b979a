//! `spark:` and `workloads:` as written.

use super::decode::{At, Cx, Object, count, list, parsed, port, text, texts};
use super::grammar;
use super::raw::{RawFetch, Texts, debian_package, fetch, options};
use super::yaml::Node;

pub(super) fn spark(cx: &mut Cx, node: &Node, path: &str) -> Option<RawSpark> {
    let mut o = Object::open(cx, node, path)?;
    let spark = RawSpark {
        version: o.required(cx, "version", text),
        archive: o.required(cx, "archive", archive),
        java: o.optional(cx, "java", debian_package),
        user: o.optional(cx, "user", user),
        image: o.optional(cx, "image", image),
        defaults: o.optional(cx, "defaults", options).unwrap_or_default(),
        env: o.optional(cx, "env", options).unwrap_or_default(),
        clients: o.optional(cx, "clients", clients).unwrap_or_default(),
        dispatcher: o.optional(cx, "dispatcher", dispatcher),
    };
    o.close(cx);
    Some(spark)
}

pub(super) fn workload(cx: &mut Cx, node: &Node, path: &str) -> Option<RawWorkload> {
    let mut o = Object::open(cx, node, path)?;
    let mut workload = o.required(cx, "executors", executors).unwrap_or_default();
    workload.role = o.optional(cx, "role", text);
    workload.cores_max = o.optional(cx, "cores_max", count).map(|at| at.value);
    workload.constraints = o.optional(cx, "constraints", text).map(|at| at.value);
    o.close(cx);
    Some(workload)
}

#[derive(Debug)]
pub(super) struct RawSpark {
    pub(super) version: Option<At<String>>,
    pub(super) archive: Option<RawFetch>,
    pub(super) java: Option<At<String>>,
    pub(super) user: Option<At<String>>,
    pub(super) image: Option<RawImage>,
    pub(super) defaults: Texts,
    pub(super) env: Texts,
    pub(super) clients: Vec<At<String>>,
    pub(super) dispatcher: Option<(Vec<At<String>>, Option<u16>)>,
}

#[derive(Debug)]
pub(super) enum RawImage {
    Build { tag: Option<String>, base: Option<String>, packages: Option<Vec<String>> },
    Registry(String),
    Archive { tag: String, archive: RawFetch },
}

#[derive(Debug, Default)]
pub(super) struct RawWorkload {
    pub(super) role: Option<At<String>>,
    pub(super) cores: Option<u32>,
    pub(super) memory_mib: u64,
    pub(super) overhead_mib: Option<u64>,
    pub(super) cores_max: Option<u32>,
    pub(super) constraints: Option<String>,
}

fn archive(cx: &mut Cx, node: &Node, path: &str) -> Option<RawFetch> {
    let mut o = Object::open(cx, node, path)?;
    let key = o.one_of(cx, &["url", "path"])?;
    let archive = fetch(cx, &mut o, key);
    o.close(cx);
    archive
}

fn user(cx: &mut Cx, node: &Node, path: &str) -> Option<At<String>> {
    // The names that Debian's useradd takes without --badname, less its final `$`.
    let read = |t: &str| {
        let first = t.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let rest =
            t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
        (first && rest && t.len() <= 32).then(|| t.to_owned())
    };
    parsed("a user name of lower-case letters, digits, `_` and `-`", read)(cx, node, path)
}

fn reference(cx: &mut Cx, node: &Node, path: &str) -> Option<At<String>> {
    let read = |t: &str| {
        let good = grammar::word(t, "._-/:@") && t.starts_with(|c: char| c.is_ascii_alphanumeric());
        good.then(|| t.to_owned())
    };
    parsed("an image such as name:tag", read)(cx, node, path)
}

fn image(cx: &mut Cx, node: &Node, path: &str) -> Option<RawImage> {
    let mut o = Object::open(cx, node, path)?;
    let image = if o.has("registry") {
        let digest = |cx: &mut Cx, n: &Node, p: &str| {
            let at = reference(cx, n, p)?;
            let hex = at.value.split_once("@sha256:").map_or("", |(_, hex)| hex);
            if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                cx.expected(n, p, "an image with its digest, name@sha256:… (a tag may move)");
                return None;
            }
            Some(at)
        };
        o.optional(cx, "registry", digest).map(|at| RawImage::Registry(at.value))
    } else if o.has("archive") {
        let archive = fetch(cx, &mut o, "archive");
        let tag = o.required(cx, "tag", reference);
        archive.zip(tag).map(|(archive, tag)| RawImage::Archive { tag: tag.value, archive })
    } else {
        let packages = |cx: &mut Cx, n: &Node, p: &str| list(cx, n, p, debian_package);
        Some(RawImage::Build {
            tag: o.optional(cx, "tag", reference).map(|at| at.value),
            base: o.optional(cx, "base", reference).map(|at| at.value),
            packages: o
                .optional(cx, "packages", packages)
                .map(|list| list.into_iter().map(|at| at.value).collect()),
        })
    };
    o.close(cx);
    image
}

fn clients(cx: &mut Cx, node: &Node, path: &str) -> Option<Vec<At<String>>> {
    let mut o = Object::open(cx, node, path)?;
    let hosts = o.required(cx, "hosts", texts);
    o.close(cx);
    hosts
}

fn dispatcher(cx: &mut Cx, node: &Node, path: &str) -> Option<(Vec<At<String>>, Option<u16>)> {
    let mut o = Object::open(cx, node, path)?;
    let hosts = o.required(cx, "hosts", texts).unwrap_or_default();
    let port = o.optional(cx, "port", port).map(|at| at.value);
    o.close(cx);
    Some((hosts, port))
}

fn executors(cx: &mut Cx, node: &Node, path: &str) -> Option<RawWorkload> {
    let mib = |cx: &mut Cx, n: &Node, p: &str| {
        let read = |t: &str| grammar::bytes(t).map(|b| b >> 20).filter(|mib| *mib > 0);
        parsed("memory with a unit such as 4GB or 512MB", read)(cx, n, p)
    };
    let mut o = Object::open(cx, node, path)?;
    let workload = RawWorkload {
        cores: o.optional(cx, "cores", count).map(|at| at.value),
        memory_mib: o.required(cx, "memory", mib).map_or(1, |at| at.value),
        overhead_mib: o.optional(cx, "overhead", mib).map(|at| at.value),
        ..RawWorkload::default()
    };
    o.close(cx);
    Some(workload)
}

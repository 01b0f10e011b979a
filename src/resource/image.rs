//! A Docker image: built here, loaded from an archive or pulled by digest.

use std::fmt::Write as _;
use std::sync::Arc;

use super::fetched::CACHE;
use super::unpacked::UNPACK;
use super::{Facts, Gap, Kind, Look, ResourceId, fetched, last_line};
use crate::ground::digest::digest_of;
use crate::ground::{HostName, SecretRef};
use crate::inventory::{Fetch, ImageBuild, Proxy};
use crate::script::{Fix, Handed, Probe, Sections, Step, quote};

/// Label that names what an image was built from.
pub const LABEL: &str = "provision.inputs";
/// Label that no two builds share; of images that are built once for all. Not the id, which is another one in each of
/// Docker's stores.
const BUILD: &str = "provision.build";

/// A Docker image.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Its name and tag; for a loaded archive its file name.
    pub name: String,
    /// How it comes to the host.
    pub origin: Origin,
    /// How to download what it needs.
    pub proxy: Proxy,
}

/// How an image comes to a host.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// Built on the host.
    Build(Arc<Build>),
    /// Loaded from the host that has built it for all.
    Copy(Copied),
    /// Loaded from an archive; whatever names are in it are remembered in a stamp.
    Load {
        /// The archive.
        archive: Fetch,
        /// Where the names are remembered.
        stamp: String,
    },
    /// Pulled by digest.
    Pull,
}

/// An image that another host has built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Who.
    pub from: HostName,
    /// [Digest](Build::digest) of all it is made of.
    pub inputs: String,
    /// Which build, where one is there already.
    pub build: Option<String>,
}

/// A build and its context.
#[derive(Debug, Clone, PartialEq)]
pub struct Build {
    /// Who builds it.
    pub by: ImageBuild,
    /// The Dockerfile.
    pub dockerfile: String,
    /// Small files of the context: name → text.
    pub files: Vec<(String, String)>,
    /// Archives unpacked into the context: name of the directory → archive and what it must hold.
    pub trees: Vec<(String, Fetch, &'static str)>,
    /// Files put into the context as they are: name → file.
    pub blobs: Vec<(String, Fetch)>,
}

impl Build {
    /// Digest of all it is made of: what the label holds.
    pub fn digest(&self) -> String {
        let mut parts = vec![self.dockerfile.as_str()];
        // One that an agent built for itself is not the one of all.
        parts.extend((self.by == ImageBuild::Once).then_some("once"));
        for (name, text) in &self.files {
            parts.extend([name.as_str(), text.as_str()]);
        }
        for (name, fetch, _) in &self.trees {
            parts.extend([name.as_str(), fetch.digest.hex()]);
        }
        for (name, fetch) in &self.blobs {
            parts.extend([name.as_str(), fetch.digest.hex()]);
        }
        digest_of(parts)
    }
}

impl Image {
    /// What an executor started from it depends on.
    pub fn input(&self) -> String {
        match &self.origin {
            Origin::Build(build) => format!("{}={}", self.name, build.digest()),
            Origin::Copy(copied) => format!("{}={}", self.name, copied.inputs),
            Origin::Load { archive, .. } => format!("{}={}", self.name, archive.digest.hex()),
            Origin::Pull => self.name.clone(),
        }
    }

    fn load(&self, archive: &Fetch, stamp: &str) -> Vec<Step> {
        let mut steps = fetched::steps(archive, &self.proxy);
        let stamp_path = quote(stamp);
        steps.push(Step::Run(Fix::new(format!(
            "out=$(docker load -q -i {archive}) || die loading {archive} failed: \"$out\"\n\
             say \"$out\"\n\
             mkdir -p \"$(dirname {stamp_path})\"\n\
             text=$(printf '%s\\n' {digest}; printf '%s\\n' \"$out\" | sed -n 's/^Loaded image\\( ID\\)*: //p')\n\
             sum=$(printf '%s\\n' \"$text\" | sha256sum); sum=${{sum%% *}}\n\
             put {stamp_path} root root 600 \"$sum\" \"$text\n\"",
            archive = quote(&fetched::path(archive)),
            digest = archive.digest.hex(),
        ))));
        steps
    }

    /// The archive leaves this host once it is loaded; the one that it is a copy of stays until there is another image.
    fn copy(&self, copied: &Copied) -> Vec<Step> {
        let (name, inputs) = (quote(&self.name), &copied.inputs);
        let file = format!("image-{}.tar.gz", &inputs[..inputs.len().min(16)]);
        // An id is compared on that host alone.
        let make = format!(
            r#"id=$(docker image inspect -f '{{{{.Id}}}} {{{{index .Config.Labels "{LABEL}"}}}}' {name}) || die there is no image {name}
[ "${{id##* }}" = {inputs} ] || die {name} was built from other inputs
f={CACHE}/{file}; n={CACHE}/image.made
install -d -m 700 {CACHE}
made=$(cat "$n" 2>/dev/null || :)
if [ ! -f "$f" ] || [ "${{made% *}}" != "$id" ]; then
  rm -f {CACHE}/image-*.tar.gz "$n"
  t=$(mktemp {CACHE}/.provision.XXXXXX)
  trap 'rm -f "$t" "$t.failed"' EXIT
  {{ docker save {name} || : > "$t.failed"; }} | gzip -1 > "$t"
  [ ! -e "$t.failed" ] || die {name} could not be saved
  sum=$(sha256sum < "$t"); made="$id ${{sum%% *}}"
  sync "$t"; mv -fT "$t" "$f"; trap - EXIT
  printf '%s\n' "$made" > "$n"
fi
say "${{made##* }}""#
        );
        let handed = Handed {
            from: copied.from.clone(),
            make: Fix::new(make),
            directory: CACHE,
            name: file.clone(),
        };
        let load = format!(
            r#"out=$(docker load -q -i {CACHE}/{file}) || die loading {CACHE}/{file} failed: "$out"
rm -f {CACHE}/{file}
docker image inspect -f 'image id {{{{.Id}}}}' {name}"#
        );
        vec![Step::Fetch(handed), Step::Run(Fix::new(load))]
    }

    fn build(&self, build: &Build) -> Vec<Step> {
        let mut steps = Vec::new();
        for (_, fetch, _) in &build.trees {
            steps.extend(fetched::steps(fetch, &self.proxy));
        }
        for (_, fetch) in &build.blobs {
            steps.extend(fetched::steps(fetch, &self.proxy));
        }
        let mut script = format!("{UNPACK}\n");
        let _ = writeln!(script, "mkdir -p /var/lib/provision/build");
        let _ = writeln!(script, "d=$(mktemp -d /var/lib/provision/build/XXXXXX)");
        let _ = writeln!(script, "trap 'rm -rf \"$d\"' EXIT");
        let _ = writeln!(script, "mkdir \"$d/context\"");
        let mut write = |name: &str, text: &str| {
            let _ =
                writeln!(script, "printf '%s' {} > \"$d/context\"/{}", quote(text), quote(name));
        };
        write("Dockerfile", &build.dockerfile);
        for (name, text) in &build.files {
            write(name, text);
        }
        for (name, fetch, holds) in &build.trees {
            let _ = writeln!(
                script,
                "mkdir \"$d/unpack\"; unpack {} \"$d/unpack\" {}\nmv -T \"$home\" \"$d/context\"/{}; rm -rf \"$d/unpack\"",
                quote(&fetched::path(fetch)),
                quote(holds),
                quote(name)
            );
        }
        for (name, fetch) in &build.blobs {
            let _ = writeln!(
                script,
                "cp {} \"$d/context\"/{}",
                quote(&fetched::path(fetch)),
                quote(name)
            );
        }
        // By their names only: an argument can be read by anybody, and a proxy's URL may hold a password.
        let secrets = fetched::export(&mut script, &self.proxy);
        let names = self.proxy.variables().0.into_iter().map(|(name, _)| name);
        let arguments: String = names.map(|name| format!(" --build-arg {name}")).collect();
        let mut labels = format!("--label {LABEL}={}", build.digest());
        if build.by == ImageBuild::Once {
            let _ = write!(labels, " --label {BUILD}=\"$(cat /proc/sys/kernel/random/uuid)\"");
        }
        // The classic builder is enough and is there in every engine since 1.8; buildx is a separate
        // package on some distributions.
        let _ = write!(
            script,
            "DOCKER_BUILDKIT=0 docker build --rm --force-rm {labels} -t {name}{arguments} \"$d/context\"\n\
             docker image inspect -f 'image id {{{{.Id}}}}' {name}",
            name = quote(&self.name),
        );
        steps.push(Step::Run(Fix::with_secrets(script, secrets)));
        steps
    }
}

impl Kind for Image {
    fn id(&self) -> ResourceId {
        ResourceId { kind: "image", name: self.name.clone() }
    }

    fn want(&self) -> Facts {
        match &self.origin {
            Origin::Build(build) => Facts::from([("inputs", build.digest())]),
            Origin::Copy(Copied { inputs, build, .. }) => {
                let build = build.clone().map(|build| ("build", build));
                [("inputs", inputs.clone())].into_iter().chain(build).collect()
            }
            Origin::Load { archive, .. } => Facts::from([("archive", archive.digest.hex().into())]),
            Origin::Pull => Facts::from([("image", "present".to_owned())]),
        }
    }

    /// One `docker image inspect` for every image of a host, and only where the engine runs: asking would
    /// start it through its socket, and a probe changes nothing. Loaded archives are looked for by the
    /// names in their stamps, which the shell reads without a fork.
    fn probe(all: &[&Self]) -> Probe {
        if all.is_empty() {
            return Probe::default();
        }
        let mut script = String::from("set --\n");
        for image in all {
            match &image.origin {
                Origin::Load { stamp, .. } => {
                    let stamp = quote(stamp);
                    let _ = writeln!(
                        script,
                        "if [ -f {stamp} ]; then {{ read -r l && printf 'stamp %s %s\\n' {stamp} \"$l\"; \
                     while read -r l; do [ -z \"$l\" ] || {{ set -- \"$@\" \"$l\"; printf 'holds %s %s\\n' {stamp} \"$l\"; }}; done; }} < {stamp}; fi"
                    );
                }
                _ => {
                    let _ = writeln!(script, "set -- \"$@\" {}", quote(&image.name));
                }
            }
        }
        let _ = write!(
            script,
            "p=; [ ! -f /run/docker.pid ] || read -r p < /run/docker.pid || :\n\
         if ! command -v docker >/dev/null 2>&1; then echo 'engine absent'\n\
         elif [ -z \"$p\" ] || [ ! -d \"/proc/$p\" ]; then echo 'engine stopped'\n\
         elif [ $# -gt 0 ]; then echo 'engine running'\n\
         docker image inspect -f '{{{{range .RepoTags}}}}tag {{{{.}}}}\n{{{{end}}}}{{{{range .RepoDigests}}}}tag {{{{.}}}}\n{{{{end}}}}{{{{with .Config.Labels}}}}{{{{with index . \"{BUILD}\"}}}}build {{{{.}}}}\n{{{{end}}}}{{{{end}}}}id {{{{.Id}}}} {{{{with .Config.Labels}}}}{{{{index . \"{LABEL}\"}}}}{{{{end}}}}' \"$@\" 2>/dev/null\n\
         else echo 'engine running'; fi"
        );
        Probe::new("images", script)
    }

    fn read(&self, sections: &Sections) -> Look {
        let Some(text) = sections.get("images") else {
            return Look::Failed("the question about images got no answer".to_owned());
        };
        if text.lines().any(|line| line == "engine stopped") {
            return Look::Later("the Docker engine runs");
        }
        if text.lines().any(|line| line == "engine absent") {
            return Look::Facts(Facts::new());
        }
        if !text.lines().any(|line| line == "engine running") {
            return Look::Failed("the question about images got no whole answer".to_owned());
        }
        let facts = match &self.origin {
            Origin::Load { stamp, .. } => loaded(stamp, text),
            Origin::Build(_) | Origin::Copy(_) => find(&self.name, text).map(|it| {
                let build = it.build.map(|build| ("build", build.to_owned()));
                let facts = [("inputs", it.inputs.to_owned()), ("id", it.id.to_owned())];
                facts.into_iter().chain(build).collect()
            }),
            Origin::Pull => find(&self.name, text)
                .map(|it| Facts::from([("image", "present".into()), ("id", it.id.to_owned())])),
        };
        Look::Facts(facts.unwrap_or_default())
    }

    /// Builds, copies, loads or pulls.
    fn fix(&self, _: &[Gap]) -> Vec<Step> {
        match &self.origin {
            Origin::Build(build) => self.build(build),
            Origin::Copy(copied) => self.copy(copied),
            Origin::Load { archive, stamp } => self.load(archive, stamp),
            Origin::Pull => vec![Step::Run(Fix::new(format!(
                "docker pull -q {name}\ndocker image inspect -f '{{{{.Id}}}}' {name}",
                name = quote(&self.name)
            )))],
        }
    }

    fn result(&self, output: &str) -> String {
        last_line(output)
    }

    fn secrets(&self) -> Vec<SecretRef> {
        self.proxy.variables().1
    }
}

/// What a probe printed of one image.
struct Found<'a> {
    id: &'a str,
    inputs: &'a str,
    build: Option<&'a str>,
}

/// The image with a tag.
fn find<'a>(name: &str, text: &'a str) -> Option<Found<'a>> {
    let last = name.rsplit('/').next().unwrap_or(name);
    let whole = if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") };
    let (mut mine, mut build) = (false, None);
    for line in text.lines() {
        if let Some(tag) = line.strip_prefix("tag ") {
            mine |= tag == whole || tag.strip_prefix("docker.io/") == Some(whole.as_str());
        } else if let Some(label) = line.strip_prefix("build ") {
            build = Some(label.trim());
        } else if let Some(rest) = line.strip_prefix("id ") {
            if mine || rest.split(' ').next() == Some(name) {
                let (id, label) = rest.split_once(' ').unwrap_or((rest, ""));
                return Some(Found { id, inputs: label.trim(), build });
            }
            (mine, build) = (false, None);
        }
    }
    None
}

fn loaded(stamp: &str, text: &str) -> Option<Facts> {
    let digest = text.lines().find_map(|l| l.strip_prefix("stamp ")?.strip_prefix(stamp))?.trim();
    let held = text
        .lines()
        .filter_map(|line| line.strip_prefix("holds ")?.strip_prefix(stamp))
        .all(|name| find(name.trim(), text).is_some());
    held.then(|| Facts::from([("archive", digest.to_owned())]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::ProxyUrl;

    fn built(name: &str) -> Image {
        let build = Build {
            by: ImageBuild::Each,
            dockerfile: "FROM x".into(),
            files: Vec::new(),
            trees: Vec::new(),
            blobs: Vec::new(),
        };
        Image { name: name.into(), origin: Origin::Build(Arc::new(build)), proxy: Proxy::default() }
    }

    fn look(name: &str, text: &str) -> Look {
        built(name).read(&Sections::from([("images".to_owned(), text.to_owned())]))
    }

    #[test]
    fn a_stopped_engine_is_not_an_absent_image() {
        assert_eq!(look("spark-mesos", "engine stopped\n"), Look::Later("the Docker engine runs"));
        assert_eq!(look("spark-mesos", "engine absent\n"), Look::Facts(Facts::new()));
        assert!(matches!(look("spark-mesos", ""), Look::Failed(_)));
    }

    #[test]
    fn a_proxys_password_is_no_argument() {
        let mut image = built("spark-mesos");
        image.proxy.http = Some(ProxyUrl::Open("http://us:hunter2@10.0.0.1:3128".to_owned()));
        let steps = image.fix(&[]);
        let script = match &steps[..] {
            [Step::Run(fix)] => fix.text(),
            other => panic!("{other:?}"),
        };
        let holding: Vec<&str> = script.lines().filter(|line| line.contains("hunter2")).collect();
        assert_eq!(holding, ["export http_proxy=http://us:hunter2@10.0.0.1:3128"]);
        assert!(script.contains(" --build-arg http_proxy \""), "{script}");
    }

    #[test]
    fn the_label_is_that_of_the_image_with_the_tag() {
        let text = "engine running\ntag base:1\nid sha256:aa <no value>\ntag spark-mesos:latest\nid sha256:bb 77\n";
        let Look::Facts(facts) = look("spark-mesos", text) else { panic!() };
        assert_eq!(facts["inputs"], "77");
        assert_eq!(facts["id"], "sha256:bb");
        assert_eq!(look("spark-mesos:2", text), Look::Facts(Facts::new()));
    }
}

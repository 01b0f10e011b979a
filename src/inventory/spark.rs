//! `spark`: the archive, the image that executors run in, its configuration and its dispatcher.

use std::collections::{BTreeMap, BTreeSet};

use super::decode::{At, Cx, clipped};
use super::files::{Download, Fetch, Source, StatedDigest};
use super::managed::{self, ManagedFile};
use super::resolve::Resolver;
use super::settings::{Shape, Type, choice, section};
use super::types::{
    self, Catalogue, DebianPackage, Line, List, Map, Memory, Options, Plain, Port, Template, Text,
    scalar,
};
use super::yaml::Node;
use super::{check, environment, packages, schema};
use crate::ground::problem::Problem;
use crate::ground::{Digest, HostName};
use crate::mesos::versions::Version;
use crate::mesos::{image, properties};

section! {
    /// Spark as written.
    #[derive(Debug)]
    pub(super) struct Settings {
        /// Version of the archive; 3.5 is the last line with Mesos.
        need version: Text, such as "3.5.1";
        /// The .tgz as Apache releases it.
        need archive: Archive, such as "{path: ./spark-3.5.1-bin-hadoop3.tgz}";
        /// Debian package of the Java runtime.
        may java: Plain<DebianPackage> = "openjdk-17-jre-headless";
        /// Who submits; made on clients and agents.
        may user: Plain<UserName> = "spark";
        /// The image that executors run in.
        may image: Image = "{}", such as "{base: 'debian:bookworm-slim', packages: [python3]}";
        /// Lines of spark-defaults.conf; templates.
        may defaults: Options<Properties> = "{}", such as "{spark.cores.max: 8}";
        /// Lines of spark-env.sh; templates.
        may env: Map<Template> = "{}", such as "{SPARK_LOCAL_DIRS: /var/tmp}";
        /// Where jobs are submitted from.
        may clients: Clients = "{hosts: []}", such as "{hosts: [c1]}";
        /// The MesosClusterDispatcher, for --deploy-mode cluster.
        may dispatcher: WrittenDispatcher, such as "{hosts: [m1]}";
        /// The history server, which shows jobs that have ended; every job then writes its event log.
        may history: WrittenHistory, such as "{hosts: [c1]}";
        /// Spark's external shuffle service on every agent: with it executors may come and go
        /// (spark.dynamicAllocation.enabled), and what they wrote for others stays.
        may shuffle_service: WrittenShuffle, such as "{}", "{directory: /data/spark-shuffle}";
    }
}

choice! {
    /// Where the archive is.
    #[derive(Debug)]
    pub(super) enum Archive {
        url => Url(ByUrl),
        path => Path(ByPath),
    }
}

section! {
    /// Elsewhere.
    #[derive(Debug)]
    pub(super) struct ByUrl {
        /// Each host downloads it; needs its digest.
        need url: Download,
            such as "https://archive.apache.org/dist/spark/spark-3.5.1/spark-3.5.1-bin-hadoop3.tgz";
        with digest: StatedDigest;
    }
}

section! {
    /// Here.
    #[derive(Debug)]
    pub(super) struct ByPath {
        /// On this machine; pushed.
        need path: types::Source, such as "./spark-3.5.1-bin-hadoop3.tgz";
        with digest: StatedDigest;
    }
}

choice! {
    /// The image as written.
    #[derive(Debug)]
    pub(super) enum Image {
        registry => Registry(Pulled),
        archive => Archive(Loaded),
        _ => Build(Built),
    }
}

section! {
    /// Built on every agent.
    #[derive(Debug)]
    pub(super) struct Built {
        /// Name given to the image.
        may tag: Plain<ImageName> = "spark-mesos";
        /// Image to build on.
        may base: Plain<ImageName> = "debian:bookworm-slim";
        /// Debian packages put into it beside Java.
        may packages: List<Plain<DebianPackage>> = "[python3, libnss3, curl]";
        /// Who builds it: each agent, or one, from which the others load it.
        may build: Plain<BuildName> as ImageBuild = "each", such as "once";
    }
}

section! {
    /// Pulled by every agent.
    #[derive(Debug)]
    pub(super) struct Pulled {
        /// Pulled by every agent: name@sha256:….
        need registry: Plain<PinnedImage>,
            such as "registry.example/spark@sha256:\
                     9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    }
}

section! {
    /// Loaded by every agent.
    #[derive(Debug)]
    pub(super) struct Loaded {
        /// Loaded by every agent: a path, or a URL with its digest.
        need archive: types::Source, such as "./spark-mesos-3.5.1.tar";
        /// Name that the archive holds.
        need tag: Plain<ImageName>, such as "spark-mesos:3.5.1";
        with digest: StatedDigest;
    }
}

section! {
    /// Where jobs are submitted from.
    #[derive(Debug)]
    pub(super) struct Clients {
        /// Hosts.
        need hosts: List<Text>, such as "[c1]";
        /// Files that jobs need there: path: what is in it.
        may files: Map<managed::Written> = "{}", such as "{/etc/spark-files/log4j2.properties: {path: ./log4j2.properties}}";
    }
}

section! {
    /// The dispatcher as written.
    #[derive(Debug)]
    pub(super) struct WrittenDispatcher {
        /// The one host it runs on.
        need hosts: List<Text>, such as "[m1]";
        /// REST port.
        may port: Plain<Port> = "7077";
    }
}

section! {
    /// The history server as written.
    #[derive(Debug)]
    pub(super) struct WrittenHistory {
        /// The one host it runs on.
        need hosts: List<Text>, such as "[c1]";
        /// Port of its page.
        may port: Plain<Port> = "18080";
        /// Where event logs are. A path is a directory of each host, made where it is missing.
        may directory: Plain<EventLogs> = "/var/log/spark-events";
    }
}

section! {
    /// The shuffle service as written.
    #[derive(Debug)]
    pub(super) struct WrittenShuffle {
        /// Port that executors and drivers find it on.
        may port: Plain<Port> = "7337";
        /// Where executors keep their files, on each agent and in their containers alike; a directory of its own, on a
        /// disk with room for all that jobs shuffle.
        may directory: Plain<ShuffleDirectory> = "/var/lib/spark-shuffle";
        /// Its heap, which Mesos does not count: agents offer that much less, or the host needs it besides.
        may memory: Plain<Memory> = "1GB";
    }
}

scalar! {
    /// A directory that can be given to everybody without giving away anything else: none of the system's own, none
    /// that systemd-tmpfiles empties, and nothing in it that a unit, a shell or Spark's lists would read as more.
    ShuffleDirectory -> String, "the absolute path of a directory of its own, such as /data/spark-shuffle",
        |t| {
            let word = |it: &str| {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
                !it.is_empty() && !it.starts_with('.') && it.bytes().all(plain)
            };
            let names: Vec<&str> = t.strip_prefix('/')?.split('/').collect();
            let systems = [
                "bin", "boot", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "tmp", "usr",
            ];
            let own = match names[..] {
                [_] | ["var", _] | ["var", "tmp" | "run", ..] => false,
                [first, ..] => !systems.contains(&first),
                [] => false,
            };
            (own && names.iter().all(|name| word(name))).then(|| t.to_owned())
        },
        schema::word(
            "^(?!/(bin|boot|dev|etc|lib|lib64|proc|run|sbin|sys|tmp|usr)/)(?!/var/(tmp|run)/)(?!/var/[^/]+$)\
             (/[A-Za-z0-9_-][A-Za-z0-9._-]*){2,}$",
        );
    /// What Hadoop's file systems are named by, or a directory of the host.
    EventLogs -> String, "an absolute path, or a URL such as hdfs://nn1:8020/spark-events",
        |t| {
            let whole = !t.contains(|c: char| c.is_whitespace() || ",:\\\"'".contains(c));
            let path = t.len() > 1 && t.starts_with('/') && whole;
            let url = t.split_once("://").is_some_and(|(scheme, rest)| {
                scheme != "file" && !scheme.is_empty() && !rest.is_empty()
                    && scheme.bytes().all(|b| b.is_ascii_alphanumeric())
                    && !rest.contains(|c: char| c.is_whitespace() || c == ',')
            });
            (path || url).then(|| t.to_owned())
        },
        schema::word("^(/[^\\s,:\\\\\"']+|(?!file:)[A-Za-z0-9]+://[^\\s,]+)$");
    /// Who builds the image.
    BuildName -> ImageBuild, "each or once",
        |t| match t {
            "each" => Some(ImageBuild::Each),
            "once" => Some(ImageBuild::Once),
            _ => None,
        },
        serde_json::json!({ "enum": ["each", "once"] });
    /// The names that Debian's useradd takes without --badname, less its final `$`.
    UserName -> String, "a user name of lower-case letters, digits, `_` and `-`",
        |t| {
            let first = t.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
            let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
            (first && t.bytes().all(rest) && t.len() <= 32).then(|| t.to_owned())
        },
        serde_json::json!({ "type": ["string", "boolean"], "pattern": "^[a-z_][a-z0-9_-]{0,31}$" });
}

/// An image's name, tag and digest.
pub(super) struct ImageName;

impl Type for ImageName {
    type Value = At<String>;

    fn read(cx: &mut Cx, node: &Node, path: &str) -> Option<At<String>> {
        let at = Text::read(cx, node, path)?;
        if let Err(finding) = image::check(&at.value) {
            cx.problems.push(finding.problem(at.place, "wrong-type"));
            return None;
        }
        Some(at)
    }

    fn shape() -> Shape {
        let schema = schema::word(image::PATTERN);
        Shape::Scalar { what: image::WANTED, template: false, schema }
    }
}

impl Line for ImageName {
    type Held = String;
}

/// An image with its digest.
pub(super) struct PinnedImage;

impl Type for PinnedImage {
    type Value = At<String>;

    fn read(cx: &mut Cx, node: &Node, path: &str) -> Option<At<String>> {
        let at = ImageName::read(cx, node, path)?;
        if !at.value.contains('@') {
            let message =
                format!("`{path}`: `{}` may be another image tomorrow", clipped(&at.value));
            let problem = Problem::error(Some(at.place), "wrong-type", message);
            cx.problems.push(problem.help(format!("write {PINNED}")));
            return None;
        }
        Some(at)
    }

    fn shape() -> Shape {
        let pattern = image::PATTERN.replacen('^', "^(?=.*@)", 1);
        Shape::Scalar { what: PINNED, template: false, schema: schema::text(&pattern) }
    }
}

impl Line for PinnedImage {
    type Held = String;
}

const PINNED: &str = "an image with its digest, name@sha256:…";

/// Any property; those of the last Spark with Mesos with what is known of them.
pub(super) struct Properties;

impl Catalogue for Properties {
    fn known() -> Vec<(String, String)> {
        let read = properties::all().iter().filter(|property| {
            !property.name.ends_with('*')
                && property.until.is_none()
                && property.kind != properties::Kind::Unread
        });
        let described = read.map(|property| {
            let (wanted, example) = property.kind.words();
            let words = format!("{wanted}, such as {example}; since Spark {}", property.since);
            (property.name.clone(), words)
        });
        described.collect()
    }
}

/// Spark.
#[derive(Debug, Clone, PartialEq)]
pub struct Spark {
    /// Version of the archive.
    pub version: Version,
    /// The archive that is unpacked on clients and goes into the image.
    pub archive: Fetch,
    /// Debian package of the Java runtime.
    pub java: String,
    /// Who submits; made on clients and agents.
    pub user: String,
    /// The image that executors run in.
    pub image: SparkImage,
    /// Lines of spark-defaults.conf as the user wrote them.
    pub defaults: BTreeMap<String, String>,
    /// Lines of spark-env.sh.
    pub env: BTreeMap<String, String>,
    /// Hosts that jobs are submitted from.
    pub clients: BTreeSet<HostName>,
    /// Files on clients.
    pub client_files: Vec<ManagedFile>,
    /// Hosts of the MesosClusterDispatcher.
    pub dispatcher: Option<Dispatcher>,
    /// The history server.
    pub history: Option<History>,
    /// The external shuffle service of every agent.
    pub shuffle: Option<ShuffleService>,
}

/// Who builds the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageBuild {
    /// Every agent.
    Each,
    /// One agent, from which the others load it: all have the same one.
    Once,
}

/// The image that executors run in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SparkImage {
    /// Built on agents.
    Build {
        /// Name (and tag) given to it.
        tag: String,
        /// Image it starts from.
        base: String,
        /// Debian packages put into it beside Java.
        packages: Vec<String>,
        /// Who builds it.
        build: ImageBuild,
    },
    /// Pulled by every agent.
    Registry {
        /// `name@sha256:…`.
        reference: String,
    },
    /// Loaded by every agent.
    Archive {
        /// Name (and tag) that the archive holds.
        tag: String,
        /// `docker save` archive.
        archive: Fetch,
    },
}

/// The MesosClusterDispatcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatcher {
    /// Hosts it runs on.
    pub hosts: BTreeSet<HostName>,
    /// REST port.
    pub port: u16,
}

/// The history server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Hosts it runs on.
    pub hosts: BTreeSet<HostName>,
    /// Port of its page.
    pub port: u16,
    /// Where event logs are: an absolute path of each host, or a URL.
    pub directory: String,
}

/// The external shuffle service of every agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShuffleService {
    /// Its port.
    pub port: u16,
    /// Where executors keep their files, on agents and in containers: an absolute path of letters, digits, `.`, `_`,
    /// `-` and `/`.
    pub directory: String,
    /// Its heap in MiB.
    pub memory: u64,
}

impl History {
    /// The directory of each host that event logs are in; `None`: they are elsewhere.
    pub fn local(&self) -> Option<&str> {
        self.directory.starts_with('/').then_some(&*self.directory)
    }

    /// Where event logs are, as Spark is told; a path alone would be one of Hadoop's default file system.
    pub fn url(&self) -> String {
        self.local().map_or_else(|| self.directory.clone(), |path| format!("file:{path}"))
    }
}

impl SparkImage {
    /// What `spark.mesos.executor.docker.image` holds.
    pub fn name(&self) -> &str {
        match self {
            SparkImage::Build { tag, .. } | SparkImage::Archive { tag, .. } => tag,
            SparkImage::Registry { reference } => reference,
        }
    }

    /// Whether one agent builds it for all.
    pub fn is_built_once(&self) -> bool {
        matches!(self, SparkImage::Build { build: ImageBuild::Once, .. })
    }
}

/// Spark with its files found, names checked and templates rendered.
pub(super) fn resolve(settings: Settings, r: &mut Resolver<'_>) -> Spark {
    let nothing =
        || Fetch { source: Source::Url(String::new()), digest: Digest::Sha256(String::new()) };
    environment::names(r.cx, &settings.env);
    for (key, _) in &settings.defaults {
        if key.value.contains(|c: char| c.is_whitespace() || c == '=' || c == '#') {
            let message = format!("`{}` cannot name a Spark property", key.value);
            let problem = Problem::error(Some(key.place.clone()), "bad-name", message);
            r.cx.problems.push(problem.help("write it like spark.cores.max"));
        }
    }
    let image = match settings.image {
        Image::Registry(pulled) => {
            SparkImage::Registry { reference: pulled.registry.unwrap_or_default() }
        }
        Image::Archive(loaded) => SparkImage::Archive {
            tag: loaded.tag.unwrap_or_default(),
            archive: r.fetch(loaded.archive.as_ref(), &loaded.digest).unwrap_or_else(nothing),
        },
        Image::Build(Built { tag, base, packages, build }) => {
            SparkImage::Build { tag, base, packages, build }
        }
    };
    let version = r.version(settings.version.as_ref());
    let mut defaults = BTreeMap::new();
    for (key, at) in &settings.defaults {
        let Some(text) = r.render(at) else { continue };
        // A version that was refused makes no further mistakes.
        if version.at_least(&[0, 1]) {
            check::property(r.cx, (key, at), &text, &version);
        }
        defaults.insert(key.value.clone(), text);
    }
    let archive = match &settings.archive {
        Some(Archive::Url(by)) => r.fetch(by.url.as_ref(), &by.digest),
        Some(Archive::Path(by)) => r.fetch(by.path.as_ref(), &by.digest),
        None => None,
    };
    if let (Some(file), Some(Archive::Path(ByPath { path: Some(at), .. }))) =
        (&archive, &settings.archive)
    {
        packages::spark(r, &at.place, file, &version);
    }
    let (templates, top) = (&mut r.templates, r.top);
    let section = "spark.clients.files";
    let client_files =
        managed::resolve(r.cx, &*r.files, section, &settings.clients.files, |cx, at| {
            templates.render(cx, at, top, "")
        });
    Spark {
        client_files,
        version,
        archive: archive.unwrap_or_else(nothing),
        java: settings.java,
        user: settings.user,
        image,
        defaults,
        env: r.rendered(&settings.env),
        clients: r.names(settings.clients.hosts.as_deref().unwrap_or_default()),
        dispatcher: settings.dispatcher.map(|dispatcher| Dispatcher {
            hosts: r.names(dispatcher.hosts.as_deref().unwrap_or_default()),
            port: dispatcher.port,
        }),
        history: settings.history.map(|history| History {
            hosts: r.names(history.hosts.as_deref().unwrap_or_default()),
            port: history.port,
            directory: history.directory,
        }),
        shuffle: settings.shuffle_service.map(|shuffle| ShuffleService {
            port: shuffle.port,
            directory: shuffle.directory,
            memory: shuffle.memory,
        }),
    }
}

//! Every templated file, embedded. Contexts are plain JSON objects built by the tasks; a name that a
//! template uses and a context lacks is an error with the template's line.

use std::collections::BTreeMap;

use tera::{Context, Tera};

pub mod contexts;
pub mod explain;
mod grammars;

/// Templates by name (`zookeeper/zoo.cfg`), the built-in ones or the user's in their place.
#[derive(Debug)]
pub struct Templates {
    tera: Tera,
}

/// Built-in templates: name → text.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("zookeeper/zoo.cfg", include_str!("../templates/zookeeper/zoo.cfg.tera")),
    ("zookeeper/log4j.properties", include_str!("../templates/zookeeper/log4j.properties.tera")),
    ("zookeeper/zookeeper.service", include_str!("../templates/zookeeper/zookeeper.service.tera")),
    ("mesos/mesos", include_str!("../templates/mesos/mesos.tera")),
    ("mesos/mesos-master", include_str!("../templates/mesos/mesos-master.tera")),
    ("mesos/mesos-slave", include_str!("../templates/mesos/mesos-slave.tera")),
    ("mesos/mesos-slave.service.d", include_str!("../templates/mesos/mesos-slave.service.d.tera")),
    ("docker/proxy.conf", include_str!("../templates/docker/proxy.conf.tera")),
    ("docker/proxy.env", include_str!("../templates/docker/proxy.env.tera")),
    ("spark/Dockerfile", include_str!("../Dockerfiles/spark-mesos/Dockerfile.tera")),
    ("spark/spark-submit", include_str!("../Dockerfiles/spark-mesos/spark-submit")),
    ("spark/spark-defaults.conf", include_str!("../templates/spark/spark-defaults.conf.tera")),
    ("spark/spark-env.sh", include_str!("../templates/spark/spark-env.sh.tera")),
    (
        "spark/spark-dispatcher.service",
        include_str!("../templates/spark/spark-dispatcher.service.tera"),
    ),
    ("spark/spark-history.service", include_str!("../templates/spark/spark-history.service.tera")),
    ("spark/spark-shuffle.service", include_str!("../templates/spark/spark-shuffle.service.tera")),
    ("smoke/pi-in-image.sh", include_str!("../templates/smoke/pi-in-image.sh.tera")),
    ("smoke/pi-through-mesos.sh", include_str!("../templates/smoke/pi-through-mesos.sh.tera")),
    ("smoke/pi-in-cluster-mode.sh", include_str!("../templates/smoke/pi-in-cluster-mode.sh.tera")),
];

/// Writes a value in a grammar.
type Writer = fn(&str) -> String;

/// What a template says of a value, `{{ value | sh }}`: the grammar that it is written in.
struct Filter {
    name: &'static str,
    /// What it writes, for the reference.
    words: &'static str,
    write: Writer,
}

const WRITERS: [Filter; 5] = [
    Filter { name: "sh", words: "one word of a shell", write: crate::script::quote },
    Filter {
        name: "exec_word",
        words: "one argument of a unit's command line, with systemd's `%` and `$` undone",
        write: grammars::exec_word,
    },
    Filter {
        name: "environment_value",
        words: "the value of a line `NAME=value` of an environment file, for systemd and shells",
        write: grammars::environment_value,
    },
    Filter {
        name: "property_key",
        words: "the key of a line of Java properties",
        write: grammars::property_key,
    },
    Filter {
        name: "property_value",
        words: "the value of a line of Java properties",
        write: grammars::property_value,
    },
];

/// Fills a template of ours that writes nothing on a host; a page may extend `frame.html`. Of one whose name ends in `.html` every value is
/// escaped.
///
/// # Errors
/// The template is broken, which its test excludes.
pub fn page(name: &str, text: &str, context: &serde_json::Value) -> Result<String, String> {
    let mut tera = Tera::default();
    let frame = include_str!("../templates/page/frame.html.tera");
    let rendered = tera
        .add_raw_templates([("frame.html", frame), (name, text)])
        .and_then(|()| tera.render(name, &Context::from_serialize(context)?));
    rendered.map_err(|error| error.to_string())
}

/// The built-in template that a file of another name was to override: `zookeeper/zoo.cfg.j2`, `zoo.cfg.tera`.
pub fn meant(path: &str) -> Option<&'static str> {
    let file = path.rsplit('/').next().unwrap_or(path);
    let known = BUILT_IN.iter().map(|(name, _)| *name);
    let last = |name: &str| {
        name.rsplit('/').next().is_some_and(|name| {
            file.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    // `mesos-slave.service.d.tera` is no `mesos-slave`.
    known.filter(|name| last(name)).max_by_key(|name| name.len())
}

impl Templates {
    /// The built-in templates, with those of `overrides` in their place.
    ///
    /// # Errors
    /// A template that does not parse, with its name and line, or a name that no built-in one has, with what
    /// to do in a line that begins with `help: `.
    pub fn new(overrides: &BTreeMap<String, String>) -> Result<Templates, String> {
        let mut tera = Tera::default();
        // Everything we write is plain text; a template names the grammar that a value is written in.
        tera.autoescape_on(Vec::<&str>::new());
        for Filter { name, write, .. } in WRITERS {
            let filter = move |text: &str, _: tera::Kwargs, _: &tera::State<'_>| write(text);
            tera.register_filter(name, filter);
        }
        let strange = |name: &&String| !BUILT_IN.iter().any(|(known, _)| known == name);
        if let Some(stranger) = overrides.keys().find(strange) {
            return Err(match meant(stranger) {
                Some(known) => {
                    format!(
                        "templates/{stranger} overrides nothing\nhelp: name it templates/{known}.tera"
                    )
                }
                None => {
                    let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
                    let list = names.join(", ");
                    format!(
                        "templates/{stranger} overrides nothing\nhelp: name it as one of ours with .tera behind: {list}"
                    )
                }
            });
        }
        let all = BUILT_IN
            .iter()
            .map(|(name, text)| (*name, overrides.get(*name).map_or(*text, String::as_str)));
        tera.add_raw_templates(all).map_err(|error| error.to_string())?;
        Ok(Templates { tera })
    }

    /// Renders one template.
    ///
    /// # Errors
    /// An undefined name or a wrong type, with the template's name and line.
    pub fn render<C: contexts::Context>(&self, context: &C) -> Result<String, String> {
        let context = Context::from_serialize(context).map_err(|error| error.to_string())?;
        self.tera.render(C::TEMPLATE, &context).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overrides_nothing_is_told_what_it_was_to_be() {
        let refused = |name: &str| {
            let overrides = BTreeMap::from([(name.to_owned(), String::new())]);
            Templates::new(&overrides).err().unwrap_or_default()
        };
        assert_eq!(refused("zookeeper/zoo.cfg"), "");
        assert!(
            refused("zookeeper/zoo.cfg.j2").ends_with("name it templates/zookeeper/zoo.cfg.tera")
        );
        assert!(refused("zk/zoo.cfg.tera").ends_with("name it templates/zookeeper/zoo.cfg.tera"));
        let service = refused("mesos/mesos-slave.service.d.j2");
        assert!(service.ends_with("mesos-slave.service.d.tera"), "{service}");
        assert!(refused("mesos/other.tera").contains("one of ours"));
    }

    #[test]
    fn in_a_page_text_cannot_become_markup() {
        let context = serde_json::json!({ "text": "<a b=\"c\">&" });
        assert_eq!(
            page("p.html", "{{ text }}", &context).unwrap(),
            "&lt;a b=&quot;c&quot;&gt;&amp;"
        );
        assert_eq!(page("p.yaml", "{{ text }}", &context).unwrap(), "<a b=\"c\">&");
        assert!(page("p.html", "{{ other }}", &context).is_err());
    }
}

//! Every templated file, embedded. Contexts are plain JSON objects built by the tasks; a name that a
//! template uses and a context lacks is an error with the template's line.

use std::collections::BTreeMap;

use tera::{Context, Tera};

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
    ("spark/Dockerfile", include_str!("../Dockerfiles/spark-mesos/Dockerfile.tera")),
    ("spark/spark-submit", include_str!("../Dockerfiles/spark-mesos/spark-submit")),
    ("spark/spark-defaults.conf", include_str!("../templates/spark/spark-defaults.conf.tera")),
    ("spark/spark-env.sh", include_str!("../templates/spark/spark-env.sh.tera")),
    (
        "spark/spark-dispatcher.service",
        include_str!("../templates/spark/spark-dispatcher.service.tera"),
    ),
    ("smoke/pi-in-image.sh", include_str!("../templates/smoke/pi-in-image.sh.tera")),
    ("smoke/pi-through-mesos.sh", include_str!("../templates/smoke/pi-through-mesos.sh.tera")),
    ("smoke/pi-in-cluster-mode.sh", include_str!("../templates/smoke/pi-in-cluster-mode.sh.tera")),
];

impl Templates {
    /// The built-in templates, with those of `overrides` in their place.
    ///
    /// # Errors
    /// A template that does not parse, with its name and line, or a name that no built-in one has.
    pub fn new(overrides: &BTreeMap<String, String>) -> Result<Templates, String> {
        let mut tera = Tera::default();
        // Everything we write is plain text; shell words are quoted where a template says `sh`.
        tera.autoescape_on(Vec::<&str>::new());
        tera.register_filter("sh", |text: &str, _: tera::Kwargs, _: &tera::State<'_>| {
            crate::script::quote(text)
        });
        if let Some(stranger) =
            overrides.keys().find(|name| !BUILT_IN.iter().any(|(known, _)| known == name))
        {
            let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
            return Err(format!(
                "templates/{stranger}.tera overrides nothing; templates are: {}",
                names.join(", ")
            ));
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
    pub fn render(&self, name: &str, context: &serde_json::Value) -> Result<String, String> {
        let context = Context::from_serialize(context).map_err(|error| error.to_string())?;
        self.tera.render(name, &context).map_err(|error| error.to_string())
    }
}

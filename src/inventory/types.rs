//! The types of settings that several sections share. A type says what it takes twice, as a reader and
//! as a schema, side by side; a test holds the two against each other.

use std::marker::PhantomData;

use super::decode::{At, Cx, dictionary, digits, free_map, list};
use super::settings::{Shape, Type};
use super::yaml::{Kind, Node};
use super::{grammar, schema};

/// Declares types of one line: name, value, what completes "expected …", reader, schema.
macro_rules! scalar {
    ($(
        $(#[$about:meta])*
        $name:ident -> $value:ty, $what:literal, $read:expr, $schema:expr;
    )+) => { $(
        $(#[$about])*
        pub(super) struct $name;

        impl $crate::inventory::settings::Type for $name {
            type Value = $crate::inventory::decode::At<$value>;

            fn read(
                cx: &mut $crate::inventory::decode::Cx,
                node: &$crate::inventory::yaml::Node,
                path: &str,
            ) -> Option<Self::Value> {
                let read: fn(&str) -> Option<$value> = $read;
                $crate::inventory::decode::parsed($what, read)(cx, node, path)
            }

            fn shape() -> $crate::inventory::settings::Shape {
                let (what, template, schema) = ($what, false, $schema);
                $crate::inventory::settings::Shape::Scalar { what, template, schema }
            }
        }

        impl $crate::inventory::types::Line for $name {
            type Held = $value;
        }
    )+ };
}
pub(super) use scalar;

scalar! {
    /// Text of one line.
    Text -> String, "text", |t| Some(t.to_owned()), schema::line();
    /// A path of this machine, or a URL; `files` says which.
    Source -> String, "text", |t| Some(t.to_owned()), schema::source();
    /// `true` or `false`; `yes`, `on` and the like are text elsewhere and refused here.
    Bool -> bool, "true or false", |t| t.parse().ok(), schema::boolean();
    /// `true`.
    Yes -> (), "true", |t| (t == "true").then_some(()), schema::yes();
    /// A TCP port.
    Port -> u16, "a port from 1 to 65535",
        |t| digits(t).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0), schema::port();
    /// A count of at least one.
    Count -> u32, "a whole number of at least 1",
        |t| digits(t).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0), schema::count();
    /// A Mesos duration above nothing.
    Timeout -> std::time::Duration, "a duration such as 10secs or 3mins",
        |t| grammar::duration(t).filter(|d| !d.is_zero()), schema::duration();
    /// Mesos bytes in MiB; at least one.
    Memory -> u64, "memory with a unit such as 4GB or 512MB",
        |t| grammar::bytes(t).map(|b| b >> 20).filter(|mib| *mib > 0), schema::bytes();
    /// An http(s) URL.
    Url -> String, "an http:// or https:// URL", |t| grammar::url(t).then(|| t.to_owned()),
        schema::url();
    /// The name of a Debian package.
    DebianPackage -> String, "the name of a Debian package",
        |t| grammar::debian_package(t).then(|| t.to_owned()), schema::debian_package();
}

/// Text whose templates are rendered.
pub(super) struct Template;

impl Type for Template {
    type Value = At<String>;

    fn read(cx: &mut Cx, node: &Node, path: &str) -> Option<At<String>> {
        Text::read(cx, node, path)
    }

    fn shape() -> Shape {
        Shape::Scalar { what: "text", template: true, schema: schema::line() }
    }
}

/// A type of one line.
pub(super) trait Line: Type<Value = At<<Self as Line>::Held>> {
    /// What the line stands for.
    type Held;
}

/// What `T` reads, without its place: for settings that no later message speaks of.
pub(super) struct Plain<T>(PhantomData<T>);

impl<T: Line> Type for Plain<T> {
    type Value = T::Held;

    fn read(cx: &mut Cx, node: &Node, path: &str) -> Option<T::Held> {
        T::read(cx, node, path).map(|at| at.value)
    }

    fn shape() -> Shape {
        T::shape()
    }
}

/// A list.
pub(super) struct List<T>(PhantomData<T>);

impl<T: Type> Type for List<T> {
    type Value = Vec<T::Value>;

    fn read(cx: &mut Cx, node: &Node, path: &str) -> Option<Vec<T::Value>> {
        list(cx, node, path, T::read)
    }

    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }
}

/// A map whose keys are the user's own.
pub(super) struct Map<T>(PhantomData<T>);

impl<T: Type> Type for Map<T> {
    type Value = Vec<(At<String>, T::Value)>;

    fn read(cx: &mut Cx, node: &Node, path: &str) -> Option<Self::Value> {
        dictionary(cx, node, path, T::read)
    }

    fn shape() -> Shape {
        Shape::Map { values: Box::new(T::shape()), known: Vec::new }
    }
}

/// Keys that mean something to Mesos or Spark.
pub(super) trait Catalogue {
    /// Each with a description.
    fn known() -> Vec<(String, String)>;
}

/// A map of templates, some of whose keys a catalogue describes.
pub(super) struct Options<C>(PhantomData<C>);

impl<C: Catalogue> Type for Options<C> {
    type Value = Vec<(At<String>, At<String>)>;

    fn read(cx: &mut Cx, node: &Node, path: &str) -> Option<Self::Value> {
        Map::<Template>::read(cx, node, path)
    }

    fn shape() -> Shape {
        Shape::Map { values: Box::new(Template::shape()), known: C::known }
    }
}

/// A map of anything, nested as the user likes.
pub(super) struct Free;

impl Type for Free {
    type Value = serde_json::Map<String, serde_json::Value>;

    fn read(cx: &mut Cx, node: &Node, path: &str) -> Option<Self::Value> {
        free_map(cx, node, path)
    }

    fn shape() -> Shape {
        Shape::Free
    }
}

/// A resource; `ports: [31000-32000]` without quotes is a list for YAML and means the same.
pub(super) struct Resource;

impl Type for Resource {
    type Value = At<String>;

    fn read(cx: &mut Cx, node: &Node, path: &str) -> Option<At<String>> {
        if !matches!(node.kind, Kind::Seq(_)) {
            return Template::read(cx, node, path);
        }
        let items = List::<Text>::read(cx, node, path)?;
        let items: Vec<String> = items.into_iter().map(|at| at.value).collect();
        Some(At { value: format!("[{}]", items.join(",")), place: node.place.clone() })
    }

    fn shape() -> Shape {
        Shape::Either(vec![Template::shape(), List::<Text>::shape()])
    }
}

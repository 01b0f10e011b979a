//! How a setting is declared, once: its name, type, default, words and examples.
//!
//! [`section!`] declares a map with fixed keys, [`choice!`] a map that is one of several. From the
//! declaration come the struct that holds what was written, its reader with places and advice, and
//! its [`Shape`]: what the JSON Schema, `-e`, `explain` and docs/inventory.md go by.
//!
//! ```text
//! section! {
//!     struct Dispatcher {
//!         /// The one host it runs on.                    the words
//!         need hosts: List<Text>, such as "[m1]";         must be there; Option: None is reported
//!         /// REST port.
//!         may port: Port = "7077";                        filled in, so no Option
//!         /// Role it registers in.
//!         may role: Text, such as "etl", "ops";           may be absent: Option
//!         with digest: StatedDigest;                      the keys of another section, beside these;
//!     }                                                   `over`: they have their defaults elsewhere
//! }
//! ```
//!
//! `: Plain<Port> as u16` names the Rust type of a field, which a public struct must do.
//!
//! A default is text as it would stand in the file, read as such. A key that Rust reserves is written
//! `r#become`.

use super::decode::{Cx, Object};
use super::sets::value_node;
use super::yaml::Node;
use crate::ground::problem::Place;

/// A type of value: how it is read and what it looks like. The types are in `types`.
pub(super) trait Type {
    /// What reading gives.
    type Value;
    /// Reads a value; `None` after the mistake was reported.
    fn read(cx: &mut Cx, node: &Node, path: &str) -> Option<Self::Value>;
    /// What it looks like.
    fn shape() -> Shape;
}

/// The keys of a map, made by [`section!`].
pub(super) trait Section: Sized {
    /// Reads them; `None` where what is wrong with them makes the whole useless.
    fn take(cx: &mut Cx, object: &mut Object<'_>) -> Option<Self>;
    /// What they are.
    fn settings() -> Vec<Setting>;
    /// Two of them that may not stand together.
    fn not_both() -> Option<[&'static str; 2]>;
}

impl<S: Section> Type for S {
    type Value = S;

    fn read(cx: &mut Cx, node: &Node, path: &str) -> Option<S> {
        let mut object = Object::open(cx, node, path)?;
        let section = S::take(cx, &mut object);
        object.close(cx);
        section
    }

    fn shape() -> Shape {
        Shape::Section { settings: S::settings(), not_both: S::not_both() }
    }
}

/// One key of a section.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it is for, in a sentence or two.
    pub(crate) words: String,
    /// Whether it must be there.
    pub(crate) required: bool,
    /// What it is when it is absent, as it would stand in the file.
    pub(crate) default: Option<&'static str>,
    /// Values as they may stand in the file.
    pub(crate) examples: &'static [&'static str],
    /// What it takes.
    pub(crate) shape: Shape,
}

/// What a value looks like.
#[derive(Debug)]
pub(crate) enum Shape {
    /// One word or line.
    Scalar {
        /// Completes "expected …".
        what: &'static str,
        /// Whether Tera templates in it are rendered.
        template: bool,
        /// The texts that it takes, as a JSON Schema.
        schema: serde_json::Value,
    },
    /// A map of anything.
    Free,
    /// A list of such values.
    List(Box<Shape>),
    /// A map of such values under keys of the user's own.
    Map {
        /// What stands under each key.
        values: Box<Shape>,
        /// Keys that mean something, each with a description; others may stand beside them.
        known: fn() -> Vec<(String, String)>,
    },
    /// A map with fixed keys.
    Section {
        /// The keys.
        settings: Vec<Setting>,
        /// Two of them that may not stand together.
        not_both: Option<[&'static str; 2]>,
    },
    /// A map that is one of several sections, told apart by its keys.
    Choice {
        /// The sections.
        sections: Vec<Shape>,
        /// Whether one of the keys must be there; otherwise the last section goes without.
        named: bool,
    },
    /// Any of several notations.
    Either(Vec<Shape>),
}

impl Shape {
    /// The keys that the program knows, of a section or of all that a choice may be.
    pub(crate) fn settings(&self) -> Vec<&Setting> {
        match self {
            Shape::Section { settings, .. } => settings.iter().collect(),
            Shape::Choice { sections: shapes, .. } | Shape::Either(shapes) => {
                shapes.iter().flat_map(Shape::settings).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What stands below a key or an index.
    pub(crate) fn child(&self, key: &str) -> Option<&Shape> {
        match self {
            Shape::List(values) | Shape::Map { values, .. } => Some(values),
            Shape::Either(shapes) => shapes.iter().find_map(|shape| shape.child(key)),
            _ => self.settings().into_iter().find(|s| s.name == key).map(|s| &s.shape),
        }
    }

    /// Whether it is a map of single values under keys of the user's own, which may hold dots.
    pub(crate) fn is_flat_map(&self) -> bool {
        match self {
            Shape::Free => true,
            Shape::Map { values, .. } => {
                matches!(**values, Shape::Scalar { .. } | Shape::Either(_))
            }
            Shape::Either(shapes) => shapes.iter().any(Shape::is_flat_map),
            _ => false,
        }
    }
}

/// What a default or an example stands for; it stands nowhere, so its place has no file.
pub(super) fn value_of<T: Type>(text: &str) -> Option<T::Value> {
    let nowhere = Place { file: "".into(), line: 0, column: 0, length: 0 };
    let node = value_node(&nowhere, text).ok()?;
    T::read(&mut Cx::default(), &node, "")
}

/// The value of a declared default.
pub(super) fn default_of<T: Type>(text: &'static str) -> T::Value {
    match value_of::<T>(text) {
        Some(value) => value,
        // A test reads them all.
        None => unreachable!("`{text}` is declared as a default that its type refuses"),
    }
}

/// The name of a key as it stands in the file.
pub(super) fn key(identifier: &'static str) -> &'static str {
    identifier.strip_prefix("r#").unwrap_or(identifier)
}

/// The lines of a doc comment as one text.
pub(super) fn words(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// The keys of a section with those of a part of it.
pub(super) fn joined(own: Vec<Setting>, part: Vec<Setting>, defaults: bool) -> Vec<Setting> {
    let part = part.into_iter().map(|setting| match defaults {
        true => setting,
        false => Setting { default: None, ..setting },
    });
    own.into_iter().chain(part).collect()
}

/// Declares a map with fixed keys; see the module.
macro_rules! section {
    (
        $(#[$about:meta])*
        $visible:vis struct $name:ident {
            $(
                $(#[doc = $words:literal])+
                $need:ident $key:ident: $type:ty $(as $held:ty)? $(= $default:literal)?
                    $(, such as $($example:literal),+)?;
            )*
            $( $how:ident $part:ident: $part_type:ty; )*
        }
    ) => {
        $(#[$about])*
        $visible struct $name {
            $( $(#[doc = $words])+ $visible $key:
                section!(@field $type $(, as $held)? $(, $default)?), )*
            $( $visible $part: $part_type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $( $key: section!(@absent $type $(, $default)?), )*
                    $( $part: Default::default(), )*
                }
            }
        }

        impl $crate::inventory::settings::Section for $name {
            fn take(
                cx: &mut $crate::inventory::decode::Cx,
                object: &mut $crate::inventory::decode::Object<'_>,
            ) -> Option<Self> {
                $(
                    let read = <$type as $crate::inventory::settings::Type>::read;
                    let name = $crate::inventory::settings::key(stringify!($key));
                    let written = section!(@take $need, object, cx, name, read);
                    let $key = section!(@or written, $type $(, $default)?);
                )*
                $( let $part = $crate::inventory::settings::Section::take(cx, object); )*
                Some(Self { $( $key, )* $( $part: $part?, )* })
            }

            fn settings() -> Vec<$crate::inventory::settings::Setting> {
                let settings = vec![$( $crate::inventory::settings::Setting {
                    name: $crate::inventory::settings::key(stringify!($key)),
                    words: $crate::inventory::settings::words(&[$($words),+]),
                    required: section!(@required $need),
                    default: section!(@default $($default)?),
                    examples: &[$($($example),+)?],
                    shape: <$type as $crate::inventory::settings::Type>::shape(),
                }, )*];
                $( let settings = $crate::inventory::settings::joined(
                    settings,
                    <$part_type as $crate::inventory::settings::Section>::settings(),
                    section!(@defaults $how),
                ); )*
                settings
            }

            fn not_both() -> Option<[&'static str; 2]> {
                None $( .or(<$part_type as $crate::inventory::settings::Section>::not_both()) )*
            }
        }

    };
    (@field $type:ty) => { Option<<$type as $crate::inventory::settings::Type>::Value> };
    (@field $type:ty, $default:literal) => { <$type as $crate::inventory::settings::Type>::Value };
    (@field $type:ty, as $held:ty) => { Option<$held> };
    (@field $type:ty, as $held:ty, $default:literal) => { $held };
    (@absent $type:ty) => { None };
    (@absent $type:ty, $default:literal) => {
        $crate::inventory::settings::default_of::<$type>($default)
    };
    (@or $written:ident, $type:ty) => { $written };
    (@or $written:ident, $type:ty, $default:literal) => {
        $written.unwrap_or_else(|| $crate::inventory::settings::default_of::<$type>($default))
    };
    (@take need, $object:ident, $cx:ident, $name:ident, $read:ident) => {
        $object.required($cx, $name, $read)
    };
    (@take may, $object:ident, $cx:ident, $name:ident, $read:ident) => {
        $object.optional($cx, $name, $read)
    };
    (@required need) => { true };
    (@required may) => { false };
    (@defaults with) => { true };
    (@defaults over) => { false };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
}

/// Declares a map that is one of several sections, each told by its own key; with `_`, by the first
/// key that is there, and the last section goes without one.
macro_rules! choice {
    (
        $(#[$about:meta])*
        $visible:vis enum $name:ident {
            $( $key:ident => $variant:ident($section:ty), )+
            $( _ => $last:ident($last_section:ty), )?
        }
    ) => {
        $(#[$about])*
        $visible enum $name {
            $( $variant($section), )+
            $( $last($last_section), )?
        }

        impl $crate::inventory::settings::Type for $name {
            type Value = Self;

            fn read(
                cx: &mut $crate::inventory::decode::Cx,
                node: &$crate::inventory::yaml::Node,
                path: &str,
            ) -> Option<Self> {
                let mut object = $crate::inventory::decode::Object::open(cx, node, path)?;
                let keys = [$(stringify!($key)),+];
                let key = choice!(@key object, cx, keys $(, $last)?);
                let section = match key {
                    $( Some(stringify!($key)) =>
                        <$section as $crate::inventory::settings::Section>::take(cx, &mut object)
                            .map(Self::$variant), )+
                    _ => choice!(@otherwise object, cx $(, $last, $last_section)?),
                };
                object.close(cx);
                section
            }

            fn shape() -> $crate::inventory::settings::Shape {
                $crate::inventory::settings::Shape::Choice {
                    sections: vec![
                        $( <$section as $crate::inventory::settings::Type>::shape(), )+
                        $( <$last_section as $crate::inventory::settings::Type>::shape(), )?
                    ],
                    named: choice!(@named $($last)?),
                }
            }
        }
    };
    (@key $object:ident, $cx:ident, $keys:ident) => { Some($object.one_of($cx, &$keys)?) };
    (@key $object:ident, $cx:ident, $keys:ident, $last:ident) => {
        $keys.into_iter().find(|key| $object.has(key))
    };
    (@otherwise $object:ident, $cx:ident) => { None };
    (@otherwise $object:ident, $cx:ident, $last:ident, $section:ty) => {
        <$section as $crate::inventory::settings::Section>::take($cx, &mut $object)
            .map(Self::$last)
    };
    (@named) => { true };
    (@named $last:ident) => { false };
}

pub(super) use {choice, section};

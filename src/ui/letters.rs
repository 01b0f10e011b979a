//! Which characters people are shown: whether there are any beyond ASCII. Nothing else decides.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::OnceLock;

/// Which characters the locale has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letters {
    /// ASCII alone.
    Ascii,
    /// All of Unicode, as UTF-8.
    Unicode,
}

impl Letters {
    /// Those of the environment: the first of these that is set decides.
    /// Source: POSIX, 8.2 Internationalization Variables; without any of them the locale is POSIX.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Letters {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
        let locale = locale.to_ascii_uppercase().replace('-', "");
        if locale.contains("UTF8") { Letters::Unicode } else { Letters::Ascii }
    }

    /// Those of this process.
    pub fn here() -> Letters {
        static HERE: OnceLock<Letters> = OnceLock::new();
        *HERE.get_or_init(|| Letters::of(|name| std::env::var(name).ok()))
    }

    /// A text for people in these characters: ours get their likeness, all others their number.
    pub fn fit(self, text: &str) -> Cow<'_, str> {
        if self == Letters::Unicode || text.is_ascii() {
            return Cow::Borrowed(text);
        }
        let mut fitted = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '\u{2026}' => fitted.push_str("..."),
                '\u{2192}' => fitted.push_str("->"),
                '\u{2588}' => fitted.push('#'),
                '\u{b7}' => fitted.push('.'),
                c if c.is_ascii() => fitted.push(c),
                // As JSON and `visible` write it.
                c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                    let _ = write!(fitted, "\\u{unit:04x}");
                }),
            }
        }
        Cow::Owned(fitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_decides() {
        let of = |set: &[(&str, &str)]| {
            Letters::of(|name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(of(&[]), Letters::Ascii);
        assert_eq!(of(&[("LANG", "de_DE.UTF-8")]), Letters::Unicode);
        assert_eq!(of(&[("LANG", "C.utf8"), ("LC_CTYPE", "POSIX")]), Letters::Ascii);
        assert_eq!(of(&[("LC_ALL", "C"), ("LANG", "C.UTF-8")]), Letters::Ascii);
        assert_eq!(of(&[("LC_ALL", ""), ("LANG", "C.UTF-8")]), Letters::Unicode);
    }

    #[test]
    fn ours_get_their_likeness_and_others_their_number() {
        let text = "a \u{2192} b \u{2026} \u{2588}\u{b7} gr\u{f6}\u{df}e \u{1f600}";
        assert_eq!(Letters::Unicode.fit(text), text);
        assert_eq!(Letters::Ascii.fit(text), "a -> b ... #. gr\\u00f6\\u00dfe \\ud83d\\ude00");
    }
}

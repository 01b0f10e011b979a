//! One writer for each grammar of the files that templates make: what its reader reads back is the value
//! as it was given, whatever is in it. Values are of one line; shell words are `crate::script::quote`'s.

use std::fmt::Write as _;

/// One argument of a unit's command line, as [`exec_word`] with systemd's specifiers and variables undone.
///
/// Source: systemd.service(5) "Command lines", systemd.syntax(7) "Quoting", systemd.unit(5) "Specifiers":
/// `%%` is `%`, `$$` is `$`, a `;` that stands alone divides commands, escapes are C's.
pub(super) fn exec_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:=@,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut word = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => word.extend(['\\', c]),
            '%' | '$' => word.extend([c, c]),
            c if c.is_ascii_control() => {
                let _ = write!(word, "\\x{:02x}", u32::from(c));
            }
            c => word.push(c),
        }
    }
    word.push('"');
    word
}

/// The value of a line `NAME=value` of an environment file, which systemd and shells read alike.
///
/// Source: systemd.exec(5) "EnvironmentFile=": within double quotes a backslash keeps the next of `"`, `\`,
/// `$` and the backquote; nothing is expanded.
pub(super) fn environment_value(text: &str) -> String {
    let mut value = String::from("\"");
    for c in text.chars() {
        if "\"\\$`".contains(c) {
            value.push('\\');
        }
        value.push(c);
    }
    value.push('"');
    value
}

/// The key of a line of Java properties.
///
/// Source: java.util.Properties.load: `=`, `:` and blanks end a key, `#` and `!` begin a comment, a
/// backslash escapes. Beyond ASCII all is escaped, for readers differ in the encoding that they assume.
pub(super) fn property_key(text: &str) -> String {
    let mut key = String::new();
    for (index, c) in text.chars().enumerate() {
        if matches!(c, '=' | ':' | ' ') || (index == 0 && matches!(c, '#' | '!')) {
            key.extend(['\\', c]);
        } else {
            property_char(&mut key, c);
        }
    }
    key
}

/// The value of a line of Java properties, after any of its separators: one of `=` or `:`, or blanks alone.
///
/// Source: as [`property_key`]; blanks before a value are skipped, and with blanks before it one `=` or `:`.
pub(super) fn property_value(text: &str) -> String {
    let mut value = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == 0 && matches!(c, '=' | ':' | ' ') {
            value.extend(['\\', c]);
        } else {
            property_char(&mut value, c);
        }
    }
    value
}

fn property_char(to: &mut String, c: char) {
    match c {
        '\\' => to.push_str("\\\\"),
        ' '..='~' => to.push(c),
        c => {
            // Java's characters are those of UTF-16.
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(to, "\\u{unit:04x}");
            }
        }
    }
}

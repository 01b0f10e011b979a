//! Values as they stand in an inventory.

/// A scalar: as it is where YAML reads it as just that, else in quotes.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._/+@%".contains(c);
    let first = |c: char| c.is_ascii_alphanumeric() || c == '/';
    let odd = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    if text.starts_with(first)
        && text.chars().all(|c| plain(c) || c == '-' || c == ',')
        && !text.contains(",,")
        && !text.contains(',')
        && !odd.contains(&text.to_ascii_lowercase().as_str())
    {
        return text.to_owned();
    }
    serde_json::Value::from(text).to_string()
}

/// The same of a value in which templates are rendered: what would be one is kept as it is.
pub(super) fn template(text: &str) -> String {
    match text.contains("{{") || text.contains("{%") || text.contains("{#") {
        true => word(&format!("{{% raw %}}{text}{{% endraw %}}")),
        false => word(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yaml_would_read_otherwise_is_quoted() {
        for (text, written) in [
            ("docker", "docker"),
            ("10.0.0.1", "10.0.0.1"),
            ("5mins", "5mins"),
            ("docker,mesos", "\"docker,mesos\""),
            ("no", "\"no\""),
            ("a: b", "\"a: b\""),
            ("{\"a\": 1}", "\"{\\\"a\\\": 1}\""),
            ("", "\"\""),
            ("-x", "\"-x\""),
            ("a\nb", "\"a\\nb\""),
        ] {
            assert_eq!(word(text), written);
        }
        assert_eq!(template("{{ a }}"), "\"{% raw %}{{ a }}{% endraw %}\"");
    }
}

//! Names of Docker images.

use super::Finding;

/// What completes "expected …".
pub const WANTED: &str = "an image such as name:tag";

/// The names that [`check`] takes, as a regular expression of ECMA 262.
pub const PATTERN: &str = concat!(
    "^((localhost|(?=[^/]*[A-Z.:])[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*)(:[0-9]+)?/)?",
    "[a-z0-9]+((\\.|__?|-+)[a-z0-9]+)*(/[a-z0-9]+((\\.|__?|-+)[a-z0-9]+)*)*",
    "(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$",
);

/// Whether Docker reads it: `[host[:port]/]path[:tag][@sha256:…]`.
///
/// Source: the module distribution/reference, `reference.go` (grammar) and `normalize.go` (what before the
/// first `/` is a host); opencontainers/go-digest, `algorithm.go` (hex in lower case).
///
/// # Errors
/// What is wrong with it, and a name to write instead where one is at hand.
pub fn check(text: &str) -> Result<(), Finding> {
    let shown: String = text.chars().take(100).collect();
    let wrong = |why: &str| Finding::error(format!("`{shown}` names no image: {why}"));
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        let help = "write @sha256: and 64 hex digits in lower case";
        return Err(wrong("what follows `@` is no digest").help(help));
    }
    let (host, rest) = match name.split_once('/') {
        Some((first, rest)) if is_host(first) => (Some(first), rest),
        _ => (None, name),
    };
    if host.is_some_and(|host| !well_formed_host(host)) {
        return Err(wrong("what stands before the first `/` is no host").help(HELP));
    }
    let (path, tag) = match rest.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
        let why = format!("`{}` is no tag", tag.chars().take(60).collect::<String>());
        return Err(wrong(&why).help("a tag is letters, digits, `_`, `.` and `-`, at most 128"));
    }
    if path.split('/').all(is_component) {
        return Ok(());
    }
    let lower = path.to_ascii_lowercase();
    if lower.split('/').all(is_component) {
        let help = match text.len() {
            ..=100 => format!("write `{}`", text.replacen(path, &lower, 1)),
            _ => HELP.to_owned(),
        };
        return Err(wrong("only a tag may hold capitals").help(help));
    }
    Err(wrong("its path is not one of Docker's").help(HELP))
}

const HELP: &str = "write it like name:tag or registry.example:5000/name:tag, in lower-case letters, digits, `.`, `_` and `-`";

/// What comes before the first `/` is a host when it cannot be a part of a path.
fn is_host(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.chars().any(|c| c.is_ascii_uppercase())
}

fn well_formed_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.split('.').all(label) && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

/// Runs of lower-case letters and digits; between two of them `.`, `_`, `__` or hyphens.
fn is_component(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let between =
        |run: &str| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-');
    text.starts_with(plain) && text.ends_with(plain) && text.split(plain).all(between)
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn is_digest(text: &str) -> bool {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    text.strip_prefix("sha256:").is_some_and(|digits| digits.len() == 64 && digits.chars().all(hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dockers() {
        let digest = format!("debian@sha256:{}", "0a".repeat(32));
        for good in [
            "spark-mesos:3",
            "debian",
            "localhost/x",
            "registry.example:5000/a/b__c:V1.0_x",
            "Host/path",
            "a--b.c_d",
            "registry:5000",
            &digest,
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, words) in [
            ("Spark-Mesos:3", "write `spark-mesos:3`"),
            ("a:b:c", "`b:c` is no tag"),
            ("a:", "`` is no tag"),
            ("a..b", "path"),
            ("-a", "path"),
            ("a_-b", "path"),
            ("a/", "path"),
            ("", "path"),
            ("host:/a", "host"),
            ("a@sha256:0A", "digest"),
        ] {
            let finding = check(bad).expect_err(bad);
            let said = format!("{} {}", finding.message, finding.help.unwrap_or_default());
            assert!(said.contains(words), "{bad}: {said}");
        }
    }
}

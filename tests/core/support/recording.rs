//! What a real cluster answered, as tests/fixtures/real holds it (its origin is told in its README).

use std::path::Path;

/// A recording as it was received.
pub(crate) fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/real").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The body of a recorded HTTP answer; a recording without a head is all body.
pub(crate) fn body(path: &str) -> String {
    let text = text(path);
    text.split_once("\r\n\r\n").map_or(text.clone(), |(_, body)| body.to_owned())
}

/// The same as JSON.
pub(crate) fn json(path: &str) -> serde_json::Value {
    serde_json::from_str(&body(path)).expect("a recorded body is JSON")
}

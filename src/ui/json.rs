//! One JSON object a line on standard output.

use super::{Render, out};
use crate::event::Stamped;

/// Prints NDJSON.
#[derive(Debug, Default)]
pub struct Json;

impl Render for Json {
    fn draw(&mut self, event: &Stamped) {
        if let Ok(text) = serde_json::to_string(event) {
            out::data(&text);
        }
    }
}

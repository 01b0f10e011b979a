//! Who has a word between the stages of a run.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// What is said before or after a stage: go on, or why not.
pub type Word<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Who has a word between the stages of a run: what it refuses is not begun.
pub trait Between: Send + Sync + fmt::Debug {
    /// Before a stage.
    fn before<'a>(&'a self, stage: &'a str) -> Word<'a>;

    /// After it.
    fn after<'a>(&'a self, stage: &'a str) -> Word<'a>;
}

/// Nobody has one.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Between for Nobody {
    fn before<'a>(&'a self, _: &'a str) -> Word<'a> {
        Box::pin(async { Ok(()) })
    }

    fn after<'a>(&'a self, _: &'a str) -> Word<'a> {
        Box::pin(async { Ok(()) })
    }
}

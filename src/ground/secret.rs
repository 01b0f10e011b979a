//! Where a secret is found. The secret itself is never in here.

use std::path::PathBuf;

/// Where a secret is found on the operator's machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretRef {
    /// Environment variable.
    Env(String),
    /// File, whose last newline is not part of it.
    File(PathBuf),
    /// Command, whose last newline of output is not part of it; run by `sh -c` here.
    Command(String),
    /// Asked at the terminal.
    Prompt,
}

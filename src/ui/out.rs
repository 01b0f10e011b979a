//! Standard output, where results go: whether they got there. Nothing else writes to it.

use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::sync::OnceLock;

use super::visible;

/// What kept a result from being written, the first time.
static LOST: OnceLock<String> = OnceLock::new();

/// Standard output. What cannot be written is remembered, for [`lost`], whoever passes over it.
#[derive(Debug, Clone, Copy)]
pub struct Out;

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        noted(io::stdout().write(bytes))
    }

    /// In one piece, so that lines of several writers do not mix.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        noted(io::stdout().write_all(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        noted(io::stdout().flush())
    }
}

/// A reader that has seen enough (`| head`) is no failure.
fn noted<T>(result: io::Result<T>) -> io::Result<T> {
    if let Err(error) = &result
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = LOST.set(error.to_string());
    }
    result
}

/// Writes a text for a program or a file as it is, to the byte.
pub fn bytes(text: impl AsRef<[u8]>) {
    let _ = Out.write_all(text.as_ref());
    let _ = Out.flush();
}

/// Writes a line for a program, JSON say: what steers is made visible as JSON writes it, and it means the same
/// whatever the locale.
pub fn data(text: &str) {
    bytes(format!("{}\n", visible::text(text)));
}

/// Whether people read it.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// What kept a result from being written.
pub fn lost() -> Option<&'static str> {
    LOST.get().map(String::as_str)
}

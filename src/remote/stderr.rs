//! What a shell says on stderr, which is a stream of its own: it may lag behind an answer, and prompts come
//! on it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::Notify;

use super::sentence::printable;
use super::wire::first_of;

/// The end of stderr.
#[derive(Default)]
pub(super) struct Stderr {
    text: Mutex<Vec<u8>>,
    pub(super) news: Notify,
}

/// Most of it that is kept.
const KEPT_BYTES: usize = 16 << 10;

impl Stderr {
    /// All that was heard, fit to be shown.
    pub(super) fn text(&self) -> String {
        printable(&self.lock())
    }

    pub(super) fn take(&self) -> String {
        printable(&std::mem::take(&mut *self.lock()))
    }

    /// Waits for `end`; takes it and what came before, and gives the latter.
    pub(super) async fn through(&self, end: &str) -> String {
        loop {
            let news = self.news.notified();
            {
                let mut text = self.lock();
                if let Some((at, _)) = first_of(&text, &[end.as_bytes()]) {
                    let before = printable(&text[..at]);
                    text.drain(..at + end.len());
                    return before;
                }
            }
            news.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn listen(mut stream: Box<dyn AsyncRead + Send + Unpin>, stderr: Arc<Stderr>) {
    let mut chunk = vec![0; 8 << 10];
    while let Ok(n @ 1..) = stream.read(&mut chunk).await {
        let mut text = stderr.lock();
        text.extend_from_slice(&chunk[..n]);
        let excess = text.len().saturating_sub(KEPT_BYTES);
        text.drain(..excess);
        drop(text);
        // A permit is stored, so news between looking and waiting is not missed.
        stderr.news.notify_one();
    }
    stderr.news.notify_one();
}

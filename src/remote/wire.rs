//! Requests and answers on the streams of a shell, each under a mark that nothing on the host can
//! know beforehand. [`super::login`] gives out the keys to what this can do.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::answer::{Entered, Extent, Facts, Lost, NotEntered, REPLY_BYTES, Reply};
use super::login::Login;
use super::nonces::nonce;
use super::sentence::{Cause, Unreachable, printable, sudo};
use super::stderr::{Stderr, listen};
use crate::script;

/// One shell on a host, as long as it answers.
pub(super) struct Wire {
    stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    stdout: Box<dyn AsyncRead + Send + Unpin>,
    pending: Vec<u8>,
    stderr: Arc<Stderr>,
    listener: JoinHandle<()>,
    nonce: String,
    requests: u32,
    /// What was begun and has not been answered: such a shell cannot be asked anything else.
    busy: Option<String>,
    _keep: Box<dyn Send + Sync>,
}

/// The ends of a child or a session, and what must live as long as they do.
pub struct Streams {
    /// Its stdin.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its stdout.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Its stderr.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// The process or session itself.
    pub keep: Box<dyn Send + Sync>,
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Streams")
    }
}

/// What is read at once. An answer is a few kilobytes, and a thousand hosts may be waited for.
const CHUNK_BYTES: usize = 8 << 10;
/// Most that is kept of what comes before an answer.
const COMPLAINT_BYTES: usize = 16 << 10;
/// How long stderr may lag behind an answer before we go on without it.
const STDERR_LAG: Duration = Duration::from_secs(2);
pub(super) const PRELUDE: &str = include_str!("shell.sh");
/// Who has the lock; for the keys that meet it.
pub(super) const HOLDER: &str = include_str!("holder.sh");
pub(super) const CHANGE: &str = include_str!("change.sh");

impl Wire {
    pub(super) fn new(streams: Streams) -> Result<Wire, Unreachable> {
        let stderr = Arc::new(Stderr::default());
        let listener = tokio::spawn(listen(streams.stderr, stderr.clone()));
        Ok(Wire {
            stdin: Some(streams.stdin),
            stdout: streams.stdout,
            pending: Vec::new(),
            stderr,
            listener,
            nonce: nonce()?,
            requests: 0,
            busy: None,
            _keep: streams.keep,
        })
    }

    /// Reads on to READY. The password is written only after our own prompt, and once.
    pub(super) async fn ready(
        &mut self,
        login: &Login,
        password: Option<&str>,
    ) -> Result<(), Unreachable> {
        let ready = format!("{}\n", login.ready).into_bytes();
        let stderr = self.stderr.clone();
        let mut noise = Vec::new();
        let mut answered = false;
        let patterns: [&[u8]; 1] = [&ready];
        loop {
            let news = stderr.news.notified();
            let said = stderr.text();
            match (said.matches(&login.prompt).count(), answered, password) {
                (0, ..) | (1, true, _) => {}
                (_, false, Some(password)) => {
                    let line = format!("{password}\n");
                    // When that fails the end of stdout tells why.
                    let _ = self.send(line.as_bytes()).await;
                    answered = true;
                    continue;
                }
                (_, true, _) => return Err(Unreachable::of(Cause::WrongPassword)),
                (_, false, None) => return Err(Unreachable::of(Cause::NeedsPassword)),
            }
            tokio::select! {
                found = self.until(&patterns, Some(&mut noise), COMPLAINT_BYTES) => {
                    return match found {
                        Ok(_) => Ok(()),
                        Err(_) => {
                            // Let stderr come to its end: it says why.
                            let _ = timeout(STDERR_LAG, &mut self.listener).await;
                            Err(sudo(&stderr.text(), &printable(&noise)))
                        }
                    };
                }
                () = news => {}
            }
        }
    }

    /// `entered` is called once the facts are heard, while the script still runs.
    pub(super) async fn enter(
        &mut self,
        preludes: &[&str],
        facts: &str,
        script: &str,
        limit: Duration,
        entered: impl FnOnce(),
    ) -> Result<Entered, NotEntered> {
        const DURING: &str = "looking";
        let script = quote(script)?;
        self.begin(DURING)?;
        let (first, second) = (self.mark(), self.mark());
        // No subshell around the facts: the lock's descriptor is to stay with the shell.
        let request = format!(
            "{}{{\np_stop=\np_begin {first}; {{ {facts}; }} </dev/null\np_end {first} 0\n[ -z \"$p_stop\" ] || exit 75\np_ask {second} {script}\n}}\n",
            preludes.concat()
        );
        let exchange = async {
            self.send(request.as_bytes()).await.map_err(|_| self.gone(DURING))?;
            let facts = self.answer(&first, DURING).await?;
            let facts = Facts::parse(&facts.stdout);
            facts.refusal()?;
            entered();
            let reply = self.answer(&second, DURING).await?;
            Ok::<Entered, NotEntered>(facts.entered(reply))
        };
        match timeout(limit, exchange).await {
            Ok(Ok(entered)) => {
                self.busy = None;
                Ok(entered)
            }
            Ok(Err(not)) => Err(not),
            Err(_) => {
                Err(NotEntered::Lost(Lost::Timeout { during: DURING.to_owned(), after: limit }))
            }
        }
    }

    pub(super) async fn ask(&mut self, script: &str, limit: Duration) -> Result<Reply, Lost> {
        self.request("p_ask", &quote(script)?, "looking", limit).await
    }

    pub(super) async fn request(
        &mut self,
        function: &str,
        arguments: &str,
        during: &str,
        limit: Duration,
    ) -> Result<Reply, Lost> {
        self.begin(during)?;
        let mark = self.mark();
        let frame = frame(function, &mark, arguments);
        let exchange = async {
            self.send(frame.as_bytes()).await.map_err(|_| self.gone(during))?;
            self.answer(&mark, during).await
        };
        match timeout(limit, exchange).await {
            Ok(result) => self.settle(result),
            Err(_) => Err(Lost::Timeout { during: during.to_owned(), after: limit }),
        }
    }

    pub(super) async fn push(
        &mut self,
        arguments: &str,
        mut content: impl AsyncRead + Unpin,
        bytes: u64,
        during: &str,
    ) -> Result<Reply, Lost> {
        let mark = self.mark();
        let frame = frame("p_push", &mark, arguments);
        self.send(frame.as_bytes()).await.map_err(|_| self.gone(during))?;
        self.skip_to_begin(&mark, during).await?;
        let ready = format!("\n{mark} ready\n").into_bytes();
        let end = format!("\n{mark} end ").into_bytes();
        let mut said = Vec::new();
        // Not before the host is ready: a shell reads ahead what it can get.
        match self.until(&[&ready, &end], Some(&mut said), COMPLAINT_BYTES).await {
            Err(_) => return Err(self.gone(during)),
            Ok((1, extent)) => {
                let status = self.status(during).await?;
                return Ok(self.reply(&mark, said, extent, status).await);
            }
            Ok(_) => {}
        }
        let mut left = bytes;
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let why = match content.read(&mut buffer[..most]).await {
                Ok(0) => format!("{during}: the local file ended {left} bytes early"),
                Err(error) => format!("{during}: the local file cannot be read: {error}"),
                Ok(n) => {
                    self.send(&buffer[..n]).await.map_err(|_| self.gone(during))?;
                    left -= n as u64;
                    continue;
                }
            };
            // The host waits for bytes that will never come; the end of its input tells it so.
            self.stdin = None;
            return Err(Lost::Unusable { why });
        }
        self.rest(&mark, said, during).await
    }

    /// Everything that answers the request of this mark.
    async fn answer(&mut self, mark: &str, during: &str) -> Result<Reply, Lost> {
        self.skip_to_begin(mark, during).await?;
        self.rest(mark, Vec::new(), during).await
    }

    async fn rest(&mut self, mark: &str, mut out: Vec<u8>, during: &str) -> Result<Reply, Lost> {
        let end = format!("\n{mark} end ").into_bytes();
        let (_, extent) = self
            .until(&[&end], Some(&mut out), REPLY_BYTES)
            .await
            .map_err(|_| self.gone(during))?;
        let status = self.status(during).await?;
        Ok(self.reply(mark, out, extent, status).await)
    }

    /// stderr is a stream of its own and may lag behind; it ends with the same mark.
    async fn reply(&mut self, mark: &str, stdout: Vec<u8>, extent: Extent, status: i32) -> Reply {
        let end = format!("\n{mark}\n");
        let complaint = timeout(STDERR_LAG, self.stderr.through(&end)).await;
        let complaint = complaint.unwrap_or_else(|_| self.stderr.take());
        Reply { stdout, extent, status, complaint }
    }

    async fn skip_to_begin(&mut self, mark: &str, during: &str) -> Result<(), Lost> {
        let begin = format!("\n{mark} begin\n").into_bytes();
        self.until(&[&begin], None, 0).await.map(drop).map_err(|_| self.gone(during))
    }

    async fn status(&mut self, during: &str) -> Result<i32, Lost> {
        let mut digits = Vec::new();
        self.until(&[b"\n"], Some(&mut digits), 16).await.map_err(|_| self.gone(during))?;
        String::from_utf8_lossy(&digits).parse().map_err(|_| Lost::Unusable {
            why: format!("{during}: the answer of the host ended in a garbled status"),
        })
    }

    /// Reads past the first of `patterns` to come; what comes before goes to `sink`, up to `most`
    /// bytes. Gives the pattern's index. Cancelling loses nothing that was read.
    async fn until(
        &mut self,
        patterns: &[&[u8]],
        mut sink: Option<&mut Vec<u8>>,
        most: usize,
    ) -> io::Result<(usize, Extent)> {
        let longest = patterns.iter().map(|p| p.len()).max().unwrap_or(0);
        let mut extent = Extent::Whole;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let found = first_of(&self.pending, patterns);
            let upto = match found {
                Some((at, _)) => at,
                None => self.pending.len().saturating_sub(longest.saturating_sub(1)),
            };
            if let Some(sink) = sink.as_deref_mut() {
                let take = upto.min(most.saturating_sub(sink.len()));
                sink.extend_from_slice(&self.pending[..take]);
                if take < upto {
                    extent = Extent::Cut;
                }
            }
            if let Some((at, which)) = found {
                self.pending.drain(..at + patterns[which].len());
                return Ok((which, extent));
            }
            self.pending.drain(..upto);
            match self.stdout.read(&mut chunk).await? {
                0 => {
                    if let Some(sink) = sink {
                        sink.append(&mut self.pending);
                    }
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                n => self.pending.extend_from_slice(&chunk[..n]),
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(stdin) = self.stdin.as_mut() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        stdin.write_all(bytes).await?;
        stdin.flush().await
    }

    /// Refuses a shell that owes an answer: its next bytes could belong to something else.
    pub(super) fn begin(&mut self, during: &str) -> Result<(), Lost> {
        if let Some(busy) = &self.busy {
            let why = format!("{during}: the shell on the host was given up while {busy}");
            return Err(Lost::Unusable { why });
        }
        self.busy = Some(during.to_owned());
        // What background processes said between requests belongs to none.
        self.stderr.take();
        Ok(())
    }

    pub(super) fn is_usable(&self) -> bool {
        self.busy.is_none()
    }

    pub(super) fn settle(&mut self, result: Result<Reply, Lost>) -> Result<Reply, Lost> {
        if result.is_ok() {
            self.busy = None;
        }
        result
    }

    fn mark(&mut self) -> String {
        self.requests += 1;
        format!("{}-{}", self.nonce, self.requests)
    }

    fn gone(&self, during: &str) -> Lost {
        Lost::Gone { during: during.to_owned(), said: self.stderr.take().trim().to_owned() }
    }

    pub(super) async fn close(mut self) {
        self.stdin = None;
        let end = async { while self.until(&[b"\n"], None, 0).await.is_ok() {} };
        let _ = timeout(STDERR_LAG, end).await;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("requests", &self.requests).field("busy", &self.busy).finish()
    }
}

fn frame(function: &str, mark: &str, arguments: &str) -> String {
    format!("{{\n{function} {mark} {arguments}\n}}\n")
}

/// Where the first of `patterns` begins, and which it is.
pub(super) fn first_of(text: &[u8], patterns: &[&[u8]]) -> Option<(usize, usize)> {
    let starts = |at: usize| patterns.iter().position(|p| text[at..].starts_with(p));
    (0..text.len()).find_map(|at| {
        let worth = patterns.iter().any(|p| p.first() == text.get(at));
        if worth { starts(at).map(|which| (at, which)) } else { None }
    })
}

/// One word for a POSIX shell. What cannot be in one is refused rather than left out.
pub(super) fn quote(text: &str) -> Result<String, Lost> {
    if text.contains('\0') {
        return Err(Lost::Unusable { why: "a script cannot hold a NUL byte".to_owned() });
    }
    Ok(script::quote(text))
}

pub(super) fn word(path: &Path) -> Result<String, Lost> {
    match path.to_str() {
        Some(text) if path.is_absolute() => quote(text),
        _ => Err(Lost::Unusable { why: format!("`{}` is not an absolute path", path.display()) }),
    }
}

/// Text as one field of a line of fields.
pub(super) fn one_word(text: &str) -> String {
    let plain = |c: char| if c.is_control() || c.is_whitespace() { '_' } else { c };
    text.chars().map(plain).collect()
}

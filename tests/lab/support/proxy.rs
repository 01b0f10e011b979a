//! A wire that can be cut: TCP from a loopback port to a host, under the test's control. The kernel's own
//! means (netem) are not there in containers.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The wire.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Bytes that went from us to the host.
    up: AtomicU64,
    /// At so many of them the wire is cut, once; 0 for never.
    cut_at: AtomicU64,
    frozen: AtomicBool,
    closed: AtomicBool,
    ends: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A wire to port 22 of an address.
    pub(crate) fn to(address: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let (shared, target) = (Arc::clone(&state), format!("{address}:22"));
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if shared.closed.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(far) = TcpStream::connect(&target) else { continue };
                shared
                    .ends
                    .lock()
                    .unwrap()
                    .extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                let pair = (near.try_clone().unwrap(), far.try_clone().unwrap());
                let (up, down) = (Arc::clone(&shared), Arc::clone(&shared));
                thread::spawn(move || pump(near, far, &up, Some(&up.up)));
                thread::spawn(move || pump(pair.1, pair.0, &down, None));
            }
        });
        Proxy { port, state }
    }

    /// Bytes that went from us to the host so far.
    pub(crate) fn sent(&self) -> u64 {
        self.state.up.load(Ordering::SeqCst)
    }

    /// Cuts the wire as soon as so many bytes went to the host, once.
    pub(crate) fn cut_at(&self, bytes: u64) {
        self.state.cut_at.store(bytes.max(1), Ordering::SeqCst);
    }

    /// It was cut as it was told to.
    pub(crate) fn was_cut(&self) -> bool {
        self.state.cut_at.load(Ordering::SeqCst) == 0
    }

    /// Cuts all connections now; new ones are let through.
    pub(crate) fn cut(&self) {
        self.state.cut();
    }

    /// Carries nothing any more, and says nothing about it.
    pub(crate) fn freeze(&self) {
        self.state.frozen.store(true, Ordering::SeqCst);
    }

    /// Carries everything again, what waited included.
    pub(crate) fn thaw(&self) {
        self.state.frozen.store(false, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::SeqCst);
        self.state.frozen.store(false, Ordering::SeqCst);
        self.state.cut();
        // Wakes the listener, which then ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl State {
    fn cut(&self) {
        for end in self.ends.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, state: &State, count: Option<&AtomicU64>) {
    let mut buffer = [0; 16384];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        while state.frozen.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(20));
        }
        let mut pass = read;
        if let Some(count) = count {
            let before = count.fetch_add(read as u64, Ordering::SeqCst);
            let limit = state.cut_at.load(Ordering::SeqCst);
            if limit > 0 && before + read as u64 >= limit {
                pass = usize::try_from(limit.saturating_sub(before)).unwrap_or(read).min(read);
            }
        }
        if to.write_all(&buffer[..pass]).is_err() {
            break;
        }
        if pass < read
            || count.is_some_and(|count| {
                let limit = state.cut_at.load(Ordering::SeqCst);
                limit > 0 && count.load(Ordering::SeqCst) >= limit
            })
        {
            state.cut_at.store(0, Ordering::SeqCst);
            state.cut();
            break;
        }
    }
    // Nor does a frozen wire tell of the other end's end.
    while state.frozen.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(20));
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

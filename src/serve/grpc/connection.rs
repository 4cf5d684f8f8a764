//! One connection of HTTP/2: from its first bytes to its end.
//!
//! It knows nothing of the calls but when they begin, when they must be over and when the last byte
//! of their answer is gone. Pings find peers that are no longer there; a peer that is there but does
//! not take its answers, or asks nothing, is found by the clock.
//!
//! Invariant: every connection ends: by its peer, by silence, or soon after the server stops.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Cursor;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tonic::body::Body;

use super::service::Service;
use super::stopped;
use crate::serve::Limits;

/// What every client of HTTP/2 sends first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What whoever speaks something else reads.
const NOT_HERE: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 51\r\n\
    connection: close\r\n\r\nthis port speaks gRPC; REST is on the other port \r\n";
/// How often a silent peer is asked whether it is still there, and how long it may take to answer.
const PING: Duration = Duration::from_secs(20);
const PONG: Duration = Duration::from_secs(10);
/// The slowest reading of an answer that is put up with, in bytes a second.
const SLOWEST: u64 = 64 * 1024;
/// Calls at once on one connection.
const STREAMS: u32 = 256;
/// Bytes of all headers of one call.
const HEADERS: u32 = 16 * 1024;
/// What a peer may send before it is read: these buffers together are bounded by the bodies' limit,
/// down to what HTTP/2 gives every peer at least.
const WINDOW_LEAST: u32 = 65_535;
const WINDOW_MOST: u32 = 1024 * 1024;
/// Bytes of answers that wait in a call's own buffer.
const SEND: usize = 64 * 1024;

/// How long a connection is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Until its first bytes have come.
    pub(super) preface: Duration,
    /// While it asks nothing.
    pub(super) idle: Duration,
    /// While it does not read an answer; what is long has longer ([`SLOWEST`]).
    pub(super) read: Duration,
    /// After it was told to leave and waits for nothing.
    pub(super) leave: Duration,
    /// Between two looks at the clock.
    pub(super) tick: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            preface: Duration::from_secs(10),
            // Channels of gRPC are kept for long; pings find those whose peer is gone.
            idle: Duration::from_secs(600),
            read: Duration::from_secs(30),
            leave: Duration::from_secs(1),
            tick: Duration::from_millis(500),
        }
    }
}

/// What goes on on a connection.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    read: Duration,
}

#[derive(Debug)]
struct State {
    next: u64,
    /// Calls that are not over, with the moment when they must be.
    calls: BTreeMap<u64, Option<Instant>>,
    idle_since: Instant,
}

/// A call that is not over while this lives.
#[derive(Debug)]
pub(super) struct Going {
    activity: Arc<Activity>,
    number: u64,
}

impl Activity {
    fn new(read: Duration) -> Arc<Self> {
        let state = State { next: 0, calls: BTreeMap::new(), idle_since: Instant::now() };
        Arc::new(Self { state: Mutex::new(state), read })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a call begins, which is answered by its deadline if it has one.
    pub(super) fn begin(self: &Arc<Self>, deadline: Option<Instant>) -> Going {
        let due = deadline.map(|at| at + self.read);
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.calls.insert(number, due);
        Going { activity: Arc::clone(self), number }
    }

    fn is_overdue(&self, now: Instant) -> bool {
        self.state().calls.values().flatten().any(|due| *due < now)
    }

    /// Since when nothing goes on.
    fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        state.calls.is_empty().then_some(state.idle_since)
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.calls.remove(&self.number);
        state.idle_since = Instant::now();
    }
}

struct Kept {
    bytes: Bytes,
    _going: Going,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Going {
    /// Bytes after whose last slice the call is over.
    pub(super) fn until_sent(self, bytes: Bytes) -> Bytes {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let due = Instant::now() + self.activity.read + Duration::from_secs(length / SLOWEST);
        self.activity.state().calls.insert(self.number, Some(due));
        Bytes::from_owner(Kept { bytes, _going: self })
    }
}

/// Bytes that a peer may send before they are read.
fn window(limits: &Limits) -> u32 {
    let share = limits.bodies / limits.connections.max(1);
    u32::try_from(share).unwrap_or(u32::MAX).clamp(WINDOW_LEAST, WINDOW_MOST)
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    mut stream: TcpStream,
    service: Arc<Service>,
    pace: Pace,
    mut stop: watch::Receiver<bool>,
) {
    // Answers are written whole; without this the kernel would hold back small ones.
    let _unset = stream.set_nodelay(true);
    let begun = tokio::select! {
        begun = tokio::time::timeout(pace.preface, preface(&mut stream)) => begun.unwrap_or(false),
        () = stopped(&mut stop) => false,
    };
    if !begun {
        return;
    }
    let (read, write) = stream.into_split();
    let io = tokio::io::join(Cursor::new(PREFACE).chain(read), write);
    let window = window(service.model().limits());
    let activity = Activity::new(pace.read);
    let calls = {
        let activity = Arc::clone(&activity);
        service_fn(move |request: Request<Incoming>| {
            let (service, activity) = (Arc::clone(&service), Arc::clone(&activity));
            async move { Ok::<Response<Body>, Infallible>(service.answer(request, &activity).await) }
        })
    };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADERS)
        .initial_stream_window_size(window)
        .initial_connection_window_size(window)
        .max_send_buf_size(SEND);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), calls));
    let mut tick = tokio::time::interval(pace.tick);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut leaving = None;
    loop {
        tokio::select! {
            // Whatever ended it, the peer is gone, or did not keep to HTTP/2 and was told.
            _ended = connection.as_mut() => return,
            () = stopped(&mut stop), if leaving.is_none() => {
                connection.as_mut().graceful_shutdown();
                leaving = Some(Instant::now());
            }
            now = tick.tick() => {
                if activity.is_overdue(now) {
                    return;
                }
                let Some(idle_since) = activity.idle_since() else { continue };
                match leaving {
                    None if now.saturating_duration_since(idle_since) >= pace.idle => {
                        connection.as_mut().graceful_shutdown();
                        leaving = Some(now);
                    }
                    Some(told) if now.saturating_duration_since(told.max(idle_since)) >= pace.leave => return,
                    _ => (),
                }
            }
        }
    }
}

/// Reads the first bytes; whether they are those of HTTP/2.
async fn preface(stream: &mut TcpStream) -> bool {
    let mut found = [0; PREFACE.len()];
    let mut n = 0;
    while n < found.len() {
        match stream.read(&mut found[n..]).await {
            Ok(more) if more > 0 => n += more,
            _ => return false,
        }
        if found[..n] != PREFACE[..n] {
            // It may be a person with the wrong port; whether they read it is theirs.
            let _unsent = stream.write_all(NOT_HERE).await;
            let _unshut = stream.shutdown().await;
            return false;
        }
    }
    true
}

//! The bridge from a blocking reader to the body of a request.
//!
//! A thread reads and pushes pieces into a short queue; the HTTP library takes them out. The bridge
//! knows whose turn it is: a slow disk is no stall, a network that takes nothing is. It can be torn
//! down from this side, which matters when a registry answers before it has read everything: then
//! the reader must stop, and the half-sent body must end in an error, never in a clean end.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_core::Stream;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::transport::locked;

/// Bytes of a piece. Measured on loopback: larger ones are no faster, smaller ones cost calls.
pub(super) const PIECE: usize = 256 << 10;
/// Pieces that wait; with the one being read and the one being sent this bounds the memory.
const QUEUE: usize = 4;

/// One body on its way. Shared between the request and whoever waits for it.
pub(super) struct Pipe(Mutex<State>);

struct State {
    queue: Option<Receiver<io::Result<Vec<u8>>>>,
    waker: Option<Waker>,
    turn: Turn,
}

/// Who is to move next.
enum Turn {
    /// The reader.
    Reader,
    /// The network, since then.
    Network(Instant),
    /// The registry, which has everything since then.
    Registry(Instant),
}

impl Pipe {
    /// A bridge and the end for the reader.
    pub(super) fn new() -> (Arc<Self>, Sender<io::Result<Vec<u8>>>) {
        let (sender, queue) = channel(QUEUE);
        let state = State { queue: Some(queue), waker: None, turn: Turn::Network(Instant::now()) };
        (Arc::new(Self(Mutex::new(state))), sender)
    }

    /// The end for the request.
    pub(super) fn body(self: &Arc<Self>) -> reqwest::Body {
        reqwest::Body::wrap_stream(Mouth(Arc::clone(self)))
    }

    /// How long nothing moved, where that is longer than allowed: `stall` while the network has its
    /// turn, `commit` once everything is sent.
    pub(super) fn stalled(&self, stall: Duration, commit: Duration) -> Option<Duration> {
        let (since, limit) = match locked(&self.0).turn {
            Turn::Reader => return None,
            Turn::Network(since) => (since, stall),
            Turn::Registry(since) => (since, commit),
        };
        let waited = since.elapsed();
        (waited > limit).then_some(waited)
    }

    /// Tears it down: the reader's next push fails, the request's next pull is an error.
    pub(super) fn close(&self) {
        let mut state = locked(&self.0);
        state.queue = None;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

struct Mouth(Arc<Pipe>);

impl Stream for Mouth {
    type Item = io::Result<Vec<u8>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = locked(&self.0.0);
        let Some(queue) = &mut state.queue else {
            return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::Interrupted))));
        };
        let polled = queue.poll_recv(cx);
        state.turn = match &polled {
            Poll::Pending => Turn::Reader,
            Poll::Ready(Some(_)) => Turn::Network(Instant::now()),
            Poll::Ready(None) => Turn::Registry(Instant::now()),
        };
        if polled.is_pending() {
            state.waker = Some(cx.waker().clone());
        }
        polled
    }
}

/// Reads a full piece, of `room` bytes where that is less, unless the end comes first; an empty piece
/// is the end.
pub(super) fn piece(reader: &mut dyn Read, room: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; PIECE.min(room)];
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    buffer.truncate(filled);
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_full_whatever_the_reader_gives() {
        struct Drops<'a>(&'a [u8]);
        impl Read for Drops<'_> {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                let n = buf.len().min(1000).min(self.0.len());
                buf[..n].copy_from_slice(&self.0[..n]);
                self.0 = &self.0[n..];
                Ok(n)
            }
        }
        let bytes = vec![7; PIECE + 5];
        let mut reader = Drops(&bytes);
        assert_eq!(piece(&mut reader, usize::MAX).unwrap().len(), PIECE);
        assert_eq!(piece(&mut reader, usize::MAX).unwrap().len(), 5);
        assert!(piece(&mut reader, usize::MAX).unwrap().is_empty());
        assert_eq!(piece(&mut Drops(&bytes), 1234).unwrap().len(), 1234);
    }

    #[test]
    fn a_closed_pipe_is_an_error_for_both_sides() {
        let (pipe, sender) = Pipe::new();
        sender.try_send(Ok(vec![1])).unwrap();
        pipe.close();
        assert!(sender.try_send(Ok(vec![2])).is_err());
        let mut mouth = Mouth(Arc::clone(&pipe));
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Some(Err(_))) = Pin::new(&mut mouth).poll_next(&mut cx) else {
            panic!("a clean end")
        };
    }

    #[test]
    fn a_slow_reader_is_no_stall() {
        let (pipe, sender) = Pipe::new();
        let mut mouth = Mouth(Arc::clone(&pipe));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut mouth).poll_next(&mut cx).is_pending());
        std::thread::sleep(Duration::from_millis(5));
        assert!(pipe.stalled(Duration::ZERO, Duration::ZERO).is_none());
        sender.try_send(Ok(vec![1])).unwrap();
        assert!(Pin::new(&mut mouth).poll_next(&mut cx).is_ready());
        std::thread::sleep(Duration::from_millis(5));
        assert!(pipe.stalled(Duration::ZERO, Duration::from_secs(9)).is_some());
        drop(sender);
        assert!(Pin::new(&mut mouth).poll_next(&mut cx).is_ready());
        std::thread::sleep(Duration::from_millis(5));
        assert!(pipe.stalled(Duration::ZERO, Duration::from_secs(9)).is_none());
    }
}

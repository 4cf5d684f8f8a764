//! A connection with an end to its patience.
//!
//! Whoever sends nothing, sends its request's head a byte a minute, or does not read its answer is
//! cut off, so that connections are not held for ever by clients that are gone or mean harm. How
//! long a body may take is the request's deadline, which whoever reads the body keeps.
//!
//! Invariant: at each moment that it waits for the peer, one timer runs, but for the time in which a
//! request is worked on.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a connection is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the first byte of a request's head to its last.
    pub head: Duration,
    /// Between requests, and before the first.
    pub idle: Duration,
    /// For a peer that does not read its answer; what it does read adds to it.
    pub write: Duration,
    /// After an answer to a request that was not read to its end.
    pub linger: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            // Longer than what load balancers keep idle connections, so that they end them first.
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
            linger: Duration::from_secs(2),
        }
    }
}

/// The slowest reading of an answer that is put up with, in bytes a second.
const SLOWEST: u32 = 64 << 10;
/// Bytes that are taken at once from who sends what nobody wants.
const SCRAP: usize = 16 << 10;

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle = 0,
    Head = 1,
    Busy = 2,
}

/// What a connection does, as its two users tell each other. The number goes up with each change;
/// modulo 3 it is the phase.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    count: AtomicU64,
    unread: AtomicBool,
}

impl Pulse {
    fn phase(count: u64) -> Phase {
        match count % 3 {
            0 => Phase::Idle,
            1 => Phase::Head,
            _ => Phase::Busy,
        }
    }

    fn now(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn turn(&self, to: Phase) {
        let now = self.now();
        let step = (to as u64 + 3 - now % 3 + 2) % 3 + 1;
        self.count.store(now + step, Ordering::Relaxed);
    }

    /// A request is worked on.
    pub(super) fn busy(&self) {
        self.turn(Phase::Busy);
    }

    /// It was answered.
    pub(super) fn idle(&self) {
        self.turn(Phase::Idle);
    }

    /// The peer may be sending still what will not be read.
    pub(super) fn leaves_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }
}

/// A stream that gives up on a peer that does nothing.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    pulse: Arc<Pulse>,
    patience: Patience,
    reading: Option<Pin<Box<Sleep>>>,
    /// The count of the pulse for which `reading` runs.
    reading_for: Option<u64>,
    writing: Option<Pin<Box<Sleep>>>,
    shut: bool,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, pulse: Arc<Pulse>, patience: Patience) -> Self {
        Self { stream, pulse, patience, reading: None, reading_for: None, writing: None, shut: false }
    }

    /// Lets the timer for reading run, whose time is up when this is ready.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let count = self.pulse.now();
        let wait = match Pulse::phase(count) {
            Phase::Idle => self.patience.idle,
            Phase::Head => self.patience.head,
            Phase::Busy => return Poll::Pending,
        };
        if self.reading_for != Some(count) {
            arm(&mut self.reading, Instant::now() + wait);
            self.reading_for = Some(count);
        }
        self.reading.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(cx))
    }

    /// The same for writing, of which `result` tells how far it got.
    fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match (result, &mut self.writing) {
            (Poll::Ready(Ok(n)), Some(timer)) => {
                let more =
                    Duration::from_secs(1).saturating_mul(u32::try_from(n).unwrap_or(u32::MAX)) / SLOWEST;
                let later = timer.deadline() + more;
                timer.as_mut().reset(later);
                Poll::Ready(Ok(n))
            }
            (Poll::Ready(done), _) => Poll::Ready(done),
            (Poll::Pending, timer) => {
                if timer.is_none() {
                    arm(timer, Instant::now() + self.patience.write);
                }
                match timer.as_mut().map(|t| t.as_mut().poll(cx)) {
                    Some(Poll::Ready(())) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                    _ => Poll::Pending,
                }
            }
        }
    }
}

fn arm(timer: &mut Option<Pin<Box<Sleep>>>, until: Instant) {
    match timer {
        Some(timer) => timer.as_mut().reset(until),
        None => *timer = Some(Box::pin(sleep_until(until))),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(done) => {
                if buf.filled().len() > before && Pulse::phase(this.pulse.now()) == Phase::Idle {
                    this.pulse.turn(Phase::Head);
                }
                Poll::Ready(done)
            }
            Poll::Pending => this.poll_patience(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.poll_written(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.poll_written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.stream).poll_flush(cx);
        if done.is_ready() {
            // All that there was to write is written.
            this.writing = None;
            // Whoever asked for bytes while the request was worked on is not asked again before
            // some come: from here on the timer has to run.
            if this.poll_patience(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        done
    }

    /// Ends writing. Where the peer may still be sending, what it sends is read for a moment, since
    /// a connection that is closed with unread bytes takes the answer back from the peer's hands.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.shut {
            std::task::ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.shut = true;
            arm(&mut this.writing, Instant::now() + this.patience.linger);
        }
        if !this.pulse.unread.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let mut scrap = [0; SCRAP];
        loop {
            if this.writing.as_mut().is_none_or(|t| t.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut scrap);
            match std::task::ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_turn_is_a_change() {
        let pulse = Pulse::default();
        let mut last = pulse.now();
        for to in [
            Phase::Idle,
            Phase::Idle,
            Phase::Head,
            Phase::Busy,
            Phase::Idle,
            Phase::Busy,
            Phase::Busy,
            Phase::Head,
        ] {
            pulse.turn(to);
            assert_eq!(Pulse::phase(pulse.now()), to);
            assert!(pulse.now() > last);
            last = pulse.now();
        }
    }
}

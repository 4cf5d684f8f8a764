//! A hash that is computed on a thread of its own.
//!
//! One layer that is left alone is read, hashed and written one after the other otherwise, and the
//! other cores look on. What is hashed is copied for the thread, which costs a twentieth of the hash.
//!
//! Invariant: the digest is that of all bytes that were given, in their order; memory is bounded.

use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};

use sha2::{Digest as _, Sha256};

/// Bytes that are handed over at a time: small enough to stay in the cache of a core.
const PIECE: usize = 128 << 10;
/// Pieces that wait for the thread.
const DEPTH: usize = 4;

/// A SHA-256 that is computed beside what gives the bytes.
pub(super) struct Beside {
    feed: SyncSender<Vec<u8>>,
    /// Pieces that were hashed, to be filled again.
    back: Receiver<Vec<u8>>,
    current: Vec<u8>,
    thread: JoinHandle<Sha256>,
}

impl Beside {
    /// Starts the thread; none where the system gives none.
    pub(super) fn start() -> Option<Self> {
        let (feed, pieces) = sync_channel::<Vec<u8>>(DEPTH);
        let (give_back, back) = channel();
        let work = move || {
            let mut state = Sha256::new();
            for piece in pieces {
                state.update(&piece);
                // Nobody wants it any more after the last piece.
                let _ = give_back.send(piece);
            }
            state
        };
        let thread = Builder::new().name("hash".to_owned()).spawn(work).ok()?;
        Some(Self { feed, back, current: Vec::with_capacity(PIECE), thread })
    }

    /// Takes the next bytes.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let n = bytes.len().min(PIECE - self.current.len());
            self.current.extend_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            if self.current.len() == PIECE {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        let mut next = self.back.try_recv().unwrap_or_else(|_| Vec::with_capacity(PIECE));
        next.clear();
        let full = std::mem::replace(&mut self.current, next);
        self.feed.send(full).expect("the hashing thread takes pieces until there are no more");
    }

    /// The state after the last byte.
    pub(super) fn finish(mut self) -> Sha256 {
        self.flush();
        drop(self.feed);
        self.thread.join().expect("the hashing thread does not panic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_size_give_the_same_digest() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i >> 3) as u8).collect();
        for step in [1000, PIECE - 1, PIECE, PIECE + 1, bytes.len()] {
            let mut beside = Beside::start().unwrap();
            bytes.chunks(step).for_each(|c| beside.update(c));
            assert_eq!(beside.finish().finalize(), Sha256::digest(&bytes), "{step}");
        }
        assert_eq!(Beside::start().unwrap().finish().finalize(), Sha256::digest(b""));
    }
}

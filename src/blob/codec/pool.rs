//! Threads that compress blocks, for all layers of a build together.
//!
//! A [`Pool`] is not a scheduler: it takes one kind of work, and who gave it waits for it. One layer
//! that is left gets all of its threads, and several share them block by block.
//!
//! Invariants: no more blocks are compressed at a time than the pool has threads; what waits beyond
//! one block a stream is bounded for all streams together, and with it the memory.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::gzip::Block;

/// Threads that compress. They start with the first block that is given to them.
pub struct Pool {
    threads: usize,
    /// Blocks that are held beyond the first of each stream.
    extra: Arc<AtomicUsize>,
    tasks: OnceLock<Mutex<Sender<Task>>>,
}

struct Task {
    block: Block,
    level: u32,
    done: SyncSender<io::Result<Block>>,
}

/// A block on its way, and the right to hold it.
pub(super) struct Pending {
    done: Receiver<io::Result<Block>>,
    held: Option<Arc<AtomicUsize>>,
}

impl Pool {
    /// A pool of so many threads; with one, who has a block compresses it.
    pub fn new(threads: usize) -> Arc<Self> {
        let (threads, extra) = (threads.max(1), Arc::default());
        Arc::new(Self { threads, extra, tasks: OnceLock::new() })
    }

    /// How many blocks are compressed at a time.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Whether a stream that holds `own` blocks may hold one more.
    pub(super) fn admits(&self, own: usize) -> bool {
        own == 0 || self.extra.load(Ordering::Relaxed) < self.threads + 1
    }

    /// Compresses a block on some thread. `own` is how many the stream holds already.
    pub(super) fn give(&self, block: Block, level: u32, own: usize) -> Pending {
        let held = (own > 0).then(|| Arc::clone(&self.extra));
        if let Some(extra) = &held {
            extra.fetch_add(1, Ordering::Relaxed);
        }
        let (done, pending) = sync_channel(1);
        let tasks = self.tasks.get_or_init(|| Mutex::new(start(self.threads)));
        let task = Task { block, level, done };
        // Where no thread could be started the task comes back, and is done here.
        if let Err(refused) = tasks.lock().unwrap_or_else(PoisonError::into_inner).send(task) {
            refused.0.run();
        }
        Pending { done: pending, held }
    }
}

fn start(threads: usize) -> Sender<Task> {
    let (sender, tasks) = channel::<Task>();
    let tasks = Arc::new(Mutex::new(tasks));
    for _ in 0..threads {
        let tasks = Arc::clone(&tasks);
        let work = move || {
            loop {
                let next = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(task) = next else { break };
                task.run();
            }
        };
        // A system that gives fewer threads has fewer; without any the sender has no receiver.
        let _ = std::thread::Builder::new().name("compress".to_owned()).spawn(work);
    }
    sender
}

impl Task {
    fn run(mut self) {
        let result = self.block.deflate(self.level).map(|()| self.block);
        // Nobody waits any more when the stream was given up.
        let _ = self.done.send(result);
    }
}

impl Pending {
    /// Waits for the block.
    pub(super) fn wait(self) -> io::Result<Block> {
        self.done.recv().unwrap_or_else(|_| Err(io::Error::other("a compressing thread died")))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(extra) = &self.held {
            extra.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_for_all_streams_together() {
        let pool = Pool::new(2);
        let give = |own| pool.give(Block::new(vec![1; 10], true), 2, own);
        let (first, second) = (give(0), give(0));
        let more: Vec<_> = (1..=3).map(give).collect();
        assert!(!pool.admits(2), "three blocks beyond the first of each are all");
        assert!(pool.admits(0), "a stream may always hold one");
        drop(more);
        assert!(pool.admits(2));
        assert!(first.wait().is_ok() && second.wait().is_ok());
    }

    #[test]
    fn a_stream_that_is_given_up_leaves_the_pool_as_it_was() {
        let pool = Pool::new(2);
        for _ in 0..100 {
            drop(pool.give(Block::new(vec![1; 1000], true), 2, 1));
        }
        assert!(pool.admits(1));
        assert!(pool.give(Block::new(vec![1; 1000], true), 2, 0).wait().is_ok());
    }
}

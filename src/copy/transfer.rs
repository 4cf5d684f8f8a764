//! Blobs on their way from one store to another.
//!
//! Several at once where the destination does not care for their order, the largest first, so that the
//! last one on its way is a small one. The first error stops the others.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::blob::{self, Blob};
use crate::error::{At, Kind, Result};
use crate::event::{Event, Observe, checkpoint};
use crate::oci::Descriptor;
use crate::store::{Outcome, Sink, Source};

/// How the blobs of an image came to be at the destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Blobs that were there.
    pub present: usize,
    /// Blobs that the registry linked from another of its repositories.
    pub mounted: usize,
    /// Blobs that were written.
    pub written: usize,
    /// Bytes of those.
    pub bytes: u64,
}

impl Moved {
    pub(super) fn count(&mut self, outcome: Outcome, size: u64) {
        match outcome {
            Outcome::Present => self.present += 1,
            Outcome::Mounted => self.mounted += 1,
            Outcome::Written => {
                self.written += 1;
                self.bytes += size;
            }
        }
    }
}

/// Passes events on, and stops all that share it once one has failed.
struct Together<'a> {
    see: &'a dyn Observe,
    failed: AtomicBool,
}

impl Observe for Together<'_> {
    fn on(&self, event: Event) {
        self.see.on(event);
    }

    fn stop(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.see.stop()
    }
}

/// Brings blobs to a destination; `check` has those that were there read all the same, so that each one
/// of the source is verified.
pub(super) fn blobs(
    from: &dyn Source,
    to: &dyn Sink,
    wanted: &[Descriptor],
    jobs: usize,
    check: bool,
    see: &dyn Observe,
) -> Result<Moved> {
    let mut order: Vec<&Descriptor> = wanted.iter().collect();
    let jobs = if to.ordered() { 1 } else { jobs.clamp(1, wanted.len().max(1)) };
    if !to.ordered() {
        order.sort_by_key(|d| (std::cmp::Reverse(d.size), d.digest));
    }
    let queue = Mutex::new(VecDeque::from(order));
    let total = Mutex::new(Moved::default());
    let together = Together { see, failed: AtomicBool::new(false) };
    let work = || -> Result<()> {
        loop {
            let Some(next) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else {
                return Ok(());
            };
            checkpoint(&together)?;
            let outcome = one(from, to, next, check, &together).inspect_err(|_| {
                together.failed.store(true, Ordering::Relaxed);
            })?;
            total.lock().unwrap_or_else(PoisonError::into_inner).count(outcome, next.size);
        }
    };
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..jobs).map(|_| scope.spawn(work)).collect();
        let own = work();
        let others = threads.into_iter().map(|t| match t.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        std::iter::once(own).chain(others).collect()
    });
    // Who was stopped because of another's error is not the cause.
    let mut interrupted = Ok(());
    for result in results {
        match result {
            Err(e) if e.kind() == Kind::Interrupted => interrupted = Err(e),
            other => other?,
        }
    }
    interrupted?;
    Ok(total.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn one(
    from: &dyn Source,
    to: &dyn Sink,
    wanted: &Descriptor,
    check: bool,
    see: &dyn Observe,
) -> Result<Outcome> {
    let blob = from.blob(wanted)?;
    let outcome = match to.put(&*blob, see) {
        // Bytes that were damaged on their way here may arrive unharmed the second time.
        Err(e) if e.kind() == Kind::Integrity && blob.origin().is_some() => to.put(&*blob, see)?,
        outcome => outcome?,
    };
    if check && outcome != Outcome::Written {
        verify(&*blob, see)?;
    }
    Ok(outcome)
}

/// Reads a blob to its end, which verifies it.
pub(super) fn verify(blob: &dyn Blob, see: &dyn Observe) -> Result<()> {
    let what = format!("check {}", blob.descriptor().digest);
    let stop = |_: usize| checkpoint(see).map_err(crate::Error::into_io);
    blob::copy(&mut *blob.open()?, &mut std::io::sink(), stop).doing(what)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::Bytes;
    use crate::event::Quiet;
    use crate::oci::Digest;
    use crate::store::memory::Memory;

    #[test]
    fn all_arrive_whatever_the_number_of_threads() {
        for jobs in [0, 1, 3, 50] {
            let (from, to) = (Memory::new(), Memory::new());
            let blobs: Vec<Bytes> = (0..20_u8).map(|i| Bytes::new("x", vec![i; usize::from(i)])).collect();
            let wanted: Vec<Descriptor> = blobs.iter().map(|b| b.descriptor().clone()).collect();
            for blob in &blobs {
                from.put(blob, &Quiet).unwrap();
            }
            to.put(&blobs[7], &Quiet).unwrap();
            let moved = super::blobs(&from, &to, &wanted, jobs, true, &Quiet).unwrap();
            assert_eq!((moved.present, moved.written, moved.bytes), (1, 19, (0..20).sum::<u64>() - 7));
        }
    }

    #[test]
    fn the_cause_is_told_and_not_its_consequences() {
        let (from, to) = (Memory::new(), Memory::new());
        let blobs: Vec<Bytes> = (0..20_u8).map(|i| Bytes::new("x", vec![i; 9])).collect();
        for blob in &blobs {
            from.put(blob, &Quiet).unwrap();
        }
        let mut wanted: Vec<Descriptor> = blobs.iter().map(|b| b.descriptor().clone()).collect();
        wanted.insert(3, Descriptor::new("x", Digest::of(b"lost"), 99));
        let e = super::blobs(&from, &to, &wanted, 4, false, &Quiet).unwrap_err();
        assert_eq!(e.kind(), Kind::Integrity);
        assert!(e.to_string().contains(&Digest::of(b"lost").to_string()), "{e}");
    }
}

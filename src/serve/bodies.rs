//! Bodies: the memory that bodies of requests and answers may hold, all together.
//!
//! It is not the memory of the engine. Who wants to keep a body first takes [`Room`] for it and
//! puts the bytes inside; the room is given back when the last slice of those bytes is gone, be it
//! in the engine, in an answer or in the buffers of a connection.
//!
//! Invariant: nobody who holds room waits for more, so that waiting always ends.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::metrics::Metrics;
use super::model::Refused;

/// What room is counted in: bytes of one permit.
const UNIT: usize = 1024;

/// All memory for bodies.
#[derive(Debug)]
pub struct Bodies {
    free: Arc<Semaphore>,
    units: u32,
    metrics: Arc<Metrics>,
}

/// A part of it.
#[derive(Debug)]
pub struct Room {
    permit: OwnedSemaphorePermit,
    bytes: i64,
    metrics: Arc<Metrics>,
}

impl Bodies {
    /// Memory for bodies of so many bytes together.
    pub fn new(bytes: usize, metrics: Arc<Metrics>) -> Self {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1);
        let free = Arc::new(Semaphore::new(usize::try_from(units).unwrap_or(usize::MAX)));
        Self { free, units, metrics }
    }

    /// Waits until there is room for so many bytes. What is larger than all there is gets all there is.
    pub async fn room(&self, bytes: usize) -> Room {
        let wanted = self.units(bytes).min(self.units);
        let permit = Arc::clone(&self.free).acquire_many_owned(wanted).await;
        self.keep(permit.expect("nobody closes the semaphore"), bytes)
    }

    /// Room for so many bytes if there is some now, for who holds room already.
    ///
    /// # Errors
    ///
    /// [`Refused::TooLarge`] when there never is so much, [`Refused::Busy`] when there is not now.
    pub fn room_now(&self, bytes: usize) -> Result<Room, Refused> {
        let wanted = self.units(bytes);
        if wanted > self.units {
            let all = u64::from(self.units) * UNIT as u64;
            return Err(Refused::TooLarge(format!(
                "the request needs {bytes} bytes of memory; all requests together have {all}"
            )));
        }
        let permit = Arc::clone(&self.free).try_acquire_many_owned(wanted).map_err(|_| {
            Refused::Busy(format!("other requests hold the memory that this one needs, {bytes} bytes"))
        })?;
        Ok(self.keep(permit, bytes))
    }

    fn units(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
    }

    fn keep(&self, permit: OwnedSemaphorePermit, bytes: usize) -> Room {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.metrics.bodies(bytes);
        Room { permit, bytes, metrics: Arc::clone(&self.metrics) }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.metrics.bodies(-self.bytes);
    }
}

struct Kept<T> {
    bytes: T,
    _room: Room,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Kept<T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

impl Room {
    /// Gives back what is more than so many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        let kept = i64::try_from(bytes).unwrap_or(i64::MAX);
        if kept < self.bytes {
            let more = self.permit.num_permits().saturating_sub(bytes.div_ceil(UNIT));
            drop(self.permit.split(more));
            self.metrics.bodies(kept - self.bytes);
            self.bytes = kept;
        }
    }

    /// Bytes that hold this room for as long as a slice of them lives.
    pub fn hold(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(Kept { bytes, _room: self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(bytes: usize) -> Bodies {
        Bodies::new(bytes, Arc::default())
    }

    #[test]
    fn room_is_given_back_with_the_last_slice() {
        let all = bodies(4 * UNIT);
        let whole = all.room_now(3 * UNIT).unwrap().hold(vec![1; 3 * UNIT]);
        let slice = whole.slice(7..8);
        drop(whole);
        assert!(matches!(all.room_now(2 * UNIT), Err(Refused::Busy(_))));
        assert!(all.metrics.text().contains("floe_body_bytes 3072\n"));
        drop(slice);
        assert!(all.room_now(4 * UNIT).is_ok());
        assert!(all.metrics.text().contains("floe_body_bytes 0\n"));
    }

    #[test]
    fn room_that_is_not_used_is_given_back() {
        let all = bodies(4 * UNIT);
        let mut room = all.room_now(4 * UNIT).unwrap();
        room.shrink(UNIT + 1);
        assert!(matches!(all.room_now(2 * UNIT + 1), Err(Refused::Busy(_))));
        assert!(all.room_now(2 * UNIT).is_ok());
        assert!(all.metrics.text().contains("floe_body_bytes 1025\n"));
    }

    #[test]
    fn what_never_fits_is_said_to_be_too_large() {
        assert!(matches!(bodies(UNIT).room_now(UNIT + 1), Err(Refused::TooLarge(_))));
        assert!(matches!(bodies(UNIT).room_now(usize::MAX), Err(Refused::TooLarge(_))));
    }
}

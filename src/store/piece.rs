//! One piece of content on its way into a store, as an observer sees it.
//!
//! Invariant: every `Begin` is followed by exactly one `End`, and the `Progress` of an attempt that
//! failed sums to zero.

use std::io;

use crate::event;
use crate::event::{Event, Observe};
use crate::oci::{Descriptor, media_type};

/// What a blob is, for people, by its media type.
pub(crate) fn title(d: &Descriptor) -> String {
    if matches!(d.media_type.as_str(), media_type::CONFIG | media_type::DOCKER_CONFIG) {
        return "configuration".to_owned();
    }
    let what = if media_type::is_layer(&d.media_type) { "layer" } else { "blob" };
    format!("{what} {}", d.digest.short())
}

/// Tells an observer how a piece fares; a piece that is dropped before its end has failed.
pub(crate) struct Piece<'a> {
    see: &'a dyn Observe,
    id: u64,
    moved: i64,
    ended: bool,
}

impl<'a> Piece<'a> {
    /// A piece begins; `total` is how many bytes will pass, where that is known.
    pub(crate) fn begin(see: &'a dyn Observe, title: impl Into<String>, total: Option<u64>) -> Self {
        let id = event::next_id();
        see.on(Event::Begin { id, title: title.into(), total });
        Self { see, id, moved: 0, ended: false }
    }

    /// A blob begins to be stored.
    pub(crate) fn blob(see: &'a dyn Observe, descriptor: &Descriptor) -> Self {
        Self::begin(see, title(descriptor), Some(descriptor.size))
    }

    /// Some bytes passed; fails when the work should stop.
    pub(crate) fn moved(&mut self, bytes: usize) -> io::Result<()> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.moved = self.moved.saturating_add(bytes);
        self.see.on(Event::Progress { id: self.id, bytes });
        event::checkpoint(self.see).map_err(crate::Error::into_io)
    }

    /// The piece is done.
    pub(crate) fn end(mut self, outcome: &str) {
        self.ended = true;
        self.see.on(Event::End { id: self.id, outcome: outcome.to_owned() });
    }
}

impl Drop for Piece<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if self.moved != 0 {
            self.see.on(Event::Progress { id: self.id, bytes: -self.moved });
        }
        self.see.on(Event::End { id: self.id, outcome: "failed".to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Record(Mutex<Vec<Event>>);

    impl Observe for Record {
        fn on(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }

        fn stop(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_piece_that_fails_gives_its_bytes_back() {
        let see = Record::default();
        let mut piece = Piece::begin(&see, "x", Some(5));
        assert!(piece.moved(3).is_err(), "the observer wants to stop");
        drop(piece);
        let events = see.0.into_inner().unwrap();
        let sum: i64 =
            events.iter().map(|e| if let Event::Progress { bytes, .. } = e { *bytes } else { 0 }).sum();
        assert_eq!(sum, 0);
        assert!(matches!(events.last(), Some(Event::End { outcome, .. }) if outcome == "failed"));
    }
}

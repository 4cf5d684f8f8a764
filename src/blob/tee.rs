//! One reading of a recipe for several sinks.
//!
//! Reading, hashing and compressing happen once; every sink gets the same pieces through a bounded
//! channel. A sink that fails drops out and the others go on; a sink that opens its recipe a second
//! time, to try again, gets a reading of its own.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use super::{CHUNK, Packed, Pass, Recipe};
use crate::error::{Error, Kind, Result};

/// Pieces that may wait for one sink.
const DEPTH: usize = 2;

enum Piece {
    Bytes(Arc<[u8]>),
    End(Packed),
    Failed(Kind, String, Option<String>),
}

/// What a sink does with a recipe.
pub type Drain<'a, T> = dyn Fn(&dyn Recipe) -> Result<T> + Sync + 'a;

/// Runs one pass of `recipe` through every sink in `sinks`, each on a thread of its own, and gives
/// what each returned, in order.
pub fn tee<T: Send>(recipe: &dyn Recipe, sinks: &[&Drain<'_, T>]) -> Vec<Result<T>> {
    if let [only] = sinks {
        return vec![only(recipe)];
    }
    std::thread::scope(|scope| {
        let mut feeds = Vec::new();
        let mut running = Vec::new();
        for sink in sinks {
            let (feed, pieces) = sync_channel(DEPTH);
            feeds.push(Some(feed));
            let branch = Branch { recipe, first: Mutex::new(Some(pieces)) };
            running.push(scope.spawn(move || sink(&branch)));
        }
        pump(recipe, feeds);
        let dead = || Err(Error::new(Kind::Bug, "a thread that writes to a store died"));
        running.into_iter().map(|t| t.join().unwrap_or_else(|_| dead())).collect()
    })
}

/// Reads the recipe once and hands every piece to whoever still listens.
fn pump(recipe: &dyn Recipe, mut feeds: Vec<Option<SyncSender<Piece>>>) {
    let mut give = |piece: &dyn Fn() -> Piece| {
        for feed in &mut feeds {
            if feed.as_ref().is_some_and(|f| f.send(piece()).is_err()) {
                *feed = None;
            }
        }
        feeds.iter().any(Option::is_some)
    };
    let outcome = (|| -> Result<Packed> {
        let mut pass = recipe.open()?;
        let mut buffer = vec![0; CHUNK];
        loop {
            let n = fill(&mut pass, &mut buffer).map_err(|e| {
                e.downcast::<Error>().unwrap_or_else(|e| {
                    Error::new(Kind::Io, format!("cannot read {}", recipe.title())).because(e)
                })
            })?;
            if n == 0 {
                return pass.finish();
            }
            let bytes: Arc<[u8]> = buffer[..n].into();
            if !give(&|| Piece::Bytes(Arc::clone(&bytes))) {
                return Err(Error::new(Kind::Bug, "no sink is left"));
            }
        }
    })();
    match outcome {
        Ok(packed) => give(&|| Piece::End(packed.clone())),
        Err(e) => give(&|| Piece::Failed(e.kind(), e.to_string(), e.hint_text().map(str::to_owned))),
    };
}

fn fill(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match from.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(got) => n += got,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}

/// The recipe as one of the sinks sees it.
struct Branch<'a> {
    recipe: &'a dyn Recipe,
    first: Mutex<Option<Receiver<Piece>>>,
}

impl Recipe for Branch<'_> {
    fn title(&self) -> String {
        self.recipe.title()
    }

    fn size(&self) -> Option<u64> {
        self.recipe.size()
    }

    fn work(&self) -> u64 {
        self.recipe.work()
    }

    fn open(&self) -> Result<Box<dyn Pass + '_>> {
        let first = self.first.lock().ok().and_then(|mut f| f.take());
        match first {
            Some(pieces) => Ok(Box::new(Shared { pieces, current: Arc::from(&[][..]), at: 0, end: None })),
            None => self.recipe.open(),
        }
    }
}

/// A share in the one reading.
struct Shared {
    pieces: Receiver<Piece>,
    current: Arc<[u8]>,
    at: usize,
    end: Option<Packed>,
}

impl Read for Shared {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        while self.at == self.current.len() {
            if self.end.is_some() {
                return Ok(0);
            }
            match self.pieces.recv() {
                Ok(Piece::Bytes(bytes)) => (self.current, self.at) = (bytes, 0),
                Ok(Piece::End(packed)) => self.end = Some(packed),
                Ok(Piece::Failed(kind, why, hint)) => {
                    let mut e = Error::new(kind, why);
                    if let Some(hint) = hint {
                        e = e.hint(hint);
                    }
                    return Err(e.into_io());
                }
                Err(_) => return Err(io::Error::other("the reading that several stores share ended early")),
            }
        }
        let n = buf.len().min(self.current.len() - self.at);
        buf[..n].copy_from_slice(&self.current[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

impl Pass for Shared {
    fn finish(self: Box<Self>) -> Result<Packed> {
        self.end.ok_or_else(|| Error::new(Kind::Bug, "a pass was finished before its end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::Hashing;
    use crate::oci::{Descriptor, DiffId};
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Fixed(Vec<u8>, AtomicUsize);

    struct FixedPass<'a>(Hashing<&'a [u8]>);

    impl Read for FixedPass<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0.read(buf)
        }
    }

    impl Pass for FixedPass<'_> {
        fn finish(self: Box<Self>) -> Result<Packed> {
            let (digest, size, _) = self.0.finish();
            Ok(Packed { descriptor: Descriptor::new("x", digest, size), diff_id: DiffId(digest) })
        }
    }

    impl Recipe for Fixed {
        fn title(&self) -> String {
            "fixed".into()
        }
        fn size(&self) -> Option<u64> {
            Some(self.0.len() as u64)
        }
        fn work(&self) -> u64 {
            self.0.len() as u64
        }
        fn open(&self) -> Result<Box<dyn Pass + '_>> {
            self.1.fetch_add(1, Ordering::SeqCst);
            Ok(Box::new(FixedPass(Hashing::new(&self.0))))
        }
    }

    fn drain(recipe: &dyn Recipe) -> Result<(Vec<u8>, Packed)> {
        let mut pass = recipe.open()?;
        let mut out = Vec::new();
        pass.read_to_end(&mut out).map_err(|e| Error::new(Kind::Io, e.to_string()))?;
        Ok((out, pass.finish()?))
    }

    #[test]
    fn all_sinks_see_one_reading() {
        let recipe = Fixed(vec![7; 3_000_000], AtomicUsize::new(0));
        let results = tee(&recipe, &[&drain, &drain, &drain]);
        for r in results {
            assert_eq!(r.unwrap().0, recipe.0);
        }
        assert_eq!(recipe.1.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_sink_that_fails_does_not_stop_the_others_and_may_read_again() {
        let recipe = Fixed(vec![7; 5_000_000], AtomicUsize::new(0));
        let fails = |_: &dyn Recipe| -> Result<(Vec<u8>, Packed)> { Err(Error::new(Kind::Io, "full")) };
        let twice = |r: &dyn Recipe| {
            r.open()?;
            drain(r)
        };
        let mut results = tee(&recipe, &[&fails, &twice, &drain]).into_iter();
        assert!(results.next().unwrap().is_err());
        assert_eq!(results.next().unwrap().unwrap().0.len(), 5_000_000);
        assert_eq!(results.next().unwrap().unwrap().0.len(), 5_000_000);
        assert_eq!(recipe.1.load(Ordering::SeqCst), 2);
    }
}

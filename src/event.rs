//! What happens while floe works, told to whoever watches.
//!
//! The library prints nothing. An [`Event`] is data; a progress bar, plain lines, JSON lines and a
//! test's recorder are observers. Adding an event: add the variant here, its line in
//! `cli/progress.rs`, and its row in the README's list; fields are only ever added.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::error::{Error, Kind, Result};

/// The version of the event format, first in every JSON line.
pub const EVENT_VERSION: u32 = 1;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A stage of the work began.
    Stage {
        /// What is being done, as in `read the model`.
        name: String,
    },
    /// Something that the user should know although the work goes on.
    Warning {
        /// What it is.
        message: String,
        /// What can be done about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A fact about the work, for those who asked for more.
    Note {
        /// What it is.
        message: String,
    },
    /// A detail that helps to find a cause, as which mirror was asked.
    Detail {
        /// What it is.
        message: String,
    },
    /// What will be packed is known.
    Contents {
        /// Number of files.
        files: usize,
        /// Bytes of all of them.
        bytes: u64,
        /// The largest files, largest first.
        largest: Vec<FileSize>,
        /// What the model's folder holds and the image will not, escaped for people.
        ignored: Vec<String>,
    },
    /// A piece of content begins to be hashed, packed or sent.
    Begin {
        /// Names the piece in the events that follow.
        id: u64,
        /// What it is, for people.
        title: String,
        /// How many bytes are expected, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
    },
    /// Bytes were read; a failed attempt gives its bytes back, so it can be negative.
    Progress {
        /// The piece.
        id: u64,
        /// How many bytes more.
        bytes: i64,
    },
    /// A piece is done.
    End {
        /// The piece.
        id: u64,
        /// How it ended, as in `sent`, `already there`, `mounted`.
        outcome: String,
    },
    /// An image was published under a name.
    Published {
        /// The name, as floe and skopeo read it.
        reference: String,
        /// Digest of the manifest or index.
        digest: String,
        /// The version tag.
        version: String,
        /// Whether the same content had been published there before.
        existed: bool,
    },
    /// A model is loaded and takes requests until the process is told to stop.
    Serving {
        /// What callers call it.
        name: String,
        /// Address and port of REST.
        http: String,
        /// Address and port of gRPC.
        grpc: String,
    },
}

/// A file and how large it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileSize {
    /// Its path within the model, escaped for people.
    pub path: String,
    /// Bytes.
    pub size: u64,
}

/// A number that no other piece of this process has, for [`Event::Begin`].
pub fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Watches the work.
pub trait Observe: Send + Sync {
    /// Is told of an event. Must not block for long: it runs on the thread that does the work.
    fn on(&self, event: Event);

    /// Whether the work should stop as soon as it can.
    fn stop(&self) -> bool {
        false
    }
}

/// An observer that several hold, for what happens outside of any one piece of work.
#[derive(Clone)]
pub struct Watch(Arc<dyn Observe>);

impl Watch {
    /// Shares an observer.
    pub fn new(see: Arc<dyn Observe>) -> Self {
        Self(see)
    }

    /// Tells it of an event.
    pub fn on(&self, event: Event) {
        self.0.on(event);
    }

    /// Tells it of a detail.
    pub fn detail(&self, message: impl Into<String>) {
        self.on(Event::Detail { message: message.into() });
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self(Arc::new(Quiet))
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// An observer that does not look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Observe for Quiet {
    fn on(&self, _: Event) {}
}

/// Tells an observer of a warning.
pub fn warn(see: &dyn Observe, message: impl Into<String>, hint: Option<&str>) {
    see.on(Event::Warning { message: message.into(), hint: hint.map(str::to_owned) });
}

/// Fails when the observer wants the work to stop.
pub fn checkpoint(see: &dyn Observe) -> Result<()> {
    if see.stop() { Err(Error::new(Kind::Interrupted, "stopped by the user")) } else { Ok(()) }
}

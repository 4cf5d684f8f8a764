//! The machine that reads opcodes.

use crate::error::{Error, Kind, Result};
use crate::model::pb::Source;
use crate::model::pickle::node::Pickle;

/// How much a pickle may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Opcodes.
    pub steps: u64,
    /// Nodes in the arena.
    pub nodes: usize,
    /// Bytes that are read.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 20_000_000, nodes: 1_000_000, bytes: 64 << 20 }
    }
}

/// A name that the pickle has a loader look up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The module.
    pub module: String,
    /// The name in it.
    pub name: String,
    /// Whether the loader would call it.
    pub called: bool,
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// The tree.
    pub pickle: Pickle,
    /// The protocol, as the `PROTO` opcode says; 0 or 1 where there is none.
    pub protocol: u8,
    /// The offset behind `STOP`.
    pub end: u64,
    /// Each name that is looked up, once.
    pub uses: Vec<Use>,
    /// The limit at which the reading stopped, if it did not come to `STOP`.
    pub stopped: Option<String>,
}

/// Reads the pickle that begins at an offset.
pub fn read(source: &dyn Source, offset: u64, limits: &Limits) -> Result<Read> {
    let _ = (source, offset, limits);
    Err(Error::new(Kind::Bug, "not written"))
}

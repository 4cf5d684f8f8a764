//! What the machine is told, and what it tells: limits, and the tree with the names in it.

use crate::model::pickle::node::{Id, Pickle, Text};

/// How much a pickle may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Opcodes.
    pub steps: u64,
    /// Nodes in the arena; each takes 48 bytes.
    pub nodes: usize,
    /// Bytes that are read; those that are skipped do not count.
    pub bytes: u64,
    /// Bytes of memory for what hangs on the nodes.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 20_000_000, nodes: 1_000_000, bytes: 64 << 20, memory: 48 << 20 }
    }
}

/// A name that the pickle has a loader look up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The module.
    pub module: String,
    /// The name in it.
    pub name: String,
    /// Whether the loader would call it, or make an object of it.
    pub called: bool,
    /// Whether it is only ever used as a class of which objects are made (`NEWOBJ`), which Python
    /// refuses for functions.
    pub made: bool,
    /// The offset of the opcode that looks it up first.
    pub offset: u64,
}

/// Something that a loader would do besides looking names up and calling them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// A number of `copyreg`'s extension registry, which stands for any name.
    Extension(u32),
    /// What is called is itself the result of a call, at this node.
    ComputedCall(Id),
    /// The state of a class, function or module is changed: this node, a `Node::Global`.
    Patched(Id),
    /// A file beside this one that holds an array (joblib before 0.10), by its name.
    SideFile(String),
    /// A whole pickle inside this text, for the function of this name to load.
    Nested {
        /// What loads it: `pickle.loads`, `torch.storage._load_from_bytes`.
        by: String,
        /// The pickle.
        text: Text,
    },
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
    /// How many opcodes there are.
    pub steps: u64,
    /// Each name that is looked up, once.
    pub uses: Vec<Use>,
    /// What else a loader would do.
    pub notes: Vec<Note>,
    /// Bytes of memory that hang on the nodes, about.
    pub memory: usize,
    /// The limit at which the reading stopped, if it did not come to `STOP`.
    pub stopped: Option<String>,
    /// What lay lowest on the stack where the reading stopped: mostly the object that would have
    /// become the root, without its state; or the function that would have made it.
    pub unfinished: Option<Id>,
}

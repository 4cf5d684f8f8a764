//! Pickles: what their opcodes would build, as an inert tree.
//!
//! A [`Pickle`] is an arena of [`Node`]s, made by [`read`] from the opcodes of protocols 0 to 5. A
//! class is a name and a call is a node with its arguments: nothing is imported, nothing is called.
//! It is not what the pickle means: which class a name stands for, and what the state of an object
//! says, is for the formats to know.
//!
//! Invariants: no recursion in reading, walking or dropping; nodes may be shared and may be cyclic,
//! as in Python; strings and bytes over [`INLINE`] are kept as a place in the file.

mod beside;
mod budget;
mod fold;
mod inflate;
mod input;
mod machine;
mod memo;
mod names;
mod node;
mod numpy;
mod operand;
mod stored;
mod text;
mod told;
mod verdict;

pub use beside::{Beside, Open, is_side_file};
pub use machine::read;
pub use node::{Form, Id, Node, Object, Pickle, Text};
pub use numpy::{Array, ArrayData, ElementType};
pub use stored::{Peek, Stored, dangers, looks_like, open, peek};
pub use told::{Limits, Note, Read, Use};
pub use verdict::{Allow, verdict};

/// Strings and bytes up to this many bytes are kept; of longer ones, where they lie.
pub const INLINE: usize = 64 << 10;

#[cfg(test)]
mod tests;

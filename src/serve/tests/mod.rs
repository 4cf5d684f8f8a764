//! The server over real sockets, with a double in the engine's place.

mod client;
pub(super) mod double;
mod drain;
mod limits;
mod serving;

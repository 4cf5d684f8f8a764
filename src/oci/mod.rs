//! The documents and names of the Open Container Initiative, as pure data.
//!
//! Nothing here does I/O. Parsing is validation: a [`Digest`], [`Reference`] or [`Platform`] that
//! exists is well formed. New documents are built from `oci-spec` types; what comes from a base is
//! kept as JSON values, since those types drop keys that they do not know. Everything is written
//! by [`json::canonical`].

pub mod annotation;
pub mod descriptor;
pub mod digest;
pub mod document;
pub mod json;
pub mod media_type;
pub mod platform;
pub mod reference;

pub use descriptor::Descriptor;
pub use digest::{DiffId, Digest};
pub use document::{Config, Index, Manifest};
pub use platform::Platform;
pub use reference::Reference;

//! One test binary; each module is one subject.

#![allow(missing_docs, clippy::unwrap_used)]

mod layering;
mod registry;
mod support;

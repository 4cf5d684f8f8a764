//! One test binary; each module is one subject.

#![allow(missing_docs, clippy::unwrap_used)]

mod formats;
mod golden;
mod kill;
mod layering;
mod peers;
mod reproducible;
mod sandbox;
mod schema;
mod stores;
mod support;

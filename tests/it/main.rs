//! One test binary; each module is one subject.

#![allow(missing_docs)]

mod formats;
mod golden;
mod layering;
mod peers;
mod reproducible;
mod sandbox;
mod schema;
mod stores;
mod support;

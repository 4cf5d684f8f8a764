//! One test binary; each module is one subject.

#![allow(missing_docs, clippy::unwrap_used)]

mod access;
mod attached;
mod cache;
mod cli;
mod copy;
mod crowd;
mod embedded;
mod formats;
mod golden;
mod kill;
mod layering;
mod limits;
mod onto;
mod peers;
mod pickle;
mod registry;
mod reproducible;
mod sandbox;
mod schema;
mod serving;
mod stores;
mod support;
mod traffic;
mod verify;
mod versions;

//! floe freezes a machine-learning model into an OCI image.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod blob;
pub mod build;
pub mod error;
pub mod event;
pub mod fs;
pub mod image;
pub mod infer;
pub mod inspect;
pub mod model;
pub mod oci;
pub mod pack;
pub mod plan;
pub mod runtimes;
pub mod store;
pub mod tar;
pub mod versions;

pub use error::{Error, Kind, Result};

//! What several tests need: registries, the built program, models, bases, layouts to be checked.

// Each subject uses another part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub(crate) mod bases;
pub(crate) mod debian;
pub(crate) mod elf;
pub(crate) mod http;
pub(crate) mod models;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod registry;
pub(crate) mod secrets;
pub(crate) mod sending;
pub(crate) mod tls;
pub(crate) mod walk;

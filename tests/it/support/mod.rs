//! What several tests need: registries.

// Each subject uses another part of it.
#![allow(dead_code, unreachable_pub)]

pub mod debian;
pub mod http;
pub mod registry;

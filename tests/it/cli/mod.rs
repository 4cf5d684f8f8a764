//! What a person sees: the binary, its two streams and its exit code.

#![allow(clippy::unwrap_used, clippy::format_push_string)]

mod bad_input;
mod bad_registry;
mod bench;
mod commands;
mod conventions;
mod definitions;
mod image;
mod images;
mod serve;

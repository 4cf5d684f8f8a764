//! What a person sees: the binary, its two streams and its exit code.

mod bad_input;
mod bench;
mod commands;
mod conventions;
mod definitions;
mod image;
mod images;

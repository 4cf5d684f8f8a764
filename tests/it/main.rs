//! One test binary; each module is one subject.

#![allow(missing_docs)]

mod cli;
mod formats;
mod layering;
mod stores;

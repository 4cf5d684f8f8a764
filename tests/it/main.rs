//! One test binary; each module is one subject.

#![allow(missing_docs)]

mod layering;
mod stores;

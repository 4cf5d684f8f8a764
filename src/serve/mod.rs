//! Serving: a frozen model answers over the Open Inference Protocol, version 2.
//!
//! One process serves one model. Both protocols, REST and gRPC, are codecs around the same
//! [`Model`], which holds the contract, the engine and the limits; neither knows of the other.
//!
//! Invariants: a request that breaks the contract never reaches the engine; memory is bounded by
//! the limits whatever clients do; nothing is written to any folder.

pub mod bodies;
pub mod check;
pub mod datatype;
pub mod grpc;
pub mod listen;
pub mod locate;
pub mod metrics;
pub mod model;
mod patient;
pub mod rest;
pub mod run;
#[cfg(test)]
mod tests;

pub use metrics::Metrics;
pub use model::{Infer, Inferred, Limits, Model, Refused};
pub use patient::Patience;
pub use run::{Options, run};

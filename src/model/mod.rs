//! What is in a model directory: the files, what the author declared, and what the files tell.

pub mod contract;
pub mod definition;
pub mod flat;
pub mod format;
pub mod hdf5;
pub mod ignore;
pub mod npy;
pub mod parquet;
pub mod payload;
pub mod pb;
pub mod pickle;
pub mod pull;
pub mod python;
pub mod secrets;
pub mod tree;
pub mod zip;

pub use contract::{Contract, DType, Known, Shape, Signature, Tensor};
pub use tree::Tree;

//! What is in a model directory: the files, what the author declared, and what the files tell.

pub mod contract;
pub mod format;
pub mod pb;
pub mod tree;

pub use contract::{Contract, DType, Known, Shape, Signature, Tensor};
pub use tree::Tree;

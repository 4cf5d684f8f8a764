//! The engine: what computes an ONNX model's outputs from its inputs, in this process.
//!
//! It is not a server ([`crate::serve`] is) and knows no contract: it tells which inputs and outputs
//! the loaded graph has, its [`Port`]s, and runs. Two libraries do the work, each behind
//! [`Backend`]; which one loads a model is decided once, when it is loaded, and never changes.
//!
//! Invariant: an engine that was loaded never aborts the process: a backend's panic is caught and
//! becomes an error of the one request.

pub mod check;
pub mod load;
pub mod operators;
pub mod tensor;

mod claims;
mod external;
mod gate;
mod guard;
mod ml;
mod rten;
mod tract;

#[cfg(test)]
mod tests;

use crate::model::contract::{DType, Shape};

pub use check::{Checked, check};
pub use load::{load, load_with};
pub use operators::{Operator, operators};
pub use tensor::{Data, Tensor};

/// An input or output of a loaded graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name in the graph.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Shape; `None` where the rank is not known.
    pub shape: Option<Shape>,
}

/// Why a run gave no outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The model cannot take these inputs together.
    Input(String),
    /// The engine failed, whoever is to blame.
    Engine(String),
}

/// A library that has loaded a graph.
pub trait Backend: Send + Sync {
    /// What the library is called: `tract`.
    fn name(&self) -> &'static str;

    /// Computes the outputs, in the order of the graph's, from all inputs, in the order of the graph's.
    ///
    /// # Errors
    ///
    /// Whatever the library says, in one line. A panic is the caller's to catch.
    fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Failure>;
}

/// A model that was loaded and can be run from many threads at once.
pub struct Engine {
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    backend: Box<dyn Backend>,
}

impl Engine {
    /// An engine over a backend that has loaded a graph with these ports.
    pub fn new(inputs: Vec<Port>, outputs: Vec<Port>, backend: Box<dyn Backend>) -> Self {
        Self { inputs, outputs, backend }
    }

    /// What the graph takes; weights that may be overridden are not among them.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What the graph gives.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The library that runs the graph.
    pub fn backend(&self) -> &'static str {
        self.backend.name()
    }

    /// Computes the outputs, in the order of [`Self::outputs`], from inputs in the order of
    /// [`Self::inputs`].
    ///
    /// # Errors
    ///
    /// [`Failure::Input`] when the inputs do not fit the graph or each other,
    /// [`Failure::Engine`] when the backend gave up or panicked.
    pub fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Failure> {
        if inputs.len() != self.inputs.len() {
            let (got, want) = (inputs.len(), self.inputs.len());
            return Err(Failure::Input(format!("the model takes {want} inputs, {got} were given")));
        }
        guard::caught(|| self.backend.run(inputs)).unwrap_or_else(|panic| {
            Err(Failure::Engine(format!("the engine ({}) panicked: {panic}", self.backend.name())))
        })
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("backend", &self.backend.name())
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs)
            .finish()
    }
}

//! rten, for models that tract cannot follow in symbols, or not at all.
//!
//! It keeps int64 and bool as int32: values that do not fit are refused on the way in, and outputs get
//! the dtype of their port back. Whether a model may be run here at all, [`super::gate`] says.
//!
//! rten makes a pool of threads for the whole process at its first run and leaves it idle; the work is
//! done in a pool of the model's own.

mod convert;

use std::sync::Arc;

use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView};

use super::external::Files;
use super::guard::line;
use super::{Backend, Failure, Port, Tensor};
use crate::model::contract::DType;

/// The library's name.
pub(super) const NAME: &str = "rten";

/// Whether rten takes and gives values of a dtype.
pub(super) fn holds(dtype: DType) -> bool {
    use DType::{Bool, Float32, Int8, Int32, Int64, UInt8};
    matches!(dtype, Bool | Float32 | Int8 | Int32 | Int64 | UInt8)
}

/// A model that rten has loaded.
pub(super) struct Rten {
    model: Model,
    pool: Arc<ThreadPool>,
    inputs: Vec<(NodeId, String)>,
    outputs: Vec<NodeId>,
    dtypes: Vec<DType>,
}

impl Rten {
    /// Loads a model from the bytes of its file; the files of its weights were checked.
    ///
    /// # Errors
    ///
    /// rten's reason, in one line.
    pub(super) fn load(
        bytes: Vec<u8>,
        files: &Files,
        threads: usize,
        inputs: &[Port],
        outputs: &[Port],
    ) -> Result<Self, String> {
        let mut options = ModelOptions::with_all_ops();
        for (name, path) in files {
            let content = std::fs::read(path).map_err(|e| {
                line(&format!("cannot read `{}`: {e}", crate::error::show_bytes(name.as_bytes())))
            })?;
            options.external_data(name, content);
        }
        let model = options.load(bytes).map_err(|e| line(&e.to_string()))?;
        let name = |id: &NodeId| model.node_info(*id).and_then(|i| i.name().map(str::to_owned));
        let found: Vec<Option<String>> = model.input_ids().iter().map(name).collect();
        if found.len() != inputs.len()
            || found.iter().zip(inputs).any(|(f, p)| f.as_deref() != Some(p.name.as_str()))
            || model.output_ids().len() != outputs.len()
        {
            return Err("rten sees other inputs or outputs than the graph has".into());
        }
        let dtypes = outputs.iter().map(|p| p.dtype).collect();
        let pool = Arc::new(ThreadPool::with_num_threads(threads.max(1)));
        let inputs = model.input_ids().iter().copied().zip(inputs.iter().map(|p| p.name.clone())).collect();
        let outputs = model.output_ids().to_vec();
        Ok(Self { model, pool, inputs, outputs, dtypes })
    }
}

impl Backend for Rten {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Failure> {
        let mut values: Vec<(NodeId, ValueOrView<'_>)> = Vec::with_capacity(inputs.len());
        for ((id, name), tensor) in self.inputs.iter().zip(&inputs) {
            let value: Value = convert::enter(name, tensor)?;
            values.push((*id, value.into()));
        }
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&self.pool)));
        let results = self
            .model
            .run(values, &self.outputs, Some(options))
            .map_err(|e| Failure::Engine(line(&e.to_string())))?;
        if results.len() != self.dtypes.len() {
            let (got, want) = (results.len(), self.dtypes.len());
            return Err(Failure::Engine(format!("{want} outputs were expected, {got} were computed")));
        }
        results
            .into_iter()
            .zip(&self.dtypes)
            .map(|(value, dtype)| convert::leave(value, *dtype).map_err(Failure::Engine))
            .collect()
    }
}

//! Plans for shapes that are known: what a model needs whose graph tract cannot follow in symbols.
//!
//! Invariant: at most [`MAX_PLANS`] plans are kept, whatever shapes are asked for, and nothing of a
//! shape that does not fit the model; a plan is made by one request while others of the same shapes
//! wait for it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tract_onnx::prelude::{InferenceFact, InferenceModel};

use super::{NAME, Output, Plan, convert, outputs, plan, run, told};
use crate::engine::guard::caught;
use crate::engine::{Backend, Failure, Tensor};
use crate::model::contract::DType;

/// How many plans are kept; each may hold the model's weights once more, in the order it needs.
const MAX_PLANS: usize = 4;

/// Shapes and dtypes of all inputs.
type Key = Vec<(DType, Vec<usize>)>;
/// A plan that is being made by whoever came first.
type Cell = Arc<OnceLock<Result<Plan, String>>>;

/// A model with a few plans.
pub(in crate::engine) struct Fixed {
    model: InferenceModel,
    dtypes: Vec<DType>,
    plans: Mutex<Plans>,
}

#[derive(Default)]
struct Plans {
    /// The one that was used last comes first.
    made: Vec<(Key, Plan)>,
    making: Vec<(Key, Cell)>,
}

impl Fixed {
    /// A parsed model without a plan yet.
    pub(in crate::engine) fn new(model: InferenceModel) -> Self {
        Self { model, dtypes: Vec::new(), plans: Mutex::default() }
    }

    /// Sets the dtypes that the outputs must have.
    pub(in crate::engine) fn giving(self, dtypes: Vec<DType>) -> Self {
        Self { dtypes, ..self }
    }

    /// What tract finds out about the outputs for inputs of these shapes.
    ///
    /// # Errors
    ///
    /// tract's reason, in one line, why they do not fit.
    pub(in crate::engine) fn outputs(&self, inputs: &[(DType, Vec<usize>)]) -> Result<Vec<Output>, String> {
        outputs(&self.plan(inputs.to_vec())?)
    }

    /// A panic while the lock is held leaves nothing half done.
    fn plans(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plan for inputs of these shapes.
    fn plan(&self, key: Key) -> Result<Plan, String> {
        let cell = {
            let mut plans = self.plans();
            if let Some(at) = plans.made.iter().position(|(k, _)| *k == key) {
                let found = plans.made.remove(at);
                let plan = Arc::clone(&found.1);
                plans.made.insert(0, found);
                return Ok(plan);
            }
            let making = plans.making.iter().find(|(k, _)| *k == key).map(|(_, cell)| Arc::clone(cell));
            making.unwrap_or_else(|| {
                let cell = Cell::default();
                plans.making.push((key.clone(), Arc::clone(&cell)));
                cell
            })
        };
        let made = cell.get_or_init(|| caught(|| self.make(&key)).and_then(|made| made)).clone();
        let mut plans = self.plans();
        let before = plans.making.len();
        plans.making.retain(|(_, c)| !Arc::ptr_eq(c, &cell));
        // Only the first to come here keeps it.
        if let Ok(plan) = &made
            && plans.making.len() < before
        {
            plans.made.insert(0, (key, Arc::clone(plan)));
            plans.made.truncate(MAX_PLANS);
        }
        made
    }

    fn make(&self, key: &Key) -> Result<Plan, String> {
        let mut model = self.model.clone();
        for (at, (dtype, shape)) in key.iter().enumerate() {
            let dtype = convert::datum_type(*dtype).ok_or_else(|| format!("tract has no {dtype}"))?;
            model.set_input_fact(at, InferenceFact::dt_shape(dtype, shape.as_slice())).map_err(told)?;
        }
        plan(model)
    }
}

impl Backend for Fixed {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Failure> {
        let key = inputs.iter().map(|t| (t.dtype(), t.shape().to_vec())).collect();
        let plan = self.plan(key).map_err(Failure::Input)?;
        run(&plan, &inputs, &self.dtypes)
    }
}

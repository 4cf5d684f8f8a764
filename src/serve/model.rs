//! The served model: what both protocols speak to.
//!
//! It checks a request against the contract, waits for its turn, runs the engine on a thread where
//! that may block, and says in one word per way to fail why there is no answer ([`Refused`]).
//!
//! Invariants: at most [`Limits::workers`] requests run and [`Limits::queue`] wait, and one more is
//! refused at once; a run that outlives its deadline keeps its place until it ends, so that late
//! answers cannot pile up.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::watch;
use tokio::time::Instant;

use super::bodies::Bodies;
use super::check;
use super::metrics::Metrics;
use crate::engine::{Engine, Failure, Tensor};
use crate::model::contract::Signature;

/// How much the server takes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that run at once.
    pub workers: usize,
    /// Requests that wait for their turn.
    pub queue: usize,
    /// Bytes of one request's body.
    pub body: usize,
    /// Bytes of all bodies that are in memory at once.
    pub bodies: usize,
    /// From a request's first byte to its answer.
    pub deadline: Duration,
    /// Connections at once, on each port.
    pub connections: usize,
}

/// A request to compute outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Infer {
    /// Inputs by name.
    pub inputs: Vec<(String, Tensor)>,
    /// Outputs that are wanted, in this order; none means all.
    pub outputs: Vec<String>,
}

/// The outputs, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Inferred {
    /// In the order in which they were asked for.
    pub outputs: Vec<(String, Tensor)>,
}

/// Why there is no answer. Each text is for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The request breaks the contract or the protocol: 400, `INVALID_ARGUMENT`.
    Invalid(String),
    /// There is no such model or version: 404, `NOT_FOUND`.
    Missing(String),
    /// Too large: 413, `RESOURCE_EXHAUSTED`.
    TooLarge(String),
    /// The queue is full: 503 with `Retry-After`, `UNAVAILABLE`.
    Busy(String),
    /// The server is stopping or not ready: 503, `UNAVAILABLE`.
    Stopping(String),
    /// The deadline passed: 504, `DEADLINE_EXCEEDED`.
    Late(String),
    /// The engine failed: 500, `INTERNAL`.
    Failed(String),
}

/// A model that is being served.
pub struct Model {
    name: String,
    version: String,
    model_id: Option<String>,
    signature: Signature,
    engine: Arc<Engine>,
    limits: Limits,
    metrics: Arc<Metrics>,
    bodies: Bodies,
    ready: watch::Sender<bool>,
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

impl Model {
    /// A model that is ready.
    pub fn new(
        name: String,
        version: String,
        model_id: Option<String>,
        signature: Signature,
        engine: Engine,
        limits: Limits,
    ) -> Self {
        let running = Arc::new(Semaphore::new(limits.workers));
        let admitted = Arc::new(Semaphore::new(limits.workers.saturating_add(limits.queue)));
        let engine = Arc::new(engine);
        let ready = watch::Sender::new(true);
        let metrics = Arc::new(Metrics::default());
        let bodies = Bodies::new(limits.bodies, Arc::clone(&metrics));
        metrics.serves(&name, &version, model_id.as_deref(), engine.backend());
        Self { name, version, model_id, signature, engine, limits, metrics, bodies, ready, running, admitted }
    }

    /// The same model, counting where others count too.
    #[must_use]
    pub fn counting(mut self, metrics: Arc<Metrics>) -> Self {
        metrics.serves(&self.name, &self.version, self.model_id.as_deref(), self.engine.backend());
        self.bodies = Bodies::new(self.limits.bodies, Arc::clone(&metrics));
        self.metrics = metrics;
        self
    }

    /// Where its requests are counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What callers call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its only version: the first 16 digits of the model id, where that is known.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What the model is, apart from its base; unknown for one that was not built.
    pub fn model_id(&self) -> Option<&str> {
        self.model_id.as_deref()
    }

    /// The contract's signature that is served.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// What runs it.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What runs it, in the protocol's form `format_engine`: `onnx_tract`.
    pub fn platform(&self) -> String {
        format!("onnx_{}", self.engine.backend())
    }

    /// How much it takes on.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The memory that bodies of both protocols may hold.
    pub fn bodies(&self) -> &Bodies {
        &self.bodies
    }

    /// Whether new requests should be sent here.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// The same, and when that changes.
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Tells probes that no new requests should be sent here; those that come are still answered.
    pub fn retire(&self) {
        self.ready.send_replace(false);
    }

    /// Whether this is the model, and the version, that a caller means.
    ///
    /// # Errors
    ///
    /// [`Refused::Missing`], naming what is here.
    pub fn is(&self, name: &str, version: Option<&str>) -> Result<(), Refused> {
        let shown = |s: &str| crate::error::show_bytes(s.as_bytes());
        if name != self.name {
            return Err(Refused::Missing(format!(
                "there is no model `{}` here, only `{}`",
                shown(name),
                shown(&self.name)
            )));
        }
        match version {
            Some(v) if v != self.version => Err(Refused::Missing(format!(
                "there is no version `{}` of `{}` here, only `{}`",
                shown(v),
                shown(name),
                shown(&self.version)
            ))),
            _ => Ok(()),
        }
    }

    /// Checks the request, waits for its turn, runs it; all within [`Limits::deadline`] from now.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub async fn infer(&self, request: Infer) -> Result<Inferred, Refused> {
        self.infer_until(request, Instant::now() + self.limits.deadline).await
    }

    /// As [`Self::infer`], where the deadline is counted from the request's first byte.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub async fn infer_until(&self, request: Infer, deadline: Instant) -> Result<Inferred, Refused> {
        let wanted = self.wanted(&request.outputs)?;
        let inputs =
            check::inputs(&self.signature, self.engine.inputs(), request.inputs).map_err(Refused::Invalid)?;
        let Ok(place) = Arc::clone(&self.admitted).try_acquire_owned() else {
            return Err(Refused::Busy(format!(
                "{} requests run and {} wait, which is all this server takes",
                self.limits.workers, self.limits.queue
            )));
        };
        let engine = Arc::clone(&self.engine);
        let running = Arc::clone(&self.running);
        let metrics = Arc::clone(&self.metrics);
        let run = async move {
            let came = Instant::now();
            let waiting = metrics.waiting();
            let turn = running
                .acquire_owned()
                .await
                .map_err(|_| Refused::Stopping("the server is stopping".into()))?;
            metrics.queued(came.elapsed());
            drop(waiting);
            tokio::task::spawn_blocking(move || {
                let runs = metrics.running();
                let began = Instant::now();
                let result = engine.run(inputs);
                metrics.inferred(began.elapsed());
                drop((runs, turn, place));
                result
            })
            .await
            .map_err(|_| Refused::Failed("the engine's thread ended".into()))
        };
        let late = || Refused::Late(format!("no answer within {} ms", self.limits.deadline.as_millis()));
        let outputs = match tokio::time::timeout_at(deadline, run).await.map_err(|_| late())?? {
            Ok(outputs) => outputs,
            Err(Failure::Input(why)) => return Err(Refused::Invalid(why)),
            Err(Failure::Engine(why)) => return Err(Refused::Failed(why)),
        };
        let mut outputs: Vec<Option<Tensor>> = outputs.into_iter().map(Some).collect();
        let outputs = wanted
            .into_iter()
            .filter_map(|at| {
                let tensor = outputs.get_mut(at)?.take()?;
                Some((self.engine.outputs().get(at)?.name.clone(), tensor))
            })
            .collect();
        Ok(Inferred { outputs })
    }

    /// Positions of the outputs that are wanted.
    fn wanted(&self, names: &[String]) -> Result<Vec<usize>, Refused> {
        let ports = self.engine.outputs();
        if names.is_empty() {
            return Ok((0..ports.len()).collect());
        }
        let mut all = Vec::new();
        for name in names {
            let shown = crate::error::show_bytes(name.as_bytes());
            let Some(at) = ports.iter().position(|p| p.name == *name) else {
                let known: Vec<String> = ports
                    .iter()
                    .map(|p| format!("`{}`", crate::error::show_bytes(p.name.as_bytes())))
                    .collect();
                return Err(Refused::Invalid(format!(
                    "there is no output `{shown}`; the model gives {}",
                    known.join(", ")
                )));
            };
            if all.contains(&at) {
                return Err(Refused::Invalid(format!("the output `{shown}` is asked for twice")));
            }
            all.push(at);
        }
        Ok(all)
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

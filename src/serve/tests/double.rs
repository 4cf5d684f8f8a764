//! An engine that does what a test says.

use std::sync::mpsc;
use std::time::Duration;

use crate::engine::{Backend, Engine, Failure, Port, Tensor};
use crate::event::{Event, Observe};
use crate::model::contract::{DType, Known, Shape, Signature};
use crate::serve::model::{Limits, Model};
use crate::serve::run::{self, Options};

type Run = dyn Fn(Vec<Tensor>) -> Result<Vec<Tensor>, Failure> + Send + Sync;

struct Double(Box<Run>);

impl Backend for Double {
    fn name(&self) -> &'static str {
        "double"
    }

    fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Failure> {
        (self.0)(inputs)
    }
}

/// An engine with one input `x` and one output `y`.
pub(in crate::serve) fn engine(
    dtype: DType,
    shape: Option<Shape>,
    run: impl Fn(Vec<Tensor>) -> Result<Vec<Tensor>, Failure> + Send + Sync + 'static,
) -> Engine {
    let input = Port { name: "x".into(), dtype, shape };
    let output = Port { name: "y".into(), ..input.clone() };
    Engine::new(vec![input], vec![output], Box::new(Double(Box::new(run))))
}

/// An engine that gives its input back.
pub(in crate::serve) fn echo(dtype: DType, shape: Option<Shape>) -> Engine {
    engine(dtype, shape, Ok)
}

/// A model `m` whose contract leaves everything to the graph.
pub(in crate::serve) fn model(engine: Engine, limits: Limits) -> Model {
    let open = Signature {
        name: "predict".into(),
        known: Known::Convention,
        inputs: Vec::new(),
        outputs: Vec::new(),
    };
    Model::new("m".into(), "dev".into(), None, open, engine, limits)
}

/// What is usual, on ports that are free.
pub(super) fn options() -> Options {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/models/onnx/on_dev_scaler/model.onnx");
    Options {
        http_port: 0,
        grpc_port: 0,
        name: Some("m".into()),
        drain_delay: Duration::ZERO,
        ..Options::new(model)
    }
}

/// Passes on what is said.
struct Heard(mpsc::Sender<String>);

impl Observe for Heard {
    fn on(&self, event: Event) {
        let line = match event {
            Event::Note { message } | Event::Warning { message, .. } => message,
            Event::Serving { http, .. } => format!("serving {http}"),
            _ => return,
        };
        let _nobody_listens = self.0.send(line);
    }
}

/// A server that runs on a thread of its own.
pub(super) struct Server {
    pub(super) port: u16,
    said: mpsc::Receiver<String>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<crate::Result<()>>>,
}

impl Server {
    /// Starts it with a double's engine and waits until it is ready.
    pub(super) fn start(options: Options, engine: Engine) -> Self {
        let mut server = Self::begin(options, move || engine);
        let line = server.hears("serving ");
        server.port = line.rsplit(':').next().unwrap().parse().unwrap();
        server
    }

    /// Starts it and does not wait.
    pub(super) fn begin(options: Options, load: impl FnOnce() -> Engine + Send + 'static) -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (say, said) = mpsc::channel();
        let port = options.http_port;
        let thread = std::thread::spawn(move || {
            let stopped = async move {
                let _told = stopped.await;
            };
            run::run_with(&options, stopped, &Heard(say), move |_, _| Ok(load()))
        });
        Self { port, said, stop: Some(stop), thread: Some(thread) }
    }

    /// Waits for a line that begins so.
    pub(super) fn hears(&self, begin: &str) -> String {
        loop {
            let line = self.said.recv_timeout(Duration::from_secs(20)).unwrap();
            if line.starts_with(begin) {
                return line;
            }
        }
    }

    /// Tells it to stop.
    pub(super) fn stop(&mut self) {
        let _gone = self.stop.take().unwrap().send(());
    }

    /// Waits until it has failed.
    pub(super) fn fails(mut self) -> crate::Error {
        self.thread.take().unwrap().join().unwrap().unwrap_err()
    }

    /// Stops it and waits until it has ended.
    pub(super) fn end(mut self) -> crate::Result<()> {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap()
    }
}

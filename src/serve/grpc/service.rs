//! The service `inference.GRPCInferenceService`: which methods there are, and what each answers.
//!
//! Methods that are Triton's alone (repositories, shared memory, statistics) are not there; a caller
//! is told `UNIMPLEMENTED`. Lengths and frames are [`super::call`]'s, tensors [`super::tensors`]'s.
//!
//! Invariant: every call ends with a status by its deadline, and is counted once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use prost::Message;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::{Code, Status};
use tonic_health::pb::health_server::HealthServer;

use super::bounds::Bounds;
use super::call::{self, invalid, status};
use super::connection::Activity;
use super::health::{self, Probe};
use super::messages::{
    InferParameter, ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelMetadataResponse,
    ModelReadyRequest, ModelReadyResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest,
    ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse, TensorMetadata,
};
use super::tensors;
use crate::engine::Port;
use crate::error::show_bytes;
use crate::model::contract::Tensor as Described;
use crate::serve::datatype;
use crate::serve::{Infer, Model, Refused};

/// The service's full name.
pub const SERVICE: &str = "inference.GRPCInferenceService";
/// What metrics call this protocol.
pub(super) const PROTOCOL: &str = "grpc";
/// The longest message of the methods that take no tensors.
const SMALL: usize = 64 * 1024;
/// Elements of so many bytes are read on a thread that may be busy for long.
const LARGE: usize = 1024 * 1024;
/// Extensions that change where tensors lie or what they mean: who asks for them must not get
/// something else. Others may be ignored.
const REFUSED_PARAMETERS: [&str; 2] = ["shared_memory_region", "classification"];

/// Answers all calls of all connections.
pub(super) struct Service {
    model: Arc<Model>,
    health: HealthServer<Probe>,
}

impl Service {
    /// Calls of a model; streams end when `stop` turns true.
    pub(super) fn new(model: Arc<Model>, stop: watch::Receiver<bool>) -> Self {
        Self { health: Probe::server(Arc::clone(&model), stop), model }
    }

    /// The model that it serves.
    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    /// Answers one call.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        activity: &Arc<Activity>,
    ) -> Response<Body> {
        let started = Instant::now();
        // What is not gRPC is answered in the words of HTTP, as gRPC's document asks.
        let no = match () {
            () if request.method() != Method::POST => Some(StatusCode::METHOD_NOT_ALLOWED),
            () if !call::is_grpc(request.headers()) => Some(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            () => None,
        };
        if let Some(no) = no {
            let mut response = Response::new(Body::default());
            *response.status_mut() = no;
            return response;
        }
        let response = match self.within(request, started, activity).await {
            Ok(response) => response,
            Err(status) => status.into_http(),
        };
        let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |s| s.code());
        self.model.metrics().answered(PROTOCOL, call::name(code), started.elapsed());
        response
    }

    /// Answers a call before its deadline.
    async fn within(
        &self,
        request: Request<Incoming>,
        started: Instant,
        activity: &Arc<Activity>,
    ) -> Result<Response<Body>, Status> {
        let most = self.model.limits().deadline;
        let patience = call::patience(request.headers())?.map_or(most, |p| p.min(most));
        let deadline = started + patience;
        if request.uri().path().starts_with(health::PATH) {
            return self.health(request, deadline, activity).await;
        }
        let going = activity.begin(Some(deadline));
        let (head, body) = request.into_parts();
        let answer = call::contained(self.call(head.uri.path(), body));
        let answer = tokio::time::timeout_at(deadline, answer).await.map_err(|_| late(patience))???;
        Ok(call::ok(going.until_sent(answer)))
    }

    /// Answers a call of the health protocol; its streams have no deadline.
    async fn health(
        &self,
        request: Request<Incoming>,
        deadline: Instant,
        activity: &Arc<Activity>,
    ) -> Result<Response<Body>, Status> {
        let going = activity.begin(None);
        let mut server = self.health.clone();
        let answer = call::contained(server.call(request));
        let limit = self.model.limits().deadline;
        let answer = tokio::time::timeout_at(deadline, answer).await.map_err(|_| late(limit))??;
        let answer = answer.unwrap_or_else(|never| match never {});
        Ok(answer.map(|body| {
            Body::new(http_body_util::BodyExt::map_frame(body, move |frame| {
                // The call goes on for as long as its body lives.
                let _going = &going;
                frame
            }))
        }))
    }

    /// The answer of one method, with the five bytes before it.
    async fn call(&self, path: &str, body: Incoming) -> Result<Bytes, Status> {
        let method = path.strip_prefix('/').and_then(|p| p.strip_prefix(SERVICE)?.strip_prefix('/'));
        match method.unwrap_or_default() {
            "ServerLive" => {
                let ServerLiveRequest {} = self.small(body).await?;
                self.reply(ServerLiveResponse { live: true }).await
            }
            "ServerReady" => {
                let ServerReadyRequest {} = self.small(body).await?;
                self.reply(ServerReadyResponse { ready: self.model.is_ready() }).await
            }
            "ModelReady" => {
                let ModelReadyRequest { name, version } = self.small(body).await?;
                self.is(&name, &version)?;
                self.reply(ModelReadyResponse { ready: self.model.is_ready() }).await
            }
            "ServerMetadata" => {
                let ServerMetadataRequest {} = self.small(body).await?;
                let (name, version) = ("floe".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
                // Of the server, whichever protocol asks.
                let extensions = vec!["binary_tensor_data".to_owned()];
                self.reply(ServerMetadataResponse { name, version, extensions }).await
            }
            "ModelMetadata" => {
                let ModelMetadataRequest { name, version } = self.small(body).await?;
                self.is(&name, &version)?;
                self.reply(self.metadata()).await
            }
            "ModelInfer" => {
                let message = call::receive(body, self.model.limits().body, self.model.bodies()).await?;
                let answer = self.infer(message).await?;
                self.reply(answer).await
            }
            _ => Err(Status::unimplemented(format!(
                "there is no method `{}` here",
                show_bytes(path.chars().take(200).collect::<String>().as_bytes())
            ))),
        }
    }

    async fn small<M: Message + Default>(&self, body: Incoming) -> Result<M, Status> {
        call::decode(call::receive(body, SMALL, self.model.bodies()).await?)
    }

    async fn reply<M: Message>(&self, message: M) -> Result<Bytes, Status> {
        call::encode(message, self.model.bodies()).await
    }

    fn is(&self, name: &str, version: &str) -> Result<(), Status> {
        self.model.is(name, (!version.is_empty()).then_some(version)).map_err(status)
    }

    fn metadata(&self) -> ModelMetadataResponse {
        let (engine, signature) = (self.model.engine(), self.model.signature());
        ModelMetadataResponse {
            name: self.model.name().to_owned(),
            versions: vec![self.model.version().to_owned()],
            platform: self.model.platform(),
            inputs: describe(engine.inputs(), &signature.inputs),
            outputs: describe(engine.outputs(), &signature.outputs),
        }
    }

    async fn infer(&self, message: Bytes) -> Result<ModelInferResponse, Status> {
        let engine = self.model.engine();
        let bounds = Bounds { inputs: engine.inputs().len(), outputs: engine.outputs().len() };
        bounds.check(&message).map_err(invalid)?;
        let request: ModelInferRequest = call::decode(message)?;
        self.is(&request.model_name, &request.model_version)?;
        refuse(request.inputs.iter().map(|i| (&i.name, &i.parameters)))?;
        refuse(request.outputs.iter().map(|o| (&o.name, &o.parameters)))?;
        let raw = tensors::wants_raw(&request.inputs, &request.raw_input_contents);
        let given = tensors::look(request.inputs, request.raw_input_contents).map_err(invalid)?;
        // What typed elements and strings take beyond the message; raw numbers take nothing.
        let room = match given.cost {
            0 => None,
            cost => Some(self.model.bodies().room_now(cost).map_err(status)?),
        };
        let inputs = if given.cost > LARGE {
            let read = tokio::task::spawn_blocking(move || given.tensors());
            read.await.map_err(|_| Status::internal("the server failed at this request"))?
        } else {
            given.tensors()
        };
        let outputs = request.outputs.into_iter().map(|o| o.name).collect();
        let wanted = Infer { inputs: inputs.map_err(invalid)?, outputs };
        let inferred = self.model.infer(wanted).await.map_err(status)?;
        drop(room);
        let (outputs, raw_output_contents) =
            tensors::outputs(inferred.outputs, raw).map_err(|e| status(Refused::Failed(e)))?;
        Ok(ModelInferResponse {
            model_name: self.model.name().to_owned(),
            model_version: self.model.version().to_owned(),
            id: request.id,
            outputs,
            raw_output_contents,
            ..Default::default()
        })
    }
}

fn late(patience: Duration) -> Status {
    status(Refused::Late(format!("no answer within {} ms", patience.as_millis())))
}

/// Refuses extensions that are not here and cannot be ignored.
fn refuse<'a>(
    tensors: impl Iterator<Item = (&'a String, &'a std::collections::BTreeMap<String, InferParameter>)>,
) -> Result<(), Status> {
    for (name, parameters) in tensors {
        if let Some(found) = REFUSED_PARAMETERS.iter().find(|p| parameters.contains_key(**p)) {
            let name = show_bytes(name.as_bytes());
            return Err(invalid(format!(
                "`{name}` has the parameter `{found}`, which this server does not know"
            )));
        }
    }
    Ok(())
}

/// Inputs or outputs in the protocol's words; the contract's before the graph's.
fn describe(ports: &[Port], said: &[Described]) -> Vec<TensorMetadata> {
    let describe = |port: &Port| {
        let said = said.iter().find(|t| t.name == port.name);
        let dtype = said.and_then(|t| t.dtype).unwrap_or(port.dtype);
        let shape = said.and_then(|t| t.shape.as_ref()).or(port.shape.as_ref());
        let dim = |d: &Option<u64>| d.and_then(|d| i64::try_from(d).ok()).unwrap_or(-1);
        TensorMetadata {
            name: port.name.clone(),
            datatype: datatype::word(dtype).unwrap_or(dtype.name()).to_owned(),
            // The protocol has no word for an unknown rank.
            shape: shape.map_or_else(|| vec![-1], |dims| dims.iter().map(dim).collect()),
        }
    };
    ports.iter().map(describe).collect()
}

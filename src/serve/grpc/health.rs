//! gRPC's own health protocol, `grpc.health.v1`: what Kubernetes' gRPC probes and load balancers ask.
//!
//! It says what [`Model::is_ready`] says, for the server as a whole (the empty name) and for the
//! service. Messages and codec are `tonic-health`'s; its reporter is not used, because that keeps a
//! state of its own, which could differ from the model's.
//! Source: gRPC's `health-checking.md`.
//!
//! Invariant: a watcher learns of every change at once, and its stream ends when the server stops.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::call::status;
use super::service::SERVICE;
use super::stopped;
use crate::error::show_bytes;
use crate::serve::{Model, Refused};

/// The path of its methods.
pub(super) const PATH: &str = "/grpc.health.v1.Health/";
/// The longest request: a service's name.
const LONGEST: usize = 4096;

/// Answers for one model.
pub(super) struct Probe {
    model: Arc<Model>,
    stop: watch::Receiver<bool>,
}

impl Probe {
    /// A server of the protocol for a model, whose streams end when `stop` turns true.
    pub(super) fn server(model: Arc<Model>, stop: watch::Receiver<bool>) -> HealthServer<Self> {
        HealthServer::new(Self { model, stop }).max_decoding_message_size(LONGEST)
    }
}

fn knows(service: &str) -> bool {
    service.is_empty() || service == SERVICE
}

fn response(ready: bool) -> HealthCheckResponse {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for Probe {
    type WatchStream = Changes;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = &request.get_ref().service;
        if !knows(service) {
            return Err(status(Refused::Missing(format!(
                "there is no service `{}` here, only `{SERVICE}`",
                show_bytes(service.as_bytes())
            ))));
        }
        Ok(Response::new(response(self.model.is_ready())))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let known = knows(&request.get_ref().service);
        let mut ready = self.model.readiness();
        let mut stop = self.stop.clone();
        // One change may wait for a slow reader; what comes after it is read when there is room.
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let now = if known {
                    response(*ready.borrow_and_update())
                } else {
                    HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() }
                };
                let sent = tokio::select! {
                    sent = sender.send(Ok(now)) => sent.is_ok(),
                    () = stopped(&mut stop) => false,
                };
                if !sent {
                    break;
                }
                let changed = tokio::select! {
                    changed = ready.changed() => changed.is_ok(),
                    () = sender.closed() => false,
                    () = stopped(&mut stop) => false,
                };
                if !changed {
                    break;
                }
            }
        });
        Ok(Response::new(Changes(receiver)))
    }
}

/// Readiness now and at each change.
pub(super) struct Changes(mpsc::Receiver<Result<HealthCheckResponse, Status>>);

impl Stream for Changes {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

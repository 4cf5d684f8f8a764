//! gRPC: the protocol's service `inference.GRPCInferenceService` and gRPC's own health service, over
//! HTTP/2 without TLS.
//!
//! It is a codec around [`Model`]: what a request may hold, when it runs and why it is refused is
//! decided there. The transport is hyper's HTTP/2 with one message each way (`call`), because room
//! for a message must be taken between its length and its bytes, and be given back with its last
//! byte; `tonic` lends its status and body, and serves the health protocol.
//!
//! Invariants: no more connections than [`Limits::connections`](super::Limits::connections) are
//! open, others wait in the kernel's queue; after `stop`, what was begun is finished and nothing else
//! is taken.

mod bounds;
mod call;
mod connection;
mod contents;
mod health;
pub mod messages;
mod service;
mod tensors;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::error::Result;
use crate::serve::Model;

use connection::Pace;
pub use service::SERVICE;
use service::Service;

/// How long to wait when the kernel gives no connection, because the process has too many open files.
const BREATH: Duration = Duration::from_millis(100);

/// Serves a model on a listener, until `stop` turns true or its sender is gone; then finishes what was
/// begun.
///
/// Whoever stops it calls [`Model::retire`] before, so that probes see that first.
///
/// # Errors
///
/// None today; a listener that gives no connection is asked again.
pub async fn serve(model: Arc<Model>, listener: TcpListener, stop: watch::Receiver<bool>) -> Result<()> {
    serve_at(Pace::default(), model, listener, stop).await
}

async fn serve_at(
    pace: Pace,
    model: Arc<Model>,
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let places = model.limits().connections.clamp(1, Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(places));
    let service = Arc::new(Service::new(model, stop.clone()));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes the semaphore");
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            // Those that ended give their memory back.
            Some(_ended) = connections.join_next() => continue,
            () = stopped(&mut stop) => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        let (service, stop) = (Arc::clone(&service), stop.clone());
        connections.spawn(async move {
            let _counted = service.model().metrics().connected(service::PROTOCOL);
            connection::serve(stream, Arc::clone(&service), pace, stop).await;
            drop(place);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Waits until `stop` is true, or nobody is left who could set it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _gone = stop.wait_for(|stop| *stop).await;
}

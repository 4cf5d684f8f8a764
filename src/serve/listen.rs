//! Listening: addresses, and the loop that accepts connections of HTTP/1.1.
//!
//! It knows nothing of the protocol above HTTP. A connection that is over the limit is not accepted:
//! it waits in the kernel until another one ends.
//!
//! Invariant: when [`serve`] returns, every request that was being worked on has been answered.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::watch::Receiver;

use super::metrics::Metrics;
use super::patient::{Patience, Patient, Pulse};
use super::rest::Rest;
use crate::error::{At, Result};

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: u32 = 1024;
/// Bytes of a request's head, and of one reading of a body.
const BUFFER: usize = 64 << 10;
/// How long accepting rests when there are no file descriptors left.
const REST: Duration = Duration::from_millis(100);

/// Takes an address. `::` means all addresses, of IPv4 too, and those alone where there is no IPv6.
///
/// # Errors
///
/// When the address cannot be had: it is in use, or not this machine's. Must be called in a runtime.
pub fn bind(host: IpAddr, port: u16) -> Result<TcpListener> {
    let address = SocketAddr::new(host, port);
    let listener = match open(address) {
        Err(e) if host == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && e.kind() != io::ErrorKind::AddrInUse => {
            open(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
        }
        other => other,
    };
    listener.doing(format!("listen on {address}")).map_err(|e| {
        e.hint("choose another port with `--http-port` or `--grpc-port`, or an address with `--host`")
    })
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that is started again need not wait for the connections of the last one.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Answers requests until `stop` turns true and the last of them is answered.
pub async fn serve(
    listener: TcpListener,
    rest: Arc<Rest>,
    metrics: Arc<Metrics>,
    connections: usize,
    patience: Patience,
    mut stop: Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(connections.clamp(1, Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    let mut http = hyper::server::conn::http1::Builder::new();
    http.max_buf_size(BUFFER).header_read_timeout(None::<Duration>);
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let Some((slot, accepted)) = before(next, &mut stop).await else { break };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            // The peer was gone before it was accepted, or descriptors have run out, which passes.
            Err(e) if is_of_the_peer(&e) => continue,
            Err(_) => {
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        // One write is one answer: there is nothing to wait for.
        let _without = stream.set_nodelay(true);
        let connection = connection(&http, stream, Arc::clone(&rest), patience);
        let watched = graceful.watch(connection);
        let counted = metrics.connected("rest");
        tokio::spawn(async move {
            // Whatever ends a connection, its client knows as much of it as we do.
            let _ended = watched.await;
            drop((slot, counted));
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

fn connection(
    http: &hyper::server::conn::http1::Builder,
    stream: TcpStream,
    rest: Arc<Rest>,
    patience: Patience,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send + 'static {
    let pulse = Arc::new(Pulse::default());
    let io = TokioIo::new(Patient::new(stream, Arc::clone(&pulse), patience));
    let service = service_fn(move |request| {
        let (rest, pulse) = (Arc::clone(&rest), Arc::clone(&pulse));
        async move {
            pulse.busy();
            let answer = rest.answer(request).await;
            if answer.headers().contains_key(http::header::CONNECTION) {
                pulse.leaves_unread();
            }
            pulse.idle();
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    http.serve_connection(io, service)
}

/// What a future gives, unless `stop` is true before that.
pub(super) async fn before<T>(future: impl Future<Output = T>, stop: &mut Receiver<bool>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    // A sender that is gone means the same as one that says so.
    let mut stopped = std::pin::pin!(stop.wait_for(|stop| *stop));
    std::future::poll_fn(|cx| {
        if stopped.as_mut().poll(cx).is_ready() {
            return std::task::Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

fn is_of_the_peer(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(e.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset | Interrupted)
}

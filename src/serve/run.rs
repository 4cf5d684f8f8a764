//! A run of the server: start, readiness, drain.
//!
//! 1. Both ports are taken first, so that one that is in use is told before a long load.
//! 2. While the model is being loaded, the server is live and not ready.
//! 3. Once it is loaded, the server is ready until it is told to stop.
//! 4. Then it is not ready, yet accepts connections until those who send requests have noticed
//!    ([`Options::drain_delay`]); then it accepts no more and finishes what it has begun, for no
//!    longer than [`Options::grace`].
//!
//! Invariant: a request that was accepted before the last step is answered.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use super::listen;
use super::locate::{self, Located};
use super::metrics::Metrics;
use super::model::{Limits, Model};
use super::patient::Patience;
use super::rest::Rest;
use crate::engine::Engine;
use crate::error::{At, Error, Kind, Result, show_bytes};
use crate::event::{self, Event, Observe};

/// The port for REST where none is chosen, as KServe has it.
pub const HTTP_PORT: u16 = 8080;
/// The port for gRPC where none is chosen, as KServe has it.
pub const GRPC_PORT: u16 = 8081;
/// Digits of the model id that make a version.
const VERSION_DIGITS: usize = 16;
/// The version of a model that was not built.
const NO_VERSION: &str = "dev";
/// How long what was begun is waited for after an error.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What is served, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// A folder as it lies in an image, a folder with a model, or a model.
    pub path: PathBuf,
    /// The address to listen on; `::` means all, of IPv4 too.
    pub host: IpAddr,
    /// The port for REST; 0 lets the system choose.
    pub http_port: u16,
    /// The port for gRPC; 0 lets the system choose.
    pub grpc_port: u16,
    /// What callers call the model; without it the name of its folder or file.
    pub name: Option<String>,
    /// The model id, in hexadecimal digits; its first 16 are the version.
    pub model_id: Option<String>,
    /// How much is taken on.
    pub limits: Limits,
    /// Threads that one request may use.
    pub threads: usize,
    /// From being told to stop until no connection is accepted any more.
    pub drain_delay: Duration,
    /// How long requests may take that were begun before.
    pub grace: Duration,
    /// How long connections are waited for.
    pub patience: Patience,
}

impl Options {
    /// What is usual, on this machine alone.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            path: path.into(),
            host: Ipv4Addr::LOCALHOST.into(),
            http_port: HTTP_PORT,
            grpc_port: GRPC_PORT,
            name: None,
            model_id: None,
            limits: Limits {
                workers: cores,
                queue: 512,
                body: 64 << 20,
                bodies: 256 << 20,
                deadline: Duration::from_secs(30),
                connections: 1024,
            },
            threads: 1,
            drain_delay: Duration::from_secs(1),
            grace: Duration::from_secs(25),
            patience: Patience::default(),
        }
    }
}

/// Serves until `stop` is ready, and then until what was begun is done.
///
/// `stop` is polled in the server's own runtime, from before the model is loaded.
///
/// # Errors
///
/// When a port cannot be had, and when the model cannot be found, loaded or served.
pub fn run(options: &Options, stop: impl Future<Output = ()>, see: &dyn Observe) -> Result<()> {
    run_with(options, stop, see, crate::engine::load)
}

/// As [`run`], where something else loads the model.
pub(super) fn run_with(
    options: &Options,
    stop: impl Future<Output = ()>,
    see: &dyn Observe,
    load: impl FnOnce(&Path, usize) -> Result<Engine> + Send + 'static,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("floe-serve")
        // Those that compute, and those that read and write what is large.
        .max_blocking_threads(options.limits.workers.saturating_add(64))
        .build()
        .doing("start the server's threads")?;
    let result = runtime.block_on(serve(options, stop, see, load));
    // What still runs is of no use to anybody.
    runtime.shutdown_background();
    result
}

async fn serve(
    options: &Options,
    stop: impl Future<Output = ()>,
    see: &dyn Observe,
    load: impl FnOnce(&Path, usize) -> Result<Engine> + Send + 'static,
) -> Result<()> {
    let http = listen::bind(options.host, options.http_port)?;
    let grpc = listen::bind(options.host, options.grpc_port)?;
    let (at_http, at_grpc) = (address(&http)?, address(&grpc)?);
    let version = version(options.model_id.as_deref())?;
    let located = locate::locate(&options.path)?;
    let name = options.name.clone().unwrap_or_else(|| located.name.clone());
    let metrics = Arc::new(Metrics::default());
    let rest = Arc::new(Rest::new(name.clone(), Arc::clone(&metrics)));
    let (stopper, stopped) = watch::channel(false);
    let answering = tokio::spawn(listen::serve(
        http,
        Arc::clone(&rest),
        Arc::clone(&metrics),
        options.limits.connections,
        options.patience,
        stopped.clone(),
    ));
    let mut stop = pin!(stop);

    see.on(Event::Stage { name: format!("load the model `{}`", show_bytes(name.as_bytes())) });
    let threads = options.threads;
    let loading = tokio::task::spawn_blocking(move || loaded(&located, threads, load));
    let (signature, engine) = match first(loading, stop.as_mut()).await {
        First::Work(done) => {
            done.map_err(|e| Error::new(Kind::Bug, "the thread that loads the model ended").because(e))??
        }
        First::Stop => return Ok(()),
    };
    let model = Model::new(
        name.clone(),
        version,
        options.model_id.clone(),
        signature,
        engine,
        options.limits.clone(),
    );
    let model = Arc::new(model.counting(metrics));
    rest.serves(Arc::clone(&model));
    let speaking = tokio::spawn(super::grpc::serve(Arc::clone(&model), grpc, stopped));
    see.on(Event::Serving { name, http: at_http.to_string(), grpc: at_grpc.to_string() });

    let mut both = pin!(async move {
        let (http, grpc) = (answering.await, speaking.await);
        let ended = |e| Error::new(Kind::Bug, "a port's thread ended").because(e);
        http.map_err(ended)?;
        grpc.map_err(ended)?
    });
    match first(both.as_mut(), stop.as_mut()).await {
        First::Work(early) => {
            model.retire();
            tokio::time::sleep(LAST_WORDS).await;
            return early;
        }
        First::Stop => {}
    }
    model.retire();
    see.on(Event::Note { message: "stopping: requests in flight are answered first".to_owned() });
    tokio::time::sleep(options.drain_delay).await;
    // Both ports' tasks hold receivers, unless they have ended.
    let _heard = stopper.send(true);
    match tokio::time::timeout(options.grace, both).await {
        Ok(done) => done,
        Err(_) => {
            let seconds = options.grace.as_secs_f64();
            let message = format!("requests took longer than {seconds} s to end and were cut off");
            event::warn(see, message, Some("allow more time with `--grace`"));
            Ok(())
        }
    }
}

/// Loads the model, and takes the contract that is served.
fn loaded(
    located: &Located,
    threads: usize,
    load: impl FnOnce(&Path, usize) -> Result<Engine>,
) -> Result<(crate::model::Signature, Engine)> {
    let engine = load(&located.file, threads)?;
    let signature = locate::signature(located.contract.as_ref(), &engine)?;
    Ok((signature, engine))
}

enum First<T> {
    Work(T),
    Stop,
}

/// What is ready first; of two, the stop.
async fn first<T>(work: impl Future<Output = T>, mut stop: impl Future<Output = ()> + Unpin) -> First<T> {
    let mut work = pin!(work);
    std::future::poll_fn(|cx| {
        if std::pin::Pin::new(&mut stop).poll(cx).is_ready() {
            return Poll::Ready(First::Stop);
        }
        work.as_mut().poll(cx).map(First::Work)
    })
    .await
}

fn address(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().doing("see the port that was taken")
}

/// The version that a model id stands for.
fn version(model_id: Option<&str>) -> Result<String> {
    let Some(id) = model_id else { return Ok(NO_VERSION.to_owned()) };
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    let digits =
        hex.get(..VERSION_DIGITS).filter(|d| d.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
    digits.map(str::to_owned).ok_or_else(|| {
        let shown = show_bytes(id.as_bytes());
        Error::new(
            Kind::Usage,
            format!("expected a model id, `sha256:` and hexadecimal digits, found `{shown}`"),
        )
        .hint("`floe inspect` shows an image's; the image sets it in FLOE_MODEL_ID")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_beginning_of_the_model_id() {
        assert_eq!(version(None).unwrap(), "dev");
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(version(Some(&id)).unwrap(), "0123456789abcdef");
        assert_eq!(version(Some(&format!("sha256:{id}"))).unwrap(), "0123456789abcdef");
        for odd in [
            "",
            "0123",
            "0123456789ABCDEF",
            "0123456789abcdeé",
            "sha256:0123456789",
            "sha512:0123456789abcdef0123",
        ] {
            assert_eq!(version(Some(odd)).unwrap_err().kind(), Kind::Usage, "{odd}");
        }
    }
}

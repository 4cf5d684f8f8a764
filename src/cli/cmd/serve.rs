//! `floe serve`.

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::args::ServeArgs;
use crate::cli::context::Context;
use floe::Result;
use floe::event::{Observe, warn};
use floe::serve::{self, Limits, Options};

pub(crate) fn run(args: &ServeArgs, context: &Context) -> Result<()> {
    let (name, model_id) = context.served();
    let usual = Options::new(&args.path);
    let options = Options {
        host: args.host,
        http_port: args.http_port,
        grpc_port: args.grpc_port,
        name: args.name.clone().or(name),
        model_id: model_id.map(|id| id.trim_start_matches("sha256:").to_owned()),
        limits: Limits {
            workers: args.workers.unwrap_or(usual.limits.workers),
            queue: args.queue,
            body: args.max_body,
            // One body of the largest size has to fit.
            bodies: args.max_bodies.max(args.max_body),
            deadline: args.deadline,
            connections: args.max_connections,
        },
        threads: args.threads,
        drain_delay: args.drain_delay,
        grace: args.grace,
        ..usual
    };
    serve::run(&options, told_to_stop(context.see()), context.see())
}

/// Ends with the first SIGTERM or SIGINT. The second ends the process, by what the context set up.
async fn told_to_stop(see: &dyn Observe) {
    let mut all = Vec::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        match signal(kind) {
            Ok(one) => all.push(one),
            Err(e) => warn(see, format!("cannot watch for signals: {e}"), Some("end it with SIGKILL")),
        }
    }
    std::future::poll_fn(|cx| {
        // One that came before they were watched for is known to the context.
        let come = see.stop() || all.iter_mut().any(|s| s.poll_recv(cx).is_ready());
        if come { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

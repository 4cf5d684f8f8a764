//! The flags of `serve`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::values;
use floe::serve::run::{GRPC_PORT, HTTP_PORT};

/// Flags of `serve`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  floe serve model.onnx\n  floe serve ./model --name churn --http-port 9000\n\nAll flags with --help.",
    after_long_help = SERVE_LONG
)]
pub(crate) struct ServeArgs {
    /// The model: a folder as it lies in an image, a folder with an ONNX model, or a .onnx file
    #[arg(default_value = "/model", value_name = "DIR|FILE")]
    pub(crate) path: PathBuf,
    /// The address to listen on; `::` means all addresses, of IPv4 too
    #[arg(long, env = "FLOE_SERVE_HOST", default_value = "127.0.0.1", value_parser = values::host, value_name = "ADDRESS")]
    pub(crate) host: IpAddr,
    /// The port for REST; 0 lets the system choose
    #[arg(long, env = "FLOE_SERVE_HTTP_PORT", default_value_t = HTTP_PORT, value_name = "PORT")]
    pub(crate) http_port: u16,
    /// The port for gRPC; 0 lets the system choose
    #[arg(long, env = "FLOE_SERVE_GRPC_PORT", default_value_t = GRPC_PORT, value_name = "PORT")]
    pub(crate) grpc_port: u16,
    /// What callers call the model [default: FLOE_MODEL_NAME, else the folder's or file's name]
    #[arg(long, env = "FLOE_SERVE_NAME")]
    pub(crate) name: Option<String>,
    /// Requests that are computed at once [default: the number of cores]
    #[arg(long, env = "FLOE_SERVE_WORKERS", value_parser = values::at_least_one, value_name = "N")]
    pub(crate) workers: Option<usize>,
    /// Requests that wait for their turn; one more gets a 503
    #[arg(long, env = "FLOE_SERVE_QUEUE", default_value = "512", value_parser = values::count, value_name = "N")]
    pub(crate) queue: usize,
    /// Threads that compute one request
    #[arg(long, env = "FLOE_SERVE_THREADS", default_value = "1", value_parser = values::at_least_one, value_name = "N")]
    pub(crate) threads: usize,
    /// The largest body of a request
    #[arg(hide_short_help = true, long, env = "FLOE_SERVE_MAX_BODY", default_value = "64MiB", value_parser = values::size, value_name = "SIZE")]
    pub(crate) max_body: usize,
    /// Memory for the bodies of all requests and answers together
    #[arg(hide_short_help = true, long, env = "FLOE_SERVE_MAX_BODIES", default_value = "256MiB", value_parser = values::size, value_name = "SIZE")]
    pub(crate) max_bodies: usize,
    /// How long a request may take, from its first byte to its answer
    #[arg(hide_short_help = true, long, env = "FLOE_SERVE_DEADLINE", default_value = "30s", value_parser = values::time, value_name = "TIME")]
    pub(crate) deadline: Duration,
    /// Connections that are open at once, on each port; more have to wait
    #[arg(hide_short_help = true, long, env = "FLOE_SERVE_MAX_CONNECTIONS", default_value = "1024", value_parser = values::at_least_one, value_name = "N")]
    pub(crate) max_connections: usize,
    /// After SIGTERM: how long connections are accepted still, while readiness is false
    #[arg(hide_short_help = true, long, env = "FLOE_SERVE_DRAIN_DELAY", default_value = "1s", value_parser = values::time, value_name = "TIME")]
    pub(crate) drain_delay: Duration,
    /// After that: how long requests that were begun may take to end
    #[arg(hide_short_help = true, long, env = "FLOE_SERVE_GRACE", default_value = "25s", value_parser = values::time, value_name = "TIME")]
    pub(crate) grace: Duration,
}

/// What has to be known of a server before it is asked.
const SERVE_LONG: &str = concat!(
    "REST, by default on port 8080:\n",
    "  GET  /v2, /v2/health/live, /v2/health/ready, /metrics\n",
    "  GET  /v2/models/NAME[/versions/V][/ready]\n",
    "  POST /v2/models/NAME[/versions/V]/infer\n",
    "gRPC, by default on port 8081: inference.GRPCInferenceService and grpc.health.v1.\n",
    "The version is the first 16 digits of the model id, which the image gives in FLOE_MODEL_ID, else `dev`.\n",
    "Tensors are JSON or binary data (the extension binary_tensor_data). What JSON cannot say, as NaN,\n",
    "strings that are not UTF-8, FP16 and BF16, is a 400 that says to ask for binary data.\n",
    "Sizes are written 64MiB, times 30s or 500ms. Nothing is written to any folder.\n",
    "SIGTERM and SIGINT: readiness turns false, requests in flight are answered, exit code 0;\n",
    "a second one ends at once.\n\n",
    exit_codes!(),
    "\n\nExamples:\n",
    "  floe serve model.onnx\n",
    "  floe serve ./model --name churn --http-port 9000\n",
    "  curl localhost:8080/v2/models/model/infer -d '{\"inputs\":[{\"name\":\"x\",\"shape\":[1,2],\n",
    "    \"datatype\":\"FP32\",\"data\":[0.5,1]}]}'",
);

//! The server on a real socket, with a model that is a double, asked by a client of HTTP/2 that knows
//! nothing of the server's code but the messages.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::connection::Pace;
use super::messages::*;
use super::{SERVICE, serve_at};
use crate::engine::{Backend, Engine, Failure, Port, Tensor};
use crate::model::contract::{DType, Known, Signature};
use crate::serve::{Limits, Model};

type Run = Box<dyn Fn(Vec<Tensor>) -> Result<Vec<Tensor>, Failure> + Send + Sync>;

struct Double(Run);

impl Backend for Double {
    fn name(&self) -> &'static str {
        "double"
    }

    fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Failure> {
        (self.0)(inputs)
    }
}

fn limits() -> Limits {
    Limits {
        workers: 2,
        queue: 2,
        body: 1 << 20,
        bodies: 4 << 20,
        deadline: Duration::from_secs(20),
        connections: 8,
    }
}

fn port(name: &str, dtype: DType, shape: &[Option<u64>]) -> Port {
    Port { name: name.into(), dtype, shape: Some(shape.to_vec()) }
}

/// A model that takes `x` and gives the same as `y`.
fn echo(dtype: DType, limits: Limits) -> Model {
    running(dtype, limits, Box::new(Ok))
}

fn running(dtype: DType, limits: Limits, run: Run) -> Model {
    let ports = |name| vec![port(name, dtype, &[None, Some(2)])];
    let engine = Engine::new(ports("x"), ports("y"), Box::new(Double(run)));
    let signature =
        Signature { name: "serve".into(), known: Known::Stored, inputs: Vec::new(), outputs: Vec::new() };
    Model::new("m".into(), "abc".into(), None, signature, engine, limits)
}

struct Server {
    model: Arc<Model>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    ended: JoinHandle<crate::Result<()>>,
}

impl Server {
    async fn start(model: Model) -> Self {
        Self::start_at(Pace::default(), model).await
    }

    async fn start_at(pace: Pace, model: Model) -> Self {
        let model = Arc::new(model);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let ended = tokio::spawn(serve_at(pace, Arc::clone(&model), listener, stopped));
        Self { model, address, stop, ended }
    }

    async fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (send, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let ended = tokio::spawn(async move { drop(connection.await) });
        Client { send, ended }
    }

    async fn ends(self) {
        tokio::time::timeout(Duration::from_secs(5), self.ended).await.unwrap().unwrap().unwrap();
    }
}

struct Client {
    send: SendRequest<Full<Bytes>>,
    ended: JoinHandle<()>,
}

fn framed(message: &impl Message) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut out).unwrap();
    out.freeze()
}

fn text(headers: &http::HeaderMap, name: &str) -> String {
    headers.get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
}

impl Client {
    async fn raw(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> hyper::Result<http::Response<Incoming>> {
        let mut request = http::Request::post(format!("http://floe{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send.ready().await?;
        self.send.send_request(request.body(Full::new(body)).unwrap()).await
    }

    /// The bytes of the answer, or the status' number and text.
    async fn bytes(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Bytes, (u16, String)> {
        let response = self.raw(path, headers, body).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(text(response.headers(), "content-type"), "application/grpc");
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or(head.headers);
        match text(&trailers, "grpc-status").as_str() {
            "0" => Ok(body.to_bytes()),
            code => Err((
                code.parse().unwrap(),
                text(&trailers, "grpc-message").replace("%20", " ").replace("%60", "`"),
            )),
        }
    }

    async fn call<A: Message + Default>(
        &mut self,
        method: &str,
        message: &impl Message,
    ) -> Result<A, (u16, String)> {
        let bytes = self.bytes(&format!("/{SERVICE}/{method}"), &[], framed(message)).await?;
        assert_eq!(bytes[0], 0);
        assert_eq!(u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize, bytes.len() - 5);
        Ok(A::decode(bytes.slice(5..)).unwrap())
    }

    async fn infer(&mut self, request: &ModelInferRequest) -> Result<ModelInferResponse, (u16, String)> {
        self.call("ModelInfer", request).await
    }
}

fn raw(shape: &[i64], bytes: impl Into<Bytes>) -> ModelInferRequest {
    ModelInferRequest {
        model_name: "m".into(),
        inputs: vec![InferInputTensor {
            name: "x".into(),
            datatype: "FP32".into(),
            shape: shape.to_vec(),
            ..Default::default()
        }],
        raw_input_contents: vec![bytes.into()],
        ..Default::default()
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[tokio::test]
async fn c46_every_method_answers() {
    let server = Server::start(echo(DType::Float32, limits())).await;
    let mut client = server.client().await;
    let live: ServerLiveResponse = client.call("ServerLive", &ServerLiveRequest {}).await.unwrap();
    assert!(live.live);
    let ready: ServerReadyResponse = client.call("ServerReady", &ServerReadyRequest {}).await.unwrap();
    assert!(ready.ready);
    let about: ServerMetadataResponse =
        client.call("ServerMetadata", &ServerMetadataRequest {}).await.unwrap();
    assert_eq!((about.name.as_str(), about.version.as_str()), ("floe", env!("CARGO_PKG_VERSION")));
    let which = |name: &str, version: &str| ModelReadyRequest { name: name.into(), version: version.into() };
    let ready: ModelReadyResponse = client.call("ModelReady", &which("m", "")).await.unwrap();
    assert!(ready.ready);
    for (name, version, why) in [
        ("n", "", "there is no model `n` here, only `m`"),
        ("m", "1", "there is no version `1` of `m` here, only `abc`"),
    ] {
        let no = client.call::<ModelReadyResponse>("ModelReady", &which(name, version)).await.unwrap_err();
        assert_eq!(no, (5, why.to_owned()));
    }
    let about: ModelMetadataResponse = client
        .call("ModelMetadata", &ModelMetadataRequest { name: "m".into(), version: "abc".into() })
        .await
        .unwrap();
    assert_eq!(about.versions, ["abc"]);
    assert_eq!(about.platform, "onnx_double");
    assert_eq!(about.inputs[0].datatype, "FP32");
    assert_eq!(about.inputs[0].shape, [-1, 2]);
    assert_eq!(about.outputs[0].name, "y");
    server.model.retire();
    let ready: ServerReadyResponse = client.call("ServerReady", &ServerReadyRequest {}).await.unwrap();
    assert!(!ready.ready);
    let ready: ModelReadyResponse = client.call("ModelReady", &which("m", "abc")).await.unwrap();
    assert!(!ready.ready);
    let counted = server.model.metrics().text();
    assert!(counted.contains(r#"code="OK""#) && counted.contains(r#"code="NOT_FOUND""#), "{counted}");
}

#[tokio::test]
async fn c46_an_answer_is_raw_where_the_request_was() {
    let server = Server::start(echo(DType::Float32, limits())).await;
    let mut client = server.client().await;
    let request = ModelInferRequest {
        id: "17".into(),
        outputs: vec![InferRequestedOutputTensor { name: "y".into(), ..Default::default() }],
        ..raw(&[2, 2], floats(&[1.0, 2.0, 3.0, 4.0]))
    };
    let answer = client.infer(&request).await.unwrap();
    assert_eq!(answer.raw_output_contents, [floats(&[1.0, 2.0, 3.0, 4.0])]);
    assert_eq!((answer.model_name.as_str(), answer.model_version.as_str()), ("m", "abc"));
    assert_eq!(answer.id, "17");
    assert_eq!(answer.outputs[0].shape, [2, 2]);
    assert_eq!(answer.outputs[0].contents, None);
    let contents = InferTensorContents { fp32_contents: vec![5.0, 6.0], ..Default::default() };
    let mut typed = ModelInferRequest { raw_input_contents: Vec::new(), ..raw(&[1, 2], "") };
    typed.inputs[0].contents = Some(contents.encode_to_vec().into());
    let answer = client.infer(&typed).await.unwrap();
    assert!(answer.raw_output_contents.is_empty());
    assert_eq!(answer.outputs[0].contents, Some(contents));
}

#[tokio::test]
async fn c46_long_typed_contents_are_read() {
    let server = Server::start(echo(DType::Int64, limits())).await;
    let mut client = server.client().await;
    let n = 100_000;
    let contents = InferTensorContents { int64_contents: (0..2 * n).collect(), ..Default::default() };
    let request = ModelInferRequest {
        model_name: "m".into(),
        inputs: vec![InferInputTensor {
            name: "x".into(),
            datatype: "INT64".into(),
            shape: vec![n, 2],
            contents: Some(contents.encode_to_vec().into()),
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = client.infer(&request).await.unwrap();
    assert_eq!(answer.outputs[0].contents, Some(contents));
    // Numbers of one byte each on the wire, for which there is never enough memory.
    let small = Limits { bodies: 1 << 20, ..limits() };
    let server = Server::start(echo(DType::Int64, small)).await;
    let mut client = server.client().await;
    let contents = InferTensorContents { int64_contents: vec![0; 400_000], ..Default::default() };
    let mut request = request;
    request.inputs[0].shape = vec![200_000, 2];
    request.inputs[0].contents = Some(contents.encode_to_vec().into());
    let (code, text) = client.infer(&request).await.unwrap_err();
    assert_eq!(code, 8, "{text}");
    assert!(text.contains("needs 3200000 bytes of memory"), "{text}");
}

#[tokio::test]
async fn c46_what_breaks_the_contract_is_told_with_expected_and_found() {
    let server = Server::start(echo(DType::Float32, limits())).await;
    let mut client = server.client().await;
    let good = || raw(&[1, 2], floats(&[1.0, 2.0]));
    let input = |change: &dyn Fn(&mut InferInputTensor)| {
        let mut request = good();
        change(&mut request.inputs[0]);
        request
    };
    let wanted = |names: &[&str]| ModelInferRequest {
        outputs: names
            .iter()
            .map(|n| InferRequestedOutputTensor { name: (*n).into(), ..Default::default() })
            .collect(),
        ..good()
    };
    let shared = |p: &mut InferInputTensor| {
        p.parameters.insert("shared_memory_region".into(), InferParameter::default());
    };
    for (request, code, why) in [
        (ModelInferRequest { model_name: "n".into(), ..good() }, 5, "no model `n`"),
        (ModelInferRequest { model_version: "7".into(), ..good() }, 5, "no version `7`"),
        (input(&|i| i.name = "z".into()), 3, "there is no input `z`; the model takes `x`"),
        (input(&|i| i.datatype = "FP33".into()), 3, "found `FP33`"),
        (input(&|i| i.shape = vec![2, 1]), 3, "expected the shape [-1, 2], found [2, 1]"),
        (input(&|i| i.shape = vec![1, 3]), 3, "expected 12 bytes of raw contents (3 elements of 4), found 8"),
        (input(&|i| i.shape = vec![-1, 2]), 3, "expected dimensions of 0 or more, found [-1, 2]"),
        (input(&|i| i.shape = vec![1; 33]), 3, "expected at most 32 dimensions"),
        (input(&|i| i.shape = vec![i64::MAX, 2]), 3, "more elements than any memory"),
        (input(&|i| i.contents = Some(Bytes::new())), 3, "expected one form for all inputs"),
        (input(&shared), 3, "has the parameter `shared_memory_region`"),
        (
            ModelInferRequest { raw_input_contents: Vec::new(), ..good() },
            3,
            "expected 2 elements, found no contents",
        ),
        (
            ModelInferRequest { raw_input_contents: vec![Bytes::new(); 2], ..good() },
            3,
            "each of 1 inputs, found 2",
        ),
        (ModelInferRequest { inputs: Vec::new(), ..good() }, 3, "each of 0 inputs, found 1"),
        (
            ModelInferRequest { inputs: Vec::new(), raw_input_contents: Vec::new(), ..good() },
            3,
            "input `x` is missing",
        ),
        (
            ModelInferRequest { inputs: vec![InferInputTensor::default(); 99], ..good() },
            3,
            "at most 33 inputs",
        ),
        (wanted(&["q"]), 3, "there is no output `q`; the model gives `y`"),
        (wanted(&["y", "y"]), 3, "asked for twice"),
    ] {
        let (found, text) = client.infer(&request).await.unwrap_err();
        assert_eq!(found, code, "{text}");
        assert!(text.contains(why), "expected {why}, found {text}");
    }
    // The connection lives.
    assert!(client.infer(&good()).await.is_ok());
}

#[tokio::test]
async fn c46_frames_that_are_not_grpcs_are_refused() {
    let server = Server::start(echo(DType::Float32, limits())).await;
    let mut client = server.client().await;
    let infer = format!("/{SERVICE}/ModelInfer");
    let good = framed(&raw(&[1, 2], floats(&[1.0, 2.0])));
    for (body, code, why) in [
        (Bytes::new(), 3, "expected a message, found none"),
        (Bytes::from_static(&[0, 0, 0]), 3, "ends inside the five bytes"),
        (Bytes::from_static(&[0, 0, 0, 0, 9, 1]), 3, "expected a message of 9 bytes, found 1"),
        (Bytes::from_static(&[1, 0, 0, 0, 0]), 12, "compressed"),
        (Bytes::from_static(&[7, 0, 0, 0, 0]), 3, "expected the flag 0 before the message, found 7"),
        (Bytes::from_static(&[0, 0, 0, 0, 1, 255]), 3, "it ends inside a number"),
        (Bytes::from_static(&[0, 0, 0, 0, 3, 10, 1, 255]), 3, "the message is not what the method takes"),
        (
            Bytes::from_static(&[0, 255, 255, 255, 255]),
            8,
            "the message has 4294967295 bytes, at most 1048576 are taken",
        ),
        ([good.clone(), good.clone()].concat().into(), 3, "expected one message"),
    ] {
        let (found, text) = client.bytes(&infer, &[], body).await.unwrap_err();
        assert_eq!(found, code, "{text}");
        assert!(text.contains(why), "expected {why}, found {text}");
    }
    for path in ["/", "/x", "/inference.GRPCInferenceService/", "/inference.GRPCInferenceService/ModelConfig"]
    {
        let (code, text) = client.bytes(path, &[], good.clone()).await.unwrap_err();
        assert_eq!(code, 12);
        assert!(text.contains(path), "{text}");
    }
    let json = client.raw(&infer, &[("content-type", "x")], good.clone()).await.unwrap();
    assert_eq!(json.status(), 200, "the first content type counts");
    for timeout in ["1", "S", "123456789S", "1x", "-1S", ""] {
        let (code, text) =
            client.bytes(&infer, &[("grpc-timeout", timeout)], good.clone()).await.unwrap_err();
        assert_eq!(code, 3);
        assert!(text.contains("expected up to eight digits"), "{text}");
    }
    assert!(client.bytes(&infer, &[("grpc-timeout", "99999999H")], good).await.is_ok());
}

#[tokio::test]
async fn what_is_not_grpc_is_answered_in_the_words_of_http() {
    let server = Server::start(echo(DType::Float32, limits())).await;
    let mut client = server.client().await;
    for (method, kind, status) in [("GET", "application/grpc", 405), ("POST", "application/json", 415)] {
        let request = http::Request::builder()
            .method(method)
            .uri("http://floe/")
            .header("content-type", kind)
            .body(Full::default())
            .unwrap();
        let response = client.send.send_request(request).await.unwrap();
        assert_eq!(response.status(), status);
    }
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{said}");
}

#[tokio::test]
async fn a_name_of_any_length_gives_an_error_that_fits_a_header() {
    let server = Server::start(echo(DType::Float32, limits())).await;
    let mut client = server.client().await;
    let request = ModelInferRequest { model_name: "ü".repeat(200_000), ..raw(&[1, 2], floats(&[1.0, 2.0])) };
    let (code, text) = client.infer(&request).await.unwrap_err();
    assert_eq!(code, 5);
    assert!(text.len() < 8000, "{}", text.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_of_the_engine_are_told_apart() {
    let run = |inputs: Vec<Tensor>| match inputs[0].shape()[0] {
        1 => Err(Failure::Engine("no luck".into())),
        2 => Err(Failure::Input("not these".into())),
        3 => panic!("boom"),
        _ => Ok(inputs),
    };
    let server = Server::start(running(DType::Float32, limits(), Box::new(run))).await;
    let mut client = server.client().await;
    for (n, code, why) in [(1, 13, "no luck"), (2, 3, "not these"), (3, 13, "panicked: boom")] {
        let zeros = vec![0; n * 8];
        let (found, text) = client.infer(&raw(&[i64::try_from(n).unwrap(), 2], zeros)).await.unwrap_err();
        assert_eq!(found, code);
        assert!(text.contains(why), "{text}");
    }
    assert!(client.infer(&raw(&[4, 2], vec![0; 32])).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_earlier_of_two_deadlines_holds() {
    let counts = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let (started, ended) = (|c: &(AtomicUsize, _)| c.0.load(SeqCst), |c: &(_, AtomicUsize)| c.1.load(SeqCst));
    let slow = {
        let counts = Arc::clone(&counts);
        move |inputs| {
            counts.0.fetch_add(1, SeqCst);
            std::thread::sleep(Duration::from_secs(3));
            counts.1.fetch_add(1, SeqCst);
            Ok(inputs)
        }
    };
    let few = Limits { workers: 1, queue: 0, deadline: Duration::from_millis(150), ..limits() };
    let server = Server::start(running(DType::Float32, few, Box::new(slow))).await;
    let mut client = server.client().await;
    let path = format!("/{SERVICE}/ModelInfer");
    let body = framed(&raw(&[1, 2], vec![0; 8]));
    // On a busy machine the deadline may pass before the run begins.
    while started(&counts) == 0 {
        let (code, text) = client.bytes(&path, &[("grpc-timeout", "20m")], body.clone()).await.unwrap_err();
        // It may begin all the same, once nobody waits any more.
        if code == 14 {
            break;
        }
        assert_eq!((code, text.as_str()), (4, "no answer within 20 ms"));
    }
    // The run that nobody waits for keeps its place.
    let (code, _) = client.bytes(&path, &[], body.clone()).await.unwrap_err();
    assert_eq!((code, ended(&counts)), (14, 0));
    while ended(&counts) == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    loop {
        let (code, text) = client.bytes(&path, &[], body.clone()).await.unwrap_err();
        // Its place is free a moment after it ended.
        if code != 14 {
            assert_eq!((code, text.as_str()), (4, "no answer within 150 ms"));
            break;
        }
    }
}

async fn health(client: &mut Client, method: &str, service: &str) -> http::Response<Incoming> {
    let request = HealthCheckRequest { service: service.into() };
    client.raw(&format!("/grpc.health.v1.Health/{method}"), &[], framed(&request)).await.unwrap()
}

async fn next(body: &mut Incoming) -> Option<i32> {
    loop {
        let frame = tokio::time::timeout(Duration::from_secs(5), body.frame()).await.unwrap()?.unwrap();
        if let Ok(data) = frame.into_data() {
            return Some(HealthCheckResponse::decode(data.slice(5..)).unwrap().status);
        }
    }
}

#[tokio::test]
async fn c46_health_follows_the_model() {
    let server = Server::start(echo(DType::Float32, limits())).await;
    let mut client = server.client().await;
    let mut watched = health(&mut client, "Watch", "").await.into_body();
    let mut unknown = health(&mut client, "Watch", "nobody").await.into_body();
    assert_eq!(next(&mut watched).await, Some(1));
    assert_eq!(next(&mut unknown).await, Some(3));
    for service in ["", SERVICE] {
        assert_eq!(next(health(&mut client, "Check", service).await.body_mut()).await, Some(1));
    }
    let nobody = health(&mut client, "Check", "nobody").await;
    assert_eq!(text(nobody.headers(), "grpc-status"), "5");
    server.model.retire();
    assert_eq!(next(&mut watched).await, Some(2));
    for service in ["", SERVICE] {
        assert_eq!(next(health(&mut client, "Check", service).await.body_mut()).await, Some(2));
    }
    // A server that stops does not wait for watchers.
    server.stop.send(true).unwrap();
    assert_eq!(next(&mut watched).await, None);
    server.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c48_what_was_begun_is_finished_and_nothing_else_is_taken() {
    let slow = |inputs| {
        std::thread::sleep(Duration::from_millis(300));
        Ok(inputs)
    };
    let server = Server::start(running(DType::Float32, limits(), Box::new(slow))).await;
    let mut client = server.client().await;
    let mut idle = server.client().await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    let _: ServerLiveResponse = idle.call("ServerLive", &ServerLiveRequest {}).await.unwrap();
    let going = tokio::spawn(async move { client.infer(&raw(&[1, 2], vec![0; 8])).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.model.retire();
    server.stop.send(true).unwrap();
    assert!(going.await.unwrap().is_ok());
    let address = server.address;
    server.ends().await;
    tokio::time::timeout(Duration::from_secs(5), idle.ended).await.unwrap().unwrap();
    drop(silent);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let server = Server::start(echo(DType::Float32, Limits { connections: 1, ..limits() })).await;
    let mut first = server.client().await;
    let _: ServerLiveResponse = first.call("ServerLive", &ServerLiveRequest {}).await.unwrap();
    let mut second = server.client().await;
    let waits = async {
        let _: ServerLiveResponse = second.call("ServerLive", &ServerLiveRequest {}).await.unwrap();
        second
    };
    let mut waits = std::pin::pin!(waits);
    assert!(tokio::time::timeout(Duration::from_millis(200), waits.as_mut()).await.is_err());
    drop(first);
    let second = tokio::time::timeout(Duration::from_secs(5), waits).await.unwrap();
    drop(second);
    server.stop.send(true).unwrap();
    server.ends().await;
}

#[tokio::test]
async fn whoever_is_silent_is_cut_off() {
    let short = Duration::from_millis(100);
    let pace = Pace { preface: short, idle: short * 2, leave: short, tick: short / 10, ..Pace::default() };
    let server = Server::start_at(pace, echo(DType::Float32, limits())).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut half = TcpStream::connect(server.address).await.unwrap();
    half.write_all(b"PRI * HTTP/2.0").await.unwrap();
    let mut idle = server.client().await;
    let _: ServerLiveResponse = idle.call("ServerLive", &ServerLiveRequest {}).await.unwrap();
    // Who watches is not idle.
    let mut watches = server.client().await;
    let mut watched = health(&mut watches, "Watch", "").await.into_body();
    assert_eq!(next(&mut watched).await, Some(1));
    let within = Duration::from_secs(5);
    tokio::time::timeout(within, silent.read_u8()).await.unwrap().unwrap_err();
    tokio::time::timeout(within, half.read_u8()).await.unwrap().unwrap_err();
    tokio::time::timeout(within, idle.ended).await.unwrap().unwrap();
    tokio::time::sleep(short * 3).await;
    server.model.retire();
    assert_eq!(next(&mut watched).await, Some(2));
}

#[tokio::test]
async fn whoever_does_not_read_answers_is_cut_off() {
    let short = Duration::from_millis(100);
    let pace = Pace { read: short * 2, tick: short / 10, ..Pace::default() };
    let server = Server::start_at(pace, echo(DType::Float32, limits())).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (send, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(100)
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let ended = tokio::spawn(async move { drop(connection.await) });
    let mut client = Client { send, ended };
    let request = framed(&raw(&[4000, 2], vec![0; 32_000]));
    let answer = client.raw(&format!("/{SERVICE}/ModelInfer"), &[], request).await.unwrap();
    let held = server.model.metrics().text();
    assert!(!held.contains("floe_body_bytes 0\n"), "{held}");
    tokio::time::timeout(Duration::from_secs(5), client.ended).await.unwrap().unwrap();
    drop(answer);
    tokio::time::sleep(short).await;
    let held = server.model.metrics().text();
    assert!(held.contains("floe_body_bytes 0\n"), "{held}");
}

#[tokio::test]
async fn bodies_wait_for_room_and_give_it_back() {
    let tight =
        Limits { body: 64 * 1024, bodies: 64 * 1024, deadline: Duration::from_millis(300), ..limits() };
    let server = Server::start(echo(DType::Float32, tight)).await;
    let mut client = server.client().await;
    // More of them one after the other than there is room for at once.
    for _ in 0..20 {
        let answer = client.infer(&raw(&[4000, 2], vec![0; 32_000])).await.unwrap();
        assert_eq!(answer.raw_output_contents[0].len(), 32_000);
    }
    // A caller that has announced a message but does not send it holds its room until its deadline.
    let (head, held) = tokio::sync::mpsc::channel::<Bytes>(1);
    head.send(Bytes::from_static(&[0, 0, 0, 0xff, 0x00])).await.unwrap();
    let stalled = stalling(&server, held).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let path = format!("/{SERVICE}/ModelInfer");
    let small = framed(&raw(&[1, 2], vec![0; 8]));
    let (code, text) = client.bytes(&path, &[("grpc-timeout", "100m")], small).await.unwrap_err();
    assert_eq!((code, text.as_str()), (4, "no answer within 100 ms"));
    assert_eq!(stalled.await.unwrap(), "4");
    assert!(client.infer(&raw(&[1, 2], vec![0; 8])).await.is_ok());
    drop(head);
    let counted = server.model.metrics().text();
    assert!(counted.contains("floe_body_bytes 0\n"), "{counted}");
}

/// A call whose body never ends; the status that it gets.
async fn stalling(server: &Server, body: tokio::sync::mpsc::Receiver<Bytes>) -> JoinHandle<String> {
    struct Slow(tokio::sync::mpsc::Receiver<Bytes>);
    impl hyper::body::Body for Slow {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            self.0.poll_recv(cx).map(|b| b.map(|b| Ok(hyper::body::Frame::data(b))))
        }
    }
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    tokio::spawn(async move {
        let request = http::Request::post(format!("http://floe/{SERVICE}/ModelInfer"))
            .header("content-type", "application/grpc")
            .body(Slow(body))
            .unwrap();
        text(send.send_request(request).await.unwrap().headers(), "grpc-status")
    })
}

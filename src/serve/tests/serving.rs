//! What a client sees when nothing is wrong, and when the engine is.

use std::time::Duration;

use super::client::{BODY, Client, head};
use super::double::{self, Server};
use crate::engine::Failure;
use crate::model::DType;
use crate::serve::run::Options;

fn echo() -> Server {
    Server::start(double::options(), double::echo(DType::Float32, None))
}

#[test]
fn c46_one_connection_asks_many_times() {
    let server = echo();
    let mut client = Client::new(server.port);
    for _ in 0..3 {
        assert_eq!(client.infer(BODY).status, 200);
        assert_eq!(client.get("/v2/health/live").text(), r#"{"live":true}"#);
    }
    let metrics = client.get("/metrics");
    assert_eq!(
        metrics.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    for line in [
        "floe_requests_total{protocol=\"rest\",code=\"200\"} 6",
        "floe_inference_duration_seconds_count 3",
        "floe_queue_duration_seconds_count 3",
        "floe_requests_running 0",
        "floe_connections{protocol=\"rest\"} 1",
        "floe_model_info{name=\"m\",version=\"dev\",model_id=\"\",backend=\"double\"} 1",
    ] {
        assert!(metrics.text().lines().any(|l| l == line), "{line} is not in\n{}", metrics.text());
    }
    server.end().unwrap();
}

#[test]
fn c46_head_is_get_without_a_body() {
    let server = echo();
    let mut client = Client::new(server.port);
    client.send("HEAD /v2/health/ready HTTP/1.1\r\nHost: h\r\n\r\n");
    let reply = client.reply(true).unwrap();
    assert_eq!((reply.status, reply.header("content-length")), (200, Some("14")));
    assert_eq!(client.get("/v2/health/ready").text(), r#"{"ready":true}"#);
    server.end().unwrap();
}

#[test]
fn c46_a_client_may_wait_for_continue() {
    let server = echo();
    let mut client = Client::new(server.port);
    let expects = head(BODY.len()).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    client.send(&expects);
    assert_eq!(client.reply(true).unwrap().status, 100);
    client.send(BODY);
    assert_eq!(client.reply(false).unwrap().status, 200);
    server.end().unwrap();
}

#[test]
fn c46_a_body_may_come_in_chunks() {
    let server = echo();
    let mut client = Client::new(server.port);
    client.send("POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in BODY.as_bytes().chunks(20) {
        client.send(format!("{:x}\r\n", piece.len()));
        client.send(piece);
        client.send("\r\n");
        std::thread::sleep(Duration::from_millis(2));
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.reply(false).unwrap().status, 200);
    server.end().unwrap();
}

#[test]
fn a_large_body_goes_both_ways() {
    let server = echo();
    let mut client = Client::new(server.port);
    let count = 500_000;
    let data = vec!["0.25"; count].join(",");
    let body =
        format!(r#"{{"inputs":[{{"name":"x","shape":[{count}],"datatype":"FP32","data":[{data}]}}]}}"#);
    let reply = client.infer(&body);
    assert_eq!(reply.status, 200);
    assert!(reply.text().ends_with("0.25,0.25]}]}"));
    assert!(client.get("/metrics").text().contains("floe_body_bytes 0\n"));
    server.end().unwrap();
}

#[test]
fn c47_it_is_live_and_not_ready_while_the_model_is_loaded() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let options = Options { http_port: free, ..double::options() };
    let server = Server::begin(options, move || {
        gone.recv().unwrap();
        double::echo(DType::Float32, None)
    });
    let mut client = loop {
        match std::net::TcpStream::connect(("127.0.0.1", free)) {
            Ok(_) => break Client::new(free),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    assert_eq!(client.get("/v2/health/live").status, 200);
    assert_eq!(client.get("/v2/health/ready").status, 503);
    assert_eq!(client.infer(BODY).status, 503);
    go.send(()).unwrap();
    assert_eq!(server.hears("serving "), format!("serving 127.0.0.1:{free}"));
    assert_eq!(client.get("/v2/health/ready").status, 200);
    assert_eq!(client.infer(BODY).status, 200);
    server.end().unwrap();
}

#[test]
fn a_port_that_is_in_use_is_told_before_the_model_is_loaded() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options { grpc_port: taken.local_addr().unwrap().port(), ..double::options() };
    let server = Server::begin(options, || unreachable!("nothing is loaded"));
    let e = server.fails();
    assert!(e.to_string().contains("listen on 127.0.0.1:"), "{e}");
    assert!(e.hint_text().unwrap().contains("--grpc-port"));
}

#[test]
fn c46_the_engine_fails_and_the_server_goes_on() {
    let engine = double::engine(DType::Float32, None, |inputs| match inputs[0].shape() {
        [1] => panic!("the sky falls"),
        [2] => Err(Failure::Engine("no such kernel".into())),
        [3] => Err(Failure::Input("3 does not fit".into())),
        _ => Ok(inputs),
    });
    let server = Server::start(double::options(), engine);
    let mut client = Client::new(server.port);
    let ask = |client: &mut Client, n: usize| {
        let data = vec!["1"; n].join(",");
        client.infer(&format!(
            r#"{{"inputs":[{{"name":"x","shape":[{n}],"datatype":"FP32","data":[{data}]}}]}}"#
        ))
    };
    for (n, status, says) in [
        (1, 500, "the engine (double) panicked: the sky falls"),
        (2, 500, "no such kernel"),
        (3, 400, "3 does not fit"),
        (4, 200, "outputs"),
    ] {
        let reply = ask(&mut client, n);
        assert_eq!(reply.status, status);
        assert!(reply.text().contains(says), "{}", reply.text());
    }
    server.end().unwrap();
}

#[test]
fn a_contract_that_is_not_the_models_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("files")).unwrap();
    std::fs::copy(double::options().path, dir.path().join("files/model.onnx")).unwrap();
    let contract = |name: &str, dtype: &str| {
        let known = r#""known":{"dtype":"stored","name":"stored","shape":"stored"}"#;
        format!(
            r#"{{"floe":1,"signatures":[{{"name":"predict","known":"stored","inputs":[{{"name":"{name}","dtype":"{dtype}","shape":null,{known}}}],"outputs":[{{"name":"y","dtype":null,"shape":null,{known}}}]}}]}}"#
        )
    };
    for (name, dtype, says) in [
        ("z", "float32", "contract and model differ: the contract has the inputs `z`, the model has `x`"),
        (
            "x",
            "int64",
            "contract and model differ: the contract has the input `x` as int64, the model as float32",
        ),
    ] {
        std::fs::write(dir.path().join("contract.json"), contract(name, dtype)).unwrap();
        let options = Options { path: dir.path().to_owned(), ..double::options() };
        let e = Server::begin(options, || double::echo(DType::Float32, None)).fails();
        assert_eq!((e.kind(), e.message()), (crate::Kind::Model, says));
    }
    std::fs::write(dir.path().join("contract.json"), contract("x", "float32")).unwrap();
    let options = Options { path: dir.path().to_owned(), ..double::options() };
    Server::start(options, double::echo(DType::Float32, None)).end().unwrap();
}

#[test]
fn c46_all_addresses_are_those_of_ipv4_too() {
    let options = Options { host: "::".parse().unwrap(), ..double::options() };
    let server = Server::start(options, double::echo(DType::Float32, None));
    assert_eq!(Client::new(server.port).get("/v2").status, 200);
    server.end().unwrap();
}

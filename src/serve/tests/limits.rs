//! What happens at each limit: nothing grows, nobody waits for ever, and the answer says why.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use super::client::{BODY, Client, head};
use super::double::{self, Server};
use crate::engine::Engine;
use crate::model::DType;
use crate::serve::patient::Patience;
use crate::serve::run::Options;

/// An engine that waits for a word before it answers, and one end to give it.
pub(super) fn slow() -> (Engine, mpsc::Sender<()>) {
    let (go, gone) = mpsc::channel();
    let gone = Arc::new(Mutex::new(gone));
    let engine = double::engine(DType::Float32, None, move |inputs| {
        let _timed_out = gone.lock().unwrap().recv_timeout(Duration::from_secs(20));
        Ok(inputs)
    });
    (engine, go)
}

fn with(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = double::options();
    change(&mut options);
    options
}

/// Waits until a metric has a value.
fn until(port: u16, line: &str) {
    let began = Instant::now();
    loop {
        let text = Client::new(port).get("/metrics").text();
        if text.lines().any(|l| l == line) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{line} is not in\n{text}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn c46_a_body_that_is_too_large_is_a_413() {
    let options = with(|o| o.limits.body = 1000);
    let server = Server::start(options, double::echo(DType::Float32, None));
    let mut client = Client::new(server.port);
    // What is declared is refused at once, before any of it is sent.
    client.send(head(1001));
    let reply = client.reply(false).unwrap();
    assert_eq!((reply.status, reply.header("connection")), (413, Some("close")));
    assert_eq!(
        reply.text(),
        r#"{"error":"the body is larger than 1000 bytes, which is all this server takes"}"#
    );
    // Whoever sends all of it before it reads gets the answer as well.
    let mut client = Client::new(server.port);
    client.send(head(2 << 20));
    let _refused = std::io::Write::write_all(&mut client.stream, &vec![b' '; 2 << 20]);
    assert_eq!(client.reply(false).unwrap().status, 413);
    // What is not declared is refused when it is too much.
    let mut client = Client::new(server.port);
    client.send("POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(format!("{:x}\r\n{}\r\n", 900, " ".repeat(900)));
    client.send(format!("{:x}\r\n{}\r\n", 101, " ".repeat(101)));
    assert_eq!(client.reply(false).unwrap().status, 413);
    // A body that no number counts is refused by the HTTP library.
    let mut client = Client::new(server.port);
    client
        .send("POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n");
    assert_eq!(client.reply(false).unwrap().status, 400);
    assert_eq!(Client::new(server.port).infer(BODY).status, 200);
    server.end().unwrap();
}

#[test]
fn c46_one_more_than_the_queue_takes_is_a_503() {
    let (engine, go) = slow();
    let options = with(|o| {
        o.limits.workers = 1;
        o.limits.queue = 1;
    });
    let server = Server::start(options, engine);
    let port = server.port;
    let mut first = Client::new(port);
    first.send(head(BODY.len()) + BODY);
    until(port, "floe_requests_running 1");
    let mut second = Client::new(port);
    second.send(head(BODY.len()) + BODY);
    until(port, "floe_requests_waiting 1");
    let third = Client::new(port).infer(BODY);
    assert_eq!((third.status, third.header("retry-after")), (503, Some("1")));
    assert_eq!(third.text(), r#"{"error":"1 requests run and 1 wait, which is all this server takes"}"#);
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert_eq!(first.reply(false).unwrap().status, 200);
    assert_eq!(second.reply(false).unwrap().status, 200);
    server.end().unwrap();
}

#[test]
fn c46_what_takes_too_long_is_a_504() {
    let (engine, go) = slow();
    let options = with(|o| {
        o.limits.workers = 1;
        o.limits.queue = 0;
        o.limits.deadline = Duration::from_millis(100);
    });
    let server = Server::start(options, engine);
    let late = Client::new(server.port).infer(BODY);
    assert_eq!((late.status, late.text()), (504, r#"{"error":"no answer within 100 ms"}"#.to_owned()));
    // It runs still, and keeps its place until it ends.
    assert_eq!(Client::new(server.port).infer(BODY).status, 503);
    go.send(()).unwrap();
    until(server.port, "floe_requests_running 0");
    go.send(()).unwrap();
    assert_eq!(Client::new(server.port).infer(BODY).status, 200);
    server.end().unwrap();
}

#[test]
fn c46_a_body_that_does_not_come_is_a_408() {
    let options = with(|o| o.limits.deadline = Duration::from_millis(150));
    let server = Server::start(options, double::echo(DType::Float32, None));
    let mut client = Client::new(server.port);
    client.send(head(100) + "{\"inputs\":");
    let reply = client.reply(false).unwrap();
    assert_eq!((reply.status, reply.header("connection")), (408, Some("close")));
    assert!(reply.text().contains("did not come within 150 ms: found 10 of 100 bytes"), "{}", reply.text());
    // A byte now and then does not help.
    let mut client = Client::new(server.port);
    client.send(head(100));
    for _ in 0..6 {
        let _ended = std::io::Write::write_all(&mut client.stream, b" ");
        std::thread::sleep(Duration::from_millis(40));
    }
    assert_eq!(client.reply(false).unwrap().status, 408);
    server.end().unwrap();
}

#[test]
fn c46_bodies_wait_for_memory_and_not_for_ever() {
    let options = with(|o| {
        o.limits.body = 4096;
        o.limits.bodies = 4096;
        o.limits.deadline = Duration::from_millis(600);
    });
    let server = Server::start(options, double::echo(DType::Float32, None));
    // One request takes all memory and does not send its body.
    let mut greedy = Client::new(server.port);
    greedy.send(head(4096));
    until(server.port, "floe_body_bytes 4096");
    let mut patient = Client::new(server.port);
    std::thread::sleep(Duration::from_millis(200));
    patient.send(head(BODY.len()) + BODY);
    // Its end frees the memory for who waits.
    assert_eq!(greedy.reply(false).unwrap().status, 408);
    assert_eq!(patient.reply(false).unwrap().status, 200);
    // Two greedy ones after each other last longer than a third one's patience.
    let mut all: Vec<Client> = (0..2)
        .map(|_| {
            let mut client = Client::new(server.port);
            client.send(head(4096));
            client
        })
        .collect();
    let statuses: Vec<u16> = all.iter_mut().map(|c| c.reply(false).unwrap().status).collect();
    assert!(statuses.contains(&408) && statuses.iter().all(|s| [408, 503].contains(s)), "{statuses:?}");
    until(server.port, "floe_body_bytes 0");
    server.end().unwrap();
}

#[test]
fn c46_connections_over_the_cap_wait() {
    let options = with(|o| {
        o.limits.connections = 2;
        o.patience = Patience { idle: Duration::from_millis(400), ..Patience::default() };
    });
    let server = Server::start(options, double::echo(DType::Float32, None));
    let mut first = Client::new(server.port);
    assert_eq!(first.infer(BODY).status, 200);
    let mut silent = Client::new(server.port);
    let began = Instant::now();
    // The third one is accepted when a silent one was cut off.
    let mut third = Client::new(server.port);
    assert_eq!(third.infer(BODY).status, 200);
    assert!(began.elapsed() > Duration::from_millis(200), "{:?}", began.elapsed());
    assert!(silent.is_ended() && first.is_ended());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    server.end().unwrap();
}

#[test]
fn c46_a_head_that_comes_slowly_is_cut_off() {
    let options = with(|o| {
        o.patience = Patience { head: Duration::from_millis(200), ..Patience::default() };
    });
    let server = Server::start(options, double::echo(DType::Float32, None));
    let mut client = Client::new(server.port);
    assert_eq!(client.get("/v2").status, 200);
    let began = Instant::now();
    client.send("GET /v2 HTTP/1.1\r\n");
    while began.elapsed() < Duration::from_secs(10) {
        if std::io::Write::write_all(&mut client.stream, b"X: y\r\n").is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(client.is_ended());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // So is a head that is too long.
    let mut client = Client::new(server.port);
    let _refused = std::io::Write::write_all(
        &mut client.stream,
        format!("GET /v2 HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(1 << 20)).as_bytes(),
    );
    if let Ok(reply) = client.reply(false) {
        assert_eq!(reply.status, 431);
    }
    assert_eq!(Client::new(server.port).infer(BODY).status, 200);
    server.end().unwrap();
}

#[test]
fn c46_an_answer_that_is_not_read_is_cut_off() {
    let options = with(|o| {
        o.patience = Patience { write: Duration::from_millis(200), ..Patience::default() };
    });
    let large = double::engine(DType::Float32, None, |_| {
        let count = 8 << 20;
        Ok(vec![crate::engine::Tensor::fixed(DType::Float32, vec![count], vec![0; 4 * count]).unwrap()])
    });
    let server = Server::start(options, large);
    let mut client = Client::new(server.port);
    let body = BODY.replacen('{', "{\"parameters\":{\"binary_data_output\":true},", 1);
    client.send(head(body.len()) + &body);
    until(server.port, "floe_connections{protocol=\"rest\"} 1");
    until(server.port, "floe_body_bytes 0");
    assert!(client.reply(false).is_err());
    server.end().unwrap();
}

#[test]
fn c46_what_is_no_http_is_refused() {
    let server = Server::start(double::options(), double::echo(DType::Float32, None));
    for noise in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"\r\n\r\n\0\0\0\0", b"hello\r\n\r\n"]
    {
        let mut client = Client::new(server.port);
        client.send(noise);
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        match client.reply(false) {
            Ok(reply) => assert_eq!(reply.status, 400),
            Err(e) => assert_ne!(e.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
    assert_eq!(Client::new(server.port).infer(BODY).status, 200);
    server.end().unwrap();
}

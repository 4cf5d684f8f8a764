//! The end of a run.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::client::{BODY, Client, head};
use super::double::{self, Server};
use super::limits::slow;
use crate::model::DType;
use crate::serve::run::Options;

#[test]
fn c48_readiness_turns_false_first_and_what_was_begun_is_answered() {
    let (engine, go) = slow();
    let options = Options { drain_delay: Duration::from_millis(500), ..double::options() };
    let mut server = Server::start(options, engine);
    let port = server.port;
    let mut begun = Client::new(port);
    begun.send(head(BODY.len()) + BODY);
    let mut idle = Client::new(port);
    assert_eq!(idle.get("/v2/health/ready").status, 200);
    let mut silent = Client::new(port);
    server.stop();
    server.hears("stopping: ");
    // New connections are accepted still, and told not to come.
    let mut new = Client::new(port);
    let ready = new.get("/v2/health/ready");
    assert_eq!(
        (ready.status, ready.text()),
        (503, r#"{"error":"the server is stopping","ready":false}"#.to_owned())
    );
    assert_eq!(new.get("/v2/models/m/ready").status, 503);
    assert_eq!(new.get("/v2/health/live").status, 200);
    // Then none is, and those that are idle are ended.
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_ok() {
        assert!(began.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(idle.is_ended() && new.is_ended() && silent.is_ended());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // What was begun ends well.
    go.send(()).unwrap();
    assert_eq!(begun.reply(false).unwrap().status, 200);
    server.end().unwrap();
}

#[test]
fn c48_what_does_not_end_is_cut_off_after_the_grace() {
    let (engine, _go) = slow();
    let options = Options { grace: Duration::from_millis(200), ..double::options() };
    let mut server = Server::start(options, engine);
    let mut begun = Client::new(server.port);
    begun.send(head(BODY.len()) + BODY);
    while !Client::new(server.port).get("/metrics").text().contains("floe_requests_running 1\n") {
        std::thread::sleep(Duration::from_millis(5));
    }
    let began = Instant::now();
    server.stop();
    server.hears("requests took longer than 0.2 s");
    server.end().unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(begun.reply(false).is_err());
}

#[test]
fn c48_a_run_that_still_loads_ends_at_once() {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let mut server = Server::begin(double::options(), move || {
        let _told = gone.recv();
        double::echo(DType::Float32, None)
    });
    std::thread::sleep(Duration::from_millis(50));
    server.stop();
    server.end().unwrap();
    drop(go);
}

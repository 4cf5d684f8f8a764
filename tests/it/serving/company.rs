//! Many clients at once, and bad ones among them: nobody who behaves well hears of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{Server, ask, models};
use crate::support::program::Floe;

const CLIENTS: usize = 200;
const EACH: usize = 20;
/// What the server may grow by in MiB while it is pestered: its threads' stacks and buffers.
const GROWTH: u64 = 64;

/// MiB of memory that a process has.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// A request that is wrong in one of many ways; the answer, if there is any, must be a refusal.
fn pester(http: &str, kind: usize) {
    let infer = "/v2/models/columns/infer";
    let bodies: &[&[u8]] = &[
        b"",
        b"{",
        b"\xff\xfe",
        b"{\"inputs\":{}}",
        b"{\"inputs\":[{\"name\":\"n\",\"shape\":[1,1],\"datatype\":\"FP32\",\"data\":[1e999]}]}",
        b"{\"inputs\":[{\"name\":\"n\",\"shape\":[4611686018427387904,8],\"datatype\":\"FP32\",\"data\":[1]}]}",
        b"{\"inputs\":[{\"name\":\"n\",\"shape\":[-1],\"datatype\":\"FP32\",\"data\":[]}]}",
        b"{\"inputs\":[{\"name\":\"n\",\"shape\":[1,1],\"datatype\":\"FP32\",\"data\":\"x\"}]}",
    ];
    let nested = "[".repeat(50_000);
    let mut all: Vec<&[u8]> = bodies.to_vec();
    all.push(nested.as_bytes());
    match kind % (all.len() + 3) {
        k if k < all.len() => {
            let (status, answer) = ask(http, "POST", infer, all[k]).unwrap();
            assert_eq!(status, 400, "{answer}");
            assert!(answer.contains("\"error\""), "{answer}");
        }
        k if k == all.len() => {
            // More than is taken, told at once.
            let mut s = TcpStream::connect(http).unwrap();
            write!(s, "POST {infer} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n").unwrap();
            let mut answer = [0; 12];
            s.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 413");
        }
        k if k == all.len() + 1 => {
            // Half a head, then nothing.
            let mut s = TcpStream::connect(http).unwrap();
            write!(s, "POST {infer} HTT").unwrap();
            std::thread::sleep(Duration::from_millis(200));
        }
        _ => {
            // No HTTP; whatever comes back, it comes to an end.
            let mut s = TcpStream::connect(http).unwrap();
            s.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            s.write_all(b"\x16\x03\x01\x02\x00\r\n\r\n").unwrap();
            let mut answer = Vec::new();
            let _closed = s.read_to_end(&mut answer);
            assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
        }
    }
}

#[test]
fn two_hundred_clients_are_answered_whoever_else_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let model = models().join("columns.onnx");
    let mut command = Floe::new(folder.path()).command();
    command.arg("serve").arg(&model).args(["--http-port", "0", "--grpc-port", "0"]);
    let mut server = Server::start(&mut command);
    let body = br#"{"inputs":[{"name":"n","shape":[1,1],"datatype":"FP32","data":[1.5]},
        {"name":"k","shape":[1,1],"datatype":"INT64","data":[1]},
        {"name":"w","shape":[1,2],"datatype":"BYTES","data":["a","x"]}]}"#;
    let (status, expected) = server.ask("POST", "/v2/models/columns/infer", body);
    assert_eq!(status, 200, "{expected}");
    let before = resident(server.child.id());
    let http = &server.http;
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let expected = &expected;
            scope.spawn(move || {
                for round in 0..EACH {
                    if client % 10 == 0 {
                        pester(http, client / 10 + round);
                    } else {
                        let (status, answer) = ask(http, "POST", "/v2/models/columns/infer", body).unwrap();
                        assert_eq!((status, &answer), (200, expected));
                    }
                }
            });
        }
    });
    let after = resident(server.child.id());
    assert!(after <= before + GROWTH, "{before} MiB became {after}");
    assert_eq!(server.stop().code(), Some(0));
}

//! What a served model costs: one client, then many, then many with bad company.
//!
//! usage: cargo bench --bench serving -- MODEL.onnx REQUEST.json [--seconds N] [--clients N]
//!
//! Starts `floe serve MODEL.onnx` on ports of its own and asks it over loopback:
//! 1. one client on one connection, requests after each other: the latency;
//! 2. `--clients` clients (200) for `--seconds` (60): throughput and latency;
//! 3. the same with a tenth of the connections misbehaving: bodies of every bad kind, clients that send a byte
//!    a second, connections that never say anything.
//!
//! Memory of the server is read from /proc twice a second. The table is Markdown; the exit code is 1 when
//! a well-behaved client got anything but 200 or 503, or the server is gone at the end.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, clippy::exit)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Server {
    child: Child,
    http: String,
    name: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let mut number = |flag: &str, default: u64| match args.iter().position(|a| a == flag) {
        Some(at) => {
            let value = args.get(at + 1).and_then(|v| v.parse().ok()).unwrap();
            args.drain(at..=at + 1);
            value
        }
        None => default,
    };
    let (seconds, clients) = (number("--seconds", 60), number("--clients", 200));
    let [model, request] = &args[..] else {
        eprintln!(
            "usage: cargo bench --bench serving -- MODEL.onnx REQUEST.json [--seconds N] [--clients N]"
        );
        std::process::exit(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut server = start(model);
    let body = std::fs::read(request).unwrap();
    let post = Arc::new(post(&server.name, &body));
    let before = memory(&server, "VmRSS:");

    println!(
        "| load | requests | per second | 200 | 503 | other | p50 ms | p99 ms | max ms | RSS MiB | peak MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    println!("| none | | | | | | | | | {before:.0} | {:.0} |", memory(&server, "VmHWM:"));
    let mut fine = true;
    for (title, clients, bad, seconds) in [
        ("1 client".to_owned(), 1, 0, 5.min(seconds)),
        (format!("{clients} clients"), clients, 0, seconds),
        (
            format!("{clients} clients, {} of them bad", clients / 10),
            clients - clients / 10,
            clients / 10,
            seconds,
        ),
    ] {
        let load = runtime.block_on(load(&server, &post, clients, bad, Duration::from_secs(seconds)));
        let mut times = load.times;
        times.sort();
        let at = |share: f64| {
            times
                .get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1)))
                .map_or(f64::NAN, |t| t.as_secs_f64() * 1e3)
        };
        println!(
            "| {title} | {} | {:.0} | {} | {} | {} | {:.3} | {:.3} | {:.1} | {:.0} | {:.0} |",
            times.len(),
            times.len() as f64 / seconds as f64,
            load.ok,
            load.busy,
            load.other,
            at(0.5),
            at(0.99),
            at(1.0),
            memory(&server, "VmRSS:"),
            memory(&server, "VmHWM:"),
        );
        fine &= load.other == 0;
    }
    if server.child.try_wait().unwrap().is_some() || !fine {
        eprintln!("the server is gone, or a good request got a bad answer");
        std::process::exit(1);
    }
}

fn start(model: &str) -> Server {
    let mut child = Command::new(env!("CARGO_BIN_EXE_floe"))
        .args([
            "serve",
            model,
            "--name",
            "bench",
            "--http-port",
            "0",
            "--grpc-port",
            "0",
            "--progress",
            "plain",
        ])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let http = lines
        .find_map(|l| {
            let l = l.unwrap();
            let rest = l.split_once("http://")?.1;
            Some(rest.split([' ', '/']).next().unwrap().to_owned())
        })
        .expect("the server says where it listens");
    std::thread::spawn(move || lines.for_each(drop));
    Server { child, http, name: "bench".into() }
}

fn post(name: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /v2/models/{name}/infer HTTP/1.1\r\nHost: floe\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// MiB of the server's memory, by a key of /proc/PID/status.
fn memory(server: &Server, key: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

#[derive(Default)]
struct Load {
    times: Vec<Duration>,
    ok: u64,
    busy: u64,
    other: u64,
}

async fn load(server: &Server, post: &Arc<Vec<u8>>, clients: u64, bad: u64, time: Duration) -> Load {
    let stop = Arc::new(AtomicBool::new(false));
    let until = Instant::now() + time;
    let mut good = Vec::new();
    for _ in 0..clients {
        let (at, post) = (server.http.clone(), Arc::clone(post));
        good.push(tokio::spawn(client(at, post, until)));
    }
    let kind = Arc::new(AtomicU64::new(0));
    for _ in 0..bad {
        let (at, post, stop, kind) =
            (server.http.clone(), Arc::clone(post), Arc::clone(&stop), Arc::clone(&kind));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let _ = misbehave(&at, &post, kind.fetch_add(1, Ordering::Relaxed)).await;
            }
        });
    }
    let mut all = Load::default();
    for task in good {
        let one = task.await.unwrap();
        all.times.extend(one.times);
        all.ok += one.ok;
        all.busy += one.busy;
        all.other += one.other;
    }
    stop.store(true, Ordering::Relaxed);
    all
}

/// Asks again and again on one connection.
async fn client(at: String, post: Arc<Vec<u8>>, until: Instant) -> Load {
    let mut load = Load::default();
    let mut connection = None;
    while Instant::now() < until {
        let start = Instant::now();
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&at).await.unwrap();
                stream.set_nodelay(true).unwrap();
                stream
            }
        };
        match exchange(&mut stream, &post).await {
            Ok((200, keep)) => {
                load.ok += 1;
                connection = keep.then_some(stream);
            }
            Ok((503, keep)) => {
                load.busy += 1;
                connection = keep.then_some(stream);
            }
            Ok((status, _)) => {
                eprintln!("status {status}");
                load.other += 1;
            }
            Err(e) => {
                eprintln!("{e}");
                load.other += 1;
            }
        }
        load.times.push(start.elapsed());
    }
    load
}

/// One request and its answer: the status, and whether the connection stays open.
async fn exchange(stream: &mut TcpStream, post: &[u8]) -> std::io::Result<(u16, bool)> {
    stream.write_all(post).await?;
    let mut buffer = Vec::with_capacity(4096);
    let bad = |what: &str| std::io::Error::other(what.to_owned());
    let end = loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(bad("the connection was closed before the answer"));
        }
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| bad("no status"))?;
    let length: usize = head
        .lines()
        .find_map(|l| l.strip_prefix("content-length:"))
        .and_then(|n| n.trim().parse().ok())
        .ok_or_else(|| bad("no length"))?;
    while buffer.len() < end + length {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(bad("the answer was cut"));
        }
    }
    Ok((status, !head.contains("connection: close")))
}

/// One of the bad kinds, in turn.
async fn misbehave(at: &str, good: &[u8], kind: u64) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(at).await?;
    let json = |body: &str| post("bench", body.as_bytes());
    match kind % 10 {
        // Never a byte.
        0 => tokio::time::sleep(Duration::from_secs(5)).await,
        // A byte a second.
        1 => {
            for byte in good.iter().take(5) {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        // The head, half of the body, then nothing.
        2 => {
            stream.write_all(&good[..good.len() - 5]).await?;
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        3 => exchange(&mut stream, &json("{\"inputs\": [")).await.map(drop)?,
        4 => exchange(&mut stream, &json(&"[".repeat(100_000))).await.map(drop)?,
        5 => exchange(
            &mut stream,
            &json("{\"inputs\":[{\"name\":\"X\",\"shape\":[4611686018427387904,4],\"datatype\":\"FP32\",\"data\":[1]}]}"),
        )
        .await
        .map(drop)?,
        6 => exchange(&mut stream, &json("\u{0}\u{1}")).await.map(drop)?,
        7 => {
            let huge = b"POST /v2/models/bench/infer HTTP/1.1\r\nHost: floe\r\nContent-Length: 99999999999\r\n\r\n";
            exchange(&mut stream, huge).await.map(drop)?;
        }
        8 => {
            // Chunks that never end, until the server has had enough.
            stream.write_all(b"POST /v2/models/bench/infer HTTP/1.1\r\nHost: floe\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
            let chunk = [&b"10000\r\n"[..], &[b' '; 65536], b"\r\n"].concat();
            for _ in 0..2000 {
                stream.write_all(&chunk).await?;
            }
        }
        _ => stream.write_all(b"\x16\x03\x01\x02\x00 not HTTP at all\r\n\r\n").await?,
    }
    Ok(())
}

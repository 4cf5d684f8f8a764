//! A proxy for HTTP on the loopback address: tunnels, and requests that name their server in full.
//!
//! Whatever name is asked for, one server is reached, so that names can be used that no resolver knows.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The proxy; it ends with the process.
pub struct TestProxy {
    addr: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl TestProxy {
    /// A proxy to one server. With a login it lets nobody through who does not send that.
    pub fn start(to: &str, login: Option<&str>) -> Self {
        use base64::Engine as _;
        let wanted = login.map(|l| {
            let encoded = base64::engine::general_purpose::STANDARD.encode(l);
            format!("proxy-authorization: basic {}", encoded.to_ascii_lowercase())
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (to, heard) = (to.to_owned(), Arc::clone(&log));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (to, wanted, heard) = (to.clone(), wanted.clone(), Arc::clone(&heard));
                std::thread::spawn(move || serve(stream, &to, wanted.as_deref(), &heard));
            }
        });
        Self { addr, log }
    }

    /// Host and port.
    pub fn addr(&self) -> String {
        self.addr.to_string()
    }

    /// Method and target of the first request of each connection.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, to: &str, wanted: Option<&str>, log: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let line = text.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let allowed = wanted.is_none_or(|w| text.to_ascii_lowercase().contains(w));
    log.lock().unwrap().push(if allowed { line.clone() } else { format!("refused {line}") });
    if !allowed {
        let _ = stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    let Ok(mut upstream) = TcpStream::connect(to) else { return };
    let greeted = if line.starts_with("CONNECT ") {
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
    } else {
        upstream.write_all(&head)
    };
    if greeted.is_err() {
        return;
    }
    let (mut from, mut back) = (stream.try_clone().unwrap(), upstream.try_clone().unwrap());
    let there = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut upstream);
        let _ = upstream.shutdown(std::net::Shutdown::Write);
    });
    let _ = std::io::copy(&mut back, &mut stream);
    let _ = stream.shutdown(std::net::Shutdown::Both);
    let _ = there.join();
}

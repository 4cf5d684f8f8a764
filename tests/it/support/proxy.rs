//! Proxies on the loopback address: for HTTP tunnels, and requests that name their server in full; for SOCKS 5
//! whatever is connected to (RFC 1928, RFC 1929).
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
        Self::listen(to, move |stream, to, log| serve(stream, to, wanted.as_deref(), log))
    }

    /// The same for SOCKS 5; a login is `USER:PASSWORD`.
    pub fn socks(to: &str, login: Option<&'static str>) -> Self {
        Self::listen(to, move |stream, to, log| {
            // Whoever goes away in the middle has heard enough.
            let _ended = socks(stream, to, login, log);
        })
    }

    fn listen(
        to: &str,
        serve: impl Fn(TcpStream, &str, &Mutex<Vec<String>>) + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (to, heard) = (to.to_owned(), Arc::clone(&log));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (to, heard, serve) = (to.clone(), Arc::clone(&heard), serve.clone());
                std::thread::spawn(move || serve(stream, &to, &heard));
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
    join(stream, upstream);
}

/// Greeting, login, and what is to be connected to; then bytes in both directions.
fn socks(
    mut stream: TcpStream,
    to: &str,
    login: Option<&str>,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let take = |stream: &mut TcpStream, n: usize| -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; n];
        stream.read_exact(&mut bytes).map(|()| bytes)
    };
    let hello = take(&mut stream, 2)?;
    let methods = take(&mut stream, usize::from(hello[1]))?;
    let method = if login.is_some() { 2 } else { 0 };
    if hello[0] != 5 || !methods.contains(&method) {
        log.lock().unwrap().push("refused".to_owned());
        return stream.write_all(&[5, 0xff]);
    }
    stream.write_all(&[5, method])?;
    if let Some(login) = login {
        let user = take(&mut stream, 2)?;
        let user = take(&mut stream, usize::from(user[1]))?;
        let length = take(&mut stream, 1)?;
        let password = take(&mut stream, usize::from(length[0]))?;
        let sent = [&user[..], b":", &password].concat();
        if sent != login.as_bytes() {
            log.lock().unwrap().push("refused".to_owned());
            return stream.write_all(&[1, 1]);
        }
        stream.write_all(&[1, 0])?;
    }
    let request = take(&mut stream, 4)?;
    let host = match request[3] {
        1 => {
            let ip: [u8; 4] = take(&mut stream, 4)?.try_into().unwrap();
            std::net::Ipv4Addr::from(ip).to_string()
        }
        3 => {
            let length = take(&mut stream, 1)?;
            String::from_utf8(take(&mut stream, usize::from(length[0]))?).unwrap()
        }
        _ => {
            let ip: [u8; 16] = take(&mut stream, 16)?.try_into().unwrap();
            std::net::Ipv6Addr::from(ip).to_string()
        }
    };
    let port = take(&mut stream, 2)?;
    let port = u16::from_be_bytes([port[0], port[1]]);
    log.lock().unwrap().push(format!("SOCKS {host}:{port}"));
    let upstream = TcpStream::connect(to)?;
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    join(stream, upstream);
    Ok(())
}

/// Hands bytes on in both directions until both ends are closed.
fn join(mut stream: TcpStream, mut upstream: TcpStream) {
    let (mut from, mut back) = (stream.try_clone().unwrap(), upstream.try_clone().unwrap());
    let there = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut upstream);
        let _ = upstream.shutdown(std::net::Shutdown::Write);
    });
    let _ = std::io::copy(&mut back, &mut stream);
    let _ = stream.shutdown(std::net::Shutdown::Both);
    let _ = there.join();
}

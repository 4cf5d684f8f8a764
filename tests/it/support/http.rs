//! A server for HTTP/1.1 on the loopback address, small enough to misbehave on purpose.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The head of a request.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    pub fn params<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    pub fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|t| t.eq_ignore_ascii_case("chunked"))
    }

    pub fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// `Content-Length` where it is not the body's, as for HEAD.
    pub length: Option<u64>,
    /// Close the connection after so many bytes of the body.
    pub cut: Option<usize>,
    /// Close the connection without any answer.
    pub lost: bool,
    /// Close the connection after the answer, but read what still comes, so that the answer arrives.
    pub linger: bool,
}

impl Answer {
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

/// What a connection is: plain, or TLS.
pub trait Stream: Read + Write + Send {
    /// Says that nothing more is sent; what still comes is read for a while only.
    fn leave(&mut self) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn leave(&mut self) -> io::Result<()> {
        let _ = self.shutdown(Shutdown::Write);
        self.set_read_timeout(Some(Duration::from_secs(5)))
    }
}

/// A connection, while a handler answers a request.
pub struct Conn {
    reader: BufReader<Box<dyn Stream>>,
    /// Bytes of request bodies read for the present request.
    pub received: u64,
}

impl Conn {
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn request(&mut self) -> io::Result<Request> {
        let first = self.line()?;
        let mut parts = first.split(' ');
        let method = parts.next().unwrap_or_default().to_owned();
        let target = parts.next().unwrap_or_default();
        // As a client writes it that believes to speak to a proxy.
        let target = target.strip_prefix("http://").map_or(target, |t| &t[t.find('/').unwrap_or(t.len())..]);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = query
            .split('&')
            .filter(|p| !p.is_empty())
            .map(|p| p.split_once('=').unwrap_or((p, "")))
            .map(|(k, v)| (decode(k), decode(v)))
            .collect();
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        self.received = 0;
        Ok(Request { method, path: decode(path), query, headers })
    }

    /// Reads the body piece by piece; `each` gets every piece and says whether to go on.
    pub fn body(&mut self, request: &Request, mut each: impl FnMut(&[u8]) -> bool) -> io::Result<bool> {
        let mut left = if request.is_chunked() { 0 } else { request.length().unwrap_or(0) };
        let chunked = request.is_chunked();
        let mut buffer = vec![0; 256 << 10];
        loop {
            if left == 0 {
                if !chunked {
                    return Ok(true);
                }
                let line = self.line()?;
                left = u64::from_str_radix(&line, 16)
                    .map_err(|e| io::Error::other(format!("chunk {line:?}: {e}")))?;
                if left == 0 {
                    self.line()?;
                    return Ok(true);
                }
            }
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let n = self.reader.read(&mut buffer[..room])?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= n as u64;
            self.received += n as u64;
            if !each(&buffer[..n]) {
                return Ok(false);
            }
            if left == 0 && chunked {
                self.line()?;
            }
        }
    }

    /// Sends an answer; false when the connection is to be closed.
    fn send(&mut self, answer: &Answer, head_only: bool) -> io::Result<bool> {
        if answer.lost {
            return Ok(false);
        }
        let length = answer.length.unwrap_or(answer.body.len() as u64);
        let mut head = format!("HTTP/1.1 {} Reason\r\nContent-Length: {length}\r\n", answer.status);
        for (name, value) in &answer.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        let stream = self.reader.get_mut();
        stream.write_all(head.as_bytes())?;
        if head_only {
            return Ok(true);
        }
        if let Some(cut) = answer.cut.filter(|c| *c < answer.body.len()) {
            stream.write_all(&answer.body[..cut])?;
            return Ok(false);
        }
        stream.write_all(&answer.body)?;
        if answer.linger {
            stream.leave()?;
            io::copy(&mut self.reader, &mut io::sink())?;
        }
        Ok(!answer.linger)
    }
}

/// Undoes percent encoding.
pub fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let hex: Vec<u8> = bytes.by_ref().take(2).collect();
            let hex = std::str::from_utf8(&hex).unwrap_or("");
            out.push(u8::from_str_radix(hex, 16).unwrap_or(b'?'));
        } else {
            out.push(if b == b'+' { b' ' } else { b });
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one. An error closes the connection; unread bytes then make that a reset.
    fn answer(&self, conn: &mut Conn, request: &Request) -> io::Result<Answer>;
}

/// A server that runs until it is dropped.
pub struct Server {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Server {
    pub fn start(handler: Arc<dyn Handler>) -> Self {
        Self::start_with(handler, |stream| Some(Box::new(stream)))
    }

    /// A server on the loopback address of IPv6, which a machine has to have for this.
    pub fn start_v6(handler: Arc<dyn Handler>) -> Self {
        Self::start_at("[::1]:0", handler, |stream| Some(Box::new(stream)))
    }

    /// A server whose connections are wrapped; `None` ends one.
    pub fn start_with(
        handler: Arc<dyn Handler>,
        wrap: impl Fn(TcpStream) -> Option<Box<dyn Stream>> + Send + Sync + 'static,
    ) -> Self {
        Self::start_at("127.0.0.1:0", handler, wrap)
    }

    fn start_at(
        address: &str,
        handler: Arc<dyn Handler>,
        wrap: impl Fn(TcpStream) -> Option<Box<dyn Stream>> + Send + Sync + 'static,
    ) -> Self {
        let wrap = Arc::new(wrap);
        let listener = TcpListener::bind(address)
            .unwrap_or_else(|e| panic!("this test needs a machine that has the address {address}: {e}"));
        let addr = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (handler, wrap) = (Arc::clone(&handler), Arc::clone(&wrap));
                std::thread::spawn(move || {
                    let _ = stream.set_nodelay(true);
                    let Some(stream) = wrap(stream) else { return };
                    let mut conn = Conn { reader: BufReader::with_capacity(64 << 10, stream), received: 0 };
                    while let Ok(request) = conn.request() {
                        let Ok(answer) = handler.answer(&mut conn, &request) else { return };
                        if !matches!(conn.send(&answer, request.method == "HEAD"), Ok(true)) {
                            return;
                        }
                    }
                });
            }
        });
        Self { addr, stop }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.addr);
    }
}

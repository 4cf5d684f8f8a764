//! A client that sends what it is told to, byte by byte if need be.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A connection.
pub(super) struct Client {
    pub(super) stream: TcpStream,
    buffer: Vec<u8>,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| {
            let (key, value) = l.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A request to infer of one number.
pub(super) const BODY: &str = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1.5]}]}"#;

impl Client {
    pub(super) fn new(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub(super) fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).unwrap();
    }

    pub(super) fn get(&mut self, path: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        self.reply(false).unwrap()
    }

    pub(super) fn infer(&mut self, body: &str) -> Reply {
        self.send(head(body.len()) + body);
        self.reply(false).unwrap()
    }

    /// Reads an answer; the body of one to `HEAD` is not there.
    pub(super) fn reply(&mut self, bare: bool) -> io::Result<Reply> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.more()?;
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let mut reply = Reply { status: head[9..12].parse().unwrap(), head, body: Vec::new() };
        let length = if bare { 0 } else { reply.header("content-length").map_or(0, |l| l.parse().unwrap()) };
        while self.buffer.len() < length {
            self.more()?;
        }
        reply.body = self.buffer.drain(..length).collect();
        Ok(reply)
    }

    fn more(&mut self) -> io::Result<()> {
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.buffer.extend_from_slice(&piece[..n]);
                Ok(())
            }
        }
    }

    /// Whether the server ends the connection without an answer.
    pub(super) fn is_ended(&mut self) -> bool {
        match self.more() {
            Ok(()) => false,
            Err(e) => matches!(e.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset),
        }
    }
}

/// The head of a request to infer with a body of so many bytes.
pub(super) fn head(length: usize) -> String {
    format!("POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n")
}

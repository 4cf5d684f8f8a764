//! `floe serve` and the image that serves, as their users meet them: stock clients over both
//! protocols against ONNX Runtime's answers, in a shell and in containers.
//!
//! The clients are Python's, in the environment that `.ci/run packages` makes; a test whose
//! environment is missing fails.

mod clients;
mod company;
mod container;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a server may take to say where it listens.
const START: Duration = Duration::from_secs(60);

/// The interpreter that has the clients.
fn python() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|h| Path::new(&h).join(".cache")))
        .expect("HOME is set");
    let python = cache.join("floe-ci/python/bin/python");
    assert!(python.exists(), "the Python clients are needed for this test: `.ci/run packages` installs them");
    python
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/serving").join(name)
}

/// The models that `models.py` writes, once for all tests.
fn models() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("serving");
        std::fs::create_dir_all(&folder).unwrap();
        let out = Command::new(python()).arg(script("models.py")).arg(&folder).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        folder
    })
}

/// A server in the foreground: floe itself, or a container around it.
struct Server {
    child: Child,
    /// `HOST:PORT` of each protocol.
    http: String,
    grpc: String,
}

impl Server {
    /// Starts what says on standard error where it serves.
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let started = Instant::now();
        let mut said = String::new();
        let line = loop {
            let Some(line) = lines.next() else {
                let _gone = child.wait();
                panic!("{command:?} ended: {said}");
            };
            let line = line.unwrap();
            if line.contains("http://") {
                break line;
            }
            said.push_str(&line);
            said.push('\n');
            assert!(started.elapsed() < START, "{command:?} does not start: {said}");
        };
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let mut places = line.split([' ', '/', ',']).filter(|w| {
            w.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        });
        let mut place = || places.next().unwrap_or_else(|| panic!("no address in `{line}`")).to_owned();
        // All addresses of the machine are told as `[::]` or `0.0.0.0`.
        let here = |place: String| format!("127.0.0.1:{}", place.rsplit_once(':').unwrap().1);
        let (http, grpc) = (here(place()), here(place()));
        Self { child, http, grpc }
    }

    /// Status and body of a request.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        ask(&self.http, method, path, body).unwrap()
    }

    /// Asks it to stop, and waits.
    fn stop(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn ask(http: &str, method: &str, path: &str, body: &[u8]) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(http)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: floe\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    let text = String::from_utf8_lossy(&all).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {text}"));
    Ok((head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned()))
}

/// Triton's client asks for everything and compares with ONNX Runtime.
fn compare(server: &Server, name: &str, model: &Path) -> String {
    let mut command = Command::new(python());
    command.arg(script("ask.py")).args([&server.http, &server.grpc, name]).arg(model);
    let out = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{name}: {said}");
    said
}

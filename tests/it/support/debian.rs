//! A real registry: Debian's `docker-registry`, on a free port of the loopback address.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// A running registry; it ends, and its folder goes, when this is dropped.
pub(crate) struct DebianRegistry {
    address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl DebianRegistry {
    /// Starts one. Another process may take a free port before the registry does; then the next is
    /// tried.
    pub(crate) fn start() -> Self {
        Self::start_for(None)
    }

    /// One that lets in whom a line of `htpasswd` names, and nobody else.
    pub(crate) fn closed(line: &str) -> Self {
        Self::start_for(Some(line))
    }

    /// One on the loopback address of IPv6, which a machine has to have for this.
    pub(crate) fn start_v6() -> Self {
        Self::start_at("[::1]:0", None)
    }

    fn start_for(users: Option<&str>) -> Self {
        Self::start_at("127.0.0.1:0", users)
    }

    fn start_at(place: &str, users: Option<&str>) -> Self {
        for _ in 0..10 {
            if let Some(this) = Self::attempt(place, users) {
                return this;
            }
        }
        panic!("docker-registry found no port");
    }

    fn attempt(place: &str, users: Option<&str>) -> Option<Self> {
        let address = TcpListener::bind(place)
            .unwrap_or_else(|e| panic!("this test needs a machine that has the address {place}: {e}"))
            .local_addr()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yml");
        let mut text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage:\n  filesystem: \
             {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n  cache: {{blobdescriptor: inmemory}}\n\
             http: {{addr: \"{address}\"}}\n",
            folder.path().join("data").display()
        );
        if let Some(users) = users {
            let file = folder.path().join("htpasswd");
            std::fs::write(&file, format!("{users}\n")).unwrap();
            text.extend([format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", file.display())]);
        }
        std::fs::write(&config, text).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("`docker-registry` is needed for this test: {e}"));
        let mut this = Self { address, process, _folder: folder };
        for _ in 0..400 {
            let ready = if users.is_some() { 401 } else { 200 };
            if this.get("/v2/").is_some_and(|(status, _)| status == ready) {
                return Some(this);
            }
            if this.process.try_wait().unwrap().is_some() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("docker-registry does not answer on {address}");
    }

    /// `HOST:PORT`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// Status and body of a request that asks for any kind of manifest.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                      application/vnd.docker.distribution.manifest.v2+json, */*";
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nHost: {}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n",
            self.address
        )
        .ok()?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).ok()?;
        let end = all.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&all[..end]);
        let status = head.split(' ').nth(1)?.parse().ok()?;
        assert!(!head.to_lowercase().contains("transfer-encoding: chunked"), "HTTP/1.0 has no chunks");
        Some((status, all.split_off(end)))
    }

    /// The tags of a repository; none where there is no such repository.
    pub(crate) fn tags(&self, repository: &str) -> Vec<String> {
        let (status, body) = self.get(&format!("/v2/{repository}/tags/list")).unwrap();
        if status == 404 {
            return Vec::new();
        }
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let tags = value["tags"].as_array().map(Vec::as_slice).unwrap_or_default();
        tags.iter().map(|t| t.as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for DebianRegistry {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _gone = self.process.wait();
    }
}

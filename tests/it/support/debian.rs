//! Debian's `docker-registry`, a real registry of the field.

/// Debian's `docker-registry` on a free port, with its storage in a temporary folder.
pub(crate) struct Debian {
    process: std::process::Child,
    pub(crate) addr: String,
    _dir: tempfile::TempDir,
}

impl Debian {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let addr = format!("127.0.0.1:{port}");
        let config = dir.path().join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
             http: {{addr: '{addr}'}}\n",
            dir.path().join("data").display()
        );
        std::fs::write(&config, text).unwrap();
        let null = std::process::Stdio::null;
        let process = std::process::Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(null())
            .stdout(null())
            .stderr(null())
            .spawn()
            .expect("`docker-registry` (Debian's package of that name) is part of this test");
        let this = Self { process, addr, _dir: dir };
        for _ in 0..200 {
            if std::net::TcpStream::connect(&this.addr).is_ok() {
                return this;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("docker-registry does not answer on {}", this.addr);
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
